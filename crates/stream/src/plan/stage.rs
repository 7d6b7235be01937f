//! An aggregate over windows: what it adds up in an epoch, and what it closes.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;

use super::cut::StageCut;
use super::late::late_rows;
use super::operator::{Advanced, Moment};
use super::parked::Parked;
use super::phases::Phases;
use crate::Error;
use crate::checkpoint::Held;
use crate::epoch::{Executor, behind};
use crate::feed::{Feed, FeedId, Feeds};
use crate::multiset::{Delta, HeldRow, Layout, Multiset};
use crate::session::{self, Groups};
use crate::streams::Streams;
use crate::window::{self, WindowKind};

/// Runs of panes that are kept apart; more are merged into one.
const RUNS_MAX: usize = 8;
/// Rows of panes for windows that close together: of a pane there is one for each of its windows. More are closed in parts.
const CLOSING_ROWS_MAX: u64 = 1 << 20;

/// A windowed aggregate with the plans of its parts: stock aggregation, its states kept between epochs as batches.
pub(crate) struct Stage {
    /// For messages.
    pub(crate) name: String,
    /// What makes another stage of it: where this differs, its state does not fit.
    pub(crate) fingerprint: String,
    windows: WindowKind,
    /// Rows may come so much later than the watermark says, µs.
    lag: i64,
    groups: Groups,
    /// Of rows with the pane among what they are grouped by.
    phases: Phases,
    /// What people call the columns of rows that come too late, if those are kept.
    late: Option<Vec<String>>,
    /// Results that were shown of windows that are still open, if they are shown early.
    early: Option<Layout>,
    /// Open windows for which there is no memory; `None` if their states cannot be rows of a table.
    parked: Option<Parked>,
    output: Feed,
}

impl Stage {
    pub(super) async fn plan(cut: StageCut, streams: &Streams, state: &SessionState) -> Result<Self, Error> {
        let phases = Phases::plan(&cut.input, cut.groups, &cut.functions, streams, state).await?;
        let early = match cut.output.is_updating() {
            true => Some(Layout::new(cut.output.columns(), 0)?),
            false => None,
        };
        let shown = if early.is_some() { " shown early" } else { "" };
        let groups = Groups { count: cut.groups, window: cut.window_at };
        let parked = match Parked::new(cut.windows, phases.states(), groups) {
            Ok(parked) => Some(parked),
            Err(Error::Unsupported(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            fingerprint: format!("{:?} {}{shown}", cut.windows, phases.fingerprint),
            name: cut.name,
            windows: cut.windows,
            lag: cut.lag,
            groups,
            phases,
            late: cut.late,
            early,
            parked,
            output: cut.output,
        })
    }

    /// What its rows are grouped by in time.
    pub(super) fn windows(&self) -> WindowKind {
        self.windows
    }

    /// Feeds below it.
    pub(crate) fn reads(&self) -> &BTreeSet<FeedId> {
        &self.phases.reads
    }

    /// The plan of its rows.
    pub(super) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        self.phases.input()
    }

    /// Columns of what it holds.
    pub(crate) fn held_schema(&self) -> &SchemaRef {
        self.phases.states()
    }

    /// True if open windows for which there is no memory become rows of tables.
    pub(crate) fn may_park(&self) -> bool {
        self.parked.is_some()
    }

    /// Its tables.
    pub(crate) fn tables(&self) -> Vec<&Layout> {
        self.early.iter().chain(self.parked.iter().flat_map(Parked::tables)).collect()
    }

