//! Runs of assets: planned, begun, listed, looked into.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use cenote_catalog::{MaterializeRequest, Planned, RunFilter, Wanted};
use cenote_query::plan_id;
use cenote_vocab::{ErrorKind, Fault as _, Micros};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::sent::sent;
use super::{failed, key_of_request, records, session, shape, takes_nothing};
use crate::app::App;
use crate::call::Call;
use crate::parameters::instant;
use crate::problem::Problem;
use crate::routes::page::{self, one_of};

/// Tasks that a run is shown with; the others are on their own path.
const TASKS_MAX: usize = 200;
/// States of runs.
const STATES: [&str; 8] =
    ["PENDING", "RUNNING", "PAUSED", "CANCELLING", "SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"];
/// What runs are of.
const KINDS: [&str; 4] = ["asset", "job", "pipeline", "query"];
/// What begins runs of assets.
const TRIGGERS: [&str; 3] = ["person", "schedule", "eager"];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRun {
    selection: Vec<String>,
    #[serde(default)]
    include_upstream: bool,
    #[serde(default)]
    include_downstream: bool,
    #[serde(default)]
    partition_key: Option<String>,
    #[serde(default)]
    partition_keys: Option<Vec<String>>,
    #[serde(default)]
    partition_range: Option<Range>,
    #[serde(default)]
    partition_status: Option<Status>,
    #[serde(default)]
    chunk: Option<u64>,
    #[serde(default)]
    concurrency: Option<u32>,
    #[serde(default)]
    run_key: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    priority: Option<i32>,
    #[serde(default)]
    logical_time: Option<String>,
    #[serde(default)]
    timeout_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    start: String,
    end: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Missing,
    Stale,
    Failed,
}

impl NewRun {
    fn partitions(&mut self) -> Result<Wanted, Problem> {
        let (key, keys) = (self.partition_key.take(), self.partition_keys.take());
        let mut wanted = Vec::new();
        wanted.extend(key.map(|key| Wanted::Keys(vec![key])));
        wanted.extend(keys.map(Wanted::Keys));
        wanted.extend(self.partition_range.take().map(|range| Wanted::Range(range.start, range.end)));
        wanted.extend(self.partition_status.map(|status| match status {
            Status::Missing => Wanted::Missing,
            Status::Stale => Wanted::Stale,
            Status::Failed => Wanted::Failed,
        }));
        match wanted.len() {
            0 => Ok(Wanted::Nothing),
            1 => Ok(wanted.remove(0)),
            _ => Err(Problem::bad_request(
                "partitions are said once: partitionKey, partitionKeys, partitionRange or partitionStatus",
            )),
        }
    }

    fn request(mut self, call: &Call, dry_run: bool) -> Result<(Vec<String>, MaterializeRequest), Problem> {
        let request = MaterializeRequest {
            upstream: self.include_upstream,
            downstream: self.include_downstream,
            wanted: self.partitions()?,
            chunk: self.chunk,
            concurrency: self.concurrency,
            timeout: self.timeout_seconds.map(Duration::from_secs),
            labels: self.labels,
            priority: self.priority,
            logical: self.logical_time.as_deref().map(|text| instant("logicalTime", text)).transpose()?,
            dry_run,
            key: match self.run_key {
                Some(key) => Some(key),
                None => key_of_request(call)?,
            },
            ..MaterializeRequest::default()
        };
        if request.priority.is_some_and(|priority| !(-1_000..=1_000).contains(&priority)) {
            return Err(Problem::bad_request("priority is a number from -1000 to 1000"));
        }
        Ok((self.selection, request))
    }
}

