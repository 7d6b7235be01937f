//! Runs that go on: cancelled, held, let go on, repeated.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use cenote_catalog::RerunSelection;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::keyed::takes_no_key;
use super::runs::{begun, shown};
use super::sent::sent;
use super::{failed, key_of_request, session, shape, takes_nothing};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rerun {
    #[serde(default)]
    mode: Mode,
    /// Of a subset: keys of its tasks, …
    #[serde(default)]
    tasks: Option<Vec<String>>,
    /// … and whether what they read, or what reads them, is run too.
    #[serde(default)]
    include_upstream: bool,
    #[serde(default)]
    include_downstream: bool,
    /// Of a replay: whether its rows are published.
    #[serde(default)]
    commit: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Mode {
    #[default]
    #[serde(rename = "fromFailure", alias = "from_failure")]
    FromFailure,
    #[serde(rename = "subset")]
    Subset,
    #[serde(rename = "replay")]
    Replay,
}

/// Ends a run: what has not begun does not begin, what runs ends early, what had committed stays.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/cancel", tag = "flow", params(("id" = String, Path)),
    request_body(content = Object, content_type = "application/json", example = json!({"reason": "the source is wrong"})),
    responses(
        (status = 200, description = "the run", body = Object), (status = 404, description = "no such run"),
        (status = 409, description = "it has ended"),
    )
)]
pub(in crate::routes) async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
    body: Body,
) -> Result<Json<Value>, Problem> {
    takes_nothing(&call)?;
    takes_no_key(&call, "steering a run")?;
    let asked: Cancel = sent(body).await?;
    session(&app, &call).await?.cancel_run(&id, asked.reason.as_deref()).await.map_err(failed)?;
    shown(&app, &call, &id).await
}

/// Lets no further task of a run begin; those that run end.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/pause", tag = "flow", params(("id" = String, Path)),
    responses(
        (status = 200, description = "the run", body = Object), (status = 404, description = "no such run"),
        (status = 409, description = "it has ended"),
    )
)]
pub(in crate::routes) async fn pause(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    takes_nothing(&call)?;
    takes_no_key(&call, "steering a run")?;
    session(&app, &call).await?.pause_run(&id, true).await.map_err(failed)?;
    shown(&app, &call, &id).await
}

/// Lets a run go on that was held.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/resume", tag = "flow", params(("id" = String, Path)),
    responses(
        (status = 200, description = "the run", body = Object), (status = 404, description = "no such run"),
        (status = 409, description = "it has ended"),
    )
)]
pub(in crate::routes) async fn resume(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    takes_nothing(&call)?;
    takes_no_key(&call, "steering a run")?;
    session(&app, &call).await?.pause_run(&id, false).await.map_err(failed)?;
    shown(&app, &call, &id).await
}

/// Begins a run of the tasks of another that did not succeed, or of a subset that is named, on a snapshot of now. A replay does what its tasks did, by the recipes
/// of then on what they read, and says whether the rows are the same; with `commit` they are published again, by a run.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/rerun", tag = "flow",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "the same key is the same run"),
    ),
    request_body(content = Object, content_type = "application/json", example = json!({"mode": "fromFailure"})),
    responses(
        (status = 201, description = "begun", body = Object),
        (status = 200, description = "the run of this key; of a replay what came of it", body = Object,
            example = json!({"runId": "019b…", "identical": false, "rows": 31, "differingRows": 2, "deterministic": true,
                "tasks": [{"taskKey": "mart/daily/_", "identical": false, "rows": 31, "differingRows": 2, "deterministic": true}]})),
        (status = 400, description = "commit of what is no replay, tasks of what is no subset, or tasks that the run does not have"),
        (status = 404, description = "no such run"),
        (status = 409, description = "it goes on, or has succeeded (or has not, of a replay), or the key is taken by another run; \
            snapshot_expired: what it read is gone"),
    )
)]
pub(in crate::routes) async fn rerun(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    takes_nothing(&call)?;
    let asked: Rerun = sent(body).await?;
    if asked.commit && asked.mode != Mode::Replay {
        return Err(Problem::bad_request("commit is said of a replay"));
    }
    if asked.mode != Mode::Subset
        && (asked.tasks.is_some() || asked.include_upstream || asked.include_downstream)
    {
        return Err(Problem::bad_request(
            "tasks, includeUpstream and includeDownstream are said of a subset",
        ));
    }
    let (session, key) = (session(&app, &call).await?, key_of_request(&call)?);
    let planned = match asked.mode {
        Mode::Subset => {
            let (upstream, downstream) = (asked.include_upstream, asked.include_downstream);
            let tasks = asked.tasks.unwrap_or_default();
            let selection = RerunSelection::Subset { tasks, upstream, downstream };
            session.rerun(&id, selection, key).await.map_err(failed)?
        }
        Mode::FromFailure => session.rerun(&id, RerunSelection::FromFailure, key).await.map_err(failed)?,
        Mode::Replay if asked.commit => session.replay_and_commit(&id, key).await.map_err(failed)?,
        Mode::Replay => {
            let tasks = session.replay(&id).await.map_err(failed)?;
            return Ok((StatusCode::OK, Json(shape::replay(&id, &tasks))));
        }
    };
    begun(&app, &call, &planned).await
}
