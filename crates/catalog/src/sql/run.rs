//! Rows of `cn_run`.

use cenote_vocab::{CatalogId, Fence, Micros, TableId, Txn};
use uuid::Uuid;

use super::{Cell, Failure, Row, Statement, Transaction, asset_run};
use crate::registry::RUN;
use crate::{NewRun, RunCounts, RunEnd, RunFilter, RunRecord};

/// Subjects of the open runs of a job.
pub(crate) async fn open_subjects(
    transaction: &mut Transaction,
    catalog: CatalogId,
    job: Uuid,
) -> Result<Vec<Option<String>>, Failure> {
    let statement = transaction
        .statement("SELECT subject FROM cn_run WHERE catalog_id = ? AND state = 'RUNNING' AND object_id = ?")
        .bind(catalog.0)
        .bind(job);
    let mut subjects = Vec::new();
    for mut row in transaction.query(statement).await? {
        subjects.push(row.optional_text()?);
    }
    Ok(subjects)
}

/// Adds a run that runs.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (kind, new): (&'static str, &NewRun),
    fence: Fence,
    now: Micros,
) -> Result<(), Failure> {
    let row = vec![
        catalog.0.into(),
        new.id.into(),
        kind.into(),
        new.job.into(),
        new.subject.clone().into(),
        new.table.into(),
        "RUNNING".into(),
        new.cause.into(),
        new.actor.clone().into(),
        new.reason.clone().into(),
        new.executor.into(),
        fence.0.into(),
        now.0.into(),
        now.0.into(),
        Cell::Null,
        0_i64.into(),
        0_i64.into(),
        0_i64.into(),
        0_i64.into(),
        Cell::Null,
        Cell::Null,
        1_i64.into(),
    ];
    transaction.insert(&RUN, &[of_one_step(row)]).await
}

/// A row of a run that has no tasks: what only plans have is NULL.
pub(super) fn of_one_step(mut row: Vec<Cell>) -> Vec<Cell> {
    row.resize(RUN.columns.len(), Cell::Null);
    row
}

const COLUMNS: &str = "r.run_id, r.kind, r.object_id, r.subject, r.table_id, r.state, r.cause, r.actor, r.reason, \
                       r.started_us, r.completed_us, r.files_in, r.bytes_in, r.files_out, r.bytes_out, r.output_txn, \
                       r.error, r.version";

fn read(row: &mut Row) -> Result<RunRecord, Failure> {
    Ok(RunRecord {
        id: row.uuid()?,
        kind: row.text()?,
        object: row.uuid()?,
        subject: row.optional_text()?,
        table: row.optional_int()?.map(TableId),
        state: row.text()?,
        cause: row.text()?,
        actor: row.optional_text()?,
        reason: row.optional_text()?,
        started: Micros(row.int()?),
        completed: row.optional_int()?.map(Micros),
        counts: RunCounts {
            files_in: row.count()?,
            bytes_in: row.count()?,
            files_out: row.count()?,
            bytes_out: row.count()?,
            txn: row.optional_int()?.map(Txn),
        },
        error: row.optional_text()?,
        version: row.int()?,
    })
}

/// A run of any kind.
pub(crate) async fn record(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
) -> Result<Option<RunRecord>, Failure> {
    let text = format!("SELECT {COLUMNS} FROM cn_run r WHERE r.catalog_id = ? AND r.run_id = ?");
    let statement = transaction.statement(&text).bind(catalog.0).bind(id);
    transaction.row(statement).await?.as_mut().map(read).transpose()
}

/// A page of runs of one kind, newest first; of one object, if it is named.
pub(crate) async fn page(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (kind, object): (&str, Option<Uuid>),
    wanted: &RunFilter,
) -> Result<Vec<RunRecord>, Failure> {
    let mut text = format!("SELECT {COLUMNS} FROM cn_run r WHERE r.catalog_id = ? AND r.kind = ?");
    let mut cells: Vec<Cell> = vec![catalog.0.into(), kind.into()];
    if let Some(object) = object {
        text.push_str(" AND r.object_id = ?");
        cells.push(object.into());
    }
    asset_run::narrow(&mut text, &mut cells, wanted);
    let statement = cells.into_iter().fold(transaction.statement(&text), Statement::bind);
    let mut page = Vec::new();
    for mut row in transaction.query(statement).await? {
        page.push(read(&mut row)?);
    }
    Ok(page)
}

