//! `to_hours(n)` and its like: intervals of a computed count.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::Error;
use crate::scalar::{Scalar, by_rows};

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("to_years", |count| months(count, 12)),
        function("to_months", |count| months(count, 1)),
        function("to_weeks", |count| days(count, 7)),
        function("to_days", |count| days(count, 1)),
        function("to_hours", |count| nanos(count, 3_600_000_000_000)),
        function("to_minutes", |count| nanos(count, 60_000_000_000)),
        function("to_seconds", |count| nanos(count, 1_000_000_000)),
        function("to_milliseconds", |count| nanos(count, 1_000_000)),
        function("to_microseconds", |count| nanos(count, 1_000)),
    ]
}

fn function(name: &'static str, of: fn(i64) -> Option<IntervalMonthDayNano>) -> Arc<ScalarUDF> {
    Scalar::new(
        name,
        coerce,
        |_| DataType::Interval(IntervalUnit::MonthDayNano),
        move |args| intervals(args, of),
    )
    .udf()
}

fn coerce(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [count] if count.is_integer() || count.is_null() => Some(vec![DataType::Int64]),
        _ => None,
    }
}

fn months(count: i64, each: i64) -> Option<IntervalMonthDayNano> {
    Some(IntervalMonthDayNano::new(i32::try_from(count.checked_mul(each)?).ok()?, 0, 0))
}

fn days(count: i64, each: i64) -> Option<IntervalMonthDayNano> {
    Some(IntervalMonthDayNano::new(0, i32::try_from(count.checked_mul(each)?).ok()?, 0))
}

fn nanos(count: i64, each: i64) -> Option<IntervalMonthDayNano> {
    Some(IntervalMonthDayNano::new(0, 0, count.checked_mul(each)?))
}

fn intervals(
    args: &ScalarFunctionArgs,
    of: fn(i64) -> Option<IntervalMonthDayNano>,
) -> Result<ColumnarValue> {
    by_rows(args, |arrays| {
        let counts = arrays[0].as_primitive::<Int64Type>();
        let intervals = counts.try_unary::<_, IntervalMonthDayNanoType, Error>(|count| {
            of(count).ok_or_else(|| Error::Range { what: "interval of", value: count.to_string() })
        })?;
        Ok(Arc::new(intervals))
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, value};

    #[tokio::test]
    async fn intervals_of_counts_move_timestamps() {
        assert_eq!(value("TIMESTAMP '2024-01-31' + to_months(1)").await, "2024-02-29T00:00:00");
        assert_eq!(value("TIMESTAMP '2024-01-31' - to_hours(25)").await, "2024-01-29T23:00:00");
        assert_eq!(value("to_days(NULL)").await, "");
        assert!(error("to_years(1000000000)").await.contains("out of range"));
    }
}
