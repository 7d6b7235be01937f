//! The stored form of statistics (`cn_bounds.stats`, version 1).
//!
//! ```text
//! version u8 (0x80 set: the rest is a zstd frame)
//! n
//! n × { field_id, flags u8, value_count, null_count, [nan_count], [distinct_count], [bytes], [len, min], [len, max] }
//! ```
//! Numbers are LEB128; columns ascend by field id. Flags: 1 bounds, 2 min cut, 4 max cut, 8 nan, 16 distinct, 32 bytes.
//! A maximum that is cut and empty stands for none: no value of its length lies above.

use std::collections::HashMap;
use std::io::Read;

use cenote_vocab::{Field, FieldId, FieldType, TableSchema, TimeUnit};

use crate::value::per_second;
use crate::{ColumnStatistics, Error, FileStatistics, Value};

const VERSION: u8 = 1;
/// Set in the version: the rest is compressed.
const COMPRESSED: u8 = 0x80;
/// Longer ones are compressed.
const PLAIN_BYTES_MAX: usize = 4096;
const ZSTD_LEVEL: i32 = 3;
/// More than the statistics of every column of the widest table; what claims to be larger is damaged.
const DECODED_BYTES_MAX: u64 = 4 << 20;

const BOUNDS: u8 = 1;
const MIN_CUT: u8 = 2;
const MAX_CUT: u8 = 4;
const NAN_COUNT: u8 = 8;
const DISTINCT_COUNT: u8 = 16;
const BYTES: u8 = 32;
const KNOWN_FLAGS: u8 = BOUNDS | MIN_CUT | MAX_CUT | NAN_COUNT | DISTINCT_COUNT | BYTES;

pub(crate) fn encode(statistics: &FileStatistics, schema: &TableSchema) -> Vec<u8> {
    let fields = by_id(schema);
    let columns: Vec<(&Field, &ColumnStatistics)> = statistics
        .columns
        .iter()
        .filter_map(|column| Some((*fields.get(&column.field_id)?, column)))
        .collect();
    let mut blob = vec![VERSION];
    put_number(&mut blob, columns.len() as u64);
    for (field, column) in columns {
        put_column(&mut blob, field, column);
    }
    if blob.len() <= PLAIN_BYTES_MAX {
        return blob;
    }
    let mut compressed = vec![VERSION | COMPRESSED];
    compressed
        .extend(zstd::bulk::compress(&blob[1..], ZSTD_LEVEL).expect("compression into memory succeeds"));
    compressed
}

/// Columns and what is in them.
fn by_id(schema: &TableSchema) -> HashMap<FieldId, &Field> {
    schema.all_fields().into_iter().map(|(field, _)| (field.id, field)).collect()
}

fn put_column(blob: &mut Vec<u8>, field: &Field, column: &ColumnStatistics) {
    let min = column.min.as_ref().and_then(|min| bound_bytes(min, &field.field_type));
    let max = column.max.as_ref().and_then(|max| bound_bytes(max, &field.field_type));
    let mut flags = 0;
    if min.is_some() {
        flags |= BOUNDS;
        flags |= if column.min_exact { 0 } else { MIN_CUT };
        flags |= if column.max_exact && max.is_some() { 0 } else { MAX_CUT };
    }
    flags |= if column.nan_count.is_some() { NAN_COUNT } else { 0 };
    put_number(blob, u64::from(field.id.0.unsigned_abs())); // ids count from 1
    blob.push(flags);
    put_number(blob, column.value_count);
    put_number(blob, column.null_count);
    if let Some(nan_count) = column.nan_count {
        put_number(blob, nan_count);
    }
    if let Some(min) = min {
        for bound in [min, max.unwrap_or_default()] {
            put_number(blob, bound.len() as u64);
            blob.extend(bound);
        }
    }
}

pub(crate) fn decode(blob: &[u8], schema: &TableSchema) -> Result<FileStatistics, Error> {
    let corrupt = |reason: String| Error::Corrupt { object: "statistics of a file".to_owned(), reason };
    let (&version, rest) = blob.split_first().ok_or_else(|| corrupt("no bytes".into()))?;
    let columns = match version {
        VERSION => Columns { rest }.read(schema),
        version if version == VERSION | COMPRESSED => {
            let plain = decompress(rest).map_err(&corrupt)?;
            Columns { rest: &plain }.read(schema)
        }
        other => Err(format!("version is {other:#04x}, known is {VERSION}")),
    };
    columns.map(|columns| FileStatistics { columns }).map_err(corrupt)
}

fn decompress(frame: &[u8]) -> Result<Vec<u8>, String> {
    let wrong = |error: std::io::Error| format!("zstd frame does not read: {error}");
    let mut plain = Vec::new();
    let decoder = zstd::Decoder::with_buffer(frame).map_err(wrong)?;
    decoder.take(DECODED_BYTES_MAX + 1).read_to_end(&mut plain).map_err(wrong)?;
    if plain.len() as u64 > DECODED_BYTES_MAX {
        return Err(format!("more than {DECODED_BYTES_MAX} bytes"));
    }
    Ok(plain)
}

