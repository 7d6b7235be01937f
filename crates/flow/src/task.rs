//! One attempt at a task of an asset: begun when it was claimed, watched, and ended or given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cenote_catalog::{
    Catalog, Category, ClaimedTask, Error as CatalogError, FlowChange, LetGo, TaskEnd, TaskFailure,
    TaskOutcome,
};
use cenote_vocab::{Scope, TableId, Txn};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Error;
use crate::assets::AssetTasks;
use crate::flow::Inner;

/// Tasks of assets that run at a time (`flow.tasks_max`).
pub(crate) const TASKS_MAX: u32 = 16;
/// Runs that were ended early and are remembered: a claim is under way for moments.
const STOPPED_MAX: usize = 1_000;
/// The longest pause before another attempt.
const PAUSE_MAX: Duration = Duration::from_secs(900);
/// The pause before the end of an attempt is noted again that could not be; it doubles with each failure …
const NOTE_PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
const NOTE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// An attempt that is under way, for who cancels its run.
pub(crate) struct Running {
    run: Uuid,
    attempt: Uuid,
    cancelled: CancellationToken,
}

/// What ended an attempt that did not commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Itself,
    Timeout,
    Cancel,
    Stop,
}

impl Inner {
    /// Begins a task that was claimed. Its end begins what has become ready by it.
    pub(crate) fn begin_task(self: &Arc<Self>, scope: &Scope, task: ClaimedTask, tasks: Arc<dyn AssetTasks>) {
        // Of the tenant, or of the node: what is left then is given back.
        let halted = self.working(scope);
        let (inner, scope) = (Arc::clone(self), scope.clone());
        let cancelled = halted.child_token();
        let running = Running { run: task.run, attempt: task.attempt_id, cancelled: cancelled.clone() };
        self.attempts.lock().push(running);
        if self.stopped.lock().contains(&task.run) {
            cancelled.cancel();
        }
        self.spawn(async move {
            let attempt_id = task.attempt_id;
            if let Err(error) = inner.attempt_task(&scope, task, tasks, (&cancelled, &halted)).await {
                tracing::warn!(%error, %attempt_id, "the end of a task is not noted");
            }
            inner.attempts.lock().retain(|running| running.attempt != attempt_id);
            if let Err(error) = inner.clone().next_tasks(scope).await {
                tracing::warn!(%error, "tasks that are ready are begun later");
            }
        });
    }

    /// In a box of its own: a task begins tasks.
    fn next_tasks(self: Arc<Self>, scope: Scope) -> BoxFuture<'static, Result<(), Error>> {
        async move { self.begin_ready(&scope).await }.boxed()
    }

    /// Ends the attempts of a run.
    pub(crate) fn stop_run(&self, run: Uuid) {
        let mut stopped = self.stopped.lock();
        stopped.truncate(STOPPED_MAX - 1);
        stopped.push_front(run);
        drop(stopped);
        let attempts = self.attempts.lock();
        attempts.iter().filter(|running| running.run == run).for_each(|running| running.cancelled.cancel());
    }

    async fn attempt_task(
        &self,
        scope: &Scope,
        task: ClaimedTask,
        tasks: Arc<dyn AssetTasks>,
        (cancelled, halted): (&CancellationToken, &CancellationToken),
    ) -> Result<(), Error> {
        let (task, stop, started) = (Arc::new(task), cancelled.child_token(), Instant::now());
        // On a task of its own: a panic is a failure of the attempt.
        let work = work(self.lake.catalog.clone(), scope.clone(), Arc::clone(&task), tasks, stop.clone());
        let mut work = self.tasks.spawn(work);
        let mut cause = Cause::Itself;
        let outcome = tokio::select! {
            // First: work that ends because it was told to is no failure of its own.
            biased;
            () = cancelled.cancelled() => {
                cause = if halted.is_cancelled() { Cause::Stop } else { Cause::Cancel };
                (&mut work).await
            }
            done = &mut work => done,
            () = tokio::time::sleep(task.asset.spec.timeout()) => {
                cause = Cause::Timeout;
                stop.cancel();
                (&mut work).await
            }
        };
        let failure = match outcome {
            Ok(Ok(_)) => {
                self.metrics.ended("asset", "succeeded", started.elapsed());
                return Ok(());
            }
            Ok(Err(failure)) => failure,
            Err(panic) => infrastructure(format!("the task ended: {panic}")),
        };
        self.metrics.ended(
            "asset",
            if cause == Cause::Cancel { "cancelled" } else { "failed" },
            started.elapsed(),
        );
        self.give_up_for_certain(scope, &task, &failure, cause).await
    }

    /// Until it is noted, the attempt has its task no more, or the node stops: the next process gives back what it had then.
    async fn give_up_for_certain(
        &self,
        scope: &Scope,
        task: &ClaimedTask,
        failure: &TaskFailure,
        cause: Cause,
    ) -> Result<(), Error> {
        let mut pause = NOTE_PAUSE;
        loop {
            let error = match self.give_up(scope, task, failure, cause).await {
                Ok(()) => return Ok(()),
                // Its commit went through and only the answer was lost, or another has ended it.
                Err(Error::Catalog(CatalogError::TaskGone(_))) => return Ok(()),
                // Another process has the task by now, or nobody has: its tenant was dropped.
                Err(error @ Error::Catalog(CatalogError::Fenced { .. } | CatalogError::TenantGone)) => {
                    return Err(error);
                }
                Err(error) => error,
            };
            tracing::warn!(%error, attempt_id = %task.attempt_id, "the end of a task is noted later");
            tokio::select! {
                () = self.stop.cancelled() => return Err(error),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(NOTE_PAUSE_MAX);
        }
    }

    /// Ends the task of an attempt that did not commit, or lets another try.
    async fn give_up(
        &self,
        scope: &Scope,
        task: &ClaimedTask,
        failure: &TaskFailure,
        cause: Cause,
    ) -> Result<(), Error> {
        fail::fail_point!("task.end", |_| Err(Error::Internal("fail point task.end".to_owned())));
        let (category, message) = match cause {
            Cause::Stop => {
                return Ok(self.lake.catalog.let_go(scope, task.attempt_id, &LetGo::Stopped).await?);
            }
            Cause::Cancel => {
                let outcome = TaskOutcome::Cancelled("the run was cancelled".to_owned());
                return self.end_task(scope, task, outcome, failure).await;
            }
            Cause::Timeout => {
                let seconds = task.asset.spec.timeout_s;
                (Category::Timeout, format!("it took longer than its timeout of {seconds} s"))
            }
            Cause::Itself => (failure.category, failure.message.clone()),
        };
        if category.is_tried_again() && task.attempt < task.asset.spec.attempts {
            let at = self.lake.clock.now().plus(pause(task));
            let how = LetGo::Retry { category, message, at };
            return Ok(self.lake.catalog.let_go(scope, task.attempt_id, &how).await?);
        }
        self.end_task(scope, task, TaskOutcome::Failed { category, message }, failure).await
    }

    async fn end_task(
        &self,
        scope: &Scope,
        task: &ClaimedTask,
        outcome: TaskOutcome,
        failure: &TaskFailure,
    ) -> Result<(), Error> {
        let end = TaskEnd {
            run: task.run,
            key: task.key.clone(),
            task: task.task,
            attempt_id: task.attempt_id,
            asset: task.asset.id,
            // What is cut in another way by now has no such parts to speak of.
            parts: task.parts().unwrap_or_default(),
            outcome,
            checks: failure.checks.clone(),
            staged: failure.staged.clone(),
        };
        let ends_run = end.ends_run();
        let change = FlowChange::EndTask(Box::new(end));
        let done = self.commit_flow(scope, "end_task", None, change).await.map(drop);
        // Also if only the answer was lost: the run is being cancelled then.
        if ends_run {
            self.stop_run(task.run);
        }
        done
    }
}

