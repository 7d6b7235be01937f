//! An aggregate over windows: what it adds up in an epoch, and what it closes.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::check;
use super::cut::StageCut;
use crate::Error;
use crate::epoch::Executor;
use crate::feed::{Feed, FeedId, Feeds};
use crate::session::{self, Groups};
use crate::streams::Streams;
use crate::window::{self, WindowKind};

/// Runs of panes that are kept apart; more are merged into one.
const RUNS_MAX: usize = 8;

/// A windowed aggregate with the plans of its parts: stock aggregation, its states kept between epochs as batches.
pub(crate) struct Stage {
    /// For messages.
    pub(crate) name: String,
    /// What makes another stage of it: where this differs, its state does not fit.
    pub(crate) fingerprint: String,
    /// Feeds below it.
    pub(crate) reads: BTreeSet<FeedId>,
    windows: WindowKind,
    groups: Groups,
    /// Rows of the epoch, with the pane among what they are grouped by.
    input: Arc<dyn ExecutionPlan>,
    rows: Feed,
    /// Rows to states.
    partial: Arc<dyn ExecutionPlan>,
    panes: Feed,
    /// States to fewer states.
    merge: Arc<dyn ExecutionPlan>,
    /// States to results.
    finish: Arc<dyn ExecutionPlan>,
    output: Feed,
}

impl Stage {
    pub(super) async fn plan(cut: StageCut, streams: &Streams, state: &SessionState) -> Result<Self, Error> {
        let optimized = state.optimize(&cut.input)?;
        let reads = check::feeds([&optimized])?;
        let input = state.create_physical_plan(&optimized).await?;
        let schema = input.schema();

        let group = |at: usize| {
            let name = format!("g{at}");
            (Arc::new(Column::new(&name, at)) as Arc<dyn PhysicalExpr>, name)
        };
        let group = PhysicalGroupBy::new_single((0..cut.groups).map(group).collect());
        let (mut functions, mut filters) = (Vec::new(), Vec::new());
        for function in &cut.functions {
            let (logical, context) = (cut.input.schema(), PhysicalPlanningContext::default());
            let props = state.execution_props();
            let lowered =
                LoweredAggregateBuilder::new(function, logical, &schema, props, &context).build()?;
            functions.push(lowered.aggregate);
            filters.push(lowered.filter);
        }
        let rows = Feed::exact(streams.next_feed(), schema.clone());
        let aggregate = |mode, group, filters, feed: &Feed| {
            AggregateExec::try_new(mode, group, functions.clone(), filters, feed.exec(None)?, schema.clone())
                .map(Arc::new)
        };
        let none = vec![None; functions.len()];
        let partial = aggregate(AggregateMode::Partial, group.clone(), filters, &rows)?;
        let panes = Feed::exact(streams.next_feed(), partial.schema());
        let merge = aggregate(AggregateMode::PartialReduce, group.as_final(), none.clone(), &panes)?;
        let finish = aggregate(AggregateMode::Final, group.as_final(), none, &panes)?;
        let columns: Vec<String> = cut.functions.iter().map(ToString::to_string).collect();
        Ok(Self {
            fingerprint: format!("{:?} [{}] {:?}", cut.windows, columns.join(", "), types(&partial.schema())),
            name: cut.name,
            reads,
            windows: cut.windows,
            groups: Groups { count: cut.groups, window: cut.window_at },
            input,
            rows,
            partial,
            panes,
            merge,
            finish,
            output: cut.output,
        })
    }

    /// Columns of what it holds.
    pub(crate) fn held_schema(&self) -> &SchemaRef {
        self.panes.batches()
    }

    /// True if some window would close when the watermark goes from one place to another.
    pub(crate) fn closes(&self, held: &[RecordBatch], watermark: (i64, i64)) -> Result<bool, Error> {
        for run in held {
            if self.closing(run, watermark)?.num_rows() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes the rows of an epoch whose watermark goes from one place to another; closed windows become a feed.
    /// Answers what it holds then, and how many rows came too late. What was held is not changed.
    pub(crate) async fn advance(
        &self,
        executor: &Executor<'_>,
        feeds: &mut Feeds,
        held: &[RecordBatch],
        watermark: (i64, i64),
    ) -> Result<(Vec<RecordBatch>, u64), Error> {
        let rows = executor.run(&self.input, feeds).await?;
        let (rows, late) = self.on_time(rows, held, watermark.0)?;
        let mut runs = held.to_vec();
        runs.extend(self.part(executor, &self.partial, &self.rows, rows).await?);
        if matches!(self.windows, WindowKind::Session(_)) && runs.len() > 1 {
            // New sessions may touch those that are open.
            let joined = session::joined(&concat_batches(self.held_schema(), &runs)?, self.groups)?;
            runs = self.part(executor, &self.merge, &self.panes, vec![joined]).await?;
        }
        let (mut closed, mut open) = (Vec::new(), Vec::new());
        for run in &runs {
            closed.push(self.closing(run, watermark)?);
            open.push(self.open(run, watermark.1)?);
        }
        closed.retain(|run| run.num_rows() > 0);
        open.retain(|run| run.num_rows() > 0);
        let results = self.part(executor, &self.finish, &self.panes, closed).await?;
        let results = results.iter().map(|rows| self.result(rows)).collect::<Result<_, _>>()?;
        feeds.set(self.output.id, results);
        if open.len() > RUNS_MAX {
            open = self.part(executor, &self.merge, &self.panes, open).await?;
        }
        Ok((open, late))
    }

    /// The rows that some window can still take, and how many came too late. Rows of one session are brought together.
    fn on_time(
        &self,
        rows: Vec<RecordBatch>,
        held: &[RecordBatch],
        watermark: i64,
    ) -> Result<(Vec<RecordBatch>, u64), Error> {
        let (mut kept, mut late) = (Vec::new(), 0);
        for batch in &rows {
            let (on_time, more_late) = match self.windows {
                WindowKind::Fixed(windows) => window::on_time(batch, self.groups.window, windows, watermark)?,
                WindowKind::Session(_) => session::on_time(batch, self.groups, held, watermark)?,
            };
            late += more_late;
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

    /// Runs one of the parts on its rows.
    async fn part(
        &self,
        executor: &Executor<'_>,
        plan: &Arc<dyn ExecutionPlan>,
        feed: &Feed,
        rows: Vec<RecordBatch>,
    ) -> Result<Vec<RecordBatch>, Error> {
        if rows.is_empty() {
            return Ok(rows);
        }
        executor.over(plan, feed, rows).await
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

pub(super) fn types(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect()
}
