//! Statistics over a group: `mode`, `quantile_disc`, `count_if`, and other names of DataFusion's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{partition, sort};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate as builtin;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;

use crate::Error;
use crate::gathered::{Evaluate, Gathered};

/// All of them.
pub(crate) fn functions() -> Vec<Arc<AggregateUDF>> {
    let renamed =
        |function: Arc<AggregateUDF>, name| Arc::new(AggregateUDF::clone(&function).with_aliases([name]));
    vec![
        Gathered::new(
            "mode",
            1,
            |given| (given.len() == 1).then(|| given.to_vec()),
            |types| types[0].clone(),
            |_| Ok(Box::new(|rows| mode(&rows[0]))),
        )
        .within_group()
        .udaf(),
        Gathered::new("quantile_disc", 1, coerce_quantile, |types| types[0].clone(), quantile_disc)
            .alias(&["percentile_disc"])
            .within_group()
            .udaf(),
        Arc::new(AggregateUDF::new_from_impl(CountIf {
            signature: Signature::exact(vec![DataType::Boolean], Volatility::Immutable),
        })),
        renamed(builtin::approx_percentile_cont::approx_percentile_cont_udaf(), "approx_quantile"),
        renamed(builtin::approx_distinct::approx_distinct_udaf(), "approx_count_distinct"),
        renamed(builtin::bool_and_or::bool_and_udaf(), "every"),
    ]
}

/// The most frequent value; of several, the smallest.
fn mode(values: &ArrayRef) -> Result<ScalarValue> {
    let sorted = sort(values, None)?;
    let mut runs = partition(std::slice::from_ref(&sorted))?.ranges().into_iter();
    let first = runs.next().unwrap_or(0..0);
    let longest = runs.fold(first, |best, run| if run.len() > best.len() { run } else { best });
    ScalarValue::try_from_array(&sorted, longest.start)
}

fn coerce_quantile(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [of, share] if share.is_numeric() => Some(vec![of.clone(), DataType::Float64]),
        _ => None,
    }
}

/// The first value whose place among the sorted rows is at or after the share `p`.
fn quantile_disc(args: &AccumulatorArgs) -> Result<Evaluate> {
    let Some(share) = args.exprs[1].downcast_ref::<Literal>().map(Literal::value) else {
        return Err(Error::NotConstant { function: "quantile_disc", argument: 2 }.into());
    };
    let ScalarValue::Float64(Some(share @ 0.0..=1.0)) = *share else {
        return plan_err!("quantile {share} is not between 0 and 1");
    };
    let descending = args.order_bys.first().is_some_and(|order| order.options.descending);
    Ok(Box::new(move |rows| {
        let sorted = sort(&rows[0], Some(arrow::compute::SortOptions { descending, nulls_first: false }))?;
        let at = (share * sorted.len() as f64).ceil() as usize;
        ScalarValue::try_from_array(&sorted, at.saturating_sub(1))
    }))
}

/// How many rows fulfil a condition.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CountIf {
    signature: Signature,
}

impl AggregateUDFImpl for CountIf {
    fn name(&self) -> &str {
        "count_if"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn default_value(&self, _: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(0)))
    }

    /// `count(*) FILTER (WHERE condition)`, which is fast.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|mut call: AggregateFunction, _| {
            let params = &mut call.params;
            if params.distinct {
                return Ok(Expr::AggregateFunction(call));
            }
            let condition = params.args.remove(0);
            let filter = match params.filter.take() {
                Some(filter) => filter.and(condition),
                None => condition,
            };
            let one = vec![Expr::Literal(datafusion::logical_expr::utils::COUNT_STAR_EXPANSION, None)];
            let count = builtin::count::count_udaf();
            Ok(Expr::AggregateFunction(AggregateFunction::new_udf(
                count,
                one,
                false,
                Some(Box::new(filter)),
                vec![],
                None,
            )))
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        builtin::count::count_udaf().state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return plan_err!("count_if takes no DISTINCT");
        }
        Ok(Box::new(Trues(0)))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.accumulator(args)
    }
}

/// Counts within a window.
#[derive(Debug)]
struct Trues(i64);

impl Trues {
    fn count(values: &[ArrayRef]) -> i64 {
        values[0].as_boolean().true_count() as i64
    }
}

impl Accumulator for Trues {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0 += Self::count(values);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0 -= Self::count(values);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.0)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(Some(self.0))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0 += states[0].as_primitive::<arrow::datatypes::Int64Type>().iter().flatten().sum::<i64>();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, rows};

    const ROWS: &str = "(VALUES (1, 'a', 5), (1, 'b', 5), (1, 'b', NULL), (2, 'c', 7), (2, NULL, 9), (3, NULL, NULL)) AS t(k, s, n)";

    async fn by_key(aggregate: &str) -> Vec<String> {
        rows(&format!("SELECT {aggregate} FROM {ROWS} GROUP BY k ORDER BY k")).await
    }

    #[tokio::test]
    async fn modes_counts_and_quantiles_of_groups() {
        assert_eq!(by_key("mode(s)").await, ["b", "c", ""]);
        assert_eq!(by_key("mode() WITHIN GROUP (ORDER BY n)").await, ["5", "7", ""]);
        assert_eq!(by_key("count_if(n > 5)").await, ["0", "2", "0"]);
        assert_eq!(by_key("count_if(n > 5) FILTER (WHERE s IS NULL)").await, ["0", "1", "0"]);
        assert_eq!(by_key("quantile_disc(n, 0.5)").await, ["5", "7", ""]);
        assert_eq!(by_key("percentile_disc(0.5) WITHIN GROUP (ORDER BY n DESC)").await, ["5", "9", ""]);
        assert_eq!(by_key("quantile_cont(n, 0.5)").await, ["5.0", "8.0", ""]);
        assert_eq!(by_key("approx_count_distinct(s)").await, ["2", "1", "0"]);
        assert_eq!(by_key("approx_quantile(n, 1.0)").await, ["5.0", "9.0", ""]);
    }

    #[tokio::test]
    async fn counts_in_windows_slide() {
        let sql =
            "SELECT count_if(n > 1) OVER (ORDER BY n ROWS 1 PRECEDING) FROM (VALUES (1), (2), (3)) AS t(n)";
        assert_eq!(rows(sql).await, ["0", "1", "2"]);
    }

    #[tokio::test]
    async fn a_share_lies_between_0_and_1() {
        assert!(
            error("quantile_disc(n, 2.0) FROM (VALUES (1)) AS t(n)").await.contains("not between 0 and 1")
        );
    }
}
