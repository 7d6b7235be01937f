//! Runs of assets: their tasks are claimed, tried, and ended; what a success publishes is in the commit that ends the task.
//!
//! ```text
//! Commit(CreateRun) ─► READY, BLOCKED ─ claim ─► RUNNING ─ Commit(rows, lineage, checks, EndTask) ─► SUCCEEDED ─► next READY
//!                                        ▲            └─ retry ─► WAITING ─ wake ─┘
//! ```
//! Invariants: every change of a state is a guarded update, so a late or repeated one changes nothing and says so
//! (`TaskGone`); a state that is an end stays; between claim and end an attempt is told by its `attempt_id`.

use std::collections::BTreeMap;
use std::time::Duration;

use cenote_vocab::{Fence, Micros, Scope, TableId, Txn};
use uuid::Uuid;

use crate::asset::{Asset, Check, CheckResult, Severity};
use crate::committer::check_active;
use crate::guarded::Guarded;
use crate::inner::Inner;
use crate::reading::check_scope;
use crate::recipe::{Made, Recorded};
use crate::sql::{asset_run, check, head, recipe, staged, task, task_end};
use crate::{AssetSpec, Error, FailedAttempt, Hold, NewFile, SliceRange, Slices, TaskState, WHOLE};

/// How long rows that a check kept out of a table stay readable.
pub(crate) const STAGED_KEEP: Duration = Duration::from_secs(24 * 3600);

/// Files that one transaction gives to the collection.
const STAGED_ROWS_MAX: u32 = 1_000;

/// How often the end of a process may end the attempts of one task.
pub(crate) const DEATHS_MAX: i64 = 3;

/// A change of assets and their runs, made by a commit.
#[derive(Clone, Debug)]
pub enum FlowChange {
    /// A new asset, or a new recipe of one, one version newer. `AssetChanged` if it is not as it was read.
    PutAsset(Box<Asset>),
    /// It runs by itself no more, or again; `next`: when its schedule is due.
    PauseAsset {
        /// The asset.
        asset: Uuid,
        /// Whether it is held.
        paused: bool,
        /// When its schedule is due.
        next: Option<Micros>,
    },
    /// The recipe goes; the table stays.
    DropAsset(Uuid),
    /// A new check. `TagExists`-like conflicts are told by the commit.
    PutCheck(Box<Check>),
    /// A check goes.
    DropCheck(Uuid),
    /// A run with all of its tasks. `AssetNotFound` if one of their assets is gone.
    CreateRun(Box<NewAssetRun>),
    /// A trigger was due, and nothing ran.
    Tick(Tick),
    /// An attempt ends its task.
    EndTask(Box<TaskEnd>),
    /// A run ends as soon as its running tasks do.
    CancelRun {
        /// The run.
        run: Uuid,
        /// Why, for people.
        reason: String,
        /// What ends it.
        why: Cancel,
    },
    /// No further task of a run begins, or they do again.
    PauseRun {
        /// The run.
        run: Uuid,
        /// Whether it is held.
        paused: bool,
    },
}

impl FlowChange {
    /// The run that it is part of.
    pub fn run(&self) -> Option<Uuid> {
        match self {
            Self::CreateRun(run) => Some(run.id),
            Self::EndTask(end) => Some(end.run),
            Self::CancelRun { run, .. } | Self::PauseRun { run, .. } => Some(*run),
            Self::PutAsset(_)
            | Self::PauseAsset { .. }
            | Self::DropAsset(_)
            | Self::PutCheck(_)
            | Self::DropCheck(_)
            | Self::Tick(_) => None,
        }
    }
}

/// What ends a run before its tasks are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// Somebody, or a check.
    Asked,
    /// Its deadline.
    TimedOut,
}

/// A run of assets to be made.
#[derive(Clone, Debug)]
pub struct NewAssetRun {
    /// Its id.
    pub id: Uuid,
    /// The asset, if one was asked for.
    pub asset: Option<Uuid>,
    /// `person`, `schedule`, `eager`
    pub cause: &'static str,
    /// Who, if a person.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Of its plan.
    pub fingerprint: String,
    /// The time that it is about.
    pub logical: Option<Micros>,
    /// The run that it repeats.
    pub parent: Option<Uuid>,
    /// How, if it does.
    pub rerun: Option<RerunKind>,
    /// At which it reads what it does not make, if that is not the newest one when its first task begins.
    pub snapshot: Option<Txn>,
    /// Runs of a higher one begin first.
    pub priority: i32,
    /// Its tasks that run at a time, at most.
    pub concurrency: Option<u32>,
    /// When it is ended if it has not by then.
    pub deadline: Option<Micros>,
    /// What its maker says of it.
    pub labels: BTreeMap<String, String>,
    /// What makes a second request the same: a key, and the hash of what was asked.
    pub key: Option<(String, [u8; 32])>,
    /// Its tasks.
    pub tasks: Vec<NewTask>,
    /// (upstream, downstream) by task key.
    pub edges: Vec<(String, String)>,
    /// The firing that made it.
    pub tick: Option<Tick>,
}

