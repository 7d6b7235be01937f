//! Numbers become other numbers as in PostgreSQL: what is written is a decimal, and a cast to an integer rounds.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, TryCast};

/// The rule: halves of decimals and of literals are rounded away from zero, halves of DOUBLE and FLOAT to the even number.
#[derive(Debug)]
pub(super) struct Casts;

impl FunctionRewrite for Casts {
    fn name(&self) -> &'static str {
        "round_casts"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let (given, wanted) = match &expr {
            Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
                (expr.as_ref(), field.data_type())
            }
            _ => return Ok(Transformed::no(expr)),
        };
        let Some(rounded) = rounded(given, wanted, schema) else { return Ok(Transformed::no(expr)) };
        let rounded = Box::new(rounded);
        Ok(Transformed::yes(match expr {
            Expr::Cast(cast) => Expr::Cast(Cast { expr: rounded, ..cast }),
            Expr::TryCast(cast) => Expr::TryCast(TryCast { expr: rounded, ..cast }),
            other => other,
        }))
    }
}

/// What is cast in the place of `given`, if it is another.
fn rounded(given: &Expr, wanted: &DataType, schema: &DFSchema) -> Option<Expr> {
    if matches!(given, Expr::ScalarFunction(call) if call.func.name() == cenote_functions::round_half_even().name())
    {
        return None; // it was done
    }
    let decimal = matches!(wanted, DataType::Decimal128(..) | DataType::Decimal256(..));
    if let Expr::Literal(ScalarValue::Float64(Some(value)), metadata) = given {
        let scalar = match value {
            value if !value.is_finite() => return None,
            value if wanted.is_integer() => ScalarValue::Float64(Some(value.round())),
            // the shortest text that means this number is the one that was written
            value if decimal => ScalarValue::Utf8(Some(value.to_string())),
            _ => return None,
        };
        return Some(Expr::Literal(scalar, metadata.clone()));
    }
    if !wanted.is_integer() {
        return None;
    }
    let whole = match given.get_type(schema).ok()? {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            return Some(cenote_functions::round_half_even().call(vec![given.clone()]));
        }
        DataType::Decimal128(precision, 1..) => DataType::Decimal128(precision, 0),
        DataType::Decimal256(precision, 1..) => DataType::Decimal256(precision, 0),
        _ => return None,
    };
    Some(Expr::Cast(Cast::new(Box::new(given.clone()), whole)))
}
