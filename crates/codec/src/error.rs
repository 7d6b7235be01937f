//! Why a body was refused.

use cenote_vocab::{ErrorKind, Fault, InvalidName, SqlState};

/// Why a body was refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A broken gzip or zstd stream.
    #[error("body is not valid {encoding}: {reason}")]
    Compression {
        /// gzip or zstd
        encoding: &'static str,
        /// What the decompressor said.
        reason: String,
    },
    /// `limits.decompressed_max`
    #[error("decompressed body is larger than {bytes_max} bytes (limits.decompressed_max)")]
    DecompressedTooLarge {
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// A named limit of [`crate::Limits`].
    #[error("{what} exceeds the limit of {max} ({limit})")]
    Limit {
        /// What is too large, with its name or place.
        what: String,
        /// The limit's value.
        max: u64,
        /// The limit's name.
        limit: &'static str,
    },
    /// The format's rules are broken; the text says where.
    #[error("{0}")]
    Malformed(String),
    /// CSV: a cell or row that does not fit; 422 over HTTP.
    #[error("{0}")]
    Unprocessable(String),
    /// A table or column name that is not allowed.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Nothing of a line-protocol body could be stored, or `accept_partial=false` and a line was bad.
    #[error("line {}: {}", .first.number, .first.reason)]
    NoValidLines {
        /// The first bad line.
        first: crate::RejectedLine,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::DecompressedTooLarge { .. } | Self::Limit { limit: "rows_per_request_max", .. } => {
                ErrorKind::Exhausted
            }
            Self::Compression { .. }
            | Self::Limit { .. }
            | Self::Malformed(_)
            | Self::Unprocessable(_)
            | Self::Name(_)
            | Self::NoValidLines { .. } => ErrorKind::Invalid,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Malformed(_) | Self::Unprocessable(_) => SqlState("22P02"),
            _ => self.kind().sqlstate(),
        }
    }
}
