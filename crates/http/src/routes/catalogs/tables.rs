//! Tables and views of the catalog.

use std::ops::Bound;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use cenote_catalog::{Expected, Names, TableDef, TableKind};
use cenote_query::ObjectEdit;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::requested::{NewTable, TableChanges, read, understood};
use super::shape::{Table, table_etag};
use super::{Asked, LIMITS, if_match, nothing, present, said, schema_of, tagged, text};
use crate::answer;
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::routes::databases::names;
use crate::routes::page;

/// All tables and views that the caller may know of, by schema and name.
#[utoipa::path(
    get, path = "/api/v1/tables", tag = "databases",
    params(
        ("limit" = Option<u64>, Query, description = "100 without it, 1000 at most"), ("cursor" = Option<String>, Query),
        ("include" = Option<String>, Query, description = "`columns`"),
    ),
    responses((status = 200, description = "`tables` and `next_cursor`", body = Object))
)]
pub(in crate::routes) async fn all(State(app): State<App>, call: Call) -> Result<Response, Problem> {
    let (names, _) = names(app.services()?, &call).await?;
    listed(&call, &names, None)
}

/// The tables and views of a schema that the caller may know of, by name.
#[utoipa::path(
    get, path = "/api/v1/catalogs/{catalog}/schemas/{schema}/tables", tag = "databases",
    params(
        ("catalog" = String, Path), ("schema" = String, Path),
        ("limit" = Option<u64>, Query, description = "100 without it, 1000 at most"), ("cursor" = Option<String>, Query),
        ("include" = Option<String>, Query, description = "`columns`"),
    ),
    responses((status = 200, description = "`tables` and `next_cursor`", body = Object), (status = 404, description = "no such schema"))
)]
pub(in crate::routes) async fn list(
    State(app): State<App>,
    Path((catalog, schema)): Path<(String, String)>,
    call: Call,
) -> Result<Response, Problem> {
    let names = present(&app, &call, &catalog).await?;
    schema_of(&names, &call, &schema)?;
    listed(&call, &names, Some(&schema))
}

/// Makes a table.
#[utoipa::path(
    post, path = "/api/v1/catalogs/{catalog}/schemas/{schema}/tables", tag = "databases",
    params(
        ("catalog" = String, Path), ("schema" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "make it once under this key"),
    ),
    request_body(content = Object, content_type = "application/json",
        example = json!({"name": "cpu", "description": "how busy hosts are", "columns": [
            {"name": "time", "data_type": "TIMESTAMP", "nullable": false}, {"name": "host", "data_type": "VARCHAR"},
            {"name": "usage", "data_type": "DOUBLE", "default": 0}],
            "partition_by": ["day(time)"], "sort_by": ["host", "time DESC"], "properties": {"retention": "90d"}, "labels": {"team": "core"}})),
    responses(
        (status = 201, description = "the table with its columns and `etag`", body = Object),
        (status = 400, description = "a table that cannot be"), (status = 403, description = "it takes CREATE"),
        (status = 404, description = "no such schema"), (status = 409, description = "it exists"),
        (status = 501, description = "a location, an owner or a format that there is not yet"),
    )
)]
pub(in crate::routes) async fn create(
    State(app): State<App>,
    Path((catalog, schema)): Path<(String, String)>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    call.parameters.only(&["u", "p"])?;
    let sent = read(body).await?;
    let new: NewTable = understood(&sent)?;
    let spec = new.spec()?;
    let told = (StatusCode::CREATED, json!({"catalog": catalog, "schema": schema, "name": new.name}));
    let asked =
        Asked::new(&app, &call, said("POST", &catalog, &["schemas", &schema, "tables"]), &sent, told)?;
    if let Some(known) = asked.answered().await? {
        return Ok(known);
    }
    schema_of(&*present(&app, &call, &catalog).await?, &call, &schema)?;
    let edit = ObjectEdit::CreateTable { table: (schema.clone(), new.name.clone()), spec };
    asked.make(&edit, None, shown(&app, &call, (&catalog, &schema, &new.name))).await
}

/// One table or view with its columns.
#[utoipa::path(
    get, path = "/api/v1/catalogs/{catalog}/schemas/{schema}/tables/{table}", tag = "databases",
    params(("catalog" = String, Path), ("schema" = String, Path), ("table" = String, Path)),
    responses(
        (status = 200, description = "the table with its columns and `etag`", body = Object), (status = 404, description = "no such table"),
    )
)]
pub(in crate::routes) async fn one(
    State(app): State<App>,
    Path((catalog, schema, table)): Path<(String, String, String)>,
    call: Call,
) -> Result<Response, Problem> {
    call.parameters.only(&["u", "p"])?;
    let names = present(&app, &call, &catalog).await?;
    let table = table_of(&names, &call, &schema, &table)?;
    tagged(&Table::of(table, true), &table_etag(table))
}

