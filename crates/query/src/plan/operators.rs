//! Operators that the engine parses and does not plan.

use datafusion::common::{DFSchema, Result};
use datafusion::functions::math::expr_fn::trunc;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use sqlparser::ast::BinaryOperator;

/// `a // b`: the quotient without its fraction, towards zero.
#[derive(Debug)]
pub(crate) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::DuckIntegerDivide {
            return Ok(PlannerResult::Original(expr));
        }
        let integers = expr.left.get_type(schema)?.is_integer() && expr.right.get_type(schema)?.is_integer();
        let quotient = Expr::BinaryExpr(datafusion::logical_expr::BinaryExpr::new(
            Box::new(expr.left),
            datafusion::logical_expr::Operator::Divide,
            Box::new(expr.right),
        ));
        // the engine's division of integers has no fraction already
        Ok(PlannerResult::Planned(if integers { quotient } else { trunc(vec![quotient]) }))
    }
}