/// The bytes that are still to be read. Errors are reasons.
struct Columns<'a> {
    rest: &'a [u8],
}

impl<'a> Columns<'a> {
    fn read(mut self, schema: &TableSchema) -> Result<Vec<ColumnStatistics>, String> {
        let count = self.number()?;
        let fields = by_id(schema);
        let mut columns = Vec::new();
        let mut last_id = 0;
        for _ in 0..count {
            let id = i32::try_from(self.number()?).map_err(|_| "field id is too large".to_owned())?;
            if id <= last_id {
                return Err(format!("field id {id} does not follow {last_id}"));
            }
            last_id = id;
            let field = fields.get(&FieldId(id)).copied();
            if let Some(column) = self.column(FieldId(id), field)? {
                columns.push(column);
            }
        }
        if !self.rest.is_empty() {
            return Err(format!("{} bytes after the last column", self.rest.len()));
        }
        Ok(columns)
    }

    /// One column; `None` if the schema does not have it.
    fn column(&mut self, id: FieldId, field: Option<&Field>) -> Result<Option<ColumnStatistics>, String> {
        let flags = self.byte()?;
        if flags & !KNOWN_FLAGS != 0 {
            return Err(format!("flags of column {id} are {flags:#04x}"));
        }
        let has = |flag: u8| flags & flag != 0;
        let value_count = self.number()?;
        let null_count = self.number()?;
        let nan_count = if has(NAN_COUNT) { Some(self.number()?) } else { None };
        for skipped in [DISTINCT_COUNT, BYTES] {
            if has(skipped) {
                self.number()?;
            }
        }
        let bounds = if has(BOUNDS) { Some((self.bytes()?, self.bytes()?)) } else { None };
        if null_count.saturating_add(nan_count.unwrap_or(0)) > value_count {
            return Err(format!("column {id} has {value_count} values, {null_count} NULLs"));
        }
        let Some(field) = field else { return Ok(None) };
        let mut column = ColumnStatistics {
            field_id: id,
            value_count,
            null_count,
            nan_count,
            min: None,
            max: None,
            min_exact: true,
            max_exact: true,
        };
        if let Some((min, max)) = bounds {
            column.min = bound_value(min, &field.field_type, Side::Min)?;
            column.min_exact = !has(MIN_CUT);
            column.max_exact = !has(MAX_CUT);
            if !(max.is_empty() && has(MAX_CUT)) {
                column.max = bound_value(max, &field.field_type, Side::Max)?;
            }
        }
        if let (Some(min), Some(max)) = (&column.min, &column.max)
            && min > max
        {
            return Err(format!("minimum of column {id} is above its maximum"));
        }
        Ok(Some(column))
    }

    fn byte(&mut self) -> Result<u8, String> {
        let (&byte, rest) = self.rest.split_first().ok_or("cut short")?;
        self.rest = rest;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("number is too large".into())
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = usize::try_from(self.number()?).map_err(|_| "length is too large")?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or("cut short")?;
        self.rest = rest;
        Ok(bytes)
    }
}

fn put_number(blob: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        blob.push(number as u8 | 0x80);
        number >>= 7;
    }
    blob.push(number as u8);
}

/// Which end of a column's values a bound marks: rounding goes away from them.
#[derive(Clone, Copy)]
enum Side {
    Min,
    Max,
}

/// Iceberg's single-value encoding; `None` if the type cannot hold the value.
fn bound_bytes(value: &Value, field_type: &FieldType) -> Option<Vec<u8>> {
    Some(match (value, field_type) {
        (Value::Boolean(value), FieldType::Boolean) => vec![u8::from(*value)],
        (Value::Float(value), FieldType::Float) => (*value as f32).to_le_bytes().to_vec(),
        (Value::Float(value), FieldType::Double) => value.to_le_bytes().to_vec(),
        (Value::Text(text), FieldType::String | FieldType::Json) => text.clone().into_bytes(),
        (Value::Bytes(bytes), FieldType::Binary) => bytes.clone(),
        (Value::Bytes(bytes), FieldType::Uuid) if bytes.len() == 16 => bytes.clone(),
        (Value::Integer(integer), FieldType::Decimal { .. }) => decimal_bytes(*integer),
        (Value::Integer(integer), field_type) => match width(field_type)? {
            Width::Four => i32::try_from(*integer).ok()?.to_le_bytes().to_vec(),
            Width::Eight => {
                let stored = integer.checked_mul(micros_per_unit(field_type))?;
                i64::try_from(stored).ok()?.to_le_bytes().to_vec()
            }
            Width::EightUnsigned => u64::try_from(*integer).ok()?.to_le_bytes().to_vec(),
        },
        _ => return None,
    })
}

