//! `DELETE FROM t [WHERE …]`, `TRUNCATE`: the places of the rows are found by a scan, one commit takes them away.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Int64Array;
use cenote_catalog::{Commit, DataFile, Op, ReadSet, Reruns, RetireKind, RowChange, TableChange, TableDef};
use cenote_datafile::DeletionVector;
use cenote_table::Predicate;
use cenote_vocab::{ErrorKind, FileId, Permission, Txn};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as AnyStatement;
use futures::TryStreamExt;
use sqlparser::ast::{
    Delete, Expr, FromTable, Ident, SelectItem, SetExpr, Statement as SqlStatement, TableFactor,
    TableWithJoins, Truncate,
};

use super::create_table::parts;
use super::select::bind_parameters;
use super::{Answer, Guard, Prepared, table_options};
use crate::Error;
use crate::parse::{Parsed, parse, unsupported};
use crate::plan::{Binder, Resolver, exact, fault};
use crate::scan::{FILE_COLUMN, POSITION_COLUMN};
use crate::session::Inner;
use crate::transaction::facts;

/// Deletes the rows that match.
pub(crate) async fn delete(
    session: &Inner,
    delete: &Delete,
    prepared: &Prepared,
    parameters: Vec<ScalarValue>,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    session.refuse_in_transaction("DELETE")?;
    let (name, _) = target(delete)?;
    let mut reruns = Reruns::new(session.engine().lake().ids.clone());
    loop {
        let table = flushed(session, &name, guard).await?;
        let planned = guard.run(async {
            let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
            let ops = if delete.selection.is_none() && delete.using.is_none() {
                all_rows(session, &table, snapshot.txn).await?
            } else {
                matching_rows(session, &table, delete, prepared, parameters.clone(), snapshot.clone()).await?
            };
            Ok((ops, snapshot.txn))
        });
        let (planned, base) = Box::pin(planned).await?;
        match commit(session, &table, base, planned, "delete", prepared, guard).await {
            Ok(Some(done)) => return Ok(Answer::wrote("DELETE", done.1).with_txn(Some(done.0))),
            Ok(None) => return Ok(Answer::wrote("DELETE", 0)),
            Err(error) => guard.pause(&session.engine().lake().clock, reruns.pause_after(error)?).await?,
        }
    }
}

/// Deletes all rows of the tables.
pub(crate) async fn truncate(
    session: &Inner,
    truncate: &Truncate,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    session.refuse_in_transaction("TRUNCATE")?;
    if truncate.partitions.is_some()
        || truncate.on_cluster.is_some()
        || truncate.identity.is_some()
        || truncate.cascade.is_some()
    {
        return Err(unsupported("TRUNCATE with PARTITION, IDENTITY or CASCADE"));
    }
    let [target] = truncate.table_names.as_slice() else {
        return Err(unsupported("TRUNCATE of several tables"));
    };
    let name = parts(&target.name);
    let mut reruns = Reruns::new(session.engine().lake().ids.clone());
    loop {
        let table = match flushed(session, &name, guard).await {
            Err(error) if truncate.if_exists && cenote_vocab::Fault::kind(&error) == ErrorKind::NotFound => {
                return Ok(Answer::done("TRUNCATE TABLE").with_notice(format!("{error}, skipping")));
            }
            table => table?,
        };
        let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
        let planned = all_rows(session, &table, snapshot.txn).await?;
        match commit(session, &table, snapshot.txn, planned, "truncate", prepared, guard).await {
            Ok(done) => return Ok(Answer::done("TRUNCATE TABLE").with_txn(done.map(|(txn, _)| txn))),
            Err(error) => guard.pause(&session.engine().lake().clock, reruns.pause_after(error)?).await?,
        }
    }
}

/// The table and the plan that finds its rows: file and place of each.
pub(crate) async fn plan(
    session: &Inner,
    binder: &mut Binder<'_>,
    delete: &Delete,
    sql: &str,
) -> Result<(Arc<TableDef>, LogicalPlan), Error> {
    let (name, from) = target(delete)?;
    let path = session.search_path();
    let table = {
        let names = binder.names();
        Resolver { names: &names, identity: session.identity(), search_path: &path }
            .writable(&name, Permission::Delete)?
    };
    binder.address(table.id);
    let finder = finder(delete, from)?;
    let plan = binder.plan(finder, sql, &path).await?;
    Ok((table, plan))
}

/// `SELECT file, position FROM t WHERE …`, with the WHERE and the places of the DELETE.
fn finder(delete: &Delete, from: &TableWithJoins) -> Result<AnyStatement, Error> {
    let Parsed::Sql { statement, .. } = parse("SELECT 1 FROM t")? else { return Err(unsupported("DELETE")) };
    let AnyStatement::Statement(mut statement) = *statement else { return Err(unsupported("DELETE")) };
    let SqlStatement::Query(query) = statement.as_mut() else { return Err(unsupported("DELETE")) };
    let SetExpr::Select(select) = query.body.as_mut() else { return Err(unsupported("DELETE")) };
    let TableFactor::Table { name, alias, .. } = &from.relation else {
        return Err(unsupported("DELETE of anything but a table"));
    };
    let qualifier = match alias {
        Some(alias) => alias.name.clone(),
        None => name.0.last().and_then(|part| part.as_ident().cloned()).unwrap_or_else(|| exact("t")),
    };
    let column = |column: &str| {
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![qualifier.clone(), exact(column)]))
    };
    select.projection = vec![column(FILE_COLUMN), column(POSITION_COLUMN)];
    select.from = vec![from.clone()];
    select.selection.clone_from(&delete.selection);
    Ok(AnyStatement::Statement(statement))
}

