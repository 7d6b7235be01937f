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

impl Place {
    /// The place of a line and a character in it, both from 1.
    pub fn at(sql: &str, line: u64, column: u64, length: u64) -> Self {
        let before: u64 = sql
            .split('\n')
            .take(usize::try_from(line.saturating_sub(1)).unwrap_or(0))
            .map(|line| line.chars().count() as u64 + 1)
            .sum();
        Self { line, column, position: before + column, length: length.max(1) }
    }
}

/// A message of a library in our form: no capital at its start unless it begins a name, no full stop at its end.
pub(crate) fn lower_first(message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    let mut characters = message.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(message.chars().skip(1)).collect()
        }
        _ => message.to_owned(),
    }
}

/// A statement failed; the state is as it was before it.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    sqlstate: SqlState,
    message: String,
    hint: Option<String>,
    place: Option<Place>,
    audited: bool,
}

impl Error {
    /// An error with the code of its kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, sqlstate: kind.sqlstate(), message, hint: None, place: None, audited: false }
    }

    /// An error of any crate below.
    pub fn of(fault: &dyn Fault) -> Self {
        Self {
            kind: fault.kind(),
            sqlstate: fault.sqlstate(),
            message: fault.to_string(),
            hint: fault.hint(),
            place: None,
            audited: fault.is_audited(),
        }
    }

    /// The same, which the audit tells of.
    #[must_use]
    pub(crate) fn audited(mut self) -> Self {
        self.audited = true;
        self
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

    /// The place, unless one is known already.
    #[must_use]
    pub(crate) fn or_place(mut self, place: Option<Place>) -> Self {
        self.place = self.place.or(place);
        self
    }

    /// Of a text that the client did not send as it is: its places mean nothing there.
    #[must_use]
    pub(crate) fn without_place(mut self) -> Self {
        self.place = None;
        self
    }

    /// Where in the text, if known.
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// True if what was to be read is no longer kept.
    pub(crate) fn is_expired(&self) -> bool {
        self.kind == ErrorKind::NotFound && self.sqlstate == SqlState("22023")
    }

    /// The message, the line of `sql` with a caret under the place, and the hint, for people.
    pub fn report(&self, sql: &str) -> String {
        let mut text = self.message.clone();
        if let Some(place) = self.place
            && let Some(line) =
                usize::try_from(place.line).ok().and_then(|line| sql.lines().nth(line.saturating_sub(1)))
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

    fn is_audited(&self) -> bool {
        self.audited
    }
}

impl From<cenote_catalog::Error> for Error {
    fn from(error: cenote_catalog::Error) -> Self {
        Self::of(&error)
    }
}

impl From<cenote_table::Error> for Error {
    fn from(error: cenote_table::Error) -> Self {
        Self::of(&error)
    }
}

impl From<cenote_ingest::Error> for Error {
    fn from(error: cenote_ingest::Error) -> Self {
        Self::of(&error)
    }
}

impl From<cenote_datafile::Error> for Error {
    fn from(error: cenote_datafile::Error) -> Self {
        Self::of(&error)
    }
}

impl From<cenote_vocab::InvalidName> for Error {
    fn from(error: cenote_vocab::InvalidName) -> Self {
        Self::new(ErrorKind::Invalid, error.to_string()).with_sqlstate("42602")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_points_at_the_word() {
        let sql = "SELECT\n  é, hst FROM cpu";
        let error = Error::new(ErrorKind::Invalid, "column \"hst\" does not exist")
            .with_place(Place::at(sql, 2, 6, 3))
            .with_hint("did you mean \"host\"?");
        assert_eq!(error.place().map(|place| place.position), Some(13));
        assert_eq!(
            error.report(sql),
            "column \"hst\" does not exist\n line 2, column 6\n   2 |   é, hst FROM cpu\n     |      ^^^\n hint: did you mean \"host\"?"
        );
    }
}
