//! Runs of assets as they are read: one with its tasks, pages of them, what is open.

use std::collections::BTreeMap;

use cenote_vocab::{CatalogId, Micros, Txn};
use uuid::Uuid;

use super::task::OPEN_TASK;
use super::{Cell, Failure, Row, Statement, Transaction, recipe};
use crate::task::{AssetRun, RerunKind, RunFilter, TaskRecord, Waiting};
use crate::{Error, FailedAttempt};

const COLUMNS: &str = "r.run_id, r.object_id, r.state, r.reason, r.plan_fingerprint, r.cause, r.actor, r.created_us, \
    r.started_us, r.completed_us, r.snapshot_txn, r.logical_us, r.parent_run_id, r.priority, r.concurrency, r.deadline_us, \
    r.labels, r.rerun_kind, r.error, r.version";

/// The most attempts that an explanation tells of.
const FAILED_ATTEMPTS_MAX: i64 = 1_000;

fn read(row: &mut Row) -> Result<AssetRun, Error> {
    let (id, asset) = (row.uuid()?, row.uuid()?);
    let mut run = AssetRun {
        id,
        asset: Some(asset).filter(|asset| !asset.is_nil()),
        state: row.text()?,
        reason: row.optional_text()?,
        fingerprint: row.optional_text()?,
        cause: row.text()?,
        actor: row.optional_text()?,
        created: Micros(row.int()?),
        started: row.optional_int()?.map(Micros),
        completed: row.optional_int()?.map(Micros),
        snapshot: row.optional_int()?.map(Txn),
        logical: row.optional_int()?.map(Micros),
        parent: row.optional_uuid()?,
        rerun: None,
        priority: row.optional_int()?.unwrap_or(0),
        concurrency: row.optional_int()?.and_then(|most| u32::try_from(most).ok()),
        deadline: row.optional_int()?.map(Micros),
        labels: BTreeMap::new(),
        error: None,
        version: 0,
        tasks: Vec::new(),
    };
    if let Some(labels) = row.optional_text()? {
        run.labels = serde_json::from_str(&labels)
            .map_err(|error| Error::Corrupt(format!("labels of run {id} cannot be understood: {error}")))?;
    }
    // Before this was noted, runs were repeated in one way only.
    let known = row.optional_text()?.and_then(|name| RerunKind::of(&name));
    run.rerun = run.parent.map(|_| known.unwrap_or(RerunKind::FromFailure));
    run.error = row.optional_text()?;
    run.version = row.int()?;
    if run.state == "PENDING" {
        run.started = None; // the column holds when it was made until then
    }
    Ok(run)
}

/// A run with its tasks.
pub(crate) async fn run(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
) -> Result<Option<AssetRun>, Failure> {
    let text = format!(
        "SELECT {COLUMNS} FROM cn_run r WHERE r.catalog_id = ? AND r.run_id = ? AND r.kind = 'asset'"
    );
    let statement = transaction.statement(&text).bind(catalog.0).bind(id);
    let Some(mut row) = transaction.row(statement).await? else { return Ok(None) };
    let mut run = read(&mut row)?;
    let statement = transaction
        .statement(
            "SELECT task_key, asset_id, partitions, state, attempt, reason, error, category, not_before_us, skip_upstream, \
             skip_resolution, output_txn, row_count, started_us, completed_us, priority, code_id, \
             CASE WHEN state = 'READY' AND EXISTS (SELECT 1 FROM cn_task o WHERE o.catalog_id = cn_task.catalog_id \
             AND o.asset_id = cn_task.asset_id AND o.state = 'RUNNING') THEN 1 ELSE 0 END FROM cn_task \
             WHERE catalog_id = ? AND run_id = ? ORDER BY task_key",
        )
        .bind(catalog.0)
        .bind(id);
    for mut row in transaction.query(statement).await? {
        let mut task = TaskRecord {
            key: row.text()?,
            asset: row.uuid()?,
            partitions: row.optional_text()?,
            state: row.text()?,
            attempt: row.int()?,
            reason: row.text()?,
            error: row.optional_text()?,
            category: row.optional_text()?,
            not_before: row.optional_int()?.map(Micros),
            waiting: None,
            skipped_by: row.optional_text()?.zip(row.optional_text()?),
            output: row.optional_int()?.map(Txn),
            rows: row.optional_int()?,
            started: row.optional_int()?.map(Micros),
            completed: row.optional_int()?.map(Micros),
            priority: row.int()?,
            code: row.optional_bytes()?.and_then(|bytes| bytes.try_into().ok()),
        };
        task.waiting = Waiting::of(&task.state, &run.state, row.int()? != 0);
        run.tasks.push(task);
    }
    Ok(Some(run))
}

/// A page of runs without their tasks, newest first, with how many tasks of each state they have.
pub(crate) async fn page(
    transaction: &mut Transaction,
    catalog: CatalogId,
    wanted: &RunFilter,
) -> Result<Vec<(AssetRun, BTreeMap<String, i64>)>, Failure> {
    let mut text = format!("SELECT {COLUMNS} FROM cn_run r WHERE r.catalog_id = ? AND r.kind = 'asset'");
    let mut cells: Vec<Cell> = vec![catalog.0.into()];
    if let Some(asset) = wanted.asset {
        text.push_str(
            " AND EXISTS (SELECT 1 FROM cn_task t WHERE t.catalog_id = r.catalog_id AND t.run_id = r.run_id \
             AND t.asset_id = ?)",
        );
        cells.push(asset.into());
    }
    narrow(&mut text, &mut cells, wanted);
    let statement = cells.into_iter().fold(transaction.statement(&text), Statement::bind);
    let mut page = Vec::new();
    for mut row in transaction.query(statement).await? {
        page.push((read(&mut row)?, BTreeMap::new()));
    }
    for (run, counts) in &mut page {
        let statement = transaction
            .statement(
                "SELECT state, COUNT(*) FROM cn_task WHERE catalog_id = ? AND run_id = ? GROUP BY state",
            )
            .bind(catalog.0)
            .bind(run.id);
        for mut row in transaction.query(statement).await? {
            counts.insert(row.text()?, row.int()?);
        }
    }
    Ok(page)
}

