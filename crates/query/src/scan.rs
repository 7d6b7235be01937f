//! One table at one snapshot, as the engine scans it: files ∪ buffered rows.
//!
//! Invariants: filters, projections and limits are hints, the answer never depends on them; statistics are announced
//! as exact only where they are; a deleted row never comes back.

mod adapter;
mod buffer;
mod files;
mod notes;
mod predicate;
mod provider;
mod statistics;

pub(crate) use buffer::conform;
pub(crate) use notes::ScanNotes;
pub(crate) use provider::{FILE_COLUMN, LakeTable, POSITION_COLUMN, lake_url};

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use cenote_datafile::{FIELD_ID_KEY, arrow_schema};
use cenote_vocab::TableSchema;

/// The columns as SQL sees them: without field ids, which are no business of an answer.
pub(crate) fn sql_schema(schema: &TableSchema) -> SchemaRef {
    let fields: Vec<Field> = arrow_schema(schema)
        .fields()
        .iter()
        .map(|field| {
            let mut metadata = field.metadata().clone();
            metadata.remove(FIELD_ID_KEY);
            field.as_ref().clone().with_metadata(metadata)
        })
        .collect();
    Arc::new(Schema::new(fields))
}
