//! The pipelines of a node: one task for each that should run.

mod failures;
mod preview;
mod started;
mod steer;
mod tenants;
mod views;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cenote_catalog::{Caller, Desired, Identity, MATERIALIZED, Pipeline, RunEnd, TableDef, TenantState};
use cenote_connect::Reach;
use cenote_ingest::Ingest;
use cenote_query::{
    Engine, NewView, PartOfChange, Pausing, PipelineFailure, PipelineGraph, PipelineProgress, Pipelines,
    Preview, RestartSinks, Shown, ShownRows, StateChoice,
};
use cenote_table::Lake;
use cenote_vocab::{CatalogId, MemoryPool, Scope, Txn};
use datafusion::error::DataFusionError;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::failures::Failures;
use self::started::{Cause, Started};
use crate::metrics::{Metrics, Seen};
use crate::plan::{PipelinePlan, Purpose};
use crate::run::Services;
use crate::{Error, Limits, PipelineOptions, Run, Step, plan};

/// First wait after a failure; it doubles up to the longest.
const BACKOFF: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// After so long without a failure earlier ones are forgotten.
const HEALTHY: Duration = Duration::from_secs(120);

/// How long an epoch may go on when its pipeline should stop; then it is dropped, and nothing of it is committed.
const HALT: Duration = Duration::from_secs(3);

/// Runs pipelines. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    inner: Arc<Inner>,
}

struct Inner {
    services: Services,
    tasks: TaskTracker,
    stop: CancellationToken,
    running: Mutex<HashMap<Uuid, Running>>,
    /// Tenants whose pipelines do not run, whatever is wanted of them.
    halted: Mutex<HashSet<CatalogId>>,
    /// Ends when nobody has these pipelines any more.
    following: CancellationToken,
    _followed: DropGuard,
    /// One statement about a pipeline at a time: another's epoch that hangs holds up nobody else.
    statements: Mutex<HashMap<Uuid, Weak<tokio::sync::Mutex<()>>>>,
    /// One pipeline at a time is made: two at once could write the same target.
    creations: tokio::sync::Mutex<()>,
    failures: Failures,
    metrics: Metrics,
    previews: Arc<Semaphore>,
}

/// A task of a pipeline.
struct Running {
    scope: Scope,
    asked: Asked,
    task: tokio::task::JoinHandle<()>,
    progress: watch::Receiver<PipelineProgress>,
    rescale: watch::Sender<Option<Rescaled>>,
    /// Where somebody who looks on begins.
    shown: broadcast::WeakSender<Arc<ShownRows>>,
}

/// What a task tells others.
struct Tells {
    progress: watch::Sender<PipelineProgress>,
    shown: broadcast::Sender<Arc<ShownRows>>,
}

/// What a task is asked to do.
#[derive(Clone)]
struct Asked {
    /// To end after the epoch that runs.
    stop: CancellationToken,
    /// To give up the epoch that runs.
    abort: CancellationToken,
    /// To complete what sinks hold open before that.
    closes: Arc<AtomicBool>,
    /// To go on with another parallelism from the next epoch on.
    rescaled: watch::Receiver<Option<Rescaled>>,
}

/// The option `parallelism` as it is now.
#[derive(Clone, Copy)]
struct Rescaled(Option<u32>);

/// How a task ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Sinks stay as they are.
    Open,
    /// What sinks hold open is completed.
    Close,
    /// The epoch that runs is given up.
    Abort,
}

/// How a pipeline's task ended.
enum Kept {
    /// The node stops, or somebody asked.
    Stopped,
    /// Everything is written.
    Finished,
    /// Another process has it.
    Fenced,
    /// It should have stopped, and its epoch went on.
    Overdue,
    /// The error, after which it does not begin again.
    Failed(String),
}

/// Why one attempt at a pipeline ends.
enum End {
    /// The node stops, or somebody asked.
    Stopped,
    /// Everything is written.
    Finished,
    /// Another process has it.
    Fenced,
}

