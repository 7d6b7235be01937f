//! Runs that go on: cancelled, held, let go on, repeated.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::runs::{begun, shown};
use super::sent::sent;
use super::{failed, key_of_request, session, takes_nothing};
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
    session(&app, &call).await?.pause_run(&id, false).await.map_err(failed)?;
    shown(&app, &call, &id).await
}

/// Begins a run of the tasks of another that did not succeed, on a snapshot of now.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/rerun", tag = "flow",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "the same key is the same run"),
    ),
    request_body(content = Object, content_type = "application/json", example = json!({"mode": "fromFailure"})),
    responses(
        (status = 201, description = "begun", body = Object), (status = 200, description = "the run of this key", body = Object),
        (status = 404, description = "no such run"),
        (status = 409, description = "it goes on, or has succeeded, or the key is taken by another run"), (status = 501, description = "subset, replay"),
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
    if asked.mode != Mode::FromFailure {
        return Err(Problem::not_built("repeating a run other than from its failure"));
    }
    let planned = session(&app, &call).await?.rerun(&id, key_of_request(&call)?).await.map_err(failed)?;
    begun(&app, &call, &planned).await
}
