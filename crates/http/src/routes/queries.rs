//! The registry of statements: look, and cancel.

use axum::Json;
use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cenote_catalog::Privilege;
use cenote_query::{Engine, QueryRecord};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

const LIMIT_DEFAULT: u64 = 100;
const LIMIT_MAX: u64 = 1000;

/// Running statements and the last that ended; own ones, or all for an admin.
#[utoipa::path(
    get, path = "/api/v1/queries", tag = "query",
    params(
        ("state" = Option<String>, Query, description = "QUEUED, PLANNING, WAITING, RUNNING, FINISHED, FAILED or CANCELLED"),
        ("user" = Option<String>, Query), ("limit" = Option<u64>, Query, description = "1 to 1000, default 100"),
        ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, description = "newest first", body = Object))
)]
pub(super) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["state", "user", "limit", "cursor", "u", "p"])?;
    let limit = call.parameters.number("limit")?.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("limit must be 1 to {LIMIT_MAX}, got {limit}")));
    }
    let after = call.parameters.first(&["cursor"]).map(cursor_id).transpose()?;
    let state = call.parameters.first(&["state"]).map(str::to_uppercase);
    let user = call.parameters.first(&["user"]);
    let mut records = visible(&app.services()?.engine, &call);
    records.retain(|record| {
        state.as_ref().is_none_or(|state| record.state == *state)
            && user.is_none_or(|user| record.user == user)
    });
    // ids break ties, so that a cursor has one place
    records.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| b.id.cmp(&a.id)));
    let start = match &after {
        None => 0,
        Some(id) => records.iter().position(|record| record.id == *id).map_or(records.len(), |at| at + 1),
    };
    let end = records.len().min(start.saturating_add(usize::try_from(limit).unwrap_or(usize::MAX)));
    let page = &records[start.min(end)..end];
    let next = page.last().filter(|_| end < records.len()).map(|last| URL_SAFE_NO_PAD.encode(&last.id));
    let queries: Vec<Value> = page.iter().map(|record| Value::Object(entry(record))).collect();
    Ok(Json(json!({"success": true, "count": queries.len(), "queries": queries, "next_cursor": next})))
}

/// One statement.
#[utoipa::path(
    get, path = "/api/v1/queries/{id}", tag = "query", params(("id" = String, Path)),
    responses((status = 200, description = "flat, and again under `query`"), (status = 404, description = "no such query"))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    let record = find(&app.services()?.engine, &call, &id)?;
    let flat = entry(&record);
    let mut body = Map::from_iter([("success".to_owned(), json!(true)), ("query".to_owned(), json!(flat))]);
    body.extend(flat);
    Ok(Json(Value::Object(body)))
}

/// Cancels a statement that runs.
#[utoipa::path(
    delete, path = "/api/v1/queries/{id}", tag = "query", params(("id" = String, Path)),
    responses(
        (status = 200, description = "cancelled"), (status = 404, description = "no such query"),
        (status = 409, description = "ended already"),
    )
)]
pub(super) async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    let engine = &app.services()?.engine;
    let record = find(engine, &call, &id)?;
    let by = format!("cancelled by {}", call.identity.token.name);
    match engine.cancel(&call.identity.scope, &id, &by) {
        Some(true) => Ok(Json(json!({"success": true, "message": "Query cancelled"}))),
        Some(false) => Err(Problem::conflict(format!("Query already {}", status(record.state)))),
        None => Err(unknown(&id)),
    }
}

fn visible(engine: &Engine, call: &Call) -> Vec<QueryRecord> {
    let mut records = engine.queries(&call.identity.scope);
    if !call.identity.allows_everywhere(Privilege::Monitor) {
        records.retain(|record| record.user == call.identity.token.name);
    }
    records
}

fn find(engine: &Engine, call: &Call, id: &str) -> Result<QueryRecord, Problem> {
    visible(engine, call).into_iter().find(|record| record.id == id).ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("query {id:?} does not exist"))
}

fn cursor_id(cursor: &str) -> Result<String, Problem> {
    let id = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    id.ok_or_else(|| Problem::bad_request("cursor is not one that this path has given out"))
}

/// Arc's word for a state.
fn status(state: &str) -> &'static str {
    match state {
        "FINISHED" => "completed",
        "FAILED" => "failed",
        "CANCELLED" => "cancelled",
        _ => "running",
    }
}

fn entry(record: &QueryRecord) -> Map<String, Value> {
    let entry = json!({
        "id": record.id,
        "query_id": record.id,
        "state": record.state,
        "status": status(record.state),
        "sql": record.sql,
        "user": record.user,
        "token_name": record.user,
        "protocol": record.protocol,
        "start_time": record.started.rfc3339(),
        "duration_ms": record.duration_ms,
        "rows_returned": record.rows,
        "error": record.error,
    });
    match entry {
        Value::Object(entry) => entry,
        _ => Map::new(),
    }
}
