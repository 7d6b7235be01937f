//! Functions between names and OIDs: `to_regclass`, `format_type`, `pg_get_userbyid`, and what casts such as `::regclass` mean.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use super::super::facts::{INFORMATION_SCHEMA, PG_CATALOG, PgFacts};
use super::super::{objects, roles, system, type_names};
use super::text::quoted_name;
use super::{Kind, function, int, missing, text, text_of};

pub(super) const NAMES: &[&str] = &[
    "format_type",
    "pg_get_userbyid",
    "to_regclass",
    "to_regnamespace",
    "to_regproc",
    "to_regrole",
    "to_regtype",
];

pub(super) fn functions(facts: &Arc<PgFacts>) -> Vec<Arc<ScalarUDF>> {
    let known = |name, find: Find| {
        let facts = facts.clone();
        function(name, &[Kind::Text], 1, DataType::Int32, move |values| {
            Ok(text_of(values, 0).and_then(|name| find(&facts, name)).map(oid))
        })
    };
    let expected = |name, what: &'static str, find: Find| {
        let facts = facts.clone();
        function(name, &[Kind::Text], 1, DataType::Int32, move |values| {
            let name = text_of(values, 0).unwrap_or_default();
            // A number is an OID already; `-` is none.
            match name.parse::<u32>().ok().or_else(|| if name == "-" { Some(0) } else { find(&facts, name) })
            {
                Some(found) => Ok(Some(oid(found))),
                None => Err(missing(
                    format!("{what} \"{name}\" does not exist"),
                    if what == "relation" { "42P01" } else { "42704" },
                )),
            }
        })
    };
    let shown = |name, show: fn(&PgFacts, i64) -> Option<String>| {
        let facts = facts.clone();
        function(name, &[Kind::Int], 1, DataType::Utf8, move |values| {
            Ok(int(values, 0).map(|oid| {
                text(
                    show(&facts, oid)
                        .unwrap_or_else(|| if oid == 0 { "-".to_owned() } else { oid.to_string() }),
                )
            }))
        })
    };
    let users = facts.clone();
    vec![
        known("to_regclass", class),
        known("to_regtype", type_of),
        known("to_regnamespace", namespace),
        known("to_regrole", role),
        known("to_regproc", procedure),
        expected("to_oid_regclass", "relation", class),
        expected("to_oid_regtype", "type", type_of),
        expected("to_oid_regnamespace", "schema", namespace),
        expected("to_oid_regrole", "role", role),
        expected("to_oid_regproc", "function", procedure),
        expected("to_oid_regprocedure", "function", procedure),
        shown("name_of_regclass", class_name),
        shown("name_of_regtype", |_, oid| type_names::format(oid, -1)),
        shown("name_of_regnamespace", namespace_name),
        shown("name_of_regrole", role_name),
        shown("name_of_regproc", |_, oid| system::function_name(oid).map(str::to_owned)),
        shown("name_of_regprocedure", |_, oid| {
            Some(format!("{}({})", system::function_name(oid)?, system::function_arguments(oid)?))
        }),
        function("format_type", &[Kind::Int, Kind::Int], 1, DataType::Utf8, |values| {
            let (of, modifier) = (int(values, 0).unwrap_or(0), int(values, 1).unwrap_or(-1));
            Ok(Some(text(
                type_names::format(of, modifier)
                    .unwrap_or_else(|| if of == 0 { "-" } else { "???" }.to_owned()),
            )))
        }),
        function("pg_get_userbyid", &[Kind::Int], 1, DataType::Utf8, move |values| {
            let of = int(values, 0).unwrap_or(0);
            Ok(Some(text(role_name(&users, of).unwrap_or_else(|| format!("unknown (OID={of})")))))
        }),
    ]
}

type Find = fn(&PgFacts, &str) -> Option<u32>;

fn oid(found: u32) -> ScalarValue {
    ScalarValue::Int32(Some(found.cast_signed()))
}

/// Schema and name of `schema.name`, unquoted; a third part in front is the database.
pub(super) fn split_name(full: &str) -> (Option<String>, String) {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for letter in full.trim().chars() {
        match letter {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            letter => {
                if let Some(part) = parts.last_mut() {
                    if quoted { part.push(letter) } else { part.extend(letter.to_lowercase()) }
                }
            }
        }
    }
    let name = parts.pop().unwrap_or_default();
    (parts.pop(), name)
}

fn class(facts: &PgFacts, name: &str) -> Option<u32> {
    let (schema, name) = split_name(name);
    if let Some(table) = facts.table_named(schema.as_deref(), &name) {
        return Some(table.id.oid());
    }
    let brought = schema.is_none_or(|schema| matches!(schema.as_str(), "pg_catalog" | "information_schema"));
    if brought { objects::system_oid(&name) } else { None }
}

fn type_of(_: &PgFacts, name: &str) -> Option<u32> {
    let name = name.trim().strip_prefix("pg_catalog.").unwrap_or(name.trim());
    u32::try_from(system::type_oid(&name.to_lowercase())?).ok()
}

fn namespace(facts: &PgFacts, name: &str) -> Option<u32> {
    let (_, name) = split_name(name);
    match name.as_str() {
        "pg_catalog" => Some(PG_CATALOG),
        "information_schema" => Some(INFORMATION_SCHEMA),
        name => facts.schemas().find(|schema| schema.name == facts.meant(name)).map(|schema| schema.id.oid()),
    }
}

fn role(facts: &PgFacts, name: &str) -> Option<u32> {
    roles::all(facts).into_iter().find(|(_, known, ..)| *known == name).map(|(oid, ..)| oid)
}

fn procedure(_: &PgFacts, name: &str) -> Option<u32> {
    let (_, name) = split_name(name.split('(').next().unwrap_or_default());
    u32::try_from(system::function_oid(&name)?).ok()
}

fn class_name(facts: &PgFacts, oid: i64) -> Option<String> {
    let Some(table) = facts.table(oid) else { return objects::system_name(oid).map(str::to_owned) };
    let name = quoted_name(&table.name);
    Some(if facts.is_visible(table) { name } else { format!("{}.{name}", quoted_name(&table.schema_name)) })
}

fn namespace_name(facts: &PgFacts, oid: i64) -> Option<String> {
    match u32::try_from(oid).ok()? {
        PG_CATALOG => Some("pg_catalog".to_owned()),
        INFORMATION_SCHEMA => Some("information_schema".to_owned()),
        oid => facts.schemas().find(|schema| schema.id.oid() == oid).map(|schema| quoted_name(&schema.name)),
    }
}

fn role_name(facts: &PgFacts, oid: i64) -> Option<String> {
    roles::all(facts)
        .into_iter()
        .find(|(known, ..)| i64::from(*known) == oid)
        .map(|(_, name, ..)| name.to_owned())
}
