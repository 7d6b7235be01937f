//! A statement: text with `?`, and what is bound to it.

use super::{Cell, Dialect, Kind};

/// What is bound to one place: a value, or (PostgreSQL) a whole column of them.
#[derive(Clone, Debug)]
pub(crate) enum Argument {
    One(Cell),
    Column(Kind, Vec<Cell>),
}

/// Text and arguments, in step. Values never become text.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    dialect: Dialect,
    text: String,
    arguments: Vec<Argument>,
    places: usize,
}

impl Statement {
    /// A statement that starts with `text`.
    pub(crate) fn new(dialect: Dialect, text: &str) -> Self {
        let mut statement =
            Self { dialect, text: String::with_capacity(text.len() + 16), arguments: Vec::new(), places: 0 };
        statement.push(text);
        statement
    }

    /// `WITH v(names) AS (rows) text`: `text` may read `v`.
    pub(crate) fn with_rows(
        dialect: Dialect,
        columns: &[(&str, Kind)],
        rows: &[Vec<Cell>],
        text: &str,
    ) -> Self {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let kinds: Vec<Kind> = columns.iter().map(|(_, kind)| *kind).collect();
        let mut statement = Self::new(dialect, &format!("WITH v({}) AS (", names.join(", ")));
        statement.push_rows(&kinds, rows);
        statement.push(") ");
        statement.push(text);
        statement
    }

    /// Appends text; each `?` in it is the place of one value.
    pub(crate) fn push(&mut self, text: &str) {
        if self.dialect == Dialect::Sqlite {
            self.places += text.matches('?').count();
            self.text.push_str(text);
            return;
        }
        let mut parts = text.split('?');
        self.text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            self.places += 1;
            self.text.push_str(&format!("${}{part}", self.places));
        }
    }

    /// Binds the next value.
    #[must_use]
    pub(crate) fn bind(mut self, value: impl Into<Cell>) -> Self {
        self.arguments.push(Argument::One(value.into()));
        self
    }

    /// Appends rows as a table expression: `VALUES …`, or arrays side by side, whose text is the same for any number of
    /// rows, so that the server plans it once.
    pub(crate) fn push_rows(&mut self, kinds: &[Kind], rows: &[Vec<Cell>]) {
        match self.dialect {
            Dialect::Sqlite => {
                let row = format!("({})", vec!["?"; kinds.len()].join(", "));
                self.push("VALUES ");
                self.push(&vec![row.as_str(); rows.len()].join(", "));
                self.arguments.extend(rows.iter().flatten().cloned().map(Argument::One));
            }
            Dialect::Postgres => {
                let arrays: Vec<String> =
                    kinds.iter().map(|kind| format!("?::{}[]", array_type(*kind))).collect();
                self.push(&format!("SELECT * FROM UNNEST({})", arrays.join(", ")));
                for (at, kind) in kinds.iter().enumerate() {
                    self.arguments
                        .push(Argument::Column(*kind, rows.iter().map(|row| row[at].clone()).collect()));
                }
            }
        }
    }

    pub(crate) fn into_parts(self) -> (String, Vec<Argument>) {
        debug_assert_eq!(self.places, self.arguments.len(), "one value per place in {}", self.text);
        (self.text, self.arguments)
    }
}

fn array_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "bigint",
        Kind::Text => "text",
        Kind::Bytes => "bytea",
        Kind::Uuid => "uuid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbered_across_rows_and_text_on_postgresql() {
        let rows = [vec![Cell::Int(1), Cell::from("a")], vec![Cell::Int(2), Cell::from("b")]];
        let columns = [("id", Kind::Int), ("name", Kind::Text)];
        let statement = |dialect| {
            let statement =
                Statement::with_rows(dialect, &columns, &rows, "SELECT id FROM v WHERE name <> ?").bind("c");
            let (text, arguments) = statement.into_parts();
            (text, arguments.len())
        };
        assert_eq!(
            statement(Dialect::Postgres),
            ("WITH v(id, name) AS (SELECT * FROM UNNEST($1::bigint[], $2::text[])) SELECT id FROM v WHERE name <> $3".into(), 3)
        );
        assert_eq!(
            statement(Dialect::Sqlite),
            ("WITH v(id, name) AS (VALUES (?, ?), (?, ?)) SELECT id FROM v WHERE name <> ?".into(), 5)
        );
    }
}
