//! A pipeline that runs: one epoch at a time, each a commit.
//!
//! Invariant: what is in memory is what the last commit said, and positions that have moved over nothing. An epoch that
//! fails changes neither.

mod commit;
mod cut;
mod objects;
mod preview;
mod progress;
mod rights;
mod room;
mod sift;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use cenote_catalog::Pipeline;
use cenote_connect::{
    AtBad, Available, BadRow, Closing, LakeRead, LakeSource, LookupTable, Reach, Sink, Source, Times,
};
use cenote_ingest::Ingest;
use cenote_query::{Engine, ShownRows};
use cenote_table::Lake;
use cenote_vocab::{Epoch, Fence, MemoryPool, Micros, Reservation, Scope, Txn};
use futures::future::select_all;
use uuid::Uuid;

use self::progress::Watch;
use self::rights::Asked;
use self::sift::Taken;
use crate::blocks::Block;
use crate::checkpoint::{Held, SourceState, Standing, StateObject};
use crate::epoch::{Executor, Step};
use crate::feed::{FeedId, Feeds};
use crate::lookups::Lookups;
use crate::multiset::Multiset;
use crate::options::BadData;
use crate::pieces::Pieces;
use crate::plan::{Advanced, Moment, PipelinePlan, Purpose, plan};
use crate::sink::Sinks;
use crate::streams::{EventTime, SourceKind, SourcePlan};
use crate::{Error, Limits, changelog};

pub(crate) use self::progress::{Counts, Took};

/// What pipelines of a node share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) engine: Engine,
    pub(crate) lake: Lake,
    pub(crate) ingest: Ingest,
    /// Memory for what operators hold.
    pub(crate) memory: MemoryPool,
    pub(crate) limits: Limits,
    /// What connectors may touch.
    pub(crate) reach: Reach,
}

/// A pipeline between its epochs.
pub struct Run {
    services: Services,
    scope: Scope,
    pipeline: Pipeline,
    actor: String,
    asked: Asked,
    /// The run in the catalog that its epochs are part of.
    part_of: Option<Uuid>,
    /// The script as everybody may see it.
    masked_script: String,
    plan: PipelinePlan,
    sources: Vec<Reader>,
    /// Sinks outside of the lake, by number.
    writers: Vec<Writer>,
    lookups: Lookups,
    fence: Fence,
    epoch: Epoch,
    standing: Standing,
    /// By operator.
    held: Vec<Held>,
    object: Option<StateObject>,
    blocks: Vec<Block>,
    reservation: Reservation,
    /// The last epoch left rows behind.
    is_behind: bool,
    /// When this run began, µs.
    since: i64,
    committed: Committing,
    /// The newest transaction when it looked last.
    head: Txn,
    took: Took,
    /// Rows of the last epoch for whoever looks on.
    shown: Vec<ShownRows>,
    /// How many were shown, by output.
    shown_before: Vec<u64>,
}

struct Reader {
    name: String,
    feed: FeedId,
    /// Its plan, by number.
    planned: usize,
    source: Box<dyn Source>,
    /// What it had beyond what it gave last.
    available: Option<Available>,
    /// Since when it had more than it gave.
    behind_since: Option<Micros>,
}

struct Writer {
    name: String,
    /// What its state is about.
    identity: String,
    sink: Box<dyn Sink>,
}

/// When the last epoch was committed, and how long that took.
struct Committing {
    at: Micros,
    took: Duration,
}

/// What an epoch reads, and where it will stand.
struct Cut {
    feeds: Feeds,
    standing: Standing,
    rows: u64,
    moment: Moment,
    is_full: bool,
    /// Rows that could not be used and are kept, with their source.
    bad: Vec<(String, BadRow)>,
    /// Where the rows stand.
    taken: Vec<Taken>,
    /// When the newest of them happened, µs.
    newest: Option<i64>,
}

/// What an epoch gave.
struct Ran {
    /// Of each output.
    rows: Vec<Vec<RecordBatch>>,
    /// Of each output to a sink outside of the lake.
    sunk: Vec<Vec<RecordBatch>>,
    /// By operator.
    advanced: Vec<Advanced>,
}

