//! Rows of `cn_task`, `cn_task_dep`, `cn_attempt`, and of runs that have tasks. Every change of a state is guarded.

use std::collections::BTreeMap;

use cenote_vocab::{CatalogId, Fence, Micros, TableId, Txn};
use uuid::Uuid;

use super::{Cell, Failure, Transaction, asset};
use crate::registry::{ATTEMPT, RUN, RUN_KEY, TASK, TASK_DEP};
use crate::task::{
    AssetRun, Category, ClaimedTask, DEATHS_MAX, LetGo, NewAssetRun, TaskEnd, TaskOutcome, TaskRecord, holder,
};
use crate::task_state::TaskState;
use crate::{Error, WHOLE};

/// States of a run that is not at its end.
const OPEN_RUN: &str = "'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING'";
/// States of a task that is not at its end.
const OPEN_TASK: &str = "'BLOCKED', 'READY', 'WAITING', 'RUNNING'";

/// Adds a run with its tasks, and what fired it.
pub(crate) async fn create_run(
    transaction: &mut Transaction,
    catalog: CatalogId,
    new: &NewAssetRun,
    now: Micros,
) -> Result<(), Failure> {
    if let Some((key, hash)) = &new.key {
        if let Some((run, _)) = of_key(transaction, catalog, key).await? {
            return Err(Error::RunKeyTaken { key: key.clone(), run }.into());
        }
        let row = vec![catalog.0.into(), key.as_str().into(), new.id.into(), (*hash).into()];
        transaction.insert(&RUN_KEY, &[row]).await?;
    }
    if let Some(tick) = &new.tick {
        asset::tick(transaction, catalog, tick, Some(new.id), now).await?;
    }
    let row = vec![
        catalog.0.into(),
        new.id.into(),
        "asset".into(),
        new.asset.unwrap_or_default().into(),
        Cell::Null,
        Cell::Null,
        if new.tasks.is_empty() { "SUCCEEDED" } else { "PENDING" }.into(),
        new.cause.into(),
        new.actor.clone().into(),
        new.reason.clone().into(),
        Uuid::nil().into(),
        0_i64.into(),
        now.0.into(),
        now.0.into(),
        new.tasks.is_empty().then_some(now.0).into(),
        0_i64.into(),
        0_i64.into(),
        0_i64.into(),
        0_i64.into(),
        Cell::Null,
        Cell::Null,
        1_i64.into(),
        new.fingerprint.as_str().into(),
        Cell::Null,
        new.logical.map(|at| at.0).into(),
        new.parent.into(),
        new.priority.into(),
    ];
    transaction.insert(&RUN, &[row]).await?;
    let waits = |key: &str| new.edges.iter().any(|(_, downstream)| downstream == key);
    let tasks: Vec<Vec<Cell>> = new
        .tasks
        .iter()
        .map(|task| {
            let blocked = waits(&task.key);
            let state = if blocked { TaskState::Blocked } else { TaskState::Ready };
            let ready = (!blocked).then_some(now.0);
            vec![
                catalog.0.into(),
                new.id.into(),
                task.key.as_str().into(),
                task.id.into(),
                task.asset.into(),
                Cell::Null,
                state.name().into(),
                0_i64.into(),
                0_i64.into(),
                Cell::Null,
                Cell::Null,
                Cell::Null,
                (new.priority + task.priority).into(),
                Cell::Null,
                task.reason.as_str().into(),
                Cell::Null,
                Cell::Null,
                Cell::Null,
                Cell::Null,
                Cell::Null,
                Cell::Null,
                now.0.into(),
                ready.into(),
                Cell::Null,
                Cell::Null,
            ]
        })
        .collect();
    transaction.insert(&TASK, &tasks).await?;
    let edges: Vec<Vec<Cell>> = new
        .edges
        .iter()
        .map(|(upstream, downstream)| {
            vec![
                catalog.0.into(),
                new.id.into(),
                upstream.as_str().into(),
                downstream.as_str().into(),
                Cell::Null,
            ]
        })
        .collect();
    transaction.insert(&TASK_DEP, &edges).await
}

/// The run of a key, and the hash of what was asked.
pub(crate) async fn of_key(
    transaction: &mut Transaction,
    catalog: CatalogId,
    key: &str,
) -> Result<Option<(Uuid, [u8; 32])>, Failure> {
    let statement = transaction
        .statement("SELECT run_id, request_hash FROM cn_run_key WHERE catalog_id = ? AND run_key = ?")
        .bind(catalog.0)
        .bind(key);
    let Some(mut row) = transaction.row(statement).await? else { return Ok(None) };
    Ok(Some((row.uuid()?, row.array()?)))
}

