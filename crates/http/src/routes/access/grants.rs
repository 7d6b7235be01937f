//! What is granted, to whom, on what.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use cenote_query::{AccessTable, literal, quote};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Principal, rows, sent};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::routes::flow::{keyed, session, takes_nothing};
use crate::routes::page::{self, one_of};

/// Privileges of one request, at most: there are not more.
const PRIVILEGES_MAX: usize = 13;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct Grant {
    principal: Principal,
    privileges: Vec<String>,
    object: On,
}

/// What a grant is on: a name, or a pattern.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct On {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
}

impl On {
    /// As SQL writes it.
    fn sql(&self) -> Result<String, Problem> {
        let kind = match self.kind.as_str() {
            "catalog" => "CATALOG",
            "schema" => "SCHEMA",
            "table" => "TABLE",
            "asset" => "ASSET",
            "pipeline" => "PIPELINE",
            "job" => "JOB",
            other => return Err(Problem::bad_request(format!("there is no kind of object {other:?}"))),
        };
        let object = match (&self.name, &self.pattern) {
            (Some(name), None) if ["table", "asset", "pipeline"].contains(&self.kind.as_str()) => {
                let Some((schema, name)) = name.split_once('.') else {
                    return Err(Problem::bad_request(format!(
                        "an object is named schema.name, got {name:?}"
                    )));
                };
                format!("{}.{}", quote(schema), quote(name))
            }
            (Some(name), None) => quote(name),
            (None, Some(pattern)) => literal(pattern),
            _ => return Err(Problem::bad_request("an object has a name or a pattern, one of both")),
        };
        Ok(format!("{kind} {object}"))
    }
}

impl Grant {
    /// The statement that grants it, or takes it away.
    fn sql(&self, verb: &str, to: &str) -> Result<String, Problem> {
        let is_word = |text: &String| {
            !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphabetic() || letter == ' ')
        };
        if !(1..=PRIVILEGES_MAX).contains(&self.privileges.len()) {
            return Err(Problem::bad_request(format!("privileges are 1 to {PRIVILEGES_MAX} words")));
        }
        if let Some(other) = self.privileges.iter().find(|text| !is_word(text)) {
            return Err(Problem::bad_request(format!("there is no privilege {other:?}")));
        }
        let privileges = self.privileges.join(", ").to_ascii_uppercase();
        Ok(format!("{verb} {privileges} ON {} {to} {}", self.object.sql()?, self.principal.sql()?))
    }
}

/// What is granted: all for who manages the tenant; for others what is theirs, and who may do something with what they manage.
#[utoipa::path(
    get, path = "/api/v1/grants", tag = "tokens",
    params(
        ("principal_kind" = Option<String>, Query, description = "role or token"), ("principal" = Option<String>, Query),
        ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, description = "`data` and `nextCursor`", body = Object,
        example = json!({"data": [{"principal": {"kind": "role", "name": "analysts"}, "privilege": "SELECT",
            "object": {"kind": "table", "schema": "default", "name": "cpu", "isPattern": false}, "source": "grant",
            "grantedBy": "admin", "grantedAt": "2026-01-01T00:00:00"}], "nextCursor": null})))
)]
pub(in crate::routes) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["principal_kind", "principal", "limit", "cursor", "u", "p"])?;
    let kind = one_of(&call, "principal_kind", &["role", "token"])?;
    let name = call.parameters.first(&["principal"]);
    let mut grants = rows(&session(&app, &call).await?, AccessTable::Grants).await?;
    grants.retain(|grant| {
        kind.as_ref().is_none_or(|kind| grant["principal_kind"] == kind.as_str())
            && name.is_none_or(|name| grant["principal"] == name)
    });
    let key = |grant: &Value| {
        [
            "principal_kind",
            "principal",
            "object_kind",
            "schema_name",
            "object_name",
            "is_pattern",
            "privilege",
            "source",
        ]
        .map(|column| grant[column].to_string())
    };
    let (part, next) = page::part(&call, grants, key)?;
    Ok(Json(json!({"data": part.iter().map(shown).collect::<Vec<_>>(), "nextCursor": next})))
}

fn shown(grant: &Value) -> Value {
    json!({
        "principal": {"kind": grant["principal_kind"], "name": grant["principal"]},
        "privilege": grant["privilege"],
        "object": {
            "kind": grant["object_kind"],
            "schema": grant["schema_name"],
            "name": grant["object_name"],
            "isPattern": grant["is_pattern"],
        },
        "source": grant["source"],
        "grantedBy": grant["granted_by"],
        "grantedAt": grant["granted_at"],
    })
}

/// Grants privileges on an object, or on those of a pattern.
#[utoipa::path(
    post, path = "/api/v1/grants", tag = "tokens",
    params(("Idempotency-Key" = Option<String>, Header, description = "grant it once under this key")),
    request_body(content = Object, content_type = "application/json",
        example = json!({"principal": {"kind": "role", "name": "analysts"}, "privileges": ["SELECT"],
            "object": {"kind": "table", "name": "default.cpu"}})),
    responses(
        (status = 201, description = "the grant", body = Object), (status = 403, description = "it takes MANAGE on the object"),
        (status = 404, description = "no such object, role or token"),
    )
)]
pub(in crate::routes) async fn create(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    takes_nothing(&call)?;
    let grant: Grant = sent(body).await?;
    let (sql, made) = (grant.sql("GRANT", "TO")?, json!(grant));
    keyed::state(&app, &call, ("POST /api/v1/grants", &made), &sql, (StatusCode::CREATED, made.clone())).await
}

/// Takes privileges on an object, or on those of a pattern, away. What was not granted is no error.
#[utoipa::path(
    delete, path = "/api/v1/grants", tag = "tokens",
    params(("Idempotency-Key" = Option<String>, Header, description = "take it away once under this key")),
    request_body(content = Object, content_type = "application/json",
        example = json!({"principal": {"kind": "role", "name": "analysts"}, "privileges": ["SELECT"],
            "object": {"kind": "table", "name": "default.cpu"}})),
    responses((status = 204, description = "they are gone"), (status = 404, description = "no such object, role or token"))
)]
pub(in crate::routes) async fn delete(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    takes_nothing(&call)?;
    let grant: Grant = sent(body).await?;
    let sql = grant.sql("REVOKE", "FROM")?;
    let gone = (StatusCode::NO_CONTENT, Value::Null);
    keyed::state(&app, &call, ("DELETE /api/v1/grants", &json!(grant)), &sql, gone).await
}
