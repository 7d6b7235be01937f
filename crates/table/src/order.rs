//! The order of rows in new files, and where partitions begin in it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::{SortOptions, cast, max, min, take_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField as RowField};
use cenote_catalog::TableDef;
use cenote_vocab::{FieldId, Transform};

use crate::Error;
use crate::bounds::unit_nanos;

/// A partition tuple: units since 1970 per spec field.
pub(crate) type Tuple = Vec<Option<i64>>;

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
                let column = column(field.source)?;
                partition.push(Part::of(table, column, field.transform)?);
                keys.push(RowField::new(DataType::Int64));
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
        let mut columns = self.units(batch)?;
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
        let units = self.units(batch)?;
        let ranges = arrow::compute::partition(&units)?.ranges();
        let tuple = |row: usize| {
            let unit = |column: &ArrayRef| {
                let column = column.as_primitive::<Int64Type>();
                column.is_valid(row).then(|| column.value(row))
            };
            units.iter().map(unit).collect()
        };
        Ok(ranges.into_iter().map(|range| (tuple(range.start), range)).collect())
    }

    /// The tuple that all rows share, found by minimum and maximum alone; rows of one day are the rule.
    pub(crate) fn single_tuple(&self, batch: &RecordBatch) -> Result<Option<Tuple>, Error> {
        let mut tuple = Tuple::with_capacity(self.partition.len());
        for part in &self.partition {
            let values = part.values(batch)?;
            let unit = if values.null_count() == values.len() {
                None
            } else if values.null_count() > 0 {
                return Ok(None);
            } else {
                let (low, high) = (min(&values).map(|v| part.unit(v)), max(&values).map(|v| part.unit(v)));
                if low != high {
                    return Ok(None);
                }
                low
            };
            tuple.push(unit);
        }
        Ok(Some(tuple))
    }

    fn units(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, Error> {
        let units = |part: &Part| -> Result<ArrayRef, Error> {
            let units: Int64Array = part.values(batch)?.unary(|value| part.unit(value));
            Ok(Arc::new(units))
        };
        self.partition.iter().map(units).collect()
    }
}

/// One field of a partition spec, as arithmetic on a column's numbers.
struct Part {
    column: usize,
    scale: Scale,
}

enum Scale {
    /// This many column units make one partition unit.
    Divide(i64),
    /// One column unit makes this many partition units.
    Multiply(i64),
}

impl Part {
    fn of(table: &TableDef, column: usize, transform: Transform) -> Result<Self, Error> {
        let field = &table.schema.fields[column];
        let nanos = unit_nanos(&field.field_type).ok_or_else(|| {
            Error::Internal(format!(
                "table {} is partitioned by {:?}, no time",
                table.full_name(),
                field.name
            ))
        })?;
        let partition = i128::from(transform.unit_micros()) * 1_000;
        let scale = if nanos <= partition {
            Scale::Divide((partition / nanos) as i64)
        } else {
            Scale::Multiply((nanos / partition) as i64)
        };
        Ok(Self { column, scale })
    }

    fn values(&self, batch: &RecordBatch) -> Result<Int64Array, Error> {
        Ok(cast(batch.column(self.column), &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    fn unit(&self, value: i64) -> i64 {
        match self.scale {
            Scale::Divide(by) => value.div_euclid(by),
            Scale::Multiply(by) => value.saturating_mul(by),
        }
    }
}

#[cfg(test)]
mod tests;
