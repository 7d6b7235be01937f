//! What rows get that are written without a column.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::error::ArrowError;
use cenote_datafile::{arrow_type, literal};
use cenote_vocab::{Field, Ids, Micros, WriteDefault};

/// The column of `rows` rows, by the default; `now` is the same for all of them.
pub(super) fn defaults(
    default: &WriteDefault,
    field: &Field,
    rows: usize,
    now: Micros,
    ids: &Ids,
) -> Result<ArrayRef, ArrowError> {
    let one: ArrayRef = match default {
        WriteDefault::Literal(text) => literal(&field.field_type, text)?,
        WriteDefault::Now => {
            cast(&TimestampMicrosecondArray::from(vec![now.0]), &arrow_type(&field.field_type))?
        }
        WriteDefault::Uuid => {
            let uuids = (0..rows).map(|_| ids.uuid().into_bytes());
            let uuids = FixedSizeBinaryArray::try_from_iter(uuids)?;
            return Ok(Arc::new(uuids));
        }
    };
    take(&one, &UInt32Array::from(vec![0; rows]), None)
}
