//! One value of a column: a bound of statistics, a side of a predicate.

use cenote_vocab::{FieldType, TimeUnit};

/// Integers up to here are exact as a double.
const DOUBLE_EXACT: i128 = 1 << 53;
/// Integers up to here are exact as a float.
const FLOAT_EXACT: i128 = 1 << 24;
const SECONDS_PER_DAY: i128 = 86_400;

/// A value with a total order among values of one column's type. Timestamps and times are in the column's own unit,
/// dates in days.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// BOOLEAN
    Boolean(bool),
    /// Every integer, date, time, timestamp, and unscaled decimals up to 38 digits.
    Integer(i128),
    /// REAL, DOUBLE; never NaN.
    Float(f64),
    /// VARCHAR, JSON
    Text(String),
    /// BYTEA, UUID
    Bytes(Vec<u8>),
}

impl Value {
    /// The same value in a column that was widened from `from` to `to`; `None` if it has no exact form there.
    pub fn convert(&self, from: &FieldType, to: &FieldType) -> Option<Value> {
        if from == to || matches!((from, to), (FieldType::Float, FieldType::Double)) {
            return Some(self.clone());
        }
        let Self::Integer(integer) = *self else { return None };
        let converted = match (from, to) {
            (from, FieldType::Double) if is_integer(from) => return float(integer, DOUBLE_EXACT),
            (from, FieldType::Float) if is_integer(from) => return float(integer, FLOAT_EXACT),
            (from, to) if is_integer(from) => {
                let (low, high) = integer_range(to)?;
                (low..=high).contains(&integer).then_some(integer)?
            }
            (FieldType::Decimal { scale, .. }, FieldType::Decimal { scale: wanted, .. }) => {
                (scale == wanted).then_some(integer)?
            }
            (FieldType::Date, FieldType::Timestamp(unit)) => {
                integer.checked_mul(SECONDS_PER_DAY)?.checked_mul(per_second(*unit))?
            }
            (FieldType::Timestamp(from), FieldType::Timestamp(to))
            | (FieldType::TimestampTz(from), FieldType::TimestampTz(to))
                if per_second(*from) <= per_second(*to) =>
            {
                integer.checked_mul(per_second(*to) / per_second(*from))?
            }
            _ => return None,
        };
        Some(Self::Integer(converted))
    }
}

impl PartialOrd for Value {
    /// `None` for values of different variants.
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.partial_cmp(b),
            (Self::Integer(a), Self::Integer(b)) => a.partial_cmp(b),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().partial_cmp(b.as_bytes()),
            (Self::Bytes(a), Self::Bytes(b)) => a.partial_cmp(b),
            _ => None,
        }
    }
}

/// Units of a timestamp in one second.
pub(crate) fn per_second(unit: TimeUnit) -> i128 {
    10_i128.pow(u32::from(unit.digits()))
}

fn is_integer(field_type: &FieldType) -> bool {
    integer_range(field_type).is_some()
}

fn integer_range(field_type: &FieldType) -> Option<(i128, i128)> {
    Some(match field_type {
        FieldType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        FieldType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        FieldType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        FieldType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        FieldType::UInt8 => (0, u8::MAX.into()),
        FieldType::UInt16 => (0, u16::MAX.into()),
        FieldType::UInt32 => (0, u32::MAX.into()),
        FieldType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

fn float(integer: i128, exact_max: i128) -> Option<Value> {
    (integer.unsigned_abs() <= exact_max.unsigned_abs()).then_some(Value::Float(integer as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widened_columns_keep_their_bounds() {
        let integer = |value| Value::Integer(value);
        let micro = FieldType::Timestamp(TimeUnit::Micro);
        let nano = FieldType::Timestamp(TimeUnit::Nano);
        assert_eq!(integer(-5).convert(&FieldType::Int8, &FieldType::Int64), Some(integer(-5)));
        assert_eq!(integer(7).convert(&FieldType::Int64, &FieldType::Double), Some(Value::Float(7.0)));
        assert_eq!(integer(1).convert(&FieldType::Date, &micro), Some(integer(86_400_000_000)));
        assert_eq!(integer(-3).convert(&micro, &nano), Some(integer(-3000)));
    }

    #[test]
    fn what_has_no_exact_form_has_no_bound() {
        let big = Value::Integer(DOUBLE_EXACT + 1);
        assert_eq!(big.convert(&FieldType::Int64, &FieldType::Double), None);
        assert_eq!(Value::Integer(-1).convert(&FieldType::Int8, &FieldType::UInt8), None);
        let (milli, second) = (FieldType::Timestamp(TimeUnit::Milli), FieldType::Timestamp(TimeUnit::Second));
        assert_eq!(Value::Integer(1500).convert(&milli, &second), None);
        assert_eq!(Value::Text("a".into()).convert(&FieldType::String, &FieldType::Uuid), None);
    }
}
