//! Instants of any unit from instants, numbers and text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{
    ArrowTimestampType, DataType, Float64Type, Int64Type, TimeUnit as ArrowUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use cenote_vocab::TimeUnit;

use super::convert::{Misfit, exact_cast, first_value, lossless};

/// The first and last nanosecond of years 1 to 9999.
const FIRST_NANOS: i128 = -62_135_596_800_000_000_000;
const LAST_NANOS: i128 = 253_402_300_799_999_999_999;

/// Numbers are of the unit that their magnitude says, the same for the whole column; finer instants than the column keeps are
/// floored; text is RFC 3339.
pub(super) fn convert(
    column: &ArrayRef,
    given: &DataType,
    unit: TimeUnit,
    wanted: &DataType,
) -> Result<ArrayRef, Misfit> {
    let nanos: Vec<Option<i128>> = match given {
        DataType::Timestamp(ArrowUnit::Microsecond, _) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>();
            micros.iter().map(|micros| micros.map(|micros| i128::from(micros) * 1000)).collect()
        }
        DataType::Int64 => {
            let numbers = column.as_primitive::<Int64Type>();
            let unit = one_unit(numbers.iter().map(|number| number.map(|number| number as f64)))?;
            numbers.iter().map(|number| number.map(|number| i128::from(number) * unit)).collect()
        }
        DataType::Float64 => {
            let numbers = column.as_primitive::<Float64Type>();
            let unit = one_unit(numbers.iter())?;
            numbers.iter().map(|number| number.map(|number| (number * unit as f64).floor() as i128)).collect()
        }
        DataType::Utf8 => return exact_cast(column, wanted),
        _ => return Err(first_value(column)),
    };
    let per_unit = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Milli => 1_000_000,
        TimeUnit::Micro => 1_000,
        TimeUnit::Nano => 1,
    };
    let value = |nanos: &Option<i128>| {
        let nanos = nanos.filter(|nanos| (FIRST_NANOS..=LAST_NANOS).contains(nanos))?;
        i64::try_from(nanos.div_euclid(per_unit)).ok()
    };
    let values = nanos.iter().map(value);
    let converted = match unit {
        TimeUnit::Second => typed::<TimestampSecondType>(values, wanted),
        TimeUnit::Milli => typed::<TimestampMillisecondType>(values, wanted),
        TimeUnit::Micro => typed::<TimestampMicrosecondType>(values, wanted),
        TimeUnit::Nano => typed::<TimestampNanosecondType>(values, wanted),
    };
    lossless(column, converted)
}

fn typed<T: ArrowTimestampType>(values: impl Iterator<Item = Option<i64>>, wanted: &DataType) -> ArrayRef {
    let zone = match wanted {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    Arc::new(values.collect::<PrimitiveArray<T>>().with_timezone_opt(zone))
}

/// The smallest and largest instant of a timestamp column in µs, rounded outwards; `None` if it has none.
pub(super) fn range(column: &ArrayRef) -> Option<(i64, i64)> {
    let DataType::Timestamp(unit, _) = column.data_type() else { return None };
    let ticks = cast(column, &DataType::Int64).ok()?;
    let ticks = ticks.as_primitive::<Int64Type>();
    let (low, high) = (min(ticks)?, max(ticks)?);
    Some(match unit {
        ArrowUnit::Second => (low.saturating_mul(1_000_000), high.saturating_mul(1_000_000)),
        ArrowUnit::Millisecond => (low.saturating_mul(1_000), high.saturating_mul(1_000)),
        ArrowUnit::Microsecond => (low, high),
        ArrowUnit::Nanosecond => (low.div_euclid(1_000), high.saturating_add(999).div_euclid(1_000)),
    })
}

/// Nanoseconds of the unit that the first number's magnitude says; a misfit where another says otherwise. Only the smallest and
/// largest numbers are asked: columns cross such a border only by a mistake of units.
fn one_unit(numbers: impl Iterator<Item = Option<f64>>) -> Result<i128, Misfit> {
    let mut unit = None;
    let (mut low, mut high) = ((0, f64::INFINITY), (0, f64::NEG_INFINITY));
    for (row, number) in numbers.enumerate() {
        let Some(number) = number else { continue };
        if !number.is_finite() {
            return Err(Misfit { row });
        }
        unit.get_or_insert_with(|| unit_of(number));
        if number < low.1 {
            low = (row, number);
        }
        if number > high.1 {
            high = (row, number);
        }
    }
    let unit = unit.unwrap_or(1);
    match [low, high].into_iter().find(|(_, number)| number.is_finite() && unit_of(*number) != unit) {
        Some((row, _)) => Err(Misfit { row }),
        None => Ok(unit),
    }
}

fn unit_of(number: f64) -> i128 {
    match number.abs() {
        magnitude if magnitude < 1e10 => 1_000_000_000,
        magnitude if magnitude < 1e13 => 1_000_000,
        magnitude if magnitude < 1e16 => 1_000,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use cenote_datafile::arrow_type;
    use cenote_vocab::FieldType;

    use super::super::convert::convert;
    use super::*;

    fn micros(column: impl Array + 'static) -> Result<Vec<i64>, Misfit> {
        let column: ArrayRef = Arc::new(column);
        let converted = convert(&column, &FieldType::Timestamp(TimeUnit::Micro), false)?;
        Ok(converted.as_primitive::<TimestampMicrosecondType>().values().to_vec())
    }

    #[test]
    fn numbers_and_text_are_instants() {
        assert_eq!(
            micros(Int64Array::from(vec![1_700_000_000, -5])),
            Ok(vec![1_700_000_000_000_000, -5_000_000])
        );
        assert_eq!(micros(Int64Array::from(vec![1_700_000_000_123])), Ok(vec![1_700_000_000_123_000]));
        assert_eq!(micros(Float64Array::from(vec![1.5])), Ok(vec![1_500_000]));
        assert_eq!(micros(StringArray::from(vec!["1970-01-01T00:00:01Z"])), Ok(vec![1_000_000]));
        let mixed = Int64Array::from(vec![1_700_000_000, 1_700_000_000_123]);
        assert_eq!(micros(mixed), Err(Misfit { row: 1 }));
        assert_eq!(micros(StringArray::from(vec!["yesterday"])), Err(Misfit { row: 0 }));
    }

    #[test]
    fn coarser_columns_floor_and_finer_ones_must_not_overflow() {
        let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1, 1_999_999]));
        let seconds = convert(&column, &FieldType::Timestamp(TimeUnit::Second), false).expect("floors");
        assert_eq!(seconds.as_primitive::<TimestampSecondType>().values().to_vec(), [-1, 1]);
        let far: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0, 250_000_000_000_000_000]));
        let nanos = FieldType::TimestampTz(TimeUnit::Nano);
        assert_eq!(convert(&far, &nanos, false).expect_err("overflows"), Misfit { row: 1 });
        assert_eq!(convert(&column, &nanos, false).expect("fits").data_type(), &arrow_type(&nanos));
    }
}
