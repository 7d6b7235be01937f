//! The write-ahead log: what was acknowledged is here until it is in files.
//!
//! ```text
//! <wal.dir>/node                    the log's id, minted with it
//!          /lock                    held while a process uses the log
//!          /<first LSN, 16 hex>.seg header 64 bytes, then records: header 48 bytes, body, zeros to 8
//!          /next.tmp                the next segment, allocated ahead
//! ```
//! Invariants: a place ([`Lsn`](cenote_vocab::Lsn)) is acknowledged only when its bytes are synced; only records of kind
//! rows take a place, so places are dense; a segment exists under its name only when its header is on disk and all
//! earlier segments are; the first failed write or sync is the last.

mod directory;
mod group;
mod log;
mod payload;
mod record;
mod recovery;
mod segment;
mod thread;

pub(crate) use directory::Directory;
pub(crate) use log::{Append, Health, Log, Refused, Start};
pub(crate) use payload::{Shape, decode_rows, encode_rows, read_shapes};
pub(crate) use record::{BODY_BYTES_MAX, Draft, SECTIONS_MAX};
pub use record::{Header, Kind, SectionHeader, sections};
pub use recovery::{Found, Tail, read_log};
pub use segment::SegmentHeader;

#[cfg(test)]
mod tests;
