//! `time_bucket` and `date_bin`: the start of the bucket of time that a timestamp lies in.
//!
//! They differ in the origin: Monday 2000-01-03 (2000-01-01 for months) and 1970-01-01. A third argument gives another
//! origin, an offset from it, or the zone whose clocks cut the buckets.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, Int64Array};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::{parse_interval_month_day_nano, string_to_datetime};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use chrono::{NaiveDateTime, Utc};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::datetime;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::bucket::{Buckets, Width};
use crate::scalar::{Scalar, as_timestamp, counts, is_text, null};
use crate::{Error, instant};

/// Both functions.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Scalar::new("time_bucket", coerce, |types| types[1].clone(), time_bucket).ordered(ordering).udf(),
        Scalar::new("date_bin", coerce_date_bin, |types| types[1].clone(), date_bin).ordered(ordering).udf(),
    ]
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

fn coerce(given: &[DataType]) -> Option<Vec<DataType>> {
    let (width, at, third) = match given {
        [width, at] => (width, at, None),
        [width, at, third] => (width, at, Some(third)),
        _ => return None,
    };
    let interval = |given: &DataType| match given {
        DataType::Interval(_) | DataType::Duration(_) => Some(INTERVAL),
        text if is_text(text) => Some(DataType::Utf8),
        _ => None,
    };
    let at = match at {
        DataType::Date32 => DataType::Date32,
        at => as_timestamp(at)?,
    };
    let mut types = vec![interval(width)?, at];
    match third {
        None => {}
        // Nanoseconds would not hold all dates, seconds not all fractions.
        Some(DataType::Timestamp(unit, _)) => types.push(DataType::Timestamp(*unit, None)),
        Some(DataType::Date32 | DataType::Date64) => types.push(crate::scalar::MICROS),
        Some(other) => types.push(interval(other)?),
    }
    Some(types)
}

fn coerce_date_bin(given: &[DataType]) -> Option<Vec<DataType>> {
    if let [_, time @ (DataType::Time32(_) | DataType::Time64(_)), rest @ ..] = given {
        return Some(
            std::iter::once(INTERVAL)
                .chain(std::iter::once(time.clone()))
                .chain(rest.iter().cloned())
                .collect(),
        );
    }
    let mut types = coerce(given)?;
    if types[1] == DataType::Date32 {
        types[1] = crate::scalar::MICROS;
    }
    Some(types)
}

/// Later instants never lie in earlier buckets, unless clocks go back.
fn ordering(inputs: &[ExprProperties]) -> SortProperties {
    match inputs {
        [width, at, rest @ ..]
            if width.sort_properties == SortProperties::Singleton
                && rest.iter().all(|third| {
                    third.sort_properties == SortProperties::Singleton && !is_text(&third.range.data_type())
                }) =>
        {
            at.sort_properties
        }
        _ => SortProperties::Unordered,
    }
}

fn time_bucket(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    bucket("time_bucket", args, |width| {
        at_midnight(
            2000,
            1,
            match width {
                Width::Months(_) => 1,
                Width::Nanos(_) => 3,
            },
        )
    })
}

fn date_bin(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    if let DataType::Time32(_) | DataType::Time64(_) = args.return_type() {
        return datetime::date_bin().invoke_with_args(args.clone());
    }
    bucket("date_bin", args, |_| at_midnight(1970, 1, 1))
}

fn at_midnight(year: i32, month: u32, day: u32) -> NaiveDateTime {
    let date = chrono::NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    date.and_time(chrono::NaiveTime::MIN)
}

