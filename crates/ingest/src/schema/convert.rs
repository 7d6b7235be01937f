//! A value is stored if it converts to its column's type without losing anything; else it is a type conflict.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, i256};
use arrow::util::display::array_value_to_string;
use cenote_datafile::arrow_type;
use cenote_vocab::FieldType;

use super::timestamps;

/// Integers up to here, and all smaller ones, are exact in a double.
pub(crate) const EXACT_MAX: u64 = 1 << 53;
/// Integers up to here are exact in 32 bits of float.
const FLOAT_EXACT_MAX: u64 = 1 << 24;
/// How much of a value an error shows.
const SHOWN_CHARS: usize = 80;

/// The first row whose value a column does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) row: usize,
}

/// The values as the column's type, or the first that it does not take. A tag column takes everything, as text.
pub(crate) fn convert(column: &ArrayRef, to: &FieldType, tag: bool) -> Result<ArrayRef, Misfit> {
    let wanted = arrow_type(to);
    if column.null_count() == column.len() {
        return Ok(arrow::array::new_null_array(&wanted, column.len()));
    }
    match (column.data_type(), to) {
        (DataType::Utf8, FieldType::Json) => json(column),
        (given, _) if *given == wanted => Ok(Arc::clone(column)),
        (DataType::Float64, to) if is_integer(to) => {
            let whole: ArrayRef = Arc::new(whole_numbers(column.as_primitive::<Float64Type>())?);
            exact_cast(&whole, &wanted)
        }
        (DataType::Int64, to) if is_integer(to) => exact_cast(column, &wanted),
        (DataType::Int64, FieldType::Double) => within(column, EXACT_MAX, &wanted),
        (DataType::Int64, FieldType::Float) => within(column, FLOAT_EXACT_MAX, &wanted),
        (DataType::Float64, FieldType::Float) => floats(column, &wanted),
        (DataType::Int64 | DataType::Float64 | DataType::Utf8, FieldType::Decimal { precision, scale }) => {
            decimals(column, *precision, *scale)
        }
        (DataType::Binary, FieldType::String) => exact_cast(column, &wanted),
        (_, FieldType::String) if tag => exact_cast(column, &wanted),
        (given, FieldType::Timestamp(unit) | FieldType::TimestampTz(unit)) => {
            timestamps::convert(column, given, *unit, &wanted)
        }
        _ => Err(first_value(column)),
    }
}

