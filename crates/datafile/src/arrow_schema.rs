//! A table's schema as Arrow sees it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit as ArrowUnit};
use cenote_vocab::{Field, FieldId, FieldType, TableSchema, TimeUnit};

use crate::Error;

/// The metadata key by which the Parquet library reads and writes field ids.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";

/// The metadata key of Arrow's canonical extension types.
pub(crate) const EXTENSION_KEY: &str = "ARROW:extension:name";
pub(crate) const JSON_EXTENSION: &str = "arrow.json";
pub(crate) const UUID_EXTENSION: &str = "arrow.uuid";

/// Names of what is in lists and maps, as Parquet has them.
pub const LIST_ELEMENT: &str = "element";
const MAP_ENTRIES: &str = "key_value";
const MAP_KEY: &str = "key";
const MAP_VALUE: &str = "value";

/// Bytes of a UUID.
const UUID_BYTES: i32 = 16;
/// Digits that 128 bits hold.
const DECIMAL128_DIGITS: u8 = 38;

/// The Arrow schema of a table: same order, field ids in the metadata, nullable unless required.
pub fn arrow_schema(schema: &TableSchema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields.iter().map(arrow_field).collect::<Vec<_>>()))
}

/// One column.
pub fn arrow_field(field: &Field) -> ArrowField {
    let mut metadata = HashMap::from([(FIELD_ID_KEY.to_owned(), field.id.to_string())]);
    let extension = match field.field_type {
        FieldType::Json => Some(JSON_EXTENSION),
        FieldType::Uuid => Some(UUID_EXTENSION),
        _ => None,
    };
    if let Some(extension) = extension {
        metadata.insert(EXTENSION_KEY.to_owned(), extension.to_owned());
    }
    ArrowField::new(&field.name, arrow_type(&field.field_type), !field.required).with_metadata(metadata)
}

/// The Arrow type in memory. Files differ in two points: timestamps coarser than a microsecond are widened to it, and
/// columns of type `unknown` are left out.
pub fn arrow_type(field_type: &FieldType) -> DataType {
    match field_type {
        FieldType::Boolean => DataType::Boolean,
        FieldType::Int8 => DataType::Int8,
        FieldType::Int16 => DataType::Int16,
        FieldType::Int32 => DataType::Int32,
        FieldType::Int64 => DataType::Int64,
        FieldType::UInt8 => DataType::UInt8,
        FieldType::UInt16 => DataType::UInt16,
        FieldType::UInt32 => DataType::UInt32,
        FieldType::UInt64 => DataType::UInt64,
        FieldType::Float => DataType::Float32,
        FieldType::Double => DataType::Float64,
        FieldType::Decimal { precision, scale } if *precision <= DECIMAL128_DIGITS => {
            DataType::Decimal128(*precision, *scale as i8) // scale <= precision <= 76
        }
        FieldType::Decimal { precision, scale } => DataType::Decimal256(*precision, *scale as i8),
        FieldType::Date => DataType::Date32,
        FieldType::Time => DataType::Time64(ArrowUnit::Microsecond),
        FieldType::Timestamp(unit) => DataType::Timestamp(arrow_unit(*unit), None),
        FieldType::TimestampTz(unit) => DataType::Timestamp(arrow_unit(*unit), Some("UTC".into())),
        FieldType::String | FieldType::Json => DataType::Utf8,
        FieldType::Binary => DataType::Binary,
        FieldType::Uuid => DataType::FixedSizeBinary(UUID_BYTES),
        FieldType::Unknown => DataType::Null,
        FieldType::List(element) => DataType::List(Arc::new(arrow_field(element))),
        FieldType::FixedList(element, length) => DataType::FixedSizeList(
            Arc::new(arrow_field(element)),
            i32::try_from(*length).unwrap_or(i32::MAX),
        ),
        FieldType::Struct(fields) => DataType::Struct(fields.iter().map(arrow_field).collect()),
        FieldType::Map { key, value } => {
            let entry = vec![arrow_field(key), arrow_field(value)];
            DataType::Map(
                Arc::new(ArrowField::new(MAP_ENTRIES, DataType::Struct(entry.into()), false)),
                false,
            )
        }
    }
}

