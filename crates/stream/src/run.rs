//! A pipeline that runs: one epoch at a time, each a commit.
//!
//! Invariant: what is in memory is what the last commit said, and positions that have moved over nothing. An epoch that
//! fails changes neither.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use cenote_catalog::{
    Commit, Committed, Facts, Input, NewFile, Op, Pipeline, Producer, ReadSet, TableChange, TableDef,
};
use cenote_connect::{AtBad, BadRow, Closing, EpochRows, LakeSource, Pulled, Reach, Sink, Source};
use cenote_datafile::{Level, adapt, arrow_schema};
use cenote_ingest::Ingest;
use cenote_query::Engine;
use cenote_table::{Lake, Written};
use cenote_vocab::{Epoch, Fence, MemoryPool, Micros, Reservation, Scope, TableId};
use futures::TryStreamExt;
use futures::future::select_all;

use crate::checkpoint::{self, Body, Held, SourceState, Standing, StateObject, Stored};
use crate::epoch::{Executor, Step, watermark};
use crate::feed::{FeedId, Feeds};
use crate::intake::{Intake, intake};
use crate::options::BadData;
use crate::plan::{PipelinePlan, plan};
use crate::streams::{SourceKind, SourcePlan};
use crate::{Error, Limits};

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
    /// By number.
    sinks: Vec<Writer>,
    fence: Fence,
    epoch: Epoch,
    standing: Standing,
    held: Vec<Held>,
    object: Option<StateObject>,
    reservation: Reservation,
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
    /// The watermark before and after.
    watermark: (i64, i64),
    /// Rows that could not be used and are kept, with their source.
    bad: Vec<(String, BadRow)>,
}

/// What an epoch gave.
struct Ran {
    /// Of each output.
    rows: Vec<Vec<RecordBatch>>,
    /// Of each output to a sink outside of the lake.
    sunk: Vec<Vec<RecordBatch>>,
    held: Vec<Held>,
    late: u64,
}

