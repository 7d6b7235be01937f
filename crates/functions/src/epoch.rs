//! `epoch`, `epoch_ms`, `epoch_us`, `epoch_ns`: time since 1970 as a number, and back.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::scalar::{MICROS, Scalar, as_timestamp, by_rows, counts};
use crate::{Error, instant};

/// All four.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Scalar::new("epoch", coerce_epoch, |_| DataType::Float64, epoch).udf(),
        Scalar::new("epoch_ms", coerce_epoch_ms, epoch_ms_type, epoch_ms).udf(),
        Scalar::new("epoch_us", coerce, |_| DataType::Int64, |args| whole(args, TimeUnit::Microsecond)).udf(),
        Scalar::new("epoch_ns", coerce, |_| DataType::Int64, |args| whole(args, TimeUnit::Nanosecond)).udf(),
    ]
}

fn coerce(given: &[DataType]) -> Option<Vec<DataType>> {
    let [at] = given else { return None };
    Some(vec![as_timestamp(at)?])
}

fn coerce_epoch(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [DataType::Interval(_)] => Some(vec![DataType::Interval(IntervalUnit::MonthDayNano)]),
        given => coerce(given),
    }
}

fn coerce_epoch_ms(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [number] if number.is_integer() => Some(vec![DataType::Int64]),
        given => coerce(given),
    }
}

fn epoch_ms_type(types: &[DataType]) -> DataType {
    match types {
        [DataType::Int64] => MICROS,
        _ => DataType::Int64,
    }
}

fn epoch(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    by_rows(args, |arrays| {
        let seconds: Float64Array = match arrays[0].data_type() {
            DataType::Timestamp(unit, _) => {
                let per_second = instant::per_second(*unit) as f64;
                counts(&arrays[0])?.unary(|count| count as f64 / per_second)
            }
            // As in Postgres: a year has 365.25 days, a further month 30.
            _ => arrays[0].as_primitive::<IntervalMonthDayNanoType>().unary(|interval| {
                let (years, months) = (interval.months / 12, interval.months % 12);
                let days = f64::from(years) * 365.25 + f64::from(months) * 30.0 + f64::from(interval.days);
                days * 86_400.0 + interval.nanoseconds as f64 / 1e9
            }),
        };
        Ok(Arc::new(seconds))
    })
}

fn epoch_ms(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    if *args.return_type() == DataType::Int64 {
        return whole(args, TimeUnit::Millisecond);
    }
    by_rows(args, |arrays| scaled(&arrays[0], 1_000, 1).and_then(|micros| Ok(cast(&micros, &MICROS)?)))
}

/// Whole units since 1970, rounded down.
fn whole(args: &ScalarFunctionArgs, to: TimeUnit) -> Result<ColumnarValue> {
    by_rows(args, |arrays| {
        let DataType::Timestamp(from, _) = arrays[0].data_type() else {
            return Ok(cast(&arrays[0], &DataType::Int64)?);
        };
        let (from, to) = (instant::per_second(*from), instant::per_second(to));
        let counts: ArrayRef = Arc::new(counts(&arrays[0])?);
        scaled(&counts, (to / from).max(1), (from / to).max(1))
    })
}

/// `numbers * factor / divisor`, rounded down.
fn scaled(numbers: &ArrayRef, factor: i64, divisor: i64) -> Result<ArrayRef> {
    let scaled = numbers.as_primitive::<Int64Type>().try_unary::<_, Int64Type, Error>(|number| {
        let product = number
            .checked_mul(factor)
            .ok_or_else(|| Error::Range { what: "epoch", value: number.to_string() });
        Ok(product?.div_euclid(divisor))
    })?;
    Ok(Arc::new(scaled))
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, value};

    #[tokio::test]
    async fn epochs_count_from_1970_both_ways() {
        for (sql, expected) in [
            ("epoch(TIMESTAMP '1970-01-01 00:00:01.5')", "1.5"),
            ("epoch(INTERVAL '1 day 2 seconds')", "86402.0"),
            ("epoch(CAST(NULL AS TIMESTAMP))", ""),
            ("epoch_ms(TIMESTAMP '1969-12-31 23:59:59.9995')", "-1"),
            ("epoch_us(arrow_cast('1970-01-01T00:00:01', 'Timestamp(Second, None)'))", "1000000"),
            ("epoch_ns(DATE '1970-01-02')", "86400000000000"),
            ("epoch_ns('1970-01-01T01:00:00+01:00')", "0"),
            ("epoch_ms(1500)", "1970-01-01T00:00:01.500"),
            ("epoch_ms(-1)", "1969-12-31T23:59:59.999"),
            ("epoch_ms(NULL)", ""),
        ] {
            assert_eq!(value(sql).await, expected, "{sql}");
        }
        assert!(
            error("epoch_ms(9223372036854775807)")
                .await
                .contains("epoch 9223372036854775807 is out of range")
        );
    }
}
