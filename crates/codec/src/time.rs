//! Units of time that clients send, and how numbers and text become microseconds.

use std::fmt;
use std::str::FromStr;

use cenote_vocab::Micros;
use chrono::NaiveDate;

use crate::Error;
use crate::value::Value;

/// The unit of integer timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 1e-9 s
    #[default]
    Nanosecond,
    /// 1e-6 s
    Microsecond,
    /// 1e-3 s
    Millisecond,
    /// 1 s
    Second,
    /// 60 s
    Minute,
    /// 3600 s
    Hour,
    /// By magnitude: below 1e10 s, 1e13 ms, 1e16 µs, else ns.
    Auto,
}

/// 0001-01-01T00:00:00Z
const MICROS_MIN: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z
const MICROS_MAX: i64 = 253_402_300_799_999_999;

impl Precision {
    /// The instant `value` units after 1970, nanoseconds floored; `None` outside years 1–9999.
    #[inline]
    pub fn micros(self, value: i64) -> Option<Micros> {
        let micros = match self {
            Self::Nanosecond => value.div_euclid(1000),
            Self::Auto => return Self::of_magnitude(value.unsigned_abs() as f64).micros(value),
            unit => value.checked_mul(unit.factor())?,
        };
        (MICROS_MIN..=MICROS_MAX).contains(&micros).then_some(Micros(micros))
    }

    /// As [`Precision::micros`], for a value with a fraction; the result is floored.
    pub fn micros_of_float(self, value: f64) -> Option<Micros> {
        let micros = match self {
            Self::Nanosecond => value / 1000.0,
            Self::Auto => return Self::of_magnitude(value.abs()).micros_of_float(value),
            unit => value * unit.factor() as f64,
        }
        .floor();
        // False for NaN too. Below 2^53 the bounds are exact; above, both are far outside a double's last bit.
        (micros >= MICROS_MIN as f64 && micros <= MICROS_MAX as f64)
            .then_some(Micros((micros as i64).clamp(MICROS_MIN, MICROS_MAX)))
    }

    /// The unit that numbers of this size are taken for.
    fn of_magnitude(absolute: f64) -> Self {
        if absolute < 1e10 {
            Self::Second
        } else if absolute < 1e13 {
            Self::Millisecond
        } else if absolute < 1e16 {
            Self::Microsecond
        } else {
            Self::Nanosecond
        }
    }

