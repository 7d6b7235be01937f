//! Failures of object storage.

use cenote_vocab::{ErrorKind, Fault, SqlState};

/// A failure of object storage; the text names the object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage URL or its options are wrong.
    #[error("storage url {url:?}: {reason}")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// An object that should be there is not.
    #[error("object {path} is missing")]
    Missing {
        /// Path below the root.
        path: String,
    },
    /// The disk is full.
    #[error("storage is full while writing {path}")]
    Full {
        /// Path below the root.
        path: String,
    },
    /// The store did not do it; a retry may help.
    #[error("storage failed on {path}: {source}")]
    Failed {
        /// Path below the root.
        path: String,
        /// What the store said.
        source: object_store::Error,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Url { .. } => ErrorKind::Invalid,
            Self::Missing { .. } => ErrorKind::Corrupt,
            Self::Full { .. } => ErrorKind::Exhausted,
            Self::Failed { .. } => ErrorKind::Unavailable,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Full { .. } => SqlState("53100"),
            _ => self.kind().sqlstate(),
        }
    }
}
