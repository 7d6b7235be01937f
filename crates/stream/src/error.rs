//! Failures of pipelines.

use cenote_vocab::{ErrorKind, Fault, SqlState};
use datafusion::error::DataFusionError;

/// A pipeline cannot be planned, or an epoch of it failed and changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A script that breaks a rule; the text names it.
    #[error("{0}")]
    Invalid(String),
    /// What this version cannot do.
    #[error("{0} is not supported yet")]
    Unsupported(String),
    /// What was kept was made by another plan.
    #[error("state does not fit: {operator}: {difference}")]
    State {
        /// The operator.
        operator: String,
        /// What is other than before.
        difference: String,
    },
    /// More state than the pipeline, or the node, has memory for.
    #[error("state of pipeline {pipeline} needs more than state_memory, most of it for {operator}: {source}")]
    StateMemory {
        /// The pipeline.
        pipeline: String,
        /// The operator that holds most.
        operator: String,
        /// Who refused.
        source: cenote_vocab::OutOfMemory,
    },
    /// More windows close at once than the node has memory for.
    #[error("windows of {operator} that close together need more memory than there is for state: {source}")]
    Closing {
        /// The operator.
        operator: String,
        /// Who refused.
        source: cenote_vocab::OutOfMemory,
    },
    /// A row that cannot be used.
    #[error("source {source_name}: partition {partition}, offset {offset}: {reason}")]
    BadRow {
        /// The source.
        source_name: String,
        /// The part of the source.
        partition: String,
        /// Its number there.
        offset: u64,
        /// What is wrong; names the column.
        reason: String,
    },
    /// Stored state that is damaged.
    #[error("state of pipeline {pipeline} is damaged: {reason}")]
    Corrupt {
        /// The pipeline.
        pipeline: String,
        /// What is wrong.
        reason: String,
    },
    /// SQL failed.
    #[error(transparent)]
    Query(#[from] cenote_query::Error),
    /// A source failed.
    #[error(transparent)]
    Connect(Box<cenote_connect::Error>),
    /// Buffered rows of a target could not be made files.
    #[error(transparent)]
    Ingest(Box<cenote_ingest::Error>),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] cenote_catalog::Error),
    /// Files could not be written.
    #[error(transparent)]
    Table(#[from] cenote_table::Error),
    /// Values do not fit the target.
    #[error(transparent)]
    DataFile(#[from] cenote_datafile::Error),
    /// State could not be stored or read.
    #[error(transparent)]
    Store(#[from] cenote_store::Error),
    /// State for which there is no memory could not be put on disk, or read from it.
    #[error("state on disk, of which there may be as much as query.spill_max says: {0}")]
    Spill(std::io::Error),
    /// A plan failed.
    #[error("{0}")]
    Plan(DataFusionError),
    /// A crash that a test asked for.
    #[error("fail point {0}")]
    FailPoint(&'static str),
}

impl From<cenote_connect::Error> for Error {
    fn from(error: cenote_connect::Error) -> Self {
        Self::Connect(Box::new(error))
    }
}

impl From<cenote_ingest::Error> for Error {
    fn from(error: cenote_ingest::Error) -> Self {
        Self::Ingest(Box::new(error))
    }
}

impl Error {
    /// True if another process has taken the pipeline over: nothing of it may be touched any more.
    pub(crate) fn is_fenced(&self) -> bool {
        let catalog = match self {
            Self::Catalog(error) => Some(error),
            Self::Connect(error) => match error.as_ref() {
                cenote_connect::Error::Catalog(error) => Some(error),
                _ => None,
            },
            _ => None,
        };
        matches!(catalog, Some(cenote_catalog::Error::Fenced { .. }))
    }

    /// True if a table is no longer what the pipeline was planned for: planned again it may go on.
    pub(crate) fn is_changed(&self) -> bool {
        matches!(self, Self::Connect(error) if matches!(error.as_ref(), cenote_connect::Error::Changed { .. }))
    }

    /// True if the same epoch may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::Exhausted | ErrorKind::Conflict)
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        Self::Plan(error)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Plan(error.into())
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::State { .. } | Self::BadRow { .. } => ErrorKind::Invalid,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::StateMemory { .. } | Self::Closing { .. } | Self::Spill(_) => ErrorKind::Exhausted,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Query(error) => error.kind(),
            Self::Connect(error) => error.kind(),
            Self::Ingest(error) => error.kind(),
            Self::Catalog(error) => error.kind(),
            Self::Table(error) => error.kind(),
            Self::DataFile(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Plan(error) => plan_kind(error),
            Self::FailPoint(_) => ErrorKind::Internal,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Query(error) => error.sqlstate(),
            Self::Connect(error) => error.sqlstate(),
            Self::Ingest(error) => error.sqlstate(),
            Self::Catalog(error) => error.sqlstate(),
            Self::Table(error) => error.sqlstate(),
            Self::DataFile(error) => error.sqlstate(),
            _ => self.kind().sqlstate(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Query(error) => error.hint(),
            Self::Connect(error) => error.hint(),
            Self::Ingest(error) => error.hint(),
            Self::Catalog(error) => error.hint(),
            Self::Table(error) => error.hint(),
            _ => None,
        }
    }
}

/// A value that an expression cannot take is the script's; memory is the node's; the rest is ours.
fn plan_kind(error: &DataFusionError) -> ErrorKind {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => ErrorKind::Exhausted,
        DataFusionError::Internal(_) => ErrorKind::Internal,
        DataFusionError::NotImplemented(_) => ErrorKind::Unsupported,
        _ => ErrorKind::Invalid,
    }
}
