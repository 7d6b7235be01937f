//! One write, and its answer.

use bytes::Bytes;
use cenote_catalog::Caller;
use cenote_codec::{Precision, RejectedLine};
use cenote_vocab::Txn;

/// When a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// When queries see the rows: a crash may lose them.
    Memory,
    /// When the log is on disk.
    #[default]
    Durable,
    /// When the rows are in files of a snapshot.
    Committed,
}

impl Ack {
    /// `memory`, `durable`, `committed`
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Durable => "durable",
            Self::Committed => "committed",
        }
    }
}

/// How the body is written.
#[derive(Clone, Debug)]
pub enum Format {
    /// InfluxDB line protocol.
    LineProtocol {
        /// Unit of timestamps.
        precision: Precision,
    },
    /// MessagePack, columnar or rows.
    MessagePack {
        /// Unit of times when the body names none.
        precision: Option<Precision>,
    },
    /// JSON rows.
    Json {
        /// Table of plain rows.
        table: Option<String>,
        /// Column of the time.
        time_column: Option<String>,
        /// Unit of times.
        precision: Option<Precision>,
        /// Tag columns.
        tags: Vec<String>,
    },
    /// CSV with a header.
    Csv {
        /// Table of all rows.
        table: String,
        /// Column of the time.
        time_column: String,
        /// Unit of numeric times.
        time_format: Option<Precision>,
        /// Between cells.
        delimiter: u8,
        /// Lines before the header.
        skip_rows: usize,
        /// First line names the columns.
        header: bool,
        /// Text that means NULL.
        null: String,
        /// Tag columns.
        tags: Vec<String>,
    },
}

/// A body to be stored.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// Schema that the tables are in; `None`: the token's, else the configured one.
    pub database: Option<String>,
    /// How to read the body.
    pub format: Format,
    /// As received, perhaps compressed.
    pub body: Bytes,
    /// When to answer; `None`: as configured.
    pub ack: Option<Ack>,
    /// Store good lines and report bad ones.
    pub accept_partial: bool,
    /// Store at most once under this key; answered as committed.
    pub idempotency_key: Option<String>,
    /// Who sends it, and whence; `None`: nobody but the token is known.
    pub caller: Option<Caller>,
}

/// What was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteOutcome {
    /// Rows stored.
    pub rows: u64,
    /// What the answer promises.
    pub ack: Ack,
    /// The commit, if `ack` is committed.
    pub txn: Option<Txn>,
    /// Lines that were left out (the first hundred).
    pub rejected: Vec<RejectedLine>,
    /// How many.
    pub rejected_lines: u64,
    /// Text values with replaced bytes.
    pub replaced_utf8: u64,
    /// True if the idempotency key was known and this is its first answer.
    pub replayed: bool,
}