/// What an epoch wrote, before the commit.
struct Staged {
    sinks: Sinks,
    state: bytes::Bytes,
    object: Option<StateObject>,
    blocks: Vec<Block>,
    /// How long it took to store what operators hold.
    stored_after: Duration,
}

impl Run {
    /// Plans the pipeline, takes its producer over, and goes on from its last commit.
    ///
    /// `State` if what it held was made by another plan, `Corrupt` if it is damaged.
    pub async fn open(
        (engine, lake, ingest): (Engine, Lake, Ingest),
        memory: MemoryPool,
        (limits, reach): (Limits, Reach),
        scope: &Scope,
        pipeline: Pipeline,
    ) -> Result<Self, Error> {
        Self::of(Services { engine, lake, ingest, memory, limits, reach }, scope, pipeline, None).await
    }

    /// `part_of`: the run that its epochs are commits of.
    pub(crate) async fn of(
        services: Services,
        scope: &Scope,
        pipeline: Pipeline,
        part_of: Option<Uuid>,
    ) -> Result<Self, Error> {
        let catalog = &services.lake.catalog;
        let generation = catalog.rights_generation(scope);
        let owner = catalog.owner(scope, pipeline.owner).await?;
        let actor = owner.token.name.clone();
        let asked = Asked { generation, expires: owner.token.expires };
        let plan = Box::pin(plan(&services.engine, owner, &pipeline, &services.reach, Purpose::Run)).await?;
        let (fence, epoch) = catalog.claim_producer(scope, &pipeline.producer()).await?;
        let known = catalog.producer(scope, &pipeline.producer()).await?;
        let mut run = Self::fresh(services, (scope, pipeline, actor), plan, (fence, epoch))?;
        (run.asked, run.part_of) = (asked, part_of);
        run.open_writers()?;
        let state = known.and_then(|(_, _, state)| state);
        match run.pipeline.reset.filter(|reset| epoch <= reset.upto) {
            Some(reset) => Box::pin(run.begin_anew(state, reset.extent)).await?,
            None => run.restore(state).await?,
        }
        run.restore_writers().await?;
        run.clean().await?;
        Ok(run)
    }

    /// Before anything was read or restored.
    fn fresh(
        services: Services,
        (scope, pipeline, actor): (&Scope, Pipeline, String),
        plan: PipelinePlan,
        (fence, epoch): (Fence, Epoch),
    ) -> Result<Self, Error> {
        let masked_script = cenote_query::masked(&pipeline.script);
        let now = services.lake.clock.now();
        let mut run = Self {
            sources: Vec::new(),
            writers: Vec::new(),
            lookups: Lookups::new(services.limits.lookup_bytes),
            fence,
            epoch,
            standing: Standing {
                now: pipeline.created.0,
                watermark: i64::MIN,
                sources: BTreeMap::new(),
                rows_in: 0,
                rows_out: 0,
                rows_late: 0,
                rows_partly_late: 0,
                rows_skipped: 0,
                rows_forgotten: 0,
                looked_up: None,
                shown_early: None,
                is_unshown: false,
                rows_bad: 0,
                sinks: BTreeMap::new(),
                sink_identities: BTreeMap::new(),
                since: 0,
                lineage: plan.lineage.clone(),
                version: pipeline.version,
                finished: false,
            },
            held: Vec::new(),
            object: None,
            blocks: Vec::new(),
            is_behind: false,
            reservation: match plan.options.state_memory {
                Some(bytes) => services.memory.share("state_memory", bytes).reservation(),
                None => services.memory.reservation(),
            },
            since: now.0,
            committed: Committing { at: now, took: Duration::ZERO },
            head: Txn(0),
            took: Took::default(),
            shown: Vec::new(),
            shown_before: Vec::new(),
            services,
            scope: scope.clone(),
            pipeline,
            actor,
            asked: Asked::default(),
            part_of: None,
            masked_script,
            plan,
        };
        run.open_sources()?;
        run.open_lookups()?;
        Ok(run)
    }

