//! Columns of system tables, by name.

use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

use crate::Error;

pub(super) fn integers<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Int64Array, Error> {
    let column = rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.ok_or_else(|| Error::Internal(format!("a system table has no integers {name}")))
}

pub(super) fn texts<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a StringArray, Error> {
    let column = rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    column.ok_or_else(|| Error::Internal(format!("a system table has no texts {name}")))
}
