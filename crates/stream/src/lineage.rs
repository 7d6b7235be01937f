//! What names meant when a query was planned. State says what one query answered so far, so a name must mean the same when
//! it goes on.

use std::collections::{BTreeMap, BTreeSet};

use cenote_catalog::{TableDef, TableKind};
use serde::{Deserialize, Serialize};

/// What a full name means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Meaning {
    /// A table, by its id, and the ids of those of its columns that are read, by name.
    Table(i64, BTreeMap<String, i32>),
    /// A view, by its query and where the names in it are looked for.
    View(String, String),
    /// A source of which operators hold something, by what its positions are positions in.
    Source(String),
}

/// By full name; sources with the word before it.
pub(crate) type Lineage = BTreeMap<String, Meaning>;

/// Whether it is the same script that was planned then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Yes: it reads the same columns.
    Same,
    /// No: it may read others.
    Other,
}

impl Meaning {
    /// Of a table of which some columns are read, by their places.
    pub(crate) fn table(table: &TableDef, read: &BTreeSet<usize>) -> Self {
        let fields = read.iter().filter_map(|at| table.schema.fields.get(*at));
        Self::Table(table.id.0, fields.map(|field| (field.name.clone(), field.id.0)).collect())
    }

    /// Of a view.
    pub(crate) fn view(view: &TableDef) -> Option<Self> {
        match &view.kind {
            TableKind::View { sql, search_path } => Some(Self::View(sql.clone(), search_path.clone())),
            TableKind::Table => None,
        }
    }

    /// Of a source, with the name that it is kept under.
    pub(crate) fn source(name: &str, identity: String) -> (String, Self) {
        (format!("source {name}"), Self::Source(identity))
    }

    /// How it differs from what it was.
    fn difference(&self, was: &Self, script: Script) -> Option<String> {
        match (was, self) {
            (Self::Table(was, _), Self::Table(is, _)) if was != is => {
                Some(format!("it was table {was}, it is table {is}"))
            }
            (Self::Table(_, was), Self::Table(_, is)) => columns_differ(was, is, script),
            (Self::View(was, _), Self::View(is, _)) if was != is => {
                Some(format!("the query of the view was {was}, it is {is}"))
            }
            (Self::View(_, was), Self::View(_, is)) if was != is => {
                Some(format!("the view was made with search_path {was}, it is {is}"))
            }
            (Self::Source(was), Self::Source(is)) if was != is => Some(format!("it was {was}, it is {is}")),
            (Self::View(..), Self::View(..)) | (Self::Source(_), _) | (_, Self::Source(_)) => None,
            (Self::Table(..), Self::View(..)) => Some("it was a table, it is a view".to_owned()),
            (Self::View(..), Self::Table(..)) => Some("it was a view, it is a table".to_owned()),
        }
    }
}

/// A column may have got another name, but no name may mean another column.
fn columns_differ(was: &BTreeMap<String, i32>, is: &BTreeMap<String, i32>, script: Script) -> Option<String> {
    let other = is.iter().find(|(name, id)| was.get(*name).is_some_and(|before| before != *id));
    if let Some((name, _)) = other {
        return Some(format!("column \"{name}\" is another one"));
    }
    let ids = |columns: &BTreeMap<String, i32>| columns.values().copied().collect::<BTreeSet<_>>();
    let names = |columns: &BTreeMap<String, i32>| columns.keys().cloned().collect::<Vec<_>>().join(", ");
    (script == Script::Same && ids(was) != ids(is))
        .then(|| format!("its columns {} were read, now {}", names(was), names(is)))
}

/// The first name that means something else, and how.
pub(crate) fn difference(was: &Lineage, is: &Lineage, script: Script) -> Option<(String, String)> {
    is.iter().find_map(|(name, is)| Some((name.clone(), is.difference(was.get(name)?, script)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(id: i64, columns: &[(&str, i32)]) -> Lineage {
        let columns = columns.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect();
        BTreeMap::from([("s.t".to_owned(), Meaning::Table(id, columns))])
    }

    fn reason(was: &Lineage, is: &Lineage) -> String {
        difference(was, is, Script::Same).map_or_else(String::new, |(_, reason)| reason)
    }

    #[test]
    fn a_name_that_means_something_else_is_told() {
        let was = table(1, &[("a", 1), ("b", 2)]);
        assert_eq!(reason(&was, &was), "");
        assert_eq!(reason(&was, &table(1, &[("a", 1), ("c", 2)])), "", "another name of the same column");
        assert_eq!(reason(&was, &table(2, &[("a", 1), ("b", 2)])), "it was table 1, it is table 2");
        assert_eq!(reason(&was, &table(1, &[("a", 2), ("b", 1)])), "column \"a\" is another one");
        assert_eq!(reason(&was, &table(1, &[("a", 1), ("c", 3)])), "its columns a, b were read, now a, c");
        assert_eq!(difference(&was, &table(1, &[("a", 1)]), Script::Other), None, "it asks for less");
        let view =
            |sql: &str| BTreeMap::from([("s.t".to_owned(), Meaning::View(sql.to_owned(), "s".to_owned()))]);
        assert_eq!(
            reason(&view("SELECT 1"), &view("SELECT 2")),
            "the query of the view was SELECT 1, it is SELECT 2"
        );
        assert_eq!(reason(&was, &view("SELECT 1")), "it was a table, it is a view");
        let source = |identity: &str| BTreeMap::from([Meaning::source("s", identity.to_owned())]);
        let both = [source("single_file /a"), source("single_file /b")];
        assert_eq!(reason(&both[0], &both[0]), "");
        assert_eq!(
            difference(&both[0], &both[1], Script::Other),
            Some(("source s".to_owned(), "it was single_file /a, it is single_file /b".to_owned()))
        );
        assert_eq!(reason(&was, &both[0]), "", "a source that is new");
    }
}
