//! The schema `information_schema`: the standard's view of the same names.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use cenote_catalog::{Privilege, TableKind};
use cenote_vocab::Field;
use datafusion::common::Result;

use super::facts::{OWNER_NAME, PgFacts};
use super::provider::Relation;
use super::relation::{Cell, Columns, Row};
use super::type_names;

/// The columns of a relation, by a name.
macro_rules! columns {
    ($($name:ident = $line:literal;)*) => {
        $(static $name: LazyLock<Columns> = LazyLock::new(|| Columns::new($line));)*
    };
}

columns! {
    CATALOG_NAME = "catalog_name:text";
    SCHEMATA = "catalog_name:text schema_name:text schema_owner:text default_character_set_catalog:text? \
        default_character_set_schema:text? default_character_set_name:text? sql_path:text?";
    TABLES = "table_catalog:text table_schema:text table_name:text table_type:text self_referencing_column_name:text? \
        reference_generation:text? user_defined_type_catalog:text? user_defined_type_schema:text? user_defined_type_name:text? \
        is_insertable_into:text is_typed:text commit_action:text?";
    COLUMNS = "table_catalog:text table_schema:text table_name:text column_name:text ordinal_position:int4 column_default:text? \
        is_nullable:text data_type:text character_maximum_length:int4? character_octet_length:int4? numeric_precision:int4? \
        numeric_precision_radix:int4? numeric_scale:int4? datetime_precision:int4? interval_type:text? interval_precision:int4? \
        character_set_catalog:text? character_set_schema:text? character_set_name:text? collation_catalog:text? \
        collation_schema:text? collation_name:text? domain_catalog:text? domain_schema:text? domain_name:text? udt_catalog:text \
        udt_schema:text udt_name:text scope_catalog:text? scope_schema:text? scope_name:text? maximum_cardinality:int4? \
        dtd_identifier:text is_self_referencing:text is_identity:text identity_generation:text? identity_start:text? \
        identity_increment:text? identity_maximum:text? identity_minimum:text? identity_cycle:text is_generated:text \
        generation_expression:text? is_updatable:text";
    VIEWS = "table_catalog:text table_schema:text table_name:text view_definition:text? check_option:text is_updatable:text \
        is_insertable_into:text is_trigger_updatable:text is_trigger_deletable:text is_trigger_insertable_into:text";
    CONSTRAINTS = "constraint_catalog:text constraint_schema:text constraint_name:text table_catalog:text table_schema:text \
        table_name:text constraint_type:text is_deferrable:text initially_deferred:text enforced:text nulls_distinct:text?";
    KEYS = "constraint_catalog:text constraint_schema:text constraint_name:text table_catalog:text table_schema:text \
        table_name:text column_name:text ordinal_position:int4 position_in_unique_constraint:int4?";
    REFERENCES = "constraint_catalog:text constraint_schema:text constraint_name:text unique_constraint_catalog:text \
        unique_constraint_schema:text unique_constraint_name:text match_option:text update_rule:text delete_rule:text";
    COLUMN_USAGE = "table_catalog:text table_schema:text table_name:text column_name:text constraint_catalog:text \
        constraint_schema:text constraint_name:text";
    TABLE_USAGE = "table_catalog:text table_schema:text table_name:text constraint_catalog:text constraint_schema:text \
        constraint_name:text";
    CHECKS = "constraint_catalog:text constraint_schema:text constraint_name:text check_clause:text";
    ROUTINES = "specific_catalog:text specific_schema:text specific_name:text routine_catalog:text routine_schema:text \
        routine_name:text routine_type:text data_type:text? type_udt_catalog:text? type_udt_schema:text? type_udt_name:text? \
        routine_body:text? routine_definition:text? external_language:text? is_deterministic:text? security_type:text?";
    PARAMETERS = "specific_catalog:text specific_schema:text specific_name:text ordinal_position:int4 parameter_mode:text? \
        parameter_name:text? data_type:text? udt_catalog:text? udt_schema:text? udt_name:text? parameter_default:text?";
    SEQUENCES = "sequence_catalog:text sequence_schema:text sequence_name:text data_type:text numeric_precision:int4 \
        numeric_precision_radix:int4 numeric_scale:int4 start_value:text minimum_value:text maximum_value:text increment:text \
        cycle_option:text";
    TRIGGERS = "trigger_catalog:text trigger_schema:text trigger_name:text event_manipulation:text event_object_catalog:text \
        event_object_schema:text event_object_table:text action_order:int4? action_condition:text? action_statement:text? \
        action_orientation:text? action_timing:text?";
    PRIVILEGES = "grantor:text grantee:text table_catalog:text table_schema:text table_name:text privilege_type:text \
        is_grantable:text with_hierarchy:text";
    ENABLED_ROLES = "role_name:text";
    APPLICABLE_ROLES = "grantee:text role_name:text is_grantable:text";
    CHARACTER_SETS = "character_set_catalog:text? character_set_schema:text? character_set_name:text character_repertoire:text \
        form_of_use:text default_collate_catalog:text? default_collate_schema:text? default_collate_name:text?";
}