    fn open_sources(&mut self) -> Result<(), Error> {
        let lake = &self.services.lake;
        for (number, planned) in self.plan.sources.iter().enumerate() {
            let at_bad = match self.bad_data(planned) {
                BadData::Fail => AtBad::Stop,
                BadData::Drop | BadData::Table => AtBad::GoOn,
            };
            let source: Box<dyn Source> = match &planned.kind {
                SourceKind::Lake(table, mode) => {
                    let times = match planned.event_time {
                        EventTime::Unasked => Times::Unasked,
                        EventTime::Source | EventTime::Ingest => Times::Asked,
                    };
                    Box::new(LakeSource::new(
                        (lake.clone(), self.services.ingest.clone()),
                        self.scope.clone(),
                        LakeRead { table: table.clone(), mode: *mode, columns: planned.read.clone(), times },
                        self.pipeline.producer(),
                    ))
                }
                SourceKind::Connector(options) => options.open(
                    (&planned.name, self.pipeline.id),
                    at_bad,
                    (self.pipeline.created, &lake.clock),
                    &self.services.reach,
                )?,
            };
            let name = planned.name.clone();
            self.sources.push(Reader {
                name,
                feed: planned.feed,
                planned: number,
                source,
                available: None,
                behind_since: None,
            });
            let fresh = SourceState {
                seen: self.pipeline.created.0,
                identity: planned.identity(),
                ..SourceState::default()
            };
            self.standing.sources.insert(planned.name.clone(), fresh);
        }
        Ok(())
    }

    /// What becomes of rows of a source that cannot be used.
    fn bad_data(&self, source: &SourcePlan) -> BadData {
        source.bad_data.unwrap_or(self.plan.options.bad_data)
    }

    fn open_writers(&mut self) -> Result<(), Error> {
        for planned in &self.plan.sinks {
            let Some(columns) = &planned.columns else {
                return Err(Error::Invalid(format!("nothing is written into table '{}'", planned.name)));
            };
            let (owner, clock) = (self.pipeline.id, &self.services.lake.clock);
            let sink = planned.options.open(&planned.name, owner, columns, clock, &self.services.reach)?;
            let (name, identity) = (planned.name.clone(), planned.options.identity());
            self.writers.push(Writer { name, identity, sink });
        }
        Ok(())
    }

    fn open_lookups(&mut self) -> Result<(), Error> {
        for planned in &self.plan.lookups {
            let parts = (self.services.lake.clone(), self.services.ingest.clone());
            let table = LookupTable::new(parts, self.scope.clone(), planned.table.clone())?;
            self.lookups.add(planned.feed.id, table, planned.key.clone());
        }
        Ok(())
    }

    /// Brings sinks outside of the lake to what the last commit said.
    async fn restore_writers(&mut self) -> Result<(), Error> {
        for writer in &mut self.writers {
            let state = self.standing.sinks.get(&writer.name).map_or("", String::as_str);
            writer.sink.restore(state).await?;
        }
        Ok(())
    }

    /// Runs an epoch if there is something to do. After an error the run must be opened again.
    pub async fn step(&mut self) -> Result<Step, Error> {
        if self.standing.finished {
            return Ok(Step::Finished);
        }
        let mut watch = Watch::start(self.services.lake.clock.clone());
        let Some(mut cut) = Box::pin(self.cut()).await? else { return Ok(Step::Idle) };
        watch.lap(|took| &mut took.cut);
        fail::fail_point!("epoch.cut", |_| Err(Error::FailPoint("epoch.cut")));
        let epoch = Epoch(self.epoch.0 + 1);
        let Ran { rows, sunk, advanced } = Box::pin(self.run_within(&mut cut)).await?;
        watch.lap(|took| &mut took.run);
        fail::fail_point!("epoch.run", |_| Err(Error::FailPoint("epoch.run")));
        let mut standing = cut.standing;
        standing.rows_late += advanced.iter().map(|advanced| advanced.late).sum::<u64>();
        standing.rows_partly_late += advanced.iter().map(|advanced| advanced.partly_late).sum::<u64>();
        standing.rows_forgotten += advanced.iter().map(|advanced| advanced.forgotten).sum::<u64>();
        let outputs = rows.iter().chain(&sunk).flatten();
        standing.rows_out += outputs.map(|batch| batch.num_rows() as u64).sum::<u64>();
        let closing = if standing.finished { Closing::Close } else { Closing::Open };
        cut.bad.extend(self.stage_writers(epoch, &mut standing, &sunk, closing).await?);
        fail::fail_point!("epoch.sink", |_| Err(Error::FailPoint("epoch.sink")));
        let shown = self.shown_of(&sunk, standing.now)?;
        let staged = self.stage(&standing, &advanced, rows, &cut.bad).await?;
        watch.lap(|took| &mut took.stage);
        fail::fail_point!("epoch.stage", |_| Err(Error::FailPoint("epoch.stage")));
        self.is_behind = cut.is_full;
        let stored_after = staged.stored_after;
        let committed = Box::pin(self.conclude(epoch, standing, staged, advanced)).await?;
        self.make_room()?;
        self.show(shown);
        watch.lap(|took| &mut took.finish);
        self.took = watch.took;
        // The commit is timed where it is made.
        self.took.commit = self.committed.took;
        self.took.checkpoint = stored_after;
        let since = |newest: i64| self.committed.at.since(Micros(newest));
        self.took.event_to_commit = cut.newest.map(since);
        self.took.finish = self.took.finish.saturating_sub(self.took.commit);
        fail::fail_point!("epoch.finish", |_| Err(Error::FailPoint("epoch.finish")));
        Ok(Step::Committed(committed.txn))
    }

