//! Stock aggregation in its own phases, each a plan over a feed.
//!
//! ```text
//! rows of the epoch ─ partial ─► states ─ merge ─► fewer states ─ finish ─► results
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::check;
use crate::Error;
use crate::epoch::Executor;
use crate::feed::{Feed, FeedId, Feeds};
use crate::streams::Streams;

/// An aggregate, taken apart.
pub(super) struct Phases {
    /// Feeds below it.
    pub(super) reads: BTreeSet<FeedId>,
    /// The functions, and the columns of their states.
    pub(super) fingerprint: String,
    input: Arc<dyn ExecutionPlan>,
    rows: Feed,
    partial: Arc<dyn ExecutionPlan>,
    states: Feed,
    merge: Arc<dyn ExecutionPlan>,
    finish: Arc<dyn ExecutionPlan>,
}

impl Phases {
    /// Of `functions` over the rows of `input`, whose first `groups` columns are what they are grouped by.
    pub(super) async fn plan(
        input: &LogicalPlan,
        groups: usize,
        functions: &[Expr],
        streams: &Streams,
        state: &SessionState,
    ) -> Result<Self, Error> {
        let optimized = state.optimize(input)?;
        let reads = check::feeds([&optimized])?;
        let physical = state.create_physical_plan(&optimized).await?;
        let schema = physical.schema();
        let group = |at: usize| {
            let name = format!("g{at}");
            (Arc::new(Column::new(&name, at)) as Arc<dyn PhysicalExpr>, name)
        };
        let group = PhysicalGroupBy::new_single((0..groups).map(group).collect());
        let (mut lowered, mut filters) = (Vec::new(), Vec::new());
        for function in functions {
            let (logical, context) = (input.schema(), PhysicalPlanningContext::default());
            let props = state.execution_props();
            let function =
                LoweredAggregateBuilder::new(function, logical, &schema, props, &context).build()?;
            lowered.push(function.aggregate);
            filters.push(function.filter);
        }
        let rows = Feed::exact(streams.next_feed(), schema.clone());
        let aggregate = |mode, group, functions, filters, feed: &Feed| {
            AggregateExec::try_new(mode, group, functions, filters, feed.exec(None)?, schema.clone())
                .map(Arc::new)
        };
        let none = vec![None; lowered.len()];
        let partial = aggregate(AggregateMode::Partial, group.clone(), lowered, filters, &rows)?;
        // The first of them may turn a function around that has an order: states are of what it made of them.
        let functions_of_states = partial.aggr_expr().to_vec();
        let states = Feed::exact(streams.next_feed(), partial.schema());
        let of_states =
            |mode| aggregate(mode, group.as_final(), functions_of_states.clone(), none.clone(), &states);
        let merge = of_states(AggregateMode::PartialReduce)?;
        let finish = of_states(AggregateMode::Final)?;
        let columns: Vec<String> = functions.iter().map(ToString::to_string).collect();
        let fingerprint = format!("[{}] {:?}", columns.join(", "), types(&partial.schema()));
        Ok(Self { reads, fingerprint, input: physical, rows, partial, states, merge, finish })
    }

    /// The plan of its rows.
    pub(super) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// Columns of states.
    pub(super) fn states(&self) -> &SchemaRef {
        self.states.batches()
    }

    /// The rows of the epoch.
    pub(super) async fn rows(
        &self,
        executor: &Executor<'_>,
        feeds: &Feeds,
    ) -> Result<Vec<RecordBatch>, Error> {
        executor.run(&self.input, feeds).await
    }

    /// Rows to states. Without groups there is a state of no rows.
    pub(super) async fn partial(
        &self,
        executor: &Executor<'_>,
        rows: Vec<RecordBatch>,
    ) -> Result<Vec<RecordBatch>, Error> {
        executor.over(&self.partial, &self.rows, rows).await
    }

    /// States to one per group.
    pub(super) async fn merge(
        &self,
        executor: &Executor<'_>,
        states: Vec<RecordBatch>,
    ) -> Result<Vec<RecordBatch>, Error> {
        over_some(executor, &self.merge, &self.states, states).await
    }

    /// States to results.
    pub(super) async fn finish(
        &self,
        executor: &Executor<'_>,
        states: Vec<RecordBatch>,
    ) -> Result<Vec<RecordBatch>, Error> {
        over_some(executor, &self.finish, &self.states, states).await
    }
}

/// Of no states nothing follows.
async fn over_some(
    executor: &Executor<'_>,
    plan: &Arc<dyn ExecutionPlan>,
    feed: &Feed,
    states: Vec<RecordBatch>,
) -> Result<Vec<RecordBatch>, Error> {
    match states.is_empty() {
        true => Ok(states),
        false => executor.over(plan, feed, states).await,
    }
}

/// Columns as a fingerprint names them.
pub(super) fn types(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect()
}