impl Streams {
    /// Makes what is needed and starts nothing. Pipelines run on `tasks` until `stop`; `memory` is for what they hold, `reach`
    /// says what their connectors may touch.
    pub fn new(
        (engine, lake, ingest): (Engine, Lake, Ingest),
        memory: MemoryPool,
        (limits, reach): (Limits, Reach),
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let services = Services { engine, lake, ingest, memory, limits, reach };
        let following = stop.child_token();
        let inner = Inner {
            services,
            tasks: tasks.clone(),
            stop,
            running: Mutex::default(),
            halted: Mutex::default(),
            _followed: following.clone().drop_guard(),
            following,
            statements: Mutex::default(),
            creations: tokio::sync::Mutex::default(),
            failures: Failures::default(),
            metrics: Metrics::default(),
            previews: Arc::new(Semaphore::new(preview::PREVIEWS_MAX)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Registers what pipelines count: once per registry.
    pub fn register(&self, registry: &mut Registry) {
        self.inner.metrics.register_states(registry);
        self.inner.metrics.register(registry);
    }

    /// Starts what should run, of all tenants that are not suspended, and follows what becomes of them.
    pub async fn start(&self) -> Result<(), Error> {
        let catalog = &self.inner.services.lake.catalog;
        // Before they are looked at: what changes meanwhile is news.
        let changes = catalog.tenant_changes();
        for tenant in catalog.tenants().await? {
            match tenant.state {
                TenantState::Active => self.begin(&tenant.scope).await?,
                TenantState::Suspended | TenantState::Dropped => {
                    self.inner.halted.lock().insert(tenant.scope.catalog());
                }
            }
        }
        let (inner, until) = (Arc::downgrade(&self.inner), self.inner.following.clone());
        self.inner.tasks.spawn(Self::follow_tenants(inner, until, changes));
        Ok(())
    }

    /// Starts what should run of a tenant.
    async fn begin(&self, scope: &Scope) -> Result<(), Error> {
        self.clean_views(scope).await?;
        for pipeline in self.inner.services.lake.catalog.pipelines(scope).await? {
            let ended = matches!(pipeline.state.as_str(), "failed" | "finished");
            self.inner.metrics.is_in(scope, &pipeline, &pipeline.state);
            if pipeline.desired == Desired::Running && !ended && !self.is_running(pipeline.id) {
                self.spawn_because(Cause::Start, scope, pipeline);
            }
        }
        Ok(())
    }

    /// Ends the epochs that run, and waits for them. What should run still should.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        let running: Vec<Running> = self.inner.running.lock().drain().map(|(_, running)| running).collect();
        for running in running {
            if let Err(error) = running.task.await {
                tracing::error!(%error, "a pipeline's task ended badly");
            }
        }
    }

    fn spawn(&self, scope: &Scope, pipeline: Pipeline) {
        self.spawn_because(Cause::Person, scope, pipeline);
    }

    fn spawn_because(&self, cause: Cause, scope: &Scope, pipeline: Pipeline) {
        // Held to the end: whoever halts the tenant finds the task.
        let halted = self.inner.halted.lock();
        if halted.contains(&scope.catalog()) {
            return; // it begins with its tenant
        }
        let id = pipeline.id;
        let stop = self.inner.stop.child_token();
        let (rescale, rescaled) = watch::channel(None);
        let asked = Asked { stop, abort: CancellationToken::new(), closes: Arc::default(), rescaled };
        let (inner, of, ask) = (self.inner.clone(), scope.clone(), asked.clone());
        let (sender, progress) = watch::channel(PipelineProgress { id, ..PipelineProgress::default() });
        let tells = Tells { progress: sender, shown: broadcast::Sender::new(preview::PIECES_MAX) };
        let shown = tells.shown.downgrade();
        let task =
            self.inner.tasks.spawn(async move { inner.keep((&of, cause), pipeline, &ask, &tells).await });
        let running = Running { scope: scope.clone(), asked, task, progress, rescale, shown };
        self.inner.running.lock().insert(id, running);
        drop(halted);
    }

    /// Waits for other statements about the pipeline.
    async fn alone(&self, id: Uuid) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut statements = self.inner.statements.lock();
            statements.retain(|_, lock| lock.strong_count() > 0);
            match statements.get(&id).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::default();
                    statements.insert(id, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }

    /// Ends a pipeline's task after the epoch that runs, or without it if it does not end.
    async fn halt(&self, id: Uuid, ending: Ending) {
        let running = self.inner.running.lock().remove(&id);
        if let Some(running) = running {
            running.asked.closes.store(ending == Ending::Close, Ordering::SeqCst);
            if ending == Ending::Abort {
                running.asked.abort.cancel();
            }
            running.asked.stop.cancel();
            if let Err(error) = running.task.await {
                tracing::error!(%error, "a pipeline's task ended badly");
            }
        }
    }

    async fn create_now(&self, identity: &Identity, pipeline: Pipeline) -> Result<(), Error> {
        let _alone = self.inner.creations.lock().await;
        let services = &self.inner.services;
        let owner = identity.clone();
        let plan =
            Box::pin(plan::plan(&services.engine, owner, &pipeline, &services.reach, Purpose::Run)).await?;
        self.refuse_shared_targets(&identity.scope, pipeline.id, &plan).await?;
        for sink in &plan.sinks {
            if let Some(columns) = &sink.columns {
                sink.options.announce(&sink.name, columns, &services.reach).await?;
            }
        }
        services.lake.catalog.create_pipeline(&identity.scope, &pipeline).await?;
        self.inner.metrics.is_in(&identity.scope, &pipeline, &pipeline.state);
        if pipeline.desired == Desired::Running {
            self.spawn(&identity.scope, pipeline);
        }
        Ok(())
    }

    /// Fails if the plan writes what no two pipelines may write, and another than `id` does.
    async fn refuse_shared_targets(&self, scope: &Scope, id: Uuid, plan: &PipelinePlan) -> Result<(), Error> {
        if plan.targets().is_empty() {
            return Ok(());
        }
        let services = &self.inner.services;
        let catalog = &services.lake.catalog;
        for other in catalog.pipelines(scope).await? {
            if other.id == id || other.options.contains_key(MATERIALIZED) || other.state == "finished" {
                continue;
            }
            let planned = async {
                let owner = catalog.owner(scope, other.owner).await?;
                Box::pin(plan::plan(&services.engine, owner, &other, &services.reach, Purpose::Look)).await
            };
            // One that cannot be planned cannot run.
            let Ok(planned) = planned.await else { continue };
            if let Some(target) = plan.conflict(&planned) {
                let other = other.full_name();
                return Err(Error::Invalid(format!("{target} is written by pipeline {other} already")));
            }
        }
        Ok(())
    }

    async fn pause_now(&self, scope: &Scope, mut pipeline: Pipeline, pausing: Pausing) -> Result<(), Error> {
        let _alone = self.alone(pipeline.id).await;
        let catalog = &self.inner.services.lake.catalog;
        pipeline.desired = Desired::Paused;
        if self.is_running(pipeline.id) {
            pipeline.state = "pausing".to_owned();
            catalog.note_pipeline(scope, &pipeline).await?;
        }
        let ending = match pausing {
            Pausing::AfterEpoch => Ending::Close,
            Pausing::AtOnce => Ending::Abort,
        };
        self.halt(pipeline.id, ending).await;
        // What its task noted last.
        let now = self.fresh(scope, &pipeline).await?;
        (pipeline.state, pipeline.error) = (now.state, now.error);
        if !matches!(pipeline.state.as_str(), "failed" | "finished") {
            pipeline.state = "paused".to_owned();
        }
        self.inner.metrics.is_in(scope, &pipeline, &pipeline.state);
        Ok(catalog.note_pipeline(scope, &pipeline).await?)
    }

    fn is_running(&self, id: Uuid) -> bool {
        self.inner.running.lock().get(&id).is_some_and(|running| !running.task.is_finished())
    }

    async fn resume_now(&self, scope: &Scope, mut pipeline: Pipeline) -> Result<(), Error> {
        let _alone = self.alone(pipeline.id).await;
        self.halt(pipeline.id, Ending::Open).await;
        (pipeline.desired, pipeline.state, pipeline.error) = (Desired::Running, "starting".to_owned(), None);
        self.inner.services.lake.catalog.note_pipeline(scope, &pipeline).await?;
        self.spawn(scope, pipeline);
        Ok(())
    }

    async fn remove_now(&self, scope: &Scope, pipeline: Pipeline) -> Result<(), Error> {
        let _alone = self.alone(pipeline.id).await;
        self.halt(pipeline.id, Ending::Open).await;
        self.inner.metrics.forget(scope, &pipeline);
        let lake = &self.inner.services.lake;
        lake.catalog.drop_pipeline(scope, &pipeline).await?;
        let all = cenote_store::pipeline_location(scope.tenant(), pipeline.id);
        let mut listed = lake.store.list(&all);
        while let Some(object) = futures::TryStreamExt::try_next(&mut listed).await? {
            lake.store.delete(&object.path).await?;
        }
        Ok(())
    }
}

impl Pipelines for Streams {
    fn create<'a>(
        &'a self,
        identity: &'a Identity,
        pipeline: Pipeline,
    ) -> BoxFuture<'a, Result<(), cenote_query::Error>> {
        self.create_now(identity, pipeline).map(outward).boxed()
    }