/// How a run repeats another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RerunKind {
    /// The tasks that did not succeed, on a snapshot of now.
    FromFailure,
    /// Tasks that were named, on a snapshot of now.
    Subset,
    /// What its tasks did, on what they read.
    Replay,
}

impl RerunKind {
    /// As it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::FromFailure => "FROM_FAILURE",
            Self::Subset => "SUBSET",
            Self::Replay => "REPLAY",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::FromFailure, Self::Subset, Self::Replay].into_iter().find(|kind| kind.name() == name)
    }
}

/// A task to be made.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Its key in the run.
    pub key: String,
    /// Its id.
    pub id: Uuid,
    /// What it makes.
    pub asset: Uuid,
    /// Which partitions of it; `None` if it has none.
    pub partitions: Option<String>,
    /// Why it is in the plan.
    pub reason: String,
    /// Tasks of a higher one begin first.
    pub priority: i32,
    /// The code of its asset when it was planned.
    pub code: [u8; 32],
}

/// A firing of a trigger, or that it did not fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The trigger.
    pub trigger: Uuid,
    /// Of the trigger as it was read: another firing meanwhile is a conflict.
    pub version: i64,
    /// The same for the same firing.
    pub key: String,
    /// When it was due.
    pub scheduled: Option<Micros>,
    /// `TRIGGERED`, `SKIPPED`, `FAILED`
    pub status: &'static str,
    /// Why it was skipped, or failed.
    pub reason: Option<String>,
    /// What was looked at, as JSON.
    pub conditions: Option<String>,
    /// When the trigger is due again.
    pub next: Option<Micros>,
    /// Changes up to here were looked at.
    pub cursor: Option<Txn>,
}

/// A task that an executor has begun.
#[derive(Clone, Debug)]
pub struct ClaimedTask {
    /// Its run.
    pub run: Uuid,
    /// Its key in the run.
    pub key: String,
    /// Its id.
    pub task: Uuid,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// This attempt.
    pub attempt_id: Uuid,
    /// What it makes.
    pub asset: Asset,
    /// Which partitions of it; `None` if it has none.
    pub partitions: Option<String>,
    /// Its checks.
    pub checks: Vec<Check>,
    /// The snapshot at which the run reads; none was taken yet if it is the first.
    pub snapshot: Option<Txn>,
    /// The time that the run is about: when it was made, if nothing else is said.
    pub logical: Micros,
    /// The time of its statements: when this attempt began.
    pub started: Micros,
    /// Tables that tasks of this run have made, with the commits that did.
    pub outputs: BTreeMap<TableId, Txn>,
}

impl ClaimedTask {
    /// The ledger's name of its output: the same for every attempt.
    pub fn producer(&self) -> String {
        format!("task/{}/{}", self.run, self.task)
    }

    /// How its asset is cut, and which slices it makes; `None` of an asset that is whole. `Slice` if the asset is cut in
    /// another way by now.
    pub fn slices(&self) -> Result<Option<(Slices, SliceRange)>, Error> {
        slices(&self.asset.spec, self.partitions.as_deref())
    }

    /// Keys of what it makes.
    pub fn parts(&self) -> Result<Vec<String>, Error> {
        slice_keys(&self.asset.spec, self.partitions.as_deref())
    }
}

fn slices(spec: &AssetSpec, partitions: Option<&str>) -> Result<Option<(Slices, SliceRange)>, Error> {
    match (spec.slices()?, partitions) {
        (None, None) => Ok(None),
        (Some(slices), Some(text)) => {
            let range = slices.range(text)?;
            Ok(Some((slices, range)))
        }
        (None, Some(text)) => Err(Error::Slice(format!("the asset has no partition {text} any more"))),
        (Some(slices), None) => {
            let text = format!("the asset has partitions by now, such as {}", slices.example());
            Err(Error::Slice(text))
        }
    }
}

