//! What assets have: the last success of each of their parts, and the last attempt beside it.

use std::collections::BTreeMap;

use cenote_vocab::{CatalogId, Micros, TableId, Txn};
use uuid::Uuid;

use super::{Cell, Failure, Transaction};
use crate::asset::{AssetPartition, PartsOf, Success};
use crate::registry::{ASSET_INPUT, ASSET_PARTITION};
use crate::task::{TaskEnd, TaskOutcome};

/// Keys in one statement.
const KEYS_MAX: usize = 500;

/// What assets have, by asset and part.
pub(crate) async fn partitions(
    transaction: &mut Transaction,
    catalog: CatalogId,
    of: PartsOf,
) -> Result<Vec<AssetPartition>, Failure> {
    let only = match of {
        PartsOf::All => "",
        PartsOf::Wholes => " AND partition_key = '_'",
        PartsOf::Asset(_) => " AND asset_id = ?",
    };
    let asked = |transaction: &Transaction, text: &str| {
        let statement = transaction
            .statement(&format!("{text} WHERE catalog_id = ?{only} ORDER BY asset_id, partition_key"));
        let statement = statement.bind(catalog.0);
        match of {
            PartsOf::Asset(asset) => statement.bind(asset),
            PartsOf::All | PartsOf::Wholes => statement,
        }
    };
    let mut inputs: BTreeMap<(Uuid, String), BTreeMap<TableId, Txn>> = BTreeMap::new();
    let statement =
        asked(transaction, "SELECT asset_id, partition_key, upstream_id, txn FROM cn_asset_input");
    for mut row in transaction.query(statement).await? {
        let place = (row.uuid()?, row.text()?);
        inputs.entry(place).or_default().insert(TableId(row.int()?), Txn(row.int()?));
    }
    let statement = asked(
        transaction,
        "SELECT asset_id, partition_key, run_id, txn, code_id, at_us, last_run_id, last_outcome, last_at_us \
         FROM cn_asset_partition",
    );
    let mut partitions = Vec::new();
    for mut row in transaction.query(statement).await? {
        let (asset, key) = (row.uuid()?, row.text()?);
        let (run, txn) = (row.optional_uuid()?, row.optional_int()?.map(Txn));
        let code = row.optional_bytes()?.and_then(|code| code.try_into().ok());
        let at = row.optional_int()?.map(Micros);
        let success = match (run, txn, code, at) {
            (Some(run), Some(txn), Some(code), Some(at)) => {
                let inputs = inputs.remove(&(asset, key.clone())).unwrap_or_default();
                Some(Success { run, txn, code, at, inputs })
            }
            _ => None,
        };
        let last = (row.uuid()?, row.text()?, Micros(row.int()?));
        partitions.push(AssetPartition { asset, key, success, last });
    }
    Ok(partitions)
}

/// Notes how an attempt at parts of an asset ended. A failure leaves the last success as it was.
pub(crate) async fn note_attempt(
    transaction: &mut Transaction,
    catalog: CatalogId,
    end: &TaskEnd,
    (txn, now): (Txn, Micros),
) -> Result<(), Failure> {
    let outcome = match &end.outcome {
        TaskOutcome::Succeeded { .. } => "SUCCEEDED",
        TaskOutcome::Failed { .. } => "FAILED",
        TaskOutcome::Cancelled(_) => "CANCELLED",
    };
    let row = |key: &String, [run, txn, code, rows, at]: [Cell; 5]| {
        let (catalog, asset) = (catalog.0.into(), end.asset.into());
        let last = [end.run.into(), outcome.into(), now.0.into()];
        [catalog, asset, key.as_str().into(), run, txn, code, rows, at].into_iter().chain(last).collect()
    };
    let TaskOutcome::Succeeded { rows, code, inputs, .. } = &end.outcome else {
        let nothing = || [Cell::Null, Cell::Null, Cell::Null, Cell::Null, Cell::Null];
        let noted: Vec<Vec<Cell>> = end.parts.iter().map(|key| row(key, nothing())).collect();
        let changing = ["last_run_id", "last_outcome", "last_at_us"];
        return transaction.upsert(&ASSET_PARTITION, &changing, &noted).await;
    };
    // Of several parts at once it is not known which row is of which.
    let rows = (end.parts.len() == 1).then_some(*rows);
    let success = || [end.run.into(), txn.into(), (*code).into(), rows.into(), now.0.into()];
    let noted: Vec<Vec<Cell>> = end.parts.iter().map(|key| row(key, success())).collect();
    let changing =
        ["run_id", "txn", "code_id", "row_count", "at_us", "last_run_id", "last_outcome", "last_at_us"];
    transaction.upsert(&ASSET_PARTITION, &changing, &noted).await?;
    for keys in end.parts.chunks(KEYS_MAX) {
        let places = vec!["?"; keys.len()].join(", ");
        let text = format!(
            "DELETE FROM cn_asset_input WHERE catalog_id = ? AND asset_id = ? AND partition_key IN ({places})"
        );
        let statement = transaction.statement(&text).bind(catalog.0).bind(end.asset);
        let statement = keys.iter().fold(statement, |statement, key| statement.bind(key.as_str()));
        transaction.execute(statement).await?;
    }
    let of_key = |key: &String| {
        let cells = |(table, txn): (&TableId, &Txn)| -> Vec<Cell> {
            vec![catalog.0.into(), end.asset.into(), key.as_str().into(), (*table).into(), (*txn).into()]
        };
        inputs.iter().map(cells).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<Cell>> = end.parts.iter().flat_map(of_key).collect();
    transaction.insert(&ASSET_INPUT, &rows).await
}
