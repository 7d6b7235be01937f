//! What is known of one column of one file, and which comparisons that rules out.
//!
//! Bounds come from three places: the statistics, the time range and the partition tuple. None of them need be tight; all must
//! hold for every value that is neither NULL nor NaN.

use std::borrow::Cow;
use std::cmp::Ordering;

use cenote_datafile::{ColumnStatistics, Value, next_bytes, next_text};
use cenote_vocab::{FieldType, PartitionValue, TimeUnit, Transform};

use crate::Comparison;
use crate::transform::{bucket, day_unit_start};

/// Which rows of the file are NULL in the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nulls {
    None,
    Perhaps,
    All,
}

/// Bounds of a column in one file, in the column's present type.
#[derive(Clone, Debug)]
pub(crate) struct ColumnBounds<'a> {
    min: Option<Cow<'a, Value>>,
    max: Option<Cow<'a, Value>>,
    nulls: Nulls,
    /// Of so many buckets, the one that all values are in, with the type by which they were hashed.
    bucket: Option<(u32, i128, FieldType)>,
    /// NaN lies outside the bounds, and by its sign bit sorts below or above all numbers.
    nan: bool,
}

impl<'a> ColumnBounds<'a> {
    /// A column that the file does not have: added after it was written.
    pub(crate) fn absent() -> Self {
        Self { min: None, max: None, nulls: Nulls::All, bucket: None, nan: false }
    }

    /// From statistics of a column that was `written` as one type and is `present`ly another. `written` is `None` if the
    /// file's schema is not at hand: then only the counts say something.
    pub(crate) fn of_statistics(
        statistics: &'a ColumnStatistics,
        written: Option<&FieldType>,
        present: &FieldType,
    ) -> Self {
        let nulls = match statistics.null_count {
            0 => Nulls::None,
            nulls if nulls >= statistics.value_count => Nulls::All,
            _ => Nulls::Perhaps,
        };
        let bound = |bound: &'a Option<Value>, zero: f64| {
            let value = bound.as_ref()?;
            widened(value, written?, present, zero)
        };
        let nan = match written {
            Some(FieldType::Float | FieldType::Double) | None => statistics.nan_count != Some(0),
            Some(_) => false,
        };
        let (min, max) = (bound(&statistics.min, -0.0), bound(&statistics.max, 0.0));
        Self { min, max, nulls, bucket: None, nan }
    }

    /// From the closed time range `(from, to)` in µs of a column of type `present`; `None` if that is no time.
    pub(crate) fn of_time_range((from, to): (i64, i64), present: &FieldType) -> Option<Self> {
        let column = unit_nanos(present)?;
        // A nanosecond column's range was rounded to µs: the values lie less than 1 µs outside of it.
        let slack = MICRO - 1;
        let min = (i128::from(from) * MICRO - slack).div_euclid(column);
        let max = (i128::from(to) * MICRO + slack).div_euclid(column);
        Some(Self::integers(min, max, Nulls::Perhaps))
    }

    /// A column that the file does not have, and that has a value in each row all the same.
    pub(crate) fn constant(value: Value) -> Self {
        Self::between(Some(value.clone()), Some(value))
    }

    /// From a partition value that was made of a column `written` as one type and `present`ly of another. `None` if it says
    /// nothing.
    pub(crate) fn of_partition(
        value: Option<&PartitionValue>,
        transform: Transform,
        written: &FieldType,
        present: &FieldType,
    ) -> Option<Self> {
        let Some(value) = value else {
            return Some(Self::absent()); // NULL is made of NULL alone
        };
        match (transform, value) {
            (
                Transform::Year | Transform::Month | Transform::Day | Transform::Hour,
                PartitionValue::Integer(unit),
            ) => Self::of_unit(*unit, transform, present),
            (Transform::Bucket(count), PartitionValue::Integer(bucket)) => {
                // integers of all widths are hashed alike
                let alike = written == present || (written.is_integer() && present.is_integer());
                let bucket = alike.then(|| (count, *bucket, present.clone()));
                Some(Self { bucket, ..Self::between(None, None) })
            }
            (Transform::Identity, value) => Some(Self::constant(plain(value).convert(written, present)?)),
            (Transform::Truncate(width), PartitionValue::Integer(low)) => {
                let exact = |value: i128| Value::Integer(value).convert(written, present);
                // a multiple below the smallest value of the type has no form there, and bounds nothing
                Some(Self::between(exact(*low), exact(low + i128::from(width) - 1)))
            }
            (Transform::Truncate(width), PartitionValue::Text(text)) if written == present => {
                let whole = text.chars().count() < width as usize;
                let max = if whole { Some(text.clone()) } else { next_text(text.clone()) };
                Some(Self::between(Some(Value::Text(text.clone())), max.map(Value::Text)))
            }
            (Transform::Truncate(width), PartitionValue::Bytes(bytes)) if written == present => {
                let whole = bytes.len() < width as usize;
                let max = if whole { Some(bytes.clone()) } else { next_bytes(bytes.clone()) };
                Some(Self::between(Some(Value::Bytes(bytes.clone())), max.map(Value::Bytes)))
            }
            _ => None,
        }
    }

    /// The column of type `present` lies in that unit. `None` if the type is no time.
    fn of_unit(unit: i128, transform: Transform, present: &FieldType) -> Option<Self> {
        let column = unit_nanos(present)?;
        let nanos = |unit: i128| match transform {
            Transform::Hour => unit * NANOS_PER_HOUR,
            _ => day_unit_start(unit, transform) * NANOS_PER_DAY,
        };
        let (start, end) = (nanos(unit), nanos(unit + 1));
        Some(Self::integers(-(-start).div_euclid(column), (end - 1).div_euclid(column), Nulls::None))
    }

    fn between(min: Option<Value>, max: Option<Value>) -> Self {
        let (min, max) = (min.map(Cow::Owned), max.map(Cow::Owned));
        Self { min, max, nulls: Nulls::None, bucket: None, nan: false }
    }

    fn integers(min: i128, max: i128, nulls: Nulls) -> Self {
        let bound = |value| Some(Cow::Owned(Value::Integer(value)));
        Self { min: bound(min), max: bound(max), nulls, bucket: None, nan: false }
    }

    /// False if no row is NULL.
    pub(crate) fn null_may_be(&self) -> bool {
        self.nulls != Nulls::None
    }

    /// False if every row is NULL.
    pub(crate) fn value_may_be(&self) -> bool {
        self.nulls != Nulls::All
    }

    /// False if no row compares so with `value`. A value of another variant than the bounds says nothing.
    pub(crate) fn compare_may_be(&self, comparison: Comparison, value: &Value) -> bool {
        if !self.value_may_be() {
            return false;
        }
        if matches!(value, Value::Float(number) if number.is_nan()) {
            return true;
        }
        if self.nan && comparison != Comparison::Equal {
            return true;
        }
        if let (Some((count, known, hashed)), Comparison::Equal) = (&self.bucket, comparison)
            && bucket(value, hashed, *count).is_some_and(|bucket| i128::from(bucket) != *known)
        {
            return false;
        }
        let min = self.min.as_deref().and_then(|min| order(min, value));
        let max = self.max.as_deref().and_then(|max| order(max, value));
        match comparison {
            Comparison::Equal => min != Some(Ordering::Greater) && max != Some(Ordering::Less),
            Comparison::NotEqual => min != Some(Ordering::Equal) || max != Some(Ordering::Equal),
            Comparison::Less => matches!(min, None | Some(Ordering::Less)),
            Comparison::LessOrEqual => min != Some(Ordering::Greater),
            Comparison::Greater => matches!(max, None | Some(Ordering::Greater)),
            Comparison::GreaterOrEqual => max != Some(Ordering::Less),
        }
    }
}

