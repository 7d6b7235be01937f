//! Rows of `cn_pipeline`.

use cenote_vocab::{CatalogId, Micros};
use uuid::Uuid;

use super::{Failure, Transaction};
use crate::registry::PIPELINE;
use crate::{Desired, Error, Pipeline};

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
        let json = |text: &str| {
            serde_json::from_str(text)
                .map_err(|error| Error::Corrupt(format!("options of a pipeline: {error}")))
        };
        pipelines.push(Pipeline {
            id: row.uuid()?,
            schema: row.text()?,
            name: row.text()?,
            owner: row.int()?,
            search_path: row.text()?.split('\n').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            script: row.text()?,
            options: json(&row.text()?)?,
            desired: Desired::of(&row.text()?)?,
            state: row.text()?,
            error: row.optional_text()?,
            created: Micros(row.int()?),
            version: row.int()?,
        });
    }
    Ok(pipelines)
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
    let options =
        serde_json::to_string(&pipeline.options).map_err(|error| Error::Internal(error.to_string()))?;
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
