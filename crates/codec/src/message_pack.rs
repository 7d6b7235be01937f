//! MessagePack, columnar and rows.

use cenote_vocab::Micros;

use crate::{Decoded, Error, Limits, Precision};

/// How to read a body.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Unit of times when an item names none.
    pub precision: Option<Precision>,
    /// The time of items without one.
    pub received: Micros,
    /// Store good items, report bad ones.
    pub accept_partial: bool,
    /// Bounds.
    pub limits: Limits,
}

/// All items of the body.
pub fn decode(_body: &[u8], _options: &Options) -> Result<Decoded, Error> {
    todo!()
}
