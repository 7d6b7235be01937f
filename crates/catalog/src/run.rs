//! Runs: everything that runs is a row. A run is inserted by its claim and ended once, by who claimed it.

use cenote_vocab::{Fence, Micros, Scope, TableId, Txn};
use uuid::Uuid;

use crate::committer::check_active;
use crate::inner::Inner;
use crate::sql::{asset, asset_run, job, run};
use crate::{Error, RunFilter};

/// What begins.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id.
    pub id: Uuid,
    /// The job.
    pub job: Uuid,
    /// What the run works on: no two open runs of one job have the same.
    pub subject: Option<String>,
    /// The table, if it is one.
    pub table: Option<TableId>,
    /// What began it: `commit`, `schedule`, `person`.
    pub cause: &'static str,
    /// Who, if a person.
    pub actor: Option<String>,
    /// Why it was worth it.
    pub reason: Option<String>,
    /// Whoever works on it: only they end it.
    pub executor: Uuid,
    /// Open runs of the job that are allowed, this one counted.
    pub running_max: u32,
}

/// A pipeline that starts. Its run lasts until it stops; the epochs are commits of it.
#[derive(Clone, Debug)]
pub struct PipelineStart {
    /// Of the run.
    pub id: Uuid,
    /// The pipeline.
    pub pipeline: Uuid,
    /// Its full name then.
    pub name: String,
    /// What started it: `person`, `start` of the node or its tenant.
    pub cause: &'static str,
    /// Whoever runs it: only they end the run.
    pub executor: Uuid,
}

/// What a run did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Files read, retired or deleted.
    pub files_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Files written.
    pub files_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Its last commit.
    pub txn: Option<Txn>,
}

/// A run of any kind, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Its id.
    pub id: Uuid,
    /// `asset`, `job`, `pipeline`, `query`
    pub kind: String,
    /// The job, or the pipeline; nothing of a statement.
    pub object: Uuid,
    /// What it works on: a place, the pipeline's name, the kind of a statement.
    pub subject: Option<String>,
    /// The table, if it is one.
    pub table: Option<TableId>,
    /// `RUNNING`, `SUCCEEDED`, …
    pub state: String,
    /// What began it: `commit`, `schedule`, `person`, `start`.
    pub cause: String,
    /// Who, if a person.
    pub actor: Option<String>,
    /// Why it was worth it.
    pub reason: Option<String>,
    /// When it began.
    pub started: Micros,
    /// When it ended.
    pub completed: Option<Micros>,
    /// What it did so far.
    pub counts: RunCounts,
    /// The error, or why it was ended.
    pub error: Option<String>,
    /// Grows while it runs.
    pub version: i64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// All was done.
    Succeeded,
    /// There was nothing to do: it leaves no row.
    Nothing,
    /// The error.
    Failed(String),
    /// Why it was ended.
    Cancelled(String),
}

/// Begins a run; `None` if its subject is being worked on, or too many runs of the job are open.
pub(crate) async fn claim(inner: &Inner, scope: &Scope, new: &NewRun) -> Result<Option<()>, Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    // Claims of one job take turns here.
    if !job::lock(&mut transaction, scope.catalog(), new.job).await? {
        return Err(Error::JobNotFound { name: new.job.to_string(), nearest: None });
    }
    let open = run::open_subjects(&mut transaction, scope.catalog(), new.job).await?;
    if open.len() >= new.running_max as usize || open.contains(&new.subject) {
        transaction.rollback().await?;
        return Ok(None);
    }
    let fence = inner.active_fence()?.unwrap_or_default();
    run::insert(&mut transaction, scope.catalog(), ("job", new), fence, inner.clock.now()).await?;
    transaction.commit().await?;
    Ok(Some(()))
}

/// Begins the run of a pipeline; one that was left open ends.
pub(crate) async fn begin_pipeline(inner: &Inner, scope: &Scope, start: &PipelineStart) -> Result<(), Error> {
    let new = NewRun {
        id: start.id,
        job: start.pipeline,
        subject: Some(start.name.clone()),
        table: None,
        cause: start.cause,
        actor: None,
        reason: None,
        executor: start.executor,
        running_max: 1,
    };
    let (catalog, now) = (scope.catalog(), inner.clock.now());
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    run::end_open(&mut transaction, catalog, start.pipeline, now, "the pipeline was started anew").await?;
    let fence = inner.active_fence()?.unwrap_or_default();
    run::insert(&mut transaction, catalog, ("pipeline", &new), fence, now).await?;
    Ok(transaction.commit().await?)
}

/// Notes progress. `Fenced` if the run is not the executor's any more.
pub(crate) async fn note(
    inner: &Inner,
    scope: &Scope,
    (id, executor): (Uuid, Uuid),
    counts: RunCounts,
) -> Result<(), Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    let noted = run::note(&mut transaction, scope.catalog(), id, executor, counts).await?;
    transaction.commit().await?;
    if noted { Ok(()) } else { Err(ended_already(id)) }
}

/// Ends a run. `Fenced` if it is not the executor's any more: its end stands already.
pub(crate) async fn end(
    inner: &Inner,
    scope: &Scope,
    (id, executor): (Uuid, Uuid),
    counts: RunCounts,
    end: &RunEnd,
) -> Result<(), Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    let catalog = scope.catalog();
    let ended = run::note(&mut transaction, catalog, id, executor, counts).await?
        && run::end(&mut transaction, catalog, id, inner.clock.now(), end).await?;
    transaction.commit().await?;
    if ended { Ok(()) } else { Err(ended_already(id)) }
}

fn ended_already(id: Uuid) -> Error {
    Error::Fenced { name: format!("run {id}") }
}

/// A run of any kind. `RunNotFound` if there is none.
pub(crate) async fn record(inner: &Inner, scope: &Scope, id: Uuid) -> Result<RunRecord, Error> {
    let mut transaction = inner.database.read().await?;
    let found = run::record(&mut transaction, scope.catalog(), id).await?;
    transaction.rollback().await?;
    found.ok_or_else(|| Error::RunNotFound(id.to_string()))
}

/// A page of runs of one kind, newest first; of one job or pipeline, if it is named.
pub(crate) async fn page(
    inner: &Inner,
    scope: &Scope,
    (kind, object): (&str, Option<Uuid>),
    wanted: &RunFilter,
) -> Result<Vec<RunRecord>, Error> {
    let mut transaction = inner.database.read().await?;
    let page = run::page(&mut transaction, scope.catalog(), (kind, object), wanted).await?;
    transaction.rollback().await?;
    Ok(page)
}

/// Ends what processes before this one left open: those whose fence is older. Answers how many.
pub(crate) async fn sweep(inner: &Inner, scope: &Scope, reason: &str) -> Result<u64, Error> {
    let fence = inner.active_fence()?.unwrap_or(Fence(0));
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    let swept = run::sweep(&mut transaction, scope.catalog(), fence, inner.clock.now(), reason).await?;
    transaction.commit().await?;
    Ok(swept)
}

/// Forgets runs that ended before an instant, at most `rows_max`; answers how many.
pub(crate) async fn prune(inner: &Inner, scope: &Scope, before: Micros, rows_max: u32) -> Result<u64, Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    let pruned = run::prune(&mut transaction, scope.catalog(), before, rows_max).await?;
    if pruned > 0 {
        asset_run::prune(&mut transaction, scope.catalog()).await?;
    }
    asset::prune_ticks(&mut transaction, scope.catalog(), before).await?;
    transaction.commit().await?;
    Ok(pruned)
}
