//! Tenants as objects, for who operates the deployment. What changes them are the statements, so that rights, checks and audit are
//! theirs; only the first token of a tenant is made here, because its secret is shown once.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use cenote_catalog::{AuditEntry, Caller, Object, Privilege, TenantState, authorize, check_tenant};
use cenote_query::{AccessTable, literal};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{rows, sent};
use super::flow::keyed::takes_no_key;
use super::flow::{execute, session, takes_nothing};
use super::token_body::TokenBody;
use super::tokens::made;
use crate::app::App;
use crate::body;
use crate::call::Call;
use crate::problem::Problem;
use crate::routes::page;

/// Bytes of a body of a token (`token_body_max`).
const TOKEN_BODY_MAX: u64 = 1 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    #[serde(alias = "storageRoot")]
    storage_root: Option<String>,
    description: Option<String>,
}

/// One of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// `active` or `suspended`
    state: Option<String>,
    description: Option<String>,
}

fn shown(row: &Value) -> Value {
    json!({
        "name": row["name"],
        "state": row["state"],
        "stateSince": row["state_since"],
        "storageRoot": row["storage_root"],
        "description": row["description"],
        "createdAt": row["created_at"],
        "changedTxn": row["changed_txn"],
    })
}

async fn one_of(app: &App, call: &Call, name: &str) -> Result<Value, Problem> {
    let wanted = check_tenant(name)?;
    let all = rows(&session(app, call).await?, AccessTable::Tenants).await?;
    let found = all.iter().find(|tenant| tenant["name"] == wanted.as_str());
    found.map(shown).ok_or_else(|| cenote_catalog::Error::TenantNotFound(wanted).into())
}

/// Tenants, by name; those too that were dropped and whose files are still there.
#[utoipa::path(
    get, path = "/api/v1/tenants", tag = "tenants",
    params(("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query)),
    responses(
        (status = 200, description = "`data` and `nextCursor`", body = Object,
            example = json!({"data": [{"name": "acme", "state": "active", "stateSince": null, "storageRoot": null,
                "description": null, "createdAt": "2026-01-01T00:00:00", "changedTxn": 7}], "nextCursor": null})),
        (status = 403, description = "it takes the role operator"),
    )
)]
pub(super) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["limit", "cursor", "u", "p"])?;
    let tenants = rows(&session(&app, &call).await?, AccessTable::Tenants).await?;
    let name = |tenant: &Value| tenant["name"].as_str().unwrap_or_default().to_owned();
    let (part, next) = page::part(&call, tenants, name)?;
    Ok(Json(json!({"data": part.iter().map(shown).collect::<Vec<_>>(), "nextCursor": next})))
}

/// Makes a tenant, with its catalog `lake` and schema `default`. Its first token: `POST /api/v1/tenants/{tenant}/tokens`.
#[utoipa::path(
    post, path = "/api/v1/tenants", tag = "tenants",
    request_body(content = Object, content_type = "application/json",
        example = json!({"name": "acme", "storage_root": "s3://acme-data/lake", "description": "the first customer"})),
    responses(
        (status = 201, description = "the tenant", body = Object), (status = 400, description = "a bad name or place"),
        (status = 403, description = "it takes the role operator, and a place that the configuration names"),
        (status = 409, description = "there is one of this name, or its files are not collected yet"),
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    takes_no_key(&call, "tenants")?;
    takes_nothing(&call)?;
    let New { name, storage_root, description } = sent(body).await?;
    let given = [("storage_root", storage_root), ("description", description)];
    let options: Vec<String> = given
        .into_iter()
        .filter_map(|(option, value)| value.map(|value| format!("{option} = {}", literal(&value))))
        .collect();
    let with = if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) };
    let sql = format!("CREATE TENANT {}{with}", literal(&name));
    execute(&session(&app, &call).await?, &sql).await?;
    Ok((StatusCode::CREATED, Json(one_of(&app, &call, &name).await?)))
}

/// One tenant.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}", tag = "tenants", params(("tenant" = String, Path)),
    responses((status = 200, description = "the tenant", body = Object), (status = 404, description = "no such tenant"))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(tenant): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    takes_nothing(&call)?;
    Ok(Json(one_of(&app, &call, &tenant).await?))
}

