//! Records of a known schema: what streams read from files and messages, and write to them.
//!
//! ```text
//! bytes ─ split ─ records ─ Decoder ─ batches, and what is wrong with the rest        batch ─ encode ─ records
//! ```
//! Where a body of the ingest door brings its own columns, a record has those that its table declares. A record that does
//! not fit is told apart from its neighbours, so that who reads may leave it out.

mod avro;
mod csv;
mod debezium;
mod encode;
mod framed;
mod json;
mod split;

use std::ops::Range;

use arrow::array::{Array, ArrayRef, BinaryArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub use avro::{AvroDecoder, AvroEncoder};
pub use debezium::{CHANGE, COMES, GOES, REPLACED, REPLACES, changing};
pub use encode::{encode, header};
pub use framed::{frame, framed, json_schema};
pub use json::{Decimals, JsonOptions, Timestamps};
pub use split::{RECORD_BYTES_MAX, split};

use crate::Error;

/// The only column of records that are not taken apart.
pub const VALUE: &str = "value";
/// Marks columns of JSON text (the key and value of a field's metadata).
const JSON_EXTENSION: (&str, &str) = ("ARROW:extension:name", "arrow.json");

/// How a record is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    /// An object.
    Json(JsonOptions),
    /// An object with the row before and after a change; rows come with [`CHANGE`] behind their columns.
    DebeziumJson(JsonOptions),
    /// Cells with commas between.
    Csv,
    /// Text, as column [`VALUE`].
    RawString,
    /// Bytes, as column [`VALUE`].
    RawBytes,
}

/// Decoded records.
#[derive(Debug, Default)]
pub struct DecodedRecords {
    /// Rows of neighbouring records, by the number of the first.
    pub batches: Vec<(usize, RecordBatch)>,
    /// Of changes, of which a record says none, one or two: for each batch the records of its rows. Empty where a record is a row.
    pub records: Vec<Vec<usize>>,
    /// Records that do not fit, by number, and why.
    pub bad: Vec<(usize, String)>,
}

/// Whether a record that does not fit ends the decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtBad {
    /// What comes behind it is not needed.
    Stop,
    /// All of them are found.
    GoOn,
}

/// Takes records apart.
#[derive(Clone, Debug)]
pub struct Decoder {
    format: RecordFormat,
    schema: SchemaRef,
    /// CSV: the place of each column among the cells.
    cells: Vec<Option<usize>>,
}

impl Decoder {
    /// For records with these columns; those that are nullable may be missing.
    ///
    /// `Malformed` if the format cannot have such columns.
    pub fn new(format: RecordFormat, schema: SchemaRef) -> Result<Self, Error> {
        check(&format, &schema)?;
        let cells = (0..schema.fields().len()).map(Some).collect();
        Ok(Self { format, schema, cells })
    }

    /// CSV: the columns stand where this first record of a file says.
    pub fn with_header(mut self, header: &[u8]) -> Result<Self, Error> {
        let names = csv::cells(header).map_err(Error::Malformed)?;
        let place = |field: &std::sync::Arc<Field>| {
            names.iter().position(|name| {
                name.as_deref().is_some_and(|name| name.trim().eq_ignore_ascii_case(field.name()))
            })
        };
        self.cells = self.schema.fields().iter().map(place).collect();
        Ok(self)
    }

    /// Rows of records; blank ones are none where the format is made of lines with content.
    pub fn decode(&self, records: &[&[u8]], at_bad: AtBad) -> DecodedRecords {
        let mut decoded = DecodedRecords::default();
        let takes_blank = matches!(self.format, RecordFormat::RawString | RecordFormat::RawBytes);
        let mut start = 0;
        while start < records.len() {
            if !takes_blank && records[start].trim_ascii().is_empty() {
                start += 1;
                continue;
            }
            let is_blank = |record: &&[u8]| !takes_blank && record.trim_ascii().is_empty();
            let length = records[start..].iter().position(is_blank).unwrap_or(records.len() - start);
            let rows = |range: Range<usize>| self.rows(&records[range]);
            if !by_halves(start..start + length, at_bad, &mut decoded, &rows) {
                break;
            }
            start += length;
        }
        decoded
    }

