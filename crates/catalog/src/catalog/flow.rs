//! What the control side asks: assets, their runs and tasks, jobs.

use std::collections::BTreeMap;

use cenote_vocab::{Micros, Scope, TableId, Txn};
use uuid::Uuid;

use super::Catalog;
use crate::{
    Asset, AssetPartition, AssetRun, Check, CheckRecord, ClaimedTask, Error, FailedAttempt, Job, LetGo,
    NewRun, PartsOf, PipelineStart, Recorded, RunCounts, RunEnd, RunFilter, RunRecord, StagedRows, TableDef,
    Trigger, asset, job, run, task,
};

impl Catalog {
    // ---- assets and their runs ----

    /// All assets, by id.
    pub async fn assets(&self, scope: &Scope) -> Result<Vec<Asset>, Error> {
        asset::list(&self.inner, scope).await
    }

    /// What assets have, by asset and part.
    pub async fn asset_partitions(&self, scope: &Scope, of: PartsOf) -> Result<Vec<AssetPartition>, Error> {
        asset::partitions(&self.inner, scope, of).await
    }

    /// The last transaction that changed rows of each of these tables of the tenant.
    pub async fn rows_changed(
        &self,
        scope: &Scope,
        tables: &[TableId],
    ) -> Result<BTreeMap<TableId, Txn>, Error> {
        let own: Vec<TableId> =
            tables.iter().copied().filter(|table| table.catalog() == scope.catalog()).collect();
        asset::changed(&self.inner, &own).await
    }

    /// What makes assets run by itself.
    pub async fn triggers(&self, scope: &Scope) -> Result<Vec<Trigger>, Error> {
        asset::triggers(&self.inner, scope).await
    }

    /// The checks of a table, or of all, by name.
    pub async fn checks(&self, scope: &Scope, table: Option<TableId>) -> Result<Vec<Check>, Error> {
        asset::checks(&self.inner, scope, table).await
    }

    /// A page of what a check said, newest first, behind the result of a time and an attempt.
    pub async fn check_results(
        &self,
        scope: &Scope,
        check: Uuid,
        page: (Option<(Micros, Uuid)>, u32),
    ) -> Result<Vec<CheckRecord>, Error> {
        asset::check_results(&self.inner, scope, check, page).await
    }

    /// Begins the best task that is ready; `None` if there is none, or `running_max` run already.
    pub async fn claim_task(
        &self,
        scope: &Scope,
        executor: Uuid,
        running_max: u32,
    ) -> Result<Option<ClaimedTask>, Error> {
        task::claim(&self.inner, scope, executor, running_max).await
    }

    /// The snapshot at which a run reads what it does not make: the newest when this is asked first, held until the run ends.
    pub async fn fix_snapshot(&self, scope: &Scope, run: Uuid) -> Result<Txn, Error> {
        task::fix_snapshot(&self.inner, scope, run).await
    }

    /// Gives a task back without ending it. `TaskGone` if the attempt does not have it any more.
    pub async fn let_go(&self, scope: &Scope, attempt_id: Uuid, how: &LetGo) -> Result<(), Error> {
        task::let_go(&self.inner, scope, attempt_id, how).await
    }

    /// Makes ready what waited until now; answers how many.
    pub async fn wake_tasks(&self, scope: &Scope, now: Micros) -> Result<u64, Error> {
        task::wake(&self.inner, scope, now).await
    }

    /// Gives back tasks of processes that ended; answers how many.
    pub async fn sweep_tasks(&self, scope: &Scope) -> Result<u64, Error> {
        task::sweep(&self.inner, scope).await
    }

    /// Whether any task is ready; when something is due: one that waits, or the deadline of an open run.
    pub async fn task_pulse(&self, scope: &Scope) -> Result<(bool, Option<Micros>), Error> {
        task::pulse(&self.inner, scope).await
    }

    /// A run of assets with its tasks. `RunNotFound` if there is none.
    pub async fn asset_run(&self, scope: &Scope, id: Uuid) -> Result<AssetRun, Error> {
        task::run(&self.inner, scope, id).await
    }

    /// (upstream, downstream) of the tasks of a run of assets, by task key.
    pub async fn asset_run_edges(&self, scope: &Scope, id: Uuid) -> Result<Vec<(String, String)>, Error> {
        task::edges(&self.inner, scope, id).await
    }

    /// The rows of a run that a check kept out of a table, as long as they are kept; nothing if there are none.
    pub async fn staged_rows(&self, scope: &Scope, table: &TableDef, run: Uuid) -> Result<StagedRows, Error> {
        let files = task::staged_rows(&self.inner, scope, (table.id, run)).await?;
        Ok(StagedRows { table: table.id, location: table.location.clone(), files })
    }

    /// Gives rows that a check kept out of a table to the collection once they were kept long enough.
    pub async fn expire_staged(&self, scope: &Scope) -> Result<(), Error> {
        task::expire_staged(&self.inner, scope).await
    }

    /// Attempts of a run of assets that did not succeed, with the keys of their tasks.
    pub async fn failed_attempts(
        &self,
        scope: &Scope,
        id: Uuid,
    ) -> Result<Vec<(String, FailedAttempt)>, Error> {
        task::failed_attempts(&self.inner, scope, id).await
    }

    /// The newest run of assets before this one that is about the same.
    pub async fn asset_run_before(&self, scope: &Scope, run: &AssetRun) -> Result<Option<AssetRun>, Error> {
        task::run_before(&self.inner, scope, run).await
    }

