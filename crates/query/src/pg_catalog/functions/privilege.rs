//! `has_…_privilege`: what the asker may do. A question about another role is about nobody: no.

use cenote_catalog::Privilege;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;

use super::super::facts::PgFacts;
use super::name::split_name;
use super::{Kind, function, missing, text_of};

pub(super) const NAMES: &[&str] = &[
    "has_any_column_privilege",
    "has_column_privilege",
    "has_database_privilege",
    "has_function_privilege",
    "has_language_privilege",
    "has_schema_privilege",
    "has_sequence_privilege",
    "has_table_privilege",
    "has_tablespace_privilege",
    "has_type_privilege",
    "pg_has_role",
];

pub(super) fn functions(facts: &Arc<PgFacts>) -> Vec<Arc<ScalarUDF>> {
    const TWO_OR_THREE: &[Kind] = &[Kind::Text, Kind::Text, Kind::Text];
    const THREE_OR_FOUR: &[Kind] = &[Kind::Text, Kind::Text, Kind::Text, Kind::Text];
    let asks = |name, kinds: &'static [Kind], allowed: fn(&PgFacts, &str, &str) -> Result<Option<bool>>| {
        let facts = facts.clone();
        let full = kinds.len();
        function(name, kinds, full - 1, DataType::Boolean, move |values| {
            // A leading role is left out for the asker's own.
            let rest = if values.len() == full { &values[1..] } else { values };
            if values.len() == full && !is_asker(&facts, text_of(values, 0)) {
                return Ok(Some(ScalarValue::Boolean(Some(false))));
            }
            let (Some(object), Some(right)) = (text_of(rest, 0), text_of(rest, rest.len() - 1)) else {
                return Ok(None);
            };
            Ok(allowed(&facts, object, right)?.map(|allowed| ScalarValue::Boolean(Some(allowed))))
        })
    };
    vec![
        asks("has_table_privilege", TWO_OR_THREE, on_table),
        asks("has_any_column_privilege", TWO_OR_THREE, on_table),
        asks("has_column_privilege", THREE_OR_FOUR, on_table),
        asks("has_schema_privilege", TWO_OR_THREE, on_schema),
        asks("has_database_privilege", TWO_OR_THREE, |facts, _, right| {
            Ok(Some(any_of(right, |word| match word {
                "CREATE" => facts.is_admin(),
                _ => true,
            })))
        }),
        asks("has_function_privilege", TWO_OR_THREE, |_, _, _| Ok(Some(true))),
        asks("has_language_privilege", TWO_OR_THREE, |_, _, _| Ok(Some(false))),
        asks("has_sequence_privilege", TWO_OR_THREE, |_, _, _| Ok(Some(false))),
        asks("has_tablespace_privilege", TWO_OR_THREE, |_, _, _| Ok(Some(false))),
        asks("has_type_privilege", TWO_OR_THREE, |_, _, _| Ok(Some(true))),
        asks("pg_has_role", TWO_OR_THREE, |facts, role, _| {
            Ok(Some(is_asker(facts, Some(role)) || facts.is_admin()))
        }),
    ]
}

fn is_asker(facts: &PgFacts, role: Option<&str>) -> bool {
    role.is_some_and(|role| role == facts.user() || role.parse() == Ok(facts.role()) || role == "public")
}

/// True if one of the rights between commas is held.
fn any_of(rights: &str, held: impl Fn(&str) -> bool) -> bool {
    rights.split(',').any(|right| {
        let right = right.trim().to_uppercase();
        held(right.strip_suffix(" WITH GRANT OPTION").unwrap_or(&right))
    })
}

fn on_table(facts: &PgFacts, table: &str, rights: &str) -> Result<Option<bool>> {
    let found = match table.parse::<i64>() {
        Ok(oid) => match facts.table(oid) {
            Some(table) => table,
            // A relation of Postgres: everybody may read it.
            None if super::super::objects::system_name(oid).is_some() => {
                return Ok(Some(any_of(rights, |right| right == "SELECT")));
            }
            None => return Ok(None),
        },
        Err(_) => {
            let (schema, name) = split_name(table);
            match facts.table_named(schema.as_deref(), &name) {
                Some(table) => table,
                None if super::super::objects::system_oid(&name).is_some() => {
                    return Ok(Some(any_of(rights, |right| right == "SELECT")));
                }
                None => return Err(missing(format!("relation \"{table}\" does not exist"), "42P01")),
            }
        }
    };
    Ok(Some(any_of(rights, |right| {
        let privilege = match right {
            "SELECT" => Privilege::Select,
            "INSERT" => Privilege::Insert,
            "UPDATE" => Privilege::Update,
            "DELETE" | "TRUNCATE" => Privilege::Delete,
            _ => Privilege::Manage,
        };
        facts.identity.allows(privilege, &found.schema_name, Some(&found.name))
    })))
}

fn on_schema(facts: &PgFacts, schema: &str, rights: &str) -> Result<Option<bool>> {
    let name = match schema.parse::<u32>() {
        Ok(oid) => facts.schemas().find(|known| known.id.oid() == oid).map(|known| known.name.clone()),
        Err(_) => Some(facts.meant(schema).to_owned()),
    };
    let Some(name) = name else {
        return Ok(Some(any_of(rights, |right| right == "USAGE"))); // Postgres's own
    };
    Ok(Some(any_of(rights, |right| match right {
        "CREATE" => facts.identity.allows(Privilege::Create, &name, None),
        _ => true,
    })))
}