/// The field id that a column, or a field in one, carries.
pub fn field_id(field: &ArrowField) -> Option<FieldId> {
    field.metadata().get(FIELD_ID_KEY)?.parse().ok().map(FieldId)
}

/// The storable type of an Arrow column; dictionary, run-end and view encodings are unwrapped, other zones count as
/// zoned timestamps (their values are UTC already). Fields in it have the ids that they carry, else 0.
///
/// `TypeNotStorable` for intervals, durations and unions, and what holds one.
pub fn field_type(field: &ArrowField) -> Result<FieldType, Error> {
    storable_field(field).ok_or_else(|| Error::TypeNotStorable {
        column: field.name().clone(),
        given: field.data_type().to_string(),
    })
}

fn storable_field(field: &ArrowField) -> Option<FieldType> {
    storable(field.data_type(), field.metadata().get(EXTENSION_KEY).map(String::as_str))
}

/// A field in a nested type, under the name that it has there.
fn inner_field(field: &ArrowField, name: &str) -> Option<Field> {
    let id = field_id(field).unwrap_or(FieldId(0));
    // a column of NULLs alone gets its type from the first value, but nothing in a column does
    let field_type = storable_field(field).filter(|inner| *inner != FieldType::Unknown)?;
    let inner = Field::new(id, name, field_type);
    Some(if field.is_nullable() { inner } else { inner.required() })
}

fn storable(data_type: &DataType, extension: Option<&str>) -> Option<FieldType> {
    Some(match data_type {
        DataType::Null => FieldType::Unknown,
        DataType::Boolean => FieldType::Boolean,
        DataType::Int8 => FieldType::Int8,
        DataType::Int16 => FieldType::Int16,
        DataType::Int32 => FieldType::Int32,
        DataType::Int64 => FieldType::Int64,
        DataType::UInt8 => FieldType::UInt8,
        DataType::UInt16 => FieldType::UInt16,
        DataType::UInt32 => FieldType::UInt32,
        DataType::UInt64 => FieldType::UInt64,
        DataType::Float32 => FieldType::Float,
        DataType::Float64 => FieldType::Double,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            let scale = u8::try_from(*scale).ok().filter(|scale| scale <= precision)?;
            FieldType::Decimal { precision: *precision, scale }
        }
        DataType::Date32 | DataType::Date64 => FieldType::Date,
        DataType::Time32(_) | DataType::Time64(_) => FieldType::Time,
        DataType::Timestamp(unit, None) => FieldType::Timestamp(time_unit(*unit)),
        DataType::Timestamp(unit, Some(_)) => FieldType::TimestampTz(time_unit(*unit)),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if extension == Some(JSON_EXTENSION) => {
            FieldType::Json
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => FieldType::String,
        DataType::FixedSizeBinary(UUID_BYTES) if extension == Some(UUID_EXTENSION) => FieldType::Uuid,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            FieldType::Binary
        }
        DataType::Dictionary(_, values) => storable(values, extension)?,
        DataType::RunEndEncoded(_, values) => storable(values.data_type(), extension)?,
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element) => FieldType::List(Box::new(inner_field(element, LIST_ELEMENT)?)),
        DataType::FixedSizeList(element, length) => {
            let length = u32::try_from(*length).ok().filter(|length| *length > 0)?;
            FieldType::FixedList(Box::new(inner_field(element, LIST_ELEMENT)?), length)
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let inner = fields.iter().map(|field| inner_field(field, field.name()));
            FieldType::Struct(inner.collect::<Option<_>>()?)
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { return None };
            let [key, value] = fields.as_ref() else { return None };
            let key = inner_field(key, MAP_KEY)?.required();
            FieldType::Map { key: Box::new(key), value: Box::new(inner_field(value, MAP_VALUE)?) }
        }
        DataType::Float16
        | DataType::Duration(_)
        | DataType::Interval(_)
        | DataType::Struct(_)
        | DataType::Union(_, _) => return None,
    })
}

fn arrow_unit(unit: TimeUnit) -> ArrowUnit {
    match unit {
        TimeUnit::Second => ArrowUnit::Second,
        TimeUnit::Milli => ArrowUnit::Millisecond,
        TimeUnit::Micro => ArrowUnit::Microsecond,
        TimeUnit::Nano => ArrowUnit::Nanosecond,
    }
}

