//! Commits of writers outside: files that they wrote become part of tables, rows and files go, all under one number.
//!
//! The same commit, told by its `commit_id`, may be sent any number of times: it happens once.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use cenote_catalog::{
    Commit, DataFile, Facts, FileChange, Op, Privilege, Producer, ReadSet, RetireKind, RowChange,
    TableChange, TableDef,
};
use cenote_vocab::{Epoch, FileId, Txn};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::tables::find;
use crate::app::App;
use crate::body;
use crate::call::Call;
use crate::problem::Problem;

/// Bytes of a commit's body (`commit_body_max`).
const BODY_MAX: u64 = 16 << 20;
/// Bytes of a message.
const MESSAGE_MAX: usize = 64 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    commit_id: Uuid,
    #[serde(default)]
    producers: Vec<SentProducer>,
    #[serde(default)]
    message: Option<String>,
    tables: Vec<SentTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentProducer {
    name: String,
    epoch: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentTable {
    table: String,
    #[serde(default)]
    base: Option<i64>,
    #[serde(default)]
    append: Vec<SentFile>,
    #[serde(default)]
    retire: Vec<i64>,
    #[serde(default)]
    delete_rows: Vec<SentRows>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentFile {
    path: String,
    #[serde(default = "parquet")]
    format: String,
    #[serde(default = "adopt")]
    mode: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentRows {
    file_id: i64,
    positions: Vec<u64>,
}

fn parquet() -> String {
    "parquet".into()
}

fn adopt() -> String {
    "adopt".into()
}

/// Commits files that lie in the tables' own places already, deletes of rows by position, and files that go. Everything happens
/// under one number, or nothing; the same `commit_id` again answers the first outcome.
#[utoipa::path(
    post, path = "/api/v1/commits", tag = "tables",
    request_body(
        content = Object, content_type = "application/json",
        example = json!({
            "commit_id": "0198a3f0-7d1c-7c52-9b1e-000000000001",
            "tables": [{"table": "cpu", "append": [{"path": "data/0198a3f0.parquet", "format": "parquet", "mode": "adopt"}]}],
        })
    ),
    responses(
        (status = 200, description = "committed, or committed before", body = Object,
            example = json!({"txn": 12, "committed_at": "2026-01-01T00:00:00.000000Z", "replayed": false,
                "tables": [{"table": "default.cpu", "table_seq": 3, "files": [{"file_id": 40, "path": "data/0198a3f0.parquet"}]}]})),
        (status = 400, description = "a file whose columns are not the table's, an unknown file, or a bad body"),
        (status = 403, description = "no right on a table, or a path outside of its location"),
        (status = 404, description = "no such table"), (status = 409, description = "a conflict: read again and retry"),
    )
)]
pub(super) async fn create(State(app): State<App>, call: Call, body: Body) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["db", "database", "u", "p"])?;
    let bytes = body::read(body, BODY_MAX, "commit_body_max").await?;
    let sent: Sent = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::bad_request(format!("Invalid request body: {error}")))?;
    if sent.message.as_ref().is_some_and(|message| message.len() > MESSAGE_MAX) {
        return Err(Problem::bad_request(format!("message is longer than {MESSAGE_MAX} bytes")));
    }
    let mut tables = Vec::with_capacity(sent.tables.len());
    for table in &sent.tables {
        tables.push(permitted(&app, &call, table).await?);
    }
    let services = app.services()?;
    let scope = &call.identity.scope;
    if let Some(known) = services.catalog.transaction_of(scope, sent.commit_id).await? {
        return answer(&app, &call, known.txn, true, &tables).await.map(Json);
    }
    let changes = match changes(&app, &call, &sent.tables, &tables).await {
        Ok(changes) => changes,
        // the first offer may have been committed meanwhile: then its files are the table's
        Err(problem) => match services.catalog.transaction_of(scope, sent.commit_id).await? {
            Some(known) => return answer(&app, &call, known.txn, true, &tables).await.map(Json),
            None => return Err(problem),
        },
    };
    let producer = |sent: &SentProducer| Producer {
        name: format!("client/{}/{}", call.identity.token.name, sent.name),
        epoch: Epoch(sent.epoch),
        fence: None,
        state: None,
        tables: None,
    };
    let commit = Commit {
        commit_id: sent.commit_id,
        scope: scope.clone(),
        producers: sent.producers.iter().map(producer).collect(),
        facts: Facts {
            operation: "commit".into(),
            caller: call.caller(),
            message: sent.message,
            ..Facts::default()
        },
        tables: changes,
        objects: Vec::new(),
    };
    let committed = services.catalog.apply(commit).await?;
    answer(&app, &call, committed.txn, committed.replayed, &tables).await.map(Json)
}

/// The transaction that a commit became.
#[utoipa::path(
    get, path = "/api/v1/commits/{id}", tag = "tables", params(("id" = String, Path, description = "commit_id")),
    responses(
        (status = 200, description = "txn and committed_at"),
        (status = 404, description = "not committed so far: sending it again is safe"),
    )
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.require_somewhere(Privilege::Use)?;
    let commit = id.parse().map_err(|_| Problem::bad_request(format!("commit id {id:?} is no UUID")))?;
    match app.services()?.catalog.transaction_of(&call.identity.scope, commit).await? {
        Some(known) => Ok(Json(json!({"txn": known.txn.0, "committed_at": known.committed.rfc3339()}))),
        None => Err(Problem::not_found(format!("commit {id} is not there so far")).with("sqlstate", "42704")),
    }
}

