//! Failures of files.

use cenote_vocab::{ErrorKind, Fault, SqlState};

/// A failure of a data file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A type that no column of a table can have yet.
    #[error("column {column:?} has type {given}, which a table cannot store")]
    TypeNotStorable {
        /// The column.
        column: String,
        /// The Arrow type.
        given: String,
    },
    /// Stored bytes are damaged.
    #[error("{object} is damaged: {reason}")]
    Corrupt {
        /// Which object.
        object: String,
        /// What was expected and found.
        reason: String,
    },
    /// Batches of one file differ in their schema.
    #[error("schema of a batch changed while writing {path}: {reason}")]
    SchemaChanged {
        /// The file.
        path: String,
        /// The difference.
        reason: String,
    },
    /// Values that a file cannot hold, or a NULL where none may be.
    #[error("rows do not fit into {path}: {reason}")]
    RowsDoNotFit {
        /// The file.
        path: String,
        /// Column and value.
        reason: String,
    },
    /// Object storage failed.
    #[error(transparent)]
    Store(#[from] cenote_store::Error),
    /// The Parquet library failed.
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// The Arrow library failed.
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TypeNotStorable { .. } => ErrorKind::Unsupported,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::SchemaChanged { .. } | Self::RowsDoNotFit { .. } => ErrorKind::Invalid,
            Self::Store(error) => error.kind(),
            Self::Parquet(_) | Self::Arrow(_) => ErrorKind::Internal,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::RowsDoNotFit { .. } => SqlState("22000"), // data_exception
            Self::Store(error) => error.sqlstate(),
            _ => self.kind().sqlstate(),
        }
    }
}
