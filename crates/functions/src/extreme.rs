//! `first`, `last`, `arg_min`, `arg_max`: the value of one column where another is smallest or largest.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{SortOptions, sort_to_indices};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, TypeSignature, Volatility,
};

/// All four, with their aliases.
pub(crate) fn functions() -> Vec<Arc<AggregateUDF>> {
    let one_or_two = || TypeSignature::OneOf(vec![TypeSignature::Any(1), TypeSignature::Any(2)]);
    vec![
        extreme("first", &[], End::Smallest, one_or_two()),
        extreme("last", &[], End::Largest, one_or_two()),
        extreme("arg_min", &["min_by"], End::Smallest, TypeSignature::Any(2)),
        extreme("arg_max", &["max_by"], End::Largest, TypeSignature::Any(2)),
    ]
}

fn extreme(name: &'static str, aliases: &[&str], end: End, signature: TypeSignature) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Extreme {
        name,
        aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
        end,
        signature: Signature::new(signature, Volatility::Immutable),
    }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Smallest,
    Largest,
}

impl End {
    /// The aggregate that takes the first row of this end's order, or by arrival.
    fn by_arrival(self) -> Arc<AggregateUDF> {
        match self {
            Self::Smallest => first_value_udaf(),
            Self::Largest => last_value_udaf(),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    name: &'static str,
    aliases: Vec<String>,
    end: End,
    signature: Signature,
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        Ok(Arc::new(fields[0].as_ref().clone().with_name(self.name).with_nullable(true)))
    }

    /// `first_value(x ORDER BY t) FILTER (WHERE t IS NOT NULL)`, which compares without sorting.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let (name, end) = (self.name, self.end);
        Some(Box::new(move |mut call: AggregateFunction, _| {
            if call.params.args.len() < 2 {
                call.func = end.by_arrival();
                return Ok(Expr::AggregateFunction(call));
            }
            if !call.params.order_by.is_empty() {
                return plan_err!("{name} with two arguments takes no ORDER BY");
            }
            let Some(by) = call.params.args.pop() else { return Ok(Expr::AggregateFunction(call)) };
            let known = by.clone().is_not_null();
            call.params.filter = Some(Box::new(match call.params.filter.take() {
                Some(filter) => filter.and(known),
                None => known,
            }));
            call.params.order_by = vec![Sort { expr: by, asc: end == End::Smallest, nulls_first: false }];
            call.params.distinct = false; // repeated rows do not move an end
            call.func = first_value_udaf();
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let [value, by] = args.input_fields else {
            return self.end.by_arrival().state_fields(args);
        };
        let field = |name, of: &FieldRef| {
            Arc::new(Field::new(format_state_name(args.name, name), of.data_type().clone(), true))
        };
        Ok(vec![field("value", value), field("by", by)])
    }

    /// Only windows come here: elsewhere the call is simplified away.
    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let [value, by] = args.expr_fields else {
            return self.end.by_arrival().accumulator(args);
        };
        Ok(Box::new(Best {
            end: self.end,
            value: ScalarValue::try_from(value.data_type())?,
            by: ScalarValue::try_from(by.data_type())?,
        }))
    }
}

#[derive(Debug)]
struct Best {
    end: End,
    value: ScalarValue,
    by: ScalarValue,
}

impl Accumulator for Best {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let order = SortOptions { descending: self.end == End::Largest, nulls_first: false };
        let Some(&row) = sort_to_indices(&values[1], Some(order), Some(1))?.values().first() else {
            return Ok(());
        };
        let row = row as usize;
        let by = ScalarValue::try_from_array(&values[1], row)?;
        let further = match self.end {
            End::Smallest => by < self.by,
            End::Largest => by > self.by,
        };
        if !by.is_null() && (self.by.is_null() || further) {
            // Compacted: a value must not keep its batch in memory.
            self.value = ScalarValue::try_from_array(&values[0], row)?.compacted();
            self.by = by.compacted();
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() + self.by.size() - 2 * size_of::<ScalarValue>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.by.clone()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::rows;

    const ROWS: &str =
        "(VALUES (1, 'a', 3), (1, 'b', 1), (1, NULL, 9), (1, 'z', NULL), (2, 'c', NULL)) AS t(k, x, t)";

    #[tokio::test]
    async fn values_at_the_ends_of_time() {
        for (aggregate, expected) in [
            ("first(x, t)", ["b", ""]),
            ("last(x, t)", ["", ""]), // the row at t = 9 has no x
            ("last(x, t) FILTER (WHERE x IS NOT NULL)", ["a", ""]),
            ("arg_min(x, t)", ["b", ""]),
            ("min_by(x, t)", ["b", ""]),
            ("max_by(k, t)", ["1", ""]),
            ("first(x ORDER BY x DESC NULLS LAST)", ["z", "c"]),
            ("last(x ORDER BY x NULLS FIRST)", ["z", "c"]),
        ] {
            assert_eq!(
                rows(&format!("SELECT {aggregate} FROM {ROWS} GROUP BY k ORDER BY k")).await,
                expected,
                "{aggregate}"
            );
        }
    }

    #[tokio::test]
    async fn windows_grow() {
        let sql = format!(
            "SELECT first(x, t) OVER (ORDER BY t DESC NULLS LAST) FROM {ROWS} WHERE k = 1 ORDER BY t DESC NULLS LAST"
        );
        assert_eq!(rows(&sql).await, ["", "a", "b", "b"]);
    }
}