    /// What a task of a run of assets did when it succeeded. `None` if it did not, or that was not noted.
    pub async fn recorded_task(
        &self,
        scope: &Scope,
        run: Uuid,
        key: &str,
    ) -> Result<Option<Recorded>, Error> {
        task::recorded(&self.inner, scope, run, key).await
    }

    /// The newest run with a task of an asset.
    pub async fn newest_run_of(&self, scope: &Scope, asset: Uuid) -> Result<Option<AssetRun>, Error> {
        task::newest_of(&self.inner, scope, asset).await
    }

    /// Tasks that are not at their ends: the asset, and which of its partitions.
    pub async fn open_tasks(&self, scope: &Scope) -> Result<Vec<(Uuid, Option<String>)>, Error> {
        task::open_tasks(&self.inner, scope).await
    }

    /// Open runs whose deadline is over.
    pub async fn overdue_runs(&self, scope: &Scope, now: Micros) -> Result<Vec<Uuid>, Error> {
        task::overdue(&self.inner, scope, now).await
    }

    /// A page of runs of assets without their tasks, newest first, each with how many tasks of each state it has.
    pub async fn asset_runs(
        &self,
        scope: &Scope,
        wanted: &RunFilter,
    ) -> Result<Vec<(AssetRun, BTreeMap<String, i64>)>, Error> {
        task::page(&self.inner, scope, wanted).await
    }

    /// The run that was asked for by a key, and the hash of what was asked.
    pub async fn run_of_key(&self, scope: &Scope, key: &str) -> Result<Option<(Uuid, [u8; 32])>, Error> {
        task::of_key(&self.inner, scope, key).await
    }

    // ---- jobs and runs ----

    /// Makes the built-in jobs of these names that are not there yet.
    pub async fn create_built_in_jobs(&self, scope: &Scope, names: &[&str]) -> Result<(), Error> {
        job::create_built_in(&self.inner, scope, names).await
    }

    /// All jobs by name.
    pub async fn jobs(&self, scope: &Scope) -> Result<Vec<Job>, Error> {
        job::list(&self.inner, scope).await
    }

    /// The job of this name; `JobNotFound` carries the nearest one.
    pub async fn job(&self, scope: &Scope, name: &str) -> Result<Job, Error> {
        job::find(job::list(&self.inner, scope).await?, name)
    }

    /// Holds a job still, or lets it go on at once; answers it as it is then.
    pub async fn set_job_paused(&self, scope: &Scope, name: &str, paused: bool) -> Result<Job, Error> {
        job::set_paused(&self.inner, scope, name, paused).await
    }

    /// Waits until [`Catalog::set_job_paused`] is called in this process; one waiter per tenant.
    pub async fn job_changed(&self, scope: &Scope) {
        self.inner.memory(scope.catalog()).rung().await;
    }

    /// Notes that a job looked for work: when, when it will again, and its failures since the last success.
    pub async fn note_job_checked(
        &self,
        scope: &Scope,
        id: Uuid,
        at: Micros,
        next: Option<Micros>,
        failures: i32,
    ) -> Result<(), Error> {
        job::note_checked(&self.inner, scope, id, at, next, failures).await
    }

    /// Begins a run; `None` if its subject is being worked on, or as many runs of the job are open as it allows.
    pub async fn claim_run(&self, scope: &Scope, new: &NewRun) -> Result<Option<()>, Error> {
        run::claim(&self.inner, scope, new).await
    }

    /// Begins the run of a pipeline that starts; one that was left open ends.
    pub async fn begin_pipeline_run(&self, scope: &Scope, start: &PipelineStart) -> Result<(), Error> {
        run::begin_pipeline(&self.inner, scope, start).await
    }

    /// Notes what a run did so far. `Fenced` if it is not the executor's any more.
    pub async fn note_run(
        &self,
        scope: &Scope,
        run: Uuid,
        executor: Uuid,
        counts: RunCounts,
    ) -> Result<(), Error> {
        run::note(&self.inner, scope, (run, executor), counts).await
    }

    /// Ends a run. `Fenced` if it has ended already, or is another executor's.
    pub async fn end_run(
        &self,
        scope: &Scope,
        run: Uuid,
        executor: Uuid,
        counts: RunCounts,
        end: &RunEnd,
    ) -> Result<(), Error> {
        run::end(&self.inner, scope, (run, executor), counts, end).await
    }

    /// A run of any kind. `RunNotFound` if there is none.
    pub async fn run(&self, scope: &Scope, id: Uuid) -> Result<RunRecord, Error> {
        run::record(&self.inner, scope, id).await
    }

    /// A page of runs of one kind, newest first; of one job or pipeline, if it is named. Of which asset is not asked here.
    pub async fn runs(
        &self,
        scope: &Scope,
        of: (&str, Option<Uuid>),
        wanted: &RunFilter,
    ) -> Result<Vec<RunRecord>, Error> {
        run::page(&self.inner, scope, of, wanted).await
    }

    /// Ends the runs that processes before this one left open; answers how many.
    pub async fn sweep_runs(&self, scope: &Scope, reason: &str) -> Result<u64, Error> {
        run::sweep(&self.inner, scope, reason).await
    }

    /// Forgets at most `rows_max` runs that ended before an instant; answers how many.
    pub async fn prune_runs(&self, scope: &Scope, before: Micros, rows_max: u32) -> Result<u64, Error> {
        run::prune(&self.inner, scope, before, rows_max).await
    }
}