fn bucket(
    function: &'static str,
    args: &ScalarFunctionArgs,
    default_origin: fn(Width) -> NaiveDateTime,
) -> Result<ColumnarValue> {
    let constant = |argument: usize| match &args.args[argument] {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(_) => Err(Error::NotConstant { function, argument: argument + 1 }),
    };
    let width = constant(0)?;
    let third = if args.args.len() > 2 { Some(constant(2)?) } else { None };
    if width.is_null() || third.is_some_and(ScalarValue::is_null) {
        return null(args);
    }
    let width = Width::new(interval(width)?)?;
    let place = match third {
        Some(third) => Place::read(third)?,
        None => Place::Offset(arrow::datatypes::IntervalMonthDayNano::ZERO),
    };
    let (origin, zone) = match place {
        Place::Origin(origin) => (origin, None),
        Place::Zone(zone) => (default_origin(width), Some(zone)),
        Place::Offset(by) => {
            let origin = instant::plus(default_origin(width), by.months, by.days, by.nanoseconds)
                .ok_or_else(|| Error::Range { what: "offset", value: format!("{by:?}") })?;
            (origin, None)
        }
    };
    let buckets = |unit| Buckets { width, origin, zone, unit };
    match &args.args[1] {
        ColumnarValue::Array(at) => Ok(ColumnarValue::Array(starts(at, buckets)?)),
        ColumnarValue::Scalar(at) => {
            let starts = starts(&at.to_array()?, buckets)?;
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&starts, 0)?))
        }
    }
}

/// What a third argument says.
enum Place {
    Origin(NaiveDateTime),
    Offset(arrow::datatypes::IntervalMonthDayNano),
    Zone(Tz),
}

impl Place {
    fn read(value: &ScalarValue) -> Result<Self> {
        if let DataType::Timestamp(unit, _) = value.data_type() {
            let count = counts(&value.to_array()?)?.value(0);
            let origin = instant::calendar(count, unit)
                .ok_or_else(|| Error::Range { what: "origin", value: value.to_string() })?;
            return Ok(Self::Origin(origin));
        }
        let Some(Some(text)) = value.try_as_str() else {
            return Ok(Self::Offset(interval(value)?));
        };
        if let Ok(zone) = instant::zone(text) {
            return Ok(Self::Zone(zone));
        }
        if let Ok(origin) = string_to_datetime(&Utc, text) {
            return Ok(Self::Origin(origin.naive_utc()));
        }
        match parse_interval_month_day_nano(text) {
            Ok(offset) => Ok(Self::Offset(offset)),
            Err(_) => Err(Error::Zone(text.to_owned()).into()),
        }
    }
}

/// The interval that a constant means.
fn interval(value: &ScalarValue) -> Result<arrow::datatypes::IntervalMonthDayNano> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => Ok(*interval),
        value => {
            let text = value.try_as_str().flatten().unwrap_or_default();
            Ok(parse_interval_month_day_nano(text).map_err(|_| Error::Interval(text.to_owned()))?)
        }
    }
}

fn starts(at: &ArrayRef, buckets: impl Fn(TimeUnit) -> Buckets) -> Result<ArrayRef> {
    let (unit, wide) = match at.data_type() {
        DataType::Timestamp(unit, _) => (*unit, at.clone()),
        _ => (TimeUnit::Second, cast(at, &DataType::Timestamp(TimeUnit::Second, None))?),
    };
    let exact = buckets(unit);
    if !exact.fit_unit() {
        let fine = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let wide = cast(&cast(&wide, &DataType::Timestamp(unit, None))?, &fine)?;
        let starts = cast(&rows(&counts(&wide)?, &buckets(TimeUnit::Nanosecond))?, &fine)?;
        return Ok(cast(&starts, at.data_type())?);
    }
    let starts = rows(&counts(&wide)?, &exact)?;
    Ok(match at.data_type() {
        DataType::Timestamp(..) => cast(&starts, at.data_type())?,
        date => cast(&cast(&starts, &DataType::Timestamp(TimeUnit::Second, None))?, date)?,
    })
}

