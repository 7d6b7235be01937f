//! Statistics of a file as the engine takes them. What is announced as exact replaces reading, so it must be exact:
//! bounds are not with deleted rows, cut texts, floats (NaN stands outside of bounds, zero has two signs).

use arrow::datatypes::{DataType, TimeUnit};
use cenote_catalog::TableDef;
use cenote_datafile::{ColumnStatistics as Known, Value, absent, arrow_type};
use cenote_table::ScanFile;
use cenote_vocab::{Field, FieldType};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};

/// Statistics over the table's present columns.
pub(crate) fn file_statistics(file: &ScanFile, table: &TableDef) -> Statistics {
    let rows = usize::try_from(file.entry.live_rows()).unwrap_or(usize::MAX);
    let whole = file.entry.vector.is_none();
    let column_statistics =
        table.schema.fields.iter().map(|field| column(file, field, rows, whole)).collect();
    Statistics {
        num_rows: Precision::Exact(rows),
        total_byte_size: Precision::Inexact(usize::try_from(file.entry.file.bytes).unwrap_or(usize::MAX)),
        column_statistics,
    }
}

fn column(file: &ScanFile, field: &Field, rows: usize, whole: bool) -> ColumnStatistics {
    let stored = file.schema.field_by_id(field.id).filter(|stored| stored.field_type != FieldType::Unknown);
    let Some(stored) = stored else {
        return absent_column(field, rows);
    };
    let Some(known) = file.entry.file.statistics.column(field.id) else {
        return ColumnStatistics::new_unknown();
    };
    let known = known.widen_to(&stored.field_type, &field.field_type);
    let nulls = usize::try_from(known.null_count).unwrap_or(usize::MAX);
    let (min_value, max_value) = bounds(&known, &field.field_type, whole);
    ColumnStatistics {
        null_count: if whole { Precision::Exact(nulls) } else { Precision::Inexact(nulls.min(rows)) },
        min_value,
        max_value,
        ..ColumnStatistics::new_unknown()
    }
}

/// A column that the file does not have: its initial default in each row.
fn absent_column(field: &Field, rows: usize) -> ColumnStatistics {
    let unknown = ColumnStatistics::new_unknown();
    match (&field.initial_default, absent(field, 1).map(|one| ScalarValue::try_from_array(&one, 0))) {
        (None, _) => ColumnStatistics { null_count: Precision::Exact(rows), ..unknown },
        (Some(_), Ok(Ok(value))) if !matches!(field.field_type, FieldType::Float | FieldType::Double) => {
            ColumnStatistics {
                null_count: Precision::Exact(0),
                min_value: Precision::Exact(value.clone()),
                max_value: Precision::Exact(value),
                ..unknown
            }
        }
        (Some(_), _) => ColumnStatistics { null_count: Precision::Exact(0), ..unknown },
    }
}

fn bounds(
    known: &Known,
    field_type: &FieldType,
    whole: bool,
) -> (Precision<ScalarValue>, Precision<ScalarValue>) {
    let float = matches!(field_type, FieldType::Float | FieldType::Double);
    // a column that was widened from integers has no count, and no NaN
    let has_nan = float && known.nan_count.unwrap_or(0) > 0;
    let data_type = arrow_type(field_type);
    let bound =
        |value: &Option<Value>, exact: bool| match value.as_ref().and_then(|value| scalar(value, &data_type))
        {
            Some(value) if exact && whole && !float => Precision::Exact(value),
            Some(value) => Precision::Inexact(value),
            None => Precision::Absent,
        };
    // the engine orders NaN above every number, so a maximum that leaves it out bounds nothing
    let max = if has_nan { Precision::Absent } else { bound(&known.max, known.max_exact) };
    (bound(&known.min, known.min_exact), max)
}

/// The value as the engine has it; `None` if it is not of the type.
pub(crate) fn scalar(value: &Value, data_type: &DataType) -> Option<ScalarValue> {
    Some(match (value, data_type) {
        (Value::Boolean(value), DataType::Boolean) => ScalarValue::Boolean(Some(*value)),
        (Value::Integer(value), data_type) => integer(*value, data_type)?,
        (Value::Float(value), DataType::Float32) => ScalarValue::Float32(Some(*value as f32)), // it was one
        (Value::Float(value), DataType::Float64) => ScalarValue::Float64(Some(*value)),
        (Value::Text(value), DataType::Utf8) => ScalarValue::Utf8(Some(value.clone())),
        (Value::Bytes(value), DataType::Binary) => ScalarValue::Binary(Some(value.clone())),
        _ => return None,
    })
}

fn integer(value: i128, data_type: &DataType) -> Option<ScalarValue> {
    Some(match data_type {
        DataType::Int8 => ScalarValue::Int8(Some(value.try_into().ok()?)),
        DataType::Int16 => ScalarValue::Int16(Some(value.try_into().ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(value.try_into().ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(value.try_into().ok()?)),
        DataType::UInt8 => ScalarValue::UInt8(Some(value.try_into().ok()?)),
        DataType::UInt16 => ScalarValue::UInt16(Some(value.try_into().ok()?)),
        DataType::UInt32 => ScalarValue::UInt32(Some(value.try_into().ok()?)),
        DataType::UInt64 => ScalarValue::UInt64(Some(value.try_into().ok()?)),
        DataType::Date32 => ScalarValue::Date32(Some(value.try_into().ok()?)),
        DataType::Time64(TimeUnit::Microsecond) => {
            ScalarValue::Time64Microsecond(Some(value.try_into().ok()?))
        }
        DataType::Timestamp(unit, zone) => {
            let (value, zone) = (Some(value.try_into().ok()?), zone.clone());
            match unit {
                TimeUnit::Second => ScalarValue::TimestampSecond(value, zone),
                TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(value, zone),
                TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(value, zone),
                TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(value, zone),
            }
        }
        DataType::Decimal128(precision, scale) => ScalarValue::Decimal128(Some(value), *precision, *scale),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use cenote_vocab::FieldId;

    use super::*;

    fn known(min: Value, max: Value, nan_count: Option<u64>) -> Known {
        Known {
            field_id: FieldId(1),
            value_count: 2,
            null_count: 0,
            nan_count,
            min: Some(min),
            max: Some(max),
            min_exact: true,
            max_exact: true,
        }
    }

    #[test]
    fn only_whole_files_of_exact_types_have_exact_bounds() {
        let integers = known(Value::Integer(1), Value::Integer(2), None);
        let (min, _) = bounds(&integers, &FieldType::Int32, true);
        assert_eq!(min, Precision::Exact(ScalarValue::Int32(Some(1))));
        let (min, _) = bounds(&integers, &FieldType::Int32, false);
        assert_eq!(min, Precision::Inexact(ScalarValue::Int32(Some(1))));
    }

    #[test]
    fn a_float_column_with_nan_has_no_maximum() {
        let floats = known(Value::Float(1.0), Value::Float(2.0), Some(1));
        let (min, max) = bounds(&floats, &FieldType::Double, true);
        assert_eq!((min, max), (Precision::Inexact(ScalarValue::Float64(Some(1.0))), Precision::Absent));
    }
}
