//! The handle by which a node starts, asks and stops what runs by itself.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use cenote_catalog::TenantState;
use cenote_table::{Lake, OptimizeOutcome, Progress};
use cenote_vocab::{CatalogId, MemoryPool, Micros, Scope, Txn};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::assets::AssetTasks;
use crate::attempt::{Cause, JobRun};
use crate::backlog::Backlog;
use crate::jobs::Pace;
use crate::metrics::Metrics;
use crate::task::Running;
use crate::tenants::Collecting;
use crate::{BuiltIn, Error, FlowOptions};

/// How often old runs and keys of requests are forgotten, and how many at a time.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);
const PRUNE_ROWS: u32 = 5_000;

/// Flushes of inline batches at a time, beside the merges: each is short.
pub(crate) const FLUSHES_MAX: u32 = 1;

/// Jobs and runs of one node. Cheap to clone.
#[derive(Clone)]
pub struct Flow {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) lake: Lake,
    /// Memory of all merges at a time.
    compaction: MemoryPool,
    pub(crate) options: FlowOptions,
    pub(crate) metrics: Metrics,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    /// This process's part of the loop: only it ends the runs it claimed.
    pub(crate) executor: Uuid,
    /// A slot for each merge at a time.
    pub(crate) merges: Arc<Semaphore>,
    /// The same for flushes of inline batches.
    pub(crate) flushes: Arc<Semaphore>,
    /// Jobs whose scheduled run is under way.
    pub(crate) scheduled: Mutex<HashSet<(CatalogId, BuiltIn)>>,
    /// How far metadata is published.
    pub(crate) publications: Mutex<HashMap<CatalogId, Pace>>,
    /// Who does tasks of assets.
    pub(crate) asset_tasks: OnceLock<Weak<dyn AssetTasks>>,
    /// Attempts at tasks of assets that are under way.
    pub(crate) attempts: Mutex<Vec<Running>>,
    /// Runs whose attempts were ended of late, for one that was claimed by then and had not begun.
    pub(crate) stopped: Mutex<VecDeque<Uuid>>,
    /// Runs of jobs that are under way, by id.
    pub(crate) job_runs: Mutex<HashMap<Uuid, JobRun>>,
    /// Rings when a run ended.
    pub(crate) bell: Notify,
    /// Tenants as of the last tick that may do something, each with its newest change then.
    pub(crate) heads: Mutex<BTreeMap<CatalogId, (Scope, Txn)>>,
    /// Tenants that this process has given their jobs.
    met: Mutex<HashSet<CatalogId>>,
    /// What ends all that runs of a tenant.
    pub(crate) working: Mutex<HashMap<CatalogId, CancellationToken>>,
    /// Dropped tenants whose objects go, or have not gone.
    pub(crate) collecting: Mutex<HashMap<CatalogId, Collecting>>,
    backlogs: Mutex<HashMap<CatalogId, Backlog>>,
    /// Tasks of runs that are under way.
    open: watch::Sender<usize>,
    /// One look for work at a time; when old runs were forgotten last.
    ticking: tokio::sync::Mutex<Option<Micros>>,
}

