//! `FLUSH`, `OPTIMIZE`, `VACUUM`, `VERIFY`, `KILL QUERY`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Privilege, TableDef, TableKind};
use cenote_table::{Finding, OptimizeMode, OptimizeOutcome, Predicate, VacuumOptions};
use cenote_vocab::ErrorKind;
use datafusion::logical_expr::LogicalPlan;
use futures::FutureExt;
use sqlparser::ast::Ident;

use super::show::table_batch;
use super::{Answer, Guard};
use crate::Error;
use crate::engine::cancelled;
use crate::parse::{Parsed, parse, unsupported};
use crate::plan::{Resolver, denied, exact};
use crate::scan::lower_all;
use crate::session::Inner;

/// Returns when all that was acknowledged before is part of a snapshot, and in objects.
pub(crate) async fn flush(session: &Inner, target: Option<&[Ident]>) -> Result<Answer, Error> {
    session.refuse_in_transaction_block("FLUSH")?;
    let (engine, scope) = (session.engine(), &session.identity().scope);
    let (mut txn, tables) = match target {
        Some(name) => {
            let table = table(session, name, Privilege::Insert).await?;
            (engine.ingest().flush(scope, &table).await?, vec![table])
        }
        None => {
            everywhere(session, Privilege::Alter)?;
            let txn = engine.ingest().flush_all(scope).await?;
            let names = engine.lake().catalog.names(scope, txn).await?;
            (txn, names.tables().filter(|table| table.kind == TableKind::Table).cloned().collect())
        }
    };
    for table in &tables {
        txn = txn.max(engine.lake().flush_inline(scope, table).await?.unwrap_or(txn));
    }
    Ok(Answer::done("FLUSH").with_txn(Some(txn)))
}

/// Columns of the answer of OPTIMIZE.
pub(crate) fn optimize_columns() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let number = |name: &str| Field::new(name, DataType::UInt64, false);
    Arc::new(Schema::new(vec![
        text("table"),
        text("partition"),
        text("action"),
        text("reason"),
        number("files_in"),
        number("bytes_in"),
        number("files_out"),
        number("bytes_out"),
        Field::new("txn", DataType::Int64, true),
    ]))
}

/// Merges small files, one row per partition.
pub(crate) async fn optimize(
    session: &Inner,
    target: Option<&[Ident]>,
    mode: OptimizeMode,
    only: Option<&str>,
    dry_run: bool,
) -> Result<Answer, Error> {
    session.refuse_in_transaction_block("OPTIMIZE")?;
    session.check_not_as_of()?;
    let tables = tables(session, target, Privilege::Alter).await?;
    let mut outcomes: Vec<OptimizeOutcome> = Vec::new();
    for table in &tables {
        let only = match only {
            Some(condition) => condition_on(session, table, condition).await?,
            None => Predicate::True,
        };
        let (lake, scope) = (session.engine().lake(), &session.identity().scope);
        outcomes.extend(lake.optimize(scope, table, mode, &only, dry_run).await?);
    }
    let txn = outcomes.iter().filter_map(|outcome| outcome.txn).max();
    Ok(Answer::batch("OPTIMIZE", outcome_batch(&outcomes)?).with_txn(txn))
}

/// What of a condition tells which files may hold rows for which it is true.
pub(crate) async fn condition_on(
    session: &Inner,
    table: &TableDef,
    condition: &str,
) -> Result<Predicate, Error> {
    let name = |name: &str| exact(name).to_string();
    let sql = format!("SELECT 1 FROM {}.{} WHERE {condition}", name(&table.schema_name), name(&table.name));
    let Parsed::Sql { statement, .. } = parse(&sql)? else {
        return Err(Error::new(ErrorKind::Internal, "internal error: a condition is no query"));
    };
    let snapshot = session.snapshot(false, |_| Ok(Vec::new())).await?;
    let mut binder = session.binder(snapshot);
    let plan = binder.plan(*statement, &sql, &session.search_path()).await?;
    let plan = binder.optimized(plan, &sql).await?;
    let mut filters = None;
    let mut node = &plan;
    loop {
        match (node, node.inputs().as_slice()) {
            (LogicalPlan::TableScan(scan), _) => break filters = Some(scan.filters.as_slice()),
            (LogicalPlan::EmptyRelation(_), _) => return Ok(Predicate::Or(Vec::new())),
            (_, [input]) => node = input,
            _ => break,
        }
    }
    match filters {
        Some(filters) => Ok(lower_all(filters, table)),
        None => Err(unsupported("a condition with a subquery that says which files to read")),
    }
}

/// One row per outcome, in [`optimize_columns`].
pub(crate) fn outcome_batch(outcomes: &[OptimizeOutcome]) -> Result<RecordBatch, Error> {
    let text = |of: &dyn Fn(&OptimizeOutcome) -> String| {
        Arc::new(StringArray::from_iter_values(outcomes.iter().map(of))) as _
    };
    let number = |of: &dyn Fn(&OptimizeOutcome) -> u64| {
        Arc::new(UInt64Array::from_iter_values(outcomes.iter().map(of))) as _
    };
    table_batch(
        optimize_columns(),
        vec![
            text(&|outcome| outcome.table.clone()),
            text(&|outcome| outcome.partition.clone()),
            text(&|outcome| outcome.action.to_owned()),
            text(&|outcome| outcome.reason.clone()),
            number(&|outcome| outcome.files_in),
            number(&|outcome| outcome.bytes_in),
            number(&|outcome| outcome.files_out),
            number(&|outcome| outcome.bytes_out),
            Arc::new(Int64Array::from_iter(outcomes.iter().map(|outcome| outcome.txn.map(|txn| txn.0)))),
        ],
    )
}