/// Begins the best task that is ready: one whose asset no other attempt works on. The head is locked.
pub(crate) async fn claim(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (executor, fence, attempt_id): (Uuid, Fence, Uuid),
    running_max: u32,
    now: Micros,
) -> Result<Option<ClaimedTask>, Failure> {
    let statement = transaction
        .statement("SELECT COUNT(*) FROM cn_task WHERE catalog_id = ? AND state = 'RUNNING'")
        .bind(catalog.0);
    let running = transaction.row(statement).await?.map(|mut row| row.int()).transpose()?.unwrap_or(0);
    if running >= i64::from(running_max) {
        return Ok(None);
    }
    let statement = transaction
        .statement(
            "SELECT t.run_id, t.task_key, t.task_id, t.asset_id, t.attempt, r.snapshot_txn, r.logical_us \
             FROM cn_task t JOIN cn_run r ON r.catalog_id = t.catalog_id AND r.run_id = t.run_id \
             WHERE t.catalog_id = ? AND t.state = 'READY' AND r.state IN ('PENDING', 'RUNNING') \
             AND NOT EXISTS (SELECT 1 FROM cn_task o WHERE o.catalog_id = t.catalog_id AND o.asset_id = t.asset_id \
             AND o.state = 'RUNNING') ORDER BY t.priority DESC, t.ready_us, t.run_id, t.task_key LIMIT 1",
        )
        .bind(catalog.0);
    let Some(mut row) = transaction.row(statement).await? else { return Ok(None) };
    let (run, key, task, asset_id) = (row.uuid()?, row.text()?, row.uuid()?, row.uuid()?);
    let attempt = row.int()? + 1;
    let (snapshot, logical) = (row.optional_int()?.map(Txn), row.optional_int()?.map(Micros));
    let text = format!(
        "UPDATE cn_task SET state = 'RUNNING', attempt = ?, attempt_id = ?, executor = ?, fence = ?, \
         started_us = ?, not_before_us = NULL WHERE catalog_id = ? AND task_id = ? AND state IN ({})",
        TaskState::Running.sources(&[])
    );
    let statement = transaction
        .statement(&text)
        .bind(attempt)
        .bind(attempt_id)
        .bind(executor)
        .bind(fence.0)
        .bind(now.0)
        .bind(catalog.0)
        .bind(task);
    if transaction.execute(statement).await? != 1 {
        return Ok(None);
    }
    let row = vec![
        catalog.0.into(),
        attempt_id.into(),
        run.into(),
        task.into(),
        attempt.into(),
        executor.into(),
        now.0.into(),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
    ];
    transaction.insert(&ATTEMPT, &[row]).await?;
    let statement = transaction
        .statement(
            "UPDATE cn_run SET state = 'RUNNING', started_us = ?, version = version + 1 \
             WHERE catalog_id = ? AND run_id = ? AND state = 'PENDING'",
        )
        .bind(now.0)
        .bind(catalog.0)
        .bind(run);
    transaction.execute(statement).await?;
    let Some(asset) = asset::by_id(transaction, catalog, asset_id).await? else {
        return Err(Error::Corrupt(format!("task {task} makes asset {asset_id}, which is gone")).into());
    };
    let outputs = outputs(transaction, catalog, run).await?;
    Ok(Some(ClaimedTask {
        run,
        key,
        task,
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        attempt_id,
        asset,
        checks: Vec::new(),
        snapshot,
        logical,
        outputs,
    }))
}

/// Tables that tasks of a run have made.
async fn outputs(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: Uuid,
) -> Result<BTreeMap<TableId, Txn>, Failure> {
    let statement = transaction
        .statement(
            "SELECT a.table_id, t.output_txn FROM cn_task t \
             JOIN cn_asset a ON a.catalog_id = t.catalog_id AND a.asset_id = t.asset_id \
             WHERE t.catalog_id = ? AND t.run_id = ? AND t.state = 'SUCCEEDED' AND t.output_txn IS NOT NULL",
        )
        .bind(catalog.0)
        .bind(run);
    let mut outputs = BTreeMap::new();
    for mut row in transaction.query(statement).await? {
        outputs.insert(TableId(row.int()?), Txn(row.int()?));
    }
    Ok(outputs)
}

