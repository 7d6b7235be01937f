//! Carries out a change: plans it on a snapshot, writes its rows, stages or commits it, and plans again where others were
//! first.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Names, Privilege, ReadSet, Region, Reruns, RowChange as Kind, TableDef};
use cenote_datafile::DeletionVector;
use cenote_table::{RowKey, Staging};
use cenote_vocab::{ErrorKind, Field, FileId, TableId, Txn};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::sql::parser::Statement as AnyStatement;
use futures::TryStreamExt;
use sqlparser::ast::{Expr as SqlExpr, Ident};

use super::plan::plan;
use super::query::{FILE, POSITION, RowQuery, checked_rows};
use super::reads::Reads;
use super::{
    Act, Change, ChangedRows, Clause, NewRows, NewValue, Returning, RowChange, RowWriter, Source,
    describe_returning,
};
use crate::Error;
use crate::parse::unsupported;
use crate::plan::{Binder, Resolver, Snapshot, fault, is_deterministic};
use crate::session::Inner;
use crate::statement::{
    Answer, Guard, Prepared, Returned, bind_parameters, insert_source, refuse_append_only,
};
use crate::transaction::{Failure, Staged};

/// Number of the column that says which clause decides.
const CLAUSE: usize = 2;
/// Number of the first column of the new row.
const VALUES: usize = 3;

/// What is done to the rows of a table with these columns.
type ByColumns<'a> = Box<dyn Fn(&TableDef) -> Result<Change, Error> + Send + Sync + 'a>;

/// A statement that changes rows of one table.
pub(crate) struct Verb<'a> {
    /// First word of its tag.
    pub(crate) command: &'static str,
    /// In the history.
    pub(crate) operation: &'static str,
    pub(crate) target: Vec<Ident>,
    pub(crate) privileges: Vec<Privilege>,
    /// Rows that it brings along.
    pub(crate) rows: NewRows<'a>,
    pub(crate) returning: Option<Returning<'a>>,
    /// What it does, by the table's columns.
    pub(crate) change: ByColumns<'a>,
}

impl Verb<'_> {
    fn table(&self, session: &Inner, names: &Names) -> Result<Arc<TableDef>, Error> {
        let path = session.search_path();
        let resolver = Resolver { names, identity: session.identity(), search_path: &path };
        let mut found = None;
        for privilege in &self.privileges {
            found = Some(resolver.writable(&self.target, *privilege)?);
        }
        let table = found
            .ok_or_else(|| Error::new(ErrorKind::Internal, "internal error: a change without a privilege"))?;
        refuse_append_only(&table)?;
        Ok(table)
    }
}

/// The plans of a statement, for its parameters; with RETURNING the last is that of its answer.
pub(crate) async fn describe(
    session: &Inner,
    binder: &mut Binder<'_>,
    verb: &Verb<'_>,
    sql: &str,
) -> Result<Vec<LogicalPlan>, Error> {
    let table = verb.table(session, &binder.names())?;
    match (verb.change)(&table)? {
        Change::DeleteAll => Ok(Vec::new()),
        Change::Rows(change) => {
            verb.rows.register(session, binder, sql).await?;
            let path = session.search_path();
            let mut plans = vec![plan(binder, &change, &table, sql, &path).await?.plan];
            if let NewRows::Replacing(_, predicate) = verb.rows {
                let rows = checked_rows(&table, &change.target, predicate)?;
                plans.push(binder.plan(rows, sql, &path).await?);
            }
            if let Some(returning) = &verb.returning {
                plans.push(describe_returning(session, binder, &table, returning, sql).await?);
            }
            Ok(plans)
        }
    }
}

/// Runs a statement to its answer.
pub(crate) async fn run(
    session: &Inner,
    verb: &Verb<'_>,
    prepared: &Prepared,
    parameters: Vec<ScalarValue>,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    let mut reruns = Reruns::new(session.engine().lake().ids.clone());
    loop {
        let effect = Box::pin(stage(session, verb, prepared, parameters.clone(), guard)).await?;
        let (rows, exact) = (effect.rows, effect.writes);
        let returned = match Returned::of(&effect.answer, prepared, guard) {
            Ok(returned) => returned,
            Err(error) => {
                effect.staged.abandon(session.engine().lake()).await;
                return Err(error);
            }
        };
        let wrote = |rows| Answer::wrote(verb.command, rows).with_rows(returned);
        match session.finish_rows(effect.staged, guard).await {
            Ok(None) => return Ok(wrote(rows)),
            Ok(Some(committed)) => {
                // rows that others deleted at the same time count once
                let rows = if exact { rows } else { committed.deleted_rows };
                return Ok(wrote(rows).with_txn(Some(committed.txn)));
            }
            Err(Failure::Commit(error)) => {
                guard.pause(&session.engine().lake().clock, reruns.pause_after(error)?).await?;
            }
            Err(Failure::Other(error)) => return Err(error),
        }
    }
}

