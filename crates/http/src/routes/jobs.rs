//! The node's jobs: look, run, hold and let go.

use axum::Json;
use axum::extract::{Path, State};
use cenote_catalog::{Job, Object, Privilege, authorize};
use cenote_vocab::{Micros, nearest};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// The jobs that the caller may know of, by name; their runs are `system.flow.runs`.
#[utoipa::path(
    get, path = "/api/v1/jobs", tag = "jobs",
    responses((status = 200, description = "`data`", body = Object))
)]
pub(super) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.require_somewhere(Privilege::Use)?;
    call.parameters.only(&["u", "p"])?;
    let mut jobs = app.services()?.catalog.jobs(&call.identity.scope).await?;
    jobs.retain(|job| knows(&call, job));
    let data: Vec<Value> = jobs.iter().map(shown).collect();
    Ok(Json(json!({"data": data, "hasMore": false})))
}

/// One job.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "name or id")),
    responses((status = 200, description = "the job", body = Object), (status = 404, description = "no such job"))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    Ok(Json(shown(&find(&app, &call, &id).await?)))
}

/// Runs a job now and answers what it did, or with `dry_run` what it would do.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/run", tag = "jobs",
    params(("id" = String, Path, description = "name or id"), ("dry_run" = Option<bool>, Query)),
    responses(
        (status = 200, description = "one entry per partition, or per reason", body = Object),
        (status = 404, description = "no such job"), (status = 409, description = "its last run is open"),
    )
)]
pub(super) async fn run(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["dry_run", "u", "p"])?;
    let dry_run = call.parameters.flag("dry_run")?.unwrap_or(false);
    let job = steered(&app, &call, &id, Privilege::Run).await?;
    let (scope, actor) = (&call.identity.scope, &call.identity.token.name);
    let outcomes = app.services()?.engine.run_job(scope, &job.name, actor, dry_run).await;
    let outcomes = outcomes.map_err(|error| Problem::of(&error))?;
    call.audit_done(&app, "run_job", format!("job {}", job.name)).await?;
    let data: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "table": outcome.table,
                "partition": outcome.partition,
                "action": outcome.action,
                "reason": outcome.reason,
                "filesIn": outcome.files_in,
                "bytesIn": outcome.bytes_in,
                "filesOut": outcome.files_out,
                "bytesOut": outcome.bytes_out,
                "txn": outcome.txn.map(|txn| txn.0),
            })
        })
        .collect();
    Ok(Json(json!({"job": job.name, "dryRun": dry_run, "data": data})))
}

/// Lets a job go on that was held.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/enable", tag = "jobs",
    params(("id" = String, Path, description = "name or id")),
    responses((status = 200, description = "the job", body = Object), (status = 404, description = "no such job"))
)]
pub(super) async fn enable(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    set_paused(&app, &call, &id, false).await
}

/// Holds a job still: it starts nothing by itself.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/disable", tag = "jobs",
    params(("id" = String, Path, description = "name or id")),
    responses((status = 200, description = "the job", body = Object), (status = 404, description = "no such job"))
)]
pub(super) async fn disable(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    set_paused(&app, &call, &id, true).await
}

async fn set_paused(app: &App, call: &Call, id: &str, paused: bool) -> Result<Json<Value>, Problem> {
    let job = steered(app, call, id, Privilege::Manage).await?;
    let catalog = &app.services()?.catalog;
    let job = catalog.set_job_paused(&call.identity.scope, &job.name, paused).await?;
    let operation = if paused { "pause_job" } else { "resume_job" };
    call.audit_done(app, operation, format!("job {}", job.name)).await?;
    Ok(Json(shown(&job)))
}

/// By id, else by name; one that the caller may not know does not exist.
async fn find(app: &App, call: &Call, id: &str) -> Result<Job, Problem> {
    let mut jobs = app.services()?.catalog.jobs(&call.identity.scope).await?;
    jobs.retain(|job| knows(call, job));
    match jobs.iter().position(|job| job.id.to_string() == id || job.name == id) {
        Some(at) => Ok(jobs.swap_remove(at)),
        None => {
            let near = nearest(id, jobs.iter().map(|job| job.name.as_str())).map(str::to_owned);
            Err(cenote_catalog::Error::JobNotFound { name: id.to_owned(), nearest: near }.into())
        }
    }
}

async fn steered(app: &App, call: &Call, id: &str, privilege: Privilege) -> Result<Job, Problem> {
    let job = find(app, call, id).await?;
    let object = Object::Job(&job.name);
    if !authorize(&call.identity, privilege, object) {
        return Err(Problem::denied(privilege, object));
    }
    Ok(job)
}

/// Who may read all metadata knows all jobs, others those that they were granted.
pub(super) fn knows(call: &Call, job: &Job) -> bool {
    call.identity.allows_everywhere(Privilege::ReadMetadata)
        || authorize(&call.identity, Privilege::Use, Object::Job(&job.name))
}

fn shown(job: &Job) -> Value {
    json!({
        "id": job.id.to_string(),
        "name": job.name,
        "enabled": !job.paused,
        "failures": job.failures,
        "checkedAt": job.checked.map(Micros::rfc3339),
        "nextAt": job.next.map(Micros::rfc3339),
        "version": job.version,
    })
}
