//! `RERUN RUN 'id' REPLAY`: what the tasks of a run did is done again, by the recipes and on the snapshots of then, and the rows are
//! compared with those that were published. Nothing is written.

use std::sync::Arc;

use cenote_catalog::{ClaimedTask, Error as CatalogError, Names, Recorded, TableDef};
use cenote_table::{CHANGE_COLUMNS, ChangePosition, ChangeRequest, ChangeType, Expired};
use cenote_vocab::{ErrorKind, Fault as _, Scope, TableId, Txn};
use futures::TryStreamExt;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::asset_task::Attempt;
use crate::plan::Snapshot;
use crate::row_hash::{Fate, RowHash};
use crate::session::Inner;
use crate::{Engine, Error, Session};

/// The code of a version that is gone: 409 over HTTP.
const SNAPSHOT_EXPIRED: &str = "72000";

/// What came of doing a task again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Its key in the run.
    pub task: String,
    /// True if it answers the rows that it published; columns of floating point are not looked at.
    pub identical: bool,
    /// How many rows it answers now.
    pub rows: u64,
    /// How many of them differ, one that changed counted once; `None` if that cannot be told any more.
    pub differing: Option<u64>,
    /// False if its code calls what answers differently each time, such as `random()`.
    pub deterministic: bool,
}

/// Does the tasks of a run again, one after the other. `Conflict` if the run has not succeeded, or something that it read is gone.
pub(crate) async fn replay(session: &Inner, run: Uuid) -> Result<Vec<Replayed>, Error> {
    let (engine, scope) = (session.engine(), &session.identity().scope);
    let tasks = recorded(engine, scope, run).await?;
    // Before the first one is begun: an answer about all, or about none.
    for (_, task) in &tasks {
        check_kept(engine, scope, task).await?;
    }
    let mut replayed = Vec::with_capacity(tasks.len());
    for (key, task) in tasks {
        let done = Box::pin(again(engine, scope, (run, &key), &task)).await;
        replayed.push(match done {
            Ok(done) => done,
            // What it reads may have gone meanwhile.
            Err(error) => return Err(check_kept(engine, scope, &task).await.err().unwrap_or(error)),
        });
    }
    Ok(replayed)
}

/// Fails if a run cannot be done again: it has not succeeded, or something that it read is gone.
pub(crate) async fn check_replay(session: &Inner, run: Uuid) -> Result<(), Error> {
    let (engine, scope) = (session.engine(), &session.identity().scope);
    for (_, task) in recorded(engine, scope, run).await? {
        check_kept(engine, scope, &task).await?;
    }
    Ok(())
}

/// What the tasks of a run did, in the order in which they ended.
async fn recorded(engine: &Engine, scope: &Scope, id: Uuid) -> Result<Vec<(String, Recorded)>, Error> {
    let catalog = &engine.lake().catalog;
    let run = catalog.asset_run(scope, id).await?;
    if run.state != "SUCCEEDED" {
        let text = format!("run {id} is {}: only one that succeeded is done again as it was", run.state);
        return Err(Error::new(ErrorKind::Conflict, text).with_sqlstate("55000"));
    }
    let mut tasks = Vec::with_capacity(run.tasks.len());
    for task in run.tasks {
        let recorded = catalog.recorded_task(scope, id, &task.key).await?.ok_or_else(|| {
            let text = format!("what task {} of run {id} did is not known any more", task.key);
            Error::new(ErrorKind::Conflict, text).with_sqlstate("55000")
        })?;
        tasks.push((task.key, recorded));
    }
    tasks.sort_by_key(|(_, task)| task.output);
    Ok(tasks)
}

