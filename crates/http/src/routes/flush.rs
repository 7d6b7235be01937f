//! Flushes by hand, and the writers' health.

use axum::Json;
use axum::extract::State;
use cenote_catalog::Privilege;
use serde_json::{Value, json};

use crate::app::App;
use crate::call::Call;
use crate::database::selected;
use crate::problem::Problem;

/// Makes buffered rows part of a snapshot; answers after the commit.
#[utoipa::path(
    post, path = "/api/v1/write/flush", tag = "write",
    params(("measurement" = Option<String>, Query), ("database" = Option<String>, Query)),
    responses((status = 200, description = "committed, with its txn"), (status = 404, description = "no such measurement"))
)]
pub(super) async fn flush(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    flush_buffers(&app, &call).await
}

/// The same as `/api/v1/write/flush`.
#[utoipa::path(
    post, path = "/api/v1/write/line-protocol/flush", tag = "write",
    params(("measurement" = Option<String>, Query), ("database" = Option<String>, Query)),
    responses((status = 200, description = "committed, with its txn"))
)]
pub(super) async fn flush_lines(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    flush_buffers(&app, &call).await
}

async fn flush_buffers(app: &App, call: &Call) -> Result<Json<Value>, Problem> {
    call.require(Privilege::Manage)?;
    let services = app.services()?;
    let scope = &call.identity.scope;
    let Some(measurement) = call.parameters.first(&["measurement", "table"]) else {
        let txn = services.ingest.flush_all(scope).await?;
        return Ok(Json(json!({"status": "success", "message": "Flushed all buffers", "txn": txn})));
    };
    let database = selected(&call.headers, &call.parameters)?;
    let database =
        database.as_deref().or(call.identity.token.default_database.as_deref()).unwrap_or("default");
    let head = services.catalog.head(scope).await?;
    let names = services.catalog.names(scope, head.txn).await?;
    let txn = services.ingest.flush(scope, names.table(database, measurement)?).await?;
    let message = format!("Flushed buffer for measurement: {measurement}");
    Ok(Json(json!({"status": "success", "message": message, "txn": txn})))
}

/// Whether writes are taken.
#[utoipa::path(get, path = "/api/v1/write/health", tag = "write", responses((status = 200, description = "healthy")))]
pub(super) async fn health(State(app): State<App>, _call: Call) -> Result<Json<Value>, Problem> {
    writers(&app)
}

/// Whether writes are taken.
#[utoipa::path(
    get, path = "/api/v1/write/line-protocol/health", tag = "write",
    responses((status = 200, description = "healthy"))
)]
pub(super) async fn health_lines(State(app): State<App>, _call: Call) -> Result<Json<Value>, Problem> {
    writers(&app)
}

fn writers(app: &App) -> Result<Json<Value>, Problem> {
    match app.services()?.ingest.state() {
        cenote_ingest::State::Ready => {
            Ok(Json(json!({"status": "healthy", "service": "line_protocol_writer", "stats": {}})))
        }
        cenote_ingest::State::Replaying => Err(Problem::not_ready("recovering")),
        cenote_ingest::State::DiskFull => Err(cenote_ingest::Error::DiskFull.into()),
        cenote_ingest::State::Closed(reason) => Err(cenote_ingest::Error::LogClosed(reason).into()),
        cenote_ingest::State::Draining => Err(Problem::not_ready("draining")),
    }
}