/// What an epoch wrote, before the commit.
struct Staged {
    written: Vec<(Arc<TableDef>, Written)>,
    state: bytes::Bytes,
    object: Option<StateObject>,
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
            sinks: Vec::new(),
            fence,
            epoch,
            standing: Standing {
                now: pipeline.created.0,
                watermark: i64::MIN,
                sources: BTreeMap::new(),
                rows_in: 0,
                rows_out: 0,
                rows_late: 0,
                rows_bad: 0,
                sinks: BTreeMap::new(),
                finished: false,
            },
            held: Vec::new(),
            object: None,
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
        run.open_sinks()?;
        run.restore(known.and_then(|(_, _, state)| state)).await?;
        run.restore_sinks().await?;
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
                SourceKind::Lake(table) => Box::new(LakeSource::new(
                    lake.clone(),
                    self.services.ingest.clone(),
                    self.scope.clone(),
                    table.clone(),
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

    fn open_sinks(&mut self) -> Result<(), Error> {
        for planned in &self.plan.sinks {
            let Some(columns) = &planned.columns else {
                return Err(Error::Invalid(format!("nothing is written into table '{}'", planned.name)));
            };
            let (owner, clock) = (self.pipeline.id, &self.services.lake.clock);
            let sink = planned.options.open(&planned.name, owner, columns, clock, &self.services.reach)?;
            self.sinks.push(Writer { name: planned.name.clone(), sink });
        }
        Ok(())
    }

    /// Brings sinks outside of the lake to what the last commit said.
    async fn restore_sinks(&mut self) -> Result<(), Error> {
        for writer in &mut self.sinks {
            let state = self.standing.sinks.get(&writer.name).map_or("", String::as_str);
            writer.sink.restore(state).await?;
        }
        Ok(())
    }

    /// Takes what the last commit said, if there was one.
    async fn restore(&mut self, state: Option<bytes::Bytes>) -> Result<(), Error> {
        let name = self.pipeline.full_name();
        let corrupt = |reason: String| Error::Corrupt { pipeline: name.clone(), reason };
        let Some(bytes) = state else {
            self.held = self
                .plan
                .stages
                .iter()
                .map(|stage| Held { fingerprint: stage.fingerprint.clone(), runs: Vec::new() })
                .collect();
            return Ok(());
        };
        let stored = Stored::decode(&bytes).map_err(corrupt)?;
        let body = match stored.object {
            Some(object) => Some(self.services.lake.store.read(&self.object_path(object)).await?),
            None => None,
        };
        let held = stored.held(body).map_err(corrupt)?;
        self.check(&stored.standing, &held)?;
        (self.standing, self.held, self.object) = (stored.standing, held, stored.object);
        self.reserve(&self.held.clone())
    }

    /// Fails unless the plan is the one by which it was made.
    fn check(&self, standing: &Standing, held: &[Held]) -> Result<(), Error> {
        let differs = |operator: &str, difference: String| {
            Err(Error::State { operator: operator.to_owned(), difference })
        };
        let stages = &self.plan.stages;
        if stages.len() != held.len() {
            return differs("windows", format!("there were {}, there are {}", held.len(), stages.len()));
        }
        for (stage, held) in stages.iter().zip(held) {
            if stage.fingerprint != held.fingerprint {
                return differs(
                    &stage.name,
                    format!("it was {}, it is {}", held.fingerprint, stage.fingerprint),
                );
            }
        }
        match self.sources.iter().find(|reader| !standing.sources.contains_key(&reader.name)) {
            Some(reader) => differs(&reader.name, "the source was not read before".to_owned()),
            None => Ok(()),
        }
    }

    /// Deletes objects that a crash left behind.
    async fn clean(&self) -> Result<(), Error> {
        let store = &self.services.lake.store;
        let all = cenote_store::pipeline_location(self.scope.tenant(), self.pipeline.id);
        let kept = self.object.map(|object| self.object_path(object));
        let mut listed = store.list(&all);
        while let Some(object) = listed.try_next().await? {
            if Some(&object.path) != kept.as_ref() {
                store.delete(&object.path).await?;
            }
        }
        Ok(())
    }

    fn object_path(&self, object: StateObject) -> object_store::path::Path {
        cenote_store::pipeline_state(self.scope.tenant(), self.pipeline.id, object.id)
    }

    /// Runs an epoch if there is something to do. After an error the run must be opened again.
    pub async fn step(&mut self) -> Result<Step, Error> {
        if self.standing.finished {
            return Ok(Step::Finished);
        }
        let Some(cut) = self.cut().await? else { return Ok(Step::Idle) };
        fail::fail_point!("epoch.cut", |_| Err(Error::FailPoint("epoch.cut")));
        let epoch = Epoch(self.epoch.0 + 1);
        let Ran { rows, sunk, held, late } = self.run(&cut).await?;
        fail::fail_point!("epoch.run", |_| Err(Error::FailPoint("epoch.run")));
        let mut standing = cut.standing;
        standing.rows_late += late;
        let outputs = rows.iter().chain(&sunk).flatten();
        standing.rows_out += outputs.map(|batch| batch.num_rows() as u64).sum::<u64>();
        self.reserve(&held)?;
        self.stage_sinks(epoch, &mut standing, &sunk).await?;
        fail::fail_point!("epoch.sink", |_| Err(Error::FailPoint("epoch.sink")));
        let staged = self.stage(&standing, &held, rows, &cut.bad).await?;
        fail::fail_point!("epoch.stage", |_| Err(Error::FailPoint("epoch.stage")));
        let object = staged.object;
        let committed = self.commit(epoch, &standing, staged).await?;
        fail::fail_point!("epoch.commit", |_| Err(Error::FailPoint("epoch.commit")));
        let before = self.object;
        (self.epoch, self.standing, self.held, self.object) = (epoch, standing, held, object);
        self.finish(before).await?;
        fail::fail_point!("epoch.finish", |_| Err(Error::FailPoint("epoch.finish")));
        Ok(Step::Committed(committed.txn))
    }

    /// Reads what is there. `None` if it would change nothing.
    async fn cut(&mut self) -> Result<Option<Cut>, Error> {
        let now = self.services.lake.clock.now().max(Micros(self.standing.now));
        let mut standing = Standing { now: now.0, ..self.standing.clone() };
        let mut feeds = Feeds::default();
        let (mut rows, mut ended) = (0, false);
        let rows_max = (self.services.limits.epoch_rows / self.sources.len().max(1)).max(1);
        let delay = self.plan.options.watermark_delay;
        let executor = Executor { engine: &self.services.engine, state: &self.plan.state };
        let mut bad = Vec::new();
        self.plan.now.store(now.0, Ordering::SeqCst);
        for reader in &mut self.sources {
            let Some(state) = standing.sources.get_mut(&reader.name) else { continue };
            if state.ended {
                continue;
            }
            let pulled = reader.source.read(&state.position, rows_max, now).await?;
            let planned = &self.plan.sources[reader.planned];
            let taken = intake(&executor, planned, &pulled, (now, delay)).await?;
            let unusable = taken.bad.len() as u64;
            standing.rows_bad += unusable;
            match planned.bad_data.unwrap_or(self.plan.options.bad_data) {
                BadData::Drop => {}
                BadData::Table => bad.extend(taken.bad.iter().map(|row| (planned.name.clone(), row.clone()))),
                BadData::Fail => refuse(&planned.name, &taken.bad)?,
            }
            let good: u64 = taken.batches.iter().map(|batch| batch.num_rows() as u64).sum();
            rows += good + unusable;
            ended |= pulled.ended;
            note(state, &pulled, &taken, good + unusable, now);
            feeds.set(reader.feed, taken.batches);
        }
        standing.rows_in += rows;
        let (idle, times) = (self.plan.options.idle_timeout, (now.0, self.since));
        standing.watermark = watermark(self.standing.watermark, standing.sources.values(), idle, times);
        standing.finished = standing.sources.values().all(|source| source.ended);
        let watermark = (self.standing.watermark, standing.watermark);
        let is_due = self.closes(watermark)? || self.is_sink_due(now) || self.is_commit_due(&standing, now);
        if rows == 0 && !ended && !is_due {
            // Nothing was there between the old positions and the new.
            self.standing.sources = standing.sources;
            return Ok(None);
        }
        Ok(Some(Cut { feeds, standing, rows, watermark, bad }))
    }

    /// True if a sink has something to complete though no row came.
    fn is_sink_due(&self, now: Micros) -> bool {
        self.sinks.iter().any(|writer| self.due(writer).is_some_and(|due| due <= now))
    }

    fn due(&self, writer: &Writer) -> Option<Micros> {
        writer.sink.due(self.standing.sinks.get(&writer.name)?)
    }

    fn closes(&self, watermark: (i64, i64)) -> Result<bool, Error> {
        for (stage, held) in self.plan.stages.iter().zip(&self.held) {
            if stage.closes(&held.runs, watermark)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// History before the committed positions is kept for this pipeline: it should not lag behind for nothing.
    fn is_commit_due(&self, standing: &Standing, now: Micros) -> bool {
        now.since(self.committed.at) >= self.services.limits.idle_commit
            && standing.sources.iter().any(|(name, state)| {
                self.standing.sources.get(name).is_none_or(|before| before.position != state.position)
            })
    }

    /// The rows of each output, and what the operators hold then.
    async fn run(&self, cut: &Cut) -> Result<Ran, Error> {
        self.plan.now.store(cut.standing.now, Ordering::SeqCst);
        let executor = Executor { engine: &self.services.engine, state: &self.plan.state };
        let mut feeds = cut.feeds.clone();
        let (mut held, mut late) = (Vec::new(), 0);
        for (stage, before) in self.plan.stages.iter().zip(&self.held) {
            let advanced = stage.advance(&executor, &mut feeds, &before.runs, cut.watermark).await?;
            late += advanced.late;
            held.push(Held { fingerprint: stage.fingerprint.clone(), runs: advanced.held });
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
        Ok(Ran { rows, sunk, held, late })
    }

    /// Fails if the node has no memory for what the operators will hold.
    fn reserve(&mut self, held: &[Held]) -> Result<(), Error> {
        let runs = held.iter().flat_map(|held| &held.runs);
        let bytes: u64 = runs.map(|run| run.get_array_memory_size() as u64).sum();
        let reserved = self.reservation.bytes();
        if bytes < reserved {
            self.reservation.shrink(reserved - bytes);
            return Ok(());
        }
        let pipeline = self.pipeline.full_name();
        self.reservation.try_grow(bytes - reserved).map_err(|source| Error::StateMemory { pipeline, source })
    }

    /// Rows go to sinks outside of the lake, each in the order of the INSERTs that write it.
    async fn stage_sinks(
        &mut self,
        epoch: Epoch,
        standing: &mut Standing,
        sunk: &[Vec<RecordBatch>],
    ) -> Result<(), Error> {
        let closing = if standing.finished { Closing::Close } else { Closing::Open };
        for (number, writer) in self.sinks.iter_mut().enumerate() {
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
        held: &[Held],
        rows: Vec<Vec<RecordBatch>>,
        bad: &[(String, BadRow)],
    ) -> Result<Staged, Error> {
        let lake = &self.services.lake;
        let schemas: Vec<SchemaRef> =
            self.plan.stages.iter().map(|stage| stage.held_schema().clone()).collect();
        let body = Body::encode(held, &schemas)?;
        let mut object = None;
        if body.bytes.len() > self.services.limits.inline_state_bytes {
            let stored = StateObject { id: lake.ids.uuid(), bytes: body.bytes.len() as u64 };
            lake.store.put(&self.object_path(stored), body.bytes.clone()).await?;
            object = Some(stored);
        }
        let state = checkpoint::encode(standing, body, object)?;
        let mut staged = Staged { written: Vec::new(), state, object };
        for (output, rows) in self.plan.outputs.iter().zip(rows) {
            if rows.is_empty() {
                continue;
            }
            match self.write(&output.target, rows).await {
                Ok(written) => staged.written.push((output.target.clone(), written)),
                Err(error) => {
                    self.abandon(staged).await;
                    return Err(error);
                }
            }
        }
        if let Some(table) = self.plan.bad_table.clone().filter(|_| !bad.is_empty()) {
            let written = match crate::bad_rows::batch(bad, self.epoch.0 + 1) {
                Ok(batch) => self.write(&table, vec![batch]).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(written) => staged.written.push((table, written)),
                Err(error) => {
                    self.abandon(staged).await;
                    return Err(error);
                }
            }
        }
        Ok(staged)
    }

    async fn write(&self, target: &Arc<TableDef>, rows: Vec<RecordBatch>) -> Result<Written, Error> {
        let mut writer = self.services.lake.writer(&self.scope, target.clone(), Level::Fresh);
        for batch in rows {
            let written = match fit(&batch, target) {
                Ok(batch) => writer.write(batch).await.map_err(Error::from),
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                writer.abandon().await;
                return Err(error);
            }
        }
        Ok(writer.finish().await?)
    }

    /// Deletes what no commit took. Best effort: what stays is an orphan.
    async fn abandon(&self, staged: Staged) {
        for (table, written) in staged.written {
            self.services.lake.abandon(&table, written).await;
        }
        if let Some(object) = staged.object
            && let Err(error) = self.services.lake.store.delete(&self.object_path(object)).await
        {
            tracing::info!(%error, pipeline = %self.pipeline.name, "state of an abandoned epoch stays until the next start");
        }
    }

    /// The one commit of the epoch.
    async fn commit(
        &mut self,
        epoch: Epoch,
        standing: &Standing,
        staged: Staged,
    ) -> Result<Committed, Error> {
        let catalog = self.services.lake.catalog.clone();
        let base = catalog.head(&self.scope).await?.txn;
        let mut files: BTreeMap<TableId, Vec<NewFile>> = BTreeMap::new();
        for (table, written) in &staged.written {
            files.entry(table.id).or_default().extend(written.clone().into_files());
        }
        let tables = files.into_iter().map(|(table, files)| TableChange {
            table,
            base,
            read: ReadSet::None,
            ops: vec![Op::Append { files }],
        });
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
            tables: tables.collect(),
            objects: Vec::new(),
        };
        let started = self.services.lake.clock.now();
        match catalog.apply(commit).await {
            Ok(committed) if committed.superseded => {
                // The ledger knows this epoch from somebody else.
                Err(cenote_catalog::Error::Fenced { name: format!("producer {}", self.pipeline.producer()) }
                    .into())
            }
            Ok(committed) => {
                let now = self.services.lake.clock.now();
                self.committed = Committing { at: now, took: now.since(started) };
                Ok(committed)
            }
            Err(error) => {
                let is_known = !matches!(
                    error,
                    cenote_catalog::Error::OutcomeUnknown(_) | cenote_catalog::Error::Unavailable(_)
                );
                if is_known {
                    self.abandon(staged).await;
                }
                Err(error.into())
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
    async fn finish(&mut self, before: Option<StateObject>) -> Result<(), Error> {
        for writer in &mut self.sinks {
            if let Some(state) = self.standing.sinks.get(&writer.name) {
                writer.sink.finish(state).await?;
            }
        }
        if let Some(object) = before {
            self.services.lake.store.delete(&self.object_path(object)).await?;
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
        let due = self.sinks.iter().filter_map(|writer| self.due(writer)).min();
        due.map_or(silence, |due| due.since(now).min(silence))
    }

    /// How long the next epoch should wait, so that commits do not crowd out others.
    pub(crate) fn pace(&self) -> Duration {
        let limits = self.services.limits;
        let apart = limits.epoch_interval.max(self.committed.took * limits.commits_apart);
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
fn note(state: &mut SourceState, pulled: &Pulled, taken: &Intake, rows: u64, now: Micros) {
    state.position.clone_from(&pulled.position);
    state.time_max = taken.over.max(state.time_max);
    state.ended = pulled.ended;
    state.floor = pulled.floor.map(|floor| floor.0);
    if rows > 0 {
        state.seen = now.0;
    }
}

/// The rows in the columns of their table. NULLs where none may be are the writer's to refuse: it names column and row.
fn fit(batch: &RecordBatch, table: &TableDef) -> Result<RecordBatch, Error> {
    let wanted = arrow_schema(&table.schema);
    let given = batch.schema();
    let columns = batch.columns().iter().zip(given.fields()).zip(wanted.fields());
    let columns = columns.map(|((column, given), wanted)| adapt(column, given, wanted));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let fields = wanted.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = arrow::datatypes::Schema::new(fields.collect::<Vec<_>>());
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}
