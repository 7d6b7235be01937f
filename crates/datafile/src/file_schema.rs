//! A table's columns as they stand in Parquet files.
//!
//! Three things differ from the table's Arrow schema: timestamps coarser than a microsecond are widened to it, columns
//! of type `unknown` are left out (a missing column reads as NULL), and a UUID is marked as one. A file that would
//! have no column gets one of NULLs, so that it has rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, Field as ArrowField, FieldRef, Schema, SchemaRef, TimeUnit as ArrowUnit};
use cenote_vocab::{FieldId, FieldType, TableSchema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use crate::adapt::adapt;
use crate::arrow_schema::{EXTENSION_KEY, FIELD_ID_KEY, UUID_EXTENSION, arrow_schema};

/// Id and name of the column that stands in for none. Ids from 2147483400 on are never given to users.
const FILLER_ID: FieldId = FieldId(2_147_483_400);
const FILLER_NAME: &str = "_rows";

/// Casts that fail on the first value that does not fit.
pub(crate) const EXACT: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// The way of batches from memory into a file.
#[derive(Debug)]
pub(crate) struct FileSchema {
    table: SchemaRef,
    file: SchemaRef,
    /// The field and its place in the batches, per column of the file; none for the filler.
    columns: Vec<(FieldId, usize)>,
}

impl FileSchema {
    pub(crate) fn new(schema: &TableSchema) -> Self {
        let table = arrow_schema(schema);
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for (at, (field, arrow)) in schema.fields.iter().zip(table.fields()).enumerate() {
            if field.field_type != FieldType::Unknown {
                columns.push((field.id, at));
                fields.push(file_field(arrow));
            }
        }
        if fields.is_empty() {
            let id = HashMap::from([(FIELD_ID_KEY.to_owned(), FILLER_ID.to_string())]);
            fields.push(ArrowField::new(FILLER_NAME, DataType::Boolean, true).with_metadata(id));
        }
        Self { table, file: Arc::new(Schema::new(fields)), columns }
    }

    /// The Arrow schema of the file.
    pub(crate) fn arrow(&self) -> &SchemaRef {
        &self.file
    }

    /// The field's place among the columns of the file.
    pub(crate) fn position(&self, id: FieldId) -> Option<usize> {
        self.columns.iter().position(|(column, _)| *column == id)
    }

    /// The place of a column that is not nested among the leaves of the file, by which Parquet counts.
    pub(crate) fn leaf_position(&self, id: FieldId) -> Option<usize> {
        let before = &self.file.fields()[..self.position(id)?];
        Some(before.iter().map(|field| leaves(field.data_type())).sum())
    }

    /// The schema of Parquet; every node carries its field id.
    pub(crate) fn parquet(&self) -> Result<SchemaDescriptor, ParquetError> {
        let converted = ArrowSchemaConverter::new().with_coerce_types(true).convert(&self.file)?;
        let nodes = converted.root_schema().get_fields().iter().zip(self.file.fields());
        let nodes = nodes.map(|(node, field)| parquet_node(node, field));
        let root = Type::group_type_builder(converted.root_schema().name());
        let root = root.with_fields(nodes.collect::<Result<Vec<TypePtr>, _>>()?).build()?;
        Ok(SchemaDescriptor::new(Arc::new(root)))
    }

    /// The rows, which [`Self::check`] has let pass, as the file takes them. Errors are reasons.
    pub(crate) fn to_file(&self, batch: &RecordBatch) -> Result<RecordBatch, String> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.file.fields().len());
        for ((_, at), field) in self.columns.iter().zip(self.file.fields()) {
            let column = batch.column(*at);
            columns.push(if column.data_type() == field.data_type() {
                column.clone()
            } else {
                adapt(column, batch.schema_ref().field(*at), field)
                    .map_err(|error| format!("column {:?}: {error}", field.name()))?
            });
        }
        if columns.is_empty() {
            columns.push(Arc::new(BooleanArray::new_null(batch.num_rows())));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.file.clone(), columns, &options)
            .map_err(|error| error.to_string())
    }

    /// True to the table's schema, or the first difference.
    pub(crate) fn check(&self, batch: &RecordBatch) -> Result<(), String> {
        let (given, expected) = (batch.schema_ref().fields(), self.table.fields());
        if given.len() != expected.len() {
            return Err(format!("expected {} columns, got {}", expected.len(), given.len()));
        }
        for (given, expected) in given.iter().zip(expected) {
            if given.name() != expected.name() {
                return Err(format!("expected column {:?}, got {:?}", expected.name(), given.name()));
            }
            if given.data_type() != expected.data_type() {
                return Err(format!(
                    "column {:?} is {}, got {}",
                    expected.name(),
                    expected.data_type(),
                    given.data_type()
                ));
            }
        }
        Ok(())
    }
}

/// The column in a file. Its extension is not repeated there, but for UUID, which Parquet knows too.
fn file_field(field: &ArrowField) -> ArrowField {
    let inner = |field: &FieldRef| Arc::new(file_field(field));
    let data_type = match field.data_type() {
        DataType::Timestamp(ArrowUnit::Second | ArrowUnit::Millisecond, zone) => {
            DataType::Timestamp(ArrowUnit::Microsecond, zone.clone())
        }
        DataType::List(element) => DataType::List(inner(element)),
        DataType::FixedSizeList(element, length) => DataType::FixedSizeList(inner(element), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    };
    let mut metadata = field.metadata().clone();
    metadata.retain(|key, value| key != EXTENSION_KEY || value == UUID_EXTENSION);
    ArrowField::new(field.name(), data_type, field.is_nullable()).with_metadata(metadata)
}

/// Columns of values below a type.
fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(inner) | DataType::FixedSizeList(inner, _) | DataType::Map(inner, _) => {
            leaves(inner.data_type())
        }
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        _ => 1,
    }
}

/// The node of Parquet with UUIDs marked, also in it.
fn parquet_node(node: &TypePtr, field: &ArrowField) -> Result<TypePtr, ParquetError> {
    let is_uuid = field.metadata().get(EXTENSION_KEY).is_some_and(|name| name == UUID_EXTENSION);
    if is_uuid {
        return uuid_node(node).map(TypePtr::from);
    }
    let children: Vec<TypePtr> = match field.data_type() {
        DataType::Struct(fields) => {
            let children = node.get_fields().iter().zip(fields);
            children.map(|(node, field)| parquet_node(node, field)).collect::<Result<_, _>>()?
        }
        DataType::List(element) | DataType::FixedSizeList(element, _) => {
            let repeated = &node.get_fields()[0];
            let element = parquet_node(&repeated.get_fields()[0], element)?;
            vec![with_children(repeated, vec![element])?]
        }
        DataType::Map(entries, _) => vec![parquet_node(&node.get_fields()[0], entries)?],
        _ => return Ok(node.clone()),
    };
    with_children(node, children)
}

fn with_children(node: &Type, children: Vec<TypePtr>) -> Result<TypePtr, ParquetError> {
    let info = node.get_basic_info();
    let group = Type::group_type_builder(node.name())
        .with_fields(children)
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_repetition(info.repetition())
        .with_id(info.has_id().then(|| info.id()))
        .build()?;
    Ok(Arc::new(group))
}

fn uuid_node(node: &Type) -> Result<Type, ParquetError> {
    let info = node.get_basic_info();
    Type::primitive_type_builder(node.name(), PhysicalType::FIXED_LEN_BYTE_ARRAY)
        .with_length(16)
        .with_logical_type(Some(LogicalType::Uuid))
        .with_repetition(info.repetition())
        .with_id(info.has_id().then(|| info.id()))
        .build()
}
