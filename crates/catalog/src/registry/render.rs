//! Definitions of the control tables in the words of each database.

use super::{Column, TABLES, Table, Word};
use crate::sql::{Dialect, Kind};

/// Statements that make all control tables; each may run again.
pub(crate) fn definitions(dialect: Dialect) -> Vec<String> {
    TABLES.iter().flat_map(|table| define(dialect, table)).collect()
}

/// Statements that make one table; each may run again.
pub(crate) fn define(dialect: Dialect, table: &Table) -> Vec<String> {
    let mut parts: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            format!("{} {}{null}", column.name, sql_type(dialect, column.word))
        })
        .collect();
    parts.push(format!("PRIMARY KEY ({})", table.primary.join(", ")));
    parts.extend(table.unique.iter().map(|columns| format!("UNIQUE ({})", columns.join(", "))));
    let tail = match (dialect, table) {
        (Dialect::Sqlite, Table { large_rows: true, .. }) => " STRICT",
        (Dialect::Sqlite, _) => " STRICT, WITHOUT ROWID",
        (Dialect::Postgres, Table { hot: true, .. }) => {
            " WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01)"
        }
        (Dialect::Postgres, _) => "",
    };
    let mut statements =
        vec![format!("CREATE TABLE IF NOT EXISTS {} ({}){tail}", table.name, parts.join(", "))];
    statements.extend(table.indexes.iter().map(|(name, columns)| {
        format!("CREATE INDEX IF NOT EXISTS {0}_{name} ON {0} ({1})", table.name, columns.join(", "))
    }));
    statements
}

/// The statement that gives an older table a column: rows that are there get NULL, 0 or the empty text.
pub(crate) fn add_column(dialect: Dialect, table: &Table, column: &Column) -> String {
    let tail = match (column.nullable, column.word.kind()) {
        (true, _) => "",
        (false, Kind::Int) => " NOT NULL DEFAULT 0",
        (false, _) => " NOT NULL DEFAULT ''",
    };
    format!("ALTER TABLE {} ADD COLUMN {} {}{tail}", table.name, column.name, sql_type(dialect, column.word))
}

fn sql_type(dialect: Dialect, word: Word) -> &'static str {
    match (dialect, word) {
        (Dialect::Sqlite, Word::Id | Word::Time | Word::Int | Word::Flag) => "INTEGER",
        (Dialect::Sqlite, Word::Name | Word::Text) => "TEXT",
        (Dialect::Sqlite, Word::Bytes | Word::Uuid | Word::Hash | Word::Hash32) => "BLOB",
        (Dialect::Postgres, Word::Id | Word::Time) => "BIGINT",
        (Dialect::Postgres, Word::Int) => "INTEGER",
        (Dialect::Postgres, Word::Flag) => "SMALLINT",
        (Dialect::Postgres, Word::Name) => "VARCHAR(255) COLLATE \"C\"",
        (Dialect::Postgres, Word::Text) => "TEXT",
        (Dialect::Postgres, Word::Uuid) => "UUID",
        (Dialect::Postgres, Word::Bytes | Word::Hash | Word::Hash32) => "BYTEA",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::registry::HEAD;

    /// All tables as `docs/formats/catalog.md` lists them.
    fn listing() -> String {
        TABLES.iter().map(|table| lines(table).join("\n") + "\n").collect()
    }

    /// The declaration in lines of up to 120 characters.
    fn lines(table: &Table) -> Vec<String> {
        let columns = table.columns.iter().map(|column| {
            let null = if column.nullable { "?" } else { "" };
            format!("{} {}{null}", column.name, short(column.word))
        });
        let keys = [format!("PK({})", table.primary.join(", "))].into_iter();
        let unique = table.unique.iter().map(|columns| format!("UQ({})", columns.join(", ")));
        let indexes =
            table.indexes.iter().map(|(name, columns)| format!("IX {name}({})", columns.join(", ")));
        let mut lines = vec![format!("{}(", table.name)];
        let parts: Vec<String> = columns.chain(keys).chain(unique).chain(indexes).collect();
        for (place, part) in parts.iter().enumerate() {
            let part = part.clone() + if place + 1 == parts.len() { ")" } else { "," };
            let line = lines.last_mut().expect("the first");
            let space = if line.ends_with('(') { "" } else { " " };
            if line.len() + space.len() + part.len() <= 120 {
                *line += &(space.to_owned() + &part);
            } else {
                lines.push(format!("  {part}"));
            }
        }
        lines
    }

    fn short(word: Word) -> &'static str {
        match word {
            Word::Id => "ID",
            Word::Time => "TS",
            Word::Int => "INT",
            Word::Flag => "FLAG",
            Word::Name => "NAME",
            Word::Text => "TXT",
            Word::Bytes => "BYTES",
            Word::Uuid => "UUID",
            Word::Hash => "HASH",
            Word::Hash32 => "H32",
        }
    }

    #[test]
    fn the_listing_of_tables_is_in_the_committed_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats/catalog.md");
        let document = std::fs::read_to_string(path).expect("the document");
        let (before, rest) = document.split_once("```\n").expect("a listing");
        let (_, after) = rest.split_once("```").expect("its end");
        let wanted = format!("{before}```\n{}```{after}", listing());
        if std::env::var_os("CENOTE_ACCEPT").is_some() {
            std::fs::write(path, &wanted).expect("written");
        }
        assert_eq!(std::fs::read_to_string(path).expect("the document"), wanted, "run make accept");
    }

    #[test]
    fn one_declaration_gives_the_definitions_of_both_databases() {
        assert_eq!(
            define(Dialect::Sqlite, &HEAD),
            ["CREATE TABLE IF NOT EXISTS cn_head (catalog_id INTEGER NOT NULL, txn INTEGER NOT NULL, \
              committed_us INTEGER NOT NULL, ddl_txn INTEGER NOT NULL, next_object INTEGER NOT NULL, \
              next_file INTEGER NOT NULL, state TEXT, PRIMARY KEY (catalog_id)) STRICT, WITHOUT ROWID"]
        );
        assert!(define(Dialect::Postgres, &HEAD)[0].ends_with(
            "next_file BIGINT NOT NULL, state VARCHAR(255) COLLATE \"C\", PRIMARY KEY (catalog_id)) \
             WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01)"
        ));
    }

    #[test]
    fn keys_and_indexes_name_columns_that_exist_and_each_table_is_declared_once() {
        let mut names = BTreeSet::new();
        for table in TABLES {
            assert!(names.insert(table.name), "{} is declared twice", table.name);
            let columns: BTreeSet<&str> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(columns.len(), table.columns.len(), "a column of {} twice", table.name);
            let keys = table.primary.iter().chain(table.unique.iter().copied().flatten());
            for column in keys.chain(table.indexes.iter().flat_map(|(_, columns)| *columns)) {
                assert!(columns.contains(column), "{}.{column}", table.name);
            }
        }
    }
}