    /// Of its tables, that of results that were shown and those of open windows.
    fn parts<'a>(&self, tables: &'a [Multiset]) -> (&'a [Multiset], &'a [Multiset]) {
        tables.split_at(tables.len().min(usize::from(self.early.is_some())))
    }

    /// True if some window would close when the watermark goes from one place to another.
    pub(crate) fn closes(&self, held: &Held, watermark: (i64, i64)) -> Result<bool, Error> {
        let watermark = self.own(watermark);
        if !self.may_end(watermark) {
            return Ok(false);
        }
        // Asked each time somebody looks for input: no row is made of it.
        let window = self.groups.window;
        let closes = |run: &RecordBatch| match self.windows {
            WindowKind::Fixed(windows) => window::some_closes(run, window, windows, watermark),
            WindowKind::Session(_) => session::some_ended(run, window, watermark.1),
        };
        if held.runs.iter().any(closes) {
            return Ok(true);
        }
        match &self.parked {
            Some(parked) => parked.closes(self.parts(&held.tables).1, watermark),
            None => Ok(false),
        }
    }

    /// Takes the rows of an epoch whose watermark goes from one place to another; closed windows become a feed, and those that
    /// are open if it is time to show them. What was held is not changed.
    pub(crate) async fn advance(
        &self,
        executor: &Executor<'_>,
        feeds: &mut Feeds,
        held: &Held,
        moment: Moment,
    ) -> Result<Advanced, Error> {
        let watermark = self.own(moment.watermark);
        let (shown, tables) = self.parts(&held.tables);
        let mut deltas = vec![Delta::default(); tables.len()];
        let rows = self.phases.rows(executor, feeds).await?;
        let mut runs = held.runs.clone();
        if let Some(parked) = &self.parked {
            runs.extend(parked.taken(tables, &rows, &mut deltas)?);
        }
        let (rows, late) = self.on_time(rows, &runs, watermark.0)?;
        let partly_late = match self.windows {
            WindowKind::Fixed(windows) if !windows.is_tumbling() => {
                let partly = |rows| window::partly_late(rows, self.groups.window, windows, watermark.0);
                rows.iter().map(partly).sum()
            }
            WindowKind::Fixed(_) | WindowKind::Session(_) => 0,
        };
        if !rows.is_empty() {
            runs.extend(self.one_run(self.phases.partial(executor, rows).await?)?);
        }
        if matches!(self.windows, WindowKind::Session(_)) && runs.len() > 1 {
            // New sessions may touch those that are open.
            let joined = session::joined(&concat_batches(self.held_schema(), &runs)?, self.groups)?;
            let merged = self.phases.merge(executor, vec![joined]).await?;
            runs = self.one_run(merged)?.into_iter().collect();
        }
        let mut open = runs.clone();
        if self.may_end(watermark) {
            open = runs.iter().map(|run| self.open(run, watermark.1)).collect::<Result<_, _>>()?;
            open.retain(|run| run.num_rows() > 0);
        }
        let mut reading = executor.memory.reservation();
        if let Some(parked) = &self.parked {
            let count = |bytes| {
                let grown = reading.try_grow(bytes);
                grown.map_err(|source| Error::Closing { operator: self.name.clone(), source })
            };
            runs.splice(0..0, parked.closed(tables, watermark, &mut deltas, count)?);
        }
        let results = self.results(executor, &runs, watermark).await?;
        drop((runs, reading));
        if let (Some(layout), [shown]) = (&self.early, shown) {
            let unfinished = match moment.shows_early {
                true => {
                    let mut all = open.clone();
                    if let Some(parked) = &self.parked {
                        all.insert(0, parked.open(tables, &deltas)?);
                    }
                    Some(self.unfinished(executor, all, watermark.1).await?)
                }
                false => None,
            };
            let (emitted, delta) = self.shown(layout, shown, &results, unfinished, watermark.1)?;
            feeds.set(self.output.id, vec![layout.weighted_batch(&emitted)?]);
            deltas.insert(0, delta);
        } else {
            let results = results.iter().map(|rows| self.result(rows)).collect::<Result<_, _>>()?;
            feeds.set(self.output.id, results);
        }
        match &self.parked {
            Some(parked) if bytes(&open) > moment.room => {
                let deltas = &mut deltas[shown.len()..];
                parked.put((executor, &self.phases), tables, std::mem::take(&mut open), deltas).await?;
            }
            _ if open.len() > RUNS_MAX => {
                open = self.one_run(self.phases.merge(executor, open).await?)?.into_iter().collect();
            }
            _ => {}
        }
        let count = late.iter().map(|rows| rows.num_rows() as u64).sum();
        let late_rows = match &self.late {
            Some(names) => {
                late.iter().map(|rows| late_rows(rows, names, watermark.0)).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        Ok(Advanced { runs: open, deltas, late: count, partly_late, late_rows, ..Advanced::default() })
    }

    /// States as one run: what came as parts of a batch would count its memory several times.
    fn one_run(&self, states: Vec<RecordBatch>) -> Result<Option<RecordBatch>, Error> {
        let run = concat_batches(self.held_schema(), &states)?;
        Ok(Some(run).filter(|run| run.num_rows() > 0))
    }

    /// False if no window ends when the watermark goes from one place to another.
    fn may_end(&self, watermark: (i64, i64)) -> bool {
        match self.windows {
            WindowKind::Fixed(windows) => windows.some_end(watermark),
            WindowKind::Session(_) => watermark.0 < watermark.1,
        }
    }

    /// The watermark as it is for rows that come later than others.
    fn own(&self, watermark: (i64, i64)) -> (i64, i64) {
        behind(watermark, self.lag)
    }

    /// What all open windows would answer if they closed now.
    async fn unfinished(
        &self,
        executor: &Executor<'_>,
        open: Vec<RecordBatch>,
        watermark: i64,
    ) -> Result<Vec<RecordBatch>, Error> {
        match self.windows {
            WindowKind::Fixed(_) => self.results(executor, &open, (watermark, i64::MAX)).await,
            WindowKind::Session(_) => self.phases.finish(executor, open).await,
        }
    }

    /// The answers of the windows that close when the watermark goes from one place to another.
    async fn results(
        &self,
        executor: &Executor<'_>,
        runs: &[RecordBatch],
        watermark: (i64, i64),
    ) -> Result<Vec<RecordBatch>, Error> {
        let (mut results, mut parts) = (Vec::new(), vec![watermark]);
        while let Some(part) = parts.pop() {
            if !self.may_end(part) {
                continue;
            }
            if let WindowKind::Fixed(windows) = self.windows
                && let Some([first, second]) =
                    window::halves(runs, self.groups.window, windows, part, CLOSING_ROWS_MAX)
            {
                parts.extend([second, first]);
                continue;
            }
            let mut closed = Vec::new();
            for run in runs {
                closed.push(self.closing(run, part)?);
            }
            closed.retain(|run| run.num_rows() > 0);
            results.extend(self.phases.finish(executor, closed).await?);
        }
        Ok(results)
    }

    /// What is emitted where open windows are shown early, and what changes in what was shown. `unfinished`: the answers of open
    /// windows, if it is time to show them.
    fn shown(
        &self,
        layout: &Layout,
        shown: &Multiset,
        closed: &[RecordBatch],
        unfinished: Option<Vec<RecordBatch>>,
        watermark: i64,
    ) -> Result<(Delta, Delta), Error> {
        let mut gone = Delta::default();
        if unfinished.is_some() || !closed.is_empty() {
            let rows: Vec<HeldRow<'_>> = shown.from(&[])?.collect::<Result<_, _>>()?;
            let batch = layout.batch(rows.iter().map(|(row, _)| row.as_ref()))?;
            let ends = window::ends(&batch, self.groups.window).values();
            let is_over = |end: i64| match self.windows {
                WindowKind::Fixed(_) => end <= watermark,
                WindowKind::Session(_) => end < watermark,
            };
            let over = rows.iter().zip(ends).filter(|(_, end)| unfinished.is_some() || is_over(**end));
            over.for_each(|((row, _), _)| gone.add(row, -1));
        }
        let mut delta = gone;
        let mut emitted = delta.clone();
        emitted.merge(&layout.delta(closed)?);
        if let Some(unfinished) = unfinished {
            let open = layout.delta(&unfinished)?;
            delta.merge(&open);
            emitted.merge(&open);
        }
        Ok((emitted, delta))
    }

    /// The rows that some window can still take, and those that came too late. Rows of one session are brought together.
    fn on_time(
        &self,
        rows: Vec<RecordBatch>,
        held: &[RecordBatch],
        watermark: i64,
    ) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>), Error> {
        let (mut kept, mut late) = (Vec::new(), Vec::new());
        for batch in &rows {
            let (on_time, more_late) = match self.windows {
                WindowKind::Fixed(windows) => window::on_time(batch, self.groups.window, windows, watermark)?,
                WindowKind::Session(_) => session::on_time(batch, self.groups, held, watermark)?,
            };
            late.extend((more_late.num_rows() > 0).then_some(more_late));
            if on_time.num_rows() > 0 {
                kept.push(on_time);
            }
        }
        if let (WindowKind::Session(_), Some(first)) = (self.windows, kept.first()) {
            let all = concat_batches(&first.schema(), &kept)?;
            kept = vec![session::joined(&all, self.groups)?];
        }
        Ok((kept, late))
    }

    /// Rows of the windows that close.
    fn closing(&self, run: &RecordBatch, watermark: (i64, i64)) -> Result<RecordBatch, Error> {
        match self.windows {
            WindowKind::Fixed(windows) => window::closing(run, self.groups.window, windows, watermark),
            WindowKind::Session(_) => session::ended(run, self.groups.window, watermark.1, true),
        }
    }

    /// What is needed by windows that stay open.
    fn open(&self, run: &RecordBatch, watermark: i64) -> Result<RecordBatch, Error> {
        match self.windows {
            WindowKind::Fixed(windows) => window::open(run, self.groups.window, windows, watermark),
            WindowKind::Session(_) => session::ended(run, self.groups.window, watermark, false),
        }
    }

    /// Rows of closed windows as the feed has them; each happened at the last µs of its window.
    fn result(&self, rows: &RecordBatch) -> Result<RecordBatch, Error> {
        let ends = window::ends(rows, self.groups.window);
        let times = TimestampMicrosecondArray::from_iter_values(
            ends.values().iter().map(|end| end.saturating_sub(1)),
        );
        let columns: Vec<ArrayRef> =
            rows.columns().iter().cloned().chain([Arc::new(times) as ArrayRef]).collect();
        Ok(RecordBatch::try_new(self.output.batches().clone(), columns)?)
    }
}

/// Memory of runs, about.
fn bytes(runs: &[RecordBatch]) -> u64 {
    runs.iter().map(|run| run.get_array_memory_size() as u64).sum()
}
