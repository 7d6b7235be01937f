//! The node's jobs: look, run, hold and let go, end early, ask why.

use axum::Json;
use axum::extract::{Path, State};
use cenote_catalog::{Job, Object, Privilege, authorize};
use cenote_vocab::{Micros, nearest};
use serde_json::{Value, json};

use super::flow::keyed::takes_no_key;
use super::flow::{records, shape};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// The jobs that the caller may know of, by name; their runs are in `executions`.
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
    takes_no_key(&call, "jobs")?;
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

/// Ends the open runs of a job early; what they committed stays. A job that is not held begins again when it is due.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path, description = "name or id")),
    responses(
        (status = 200, description = "the runs that are asked to end", body = Object),
        (status = 404, description = "no such job"), (status = 409, description = "no run is open"),
    )
)]
pub(super) async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["u", "p"])?;
    takes_no_key(&call, "jobs")?;
    let job = steered(&app, &call, &id, Privilege::Run).await?;
    let (scope, actor) = (&call.identity.scope, &call.identity.token.name);
    let cancelled = app.services()?.engine.cancel_job(scope, &job.name, actor).await;
    let cancelled = cancelled.map_err(|error| Problem::of(&error))?;
    if cancelled.is_empty() {
        return Err(Problem::conflict(format!("no run of job {} is open", job.name)));
    }
    call.audit_done(&app, "cancel_job", format!("job {}", job.name)).await?;
    let runs: Vec<String> = cancelled.iter().map(ToString::to_string).collect();
    Ok(Json(json!({"job": job.name, "runs": runs})))
}

/// The runs of a job, newest first.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/executions", tag = "jobs",
    params(
        ("id" = String, Path, description = "name or id"), ("state" = Option<String>, Query),
        ("trigger" = Option<String>, Query, description = "commit, schedule, person"),
        ("since" = Option<String>, Query), ("until" = Option<String>, Query),
        ("limit" = Option<u64>, Query, description = "50 without it, 200 at most"), ("cursor" = Option<String>, Query),
    ),
    responses(
        (status = 200, description = "`data` and `nextCursor`", body = Object),
        (status = 404, description = "no such job"),
    )
)]
pub(super) async fn executions(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["state", "trigger", "since", "until", "limit", "cursor", "u", "p"])?;
    let job = find(&app, &call, &id).await?;
    records::listed(&app, &call, "job", Some(job.id)).await.map(Json)
}

/// Why a job runs or does not: what it would do now, its open runs, the last one, when it is due next.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/explain", tag = "jobs", params(("id" = String, Path, description = "name or id")),
    responses((status = 200, description = "why", body = Object), (status = 404, description = "no such job"))
)]
pub(super) async fn explain(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["u", "p"])?;
    let job = find(&app, &call, &id).await?;
    let why = app.services()?.engine.explain_job(&call.identity.scope, &job.name).await;
    let why = why.map_err(|error| Problem::of(&error))?;
    Ok(Json(json!({
        "job": shown(&why.job),
        "state": why.state,
        "dueAt": why.due.map(Micros::rfc3339),
        "openRuns": why.open.iter().map(records::shown).collect::<Vec<_>>(),
        "lastRun": why.last.as_ref().map(records::shown),
        "steps": shape::steps(&why.steps),
    })))
}

async fn set_paused(app: &App, call: &Call, id: &str, paused: bool) -> Result<Json<Value>, Problem> {
    takes_no_key(call, "jobs")?;
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
