//! What a function refuses, with the SQLSTATE that Postgres gives the same mistake.

use cenote_vocab::{ErrorKind, Fault, SqlState};
use datafusion::error::DataFusionError;

/// A bad argument. Travels as [`DataFusionError::External`]: the engine takes it out and shows it as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A bucket width that makes no buckets.
    #[error("bucket width {width:?} {rule}")]
    Width {
        /// As given.
        width: String,
        /// What it breaks.
        rule: &'static str,
    },
    /// A time zone that does not exist.
    #[error("time zone {0:?} is not known")]
    Zone(String),
    /// A text that is no timestamp.
    #[error("{text:?} is not a timestamp{}", .format.as_ref().map(|format| format!(" of format {format:?}")).unwrap_or_default())]
    Timestamp {
        /// As given.
        text: String,
        /// The format that was asked for, if any.
        format: Option<String>,
    },
    /// A text that is no interval.
    #[error("{0:?} is not an interval")]
    Interval(String),
    /// A value outside its type's range.
    #[error("{what} {value} is out of range")]
    Range {
        /// Kind of value.
        what: &'static str,
        /// As given.
        value: String,
    },
    /// A format with an unknown pattern.
    #[error("format {format:?} {problem}")]
    Format {
        /// As given.
        format: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A text that is no regular expression.
    #[error("{pattern:?} is not a regular expression: {problem}")]
    Regex {
        /// As given.
        pattern: String,
        /// From the parser.
        problem: String,
    },
    /// A path into JSON that cannot be read.
    #[error("{0:?} is not a JSON path")]
    Path(String),
    /// A text that is no UUID.
    #[error("{0:?} is not a UUID")]
    Uuid(String),
    /// A text that is no JSON.
    #[error("{0:?} is not JSON")]
    Json(String),
    /// An argument that must be the same for all rows is a column.
    #[error("argument {argument} of {function} must be a constant")]
    NotConstant {
        /// The function's name.
        function: &'static str,
        /// From 1.
        argument: usize,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotConstant { .. } => ErrorKind::Unsupported,
            Self::Width { .. }
            | Self::Zone(_)
            | Self::Timestamp { .. }
            | Self::Interval(_)
            | Self::Range { .. }
            | Self::Format { .. }
            | Self::Regex { .. }
            | Self::Path(_)
            | Self::Uuid(_)
            | Self::Json(_) => ErrorKind::Invalid,
        }
    }

    fn sqlstate(&self) -> SqlState {
        SqlState(match self {
            Self::Width { .. } | Self::Zone(_) => "22023",
            Self::Timestamp { .. } | Self::Interval(_) | Self::Format { .. } => "22007",
            Self::Range { .. } => "22008",
            Self::Regex { .. } => "2201B",
            Self::Path(_) | Self::Uuid(_) | Self::Json(_) => "22P02",
            Self::NotConstant { .. } => "0A000",
        })
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}
