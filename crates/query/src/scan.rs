//! One table at one snapshot, as the engine scans it: files ∪ inline batches ∪ buffered rows.
//!
//! Invariants: filters, projections and limits are hints, the answer never depends on them; statistics are announced
//! as exact only where they are; a deleted row never comes back; of a keyed table's rows of one key the newest is shown.

mod adapted;
mod adapter;
mod buffer;
mod files;
mod inline;
mod keyed;
mod notes;
mod predicate;
mod provider;
mod statistics;

pub(crate) use buffer::conform;
pub(crate) use notes::ScanNotes;
pub(crate) use predicate::lower_all;
pub(crate) use provider::{FILE_COLUMN, LakeTable, POSITION_COLUMN, column_default, lake_url, row_id};
pub(crate) use statistics::scalar;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use cenote_datafile::{FIELD_ID_KEY, arrow_schema};
use cenote_vocab::TableSchema;

/// The columns as SQL sees them: without field ids, which are no business of an answer.
pub(crate) fn sql_schema(schema: &TableSchema) -> SchemaRef {
    Arc::new(Schema::new(arrow_schema(schema).fields().iter().map(|field| plain(field)).collect::<Vec<_>>()))
}

/// The field, and those in it, without ids.
fn plain(field: &Field) -> Field {
    let inner = |field: &Arc<Field>| Arc::new(plain(field));
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