/// Keys of the parts of an asset that a text says.
pub(crate) fn slice_keys(spec: &AssetSpec, partitions: Option<&str>) -> Result<Vec<String>, Error> {
    Ok(match slices(spec, partitions)? {
        None => vec![WHOLE.to_owned()],
        Some((slices, range)) => range.numbers().map(|number| slices.key(number)).collect(),
    })
}

/// The end of a task.
#[derive(Clone, Debug)]
pub struct TaskEnd {
    /// Its run.
    pub run: Uuid,
    /// Its key in the run.
    pub key: String,
    /// Its id.
    pub task: Uuid,
    /// Who ends it: another attempt than the one that runs ends nothing.
    pub attempt_id: Uuid,
    /// What it made.
    pub asset: Uuid,
    /// Which parts of it, by key.
    pub parts: Vec<String>,
    /// How.
    pub outcome: TaskOutcome,
    /// What the checks said.
    pub checks: Vec<CheckResult>,
    /// The rows that they kept out of the table.
    pub staged: Option<StagedRows>,
}

impl TaskEnd {
    /// True if a check failed that ends the whole run.
    pub fn ends_run(&self) -> bool {
        let is_critical = |check: &CheckResult| !check.passed && check.severity == Severity::Critical;
        matches!(self.outcome, TaskOutcome::Failed { .. }) && self.checks.iter().any(is_critical)
    }
}

/// Rows that are in files and, because a check failed, in no version of their table.
#[derive(Clone, Debug)]
pub struct StagedRows {
    /// The table.
    pub table: TableId,
    /// Its place below the storage root.
    pub location: String,
    /// The files.
    pub files: Vec<NewFile>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskOutcome {
    /// Its rows are in the same commit.
    Succeeded {
        /// How many.
        rows: u64,
        /// What made them.
        code: [u8; 32],
        /// What was read, and at which snapshot.
        inputs: BTreeMap<TableId, Txn>,
        /// By what it can be done again and compared; `None` if it cannot.
        made: Option<Made>,
    },
    /// It is not tried again.
    Failed {
        /// Whose fault it is.
        category: Category,
        /// The error.
        message: String,
    },
    /// Somebody ended it.
    Cancelled(String),
}

/// Whose fault a failure is; what is not the recipe's is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// Storage, memory, another writer, the process.
    Infrastructure,
    /// It took too long.
    Timeout,
    /// A check.
    DataQuality,
    /// The recipe.
    Configuration,
}

impl Category {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Infrastructure => "INFRASTRUCTURE",
            Self::Timeout => "TIMEOUT",
            Self::DataQuality => "DATA_QUALITY",
            Self::Configuration => "CONFIGURATION",
        }
    }

    /// True if another attempt may succeed.
    pub fn is_tried_again(self) -> bool {
        matches!(self, Self::Infrastructure | Self::Timeout)
    }
}

/// Why an attempt did not succeed.
#[derive(Clone, Debug)]
pub struct TaskFailure {
    /// Whose fault it is.
    pub category: Category,
    /// The error.
    pub message: String,
    /// What the checks said.
    pub checks: Vec<CheckResult>,
    /// The rows that they kept out of the table.
    pub staged: Option<StagedRows>,
}

/// A run of assets as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetRun {
    /// Its id.
    pub id: Uuid,
    /// The asset, if one was asked for.
    pub asset: Option<Uuid>,
    /// `PENDING`, `RUNNING`, …
    pub state: String,
    /// Why it runs.
    pub reason: Option<String>,
    /// Of its plan.
    pub fingerprint: Option<String>,
    /// What began it.
    pub cause: String,
    /// Who, if a person.
    pub actor: Option<String>,
    /// When it was made.
    pub created: Micros,
    /// When its first task began.
    pub started: Option<Micros>,
    /// When it ended.
    pub completed: Option<Micros>,
    /// At which it reads what it does not make.
    pub snapshot: Option<Txn>,
    /// The time that it is about.
    pub logical: Option<Micros>,
    /// The run that it repeats.
    pub parent: Option<Uuid>,
    /// How, if it does.
    pub rerun: Option<RerunKind>,
    /// Runs of a higher one begin first.
    pub priority: i64,
    /// Its tasks that run at a time, at most.
    pub concurrency: Option<u32>,
    /// When it is ended if it has not by then.
    pub deadline: Option<Micros>,
    /// What its maker says of it.
    pub labels: BTreeMap<String, String>,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// Grows with every change.
    pub version: i64,
    /// Its tasks, by key.
    pub tasks: Vec<TaskRecord>,
}

