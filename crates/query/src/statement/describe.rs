//! `DESCRIBE t`, `DESCRIBE (query)`, `SHOW COLUMNS`.

use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Privilege, TableDef};
use sqlparser::ast::Ident;

use super::Answer;
use super::show::table_batch;
use crate::Error;
use crate::parse::{parse, unsupported};
use crate::plan::{Found, Resolver};
use crate::session::Inner;

/// Columns of the answer.
pub(crate) fn columns() -> SchemaRef {
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("column_name", false),
        text("data_type", false),
        text("is_nullable", false),
        text("key", true),
        text("default", true),
        text("comment", true),
    ]))
}

/// One row per column.
struct Row {
    name: String,
    data_type: String,
    nullable: bool,
    key: Option<&'static str>,
    default: Option<String>,
    comment: Option<String>,
}

/// The columns of a table or view.
pub(crate) async fn describe(session: &Inner, name: &[Ident]) -> Result<Answer, Error> {
    let path = session.search_path();
    let snapshot = session.snapshot(false, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let rows = match resolver.find(name, Privilege::Select)? {
        Found::Table(table) => of_table(&table),
        Found::System { .. } | Found::Made { .. } => {
            let text = name.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
            return Box::pin(describe_query(session, &format!("SELECT * FROM {text}"))).await;
        }
    };
    Ok(Answer::batch("DESCRIBE", batch(&rows)?))
}

/// The columns of a query's answer.
pub(crate) async fn describe_query(session: &Inner, sql: &str) -> Result<Answer, Error> {
    let Some(described) = super::select::describable(session, &parse(sql)?, sql).await? else {
        return Err(unsupported("DESCRIBE of this statement"));
    };
    let outputs = described.columns.unwrap_or_else(|| Arc::new(Schema::empty()));
    let rows: Vec<Row> = outputs
        .fields()
        .iter()
        .map(|field| Row {
            name: field.name().clone(),
            data_type: cenote_datafile::field_type(field)
                .map_or_else(|_| field.data_type().to_string(), |field_type| field_type.sql_name()),
            nullable: field.is_nullable(),
            key: None,
            default: None,
            comment: None,
        })
        .collect();
    Ok(Answer::batch("DESCRIBE", batch(&rows)?))
}

fn of_table(table: &TableDef) -> Vec<Row> {
    let tags: Vec<_> = table.tags().map(|field| field.id).collect();
    let key = |field: &cenote_vocab::Field| {
        if table.key_fields.contains(&field.id) {
            Some("primary")
        } else if table.time_field == Some(field.id) {
            Some("time")
        } else if tags.contains(&field.id) {
            Some("tag")
        } else {
            None
        }
    };
    table
        .schema
        .fields
        .iter()
        .map(|field| Row {
            name: field.name.clone(),
            data_type: field.field_type.sql_name(),
            nullable: !field.required,
            key: key(field),
            default: field.write_default.as_ref().map(ToString::to_string),
            comment: field.comment.clone(),
        })
        .collect()
}

fn batch(rows: &[Row]) -> Result<RecordBatch, Error> {
    table_batch(
        columns(),
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.name.as_str()))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.data_type.as_str()))),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| if row.nullable { "YES" } else { "NO" }),
            )),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.key))),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.default.as_deref()))),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.comment.as_deref()))),
        ],
    )
}
