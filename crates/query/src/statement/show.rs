//! `SHOW …`: what exists, as far as the asker may know it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cenote_catalog::{Privilege, TableDef, TableKind};
use cenote_vocab::ErrorKind;
use sqlparser::ast::Ident;

use super::{Answer, describe, grant, history, materialized, pipeline, tenant};
use crate::Error;
use crate::parse::{Show, literal, quote};
use crate::plan::{CATALOG, Found, Resolver};
use crate::session::Inner;
use crate::table_function::{self, snapshot_columns};

/// Columns of the answer.
pub(crate) fn columns(show: &Show) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let fields = match show {
        Show::Databases => vec![text("database")],
        Show::Catalogs => vec![text("catalog")],
        Show::Schemas => vec![text("schema_name")],
        Show::Tables { .. } => vec![
            text("database"),
            text("table_name"),
            text("storage_path"),
            Field::new("file_count", DataType::Int64, true),
            Field::new("total_size_mb", DataType::Float64, true),
        ],
        Show::Columns(_) => return describe::columns(),
        Show::Create { .. } => vec![text("table_name"), text("create_statement")],
        Show::Functions => vec![text("name"), text("kind")],
        Show::Snapshots(_) => return snapshot_columns(),
        Show::Tags => return history::tag_columns(),
        Show::Jobs => shown_fields("flow.jobs", &JOB_COLUMNS),
        Show::Assets => shown_fields("flow.assets", &ASSET_COLUMNS),
        Show::Runs => shown_fields("flow.runs", &RUN_COLUMNS),
        Show::Pipelines { .. } | Show::Pipeline(_) => pipeline::shown_columns(),
        Show::MaterializedViews { .. } => materialized::shown_columns(),
        Show::Grants { .. } => grant::shown_columns(),
        Show::Tenants => tenant::shown_columns(),
        Show::CreatePipeline(_) => vec![text("pipeline_name"), text("create_statement")],
        Show::All => vec![text("name"), text("setting"), text("origin")],
        Show::Setting(name) => vec![text(name)],
    };
    Arc::new(Schema::new(fields))
}

/// A batch of these columns.
pub(crate) fn table_batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
    let options = RecordBatchOptions::new().with_row_count(columns.first().map(|column| column.len()));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("internal error: {error}")))
}

fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Answers what is asked.
pub(crate) async fn show(session: &Inner, show: &Show) -> Result<Answer, Error> {
    let schema = columns(show);
    let arrays = match show {
        Show::Databases | Show::Schemas => {
            let snapshot = session.snapshot(false, |_| Ok(Vec::new())).await?;
            let identity = session.identity();
            let names: Vec<&str> = snapshot
                .names
                .schemas
                .iter()
                .filter(|(name, _)| identity.allows(Privilege::Use, name, None))
                .map(|(name, _)| name.as_str())
                .collect();
            vec![texts(names)]
        }
        Show::Catalogs => vec![texts([CATALOG, "system"])],
        Show::Tables { database, like } => tables(session, database.as_ref(), like.as_deref()).await?,
        Show::Columns(name) => return describe::describe(session, name).await,
        Show::Create { name, view } => create(session, name, *view).await?,
        Show::Functions => {
            let functions = session.engine().base().functions();
            vec![
                texts(functions.iter().map(|(name, _)| name.as_str())),
                texts(functions.iter().map(|(_, kind)| *kind)),
            ]
        }
        Show::Snapshots(name) => return snapshots(session, name).await,
        Show::Tags => history::tags(session).await?,
        Show::Jobs => shown_rows(session, ("flow", "jobs"), &JOB_COLUMNS).await?,
        Show::Assets => shown_rows(session, ("flow", "assets"), &ASSET_COLUMNS).await?,
        Show::Runs => shown_rows(session, ("flow", "runs"), &RUN_COLUMNS).await?,
        Show::Pipelines { like } => {
            pipeline::shown(session, |name| like.as_deref().is_none_or(|pattern| is_like(name, pattern)))
                .await?
        }
        Show::MaterializedViews { like } => {
            let wanted = |name: &str| like.as_deref().is_none_or(|pattern| is_like(name, pattern));
            materialized::shown(session, wanted).await?
        }
        Show::Grants { on, who } => grant::shown(session, on.as_ref(), who.as_ref()).await?,
        Show::Tenants => tenant::shown(session).await?,
        Show::Pipeline(name) => pipeline::shown_one(session, name).await?,
        Show::CreatePipeline(name) => {
            let (name, statement) = pipeline::create_statement(session, name).await?;
            vec![texts([name.as_str()]), texts([statement.as_str()])]
        }
        Show::All => {
            let all = session.settings().all();
            vec![
                texts(all.iter().map(|(name, _, _)| name.as_str())),
                texts(all.iter().map(|(_, value, _)| value.as_str())),
                texts(all.iter().map(|(_, _, origin)| *origin)),
            ]
        }
        Show::Setting(name) => vec![texts([session.shown(name)?.as_str()])],
    };
    Ok(Answer::batch("SHOW", table_batch(schema, arrays)?))
}