/// The value of a column that an identity partition value is.
fn plain(value: &PartitionValue) -> Value {
    match value {
        PartitionValue::Boolean(value) => Value::Boolean(*value),
        PartitionValue::Integer(value) => Value::Integer(*value),
        PartitionValue::Text(text) => Value::Text(text.clone()),
        PartitionValue::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

const MICRO: i128 = 1_000;
const NANOS_PER_HOUR: i128 = 3_600_000_000_000;
const NANOS_PER_DAY: i128 = 24 * NANOS_PER_HOUR;

/// Nanoseconds of one unit of a column that is a time; `None` for all other types.
pub(crate) fn unit_nanos(field_type: &FieldType) -> Option<i128> {
    Some(match field_type {
        FieldType::Timestamp(unit) | FieldType::TimestampTz(unit) => match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Milli => 1_000_000,
            TimeUnit::Micro => MICRO,
            TimeUnit::Nano => 1,
        },
        FieldType::Date => 86_400_000_000_000,
        _ => return None,
    })
}

/// Floats in total order, as Arrow's kernels compare them: −0.0 lies below +0.0.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => Some(a.total_cmp(b)),
        _ => a.partial_cmp(b),
    }
}

/// The bound as a value of the `present` type; `None` if that is not possible. A bound of zero becomes the outermost `zero`:
/// the other one may be among the rows, and some readers hold both for equal.
fn widened<'a>(
    value: &'a Value,
    written: &FieldType,
    present: &FieldType,
    zero: f64,
) -> Option<Cow<'a, Value>> {
    match (value, present) {
        (Value::Float(number), FieldType::Float | FieldType::Double)
            if matches!(written, FieldType::Float | FieldType::Double) =>
        {
            Some(if *number == 0.0 { Cow::Owned(Value::Float(zero)) } else { Cow::Borrowed(value) })
        }
        // Rounding is monotonic, so a rounded bound bounds the rounded values.
        (Value::Integer(number), FieldType::Double) if written.is_integer() => {
            Some(Cow::Owned(Value::Float(if *number == 0 { zero } else { *number as f64 })))
        }
        (Value::Integer(number), FieldType::Float) if written.is_integer() => {
            Some(Cow::Owned(Value::Float(if *number == 0 { zero } else { f64::from(*number as f32) })))
        }
        (Value::Integer(_), _) if written.is_integer() && present.is_integer() => Some(Cow::Borrowed(value)),
        (Value::Integer(_), FieldType::Decimal { scale, .. }) => match written {
            FieldType::Decimal { scale: before, .. } if before == scale => Some(Cow::Borrowed(value)),
            _ => None,
        },
        (Value::Float(_), _) => None,
        _ if written == present => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cenote_vocab::FieldId;

    use super::*;

    fn statistics(min: Value, max: Value) -> ColumnStatistics {
        ColumnStatistics {
            field_id: FieldId(1),
            value_count: 10,
            null_count: 0,
            nan_count: Some(0),
            min: Some(min),
            max: Some(max),
            min_exact: true,
            max_exact: true,
        }
    }

    #[test]
    fn a_bound_of_a_widened_column_is_compared_in_the_present_type() {
        let written = statistics(Value::Integer(10), Value::Integer(20));
        let bounds = ColumnBounds::of_statistics(&written, Some(&FieldType::Int64), &FieldType::Double);
        assert!(!bounds.compare_may_be(Comparison::Greater, &Value::Float(20.0)));
        assert!(bounds.compare_may_be(Comparison::Greater, &Value::Float(19.5)));
        // Days against microseconds: the numbers alone mean nothing.
        let date = ColumnBounds::of_statistics(
            &written,
            Some(&FieldType::Date),
            &FieldType::Timestamp(TimeUnit::Micro),
        );
        assert!(date.compare_may_be(Comparison::Greater, &Value::Integer(1_000_000)));
    }

    #[test]
    fn zeros_of_both_signs_are_kept_apart_from_neither() {
        let zero = statistics(Value::Float(0.0), Value::Float(-0.0));
        let bounds = ColumnBounds::of_statistics(&zero, Some(&FieldType::Double), &FieldType::Double);
        for value in [0.0, -0.0] {
            assert!(bounds.compare_may_be(Comparison::Equal, &Value::Float(value)));
        }
        assert!(bounds.compare_may_be(Comparison::Less, &Value::Float(0.0)));
        assert!(!bounds.compare_may_be(Comparison::Less, &Value::Float(-0.0)));
    }

    #[test]
    fn nan_may_be_above_and_below_all_but_equals_no_number() {
        let mut with_nan = statistics(Value::Float(1.0), Value::Float(2.0));
        with_nan.nan_count = None;
        let bounds = ColumnBounds::of_statistics(&with_nan, Some(&FieldType::Double), &FieldType::Double);
        assert!(bounds.compare_may_be(Comparison::Greater, &Value::Float(5.0)));
        assert!(bounds.compare_may_be(Comparison::Less, &Value::Float(0.0)));
        assert!(!bounds.compare_may_be(Comparison::Equal, &Value::Float(5.0)));
    }

    fn of_partition(unit: i64, transform: Transform, column: &FieldType) -> Option<ColumnBounds<'static>> {
        ColumnBounds::of_partition(Some(&unit.into()), transform, column, column)
    }

    #[test]
    fn a_bucket_rules_out_values_of_others_and_no_ranges() {
        let bounds =
            of_partition(2_017_239_379 % 16, Transform::Bucket(16), &FieldType::Int32).expect("known");
        assert!(bounds.compare_may_be(Comparison::Equal, &Value::Integer(34)));
        assert!(!bounds.compare_may_be(Comparison::Equal, &Value::Integer(35)));
        assert!(bounds.compare_may_be(Comparison::Less, &Value::Integer(0)));
        assert!(!bounds.null_may_be());
    }

    #[test]
    fn a_partition_value_bounds_the_column_in_its_own_unit() {
        let nanos = FieldType::Timestamp(TimeUnit::Nano);
        let bounds = of_partition(-1, Transform::Hour, &nanos).expect("a time");
        let hour = 3_600_000_000_000;
        assert!(bounds.compare_may_be(Comparison::Equal, &Value::Integer(-hour)));
        assert!(bounds.compare_may_be(Comparison::Equal, &Value::Integer(-1)));
        assert!(!bounds.compare_may_be(Comparison::Equal, &Value::Integer(0)));
        assert!(!bounds.compare_may_be(Comparison::Less, &Value::Integer(-hour)));

        let date = of_partition(3, Transform::Day, &FieldType::Date).expect("a time");
        assert!(!date.compare_may_be(Comparison::NotEqual, &Value::Integer(3)));
        assert!(of_partition(3, Transform::Day, &FieldType::String).is_none());
    }
}