/// The table, if the caller may do with it what it sent.
async fn permitted(app: &App, call: &Call, sent: &SentTable) -> Result<Arc<TableDef>, Problem> {
    let removes = !sent.retire.is_empty() || !sent.delete_rows.is_empty();
    let table = match removes {
        true => find(app, call, &sent.table, Privilege::Delete).await?,
        false => find(app, call, &sent.table, Privilege::Insert).await?,
    };
    if removes && !sent.append.is_empty() {
        find(app, call, &sent.table, Privilege::Insert).await?;
    }
    Ok(table)
}

async fn changes(
    app: &App,
    call: &Call,
    sent: &[SentTable],
    tables: &[Arc<TableDef>],
) -> Result<Vec<TableChange>, Problem> {
    let head = app.services()?.catalog.head(&call.identity.scope).await?.txn;
    let mut changes = Vec::with_capacity(tables.len());
    for (sent, table) in sent.iter().zip(tables) {
        changes.push(change(app, call, sent, table, sent.base.map_or(head, Txn)).await?);
    }
    Ok(changes)
}

async fn change(
    app: &App,
    call: &Call,
    sent: &SentTable,
    table: &Arc<TableDef>,
    base: Txn,
) -> Result<TableChange, Problem> {
    let services = app.services()?;
    let mut ops = Vec::new();
    if !sent.append.is_empty() {
        let paths = sent.append.iter().map(adopted).collect::<Result<Vec<_>, Problem>>()?;
        let adopted = services.lake.adopt(&call.identity.scope, table, &paths).await;
        ops.push(Op::Append { files: adopted.map_err(|error| Problem::of(&error))? });
    }
    if !sent.retire.is_empty() {
        let files = sent.retire.iter().copied().map(FileId).collect();
        ops.push(Op::Retire { files, kind: RetireKind::Delete });
    }
    if !sent.delete_rows.is_empty() {
        let files = services.catalog.files(&call.identity.scope, table, base, None).await?;
        let files: HashMap<FileId, &Arc<DataFile>> = files.iter().map(|file| (file.id, file)).collect();
        for rows in &sent.delete_rows {
            ops.push(delete_rows(rows, &files, table)?);
        }
    }
    Ok(TableChange { table: table.id, base, read: ReadSet::None, ops })
}

fn adopted(file: &SentFile) -> Result<String, Problem> {
    match (file.format.as_str(), file.mode.as_str()) {
        ("parquet", "adopt") => Ok(file.path.clone()),
        ("parquet", "copy") => Err(Problem::not_built("mode copy of a commit's files")),
        ("parquet", mode) => {
            Err(Problem::bad_request(format!("mode {mode:?} of {:?}: expected adopt", file.path)))
        }
        (format, _) => Err(Problem::not_built(&format!("format {format} of a commit's files"))),
    }
}

fn delete_rows(
    sent: &SentRows,
    files: &HashMap<FileId, &Arc<DataFile>>,
    table: &TableDef,
) -> Result<Op, Problem> {
    let refuse = |reason: String| Err(Problem::bad_request(reason).with("sqlstate", "22023"));
    let Some(file) = files.get(&FileId(sent.file_id)) else {
        return refuse(format!("table {} has no file {} at its base", table.full_name(), sent.file_id));
    };
    if let Some(position) = sent.positions.iter().find(|position| **position >= file.file.rows) {
        return refuse(format!("file {} has {} rows, got position {position}", sent.file_id, file.file.rows));
    }
    Ok(Op::DeleteRows {
        file: file.id,
        seen: file.vector.as_ref().map(|visible| visible.begin_txn),
        positions: sent.positions.iter().copied().collect(),
        kind: RowChange::Delete,
    })
}

/// What a commit did to its tables; files that a later purge forgot are left out.
async fn answer(
    app: &App,
    call: &Call,
    txn: Txn,
    replayed: bool,
    tables: &[Arc<TableDef>],
) -> Result<Value, Problem> {
    let (catalog, scope) = (&app.services()?.catalog, &call.identity.scope);
    let before = Txn(txn.0.saturating_sub(1));
    let (mut told, mut committed) = (Vec::with_capacity(tables.len()), None);
    for table in tables {
        let Some(commit) = catalog.table_commits(scope, table, (before, txn), 1).await?.pop() else {
            continue;
        };
        let deltas = match catalog.changes(scope, table, before, txn).await {
            Ok(changes) => changes.deltas,
            Err(cenote_catalog::Error::ChangesExpired { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let files = deltas.iter().flat_map(|delta| &delta.files);
        let files = files.filter(|file| matches!(file.change, FileChange::Added { .. }));
        let files: Vec<Value> =
            files.map(|file| json!({"file_id": file.file.id.0, "path": file.file.file.path})).collect();
        committed = Some(commit.committed);
        told.push(json!({"table": table.full_name(), "table_seq": commit.seq, "files": files}));
    }
    let committed_at = committed.map(|at| at.rfc3339());
    Ok(json!({"txn": txn.0, "committed_at": committed_at, "replayed": replayed, "tables": told}))
}
