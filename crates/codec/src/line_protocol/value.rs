//! Field values: numbers are read while their end is looked for.

use super::scanner::{byte, is_line_end, text};

/// A value of a line, still in the body where it is text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text {
        raw: &'a [u8],
        escaped: bool,
    },
    Tag {
        raw: &'a [u8],
        escaped: bool,
    },
    /// Microseconds since 1970, made of another value for a column of timestamps.
    Timestamp(i64),
}

impl Value<'_> {
    /// In InfluxDB's words.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Int(_) => "integer",
            Self::Float(_) => "float",
            Self::Bool(_) => "boolean",
            Self::Text { .. } => "string",
            Self::Tag { .. } => "tag",
            Self::Timestamp(_) => "timestamp",
        }
    }
}

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// So many digits fit 64 bits.
const DIGITS_MAX: usize = 19;

/// The field's value at `at`, and where it ends; the error says what is wrong with it.
#[inline(always)]
pub(super) fn field_value(body: &[u8], at: usize) -> Result<(Value<'_>, usize), String> {
    match byte(body, at) {
        b'0'..=b'9' | b'-' | b'+' | b'.' => number(body, at),
        b'"' => {
            let part = text(body, at + 1).ok_or_else(|| "quotes are never closed".to_owned())?;
            let value = Value::Text { raw: &body[at + 1..part.end], escaped: part.escaped };
            Ok((value, part.end + 1))
        }
        _ => {
            let end = token_end(body, at);
            match &body[at..end] {
                b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok((Value::Bool(true), end)),
                b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok((Value::Bool(false), end)),
                b"" => Err("missing value".to_owned()),
                _ => Err(invalid(body, at)),
            }
        }
    }
}

#[inline(always)]
fn number(body: &[u8], start: usize) -> Result<(Value<'_>, usize), String> {
    let negative = body[start] == b'-';
    let mut at = start + usize::from(matches!(body[start], b'-' | b'+'));
    let first_digit = at;
    let mut mantissa = 0u64;
    at = digits(body, at, &mut mantissa);
    let mut count = at - first_digit;
    let mut scale = 0;
    match byte(body, at) {
        b'i' | b'u' if count > 0 && count < DIGITS_MAX => {
            let unsigned_negative = negative && body[at] == b'u';
            let value = if negative { -(mantissa as i64) } else { mantissa as i64 };
            return if unsigned_negative {
                Err(invalid(body, start))
            } else {
                Ok((Value::Int(value), at + 1))
            };
        }
        b'.' => {
            let end = digits(body, at + 1, &mut mantissa);
            scale = end - at - 1;
            count += scale;
            at = end;
        }
        _ => {}
    }
    // A mantissa and a power of ten that are both exact give the nearest double by one division.
    if matches!(byte(body, at), b',' | b' ' | b'\n' | b'\r')
        && (1..=DIGITS_MAX).contains(&count)
        && mantissa <= 1 << 53
        && let Some(power) = POWERS.get(scale)
    {
        let value = mantissa as f64 / power;
        return Ok((Value::Float(if negative { -value } else { value }), at));
    }
    other_number(body, start)
}

#[inline]
fn digits(body: &[u8], mut at: usize, mantissa: &mut u64) -> usize {
    while let digit = byte(body, at).wrapping_sub(b'0')
        && digit < 10
    {
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// Long numbers, exponents, and what is no number.
#[cold]
fn other_number(body: &[u8], start: usize) -> Result<(Value<'_>, usize), String> {
    let end = token_end(body, start);
    let token = str::from_utf8(&body[start..end]).unwrap_or_default();
    if let Some(integer) = token.strip_suffix(['i', 'u']) {
        let signed = token.ends_with('i') || !integer.starts_with('-');
        return match integer.parse() {
            Ok(value) if signed => Ok((Value::Int(value), end)),
            _ => Err(invalid(body, start)),
        };
    }
    let decimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    match token.parse::<f64>() {
        Ok(value) if value.is_finite() && token.bytes().all(decimal) => Ok((Value::Float(value), end)),
        _ => Err(invalid(body, start)),
    }
}

fn invalid(body: &[u8], start: usize) -> String {
    let token = &body[start..token_end(body, start).min(start + 80)];
    format!("invalid field value {:?}", String::from_utf8_lossy(token))
}

fn token_end(body: &[u8], start: usize) -> usize {
    let mut end = start;
    while !matches!(byte(body, end), b',' | b' ') && !is_line_end(body, end) {
        end += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_what_they_look_like_and_nothing_is_guessed() {
        let text = |raw| Value::Text { raw, escaped: false };
        for (token, value) in [
            ("12i", Value::Int(12)),
            ("-12i", Value::Int(-12)),
            ("12u", Value::Int(12)),
            ("9223372036854775807i", Value::Int(i64::MAX)),
            ("-9223372036854775808i", Value::Int(i64::MIN)),
            ("9223372036854775807u", Value::Int(i64::MAX)),
            ("1", Value::Float(1.0)),
            ("1.", Value::Float(1.0)),
            (".5", Value::Float(0.5)),
            ("-1e9", Value::Float(-1e9)),
            ("+2", Value::Float(2.0)),
            ("1E-3", Value::Float(1e-3)),
            ("0.1", Value::Float(0.1)),
            ("-0", Value::Float(-0.0)),
            ("123456789012345678901234567890", Value::Float(123456789012345678901234567890.0)),
            ("9007199254740993", Value::Float(9007199254740992.0)),
            ("t", Value::Bool(true)),
            ("True", Value::Bool(true)),
            ("FALSE", Value::Bool(false)),
            ("\"a b\"", text(b"a b")),
            ("\"\"", text(b"")),
        ] {
            for line_end in ["", "\n", "\r\n", ",x=1", " 17"] {
                let body = format!("{token}{line_end}");
                assert_eq!(field_value(body.as_bytes(), 0), Ok((value, token.len())), "{body:?}");
            }
        }
        for token in [
            "",
            "NaN",
            "nan",
            "inf",
            "-inf",
            "+Inf",
            "infinity",
            "tRUE",
            "yes",
            "'a'",
            "1.5i",
            "i",
            "-",
            ".",
            "1e",
            "1e999",
            "-1u",
            "9223372036854775808i",
            "18446744073709551615u",
            "-9223372036854775808u",
            "0x10",
            "1_000",
            "1f",
            "1i2",
            "12.5.1",
            "\"open",
            "--1",
        ] {
            let line = format!("{token},x=1");
            let read = field_value(line.as_bytes(), 0);
            let junk_follows = |end: usize| byte(line.as_bytes(), end) != b',';
            assert!(read.as_ref().map_or(true, |(_, end)| junk_follows(*end)), "{token:?} is {read:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_agree_with_the_standard_library(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            for text in [format!("{value}"), format!("{value:e}"), format!("{value:.3}")] {
                let expected: f64 = text.parse().expect("printed");
                let (read, end) = field_value(text.as_bytes(), 0).expect("a number");
                prop_assert_eq!(end, text.len());
                prop_assert_eq!(read, Value::Float(expected));
            }
        }

        #[test]
        fn short_decimals_agree_with_the_standard_library(mantissa in any::<i64>(), scale in 0..24usize) {
            let digits = format!("{:0width$}", mantissa.unsigned_abs(), width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let text = format!("{whole}.{fraction}");
            let (read, _) = field_value(text.as_bytes(), 0).expect("a number");
            prop_assert_eq!(read, Value::Float(text.parse().expect("decimal")));
        }
    }
}
