//! What a decoder gives.

use arrow::record_batch::RecordBatch;
use cenote_vocab::FieldType;

/// Rows of one table, in the order of the body.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The table's name as sent; names are checked already.
    pub table: String,
    /// Column `time` first, then columns in order of arrival.
    pub batch: RecordBatch,
    /// Names of the columns that were sent as tags, in order of arrival.
    pub tags: Vec<String>,
}

/// A line (or item) that could not be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedLine {
    /// Counts from 1 in the decompressed body.
    pub number: u64,
    /// At most 256 bytes of the line.
    pub line: String,
    /// What is wrong with it.
    pub reason: String,
}

impl RejectedLine {
    /// How many bytes of the line are kept.
    pub const LINE_SHOWN_MAX: usize = 256;

    pub(crate) fn new(number: u64, line: &[u8], reason: String) -> Self {
        // Four bytes more than shown, so that a character at the edge is whole before it is cut.
        let mut line =
            String::from_utf8_lossy(&line[..line.len().min(Self::LINE_SHOWN_MAX + 4)]).into_owned();
        line.truncate(line.floor_char_boundary(Self::LINE_SHOWN_MAX));
        Self { number, line, reason }
    }
}

/// A decoded body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// One entry per table.
    pub tables: Vec<Rows>,
    /// The first [`Decoded::REJECTED_SHOWN_MAX`] lines that were left out.
    pub rejected: Vec<RejectedLine>,
    /// How many lines were left out.
    pub rejected_lines: u64,
    /// Text values whose invalid UTF-8 became U+FFFD.
    pub replaced_utf8: u64,
}

impl Decoded {
    /// How many rejected lines an answer shows.
    pub const REJECTED_SHOWN_MAX: usize = 100;

    /// Rows in all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|rows| rows.batch.num_rows() as u64).sum()
    }

    /// An error if lines were left out and none was good.
    pub(crate) fn unless_nothing_is_good(mut self) -> Result<Self, crate::Error> {
        if self.tables.is_empty() && !self.rejected.is_empty() {
            return Err(crate::Error::NoValidLines { first: self.rejected.swap_remove(0) });
        }
        Ok(self)
    }

    pub(crate) fn reject(&mut self, line: RejectedLine) {
        self.rejected_lines += 1;
        if self.rejected.len() < Self::REJECTED_SHOWN_MAX {
            self.rejected.push(line);
        }
    }
}

/// What a table knows of a column before the body is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The column's type.
    pub field_type: FieldType,
    /// True if the column is a tag.
    pub tag: bool,
}

/// Looks up columns of existing tables, so that a line with a wrong type is rejected by itself.
pub trait KnownColumns {
    /// `None` if the table or the column does not exist yet.
    fn column(&self, table: &str, column: &str) -> Option<Known>;
}

/// No table exists yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl KnownColumns for Nothing {
    fn column(&self, _table: &str, _column: &str) -> Option<Known> {
        None
    }
}

/// Bounds of one body.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `rows_per_request_max`
    pub rows_max: u64,
    /// `columns_per_table_max`
    pub columns_max: usize,
    /// `string_max`: bytes of one value
    pub string_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows_max: 5_000_000, columns_max: 2_000, string_max: 16 << 20 }
    }
}

/// A body's rows as text that tests compare: a line `table [tags]`, a line of columns, a line per row.
#[cfg(test)]
pub(crate) fn shown(decoded: &Decoded) -> String {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("-");
    let mut lines = Vec::new();
    for Rows { table, batch, tags } in &decoded.tables {
        lines.push(format!("{table} [{}]", tags.join(",")));
        let schema = batch.schema();
        let names =
            schema.fields().iter().skip(1).map(|field| format!("|{}:{}", field.name(), field.data_type()));
        lines.push(format!("{}{}", schema.field(0).name(), names.collect::<String>()));
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("shown"))
            .collect();
        for row in 0..batch.num_rows() {
            lines.push(
                columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"),
            );
        }
    }
    lines.join("\n")
}