impl Flow {
    /// Makes what is needed and starts nothing: [`Flow::start`] does, or a test calls [`Flow::tick`]. Runs start on `tasks`
    /// and end early with `stop`; `compaction` is the memory of all merges at a time.
    pub fn new(
        lake: Lake,
        options: FlowOptions,
        compaction: MemoryPool,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let slots = options.compaction_jobs_max.max(1);
        let inner = Inner {
            executor: lake.ids.uuid(),
            lake,
            compaction,
            options,
            metrics: Metrics::default(),
            tasks: tasks.clone(),
            stop,
            merges: Arc::new(Semaphore::new(slots as usize)),
            flushes: Arc::new(Semaphore::new(FLUSHES_MAX as usize)),
            scheduled: Mutex::default(),
            publications: Mutex::default(),
            asset_tasks: OnceLock::new(),
            attempts: Mutex::default(),
            stopped: Mutex::default(),
            job_runs: Mutex::default(),
            bell: Notify::new(),
            heads: Mutex::default(),
            met: Mutex::default(),
            working: Mutex::default(),
            collecting: Mutex::default(),
            backlogs: Mutex::default(),
            open: watch::Sender::new(0),
            ticking: tokio::sync::Mutex::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Makes the jobs of every tenant, ends what dead processes left open, and starts the loop in the background.
    pub async fn start(&self) -> Result<(), Error> {
        // Before they are looked at: what changes meanwhile is news.
        let changes = self.inner.lake.catalog.tenant_changes();
        for scope in self.inner.lake.catalog.working_scopes().await? {
            self.inner.meet(&scope).await?;
        }
        self.inner.tasks.spawn(self.clone().follow_tenants(changes));
        self.inner.tasks.spawn(self.clone().run());
        Ok(())
    }

    /// Ends the loop and its runs; returns when their ends are noted. What they committed stays.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        self.idle().await;
    }

    /// Returns when no run of this process is under way.
    pub async fn idle(&self) {
        let mut open = self.inner.open.subscribe();
        // The sender lives as long as this handle.
        drop(open.wait_for(|open| *open == 0).await);
    }

    /// Looks for work once and begins it; answers when to look again if nothing is committed until then, `None`: not at all.
    /// A run that ends, and [`Catalog::set_job_paused`](cenote_catalog::Catalog::set_job_paused), make a look worthwhile too.
    pub async fn tick(&self, now: Micros) -> Result<Option<Micros>, Error> {
        let mut pruned = self.inner.ticking.lock().await;
        let started = Instant::now();
        let mut next = None;
        let tenants = self.inner.lake.catalog.tenants().await?;
        self.inner.halt(&tenants);
        for tenant in tenants {
            let due = match tenant.state {
                TenantState::Active => self.inner.tick_tenant(&tenant.scope, now).await?,
                TenantState::Suspended => None,
                TenantState::Dropped => self.inner.tick_dropped(tenant, now),
            };
            next = [next, due].into_iter().flatten().min();
        }
        if pruned.is_none_or(|pruned| now.since(pruned) >= PRUNE_INTERVAL) {
            self.inner.prune(now).await?;
            *pruned = Some(now);
        }
        self.inner.metrics.passes.observe(started.elapsed().as_secs_f64());
        Ok(next)
    }

    /// Runs a job now, also a paused one, and answers what was done; with `dry_run`, what would be. `JobNotFound` for an
    /// unknown name, `Running` while its last run is open.
    pub async fn run_job(
        &self,
        scope: &Scope,
        name: &str,
        actor: &str,
        dry_run: bool,
    ) -> Result<Vec<OptimizeOutcome>, Error> {
        let catalog = &self.inner.lake.catalog;
        let job = match catalog.job(scope, name).await {
            // Its tenant came just now, and the loop has not met it.
            Err(cenote_catalog::Error::JobNotFound { .. }) if BuiltIn::of_name(name).is_some() => {
                catalog.create_built_in_jobs(scope, &BuiltIn::ALL.map(BuiltIn::name)).await?;
                catalog.job(scope, name).await?
            }
            job => job?,
        };
        let kind = BuiltIn::of_name(&job.name)
            .ok_or_else(|| Error::Internal(format!("job {} is not built in", job.name)))?;
        if kind == BuiltIn::Compact {
            return self.inner.compact_now(scope, &job, actor, dry_run).await;
        }
        if dry_run {
            return self.inner.do_scheduled(scope, kind, true, &Progress::default()).await;
        }
        let cause = Cause::Person(actor.to_owned());
        let ran = self.inner.run_scheduled(scope, kind, &job, cause).await?;
        ran.ok_or(Error::Running { job: kind.name() })
    }

    /// Ends the open runs of a job early, at their next step; what they committed stays. Answers which. A job that is not
    /// paused begins again when it is due.
    pub async fn cancel_job(&self, scope: &Scope, name: &str, actor: &str) -> Result<Vec<Uuid>, Error> {
        let job = self.inner.lake.catalog.job(scope, name).await?;
        let mut runs = self.inner.job_runs.lock();
        let open = runs.iter_mut().filter(|(_, run)| run.job == job.id);
        let mut cancelled: Vec<Uuid> = open.map(|(id, run)| run.cancel(*id, actor)).collect();
        cancelled.sort();
        Ok(cancelled)
    }

    /// Adds the metrics of jobs.
    pub fn register(&self, registry: &mut Registry) {
        self.inner.metrics.register(registry);
    }
}

impl Inner {
    async fn tick_tenant(self: &Arc<Self>, scope: &Scope, now: Micros) -> Result<Option<Micros>, Error> {
        self.meet(scope).await?;
        let mut next = None;
        for job in self.lake.catalog.jobs(scope).await? {
            let Some(kind) = BuiltIn::of_name(&job.name).filter(|_| !job.paused) else { continue };
            let due = match kind {
                BuiltIn::Compact => self.tick_compact(scope, &job, now).await?,
                BuiltIn::Publish => self.tick_publish(scope, &job, now),
                BuiltIn::Retention if !self.options.retention_enabled => None,
                _ => self.tick_scheduled(scope, kind, &job, now),
            };
            next = [next, due].into_iter().flatten().min();
        }
        let due = self.tick_assets(scope, now).await?;
        Ok([next, due].into_iter().flatten().min())
    }

