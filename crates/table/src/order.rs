//! The order of rows in new files, and where partitions begin in it.

use std::ops::Range;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{SortOptions, take_record_batch};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField as RowField};
use cenote_catalog::TableDef;
use cenote_vocab::{FieldId, Tuple};

use crate::Error;
use crate::transform::{Part, Single, partition_value};

/// Whether rows are kept apart by partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// By the table's spec: rows are ordered by tuple first.
    Partitions,
    /// Not at all.
    Nothing,
}

/// Orders rows of one table by (tuple, sort order).
pub(crate) struct RowOrder {
    partition: Vec<Part>,
    sort: Vec<usize>,
    converter: RowConverter,
}

impl RowOrder {
    /// For batches of the table's present schema.
    pub(crate) fn of(table: &TableDef, cut: Cut) -> Result<Self, Error> {
        let column = |id: FieldId| {
            table.schema.fields.iter().position(|field| field.id == id).ok_or_else(|| {
                Error::Internal(format!("table {} has no column with id {id}", table.full_name()))
            })
        };
        let mut partition = Vec::new();
        let mut keys = Vec::new();
        if cut == Cut::Partitions {
            for field in &table.spec.fields {
                let part = Part::of(table, field)?;
                keys.push(RowField::new(part.data_type()));
                partition.push(part);
            }
        }
        let mut sort = Vec::new();
        for field in &table.sort.fields {
            let column = column(field.source)?;
            let options = SortOptions { descending: field.descending, nulls_first: field.nulls_first };
            let data_type = cenote_datafile::arrow_type(&table.schema.fields[column].field_type);
            keys.push(RowField::new_with_options(data_type, options));
            sort.push(column);
        }
        Ok(Self { partition, sort, converter: RowConverter::new(keys)? })
    }

    /// True if any order of rows will do.
    pub(crate) fn is_free(&self) -> bool {
        self.partition.is_empty() && self.sort.is_empty()
    }

    /// The keys of the batch's rows; keys of all batches compare with each other.
    pub(crate) fn keys(&self, batch: &RecordBatch) -> Result<Rows, Error> {
        let mut columns = self.values(batch)?;
        columns.extend(self.sort.iter().map(|column| batch.column(*column).clone()));
        Ok(self.converter.convert_columns(&columns)?)
    }

    /// The rows in order; equal ones stay as they came.
    pub(crate) fn sort(&self, batch: RecordBatch) -> Result<RecordBatch, Error> {
        if self.is_free() {
            return Ok(batch);
        }
        let keys = self.keys(&batch)?;
        if (1..keys.num_rows()).all(|row| keys.row(row - 1) <= keys.row(row)) {
            return Ok(batch);
        }
        let rows = u32::try_from(batch.num_rows())
            .map_err(|_| Error::Internal(format!("{} rows in one batch", batch.num_rows())))?;
        let mut order: Vec<u32> = (0..rows).collect();
        order.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
        Ok(take_record_batch(&batch, &UInt32Array::from(order))?)
    }

    /// Where each partition of an ordered batch lies. One slice if nothing is cut.
    pub(crate) fn slices(&self, batch: &RecordBatch) -> Result<Vec<(Tuple, Range<usize>)>, Error> {
        if let Some(tuple) = self.single_tuple(batch)? {
            return Ok(vec![(tuple, 0..batch.num_rows())]);
        }
        let values = self.values(batch)?;
        let ranges = arrow::compute::partition(&values)?.ranges();
        let tuple = |row: usize| values.iter().map(|values| partition_value(values, row)).collect();
        Ok(ranges.into_iter().map(|range| (tuple(range.start), range)).collect())
    }

    /// The tuple that all rows share.
    pub(crate) fn single_tuple(&self, batch: &RecordBatch) -> Result<Option<Tuple>, Error> {
        let mut tuple = Tuple::with_capacity(self.partition.len());
        for part in &self.partition {
            let column = batch.column(part.column);
            tuple.push(match part.single(column)? {
                Single::All(value) => value,
                Single::None => return Ok(None),
                Single::Unknown => {
                    let values = part.values(column)?;
                    if arrow::compute::partition(std::slice::from_ref(&values))?.len() > 1 {
                        return Ok(None);
                    }
                    partition_value(&values, 0)
                }
            });
        }
        Ok(Some(tuple))
    }

    fn values(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, Error> {
        self.partition.iter().map(|part| part.values(batch.column(part.column))).collect()
    }
}

#[cfg(test)]
mod tests;
