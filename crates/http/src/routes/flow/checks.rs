//! Checks of tables: listed, made, changed, dropped.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use cenote_catalog::{Check, CheckRecord};
use cenote_query::{Session, quote};
use cenote_vocab::Micros;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::assets::name_of;
use super::keyed::Keyed;
use super::sent::{read, understood};
use super::{execute, failed, quoted, session, takes_nothing};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::routes::page;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    table: String,
    #[serde(default)]
    severity: Option<String>,
    rule: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default)]
    severity: Option<String>,
    #[serde(default)]
    rule: Option<String>,
}

/// The checks of tables that the caller may know of.
#[utoipa::path(
    get, path = "/api/v1/checks", tag = "flow",
    params(
        ("table" = Option<String>, Query, description = "schema.name"),
        ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, description = "`data` and `nextCursor`", body = Object))
)]
pub(in crate::routes) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["table", "limit", "cursor", "db", "database", "u", "p"])?;
    let mut checks = session(&app, &call).await?.checks().await.map_err(failed)?;
    if let Some(table) = call.parameters.first(&["table"]) {
        let wanted = name_of(table)?;
        checks.retain(|(_, name)| *name == wanted);
    }
    let (part, next) = page::part(&call, checks, |(check, table)| (table.clone(), check.name.clone()))?;
    let data: Vec<Value> = part.iter().map(|(check, table)| shown(check, table)).collect();
    Ok(Json(json!({"data": data, "nextCursor": next})))
}

/// Makes a check of a table.
#[utoipa::path(
    post, path = "/api/v1/checks", tag = "flow",
    params(("Idempotency-Key" = Option<String>, Header, description = "make it once under this key")),
    request_body(content = Object, content_type = "application/json",
        example = json!({"name": "ids", "table": "mart.daily", "severity": "error", "rule": "UNIQUE (id)"})),
    responses(
        (status = 201, description = "the check", body = Object), (status = 400, description = "a rule that cannot be"),
        (status = 404, description = "no such table"), (status = 409, description = "the table has a check of this name"),
    )
)]
pub(in crate::routes) async fn create(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    takes_nothing(&call)?;
    let sent = read(body).await?;
    let new: New = understood(sent.clone())?;
    let table = name_of(&new.table)?;
    let sql = statement("CREATE CHECK", &new.name, &table, (new.severity.as_deref(), &new.rule))?;
    let told = (StatusCode::CREATED, json!({"name": new.name, "table": new.table}));
    let keyed = Keyed::of(&app, &call, ("POST /api/v1/checks", &sent), told)?;
    if let Some(known) = keyed.answered().await? {
        return Ok(known);
    }
    let session = keyed.session().await?;
    let done = async {
        execute(&session, &sql).await?;
        let checks = session.checks().await.map_err(failed)?;
        let made = checks.iter().find(|(check, name)| check.name == new.name && *name == table);
        let (check, table) = made.ok_or_else(|| missing(&new.name))?;
        Ok(shown(check, table))
    };
    keyed.end(done.await).await
}

/// Gives a check another severity or rule.
#[utoipa::path(
    patch, path = "/api/v1/checks/{id}", tag = "flow",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "change it once under this key"),
    ),
    request_body(content = Object, content_type = "application/json", example = json!({"severity": "warning"})),
    responses((status = 200, description = "the check", body = Object), (status = 404, description = "no such check"))
)]
pub(in crate::routes) async fn change(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    takes_nothing(&call)?;
    let sent = read(body).await?;
    let change: Change = understood(sent.clone())?;
    let (what, told) = (format!("PATCH /api/v1/checks/{id}"), (StatusCode::OK, json!({"checkId": id})));
    let keyed = Keyed::of(&app, &call, (&what, &sent), told)?;
    if let Some(known) = keyed.answered().await? {
        return Ok(known);
    }
    let session = keyed.session().await?;
    let done = async {
        let (check, table) = find(&session, &id).await?;
        let severity = change.severity.as_deref().unwrap_or(check.severity.name());
        let rule = change.rule.as_deref().unwrap_or(&check.rule);
        let sql = statement("CREATE OR REPLACE CHECK", &check.name, &table, (Some(severity), rule))?;
        execute(&session, &sql).await?;
        let (check, table) = find(&session, &id).await?;
        Ok(shown(&check, &table))
    };
    keyed.end(done.await).await
}