fn target(delete: &Delete) -> Result<(Vec<Ident>, &TableWithJoins), Error> {
    let refused = [
        ("DELETE … USING", delete.using.is_some()),
        ("DELETE … RETURNING", delete.returning.is_some() || delete.output.is_some()),
        ("DELETE … ORDER BY and LIMIT", !delete.order_by.is_empty() || delete.limit.is_some()),
        ("DELETE of several tables", !delete.tables.is_empty()),
    ];
    if let Some((what, _)) = refused.iter().find(|(_, present)| *present) {
        return Err(unsupported(what));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [from] = from.as_slice() else { return Err(unsupported("DELETE of several tables")) };
    match &from.relation {
        TableFactor::Table { name, version: None, args: None, .. } if from.joins.is_empty() => {
            Ok((parts(name), from))
        }
        _ => Err(unsupported("DELETE of anything but a table")),
    }
}

/// The table, after everything of it that was acknowledged is in files: a vector cannot name a buffered row.
async fn flushed(session: &Inner, name: &[Ident], guard: &Guard) -> Result<Arc<TableDef>, Error> {
    guard.check()?;
    let path = session.search_path();
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let table = resolver.writable(name, Permission::Delete)?;
    if table_options::is_append_only(&table.properties) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("table {} is append-only: its rows cannot be deleted", table.full_name()),
        )
        .with_sqlstate("25006"));
    }
    session.engine().ingest().flush(&session.identity().scope, &table).await?;
    // the flush may have changed nothing but rows; a change of the table itself is a conflict of the commit
    Ok(table)
}

/// All files go.
async fn all_rows(session: &Inner, table: &TableDef, at: Txn) -> Result<Vec<Op>, Error> {
    let scan = session.engine().lake().scan(&session.identity().scope, table, at, &Predicate::True).await?;
    let files: Vec<FileId> = scan.files.iter().map(|file| file.entry.id).collect();
    Ok(if files.is_empty() { Vec::new() } else { vec![Op::Retire { files, kind: RetireKind::Delete }] })
}

async fn matching_rows(
    session: &Inner,
    table: &Arc<TableDef>,
    delete: &Delete,
    prepared: &Prepared,
    parameters: Vec<ScalarValue>,
    snapshot: Arc<crate::plan::Snapshot>,
) -> Result<Vec<Op>, Error> {
    let sql = prepared.sql.as_str();
    let at = snapshot.txn;
    let nothing = std::collections::BTreeSet::new();
    let mut binder = session.binder(snapshot, &nothing);
    let (_, plan) = plan(session, &mut binder, delete, sql).await?;
    let plan = bind_parameters(plan, parameters, sql)?;
    let physical = binder.state().create_physical_plan(&plan).await.map_err(|error| fault::of(error, sql))?;
    let mut batches =
        session.engine().base().stream(binder.state(), physical).map_err(|error| fault::of(error, sql))?;
    let mut found: BTreeMap<FileId, DeletionVector> = BTreeMap::new();
    while let Some(batch) = batches.try_next().await.map_err(fault::while_running)? {
        let column = |at: usize| batch.column(at).as_any().downcast_ref::<Int64Array>();
        let (Some(files), Some(positions)) = (column(0), column(1)) else {
            return Err(Error::new(ErrorKind::Internal, "internal error: places of rows are not numbers"));
        };
        for (file, position) in files.values().iter().zip(positions.values()) {
            let position = u64::try_from(*position).map_err(|_| {
                Error::new(ErrorKind::Internal, "internal error: the place of a row is negative")
            })?;
            found.entry(FileId(*file)).or_default().insert(position);
        }
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let scan = session.engine().lake().scan(&session.identity().scope, table, at, &Predicate::True).await?;
    let files: BTreeMap<FileId, Arc<DataFile>> =
        scan.files.iter().map(|file| (file.entry.id, file.entry.clone())).collect();
    let mut whole = Vec::new();
    let mut ops = Vec::new();
    for (file, positions) in found {
        let Some(entry) = files.get(&file) else {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("internal error: file {file} left the snapshot"),
            ));
        };
        if positions.cardinality() == entry.live_rows() {
            whole.push(file);
        } else {
            let seen = entry.vector.as_ref().map(|visible| visible.begin_txn);
            ops.push(Op::DeleteRows { file, seen, positions, kind: RowChange::Delete });
        }
    }
    if !whole.is_empty() {
        ops.push(Op::Retire { files: whole, kind: RetireKind::Delete });
    }
    Ok(ops)
}

/// The transaction and the rows that it took; `None` if there was nothing to do.
async fn commit(
    session: &Inner,
    table: &TableDef,
    base: Txn,
    ops: Vec<Op>,
    operation: &str,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Option<(Txn, u64)>, cenote_catalog::Error> {
    if ops.is_empty() {
        return Ok(None);
    }
    let lake = session.engine().lake();
    let inputs = BTreeMap::from([(table.id, base)]);
    let committed = lake
        .catalog
        .apply(Commit {
            commit_id: lake.ids.uuid(),
            scope: session.identity().scope.clone(),
            producers: Vec::new(),
            facts: facts(
                session.identity(),
                operation,
                std::slice::from_ref(&prepared.sql),
                &inputs,
                guard.request_id.clone(),
            ),
            tables: vec![TableChange { table: table.id, base, read: ReadSet::None, ops }],
            objects: Vec::new(),
        })
        .await?;
    Ok(Some((committed.txn, committed.deleted_rows)))
}
