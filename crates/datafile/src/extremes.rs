//! Values of Arrow arrays: one cell, and the smallest and largest of a column.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, DictionaryArray, PrimitiveArray,
};
use arrow::compute;
use arrow::datatypes::{
    ArrowDictionaryKeyType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

use crate::Value;

/// The value at `row`; `None` for NULL, NaN, and types without an order here (decimals over 38 digits, nested types).
///
/// # Panics
/// If `row` is not below the array's length.
pub fn value_at(array: &dyn Array, row: usize) -> Option<Value> {
    if array.is_null(row) {
        return None;
    }
    fn integer<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &dyn Array, row: usize) -> Option<Value> {
        Some(Value::Integer(array.as_primitive::<T>().value(row).into()))
    }
    fn entry<K: ArrowDictionaryKeyType>(array: &DictionaryArray<K>, row: usize) -> Option<Value> {
        value_at(array.values(), array.key(row)?)
    }
    match array.data_type() {
        DataType::Boolean => Some(Value::Boolean(array.as_boolean().value(row))),
        DataType::Int8 => integer::<Int8Type>(array, row),
        DataType::Int16 => integer::<Int16Type>(array, row),
        DataType::Int32 => integer::<Int32Type>(array, row),
        DataType::Int64 => integer::<Int64Type>(array, row),
        DataType::UInt8 => integer::<UInt8Type>(array, row),
        DataType::UInt16 => integer::<UInt16Type>(array, row),
        DataType::UInt32 => integer::<UInt32Type>(array, row),
        DataType::UInt64 => integer::<UInt64Type>(array, row),
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, _) => integer::<Decimal128Type>(array, row),
        DataType::Date32 => integer::<Date32Type>(array, row),
        DataType::Time64(TimeUnit::Microsecond) => integer::<Time64MicrosecondType>(array, row),
        DataType::Timestamp(TimeUnit::Second, _) => integer::<TimestampSecondType>(array, row),
        DataType::Timestamp(TimeUnit::Millisecond, _) => integer::<TimestampMillisecondType>(array, row),
        DataType::Timestamp(TimeUnit::Microsecond, _) => integer::<TimestampMicrosecondType>(array, row),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => integer::<TimestampNanosecondType>(array, row),
        DataType::Utf8 => Some(Value::Text(array.as_string::<i32>().value(row).to_owned())),
        DataType::LargeUtf8 => Some(Value::Text(array.as_string::<i64>().value(row).to_owned())),
        DataType::Utf8View => Some(Value::Text(array.as_string_view().value(row).to_owned())),
        DataType::Binary => Some(Value::Bytes(array.as_binary::<i32>().value(row).to_vec())),
        DataType::LargeBinary => Some(Value::Bytes(array.as_binary::<i64>().value(row).to_vec())),
        DataType::BinaryView => Some(Value::Bytes(array.as_binary_view().value(row).to_vec())),
        DataType::FixedSizeBinary(_) => Some(Value::Bytes(array.as_fixed_size_binary().value(row).to_vec())),
        DataType::Dictionary(key, _) => match key.as_ref() {
            DataType::Int8 => entry(array.as_dictionary::<Int8Type>(), row),
            DataType::Int16 => entry(array.as_dictionary::<Int16Type>(), row),
            DataType::Int32 => entry(array.as_dictionary::<Int32Type>(), row),
            DataType::Int64 => entry(array.as_dictionary::<Int64Type>(), row),
            DataType::UInt8 => entry(array.as_dictionary::<UInt8Type>(), row),
            DataType::UInt16 => entry(array.as_dictionary::<UInt16Type>(), row),
            DataType::UInt32 => entry(array.as_dictionary::<UInt32Type>(), row),
            DataType::UInt64 => entry(array.as_dictionary::<UInt64Type>(), row),
            _ => None,
        },
        _ => None,
    }
}

