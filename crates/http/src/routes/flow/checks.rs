//! Checks of tables: listed, made, changed, dropped.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use cenote_catalog::Check;
use cenote_query::{Session, quote};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::assets::name_of;
use super::sent::sent;
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
) -> Result<(StatusCode, Json<Value>), Problem> {
    takes_nothing(&call)?;
    let new: New = sent(body).await?;
    let table = name_of(&new.table)?;
    let session = session(&app, &call).await?;
    let sql = statement("CREATE CHECK", &new.name, &table, (new.severity.as_deref(), &new.rule))?;
    execute(&session, &sql).await?;
    let checks = session.checks().await.map_err(failed)?;
    let made = checks.iter().find(|(check, name)| check.name == new.name && *name == table);
    let (check, table) = made.ok_or_else(|| missing(&new.name))?;
    Ok((StatusCode::CREATED, Json(shown(check, table))))
}

/// Gives a check another severity or rule.
#[utoipa::path(
    patch, path = "/api/v1/checks/{id}", tag = "flow", params(("id" = String, Path)),
    request_body(content = Object, content_type = "application/json", example = json!({"severity": "warning"})),
    responses((status = 200, description = "the check", body = Object), (status = 404, description = "no such check"))
)]
pub(in crate::routes) async fn change(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
    body: Body,
) -> Result<Json<Value>, Problem> {
    takes_nothing(&call)?;
    let change: Change = sent(body).await?;
    let session = session(&app, &call).await?;
    let (check, table) = find(&session, &id).await?;
    let severity = change.severity.as_deref().unwrap_or(check.severity.name());
    let rule = change.rule.as_deref().unwrap_or(&check.rule);
    let sql = statement("CREATE OR REPLACE CHECK", &check.name, &table, (Some(severity), rule))?;
    execute(&session, &sql).await?;
    let (check, table) = find(&session, &id).await?;
    Ok(Json(shown(&check, &table)))
}

/// Drops a check; what it said stays.
#[utoipa::path(
    delete, path = "/api/v1/checks/{id}", tag = "flow", params(("id" = String, Path)),
    responses((status = 204, description = "it is gone"), (status = 404, description = "no such check"))
)]
pub(in crate::routes) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<StatusCode, Problem> {
    takes_nothing(&call)?;
    let session = session(&app, &call).await?;
    let (check, table) = find(&session, &id).await?;
    let sql = format!("DROP CHECK {} ON {}", quote(&check.name), quoted(&table));
    execute(&session, &sql).await?;
    Ok(StatusCode::NO_CONTENT)
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
