//! InfluxDB line protocol.

use cenote_vocab::Micros;

use crate::{Decoded, Error, KnownColumns, Limits, Precision};

/// How to read a body.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Unit of timestamps.
    pub precision: Precision,
    /// The time of lines without a timestamp.
    pub received: Micros,
    /// Bounds.
    pub limits: Limits,
}

/// Good lines become rows, bad ones are reported in [`Decoded::rejected`]; errors only for a limit.
pub fn decode(_body: &[u8], _options: &Options, _known: &dyn KnownColumns) -> Result<Decoded, Error> {
    todo!()
}