/// A task as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// Its key in the run.
    pub key: String,
    /// What it makes.
    pub asset: Uuid,
    /// Which partitions of it; `None` if it has none.
    pub partitions: Option<String>,
    /// Its state, as stored.
    pub state: String,
    /// Attempts so far.
    pub attempt: i64,
    /// Why it is in the plan.
    pub reason: String,
    /// The last error.
    pub error: Option<String>,
    /// Whose fault it was.
    pub category: Option<String>,
    /// When it is tried again.
    pub not_before: Option<Micros>,
    /// What it waits for; nothing of one that runs, or has ended.
    pub waiting: Option<Waiting>,
    /// The task that kept it from running, and how that one ended.
    pub skipped_by: Option<(String, String)>,
    /// The commit with its rows.
    pub output: Option<Txn>,
    /// How many.
    pub rows: Option<i64>,
    /// When its last attempt began.
    pub started: Option<Micros>,
    /// When it ended.
    pub completed: Option<Micros>,
    /// Tasks of a higher one begin first.
    pub priority: i64,
    /// The code of its asset when it was planned; of runs before this was noted it is not known.
    pub code: Option<[u8; 32]>,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Tasks before it.
    Upstream,
    /// The time of its next attempt.
    RetryAt,
    /// That its run goes on.
    Paused,
    /// Another task, which makes the same asset.
    AssetBusy,
    /// That fewer tasks run, of its run or of all.
    Slots,
}

impl Waiting {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::RetryAt => "retry_at",
            Self::Paused => "paused",
            Self::AssetBusy => "asset_busy",
            Self::Slots => "slots",
        }
    }

    /// Of a task in this state, in a run in that one.
    pub(crate) fn of(task: &str, run: &str, is_busy: bool) -> Option<Self> {
        match (TaskState::of(task)?, run) {
            (TaskState::Blocked, _) => Some(Self::Upstream),
            (TaskState::Waiting, _) => Some(Self::RetryAt),
            (TaskState::Ready, "PAUSED") => Some(Self::Paused),
            (TaskState::Ready, _) => Some(if is_busy { Self::AssetBusy } else { Self::Slots }),
            _ => None,
        }
    }
}

/// Which runs of assets are wanted: newest first.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// In this state.
    pub state: Option<String>,
    /// With a task of this asset.
    pub asset: Option<Uuid>,
    /// Begun by this: `person`, `schedule`, `eager`.
    pub cause: Option<String>,
    /// Made at or after.
    pub since: Option<Micros>,
    /// Made before.
    pub until: Option<Micros>,
    /// Behind the run that was made then.
    pub after: Option<(Micros, Uuid)>,
    /// So many at most.
    pub limit: u32,
}

/// Begins the best task that is ready; `None` if there is none, or so many run already.
pub(crate) async fn claim(
    inner: &Inner,
    scope: &Scope,
    executor: Uuid,
    running_max: u32,
) -> Result<Option<ClaimedTask>, Error> {
    let catalog = scope.catalog();
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    let fence = inner.active_fence()?.unwrap_or_default();
    // Claims of one catalog take turns here, so that two of them never count the same running tasks.
    head::lock(&mut transaction, catalog).await?;
    // Only now: a task that became ready while this waited must not have begun before it.
    let now = inner.clock.now();
    let claimed =
        task::claim(&mut transaction, catalog, (executor, fence, inner.ids.uuid()), running_max, now).await?;
    let Some(mut claimed) = claimed else {
        transaction.rollback().await?;
        return Ok(None);
    };
    claimed.checks = check::checks(&mut transaction, catalog, Some(claimed.asset.table)).await?;
    transaction.commit().await?;
    Ok(Some(claimed))
}

/// The snapshot at which a run reads what it does not make: the newest one when this is asked first. It is held until the
/// run ends.
pub(crate) async fn fix_snapshot(inner: &Inner, scope: &Scope, run: Uuid) -> Result<Txn, Error> {
    let catalog = scope.catalog();
    let mut transaction = inner.database.write().await?;
    let newest = head::lock(&mut transaction, catalog).await?.txn;
    check_active(inner, &mut transaction).await?;
    let (fixed, first) = task::fix_snapshot(&mut transaction, catalog, run, newest).await?;
    if first {
        let held = Hold {
            id: inner.ids.uuid(),
            table: None,
            name: None,
            txn: fixed,
            holder: holder(run),
            expires: Some(inner.clock.now().plus(crate::hold::HOLD_MAX)),
        };
        crate::sql::hold::insert(&mut transaction, catalog, &held).await?;
    }
    transaction.commit().await?;
    Ok(fixed)
}