    /// Remembers the tenant's newest change. One that this process sees first gets its jobs, and no run of a dead process
    /// stays open.
    async fn meet(&self, scope: &Scope) -> Result<(), Error> {
        let head = self.lake.catalog.head(scope).await?;
        let known = self.met.lock().contains(&scope.catalog());
        if !known {
            self.greet(scope).await?;
            self.met.lock().insert(scope.catalog());
        }
        self.heads.lock().insert(scope.catalog(), (scope.clone(), head.txn));
        Ok(())
    }

    async fn greet(&self, scope: &Scope) -> Result<(), Error> {
        self.lake.catalog.create_built_in_jobs(scope, &BuiltIn::ALL.map(BuiltIn::name)).await?;
        let swept = self.lake.catalog.sweep_runs(scope, "its process ended before it").await?;
        if swept > 0 {
            tracing::info!(tenant = scope.tenant(), swept, "runs of an earlier process are ended");
        }
        let tasks = self.lake.catalog.sweep_tasks(scope).await?;
        if tasks > 0 {
            tracing::info!(tenant = scope.tenant(), tasks, "tasks of an earlier process are given back");
        }
        Ok(())
    }

    async fn prune(&self, now: Micros) -> Result<(), Error> {
        let before = now.minus(self.options.history_keep);
        for scope in self.lake.catalog.working_scopes().await? {
            while self.lake.catalog.prune_runs(&scope, before, PRUNE_ROWS).await? == u64::from(PRUNE_ROWS) {}
            while self.lake.catalog.forget_keys(&scope, PRUNE_ROWS).await? == u64::from(PRUNE_ROWS) {}
        }
        Ok(())
    }

    /// Runs of the compaction job at a time.
    pub(crate) fn compactions_max(&self) -> u32 {
        self.options.compaction_jobs_max.max(1).saturating_add(FLUSHES_MAX)
    }

    /// The lake with the memory that one merge or flush may use: an equal part for each slot.
    pub(crate) fn merging(&self) -> Lake {
        let slots = u64::from(self.compactions_max());
        let memory = self.compaction.share("compaction", self.compaction.limit() / slots);
        Lake { memory, ..self.lake.clone() }
    }

    pub(crate) fn with_backlog<T>(&self, scope: &Scope, act: impl FnOnce(&mut Backlog) -> T) -> T {
        act(self.backlogs.lock().entry(scope.catalog()).or_default())
    }

    /// Starts a task of a run; its end rings.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.open.send_modify(|open| *open += 1);
        self.metrics.running.inc();
        let open = Open(Arc::clone(self));
        self.tasks.spawn(async move {
            task.await;
            drop(open);
        });
    }
}

/// A task that is under way; dropping it says that it ended, also by a panic.
struct Open(Arc<Inner>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
        self.0.metrics.running.dec();
        self.0.bell.notify_one();
    }
}
