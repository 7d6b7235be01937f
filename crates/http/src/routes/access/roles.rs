//! Roles, and who has them.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use cenote_query::{AccessTable, quote};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Principal, rows, sent};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::routes::flow::{keyed, session, takes_nothing};
use crate::routes::page;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
}

/// Roles, built in or made: all for who manages the tenant, one's own for others.
#[utoipa::path(
    get, path = "/api/v1/roles", tag = "tokens",
    params(("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "`data` and `nextCursor`", body = Object,
        example = json!({"data": [{"name": "analysts", "isBuiltIn": false, "createdAt": "2026-01-01T00:00:00"}], "nextCursor": null})))
)]
pub(in crate::routes) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["limit", "cursor", "u", "p"])?;
    let roles = rows(&session(&app, &call).await?, AccessTable::Roles).await?;
    let (part, next) = page::part(&call, roles, |role| role["name"].as_str().unwrap_or_default().to_owned())?;
    let shown = |role: &Value| json!({"name": role["name"], "isBuiltIn": role["is_built_in"], "createdAt": role["created_at"]});
    Ok(Json(json!({"data": part.iter().map(shown).collect::<Vec<_>>(), "nextCursor": next})))
}

/// Makes a role.
#[utoipa::path(
    post, path = "/api/v1/roles", tag = "tokens",
    params(("Idempotency-Key" = Option<String>, Header, description = "make it once under this key")),
    request_body(content = Object, content_type = "application/json", example = json!({"name": "analysts"})),
    responses(
        (status = 201, description = "its name", body = Object), (status = 403, description = "it takes MANAGE on the catalog"),
        (status = 409, description = "there is one of this name"),
    )
)]
pub(in crate::routes) async fn create(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    takes_nothing(&call)?;
    let New { name } = sent(body).await?;
    let (sql, made) = (format!("CREATE ROLE {}", quote(&name)), json!({"name": name}));
    keyed::state(&app, &call, ("POST /api/v1/roles", &made), &sql, (StatusCode::CREATED, made.clone())).await
}

/// Takes a role away, with all that was granted to it.
#[utoipa::path(
    delete, path = "/api/v1/roles/{role}", tag = "tokens",
    params(("role" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "drop it once under this key")),
    responses((status = 204, description = "it is gone"), (status = 404, description = "no such role"))
)]
pub(in crate::routes) async fn delete(
    State(app): State<App>,
    Path(role): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    takes_nothing(&call)?;
    let sql = format!("DROP ROLE {}", quote(&role));
    let gone = (StatusCode::NO_CONTENT, Value::Null);
    keyed::state(&app, &call, ("DELETE /api/v1/roles", &json!(role)), &sql, gone).await
}

/// Who has a role, by itself; `claims`: by what the issuer of its bearer tokens says.
#[utoipa::path(
    get, path = "/api/v1/roles/{role}/members", tag = "tokens",
    params(("role" = String, Path), ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "`data` and `nextCursor`", body = Object,
        example = json!({"data": [{"kind": "token", "name": "ada"}], "nextCursor": null})))
)]
pub(in crate::routes) async fn members(
    State(app): State<App>,
    Path(role): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["limit", "cursor", "u", "p"])?;
    let mut members = rows(&session(&app, &call).await?, AccessTable::RoleMembers).await?;
    members.retain(|member| member["role"] == role.as_str());
    let text = |member: &Value, key: &str| member[key].as_str().unwrap_or_default().to_owned();
    let place = |member: &Value| (text(member, "member_kind"), text(member, "member"));
    let (part, next) = page::part(&call, members, place)?;
    let shown = |member: &Value| json!({"kind": member["member_kind"], "name": member["member"]});
    Ok(Json(json!({"data": part.iter().map(shown).collect::<Vec<_>>(), "nextCursor": next})))
}

/// Gives a role to a token, or to another role.
#[utoipa::path(
    post, path = "/api/v1/roles/{role}/members", tag = "tokens",
    params(("role" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "give it once under this key")),
    request_body(content = Object, content_type = "application/json", example = json!({"kind": "token", "name": "ada"})),
    responses((status = 201, description = "who has it now", body = Object), (status = 404, description = "no such role or token"))
)]
pub(in crate::routes) async fn add(
    State(app): State<App>,
    Path(role): Path<String>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    takes_nothing(&call)?;
    let who: Principal = sent(body).await?;
    let sql = format!("GRANT ROLE {} TO {}", quote(&role), who.sql()?);
    let made = json!({"role": role, "member": who});
    let asked = ("POST /api/v1/roles/members", &made);
    keyed::state(&app, &call, asked, &sql, (StatusCode::CREATED, made.clone())).await
}

/// Takes a role away from a token, or from another role: also one that a claim gave, until the next bearer token says it again.
#[utoipa::path(
    delete, path = "/api/v1/roles/{role}/members", tag = "tokens",
    params(("role" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "take it once under this key")),
    request_body(content = Object, content_type = "application/json", example = json!({"kind": "token", "name": "ada"})),
    responses((status = 204, description = "it has it no more"), (status = 404, description = "no such role or token"))
)]
pub(in crate::routes) async fn remove(
    State(app): State<App>,
    Path(role): Path<String>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    takes_nothing(&call)?;
    let who: Principal = sent(body).await?;
    let sql = format!("REVOKE ROLE {} FROM {}", quote(&role), who.sql()?);
    let asked = json!({"role": role, "member": who});
    let gone = (StatusCode::NO_CONTENT, Value::Null);
    keyed::state(&app, &call, ("DELETE /api/v1/roles/members", &asked), &sql, gone).await
}
