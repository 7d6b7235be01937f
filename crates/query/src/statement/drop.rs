//! `DROP TABLE`, `DROP VIEW`.

use std::sync::Arc;

use cenote_catalog::{MATERIALIZED_SOURCES, Names, ObjectChange, Privilege, TableDef, TableKind};
use cenote_vocab::{ErrorKind, Fault};
use sqlparser::ast::{ObjectType, Statement};

use super::create_table::parts;
use super::{Answer, Guard, Prepared};
use crate::Error;
use crate::parse::unsupported;
use crate::plan::{Found, Resolver};
use crate::session::Inner;
use crate::transaction::{Staged, without_table};

/// Drops what the names mean, all of them or none.
pub(crate) async fn drop_tables(
    session: &Inner,
    statement: &Statement,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    let Statement::Drop { object_type, names, if_exists, purge, temporary, cascade, .. } = statement else {
        return Err(unsupported("this statement"));
    };
    let view = *object_type == ObjectType::View;
    let command = if view { "DROP VIEW" } else { "DROP TABLE" };
    session.check_writable()?;
    if *purge || *temporary {
        return Err(unsupported("DROP … PURGE and DROP TEMPORARY"));
    }
    let path = session.search_path();
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let mut names_left = (*snapshot.names).clone();
    let (mut objects, mut dropped) = (Vec::new(), Vec::new());
    let mut notices = Vec::new();
    let mut cascaded: Vec<Arc<TableDef>> = Vec::new();
    for name in names {
        let name = parts(name);
        let table = match resolver.find(&name, Privilege::Drop) {
            Ok(Found::Table(table)) => table,
            Ok(_) => return Err(Error::new(ErrorKind::Denied, "system tables are read-only")),
            Err(error) if error.kind() == ErrorKind::NotFound && *if_exists => {
                notices.push(format!("{error}, skipping"));
                continue;
            }
            Err(error) => return Err(error),
        };
        if (table.kind != TableKind::Table) != view {
            let (is, right) = if view { ("a table", "DROP TABLE") } else { ("a view", "DROP VIEW") };
            return Err(Error::new(ErrorKind::Invalid, format!("\"{}\" is {is}", table.full_name()))
                .with_sqlstate("42809")
                .with_hint(format!("use {right}")));
        }
        if table.materialized().is_some() {
            let text = format!("\"{}\" belongs to a materialized view", table.full_name());
            return Err(Error::new(ErrorKind::Invalid, text)
                .with_sqlstate("42809")
                .with_hint("use DROP MATERIALIZED VIEW"));
        }
        let readers = dependents(&names_left, &table);
        if !readers.is_empty() && !*cascade {
            return Err(depended_on(session, &table, &readers));
        }
        cascaded.extend(readers);
        names_left = without_table(&names_left, &table);
        dropped.push(table.id);
        objects.push(ObjectChange::DropTable {
            schema: table.schema_name.clone(),
            name: table.name.clone(),
            if_exists: *if_exists,
            view,
        });
    }
    super::materialized::drop_cascading(session, &cascaded).await?;
    let mut answer = Answer::done(command);
    if !objects.is_empty() {
        let operation = if view { "drop_view" } else { "drop_table" };
        let staged = Staged {
            objects,
            dropped,
            names: Some(Arc::new(names_left)),
            sql: vec![prepared.sql.clone()],
            operation,
            ..Staged::default()
        };
        answer = answer.with_txn(session.finish(staged, guard).await?);
    }
    answer.notices = notices;
    Ok(answer)
}

/// Materialized views that read a table, or the rows of a materialized view.
pub(crate) fn dependents(names: &Names, table: &TableDef) -> Vec<Arc<TableDef>> {
    let is_its = |other: &&Arc<TableDef>| {
        other.id == table.id
            || (table.materialized().is_some() && other.materialized() == table.materialized())
    };
    let ids: Vec<String> = names.tables().filter(is_its).map(|other| other.id.to_string()).collect();
    let reads = |rows: &&Arc<TableDef>| {
        let sources = rows.properties.get(MATERIALIZED_SOURCES);
        sources.is_some_and(|sources| sources.split(',').any(|id| ids.iter().any(|other| other == id)))
    };
    let readers: Vec<&Arc<TableDef>> = names.tables().filter(reads).collect();
    let view_of = |rows: &&Arc<TableDef>| {
        let mut views = names.tables().filter(|view| view.kind != TableKind::Table);
        views.find(|view| view.materialized() == rows.materialized()).cloned()
    };
    readers.iter().filter_map(view_of).collect()
}

/// Says that others read what should go; of those that the asker may not know not which.
pub(crate) fn depended_on(session: &Inner, table: &TableDef, readers: &[Arc<TableDef>]) -> Error {
    let is_known = |view: &&Arc<TableDef>| view.is_known_to(session.identity());
    let mut named: Vec<String> = readers.iter().filter(is_known).map(|view| view.full_name()).collect();
    if named.len() < readers.len() {
        named.push("of others".to_owned());
    }
    let text = format!("materialized view {} reads \"{}\"", named.join(", "), table.full_name());
    Error::new(ErrorKind::Conflict, text).with_sqlstate("2BP01").with_hint("use CASCADE to drop it too")
}