/// Drops a check; what it said stays.
#[utoipa::path(
    delete, path = "/api/v1/checks/{id}", tag = "flow",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "drop it once under this key"),
    ),
    responses((status = 204, description = "it is gone"), (status = 404, description = "no such check"))
)]
pub(in crate::routes) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    takes_nothing(&call)?;
    let (what, told) = (format!("DELETE /api/v1/checks/{id}"), (StatusCode::NO_CONTENT, Value::Null));
    let keyed = Keyed::of(&app, &call, (&what, &Value::Null), told)?;
    if let Some(known) = keyed.answered().await? {
        return Ok(known);
    }
    let session = keyed.session().await?;
    let done = async {
        let (check, table) = find(&session, &id).await?;
        let sql = format!("DROP CHECK {} ON {}", quote(&check.name), quoted(&table));
        execute(&session, &sql).await?;
        Ok(Value::Null)
    };
    keyed.end(done.await).await
}

/// What a check said, newest first.
#[utoipa::path(
    get, path = "/api/v1/checks/{id}/results", tag = "flow",
    params(("id" = String, Path), ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query)),
    responses(
        (status = 200, description = "`data` and `nextCursor`", body = Object,
            example = json!({"data": [{"runId": "019b…", "taskKey": "mart/daily/_", "at": "2026-01-01T06:00:01.000000Z",
                "txn": 41, "passed": false, "severity": "error", "value": "2", "message": "2 rows break UNIQUE (id)"}], "nextCursor": null})),
        (status = 403, description = "the caller may not read its table"), (status = 404, description = "no such check"),
    )
)]
pub(in crate::routes) async fn results(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["limit", "cursor", "db", "database", "u", "p"])?;
    let session = session(&app, &call).await?;
    let (check, _) = find(&session, &id).await?;
    let limit = page::limit(&call)?;
    let after = page::after::<(i64, Uuid)>(&call)?.map(|(at, attempt)| (Micros(at), attempt));
    let asked = (after, u32::try_from(limit + 1).unwrap_or(u32::MAX));
    let mut results = session.check_results(&check, asked).await.map_err(failed)?;
    let more = results.len() > limit;
    results.truncate(limit);
    let last = results.last().filter(|_| more);
    let next = last.map(|last| page::behind(&(last.at.0, last.attempt))).transpose()?;
    let data: Vec<Value> = results.iter().map(said).collect();
    Ok(Json(json!({"data": data, "nextCursor": next})))
}

async fn find(session: &Session, id: &str) -> Result<(Check, (String, String)), Problem> {
    let checks = session.checks().await.map_err(failed)?;
    checks.into_iter().find(|(check, _)| check.id.to_string() == id).ok_or_else(|| missing(id))
}

fn missing(name: &str) -> Problem {
    Problem::not_found(format!("check \"{name}\" does not exist")).with("sqlstate", "42704")
}

fn statement(
    verb: &str,
    name: &str,
    table: &(String, String),
    (severity, rule): (Option<&str>, &str),
) -> Result<String, Problem> {
    let severity = match severity {
        None => String::new(),
        Some(word) if word.chars().all(|letter| letter.is_ascii_alphabetic()) => format!(" SEVERITY {word}"),
        Some(word) => return Err(Problem::bad_request(format!("there is no severity {word:?}"))),
    };
    Ok(format!("{verb} {} ON {}{severity} AS {rule}", quote(name), quoted(table)))
}

fn said(record: &CheckRecord) -> Value {
    json!({
        "runId": record.run.to_string(),
        "taskKey": record.task,
        "at": record.at.rfc3339(),
        "txn": record.txn.0,
        "passed": record.passed,
        "severity": record.severity.name(),
        "value": record.value,
        "message": record.message,
    })
}

fn shown(check: &Check, (schema, name): &(String, String)) -> Value {
    json!({
        "checkId": check.id.to_string(),
        "name": check.name,
        "table": format!("{schema}.{name}"),
        "severity": check.severity.name(),
        "rule": check.rule,
        "createdAt": check.created.rfc3339(),
    })
}
