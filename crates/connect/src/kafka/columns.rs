//! Columns of a topic's rows: those of its values, and what a message tells beside them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use cenote_codec::record::AvroDecoder;

use super::options::ValueFormat;
use crate::Error;
use crate::connector::{Column, sql_type};
use crate::format::FileFormat;

/// What a message tells of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Its offset.
    Offset,
    Partition,
    Topic,
    /// ms since 1970.
    Millis,
    /// The same, as a point in time.
    Instant,
    /// Its key, as it is.
    Key,
    /// Its key, as text.
    KeyText,
}

const INSTANT: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// What a column takes from the message, if it is of a type that fits.
pub(super) fn told(column: &Column) -> Result<Option<Told>, Error> {
    let Some(key) = &column.metadata else { return Ok(None) };
    let given = column.field.data_type();
    let (told, expected) = match (key.as_str(), given) {
        ("offset_id", _) => (Told::Offset, DataType::Int64),
        ("partition", _) => (Told::Partition, DataType::Int32),
        ("topic", _) => (Told::Topic, DataType::Utf8),
        ("timestamp", DataType::Timestamp(..)) => (Told::Instant, INSTANT),
        ("timestamp", _) => (Told::Millis, DataType::Int64),
        ("key", DataType::Utf8) => (Told::KeyText, DataType::Utf8),
        ("key", _) => (Told::Key, DataType::Binary),
        (other, _) => {
            return Err(Error::Options(format!(
                "unknown metadata field '{other}'; there are offset_id, partition, topic, timestamp, key"
            )));
        }
    };
    if *given != expected {
        return Err(Error::Options(format!(
            "incorrect data type for metadata field '{key}'; expected {}, but found {}",
            sql_type(&expected),
            sql_type(given)
        )));
    }
    Ok(Some(told))
}

/// The columns that stand in values.
pub(super) fn stored(columns: &[Column]) -> SchemaRef {
    let stored = columns.iter().filter(|column| column.metadata.is_none());
    Arc::new(Schema::new(stored.map(|column| column.field.clone()).collect::<Vec<_>>()))
}

/// Fails if messages of this format cannot have these columns.
pub(super) fn check(format: &ValueFormat, columns: &[Column]) -> Result<(), Error> {
    for column in columns {
        told(column)?;
    }
    let stored = stored(columns);
    match format {
        ValueFormat::Record(format) | ValueFormat::Lines(format) => {
            FileFormat::Records(format.clone()).check(&stored)
        }
        ValueFormat::RegisteredJson(_) => Ok(()),
        ValueFormat::Avro { unstructured } => AvroDecoder::new(stored, *unstructured)
            .map(drop)
            .map_err(|error| Error::Options(error.to_string())),
    }
}

/// The place of the column that an option names.
pub(super) fn named(columns: &Schema, option: &str, name: &str) -> Result<usize, Error> {
    let found = columns.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| Error::Options(format!("option '{option}' is a column of the table, got '{name}'")))
}
