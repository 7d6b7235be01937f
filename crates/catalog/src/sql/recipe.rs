//! Rows of `cn_recipe`, and what tasks that succeeded did by them.

use std::collections::BTreeMap;

use cenote_vocab::{CatalogId, Micros, TableId, Txn};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Cell, Failure, Transaction, hold};
use crate::Error;
use crate::hold::HOLDS_MAX;
use crate::recipe::{Kept, Made, Recipe, Recorded};
use crate::registry::{HOLD, RECIPE};
use crate::task::TaskEnd;

/// Notes by what a task can be done again, and keeps what its asset wants to be kept for that.
pub(crate) async fn note(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (end, made): (&TaskEnd, &Made),
    txn: Txn,
) -> Result<(), Failure> {
    let row = vec![catalog.0.into(), made.recipe.id.into(), made.recipe.text.as_str().into()];
    transaction.insert_missing(&RECIPE, &[row]).await?;
    let statement = transaction
        .statement("UPDATE cn_task SET recipe_id = ?, output_hash = ? WHERE catalog_id = ? AND task_id = ?")
        .bind(made.recipe.id)
        .bind(made.output_hash)
        .bind(catalog.0)
        .bind(end.task);
    transaction.execute(statement).await?;
    if made.kept.runs == 0 {
        return Ok(());
    }
    keep(transaction, catalog, (end, &made.kept), txn).await?;
    forget_older(transaction, catalog, end.asset, made.kept.runs).await
}

/// Who holds what is kept for an asset.
fn holder(asset: Uuid) -> String {
    format!("asset/{asset}")
}

/// Tags the versions that a task read: each has the name of its run. `Limit` if there are too many tags and holds.
async fn keep(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (end, kept): (&TaskEnd, &Kept),
    txn: Txn,
) -> Result<(), Failure> {
    let statement =
        transaction.statement("SELECT COUNT(*) FROM cn_hold WHERE catalog_id = ?").bind(catalog.0);
    let count = transaction.row(statement).await?.map(|mut row| row.int()).transpose()?.unwrap_or(0);
    if usize::try_from(count).unwrap_or(usize::MAX) + kept.versions.len() >= HOLDS_MAX {
        let text = format!("catalog has {count} tags and holds, at most {HOLDS_MAX}: keep_runs adds to them");
        return Err(Error::Limit(text).into());
    }
    let before = kept.before.map(|table| (table, Txn(txn.0 - 1)));
    let rows: Vec<Vec<Cell>> = kept
        .versions
        .iter()
        .copied()
        .chain(before)
        .map(|(table, at)| {
            vec![
                hold_id(end.run, table, at).into(),
                catalog.0.into(),
                table.into(),
                format!("run/{}/{at}", end.run).into(),
                at.into(),
                false.into(),
                holder(end.asset).into(),
                Cell::Null,
            ]
        })
        .collect();
    transaction.insert_missing(&HOLD, &rows).await
}

/// The same for the same version of a run: tasks that read the same keep it once.
fn hold_id(run: Uuid, table: TableId, at: Txn) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(run.as_bytes());
    hash.update(table.0.to_be_bytes());
    hash.update(at.0.to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Lets go of what is kept for other runs of an asset than the newest ones.
async fn forget_older(
    transaction: &mut Transaction,
    catalog: CatalogId,
    asset: Uuid,
    runs: u32,
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "SELECT run_id FROM cn_task WHERE catalog_id = ? AND asset_id = ? AND state = 'SUCCEEDED' \
             GROUP BY run_id ORDER BY MAX(output_txn) DESC LIMIT ?",
        )
        .bind(catalog.0)
        .bind(asset)
        .bind(i64::from(runs));
    let mut newest = Vec::new();
    for mut row in transaction.query(statement).await? {
        newest.push(format!("run/{}/", row.uuid()?));
    }
    let statement = transaction
        .statement("SELECT hold_id, name FROM cn_hold WHERE catalog_id = ? AND holder = ?")
        .bind(catalog.0)
        .bind(holder(asset));
    for mut row in transaction.query(statement).await? {
        let (id, name) = (row.uuid()?, row.optional_text()?.unwrap_or_default());
        if !newest.iter().any(|run| name.starts_with(run.as_str())) {
            hold::remove(transaction, catalog, id).await?;
        }
    }
    Ok(())
}

