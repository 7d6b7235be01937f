//! Schemas of the catalog.

use std::ops::Bound;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use cenote_catalog::{Expected, Privilege};
use cenote_query::ObjectEdit;
use http::StatusCode;
use serde_json::{Value, json};

use super::requested::{SchemaBody, read, understood};
use super::shape::{Schema, schema_etag};
use super::{Asked, LIMITS, if_match, nothing, present, said, schema_of, tagged, text};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::routes::page;

/// Schemas that the caller may know of, by name.
#[utoipa::path(
    get, path = "/api/v1/catalogs/{catalog}/schemas", tag = "databases",
    params(("catalog" = String, Path), ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "`schemas` and `next_cursor`", body = Object), (status = 404, description = "no such catalog"))
)]
pub(in crate::routes) async fn list(
    State(app): State<App>,
    Path(catalog): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["limit", "cursor", "u", "p"])?;
    let names = present(&app, &call, &catalog).await?;
    let limit = page::limit_within(&call, LIMITS)?;
    let after: Option<String> = page::after(&call)?;
    let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let known = names.schemas.range::<str, _>((from, Bound::Unbounded));
    let known = known.filter(|(name, _)| call.identity.allows(Privilege::Use, name, None));
    let mut known: Vec<_> = known.take(limit + 1).map(|(_, (schema, _))| schema).collect();
    let more = known.len() > limit;
    known.truncate(limit);
    let next = known.last().filter(|_| more).map(|last| page::behind(&last.name)).transpose()?;
    let schemas: Vec<Schema<'_>> = known.into_iter().map(Schema::of).collect();
    Ok(Json(json!({"schemas": schemas, "next_cursor": next})))
}

/// Makes a schema.
#[utoipa::path(
    post, path = "/api/v1/catalogs/{catalog}/schemas", tag = "databases",
    params(
        ("catalog" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "make it once under this key"),
    ),
    request_body(content = Object, content_type = "application/json", example = json!({"name": "mart", "properties": {"retention": "30d"}})),
    responses(
        (status = 201, description = "the schema", body = Object), (status = 400, description = "a bad name or property"),
        (status = 403, description = "it takes CREATE"), (status = 409, description = "it exists"),
    )
)]
pub(in crate::routes) async fn create(
    State(app): State<App>,
    Path(catalog): Path<String>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    call.parameters.only(&["u", "p"])?;
    let sent = read(body).await?;
    let new: SchemaBody = understood(&sent)?;
    let Some(name) = new.name.clone().filter(|name| !name.is_empty()) else {
        return Err(Problem::bad_request("name is missing"));
    };
    let properties = new.properties()?.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let told = (StatusCode::CREATED, json!({"catalog": catalog, "name": name}));
    let asked = Asked::new(&app, &call, said("POST", &catalog, &["schemas"]), &sent, told)?;
    if let Some(known) = asked.answered().await? {
        return Ok(known);
    }
    present(&app, &call, &catalog).await?;
    let edit = ObjectEdit::CreateSchema { name: name.clone(), properties };
    asked.make(&edit, None, shown(&app, &call, &catalog, &name)).await
}

/// One schema.
#[utoipa::path(
    get, path = "/api/v1/catalogs/{catalog}/schemas/{schema}", tag = "databases",
    params(("catalog" = String, Path), ("schema" = String, Path)),
    responses((status = 200, description = "the schema", body = Object), (status = 404, description = "no such schema"))
)]
pub(in crate::routes) async fn one(
    State(app): State<App>,
    Path((catalog, schema)): Path<(String, String)>,
    call: Call,
) -> Result<Response, Problem> {
    call.parameters.only(&["u", "p"])?;
    let names = present(&app, &call, &catalog).await?;
    let (schema, _) = schema_of(&names, &call, &schema)?;
    tagged(&Schema::of(schema), &schema_etag(schema))
}