/// Columns of the answer of VERIFY.
pub(crate) fn verify_columns() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![text("table"), text("object"), text("problem")]))
}

/// Compares the catalog with itself and with the objects, one row per contradiction.
pub(crate) async fn verify(
    session: &Inner,
    target: Option<&[Ident]>,
    deep: bool,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_not_as_of()?;
    let tables = tables(session, target, Privilege::Select).await?;
    let (mut names, mut findings) = (Vec::new(), Vec::new());
    for table in &tables {
        let found = session.engine().lake().verify(&session.identity().scope, table, deep);
        for finding in guard.run(Box::pin(async { Ok(found.await?) })).await? {
            names.push(table.full_name());
            findings.push(finding);
        }
    }
    let text = |of: &dyn Fn(&Finding) -> &str| {
        Arc::new(StringArray::from_iter_values(findings.iter().map(of))) as ArrayRef
    };
    let columns = vec![
        Arc::new(StringArray::from_iter_values(&names)) as ArrayRef,
        text(&|finding| &finding.object),
        text(&|finding| &finding.problem),
    ];
    Ok(Answer::batch("VERIFY", table_batch(verify_columns(), columns)?))
}

/// The table that is named, or all of the tenant.
pub(super) async fn tables(
    session: &Inner,
    target: Option<&[Ident]>,
    privilege: Privilege,
) -> Result<Vec<Arc<TableDef>>, Error> {
    match target {
        Some(name) => Ok(vec![table(session, name, privilege).await?]),
        None => {
            everywhere(session, privilege)?;
            let snapshot = session.snapshot(false, |_| Ok(Vec::new())).await?;
            Ok(snapshot.names.tables().filter(|table| table.kind == TableKind::Table).cloned().collect())
        }
    }
}

/// Columns of the answer of VACUUM.
pub(crate) fn vacuum_columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("size_bytes", DataType::UInt64, false),
        Field::new("reason", DataType::Utf8, false),
    ]))
}

/// Deletes objects that no readable version needs, and names those that only a tag or a hold keeps: one row each.
pub(crate) async fn vacuum(
    session: &Inner,
    target: Option<&[Ident]>,
    options: VacuumOptions,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.refuse_in_transaction_block("VACUUM")?;
    session.check_not_as_of()?;
    let lake = session.engine().lake();
    let less = options.keep.is_some_and(|keep| keep < lake.options.history_keep);
    if options.force || less {
        everywhere(session, Privilege::Manage)?;
    }
    let table = match target {
        Some(name) => Some(table(session, name, Privilege::Alter).await?),
        None => {
            everywhere(session, Privilege::Alter)?;
            None
        }
    };
    let (scope, table) = (&session.identity().scope, table.as_deref());
    let went = if options.force && !options.dry_run {
        let queued = lake.queue_unneeded(scope, table, options).await?;
        let outlast = session.engine().registry().outlast(&guard.running);
        guard.run(outlast.map(Ok)).await?; // only now: who began before may read what was queued
        lake.collect_queued(scope, table, queued).await?
    } else {
        lake.vacuum(scope, table, options).await?
    };
    let went = went.into_iter().map(|object| (object.path, object.bytes, object.reason.to_owned()));
    let kept = lake.kept(scope, table, options).await?.into_iter();
    let kept = kept.map(|object| (object.path, object.bytes, format!("kept by {}", object.by)));
    let objects: Vec<(String, u64, String)> = went.chain(kept).collect();
    let batch = table_batch(
        vacuum_columns(),
        vec![
            Arc::new(StringArray::from_iter_values(objects.iter().map(|(path, ..)| path))),
            Arc::new(UInt64Array::from_iter_values(objects.iter().map(|(_, bytes, _)| *bytes))),
            Arc::new(StringArray::from_iter_values(objects.iter().map(|(.., reason)| reason))),
        ],
    )?;
    Ok(Answer::batch("VACUUM", batch))
}

/// Cancels a statement: one's own, or with admin rights any of the tenant.
pub(crate) fn kill(session: &Inner, id: &str) -> Result<Answer, Error> {
    session.refuse_in_transaction_block("KILL QUERY")?;
    let (registry, identity) = (session.engine().registry(), session.identity());
    let own = registry
        .list(&identity.scope)
        .iter()
        .any(|record| record.id == id && record.user == identity.token.name);
    let known = own || identity.allows_everywhere(Privilege::Monitor);
    let killed = known
        .then(|| registry.cancel(&identity.scope, id, cancelled("killed by an administrator")))
        .flatten();
    match killed {
        Some(true) => Ok(Answer::done("KILL")),
        Some(false) => Err(Error::new(ErrorKind::Conflict, format!("query \"{id}\" has ended already"))
            .with_sqlstate("55000")),
        None => Err(Error::new(ErrorKind::NotFound, format!("query \"{id}\" does not exist"))),
    }
}

async fn table(session: &Inner, name: &[Ident], privilege: Privilege) -> Result<Arc<TableDef>, Error> {
    let path = session.search_path();
    let snapshot = session.snapshot(false, |_| Ok(Vec::new())).await?;
    Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path }
        .writable(name, privilege)
}

pub(crate) fn everywhere(session: &Inner, privilege: Privilege) -> Result<(), Error> {
    if session.identity().allows_everywhere(privilege) {
        Ok(())
    } else {
        Err(denied(privilege, "all tables"))
    }
}
