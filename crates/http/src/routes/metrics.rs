//! Metrics for scrapers, and as JSON for Arc's dashboards.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cenote_catalog::Privilege;
use http::header;

use crate::app::App;
use crate::call::Call;
use crate::exposition::{self, OPEN_METRICS, TEXT};
use crate::problem::Problem;

/// Metrics, of the whole node for operators, of its own pipelines for an admin: Prometheus text, OpenMetrics by `Accept`, JSON if `Accept` is exactly application/json.
#[utoipa::path(
    get, path = "/metrics", tag = "node",
    responses((status = 200, description = "Prometheus text 0.0.4", content_type = "text/plain"))
)]
pub(super) async fn metrics(State(app): State<App>, call: Call) -> Result<Response, Problem> {
    require(&call)?;
    match call.header("accept").unwrap_or("") {
        "application/json" => as_json(&app, &call),
        accept if accept.contains("application/openmetrics-text") => {
            as_text(&app, &call, OPEN_METRICS, exposition::open_metrics)
        }
        _ => as_text(&app, &call, TEXT, exposition::text),
    }
}

/// Metrics, of the whole node for operators, of its own pipelines for an admin, as flat JSON; Prometheus text if `Accept` asks for text.
#[utoipa::path(
    get, path = "/api/v1/metrics", tag = "node",
    responses((status = 200, description = "one number per metric", body = Object))
)]
pub(super) async fn metrics_json(State(app): State<App>, call: Call) -> Result<Response, Problem> {
    require(&call)?;
    if call.header("accept").is_some_and(|accept| accept.contains("text/plain")) {
        return as_text(&app, &call, TEXT, exposition::text);
    }
    as_json(&app, &call)
}

/// Who operates the deployment sees all, who manages a tenant what is said of its pipelines.
fn require(call: &Call) -> Result<(), Problem> {
    if call.identity.operates() { Ok(()) } else { call.require(Privilege::Manage) }
}

type Encode = fn(&prometheus_client::registry::Registry, Option<&str>) -> Result<String, std::fmt::Error>;

/// Whose samples are shown; `None`: everybody's, and the node's.
fn shown(call: &Call) -> Option<&str> {
    Some(call.identity.scope.tenant()).filter(|_| !call.identity.operates())
}

fn as_text(app: &App, call: &Call, media_type: &'static str, encode: Encode) -> Result<Response, Problem> {
    let text = encode(&app.http.registry.lock(), shown(call)).map_err(|_| unencodable())?;
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

fn as_json(app: &App, call: &Call) -> Result<Response, Problem> {
    let json = exposition::json(&app.http.registry.lock(), shown(call)).map_err(|_| unencodable())?;
    Ok(Json(json).into_response())
}

fn unencodable() -> Problem {
    Problem::internal("metrics: a metric could not be encoded")
}
