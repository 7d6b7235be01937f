//! Failures of object storage.

use std::io;

use cenote_vocab::{ErrorKind, Fault, SqlState};
use object_store::path::Path;

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
    /// A place that may not be a tenant's root; the text names it and the setting.
    #[error("storage root: {0}")]
    Root(String),
    /// This build was made without S3.
    #[error("storage url {url:?} needs S3, which this build leaves out (cargo feature s3)")]
    NoS3 {
        /// As configured.
        url: String,
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

impl Error {
    /// What the library said of `path`, in our words. `Missing` and `Full` are told apart from the rest.
    pub fn from_store(path: &Path, source: object_store::Error) -> Self {
        let path = path.to_string();
        match source {
            object_store::Error::NotFound { .. } => Self::Missing { path },
            source if is_full(&source) => Self::Full { path },
            source => Self::Failed { path, source },
        }
    }
}

/// True if the cause, however deep, is a disk or quota without room.
fn is_full(error: &object_store::Error) -> bool {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Url { .. } => ErrorKind::Invalid,
            Self::Root(_) => ErrorKind::Denied,
            Self::NoS3 { .. } => ErrorKind::Unsupported,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn failed_with(kind: io::ErrorKind) -> Error {
        let source = object_store::Error::Generic { store: "test", source: io::Error::from(kind).into() };
        Error::from_store(&Path::from("a/b"), source)
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        assert_eq!(failed_with(io::ErrorKind::StorageFull).to_string(), "storage is full while writing a/b");
        assert!(matches!(failed_with(io::ErrorKind::QuotaExceeded), Error::Full { .. }));
        assert!(matches!(failed_with(io::ErrorKind::TimedOut), Error::Failed { .. }));
    }
}