/// What runs of any kind are chosen by, newest first.
pub(super) fn narrow(text: &mut String, cells: &mut Vec<Cell>, wanted: &RunFilter) {
    if let Some(state) = &wanted.state {
        text.push_str(" AND r.state = ?");
        cells.push(state.as_str().into());
    }
    if let Some(cause) = &wanted.cause {
        text.push_str(" AND r.cause = ?");
        cells.push(cause.as_str().into());
    }
    if let Some(since) = wanted.since {
        text.push_str(" AND r.created_us >= ?");
        cells.push(since.0.into());
    }
    if let Some(until) = wanted.until {
        text.push_str(" AND r.created_us < ?");
        cells.push(until.0.into());
    }
    if let Some((created, id)) = wanted.after {
        text.push_str(" AND (r.created_us < ? OR (r.created_us = ? AND r.run_id < ?))");
        cells.extend([created.0.into(), created.0.into(), id.into()]);
    }
    text.push_str(" ORDER BY r.created_us DESC, r.run_id DESC LIMIT ?");
    cells.push(i64::from(wanted.limit).into());
}

/// (upstream, downstream) by task key.
pub(crate) async fn edges(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
) -> Result<Vec<(String, String)>, Failure> {
    let statement = transaction
        .statement(
            "SELECT upstream, downstream FROM cn_task_dep WHERE catalog_id = ? AND run_id = ? \
             ORDER BY downstream, upstream",
        )
        .bind(catalog.0)
        .bind(id);
    let mut edges = Vec::new();
    for mut row in transaction.query(statement).await? {
        edges.push((row.text()?, row.text()?));
    }
    Ok(edges)
}

/// Attempts of a run that did not succeed, with the keys of their tasks.
pub(crate) async fn failed_attempts(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
) -> Result<Vec<(String, FailedAttempt)>, Failure> {
    let statement = transaction
        .statement(
            "SELECT t.task_key, a.attempt, a.outcome, a.category, a.message, a.completed_us FROM cn_attempt a \
             JOIN cn_task t ON t.catalog_id = a.catalog_id AND t.task_id = a.task_id \
             WHERE a.catalog_id = ? AND a.run_id = ? AND a.completed_us IS NOT NULL AND a.outcome <> 'SUCCEEDED' \
             ORDER BY t.task_key, a.completed_us, a.attempt_id LIMIT ?",
        )
        .bind(catalog.0)
        .bind(id)
        .bind(FAILED_ATTEMPTS_MAX);
    let mut attempts = Vec::new();
    for mut row in transaction.query(statement).await? {
        let key = row.text()?;
        let (attempt, outcome) = (row.int()?, row.optional_text()?.unwrap_or_default());
        let (category, message) = (row.optional_text()?, row.optional_text()?);
        attempts.push((key, FailedAttempt { attempt, outcome, category, message, at: Micros(row.int()?) }));
    }
    Ok(attempts)
}

/// The newest run before one of the same asset, or of several of which one is the same.
pub(crate) async fn before(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: &AssetRun,
) -> Result<Option<Uuid>, Failure> {
    let selected = run.tasks.iter().find(|task| task.reason == "selected").or(run.tasks.first());
    let Some(selected) = selected else { return Ok(None) };
    let statement = transaction
        .statement(
            "SELECT r.run_id FROM cn_run r WHERE r.catalog_id = ? AND r.object_id = ? AND r.kind = 'asset' \
             AND (r.created_us < ? OR (r.created_us = ? AND r.run_id < ?)) AND EXISTS (SELECT 1 FROM cn_task t \
             WHERE t.catalog_id = r.catalog_id AND t.run_id = r.run_id AND t.asset_id = ?) \
             ORDER BY r.created_us DESC, r.run_id DESC LIMIT 1",
        )
        .bind(catalog.0)
        .bind(run.asset.unwrap_or_default())
        .bind(run.created.0)
        .bind(run.created.0)
        .bind(run.id)
        .bind(selected.asset);
    Ok(transaction.row(statement).await?.map(|mut row| row.uuid()).transpose()?)
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

/// Tasks that are not at their ends: the asset, and which of its partitions.
pub(crate) async fn open_tasks(
    transaction: &mut Transaction,
    catalog: CatalogId,
) -> Result<Vec<(Uuid, Option<String>)>, Failure> {
    let text = format!(
        "SELECT DISTINCT asset_id, partitions FROM cn_task WHERE catalog_id = ? AND state IN ({OPEN_TASK})"
    );
    let statement = transaction.statement(&text).bind(catalog.0);
    let mut open = Vec::new();
    for mut row in transaction.query(statement).await? {
        open.push((row.uuid()?, row.optional_text()?));
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
    recipe::prune(transaction, catalog).await
}
