//! Functions about objects: descriptions, definitions, sizes, visibility.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type};
use cenote_catalog::TableKind;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use super::super::facts::PgFacts;
use super::super::{objects, system};
use super::name::split_name;
use super::{Kind, function, int, text, text_of};

pub(super) const NAMES: &[&str] = &[
    "col_description",
    "obj_description",
    "pg_collation_is_visible",
    "pg_conversion_is_visible",
    "pg_database_size",
    "pg_function_is_visible",
    "pg_get_constraintdef",
    "pg_get_expr",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_function_sqlbody",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_partkeydef",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_statisticsobjdef_columns",
    "pg_get_triggerdef",
    "pg_get_viewdef",
    "pg_indexes_size",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_opfamily_is_visible",
    "pg_relation_is_publishable",
    "pg_relation_size",
    "pg_stat_get_numscans",
    "pg_statistics_obj_is_visible",
    "pg_table_is_visible",
    "pg_table_size",
    "pg_tablespace_location",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
    "pg_ts_parser_is_visible",
    "pg_ts_template_is_visible",
    "pg_type_is_visible",
    "shobj_description",
];

pub(super) fn functions(facts: &Arc<PgFacts>) -> Vec<Arc<ScalarUDF>> {
    [descriptions(facts), definitions(facts), sizes(facts), visibility(facts)].into_iter().flatten().collect()
}

fn descriptions(facts: &Arc<PgFacts>) -> Vec<Arc<ScalarUDF>> {
    let (objects, columns) = (facts.clone(), facts.clone());
    vec![
        function("obj_description", &[Kind::Int, Kind::Text], 1, DataType::Utf8, move |values| {
            let Some(oid) = int(values, 0) else { return Ok(None) };
            let own = match text_of(values, 1) {
                None | Some("pg_class") => {
                    objects.table(oid).and_then(|table| table.comment.as_deref()).map(text)
                }
                Some(_) => None,
            };
            Ok(own.or_else(|| brought_description(oid, text_of(values, 1)).map(text)))
        }),
        function("col_description", &[Kind::Int, Kind::Int], 2, DataType::Utf8, move |values| {
            let (Some(oid), Some(number)) = (int(values, 0), int(values, 1)) else { return Ok(None) };
            let place = usize::try_from(number - 1).ok();
            let field = columns.table(oid).and_then(|table| table.schema.fields.get(place?));
            Ok(field.and_then(|field| field.comment.as_deref()).map(text))
        }),
        function("shobj_description", &[Kind::Int, Kind::Text], 2, DataType::Utf8, |_| Ok(None)),
    ]
}

/// What Postgres says about one of its objects.
fn brought_description(oid: i64, class: Option<&str>) -> Option<String> {
    let rows = system::system().ok()?.rows("pg_description")?;
    let class = class.and_then(objects::system_oid).map(i64::from);
    let numbers = |name: &str| {
        let column = arrow::compute::cast(rows.column_by_name(name)?, &DataType::Int32).ok()?;
        Some(column.as_primitive::<Int32Type>().clone())
    };
    let (objects, classes, parts) = (numbers("objoid")?, numbers("classoid")?, numbers("objsubid")?);
    let row = (0..rows.num_rows()).find(|&row| {
        i64::from(objects.value(row)) == oid
            && parts.value(row) == 0
            && class.is_none_or(|class| i64::from(classes.value(row)) == class)
    })?;
    let texts = arrow::compute::cast(rows.column_by_name("description")?, &DataType::Utf8).ok()?;
    texts.is_valid(row).then(|| texts.as_string::<i32>().value(row).to_owned())
}