/// The snapshot of a run, and whether it was fixed just now.
pub(crate) async fn fix_snapshot(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: Uuid,
    newest: Txn,
) -> Result<(Txn, bool), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_run SET snapshot_txn = ? WHERE catalog_id = ? AND run_id = ? AND snapshot_txn IS NULL",
        )
        .bind(newest)
        .bind(catalog.0)
        .bind(run);
    let first = transaction.execute(statement).await? == 1;
    let statement = transaction
        .statement("SELECT snapshot_txn FROM cn_run WHERE catalog_id = ? AND run_id = ?")
        .bind(catalog.0)
        .bind(run);
    let mut row = transaction.row(statement).await?.ok_or_else(|| Error::RunNotFound(run.to_string()))?;
    Ok((Txn(row.int()?), first))
}

/// Gives a task back; false if the attempt does not have it.
pub(crate) async fn let_go(
    transaction: &mut Transaction,
    catalog: CatalogId,
    attempt_id: Uuid,
    how: &LetGo,
    (txn, now): (Txn, Micros),
) -> Result<bool, Failure> {
    let (set, outcome) = match how {
        LetGo::Retry { .. } => ("state = 'WAITING', not_before_us = ?, error = ?, category = ?", "FAILED"),
        LetGo::Stopped => ("state = 'READY', attempt = attempt - 1", "STOPPED"),
    };
    let text = format!(
        "UPDATE cn_task SET {set}, attempt_id = NULL WHERE catalog_id = ? AND attempt_id = ? AND state = 'RUNNING'"
    );
    let mut statement = transaction.statement(&text);
    let mut told = (None, None);
    if let LetGo::Retry { category, message, at } = how {
        statement = statement.bind(at.0).bind(storable(message)).bind(category.name());
        told = (Some(*category), Some(message.as_str()));
    }
    let statement = statement.bind(catalog.0).bind(attempt_id);
    let done = transaction.execute(statement).await? == 1;
    if done {
        end_attempt(transaction, catalog, attempt_id, (outcome, told.0, told.1), now).await?;
        end_cancelled(transaction, catalog, (txn, now)).await?;
    }
    Ok(done)
}

fn storable(text: &str) -> String {
    text.replace('\0', "")
}

async fn end_attempt(
    transaction: &mut Transaction,
    catalog: CatalogId,
    attempt_id: Uuid,
    (outcome, category, message): (&str, Option<Category>, Option<&str>),
    now: Micros,
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_attempt SET completed_us = ?, outcome = ?, category = NULLIF(?, ''), \
             message = NULLIF(?, '') WHERE catalog_id = ? AND attempt_id = ? AND completed_us IS NULL",
        )
        .bind(now.0)
        .bind(outcome)
        .bind(category.map_or("", Category::name))
        .bind(storable(message.unwrap_or_default()))
        .bind(catalog.0)
        .bind(attempt_id);
    transaction.execute(statement).await?;
    Ok(())
}

/// Makes ready what waited until now.
pub(crate) async fn wake(
    transaction: &mut Transaction,
    catalog: CatalogId,
    now: Micros,
) -> Result<u64, Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_task SET state = 'READY', ready_us = not_before_us \
             WHERE catalog_id = ? AND state = 'WAITING' AND not_before_us <= ?",
        )
        .bind(catalog.0)
        .bind(now.0);
    transaction.execute(statement).await
}

/// Gives back what holders before `fence` had begun.
pub(crate) async fn sweep(
    transaction: &mut Transaction,
    catalog: CatalogId,
    fence: Fence,
    (txn, now): (Txn, Micros),
) -> Result<u64, Failure> {
    let statement = transaction
        .statement(
            "SELECT run_id, task_key, task_id, asset_id, attempt_id, deaths FROM cn_task \
             WHERE catalog_id = ? AND state = 'RUNNING' AND fence < ?",
        )
        .bind(catalog.0)
        .bind(fence.0);
    let rows = transaction.query(statement).await?;
    let swept = rows.len() as u64;
    for mut row in rows {
        let (run, key, task, asset) = (row.uuid()?, row.text()?, row.uuid()?, row.uuid()?);
        let (attempt_id, deaths) = (row.optional_uuid()?.unwrap_or_default(), row.int()?);
        let message = "its process ended before it";
        if deaths + 1 >= DEATHS_MAX {
            let (category, message) = (Category::Infrastructure, message.to_owned());
            let outcome = TaskOutcome::Failed { category, message };
            let end = TaskEnd { run, key, task, attempt_id, asset, outcome, checks: Vec::new() };
            end_task(transaction, catalog, &end, (txn, now)).await?;
            continue;
        }
        let told = ("DIED", Some(Category::Infrastructure), Some(message));
        end_attempt(transaction, catalog, attempt_id, told, now).await?;
        let statement = transaction
            .statement(
                "UPDATE cn_task SET state = 'READY', attempt = attempt - 1, deaths = deaths + 1, attempt_id = NULL, \
                 ready_us = ? WHERE catalog_id = ? AND task_id = ? AND state = 'RUNNING'",
            )
            .bind(now.0)
            .bind(catalog.0)
            .bind(task);
        transaction.execute(statement).await?;
    }
    end_cancelled(transaction, catalog, (txn, now)).await?;
    Ok(swept)
}

