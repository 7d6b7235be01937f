//! Hidden columns by which a row keeps its identity in another file.
//!
//! The id of a row is its file's first id plus its place, unless the file has the column [`ROW_ID`] and a value in it: that is
//! where rewrites and updates put the id that the row had before. Its sequence number, that of the commit that last changed
//! it, is its file's unless [`LAST_UPDATED`] has one.

use std::iter::Peekable;
use std::sync::Arc;
use std::vec::IntoIter;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::{is_null, kernels::zip::zip};
use arrow::datatypes::Int64Type;
use cenote_vocab::{Field, FieldId, FieldType, TableSchema};

use crate::{DeletionVector, Error};

/// The column of row ids.
pub const ROW_ID: FieldId = FieldId(2_147_483_540);
/// The column of sequence numbers.
pub const LAST_UPDATED: FieldId = FieldId(2_147_483_539);
/// Their names in files.
const ROW_ID_NAME: &str = "_row_id";
const LAST_UPDATED_NAME: &str = "_last_updated_sequence_number";

/// The columns with the two hidden ones behind them.
pub fn with_row_ids(schema: &TableSchema) -> TableSchema {
    let hidden = |id, name: &str| Field::new(id, name, FieldType::Int64);
    let mut fields = schema.fields.clone();
    fields.push(hidden(ROW_ID, ROW_ID_NAME));
    fields.push(hidden(LAST_UPDATED, LAST_UPDATED_NAME));
    TableSchema { no: schema.no, fields }
}

/// True for the columns of [`with_row_ids`].
pub fn has_row_ids(schema: &TableSchema) -> bool {
    schema.fields.iter().any(|field| field.id == ROW_ID)
}

/// True for columns that users never see.
pub fn is_hidden(field: FieldId) -> bool {
    field == ROW_ID || field == LAST_UPDATED
}

/// Says who the rows of one file are, batch after batch, in the order in which a reader with the same vector answers them.
#[derive(Debug)]
pub struct RowIdentity {
    row_id_start: i64,
    seq: i64,
    next: u64,
    deleted: Peekable<IntoIter<u64>>,
}

impl RowIdentity {
    /// Of a file by its first row id, its sequence number, and the rows that are left out while reading it.
    pub fn new(row_id_start: i64, seq: i64, vector: Option<&DeletionVector>) -> Self {
        let deleted: Vec<u64> = vector.map(|vector| vector.positions().collect()).unwrap_or_default();
        Self { row_id_start, seq, next: 0, deleted: deleted.into_iter().peekable() }
    }

    /// The next batch, of [`with_row_ids`] columns, with what its rows inherit from their file filled in.
    pub fn fill(&mut self, batch: &RecordBatch) -> Result<RecordBatch, Error> {
        let ids: Int64Array = (0..batch.num_rows()).map(|_| self.next_id()).collect();
        let seqs = Int64Array::from_value(self.seq, batch.num_rows());
        let mut columns = batch.columns().to_vec();
        let count = columns.len();
        for (at, inherited) in [(count.wrapping_sub(2), ids), (count.wrapping_sub(1), seqs)] {
            let Some(column) = columns.get_mut(at) else { continue };
            *column = filled(column, inherited)?;
        }
        Ok(RecordBatch::try_new(batch.schema(), columns)?)
    }

    fn next_id(&mut self) -> i64 {
        while self.deleted.next_if_eq(&self.next).is_some() {
            self.next += 1;
        }
        let id = self.row_id_start.saturating_add_unsigned(self.next);
        self.next += 1;
        id
    }
}

fn filled(stored: &ArrayRef, inherited: Int64Array) -> Result<ArrayRef, Error> {
    if stored.null_count() == stored.len() {
        return Ok(Arc::new(inherited));
    }
    if stored.null_count() == 0 {
        return Ok(stored.clone());
    }
    Ok(zip(&is_null(stored)?, &inherited, stored.as_primitive::<Int64Type>())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrow_schema;

    fn batch(ids: Vec<Option<i64>>) -> RecordBatch {
        let rows = ids.len();
        let schema = arrow_schema(&with_row_ids(&TableSchema::default()));
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(ids)), Arc::new(Int64Array::new_null(rows))];
        RecordBatch::try_new(schema, columns).unwrap()
    }

    #[test]
    fn rows_without_a_stored_id_count_on_from_their_place() {
        let vector: DeletionVector = [0, 3, 4].into_iter().collect();
        let mut identity = RowIdentity::new(100, 7, Some(&vector));
        let first = identity.fill(&batch(vec![None, Some(5), None])).unwrap();
        let second = identity.fill(&batch(vec![None])).unwrap();
        assert_eq!(first.column(0).as_primitive::<Int64Type>().values(), &[101, 5, 105]);
        assert_eq!(second.column(0).as_primitive::<Int64Type>().values(), &[106]);
        assert_eq!(first.column(1).as_primitive::<Int64Type>().values(), &[7, 7, 7]);
    }
}