    /// From the next epoch on, so many pieces of its rows are worked on at once; what is held fits any.
    pub(crate) fn rescale(&mut self, parallelism: Option<u32>) {
        self.plan.options.parallelism = parallelism;
        Arc::make_mut(&mut self.plan.graph).parallelism = self.plan.options.pieces() as u64;
    }

    /// True until an epoch has read something, since it began or began again.
    fn is_first(&self) -> bool {
        self.epoch.0 == self.standing.since
    }

    fn executor(&self) -> Executor<'_> {
        let limits = self.services.limits;
        let most = self.plan.options.pieces();
        let pieces = Pieces { most, rows: limits.piece_rows, from: limits.wide_rows };
        Executor {
            engine: &self.services.engine,
            state: &self.plan.state,
            lookups: &self.lookups,
            pieces,
            memory: &self.services.memory,
        }
    }

    fn due(&self, writer: &Writer) -> Option<Micros> {
        writer.sink.due(self.standing.sinks.get(&writer.name)?)
    }

    /// The rows of each output, and what becomes of the operators.
    async fn run(&self, cut: &Cut) -> Result<Ran, Error> {
        self.plan.now.store(cut.standing.now, Ordering::SeqCst);
        let executor = self.executor();
        let mut feeds = cut.feeds.clone();
        let mut advanced = Vec::new();
        for (operator, held) in self.plan.operators.iter().zip(&self.held) {
            let began = self.services.lake.clock.now();
            let mut then = operator.advance(&executor, &mut feeds, held, cut.moment).await?;
            then.busy = self.services.lake.clock.now().since(began);
            advanced.push(then);
        }
        let mut rows = Vec::new();
        for output in &self.plan.outputs {
            rows.push(executor.run(&output.plan, &feeds).await?);
        }
        let mut sunk = Vec::new();
        for output in &self.plan.sunk {
            let rows = executor.run(&output.plan, &feeds).await?;
            let fitted = rows
                .iter()
                .map(|batch| RecordBatch::try_new(output.columns.clone(), batch.columns().to_vec()));
            let fitted = fitted.collect::<Result<Vec<_>, _>>()?;
            sunk.push(match &output.changes {
                Some(changes) => {
                    let told = changelog::told(&fitted, changes.key.as_deref(), &output.columns)?;
                    if told.num_rows() > 0 { vec![told] } else { Vec::new() }
                }
                None => fitted,
            });
        }
        tracing::trace!(pipeline = %self.pipeline.name, rows = cut.rows, "epoch ran");
        Ok(Ran { rows, sunk, advanced })
    }

    /// Waits until there may be something to do.
    pub(crate) async fn wait(&self) {
        let standing = &self.standing.sources;
        let live = self.sources.iter().filter_map(|reader| {
            let state = standing.get(&reader.name).filter(|state| !state.ended)?;
            Some(reader.source.wait(&state.position))
        });
        let silence = self.services.lake.clock.pause(self.silence());
        let mut waits: Vec<futures::future::BoxFuture<'_, ()>> =
            live.map(|wait| Box::pin(wait) as _).collect();
        waits.push(Box::pin(silence));
        select_all(waits).await;
    }

    /// How long nothing may happen before silence itself changes something.
    fn silence(&self) -> Duration {
        let idle_commit = self.services.limits.idle_commit;
        let now = self.services.lake.clock.now();
        // One alone is waited for however silent it is.
        let silence = match self.parts().count() > 1 {
            true => {
                let due =
                    self.parts().filter_map(|(seen, idle)| Some(Micros(seen.max(self.since)).plus(idle?)));
                let next = due.filter(|due| *due > now).min();
                next.map_or(idle_commit, |next| next.since(now).min(idle_commit))
            }
            false => idle_commit,
        };
        let due = self.writers.iter().filter_map(|writer| self.due(writer)).chain(self.early_due()).min();
        due.map_or(silence, |due| due.since(now).min(silence))
    }

    /// When a row came last, of all that has an event time of its own, and how long its silence is waited for.
    fn parts(&self) -> impl Iterator<Item = (i64, Option<Duration>)> + '_ {
        let of_source = |(state, idle): (&'_ SourceState, Option<Duration>)| {
            state.seen_parts().map(move |seen| (seen, idle)).collect::<Vec<_>>()
        };
        self.with_idle(&self.standing).flat_map(of_source)
    }

    /// Where each source stands, and how long its silence is waited for.
    fn with_idle<'a>(
        &'a self,
        standing: &'a Standing,
    ) -> impl Iterator<Item = (&'a SourceState, Option<Duration>)> + Clone {
        let options = &self.plan.options;
        self.sources.iter().filter_map(move |reader| {
            let idle = self.plan.sources[reader.planned].idle.of(options);
            Some((standing.sources.get(&reader.name)?, idle))
        })
    }

    /// When open windows are to be shown, if rows came since the last time.
    fn early_due(&self) -> Option<Micros> {
        let interval = self.plan.options.early_emit.filter(|_| self.standing.is_unshown)?;
        Some(Micros(self.standing.shown_early.unwrap_or(i64::MIN)).plus(interval))
    }

    /// How long the next epoch should wait, so that commits do not crowd out others.
    pub(crate) fn pace(&self) -> Duration {
        let limits = self.services.limits;
        let mut apart = limits.epoch_interval.max(self.committed.took * limits.commits_apart);
        if self.plan.is_updating() && !self.is_behind {
            // What is taken back soon is not worth showing.
            apart = apart.max(self.plan.options.update_interval);
        }
        let since = self.services.lake.clock.now().since(self.committed.at);
        apart.saturating_sub(since + self.committed.took)
    }

    /// Rows that could not be used, since the pipeline was made.
    pub fn bad(&self) -> u64 {
        self.standing.rows_bad
    }

    /// Rows that were read, written, and too late, since the pipeline was made.
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.standing.rows_in, self.standing.rows_out, self.standing.rows_late)
    }

    /// Rows that were too late for some of their windows, since the pipeline was made.
    pub fn partly_late(&self) -> u64 {
        self.standing.rows_partly_late
    }

    /// The transaction at which all tables were read, if the pipeline reads tables and is behind their first rows.
    pub fn reached(&self) -> Option<Txn> {
        let places = self.sources.iter().filter_map(|reader| {
            let state = self.standing.sources.get(&reader.name)?;
            reader.source.reached(&state.position)
        });
        places.min().flatten()
    }

    /// Changes of tables that were left out, because only rows that are added are read of them.
    pub fn skipped(&self) -> u64 {
        self.standing.rows_skipped
    }

    /// Rows that were taken back after they had been forgotten, since the pipeline was made.
    pub fn forgotten(&self) -> u64 {
        self.standing.rows_forgotten
    }

    /// Bytes of state that are on disk, as there was no memory for them.
    pub fn spilled(&self) -> u64 {
        self.held.iter().flat_map(|held| &held.tables).map(Multiset::disk_bytes).sum()
    }

    /// Different rows in the tables of operators, and about how many bytes of memory they take.
    pub fn held(&self) -> (usize, u64) {
        let tables = || self.held.iter().flat_map(|held| &held.tables);
        (tables().map(Multiset::len).sum(), tables().map(Multiset::bytes).sum())
    }

    /// Event time that is over, µs.
    pub fn watermark(&self) -> i64 {
        self.standing.watermark
    }
}