/// The value of a row, as an error shows it.
pub(crate) fn shown(column: &ArrayRef, row: usize) -> String {
    let text = array_value_to_string(column, row).unwrap_or_default();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The first row that is not null.
pub(super) fn first_value(column: &ArrayRef) -> Misfit {
    Misfit { row: (0..column.len()).find(|row| column.is_valid(*row)).unwrap_or(0) }
}

/// The cast, if no value became null by it.
pub(super) fn exact_cast(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, Misfit> {
    let converted = cast(column, wanted).map_err(|_| first_value(column))?;
    lossless(column, converted)
}

/// `converted`, unless a value of `column` is null in it.
pub(super) fn lossless(column: &ArrayRef, converted: ArrayRef) -> Result<ArrayRef, Misfit> {
    if converted.null_count() == column.null_count() {
        return Ok(converted);
    }
    match (0..column.len()).find(|row| column.is_valid(*row) && converted.is_null(*row)) {
        Some(row) => Err(Misfit { row }),
        None => Ok(converted),
    }
}

fn is_integer(to: &FieldType) -> bool {
    use FieldType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    matches!(to, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64)
}

/// Whole doubles as integers; NaN, which pandas writes for a missing value, as NULL.
fn whole_numbers(doubles: &Float64Array) -> Result<Int64Array, Misfit> {
    let misfit = |value: f64| !value.is_nan() && (value.fract() != 0.0 || value.abs() > EXACT_MAX as f64);
    let valid = |row: usize| doubles.is_valid(row);
    if let Some(row) =
        doubles.values().iter().enumerate().position(|(row, value)| misfit(*value) && valid(row))
    {
        return Err(Misfit { row });
    }
    let known: NullBuffer =
        (0..doubles.len()).map(|row| valid(row) && !doubles.value(row).is_nan()).collect();
    let values: Vec<i64> = doubles.values().iter().map(|value| *value as i64).collect();
    Ok(Int64Array::new(values.into(), Some(known).filter(|known| known.null_count() > 0)))
}

fn within(column: &ArrayRef, bound: u64, wanted: &DataType) -> Result<ArrayRef, Misfit> {
    let numbers = column.as_primitive::<Int64Type>();
    let beyond = |(row, value): (usize, &i64)| value.unsigned_abs() > bound && numbers.is_valid(row);
    match numbers.values().iter().enumerate().position(beyond) {
        Some(row) => Err(Misfit { row }),
        None => exact_cast(column, wanted),
    }
}

fn floats(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, Misfit> {
    let doubles = column.as_primitive::<Float64Type>();
    let loses = |value: f64| !value.is_nan() && f64::from(value as f32) != value;
    let misfit = |(row, value): (usize, &f64)| loses(*value) && doubles.is_valid(row);
    match doubles.values().iter().enumerate().position(misfit) {
        Some(row) => Err(Misfit { row }),
        None => exact_cast(column, wanted),
    }
}

fn json(column: &ArrayRef) -> Result<ArrayRef, Misfit> {
    let broken = |text: Option<&str>| {
        text.is_some_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_err())
    };
    match column.as_string::<i32>().iter().position(broken) {
        Some(row) => Err(Misfit { row }),
        None => Ok(Arc::clone(column)),
    }
}

/// Integers, numeric text and doubles by their shortest text, if exact.
fn decimals(column: &ArrayRef, precision: u8, scale: u8) -> Result<ArrayRef, Misfit> {
    let text = |row: usize| -> String {
        match column.data_type() {
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
            DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
            _ => column.as_string::<i32>().value(row).to_owned(),
        }
    };
    let unscaled = |row: usize| -> Result<Option<i256>, Misfit> {
        if column.is_null(row) {
            return Ok(None);
        }
        unscaled(text(row).trim(), precision, scale).map(Some).ok_or(Misfit { row })
    };
    let values = (0..column.len()).map(unscaled).collect::<Result<Vec<_>, _>>()?;
    let typed: Option<ArrayRef> = match arrow_type(&FieldType::Decimal { precision, scale }) {
        DataType::Decimal128(precision, scale) => {
            let values: Decimal128Array =
                values.iter().map(|value| value.and_then(|value| value.to_i128())).collect();
            values.with_precision_and_scale(precision, scale).ok().map(|values| Arc::new(values) as ArrayRef)
        }
        _ => {
            let values: Decimal256Array = values.into_iter().collect();
            let scale = i8::try_from(scale).unwrap_or(i8::MAX);
            values.with_precision_and_scale(precision, scale).ok().map(|values| Arc::new(values) as ArrayRef)
        }
    };
    typed.ok_or_else(|| first_value(column))
}

/// The number times 10^scale; `None` if it is no number, has more digits than `precision`, or would be rounded.
fn unscaled(text: &str, precision: u8, scale: u8) -> Option<i256> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // The number is `all` · 10^(exponent - digits after the point).
    let fraction_digits = i32::try_from(fraction.len()).ok()?;
    let mut shift = i32::from(scale).checked_add(exponent)?.checked_sub(fraction_digits)?;
    while shift < 0 && all.ends_with('0') {
        all.pop();
        shift += 1;
    }
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return Some(i256::ZERO);
    }
    let digits_max = usize::from(precision);
    let zeros = usize::try_from(shift).ok()?;
    if zeros > digits_max || significant.len() + zeros > digits_max {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    i256::from_string(&format!("{sign}{significant}{}", "0".repeat(zeros)))
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, BooleanArray, StringArray};
    use cenote_vocab::TimeUnit;

    use super::*;

    fn array(values: impl Array + 'static) -> ArrayRef {
        Arc::new(values)
    }

    #[test]
    fn whole_doubles_are_integers_and_nan_is_missing() {
        let column =
            array(Float64Array::from(vec![Some(2.0), None, Some(f64::NAN), Some(-9007199254740992.0)]));
        let converted = convert(&column, &FieldType::Int64, false).expect("whole");
        let wanted = Int64Array::from(vec![Some(2), None, None, Some(-9007199254740992)]);
        assert_eq!(converted.as_primitive::<Int64Type>(), &wanted);
        for (bad, row) in
            [(vec![1.0, 1.5], 1), (vec![9007199254740994.0], 0), (vec![1.0, 2.0, f64::INFINITY], 2)]
        {
            let refused = convert(&array(Float64Array::from(bad)), &FieldType::Int64, false);
            assert_eq!(refused.expect_err("not whole"), Misfit { row });
        }
    }

    #[test]
    fn integers_fit_doubles_within_53_bits_and_smaller_types_within_theirs() {
        let edge = array(Int64Array::from(vec![1 << 53, -(1 << 53)]));
        assert_eq!(convert(&edge, &FieldType::Double, false).expect("exact").data_type(), &DataType::Float64);
        let beyond = array(Int64Array::from(vec![0, (1 << 53) + 1]));
        assert_eq!(convert(&beyond, &FieldType::Double, false).expect_err("inexact"), Misfit { row: 1 });
        let small = array(Int64Array::from(vec![127, 128]));
        assert_eq!(convert(&small, &FieldType::Int8, false).expect_err("too large"), Misfit { row: 1 });
        assert_eq!(convert(&small, &FieldType::UInt8, false).expect("fits").data_type(), &DataType::UInt8);
    }

    #[test]
    fn text_takes_bytes_that_are_utf8_and_a_tag_takes_all() {
        let bytes = array(BinaryArray::from_vec(vec![b"ok", b"\xff\xfe"]));
        assert_eq!(convert(&bytes, &FieldType::String, false).expect_err("not text"), Misfit { row: 1 });
        let flags = array(BooleanArray::from(vec![true]));
        assert!(convert(&flags, &FieldType::String, false).is_err());
        let tag = convert(&flags, &FieldType::String, true).expect("a tag");
        assert_eq!(tag.as_string::<i32>(), &StringArray::from(vec!["true"]));
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let money = FieldType::Decimal { precision: 9, scale: 2 };
        let text =
            array(StringArray::from(vec![Some("12.30"), Some("-1e3"), None, Some("0.1e1"), Some("1.500")]));
        let converted = convert(&text, &money, false).expect("exact");
        let wanted = Decimal128Array::from(vec![Some(1230), Some(-100_000), None, Some(100), Some(150)])
            .with_precision_and_scale(9, 2)
            .expect("fits");
        assert_eq!(converted.as_primitive::<arrow::datatypes::Decimal128Type>(), &wanted);
        for bad in ["1.234", "12345678.5", "x", "", "1e99", "--1"] {
            assert!(convert(&array(StringArray::from(vec![bad])), &money, false).is_err(), "{bad}");
        }
        let double = array(Float64Array::from(vec![0.1]));
        assert!(convert(&double, &money, false).is_ok(), "by shortest text");
        let wide = FieldType::Decimal { precision: 50, scale: 0 };
        let digits = "1".repeat(45);
        let converted =
            convert(&array(StringArray::from(vec![digits.as_str()])), &wide, false).expect("50 digits");
        assert_eq!(shown(&converted, 0), digits);
    }

    #[test]
    fn only_nulls_fit_everything_and_booleans_fit_nothing_else() {
        let nulls = array(Int64Array::from(vec![None, None]));
        assert_eq!(convert(&nulls, &FieldType::String, false).expect("nulls").data_type(), &DataType::Utf8);
        let flags = array(BooleanArray::from(vec![None, Some(true)]));
        for to in
            [FieldType::Int64, FieldType::Double, FieldType::Timestamp(TimeUnit::Micro), FieldType::Uuid]
        {
            assert_eq!(convert(&flags, &to, false).expect_err("conflict"), Misfit { row: 1 });
        }
    }
}
