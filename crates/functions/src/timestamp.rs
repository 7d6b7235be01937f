//! Timestamps from and to numbers and text: `to_timestamp`, `make_timestamp`, `strptime`, `strftime`, `to_char`.
//!
//! Text without an offset is read, and `TIMESTAMPTZ` is written, in the session's zone; `TIMESTAMP` is always UTC.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit};
use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc};
use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::pattern::{Part, parts};
use crate::scalar::{MICROS, Scalar, as_timestamp, by_rows, counts, is_text, micros_utc};
use crate::{Error, from_char, instant, to_char};

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Scalar::new("to_timestamp", coerce_to_timestamp, |_| micros_utc(), to_timestamp).stable().udf(),
        Scalar::new(
            "make_timestamp",
            coerce_micros,
            |_| micros_utc(),
            |args| by_rows(args, |arrays| Ok(cast(&arrays[0], &micros_utc())?)),
        )
        .udf(),
        Scalar::new("strptime", coerce_two_texts, |_| MICROS, strptime).udf(),
        Scalar::new("strftime", coerce_format, |_| DataType::Utf8View, strftime).stable().udf(),
        Scalar::new("to_char", coerce_format, |_| DataType::Utf8View, strftime_or_to_char)
            .alias(&["date_format"])
            .stable()
            .udf(),
    ]
}

fn coerce_to_timestamp(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [text] if is_text(text) => Some(vec![DataType::Utf8View]),
        [whole] if whole.is_integer() => Some(vec![DataType::Int64]),
        [real] if real.is_floating() => Some(vec![DataType::Float64]),
        // Six digits after the point are what the answer can hold.
        [decimal] if decimal.is_decimal() => Some(vec![DataType::Decimal128(38, 6)]),
        [at] => Some(vec![as_timestamp(at)?]),
        given => coerce_two_texts(given),
    }
}

fn coerce_micros(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [number] if number.is_integer() || number.is_null() => Some(vec![DataType::Int64]),
        _ => None,
    }
}

fn coerce_two_texts(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [text, format] if is_text(text) && is_text(format) => {
            Some(vec![DataType::Utf8View, DataType::Utf8View])
        }
        _ => None,
    }
}

fn coerce_format(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [at, format] if is_text(format) => Some(vec![as_timestamp(at)?, DataType::Utf8View]),
        _ => None,
    }
}

/// The zone of the session: where texts without an offset are read.
fn session_zone(options: &ConfigOptions) -> Result<Tz, Error> {
    instant::zone(options.execution.time_zone.as_deref().unwrap_or("UTC"))
}

fn to_timestamp(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let zone = session_zone(&args.config_options)?;
    let range = |value: &dyn std::fmt::Display| Error::Range { what: "timestamp", value: value.to_string() };
    by_rows(args, |arrays| {
        let micros: TimestampMicrosecondArray = match (arrays[0].data_type(), arrays.get(1)) {
            (DataType::Int64, _) => arrays[0]
                .as_primitive::<Int64Type>()
                .try_unary(|seconds| seconds.checked_mul(1_000_000).ok_or_else(|| range(&seconds)))?,
            (DataType::Float64, _) => arrays[0].as_primitive::<Float64Type>().try_unary(|seconds| {
                let micros = (seconds * 1e6).round();
                // 2^63 is the first float that does not fit.
                let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&micros);
                if fits { Ok(micros as i64) } else { Err(range(&seconds)) }
            })?,
            (DataType::Decimal128(..), _) => arrays[0]
                .as_primitive::<Decimal128Type>()
                .try_unary(|micros| i64::try_from(micros).map_err(|_| range(&micros)))?,
            (DataType::Utf8View, None) => texts(&arrays[0], None, |text, _| {
                let at = string_to_datetime(&zone, text).map_err(|_| not_a_timestamp(text, None))?;
                Ok(at.naive_utc())
            })?,
            (DataType::Utf8View, Some(formats)) => texts(&arrays[0], Some(formats), |text, format| {
                let (local, offset) = format.read(text)?;
                from_char::utc(local, offset, &zone).ok_or_else(|| not_a_timestamp(text, None))
            })?,
            _ => return Ok(cast(&arrays[0], &micros_utc())?),
        };
        Ok(cast(&micros, &micros_utc())?)
    })
}