    fn rows(&self, records: &[&[u8]]) -> Result<Rows, String> {
        let columns: Vec<ArrayRef> = match &self.format {
            RecordFormat::Json(options) => json::columns(records, &self.schema, options)?,
            RecordFormat::DebeziumJson(options) => {
                let changes = debezium::changes(records)?;
                let rows: Vec<&[u8]> = changes.iter().map(|change| change.row).collect();
                let columns = match rows.is_empty() {
                    true => RecordBatch::new_empty(self.schema.clone()).columns().to_vec(),
                    false => json::columns(&rows, &self.schema, options)?,
                };
                return debezium::with_changes(&batch(&self.schema, columns)?, &changes);
            }
            RecordFormat::Csv => csv::columns(records, &self.schema, &self.cells)?,
            RecordFormat::RawString => {
                let texts: Result<StringArray, _> =
                    records.iter().map(|record| std::str::from_utf8(record).map(Some)).collect();
                vec![std::sync::Arc::new(texts.map_err(|error| format!("no UTF-8: {error}"))?)]
            }
            RecordFormat::RawBytes => {
                vec![std::sync::Arc::new(BinaryArray::from_iter_values(records.iter()))]
            }
        };
        batch(&self.schema, columns).map(Rows::each)
    }
}

/// Rows of neighbouring records.
struct Rows {
    batch: RecordBatch,
    /// The record of each, counted from the first, if records are not rows.
    records: Option<Vec<usize>>,
}

impl Rows {
    /// Each is a record.
    fn each(batch: RecordBatch) -> Self {
        Self { batch, records: None }
    }
}

/// The rows of neighbours; what does not fit is found by halves. False: enough is known.
fn by_halves(
    range: Range<usize>,
    at_bad: AtBad,
    decoded: &mut DecodedRecords,
    rows: &impl Fn(Range<usize>) -> Result<Rows, String>,
) -> bool {
    match rows(range.clone()) {
        Ok(Rows { batch, records }) => {
            decoded.batches.push((range.start, batch));
            let records = records.map(|records| records.iter().map(|record| range.start + record).collect());
            decoded.records.extend(records);
            true
        }
        Err(reason) if range.len() == 1 => {
            decoded.bad.push((range.start, reason));
            at_bad == AtBad::GoOn
        }
        Err(_) => {
            let middle = range.start + range.len() / 2;
            by_halves(range.start..middle, at_bad, decoded, rows)
                && by_halves(middle..range.end, at_bad, decoded, rows)
        }
    }
}

/// Columns as declared, without NULLs where none may be.
fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, String> {
    for (column, field) in columns.iter().zip(schema.fields()) {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(format!("column {:?} is NULL, and declared NOT NULL", field.name()));
        }
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(said)
}

/// What such records cannot have is named.
fn check(format: &RecordFormat, schema: &SchemaRef) -> Result<(), Error> {
    let wants = |name: &str, wanted: &str, fits: fn(&Field) -> bool| {
        let field = match schema.fields().as_ref() {
            [field] => field,
            _ => {
                return Err(Error::Malformed(format!(
                    "format '{name}' has exactly one column, {VALUE} {wanted}"
                )));
            }
        };
        match field.name() == VALUE && fits(field) {
            true => Ok(()),
            false => Err(Error::Malformed(format!(
                "format '{name}' has exactly one column, {VALUE} {wanted}, got {} {}",
                field.name(),
                field.data_type()
            ))),
        }
    };
    match format {
        RecordFormat::RawString => wants("raw_string", "TEXT", |field| *field.data_type() == DataType::Utf8),
        RecordFormat::RawBytes => wants("raw_bytes", "BYTEA", |field| *field.data_type() == DataType::Binary),
        RecordFormat::Json(options) if options.unstructured => {
            wants("json", "JSON", |field| *field.data_type() == DataType::Utf8)
        }
        RecordFormat::Csv => match schema.fields().iter().find(|field| field.data_type().is_nested()) {
            Some(field) => Err(Error::Malformed(format!(
                "format 'csv' has no cells for column {:?}, which is nested",
                field.name()
            ))),
            None => Ok(()),
        },
        RecordFormat::Json(_) | RecordFormat::DebeziumJson(_) => Ok(()),
    }
}

/// The column as declared; a value that does not fit is an error that names it.
fn fit(column: &ArrayRef, field: &Field) -> Result<ArrayRef, String> {
    if column.data_type() == field.data_type() {
        return Ok(column.clone());
    }
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, field.data_type(), &exact)
        .map_err(|error| format!("column {:?}: {}", field.name(), said(error)))
}

/// Without the library's prefix.
fn said(error: ArrowError) -> String {
    match error {
        ArrowError::JsonError(text)
        | ArrowError::CsvError(text)
        | ArrowError::CastError(text)
        | ArrowError::ParseError(text)
        | ArrowError::InvalidArgumentError(text) => text,
        other => other.to_string(),
    }
}

/// True for a column of JSON text.
fn is_json(field: &Field) -> bool {
    field.metadata().get(JSON_EXTENSION.0).is_some_and(|name| name == JSON_EXTENSION.1)
}

#[cfg(test)]
mod tests;
