//! `CREATE SCHEMA`, `CREATE DATABASE`, `ALTER SCHEMA`, `DROP SCHEMA`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_catalog::{MATERIALIZED, Object, ObjectChange, Pipeline, Privilege, TableDef, TableKind};
use cenote_vocab::ErrorKind;
use sqlparser::ast::{Ident, ObjectName, SchemaName, Statement};

use super::create_table::parts;
use super::drop::{depended_on, dependents};
use super::{Answer, Guard, Prepared, table_options};
use crate::Error;
use crate::parse::{AlterSchema, folded, unsupported};
use crate::plan::{CATALOG, DEFAULT_SCHEMA, Resolver, denied};
use crate::session::Inner;
use crate::transaction::{Staged, with_schema, without_schema};

/// Creates a schema of the lake.
pub(crate) async fn create(
    session: &Inner,
    statement: &Statement,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    let (name, if_not_exists, options) = match statement {
        Statement::CreateSchema {
            schema_name: SchemaName::Simple(name),
            if_not_exists,
            with,
            options,
            clone,
            ..
        } => {
            if clone.is_some() {
                return Err(unsupported("CREATE SCHEMA … CLONE"));
            }
            let options = with.as_ref().or(options.as_ref()).map_or(&[][..], Vec::as_slice);
            (name, *if_not_exists, table_options::of_create_schema(options)?)
        }
        Statement::CreateSchema { .. } => return Err(unsupported("CREATE SCHEMA AUTHORIZATION")),
        Statement::CreateDatabase { db_name, if_not_exists, location, comment, or_replace, .. } => {
            if location.is_some() || comment.is_some() || *or_replace {
                return Err(unsupported("options of CREATE DATABASE"));
            }
            (db_name, *if_not_exists, BTreeMap::new())
        }
        _ => return Err(unsupported("this statement")),
    };
    let name = folded(&schema_part(name)?);
    cenote_vocab::check_database(&name)?;
    if !session.identity().allows(Privilege::Create, &name, None) {
        return Err(denied(Privilege::Create, &format!("schema {name}")));
    }
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    if snapshot.names.schemas.contains_key(&name) {
        if if_not_exists {
            return Ok(Answer::done("CREATE SCHEMA")
                .with_notice(format!("schema \"{name}\" already exists, skipping")));
        }
        return Err(Error::from(cenote_catalog::Error::SchemaExists(name)));
    }
    let staged = Staged {
        names: Some(Arc::new(with_schema(&snapshot.names, &name))),
        objects: session.identity().owning(with_options(name, if_not_exists, options)),
        sql: vec![prepared.sql.clone()],
        operation: "create_schema",
        ..Staged::default()
    };
    let txn = session.finish(staged, guard).await?;
    Ok(Answer::done("CREATE SCHEMA").with_txn(txn))
}

fn with_options(name: String, if_not_exists: bool, options: BTreeMap<String, String>) -> Vec<ObjectChange> {
    let create = ObjectChange::CreateSchema { name: name.clone(), if_not_exists };
    if options.is_empty() {
        return vec![create];
    }
    let options = options.into_iter().map(|(option, value)| (option, Some(value))).collect();
    vec![create, ObjectChange::SetSchemaOptions { name, options }]
}

/// Sets and resets options that a schema has for its tables.
pub(crate) async fn alter(
    session: &Inner,
    alter: &AlterSchema,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    let path = session.search_path();
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let ident = part_of(&alter.schema)?;
    let Some(name) = resolver.schema(&ident)?.map(ToOwned::to_owned) else {
        return Err(missing(&ident));
    };
    // their options let rows and versions of all its tables go
    for right in [Privilege::Alter, Privilege::Delete] {
        session.require(right, Object::Schema(&name))?;
    }
    for (option, value) in &alter.options {
        if let Some(value) = value {
            table_options::check_of_schema(option, value)?;
        }
    }
    let staged = Staged {
        objects: vec![ObjectChange::SetSchemaOptions {
            name,
            options: alter.options.iter().cloned().collect(),
        }],
        sql: vec![prepared.sql.clone()],
        operation: "alter_schema",
        ..Staged::default()
    };
    let txn = session.finish(staged, guard).await?;
    Ok(Answer::done("ALTER SCHEMA").with_txn(txn))
}