/// All relations of the schema.
pub(crate) const RELATIONS: &[Relation] = &[
    ("applicable_roles", || &APPLICABLE_ROLES, |_| APPLICABLE_ROLES.batch(&[])),
    ("character_sets", || &CHARACTER_SETS, character_sets),
    ("check_constraints", || &CHECKS, |_| CHECKS.batch(&[])),
    ("columns", || &COLUMNS, all_columns),
    ("constraint_column_usage", || &COLUMN_USAGE, |_| COLUMN_USAGE.batch(&[])),
    ("constraint_table_usage", || &TABLE_USAGE, |_| TABLE_USAGE.batch(&[])),
    (
        "enabled_roles",
        || &ENABLED_ROLES,
        |facts| ENABLED_ROLES.batch(&[vec![("role_name", facts.user().into())]]),
    ),
    (
        "information_schema_catalog_name",
        || &CATALOG_NAME,
        |facts| CATALOG_NAME.batch(&[vec![("catalog_name", facts.database.as_str().into())]]),
    ),
    ("key_column_usage", || &KEYS, |_| KEYS.batch(&[])),
    ("parameters", || &PARAMETERS, |_| PARAMETERS.batch(&[])),
    ("referential_constraints", || &REFERENCES, |_| REFERENCES.batch(&[])),
    ("role_table_grants", || &PRIVILEGES, privileges),
    ("routines", || &ROUTINES, |_| ROUTINES.batch(&[])),
    ("schemata", || &SCHEMATA, schemata),
    ("sequences", || &SEQUENCES, |_| SEQUENCES.batch(&[])),
    ("table_constraints", || &CONSTRAINTS, |_| CONSTRAINTS.batch(&[])),
    ("table_privileges", || &PRIVILEGES, privileges),
    ("tables", || &TABLES, tables),
    ("triggers", || &TRIGGERS, |_| TRIGGERS.batch(&[])),
    ("views", || &VIEWS, views),
];

/// Names and columns of the relations.
pub(crate) fn columns() -> impl Iterator<Item = (&'static str, SchemaRef)> {
    RELATIONS.iter().map(|(name, columns, _)| (*name, columns().schema()))
}

fn yes_or_no(value: bool) -> Cell {
    if value { "YES" } else { "NO" }.into()
}

fn schemata(facts: &PgFacts) -> Result<RecordBatch> {
    let own = ["information_schema", "pg_catalog"].into_iter();
    let rows = own.chain(facts.schemas().map(|schema| schema.name.as_str())).map(|name| -> Row {
        vec![
            ("catalog_name", facts.database.as_str().into()),
            ("schema_name", name.into()),
            ("schema_owner", OWNER_NAME.into()),
        ]
    });
    SCHEMATA.batch(&rows.collect::<Vec<_>>())
}

fn tables(facts: &PgFacts) -> Result<RecordBatch> {
    let rows = facts.tables().map(|table| -> Row {
        let is_table = table.kind == TableKind::Table;
        let writable =
            is_table && facts.identity.allows(Privilege::Insert, &table.schema_name, Some(&table.name));
        vec![
            ("table_catalog", facts.database.as_str().into()),
            ("table_schema", table.schema_name.as_str().into()),
            ("table_name", table.name.as_str().into()),
            ("table_type", if is_table { "BASE TABLE" } else { "VIEW" }.into()),
            ("is_insertable_into", yes_or_no(writable)),
            ("is_typed", yes_or_no(false)),
        ]
    });
    TABLES.batch(&rows.collect::<Vec<_>>())
}

