//! Batches that are not in files become batches of the table's present columns.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cenote_datafile::{absent, adapt, arrow_field};
use cenote_vocab::{Field, TableSchema};
use datafusion::common::Result;

use super::adapted::shown;
use super::adapter::places;

/// The batch with the columns of `schema`, matched by field id; one that is not
/// there is its initial default; a value that a later change of type cannot hold is an error.
pub(crate) fn by_field_id(
    batch: &RecordBatch,
    schema: &TableSchema,
    target: &SchemaRef,
) -> Result<RecordBatch> {
    let given = batch.schema();
    let places = places(&given);
    let column = |(field, wanted): (&Field, &FieldRef)| match places.get(&field.id) {
        Some(at) => shown(batch.column(*at), given.field(*at), &arrow_field(field), wanted),
        None => {
            let with_ids = arrow_field(field);
            shown(&absent(field, batch.num_rows())?, &with_ids, &with_ids, wanted)
        }
    };
    let columns = schema.fields.iter().zip(target.fields()).map(column).collect::<Result<_>>()?;
    rebuild(target, columns, batch.num_rows())
}

/// The batch with its columns cast, place by place, to those of `target`.
pub(crate) fn conform(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch> {
    let given = batch.schema();
    let columns = batch.columns().iter().zip(given.fields()).zip(target.fields());
    let columns = columns.map(|((column, given), wanted)| Ok(adapt(column, given, wanted)?));
    rebuild(target, columns.collect::<Result<_>>()?, batch.num_rows())
}

/// Nullability is checked where rows are written, with the name of the column and the row.
fn rebuild(target: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(target), columns, &options)?)
}
