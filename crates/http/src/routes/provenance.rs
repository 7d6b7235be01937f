//! What a version of a table was made of: its commit, the versions that it read, the commits that made those.

use axum::Json;
use axum::extract::{Path, State};
use cenote_catalog::{Privilege, ProvenanceCommit, ProvenanceInput};
use cenote_vocab::Txn;
use http::StatusCode;
use serde_json::{Value, json};

use super::nodes::Nodes;
use super::tables::find;
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// The farthest that a walk goes.
const DEPTH_MAX: u64 = 100;
/// The most commits of an answer (`provenance_commits_max`).
const COMMITS_MAX: usize = 10_000;

/// The commits that a version of a table was made by, step by step back, each once. Tables that the caller may not read keep their
/// place and have no name.
#[utoipa::path(
    get, path = "/api/v1/tables/{table}/provenance", tag = "metadata",
    params(
        ("table" = String, Path, description = "id, name, or schema.name"), ("database" = Option<String>, Query),
        ("txn" = Option<i64>, Query, description = "the version; the newest without it"),
        ("depth" = Option<u64>, Query, description = "commits back, 1 without it, 100 at most"),
    ),
    responses(
        (status = 200, description = "`commits` with their `hop` and `inputs`", body = Object,
            example = json!({"table_id": "019b…", "txn": 4711, "commits": [{"hop": 1, "table": "14", "name": "mart.daily", "txn": 4700,
                "committed_at": "2026-01-01T00:00:00.000000Z", "operation": "asset", "actor": null, "run_id": "019b…", "code_id": "ab…",
                "inputs": [{"node": "12", "name": "raw.orders", "from": null, "to": "4690", "made_by": 4688}]}], "truncated": false})),
        (status = 400, description = "a bad depth, or no such transaction"), (status = 404, description = "no such table"),
    )
)]
pub(super) async fn provenance(
    State(app): State<App>,
    Path(table): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["db", "database", "txn", "depth", "u", "p"])?;
    let depth = call.parameters.number("depth")?.unwrap_or(1);
    let depth = u32::try_from(depth).ok().filter(|depth| (1..=DEPTH_MAX).contains(&u64::from(*depth)));
    let depth = depth.ok_or_else(|| Problem::bad_request(format!("depth is from 1 to {DEPTH_MAX}")))?;
    let table = find(&app, &call, &table, Privilege::Select).await?;
    let (catalog, scope) = (&app.services()?.catalog, &call.identity.scope);
    let head = catalog.head(scope).await?.txn;
    let at = match call.parameters.number("txn")? {
        None => head,
        Some(txn) => i64::try_from(txn).ok().map(Txn).filter(|txn| *txn <= head).ok_or_else(|| {
            let text = format!("transaction {txn} is not there; the newest is {head}");
            Problem::new(StatusCode::BAD_REQUEST, text).with("sqlstate", "22023")
        })?,
    };
    let found = catalog.provenance(scope, (table.id, at), depth, COMMITS_MAX).await?;
    let tables = catalog.tables_by_id(scope, head).await?;
    let mut shown = Nodes::new(&tables, &call);
    Ok(Json(json!({
        "table_id": table.uuid.to_string(),
        "txn": at.0,
        "commits": found.commits.iter().map(|commit| shown.commit(commit)).collect::<Vec<_>>(),
        "truncated": found.truncated,
    })))
}

impl Nodes<'_> {
    fn commit(&mut self, commit: &ProvenanceCommit) -> Value {
        let facts = &commit.facts;
        let (table, name) = self.id(&commit.table.to_string());
        let inputs: Vec<Value> = commit.inputs.iter().map(|input| self.input(input)).collect();
        match name {
            Some(name) => json!({
                "hop": commit.hop,
                "table": table,
                "name": name,
                "txn": facts.txn.0,
                "committed_at": facts.committed.rfc3339(),
                "operation": facts.operation,
                "actor": facts.actor,
                "run_id": facts.run.map(|run| run.to_string()),
                "code_id": facts.code.map(hex::encode),
                "inputs": inputs,
            }),
            None => {
                json!({"hop": commit.hop, "table": table, "txn": facts.txn.0, "hidden": true, "inputs": inputs})
            }
        }
    }

    fn input(&mut self, input: &ProvenanceInput) -> Value {
        let made_by = input.made_by.map(|txn| txn.0);
        match self.id(&input.input.node) {
            (node, Some(name)) => json!({
                "node": node,
                "name": name,
                "from": input.input.from,
                "to": input.input.to,
                "made_by": made_by,
            }),
            (node, None) => json!({"node": node, "hidden": true, "made_by": made_by}),
        }
    }
}