fn strptime(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    by_rows(args, |arrays| {
        let micros = texts(&arrays[0], Some(&arrays[1]), |text, format| {
            let (local, offset) = format.read(text)?;
            from_char::utc(local, offset, &Utc).ok_or_else(|| not_a_timestamp(text, None))
        })?;
        Ok(Arc::new(micros))
    })
}

fn not_a_timestamp(text: &str, format: Option<&str>) -> Error {
    Error::Timestamp { text: text.to_owned(), format: format.map(ToOwned::to_owned) }
}

/// Reads each text by the format beside it; a format is compiled once for as long as it repeats.
fn texts(
    texts: &ArrayRef,
    formats: Option<&ArrayRef>,
    read: impl Fn(&str, &Format) -> Result<NaiveDateTime, Error>,
) -> Result<TimestampMicrosecondArray> {
    let texts = texts.as_string_view();
    let formats = formats.map(|formats| formats.as_string_view());
    let mut current = Format::strftime("")?;
    let mut micros = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        if texts.is_null(row) || formats.is_some_and(|formats| formats.is_null(row)) {
            micros.push(None);
            continue;
        }
        if let Some(formats) = formats
            && formats.value(row) != current.text
        {
            current = Format::either(formats.value(row))?;
        }
        let at = read(texts.value(row), &current)?;
        let count = instant::count(at, TimeUnit::Microsecond);
        micros.push(Some(count.ok_or_else(|| Error::Range { what: "timestamp", value: at.to_string() })?));
    }
    Ok(micros.into_iter().collect())
}

fn strftime(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    write_rows(args, Format::strftime)
}

fn strftime_or_to_char(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    write_rows(args, Format::either)
}

fn write_rows(
    args: &ScalarFunctionArgs,
    compile: fn(&str) -> Result<Format, Error>,
) -> Result<ColumnarValue> {
    let session = args.config_options.execution.time_zone.clone();
    by_rows(args, |arrays| {
        let DataType::Timestamp(unit, zone) = arrays[0].data_type() else {
            return Ok(arrow::array::new_null_array(&DataType::Utf8View, arrays[0].len()));
        };
        let zone_name = zone.as_deref().map(|zone| session.as_deref().unwrap_or(zone)).unwrap_or("UTC");
        let zone = instant::zone(zone_name)?;
        let (at, formats) = (counts(&arrays[0])?, arrays[1].as_string_view());
        let mut current = Format::strftime("")?;
        let mut texts = StringViewBuilder::with_capacity(at.len());
        let mut text = String::new();
        for row in 0..at.len() {
            if at.is_null(row) || formats.is_null(row) {
                texts.append_null();
                continue;
            }
            if formats.value(row) != current.text {
                current = compile(formats.value(row))?;
            }
            let count = at.value(row);
            let utc = instant::calendar(count, *unit)
                .ok_or_else(|| Error::Range { what: "timestamp", value: count.to_string() })?;
            let local = zone.from_utc_datetime(&utc);
            text.clear();
            // Zones print as offsets here, which is wrong for this name only.
            let shown: &dyn std::fmt::Display = if zone_name == "UTC" { &"UTC" } else { local.offset() };
            current.write(&local.with_timezone(&local.offset().fix()), shown, &mut text)?;
            texts.append_value(&text);
        }
        Ok(Arc::new(texts.finish()))
    })
}

/// A format that was read, ready for many rows.
struct Format {
    text: String,
    kind: Kind,
}

enum Kind {
    Strftime(Vec<Item<'static>>),
    Postgres(Vec<Part>),
}

impl Format {
    /// With a `%`: strftime's, else Postgres's.
    fn either(format: &str) -> Result<Self, Error> {
        match format.contains('%') {
            true => Self::strftime(format),
            false => Ok(Self { text: format.to_owned(), kind: Kind::Postgres(parts(format)?) }),
        }
    }

