//! The way in: decode → schema → log → buffer → flush → commit.
//!
//! ```text
//! WriteRequest ─ decode ─ resolve schema ─► log (group commit, fdatasync) ─► buffer ─ answer (durable)
//!                                                        ▲ replay             │ seal at P, sort, Parquet
//!                                            restart ────┘                    ▼
//!                                      truncate ◄──── Commit { producer log/{node}/{table}, epoch P }
//! ```
//! Invariants: a durable answer means the bytes are on disk and the next statement sees the rows; a row is in the
//! buffer above its table's flushed epoch or in a file, never both, never neither; a request is visible whole.

mod admission;
mod buffer;
mod decode;
mod error;
mod files;
mod flush;
mod ingest;
mod metrics;
mod once;
mod options;
mod pin;
mod protocols;
mod replay;
mod request;
mod schema;
mod stage;
mod tables;
mod tenants;
mod trigger;
pub mod wal;
mod worker;
mod write;

pub use error::Error;
pub use ingest::{Ingest, State};
pub use options::{IngestOptions, WalOptions};
pub use pin::Pin;
pub use request::{Ack, Format, WriteOutcome, WriteRequest};
pub use schema::Hold;
