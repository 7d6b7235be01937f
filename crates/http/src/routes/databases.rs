//! Databases: schemas of the tenant's `lake`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use cenote_catalog::{Commit, Facts, Names, ObjectChange, Privilege, TableDef};
use cenote_vocab::Txn;
use http::StatusCode;
use serde_json::{Value, json};

use super::once::Once;
use crate::app::App;
use crate::call::Call;
use crate::database::checked;
use crate::problem::Problem;
use crate::{Services, body};

/// Bytes of a body of this API.
const BODY_MAX: u64 = 1 << 20;

/// Databases that the caller may know of.
#[utoipa::path(get, path = "/api/v1/databases", tag = "databases", responses((status = 200, description = "names and sizes")))]
pub(super) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    let (names, _) = names(app.services()?, &call).await?;
    let databases: Vec<Value> = readable(&names, &call)
        .map(|(name, tables)| json!({"name": name, "measurement_count": tables.len()}))
        .collect();
    Ok(Json(json!({"count": databases.len(), "databases": databases})))
}

/// Makes a database (admin).
#[utoipa::path(
    post, path = "/api/v1/databases", tag = "databases",
    params(("Idempotency-Key" = Option<String>, Header, description = "make it once under this key")),
    request_body(content = Object, content_type = "application/json", example = json!({"name": "prod"})),
    responses(
        (status = 201, description = "made"), (status = 400, description = "a bad name"),
        (status = 409, description = "it exists"),
    )
)]
pub(super) async fn create(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    call.require(Privilege::Manage)?;
    let bytes = body::read(body, BODY_MAX, "database_body_max").await?;
    let sent: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::bad_request(format!("Invalid request body: {error}")))?;
    let Some(name) = sent["name"].as_str().filter(|name| !name.is_empty()) else {
        return Err(Problem::bad_request("Database name is required"));
    };
    let name = checked(name)?;
    let once = Once::of(&app, &call, "POST /api/v1/databases", &sent)?;
    if let Some(known) = once.answered().await? {
        return Ok(known);
    }
    let made = json!({"name": name, "measurement_count": 0, "created_at": app.http.clock.now().rfc3339()});
    let create = ObjectChange::CreateSchema { name, if_not_exists: false };
    once.apply(commit(&app, &call, "create_schema", create), (StatusCode::CREATED, made), refused).await
}

/// One database.
#[utoipa::path(
    get, path = "/api/v1/databases/{name}", tag = "databases", params(("name" = String, Path)),
    responses((status = 200, description = "its name and size"), (status = 404, description = "no such database"))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(name): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    let (names, _) = names(app.services()?, &call).await?;
    let tables = find(&names, &call, &name)?;
    Ok(Json(json!({"name": name, "measurement_count": tables.len()})))
}

/// Measurements of one database, with their file counts.
#[utoipa::path(
    get, path = "/api/v1/databases/{name}/measurements", tag = "databases", params(("name" = String, Path)),
    responses((status = 200, description = "names and file counts"), (status = 404, description = "no such database"))
)]
pub(super) async fn measurements(
    State(app): State<App>,
    Path(name): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    let services = app.services()?;
    let (names, at) = names(services, &call).await?;
    let mut measurements = Vec::new();
    for table in find(&names, &call, &name)? {
        let files = services.catalog.visible_files(&call.identity.scope, table, at, None).await?.files;
        measurements.push(json!({"name": table.name, "file_count": files.len()}));
    }
    Ok(Json(json!({"database": name, "count": measurements.len(), "measurements": measurements})))
}

