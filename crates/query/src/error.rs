//! What can go wrong with a statement, and where in its text.

use cenote_vocab::{ErrorKind, Fault, SqlState};

/// A place in a statement's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    /// In characters from the start of the text, from 1.
    pub position: u64,
    /// How many characters the caret line underlines; at least 1.
    pub length: u64,
}

/// A statement failed; the state is as it was before it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    sqlstate: SqlState,
    message: String,
    hint: Option<String>,
    place: Option<Place>,
}

impl Error {
    /// An error with the code of its kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, sqlstate: kind.sqlstate(), message: message.into(), hint: None, place: None }
    }

    /// An error of any crate below.
    pub fn of(fault: &dyn Fault) -> Self {
        Self {
            kind: fault.kind(),
            sqlstate: fault.sqlstate(),
            message: fault.to_string(),
            hint: fault.hint(),
            place: None,
        }
    }

    /// With a finer code.
    #[must_use]
    pub fn with_sqlstate(mut self, code: &'static str) -> Self {
        self.sqlstate = SqlState(code);
        self
    }

    /// With a next step for the reader.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With its place in the text.
    #[must_use]
    pub fn with_place(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Where in the text, if known.
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// The message, the line of `sql` with a caret under the place, and the hint, for people.
    pub fn report(&self, sql: &str) -> String {
        let mut text = self.message.clone();
        if let Some(place) = self.place
            && let Some(line) = usize::try_from(place.line).ok().and_then(|line| sql.lines().nth(line.saturating_sub(1)))
        {
            let number = place.line.to_string();
            let margin = " ".repeat(number.len());
            let blank = " ".repeat(usize::try_from(place.column.saturating_sub(1)).unwrap_or(0));
            let caret = "^".repeat(usize::try_from(place.length.max(1)).unwrap_or(1));
            text.push_str(&format!(
                "\n line {}, column {}\n   {number} | {line}\n   {margin} | {blank}{caret}",
                place.line, place.column
            ));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\n hint: {hint}"));
        }
        text
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        self.kind
    }

    fn sqlstate(&self) -> SqlState {
        self.sqlstate
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}
