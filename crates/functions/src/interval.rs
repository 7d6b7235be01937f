//! `to_hours(n)` and its like: intervals of a computed count. `interval * n`.

use std::sync::Arc;

use arrow::array::{Array, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
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
        interval_times(),
    ]
}

/// `interval_mul(interval, n)`, which the operator `*` calls. A whole `n` multiplies months, days and time each; of another
/// one, fractions of months become days (30 each) and fractions of days time, as in Postgres.
pub fn interval_times() -> Arc<ScalarUDF> {
    let coerce = |given: &[DataType]| match given {
        [DataType::Interval(_) | DataType::Null, count] if count.is_integer() => {
            Some(vec![INTERVAL, DataType::Int64])
        }
        [DataType::Interval(_) | DataType::Null, count] if count.is_numeric() || count.is_null() => {
            Some(vec![INTERVAL, DataType::Float64])
        }
        _ => None,
    };
    Scalar::new("interval_mul", coerce, |_| INTERVAL, times).udf()
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

fn times(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    by_rows(args, |arrays| {
        let intervals = arrays[0].as_primitive::<IntervalMonthDayNanoType>();
        let each = |row: usize| {
            if arrays[0].is_null(row) || arrays[1].is_null(row) {
                return Ok(None);
            }
            let (interval, count) = (intervals.value(row), &arrays[1]);
            let product = match count.as_primitive_opt::<Int64Type>() {
                Some(counts) => whole_times(interval, counts.value(row)),
                None => part_times(interval, count.as_primitive::<Float64Type>().value(row)),
            };
            let out_of_range =
                || Error::Range { what: "multiple of interval", value: format!("{interval:?}") };
            product.map(Some).ok_or_else(out_of_range)
        };
        let products = (0..intervals.len()).map(each);
        Ok(Arc::new(products.collect::<Result<IntervalMonthDayNanoArray, Error>>()?))
    })
}

fn whole_times(interval: IntervalMonthDayNano, count: i64) -> Option<IntervalMonthDayNano> {
    let times = |part: i32| i32::try_from(i64::from(part).checked_mul(count)?).ok();
    Some(IntervalMonthDayNano::new(
        times(interval.months)?,
        times(interval.days)?,
        interval.nanoseconds.checked_mul(count)?,
    ))
}

fn part_times(interval: IntervalMonthDayNano, count: f64) -> Option<IntervalMonthDayNano> {
    let months = f64::from(interval.months) * count;
    let days = f64::from(interval.days) * count + months.fract() * DAYS_PER_MONTH;
    let nanos = interval.nanoseconds as f64 * count + days.fract() * NANOS_PER_DAY;
    // to microseconds, as Postgres has them: what is below is the noise of the fractions
    let nanos = (nanos / 1_000.0).round() * 1_000.0;
    let within = |value: f64, max: f64| value.is_finite() && value.abs() < max;
    let fits = within(months, f64::from(i32::MAX))
        && within(days, f64::from(i32::MAX))
        && within(nanos, i64::MAX as f64);
    fits.then(|| IntervalMonthDayNano::new(months.trunc() as i32, days.trunc() as i32, nanos as i64))
}

const DAYS_PER_MONTH: f64 = 30.0;
const NANOS_PER_DAY: f64 = 86_400e9;

fn function(name: &'static str, of: fn(i64) -> Option<IntervalMonthDayNano>) -> Arc<ScalarUDF> {
    Scalar::new(name, coerce, |_| INTERVAL, move |args| intervals(args, of)).udf()
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

    #[tokio::test]
    async fn intervals_are_multiplied_part_by_part() {
        let day = "TIMESTAMP '2024-01-01'";
        assert_eq!(
            value(&format!("{day} + interval_mul(INTERVAL '1 hour', 36)")).await,
            "2024-01-02T12:00:00"
        );
        assert_eq!(
            value(&format!("{day} + interval_mul(INTERVAL '1 month', 0.5)")).await,
            "2024-01-16T00:00:00"
        );
        assert_eq!(
            value(&format!("{day} + interval_mul(INTERVAL '1 day', -1.5)")).await,
            "2023-12-30T12:00:00"
        );
        assert_eq!(value("interval_mul(INTERVAL '1 day', NULL)").await, "");
        assert!(error("interval_mul(INTERVAL '1 month', 3000000000)").await.contains("out of range"));
    }
}