/// Whether any task is ready, and when one that waits is.
pub(crate) async fn pulse(
    transaction: &mut Transaction,
    catalog: CatalogId,
) -> Result<(bool, Option<Micros>), Failure> {
    let statement = transaction
        .statement(
            "SELECT state, MIN(not_before_us) FROM cn_task WHERE catalog_id = ? AND state IN ('READY', 'WAITING') \
             GROUP BY state",
        )
        .bind(catalog.0);
    let (mut ready, mut waiting) = (false, None);
    for mut row in transaction.query(statement).await? {
        match row.text()?.as_str() {
            "READY" => ready = true,
            _ => waiting = row.optional_int()?.map(Micros),
        }
    }
    Ok((ready, waiting))
}

/// Ends a task by its attempt, with all that follows for others of its run. `TaskGone` if the attempt does not have it.
pub(crate) async fn end_task(
    transaction: &mut Transaction,
    catalog: CatalogId,
    end: &TaskEnd,
    (txn, now): (Txn, Micros),
) -> Result<(), Failure> {
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
    asset::note_attempt(transaction, catalog, end, WHOLE, (txn, now)).await?;
    asset::insert_results(transaction, catalog, end, (txn, now)).await?;
    resolve(transaction, catalog, (end.run, &end.key), resolution).await?;
    match state {
        TaskState::Succeeded => ready_next(transaction, catalog, end.run, now).await?,
        _ => skip_next(transaction, catalog, end.run, now).await?,
    }
    end_run_if_done(transaction, catalog, end.run, (txn, now)).await
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

/// Ends a run whose tasks are all at their ends, and lets go of its snapshot.
async fn end_run_if_done(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: Uuid,
    (txn, now): (Txn, Micros),
) -> Result<(), Failure> {
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
            return Ok(());
        }
        row.int()?;
        failed |= matches!(state, TaskState::Failed | TaskState::Skipped);
        cancelled |= state == TaskState::Cancelled;
        if state == TaskState::Failed {
            error = row.optional_text()?;
        }
    }
    let state = match (cancelled, failed) {
        (true, _) => "CANCELLED",
        (false, true) => "FAILED",
        (false, false) => "SUCCEEDED",
    };
    let text = format!(
        "UPDATE cn_run SET state = ?, completed_us = ?, output_txn = ?, error = COALESCE(NULLIF(?, ''), error), \
         version = version + 1 WHERE catalog_id = ? AND run_id = ? AND state IN ({OPEN_RUN})"
    );
    let statement = transaction
        .statement(&text)
        .bind(state)
        .bind(now.0)
        .bind(txn)
        .bind(error.unwrap_or_default())
        .bind(catalog.0)
        .bind(run);
    transaction.execute(statement).await?;
    let statement = transaction
        .statement("DELETE FROM cn_hold WHERE catalog_id = ? AND holder = ?")
        .bind(catalog.0)
        .bind(holder(run));
    transaction.execute(statement).await?;
    Ok(())
}

/// Cancels what has not begun; what runs ends by itself. `RunEnded` for a run at its end.
pub(crate) async fn cancel_run(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (run, reason): (Uuid, &str),
    (txn, now): (Txn, Micros),
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_run SET state = 'CANCELLING', error = ?, version = version + 1 \
             WHERE catalog_id = ? AND run_id = ? AND kind = 'asset' AND state IN ('PENDING', 'RUNNING', 'PAUSED')",
        )
        .bind(storable(reason))
        .bind(catalog.0)
        .bind(run);
    if transaction.execute(statement).await? != 1 {
        return Err(Error::RunEnded(run).into());
    }
    cancel_rest(transaction, catalog, run, (txn, now)).await
}