/// The smallest and the largest value, −0.0 before +0.0; `None` if there is no value (see [`value_at`]).
/// Types that [`crate::arrow_type`] does not make have no answer.
pub fn min_max(array: &ArrayRef) -> Option<(Value, Value)> {
    fn integers<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &ArrayRef) -> Option<(Value, Value)> {
        let array = array.as_primitive::<T>();
        let (min, max) = (compute::min(array)?, compute::max(array)?);
        Some((Value::Integer(min.into()), Value::Integer(max.into())))
    }
    fn text(min: &str, max: &str) -> (Value, Value) {
        (Value::Text(min.to_owned()), Value::Text(max.to_owned()))
    }
    fn bytes(min: &[u8], max: &[u8]) -> (Value, Value) {
        (Value::Bytes(min.to_vec()), Value::Bytes(max.to_vec()))
    }
    match array.data_type() {
        DataType::Boolean => booleans(array.as_boolean()),
        DataType::Int8 => integers::<Int8Type>(array),
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::UInt8 => integers::<UInt8Type>(array),
        DataType::UInt16 => integers::<UInt16Type>(array),
        DataType::UInt32 => integers::<UInt32Type>(array),
        DataType::UInt64 => integers::<UInt64Type>(array),
        DataType::Float32 => floats(array.as_primitive::<Float32Type>()),
        DataType::Float64 => floats(array.as_primitive::<Float64Type>()),
        DataType::Decimal128(_, _) => integers::<Decimal128Type>(array),
        DataType::Date32 => integers::<Date32Type>(array),
        DataType::Time64(TimeUnit::Microsecond) => integers::<Time64MicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Second, _) => integers::<TimestampSecondType>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => integers::<TimestampMillisecondType>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => integers::<TimestampMicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => integers::<TimestampNanosecondType>(array),
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Some(text(compute::min_string(array)?, compute::max_string(array)?))
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            Some(text(compute::min_string_view(array)?, compute::max_string_view(array)?))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Some(bytes(compute::min_binary(array)?, compute::max_binary(array)?))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            Some(bytes(compute::min_fixed_size_binary(array)?, compute::max_fixed_size_binary(array)?))
        }
        _ => None,
    }
}

/// All values of a column whose values are [`Value::Integer`]; `None` if one is NULL, or the type has others.
pub fn integers(array: &dyn Array) -> Option<Vec<i128>> {
    fn all<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &dyn Array) -> Option<Vec<i128>> {
        Some(array.as_primitive::<T>().values().iter().map(|value| (*value).into()).collect())
    }
    if array.null_count() > 0 {
        return None;
    }
    match array.data_type() {
        DataType::Int8 => all::<Int8Type>(array),
        DataType::Int16 => all::<Int16Type>(array),
        DataType::Int32 => all::<Int32Type>(array),
        DataType::Int64 => all::<Int64Type>(array),
        DataType::UInt8 => all::<UInt8Type>(array),
        DataType::UInt16 => all::<UInt16Type>(array),
        DataType::UInt32 => all::<UInt32Type>(array),
        DataType::UInt64 => all::<UInt64Type>(array),
        DataType::Decimal128(_, _) => all::<Decimal128Type>(array),
        DataType::Date32 => all::<Date32Type>(array),
        DataType::Time64(TimeUnit::Microsecond) => all::<Time64MicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Second, _) => all::<TimestampSecondType>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => all::<TimestampMillisecondType>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => all::<TimestampMicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => all::<TimestampNanosecondType>(array),
        _ => None,
    }
}

/// How many values are NaN; `None` if the type has no NaN.
pub(crate) fn nan_count(array: &ArrayRef) -> Option<u64> {
    let count = match array.data_type() {
        DataType::Float32 => {
            array.as_primitive::<Float32Type>().iter().flatten().filter(|value| value.is_nan()).count()
        }
        DataType::Float64 => {
            array.as_primitive::<Float64Type>().iter().flatten().filter(|value| value.is_nan()).count()
        }
        _ => return None,
    };
    Some(count as u64)
}

fn float(value: f64) -> Option<Value> {
    (!value.is_nan()).then_some(Value::Float(value))
}

fn booleans(array: &BooleanArray) -> Option<(Value, Value)> {
    Some((Value::Boolean(compute::min_boolean(array)?), Value::Boolean(compute::max_boolean(array)?)))
}

fn floats<T: ArrowPrimitiveType<Native: Into<f64>>>(array: &PrimitiveArray<T>) -> Option<(Value, Value)> {
    let values = array.iter().flatten().map(Into::into).filter(|value: &f64| !value.is_nan());
    let (min, max) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
        (
            if value.total_cmp(&min).is_lt() { value } else { min },
            if value.total_cmp(&max).is_gt() { value } else { max },
        )
    });
    // of no value the fold makes an empty range; a column of infinities alone makes a point
    (min <= max).then_some((Value::Float(min), Value::Float(max)))
}
