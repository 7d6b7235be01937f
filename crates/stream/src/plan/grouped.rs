//! An aggregate without windows whose states of a group add up: of each group its state and its result are held.
//!
//! ```text
//! rows of the epoch ─ partial ─► states ─┐
//! held states of the same groups ────────┴─ merge ─► new states ─ finish ─► results: those that were emitted go, these come
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::check;
use super::stage::types;
use super::updating::GroupedCut;
use crate::Error;
use crate::epoch::Executor;
use crate::feed::{Feed, FeedId, Feeds};
use crate::multiset::{Delta, Layout, Multiset};
use crate::streams::Streams;

/// The aggregate with the plans of its parts.
pub(crate) struct Grouped {
    pub(super) name: String,
    pub(super) fingerprint: String,
    pub(super) reads: BTreeSet<FeedId>,
    groups: usize,
    input: Arc<dyn ExecutionPlan>,
    rows: Feed,
    partial: Arc<dyn ExecutionPlan>,
    partials: Feed,
    merge: Arc<dyn ExecutionPlan>,
    finish: Arc<dyn ExecutionPlan>,
    /// What the sums mean, where rows may be taken back: then the first sum is the number of a group's rows.
    meaning: Option<(Feed, Arc<dyn ExecutionPlan>)>,
    is_append: bool,
    states: Layout,
    results: Layout,
    output: Feed,
}

impl Grouped {
    pub(super) async fn plan(
        cut: GroupedCut,
        streams: &Streams,
        state: &SessionState,
    ) -> Result<Self, Error> {
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
        let partials = Feed::exact(streams.next_feed(), partial.schema());
        let merge = aggregate(AggregateMode::PartialReduce, group.as_final(), none.clone(), &partials)?;
        let finish = aggregate(AggregateMode::Final, group.as_final(), none, &partials)?;
        let meaning = match cut.meaning {
            None => None,
            Some(meaning) => {
                let plan = state.optimize(&meaning.plan)?;
                Some((meaning.sums, state.create_physical_plan(&plan).await?))
            }
        };
        let columns: Vec<String> = cut.functions.iter().map(ToString::to_string).collect();
        let states = Layout::new(partial.schema(), cut.groups)?;
        let results = Layout::new(cut.output.columns(), cut.groups)?;
        Ok(Self {
            fingerprint: format!("[{}] {:?}", columns.join(", "), types(&partial.schema())),
            name: cut.name,
            reads,
            groups: cut.groups,
            input,
            rows,
            partial,
            partials,
            merge,
            finish,
            meaning,
            is_append: cut.is_append,
            states,
            results,
            output: cut.output,
        })
    }

    pub(super) fn tables(&self) -> Vec<&Layout> {
        vec![&self.states, &self.results]
    }

    /// True if it has a result without any row.
    pub(super) fn is_whole(&self) -> bool {
        self.groups == 0
    }

    pub(super) async fn advance(
        &self,
        executor: &Executor<'_>,
        feeds: &mut Feeds,
        held: &[Multiset],
        is_first: bool,
    ) -> Result<Vec<Delta>, Error> {
        let [states, results] = held else { return Err(Error::Invalid("state of two tables".to_owned())) };
        let rows = executor.run(&self.input, feeds).await?;
        if rows.is_empty() && !(is_first && self.is_whole()) {
            feeds.set(self.output.id, Vec::new());
            return Ok(vec![Delta::default(), Delta::default()]);
        }
        let touched = executor.over(&self.partial, &self.rows, rows).await?;
        let new = self.states.delta(&touched)?;
        let keys = self.states.keys(&new)?;
        let mut gone_states: Vec<&[u8]> = Vec::new();
        let mut gone_results: Vec<&[u8]> = Vec::new();
        for key in &keys {
            gone_states.extend(states.of_key(key).map(|(row, _)| row));
            gone_results.extend(results.of_key(key).map(|(row, _)| row));
        }
        let before = self.states.batch(gone_states.iter().copied())?;
        let parts = touched.into_iter().chain((before.num_rows() > 0).then_some(before)).collect();
        let mut merged = executor.over(&self.merge, &self.partials, parts).await?;
        if self.meaning.is_some() && self.groups > 0 {
            // Groups without rows are gone.
            merged = merged.iter().map(|batch| self.peopled(batch)).collect::<Result<_, _>>()?;
            merged.retain(|batch| batch.num_rows() > 0);
        }
        let mut finished = match merged.is_empty() {
            true => Vec::new(),
            false => executor.over(&self.finish, &self.partials, merged.clone()).await?,
        };
        if let Some((sums, plan)) = &self.meaning {
            finished = executor.over(plan, sums, finished).await?;
        }
        let delta_states = changed(self.states.delta(&merged)?, gone_states);
        let delta_results = changed(self.results.delta(&finished)?, gone_results);
        feeds.set(self.output.id, vec![self.emitted(&delta_results)?]);
        Ok(vec![delta_states, delta_results])
    }

    fn peopled(&self, states: &RecordBatch) -> Result<RecordBatch, Error> {
        let counts = states.column(self.groups).as_primitive::<Int64Type>();
        let kept = counts.iter().map(|count| Some(count != Some(0))).collect();
        Ok(filter_record_batch(states, &kept)?)
    }

    fn emitted(&self, delta: &Delta) -> Result<RecordBatch, Error> {
        match self.is_append {
            true => self.results.batch(delta.iter().map(|(row, _)| row)),
            false => self.results.weighted_batch(delta),
        }
    }
}

/// What comes, less what was there.
fn changed(mut new: Delta, old: Vec<&[u8]>) -> Delta {
    old.into_iter().for_each(|row| new.add(row, -1));
    new
}