/// Lets go of all that is kept for an asset.
pub(crate) async fn forget(
    transaction: &mut Transaction,
    catalog: CatalogId,
    asset: Uuid,
) -> Result<(), Failure> {
    let statement = transaction
        .statement("DELETE FROM cn_hold WHERE catalog_id = ? AND holder = ?")
        .bind(catalog.0)
        .bind(holder(asset));
    transaction.execute(statement).await?;
    Ok(())
}

/// What a task did. `None` if it did not succeed, or this was not noted.
pub(crate) async fn recorded(
    transaction: &mut Transaction,
    catalog: CatalogId,
    run: Uuid,
    key: &str,
) -> Result<Option<Recorded>, Failure> {
    let statement = transaction
        .statement(
            "SELECT t.asset_id, t.partitions, t.started_us, t.output_txn, t.row_count, t.output_hash, r.snapshot_txn, \
             COALESCE(r.logical_us, r.created_us), c.recipe FROM cn_task t \
             JOIN cn_run r ON r.catalog_id = t.catalog_id AND r.run_id = t.run_id \
             JOIN cn_recipe c ON c.catalog_id = t.catalog_id AND c.recipe_id = t.recipe_id \
             WHERE t.catalog_id = ? AND t.run_id = ? AND t.task_key = ? AND t.state = 'SUCCEEDED' \
             AND t.started_us IS NOT NULL AND t.output_txn IS NOT NULL AND r.snapshot_txn IS NOT NULL \
             AND t.output_hash IS NOT NULL",
        )
        .bind(catalog.0)
        .bind(run)
        .bind(key);
    let Some(mut row) = transaction.row(statement).await? else { return Ok(None) };
    let (asset, partitions, started) = (row.uuid()?, row.optional_text()?, Micros(row.int()?));
    let (output, rows) = (Txn(row.int()?), row.optional_int()?.unwrap_or(0));
    let (output_hash, snapshot, logical) = (row.array()?, Txn(row.int()?), Micros(row.int()?));
    let made = Recipe::asset(&row.text()?)?;
    let mut inputs = inputs(transaction, catalog, output).await?;
    // What it read of its own table is not among the inputs: the tasks of its asset that had succeeded in this run had made it.
    let statement = transaction
        .statement(
            "SELECT MAX(output_txn) FROM cn_task WHERE catalog_id = ? AND run_id = ? AND asset_id = ? \
             AND output_txn < ?",
        )
        .bind(catalog.0)
        .bind(run)
        .bind(asset)
        .bind(output);
    let own = transaction.row(statement).await?.map(|mut row| row.optional_int()).transpose()?.flatten();
    inputs.extend(own.map(|txn| (made.table, Txn(txn))));
    Ok(Some(Recorded {
        asset: made,
        partitions,
        snapshot,
        logical,
        started,
        inputs,
        output,
        rows,
        output_hash,
    }))
}

/// Tables that a transaction read, and at which snapshot.
async fn inputs(
    transaction: &mut Transaction,
    catalog: CatalogId,
    txn: Txn,
) -> Result<BTreeMap<TableId, Txn>, Failure> {
    let statement = transaction
        .statement("SELECT node, to_pos FROM cn_txn_input WHERE catalog_id = ? AND txn = ?")
        .bind(catalog.0)
        .bind(txn);
    let mut inputs = BTreeMap::new();
    for mut row in transaction.query(statement).await? {
        let (node, to) = (row.text()?, row.optional_text()?);
        if let (Ok(table), Some(Ok(to))) = (node.parse(), to.map(|to| to.parse())) {
            inputs.insert(TableId(table), Txn(to));
        }
    }
    Ok(inputs)
}

/// Forgets recipes that no task names any more.
pub(crate) async fn prune(transaction: &mut Transaction, catalog: CatalogId) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "DELETE FROM cn_recipe WHERE catalog_id = ? AND recipe_id NOT IN (SELECT t.recipe_id FROM cn_task t \
             WHERE t.catalog_id = ? AND t.recipe_id IS NOT NULL)",
        )
        .bind(catalog.0)
        .bind(catalog.0);
    transaction.execute(statement).await?;
    Ok(())
}