/// Who holds the snapshot of a run.
pub(crate) fn holder(run: Uuid) -> String {
    format!("run/{run}")
}

/// How an attempt lets go of a task that is not ended by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetGo {
    /// It failed, and is tried again at an instant.
    Retry {
        /// Whose fault it is.
        category: Category,
        /// The error.
        message: String,
        /// Not before.
        at: Micros,
    },
    /// Its process stops: another may begin it at once, and this attempt does not count.
    Stopped,
}

/// Gives a task back. `TaskGone` if the attempt does not have it any more.
pub(crate) async fn let_go(inner: &Inner, scope: &Scope, attempt_id: Uuid, how: &LetGo) -> Result<(), Error> {
    let mut guarded = Guarded::begin(inner, scope).await?;
    let now = inner.clock.now();
    let done = task::let_go(&mut guarded.transaction, scope.catalog(), attempt_id, how, now).await?;
    end_cancelled(&mut guarded, scope).await?;
    guarded.commit().await?;
    if done { Ok(()) } else { Err(Error::TaskGone(attempt_id)) }
}

/// What was given back of runs that are being cancelled is not begun again.
async fn end_cancelled(guarded: &mut Guarded<'_>, scope: &Scope) -> Result<(), Error> {
    let catalog = scope.catalog();
    for run in task_end::cancelling(&mut guarded.transaction, catalog).await? {
        let at = guarded.next();
        let told = task_end::cancel_rest(&mut guarded.transaction, catalog, run, at).await?;
        guarded.tell("end_run", Some(run), told).await?;
    }
    Ok(())
}

/// Makes ready what waited until now; answers how many.
pub(crate) async fn wake(inner: &Inner, scope: &Scope, now: Micros) -> Result<u64, Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    let woken = task::wake(&mut transaction, scope.catalog(), now).await?;
    transaction.commit().await?;
    Ok(woken)
}

/// Gives back tasks of processes before this one: those whose fence is older. One that saw too many processes die fails.
pub(crate) async fn sweep(inner: &Inner, scope: &Scope) -> Result<u64, Error> {
    let (catalog, fence) = (scope.catalog(), inner.active_fence()?.unwrap_or(Fence(0)));
    let mut guarded = Guarded::begin(inner, scope).await?;
    let held = task::held_before(&mut guarded.transaction, catalog, fence).await?;
    let swept = held.len() as u64;
    for task in held {
        let (run, at) = (task.run, guarded.next());
        let told = task::give_back(&mut guarded.transaction, catalog, task, at).await?;
        guarded.tell("end_task", Some(run), told).await?;
    }
    end_cancelled(&mut guarded, scope).await?;
    guarded.commit().await?;
    inner.memory(catalog).forget_parts(); // some may have failed
    Ok(swept)
}

/// Whether any task is ready; when something is due: one that waits, or the deadline of an open run.
pub(crate) async fn pulse(inner: &Inner, scope: &Scope) -> Result<(bool, Option<Micros>), Error> {
    let mut transaction = inner.database.read().await?;
    let pulse = task::pulse(&mut transaction, scope.catalog()).await?;
    transaction.rollback().await?;
    Ok(pulse)
}

/// A run with its tasks. `RunNotFound` if there is none.
pub(crate) async fn run(inner: &Inner, scope: &Scope, id: Uuid) -> Result<AssetRun, Error> {
    let mut transaction = inner.database.read().await?;
    let found = asset_run::run(&mut transaction, scope.catalog(), id).await?;
    transaction.rollback().await?;
    found.ok_or_else(|| Error::RunNotFound(id.to_string()))
}

/// (upstream, downstream) by task key, of a run.
pub(crate) async fn edges(inner: &Inner, scope: &Scope, id: Uuid) -> Result<Vec<(String, String)>, Error> {
    let mut transaction = inner.database.read().await?;
    let edges = asset_run::edges(&mut transaction, scope.catalog(), id).await?;
    transaction.rollback().await?;
    Ok(edges)
}

