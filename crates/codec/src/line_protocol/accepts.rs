//! What a column takes: a value that converts without losing anything, and no other.

use cenote_vocab::FieldType;

use crate::Precision;
use crate::column::EXACT_MAX;
use crate::time::{instant, parse};
use crate::value::Kind;

use super::scanner::unescape_text;
use super::value::Value;

/// The values that a column takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Accepts {
    /// The first value decides.
    Anything,
    /// Whole numbers in these bounds.
    Integers { min: i64, max: i64 },
    /// Numbers that a double holds.
    Doubles,
    /// Numbers that 32 bits hold.
    Floats,
    /// Numbers of so many digits before and after the point; they travel as text.
    Decimals { whole: usize, scale: usize },
    /// True and false.
    Booleans,
    /// Numbers and text that mean an instant.
    Timestamps,
    /// Text.
    Texts,
    /// Text that is JSON.
    Json,
    /// The column is a tag: everything becomes text.
    AnythingAsText,
    /// No value of line protocol has this type.
    Nothing,
}

impl Accepts {
    /// Of a column that the table has.
    pub(super) fn of(field_type: &FieldType, tag: bool) -> Self {
        let integers = |min, max| Self::Integers { min, max };
        match field_type {
            FieldType::Boolean => Self::Booleans,
            FieldType::Int8 => integers(i8::MIN.into(), i8::MAX.into()),
            FieldType::Int16 => integers(i16::MIN.into(), i16::MAX.into()),
            FieldType::Int32 => integers(i32::MIN.into(), i32::MAX.into()),
            FieldType::Int64 => integers(i64::MIN, i64::MAX),
            FieldType::UInt8 => integers(0, u8::MAX.into()),
            FieldType::UInt16 => integers(0, u16::MAX.into()),
            FieldType::UInt32 => integers(0, u32::MAX.into()),
            FieldType::UInt64 => integers(0, i64::MAX),
            FieldType::Float => Self::Floats,
            FieldType::Double => Self::Doubles,
            FieldType::Decimal { precision, scale } => {
                Self::Decimals { whole: usize::from(precision - scale), scale: usize::from(*scale) }
            }
            FieldType::Timestamp(_) | FieldType::TimestampTz(_) => Self::Timestamps,
            FieldType::String if tag => Self::AnythingAsText,
            FieldType::String => Self::Texts,
            FieldType::Json => Self::Json,
            FieldType::Unknown => Self::Anything,
            FieldType::Date
            | FieldType::Time
            | FieldType::Binary
            | FieldType::Uuid
            | FieldType::List(_)
            | FieldType::FixedList(..)
            | FieldType::Struct(_)
            | FieldType::Map { .. } => Self::Nothing,
        }
    }

    /// Of a column whose first value is `value`.
    pub(super) fn after(value: &Value<'_>) -> Self {
        match value {
            Value::Int(_) => Self::Integers { min: i64::MIN, max: i64::MAX },
            Value::Float(_) => Self::Doubles,
            Value::Bool(_) => Self::Booleans,
            Value::Text { .. } => Self::Texts,
            Value::Tag { .. } => Self::AnythingAsText,
            Value::Timestamp(_) => Self::Timestamps,
        }
    }

    /// The kind of column that holds such values; null if the first value decides.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Anything | Self::Nothing => Kind::Null,
            Self::Integers { .. } => Kind::Int,
            Self::Doubles | Self::Floats => Kind::Float,
            Self::Booleans => Kind::Bool,
            Self::Timestamps => Kind::Timestamp,
            Self::Decimals { .. } | Self::Texts | Self::Json | Self::AnythingAsText => Kind::Text,
        }
    }

    /// True if the column holds the value as it is.
    // Inlined by force: a value that is handed on through memory costs a quarter of the decoder's time.
    #[inline(always)]
    pub(super) fn takes(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Anything | Self::AnythingAsText, _)
            | (Self::Doubles, Value::Float(_))
            | (Self::Booleans, Value::Bool(_))
            | (Self::Texts, Value::Text { .. } | Value::Tag { .. }) => true,
            (Self::Integers { min, max }, Value::Int(number)) => min <= number && number <= max,
            _ => false,
        }
    }

    /// A value that the column does not take as it is, as the column holds it; `None` is a conflict.
    #[cold]
    pub(super) fn convert<'a>(&self, value: Value<'a>, unit: Precision) -> Option<Value<'a>> {
        match (self, value) {
            (Self::Integers { min, max }, Value::Float(number)) => {
                let whole = number.fract() == 0.0 && number.abs() <= EXACT_MAX as f64;
                let number = number as i64;
                (whole && *min <= number && number <= *max).then_some(Value::Int(number))
            }
            (Self::Doubles, Value::Int(number)) => {
                (number.unsigned_abs() <= EXACT_MAX).then_some(Value::Float(number as f64))
            }
            (Self::Floats, Value::Float(number)) => (f64::from(number as f32) == number).then_some(value),
            (Self::Floats, Value::Int(number)) => {
                (number.unsigned_abs() <= 1 << f32::MANTISSA_DIGITS).then_some(Value::Float(number as f64))
            }
            (Self::Decimals { whole, scale }, Value::Int(_) | Value::Float(_)) => {
                fits_decimal(&value, *whole, *scale).then_some(value)
            }
            (Self::Timestamps, Value::Int(number)) => unit.micros(number).map(|at| Value::Timestamp(at.0)),
            (Self::Timestamps, Value::Float(number)) => {
                instant(&crate::value::Value::Float(number), unit).ok().map(Value::Timestamp)
            }
            (Self::Timestamps, Value::Text { raw, escaped }) => {
                let text = plain(raw, escaped);
                parse(str::from_utf8(&text).ok()?).map(|at| Value::Timestamp(at.0))
            }
            (Self::Json, Value::Text { raw, escaped }) => {
                let text = plain(raw, escaped);
                serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok().then_some(value)
            }
            _ => None,
        }
    }
}