fn time_unit(unit: ArrowUnit) -> TimeUnit {
    match unit {
        ArrowUnit::Second => TimeUnit::Second,
        ArrowUnit::Millisecond => TimeUnit::Milli,
        ArrowUnit::Microsecond => TimeUnit::Micro,
        ArrowUnit::Nanosecond => TimeUnit::Nano,
    }
}

/// The columns as SQL sees them: without field ids, which are no business of an answer.
pub fn sql_schema(schema: &TableSchema) -> SchemaRef {
    Arc::new(Schema::new(arrow_schema(schema).fields().iter().map(|field| plain(field)).collect::<Vec<_>>()))
}

/// The field, and those in it, without ids.
fn plain(field: &ArrowField) -> ArrowField {
    let inner = |field: &Arc<ArrowField>| Arc::new(plain(field));
    let data_type = match field.data_type() {
        DataType::List(element) => DataType::List(inner(element)),
        DataType::FixedSizeList(element, length) => DataType::FixedSizeList(inner(element), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    };
    let mut metadata = field.metadata().clone();
    metadata.remove(FIELD_ID_KEY);
    field.clone().with_data_type(data_type).with_metadata(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One column of every storable type.
    fn every_type() -> Vec<FieldType> {
        let units = [TimeUnit::Second, TimeUnit::Milli, TimeUnit::Micro, TimeUnit::Nano];
        let mut types = vec![
            FieldType::Boolean,
            FieldType::Int8,
            FieldType::Int16,
            FieldType::Int32,
            FieldType::Int64,
            FieldType::UInt8,
            FieldType::UInt16,
            FieldType::UInt32,
            FieldType::UInt64,
            FieldType::Float,
            FieldType::Double,
            FieldType::Decimal { precision: 38, scale: 38 },
            FieldType::Decimal { precision: 76, scale: 0 },
            FieldType::Date,
            FieldType::Time,
            FieldType::String,
            FieldType::Binary,
            FieldType::Uuid,
            FieldType::Json,
            FieldType::Unknown,
        ];
        types.extend(units.map(FieldType::Timestamp));
        types.extend(units.map(FieldType::TimestampTz));
        let inner = |id, name: &str, field_type| Field::new(FieldId(id), name, field_type);
        let element = inner(8, LIST_ELEMENT, FieldType::Json);
        let pair = vec![inner(10, "a b", FieldType::Uuid).required(), inner(11, "b", FieldType::Date)];
        let value = inner(13, MAP_VALUE, FieldType::Struct(pair));
        types.push(FieldType::FixedList(Box::new(element.clone()), 3));
        types.push(FieldType::List(Box::new(element)));
        let key = inner(12, MAP_KEY, FieldType::String).required();
        types.push(FieldType::Map { key: Box::new(key), value: Box::new(value) });
        types
    }

    #[test]
    fn every_type_survives_the_way_to_arrow_and_back() {
        for given in every_type() {
            let field = Field::new(FieldId(7), "c", given.clone()).required();
            let arrow = arrow_field(&field);
            assert_eq!(field_type(&arrow).unwrap(), given);
            assert_eq!(arrow.metadata()[FIELD_ID_KEY], "7");
            assert!(!arrow.is_nullable());
        }
    }

    #[test]
    fn encodings_are_unwrapped() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8View));
        assert_eq!(field_type(&ArrowField::new("c", dictionary, true)).unwrap(), FieldType::String);
        let zoned = DataType::Timestamp(ArrowUnit::Millisecond, Some("Europe/Oslo".into()));
        assert_eq!(
            field_type(&ArrowField::new("c", zoned, true)).unwrap(),
            FieldType::TimestampTz(TimeUnit::Milli)
        );
    }

    #[test]
    fn what_a_table_cannot_store_is_refused_by_name() {
        let list = DataType::List(Arc::new(ArrowField::new("item", DataType::Float16, true)));
        for data_type in
            [list, DataType::Duration(ArrowUnit::Second), DataType::Float16, DataType::Decimal128(10, -2)]
        {
            let error = field_type(&ArrowField::new("readings", data_type, true)).unwrap_err();
            assert!(error.to_string().starts_with("column \"readings\" has type "), "{error}");
        }
    }
}