/// What a statement would commit.
struct Effect {
    staged: Staged,
    /// Rows that come or go; an updated row counts once.
    rows: u64,
    /// True if it brings new rows: then nobody else may have taken the same rows.
    writes: bool,
    /// Of RETURNING.
    answer: Vec<RecordBatch>,
}

async fn stage(
    session: &Inner,
    verb: &Verb<'_>,
    prepared: &Prepared,
    parameters: Vec<ScalarValue>,
    guard: &Guard,
) -> Result<Effect, Error> {
    let path = session.search_path();
    guard.check()?;
    let before = verb.table(session, &*session.names().await?)?;
    session.flush_for_change(&before).await?;
    let sources = sources(verb, &before)?;
    let snapshot = session
        .snapshot(true, |names| {
            let resolver = Resolver { names, identity: session.identity(), search_path: &path };
            let mut pinned = Vec::new();
            for source in &sources {
                pinned.extend(Binder::pinned(source, &resolver)?);
            }
            Ok(pinned)
        })
        .await?;
    let table = verb.table(session, &snapshot.names)?;
    let mut staging = Staging::of(table.clone());
    let mut inputs = BTreeMap::from([(table.id, snapshot.txn)]);
    let mut deterministic = true;
    let (rows, writes, answer) = match (verb.change)(&table)? {
        Change::DeleteAll => {
            (delete_all(session, &table, snapshot.txn, &mut staging).await?, false, Vec::new())
        }
        Change::Rows(change) => {
            let work = change_rows(
                session,
                verb,
                (prepared, parameters),
                &snapshot,
                &change,
                &mut staging,
                (&mut inputs, &mut deterministic),
            );
            guard.run(Box::pin(work)).await?
        }
    };
    let staged = Staged {
        rows: BTreeMap::from([(table.id, Arc::new(staging))]),
        base: Some(snapshot.txn),
        sql: vec![prepared.sql.clone()],
        operation: verb.operation,
        inputs,
        deterministic: Some(deterministic),
        ..Staged::default()
    };
    Ok(Effect { staged, rows, writes, answer })
}

/// The queries by which a statement reads tables.
fn sources(verb: &Verb<'_>, table: &TableDef) -> Result<Vec<AnyStatement>, Error> {
    let mut sources = Vec::new();
    if let Change::Rows(change) = (verb.change)(table)? {
        sources.push(RowQuery::of(&change, table)?.statement);
    }
    if let Some(insert) = verb.rows.insert() {
        sources.push(insert_source(insert)?);
    }
    Ok(sources)
}

/// All files go.
async fn delete_all(session: &Inner, table: &TableDef, at: Txn, staging: &mut Staging) -> Result<u64, Error> {
    let files = session.files(table, at).await?;
    staging.retire(files.iter().map(|file| file.id));
    Ok(files.iter().map(|file| file.live_rows).sum())
}

/// Where rows replace each other by their key, only an INSERT gives a key to a row: it looks for the row that has it.
fn refuse_given_keys(verb: &Verb<'_>, change: &RowChange, table: &TableDef) -> Result<(), Error> {
    let Some(key) = RowKey::of_dedup(table)? else { return Ok(()) };
    let gives = |clause: &Clause| match &clause.act {
        Act::Insert(_) => true,
        Act::Update(values) => key.places().iter().any(|place| !matches!(values[*place], NewValue::Kept)),
        _ => false,
    };
    let gives = match verb.rows {
        NewRows::Merged(_) => false,
        NewRows::Replacing(..) => true,
        _ => change.clauses.iter().any(gives),
    };
    if !gives {
        return Ok(());
    }
    let what = match verb.rows {
        NewRows::Replacing(..) => "REPLACE WHERE",
        _ => verb.command,
    };
    let name = table.full_name();
    Err(unsupported(&format!("{what} that gives rows of table {name} (dedup = 'last') a key"))
        .with_hint("INSERT puts a row in the place of the one with its key"))
}

