//! Tokens: who may do what (admin).

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use cenote_catalog::{Catalog, Object, Privilege, Token, authorize};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::flow::keyed::takes_no_key;
use super::token_body::{TokenBody, shown, words};
use crate::app::App;
use crate::body;
use crate::call::Call;
use crate::problem::Problem;

/// Bytes of a body of this API.
const BODY_MAX: u64 = 1 << 20;

/// All tokens, without their secrets.
#[utoipa::path(get, path = "/api/v1/auth/tokens", tag = "tokens", responses((status = 200, description = "tokens and count")))]
pub(super) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.require(Privilege::Manage)?;
    let tokens = app.services()?.catalog.tokens(&call.identity.scope).await?;
    let tokens: Vec<_> = tokens.iter().map(shown).collect();
    Ok(Json(json!({"success": true, "count": tokens.len(), "tokens": tokens})))
}

/// Makes a token; its secret is shown only here.
#[utoipa::path(
    post, path = "/api/v1/auth/tokens", tag = "tokens",
    request_body(
        content = Object, content_type = "application/json",
        example = json!({"name": "grafana", "permissions": ["read"], "expires_in": "7d"})
    ),
    responses(
        (status = 201, description = "`token` is the secret"), (status = 400, description = "a bad name or permission"),
        (status = 409, description = "the name is taken"),
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    takes_no_key(&call, "tokens, whose secrets are not kept")?;
    call.require(Privilege::Manage)?;
    let asked = TokenBody::parse(&body::read(body, BODY_MAX, "token_body_max").await?)?;
    let new = asked.into_new(&app.http.clock)?;
    let (token, secret) =
        app.services()?.catalog.acting(call.caller()).create_token(&call.identity.scope, new, None).await?;
    Ok((StatusCode::CREATED, Json(made(&token, &secret))))
}

/// What is said of a new token, with its secret.
pub(super) fn made(token: &Token, secret: &str) -> Value {
    let said = json!({
        "success": true,
        "token": secret,
        "message": "Token created successfully. Save it: it is shown only once.",
    });
    flat(token, said)
}

/// One token, without its secret.
#[utoipa::path(
    get, path = "/api/v1/auth/tokens/{id}", tag = "tokens", params(("id" = i64, Path)),
    responses((status = 200, description = "flat, and again under `token`"), (status = 404, description = "Token not found"))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    let token = find(&app.services()?.catalog, &call, &id).await?;
    Ok(Json(flat(&token, json!({"success": true, "token": shown(&token)}))))
}

/// Changes a token; absent keys stay.
#[utoipa::path(
    patch, path = "/api/v1/auth/tokens/{id}", tag = "tokens", params(("id" = i64, Path)),
    request_body(content = Object, content_type = "application/json", example = json!({"description": "dashboards"})),
    responses((status = 200, description = "the token"), (status = 409, description = "the last enabled admin token"))
)]
pub(super) async fn change(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
    body: Body,
) -> Result<Json<Value>, Problem> {
    takes_no_key(&call, "tokens, whose secrets are not kept")?;
    let id = own_token(&app, &call, &id).await?;
    let asked = TokenBody::parse(&body::read(body, BODY_MAX, "token_body_max").await?)?;
    let change = asked.into_change(&app.http.clock)?;
    let token =
        app.services()?.catalog.acting(call.caller()).change_token(&call.identity.scope, id, change).await?;
    Ok(Json(flat(&token, json!({"success": true, "message": "Token updated successfully"}))))
}

/// Deletes a token.
#[utoipa::path(
    delete, path = "/api/v1/auth/tokens/{id}", tag = "tokens", params(("id" = i64, Path)),
    responses((status = 200, description = "gone"), (status = 409, description = "the last enabled admin token"))
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    takes_no_key(&call, "tokens, whose secrets are not kept")?;
    let id = own_token(&app, &call, &id).await?;
    app.services()?.catalog.acting(call.caller()).delete_token(&call.identity.scope, id).await?;
    Ok(Json(json!({"success": true, "message": "Token deleted successfully", "token_id": id})))
}

/// A new secret; the old one ends at once.
#[utoipa::path(
    post, path = "/api/v1/auth/tokens/{id}/rotate", tag = "tokens", params(("id" = i64, Path)),
    responses((status = 200, description = "`new_token` is the secret"))
)]
pub(super) async fn rotate(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    takes_no_key(&call, "tokens, whose secrets are not kept")?;
    let id = own_token(&app, &call, &id).await?;
    let catalog = app.services()?.catalog.acting(call.caller());
    let secret = catalog.rotate_token(&call.identity.scope, id).await?;
    let message = "Token rotated successfully. Save it: it is shown only once.";
    Ok(Json(json!({"success": true, "new_token": secret, "token": secret, "message": message})))
}

/// Disables a token at once.
#[utoipa::path(
    post, path = "/api/v1/auth/tokens/{id}/revoke", tag = "tokens", params(("id" = i64, Path)),
    responses((status = 200, description = "disabled"), (status = 409, description = "the last enabled admin token"))
)]
pub(super) async fn revoke(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    takes_no_key(&call, "tokens, whose secrets are not kept")?;
    let id = own_token(&app, &call, &id).await?;
    let off = cenote_catalog::TokenChange { enabled: Some(false), ..Default::default() };
    app.services()?.catalog.acting(call.caller()).change_token(&call.identity.scope, id, off).await?;
    Ok(Json(json!({"success": true, "message": "Token revoked successfully"})))
}

/// What a token may do, by pattern, and where each right comes from.
#[utoipa::path(
    get, path = "/api/v1/auth/tokens/{id}/permissions", tag = "tokens", params(("id" = i64, Path)),
    responses((status = 200, description = "database, measurement, permissions, source"))
)]
pub(super) async fn permissions(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    let token = find(&app.services()?.catalog, &call, &id).await?;
    let mut permissions = Vec::new();
    if token.permissions.iter().next().is_some() {
        let everywhere = words(token.permissions);
        permissions
            .push(json!({"database": "*", "measurement": "*", "permissions": everywhere, "source": "token"}));
    }
    for grant in &token.grants {
        permissions.push(json!({
            "database": grant.database,
            "measurement": grant.measurement,
            "permissions": grant.permissions,
            "source": "grant",
        }));
    }
    Ok(Json(json!({"success": true, "permissions": permissions})))
}

async fn find(catalog: &Catalog, call: &Call, id: &str) -> Result<Token, Problem> {
    call.require(Privilege::Manage)?;
    let id = token_id(id)?;
    let tokens = catalog.tokens(&call.identity.scope).await?;
    tokens.into_iter().find(|token| token.id == id).ok_or_else(|| Problem::not_found("Token not found"))
}

/// The id of a token that the caller may change: one of who operates the deployment only by another, whoever manages the tenant.
async fn own_token(app: &App, call: &Call, id: &str) -> Result<i64, Problem> {
    call.require(Privilege::Manage)?;
    let id = token_id(id)?;
    let book = app.services()?.catalog.access(&call.identity.scope).await?;
    if book.is_operator(id) && !authorize(&call.identity, Privilege::Manage, Object::Deployment) {
        return Err(Problem::denied(Privilege::Manage, Object::Deployment));
    }
    Ok(id)
}

fn token_id(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::bad_request("Invalid token ID"))
}

/// The token's own keys, with `said` on top: `token` means the secret or the object, not a key of the token.
fn flat(token: &Token, said: Value) -> Value {
    let mut flat: Map<String, Value> = shown(token);
    if let Value::Object(said) = said {
        flat.extend(said);
    }
    Value::Object(flat)
}
