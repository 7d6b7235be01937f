//! A pipeline that runs: one epoch at a time, each a commit.
//!
//! Invariant: what is in memory is what the last commit said, and positions that have moved over nothing. An epoch that
//! fails changes neither.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{Commit, Committed, Facts, Input, Pipeline, Producer, Reruns};
use cenote_connect::{AtBad, BadRow, Closing, EpochRows, LakeSource, Pulled, Reach, Sink, Source, Wanted};
use cenote_ingest::Ingest;
use cenote_query::Engine;
use cenote_table::Lake;
use cenote_vocab::{Epoch, Fence, MemoryPool, Micros, Reservation, Scope, Txn};
use futures::TryStreamExt;
use futures::future::select_all;
use uuid::Uuid;

use crate::blocks::{self, Block, Changes, Layouts};
use crate::checkpoint::{self, Body, Held, SourceState, Standing, StateObject, Stored};
use crate::epoch::{Executor, Step, watermark};
use crate::feed::{FeedId, Feeds};
use crate::intake::{Intake, intake};
use crate::multiset::Multiset;
use crate::options::BadData;
use crate::plan::{Advanced, Moment, Operator, PipelinePlan, plan};
use crate::sink::Sinks;
use crate::streams::{SourceKind, SourcePlan};
use crate::{Error, Limits, bad_rows};

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
    plan: PipelinePlan,
    sources: Vec<Reader>,
    /// Sinks outside of the lake, by number.
    writers: Vec<Writer>,
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
}

struct Reader {
    name: String,
    feed: FeedId,
    /// Its plan, by number.
    planned: usize,
    source: Box<dyn Source>,
}

