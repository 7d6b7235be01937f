//! Failures of connectors.

use cenote_vocab::{ErrorKind, Fault, SqlState};

/// A connector cannot be made, or cannot read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Options that do not fit the connector.
    #[error("{0}")]
    Options(String),
    /// What this version cannot do.
    #[error("{0} is not supported yet")]
    Unsupported(String),
    /// Rows from this position on are no longer there.
    #[error("source {source_name}: history is gone: {reason}")]
    Gone {
        /// The source.
        source_name: String,
        /// What is wanted, and what there is.
        reason: String,
    },
    /// The source is no longer what the pipeline was planned for.
    #[error("source {source_name} has changed: {reason}")]
    Changed {
        /// The source.
        source_name: String,
        /// What is other than before.
        reason: String,
    },
    /// A row that has no event time.
    #[error("source {source_name}: a row has no event time: column {column:?} is NULL")]
    NoEventTime {
        /// The source.
        source_name: String,
        /// The column.
        column: String,
    },
    /// A position that is none of this source's.
    #[error("source {source_name}: position {position:?} is none of its own")]
    Position {
        /// The source.
        source_name: String,
        /// The position.
        position: String,
    },
    /// A place that this node does not let connectors touch.
    #[error("{0}")]
    Denied(String),
    /// The file that a source reads is not there.
    #[error("source {source_name}: {path} is missing")]
    Missing {
        /// The source.
        source_name: String,
        /// The file.
        path: String,
    },
    /// A file cannot be read.
    #[error("source {source_name}: {path}: {reason}")]
    Unreadable {
        /// The source.
        source_name: String,
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// What a source reads from does not answer; later it may.
    #[error("source {source_name}: {reason}")]
    SourceUnavailable {
        /// The source.
        source_name: String,
        /// What is known of it.
        reason: String,
    },
    /// What a source reads from lets nobody read.
    #[error("source {source_name}: {reason}")]
    SourceRefused {
        /// The source.
        source_name: String,
        /// What it said.
        reason: String,
    },
    /// A sink is no longer what the last commit left.
    #[error("sink {sink_name}: {reason}")]
    SinkChanged {
        /// The sink.
        sink_name: String,
        /// What is other than it was.
        reason: String,
    },
    /// A sink did not take rows; later it may.
    #[error("sink {sink_name}: {reason}")]
    SinkUnavailable {
        /// The sink.
        sink_name: String,
        /// What it said.
        reason: String,
    },
    /// A sink refuses a row.
    #[error("sink {sink_name}: {reason}")]
    SinkRefused {
        /// The sink.
        sink_name: String,
        /// What it said.
        reason: String,
    },
    /// Records that cannot be made.
    #[error(transparent)]
    Codec(#[from] cenote_codec::Error),
    /// Object storage failed.
    #[error(transparent)]
    Store(#[from] cenote_store::Error),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] cenote_catalog::Error),
    /// A table could not be read.
    #[error(transparent)]
    Table(#[from] cenote_table::Error),
    /// Buffered rows could not be made files.
    #[error(transparent)]
    Ingest(Box<cenote_ingest::Error>),
    /// A file could not be read.
    #[error(transparent)]
    DataFile(#[from] cenote_datafile::Error),
    /// Batches do not fit; our bug.
    #[error("connector: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}

impl From<cenote_ingest::Error> for Error {
    fn from(error: cenote_ingest::Error) -> Self {
        Self::Ingest(Box::new(error))
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Options(_)
            | Self::NoEventTime { .. }
            | Self::Changed { .. }
            | Self::Unreadable { .. }
            | Self::SourceRefused { .. }
            | Self::SinkRefused { .. } => ErrorKind::Invalid,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Gone { .. } | Self::Missing { .. } => ErrorKind::NotFound,
            Self::Position { .. } | Self::SinkChanged { .. } => ErrorKind::Corrupt,
            Self::SourceUnavailable { .. } | Self::SinkUnavailable { .. } => ErrorKind::Unavailable,
            Self::Denied(_) => ErrorKind::Denied,
            Self::Codec(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Catalog(error) => error.kind(),
            Self::Table(error) => error.kind(),
            Self::Ingest(error) => error.kind(),
            Self::DataFile(error) => error.kind(),
            Self::Arrow(_) => ErrorKind::Internal,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Options(_) => SqlState("22023"),
            Self::Store(error) => error.sqlstate(),
            Self::Catalog(error) => error.sqlstate(),
            Self::Table(error) => error.sqlstate(),
            Self::Ingest(error) => error.sqlstate(),
            Self::DataFile(error) => error.sqlstate(),
            _ => self.kind().sqlstate(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Catalog(error) => error.hint(),
            Self::Table(error) => error.hint(),
            Self::Ingest(error) => error.hint(),
            _ => None,
        }
    }
}