/// Columns of `system.flow.jobs` that people look at first.
const JOB_COLUMNS: [&str; 9] = [
    "name",
    "state",
    "running",
    "failures",
    "checked_at",
    "next_at",
    "last_state",
    "last_completed_at",
    "last_error",
];

/// Columns of `system.flow.assets` that people look at first.
const ASSET_COLUMNS: [&str; 8] = [
    "schema_name",
    "table_name",
    "state",
    "status",
    "schedule",
    "last_outcome",
    "last_materialized_at",
    "next_at",
];

/// Columns of `system.flow.runs` that people look at first.
const RUN_COLUMNS: [&str; 10] = [
    "run_id",
    "kind",
    "job",
    "schema_name",
    "table_name",
    "state",
    "trigger",
    "created_at",
    "completed_at",
    "error",
];

fn shown_fields(table: &str, wanted: &[&str]) -> Vec<Field> {
    let table = cenote_catalog::system_tables().iter().find(|other| other.name == table);
    let columns = table.map_or(&[][..], |table| table.columns);
    let column = |name: &&str| columns.iter().find(|column| column.name == *name);
    let found = wanted.iter().filter_map(column);
    found.map(|column| Field::new(column.name, column.kind.data_type(), true)).collect()
}

async fn shown_rows(
    session: &Inner,
    (group, name): (&str, &str),
    wanted: &[&str],
) -> Result<Vec<ArrayRef>, Error> {
    let rows = crate::system::rows(&session.facts(), group, name).await?;
    Ok(wanted.iter().filter_map(|name| rows.column_by_name(name).cloned()).collect())
}

async fn tables(
    session: &Inner,
    database: Option<&Ident>,
    like: Option<&str>,
) -> Result<Vec<ArrayRef>, Error> {
    let path = session.search_path();
    let snapshot = session.snapshot(false, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let databases: Vec<String> = match database {
        Some(ident) => match resolver.schema(ident)? {
            Some(name) => vec![name.to_owned()],
            None => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("schema \"{}\" does not exist", ident.value),
                )
                .with_sqlstate("3F000"));
            }
        },
        None => path
            .iter()
            .filter_map(|name| resolver.schema(&crate::plan::exact(name)).ok().flatten())
            .map(str::to_owned)
            .collect(),
    };
    let shown: Vec<&Arc<TableDef>> = snapshot
        .names
        .tables()
        .filter(|table| databases.contains(&table.schema_name) && table.kind == TableKind::Table)
        .filter(|table| !table.name.starts_with(['.', '_']))
        .filter(|table| session.identity().allows(Privilege::Select, &table.schema_name, Some(&table.name)))
        .filter(|table| like.is_none_or(|pattern| is_like(&table.name, pattern)))
        .collect();
    let mut counts = Vec::with_capacity(shown.len());
    let mut megabytes = Vec::with_capacity(shown.len());
    for table in &shown {
        let files = session.files(table, snapshot.txn).await?;
        counts.push(i64::try_from(files.len()).unwrap_or(i64::MAX));
        megabytes.push(files.iter().map(|file| file.bytes).sum::<u64>() as f64 / f64::from(1 << 20));
    }
    Ok(vec![
        texts(shown.iter().map(|table| table.schema_name.as_str())),
        texts(shown.iter().map(|table| table.name.as_str())),
        texts(shown.iter().map(|table| table.location.as_str())),
        Arc::new(Int64Array::from(counts)),
        Arc::new(Float64Array::from(megabytes)),
    ])
}