fn all_columns(facts: &PgFacts) -> Result<RecordBatch> {
    let rows = facts.tables().flat_map(|table| {
        let is_table = table.kind == TableKind::Table;
        table.schema.fields.iter().zip(1..).map(move |(field, number)| {
            let mut row = column(field, number);
            row.extend([
                ("table_catalog", facts.database.as_str().into()),
                ("table_schema", table.schema_name.as_str().into()),
                ("table_name", table.name.as_str().into()),
                ("udt_catalog", facts.database.as_str().into()),
                ("is_updatable", yes_or_no(is_table)),
            ]);
            row
        })
    });
    COLUMNS.batch(&rows.collect::<Vec<_>>())
}

fn column(field: &Field, number: i64) -> Row {
    let of = &field.field_type;
    let (standard, own) = type_names::names(of);
    let mut row = vec![
        ("column_name", field.name.as_str().into()),
        ("ordinal_position", Cell::Int(number)),
        (
            "column_default",
            field.write_default.as_ref().map_or(Cell::Null, |text| Cell::Text(text.to_string())),
        ),
        ("is_nullable", yes_or_no(!field.required)),
        ("data_type", standard.into()),
        ("udt_schema", "pg_catalog".into()),
        ("udt_name", own.into()),
        ("dtd_identifier", Cell::Text(number.to_string())),
        ("is_self_referencing", yes_or_no(false)),
        ("is_identity", yes_or_no(false)),
        ("identity_cycle", yes_or_no(false)),
        ("is_generated", "NEVER".into()),
    ];
    if let Some((digits, radix, scale)) = type_names::number(of) {
        row.extend([("numeric_precision", Cell::Int(digits)), ("numeric_precision_radix", Cell::Int(radix))]);
        row.push(("numeric_scale", scale.map_or(Cell::Null, Cell::Int)));
    }
    if let Some(digits) = type_names::fraction(of) {
        row.push(("datetime_precision", Cell::Int(digits)));
    }
    row
}

fn views(facts: &PgFacts) -> Result<RecordBatch> {
    let rows = facts.tables().filter_map(|view| {
        let TableKind::View { sql, .. } = &view.kind else { return None };
        Some(vec![
            ("table_catalog", facts.database.as_str().into()),
            ("table_schema", view.schema_name.as_str().into()),
            ("table_name", view.name.as_str().into()),
            ("view_definition", sql.as_str().into()),
            ("check_option", "NONE".into()),
            ("is_updatable", yes_or_no(false)),
            ("is_insertable_into", yes_or_no(false)),
            ("is_trigger_updatable", yes_or_no(false)),
            ("is_trigger_deletable", yes_or_no(false)),
            ("is_trigger_insertable_into", yes_or_no(false)),
        ])
    });
    VIEWS.batch(&rows.collect::<Vec<_>>())
}

fn privileges(facts: &PgFacts) -> Result<RecordBatch> {
    let rights = [Privilege::Select, Privilege::Insert, Privilege::Update, Privilege::Delete];
    let rows = facts.tables().flat_map(|table| {
        let held = rights
            .iter()
            .filter(|right| facts.identity.allows(**right, &table.schema_name, Some(&table.name)));
        held.map(|right| -> Row {
            vec![
                ("grantor", OWNER_NAME.into()),
                ("grantee", facts.user().into()),
                ("table_catalog", facts.database.as_str().into()),
                ("table_schema", table.schema_name.as_str().into()),
                ("table_name", table.name.as_str().into()),
                ("privilege_type", right.word().into()),
                ("is_grantable", yes_or_no(false)),
                ("with_hierarchy", yes_or_no(*right == Privilege::Select)),
            ]
        })
    });
    PRIVILEGES.batch(&rows.collect::<Vec<_>>())
}

fn character_sets(facts: &PgFacts) -> Result<RecordBatch> {
    CHARACTER_SETS.batch(&[vec![
        ("character_set_name", "UTF8".into()),
        ("character_repertoire", "UCS".into()),
        ("form_of_use", "UTF8".into()),
        ("default_collate_catalog", facts.database.as_str().into()),
        ("default_collate_schema", "pg_catalog".into()),
        ("default_collate_name", "C".into()),
    ]])
}
