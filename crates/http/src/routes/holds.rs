//! Holds: who reads a table's changes from outside keeps what it has not read yet, for a while at a time.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use cenote_catalog::{Hold, Privilege};
use cenote_vocab::Txn;
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::flow::keyed::takes_no_key;
use super::tables::find;
use crate::app::App;
use crate::body;
use crate::call::Call;
use crate::problem::Problem;

/// Bytes of a hold's body (`hold_body_max`).
const BODY_MAX: u64 = 64 << 10;
/// Longest life of a hold that is not renewed, in seconds.
const TTL_MAX: u64 = 7 * 24 * 3600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    table: Option<String>,
    txn: i64,
    ttl: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Renewed {
    #[serde(default)]
    txn: Option<i64>,
    ttl: u64,
}

/// Keeps everything of a table (of all tables without `table`) from a transaction on, for `ttl` seconds, a week at most.
#[utoipa::path(
    post, path = "/api/v1/holds", tag = "tables",
    request_body(
        content = Object, content_type = "application/json", example = json!({"table": "cpu", "txn": 4711, "ttl": 3600})
    ),
    responses(
        (status = 201, description = "made", body = Object,
            example = json!({"hold_id": "0198a3f0-7d1c-7c52-9b1e-000000000001", "txn": 4711, "expires_at": "2026-01-01T01:00:00.000000Z"})),
        (status = 400, description = "a bad body, or a transaction that is not there yet"),
        (status = 404, description = "no such table"), (status = 410, description = "a transaction that is no longer kept"),
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    takes_no_key(&call, "holds")?;
    call.parameters.only(&["db", "database", "u", "p"])?;
    let wanted: Wanted = sent(body).await?;
    let table = match &wanted.table {
        Some(table) => Some(find(&app, &call, table, Privilege::Select).await?.id),
        None => {
            call.require(Privilege::ReadMetadata)?;
            None
        }
    };
    let (catalog, scope) = (&app.services()?.catalog, &call.identity.scope);
    let hold =
        catalog.hold(scope, table, Txn(wanted.txn), &call.identity.token.name, ttl(wanted.ttl)?).await?;
    Ok((StatusCode::CREATED, Json(told(&hold))))
}

/// Lets a hold live on for `ttl` seconds, and moves it forward to `txn` if that is given.
#[utoipa::path(
    post, path = "/api/v1/holds/{id}", tag = "tables", params(("id" = String, Path)),
    request_body(content = Object, content_type = "application/json", example = json!({"txn": 4800, "ttl": 3600})),
    responses(
        (status = 200, description = "renewed"), (status = 404, description = "no such hold, or it has expired"),
    )
)]
pub(super) async fn renew(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
    body: Body,
) -> Result<Json<Value>, Problem> {
    takes_no_key(&call, "holds")?;
    let renewed: Renewed = sent(body).await?;
    let id = own(&app, &call, &id).await?;
    let (catalog, scope) = (&app.services()?.catalog, &call.identity.scope);
    let hold = catalog.renew_hold(scope, id, renewed.txn.map(Txn), ttl(renewed.ttl)?).await?;
    Ok(Json(told(&hold)))
}

/// Ends a hold.
#[utoipa::path(
    delete, path = "/api/v1/holds/{id}", tag = "tables", params(("id" = String, Path)),
    responses((status = 204, description = "ended"), (status = 404, description = "no such hold, or it has expired"))
)]
pub(super) async fn release(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<StatusCode, Problem> {
    takes_no_key(&call, "holds")?;
    let id = own(&app, &call, &id).await?;
    app.services()?.catalog.release_hold(&call.identity.scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The id of a hold that the caller made; an admin may end anybody's. Tags are no holds.
async fn own(app: &App, call: &Call, id: &str) -> Result<Uuid, Problem> {
    call.require_somewhere(Privilege::Select)?;
    let wanted: Uuid = id.parse().map_err(|_| Problem::bad_request(format!("hold id {id:?} is no UUID")))?;
    let holds = app.services()?.catalog.holds(&call.identity.scope).await?;
    let admin = call.identity.allows_everywhere(Privilege::Manage);
    let own = |hold: &&Hold| {
        hold.id == wanted && hold.name.is_none() && (admin || hold.holder == call.identity.token.name)
    };
    match holds.iter().find(own) {
        Some(hold) => Ok(hold.id),
        None => Err(cenote_catalog::Error::HoldNotFound(wanted).into()),
    }
}

async fn sent<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let bytes = body::read(body, BODY_MAX, "hold_body_max").await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::bad_request(format!("Invalid request body: {error}")))
}

fn ttl(seconds: u64) -> Result<Duration, Problem> {
    if (1..=TTL_MAX).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(Problem::bad_request(format!("ttl must be 1 to {TTL_MAX} seconds, got {seconds}"))
        .with("sqlstate", "22023"))
}

fn told(hold: &Hold) -> Value {
    json!({"hold_id": hold.id, "txn": hold.txn.0, "expires_at": hold.expires.map(|at| at.rfc3339())})
}