/// `%` any text, `_` one character.
fn is_like(name: &str, pattern: &str) -> bool {
    let names = StringArray::from(vec![name]);
    let patterns = StringArray::from(vec![pattern]);
    arrow::compute::like(&names, &patterns).is_ok_and(|matched| matched.value(0))
}

async fn snapshots(session: &Inner, name: &[Ident]) -> Result<Answer, Error> {
    let path = session.search_path();
    let snapshot = session.snapshot(false, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let Found::Table(table) = resolver.find(name, Privilege::Select)? else {
        return Err(crate::parse::unsupported("SHOW SNAPSHOTS of a system table"));
    };
    let (lake, scope) = (session.engine().lake(), &session.identity().scope);
    Ok(Answer::batch("SHOW", table_function::snapshots(lake, scope, &table, snapshot.txn).await?))
}

async fn create(session: &Inner, name: &[Ident], view: bool) -> Result<Vec<ArrayRef>, Error> {
    let path = session.search_path();
    let snapshot = session.snapshot(false, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let Found::Table(table) = resolver.find(name, Privilege::Select)? else {
        return Err(crate::parse::unsupported("SHOW CREATE of a system table"));
    };
    if view && table.kind == TableKind::Table {
        return Err(Error::new(ErrorKind::Invalid, format!("\"{}\" is not a view", table.full_name()))
            .with_sqlstate("42809"));
    }
    Ok(vec![texts([table.name.as_str()]), texts([statement(&table).as_str()])])
}

/// The statement that would make the table again.
fn statement(table: &TableDef) -> String {
    let full = format!("{}.{}", quote(&table.schema_name), quote(&table.name));
    if let TableKind::View { sql, .. } = &table.kind {
        let columns: Vec<String> = table.schema.fields.iter().map(|field| quote(&field.name)).collect();
        return format!("CREATE VIEW {full} ({}) AS {sql}", columns.join(", "));
    }
    let columns: Vec<String> = table
        .schema
        .fields
        .iter()
        .map(|field| {
            let mut text = format!("  {} {}", quote(&field.name), field.field_type.sql_name());
            if field.required {
                text.push_str(" NOT NULL");
            }
            if let Some(default) = &field.write_default {
                text.push_str(&format!(" DEFAULT {default}"));
            }
            if let Some(comment) = &field.comment {
                text.push_str(&format!(" COMMENT {}", literal(comment)));
            }
            text
        })
        .collect();
    let mut columns = columns;
    let column = |id| table.schema.field_by_id(id).map_or_else(String::new, |field| quote(&field.name));
    if !table.key_fields.is_empty() {
        let key: Vec<String> = table.key_fields.iter().map(|id| column(*id)).collect();
        columns.push(format!("  PRIMARY KEY ({}) NOT ENFORCED", key.join(", ")));
    }
    let mut text = format!("CREATE TABLE {full} (\n{}\n)", columns.join(",\n"));
    if !table.spec.fields.is_empty() {
        let parts: Vec<String> =
            table.spec.fields.iter().map(|part| part.transform.sql(&column(part.source))).collect();
        text.push_str(&format!(" PARTITIONED BY ({})", parts.join(", ")));
    }
    if !table.sort.fields.is_empty() {
        let parts: Vec<String> = table
            .sort
            .fields
            .iter()
            .map(|part| {
                let direction = if part.descending { " DESC" } else { "" };
                let nulls = if part.nulls_first { " NULLS FIRST" } else { "" };
                format!("{}{direction}{nulls}", column(part.source))
            })
            .collect();
        text.push_str(&format!(" SORTED BY ({})", parts.join(", ")));
    }
    if let Some(comment) = &table.comment {
        text.push_str(&format!(" COMMENT {}", literal(comment)));
    }
    if !table.properties.is_empty() {
        let options: Vec<String> = table
            .properties
            .iter()
            .map(|(name, value)| format!("{} = {}", quote(name), literal(value)))
            .collect();
        text.push_str(&format!(" WITH ({})", options.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_sql() {
        assert!(is_like("cpu_load", "cpu%"));
        assert!(is_like("cpu", "c_u"));
        assert!(!is_like("mem", "cpu%"));
    }
}
