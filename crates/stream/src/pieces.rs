//! Rows of an epoch in pieces, which a plan takes side by side where a row says nothing of others.
//!
//! ```text
//! rows ─┬─ piece ─ filter, project, add up ─┐
//!       ├─ piece ─ filter, project, add up ─┼─ one behind the other ─► what holds state
//!       └─ piece ─ filter, project, add up ─┘
//! ```
//! What operators hold knows nothing of pieces: how many there are may change with every epoch.

use std::sync::{Arc, OnceLock};

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::unnest::UnnestExec;

/// How rows are dealt out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    /// Pieces, at most.
    pub(crate) most: usize,
    /// Rows of a piece, at least.
    pub(crate) rows: usize,
    /// Fewer rows stay together.
    pub(crate) from: usize,
}

impl Pieces {
    /// How many pieces so many rows become.
    pub(crate) fn of(self, rows: usize) -> usize {
        match rows < self.from {
            true => 1,
            false => (rows / self.rows.max(1)).clamp(1, self.most.max(1)),
        }
    }
}

/// Cores of the machine that the process may use.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// The only leaf of a plan whose rows follow from those of it one by one, or add up as many of them as there are.
pub(crate) fn only_leaf(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    let adds_up = |plan: &Arc<dyn ExecutionPlan>| {
        let aggregate = plan.downcast_ref::<AggregateExec>();
        aggregate.is_some_and(|aggregate| *aggregate.mode() == AggregateMode::Partial)
    };
    if plan.fetch().is_some() {
        return None;
    }
    match plan.children().as_slice() {
        [] => Some(plan).filter(|plan| plan.is::<StreamingTableExec>()),
        [input] => {
            let is_such = plan.is::<ProjectionExec>()
                || plan.is::<FilterExec>()
                || plan.is::<UnnestExec>()
                || plan.is::<CooperativeExec>()
                || adds_up(plan);
            if is_such { only_leaf(input) } else { None }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;
    use crate::feed::Feed;

    #[test]
    fn few_rows_stay_together() {
        let pieces = Pieces { most: 4, rows: 10, from: 25 };
        assert_eq!([0, 24, 25, 39, 400].map(|rows| pieces.of(rows)), [1, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn rows_are_dealt_out_where_one_says_nothing_of_others() {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        let columns = Schema::new(vec![Field::new("v", DataType::Int64, true)]);
        context.register_table("t", Arc::new(Feed::exact(1, Arc::new(columns)))).expect("registers");
        for (sql, expected) in [
            ("SELECT v FROM t", true),
            ("SELECT v + 1 AS w FROM t WHERE v > 1", true),
            ("SELECT unnest(make_array(v, 1)) AS w FROM t", true),
            ("SELECT v FROM t LIMIT 3", false),
            ("SELECT v FROM t ORDER BY v", false),
            ("SELECT v, count(*) FROM t GROUP BY v", false),
            ("SELECT row_number() OVER () FROM t", false),
            ("SELECT a.v FROM t a JOIN t b ON a.v = b.v", false),
            ("SELECT v FROM t UNION ALL SELECT v FROM t", false),
        ] {
            let plan = context.sql(sql).await.expect(sql).create_physical_plan().await.expect(sql);
            assert_eq!(only_leaf(&plan).is_some(), expected, "{sql}");
        }
    }
}
