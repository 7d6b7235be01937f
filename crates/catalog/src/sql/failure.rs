//! What a statement can fail with, sorted by what to do about it.

use std::borrow::Cow;

use crate::Error;

/// A failure inside the persistence: some are retried before anybody hears of them.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another transaction is in the way: run the whole transaction again.
    Busy(String),
    /// Stored rows are not as this process remembers them: a unique key has the value already, a row to be ended is not live.
    Inconsistent(String),
    /// The connection broke or cannot be had.
    Gone(String),
    /// The connection broke while COMMIT ran: it may or may not have taken effect.
    Unknown(String),
    /// Anything that running again does not change.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl From<cenote_datafile::Error> for Failure {
    fn from(error: cenote_datafile::Error) -> Self {
        Self::Final(error.into())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Busy(reason) | Failure::Gone(reason) => Self::Unavailable(reason),
            Failure::Unknown(reason) => Self::OutcomeUnknown(reason),
            Failure::Inconsistent(reason) => Self::Corrupt(reason),
            Failure::Final(error) => error,
        }
    }
}

/// Codes of SQLite (primary: the low byte of an extended code) and SQLSTATEs of PostgreSQL.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::BeginFailed => Self::Gone(error.to_string()),
                other => Self::Final(Error::Internal(other.to_string())),
            };
        };
        let text = database.message().to_owned();
        let code = database.code().unwrap_or(Cow::Borrowed(""));
        if database.is_unique_violation() {
            return Self::Inconsistent(text);
        }
        match (code.len(), code.parse::<i32>()) {
            (5, _) => match &*code {
                "40001" | "40P01" | "55P03" => Self::Busy(text),
                "53100" => Self::Final(Error::Full),
                "57P01" | "57P02" | "57P03" | "57014" | "25P03" | "53300" => Self::Gone(text),
                _ if code.starts_with("08") => Self::Gone(text),
                _ => Self::Final(Error::Internal(text)),
            },
            (_, Ok(extended)) => match extended & 0xff {
                5 | 6 => Self::Busy(text),
                13 => Self::Final(Error::Full),
                10 | 14 => Self::Gone(text),
                11 | 26 => Self::Final(Error::Corrupt(text)),
                _ => Self::Final(Error::Internal(text)),
            },
            _ => Self::Final(Error::Internal(text)),
        }
    }
}
