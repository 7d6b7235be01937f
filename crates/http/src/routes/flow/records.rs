//! Runs that are none of assets: of jobs, of pipelines, of statements.

use cenote_catalog::{RunExplanation, RunFilter, RunRecord};
use cenote_vocab::Micros;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{failed, session, shape};
use crate::app::App;
use crate::call::Call;
use crate::parameters::instant;
use crate::problem::Problem;
use crate::routes::page::{self, one_of};

/// Their states: they begin to run at once.
const STATES: [&str; 4] = ["RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"];
/// What begins them.
const TRIGGERS: [&str; 4] = ["commit", "schedule", "person", "start"];

/// A page of runs of one kind, as the parameters ask for; of one job or pipeline, if it is named.
pub(in crate::routes) async fn listed(
    app: &App,
    call: &Call,
    kind: &str,
    object: Option<Uuid>,
) -> Result<Value, Problem> {
    let time = |name: &str| call.parameters.first(&[name]).map(|text| instant(name, text)).transpose();
    let limit = page::limit(call)?;
    let wanted = RunFilter {
        state: one_of(call, "state", &STATES)?,
        cause: one_of(call, "trigger", &TRIGGERS)?,
        since: time("since")?,
        until: time("until")?,
        after: page::after::<(i64, Uuid)>(call)?.map(|(began, id)| (Micros(began), id)),
        limit: u32::try_from(limit + 1).unwrap_or(u32::MAX),
        ..RunFilter::default()
    };
    let mut runs = match object {
        // The caller knows the job or the pipeline, and so its runs.
        Some(_) => app.services()?.catalog.runs(&call.identity.scope, (kind, object), &wanted).await?,
        None => session(app, call).await?.run_records(kind, object, &wanted).await.map_err(failed)?,
    };
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = runs.last().filter(|_| more);
    let next = next.map(|run| page::behind(&(run.started.0, run.id))).transpose()?;
    let data: Vec<Value> = runs.iter().map(shown).collect();
    Ok(json!({"data": data, "nextCursor": next}))
}

/// A run.
pub(in crate::routes) fn shown(run: &RunRecord) -> Value {
    let counts = &run.counts;
    json!({
        "runId": run.id.to_string(),
        "kind": run.kind,
        "workspaceId": "lake",
        "objectId": (!run.object.is_nil()).then(|| run.object.to_string()),
        "subject": run.subject,
        "state": run.state,
        "trigger": run.cause,
        "actor": run.actor,
        "reason": run.reason,
        "createdAt": run.started.rfc3339(),
        "startedAt": run.started.rfc3339(),
        "completedAt": run.completed.map(Micros::rfc3339),
        "filesIn": counts.files_in,
        "bytesIn": counts.bytes_in,
        "filesOut": counts.files_out,
        "bytesOut": counts.bytes_out,
        "outputTxn": counts.txn.map(|txn| txn.0),
        "errorMessage": run.error,
        "version": run.version,
    })
}

/// Why a run is as it is.
pub(super) fn explained(run: &RunRecord, why: &RunExplanation) -> Value {
    json!({
        "runId": run.id.to_string(),
        "state": run.state,
        "because": why.because.iter().map(shape::because).collect::<Vec<_>>(),
        "plan": null,
        "tasks": [],
        "steps": shape::steps(&why.steps),
    })
}
