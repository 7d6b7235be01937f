//! Batches that are not in files become batches of the table's present columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cenote_vocab::TableSchema;
use datafusion::common::Result;

use super::adapter::places;

/// The batch with the columns of `schema`, matched by field id; a value that a later change of type cannot hold is an error.
pub(crate) fn by_field_id(
    batch: &RecordBatch,
    schema: &TableSchema,
    target: &SchemaRef,
) -> Result<RecordBatch> {
    let places = places(&batch.schema());
    let columns =
        schema.fields.iter().zip(target.fields()).map(|(field, wanted)| match places.get(&field.id) {
            Some(at) => fit(batch.column(*at), wanted.data_type()),
            None => Ok(new_null_array(wanted.data_type(), batch.num_rows())),
        });
    rebuild(target, columns.collect::<Result<_>>()?, batch.num_rows())
}

/// The batch with its columns cast, place by place, to those of `target`.
pub(crate) fn conform(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch> {
    let columns =
        batch.columns().iter().zip(target.fields()).map(|(column, wanted)| fit(column, wanted.data_type()));
    rebuild(target, columns.collect::<Result<_>>()?, batch.num_rows())
}

fn fit(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    if column.data_type() == wanted {
        return Ok(column.clone());
    }
    Ok(cast_with_options(column, wanted, &CastOptions { safe: false, ..CastOptions::default() })?)
}

/// Nullability is checked where rows are written, with the name of the column and the row.
fn rebuild(target: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(target), columns, &options)?)
}
