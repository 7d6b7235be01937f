//! Which table a path means: its id, its name in the request's database, or `schema.name`.

use std::sync::Arc;

use cenote_catalog::{Object, Privilege, TableDef, TableKind};
use cenote_query::quote;
use uuid::Uuid;

use super::databases::names;
use crate::app::App;
use crate::call::Call;
use crate::database::selected;
use crate::problem::Problem;

/// The table; 404 if there is none or the caller may not know it, which looks the same; 403 if it may not do this with it.
pub(super) async fn find(
    app: &App,
    call: &Call,
    path: &str,
    privilege: Privilege,
) -> Result<Arc<TableDef>, Problem> {
    let services = app.services()?;
    let (names, at) = names(services, call).await?;
    let allowed =
        |table: &TableDef, privilege| call.identity.allows(privilege, &table.schema_name, Some(&table.name));
    let known = |table: &TableDef| table.kind == TableKind::Table && allowed(table, Privilege::Use);
    let database = selected(&call.headers, &call.parameters)?;
    let database =
        database.as_deref().or(call.identity.token.default_database.as_deref()).unwrap_or("default");
    let named = |schema: &str, name: &str| {
        let (_, tables) = names.schemas.get(schema)?;
        tables.get(name).filter(|table| known(table)).cloned()
    };
    let found = match path.parse::<Uuid>() {
        Ok(id) => {
            let tables = services.catalog.tables_by_id(&call.identity.scope, at).await?;
            tables.table_of(id).filter(|table| known(table)).cloned()
        }
        Err(_) => named(database, path)
            .or_else(|| path.split_once('.').and_then(|(schema, name)| named(schema, name))),
    };
    match found {
        Some(table) if allowed(&table, privilege) => Ok(table),
        Some(table) => Err(Problem::denied(privilege, Object::Table(&table.schema_name, &table.name))),
        None => Err(Problem::not_found(format!("table \"{path}\" does not exist")).with("sqlstate", "42P01")),
    }
}

/// Its full name in SQL.
pub(super) fn sql_name(table: &TableDef) -> String {
    format!("{}.{}", quote(&table.schema_name), quote(&table.name))
}
