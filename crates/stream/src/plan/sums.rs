//! Sums of rows that may be taken back: a row that goes counts as often less, so results follow from sums alone.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast, when};
use datafusion::prelude::{col, lit};

use crate::Error;

/// Sums from which the results of functions follow.
pub(super) struct Sums {
    /// The column of weights of the rows.
    pub(super) weight: Expr,
    /// What is added up.
    pub(super) columns: Vec<Expr>,
    pub(super) functions: Vec<Expr>,
}

impl Sums {
    /// The sum of an expression; answers the column that it will be.
    pub(super) fn add(&mut self, expr: Expr) -> Expr {
        let at = self.functions.len();
        self.columns.push(expr.alias(format!("a{at}")));
        self.functions.push(sum(col(format!("a{at}"))).alias(format!("f{at}")));
        col(format!("f{at}"))
    }

    /// What a function's result follows from, if it follows from sums that are exact.
    pub(super) fn value(
        &mut self,
        call: &AggregateFunction,
        input: &LogicalPlan,
    ) -> Result<Option<Expr>, Error> {
        if call.params.distinct || !call.params.order_by.is_empty() || call.params.args.len() != 1 {
            return Ok(None);
        }
        let [argument] = call.params.args.as_slice() else { return Ok(None) };
        // Of a row that the filter leaves out the argument may fail.
        let counted = |expr: &Expr| match &call.params.filter {
            Some(filter) => when(filter.as_ref().clone().is_true(), expr.clone()).end(),
            None => Ok(expr.clone()),
        };
        let mut counts = counted(argument)?.is_not_null();
        if let Some(filter) = &call.params.filter {
            counts = filter.as_ref().clone().is_true().and(counts);
        }
        let number = match call.func.name() {
            "count" => None,
            "sum" if is_whole_number(&argument.get_type(input.schema())?) => Some(counted(argument)?),
            "avg" => match argument {
                Expr::Cast(inner) if is_whole_number(&inner.expr.get_type(input.schema())?) => {
                    Some(counted(&inner.expr)?)
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let count = when(counts.clone(), self.weight.clone()).otherwise(lit(0_i64))?;
        let count = self.add(count);
        let none = lit(ScalarValue::Int64(Some(0)));
        let Some(number) = number else {
            return Ok(Some(when(count.clone().is_null(), none.clone()).otherwise(count)?));
        };
        let wide = |expr: Expr| cast(expr, DataType::Decimal128(38, 0));
        let scaled = wide(wide(number) * wide(self.weight.clone()));
        let zero = wide(lit(0_i64));
        let total = self.add(when(counts, scaled).otherwise(zero)?);
        let value = match call.func.name() {
            "avg" => cast(total, DataType::Float64) / cast(count.clone(), DataType::Float64),
            _ => total,
        };
        Ok(Some(when(count.gt(none), value).end()?))
    }
}

fn is_whole_number(data_type: &DataType) -> bool {
    data_type.is_integer()
}