/// Plans a run of assets and begins it; with `dry_run` only says what it would be.
#[utoipa::path(
    post, path = "/api/v1/runs", tag = "flow",
    params(
        ("dry_run" = Option<bool>, Query), ("database" = Option<String>, Query),
        ("Idempotency-Key" = Option<String>, Header, description = "as runKey, if there is none"),
    ),
    request_body(content = Object, content_type = "application/json",
        example = json!({"selection": ["mart.daily"], "partitionRange": {"start": "day=2026-01-01", "end": "day=2026-01-31"},
            "chunk": 10, "runKey": "january", "labels": {"team": "mart"}})),
    responses(
        (status = 201, description = "begun", body = Object),
        (status = 200, description = "the run of this runKey, or with dry_run the plan", body = Object),
        (status = 400, description = "no such plan"), (status = 404, description = "no such asset"),
        (status = 409, description = "run_key_conflict: the key is taken by a run that was asked for otherwise"),
    )
)]
pub(in crate::routes) async fn create(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    call.parameters.only(&["dry_run", "db", "database", "u", "p"])?;
    let dry_run = call.parameters.flag("dry_run")?.unwrap_or(false);
    let new: NewRun = sent(body).await?;
    let (selection, request) = new.request(&call, dry_run)?;
    let session = session(&app, &call).await?;
    let planned = session.materialize(&selection, request).await.map_err(failed)?;
    begun(&app, &call, &planned).await
}

/// What is told of a run that was planned, or begun.
pub(super) async fn begun(
    app: &App,
    call: &Call,
    planned: &Planned,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let plan = plan_id(&planned.fingerprint);
    let Some(id) = planned.run else {
        let tasks: Vec<Value> =
            planned.tasks.iter().map(|(key, reason)| json!({"taskKey": key, "reason": reason})).collect();
        let told =
            json!({"planId": plan, "fingerprint": planned.fingerprint, "created": false, "tasks": tasks});
        return Ok((StatusCode::OK, Json(told)));
    };
    let run = app.services()?.catalog.asset_run(&call.identity.scope, id).await?;
    let status = if planned.created { StatusCode::CREATED } else { StatusCode::OK };
    let told = json!({
        "runId": id.to_string(),
        "planId": run.fingerprint.as_deref().map_or(plan, plan_id),
        "state": run.state,
        "created": planned.created,
        "createdAt": run.created.rfc3339(),
    });
    Ok((status, Json(told)))
}

/// Runs of one kind, newest first.
#[utoipa::path(
    get, path = "/api/v1/runs", tag = "flow",
    params(
        ("state" = Option<String>, Query),
        ("kind" = Option<String>, Query, description = "asset (without it), job, pipeline, query"),
        ("asset" = Option<String>, Query, description = "schema.name"),
        ("trigger" = Option<String>, Query, description = "person, schedule, eager; of other kinds commit, start"),
        ("since" = Option<String>, Query), ("until" = Option<String>, Query),
        ("limit" = Option<u64>, Query, description = "50 without it, 200 at most"), ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, description = "`data` and `nextCursor`", body = Object))
)]
pub(in crate::routes) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    const KNOWN: [&str; 12] = [
        "state", "kind", "asset", "trigger", "since", "until", "limit", "cursor", "db", "database", "u", "p",
    ];
    call.parameters.only(&KNOWN)?;
    let kind = one_of(&call, "kind", &KINDS)?;
    let asset = call.parameters.first(&["asset"]).map(str::to_owned);
    if let Some(kind) = kind.filter(|kind| kind != "asset") {
        if asset.is_some() {
            return Err(Problem::bad_request(format!("a run of kind {kind} has no asset")));
        }
        return records::listed(&app, &call, &kind, None).await.map(Json);
    }
    listed(&app, &call, asset.as_deref()).await
}

