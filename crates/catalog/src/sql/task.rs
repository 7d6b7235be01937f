//! Rows of `cn_task`, `cn_task_dep`, `cn_attempt`, and of runs that have tasks, up to the end of an attempt. Every change of a
//! state is guarded.

use std::collections::{BTreeMap, HashSet};

use cenote_vocab::{CatalogId, Fence, Micros, TableId, Txn};
use uuid::Uuid;

use super::task_end::end_task;
use super::{Cell, Failure, Transaction, asset, recipe};
use crate::Error;
use crate::committer::{EventRow, run_finished, task_finished};
use crate::registry::{ATTEMPT, RUN, RUN_KEY, TASK, TASK_DEP};
use crate::task::{
    Category, ClaimedTask, DEATHS_MAX, LetGo, NewAssetRun, RerunKind, TaskEnd, TaskOutcome, slice_keys,
};
use crate::task_state::TaskState;

/// States of a run that is not at its end.
pub(super) const OPEN_RUN: &str = "'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING'";
/// States of a run that its deadline ends.
const TIMED_RUN: &str = "'PENDING', 'RUNNING', 'PAUSED'";
/// States of a task that is not at its end.
pub(super) const OPEN_TASK: &str = "'BLOCKED', 'READY', 'WAITING', 'RUNNING'";

/// Adds a run with its tasks, and what fired it; one without tasks is at its end, which is to be told.
pub(crate) async fn create_run(
    transaction: &mut Transaction,
    catalog: CatalogId,
    new: &NewAssetRun,
    now: Micros,
) -> Result<Vec<EventRow>, Failure> {
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
    // One that was dropped since the plan was made: a task of it could never begin, and would keep all others from it.
    let known = asset::ids(transaction, catalog).await?;
    if let Some(gone) = new.tasks.iter().find(|task| !known.contains(&task.asset)) {
        return Err(Error::AssetNotFound { name: gone.asset.to_string(), nearest: None }.into());
    }
    let labels = match new.labels.is_empty() {
        true => None,
        false => {
            Some(serde_json::to_string(&new.labels).map_err(|error| Error::Internal(error.to_string()))?)
        }
    };
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
        new.snapshot.into(),
        new.logical.map(|at| at.0).into(),
        new.parent.into(),
        new.priority.into(),
        new.concurrency.map(i64::from).into(),
        new.deadline.map(|at| at.0).into(),
        labels.into(),
        new.rerun.map(RerunKind::name).into(),
    ];
    transaction.insert(&RUN, &[row]).await?;
    let waiting: HashSet<&str> = new.edges.iter().map(|(_, downstream)| downstream.as_str()).collect();
    let tasks: Vec<Vec<Cell>> = new
        .tasks
        .iter()
        .map(|task| {
            let blocked = waiting.contains(task.key.as_str());
            let state = if blocked { TaskState::Blocked } else { TaskState::Ready };
            let ready = (!blocked).then_some(now.0);
            vec![
                catalog.0.into(),
                new.id.into(),
                task.key.as_str().into(),
                task.id.into(),
                task.asset.into(),
                task.partitions.clone().into(),
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
                task.code.into(),
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
    transaction.insert(&TASK_DEP, &edges).await?;
    Ok(if new.tasks.is_empty() { vec![run_finished(new.id, "SUCCEEDED")] } else { Vec::new() })
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
            "SELECT t.run_id, t.task_key, t.task_id, t.asset_id, t.partitions, t.attempt, r.snapshot_txn, \
             COALESCE(r.logical_us, r.created_us), r.rerun_kind, r.parent_run_id \
             FROM cn_task t JOIN cn_run r ON r.catalog_id = t.catalog_id AND r.run_id = t.run_id \
             WHERE t.catalog_id = ? AND t.state = 'READY' AND r.state IN ('PENDING', 'RUNNING') \
             AND NOT EXISTS (SELECT 1 FROM cn_task o WHERE o.catalog_id = t.catalog_id AND o.asset_id = t.asset_id \
             AND o.state = 'RUNNING') AND (r.concurrency IS NULL OR r.concurrency > (SELECT COUNT(*) FROM cn_task o \
             WHERE o.catalog_id = t.catalog_id AND o.run_id = t.run_id AND o.state = 'RUNNING')) ORDER BY t.priority DESC, t.ready_us, t.run_id, t.task_key LIMIT 1",
        )
        .bind(catalog.0);
    let Some(mut row) = transaction.row(statement).await? else { return Ok(None) };
    let (run, key, task, asset_id) = (row.uuid()?, row.text()?, row.uuid()?, row.uuid()?);
    let partitions = row.optional_text()?;
    let attempt = row.int()? + 1;
    let (snapshot, logical) = (row.optional_int()?.map(Txn), Micros(row.int()?));
    let replays = row.optional_text()?.and_then(|name| RerunKind::of(&name)) == Some(RerunKind::Replay);
    let parent = row.optional_uuid()?.filter(|_| replays);
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
    let mut claimed = ClaimedTask {
        run,
        key,
        task,
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        attempt_id,
        asset,
        partitions,
        checks: Vec::new(),
        snapshot,
        logical,
        started: now,
        outputs,
    };
    if let Some(parent) = parent {
        let Some(recorded) = recipe::recorded(transaction, catalog, parent, &claimed.key).await? else {
            let text = format!("task {} of run {parent}, which task {task} repeats, is gone", claimed.key);
            return Err(Error::Corrupt(text).into());
        };
        (claimed.snapshot, claimed.outputs) = (Some(recorded.snapshot), recorded.outputs());
        claimed.asset = recorded.asset;
        (claimed.logical, claimed.started) = (recorded.logical, recorded.started);
    }
    Ok(Some(claimed))
}

/// Tables that tasks of a run have made.
async fn outputs(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: Uuid,
) -> Result<BTreeMap<TableId, Txn>, Failure> {
    let statement = transaction
        .statement(
            "SELECT a.table_id, MAX(t.output_txn) FROM cn_task t \
             JOIN cn_asset a ON a.catalog_id = t.catalog_id AND a.asset_id = t.asset_id \
             WHERE t.catalog_id = ? AND t.run_id = ? AND t.state = 'SUCCEEDED' AND t.output_txn IS NOT NULL \
             GROUP BY a.table_id",
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
    now: Micros,
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
    }
    Ok(done)
}

pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "")
}

