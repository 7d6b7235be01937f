//! Measurements: tables, as their catalog entries show them.

use cenote_catalog::Privilege;
use std::time::Instant;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::databases::{names, readable};
use crate::answer::milliseconds;
use crate::app::App;
use crate::call::Call;
use crate::database::selected;
use crate::problem::Problem;

const BYTES_PER_MB: f64 = 1024.0 * 1024.0;

/// Tables that the caller may know of, with rows and sizes from the catalog; no file is opened.
#[utoipa::path(
    get, path = "/api/v1/measurements", tag = "databases", params(("database" = Option<String>, Query)),
    responses((status = 200, description = "measurements with file_count, total_size_mb, row_count, storage_path"))
)]
pub(super) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    let began = Instant::now();
    let services = app.services()?;
    let wanted = selected(&call.headers, &call.parameters)?;
    let (names, at) = names(services, &call).await?;
    let mut measurements = Vec::new();
    for (database, tables) in readable(&names, &call) {
        if wanted.as_deref().is_some_and(|wanted| wanted != database) {
            continue;
        }
        for table in tables {
            let files = services.catalog.visible_files(&call.identity.scope, table, at, None).await?.files;
            let bytes: u64 = files.iter().map(|file| file.bytes).sum();
            let (buffered, _) = services.ingest.buffered(table.id);
            let rows = files.iter().map(|file| file.live_rows()).sum::<u64>() + buffered;
            measurements.push(json!({
                "database": database,
                "measurement": table.name,
                "file_count": files.len(),
                "total_size_mb": (bytes as f64 / BYTES_PER_MB * 100.0).round() / 100.0,
                "row_count": rows,
                "storage_path": table.location,
            }));
        }
    }
    Ok(Json(json!({
        "success": true,
        "count": measurements.len(),
        "measurements": measurements,
        "execution_time_ms": milliseconds(began),
    })))
}

/// Columns of one table.
#[utoipa::path(
    get, path = "/api/v1/measurements/{name}/schema", tag = "databases",
    params(("name" = String, Path), ("database" = Option<String>, Query)),
    responses((status = 200, description = "name, type, tag, nullable"), (status = 404, description = "no such measurement"))
)]
pub(super) async fn schema(
    State(app): State<App>,
    Path(name): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    let database = selected(&call.headers, &call.parameters)?;
    let database =
        database.as_deref().or(call.identity.token.default_database.as_deref()).unwrap_or("default");
    let (names, _) = names(app.services()?, &call).await?;
    if !call.identity.allows(Privilege::Use, database, Some(&name)) {
        return Err(Problem::not_found(format!("table \"{name}\" does not exist")).with("sqlstate", "42P01"));
    }
    let table = names.table(database, &name)?;
    let tags: Vec<&str> = table.tags().map(|field| field.name.as_str()).collect();
    let columns: Vec<Value> = table
        .schema
        .fields
        .iter()
        .map(|field| {
            json!({
                "name": field.name,
                "type": field.field_type.sql_name(),
                "tag": tags.contains(&field.name.as_str()),
                "nullable": !field.required,
            })
        })
        .collect();
    Ok(Json(json!({"database": database, "measurement": name, "columns": columns})))
}
