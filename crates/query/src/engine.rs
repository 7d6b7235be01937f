//! The node's SQL engine.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use cenote_catalog::{Identity, JobExplanation};
use cenote_ingest::Ingest;
use cenote_table::{Lake, OptimizeOutcome};
use cenote_vocab::{ErrorKind, MemoryPool, Micros, Scope};
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::parse::unsupported;
use crate::plan::BaseState;
use crate::registry::Registry;
use crate::{Assets, Error, Jobs, Pipelines, QueryOptions, Session, SessionOptions};

/// SQL over the lake. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    lake: Lake,
    ingest: Ingest,
    options: QueryOptions,
    base: BaseState,
    metrics: Metrics,
    registry: Registry,
    jobs: OnceLock<Arc<dyn Jobs>>,
    assets: OnceLock<Arc<dyn Assets>>,
    pipelines: OnceLock<Weak<dyn Pipelines>>,
    /// One statement about tenants at a time: the root of a new one is there before it.
    tenants: tokio::sync::Mutex<()>,
}

/// A statement that runs or ran, as the registry shows it.
#[derive(Clone, Debug)]
pub struct QueryRecord {
    /// Its name.
    pub id: String,
    /// QUEUED, PLANNING, WAITING (for statements that began before it), RUNNING, FINISHED, FAILED, CANCELLED
    pub state: &'static str,
    /// Its text.
    pub sql: String,
    /// Token name.
    pub user: String,
    /// `http`, `postgres`, …
    pub protocol: &'static str,
    /// When it began.
    pub started: Micros,
    /// Milliseconds so far, or in all.
    pub duration_ms: u64,
    /// Rows answered.
    pub rows: u64,
    /// Its error.
    pub error: Option<String>,
}

impl Engine {
    /// Builds the engine of a node: one DataFusion runtime with `memory` as its pool.
    pub fn new(lake: Lake, ingest: Ingest, options: QueryOptions, memory: MemoryPool) -> Result<Self, Error> {
        let base = BaseState::new(&options, memory, &lake.store)?;
        let metrics = Metrics::default();
        let registry = Registry::new(lake.clock.clone(), metrics.clone(), options.slow_threshold);
        Ok(Self {
            inner: Arc::new(Inner {
                lake,
                ingest,
                options,
                base,
                metrics,
                registry,
                jobs: OnceLock::new(),
                assets: OnceLock::new(),
                pipelines: OnceLock::new(),
                tenants: tokio::sync::Mutex::default(),
            }),
        })
    }

    /// Begins a session for a proven identity.
    pub async fn open_session(&self, identity: Identity, options: SessionOptions) -> Result<Session, Error> {
        Session::open(self.clone(), identity, options)
    }

    /// Statements of the tenant: running ones and the last that ended.
    pub fn queries(&self, scope: &Scope) -> Vec<QueryRecord> {
        self.inner.registry.list(scope)
    }

    /// Cancels a running statement of the tenant. `None`: no such statement; `Some(false)`: it has ended already.
    pub fn cancel(&self, scope: &Scope, query_id: &str, reason: &str) -> Option<bool> {
        self.inner.registry.cancel(scope, query_id, cancelled(reason))
    }

    /// Cancels all running statements of the tenant.
    pub fn cancel_all(&self, scope: &Scope, reason: &str) {
        self.inner.registry.cancel_all(scope, &cancelled(reason));
    }

    /// Waits for other statements that make tenants.
    pub(crate) async fn alone_with_tenants(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.tenants.lock().await
    }

    /// Says who runs jobs; the first one stays.
    pub fn register_jobs(&self, jobs: Arc<dyn Jobs>) {
        drop(self.inner.jobs.set(jobs));
    }

    /// Says who runs assets; the first one stays.
    pub fn register_assets(&self, assets: Arc<dyn Assets>) {
        drop(self.inner.assets.set(assets));
    }

    /// Who runs assets. `Unsupported` on a node that runs none.
    pub fn assets(&self) -> Result<&Arc<dyn Assets>, Error> {
        self.inner.assets.get().ok_or_else(|| unsupported("assets on a node that runs none"))
    }

    /// Says who runs pipelines; the first one stays, for as long as its owner keeps it.
    pub fn register_pipelines(&self, pipelines: Weak<dyn Pipelines>) {
        drop(self.inner.pipelines.set(pipelines));
    }

    pub(crate) fn pipelines(&self) -> Option<Arc<dyn Pipelines>> {
        self.inner.pipelines.get()?.upgrade()
    }

    /// Runs a job now because `actor` asked; with `dry_run`, only says what would be done. `Unsupported` on a node that has
    /// no jobs.
    pub async fn run_job(
        &self,
        scope: &Scope,
        name: &str,
        actor: &str,
        dry_run: bool,
    ) -> Result<Vec<OptimizeOutcome>, Error> {
        self.jobs()?.run(scope, name, actor, dry_run).await
    }

    /// Why a job runs or does not.
    pub async fn explain_job(&self, scope: &Scope, name: &str) -> Result<JobExplanation, Error> {
        self.jobs()?.explain(scope, name).await
    }

    /// Ends the open runs of a job early because `actor` asked; answers which.
    pub async fn cancel_job(&self, scope: &Scope, name: &str, actor: &str) -> Result<Vec<Uuid>, Error> {
        self.jobs()?.cancel(scope, name, actor).await
    }

    fn jobs(&self) -> Result<&Arc<dyn Jobs>, Error> {
        self.inner.jobs.get().ok_or_else(|| unsupported("jobs on a node without them"))
    }

    /// Adds the engine's metrics.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.inner.metrics.register(registry);
    }

    /// The lake that it reads and writes.
    pub fn lake(&self) -> &Lake {
        &self.inner.lake
    }

    pub(crate) fn ingest(&self) -> &Ingest {
        &self.inner.ingest
    }

    /// The longest run of a statement: objects that it reads, and that nothing else needs, are kept for so long. `None` where they are not
    /// kept at all.
    pub(crate) fn statement_time_max(&self) -> Option<Duration> {
        Some(self.inner.lake.options.orphan_grace).filter(|grace| !grace.is_zero())
    }

    pub(crate) fn options(&self) -> &QueryOptions {
        &self.inner.options
    }

    pub(crate) fn base(&self) -> &BaseState {
        &self.inner.base
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }
}

/// The error of a statement that somebody ended.
pub(crate) fn cancelled(reason: &str) -> Error {
    Error::new(ErrorKind::Cancelled, format!("canceling statement: {reason}"))
}
