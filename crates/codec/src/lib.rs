//! Wire formats become Arrow batches: pure functions over bytes, with capped decompression.
//!
//! ```text
//! body ─ decompress ─ line_protocol | message_pack | json | csv ─ Decoded { Rows { table, batch, tags } … }
//! ```
//!
//! Every [`Rows::batch`] has a column `time`, `Timestamp(Microsecond)` without zone, non-null, first; the other
//! columns are nullable and Int64, Float64, Boolean, Utf8, Binary, Timestamp(Microsecond) or Null. Nothing
//! here knows tables or the catalog: what a table already knows of a column comes in by [`KnownColumns`].
//! Streams read and write the records of [`record`], whose columns are declared.
//! Invariant: no length that a body claims is allocated before it is checked against the bytes that are left.
//!
//! ```
//! use cenote_codec::{Limits, Nothing, Precision, line_protocol};
//! use cenote_vocab::Micros;
//!
//! let received = Micros(1_700_000_000_000_000);
//! let options = line_protocol::Options { precision: Precision::Second, received, limits: Limits::default() };
//! let decoded = line_protocol::decode(b"cpu,host=a usage=1.5 10\ncpu usage=oops", &options, &Nothing)?;
//! assert_eq!(decoded.tables[0].tags, ["host"]);
//! assert_eq!((decoded.rows(), decoded.rejected[0].number), (1, 2));
//! # Ok::<(), cenote_codec::Error>(())
//! ```

mod column;
pub mod compression;
pub mod csv;
mod decoded;
mod error;
mod item;
pub mod json;
pub mod line_protocol;
pub mod message_pack;
pub mod record;
mod table;
mod time;
mod value;

pub use decoded::{Decoded, Known, KnownColumns, Limits, Nothing, RejectedLine, Rows};
pub use error::Error;
pub use time::Precision;
