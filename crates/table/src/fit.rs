//! Checks that a batch is what its table holds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cenote_catalog::TableDef;

use crate::Error;

/// The batch with exactly the table's Arrow schema. Other encodings of the same values are unwrapped; other columns, another
/// order or other types are `SchemaMismatch`. `first_row` is the number of the batch's first row in the whole input.
pub(crate) fn fit(
    table: &TableDef,
    schema: &SchemaRef,
    batch: RecordBatch,
    first_row: u64,
) -> Result<RecordBatch, Error> {
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::SchemaMismatch(format!(
            "table {} has {} columns, got {}",
            table.full_name(),
            schema.fields().len(),
            batch.num_columns()
        )));
    }
    let mut columns = Vec::with_capacity(batch.num_columns());
    for ((wanted, given), column) in
        schema.fields().iter().zip(batch.schema_ref().fields()).zip(batch.columns())
    {
        if wanted.name() != given.name() {
            return Err(Error::SchemaMismatch(format!(
                "table {} has column {:?} where {:?} was given",
                table.full_name(),
                wanted.name(),
                given.name()
            )));
        }
        let column = decoded(column, wanted.data_type()).ok_or_else(|| {
            Error::SchemaMismatch(format!(
                "column {:?} of table {} is {}, got {}",
                wanted.name(),
                table.full_name(),
                wanted.data_type(),
                given.data_type()
            ))
        })??;
        if !wanted.is_nullable()
            && let Some(nulls) = column.logical_nulls().filter(|nulls| nulls.null_count() > 0)
        {
            let row = (0..column.len()).find(|row| nulls.is_null(*row)).unwrap_or(0);
            return Err(Error::NullValue {
                table: table.full_name(),
                column: wanted.name().clone(),
                row: first_row + row as u64,
            });
        }
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// The same values as `wanted`; `None` if its type is not merely another encoding.
fn decoded(column: &ArrayRef, wanted: &DataType) -> Option<Result<ArrayRef, Error>> {
    let given = column.data_type();
    if given == wanted {
        return Some(Ok(Arc::clone(column)));
    }
    is_encoding_of(given, wanted).then(|| Ok(cast(column, wanted)?))
}

fn is_encoding_of(given: &DataType, wanted: &DataType) -> bool {
    match (given, wanted) {
        (DataType::Dictionary(_, values), _) => &**values == wanted || is_encoding_of(values, wanted),
        (DataType::RunEndEncoded(_, values), _) => {
            values.data_type() == wanted || is_encoding_of(values.data_type(), wanted)
        }
        (DataType::Utf8View | DataType::LargeUtf8, DataType::Utf8)
        | (DataType::BinaryView | DataType::LargeBinary, DataType::Binary) => true,
        // Instants are kept in UTC whatever zone they are shown in.
        (DataType::Timestamp(unit, Some(_)), DataType::Timestamp(other, Some(_))) => unit == other,
        _ => false,
    }
}

/// Bytes that the batch's own rows take in memory; of buffers that it shares with others, only its part.
pub(crate) fn memory_bytes(batch: &RecordBatch) -> u64 {
    let bytes = |column: &ArrayRef| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(bytes).sum::<usize>() as u64
}

#[cfg(test)]
mod tests;