    /// `%f` are microseconds and `%g` milliseconds, as in DuckDB.
    fn strftime(format: &str) -> Result<Self, Error> {
        let chrono_format = format.replace("%f", "%6f").replace("%g", "%3f");
        let items = StrftimeItems::new(&chrono_format).parse_to_owned().map_err(|_| Error::Format {
            format: format.to_owned(),
            problem: "has an unknown % pattern".to_owned(),
        })?;
        Ok(Self { text: format.to_owned(), kind: Kind::Strftime(items) })
    }

    fn write(
        &self,
        at: &DateTime<FixedOffset>,
        zone: &dyn std::fmt::Display,
        into: &mut String,
    ) -> Result<(), Error> {
        match &self.kind {
            Kind::Strftime(items) => write!(into, "{}", at.format_with_items(items.iter())).map_err(|_| {
                Error::Format { format: self.text.clone(), problem: "cannot be written".to_owned() }
            }),
            Kind::Postgres(parts) => {
                to_char::write(parts, at, &zone.to_string(), into);
                Ok(())
            }
        }
    }

    fn read(&self, text: &str) -> Result<(NaiveDateTime, Option<FixedOffset>), Error> {
        let read = match &self.kind {
            Kind::Strftime(items) => read_strftime(items, text),
            Kind::Postgres(parts) => from_char::read(parts, text, &self.text)?,
        };
        read.ok_or_else(|| not_a_timestamp(text, Some(&self.text)))
    }
}

/// What is missing is midnight, and the first of the month.
fn read_strftime(items: &[Item<'static>], text: &str) -> Option<(NaiveDateTime, Option<FixedOffset>)> {
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, items.iter()).ok()?;
    let offset = parsed.to_fixed_offset().ok();
    if let Some(seconds) = parsed.timestamp() {
        let nanos = parsed.nanosecond().unwrap_or(0);
        return Some((DateTime::from_timestamp(seconds, nanos)?.naive_utc(), FixedOffset::east_opt(0)));
    }
    let date = parsed.to_naive_date().ok().or_else(|| {
        let year = parsed.year().or_else(|| Some(parsed.year_div_100()? * 100 + parsed.year_mod_100()?))?;
        NaiveDate::from_ymd_opt(year, parsed.month().unwrap_or(1), parsed.day().unwrap_or(1))
    })?;
    let time = match parsed.hour_mod_12() {
        None => NaiveTime::MIN,
        Some(_) => {
            if parsed.minute().is_none() {
                parsed.set_minute(0).ok()?;
            }
            parsed.to_naive_time().ok()?
        }
    };
    Some((date.and_time(time), offset))
}

#[cfg(test)]
mod tests {
    use crate::testing::{context, error, rows, value};

