//! INSERT into tables whose rows replace each other, and `OPTIMIZE … DEDUP`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Commit, Committed, Error as CatalogError, Facts, Privilege, Reruns, RunOf, TableDef};
use cenote_table::{Dedup, KeyedChange, KeyedRows, KeyedWrite, OptimizeOutcome, Written};
use cenote_vocab::{ErrorKind, Fault, Reservation, TableId, Txn};
use sqlparser::ast::Ident;

use super::maintain::{outcome_batch, tables};
use super::{Answer, Guard, Prepared};
use crate::Error;
use crate::change::{RowWriter, nullable};
use crate::plan::fault;
use crate::scan::conform;
use crate::session::Inner;
use crate::transaction::{code_of, facts};

/// Where the rows of a statement go.
pub(crate) enum Sink {
    /// Into files as they come.
    Files(RowWriter),
    /// Into memory: a later row may replace an earlier one.
    Keyed { rows: KeyedRows, columns: SchemaRef, reservation: Reservation },
}

/// The rows of a statement, committed nowhere.
pub(crate) enum Rows {
    /// In files.
    Files(Written),
    /// The newest of each key.
    Keyed(KeyedWrite),
}

impl Sink {
    pub(crate) fn of(session: &Inner, table: &Arc<TableDef>) -> Result<Self, Error> {
        let (lake, scope) = (session.engine().lake(), &session.identity().scope);
        Ok(match lake.keyed_rows(scope, table)? {
            Some(rows) => {
                let (columns, reservation) = (nullable(&table.schema), lake.memory.reservation());
                Self::Keyed { rows, columns, reservation }
            }
            None => Self::Files(RowWriter::new(session, table)),
        })
    }

    /// Adds rows whose columns may be cast to those of the table. `Exhausted` if rows that must be held do not fit into memory.
    pub(crate) async fn take(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        match self {
            Self::Files(writer) => writer.write(batch).await?,
            Self::Keyed { rows, columns, reservation } => {
                let batch = conform(batch, columns).map_err(fault::while_running)?;
                let bytes = batch.get_array_memory_size() as u64;
                reservation.try_grow(bytes).map_err(cenote_table::Error::from)?;
                rows.upsert(batch)?;
            }
        }
        Ok(())
    }

    pub(crate) async fn finish(self) -> Result<Rows, Error> {
        Ok(match self {
            Self::Files(writer) => Rows::Files(writer.finish().await?),
            Self::Keyed { rows, reservation: _reservation, .. } => Rows::Keyed(rows.finish().await?),
        })
    }

    /// Deletes what was written so far.
    pub(crate) async fn abandon(self) {
        if let Self::Files(writer) = self {
            writer.abandon().await;
        }
    }
}

impl Rows {
    /// Deletes what was written.
    pub(crate) async fn abandon(self, session: &Inner, table: &TableDef) {
        if let Self::Files(written) = self {
            session.engine().lake().abandon(table, written).await;
        }
    }

    /// The files of a table that has no other rows.
    pub(crate) async fn of_new_table(self) -> Result<Written, Error> {
        match self {
            Self::Files(written) => Ok(written),
            Self::Keyed(rows) => Ok(rows.write_new().await?),
        }
    }
}

/// Commits rows in the place of those with their keys; planned again while others change the same files or keys.
///
/// What was acknowledged before is flushed first, so that it does not come after. A table that is altered meanwhile is a
/// `Conflict`.
pub(crate) async fn upsert(
    session: &Inner,
    table: &Arc<TableDef>,
    rows: &KeyedWrite,
    inputs: &BTreeMap<TableId, Txn>,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Option<Txn>, Error> {
    if rows.rows() == 0 {
        return Ok(None);
    }
    let (lake, scope) = (session.engine().lake(), &session.identity().scope);
    let mut reruns = Reruns::new(lake.ids.clone());
    loop {
        guard.check()?;
        session.engine().ingest().flush(scope, table).await?;
        let planned = guard.run(Box::pin(async {
            let base = lake.catalog.head(scope).await?.txn;
            let names = lake.catalog.names(scope, base).await?;
            if names.table_by_id(table.id) != Some(table) {
                let text = format!("table {} was altered while rows were written", table.full_name());
                return Err(Error::new(ErrorKind::Conflict, text).with_sqlstate("40001"));
            }
            Ok(rows.plan(base).await?)
        }));
        match commit(session, table, planned.await?, inputs, prepared).await {
            Ok(committed) => {
                session.idempotency_key_used()?;
                return Ok(Some(committed.txn));
            }
            Err(error) => guard.pause(&lake.clock, reruns.pause_after(error)?).await?,
        }
    }
}

/// After an error the files are gone, unless the outcome is unknown.
async fn commit(
    session: &Inner,
    table: &TableDef,
    planned: KeyedChange,
    inputs: &BTreeMap<TableId, Txn>,
    prepared: &Prepared,
) -> Result<Committed, CatalogError> {
    let (lake, identity) = (session.engine().lake(), session.identity());
    let sql = std::slice::from_ref(&prepared.sql);
    let KeyedChange { change, written } = planned;
    let commit = Commit {
        commit_id: lake.ids.uuid(),
        scope: identity.scope.clone(),
        producers: session.client_producer().into_iter().collect(),
        facts: Facts {
            run: (!inputs.is_empty())
                .then(|| RunOf::Query { id: lake.ids.uuid(), started: lake.clock.now() }),
            code: code_of(sql, inputs, std::iter::once(table.id)),
            ..facts(session.caller(), "insert", sql, inputs)
        },
        tables: vec![change],
        objects: Vec::new(),
    };
    match lake.catalog.apply(commit).await {
        Ok(committed) => {
            if committed.superseded {
                lake.abandon(table, written).await;
            }
            Ok(committed)
        }
        Err(error) => {
            if error.kind() != ErrorKind::Unavailable {
                lake.abandon(table, written).await;
            }
            Err(error)
        }
    }
}

/// Deletes all rows but the newest of each key, of one table or of all whose rows replace each other.
pub(crate) async fn dedup(session: &Inner, target: Option<&[Ident]>, dry_run: bool) -> Result<Answer, Error> {
    session.refuse_in_transaction_block("OPTIMIZE")?;
    session.check_not_as_of()?;
    let tables = tables(session, target, Privilege::Delete).await?;
    let mut outcomes: Vec<OptimizeOutcome> = Vec::new();
    for table in &tables {
        if target.is_some() || Dedup::of(table)? == Dedup::Last {
            outcomes.push(session.engine().lake().dedup(&session.identity().scope, table, dry_run).await?);
        }
    }
    let txn = outcomes.iter().filter_map(|outcome| outcome.txn).max();
    Ok(Answer::batch("OPTIMIZE", outcome_batch(&outcomes)?).with_txn(txn))
}