pub(super) async fn end_attempt(
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

/// A task that an attempt of a process before this one has.
pub(crate) struct Held {
    pub(crate) run: Uuid,
    key: String,
    task: Uuid,
    asset: Uuid,
    partitions: Option<String>,
    attempt_id: Uuid,
    deaths: i64,
}

/// What holders before `fence` had begun.
pub(crate) async fn held_before(
    transaction: &mut Transaction,
    catalog: CatalogId,
    fence: Fence,
) -> Result<Vec<Held>, Failure> {
    let statement = transaction
        .statement(
            "SELECT run_id, task_key, task_id, asset_id, partitions, attempt_id, deaths FROM cn_task \
             WHERE catalog_id = ? AND state = 'RUNNING' AND fence < ?",
        )
        .bind(catalog.0)
        .bind(fence.0);
    let mut held = Vec::new();
    for mut row in transaction.query(statement).await? {
        held.push(Held {
            run: row.uuid()?,
            key: row.text()?,
            task: row.uuid()?,
            asset: row.uuid()?,
            partitions: row.optional_text()?,
            attempt_id: row.optional_uuid()?.unwrap_or_default(),
            deaths: row.int()?,
        });
    }
    Ok(held)
}

/// Gives back a task of a process that died, or ends it if it saw too many die; answers what is to be told of that.
pub(crate) async fn give_back(
    transaction: &mut Transaction,
    catalog: CatalogId,
    held: Held,
    (txn, now): (Txn, Micros),
) -> Result<Vec<EventRow>, Failure> {
    let message = "its process ended before it";
    if held.deaths + 1 >= DEATHS_MAX {
        let (category, message) = (Category::Infrastructure, message.to_owned());
        let made = asset::by_id(transaction, catalog, held.asset).await?;
        let parts = made.map(|made| slice_keys(&made.spec, held.partitions.as_deref()));
        let end = TaskEnd {
            run: held.run,
            key: held.key,
            task: held.task,
            attempt_id: held.attempt_id,
            asset: held.asset,
            // What was cut in another way meanwhile has no parts to speak of.
            parts: parts.and_then(Result::ok).unwrap_or_default(),
            outcome: TaskOutcome::Failed { category, message },
            checks: Vec::new(),
            staged: None,
        };
        let mut told = vec![task_finished(&end)];
        told.extend(end_task(transaction, catalog, &end, (txn, now)).await?);
        return Ok(told);
    }
    let told = ("DIED", Some(Category::Infrastructure), Some(message));
    end_attempt(transaction, catalog, held.attempt_id, told, now).await?;
    let statement = transaction
        .statement(
            "UPDATE cn_task SET state = 'READY', attempt = attempt - 1, deaths = deaths + 1, attempt_id = NULL, \
             ready_us = ? WHERE catalog_id = ? AND task_id = ? AND state = 'RUNNING'",
        )
        .bind(now.0)
        .bind(catalog.0)
        .bind(held.task);
    transaction.execute(statement).await?;
    Ok(Vec::new())
}

/// Whether any task is ready; when something is due: one that waits, or the deadline of an open run.
pub(crate) async fn pulse(
    transaction: &mut Transaction,
    catalog: CatalogId,
) -> Result<(bool, Option<Micros>), Failure> {
    let text = format!(
        "SELECT state, MIN(not_before_us) FROM cn_task WHERE catalog_id = ? AND state IN ('READY', 'WAITING') \
         GROUP BY state UNION ALL SELECT 'DEADLINE', MIN(deadline_us) FROM cn_run WHERE catalog_id = ? \
         AND kind = 'asset' AND state IN ({TIMED_RUN}) AND deadline_us IS NOT NULL"
    );
    let statement = transaction.statement(&text).bind(catalog.0).bind(catalog.0);
    let (mut ready, mut due) = (false, None);
    for mut row in transaction.query(statement).await? {
        match row.text()?.as_str() {
            "READY" => ready = true,
            _ => due = [due, row.optional_int()?.map(Micros)].into_iter().flatten().min(),
        }
    }
    Ok((ready, due))
}

/// Open runs whose time is over.
pub(crate) async fn overdue(
    transaction: &mut Transaction,
    catalog: CatalogId,
    now: Micros,
) -> Result<Vec<Uuid>, Failure> {
    let text = format!(
        "SELECT run_id FROM cn_run WHERE catalog_id = ? AND kind = 'asset' AND state IN ({TIMED_RUN}) AND deadline_us <= ? \
         ORDER BY run_id"
    );
    let statement = transaction.statement(&text).bind(catalog.0).bind(now.0);
    let mut runs = Vec::new();
    for mut row in transaction.query(statement).await? {
        runs.push(row.uuid()?);
    }
    Ok(runs)
}