/// Attempts of a run that did not succeed, with the keys of their tasks.
pub(crate) async fn failed_attempts(
    inner: &Inner,
    scope: &Scope,
    id: Uuid,
) -> Result<Vec<(String, FailedAttempt)>, Error> {
    let mut transaction = inner.database.read().await?;
    let attempts = asset_run::failed_attempts(&mut transaction, scope.catalog(), id).await?;
    transaction.rollback().await?;
    Ok(attempts)
}

/// What is kept of the rows of a run that a check kept out of a table.
pub(crate) async fn staged_rows(
    inner: &Inner,
    scope: &Scope,
    (table, run): (TableId, Uuid),
) -> Result<Vec<NewFile>, Error> {
    check_scope(scope, table)?;
    Ok(staged::rows(&inner.database, scope.catalog(), (table, run), inner.clock.now()).await?)
}

/// Gives what was kept long enough to the collection.
pub(crate) async fn expire_staged(inner: &Inner, scope: &Scope) -> Result<(), Error> {
    loop {
        let mut transaction = inner.database.write().await?;
        check_active(inner, &mut transaction).await?;
        let now = inner.clock.now();
        let expired = staged::expire(&mut transaction, scope.catalog(), now, STAGED_ROWS_MAX).await?;
        transaction.commit().await?;
        if expired < u64::from(STAGED_ROWS_MAX) {
            return Ok(());
        }
    }
}

/// The newest run before this one that is about the same.
pub(crate) async fn run_before(
    inner: &Inner,
    scope: &Scope,
    run: &AssetRun,
) -> Result<Option<AssetRun>, Error> {
    let mut transaction = inner.database.read().await?;
    let found = match asset_run::before(&mut transaction, scope.catalog(), run).await? {
        Some(id) => asset_run::run(&mut transaction, scope.catalog(), id).await?,
        None => None,
    };
    transaction.rollback().await?;
    Ok(found)
}

/// What a task did when it succeeded. `None` if it did not, or that was not noted.
pub(crate) async fn recorded(
    inner: &Inner,
    scope: &Scope,
    run: Uuid,
    key: &str,
) -> Result<Option<Recorded>, Error> {
    let mut transaction = inner.database.read().await?;
    let found = recipe::recorded(&mut transaction, scope.catalog(), run, key).await?;
    transaction.rollback().await?;
    Ok(found)
}

/// The newest run of an asset, and whether it is open.
pub(crate) async fn newest_of(inner: &Inner, scope: &Scope, asset: Uuid) -> Result<Option<AssetRun>, Error> {
    let mut transaction = inner.database.read().await?;
    let found = match asset_run::newest_of(&mut transaction, scope.catalog(), asset).await? {
        Some(id) => asset_run::run(&mut transaction, scope.catalog(), id).await?,
        None => None,
    };
    transaction.rollback().await?;
    Ok(found)
}

/// A page of runs without their tasks, with how many tasks of each state they have.
pub(crate) async fn page(
    inner: &Inner,
    scope: &Scope,
    wanted: &RunFilter,
) -> Result<Vec<(AssetRun, BTreeMap<String, i64>)>, Error> {
    let mut transaction = inner.database.read().await?;
    let page = asset_run::page(&mut transaction, scope.catalog(), wanted).await?;
    transaction.rollback().await?;
    Ok(page)
}

/// Open runs whose deadline is over.
pub(crate) async fn overdue(inner: &Inner, scope: &Scope, now: Micros) -> Result<Vec<Uuid>, Error> {
    let mut transaction = inner.database.read().await?;
    let runs = task::overdue(&mut transaction, scope.catalog(), now).await?;
    transaction.rollback().await?;
    Ok(runs)
}

/// Tasks that are not at their ends: the asset, and which of its partitions.
pub(crate) async fn open_tasks(inner: &Inner, scope: &Scope) -> Result<Vec<(Uuid, Option<String>)>, Error> {
    let mut transaction = inner.database.read().await?;
    let found = asset_run::open_tasks(&mut transaction, scope.catalog()).await?;
    transaction.rollback().await?;
    Ok(found)
}

/// The run that was asked for by a key, and the hash of what was asked.
pub(crate) async fn of_key(
    inner: &Inner,
    scope: &Scope,
    key: &str,
) -> Result<Option<(Uuid, [u8; 32])>, Error> {
    let mut transaction = inner.database.read().await?;
    let found = task::of_key(&mut transaction, scope.catalog(), key).await?;
    transaction.rollback().await?;
    Ok(found)
}
