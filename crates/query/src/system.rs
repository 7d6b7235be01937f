//! Tables that are made when they are asked for: `system.*`.

mod maintenance;
mod provider;
mod runtime;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Identity, SystemTable};
use cenote_vocab::{ErrorKind, Permission};

use crate::Error;
use crate::engine::Engine;
use crate::parse::masked;
use crate::plan::denied;

pub(crate) use provider::MadeTable;

/// The schema of what only lives in this process.
pub(crate) const RUNTIME: &str = "runtime";

/// What a session tells the tables that are made for it.
#[derive(Clone)]
pub(crate) struct SessionFacts {
    /// The node.
    pub(crate) engine: Engine,
    /// The identity that asks.
    pub(crate) identity: Identity,
    /// Name, value, origin.
    pub(crate) settings: Vec<(String, String, &'static str)>,
    /// The process id that a Postgres client was told; 0 for others.
    pub(crate) backend_pid: i32,
}

/// Groups and names of all system tables.
pub(crate) fn tables() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut groups: BTreeMap<&'static str, Vec<&'static str>> =
        BTreeMap::from([(RUNTIME, runtime::TABLES.to_vec()), ("storage", vec![maintenance::NAME])]);
    for (group, name) in cenote_catalog::system_tables().iter().filter_map(|table| table.name.split_once('.'))
    {
        groups.entry(group).or_default().push(name);
    }
    groups.entry(stream::GROUP).or_default().extend(stream::TABLES);
    groups
}

/// The columns of a system table that the identity may read.
pub(crate) fn columns(facts: &SessionFacts, group: &str, name: &str) -> Result<SchemaRef, Error> {
    if group == RUNTIME {
        return Ok(runtime::rows(facts, name)?.schema());
    }
    if (group, name) == ("storage", maintenance::NAME) {
        let full = format!("system.{group}.{name}");
        return match facts.identity.allows_somewhere(Permission::Read) {
            true => Ok(maintenance::columns()),
            false => Err(denied(Permission::Read, &full)),
        };
    }
    if group == stream::GROUP && stream::TABLES.contains(&name) {
        return match facts.identity.allows_everywhere(Permission::Read) {
            true => Ok(stream::empty(name)?.schema()),
            false => Err(denied(Permission::Read, &format!("system.{group}.{name}"))),
        };
    }
    let table = declared(group, name)?;
    let permission = if table.private { Permission::Admin } else { Permission::Read };
    let about_tables = table.columns.iter().any(|column| column.name == "table_name");
    let allowed = if about_tables && !table.private {
        facts.identity.allows_somewhere(permission)
    } else {
        facts.identity.allows_everywhere(permission)
    };
    if allowed { Ok(table.schema()) } else { Err(denied(permission, &format!("system.{group}.{name}"))) }
}

/// The rows that the identity may see.
pub(crate) async fn rows(facts: &SessionFacts, group: &str, name: &str) -> Result<RecordBatch, Error> {
    columns(facts, group, name)?;
    if group == RUNTIME {
        return runtime::rows(facts, name);
    }
    if group == stream::GROUP && stream::TABLES.contains(&name) {
        return stream::rows(facts, name).await;
    }
    if (group, name) == ("storage", maintenance::NAME) {
        return visible(maintenance::rows(facts).await?, &facts.identity);
    }
    let batch =
        facts.engine.lake().catalog.system_rows(&facts.identity.scope, &format!("{group}.{name}")).await?;
    let batch = match (group, name) {
        ("stream", "pipelines") => without_secrets(&batch)?,
        _ => batch,
    };
    visible(batch, &facts.identity)
}

/// Scripts as everybody may see them; who may administer a pipeline asks SHOW CREATE PIPELINE.
fn without_secrets(pipelines: &RecordBatch) -> Result<RecordBatch, Error> {
    let internal = |error| Error::new(ErrorKind::Internal, format!("internal error: {error}"));
    let at = pipelines.schema().index_of("script").map_err(internal)?;
    let mut columns = pipelines.columns().to_vec();
    let scripts = columns[at].as_string::<i32>();
    columns[at] = Arc::new(scripts.iter().map(|script| script.map(masked)).collect::<StringArray>());
    RecordBatch::try_new(pipelines.schema(), columns).map_err(internal)
}

/// Only rows about tables that the identity may read.
fn visible(batch: RecordBatch, identity: &Identity) -> Result<RecordBatch, Error> {
    if identity.allows_everywhere(Permission::Read) {
        return Ok(batch);
    }
    let text = |name: &str| {
        batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>().cloned())
    };
    let (Some(schemas), Some(tables)) = (text("schema_name"), text("table_name")) else { return Ok(batch) };
    let kept: BooleanArray = (0..batch.num_rows())
        .map(|row| {
            let known = !schemas.is_null(row) && !tables.is_null(row);
            Some(known && identity.allows(Permission::Read, schemas.value(row), Some(tables.value(row))))
        })
        .collect();
    filter_record_batch(&batch, &kept)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("internal error: {error}")))
}

fn declared(group: &str, name: &str) -> Result<&'static SystemTable, Error> {
    let full = format!("{group}.{name}");
    cenote_catalog::system_tables().iter().find(|table| table.name == full).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("table \"system.{full}\" does not exist"))
            .with_sqlstate("42P01")
    })
}
