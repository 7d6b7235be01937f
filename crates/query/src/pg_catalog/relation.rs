//! A made relation: its columns in one line of text, its rows as named cells.
//!
//! `oid:oid relname:name relacl:text[]?`: a name, a type, and `?` where a cell that no row names is NULL instead of zero,
//! false or empty. OIDs are `int4`, as in the relations that come ready-made.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Int16Builder, Int32Builder, Int64Builder, RecordBatch,
    StringBuilder, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::Result;

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// An object id.
    Oid(u32),
    /// Any integer, or a whole float.
    Int(i64),
    /// Text, names, single letters.
    Text(String),
    /// true, false
    Bool(bool),
    /// NULL, whatever the column's default.
    Null,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Option<&str>> for Cell {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::from)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

/// The cells of a row that are not their column's default.
pub(crate) type Row = Vec<(&'static str, Cell)>;

/// The columns of a relation.
pub(crate) struct Columns {
    columns: Vec<Column>,
    schema: SchemaRef,
}

struct Column {
    name: &'static str,
    data_type: DataType,
    /// NULL, or zero, false, empty.
    null: bool,
}

impl Columns {
    /// Reads the line; it is a constant of ours, so an unknown type is text.
    pub(crate) fn new(line: &'static str) -> Self {
        let columns: Vec<_> = line
            .split_whitespace()
            .map(|word| {
                let (name, rest) = word.split_once(':').unwrap_or((word, "text"));
                let (kind, null) = rest.strip_suffix('?').map_or((rest, false), |kind| (kind, true));
                Column { name, data_type: data_type(kind), null }
            })
            .collect();
        let fields: Vec<_> =
            columns.iter().map(|column| Field::new(column.name, column.data_type.clone(), true)).collect();
        Self { columns, schema: Arc::new(Schema::new(fields)) }
    }

    /// As Arrow sees it.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The rows, column by column.
    pub(crate) fn batch(&self, rows: &[Row]) -> Result<RecordBatch> {
        let arrays = self.columns.iter().map(|column| column.array(rows)).collect();
        Ok(RecordBatch::try_new(self.schema.clone(), arrays)?)
    }
}

fn data_type(kind: &str) -> DataType {
    match kind {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "oid" | "int4" => DataType::Int32,
        "int8" => DataType::Int64,
        "float4" => DataType::Float32,
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        array if array.ends_with("[]") => {
            DataType::List(Arc::new(Field::new_list_field(data_type(array.trim_end_matches("[]")), true)))
        }
        _ => DataType::Utf8,
    }
}

impl Column {
    fn array(&self, rows: &[Row]) -> ArrayRef {
        let cells =
            rows.iter().map(|row| row.iter().find(|(name, _)| *name == self.name).map(|(_, cell)| cell));
        let integers = || {
            cells.clone().map(|cell| match cell {
                Some(Cell::Int(value)) => Some(*value),
                // an OID above 2^31 wraps, as int4 has no room for it
                Some(Cell::Oid(oid)) => Some(i64::from(oid.cast_signed())),
                Some(_) => None,
                None => (!self.null).then_some(0),
            })
        };
        match self.data_type {
            DataType::Boolean => {
                let mut builder = BooleanBuilder::with_capacity(rows.len());
                cells.for_each(|cell| {
                    builder.append_option(match cell {
                        Some(Cell::Bool(value)) => Some(*value),
                        Some(_) => None,
                        None => (!self.null).then_some(false),
                    });
                });
                Arc::new(builder.finish())
            }
            DataType::Int16 => {
                let mut builder = Int16Builder::with_capacity(rows.len());
                integers().for_each(|value| {
                    builder.append_option(value.and_then(|value| i16::try_from(value).ok()))
                });
                Arc::new(builder.finish())
            }
            DataType::Int32 => {
                let mut builder = Int32Builder::with_capacity(rows.len());
                integers().for_each(|value| {
                    builder.append_option(value.and_then(|value| i32::try_from(value).ok()))
                });
                Arc::new(builder.finish())
            }
            DataType::Int64 => {
                let mut builder = Int64Builder::with_capacity(rows.len());
                integers().for_each(|value| builder.append_option(value));
                Arc::new(builder.finish())
            }
            DataType::Float32 => {
                let mut builder = Float32Builder::with_capacity(rows.len());
                integers().for_each(|value| builder.append_option(value.map(|value| value as f32)));
                Arc::new(builder.finish())
            }
            DataType::Utf8 => {
                let mut builder = StringBuilder::new();
                cells.for_each(|cell| {
                    builder.append_option(match cell {
                        Some(Cell::Text(text)) => Some(text.as_str()),
                        Some(_) => None,
                        None => (!self.null).then_some(""),
                    });
                });
                Arc::new(builder.finish())
            }
            // No row of ours has an array or an instant.
            _ => new_null_array(&self.data_type, rows.len()),
        }
    }
}