struct Writer {
    name: String,
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
        Self::of(Services { engine, lake, ingest, memory, limits, reach }, scope, pipeline).await
    }

    pub(crate) async fn of(services: Services, scope: &Scope, pipeline: Pipeline) -> Result<Self, Error> {
        let catalog = &services.lake.catalog;
        let owner = catalog.owner(scope, pipeline.owner).await?;
        let actor = owner.token.name.clone();
        let plan = Box::pin(plan(&services.engine, owner, &pipeline, &services.reach)).await?;
        let (fence, epoch) = catalog.claim_producer(scope, &pipeline.producer()).await?;
        let known = catalog.producer(scope, &pipeline.producer()).await?;
        let now = services.lake.clock.now();
        let mut run = Self {
            sources: Vec::new(),
            writers: Vec::new(),
            fence,
            epoch,
            standing: Standing {
                now: pipeline.created.0,
                watermark: i64::MIN,
                sources: BTreeMap::new(),
                rows_in: 0,
                rows_out: 0,
                rows_late: 0,
                rows_skipped: 0,
                rows_bad: 0,
                sinks: BTreeMap::new(),
                finished: false,
            },
            held: Vec::new(),
            object: None,
            blocks: Vec::new(),
            is_behind: false,
            reservation: services.memory.reservation(),
            since: now.0,
            committed: Committing { at: now, took: Duration::ZERO },
            services,
            scope: scope.clone(),
            pipeline,
            actor,
            plan,
        };
        run.open_sources()?;
        run.open_writers()?;
        run.restore(known.and_then(|(_, _, state)| state)).await?;
        run.restore_writers().await?;
        run.clean().await?;
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
                SourceKind::Lake(table, mode) => Box::new(LakeSource::new(
                    (lake.clone(), self.services.ingest.clone()),
                    self.scope.clone(),
                    (table.clone(), *mode),
                    self.pipeline.producer(),
                )),
                SourceKind::Connector(options) => options.open(
                    &planned.name,
                    at_bad,
                    (self.pipeline.created, &lake.clock),
                    &self.services.reach,
                )?,
            };
            let name = planned.name.clone();
            self.sources.push(Reader { name, feed: planned.feed, planned: number, source });
            self.standing.sources.insert(
                planned.name.clone(),
                SourceState { seen: self.pipeline.created.0, ..SourceState::default() },
            );
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
            self.writers.push(Writer { name: planned.name.clone(), sink });
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

    /// Takes what the last commit said, if there was one.
    async fn restore(&mut self, state: Option<bytes::Bytes>) -> Result<(), Error> {
        let name = self.pipeline.full_name();
        let corrupt = |reason: String| Error::Corrupt { pipeline: name.clone(), reason };
        let empty = |operator: &Operator| {
            let tables = operator.tables().iter().map(|_| Multiset::default()).collect();
            Held { runs: Vec::new(), tables }
        };
        let mut held: Vec<Held> = self.plan.operators.iter().map(empty).collect();
        let Some(bytes) = state else {
            self.held = held;
            return Ok(());
        };
        let stored = Stored::decode(&bytes).map_err(corrupt)?;
        self.check(&stored)?;
        let body = match stored.object {
            Some(object) => Some(self.services.lake.store.read(&self.object_path(object.id)).await?),
            None => None,
        };
        for (held, runs) in held.iter_mut().zip(stored.runs(body).map_err(corrupt)?) {
            held.runs = runs;
        }
        let changes = self.read_blocks(&stored.blocks).await?;
        for (held, deltas) in held.iter_mut().zip(&changes) {
            for (table, delta) in held.tables.iter_mut().zip(deltas) {
                table.apply(delta);
            }
        }
        (self.standing, self.held, self.object, self.blocks) =
            (stored.standing, held, stored.object, stored.blocks);
        let nothing = self.held.iter().map(|held| (&held.runs[..], &held.tables[..], &[][..]));
        let bytes = memory(nothing);
        self.reserve(bytes)
    }

    fn layouts(&self) -> Layouts<'_> {
        self.plan.operators.iter().map(Operator::tables).collect()
    }

    /// The sum of blocks.
    async fn read_blocks(&self, blocks: &[Block]) -> Result<Changes, Error> {
        let layouts = self.layouts();
        let mut changes = blocks::nothing(&layouts);
        for block in blocks {
            let bytes = match (&block.inline, block.head.id) {
                (Some(bytes), _) => bytes.clone(),
                (None, Some(id)) => self.services.lake.store.read(&self.object_path(id)).await?,
                (None, None) => continue,
            };
            block.head.decode(&bytes, &layouts, &mut changes).map_err(|reason| {
                let object = block.head.id.map(|id| format!(" ({})", self.object_path(id)));
                let reason = reason + &object.unwrap_or_default();
                Error::Corrupt { pipeline: self.pipeline.full_name(), reason }
            })?;
        }
        Ok(changes)
    }

    /// Fails unless the plan is the one by which it was made.
    fn check(&self, stored: &Stored) -> Result<(), Error> {
        let differs = |operator: &str, difference: String| {
            Err(Error::State { operator: operator.to_owned(), difference })
        };
        let operators = &self.plan.operators;
        let fingerprints = stored.fingerprints();
        if operators.len() != fingerprints.len() {
            let (were, are) = (fingerprints.len(), operators.len());
            return differs("operators", format!("there were {were}, there are {are}"));
        }
        for (operator, was) in operators.iter().zip(fingerprints) {
            if operator.fingerprint() != was {
                return differs(operator.name(), format!("it was {was}, it is {}", operator.fingerprint()));
            }
        }
        match self.sources.iter().find(|reader| !stored.standing.sources.contains_key(&reader.name)) {
            Some(reader) => differs(&reader.name, "the source was not read before".to_owned()),
            None => Ok(()),
        }
    }

    /// Deletes objects that a crash left behind.
    async fn clean(&self) -> Result<(), Error> {
        let store = &self.services.lake.store;
        let all = cenote_store::pipeline_location(self.scope.tenant(), self.pipeline.id);
        let kept = self.objects(self.object, &self.blocks);
        let mut listed = store.list(&all);
        while let Some(object) = listed.try_next().await? {
            if !kept.contains(&object.path) {
                store.delete(&object.path).await?;
            }
        }
        Ok(())
    }

    fn object_path(&self, id: Uuid) -> object_store::path::Path {
        cenote_store::pipeline_state(self.scope.tenant(), self.pipeline.id, id)
    }

    /// All objects of a state.
    fn objects(&self, object: Option<StateObject>, blocks: &[Block]) -> BTreeSet<object_store::path::Path> {
        let ids = blocks.iter().filter_map(|block| block.head.id);
        ids.chain(object.map(|object| object.id)).map(|id| self.object_path(id)).collect()
    }

    /// Runs an epoch if there is something to do. After an error the run must be opened again.
    pub async fn step(&mut self) -> Result<Step, Error> {
        if self.standing.finished {
            return Ok(Step::Finished);
        }
        let Some(cut) = self.cut().await? else { return Ok(Step::Idle) };
        fail::fail_point!("epoch.cut", |_| Err(Error::FailPoint("epoch.cut")));
        let epoch = Epoch(self.epoch.0 + 1);
        let Ran { rows, sunk, advanced } = self.run(&cut).await?;
        fail::fail_point!("epoch.run", |_| Err(Error::FailPoint("epoch.run")));
        let mut standing = cut.standing;
        standing.rows_late += advanced.iter().map(|advanced| advanced.late).sum::<u64>();
        let outputs = rows.iter().chain(&sunk).flatten();
        standing.rows_out += outputs.map(|batch| batch.num_rows() as u64).sum::<u64>();
        let held = self.held.iter().zip(&advanced);
        self.reserve(memory(held.map(|(held, then)| (&then.runs[..], &held.tables[..], &then.deltas[..]))))?;
        self.stage_writers(epoch, &mut standing, &sunk).await?;
        fail::fail_point!("epoch.sink", |_| Err(Error::FailPoint("epoch.sink")));
        let staged = self.stage(&standing, &advanced, rows, &cut.bad).await?;
        fail::fail_point!("epoch.stage", |_| Err(Error::FailPoint("epoch.stage")));
        let (object, blocks) = (staged.object, staged.blocks.clone());
        let committed = self.commit(epoch, &standing, staged).await?;
        fail::fail_point!("epoch.commit", |_| Err(Error::FailPoint("epoch.commit")));
        let before = self.objects(self.object, &self.blocks);
        (self.epoch, self.standing, self.object, self.blocks) = (epoch, standing, object, blocks);
        for (held, advanced) in self.held.iter_mut().zip(advanced) {
            held.runs = advanced.runs;
            for (table, delta) in held.tables.iter_mut().zip(&advanced.deltas) {
                table.apply(delta);
            }
        }
        self.is_behind = cut.is_full;
        self.finish(before).await?;
        fail::fail_point!("epoch.finish", |_| Err(Error::FailPoint("epoch.finish")));
        Ok(Step::Committed(committed.txn))
    }

    /// Reads what is there. `None` if it would change nothing.
    async fn cut(&mut self) -> Result<Option<Cut>, Error> {
        let now = self.services.lake.clock.now().max(Micros(self.standing.now));
        let mut standing = Standing { now: now.0, ..self.standing.clone() };
        let mut feeds = Feeds::default();
        let (mut rows, mut ended, mut is_full) = (0, false, false);
        let rows_max = (self.services.limits.epoch_rows / self.sources.len().max(1)).max(1);
        let pulled = self.pull(rows_max, now).await?;
        self.plan.now.store(now.0, Ordering::SeqCst);
        let executor = Executor { engine: &self.services.engine, state: &self.plan.state };
        let mut bad = Vec::new();
        for (reader, pulled) in pulled {
            let reader = &self.sources[reader];
            let Some(state) = standing.sources.get_mut(&reader.name) else { continue };
            let planned = &self.plan.sources[reader.planned];
            let delay = self.plan.options.watermark_delay;
            let intake = intake(&executor, planned, &pulled, (now, delay)).await?;
            let unusable = intake.bad.len() as u64;
            standing.rows_bad += unusable;
            match self.bad_data(planned) {
                BadData::Drop => {}
                BadData::Table => {
                    bad.extend(intake.bad.iter().map(|row| (planned.name.clone(), row.clone())))
                }
                BadData::Fail => refuse(&planned.name, &intake.bad)?,
            }
            let good: u64 = intake.batches.iter().map(|batch| batch.num_rows() as u64).sum();
            let taken = good + unusable;
            rows += taken;
            ended |= pulled.ended;
            is_full |= taken >= rows_max as u64;
            standing.rows_skipped += pulled.skipped;
            note(state, &pulled, &intake, taken, now);
            feeds.set(reader.feed, intake.batches);
        }
        standing.rows_in += rows;
        let (idle, times) = (self.plan.options.idle_timeout, (now.0, self.since));
        standing.watermark = watermark(self.standing.watermark, standing.sources.values(), idle, times);
        standing.finished = standing.sources.values().all(|source| source.ended);
        let watermark = (self.standing.watermark, standing.watermark);
        let moment = Moment { watermark, is_first: self.epoch.0 == 0 };
        let is_news = rows > 0 || ended || standing.rows_skipped > self.standing.rows_skipped;
        let is_due = self.is_due(moment)? || self.is_writer_due(now) || self.is_commit_due(&standing, now);
        if !is_news && !is_due {
            // Nothing was there between the old positions and the new.
            self.standing.sources = standing.sources;
            return Ok(None);
        }
        Ok(Some(Cut { feeds, standing, rows, moment, is_full, bad }))
    }

    /// What the sources give, by their place; tables whose changes are read all at one transaction.
    async fn pull(&mut self, rows_max: usize, now: Micros) -> Result<Vec<(usize, Pulled)>, Error> {
        for reader in &mut self.sources {
            reader.source.settle().await?;
        }
        let head = self.services.lake.catalog.head(&self.scope).await?.txn;
        let mut all: Vec<(usize, Pulled)> = Vec::new();
        for (at, reader) in self.sources.iter_mut().enumerate() {
            let state = self.standing.sources.get(&reader.name).filter(|state| !state.ended);
            let Some(state) = state else { continue };
            let wanted = Wanted { rows_max, now, upto: head };
            all.push((at, reader.source.read(&state.position, wanted).await?));
        }
        let least = all.iter().filter_map(|(_, pulled)| pulled.reached).min();
        for (at, pulled) in &mut all {
            let (Some(reached), Some(least)) = (pulled.reached, least) else { continue };
            let reader = &mut self.sources[*at];
            let Some(state) = self.standing.sources.get(&reader.name) else { continue };
            if reached > least {
                let wanted = Wanted { rows_max: usize::MAX, now, upto: least };
                *pulled = reader.source.read(&state.position, wanted).await?;
            }
        }
        Ok(all)
    }

    fn is_due(&self, moment: Moment) -> Result<bool, Error> {
        for (operator, held) in self.plan.operators.iter().zip(&self.held) {
            if operator.is_due(held, moment)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if a sink has something to complete though no row came.
    fn is_writer_due(&self, now: Micros) -> bool {
        self.writers.iter().any(|writer| self.due(writer).is_some_and(|due| due <= now))
    }

    fn due(&self, writer: &Writer) -> Option<Micros> {
        writer.sink.due(self.standing.sinks.get(&writer.name)?)
    }

    /// History before the committed positions is kept for this pipeline: it should not lag behind for nothing.
    fn is_commit_due(&self, standing: &Standing, now: Micros) -> bool {
        now.since(self.committed.at) >= self.services.limits.idle_commit
            && standing.sources.iter().any(|(name, state)| {
                self.standing.sources.get(name).is_none_or(|before| before.position != state.position)
            })
    }

    /// The rows of each output, and what becomes of the operators.
    async fn run(&self, cut: &Cut) -> Result<Ran, Error> {
        self.plan.now.store(cut.standing.now, Ordering::SeqCst);
        let executor = Executor { engine: &self.services.engine, state: &self.plan.state };
        let mut feeds = cut.feeds.clone();
        let mut advanced = Vec::new();
        for (operator, held) in self.plan.operators.iter().zip(&self.held) {
            advanced.push(operator.advance(&executor, &mut feeds, held, cut.moment).await?);
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
            sunk.push(fitted.collect::<Result<Vec<_>, _>>()?);
        }
        tracing::trace!(pipeline = %self.pipeline.name, rows = cut.rows, "epoch ran");
        Ok(Ran { rows, sunk, advanced })
    }

    /// Fails if the node has no memory for what the operators will hold.
    fn reserve(&mut self, bytes: u64) -> Result<(), Error> {
        let reserved = self.reservation.bytes();
        if bytes < reserved {
            self.reservation.shrink(reserved - bytes);
            return Ok(());
        }
        let pipeline = self.pipeline.full_name();
        self.reservation.try_grow(bytes - reserved).map_err(|source| Error::StateMemory { pipeline, source })
    }

    /// Rows go to sinks outside of the lake, each in the order of the INSERTs that write it.
    async fn stage_writers(
        &mut self,
        epoch: Epoch,
        standing: &mut Standing,
        sunk: &[Vec<RecordBatch>],
    ) -> Result<(), Error> {
        let closing = if standing.finished { Closing::Close } else { Closing::Open };
        for (number, writer) in self.writers.iter_mut().enumerate() {
            let of_it = self.plan.sunk.iter().zip(sunk).filter(|(output, _)| output.sink == number);
            let rows: Vec<RecordBatch> = of_it.flat_map(|(_, rows)| rows.iter().cloned()).collect();
            let before = self.standing.sinks.get(&writer.name).map_or("", String::as_str);
            let rows = EpochRows { epoch: epoch.0, now: Micros(standing.now), rows: &rows, closing };
            let state = writer.sink.stage(before, rows).await?;
            standing.sinks.insert(writer.name.clone(), state);
        }
        Ok(())
    }

    /// Output becomes files, and what operators hold becomes bytes.
    async fn stage(
        &self,
        standing: &Standing,
        advanced: &[Advanced],
        rows: Vec<Vec<RecordBatch>>,
        bad: &[(String, BadRow)],
    ) -> Result<Staged, Error> {
        let lake = &self.services.lake;
        let operators = self.plan.operators.iter().zip(advanced);
        let body = Body::encode(
            operators
                .map(|(operator, then)| (operator.fingerprint(), operator.runs_schema(), &then.runs[..])),
        )?;
        let mut object = None;
        if body.bytes.len() > self.services.limits.inline_state_bytes {
            let stored = StateObject { id: lake.ids.uuid(), bytes: body.bytes.len() as u64 };
            lake.store.put(&self.object_path(stored.id), body.bytes.clone()).await?;
            object = Some(stored);
        }
        let kept = match &self.plan.bad_table {
            Some(table) if !bad.is_empty() => Some((table.clone(), bad_rows::batch(bad, self.epoch.0 + 1)?)),
            _ => None,
        };
        let blocks = self.next_blocks(advanced).await?;
        let state = checkpoint::encode(standing, body, object, &blocks)?;
        let sinks = Sinks::write(lake, &self.scope, &self.plan.outputs, rows, kept).await;
        match sinks {
            Ok(sinks) => Ok(Staged { sinks, state, object, blocks }),
            Err(error) => {
                self.forget(object, &blocks).await;
                Err(error)
            }
        }
    }

    /// The blocks after an epoch that changes tables so.
    async fn next_blocks(&self, advanced: &[Advanced]) -> Result<Vec<Block>, Error> {
        let layouts = self.layouts();
        let mut changes: Changes = advanced.iter().map(|advanced| advanced.deltas.clone()).collect();
        let Some(new) = Block::encode(&changes, &layouts)? else { return Ok(self.blocks.clone()) };
        let tables = || self.held.iter().flat_map(|held| &held.tables);
        let live: u64 = tables().map(|table| table.len() as u64).sum();
        let heads: Vec<_> = self.blocks.iter().map(|block| block.head.clone()).collect();
        let inline_max = self.services.limits.inline_state_bytes;
        let (kept, new) = match blocks::step(&heads, &new.head, live, inline_max) {
            blocks::Step::Add => (self.blocks.len(), Some(new)),
            blocks::Step::Merge(from) => {
                let before = self.read_blocks(&self.blocks[from..]).await?;
                for (into, from) in changes.iter_mut().flatten().zip(before.iter().flatten()) {
                    into.merge(from);
                }
                (from, Block::encode(&changes, &layouts)?)
            }
            blocks::Step::Whole => {
                for (into, table) in changes.iter_mut().flatten().zip(tables()) {
                    into.merge(&table.whole());
                }
                (0, Block::encode(&changes, &layouts)?)
            }
        };
        let mut blocks = self.blocks[..kept].to_vec();
        let Some(mut new) = new else { return Ok(blocks) };
        if new.head.bytes > inline_max as u64
            && let Some(bytes) = new.inline.take()
        {
            let id = self.services.lake.ids.uuid();
            self.services.lake.store.put(&self.object_path(id), bytes).await?;
            new.head.id = Some(id);
        }
        blocks.push(new);
        Ok(blocks)
    }

    /// Deletes objects that no commit will name. Best effort: what stays goes with the next start.
    async fn forget(&self, object: Option<StateObject>, blocks: &[Block]) {
        let kept = self.objects(self.object, &self.blocks);
        for path in self.objects(object, blocks).difference(&kept) {
            if let Err(error) = self.services.lake.store.delete(path).await {
                tracing::info!(%error, pipeline = %self.pipeline.name, "state of an abandoned epoch stays until the next start");
            }
        }
    }

    /// The one commit of the epoch. Writes by key are planned again while others change the same rows.
    async fn commit(
        &mut self,
        epoch: Epoch,
        standing: &Standing,
        staged: Staged,
    ) -> Result<Committed, Error> {
        let catalog = self.services.lake.catalog.clone();
        let started = self.services.lake.clock.now();
        let mut reruns = Reruns::new(self.services.lake.ids.clone());
        loop {
            let (lake, ingest) = (&self.services.lake, &self.services.ingest);
            let planned = match staged.sinks.plan(lake, ingest, &self.scope).await {
                Ok(planned) => planned,
                Err(error) => {
                    staged.sinks.abandon(&self.services.lake).await;
                    self.forget(staged.object, &staged.blocks).await;
                    return Err(error);
                }
            };
            let commit = Commit {
                commit_id: self.services.lake.ids.uuid(),
                scope: self.scope.clone(),
                producers: vec![Producer {
                    name: self.pipeline.producer(),
                    epoch,
                    fence: Some(self.fence),
                    state: Some(staged.state.clone()),
                    tables: None,
                }],
                facts: Facts {
                    operation: "pipeline".to_owned(),
                    actor: Some(self.actor.clone()),
                    message: Some(self.pipeline.full_name()),
                    inputs: self.inputs(standing),
                    ..Facts::default()
                },
                tables: planned.changes(),
                objects: Vec::new(),
            };
            let error = match catalog.apply(commit).await {
                Ok(committed) if committed.superseded => {
                    // The ledger knows this epoch from somebody else.
                    let name = format!("producer {}", self.pipeline.producer());
                    return Err(cenote_catalog::Error::Fenced { name }.into());
                }
                Ok(committed) => {
                    let now = self.services.lake.clock.now();
                    self.committed = Committing { at: now, took: now.since(started) };
                    return Ok(committed);
                }
                Err(error) => error,
            };
            let is_known = !matches!(
                error,
                cenote_catalog::Error::OutcomeUnknown(_) | cenote_catalog::Error::Unavailable(_)
            );
            if is_known {
                planned.abandon(&self.services.lake).await;
            }
            let again = match staged.sinks.is_keyed() {
                true => reruns.pause_after(error),
                false => Err(error),
            };
            match again {
                Ok(pause) => self.services.lake.clock.pause(pause).await,
                Err(error) => {
                    if is_known {
                        staged.sinks.abandon(&self.services.lake).await;
                        self.forget(staged.object, &staged.blocks).await;
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// The ranges that the epoch read.
    fn inputs(&self, standing: &Standing) -> Vec<Input> {
        let position = |standing: &Standing, name: &str| {
            let state = standing.sources.get(name)?;
            Some(state.position.clone()).filter(|position| !position.is_empty())
        };
        let moved = self.sources.iter().filter_map(|reader| {
            let (from, to) = (position(&self.standing, &reader.name), position(standing, &reader.name));
            (from != to).then(|| Input { node: reader.source.node(), from, to })
        });
        moved.collect()
    }

    /// What follows a commit, and may be done again.
    async fn finish(&mut self, before: BTreeSet<object_store::path::Path>) -> Result<(), Error> {
        for writer in &mut self.writers {
            if let Some(state) = self.standing.sinks.get(&writer.name) {
                writer.sink.finish(state).await?;
            }
        }
        for path in before.difference(&self.objects(self.object, &self.blocks)) {
            self.services.lake.store.delete(path).await?;
        }
        for reader in &mut self.sources {
            if let Some(state) = self.standing.sources.get(&reader.name) {
                reader.source.committed(&state.position).await?;
            }
        }
        Ok(())
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
        let silence = match self.plan.options.idle_timeout {
            Some(timeout) if self.sources.len() > 1 => timeout.min(idle_commit),
            _ => idle_commit,
        };
        let now = self.services.lake.clock.now();
        let due = self.writers.iter().filter_map(|writer| self.due(writer)).min();
        due.map_or(silence, |due| due.since(now).min(silence))
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

    /// Event time that is over, µs.
    pub fn watermark(&self) -> i64 {
        self.standing.watermark
    }
}

/// Fails at the first row that cannot be used.
fn refuse(source: &str, bad: &[BadRow]) -> Result<(), Error> {
    match bad.first() {
        None => Ok(()),
        Some(row) => Err(Error::BadRow {
            source_name: source.to_owned(),
            partition: row.place.partition.to_string(),
            offset: row.place.offset,
            reason: row.reason.clone(),
        }),
    }
}

/// Where a source stands after what it gave.
fn note(state: &mut SourceState, pulled: &Pulled, intake: &Intake, rows: u64, now: Micros) {
    state.position.clone_from(&pulled.position);
    state.time_max = intake.over.max(state.time_max);
    state.ended = pulled.ended;
    state.floor = pulled.floor.map(|floor| floor.0);
    if rows > 0 {
        state.seen = now.0;
    }
}

/// Bytes of runs, and of tables after a change of them.
fn memory<'a>(
    operators: impl Iterator<Item = (&'a [RecordBatch], &'a [Multiset], &'a [crate::multiset::Delta])>,
) -> u64 {
    let bytes = operators.map(|(runs, tables, deltas)| {
        let runs: u64 = runs.iter().map(|run| run.get_array_memory_size() as u64).sum();
        let tables: u64 = tables
            .iter()
            .enumerate()
            .map(|(at, table)| deltas.get(at).map_or(table.bytes(), |delta| table.bytes_with(delta)))
            .sum();
        runs + tables
    });
    bytes.sum()
}
