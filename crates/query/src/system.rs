//! Tables that are made when they are asked for: `system.*`.

mod access;
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
use cenote_catalog::{Identity, Object, Privilege, SystemTable, authorize};
use cenote_vocab::ErrorKind;

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
    groups.entry(access::GROUP).or_default().extend(access::TABLES);
    groups
}

/// The columns of `system.access.grants`.
pub(crate) fn grant_columns() -> SchemaRef {
    access::columns("grants").unwrap_or_else(|_| SchemaRef::new(arrow::datatypes::Schema::empty()))
}

/// The columns of `system.access.tenants`.
pub(crate) fn tenant_columns() -> SchemaRef {
    access::columns(access::TENANTS).unwrap_or_else(|_| SchemaRef::new(arrow::datatypes::Schema::empty()))
}

/// The columns of a system table that the identity may read.
pub(crate) fn columns(facts: &SessionFacts, group: &str, name: &str) -> Result<SchemaRef, Error> {
    if group == RUNTIME {
        return Ok(runtime::rows(facts, name)?.schema());
    }
    let denied = |privilege| Err(denied(privilege, &format!("system.{group}.{name}")));
    if group == access::GROUP && access::TABLES.contains(&name) {
        let is_hidden = name == access::TENANTS && !facts.identity.operates();
        return if is_hidden { denied(Privilege::Manage) } else { access::columns(name) };
    }
    if (group, name) == ("storage", maintenance::NAME) {
        return match facts.identity.allows_somewhere(Privilege::Use) {
            true => Ok(maintenance::columns()),
            false => denied(Privilege::Use),
        };
    }
    if group == stream::GROUP && stream::TABLES.contains(&name) {
        return match facts.identity.allows_everywhere(Privilege::ReadMetadata) {
            true => Ok(stream::empty(name)?.schema()),
            false => denied(Privilege::ReadMetadata),
        };
    }
    let table = declared(group, name)?;
    let (privilege, allowed) = if table.private {
        (Privilege::Manage, facts.identity.allows_everywhere(Privilege::Manage))
    } else if Rows::of(&table.schema()) == Rows::Others {
        (Privilege::ReadMetadata, facts.identity.allows_everywhere(Privilege::ReadMetadata))
    } else {
        (Privilege::Use, facts.identity.allows_somewhere(Privilege::Use))
    };
    if allowed { Ok(table.schema()) } else { denied(privilege) }
}

/// What the rows of a system table are about, as its columns say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    Tables,
    Pipelines,
    Schemas,
    Others,
}

impl Rows {
    fn of(columns: &SchemaRef) -> Self {
        let has = |name: &str| columns.field_with_name(name).is_ok();
        match (has("schema_name"), has("table_name"), has("pipeline_id")) {
            (true, true, _) => Self::Tables,
            (true, false, true) if has("name") => Self::Pipelines,
            (true, false, false) => Self::Schemas,
            _ => Self::Others,
        }
    }
}

/// What a row about a table takes to be seen: those that tell of values in it take what reading it takes.
fn needed(group: &str, name: &str) -> Privilege {
    match (group, name) {
        ("storage", _) | ("flow", "asset_partitions" | "check_results") => Privilege::Select,
        _ => Privilege::Use,
    }
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
    if group == access::GROUP && access::TABLES.contains(&name) {
        return access::rows(facts, name).await;
    }
    if (group, name) == ("storage", maintenance::NAME) {
        return maintenance::rows(facts).await; // those that it may see, and no others are made
    }
    let batch =
        facts.engine.lake().catalog.system_rows(&facts.identity.scope, &format!("{group}.{name}")).await?;
    let batch = match (group, name) {
        ("stream", "pipelines") => without_secrets(&batch)?,
        _ => batch,
    };
    visible(batch, &facts.identity, needed(group, name))
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

/// Only rows about objects on which the identity has the privilege, unless it may read all metadata.
fn visible(batch: RecordBatch, identity: &Identity, privilege: Privilege) -> Result<RecordBatch, Error> {
    if identity.allows_everywhere(Privilege::ReadMetadata) {
        return Ok(batch);
    }
    let text = |name: &str| {
        batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>().cloned())
    };
    let about = Rows::of(&batch.schema());
    let named = match about {
        Rows::Tables => text("table_name"),
        Rows::Pipelines => text("name"),
        Rows::Schemas => text("schema_name"),
        Rows::Others => return Ok(batch),
    };
    let (Some(schemas), Some(names)) = (text("schema_name"), named) else { return Ok(batch) };
    let is_known = |schema: &str, name: &str| match about {
        Rows::Tables => identity.allows(privilege, schema, Some(name)),
        Rows::Pipelines => authorize(identity, privilege, Object::Pipeline(schema, name)),
        Rows::Schemas | Rows::Others => identity.allows(privilege, schema, None),
    };
    let kept: BooleanArray = (0..batch.num_rows())
        .map(|row| {
            let known = !schemas.is_null(row) && !names.is_null(row);
            Some(known && is_known(schemas.value(row), names.value(row)))
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
