//! `LIMIT $1`, `OFFSET $1`: what counts rows is a BIGINT.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, Limit, LogicalPlan};

/// Gives parameters of LIMIT and OFFSET their type.
pub(super) fn type_limits(plan: LogicalPlan) -> Result<LogicalPlan> {
    let typed = plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::Limit(Limit { skip, fetch, input }) = plan else { return Ok(Transformed::no(plan)) };
        let (skip, fetch) = (counts(skip)?, counts(fetch)?);
        Ok(Transformed::yes(LogicalPlan::Limit(Limit { skip, fetch, input })))
    });
    Ok(typed?.data)
}

fn counts(count: Option<Box<Expr>>) -> Result<Option<Box<Expr>>> {
    let Some(count) = count else { return Ok(None) };
    let typed = count.transform_up(|expr| {
        Ok(match expr {
            Expr::Placeholder(mut placeholder) if placeholder.field.is_none() => {
                placeholder.field = Some(Arc::new(Field::new("", DataType::Int64, true)));
                Transformed::yes(Expr::Placeholder(placeholder))
            }
            other => Transformed::no(other),
        })
    });
    Ok(Some(Box::new(typed?.data)))
}