/// Drops a database with all its measurements, in one commit (admin).
#[utoipa::path(
    delete, path = "/api/v1/databases/{name}", tag = "databases",
    params(
        ("name" = String, Path), ("confirm" = bool, Query, description = "must be true"),
        ("Idempotency-Key" = Option<String>, Header, description = "drop it once under this key"),
    ),
    responses(
        (status = 200, description = "dropped"), (status = 400, description = "without confirm=true"),
        (status = 403, description = "delete.enabled is off, or the database is default"),
    )
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(name): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    call.require(Privilege::Manage)?;
    let refused = |text: &str| Problem::new(StatusCode::FORBIDDEN, text).with("sqlstate", "42501");
    if !app.http.options.delete_enabled {
        return Err(
            refused("deleting over HTTP is off (delete.enabled)").hinted("SQL: DROP SCHEMA … CASCADE")
        );
    }
    if name == "default" {
        return Err(refused("database \"default\" cannot be deleted"));
    }
    if call.parameters.flag("confirm")? != Some(true) {
        return Err(Problem::bad_request(
            "add confirm=true to delete the database and all of its measurements",
        ));
    }
    let once = Once::of(&app, &call, "DELETE /api/v1/databases", &json!(name))?;
    if let Some(known) = once.answered().await? {
        return Ok(known);
    }
    let services = app.services()?;
    let (names, at) = names(services, &call).await?;
    let tables = match find(&names, &call, &name) {
        Ok(tables) => tables,
        // the same request may have been done meanwhile
        Err(missing) => return once.answered().await?.ok_or(missing),
    };
    let mut files = 0;
    for table in tables {
        files += services.catalog.visible_files(&call.identity.scope, table, at, None).await?.files.len();
    }
    let drop = ObjectChange::DropSchema { name: name.clone(), cascade: true, if_exists: false };
    let message = format!("Database '{name}' deleted successfully");
    let answer = json!({"message": message, "files_deleted": files});
    once.apply(commit(&app, &call, "drop_schema", drop), (StatusCode::OK, answer), Problem::from).await
}

/// Makes a database of a checked name if it is not there.
pub(super) async fn make(app: &App, call: &Call, name: &str) -> Result<(), Problem> {
    let create = ObjectChange::CreateSchema { name: name.to_owned(), if_not_exists: true };
    app.services()?.catalog.apply(commit(app, call, "create_schema", create)).await?;
    Ok(())
}

fn refused(error: cenote_catalog::Error) -> Problem {
    match error {
        cenote_catalog::Error::SchemaExists(name) => {
            Problem::conflict(format!("Database '{name}' already exists")).with("sqlstate", "42P06")
        }
        error => error.into(),
    }
}

fn commit(app: &App, call: &Call, operation: &str, change: ObjectChange) -> Commit {
    Commit {
        commit_id: app.http.ids.uuid(),
        scope: call.identity.scope.clone(),
        producers: Vec::new(),
        facts: Facts { operation: operation.to_owned(), caller: call.caller(), ..Facts::default() },
        tables: Vec::new(),
        objects: vec![change],
    }
}

/// All names at the newest transaction, and its number.
pub(super) async fn names(services: &Services, call: &Call) -> Result<(Arc<Names>, Txn), Problem> {
    let head = services.catalog.head(&call.identity.scope).await?;
    Ok((services.catalog.names(&call.identity.scope, head.txn).await?, head.txn))
}

/// Databases that the caller may know of, with the tables of each that it may know of.
pub(super) fn readable<'a>(
    names: &'a Names,
    call: &'a Call,
) -> impl Iterator<Item = (&'a str, Vec<&'a Arc<TableDef>>)> {
    names
        .schemas
        .iter()
        .filter(|(name, _)| call.identity.allows(Privilege::Use, name, None))
        .map(|(name, (_, tables))| (name.as_str(), readable_tables(name, tables, call)))
}

fn readable_tables<'a>(
    database: &str,
    tables: &'a BTreeMap<String, Arc<TableDef>>,
    call: &Call,
) -> Vec<&'a Arc<TableDef>> {
    tables
        .values()
        .filter(|table| call.identity.allows(Privilege::Use, database, Some(&table.name)))
        .collect()
}

/// The readable tables of one database; one that the caller may not read does not exist for it.
fn find<'a>(names: &'a Names, call: &Call, name: &str) -> Result<Vec<&'a Arc<TableDef>>, Problem> {
    let missing = || Problem::not_found(format!("Database '{name}' not found")).with("sqlstate", "3F000");
    if !call.identity.allows(Privilege::Use, name, None) {
        return Err(missing());
    }
    let (_, tables) = names.schemas.get(name).ok_or_else(missing)?;
    Ok(readable_tables(name, tables, call))
}