async fn change_rows(
    session: &Inner,
    verb: &Verb<'_>,
    (prepared, parameters): (&Prepared, Vec<ScalarValue>),
    snapshot: &Arc<Snapshot>,
    change: &RowChange,
    staging: &mut Staging,
    (inputs, deterministic): (&mut BTreeMap<TableId, Txn>, &mut bool),
) -> Result<(u64, bool, Vec<RecordBatch>), Error> {
    let (sql, table) = (prepared.sql.as_str(), staging.table().clone());
    refuse_given_keys(verb, change, &table)?;
    let mut binder = session.binder(snapshot.clone());
    verb.rows.register(session, &mut binder, sql).await?;
    let planned = plan(&mut binder, change, &table, sql, &session.search_path()).await?;
    *deterministic &= is_deterministic(&planned.plan);
    let mut found = Found::new(change, &table, planned.keys);
    found.changed = verb.returning.as_ref().map(|_| ChangedRows::new(session, &table));
    let mut writer = RowWriter::of_changed(session, &table);
    let work = async {
        found
            .collect(start(session, &binder, planned.plan, parameters.clone(), sql).await?, &mut writer)
            .await?;
        if let NewRows::Replacing(_, predicate) = verb.rows {
            let rows = checked_rows(&table, &change.target, predicate)?;
            let rows = binder.plan(rows, sql, &session.search_path()).await?;
            *deterministic &= is_deterministic(&rows);
            let rows = start(session, &binder, rows, parameters.clone(), sql).await?;
            found.rows = write_checked(rows, predicate, &mut writer).await?;
        }
        match (&verb.returning, found.changed.take()) {
            (Some(returning), Some(rows)) => {
                rows.answer(session, &mut binder, &table, returning, (sql, parameters)).await
            }
            _ => Ok::<_, Error>(Vec::new()),
        }
    };
    let answer = match work.await {
        Ok(answer) => answer,
        Err(error) => {
            writer.abandon().await;
            return Err(error);
        }
    };
    let (read, pruned) = binder.notes().files();
    session.engine().metrics().scanned(read, pruned);
    inputs.extend(binder.inputs());
    if let NewRows::Replacing(..) = verb.rows {
        staging.read(ReadSet::Rows(Region::all())); // a row that came meanwhile may match as well
    }
    staging.read(found.reads.into_read_set());
    let written = writer.finish().await?;
    // who puts new rows in the place of others needs them for itself
    let kind = if written.rows() > 0 { Kind::Update } else { Kind::Delete };
    for file in session.files(&table, snapshot.txn).await? {
        match found.taken.get(&file.id) {
            Some(positions) if kind == Kind::Delete && positions.cardinality() == file.live_rows => {
                staging.retire([file.id]);
            }
            Some(positions) => staging.take(file.id, file.vector, positions, kind),
            None => {}
        }
    }
    staging.append(written);
    Ok((found.rows, kind == Kind::Update, answer))
}

/// Begins to run a plan.
async fn start(
    session: &Inner,
    binder: &Binder<'_>,
    plan: LogicalPlan,
    parameters: Vec<ScalarValue>,
    sql: &str,
) -> Result<SendableRecordBatchStream, Error> {
    let plan = bind_parameters(plan, parameters, sql)?;
    let physical = binder.physical(plan, sql).await?;
    session.engine().base().stream(binder.state(), physical).map_err(|error| fault::of(error, sql))
}

/// Writes rows whose last column says whether they fulfil the predicate; all must.
async fn write_checked(
    mut batches: SendableRecordBatchStream,
    predicate: &SqlExpr,
    writer: &mut RowWriter,
) -> Result<u64, Error> {
    let mut count = 0;
    while let Some(mut batch) = batches.try_next().await.map_err(fault::while_running)? {
        let fulfil = batch.remove_column(batch.num_columns() - 1);
        if fulfil.as_boolean().true_count() < batch.num_rows() {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("a new row is not among those that are replaced: it does not fulfil {predicate}"),
            )
            .with_sqlstate("23514"));
        }
        writer.write(&batch).await?;
        count += batch.num_rows() as u64;
    }
    Ok(count)
}