/// Cancels what has not begun of a run that ends.
async fn cancel_rest(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: Uuid,
    (txn, now): (Txn, Micros),
) -> Result<(), Failure> {
    let text = format!(
        "UPDATE cn_task SET state = 'CANCELLED', completed_us = ? \
         WHERE catalog_id = ? AND run_id = ? AND state IN ({})",
        TaskState::Cancelled.sources(&[TaskState::Running])
    );
    let statement = transaction.statement(&text).bind(now.0).bind(catalog.0).bind(run);
    transaction.execute(statement).await?;
    end_run_if_done(transaction, catalog, run, (txn, now)).await
}

/// What was given back of runs that are being cancelled is not begun again.
async fn end_cancelled(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (txn, now): (Txn, Micros),
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "SELECT run_id FROM cn_run WHERE catalog_id = ? AND kind = 'asset' AND state = 'CANCELLING'",
        )
        .bind(catalog.0);
    for mut row in transaction.query(statement).await? {
        cancel_rest(transaction, catalog, row.uuid()?, (txn, now)).await?;
    }
    Ok(())
}

/// A run with its tasks.
pub(crate) async fn run(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
) -> Result<Option<AssetRun>, Failure> {
    let statement = transaction
        .statement(
            "SELECT state, reason, plan_fingerprint, cause, actor, created_us FROM cn_run \
             WHERE catalog_id = ? AND run_id = ? AND kind = 'asset'",
        )
        .bind(catalog.0)
        .bind(id);
    let Some(mut row) = transaction.row(statement).await? else { return Ok(None) };
    let mut run = AssetRun {
        id,
        state: row.text()?,
        reason: row.optional_text()?,
        fingerprint: row.optional_text()?,
        cause: row.text()?,
        actor: row.optional_text()?,
        created: Micros(row.int()?),
        tasks: Vec::new(),
    };
    let statement = transaction
        .statement(
            "SELECT task_key, asset_id, state, attempt, reason, error, not_before_us, skip_upstream, skip_resolution, \
             output_txn FROM cn_task WHERE catalog_id = ? AND run_id = ? ORDER BY task_key",
        )
        .bind(catalog.0)
        .bind(id);
    for mut row in transaction.query(statement).await? {
        run.tasks.push(TaskRecord {
            key: row.text()?,
            asset: row.uuid()?,
            state: row.text()?,
            attempt: row.int()?,
            reason: row.text()?,
            error: row.optional_text()?,
            not_before: row.optional_int()?.map(Micros),
            skipped_by: row.optional_text()?.zip(row.optional_text()?),
            output: row.optional_int()?.map(Txn),
        });
    }
    Ok(Some(run))
}

/// The newest run with a task of an asset.
pub(crate) async fn newest_of(
    transaction: &mut Transaction,
    catalog: CatalogId,
    asset: Uuid,
) -> Result<Option<Uuid>, Failure> {
    let statement = transaction
        .statement(
            "SELECT run_id FROM cn_task WHERE catalog_id = ? AND asset_id = ? \
             ORDER BY created_us DESC, run_id DESC LIMIT 1",
        )
        .bind(catalog.0)
        .bind(asset);
    Ok(transaction.row(statement).await?.map(|mut row| row.uuid()).transpose()?)
}

/// Assets with a task that is not at its end.
pub(crate) async fn open_assets(
    transaction: &mut Transaction,
    catalog: CatalogId,
) -> Result<Vec<Uuid>, Failure> {
    let text =
        format!("SELECT DISTINCT asset_id FROM cn_task WHERE catalog_id = ? AND state IN ({OPEN_TASK})");
    let statement = transaction.statement(&text).bind(catalog.0);
    let mut open = Vec::new();
    for mut row in transaction.query(statement).await? {
        open.push(row.uuid()?);
    }
    Ok(open)
}

/// Forgets what belonged to runs that are forgotten.
pub(crate) async fn prune(transaction: &mut Transaction, catalog: CatalogId) -> Result<(), Failure> {
    for table in ["cn_task", "cn_task_dep", "cn_attempt", "cn_check_result", "cn_run_key"] {
        let text = format!(
            "DELETE FROM {table} WHERE catalog_id = ? AND NOT EXISTS (SELECT 1 FROM cn_run r \
             WHERE r.catalog_id = {table}.catalog_id AND r.run_id = {table}.run_id)"
        );
        let statement = transaction.statement(&text).bind(catalog.0);
        transaction.execute(statement).await?;
    }
    Ok(())
}
