//! Wire formats become Arrow batches: pure functions over bytes, with capped decompression.
//!
//! ```text
//! body ─ decompress ─ line_protocol | message_pack | json | csv ─ Decoded { Rows { table, batch, tags } … }
//! ```
//!
//! Every [`Rows::batch`] has a column `time`, `Timestamp(Microsecond)` without zone, non-null, first; the other
//! columns are nullable and Int64, Float64, Boolean, Utf8, Binary, Timestamp(Microsecond) or Null. Nothing
//! here knows tables or the catalog: what a table already knows of a column comes in by [`KnownColumns`].
//! Invariant: no length that a body claims is allocated before it is checked against the bytes that are left.

pub mod compression;
pub mod csv;
mod decoded;
mod error;
pub mod json;
pub mod line_protocol;
pub mod message_pack;
mod time;

pub use decoded::{Decoded, Known, KnownColumns, Limits, Nothing, RejectedLine, Rows};
pub use error::Error;
pub use time::Precision;