/// What the query found so far.
struct Found<'a> {
    change: &'a RowChange,
    table: &'a TableDef,
    taken: BTreeMap<FileId, DeletionVector>,
    reads: Reads,
    /// Kept for RETURNING.
    changed: Option<ChangedRows>,
    rows: u64,
}

impl<'a> Found<'a> {
    fn new(change: &'a RowChange, table: &'a TableDef, keys: Vec<Field>) -> Self {
        Self { change, table, taken: BTreeMap::new(), reads: Reads::of(keys), changed: None, rows: 0 }
    }

    async fn collect(
        &mut self,
        mut batches: SendableRecordBatchStream,
        writer: &mut RowWriter,
    ) -> Result<(), Error> {
        while let Some(batch) = batches.try_next().await.map_err(fault::while_running)? {
            let (writes, changes) = self.decide(&batch)?;
            if writes.true_count() == 0 && self.changed.is_none() {
                continue;
            }
            let values = VALUES..batch.num_columns() - self.reads.keys();
            let only = |wanted: &BooleanArray, columns: Range<usize>| {
                let rows = batch.project(&columns.collect::<Vec<_>>());
                let rows = rows.and_then(|rows| filter_record_batch(&rows, wanted));
                rows.map_err(|error| fault::while_running(error.into()))
            };
            writer.write(&only(&writes, values)?).await?;
            if let Some(changed) = &mut self.changed {
                changed.add(&only(&changes, VALUES..VALUES + self.table.schema.fields.len())?)?;
            }
        }
        Ok(())
    }

    /// Takes the rows that go; says of each row whether it writes a new one, and whether it changes anything.
    fn decide(&mut self, batch: &RecordBatch) -> Result<(BooleanArray, BooleanArray), Error> {
        let (files, positions, clauses) = (
            batch.column(FILE).as_primitive_opt::<Int64Type>(),
            batch.column(POSITION).as_primitive_opt::<Int64Type>(),
            batch.column(CLAUSE).as_primitive_opt::<Int32Type>(),
        );
        let (Some(files), Some(positions), Some(clauses)) = (files, positions, clauses) else {
            return Err(Error::new(ErrorKind::Internal, "internal error: places of rows are not numbers"));
        };
        let keys = &batch.columns()[batch.num_columns() - self.reads.keys()..];
        let change = self.change;
        let mut writes = Vec::with_capacity(batch.num_rows());
        let mut changes = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let number = usize::try_from(clauses.value(row)).unwrap_or(0);
            let act = number.checked_sub(1).and_then(|at| change.clauses.get(at)).map(|clause| &clause.act);
            writes.push(matches!(act, Some(Act::Update(_) | Act::Insert(_))));
            changes.push(matches!(act, Some(Act::Update(_) | Act::Insert(_) | Act::Delete)));
            match act {
                None | Some(Act::Nothing) => {}
                Some(Act::Insert(_)) => {
                    self.rows += 1;
                    self.reads.add(keys, row);
                }
                Some(act @ (Act::Delete | Act::Update(_))) => {
                    if positions.is_null(row) || files.is_null(row) {
                        return Err(Error::new(ErrorKind::Internal, "internal error: a row has no place"));
                    }
                    self.take(FileId(files.value(row)), positions.value(row), act)?;
                }
            }
        }
        Ok((BooleanArray::from(writes), BooleanArray::from(changes)))
    }

    fn take(&mut self, file: FileId, position: i64, act: &Act) -> Result<(), Error> {
        let position = u64::try_from(position)
            .map_err(|_| Error::new(ErrorKind::Internal, "internal error: the place of a row is negative"))?;
        let taken = self.taken.entry(file).or_default();
        if taken.contains(position) {
            return match (act, &self.change.source) {
                (Act::Delete, Source::Beside(_)) => Ok(()), // it is gone either way
                _ => Err(Error::new(
                    ErrorKind::Invalid,
                    format!("a row of {} is matched more than once", self.table.full_name()),
                )
                .with_sqlstate("21000")
                .with_hint("let at most one row of the source match each row of the table")),
            };
        }
        taken.insert(position);
        self.rows += 1;
        Ok(())
    }
}
