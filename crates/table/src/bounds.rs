//! What is known of one column of one file, and which comparisons that rules out.
//!
//! Bounds come from three places: the statistics, the time range and the partition tuple. None of them need be tight; all must
//! hold for every value that is neither NULL nor NaN.

use std::borrow::Cow;
use std::cmp::Ordering;

use cenote_datafile::{ColumnStatistics, Value};
use cenote_vocab::{FieldType, TimeUnit, Transform};

use crate::Comparison;

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
    /// NaN lies outside the bounds, and by its sign bit sorts below or above all numbers.
    nan: bool,
}

impl<'a> ColumnBounds<'a> {
    /// A column that the file does not have: added after it was written.
    pub(crate) fn absent() -> Self {
        Self { min: None, max: None, nulls: Nulls::All, nan: false }
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
        Self { min: bound(&statistics.min, -0.0), max: bound(&statistics.max, 0.0), nulls, nan }
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

    /// From a partition value: the column of type `present` lies in that unit, or is NULL. `None` if the type is no time.
    pub(crate) fn of_partition(unit: Option<i64>, transform: Transform, present: &FieldType) -> Option<Self> {
        let column = unit_nanos(present)?;
        let Some(unit) = unit else {
            return Some(Self::absent());
        };
        let length = i128::from(transform.unit_micros()) * MICRO;
        let start = i128::from(unit) * length;
        let min = -(-start).div_euclid(column);
        let max = (start + length - 1).div_euclid(column);
        Some(Self::integers(min, max, Nulls::None))
    }

    fn integers(min: i128, max: i128, nulls: Nulls) -> Self {
        let bound = |value| Some(Cow::Owned(Value::Integer(value)));
        Self { min: bound(min), max: bound(max), nulls, nan: false }
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

const MICRO: i128 = 1_000;

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
        (Value::Integer(number), FieldType::Double) if is_integer(written) => {
            Some(Cow::Owned(Value::Float(if *number == 0 { zero } else { *number as f64 })))
        }
        (Value::Integer(number), FieldType::Float) if is_integer(written) => {
            Some(Cow::Owned(Value::Float(if *number == 0 { zero } else { f64::from(*number as f32) })))
        }
        (Value::Integer(_), _) if is_integer(written) && is_integer(present) => Some(Cow::Borrowed(value)),
        (Value::Integer(_), FieldType::Decimal { scale, .. }) => match written {
            FieldType::Decimal { scale: before, .. } if before == scale => Some(Cow::Borrowed(value)),
            _ => None,
        },
        (Value::Float(_), _) => None,
        _ if written == present => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

fn is_integer(field_type: &FieldType) -> bool {
    matches!(
        field_type,
        FieldType::Int8
            | FieldType::Int16
            | FieldType::Int32
            | FieldType::Int64
            | FieldType::UInt8
            | FieldType::UInt16
            | FieldType::UInt32
            | FieldType::UInt64
    )
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

    #[test]
    fn a_partition_value_bounds_the_column_in_its_own_unit() {
        let nanos = FieldType::Timestamp(TimeUnit::Nano);
        let bounds = ColumnBounds::of_partition(Some(-1), Transform::Hour, &nanos).expect("a time");
        let hour = 3_600_000_000_000;
        assert!(bounds.compare_may_be(Comparison::Equal, &Value::Integer(-hour)));
        assert!(bounds.compare_may_be(Comparison::Equal, &Value::Integer(-1)));
        assert!(!bounds.compare_may_be(Comparison::Equal, &Value::Integer(0)));
        assert!(!bounds.compare_may_be(Comparison::Less, &Value::Integer(-hour)));

        let date = ColumnBounds::of_partition(Some(3), Transform::Day, &FieldType::Date).expect("a time");
        assert!(!date.compare_may_be(Comparison::NotEqual, &Value::Integer(3)));
        assert!(ColumnBounds::of_partition(Some(3), Transform::Day, &FieldType::String).is_none());
    }
}
