//! Runs: everything that runs is a row. A run is inserted by its claim and ended once, by who claimed it.

use cenote_vocab::{Fence, Micros, Scope, TableId, Txn};
use uuid::Uuid;

use crate::Error;
use crate::committer::check_active;
use crate::inner::Inner;
use crate::sql::{asset, asset_run, job, run};

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
    run::insert(&mut transaction, scope.catalog(), new, fence, inner.clock.now()).await?;
    transaction.commit().await?;
    Ok(Some(()))
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