/// Sets options that a schema has for its tables; `null` takes one off.
#[utoipa::path(
    patch, path = "/api/v1/catalogs/{catalog}/schemas/{schema}", tag = "databases",
    params(
        ("catalog" = String, Path), ("schema" = String, Path),
        ("If-Match" = Option<String>, Header, description = "only if the schema has this `etag`"),
        ("Idempotency-Key" = Option<String>, Header, description = "change it once under this key"),
    ),
    request_body(content = Object, content_type = "application/json", example = json!({"properties": {"retention": "30d"}})),
    responses(
        (status = 200, description = "the schema", body = Object), (status = 404, description = "no such schema"),
        (status = 412, description = "it was changed"), (status = 501, description = "another name, owner or description"),
    )
)]
pub(in crate::routes) async fn change(
    State(app): State<App>,
    Path((catalog, schema)): Path<(String, String)>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    call.parameters.only(&["u", "p"])?;
    let sent = read(body).await?;
    let changes: SchemaBody = understood(&sent)?;
    let properties = changes.properties()?;
    let told = (StatusCode::OK, json!({"catalog": catalog, "name": schema}));
    let asked = Asked::new(&app, &call, said("PATCH", &catalog, &["schemas", &schema]), &sent, told)?;
    if let Some(known) = asked.answered().await? {
        return Ok(known);
    }
    let names = present(&app, &call, &catalog).await?;
    let (found, _) = schema_of(&names, &call, &schema)?;
    if changes.name.is_some_and(|name| name != found.name) {
        return Err(Problem::not_built("renaming a schema"));
    }
    let expected = if_match(&call, &schema_etag(found), || Expected::Schema(found.clone()))?;
    if properties.is_empty() {
        return asked.answer(None, text(&Schema::of(found))?).await;
    }
    let edit = ObjectEdit::AlterSchema { name: found.name.clone(), properties };
    asked.make(&edit, expected, shown(&app, &call, &catalog, &schema)).await
}

/// Drops a schema; with `cascade` also what is in it.
#[utoipa::path(
    delete, path = "/api/v1/catalogs/{catalog}/schemas/{schema}", tag = "databases",
    params(
        ("catalog" = String, Path), ("schema" = String, Path), ("cascade" = Option<bool>, Query, description = "also its tables"),
        ("If-Match" = Option<String>, Header, description = "only if the schema has this `etag`"),
        ("Idempotency-Key" = Option<String>, Header, description = "drop it once under this key"),
    ),
    responses(
        (status = 204, description = "it is gone"), (status = 404, description = "no such schema"),
        (status = 409, description = "something is in it, or reads it"), (status = 412, description = "it was changed"),
    )
)]
pub(in crate::routes) async fn delete(
    State(app): State<App>,
    Path((catalog, schema)): Path<(String, String)>,
    call: Call,
) -> Result<Response, Problem> {
    call.parameters.only(&["cascade", "u", "p"])?;
    let cascade = call.parameters.flag("cascade")?.unwrap_or(false);
    let told = (StatusCode::NO_CONTENT, Value::Null);
    let sent = json!({"cascade": cascade});
    let asked = Asked::new(&app, &call, said("DELETE", &catalog, &["schemas", &schema]), &sent, told)?;
    if let Some(known) = asked.answered().await? {
        return Ok(known);
    }
    let names = present(&app, &call, &catalog).await?;
    let (found, _) = schema_of(&names, &call, &schema)?;
    let expected = if_match(&call, &schema_etag(found), || Expected::Schema(found.clone()))?;
    let edit = ObjectEdit::DropSchema { name: found.name.clone(), cascade };
    asked.make(&edit, expected, nothing()).await
}

/// The schema as it is now.
async fn shown(app: &App, call: &Call, catalog: &str, schema: &str) -> Result<String, Problem> {
    let names = present(app, call, catalog).await?;
    text(&Schema::of(&schema_of(&names, call, schema)?.0))
}