fn definitions(facts: &Arc<PgFacts>) -> Vec<Arc<ScalarUDF>> {
    // Things that are not here have no definition.
    let nothing = |name, kinds: &'static [Kind]| function(name, kinds, 1, DataType::Utf8, |_| Ok(None));
    let of_function = |name, answer: fn(i64) -> Option<String>| {
        function(name, &[Kind::Int], 1, DataType::Utf8, move |values| {
            Ok(int(values, 0).and_then(answer).map(text))
        })
    };
    let views = facts.clone();
    vec![
        nothing("pg_get_constraintdef", &[Kind::Int, Kind::Bool]),
        nothing("pg_get_expr", &[Kind::Text, Kind::Int, Kind::Bool]),
        nothing("pg_get_indexdef", &[Kind::Int, Kind::Int, Kind::Bool]),
        nothing("pg_get_partkeydef", &[Kind::Int]),
        nothing("pg_get_ruledef", &[Kind::Int, Kind::Bool]),
        nothing("pg_get_serial_sequence", &[Kind::Text, Kind::Text]),
        nothing("pg_get_statisticsobjdef_columns", &[Kind::Int]),
        nothing("pg_get_triggerdef", &[Kind::Int, Kind::Bool]),
        nothing("pg_get_functiondef", &[Kind::Int]),
        nothing("pg_get_function_sqlbody", &[Kind::Int]),
        nothing("pg_tablespace_location", &[Kind::Int]),
        of_function("pg_get_function_result", system::function_result),
        of_function("pg_get_function_arguments", system::function_arguments),
        of_function("pg_get_function_identity_arguments", system::function_arguments),
        function("pg_get_viewdef", &[Kind::Text, Kind::Bool], 1, DataType::Utf8, move |values| {
            let view = text_of(values, 0).unwrap_or_default();
            let found = match view.parse() {
                Ok(oid) => views.table(oid),
                Err(_) => {
                    let (schema, name) = split_name(view);
                    views.table_named(schema.as_deref(), &name)
                }
            };
            Ok(found.and_then(|view| match &view.kind {
                TableKind::View { sql, .. } => Some(text(sql)),
                TableKind::Table => None,
            }))
        }),
    ]
}

fn sizes(facts: &Arc<PgFacts>) -> Vec<Arc<ScalarUDF>> {
    let of_table = |name| {
        let facts = facts.clone();
        function(name, &[Kind::Text, Kind::Text], 1, DataType::Int64, move |values| {
            let table = text_of(values, 0).unwrap_or_default();
            let oid = table.parse().ok().or_else(|| {
                let (schema, name) = split_name(table);
                Some(facts.table_named(schema.as_deref(), &name)?.id.oid())
            });
            let bytes = oid.and_then(|oid: u32| facts.sizes.get(&oid));
            Ok(bytes.map(|bytes| ScalarValue::Int64(Some(i64::try_from(*bytes).unwrap_or(i64::MAX)))))
        })
    };
    let zero =
        |name| function(name, &[Kind::Text], 1, DataType::Int64, |_| Ok(Some(ScalarValue::Int64(Some(0)))));
    let whole = |name| {
        let facts = facts.clone();
        function(name, &[Kind::Text], 1, DataType::Int64, move |_| {
            let known = !facts.sizes.is_empty();
            let bytes = facts.sizes.values().sum::<u64>();
            Ok(known.then(|| ScalarValue::Int64(Some(i64::try_from(bytes).unwrap_or(i64::MAX)))))
        })
    };
    vec![
        of_table("pg_relation_size"),
        of_table("pg_table_size"),
        of_table("pg_total_relation_size"),
        zero("pg_indexes_size"),
        zero("pg_stat_get_numscans"),
        whole("pg_database_size"),
        whole("pg_tablespace_size"),
    ]
}

/// What Postgres brings is always visible.
fn visibility(facts: &Arc<PgFacts>) -> Vec<Arc<ScalarUDF>> {
    let always = |name| {
        function(name, &[Kind::Int], 1, DataType::Boolean, |_| Ok(Some(ScalarValue::Boolean(Some(true)))))
    };
    let tables = facts.clone();
    vec![
        function("pg_table_is_visible", &[Kind::Int], 1, DataType::Boolean, move |values| {
            let Some(oid) = int(values, 0) else { return Ok(None) };
            let visible = match tables.table(oid) {
                Some(table) => tables.is_visible(table),
                None => objects::system_name(oid).is_some_and(|name| name.starts_with("pg_")),
            };
            Ok(Some(ScalarValue::Boolean(Some(visible))))
        }),
        function("pg_relation_is_publishable", &[Kind::Int], 1, DataType::Boolean, |_| {
            Ok(Some(ScalarValue::Boolean(Some(false))))
        }),
        always("pg_collation_is_visible"),
        always("pg_conversion_is_visible"),
        always("pg_function_is_visible"),
        always("pg_opclass_is_visible"),
        always("pg_operator_is_visible"),
        always("pg_opfamily_is_visible"),
        always("pg_statistics_obj_is_visible"),
        always("pg_ts_config_is_visible"),
        always("pg_ts_dict_is_visible"),
        always("pg_ts_parser_is_visible"),
        always("pg_ts_template_is_visible"),
        always("pg_type_is_visible"),
    ]
}