/// The snapshot of the run, if this is its first task, and then the task itself.
async fn work(
    catalog: Catalog,
    scope: Scope,
    task: Arc<ClaimedTask>,
    tasks: Arc<dyn AssetTasks>,
    stop: CancellationToken,
) -> Result<Txn, TaskFailure> {
    let mut task = task.as_ref().clone();
    if task.snapshot.is_none() {
        let outside: Vec<TableId> =
            task.asset.upstream.iter().copied().filter(|table| !task.outputs.contains_key(table)).collect();
        tasks.settle(&scope, &outside).await?;
        let fixed = catalog.fix_snapshot(&scope, task.run).await;
        task.snapshot = Some(fixed.map_err(|error| infrastructure(error.to_string()))?);
    }
    fail::fail_point!("task.begin", |_| Err(infrastructure("crash point task.begin".to_owned())));
    tasks.run(&scope, &task, &stop).await
}

fn infrastructure(message: String) -> TaskFailure {
    TaskFailure { category: Category::Infrastructure, message, checks: Vec::new(), staged: None }
}

/// How long a task rests before it is tried again: doubled with every attempt, and a fifth more or less.
fn pause(task: &ClaimedTask) -> Duration {
    let first = Duration::from_secs(task.asset.spec.retry_backoff_s);
    let full = first.saturating_mul(1 << (task.attempt - 1).min(16)).min(PAUSE_MAX);
    let stray = u32::try_from(task.attempt_id.as_u128() % 401).unwrap_or(0);
    full * (800 + stray) / 1_000
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cenote_catalog::{Asset, AssetSpec};
    use cenote_vocab::Micros;

    use super::*;

    #[test]
    fn a_task_rests_longer_each_time_and_strays_by_a_fifth() {
        let asset = Asset {
            id: Uuid::nil(),
            table: TableId(1),
            owner: 0,
            search_path: Vec::new(),
            query: String::new(),
            code: [0; 32],
            spec: AssetSpec::default(),
            upstream: Vec::new(),
            paused: false,
            created: Micros(0),
            version: 1,
        };
        for (attempt, seconds) in [(1, 30), (2, 60), (3, 120), (9, 900), (99, 900)] {
            for id in [0, 1, 200, 400, u128::MAX] {
                let task = ClaimedTask {
                    run: Uuid::nil(),
                    key: String::new(),
                    task: Uuid::nil(),
                    attempt,
                    attempt_id: Uuid::from_u128(id),
                    asset: asset.clone(),
                    partitions: None,
                    checks: Vec::new(),
                    snapshot: None,
                    logical: Micros(0),
                    started: Micros(0),
                    outputs: BTreeMap::new(),
                };
                let (rests, full) = (pause(&task), Duration::from_secs(seconds));
                assert!(rests >= full * 4 / 5 && rests <= full * 6 / 5, "{attempt}: {rests:?}");
            }
        }
    }
}
