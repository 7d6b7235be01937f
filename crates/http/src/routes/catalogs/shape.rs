//! How schemas and tables are shown. What is written borrows from the names in memory.

use std::collections::BTreeMap;

use cenote_catalog::{CATALOG_NAME, LABEL, SchemaDef, TableDef, TableKind};
use cenote_query::quote;
use cenote_vocab::{Field, FieldId, WriteDefault};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

#[derive(Serialize)]
pub(super) struct Schema<'a> {
    id: String,
    object_id: i64,
    catalog: &'static str,
    name: &'a str,
    properties: &'a BTreeMap<String, String>,
    etag: String,
}

impl<'a> Schema<'a> {
    pub(super) fn of(schema: &'a SchemaDef) -> Self {
        Self {
            id: schema.uuid.to_string(),
            object_id: schema.id.0,
            catalog: CATALOG_NAME,
            name: &schema.name,
            properties: &schema.properties,
            etag: schema_etag(schema),
        }
    }
}

/// Of all that can change of a schema.
pub(super) fn schema_etag(schema: &SchemaDef) -> String {
    let mut hash = Sha256::new();
    hash.update(schema.uuid);
    for (name, value) in &schema.properties {
        for text in [name, value] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
    }
    format!("\"{}\"", hex::encode(&hash.finalize()[..12]))
}

#[derive(Serialize)]
pub(super) struct Table<'a> {
    id: String,
    object_id: i64,
    catalog: &'static str,
    schema: &'a str,
    name: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
    properties: BTreeMap<&'a str, &'a str>,
    labels: BTreeMap<&'a str, &'a str>,
    partition_by: Vec<String>,
    sort_by: Vec<String>,
    primary_key: Vec<&'a str>,
    changed_txn: i64,
    etag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<Column<'a>>>,
}

#[derive(Serialize)]
struct Column<'a> {
    id: i32,
    name: &'a str,
    data_type: String,
    nullable: bool,
    position: usize,
    default: Option<ColumnDefault<'a>>,
    description: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ColumnDefault<'a> {
    Literal(&'a str),
    Function { function: &'static str },
}

impl<'a> Table<'a> {
    pub(super) fn of(table: &'a TableDef, with_columns: bool) -> Self {
        let is_table = table.kind == TableKind::Table;
        let columns =
            || table.schema.fields.iter().zip(1..).map(|(field, position)| Column::of(field, position));
        Self {
            id: table.uuid.to_string(),
            object_id: table.id.0,
            catalog: CATALOG_NAME,
            schema: &table.schema_name,
            name: &table.name,
            kind: if is_table { "table" } else { "view" },
            format: is_table.then_some("parquet"),
            description: table.comment.as_deref(),
            location: is_table.then_some(table.location.as_str()),
            properties: properties(table),
            labels: table.labels().collect(),
            partition_by: partition_by(table),
            sort_by: sort_by(table),
            primary_key: table.key().map(|field| field.name.as_str()).collect(),
            changed_txn: table.begin_txn.0,
            etag: table_etag(table),
            columns: with_columns.then(|| columns().collect()),
        }
    }
}

impl<'a> Column<'a> {
    fn of(field: &'a Field, position: usize) -> Self {
        Self {
            id: field.id.0,
            name: &field.name,
            data_type: field.field_type.sql_name(),
            nullable: !field.required,
            position,
            default: field.write_default.as_ref().map(|default| match default {
                WriteDefault::Literal(text) => ColumnDefault::Literal(text),
                WriteDefault::Now => ColumnDefault::Function { function: "now" },
                WriteDefault::Uuid => ColumnDefault::Function { function: "uuid" },
            }),
            description: field.comment.as_deref(),
        }
    }
}

/// Each definition of a table has its own transaction.
pub(super) fn table_etag(table: &TableDef) -> String {
    format!("\"{}\"", table.begin_txn)
}

fn properties(table: &TableDef) -> BTreeMap<&str, &str> {
    let own = table.properties.iter().filter(|(name, _)| !name.starts_with(LABEL));
    own.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// As a request says it.
fn partition_by(table: &TableDef) -> Vec<String> {
    table.spec.fields.iter().map(|part| part.transform.sql(&column(table, part.source))).collect()
}

fn sort_by(table: &TableDef) -> Vec<String> {
    let one = |part: &cenote_vocab::SortField| {
        let direction = if part.descending { " DESC" } else { "" };
        let nulls = if part.nulls_first { " NULLS FIRST" } else { "" };
        format!("{}{direction}{nulls}", column(table, part.source))
    };
    table.sort.fields.iter().map(one).collect()
}

fn column(table: &TableDef, id: FieldId) -> String {
    table.schema.field_by_id(id).map_or_else(|| format!("#{id}"), |field| plain_or_quoted(&field.name))
}

fn plain_or_quoted(name: &str) -> String {
    let begins = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_');
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if begins && name.chars().all(is_plain) { name.to_owned() } else { quote(name) }
}
