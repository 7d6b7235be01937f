//! Partition values of columns, as Iceberg's specification makes them.
//!
//! Units since 1970 and buckets are 64-bit integers, truncated numbers 128-bit decimals of scale 0, all else is of the column's own
//! type: so equal values of the array are equal partition values.

mod calendar;
mod hash;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Decimal128Array, Int64Array, StringArray};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, Int64Type};
use cenote_catalog::TableDef;
use cenote_datafile::{Value, arrow_type, value_at};
use cenote_vocab::{FieldType, PartitionField, PartitionValue, Transform};

pub(crate) use calendar::{day_unit_start, unit_of_days};
pub(crate) use hash::bucket;

use crate::Error;
use crate::bounds::unit_nanos;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;
const NANOS_PER_HOUR: i128 = 3_600_000_000_000;

/// One field of a partition spec on the batches of a table.
pub(crate) struct Part {
    /// The place of its column.
    pub(crate) column: usize,
    source: FieldType,
    transform: Transform,
}

impl Part {
    /// `Internal` if the table does not have the column, or it is of a type that has no such values: the catalog refuses both.
    pub(crate) fn of(table: &TableDef, part: &PartitionField) -> Result<Self, Error> {
        let found = table.schema.fields.iter().enumerate().find(|(_, field)| field.id == part.source);
        let taken = found.filter(|(_, field)| part.transform.takes(&field.field_type));
        let (column, field) = taken.ok_or_else(|| {
            Error::Internal(format!(
                "table {} is partitioned by {} of column id {}, which it does not have",
                table.full_name(),
                part.transform,
                part.source
            ))
        })?;
        Ok(Self { column, source: field.field_type.clone(), transform: part.transform })
    }

    /// The type of the values.
    pub(crate) fn data_type(&self) -> DataType {
        match self.transform {
            Transform::Identity => arrow_type(&self.source),
            Transform::Truncate(_) if !is_number(&self.source) => arrow_type(&self.source),
            Transform::Truncate(_) => DataType::Decimal128(38, 0),
            _ => DataType::Int64,
        }
    }

    /// The values of a column's rows; NULL stays NULL.
    pub(crate) fn values(&self, column: &ArrayRef) -> Result<ArrayRef, Error> {
        match self.transform {
            Transform::Identity => Ok(Arc::clone(column)),
            Transform::Bucket(count) => {
                let bucket = |row| bucket(&value_at(column, row)?, &self.source, count);
                Ok(Arc::new(Int64Array::from_iter((0..column.len()).map(bucket))))
            }
            Transform::Truncate(width) => self.truncated(column, width),
            _ => {
                let units: Int64Array = integers(column)?.unary(|value| self.unit(value));
                Ok(Arc::new(units))
            }
        }
    }

    /// The value that all rows share, if that can be told without making those of all rows; rows of one day are the rule.
    pub(crate) fn single(&self, column: &ArrayRef) -> Result<Single, Error> {
        if column.null_count() == column.len() {
            return Ok(Single::All(None));
        }
        if !matches!(self.transform, Transform::Year | Transform::Month | Transform::Day | Transform::Hour) {
            return Ok(Single::Unknown);
        }
        if column.null_count() > 0 {
            return Ok(Single::None);
        }
        let values = integers(column)?;
        let (low, high) = (min(&values).map(|v| self.unit(v)), max(&values).map(|v| self.unit(v)));
        Ok(if low == high { Single::All(low.map(PartitionValue::from)) } else { Single::None })
    }

    /// The unit of an instant or a date, in the column's own unit.
    fn unit(&self, value: i64) -> i64 {
        let nanos = unit_nanos(&self.source).unwrap_or(1);
        match self.transform {
            Transform::Hour => i64::try_from((i128::from(value) * nanos).div_euclid(NANOS_PER_HOUR)),
            Transform::Day => i64::try_from((i128::from(value) * nanos).div_euclid(NANOS_PER_DAY)),
            transform => {
                let days = (i128::from(value) * nanos).div_euclid(NANOS_PER_DAY);
                i64::try_from(unit_of_days(days, transform))
            }
        }
        .unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
    }

    fn truncated(&self, column: &ArrayRef, width: u32) -> Result<ArrayRef, Error> {
        let length = width as usize;
        Ok(match column.data_type() {
            DataType::Utf8 => {
                let texts = column.as_string::<i32>().iter();
                Arc::new(
                    texts
                        .map(|text| text.map(|text| first_characters(text, length)))
                        .collect::<StringArray>(),
                )
            }
            DataType::Binary => {
                let bytes = column.as_binary::<i32>().iter();
                Arc::new(bytes.map(|bytes| bytes.map(|b| &b[..b.len().min(length)])).collect::<BinaryArray>())
            }
            _ => {
                let floor = |row| match value_at(column, row)? {
                    Value::Integer(value) => Some(value - value.rem_euclid(width.into())),
                    _ => None,
                };
                let values = Decimal128Array::from_iter((0..column.len()).map(floor));
                Arc::new(values.with_precision_and_scale(38, 0)?)
            }
        })
    }
}

/// Whether all rows share a partition value.
pub(crate) enum Single {
    /// They do.
    All(Option<PartitionValue>),
    /// They do not.
    None,
    /// Their values must be made to know.
    Unknown,
}

/// The partition value at a row of [`Part::values`].
pub(crate) fn partition_value(values: &ArrayRef, row: usize) -> Option<PartitionValue> {
    Some(match value_at(values, row)? {
        Value::Boolean(value) => PartitionValue::Boolean(value),
        Value::Integer(value) => PartitionValue::Integer(value),
        Value::Text(text) => PartitionValue::Text(text),
        Value::Bytes(bytes) => PartitionValue::Bytes(bytes),
        Value::Float(_) => return None, // never a partition value
    })
}

fn first_characters(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

fn is_number(source: &FieldType) -> bool {
    source.is_integer() || matches!(source, FieldType::Decimal { .. })
}

fn integers(column: &ArrayRef) -> Result<Int64Array, Error> {
    Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

#[cfg(test)]
mod peer;
#[cfg(test)]
mod tests;