/// Changes a table: its columns in the order of the list, then the table itself. All of it in one commit, or nothing.
#[utoipa::path(
    patch, path = "/api/v1/catalogs/{catalog}/schemas/{schema}/tables/{table}", tag = "databases",
    params(
        ("catalog" = String, Path), ("schema" = String, Path), ("table" = String, Path),
        ("If-Match" = Option<String>, Header, description = "only if the table has this `etag`"),
        ("Idempotency-Key" = Option<String>, Header, description = "change it once under this key"),
    ),
    request_body(content = Object, content_type = "application/json",
        example = json!({"name": "cpus", "description": null, "labels": {"team": "core"}, "properties": {"retention": null}, "columns": [
            {"op": "add", "name": "zone", "data_type": "VARCHAR", "position": {"after": "host"}}, {"op": "rename", "name": "usage", "to": "busy"},
            {"op": "alter_type", "name": "n", "data_type": "BIGINT"}, {"op": "set_nullable", "name": "n", "nullable": true},
            {"op": "move", "name": "n", "position": "first"}, {"op": "comment", "name": "n", "description": "how many"},
            {"op": "drop", "name": "old"}]})),
    responses(
        (status = 200, description = "the table with its columns and `etag`", body = Object),
        (status = 400, description = "a change that cannot be"), (status = 403, description = "it takes ALTER"),
        (status = 404, description = "no such table or column"), (status = 409, description = "the new name is taken"),
        (status = 412, description = "it was changed"), (status = 501, description = "another owner"),
    )
)]
pub(in crate::routes) async fn change(
    State(app): State<App>,
    Path((catalog, schema, table)): Path<(String, String, String)>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    call.parameters.only(&["u", "p"])?;
    let sent = read(body).await?;
    let changes: TableChanges = understood(&sent)?;
    let edits = changes.edits()?;
    let told = (StatusCode::OK, json!({"catalog": catalog, "schema": schema, "name": table}));
    let said = said("PATCH", &catalog, &["schemas", &schema, "tables", &table]);
    let asked = Asked::new(&app, &call, said, &sent, told)?;
    if let Some(known) = asked.answered().await? {
        return Ok(known);
    }
    let names = present(&app, &call, &catalog).await?;
    let found = table_of(&names, &call, &schema, &table)?;
    let expected = if_match(&call, &table_etag(found), || seen(found))?;
    if edits.is_empty() {
        return asked.answer(None, text(&Table::of(found, true))?).await;
    }
    let edit = ObjectEdit::AlterTable { table: (schema.clone(), found.name.clone()), edits };
    let name = changes.name.as_deref().unwrap_or(&found.name);
    asked.make(&edit, expected, shown(&app, &call, (&catalog, &schema, name))).await
}

/// Drops a table or view; with `cascade` also the materialized views that read it.
#[utoipa::path(
    delete, path = "/api/v1/catalogs/{catalog}/schemas/{schema}/tables/{table}", tag = "databases",
    params(
        ("catalog" = String, Path), ("schema" = String, Path), ("table" = String, Path),
        ("cascade" = Option<bool>, Query, description = "also the materialized views that read it"),
        ("If-Match" = Option<String>, Header, description = "only if the table has this `etag`"),
        ("Idempotency-Key" = Option<String>, Header, description = "drop it once under this key"),
    ),
    responses(
        (status = 204, description = "it is gone"), (status = 403, description = "it takes DROP"), (status = 404, description = "no such table"),
        (status = 409, description = "others read it"), (status = 412, description = "it was changed"),
    )
)]
pub(in crate::routes) async fn delete(
    State(app): State<App>,
    Path((catalog, schema, table)): Path<(String, String, String)>,
    call: Call,
) -> Result<Response, Problem> {
    call.parameters.only(&["cascade", "u", "p"])?;
    let cascade = call.parameters.flag("cascade")?.unwrap_or(false);
    let told = (StatusCode::NO_CONTENT, Value::Null);
    let said = said("DELETE", &catalog, &["schemas", &schema, "tables", &table]);
    let asked = Asked::new(&app, &call, said, &json!({"cascade": cascade}), told)?;
    if let Some(known) = asked.answered().await? {
        return Ok(known);
    }
    let names = present(&app, &call, &catalog).await?;
    let found = table_of(&names, &call, &schema, &table)?;
    let expected = if_match(&call, &table_etag(found), || seen(found))?;
    let is_view = found.kind != TableKind::Table;
    let edit = ObjectEdit::DropTable { table: (schema.clone(), found.name.clone()), is_view, cascade };
    asked.make(&edit, expected, nothing()).await
}

