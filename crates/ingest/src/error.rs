//! Failures of a write.

use std::time::Duration;

use cenote_vocab::{ErrorKind, Fault, Permission, SqlState};

/// A failure of a write: nothing of it is stored, unless it is [`Error::LogClosed`] (then it may be, after a restart).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body holds nothing.
    #[error("Empty payload")]
    EmptyBody,
    /// The body could not be read.
    #[error(transparent)]
    Codec(#[from] cenote_codec::Error),
    /// A value does not fit its column.
    #[error("column {column:?} of \"{database}\".\"{table}\": expected {expected}, given {given} (first at row {row}: {value})")]
    TypeConflict {
        /// Schema.
        database: String,
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// SQL type of the column.
        expected: String,
        /// Type of the value.
        given: String,
        /// Row in the request, from 0.
        row: u64,
        /// The value as text, cut.
        value: String,
    },
    /// A NOT NULL column that the request does not fill.
    #[error("column {column:?} of \"{database}\".\"{table}\" is NOT NULL and the request has no value for it")]
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
    #[error("Permission denied: {permission} required on {object}")]
    Denied {
        /// The right.
        permission: Permission,
        /// Where.
        object: String,
    },
    /// The key was used with another body.
    #[error("idempotency key was used with another body")]
    IdempotencyConflict,
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
            Self::Full { retry_after, .. } => Some(*retry_after),
            Self::DiskFull => Some(Duration::from_secs(10)),
            Self::LogClosed(_) | Self::NotReady(_) => Some(Duration::from_secs(5)),
            Self::Catalog(error) if error.kind() == ErrorKind::Unavailable => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::EmptyBody | Self::TypeConflict { .. } | Self::MissingValue { .. } | Self::CreationOff(_) | Self::NotATable(_) => {
                ErrorKind::Invalid
            }
            Self::Denied { .. } => ErrorKind::Denied,
            Self::IdempotencyConflict => ErrorKind::Conflict,
            Self::Full { .. } | Self::LogClosed(_) | Self::NotReady(_) => ErrorKind::Unavailable,
            Self::DiskFull => ErrorKind::Exhausted,
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
            Self::Catalog(error) => error.hint(),
            Self::Table(error) => error.hint(),
            _ => None,
        }
    }
}
