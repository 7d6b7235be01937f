//! Why a bearer token proves nothing, or cannot be looked at.

use cenote_vocab::{ErrorKind, Fault};
use jsonwebtoken::errors::ErrorKind as Reason;

/// Why a token proves nothing, or cannot be looked at. No text holds a part of a token or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The token is wrong.
    #[error("{0}")]
    Refused(&'static str),
    /// The issuer's keys are not known.
    #[error("the keys of the issuer of tokens cannot be fetched: {0}")]
    Unreachable(String),
    /// The configured key is none.
    #[error("{0}")]
    Key(&'static str),
    /// The configured address cannot be asked.
    #[error("{0:?} is not an address that keys may be fetched from: {1}")]
    Address(String, &'static str),
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(_) => ErrorKind::Unauthenticated,
            Self::Unreachable(_) => ErrorKind::Unavailable,
            Self::Key(_) | Self::Address(..) => ErrorKind::Invalid,
        }
    }
}

pub(crate) fn refused(error: jsonwebtoken::errors::Error) -> Error {
    Error::Refused(match error.kind() {
        Reason::InvalidSignature => "the token's signature is not of the issuer's key",
        Reason::InvalidIssuer => "the token is of another issuer (jwt.issuer)",
        Reason::InvalidAudience => "the token is for another audience (jwt.audience)",
        Reason::MissingRequiredClaim(_) => "the token lacks one of iss, aud, exp, sub",
        Reason::InvalidAlgorithm => "the token's algorithm is not of the issuer's key",
        _ => "the token is not well formed",
    })
}
