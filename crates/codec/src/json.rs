//! JSON: plain rows, and the row and columnar items of MessagePack.

use cenote_vocab::Micros;

use crate::{Decoded, Error, Limits, Precision};

/// How to read a body.
#[derive(Clone, Debug)]
pub struct Options {
    /// Table of plain rows.
    pub table: Option<String>,
    /// Column that holds the time of plain rows.
    pub time_column: Option<String>,
    /// Columns that are tags.
    pub tags: Vec<String>,
    /// Unit of times.
    pub precision: Option<Precision>,
    /// The time of rows without one.
    pub received: Micros,
    /// Bounds.
    pub limits: Limits,
}

/// All rows of the body.
pub fn decode(_body: &[u8], _options: &Options) -> Result<Decoded, Error> {
    todo!()
}
