//! `ALTER TABLE`: add columns, rename, set options.

use std::collections::BTreeMap;

use cenote_catalog::{Alter, Commit, ObjectChange, Op, ReadSet, TableChange, TableDef};
use cenote_vocab::{ErrorKind, Fault, FieldId, Permission};
use sqlparser::ast::{AlterTable, AlterTableOperation, Ident, RenameTableNameKind};

use super::create_table::{declared_field, parts};
use super::{Answer, Guard, Prepared, table_options};
use crate::Error;
use crate::parse::{folded, unsupported};
use crate::plan::{Found, Resolver};
use crate::session::Inner;
use crate::transaction::facts;

/// Changes a table in one commit.
pub(crate) async fn alter_table(
    session: &Inner,
    alter: &AlterTable,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    session.refuse_in_transaction("ALTER TABLE")?;
    if alter.only || alter.location.is_some() || alter.on_cluster.is_some() {
        return Err(unsupported("ALTER TABLE with ONLY, LOCATION or ON CLUSTER"));
    }
    let rename =
        alter.operations.iter().any(|operation| matches!(operation, AlterTableOperation::RenameTable { .. }));
    let Some((table, base)) = find(session, &parts(&alter.name), alter.if_exists, rename).await? else {
        return Ok(Answer::done("ALTER TABLE").with_notice("NOTICE: table does not exist, skipping"));
    };
    if rename {
        return rename_table(session, &table, alter, prepared, guard).await;
    }
    let mut ops = Vec::new();
    for operation in &alter.operations {
        match operation {
            AlterTableOperation::AddColumn { if_not_exists, column_def, column_position: None, .. } => {
                let field = declared_field(column_def, FieldId(0))?;
                cenote_vocab::check_column(&field.name)?;
                if field.required {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        format!("new column \"{}\" cannot be NOT NULL without a DEFAULT", field.name),
                    )
                    .with_sqlstate("23502"));
                }
                if field.comment.is_some() {
                    return Err(unsupported("COMMENT of a new column"));
                }
                if table.schema.field(&field.name).is_some() {
                    if *if_not_exists {
                        continue;
                    }
                    return Err(Error::from(cenote_catalog::Error::ColumnExists {
                        table: table.full_name(),
                        column: field.name,
                    }));
                }
                ops.push(Op::Alter(Alter::AddColumns {
                    columns: vec![(field.name, field.field_type)],
                    tags: Vec::new(),
                    if_not_exists: *if_not_exists,
                }));
            }
            other => return Err(unsupported(&format!("ALTER TABLE … {other}"))),
        }
    }
    commit(session, &table, base, ops, prepared, guard).await
}

/// `SET (option = value, …)`, `RESET (option, …)`
pub(crate) async fn set_options(
    session: &Inner,
    name: &[Ident],
    if_exists: bool,
    options: &[(String, Option<String>)],
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    session.refuse_in_transaction("ALTER TABLE")?;
    for (option, value) in options {
        match (option.as_str(), value) {
            ("time_column" | "tags" | "format", _) => {
                return Err(unsupported(&format!("changing option {option}")));
            }
            (_, Some(value)) => table_options::check(option, value)?,
            (_, None) => {}
        }
    }
    let Some((table, base)) = find(session, name, if_exists, false).await? else {
        return Ok(Answer::done("ALTER TABLE").with_notice("NOTICE: table does not exist, skipping"));
    };
    let properties: BTreeMap<String, Option<String>> = options.iter().cloned().collect();
    commit(session, &table, base, vec![Op::Alter(Alter::SetProperties(properties))], prepared, guard).await
}

type Target = (std::sync::Arc<TableDef>, cenote_vocab::Txn);

async fn find(
    session: &Inner,
    name: &[Ident],
    if_exists: bool,
    views_too: bool,
) -> Result<Option<Target>, Error> {
    let path = session.search_path();
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let found = if views_too {
        resolver.find(name, Permission::Write).and_then(|found| match found {
            Found::Table(table) => Ok(table),
            _ => Err(Error::new(ErrorKind::Denied, "system tables are read-only")),
        })
    } else {
        resolver.writable(name, Permission::Write)
    };
    match found {
        Ok(table) => Ok(Some((table, snapshot.txn))),
        Err(error) if if_exists && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn rename_table(
    session: &Inner,
    table: &TableDef,
    alter: &AlterTable,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    let [
        AlterTableOperation::RenameTable {
            table_name: RenameTableNameKind::To(to) | RenameTableNameKind::As(to),
        },
    ] = alter.operations.as_slice()
    else {
        return Err(unsupported("RENAME TO beside other changes"));
    };
    let [to] =
        parts(to).as_slice().to_vec().try_into().map_err(|_| unsupported("RENAME TO into another schema"))?;
    let name = folded(&to);
    cenote_vocab::check_table(&name)?;
    if !session.identity().allows(Permission::Write, &table.schema_name, Some(&name)) {
        return Err(crate::plan::denied(Permission::Write, &format!("{}.{name}", table.schema_name)));
    }
    let staged = crate::transaction::Staged {
        objects: vec![ObjectChange::RenameTable { table: table.id, name }],
        sql: vec![prepared.sql.clone()],
        operation: "rename_table",
        ..Default::default()
    };
    let txn = session.finish(staged, guard).await?;
    Ok(Answer::done("ALTER TABLE").with_txn(txn))
}

async fn commit(
    session: &Inner,
    table: &TableDef,
    base: cenote_vocab::Txn,
    ops: Vec<Op>,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    if ops.is_empty() {
        return Ok(Answer::done("ALTER TABLE"));
    }
    guard.check()?;
    let lake = session.engine().lake();
    let committed = lake
        .catalog
        .apply(Commit {
            commit_id: lake.ids.uuid(),
            scope: session.identity().scope.clone(),
            producers: Vec::new(),
            facts: facts(
                session.identity(),
                "alter_table",
                std::slice::from_ref(&prepared.sql),
                &BTreeMap::new(),
                guard.request_id.clone(),
            ),
            tables: vec![TableChange { table: table.id, base, read: ReadSet::None, ops }],
            objects: Vec::new(),
        })
        .await?;
    Ok(Answer::done("ALTER TABLE").with_txn(Some(committed.txn)))
}
