//! Failures of a write.

use std::time::Duration;

use cenote_catalog::Privilege;
use cenote_vocab::{ErrorKind, Fault, SqlState};

/// A failure of a write: nothing of it is stored, unless it is [`Error::LogClosed`] (then it may be, after a restart).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body holds nothing.
    #[error("Empty payload")]
    EmptyBody,
    /// The body holds no row.
    #[error("No valid records in request")]
    NoRecords,
    /// A bound of one request, or of the node, that a retry will meet again.
    #[error("{what} is {bytes} bytes, more than {bytes_max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// The idempotency key breaks a rule.
    #[error("idempotency key must be 1 to 255 printable ASCII characters")]
    InvalidKey,
    /// The body could not be read.
    #[error(transparent)]
    Codec(#[from] cenote_codec::Error),
    /// A value does not fit its column.
    #[error(
        "column {column:?} of \"{database}\".\"{table}\": expected {expected}, given {given} (first at row {row}: {value})"
    )]
    TypeConflict {
        /// Schema.
        database: Box<str>,
        /// Table.
        table: Box<str>,
        /// Column.
        column: Box<str>,
        /// SQL type of the column.
        expected: Box<str>,
        /// Type of the value.
        given: Box<str>,
        /// Row in the request, from 0.
        row: u64,
        /// The value as text, cut.
        value: Box<str>,
    },
    /// A NOT NULL column that the request does not fill.
    #[error(
        "column {column:?} of \"{database}\".\"{table}\" is NOT NULL and the request has no value for it"
    )]
    MissingValue {
        /// Schema.
        database: String,
        /// Table.
        table: String,
        /// Column.
        column: String,
    },
    /// Tables or columns may not be made by writes.
    #[error("{0}")]
    CreationOff(String),
    /// The target is a view.
    #[error("\"{0}\" is a view: rows cannot be written to it")]
    NotATable(String),
    /// The token lacks a right.
    #[error("Permission denied: {privilege} required on {object}")]
    Denied {
        /// The right.
        privilege: Privilege,
        /// Where.
        object: String,
    },
    /// The key was used with another body.
    #[error("idempotency key was used with another body")]
    IdempotencyConflict,
    /// Columns of a table change too often.
    #[error("table \"{table}\" had {changes_max} schema changes within a minute; retry later")]
    SchemaChanges {
        /// The table.
        table: String,
        /// The limit.
        changes_max: u32,
        /// Until the next is allowed.
        retry_after: Duration,
    },
    /// The names of tables changed under the request, each time it was tried.
    #[error("the schema of \"{0}\" changed too often while the request was handled; retry")]
    SchemaRaces(String),
    /// No room in buffer or log for 5 s.
    #[error("{what} is full; retry later")]
    Full {
        /// ingest.buffer_memory or wal.size_max
        what: &'static str,
        /// Estimate.
        retry_after: Duration,
    },
    /// The disk of the log is full.
    #[error("the disk of the write-ahead log is full")]
    DiskFull,
    /// A write or sync of the log failed: the process must restart. The outcome of waiting writes is unknown.
    #[error("the write-ahead log is closed after a failed write: {0}")]
    LogClosed(String),
    /// The rows are durable in the log, but their files could not be committed in time.
    #[error("outcome is unknown: the rows are durable, their commit is not: {0}")]
    OutcomeUnknown(String),
    /// Starting, standby or stopping.
    #[error("not ready: {0}")]
    NotReady(&'static str),
    /// The log is damaged; an operator must look.
    #[error("write-ahead log is damaged: {0}")]
    Corrupt(String),
    /// The log's directory cannot be used.
    #[error("write-ahead log: {0}")]
    Io(String),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] cenote_catalog::Error),
    /// Writing files failed.
    #[error(transparent)]
    Table(#[from] cenote_table::Error),
    /// Our bug.
    #[error("ingest: {0}")]
    Internal(String),
}

impl Error {
    /// How long the client should wait before it sends the same again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Full { retry_after, .. } | Self::SchemaChanges { retry_after, .. } => Some(*retry_after),
            Self::DiskFull => Some(Duration::from_secs(10)),
            Self::SchemaRaces(_) => Some(Duration::from_secs(1)),
            Self::LogClosed(_) | Self::NotReady(_) | Self::OutcomeUnknown(_) => Some(Duration::from_secs(5)),
            Self::Catalog(error) if error.kind() == ErrorKind::Unavailable => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::EmptyBody
            | Self::NoRecords
            | Self::InvalidKey
            | Self::TypeConflict { .. }
            | Self::MissingValue { .. }
            | Self::CreationOff(_)
            | Self::NotATable(_) => ErrorKind::Invalid,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::IdempotencyConflict => ErrorKind::Conflict,
            Self::Full { .. }
            | Self::LogClosed(_)
            | Self::NotReady(_)
            | Self::OutcomeUnknown(_)
            | Self::SchemaRaces(_) => ErrorKind::Unavailable,
            Self::DiskFull | Self::TooLarge { .. } | Self::SchemaChanges { .. } => ErrorKind::Exhausted,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Io(_) => ErrorKind::Unavailable,
            Self::Codec(error) => error.kind(),
            Self::Catalog(error) => error.kind(),
            Self::Table(error) => error.kind(),
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::TypeConflict { .. } => SqlState("42804"),
            Self::MissingValue { .. } => SqlState("23502"),
            Self::DiskFull => SqlState("53100"),
            Self::Codec(error) => error.sqlstate(),
            Self::Catalog(error) => error.sqlstate(),
            Self::Table(error) => error.sqlstate(),
            _ => self.kind().sqlstate(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TypeConflict { database, table, column, given, .. } => {
                Some(format!("ALTER TABLE \"{database}\".\"{table}\" ALTER COLUMN \"{column}\" TYPE {given}"))
            }
            Self::Catalog(error) => error.hint(),
            Self::Table(error) => error.hint(),
            _ => None,
        }
    }
}