/// The runs that the parameters ask for.
pub(super) async fn listed(app: &App, call: &Call, asset: Option<&str>) -> Result<Json<Value>, Problem> {
    let time = |name: &str| call.parameters.first(&[name]).map(|text| instant(name, text)).transpose();
    let limit = page::limit(call)?;
    let wanted = RunFilter {
        state: one_of(call, "state", &STATES)?,
        cause: one_of(call, "trigger", &TRIGGERS)?,
        since: time("since")?,
        until: time("until")?,
        after: page::after::<(i64, Uuid)>(call)?.map(|(created, id)| (Micros(created), id)),
        limit: u32::try_from(limit + 1).unwrap_or(u32::MAX),
        ..RunFilter::default()
    };
    let session = session(app, call).await?;
    let mut runs = session.runs(asset, wanted).await.map_err(failed)?;
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = runs.last().filter(|_| more);
    let next = next.map(|(run, _)| page::behind(&(run.created.0, run.id))).transpose()?;
    let data: Vec<Value> = runs
        .iter()
        .map(|(run, stored)| {
            let mut shown = shape::run(run);
            let counts = shape::counts(stored);
            shown["taskCount"] = counts["total"].clone();
            shown["tasksSucceeded"] = counts["succeeded"].clone();
            shown["tasksFailed"] = counts["failed"].clone();
            shown
        })
        .collect();
    Ok(Json(json!({"data": data, "nextCursor": next})))
}

/// A run; of assets, with the first 200 of its tasks.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}", tag = "flow", params(("id" = String, Path)),
    responses((status = 200, description = "the run", body = Object), (status = 404, description = "no such run"))
)]
pub(in crate::routes) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    takes_nothing(&call)?;
    shown(&app, &call, &id).await
}

pub(super) async fn shown(app: &App, call: &Call, id: &str) -> Result<Json<Value>, Problem> {
    let session = session(app, call).await?;
    let run = match session.run(id).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return session.run_record(id).await.map(|run| Json(records::shown(&run))).map_err(failed);
        }
        run => run.map_err(failed)?,
    };
    let mut stored: BTreeMap<String, i64> = BTreeMap::new();
    for task in &run.tasks {
        *stored.entry(task.state.clone()).or_default() += 1;
    }
    let mut shown = shape::run(&run);
    shown["taskCounts"] = shape::counts(&stored);
    shown["tasks"] = run.tasks.iter().take(TASKS_MAX).map(shape::task).collect();
    Ok(Json(shown))
}

/// The tasks of a run, by key.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/tasks", tag = "flow",
    params(
        ("id" = String, Path), ("state" = Option<String>, Query),
        ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query),
    ),
    responses(
        (status = 200, description = "`data` and `nextCursor`", body = Object),
        (status = 404, description = "no such run"),
    )
)]
pub(in crate::routes) async fn tasks(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["state", "limit", "cursor", "db", "database", "u", "p"])?;
    let state = one_of(&call, "state", &shape::TASK_STATES)?;
    let mut run = session(&app, &call).await?.run(&id).await.map_err(failed)?;
    if let Some(state) = state {
        run.tasks.retain(|task| shape::task_state(&task.state) == state);
    }
    let (tasks, next) = page::part(&call, run.tasks, |task| task.key.clone())?;
    let data: Vec<Value> = tasks.iter().map(shape::task).collect();
    Ok(Json(json!({"data": data, "nextCursor": next})))
}

/// What began a run, in what its plan differs from that of the run before, why each of its tasks is as it is, and what it read.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/explain", tag = "flow", params(("id" = String, Path)),
    responses((status = 200, description = "why", body = Object), (status = 404, description = "no such run"))
)]
pub(in crate::routes) async fn explain(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    takes_nothing(&call)?;
    let session = session(&app, &call).await?;
    let why = session.explain_run(&id).await.map_err(failed)?;
    let record = session.run_record(&id).await.map_err(failed)?;
    if record.kind != "asset" {
        return Ok(Json(records::explained(&record, &why)));
    }
    let run = session.run(&id).await.map_err(failed)?;
    let tasks = run.tasks.iter().map(|task| {
        let mut shown = shape::task(task);
        shown["inputs"] = why.inputs.get(&task.key).into_iter().flatten().map(shape::input).collect();
        shown["retries"] = why.retries.get(&task.key).into_iter().flatten().map(shape::retry).collect();
        shown
    });
    Ok(Json(json!({
        "runId": run.id.to_string(),
        "state": run.state,
        "because": why.because.iter().map(shape::because).collect::<Vec<_>>(),
        "plan": shape::plan(&run, &why),
        "tasks": tasks.collect::<Vec<_>>(),
        "steps": shape::steps(&why.steps),
    })))
}