    #[tokio::test]
    async fn numbers_are_seconds_and_text_is_read_strictly() {
        for (sql, expected) in [
            ("to_timestamp(0)", "1970-01-01T00:00:00Z"),
            ("to_timestamp(-1.5)", "1969-12-31T23:59:58.500Z"),
            ("to_timestamp(CAST(1.1234567 AS DOUBLE))", "1970-01-01T00:00:01.123457Z"),
            ("to_timestamp('2024-05-01 10:00:00+02:00')", "2024-05-01T08:00:00Z"),
            ("to_timestamp('2024-05-01')", "2024-05-01T00:00:00Z"),
            ("to_timestamp('05 Dec 2000', 'DD Mon YYYY')", "2000-12-05T00:00:00Z"),
            (
                "to_timestamp('2024/05/01 01:02:03.5 PM', 'YYYY-MM-DD HH12:MI:SS.MS PM')",
                "2024-05-01T13:02:03.500Z",
            ),
            ("to_timestamp('20240501 +0530', 'YYYYMMDD TZHTZM')", "2024-04-30T18:30:00Z"),
            ("to_timestamp('01.05.2024', '%d.%m.%Y')", "2024-05-01T00:00:00Z"),
            ("to_timestamp(DATE '2024-05-01')", "2024-05-01T00:00:00Z"),
            ("to_timestamp(NULL)", ""),
            ("make_timestamp(-1)", "1969-12-31T23:59:59.999999Z"),
            ("strptime('1/5/2024 7:03 +02:00', '%d/%m/%Y %H:%M %:z')", "2024-05-01T05:03:00"),
            ("strptime('2024-05-01T07:03:04.012345', '%Y-%m-%dT%H:%M:%S.%f')", "2024-05-01T07:03:04.012345"),
            ("strptime('May 2024', '%b %Y')", "2024-05-01T00:00:00"),
            ("strptime(NULL, '%Y')", ""),
        ] {
            assert_eq!(value(sql).await, expected, "{sql}");
        }
        for (sql, expected) in [
            ("to_timestamp('soon')", "\"soon\" is not a timestamp"),
            (
                "to_timestamp('2024-13-01', 'YYYY-MM-DD')",
                "\"2024-13-01\" is not a timestamp of format \"YYYY-MM-DD\"",
            ),
            ("to_timestamp(1e300)", "out of range"),
            ("to_timestamp('NaN'::double precision)", "out of range"),
            ("strptime('x', '%!')", "unknown % pattern"),
            ("to_timestamp('x', 'Q')", "can be written but not read"),
        ] {
            let error = error(sql).await;
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }

    #[tokio::test]
    async fn timestamps_are_written_in_their_zone() {
        for (sql, expected) in [
            (
                "strftime(TIMESTAMP '2024-05-01 07:03:04.012345', '%d.%m.%y %H:%M:%S.%f')",
                "01.05.24 07:03:04.012345",
            ),
            ("to_char(TIMESTAMP '1969-12-31 23:59:59', 'YYYY-MM-DD HH24:MI:SS')", "1969-12-31 23:59:59"),
            ("to_char(DATE '2024-05-01', '%j')", "122"),
            ("to_char(to_timestamp(0), 'HH24 TZ OF')", "00 UTC +00"),
            ("to_char(NULL, 'YYYY')", ""),
        ] {
            assert_eq!(value(sql).await, expected, "{sql}");
        }
        let session = context();
        session.sql("SET datafusion.execution.time_zone = 'Asia/Kolkata'").await.expect("a zone");
        let batches = session
            .sql("SELECT to_char(to_timestamp(0), 'HH24:MI TZ OF') || to_char(TIMESTAMP '1970-01-01', ' HH24') AS text, \
                  to_char(to_timestamp('1970-01-01 05:30:00'), 'HH24')")
            .await
            .expect("a plan")
            .collect()
            .await
            .expect("rows");
        let printed = arrow::util::pretty::pretty_format_batches(&batches).expect("text").to_string();
        assert!(printed.contains("05:30 +05:30 +05:30 00 | 05"), "{printed}");
    }

    #[tokio::test]
    async fn columns_are_computed_by_row() {
        let sql = "SELECT to_char(t, f) FROM (VALUES (TIMESTAMP '2024-05-01', 'YYYY'), (NULL, 'MM'), (TIMESTAMP '2023-04-01', 'MM')) AS v(t, f)";
        assert_eq!(rows(sql).await, ["2024", "", "04"]);
        let sql = "SELECT to_timestamp(n) FROM (VALUES (1), (NULL), (-1)) AS v(n)";
        assert_eq!(rows(sql).await, ["1970-01-01T00:00:01Z", "", "1969-12-31T23:59:59Z"]);
        let sql = "SELECT time_bucket('1 minute', t, 'Europe/Paris') FROM (VALUES (TIMESTAMP '2024-05-01 00:00:59'), (NULL)) AS v(t)";
        assert_eq!(rows(sql).await, ["2024-05-01T00:00:00", ""]);
    }
}
