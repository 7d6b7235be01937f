//! Rows of `cn_pipeline`.

use std::collections::BTreeMap;

use cenote_vocab::{CatalogId, Epoch, Micros};
use uuid::Uuid;

use super::{Failure, Transaction};
use crate::registry::PIPELINE;
use crate::{Desired, Error, Pipeline, Reset, ResetExtent};

/// Beside the options, which are named otherwise: what is given up at the next start, as `epoch extent`.
const RESET: &str = "_reset";

/// All pipelines by schema and name.
pub(crate) async fn list(
    transaction: &mut Transaction,
    catalog: CatalogId,
) -> Result<Vec<Pipeline>, Failure> {
    let statement = transaction
        .statement(
            "SELECT pipeline_id, schema_name, name, owner, search_path, script, options, desired, state, error, \
             created_us, version FROM cn_pipeline WHERE catalog_id = ? ORDER BY schema_name, name",
        )
        .bind(catalog.0);
    let mut pipelines = Vec::new();
    for mut row in transaction.query(statement).await? {
        let (id, schema, name, owner) = (row.uuid()?, row.text()?, row.text()?, row.int()?);
        let search_path = row.text()?;
        let script = row.text()?;
        let (options, reset) = read_options(&row.text()?)?;
        pipelines.push(Pipeline {
            id,
            schema,
            name,
            owner,
            search_path: search_path.split('\n').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            script,
            options,
            desired: Desired::of(&row.text()?)?,
            state: row.text()?,
            error: row.optional_text()?,
            reset,
            created: Micros(row.int()?),
            version: row.int()?,
        });
    }
    Ok(pipelines)
}

fn read_options(text: &str) -> Result<(BTreeMap<String, String>, Option<Reset>), Error> {
    let corrupt = |reason: String| Error::Corrupt(format!("options of a pipeline: {reason}"));
    let mut options: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
    let Some(reset) = options.remove(RESET) else { return Ok((options, None)) };
    let parts = reset.split_once(' ').and_then(|(upto, extent)| {
        Some(Reset { upto: Epoch(upto.parse().ok()?), extent: ResetExtent::of(extent)? })
    });
    Ok((options, Some(parts.ok_or_else(|| corrupt(format!("{RESET} is {reset:?}")))?)))
}

fn written_options(pipeline: &Pipeline) -> Result<String, Error> {
    let mut options = pipeline.options.clone();
    if let Some(reset) = pipeline.reset {
        options.insert(RESET.to_owned(), format!("{} {}", reset.upto.0, reset.extent.name()));
    }
    serde_json::to_string(&options).map_err(|error| Error::Internal(error.to_string()))
}

/// Adds one; false if the schema has one of this name.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    catalog: CatalogId,
    pipeline: &Pipeline,
) -> Result<bool, Failure> {
    let taken = list(transaction, catalog).await?;
    if taken.iter().any(|other| other.schema == pipeline.schema && other.name == pipeline.name) {
        return Ok(false);
    }
    let options = written_options(pipeline)?;
    let row = vec![
        catalog.0.into(),
        pipeline.id.into(),
        pipeline.producer().into(),
        pipeline.schema.as_str().into(),
        pipeline.name.as_str().into(),
        pipeline.owner.into(),
        pipeline.search_path.join("\n").into(),
        pipeline.script.as_str().into(),
        options.into(),
        pipeline.desired.name().into(),
        pipeline.state.as_str().into(),
        pipeline.error.clone().into(),
        pipeline.created.0.into(),
        pipeline.version.into(),
    ];
    transaction.insert(&PIPELINE, &[row]).await?;
    Ok(true)
}

/// Stores what is wanted of it and what it does; false if it is not there.
pub(crate) async fn note(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
    (desired, state, error): (Desired, &str, Option<&str>),
) -> Result<bool, Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_pipeline SET desired = ?, state = ?, error = ?, version = version + 1 \
             WHERE catalog_id = ? AND pipeline_id = ?",
        )
        .bind(desired.name())
        .bind(state)
        .bind(error)
        .bind(catalog.0)
        .bind(id);
    Ok(transaction.execute(statement).await? == 1)
}

/// Stores everything but who made it and when; false if it is not there.
pub(crate) async fn alter(
    transaction: &mut Transaction,
    catalog: CatalogId,
    pipeline: &Pipeline,
) -> Result<bool, Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_pipeline SET schema_name = ?, name = ?, owner = ?, search_path = ?, script = ?, options = ?, \
             desired = ?, state = ?, error = ?, version = version + 1 WHERE catalog_id = ? AND pipeline_id = ?",
        )
        .bind(pipeline.schema.as_str())
        .bind(pipeline.name.as_str())
        .bind(pipeline.owner)
        .bind(pipeline.search_path.join("\n"))
        .bind(pipeline.script.as_str())
        .bind(written_options(pipeline)?)
        .bind(pipeline.desired.name())
        .bind(pipeline.state.as_str())
        .bind(pipeline.error.as_deref())
        .bind(catalog.0)
        .bind(pipeline.id);
    Ok(transaction.execute(statement).await? == 1)
}

/// Stores its options alone; false if it is not there.
pub(crate) async fn set_options(
    transaction: &mut Transaction,
    catalog: CatalogId,
    pipeline: &Pipeline,
) -> Result<bool, Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_pipeline SET options = ?, version = version + 1 WHERE catalog_id = ? AND pipeline_id = ?",
        )
        .bind(written_options(pipeline)?)
        .bind(catalog.0)
        .bind(pipeline.id);
    Ok(transaction.execute(statement).await? == 1)
}

/// Removes one; false if it is not there.
pub(crate) async fn remove(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
) -> Result<bool, Failure> {
    let statement = transaction
        .statement("DELETE FROM cn_pipeline WHERE catalog_id = ? AND pipeline_id = ?")
        .bind(catalog.0)
        .bind(id);
    Ok(transaction.execute(statement).await? == 1)
}
