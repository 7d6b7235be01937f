//! One column of a batch, downcast once, so that printing a cell is one branch on its type.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, GenericBinaryArray, GenericStringArray, Int32Array, Int64Array, PrimitiveArray,
    StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, DecimalType,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Field,
    Float32Type, Float64Type, Int8Type, Int16Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Style;
use super::date::{Ticks, write_date, write_time, write_timestamp};
use super::interval::{Parts, intervals, write_interval};
use super::type_name::extension;

/// One column, ready to print.
pub(super) struct Cells<'a> {
    nulls: Option<NullBuffer>,
    values: Values<'a>,
    style: Style,
}

enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    UInt8(&'a PrimitiveArray<UInt8Type>),
    UInt16(&'a PrimitiveArray<UInt16Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal128(&'a Decimal128Array),
    Decimal256(&'a Decimal256Array),
    Text(&'a GenericStringArray<i32>),
    LargeText(&'a GenericStringArray<i64>),
    TextView(&'a StringViewArray),
    Json(Box<Cells<'a>>),
    Binary(&'a GenericBinaryArray<i32>),
    LargeBinary(&'a GenericBinaryArray<i64>),
    BinaryView(&'a BinaryViewArray),
    FixedBinary(&'a FixedSizeBinaryArray),
    Uuid(&'a FixedSizeBinaryArray),
    Timestamp(&'a [i64], Ticks),
    Days(&'a [i32]),
    Time32(&'a [i32], Ticks),
    Time64(&'a [i64], Ticks),
    Duration(&'a [i64], i64),
    Interval(Vec<Parts>),
    List(Vec<(usize, usize)>, Box<Cells<'a>>),
    Struct(Vec<String>, Vec<Cells<'a>>),
    Map(Vec<(usize, usize)>, Box<Cells<'a>>, Box<Cells<'a>>),
    Dictionary(Vec<usize>, Box<Cells<'a>>),
}

impl<'a> Cells<'a> {
    /// The column of `field`; an error names a type that no text format has.
    pub(super) fn of(array: &'a ArrayRef, field: &Field, style: Style) -> Result<Self, ArrowError> {
        let values = match extension(field) {
            Some("arrow.uuid") if *field.data_type() == DataType::FixedSizeBinary(16) => {
                Values::Uuid(array.as_fixed_size_binary())
            }
            Some("arrow.json") if is_text(array.data_type()) => {
                Values::Json(Box::new(Self { nulls: None, values: values(array, style)?, style }))
            }
            _ => values(array, style)?,
        };
        Ok(Self { nulls: array.logical_nulls(), values, style })
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) || matches!(self.values, Values::Null)
    }

    /// The cell as a JSON value.
    pub(super) fn write_json(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Text(array) => write_json_text(array.value(row), out),
            Values::LargeText(array) => write_json_text(array.value(row), out),
            Values::TextView(array) => write_json_text(array.value(row), out),
            Values::Json(text) => text.with_text(row, |text| write_json_value(text, out)),
            Values::Decimal128(_) | Values::Decimal256(_) if self.style.exact => self.write_quoted(row, out),
            Values::Float32(array) if !array.value(row).is_finite() => out.extend_from_slice(b"null"),
            Values::Float64(array) if !array.value(row).is_finite() => out.extend_from_slice(b"null"),
            Values::Timestamp(..)
            | Values::Days(_)
            | Values::Time32(..)
            | Values::Time64(..)
            | Values::Duration(..)
            | Values::Interval(_)
            | Values::Binary(_)
            | Values::LargeBinary(_)
            | Values::BinaryView(_)
            | Values::FixedBinary(_)
            | Values::Uuid(_) => self.write_quoted(row, out),
            Values::List(ranges, items) => {
                let (from, to) = ranges[row];
                write_list(b'[', b']', from..to, out, |item, out| items.write_json(item, out));
            }
            Values::Struct(names, fields) => {
                write_list(b'{', b'}', 0..fields.len(), out, |field, out| {
                    write_json_text(&names[field], out);
                    out.push(b':');
                    fields[field].write_json(row, out);
                });
            }
            Values::Map(ranges, keys, values) => {
                let (from, to) = ranges[row];
                write_list(b'{', b'}', from..to, out, |entry, out| {
                    keys.write_json_key(entry, out);
                    out.push(b':');
                    values.write_json(entry, out);
                });
            }
            Values::Dictionary(keys, values) => values.write_json(keys[row], out),
            _ => self.write_plain(row, out),
        }
    }

    /// The cell as text without quotes, for CSV; nested values as JSON. NULL writes nothing.
    pub(super) fn write_text(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return;
        }
        match &self.values {
            Values::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Values::LargeText(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Values::TextView(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Values::Json(text) => text.write_text(row, out),
            Values::Dictionary(keys, values) => values.write_text(keys[row], out),
            Values::List(..) | Values::Struct(..) | Values::Map(..) => self.write_json(row, out),
            _ => self.write_plain(row, out),
        }
    }

    /// True if [`Cells::write_text`] never writes a byte that CSV must quote, and never an empty text.
    pub(super) fn is_bare(&self) -> bool {
        match &self.values {
            Values::Text(_)
            | Values::LargeText(_)
            | Values::TextView(_)
            | Values::Json(_)
            | Values::Binary(_)
            | Values::LargeBinary(_)
            | Values::BinaryView(_)
            | Values::FixedBinary(_)
            | Values::List(..)
            | Values::Struct(..)
            | Values::Map(..) => false,
            Values::Dictionary(_, values) => values.is_bare(),
            _ => true,
        }
    }

    fn write_quoted(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        self.write_plain(row, out);
        out.push(b'"');
    }

    /// Keys of a JSON object are strings, whatever the type of the map's keys.
    fn write_json_key(&self, row: usize, out: &mut Vec<u8>) {
        let mut text = Vec::new();
        self.write_text(row, &mut text);
        write_json_text(&String::from_utf8_lossy(&text), out);
    }

    fn with_text(&self, row: usize, act: impl FnOnce(&str)) {
        match &self.values {
            Values::Text(array) => act(array.value(row)),
            Values::LargeText(array) => act(array.value(row)),
            Values::TextView(array) => act(array.value(row)),
            _ => act("null"),
        }
    }

    /// Digits, letters and signs only.
    fn write_plain(&self, row: usize, out: &mut Vec<u8>) {
        match &self.values {
            Values::Boolean(array) => {
                out.extend_from_slice(if array.value(row) { b"true" } else { b"false" })
            }
            Values::Int8(array) => write_number(array.value(row), out),
            Values::Int16(array) => write_number(array.value(row), out),
            Values::Int32(array) => write_number(array.value(row), out),
            Values::Int64(array) => write_number(array.value(row), out),
            Values::UInt8(array) => write_number(array.value(row), out),
            Values::UInt16(array) => write_number(array.value(row), out),
            Values::UInt32(array) => write_number(array.value(row), out),
            Values::UInt64(array) => write_number(array.value(row), out),
            Values::Float32(array) => write_float(f64::from(array.value(row)), array.value(row), out),
            Values::Float64(array) => write_float(array.value(row), array.value(row), out),
            Values::Decimal128(array) => {
                let text = Decimal128Type::format_decimal(array.value(row), array.precision(), array.scale());
                out.extend_from_slice(text.as_bytes());
            }
            Values::Decimal256(array) => {
                let text = Decimal256Type::format_decimal(array.value(row), array.precision(), array.scale());
                out.extend_from_slice(text.as_bytes());
            }
            Values::Binary(array) => write_base64(array.value(row), out),
            Values::LargeBinary(array) => write_base64(array.value(row), out),
            Values::BinaryView(array) => write_base64(array.value(row), out),
            Values::FixedBinary(array) => write_base64(array.value(row), out),
            Values::Uuid(array) => {
                let id = uuid::Uuid::from_slice(array.value(row)).unwrap_or_default();
                out.extend_from_slice(
                    id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes(),
                );
            }
            Values::Timestamp(values, ticks) => write_timestamp(values[row], *ticks, out),
            Values::Days(values) => write_date(i64::from(values[row]), out),
            Values::Time32(values, ticks) => write_time(i64::from(values[row]), *ticks, out),
            Values::Time64(values, ticks) => write_time(values[row], *ticks, out),
            Values::Duration(values, nanos) => {
                write_interval(Parts { months: 0, days: 0, nanos: values[row].saturating_mul(*nanos) }, out);
            }
            Values::Interval(values) => write_interval(values[row], out),
            Values::Null
            | Values::Text(_)
            | Values::LargeText(_)
            | Values::TextView(_)
            | Values::Json(_)
            | Values::List(..)
            | Values::Struct(..)
            | Values::Map(..)
            | Values::Dictionary(..) => {}
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn values<'a>(array: &'a ArrayRef, style: Style) -> Result<Values<'a>, ArrowError> {
    Ok(match array.data_type() {
        DataType::Null => Values::Null,
        DataType::Boolean => Values::Boolean(array.as_boolean()),
        DataType::Int8 => Values::Int8(array.as_primitive()),
        DataType::Int16 => Values::Int16(array.as_primitive()),
        DataType::Int32 => Values::Int32(array.as_primitive()),
        DataType::Int64 => Values::Int64(array.as_primitive()),
        DataType::UInt8 => Values::UInt8(array.as_primitive()),
        DataType::UInt16 => Values::UInt16(array.as_primitive()),
        DataType::UInt32 => Values::UInt32(array.as_primitive()),
        DataType::UInt64 => Values::UInt64(array.as_primitive()),
        DataType::Float32 => Values::Float32(array.as_primitive()),
        DataType::Float64 => Values::Float64(array.as_primitive()),
        DataType::Decimal128(..) => Values::Decimal128(array.as_primitive()),
        DataType::Decimal256(..) => Values::Decimal256(array.as_primitive()),
        DataType::Utf8 => Values::Text(array.as_string()),
        DataType::LargeUtf8 => Values::LargeText(array.as_string()),
        DataType::Utf8View => Values::TextView(array.as_string_view()),
        DataType::Binary => Values::Binary(array.as_binary()),
        DataType::LargeBinary => Values::LargeBinary(array.as_binary()),
        DataType::BinaryView => Values::BinaryView(array.as_binary_view()),
        DataType::FixedSizeBinary(_) => Values::FixedBinary(array.as_fixed_size_binary()),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => Values::Timestamp(longs::<TimestampSecondType>(array), Ticks::Second),
            TimeUnit::Millisecond => {
                Values::Timestamp(longs::<TimestampMillisecondType>(array), Ticks::Milli)
            }
            TimeUnit::Microsecond => {
                Values::Timestamp(longs::<TimestampMicrosecondType>(array), Ticks::Micro)
            }
            TimeUnit::Nanosecond => Values::Timestamp(longs::<TimestampNanosecondType>(array), Ticks::Nano),
        },
        DataType::Date32 => Values::Days(ints::<Date32Type>(array)),
        DataType::Date64 => Values::Timestamp(longs::<Date64Type>(array), Ticks::Milli),
        DataType::Time32(TimeUnit::Second) => Values::Time32(ints::<Time32SecondType>(array), Ticks::Second),
        DataType::Time32(_) => Values::Time32(ints::<Time32MillisecondType>(array), Ticks::Milli),
        DataType::Time64(TimeUnit::Nanosecond) => {
            Values::Time64(longs::<Time64NanosecondType>(array), Ticks::Nano)
        }
        DataType::Time64(_) => Values::Time64(longs::<Time64MicrosecondType>(array), Ticks::Micro),
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => Values::Duration(longs::<DurationSecondType>(array), 1_000_000_000),
            TimeUnit::Millisecond => Values::Duration(longs::<DurationMillisecondType>(array), 1_000_000),
            TimeUnit::Microsecond => Values::Duration(longs::<DurationMicrosecondType>(array), 1_000),
            TimeUnit::Nanosecond => Values::Duration(longs::<DurationNanosecondType>(array), 1),
        },
        DataType::Interval(unit) => Values::Interval(intervals(array, *unit)),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            Values::List(ranges(list.value_offsets()), Box::new(Cells::of(list.values(), item, style)?))
        }
        DataType::LargeList(item) => {
            let list = array.as_list::<i64>();
            Values::List(ranges(list.value_offsets()), Box::new(Cells::of(list.values(), item, style)?))
        }
        DataType::FixedSizeList(item, size) => {
            let list = array.as_fixed_size_list();
            let size = usize::try_from(*size).unwrap_or(0);
            let ranges = (0..list.len()).map(|row| (row * size, (row + 1) * size)).collect();
            Values::List(ranges, Box::new(Cells::of(list.values(), item, style)?))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let cells = columns.iter().zip(fields).map(|(column, field)| Cells::of(column, field, style));
            let names = fields.iter().map(|field| field.name().clone()).collect();
            Values::Struct(names, cells.collect::<Result<_, _>>()?)
        }
        DataType::Map(entries, _) => {
            let map = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(ArrowError::SchemaError("the entries of a map are not a struct".into()));
            };
            let keys = Cells::of(map.keys(), &fields[0], style)?;
            let values = Cells::of(map.values(), &fields[1], style)?;
            Values::Map(ranges(map.value_offsets()), Box::new(keys), Box::new(values))
        }
        DataType::Dictionary(_, value) => {
            let dictionary = array.as_any_dictionary();
            let field = Field::new("value", value.as_ref().clone(), true);
            // an empty dictionary has only NULL keys, and `normalized_keys` has nothing to clamp them to
            let keys = if dictionary.values().is_empty() {
                vec![0; array.len()]
            } else {
                dictionary.normalized_keys()
            };
            Values::Dictionary(keys, Box::new(Cells::of(dictionary.values(), &field, style)?))
        }
        other => return Err(ArrowError::NotYetImplemented(format!("type {other} has no text form"))),
    })
}

fn longs<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> &[i64] {
    array.as_primitive::<T>().values()
}

fn ints<T: ArrowPrimitiveType<Native = i32>>(array: &ArrayRef) -> &[i32] {
    array.as_primitive::<T>().values()
}

fn ranges<O: arrow::array::OffsetSizeTrait>(offsets: &[O]) -> Vec<(usize, usize)> {
    offsets.windows(2).map(|pair| (pair[0].as_usize(), pair[1].as_usize())).collect()
}

fn write_list(
    open: u8,
    close: u8,
    items: std::ops::Range<usize>,
    out: &mut Vec<u8>,
    write: impl Fn(usize, &mut Vec<u8>),
) {
    out.push(open);
    let first = items.start;
    for item in items {
        if item != first {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(close);
}

pub(super) fn write_json_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a vector takes all bytes");
}

pub(super) fn write_number(number: impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &number).expect("a vector takes all bytes");
}

fn write_float(value: f64, number: impl serde::Serialize, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else {
        write_number(number, out);
    }
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).expect("four bytes for each three");
    out.truncate(start + written);
}

/// Stored JSON text as it is, on one line; text that is not JSON becomes a string.
fn write_json_value(text: &str, out: &mut Vec<u8>) {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return write_json_text(text, out);
    }
    // outside of strings a line end is white space, inside of strings valid JSON has none
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
}