fn missing(ident: &Ident) -> Error {
    Error::new(ErrorKind::NotFound, format!("schema \"{}\" does not exist", folded(ident)))
        .with_sqlstate("3F000")
}

/// Drops schemas of the lake, with CASCADE also what is in them.
pub(crate) async fn drop(
    session: &Inner,
    statement: &Statement,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    let Statement::Drop { names, if_exists, cascade, .. } = statement else {
        return Err(unsupported("this statement"));
    };
    let path = session.search_path();
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let mut names_left = (*snapshot.names).clone();
    let (mut objects, mut dropped) = (Vec::new(), Vec::new());
    let mut views: Vec<Arc<TableDef>> = Vec::new();
    for name in names {
        let ident = schema_part(name)?;
        let name = match resolver.schema(&ident)? {
            Some(name) => name.to_owned(),
            None if *if_exists => continue,
            None => return Err(missing(&ident)),
        };
        session.require(Privilege::Drop, Object::Schema(&name))?;
        if name == DEFAULT_SCHEMA {
            return Err(
                Error::new(ErrorKind::Invalid, "schema \"default\" cannot be dropped").with_sqlstate("2BP01")
            );
        }
        check_pipelines(session, &name).await?;
        let tables = || snapshot.names.schemas.get(&name).into_iter().flat_map(|(_, tables)| tables.values());
        dropped.extend(tables().map(|table| table.id));
        for table in tables() {
            if table.kind != TableKind::Table && table.materialized().is_some() {
                views.push(table.clone());
            }
            let readers = dependents(&snapshot.names, table);
            if !readers.is_empty() && !*cascade {
                return Err(depended_on(session, table, &readers));
            }
            views.extend(readers);
        }
        names_left = without_schema(&names_left, &name);
        objects.push(ObjectChange::DropSchema { name, cascade: *cascade, if_exists: *if_exists });
    }
    if objects.is_empty() {
        return Ok(Answer::done("DROP SCHEMA").with_notice("schema does not exist, skipping"));
    }
    if *cascade {
        super::materialized::drop_cascading(session, &views).await?;
    }
    let staged = Staged {
        objects,
        dropped,
        names: Some(Arc::new(names_left)),
        sql: vec![prepared.sql.clone()],
        operation: "drop_schema",
        ..Staged::default()
    };
    let txn = session.finish(staged, guard).await?;
    Ok(Answer::done("DROP SCHEMA").with_txn(txn))
}

/// A pipeline would go on without the tables that it writes.
async fn check_pipelines(session: &Inner, schema: &str) -> Result<(), Error> {
    let pipelines = session.engine().lake().catalog.pipelines(&session.identity().scope).await?;
    let is_left =
        |pipeline: &&Pipeline| pipeline.schema == schema && !pipeline.options.contains_key(MATERIALIZED);
    match pipelines.iter().find(is_left) {
        Some(pipeline) => {
            let text = format!("pipeline \"{}\" is in schema \"{schema}\"", pipeline.name);
            Err(Error::new(ErrorKind::Conflict, text)
                .with_sqlstate("2BP01")
                .with_hint("use DROP PIPELINE first"))
        }
        None => Ok(()),
    }
}

/// `x` of `x` and `lake.x`.
fn schema_part(name: &ObjectName) -> Result<Ident, Error> {
    part_of(&parts(name))
}

pub(super) fn part_of(name: &[Ident]) -> Result<Ident, Error> {
    match name {
        [name] => Ok(name.clone()),
        [catalog, name] if folded(catalog) == CATALOG => Ok(name.clone()),
        [catalog, _] => {
            Err(Error::new(ErrorKind::NotFound, format!("catalog \"{}\" does not exist", folded(catalog)))
                .with_sqlstate("3D000"))
        }
        _ => {
            let name = name.iter().map(Ident::to_string).collect::<Vec<_>>().join(".");
            Err(Error::new(ErrorKind::Invalid, format!("{name} is no name of a schema")))
        }
    }
}
