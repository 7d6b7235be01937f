//! `asset_partitions('mart.daily')`: the partitions of an asset, how each is and why.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Error as CatalogError, PartitionStatus, Success, TableDef};
use futures::stream::{self, StreamExt};

use super::{Context, Relation};
use crate::Error;
use crate::statement::table_batch;

fn columns() -> SchemaRef {
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), true);
    Arc::new(Schema::new(vec![
        text("partition_key", false),
        text("status", false),
        text("reason", true),
        time("materialized_at"),
        text("run_id", true),
        Field::new("output_txn", DataType::Int64, true),
        text("last_outcome", true),
        time("last_attempt_at"),
    ]))
}

/// As they are when the rows are asked for.
pub(super) fn relation(context: &Context<'_>, table: &Arc<TableDef>) -> Relation {
    let (engine, scope, table) = (context.engine.clone(), context.scope().clone(), table.clone());
    let name = format!("asset_partitions({})", table.full_name());
    Relation::new(name, columns(), move |places, _| {
        let (engine, scope, table, places) = (engine.clone(), scope.clone(), table.clone(), places.to_vec());
        let rows = async move {
            let assets = engine.lake().catalog.assets(&scope).await?;
            let asset = assets.iter().find(|asset| asset.table == table.id);
            let asset = asset
                .ok_or_else(|| CatalogError::AssetNotFound { name: table.full_name(), nearest: None })?;
            let (partitions, _) = engine.assets()?.partitions(&scope, asset.id).await?;
            Ok(batch(&partitions)?.project(&places).map_err(cenote_table::Error::from)?)
        };
        Ok(stream::once(rows).boxed())
    })
}

fn batch(partitions: &[PartitionStatus]) -> Result<RecordBatch, Error> {
    let success = |state: &PartitionStatus| state.facts.as_ref().and_then(|facts| facts.success.clone());
    let texts = |of: &dyn Fn(&PartitionStatus) -> Option<String>| -> ArrayRef {
        Arc::new(partitions.iter().map(of).collect::<StringArray>())
    };
    let times = |of: &dyn Fn(&PartitionStatus) -> Option<i64>| -> ArrayRef {
        Arc::new(partitions.iter().map(of).collect::<TimestampMicrosecondArray>())
    };
    let of_success = |of: fn(Success) -> i64| move |state: &PartitionStatus| success(state).map(of);
    table_batch(
        columns(),
        vec![
            texts(&|state| Some(state.key.clone())),
            texts(&|state| Some(state.status.to_owned())),
            texts(&|state| state.reason.map(str::to_owned)),
            times(&of_success(|success| success.at.0)),
            texts(&|state| success(state).map(|success| success.run.to_string())),
            Arc::new(partitions.iter().map(of_success(|success| success.txn.0)).collect::<Int64Array>()),
            texts(&|state| state.facts.as_ref().map(|facts| facts.last.1.clone())),
            times(&|state| state.facts.as_ref().map(|facts| facts.last.2.0)),
        ],
    )
}
