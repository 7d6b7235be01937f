//! Rows become values of messages.

use std::borrow::Cow;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use cenote_codec::record::{AvroEncoder, RecordFormat, encode, frame};

use crate::Error;

/// How values are made.
#[derive(Clone)]
pub(super) enum Writer {
    Records(RecordFormat),
    /// Behind the number of their schema.
    Json(RecordFormat, u32),
    Avro(AvroEncoder, u32),
}

/// Values of a batch.
pub(super) enum Written {
    /// Lines of a buffer.
    Lines(Vec<u8>, Vec<Range<usize>>, Option<[u8; 5]>),
    /// The only column; a NULL is a message without a value.
    Column(BinaryArray),
    Messages(Vec<Bytes>),
}

impl Written {
    pub(super) fn row(&self, row: usize) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Lines(lines, ranges, None) => Some(lines[ranges[row].clone()].into()),
            Self::Lines(lines, ranges, Some(frame)) => {
                Some([&frame[..], &lines[ranges[row].clone()]].concat().into())
            }
            Self::Column(values) => values.is_valid(row).then(|| values.value(row).into()),
            Self::Messages(messages) => Some(messages[row].as_ref().into()),
        }
    }
}

impl Writer {
    /// The values of rows.
    pub(super) fn values(&self, rows: &RecordBatch) -> Result<Written, Error> {
        match self {
            Self::Records(RecordFormat::RawString | RecordFormat::RawBytes) => {
                Ok(Written::Column(bytes_of(rows.column(0))?))
            }
            Self::Records(RecordFormat::Json(json)) if json.unstructured => {
                Ok(Written::Column(bytes_of(rows.column(0))?))
            }
            Self::Records(format) => lines(format, rows, None),
            Self::Json(format, number) => lines(format, rows, Some(frame(*number))),
            Self::Avro(encoder, number) => Ok(Written::Messages(encoder.encode(*number, rows)?)),
        }
    }
}

/// A record for each row. CSV may have newlines inside of a record, so its rows are written one by one.
fn lines(format: &RecordFormat, rows: &RecordBatch, frame: Option<[u8; 5]>) -> Result<Written, Error> {
    let (mut text, mut ranges) = (Vec::new(), Vec::with_capacity(rows.num_rows()));
    if *format == RecordFormat::Csv {
        for row in 0..rows.num_rows() {
            let from = text.len();
            encode(format, &rows.slice(row, 1), &mut text)?;
            ranges.push(from..text.len() - 1);
        }
        return Ok(Written::Lines(text, ranges, frame));
    }
    encode(format, rows, &mut text)?;
    let mut from = 0;
    for at in memchr::memchr_iter(b'\n', &text) {
        ranges.push(from..at);
        from = at + 1;
    }
    Ok(Written::Lines(text, ranges, frame))
}

/// A column as bytes: those that it holds, or its text.
pub(super) fn bytes_of(column: &ArrayRef) -> Result<BinaryArray, Error> {
    let bytes = match column.data_type() {
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => cast(column, &DataType::Binary)?,
        _ => cast(&cast(column, &DataType::Utf8)?, &DataType::Binary)?,
    };
    Ok(bytes.as_binary::<i32>().clone())
}