/// Suspends a tenant, lets it go on, or says something else of it. While it is suspended every request of its principals is 403
/// `tenant_suspended`, and nothing of it runs or is deleted.
#[utoipa::path(
    patch, path = "/api/v1/tenants/{tenant}", tag = "tenants", params(("tenant" = String, Path)),
    request_body(content = Object, content_type = "application/json", example = json!({"state": "suspended"})),
    responses(
        (status = 200, description = "the tenant", body = Object), (status = 400, description = "not one of `state`, `description`"),
        (status = 404, description = "no such tenant"),
    )
)]
pub(super) async fn change(
    State(app): State<App>,
    Path(tenant): Path<String>,
    call: Call,
    body: Body,
) -> Result<Json<Value>, Problem> {
    takes_no_key(&call, "tenants")?;
    takes_nothing(&call)?;
    let Change { state, description } = sent(body).await?;
    let act = match (state.as_deref(), description) {
        (Some("suspended"), None) => "SUSPEND".to_owned(),
        (Some("active"), None) => "RESUME".to_owned(),
        (Some(other), None) => {
            let text = format!("state of a tenant is one of active, suspended, got {other:?}");
            return Err(Problem::bad_request(text));
        }
        (None, Some(text)) => format!("SET (description = {})", literal(&text)),
        _ => return Err(Problem::bad_request("a change of a tenant has one of state, description")),
    };
    let sql = format!("ALTER TENANT {} {act}", literal(&tenant));
    execute(&session(&app, &call).await?, &sql).await?;
    Ok(Json(one_of(&app, &call, &tenant).await?))
}

/// Drops a tenant for good: its tokens stop at once, its files are collected.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path), ("cascade" = Option<bool>, Query, description = "also with objects in it")),
    responses(
        (status = 204, description = "it is gone"), (status = 404, description = "no such tenant"),
        (status = 409, description = "it has objects"),
    )
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(tenant): Path<String>,
    call: Call,
) -> Result<StatusCode, Problem> {
    takes_no_key(&call, "tenants")?;
    call.parameters.only(&["cascade", "db", "database", "u", "p"])?;
    let cascade = if call.parameters.flag("cascade")?.unwrap_or(false) { " CASCADE" } else { "" };
    let sql = format!("DROP TENANT {}{cascade}", literal(&tenant));
    execute(&session(&app, &call).await?, &sql).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a token in a tenant: `admin` with all its rights, unless the body says otherwise. Its secret is shown only here.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/tokens", tag = "tenants", params(("tenant" = String, Path)),
    request_body(content = Object, content_type = "application/json", example = json!({"name": "admin"})),
    responses(
        (status = 201, description = "`token` is the secret"), (status = 403, description = "it takes the role operator"),
        (status = 404, description = "no such tenant"), (status = 409, description = "the name is taken"),
    )
)]
pub(super) async fn create_token(
    State(app): State<App>,
    Path(tenant): Path<String>,
    call: Call,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    takes_no_key(&call, "tenants")?;
    takes_nothing(&call)?;
    if !authorize(&call.identity, Privilege::Manage, Object::Deployment) {
        return Err(Problem::denied(Privilege::Manage, Object::Deployment));
    }
    let asked = TokenBody::parse(&body::read(body, TOKEN_BODY_MAX, "token_body_max").await?)?;
    let new = asked.into_admin(&app.http.clock)?;
    let wanted = check_tenant(&tenant)?;
    let catalog = &app.services()?.catalog;
    let found = catalog.tenants().await?.into_iter().find(|tenant| tenant.scope.tenant() == wanted);
    let found = found.filter(|tenant| tenant.state != TenantState::Dropped);
    let found = found.ok_or_else(|| cenote_catalog::Error::TenantNotFound(wanted.clone()))?;
    // In the tenant's own audit it is somebody of another one.
    let own = call.caller();
    let actor = own.actor.as_ref().map(|name| format!("{name}@{}", call.identity.scope.tenant()));
    let name = new.name.clone();
    let acting = catalog.acting(Caller { actor, ..own.clone() });
    let (token, secret) = acting.create_token(&found.scope, new, None).await?;
    let entry = AuditEntry::done(own, "admin", format!("token {name} of tenant {wanted}"));
    catalog.audit(Some(&call.identity.scope), entry.with_detail(Some("create_token"))).await;
    Ok((StatusCode::CREATED, Json(made(&token, &secret))))
}
