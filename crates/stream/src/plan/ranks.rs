//! Ranks of which only the first are wanted: `row_number() OVER (…) … WHERE place <= 3`.
//!
//! The condition stands above the node that counts. Counted within it, an epoch tells what changed among the first rows only,
//! and not that each row behind a new one has moved by one.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator, Window};
use datafusion::prelude::lit;

use super::updating::function_name;
use crate::Error;

/// Functions whose value for a row never gets smaller when rows come.
const RANKS: [&str; 3] = ["row_number", "rank", "dense_rank"];

/// The first rows of each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    /// Which function of the node counts them.
    pub(super) function: usize,
    pub(super) most: i64,
}

/// What a condition asks of the ranks below it, if between them columns are only named and computed.
pub(super) fn first_of(below: &LogicalPlan, predicate: &Expr) -> Option<First> {
    split_conjunction(predicate).into_iter().find_map(|part| first_by(below, part))
}

fn first_by(below: &LogicalPlan, condition: &Expr) -> Option<First> {
    match below {
        LogicalPlan::Window(window) => of_window(window, condition),
        LogicalPlan::SubqueryAlias(alias) => {
            let inner = alias.input.schema();
            let inside = |at: usize| Some(Expr::Column(Column::from(inner.qualified_field(at))));
            first_by(&alias.input, &replaced(below, condition, inside)?)
        }
        LogicalPlan::Projection(projection) => {
            let inside = |at: usize| projection.expr.get(at).cloned().map(Expr::unalias);
            first_by(&projection.input, &replaced(below, condition, inside)?)
        }
        _ => None,
    }
}

/// An expression over the columns of a plan as one over those of its input.
fn replaced(plan: &LogicalPlan, expr: &Expr, inside: impl Fn(usize) -> Option<Expr>) -> Option<Expr> {
    let replaced = expr.clone().transform(|part| {
        let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
        let at = plan.schema().index_of_column(column)?;
        Ok(inside(at).map_or_else(|| Transformed::no(part), Transformed::yes))
    });
    replaced.ok().map(|replaced| replaced.data)
}

fn of_window(window: &Window, condition: &Expr) -> Option<First> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    // A count has no sign and a literal has one: both are cast to be compared.
    let (counted, op, bound) = match (without_casts(left), without_casts(right)) {
        (counted, Expr::Literal(bound, _)) => (counted, *op, bound),
        (Expr::Literal(bound, _), counted) => (counted, op.swap()?, bound),
        _ => return None,
    };
    let bound = whole(bound)?;
    let most = match op {
        Operator::LtEq => bound,
        Operator::Lt => bound.checked_sub(1)?,
        Operator::Eq if bound == 1 => 1,
        _ => return None,
    };
    let Expr::Column(column) = counted else { return None };
    let at = window.schema.index_of_column(column).ok()?;
    let function = at.checked_sub(window.input.schema().fields().len())?;
    let name = window.window_expr.get(function).and_then(function_name)?;
    RANKS.contains(&name).then_some(First { function, most })
}

fn without_casts(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => without_casts(&cast.expr),
        expr => expr,
    }
}

fn whole(bound: &ScalarValue) -> Option<i64> {
    match bound {
        ScalarValue::Int64(Some(bound)) => Some(*bound),
        ScalarValue::Int32(Some(bound)) => Some(i64::from(*bound)),
        ScalarValue::UInt64(Some(bound)) => i64::try_from(*bound).ok(),
        _ => None,
    }
}

impl First {
    /// The node with these rows only.
    pub(super) fn of(self, window: Window) -> Result<LogicalPlan, Error> {
        let at = window.input.schema().fields().len() + self.function;
        let rank = Expr::Column(Column::from(window.schema.qualified_field(at)));
        let first = rank.lt_eq(lit(u64::try_from(self.most).unwrap_or(0)));
        Ok(LogicalPlan::Filter(Filter::try_new(first, Arc::new(LogicalPlan::Window(window)))?))
    }

    /// True if a row that is behind these is behind them for ever where rows only come.
    pub(super) fn stays(window: &Window) -> bool {
        window.window_expr.len() == 1
    }
}
