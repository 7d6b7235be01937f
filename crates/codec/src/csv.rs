//! CSV with a header.

use cenote_vocab::Micros;

use crate::{Decoded, Error, KnownColumns, Limits, Precision};

/// How to read a body; the names are those of the HTTP parameters.
#[derive(Clone, Debug)]
pub struct Options {
    /// Table of all rows.
    pub table: String,
    /// Column that holds the time.
    pub time_column: String,
    /// Unit of numeric times (`time_format=epoch_…`); `None` reads RFC 3339 text, or numbers by magnitude.
    pub time_format: Option<Precision>,
    /// Between cells.
    pub delimiter: u8,
    /// Lines to leave out before the header.
    pub skip_rows: usize,
    /// False: columns are `column_1`, `column_2`, …
    pub header: bool,
    /// Text that means NULL, besides the empty cell.
    pub null: String,
    /// Columns that are tags.
    pub tags: Vec<String>,
    /// The time of rows without one.
    pub received: Micros,
    /// Bounds.
    pub limits: Limits,
}

/// All rows of the body; columns of `known` keep their types.
pub fn decode(_body: &[u8], _options: &Options, _known: &dyn KnownColumns) -> Result<Decoded, Error> {
    todo!()
}
