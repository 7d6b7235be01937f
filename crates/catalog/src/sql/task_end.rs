//! Ends of tasks, and what follows for the others of their run: made ready, skipped, cancelled; the end of the run itself.

use cenote_vocab::{CatalogId, Micros, Txn};
use uuid::Uuid;

use super::task::{OPEN_RUN, end_attempt, storable};
use super::{Failure, Transaction, asset_part, check, recipe, staged};
use crate::Error;
use crate::committer::{EventRow, run_cancelled, run_finished};
use crate::task::{Cancel, Category, STAGED_KEEP, TaskEnd, TaskOutcome, holder};
use crate::task_state::TaskState;

/// Ends a task by its attempt, with all that follows for others of its run; answers what is to be told of the run. `TaskGone` if
/// the attempt does not have it.
pub(crate) async fn end_task(
    transaction: &mut Transaction,
    catalog: CatalogId,
    end: &TaskEnd,
    (txn, now): (Txn, Micros),
) -> Result<Vec<EventRow>, Failure> {
    let (state, resolution, told, rows) = match &end.outcome {
        TaskOutcome::Succeeded { rows, .. } => (TaskState::Succeeded, "SUCCESS", (None, None), Some(*rows)),
        TaskOutcome::Failed { category, message } => {
            (TaskState::Failed, "FAILED", (Some(*category), Some(message.as_str())), None)
        }
        TaskOutcome::Cancelled(reason) => {
            (TaskState::Cancelled, "CANCELLED", (None, Some(reason.as_str())), None)
        }
    };
    let output = rows.map(|_| txn);
    let statement = transaction
        .statement(
            "UPDATE cn_task SET state = ?, completed_us = ?, output_txn = ?, row_count = ?, error = NULLIF(?, ''), \
             category = NULLIF(?, '') WHERE catalog_id = ? AND task_id = ? AND state = 'RUNNING' AND attempt_id = ?",
        )
        .bind(state.name())
        .bind(now.0)
        .bind(output)
        .bind(rows)
        .bind(storable(told.1.unwrap_or_default()))
        .bind(told.0.map_or("", Category::name))
        .bind(catalog.0)
        .bind(end.task)
        .bind(end.attempt_id);
    if transaction.execute(statement).await? != 1 {
        return Err(Error::TaskGone(end.attempt_id).into());
    }
    end_attempt(transaction, catalog, end.attempt_id, (state.name(), told.0, told.1), now).await?;
    asset_part::note_attempt(transaction, catalog, end, (txn, now)).await?;
    check::insert_results(transaction, catalog, end, (txn, now)).await?;
    if let Some(rows) = &end.staged {
        staged::insert(transaction, catalog, (end, rows), now.plus(STAGED_KEEP)).await?;
    }
    if let TaskOutcome::Succeeded { made: Some(made), .. } = &end.outcome {
        recipe::note(transaction, catalog, (end, made), txn).await?;
    }
    resolve(transaction, catalog, (end.run, &end.key), resolution).await?;
    match state {
        TaskState::Succeeded => ready_next(transaction, catalog, end.run, now).await?,
        _ => skip_next(transaction, catalog, end.run, now).await?,
    }
    let mut told = end_run_if_done(transaction, catalog, end.run, (txn, now)).await?;
    if end.ends_run() && told.is_empty() {
        let reason = format!("a critical check of {} failed", end.key);
        match cancel_run(transaction, catalog, (end.run, &reason, Cancel::Asked), (txn, now)).await {
            Ok(ended) => {
                told.push(run_cancelled(end.run, &reason, Cancel::Asked));
                told.extend(ended);
            }
            // Somebody ends it already.
            Err(Failure::Final(Error::RunEnded(_))) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(told)
}

/// Says how a task ended to those that wait for it; once.
async fn resolve(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (run, key): (Uuid, &str),
    resolution: &str,
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_task_dep SET resolution = ? \
             WHERE catalog_id = ? AND run_id = ? AND upstream = ? AND resolution IS NULL",
        )
        .bind(resolution)
        .bind(catalog.0)
        .bind(run)
        .bind(key);
    transaction.execute(statement).await?;
    Ok(())
}

/// Makes ready what waited only for tasks that succeeded.
async fn ready_next(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: Uuid,
    now: Micros,
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_task SET state = 'READY', ready_us = ? \
             WHERE catalog_id = ? AND run_id = ? AND state = 'BLOCKED' AND NOT EXISTS (SELECT 1 FROM cn_task_dep d \
             WHERE d.catalog_id = cn_task.catalog_id AND d.run_id = cn_task.run_id AND d.downstream = cn_task.task_key \
             AND (d.resolution IS NULL OR d.resolution <> 'SUCCESS'))",
        )
        .bind(now.0)
        .bind(catalog.0)
        .bind(run);
    transaction.execute(statement).await?;
    Ok(())
}

