//! Operators that the engine parses and does not plan, or not for all types.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::functions::math::expr_fn::trunc;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use sqlparser::ast::BinaryOperator;

/// `a // b`: the quotient without its fraction, towards zero. `interval * n`, `n * interval`. A UUID compared with a text that
/// spells one.
#[derive(Debug)]
pub(crate) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op == BinaryOperator::Multiply {
            return Ok(plan_times(expr, schema));
        }
        if is_comparison(&expr.op) {
            return Ok(PlannerResult::Original(with_uuids(expr, schema)));
        }
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

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator as B;
    matches!(op, B::Eq | B::NotEq | B::Lt | B::LtEq | B::Gt | B::GtEq)
}

fn with_uuids(expr: RawBinaryExpr, schema: &DFSchema) -> RawBinaryExpr {
    let is_uuid = |side: &Expr| matches!(side.get_type(schema), Ok(DataType::FixedSizeBinary(16)));
    let spells = |side: &Expr| match side {
        Expr::Literal(value, _) => matches!(value.data_type(), DataType::Utf8 | DataType::Utf8View),
        Expr::Placeholder(parameter) => parameter.field.is_none(),
        _ => false,
    };
    let RawBinaryExpr { op, left, right } = expr;
    let to_uuid = |side: Expr| cenote_functions::to_uuid().call(vec![side]);
    match () {
        () if spells(&right) && is_uuid(&left) => RawBinaryExpr { op, right: to_uuid(right), left },
        () if spells(&left) && is_uuid(&right) => RawBinaryExpr { op, left: to_uuid(left), right },
        () => RawBinaryExpr { op, left, right },
    }
}

fn plan_times(expr: RawBinaryExpr, schema: &DFSchema) -> PlannerResult<RawBinaryExpr> {
    // a type that is not known yet is left to the engine
    let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
        return PlannerResult::Original(expr);
    };
    let (interval, count) = match (&left, &right) {
        (DataType::Interval(_), count) if count.is_numeric() => (expr.left, expr.right),
        (count, DataType::Interval(_)) if count.is_numeric() => (expr.right, expr.left),
        _ => return PlannerResult::Original(expr),
    };
    PlannerResult::Planned(cenote_functions::interval_times().call(vec![interval, count]))
}