fn plain(raw: &[u8], escaped: bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    if escaped {
        unescape_text(raw, &mut text);
    } else {
        text.extend_from_slice(raw);
    }
    text
}

fn fits_decimal(value: &Value<'_>, whole_max: usize, scale_max: usize) -> bool {
    let text = match value {
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        _ => return false,
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = whole.trim_start_matches('-').trim_start_matches('0');
    digits.len() <= whole_max && fraction.len() <= scale_max
}

#[cfg(test)]
mod tests {
    use cenote_vocab::TimeUnit;

    use super::*;

    #[test]
    fn a_value_is_taken_if_nothing_of_it_is_lost() {
        let text = |raw| Value::Text { raw, escaped: false };
        let decimal = FieldType::Decimal { precision: 4, scale: 2 };
        let timestamp = FieldType::Timestamp(TimeUnit::Micro);
        for (field_type, value, taken) in [
            (FieldType::Int64, Value::Float(2.0), Some(Value::Int(2))),
            (FieldType::Int64, Value::Float(2.5), None),
            (FieldType::Int64, Value::Float(1e300), None),
            (FieldType::Int64, text(b"2"), None),
            (FieldType::Int8, Value::Int(127), Some(Value::Int(127))),
            (FieldType::Int8, Value::Int(128), None),
            (FieldType::UInt32, Value::Float(-1.0), None),
            (FieldType::Double, Value::Int(1 << 53), Some(Value::Float(9007199254740992.0))),
            (FieldType::Double, Value::Int((1 << 53) + 1), None),
            (FieldType::Double, Value::Bool(true), None),
            (FieldType::Float, Value::Float(0.5), Some(Value::Float(0.5))),
            (FieldType::Float, Value::Float(0.1), None),
            (FieldType::Float, Value::Int((1 << 24) + 1), None),
            (decimal.clone(), Value::Float(12.25), Some(Value::Float(12.25))),
            (decimal.clone(), Value::Float(1.125), None),
            (decimal, Value::Int(123), None),
            (FieldType::Boolean, Value::Int(1), None),
            (FieldType::Boolean, Value::Bool(true), Some(Value::Bool(true))),
            (FieldType::String, Value::Int(1), None),
            (FieldType::String, text(b"x"), Some(text(b"x"))),
            (timestamp.clone(), Value::Int(1_700_000_000), Some(Value::Timestamp(1_700_000_000_000_000))),
            (timestamp.clone(), Value::Float(1.5), Some(Value::Timestamp(1_500_000))),
            (timestamp.clone(), text(b"1970-01-01T00:00:01Z"), Some(Value::Timestamp(1_000_000))),
            (timestamp, text(b"soon"), None),
            (FieldType::Json, text(b"[1]"), Some(text(b"[1]"))),
            (FieldType::Json, text(b"[1"), None),
            (FieldType::Uuid, text(b"x"), None),
            (FieldType::Unknown, Value::Bool(true), Some(Value::Bool(true))),
        ] {
            let accepts = Accepts::of(&field_type, false);
            let stored =
                if accepts.takes(&value) { Some(value) } else { accepts.convert(value, Precision::Auto) };
            assert_eq!(stored, taken, "{value:?} as {field_type}");
        }
        let tag = Accepts::of(&FieldType::String, true);
        assert!(tag.takes(&Value::Int(1)), "becomes text when it is stored");
    }
}
