//! How failures go out.

use cenote_vocab::Fault;
use pgwire::error::{ErrorInfo, PgWireError};

/// An error of a statement, with its place in the text.
pub(crate) fn of_query(error: &cenote_query::Error) -> PgWireError {
    let mut info = info("ERROR", error.sqlstate().0, error.to_string());
    info.hint = error.hint();
    info.position = error.place().map(|place| place.position.to_string());
    PgWireError::UserError(Box::new(info))
}

/// An error of a part below.
pub(crate) fn of_fault(error: &dyn Fault) -> PgWireError {
    let mut info = info("ERROR", error.sqlstate().0, error.to_string());
    info.hint = error.hint();
    PgWireError::UserError(Box::new(info))
}

/// An error that leaves the connection open.
pub(crate) fn error(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(info("ERROR", code, message.into())))
}

/// An error that ends the connection.
pub(crate) fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(info("FATAL", code, message.into())))
}

fn info(severity: &str, code: &str, message: String) -> ErrorInfo {
    let mut info = ErrorInfo::new(severity.to_owned(), code.to_owned(), message);
    info.severity_nonlocalized = Some(severity.to_owned());
    info
}
