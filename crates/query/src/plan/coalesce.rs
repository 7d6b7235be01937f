//! `coalesce` inside of `coalesce` is one. The engine writes each value of it twice (`CASE WHEN a IS NOT NULL THEN a …`), so
//! that what nests would double with each level.

use cenote_vocab::ErrorKind;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::functions::core;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;

use super::fault;
use crate::Error;

/// Most parts of an expression after each value of `coalesce` is written twice.
const PARTS_MAX: usize = 100_000;

/// The rule.
#[derive(Debug)]
pub(super) struct Coalesce;

impl FunctionRewrite for Coalesce {
    fn name(&self) -> &'static str {
        "flatten_coalesce"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let Some(values) = values(&expr) else { return Ok(Transformed::no(expr)) };
        if parts(&expr)? > PARTS_MAX {
            let error = Error::new(ErrorKind::Invalid, "coalesce is nested too deep").with_sqlstate("54001");
            return Err(fault::outward(error));
        }
        if !values.iter().any(|value| self::values(value).is_some()) {
            return Ok(Transformed::no(expr));
        }
        let args = values.iter().flat_map(|value| match self::values(value) {
            Some(inner) => inner.to_vec(),
            None => vec![value.clone()],
        });
        let args = args.collect();
        Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(core::coalesce(), args))))
    }
}

/// The arguments of `coalesce`, `nvl`, `ifnull`.
fn values(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::ScalarFunction(call) if matches!(call.name(), "coalesce" | "nvl") => Some(&call.args),
        _ => None,
    }
}

/// Parts of the expression that the engine makes of this one.
fn parts(expr: &Expr) -> Result<usize> {
    let mut sum = 1_usize;
    let last = values(expr).and_then(<[Expr]>::last);
    expr.apply_children(|child| {
        let times =
            if values(expr).is_some() && last.is_some_and(|last| !std::ptr::eq(last, child)) { 2 } else { 1 };
        sum = sum.saturating_add(parts(child)?.saturating_mul(times));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::functions::math::expr_fn::abs;
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn rewritten(expr: Expr) -> Result<String> {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
        let schema = DFSchema::try_from(schema)?;
        let options = ConfigOptions::new();
        Ok(expr.transform_up(|expr| Coalesce.rewrite(expr, &schema, &options))?.data.to_string())
    }

    #[test]
    fn nested_calls_become_one_and_what_would_explode_is_refused() {
        let call = |args| core::coalesce().call(args);
        let expr = call(vec![call(vec![col("a"), lit(1_i64)]), core::nvl().call(vec![col("a"), lit(2_i64)])]);
        assert_eq!(rewritten(expr).unwrap(), "coalesce(a, Int64(1), a, Int64(2))");
        let nested = |levels| (0..levels).fold(col("a"), |expr, _| call(vec![abs(expr), lit(1_i64)]));
        assert!(rewritten(nested(10)).is_ok());
        assert!(rewritten(nested(40)).unwrap_err().to_string().contains("nested too deep"));
    }
}