    fn pause<'a>(
        &'a self,
        scope: &'a Scope,
        pipeline: Pipeline,
        pausing: Pausing,
    ) -> BoxFuture<'a, Result<(), cenote_query::Error>> {
        self.pause_now(scope, pipeline, pausing).map(outward).boxed()
    }

    fn resume<'a>(
        &'a self,
        scope: &'a Scope,
        pipeline: Pipeline,
    ) -> BoxFuture<'a, Result<(), cenote_query::Error>> {
        self.resume_now(scope, pipeline).map(outward).boxed()
    }

    fn remove<'a>(
        &'a self,
        scope: &'a Scope,
        pipeline: Pipeline,
    ) -> BoxFuture<'a, Result<(), cenote_query::Error>> {
        self.remove_now(scope, pipeline).map(outward).boxed()
    }

    fn alter<'a>(
        &'a self,
        scope: &'a Scope,
        to: Pipeline,
        state: StateChoice,
    ) -> BoxFuture<'a, Result<(), cenote_query::Error>> {
        self.alter_now(scope, to, state).map(outward).boxed()
    }

    fn compare<'a>(
        &'a self,
        scope: &'a Scope,
        to: Pipeline,
        state: StateChoice,
    ) -> BoxFuture<'a, Result<Vec<PartOfChange>, cenote_query::Error>> {
        self.compare_now(scope, to, state).map(outward).boxed()
    }

    fn restart<'a>(
        &'a self,
        identity: &'a Identity,
        pipeline: Pipeline,
        sinks: Option<RestartSinks>,
    ) -> BoxFuture<'a, Result<(), cenote_query::Error>> {
        self.restart_now(identity, pipeline, sinks).map(outward).boxed()
    }

    fn explain<'a>(
        &'a self,
        identity: &'a Identity,
        pipeline: Pipeline,
    ) -> BoxFuture<'a, Result<PipelineGraph, cenote_query::Error>> {
        self.explain_now(identity, pipeline).map(outward).boxed()
    }

    fn preview<'a>(
        &'a self,
        identity: &'a Identity,
        script: Pipeline,
    ) -> BoxFuture<'a, Result<Preview, cenote_query::Error>> {
        self.preview_now(identity, script).map(outward).boxed()
    }

    fn output(&self, pipeline: &Pipeline) -> Option<BoxStream<'static, Shown>> {
        self.output_of(pipeline.id)
    }

    fn progress(&self, scope: &Scope) -> Vec<PipelineProgress> {
        let running = self.inner.running.lock();
        let of_tenant = running.values().filter(|running| running.scope.catalog() == scope.catalog());
        of_tenant.map(|running| running.progress.borrow().clone()).collect()
    }

    fn failures(&self, scope: &Scope) -> Vec<PipelineFailure> {
        self.inner.failures.of(scope)
    }

    fn create_view<'a>(
        &'a self,
        identity: &'a Identity,
        view: NewView,
    ) -> BoxFuture<'a, Result<(), cenote_query::Error>> {
        // On a task of its own: if the statement is dropped, what is half made is still cleared away.
        let asked = CancellationToken::new();
        let (streams, identity, cancelled) = (self.clone(), identity.clone(), asked.clone());
        let made =
            self.inner.tasks.spawn(async move { streams.create_view_now(&identity, view, &cancelled).await });
        let guard = asked.drop_guard();
        async move {
            let made = made.await;
            drop(guard);
            // It panicked.
            outward(made.unwrap_or_else(|error| Err(DataFusionError::Internal(error.to_string()).into())))
        }
        .boxed()
    }

    fn refresh_view<'a>(
        &'a self,
        scope: &'a Scope,
        view: &'a TableDef,
    ) -> BoxFuture<'a, Result<(), cenote_query::Error>> {
        self.refresh_view_now(scope, view).map(outward).boxed()
    }

    fn reached(&self, pipeline: &Pipeline) -> Option<Txn> {
        self.inner.running.lock().get(&pipeline.id).and_then(|running| running.progress.borrow().reached)
    }

    fn drop_view<'a>(
        &'a self,
        identity: &'a Identity,
        view: &'a TableDef,
        caller: Caller,
    ) -> BoxFuture<'a, Result<(), cenote_query::Error>> {
        async move { outward(self.drop_view_now((identity, &caller), view).await) }.boxed()
    }
}