/// Stores what an open run did so far; false if it is not open, or another's.
pub(crate) async fn note(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
    executor: Uuid,
    counts: RunCounts,
) -> Result<bool, Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_run SET files_in = ?, bytes_in = ?, files_out = ?, bytes_out = ?, output_txn = ?, \
             version = version + 1 WHERE catalog_id = ? AND run_id = ? AND state = 'RUNNING' AND executor = ?",
        )
        .bind(counts.files_in)
        .bind(counts.bytes_in)
        .bind(counts.files_out)
        .bind(counts.bytes_out)
        .bind(counts.txn)
        .bind(catalog.0)
        .bind(id)
        .bind(executor);
    Ok(transaction.execute(statement).await? == 1)
}

/// Ends an open run; false if it is not open.
pub(crate) async fn end(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
    now: Micros,
    end: &RunEnd,
) -> Result<bool, Failure> {
    let (state, reason) = match end {
        RunEnd::Succeeded => ("SUCCEEDED", String::new()),
        RunEnd::Failed(error) => ("FAILED", error.replace('\0', "")),
        RunEnd::Cancelled(reason) => ("CANCELLED", reason.replace('\0', "")),
        RunEnd::Nothing => {
            let statement = transaction
                .statement("DELETE FROM cn_run WHERE catalog_id = ? AND run_id = ? AND state = 'RUNNING'")
                .bind(catalog.0)
                .bind(id);
            return Ok(transaction.execute(statement).await? == 1);
        }
    };
    let statement = transaction
        .statement(
            "UPDATE cn_run SET state = ?, completed_us = ?, error = NULLIF(?, '') \
             WHERE catalog_id = ? AND run_id = ? AND state = 'RUNNING'",
        )
        .bind(state)
        .bind(now.0)
        .bind(reason)
        .bind(catalog.0)
        .bind(id);
    Ok(transaction.execute(statement).await? == 1)
}

/// Ends the open runs of an object.
pub(crate) async fn end_open(
    transaction: &mut Transaction,
    catalog: CatalogId,
    object: Uuid,
    now: Micros,
    reason: &str,
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_run SET state = 'CANCELLED', completed_us = ?, error = ?, version = version + 1 \
             WHERE catalog_id = ? AND state = 'RUNNING' AND object_id = ?",
        )
        .bind(now.0)
        .bind(reason)
        .bind(catalog.0)
        .bind(object);
    transaction.execute(statement).await?;
    Ok(())
}

/// Ends open runs of holders before `fence`.
pub(crate) async fn sweep(
    transaction: &mut Transaction,
    catalog: CatalogId,
    fence: Fence,
    now: Micros,
    reason: &str,
) -> Result<u64, Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_run SET state = 'FAILED', completed_us = ?, error = ?, version = version + 1 \
             WHERE catalog_id = ? AND kind IN ('job', 'pipeline') AND state = 'RUNNING' AND fence < ?",
        )
        .bind(now.0)
        .bind(reason)
        .bind(catalog.0)
        .bind(fence.0);
    transaction.execute(statement).await
}

/// Removes runs that ended before an instant; not those that an open one repeats.
pub(crate) async fn prune(
    transaction: &mut Transaction,
    catalog: CatalogId,
    before: Micros,
    rows_max: u32,
) -> Result<u64, Failure> {
    let statement = transaction
        .statement(
            "DELETE FROM cn_run WHERE catalog_id = ? AND run_id IN (SELECT o.run_id FROM cn_run o \
             WHERE o.catalog_id = ? AND o.completed_us < ? AND NOT EXISTS (SELECT 1 FROM cn_run c \
             WHERE c.catalog_id = o.catalog_id AND c.completed_us IS NULL AND c.parent_run_id = o.run_id) \
             ORDER BY o.completed_us LIMIT ?)",
        )
        .bind(catalog.0)
        .bind(catalog.0)
        .bind(before.0)
        .bind(i64::from(rows_max));
    transaction.execute(statement).await
}