/// Skips what waits for a task that did not succeed, and what waits for that.
async fn skip_next(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: Uuid,
    now: Micros,
) -> Result<(), Failure> {
    const CULPRIT: &str = "FROM cn_task_dep d WHERE d.catalog_id = cn_task.catalog_id AND d.run_id = cn_task.run_id \
                           AND d.downstream = cn_task.task_key AND d.resolution <> 'SUCCESS'";
    let skip = format!(
        "UPDATE cn_task SET state = 'SKIPPED', completed_us = ?, \
         skip_upstream = (SELECT MIN(d.upstream) {CULPRIT}), \
         skip_resolution = (SELECT d.resolution {CULPRIT} ORDER BY d.upstream LIMIT 1) \
         WHERE catalog_id = ? AND run_id = ? AND state = 'BLOCKED' AND EXISTS (SELECT 1 {CULPRIT})"
    );
    loop {
        let statement = transaction.statement(&skip).bind(now.0).bind(catalog.0).bind(run);
        if transaction.execute(statement).await? == 0 {
            return Ok(());
        }
        let statement = transaction
            .statement(
                "UPDATE cn_task_dep SET resolution = 'SKIPPED' \
                 WHERE catalog_id = ? AND run_id = ? AND resolution IS NULL AND EXISTS (SELECT 1 FROM cn_task t \
                 WHERE t.catalog_id = cn_task_dep.catalog_id AND t.run_id = cn_task_dep.run_id \
                 AND t.task_key = cn_task_dep.upstream AND t.state = 'SKIPPED')",
            )
            .bind(catalog.0)
            .bind(run);
        transaction.execute(statement).await?;
    }
}

/// Ends a run whose tasks are all at their ends, and lets go of its snapshot; answers what is to be told of that.
async fn end_run_if_done(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: Uuid,
    (txn, now): (Txn, Micros),
) -> Result<Vec<EventRow>, Failure> {
    let statement = transaction
        .statement(
            "SELECT state, COUNT(*), MIN(error) FROM cn_task WHERE catalog_id = ? AND run_id = ? GROUP BY state",
        )
        .bind(catalog.0)
        .bind(run);
    let (mut failed, mut cancelled, mut error) = (false, false, None);
    for mut row in transaction.query(statement).await? {
        let name = row.text()?;
        let state = TaskState::of(&name).ok_or_else(|| Error::Corrupt(format!("a task is {name}")))?;
        if !state.is_terminal() {
            return Ok(Vec::new());
        }
        row.int()?;
        failed |= matches!(state, TaskState::Failed | TaskState::Skipped);
        cancelled |= state == TaskState::Cancelled;
        if state == TaskState::Failed {
            error = row.optional_text()?;
        }
    }
    let state = match (cancelled, failed) {
        // A deadline that is still there is what ended it: a person who does takes it away.
        (true, _) => {
            "CASE WHEN state = 'CANCELLING' AND deadline_us IS NOT NULL THEN 'TIMED_OUT' ELSE 'CANCELLED' END"
        }
        (false, true) => "'FAILED'",
        (false, false) => "'SUCCEEDED'",
    };
    let text = format!(
        "UPDATE cn_run SET state = {state}, completed_us = ?, output_txn = ?, error = COALESCE(NULLIF(?, ''), error), \
         version = version + 1 WHERE catalog_id = ? AND run_id = ? AND state IN ({OPEN_RUN}) RETURNING state"
    );
    let statement = transaction
        .statement(&text)
        .bind(now.0)
        .bind(txn)
        .bind(error.unwrap_or_default())
        .bind(catalog.0)
        .bind(run);
    let Some(mut row) = transaction.row(statement).await? else {
        return Ok(Vec::new()); // it was at its end
    };
    let statement = transaction
        .statement("DELETE FROM cn_hold WHERE catalog_id = ? AND holder = ?")
        .bind(catalog.0)
        .bind(holder(run));
    transaction.execute(statement).await?;
    Ok(vec![run_finished(run, &row.text()?)])
}