fn outward<T>(result: Result<T, Error>) -> Result<T, cenote_query::Error> {
    result.map_err(|error| match error {
        Error::Query(error) => error,
        error => cenote_query::Error::of(&error),
    })
}

impl Inner {
    /// Runs a pipeline until it ends, is stopped, or has failed for good: one run.
    async fn keep(
        &self,
        (scope, cause): (&Scope, Cause),
        mut pipeline: Pipeline,
        asked: &Asked,
        tells: &Tells,
    ) {
        let lake = &self.services.lake;
        let mut started = Started::new(cause, &lake.ids);
        let kept = self.go_on(scope, &mut pipeline, (asked, tells), &mut started).await;
        let end = match &kept {
            Kept::Stopped => self.stopped(scope, asked),
            Kept::Finished => RunEnd::Succeeded,
            Kept::Fenced => RunEnd::Cancelled("another process has taken the pipeline over".to_owned()),
            Kept::Overdue => RunEnd::Cancelled("the epoch did not end in time".to_owned()),
            Kept::Failed(error) => RunEnd::Failed(error.clone()),
        };
        started.end(&lake.catalog, scope, &end).await;
        match kept {
            Kept::Stopped | Kept::Fenced | Kept::Overdue => {}
            Kept::Finished => self.note(scope, &mut pipeline, "finished", None).await,
            Kept::Failed(error) => self.note(scope, &mut pipeline, "failed", Some(error)).await,
        }
    }

