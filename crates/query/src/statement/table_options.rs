//! Options of tables (`WITH (…)`, `SET (…)`): which exist, and which values they take now.

use std::collections::BTreeMap;

use cenote_catalog::{NewTable, TableDef};
use cenote_table::Dedup;
use cenote_vocab::{ErrorKind, nearest};
use sqlparser::ast::{CreateTableOptions, Expr, SqlOption, Value};

use crate::Error;
use crate::parse::unsupported;

/// Options that this version follows.
const KNOWN: [&str; 12] = [
    "append_only",
    "compaction.enabled",
    "dedup",
    "format",
    "history_keep",
    "inline_max",
    "orphan_grace",
    "retention",
    "row_lineage",
    "tags",
    "target_file_size",
    "time_column",
];

/// Begin the names of options that only say something: whose, for whom, what kind.
const FREE: [&str; 3] = [cenote_catalog::LABEL, "user.", "write."];

/// Checks one option.
pub(crate) fn check(name: &str, value: &str) -> Result<(), Error> {
    let invalid = |rule: &str| {
        Err(Error::new(ErrorKind::Invalid, format!("option {name} = '{value}': {rule}"))
            .with_sqlstate("22023"))
    };
    match (name, value) {
        ("format", "parquet")
        | ("dedup", "none" | "last")
        | ("append_only" | "row_lineage", "true" | "on" | "false" | "off") => Ok(()),
        ("format", "vortex" | "lance" | "orc" | "avro") => Err(unsupported(&format!("format {value}"))),
        ("format", _) => invalid("the format is parquet"),
        ("dedup", _) => invalid("one of none, last"),
        ("append_only" | "row_lineage", _) => invalid("true or false"),
        (name, _) if KNOWN.contains(&name) => cenote_table::option_fault(name, value).map_or(Ok(()), invalid),
        (name, _) if FREE.iter().any(|begin| name.starts_with(begin)) => Ok(()),
        (name, _) => {
            let error = Error::new(ErrorKind::Invalid, format!("table option {name} does not exist"))
                .with_sqlstate("22023");
            Err(match nearest(name, KNOWN) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error,
            })
        }
    }
}

/// Options that a schema has for its tables.
const OF_SCHEMA: [&str; 2] = ["history_keep", "retention"];

/// Checks an option of a schema.
pub(crate) fn check_of_schema(name: &str, value: &str) -> Result<(), Error> {
    if OF_SCHEMA.contains(&name) {
        return check(name, value);
    }
    let text = format!("schema option {name} does not exist");
    let error = Error::new(ErrorKind::Invalid, text).with_sqlstate("22023");
    Err(error.with_hint(format!("options of a schema: {}", OF_SCHEMA.join(", "))))
}

/// The options of a CREATE TABLE.
pub(crate) fn of_create(options: &CreateTableOptions) -> Result<BTreeMap<String, String>, Error> {
    match options {
        CreateTableOptions::None => Ok(BTreeMap::new()),
        CreateTableOptions::With(options) | CreateTableOptions::Options(options) => {
            read("table", options, check)
        }
        CreateTableOptions::Plain(_) | CreateTableOptions::TableProperties(_) => {
            Err(unsupported("table options other than WITH (option = value, …)"))
        }
    }
}

/// The options of a CREATE SCHEMA.
pub(crate) fn of_create_schema(options: &[SqlOption]) -> Result<BTreeMap<String, String>, Error> {
    read("schema", options, check_of_schema)
}

fn read(
    of: &str,
    options: &[SqlOption],
    check: fn(&str, &str) -> Result<(), Error>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut checked = BTreeMap::new();
    for option in options {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{of} option {option} is not written as option = value"),
            )
            .with_sqlstate("22023"));
        };
        let (key, value) = (key.value.to_lowercase(), text(value)?);
        check(&key, &value)?;
        if checked.insert(key.clone(), value).is_some() {
            return Err(Error::new(ErrorKind::Invalid, format!("{of} option {key} is given twice"))
                .with_sqlstate("42601"));
        }
    }
    Ok(checked)
}

fn text(value: &Expr) -> Result<String, Error> {
    match value {
        Expr::Value(value) => Ok(match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        }),
        Expr::Identifier(ident) => Ok(ident.value.clone()),
        other => Err(Error::new(ErrorKind::Invalid, format!("{other} is no value of an option"))
            .with_sqlstate("22023")),
    }
}

/// Fails for a table whose rows must not be changed.
pub(crate) fn refuse_append_only(table: &TableDef) -> Result<(), Error> {
    match table.append_only() {
        true => Err(cenote_catalog::Error::AppendOnly(table.full_name()).into()),
        false => Ok(()),
    }
}

/// Gives a new table that says nothing of `dedup` the node's default, if it has a key that tells its rows apart: the time alone is
/// none that its maker has thought of.
pub(crate) fn default_dedup(table: &mut NewTable, default: Dedup) {
    let has_key = !table.key_fields.is_empty()
        || table.time_field.is_some() && table.properties.get("tags").is_some_and(|tags| !tags.is_empty());
    if default == Dedup::Last && has_key {
        table.properties.entry("dedup".to_owned()).or_insert_with(|| "last".to_owned());
    }
}

#[cfg(test)]
mod tests {

    use cenote_vocab::{FieldId, TableId, TableSchema};
    use uuid::Uuid;

    use super::*;

    fn new_table(key: Option<i32>, time: Option<i32>, options: &[(&str, &str)]) -> NewTable {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let ids = (TableId(1), Uuid::nil());
        NewTable {
            time_field: time.map(FieldId),
            key_fields: key.map(FieldId).into_iter().collect(),
            properties: options.collect(),
            ..NewTable::plain("default", ids, ("default", "t"), TableSchema::default())
        }
    }

    #[test]
    fn the_default_of_dedup_reaches_new_tables_with_a_primary_key_or_tags() {
        let dedup = |mut table: NewTable, default| {
            default_dedup(&mut table, default);
            table.properties.remove("dedup")
        };
        let last = Some("last".to_owned());
        assert_eq!(dedup(new_table(Some(1), None, &[]), Dedup::Last), last);
        assert_eq!(dedup(new_table(None, Some(1), &[("tags", "host")]), Dedup::Last), last);
        assert_eq!(dedup(new_table(None, Some(1), &[]), Dedup::Last), None, "time alone");
        assert_eq!(dedup(new_table(None, None, &[("tags", "host")]), Dedup::Last), None, "no time");
        assert_eq!(dedup(new_table(Some(1), None, &[]), Dedup::None), None);
        let own = new_table(Some(1), None, &[("dedup", "none")]);
        assert_eq!(dedup(own, Dedup::Last), Some("none".to_owned()), "its own option wins");
    }
}