fn rows(at: &Int64Array, buckets: &Buckets) -> Result<ArrayRef> {
    let start = buckets.start()?;
    let starts = at.try_unary::<_, arrow::datatypes::Int64Type, Error>(|count| {
        start(count).ok_or_else(|| Error::Range { what: "timestamp", value: count.to_string() })
    })?;
    Ok(Arc::new(starts))
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, value};

    #[tokio::test]
    async fn fixed_widths_begin_on_a_monday_and_months_on_the_first() {
        for (sql, expected) in [
            ("time_bucket(INTERVAL '5 minutes', TIMESTAMP '2024-05-01 10:17:33.5')", "2024-05-01T10:15:00"),
            ("time_bucket('5 minutes', TIMESTAMP '1969-12-31 23:58:00')", "1969-12-31T23:55:00"),
            ("time_bucket('1 week', TIMESTAMP '2024-05-01 10:17:33')", "2024-04-29T00:00:00"),
            ("time_bucket('1 month', TIMESTAMP '1969-11-30 10:00:00')", "1969-11-01T00:00:00"),
            ("time_bucket(INTERVAL '3 months', DATE '2024-05-31')", "2024-04-01"),
            ("time_bucket('2 days', DATE '2000-01-04')", "2000-01-03"),
            ("time_bucket('1 year', '2024-05-31T00:00:00')", "2024-01-01T00:00:00"),
            (
                "time_bucket('1 hour', TIMESTAMP '2024-05-01 10:17:33', TIMESTAMP '2000-01-01 00:30:00')",
                "2024-05-01T09:30:00",
            ),
            (
                "time_bucket('1 hour', TIMESTAMP '2024-05-01 10:17:33', '2000-01-01 00:30:00')",
                "2024-05-01T09:30:00",
            ),
            (
                "time_bucket('1 hour', TIMESTAMP '2024-05-01 10:17:33', INTERVAL '20 minutes')",
                "2024-05-01T09:20:00",
            ),
            (
                "time_bucket('1 month', TIMESTAMP '2024-05-01 10:17:33', INTERVAL '14 days')",
                "2024-04-15T00:00:00",
            ),
            (
                "time_bucket('150 milliseconds', arrow_cast(2, 'Timestamp(Second, None)'))",
                "1970-01-01T00:00:01",
            ),
            ("time_bucket(INTERVAL '1 hour', NULL)", ""),
            ("time_bucket(NULL, TIMESTAMP '2024-05-01')", ""),
            ("date_bin('7 days', TIMESTAMP '1970-01-09 10:00:00')", "1970-01-08T00:00:00"),
            ("date_bin(INTERVAL '15 minutes', TIME '02:18:18', TIME '00:01:00')", "02:16:00"),
            ("date_bin('2 months', TIMESTAMP '1969-12-09 10:00:00')", "1969-11-01T00:00:00"),
        ] {
            assert_eq!(value(sql).await, expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn zones_cut_buckets_by_their_clocks() {
        let in_new_york = |width, at| format!("time_bucket('{width}', TIMESTAMP '{at}', 'America/New_York')");
        for (width, at, expected) in [
            ("1 day", "2024-03-10 04:59:59", "2024-03-09T05:00:00"), // still the 9th in New York
            ("1 day", "2024-03-11 03:59:59", "2024-03-10T05:00:00"), // a day of 23 hours
            ("1 day", "2024-03-11 04:00:00", "2024-03-11T04:00:00"),
            ("1 hour", "2024-11-03 05:30:00", "2024-11-03T05:00:00"), // 01:30, first time
            ("1 hour", "2024-11-03 06:30:00", "2024-11-03T06:00:00"), // 01:30, second time
            ("1 month", "2024-04-01 03:00:00", "2024-03-01T05:00:00"),
        ] {
            assert_eq!(value(&in_new_york(width, at)).await, expected, "{width} {at}");
        }
        // Midnight of this day does not exist in Sao Paulo: it begins at 01:00.
        let skipped = "time_bucket('1 day', TIMESTAMP '2018-11-04 10:00:00', 'America/Sao_Paulo')";
        assert_eq!(value(skipped).await, "2018-11-04T03:00:00");
        assert_eq!(
            value("time_bucket('1 day', TIMESTAMP '2024-05-01 01:00:00', '+02:00')").await,
            "2024-04-30T22:00:00"
        );
    }

    #[tokio::test]
    async fn bad_widths_and_places_are_named() {
        for (sql, expected) in [
            ("time_bucket('0 minutes', now())", "bucket width \"0\" is not positive"),
            ("time_bucket(INTERVAL '-1 minutes', now())", "is not positive"),
            ("time_bucket('1 month 1 day', now())", "\"1 months 1 days\" mixes months with days or time"),
            ("time_bucket('soon', now())", "\"soon\" is not an interval"),
            ("time_bucket('1 day', now(), 'Mars/Base')", "time zone \"Mars/Base\" is not known"),
            ("time_bucket('1 day', 7)", "time_bucket(Utf8, Int64) does not exist"),
        ] {
            let error = error(sql).await;
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }
}
