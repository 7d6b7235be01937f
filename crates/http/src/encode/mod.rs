//! Arrow batches become bytes of an answer.
//!
//! Before: a statement's batch stream. After: the response body. Every format prints a value in the same way
//! ([`cell`]), so that two formats never disagree; nothing here builds a value per cell.

mod cell;
mod csv;
mod date;
mod interval;
mod ipc;
mod json;
mod lines;
mod type_name;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use cenote_query::Outcome;
use cenote_vocab::{ErrorKind, Fault};

pub(crate) use csv::CsvEncoder;
pub(crate) use ipc::{Compression, IpcEncoder, IpcOptions};
pub(crate) use json::{JsonEncoder, rows_json};
pub(crate) use lines::LinesEncoder;
pub(crate) use type_name::sql_types;

/// How values are printed, in every text format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// Decimals as JSON strings, so that no reader rounds them.
    pub(crate) exact: bool,
}

/// What is known when the last batch has been written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// Rows of the answer.
    pub(crate) rows: u64,
    /// From the request's start, in milliseconds.
    pub(crate) execution_ms: f64,
    /// Of that, until the first batch was asked for.
    pub(crate) planner_ms: f64,
    /// RFC 3339.
    pub(crate) timestamp: String,
    /// What the statement says of itself.
    pub(crate) outcome: Outcome,
    /// `max_rows`, if it cut the answer.
    pub(crate) row_cap: Option<u64>,
    /// True if the client asked for `profile`.
    pub(crate) profile: bool,
}

/// Why an answer that has begun could not be finished.
#[derive(Clone, Debug)]
pub(crate) struct Break {
    /// The error's text.
    pub(crate) error: String,
    /// Its code.
    pub(crate) sqlstate: &'static str,
    /// One word: `timeout`, `cancelled`, `error`.
    pub(crate) reason: &'static str,
}

impl Break {
    /// What to say of an error.
    pub(crate) fn of(error: &dyn Fault) -> Self {
        let reason = match (error.kind(), error.sqlstate().0) {
            (ErrorKind::Cancelled, _) => "cancelled",
            (_, "57014") => "timeout",
            _ => "error",
        };
        Self { error: error.to_string(), sqlstate: error.sqlstate().0, reason }
    }
}

/// Writes one answer, in order: `begin`, `batch`…, then `end` or `fail`.
pub(crate) trait Encoder: Send {
    /// `Content-Type` of the answer.
    fn media_type(&self) -> &'static str;

    /// What stands before the first row.
    fn begin(&mut self, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), ArrowError>;

    /// The rows of one batch.
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError>;

    /// What stands after the last row of a whole answer.
    fn end(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<(), ArrowError>;

    /// What a reader of a broken answer should still see; the transfer is cut off after it.
    fn fail(&mut self, _broken: &Break, _out: &mut Vec<u8>) {}
}
