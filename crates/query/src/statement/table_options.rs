//! Options of tables (`WITH (…)`, `SET (…)`): which exist, and which values they take now.

use std::collections::BTreeMap;

use cenote_catalog::TableDef;
use cenote_vocab::{ErrorKind, nearest};
use sqlparser::ast::{CreateTableOptions, Expr, SqlOption, Value};

use crate::Error;
use crate::parse::unsupported;

/// Options that this version follows.
const KNOWN: [&str; 11] = [
    "append_only",
    "compaction.enabled",
    "dedup",
    "format",
    "history_keep",
    "orphan_grace",
    "retention",
    "row_lineage",
    "tags",
    "target_file_size",
    "time_column",
];

/// Checks one option.
pub(crate) fn check(name: &str, value: &str) -> Result<(), Error> {
    let invalid = |rule: &str| {
        Err(Error::new(ErrorKind::Invalid, format!("option {name} = '{value}': {rule}"))
            .with_sqlstate("22023"))
    };
    match (name, value) {
        ("format", "parquet")
        | ("dedup", "none")
        | ("append_only" | "row_lineage", "true" | "on" | "false" | "off") => Ok(()),
        ("format", "vortex" | "lance" | "orc" | "avro") => Err(unsupported(&format!("format {value}"))),
        ("format", _) => invalid("the format is parquet"),
        ("dedup", "last" | "tags" | "partition") => Err(unsupported(&format!("option dedup = '{value}'"))),
        ("dedup", _) => invalid("one of none, last"),
        ("append_only" | "row_lineage", _) => invalid("true or false"),
        ("compaction.enabled", "true" | "on" | "false" | "off") => Ok(()),
        ("compaction.enabled", _) => invalid("on or off"),
        ("retention", text) if cenote_table::parse_retention(text).is_some() => Ok(()),
        ("retention", _) => {
            invalid("must be a duration of at least 1h such as 90d, or empty to keep rows for ever")
        }
        ("history_keep" | "orphan_grace" | "target_file_size", "") => invalid("must not be empty"),
        (name, _) if KNOWN.contains(&name) => Ok(()),
        (name, _) if name.starts_with("user.") || name.starts_with("write.") => Ok(()),
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

/// The options of a CREATE TABLE.
pub(crate) fn of_create(options: &CreateTableOptions) -> Result<BTreeMap<String, String>, Error> {
    let options = match options {
        CreateTableOptions::None => return Ok(BTreeMap::new()),
        CreateTableOptions::With(options) | CreateTableOptions::Options(options) => options,
        CreateTableOptions::Plain(_) | CreateTableOptions::TableProperties(_) => {
            return Err(unsupported("table options other than WITH (option = value, …)"));
        }
    };
    let mut checked = BTreeMap::new();
    for option in options {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("table option {option} is not written as option = value"),
            )
            .with_sqlstate("22023"));
        };
        let (key, value) = (key.value.to_lowercase(), text(value)?);
        check(&key, &value)?;
        if checked.insert(key.clone(), value).is_some() {
            return Err(Error::new(ErrorKind::Invalid, format!("table option {key} is given twice"))
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
        other => Err(Error::new(ErrorKind::Invalid, format!("{other} is no value of a table option"))
            .with_sqlstate("22023")),
    }
}

/// Fails for a table whose rows must not be changed.
pub(crate) fn refuse_append_only(table: &TableDef) -> Result<(), Error> {
    let option = table.properties.get("append_only");
    if option.is_some_and(|value| matches!(value.as_str(), "true" | "on")) {
        let text = format!("table {} is append-only: its rows cannot be changed", table.full_name());
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("25006"));
    }
    Ok(())
}