    /// Microseconds of one unit; 1 for the units that are not longer than that.
    fn factor(self) -> i64 {
        match self {
            Self::Nanosecond | Self::Microsecond | Self::Auto => 1,
            Self::Millisecond => 1000,
            Self::Second => 1_000_000,
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(match text {
            "n" | "ns" | "nanosecond" => Self::Nanosecond,
            "u" | "us" | "µ" | "μ" | "microsecond" => Self::Microsecond,
            "ms" | "millisecond" => Self::Millisecond,
            "s" | "second" => Self::Second,
            "m" => Self::Minute,
            "h" => Self::Hour,
            "auto" => Self::Auto,
            _ => {
                return Err(Error::Malformed(format!(
                    "unknown time unit {text:?}: expected one of n, ns, nanosecond, u, us, µ, microsecond, \
                     ms, millisecond, s, second, m, h, auto"
                )));
            }
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nanosecond => "ns",
            Self::Microsecond => "us",
            Self::Millisecond => "ms",
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
            Self::Auto => "auto",
        })
    }
}

/// The instant that `value` means by itself, in microseconds; the error text says why it means none.
pub(crate) fn instant(value: &Value<'_>, unit: Precision) -> Result<i64, String> {
    let micros = match value {
        Value::Int(number) => unit.micros(*number),
        Value::Float(number) => unit.micros_of_float(*number),
        Value::Timestamp(micros) => Precision::Microsecond.micros(*micros),
        Value::Text(text) => {
            let text = str::from_utf8(text).map_err(|_| "time is not valid UTF-8".to_owned())?;
            return parse(text)
                .map(|micros| micros.0)
                .ok_or_else(|| format!("time {} is not RFC 3339 within years 1 to 9999", shown(text)));
        }
        Value::Null | Value::Bool(_) | Value::Binary(_) => return Err(format!("time is {}", value.kind())),
    };
    micros.map(|micros| micros.0).ok_or_else(|| format!("time {value} is outside years 1 to 9999"))
}

/// Turns a column of numbers into microseconds in place. Without a unit, that of the first value must also
/// hold for the smallest and the largest; the error text names the rows.
pub(crate) fn resolve_integers(values: &mut [i64], unit: Option<Precision>) -> Result<(), String> {
    let unit = match unit.filter(|unit| *unit != Precision::Auto) {
        Some(unit) => unit,
        None => {
            let extremes = values.iter().min().into_iter().chain(values.iter().max());
            let numbers = values.first().into_iter().chain(extremes).map(|value| *value as f64);
            let unit_of = |number: f64| Precision::of_magnitude(number.abs());
            let units: Vec<_> = numbers.map(unit_of).collect();
            let Some(first) = units.first().copied() else { return Ok(()) };
            if let Some(other) = units.iter().find(|unit| **unit != first) {
                let row =
                    values.iter().position(|value| unit_of(*value as f64) == *other).unwrap_or_default();
                return Err(mixed(row, *other, 0, first));
            }
            first
        }
    };
    for (row, value) in values.iter_mut().enumerate() {
        *value = unit
            .micros(*value)
            .ok_or_else(|| format!("row {row}: time {value} is outside years 1 to 9999"))?
            .0;
    }
    Ok(())
}

/// As [`resolve_integers`], for a column that holds text, fractions or timestamps too.
pub(crate) fn resolve_values(values: &[Value<'_>], unit: Option<Precision>) -> Result<Vec<i64>, String> {
    let unit = match unit.filter(|unit| *unit != Precision::Auto) {
        Some(unit) => unit,
        None => unit_of_column(values)?,
    };
    let resolve = |(row, value)| instant(value, unit).map_err(|reason| format!("row {row}: {reason}"));
    values.iter().enumerate().map(resolve).collect()
}

fn unit_of_column(values: &[Value<'_>]) -> Result<Precision, String> {
    let numbers: Vec<(usize, f64)> = values
        .iter()
        .enumerate()
        .filter_map(|(row, value)| match value {
            Value::Int(number) => Some((row, *number as f64)),
            Value::Float(number) => Some((row, *number)),
            _ => None,
        })
        .collect();
    let Some((first_row, first)) = numbers.first() else { return Ok(Precision::Auto) };
    let expected = Precision::of_magnitude(first.abs());
    let by_number = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
    let extremes = numbers.iter().min_by(by_number).into_iter().chain(numbers.iter().max_by(by_number));
    for (row, number) in extremes {
        let unit = Precision::of_magnitude(number.abs());
        if unit != expected {
            return Err(mixed(*row, unit, *first_row, expected));
        }
    }
    Ok(expected)
}

fn mixed(row: usize, unit: Precision, first_row: usize, first: Precision) -> String {
    format!(
        "mixed time units in column \"time\": row {row} looks like {unit}, row {first_row} like {first}; \
         send time_unit"
    )
}

/// RFC 3339 with `T` or a space, with or without time of day, seconds, fraction and zone (none = UTC).
/// `None` if it is anything else or outside years 1–9999.
pub(crate) fn parse(text: &str) -> Option<Micros> {
    let mut rest = Cursor(text.trim_ascii().as_bytes());
    let (year, month, day) = (rest.digits(4)?, rest.after(b'-')?.digits(2)?, rest.after(b'-')?.digits(2)?);
    let days = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?
        .signed_duration_since(NaiveDate::from_ymd_opt(1970, 1, 1)?)
        .num_days();
    let (mut seconds, mut fraction) = (0, 0);
    if let Some(b'T' | b't' | b' ') = rest.peek() {
        rest.step();
        let (hour, minute) = (rest.digits(2)?, rest.after(b':')?.digits(2)?);
        let second = if rest.peek() == Some(b':') { rest.after(b':')?.digits(2)? } else { 0 };
        // 60 is a leap second, which ends where the next minute begins.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        seconds = i64::from(hour * 3600 + minute * 60 + second);
        if let Some(b'.' | b',') = rest.peek() {
            rest.step();
            fraction = rest.fraction()?;
        }
        seconds -= rest.offset()?;
    }
    if !rest.0.is_empty() {
        return None;
    }
    Precision::Microsecond.micros((days * 86_400 + seconds) * 1_000_000 + fraction)
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn step(&mut self) {
        self.0 = self.0.get(1..).unwrap_or_default();
    }

    fn after(&mut self, byte: u8) -> Option<&mut Self> {
        (self.peek()? == byte).then(|| self.step())?;
        Some(self)
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits
            .iter()
            .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
    }

    /// Microseconds; what is finer is floored.
    fn fraction(&mut self) -> Option<i64> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let padded = digits.iter().chain(b"000000").take(6);
        (length > 0).then(|| padded.fold(0, |number, byte| number * 10 + i64::from(byte - b'0')))
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.peek() {
            None => return Some(0),
            Some(b'Z' | b'z') => {
                self.step();
                return Some(0);
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return None,
        };
        self.step();
        let hours = self.digits(2)?;
        if self.peek() == Some(b':') {
            self.step();
        }
        let minutes = if self.0.is_empty() { 0 } else { self.digits(2)? };
        (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
    }
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_their_aliases_and_others_get_the_list() {
        for (text, unit) in [
            ("n", Precision::Nanosecond),
            ("nanosecond", Precision::Nanosecond),
            ("us", Precision::Microsecond),
            ("µ", Precision::Microsecond),
            ("ms", Precision::Millisecond),
            ("second", Precision::Second),
            ("m", Precision::Minute),
            ("h", Precision::Hour),
            ("auto", Precision::Auto),
        ] {
            assert_eq!(text.parse::<Precision>().expect(text), unit);
        }
        let error = "fortnight".parse::<Precision>().expect_err("unknown").to_string();
        assert!(error.starts_with("unknown time unit \"fortnight\": expected one of n, ns,"), "{error}");
    }

    #[test]
    fn numbers_become_microseconds_floored() {
        for (unit, value, micros) in [
            (Precision::Nanosecond, 1_999, Some(1)),
            (Precision::Nanosecond, -1, Some(-1)),
            (Precision::Second, -2, Some(-2_000_000)),
            (Precision::Hour, 1, Some(3_600_000_000)),
            (Precision::Auto, 0, Some(0)),
            (Precision::Auto, 9_999_999_999, Some(9_999_999_999_000_000)),
            (Precision::Auto, 10_000_000_000, Some(10_000_000_000_000)),
            (Precision::Auto, 1_700_000_000_000_000, Some(1_700_000_000_000_000)),
            (Precision::Auto, -1_700_000_000_000_000_001, Some(-1_700_000_000_000_001)),
            (Precision::Nanosecond, i64::MIN, Some(-9_223_372_036_854_776)),
            (Precision::Microsecond, MICROS_MIN, Some(MICROS_MIN)),
            (Precision::Microsecond, MICROS_MIN - 1, None),
            (Precision::Microsecond, MICROS_MAX + 1, None),
            (Precision::Second, i64::MAX, None),
        ] {
            assert_eq!(unit.micros(value), micros.map(Micros), "{value} {unit}");
        }
        assert_eq!(Precision::Second.micros_of_float(-0.000_000_5), Some(Micros(-1)));
        assert_eq!(Precision::Millisecond.micros_of_float(1.5), Some(Micros(1_500)));
        assert_eq!(Precision::Auto.micros_of_float(1.75), Some(Micros(1_750_000)));
        for odd in [f64::NAN, f64::INFINITY, -1e300] {
            assert_eq!(Precision::Auto.micros_of_float(odd), None);
        }
    }

    #[test]
    fn text_is_rfc_3339_with_its_usual_liberties() {
        let noon = 1_704_110_400_000_000;
        for (text, micros) in [
            ("2024-01-01T12:00:00Z", Some(noon)),
            ("2024-01-01t12:00:00z", Some(noon)),
            ("2024-01-01 12:00:00", Some(noon)),
            ("2024-01-01 12:00", Some(noon)),
            ("2024-01-01T14:00:00+02:00", Some(noon)),
            ("2024-01-01T06:30:00-0530", Some(noon)),
            ("2024-01-01T12:00:00.1234567Z", Some(noon + 123_456)),
            ("1969-12-31T23:59:59.9999999Z", Some(-1)),
            ("2024-01-01", Some(noon - 43_200_000_000)),
            ("0001-01-01T00:00:00Z", Some(MICROS_MIN)),
            ("9999-12-31T23:59:59.999999Z", Some(MICROS_MAX)),
            ("0001-01-01T00:00:00+00:01", None),
            ("0000-12-31", None),
            ("2024-02-30", None),
            ("2024-01-01T24:00:00Z", None),
            ("2024-01-01T12:00:00.Z", None),
            ("2024-01-01T12:00:00Zx", None),
            ("2024-1-1", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse(text), micros.map(Micros), "{text}");
        }
    }

    #[test]
    fn a_column_has_one_unit() {
        let mut millis = [1_700_000_000_000, 1_600_000_000_000];
        resolve_integers(&mut millis, None).expect("all ms");
        assert_eq!(millis, [1_700_000_000_000_000, 1_600_000_000_000_000]);
        let error =
            resolve_integers(&mut [1_700_000_000_000_000, 5, 1_700_000_000_000], None).expect_err("mixed");
        assert_eq!(
            error,
            "mixed time units in column \"time\": row 1 looks like s, row 0 like us; send time_unit"
        );
        let mut given = [1_700_000_000_000_000, 5];
        resolve_integers(&mut given, Some(Precision::Microsecond)).expect("a unit was sent");
        let values = [Value::text("2024-01-01T12:00:00Z"), Value::Float(1.5e12), Value::Int(1)];
        let error = resolve_values(&values, None).expect_err("mixed");
        assert!(error.contains("row 2 looks like s, row 1 like ms"), "{error}");
        assert_eq!(resolve_values(&values[..2], None).expect("one unit")[1], 1_500_000_000_000_000);
        assert_eq!(resolve_values(&[Value::Null], None).expect_err("null"), "row 0: time is null");
    }
}