/// Brings back the table of this name that was dropped last, as it was.
#[utoipa::path(
    post, path = "/api/v1/catalogs/{catalog}/schemas/{schema}/tables/{table}/undrop", tag = "databases",
    params(
        ("catalog" = String, Path), ("schema" = String, Path), ("table" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "bring it back once under this key"),
    ),
    responses(
        (status = 200, description = "the table with its columns and `etag`", body = Object),
        (status = 404, description = "none of this name was dropped within what history keeps"),
        (status = 409, description = "the name is taken"),
    )
)]
pub(in crate::routes) async fn undrop(
    State(app): State<App>,
    Path((catalog, schema, table)): Path<(String, String, String)>,
    call: Call,
) -> Result<Response, Problem> {
    call.parameters.only(&["u", "p"])?;
    let told = (StatusCode::OK, json!({"catalog": catalog, "schema": schema, "name": table}));
    let said = said("POST", &catalog, &["schemas", &schema, "tables", &table, "undrop"]);
    let asked = Asked::new(&app, &call, said, &Value::Null, told)?;
    if let Some(known) = asked.answered().await? {
        return Ok(known);
    }
    schema_of(&*present(&app, &call, &catalog).await?, &call, &schema)?;
    let edit = ObjectEdit::UndropTable { table: (schema.clone(), table.clone()) };
    asked.make(&edit, None, shown(&app, &call, (&catalog, &schema, &table))).await
}

/// What must still be so.
fn seen(table: &TableDef) -> Expected {
    Expected::Table { schema: table.schema_name.clone(), name: table.name.clone(), begin: table.begin_txn }
}

/// The table as it is now; if it is gone already, only what it was called.
async fn shown(
    app: &App,
    call: &Call,
    (catalog, schema, table): (&str, &str, &str),
) -> Result<String, Problem> {
    let names = present(app, call, catalog).await?;
    match table_of(&names, call, schema, table) {
        Ok(found) => text(&Table::of(found, true)),
        Err(_) => text(&json!({"catalog": catalog, "schema": schema, "name": table})),
    }
}

/// A table or view that the caller may know of, by its name.
fn table_of<'a>(
    names: &'a Names,
    call: &Call,
    schema: &str,
    table: &str,
) -> Result<&'a Arc<TableDef>, Problem> {
    let missing =
        || Problem::not_found(format!("table \"{schema}.{table}\" does not exist")).with("sqlstate", "42P01");
    let (_, tables) = names.schemas.get(schema).ok_or_else(missing)?;
    tables.get(table).filter(|table| is_shown(call, table)).ok_or_else(missing)
}

/// The view stands for the table with the rows of a materialized view.
fn is_shown(call: &Call, table: &TableDef) -> bool {
    let holds_rows_of_view = table.kind == TableKind::Table && table.materialized().is_some();
    !holds_rows_of_view && table.is_known_to(&call.identity)
}

#[derive(Serialize)]
struct Listed<'a> {
    tables: Vec<Table<'a>>,
    next_cursor: Option<String>,
}

/// A page of tables; `only`: of one schema. What is behind a place is told by comparing, so nothing is gone through twice.
fn listed(call: &Call, names: &Names, only: Option<&str>) -> Result<Response, Problem> {
    call.parameters.only(&["limit", "cursor", "include", "u", "p"])?;
    let with_columns = page::one_of(call, "include", &["columns"])?.is_some();
    let limit = page::limit_within(call, LIMITS)?;
    let after: Option<(String, String)> = page::after(call)?;
    let first = only.or(after.as_ref().map(|(schema, _)| schema.as_str()));
    let schemas =
        names.schemas.range::<str, _>((first.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded));
    let schemas = schemas.take_while(|(schema, _)| only.is_none_or(|only| only == schema.as_str()));
    let tables = schemas.flat_map(|(schema, (_, tables))| {
        let behind = after.as_ref().filter(|(of, _)| of == schema).map(|(_, table)| table.as_str());
        tables.range::<str, _>((behind.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
    });
    let known = tables.map(|(_, table)| table).filter(|table| is_shown(call, table));
    let mut known: Vec<&Arc<TableDef>> = known.take(limit + 1).collect();
    let more = known.len() > limit;
    known.truncate(limit);
    let place = |table: &&Arc<TableDef>| page::behind(&(&table.schema_name, &table.name));
    let next_cursor = known.last().filter(|_| more).map(place).transpose()?;
    let tables = known.into_iter().map(|table| Table::of(table, with_columns)).collect();
    answer::json(&Listed { tables, next_cursor })
}