/// Cancels what has not begun; what runs ends by itself. Answers what is to be told of the run's end. `RunEnded` for a run at its
/// end.
pub(crate) async fn cancel_run(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (run, reason, why): (Uuid, &str, Cancel),
    (txn, now): (Txn, Micros),
) -> Result<Vec<EventRow>, Failure> {
    let keep = match why {
        Cancel::Asked => "deadline_us = NULL, ",
        Cancel::TimedOut => "",
    };
    let text = format!(
        "UPDATE cn_run SET state = 'CANCELLING', {keep}error = ?, version = version + 1 \
         WHERE catalog_id = ? AND run_id = ? AND kind = 'asset' AND state IN ('PENDING', 'RUNNING', 'PAUSED')"
    );
    let statement = transaction.statement(&text).bind(storable(reason)).bind(catalog.0).bind(run);
    if transaction.execute(statement).await? != 1 {
        return Err(Error::RunEnded(run).into());
    }
    cancel_rest(transaction, catalog, run, (txn, now)).await
}

/// Cancels what has not begun of a run that ends; answers what is to be told of its end.
pub(crate) async fn cancel_rest(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: Uuid,
    (txn, now): (Txn, Micros),
) -> Result<Vec<EventRow>, Failure> {
    let text = format!(
        "UPDATE cn_task SET state = 'CANCELLED', completed_us = ? \
         WHERE catalog_id = ? AND run_id = ? AND state IN ({})",
        TaskState::Cancelled.sources(&[TaskState::Running])
    );
    let statement = transaction.statement(&text).bind(now.0).bind(catalog.0).bind(run);
    transaction.execute(statement).await?;
    end_run_if_done(transaction, catalog, run, (txn, now)).await
}

/// Runs that are being cancelled.
pub(crate) async fn cancelling(
    transaction: &mut Transaction,
    catalog: CatalogId,
) -> Result<Vec<Uuid>, Failure> {
    let statement = transaction
        .statement(
            "SELECT run_id FROM cn_run WHERE catalog_id = ? AND kind = 'asset' AND state = 'CANCELLING'",
        )
        .bind(catalog.0);
    let mut runs = Vec::new();
    for mut row in transaction.query(statement).await? {
        runs.push(row.uuid()?);
    }
    Ok(runs)
}

/// Lets no further task of a run begin, or lets them again. `RunEnded` if it is at its end, or being ended.
pub(crate) async fn pause_run(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: Uuid,
    paused: bool,
) -> Result<(), Failure> {
    let state = match paused {
        true => "'PAUSED'",
        false => {
            "CASE WHEN EXISTS (SELECT 1 FROM cn_attempt a WHERE a.catalog_id = cn_run.catalog_id \
             AND a.run_id = cn_run.run_id) THEN 'RUNNING' ELSE 'PENDING' END"
        }
    };
    let text = format!(
        "UPDATE cn_run SET state = {state}, version = version + 1 \
         WHERE catalog_id = ? AND run_id = ? AND kind = 'asset' AND state IN ('PENDING', 'RUNNING', 'PAUSED')"
    );
    let statement = transaction.statement(&text).bind(catalog.0).bind(run);
    if transaction.execute(statement).await? == 1 { Ok(()) } else { Err(Error::RunEnded(run).into()) }
}
