//! Inline batches of a table become batches of the plan: the rows that are left of each, in the table's present columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cenote_catalog::TableDef;
use cenote_datafile::{ROW_ID, RowSet, select_rows};
use cenote_table::{Lake, ScanFile};
use cenote_vocab::Scope;
use datafusion::common::{Result, internal_err};

use super::adapter::places;
use super::buffer::by_field_id;
use super::provider::{FILE_COLUMN, FIRST_ROW_ID, POSITION_COLUMN, STORED_ROW_ID};
use crate::Error;
use crate::plan::fault::outward;

/// Batches of fewer rows are put together: what a plan does for each batch costs more than the rows of a small one.
const BATCH_ROWS: usize = 8 * 1024;

/// The rows of these inline batches, in their order, as `shown` has the table's columns. `schema` has those first, and behind them
/// what an addressed scan adds.
pub(crate) async fn inline_rows(
    (lake, scope): (&Lake, &Scope),
    table: &TableDef,
    files: &[ScanFile],
    (shown, schema): (&SchemaRef, &SchemaRef),
) -> Result<Vec<RecordBatch>> {
    let entries: Vec<_> = files.iter().map(|file| file.entry.as_ref()).collect();
    let stored = lake.inline_batches(scope, table, &entries).await;
    let stored = stored.map_err(|error| outward(Error::from(error)))?;
    let batches = files.iter().zip(&stored).map(|(file, stored)| {
        let rows = RowSet::live(file.entry.vector.as_ref().map(|visible| visible.vector.clone()));
        let live =
            select_rows(stored, &rows).map_err(|error| outward(cenote_table::Error::from(error).into()))?;
        let columns = by_field_id(&live, &table.schema, shown)?;
        addressed((file, &live, &rows), &columns, schema)
    });
    put_together(batches.collect::<Result<_>>()?, schema)
}

/// The rows with the columns of `schema` that are none of the table's; they are `rows` of the file, `live` as they are stored.
fn addressed(
    (file, live, rows): (&ScanFile, &RecordBatch, &RowSet),
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let entry = &file.entry;
    let mut columns = batch.columns().to_vec();
    for field in &schema.fields()[columns.len()..] {
        let column: ArrayRef = match field.name().as_str() {
            FILE_COLUMN => Arc::new(Int64Array::from_value(entry.id.0, batch.num_rows())),
            POSITION_COLUMN => {
                let positions = rows.runs(entry.file.rows).flatten();
                Arc::new(Int64Array::from_iter_values(
                    positions.map(|at| i64::try_from(at).unwrap_or(i64::MAX)),
                ))
            }
            FIRST_ROW_ID if file.is_committed() => {
                Arc::new(Int64Array::from_value(entry.row_id_start, batch.num_rows()))
            }
            FIRST_ROW_ID => Arc::new(Int64Array::new_null(batch.num_rows())),
            STORED_ROW_ID => match places(live.schema_ref()).get(&ROW_ID) {
                Some(at) => live.column(*at).clone(),
                None => Arc::new(Int64Array::new_null(batch.num_rows())),
            },
            other => return internal_err!("no column {other} of an inline batch"),
        };
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn put_together(batches: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let (mut whole, mut held, mut rows) = (Vec::new(), Vec::new(), 0);
    for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
        rows += batch.num_rows();
        held.push(batch);
        if rows >= BATCH_ROWS {
            whole.push(concat_batches(schema, &std::mem::take(&mut held))?);
            rows = 0;
        }
    }
    if !held.is_empty() {
        whole.push(concat_batches(schema, &held)?);
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn small_batches_are_put_together_and_keep_their_order() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let batch = |range: std::ops::Range<i64>| {
            RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from_iter_values(range))]).unwrap()
        };
        let small = (0..3_000).map(|at| batch(at * 10..at * 10 + 10)).chain([batch(0..0)]);
        let whole = put_together(small.collect(), &schema).unwrap();
        let rows: Vec<usize> = whole.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(rows, [8_200, 8_200, 8_200, 5_400]);
        assert_eq!(concat_batches(&schema, &whole).unwrap(), batch(0..30_000));
    }
}