    /// How the run of a pipeline ends that was asked to stop.
    fn stopped(&self, scope: &Scope, asked: &Asked) -> RunEnd {
        if self.stop.is_cancelled() {
            RunEnd::Cancelled("the node stops".to_owned())
        } else if self.halted.lock().contains(&scope.catalog()) {
            RunEnd::Cancelled("the tenant was halted".to_owned())
        } else if asked.abort.is_cancelled() {
            RunEnd::Cancelled("its epoch was given up".to_owned())
        } else {
            RunEnd::Succeeded
        }
    }

    /// Begins the pipeline again after failures, as long as that may help.
    async fn go_on(
        &self,
        scope: &Scope,
        pipeline: &mut Pipeline,
        (asked, tells): (&Asked, &Tells),
        started: &mut Started,
    ) -> Kept {
        let restarts_max =
            PipelineOptions::of(&pipeline.options).map_or(Some(0), |options| options.restarts_max);
        let clock = &self.services.lake.clock;
        let (mut failures, mut backoff) = (0, BACKOFF);
        let mut was_changed = false;
        loop {
            let began = clock.now();
            let name = pipeline.full_name();
            let outcome = tokio::select! {
                outcome = self.drive(scope, pipeline, (asked, tells), started) => outcome,
                () = self.overdue(&asked.stop) => {
                    tracing::info!(pipeline = %name, "the epoch did not end in time, and is dropped");
                    return Kept::Overdue;
                }
            };
            let error = match outcome {
                Ok(End::Stopped) => return Kept::Stopped,
                Ok(End::Finished) => return Kept::Finished,
                Ok(End::Fenced) => {
                    tracing::warn!(pipeline = %pipeline.full_name(), "another process has taken the pipeline over");
                    return Kept::Fenced;
                }
                Err(error) => error,
            };
            if clock.now().since(began) >= HEALTHY {
                (failures, backoff, was_changed) = (0, BACKOFF, false);
            }
            let is_replanned = error.is_changed() && !was_changed;
            was_changed = error.is_changed();
            if is_replanned {
                tracing::info!(pipeline = %pipeline.full_name(), %error, "the pipeline is planned again");
                continue;
            }
            failures += 1;
            let retries = error.is_transient() && restarts_max.is_none_or(|most| failures <= most);
            let epoch = tells.progress.borrow().epoch;
            self.failures.note(scope, pipeline, (clock.now(), epoch), &error, retries);
            if !retries {
                tracing::warn!(pipeline = %pipeline.full_name(), %error, "the pipeline has failed");
                return Kept::Failed(error.to_string());
            }
            tracing::info!(pipeline = %pipeline.full_name(), %error, ?backoff, "the pipeline will begin again");
            self.metrics.restarted(scope, pipeline);
            self.note(scope, pipeline, "recovering", Some(error.to_string())).await;
            tokio::select! {
                () = clock.pause(backoff) => {}
                () = asked.stop.cancelled() => return Kept::Stopped,
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// One run, from the last commit on.
    async fn drive(
        &self,
        scope: &Scope,
        pipeline: &mut Pipeline,
        (asked, tells): (&Asked, &Tells),
        started: &mut Started,
    ) -> Result<End, Error> {
        let (stop, lake) = (&asked.stop, &self.services.lake);
        let opened = Box::pin(async {
            let part_of = started.run((&lake.catalog, &lake.ids), scope, pipeline).await?;
            Run::of(self.services.clone(), scope, pipeline.clone(), Some(part_of)).await
        });
        let mut run = match opened.await {
            Ok(run) => run,
            Err(error) if error.is_fenced() => return Ok(End::Fenced),
            Err(error) => return Err(error),
        };
        if pipeline.reset.take().is_some() {
            // It is done, and a later start must not look for it.
            self.services.lake.catalog.alter_pipeline(scope, pipeline).await?;
        }
        self.note(scope, pipeline, "running", None).await;
        let mut was_idle = true;
        let mut seen = Seen::of(run.all_counts());
        tells.progress.send_replace(run.progress());
        while !stop.is_cancelled() {
            if let Some(Rescaled(parallelism)) = *asked.rescaled.borrow() {
                run.rescale(parallelism);
            }
            let step = tokio::select! {
                step = async {
                    run.check_rights().await?;
                    run.step().await
                } => step,
                // As after a crash: what was not committed is not there.
                () = asked.abort.cancelled() => return Ok(End::Stopped),
            };
            if let Ok(step) = &step {
                let progress = run.progress();
                let took = matches!(step, Step::Committed(_)).then(|| run.took());
                let now = self.services.lake.clock.now();
                self.metrics.stepped((scope, pipeline), (&progress, now), seen.take(run.all_counts()), took);
                tells.progress.send_replace(progress);
                for rows in run.take_shown() {
                    // nobody need look
                    drop(tells.shown.send(Arc::new(rows)));
                }
            }
            match step {
                Ok(Step::Finished) => return Ok(End::Finished),
                Ok(Step::Committed(txn)) => {
                    started.committed(txn);
                    was_idle = false;
                    self.pause(run.pace(), stop).await;
                }
                Ok(Step::Idle) => {
                    tokio::select! {
                        () = run.wait() => {}
                        () = stop.cancelled() => {}
                    }
                    // The first row brings others along.
                    let linger = if was_idle { self.services.limits.linger } else { Duration::ZERO };
                    self.pause(linger, stop).await;
                    was_idle = true;
                }
                Err(error) if error.is_fenced() => return Ok(End::Fenced),
                Err(error) => return Err(error),
            }
        }
        if asked.closes.load(Ordering::SeqCst) {
            run.close().await?;
            tells.progress.send_replace(run.progress());
        }
        Ok(End::Stopped)
    }

    /// When an epoch has gone on for too long after it should have ended.
    async fn overdue(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        self.services.lake.clock.pause(HALT).await;
    }

    async fn pause(&self, duration: Duration, stop: &CancellationToken) {
        if duration.is_zero() {
            return;
        }
        tokio::select! {
            () = self.services.lake.clock.pause(duration) => {}
            () = stop.cancelled() => {}
        }
    }

    /// Stores what the pipeline does, if that is news. A failure only loses the note.
    async fn note(&self, scope: &Scope, pipeline: &mut Pipeline, state: &str, error: Option<String>) {
        self.metrics.is_in(scope, pipeline, state);
        if pipeline.state == state && pipeline.error == error {
            return;
        }
        (pipeline.state, pipeline.error) = (state.to_owned(), error);
        if let Err(error) = self.services.lake.catalog.note_pipeline(scope, pipeline).await {
            tracing::info!(pipeline = %pipeline.full_name(), %error, "the state of a pipeline was not noted");
        }
    }
}
