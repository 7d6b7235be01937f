//! The kinds of failure. Each says what its reader should do next.

/// What a failure asks of the one who sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Fix the request.
    Invalid,
    /// Send a credential, or a right one.
    Unauthenticated,
    /// Ask for the right.
    Denied,
    /// The named thing is not there, or not for you.
    NotFound,
    /// Somebody else was first: read again and retry.
    Conflict,
    /// Retry later.
    Unavailable,
    /// Slow down, or stay below the limit that the message names.
    Exhausted,
    /// This build cannot do it; the message names what.
    Unsupported,
    /// Stored bytes are damaged: an operator must look.
    Corrupt,
    /// The caller, or an administrator, ended it.
    Cancelled,
    /// Our bug.
    Internal,
}

/// A five-character SQLSTATE (SQL:2016, 24.1; codes of PostgreSQL, appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

impl ErrorKind {
    /// The code of a failure of this kind that has no finer one.
    pub fn sqlstate(self) -> SqlState {
        SqlState(match self {
            Self::Invalid => "42601",
            Self::Unauthenticated => "28P01",
            Self::Denied => "42501",
            Self::NotFound => "42704",
            Self::Conflict => "40001",
            Self::Unavailable => "57P03",
            Self::Exhausted => "53400",
            Self::Unsupported => "0A000",
            Self::Corrupt => "XX001",
            Self::Cancelled => "57014",
            Self::Internal => "XX000",
        })
    }
}

/// What every crate's error can tell a protocol. The text is its `Display`.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// What the reader should do.
    fn kind(&self) -> ErrorKind;

    /// The SQLSTATE; that of the kind unless there is a finer one.
    fn sqlstate(&self) -> SqlState {
        self.kind().sqlstate()
    }

    /// A next step for the reader, such as the nearest name.
    fn hint(&self) -> Option<String> {
        None
    }

    /// True once it is in the audit: who passes it on need not tell of it again.
    fn is_audited(&self) -> bool {
        false
    }
}