/// The value of stored bytes; `None` if their length is that of another type, which a later schema explains.
fn bound_value(bytes: &[u8], field_type: &FieldType, side: Side) -> Result<Option<Value>, String> {
    let wrong = || format!("{} bytes are no bound of type {field_type}", bytes.len());
    Ok(match field_type {
        FieldType::String | FieldType::Json => {
            let text = std::str::from_utf8(bytes).map_err(|_| "bound is not UTF-8")?;
            Some(Value::Text(text.to_owned()))
        }
        FieldType::Binary => Some(Value::Bytes(bytes.to_vec())),
        FieldType::Uuid if bytes.len() == 16 => Some(Value::Bytes(bytes.to_vec())),
        FieldType::Uuid => return Err(wrong()),
        FieldType::Decimal { .. } => Some(Value::Integer(decimal_value(bytes).ok_or_else(wrong)?)),
        FieldType::Boolean => match bytes {
            [0] => Some(Value::Boolean(false)),
            [1] => Some(Value::Boolean(true)),
            _ => return Err(wrong()),
        },
        fixed => match *bytes {
            [a, b, c, d] => {
                let word = [a, b, c, d];
                match fixed {
                    FieldType::Float => float_value(f32::from_le_bytes(word).into())?,
                    fixed if width(fixed).is_some() && !is_instant(fixed) => {
                        Some(Value::Integer(i32::from_le_bytes(word).into()))
                    }
                    _ => None,
                }
            }
            [a, b, c, d, e, f, g, h] => {
                let word = [a, b, c, d, e, f, g, h];
                match (fixed, width(fixed)) {
                    (FieldType::Double, _) => float_value(f64::from_le_bytes(word))?,
                    (_, Some(Width::Eight)) => {
                        let stored = i128::from(i64::from_le_bytes(word));
                        Some(Value::Integer(in_units(stored, micros_per_unit(fixed), side)))
                    }
                    (_, Some(Width::EightUnsigned)) => Some(Value::Integer(u64::from_le_bytes(word).into())),
                    _ => None,
                }
            }
            _ => return Err(wrong()),
        },
    })
}

fn float_value(value: f64) -> Result<Option<Value>, String> {
    if value.is_nan() { Err("bound is NaN".into()) } else { Ok(Some(Value::Float(value))) }
}

enum Width {
    Four,
    Eight,
    EightUnsigned,
}

fn width(field_type: &FieldType) -> Option<Width> {
    match field_type {
        FieldType::Int8
        | FieldType::Int16
        | FieldType::Int32
        | FieldType::UInt8
        | FieldType::UInt16
        | FieldType::Date => Some(Width::Four),
        FieldType::Int64
        | FieldType::UInt32
        | FieldType::Time
        | FieldType::Timestamp(_)
        | FieldType::TimestampTz(_) => Some(Width::Eight),
        FieldType::UInt64 => Some(Width::EightUnsigned),
        _ => None,
    }
}

fn is_instant(field_type: &FieldType) -> bool {
    matches!(field_type, FieldType::Time | FieldType::Timestamp(_) | FieldType::TimestampTz(_))
}

/// Stored units in one of the column's: timestamps coarser than a microsecond are stored in it.
fn micros_per_unit(field_type: &FieldType) -> i128 {
    match field_type {
        FieldType::Timestamp(unit @ (TimeUnit::Second | TimeUnit::Milli))
        | FieldType::TimestampTz(unit @ (TimeUnit::Second | TimeUnit::Milli)) => {
            per_second(TimeUnit::Micro) / per_second(*unit)
        }
        _ => 1,
    }
}

fn in_units(stored: i128, per_unit: i128, side: Side) -> i128 {
    match side {
        Side::Min => stored.div_euclid(per_unit),
        Side::Max => -(-stored).div_euclid(per_unit),
    }
}

/// Two's complement, big endian, as few bytes as keep the sign.
fn decimal_bytes(unscaled: i128) -> Vec<u8> {
    let bytes = unscaled.to_be_bytes();
    let sign = if unscaled < 0 { 0xff } else { 0 };
    let needed = |at: usize| bytes[at] != sign || (bytes[at + 1] ^ sign) & 0x80 != 0;
    let start = (0..bytes.len() - 1).find(|at| needed(*at)).unwrap_or(bytes.len() - 1);
    bytes[start..].to_vec()
}

fn decimal_value(bytes: &[u8]) -> Option<i128> {
    let first = *bytes.first()?;
    let mut wide = if first & 0x80 != 0 { [0xff; 16] } else { [0; 16] };
    let start = wide.len().checked_sub(bytes.len())?;
    wide[start..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

#[cfg(test)]
mod tests;