/// Fails, naming table and version, if something that a task read is gone.
async fn check_kept(engine: &Engine, scope: &Scope, task: &Recorded) -> Result<(), Error> {
    let catalog = &engine.lake().catalog;
    for (table, at) in task.versions() {
        let gone = |text: String| Error::new(ErrorKind::Conflict, text).with_sqlstate(SNAPSHOT_EXPIRED);
        let names = catalog.names(scope, at).await?;
        let Some(table) = names.table_by_id(table) else {
            return Err(gone(format!("version {at} of table {table} is no longer kept: the table is gone")));
        };
        match catalog.check_kept(scope, table, at).await {
            Ok(()) => {}
            Err(error @ CatalogError::SnapshotExpired(_)) => return Err(gone(error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Does one task again.
async fn again(
    engine: &Engine,
    scope: &Scope,
    (run, key): (Uuid, &str),
    recorded: &Recorded,
) -> Result<Replayed, Error> {
    let task = ClaimedTask {
        run,
        key: key.to_owned(),
        task: Uuid::nil(),
        attempt: 1,
        attempt_id: Uuid::nil(),
        asset: recorded.asset.clone(),
        partitions: recorded.partitions.clone(),
        checks: Vec::new(),
        snapshot: Some(recorded.snapshot),
        logical: recorded.logical,
        started: recorded.started,
        outputs: recorded.outputs(),
    };
    let stop = CancellationToken::new();
    let attempt = Attempt { engine, scope, task: &task, stop: &stop };
    let session = attempt.session().await?;
    let hash = Arc::new(Mutex::new(RowHash::new(Fate::Compared)));
    session.inner().mark_rows(Some(hash.clone()));
    let done = Box::pin(fill(&attempt, &session, recorded)).await;
    let transaction = session.inner().take_transaction();
    let deterministic =
        transaction.as_ref().and_then(|transaction| transaction.staged.deterministic).unwrap_or(true);
    if let Some(transaction) = transaction {
        session.inner().roll_back(transaction).await;
    }
    done?;
    let rows = hash.lock().rows();
    let identical = hash.lock().mark() == recorded.output_hash;
    let differing = match identical {
        true => Some(0),
        false => published(engine, scope, recorded).await?.and_then(|then| hash.lock().differing(&then)),
    };
    Ok(Replayed { task: key.to_owned(), identical, rows, differing, deterministic })
}

/// The statement that filled the table, in a transaction that sees the table as it was right before.
async fn fill(attempt: &Attempt<'_>, session: &Session, recorded: &Recorded) -> Result<(), Error> {
    let (engine, scope) = (attempt.engine, attempt.scope);
    let before = Txn(recorded.output.0 - 1);
    let snapshot = Snapshot::at(engine.lake(), scope, before).await?;
    let table = of_then(&snapshot.names, recorded.asset.table)?;
    session.inner().read_at(Some(attempt.pins()?));
    let work = attempt.statements(session, &table, attempt.query()?).await?;
    attempt.execute(session, "BEGIN").await?;
    session.inner().stand_at(snapshot);
    attempt.execute(session, &work.filling).await?;
    Ok(())
}

/// The rows that the task put into the table; `None` if its history is not kept so far back.
async fn published(engine: &Engine, scope: &Scope, recorded: &Recorded) -> Result<Option<RowHash>, Error> {
    let lake = engine.lake();
    let names = lake.catalog.names(scope, recorded.output).await?;
    let table = of_then(&names, recorded.asset.table)?;
    let request = ChangeRequest {
        after: ChangePosition::end_of(Txn(recorded.output.0 - 1)),
        to: recorded.output,
        types: vec![ChangeType::Insert, ChangeType::UpdatePostimage],
        expired: Expired::Hidden,
        columns: table.schema.fields.iter().map(|field| field.id).collect(),
    };
    let mut then = RowHash::new(Fate::Compared);
    let mut batches = lake.changes(scope, &table, request)?;
    loop {
        match batches.try_next().await {
            Ok(Some(batch)) => {
                then.add(&table.schema, &batch.columns()[CHANGE_COLUMNS.len()..], batch.num_rows());
            }
            Ok(None) => return Ok(Some(then)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

fn of_then(names: &Names, table: TableId) -> Result<Arc<TableDef>, Error> {
    names.table_by_id(table).cloned().ok_or_else(|| {
        let text = format!("what table {table} was then is not known any more");
        Error::new(ErrorKind::Conflict, text).with_sqlstate(SNAPSHOT_EXPIRED)
    })
}
