//! Why a command failed, for people and for scripts.

use serde::Serialize;

/// A failure with what its reader needs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    /// Word of the kind.
    pub(crate) kind: FailureKind,
    /// SQLSTATE, if there is one.
    pub(crate) code: Option<Box<str>>,
    /// What went wrong, with the caret line if it is SQL.
    pub(crate) message: String,
    /// A next step.
    pub(crate) hint: Option<Box<str>>,
    /// Line of the statement, from 1.
    pub(crate) line: Option<u64>,
    /// Column, from 1.
    pub(crate) column: Option<u64>,
    /// Of the server's answer.
    pub(crate) request_id: Option<Box<str>>,
}

/// Each kind has an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureKind {
    /// 1: SQL or run time.
    Failed,
    /// 2: arguments or configuration.
    Usage,
    /// 3: server away or not ready.
    Unreachable,
    /// 4: who are you, or may you.
    Denied,
    /// 5: damaged data.
    Corrupt,
    /// 130
    Interrupted,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: None,
            message: message.into(),
            hint: None,
            line: None,
            column: None,
            request_id: None,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, message)
    }

    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Failed, message)
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            FailureKind::Failed => 1,
            FailureKind::Usage => 2,
            FailureKind::Unreachable => 3,
            FailureKind::Denied => 4,
            FailureKind::Corrupt => 5,
            FailureKind::Interrupted => 130,
        }
    }

    #[expect(clippy::print_stderr, reason = "errors of the command line go to stderr")]
    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            eprintln!("{}", serde_json::json!({ "error": self }));
            return;
        }
        eprintln!("error: {}", self.message);
        if let Some(hint) = &self.hint
            && !self.message.contains(&**hint)
        {
            eprintln!("hint: {hint}");
        }
    }
}

impl From<crate::NodeError> for Failure {
    fn from(error: crate::NodeError) -> Self {
        use cenote_vocab::{ErrorKind, Fault as _};
        let kind = match &error {
            crate::NodeError::Ingest(inner) if inner.kind() == ErrorKind::Corrupt => FailureKind::Corrupt,
            crate::NodeError::Catalog(inner) if inner.kind() == ErrorKind::Corrupt => FailureKind::Corrupt,
            _ => FailureKind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::other(error.to_string())
    }
}
