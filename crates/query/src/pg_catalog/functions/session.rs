//! Functions about the session and the server.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;

use super::super::facts::PgFacts;
use super::super::server::UTF8;
use super::{Kind, function, int, missing, text, text_of};

pub(super) const NAMES: &[&str] = &[
    "current_catalog",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "inet_client_addr",
    "inet_server_addr",
    "getdatabaseencoding",
    "pg_backend_pid",
    "pg_char_to_encoding",
    "pg_client_encoding",
    "pg_encoding_to_char",
    "pg_is_in_recovery",
    "pg_is_other_temp_schema",
    "pg_my_temp_schema",
    "session_user",
    "version",
];

/// A list of names.
pub(super) fn names_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
}

pub(super) fn functions(facts: &Arc<PgFacts>) -> Vec<Arc<ScalarUDF>> {
    let constant = |name, value: Option<&str>| {
        let value = value.map(text);
        function(name, &[], 0, DataType::Utf8, move |_| Ok(value.clone()))
    };
    let (session, paths, pid) = (facts.clone(), facts.clone(), facts.backend_pid);
    let schema = facts.search_path.iter().find(|schema| facts.has_schema(facts.meant(schema)));
    vec![
        constant("version", Some(VERSION)),
        constant("current_database", Some(&facts.database)),
        constant("current_catalog", Some(&facts.database)),
        constant("current_schema", schema.map(|schema| facts.meant(schema))),
        constant("session_user", Some(facts.user())),
        constant("current_user", Some(facts.user())),
        constant("inet_client_addr", None),
        constant("inet_server_addr", None),
        constant("getdatabaseencoding", Some("UTF8")),
        constant("pg_client_encoding", Some("UTF8")),
        function("current_schemas", &[Kind::Bool], 1, names_type(), move |values| {
            let implied = matches!(values[0], ScalarValue::Boolean(Some(true))).then_some("pg_catalog");
            let path = paths.search_path.iter().map(|schema| paths.meant(schema));
            let known = path.filter(|schema| paths.has_schema(schema));
            let names: Vec<_> = implied.into_iter().chain(known).map(text).collect();
            Ok(Some(ScalarValue::List(ScalarValue::new_list_nullable(&names, &DataType::Utf8))))
        }),
        function("current_setting", &[Kind::Text, Kind::Bool], 1, DataType::Utf8, move |values| {
            let name = text_of(values, 0).unwrap_or_default();
            let missing_is_null = matches!(values.get(1), Some(ScalarValue::Boolean(Some(true))));
            match session.setting(name) {
                Some(value) => Ok(Some(text(value))),
                None if missing_is_null => Ok(None),
                None => Err(missing(format!("unrecognized configuration parameter \"{name}\""), "42704")),
            }
        }),
        function("pg_backend_pid", &[], 0, DataType::Int32, move |_| Ok(Some(ScalarValue::Int32(Some(pid))))),
        function("pg_encoding_to_char", &[Kind::Int], 1, DataType::Utf8, |values| {
            Ok(Some(text(if int(values, 0) == Some(UTF8) { "UTF8" } else { "" })))
        }),
        function("pg_char_to_encoding", &[Kind::Text], 1, DataType::Int32, |values| {
            let known = text_of(values, 0)
                .is_some_and(|name| matches!(name.to_uppercase().as_str(), "UTF8" | "UTF-8"));
            Ok(Some(ScalarValue::Int32(Some(if known { UTF8 as i32 } else { -1 }))))
        }),
        function("pg_is_in_recovery", &[], 0, DataType::Boolean, no),
        function("pg_is_other_temp_schema", &[Kind::Int], 1, DataType::Boolean, no),
        function("pg_my_temp_schema", &[], 0, DataType::Int32, |_| Ok(Some(ScalarValue::Int32(Some(0))))),
    ]
}

/// What `version()` answers: clients read the number.
const VERSION: &str = concat!("PostgreSQL 15.10 (Cenote ", env!("CARGO_PKG_VERSION"), "), DataFusion");

fn no(_: &[ScalarValue]) -> Result<Option<ScalarValue>> {
    Ok(Some(ScalarValue::Boolean(Some(false))))
}
