//! Failures of a table's acts.

use cenote_catalog::{TableDef, TableKind};
use cenote_vocab::{ErrorKind, Fault, OutOfMemory, SqlState, Txn};

/// A failure of a table's act; the table is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A NULL for a `NOT NULL` column.
    #[error("column {column:?} of table {table} is NOT NULL, row {row} is null")]
    NullValue {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Row of the input, from 0.
        row: u64,
    },
    /// A batch whose columns are not the table's.
    #[error("{0}")]
    SchemaMismatch(String),
    /// A range of changes that ends before it begins.
    #[error("changes after {after} cannot end at {to}, which is before")]
    Range {
        /// The start.
        after: Txn,
        /// The end.
        to: Txn,
    },
    /// A path that does not lie below the table's location.
    #[error("path {path:?} does not lie below the location of table {table}")]
    PathDenied {
        /// As given.
        path: String,
        /// The table.
        table: String,
    },
    /// A file that cannot become one of the table.
    #[error("file {path:?} cannot become one of table {table}: {reason}")]
    NotAdoptable {
        /// Below the table's location.
        path: String,
        /// The table.
        table: String,
        /// Why.
        reason: String,
    },
    /// The act is not possible on this object, such as a view.
    #[error("{0}")]
    Unsupported(String),
    /// An option of a table or schema that cannot be understood.
    #[error("option {option} of {owner} is {value:?}: {rule}")]
    Option {
        /// `table s.t`, `schema s`
        owner: String,
        /// The option.
        option: String,
        /// As it is set.
        value: String,
        /// What it should be.
        rule: &'static str,
    },
    /// Rows of the table are to replace each other, and nothing says which.
    #[error("dedup = 'last' of table {0} needs a key: a PRIMARY KEY, or a time column with or without tags")]
    NoKey(String),
    /// Rows of the table do not replace each other.
    #[error("rows of table {0} do not replace each other: its option dedup is 'none'")]
    NotKeyed(String),
    /// Its caller asked it to end; what was committed before stays.
    #[error("stopped before the end")]
    Stopped,
    /// No memory left in the share.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] cenote_catalog::Error),
    /// A file failed.
    #[error(transparent)]
    DataFile(#[from] cenote_datafile::Error),
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] cenote_store::Error),
    /// The Arrow library failed.
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A worker thread ended; our bug.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// `Unsupported` if `table` is a view, which has no rows of its own.
    pub(crate) fn refuse_view(table: &TableDef) -> Result<(), Self> {
        match table.kind {
            TableKind::Table => Ok(()),
            TableKind::View { .. } => {
                Err(Self::Unsupported(format!("{} is a view: it has no files", table.full_name())))
            }
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NullValue { .. }
            | Self::SchemaMismatch(_)
            | Self::Option { .. }
            | Self::Range { .. }
            | Self::NoKey(_)
            | Self::NotKeyed(_)
            | Self::NotAdoptable { .. } => ErrorKind::Invalid,
            Self::PathDenied { .. } => ErrorKind::Denied,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Stopped => ErrorKind::Cancelled,
            Self::Memory(_) => ErrorKind::Exhausted,
            Self::Catalog(error) => error.kind(),
            Self::DataFile(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Arrow(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::NullValue { .. } => SqlState("23502"),
            Self::SchemaMismatch(_) | Self::NotAdoptable { .. } => SqlState("42804"),
            Self::Option { .. } | Self::Range { .. } | Self::NoKey(_) | Self::NotKeyed(_) => {
                SqlState("22023")
            }
            Self::Memory(_) => SqlState("53200"),
            Self::Catalog(error) => error.sqlstate(),
            Self::DataFile(error) => error.sqlstate(),
            Self::Store(error) => error.sqlstate(),
            _ => self.kind().sqlstate(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotKeyed(table) => Some(format!("ALTER TABLE {table} SET (dedup = 'last')")),
            Self::Catalog(error) => error.hint(),
            _ => None,
        }
    }
}
