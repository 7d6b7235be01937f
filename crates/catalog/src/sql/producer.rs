//! Rows of `cn_producer` and `cn_producer_log`.

use std::collections::HashMap;

use bytes::Bytes;
use cenote_vocab::{CatalogId, Epoch, Fence, Micros, Txn};

use super::{Cell, Database, Failure, Kind, Transaction};
use crate::ledger::Standing;
use crate::registry::{PRODUCER, PRODUCER_LOG};

/// Epochs of a producer that stay in the log however old they are.
const EPOCHS_KEPT: i64 = 100;

/// Standings of these producers; those that never wrote are left out.
pub(crate) async fn standings(
    transaction: &mut Transaction,
    catalog: CatalogId,
    names: &[String],
) -> Result<HashMap<String, Standing>, Failure> {
    let rows: Vec<Vec<Cell>> =
        names.iter().map(|name| vec![catalog.0.into(), name.as_str().into()]).collect();
    let columns = [("catalog", Kind::Int), ("name", Kind::Text)];
    let text = "SELECT p.producer, p.epoch, p.txn, p.fence, p.state FROM v CROSS JOIN cn_producer p \
                WHERE p.catalog_id = v.catalog AND p.producer = v.name";
    let mut found = HashMap::new();
    for mut row in transaction.query_with(&columns, &rows, text).await? {
        let name = row.text()?;
        let standing = Standing {
            epoch: Epoch(row.int()?),
            txn: Txn(row.int()?),
            fence: Fence(row.int()?),
            state: row.optional_bytes()?.map(Bytes::from),
        };
        found.insert(name, standing);
    }
    Ok(found)
}

/// Transactions of these epochs, as far as the log still has them.
pub(crate) async fn epochs(
    transaction: &mut Transaction,
    catalog: CatalogId,
    wanted: &[(String, Epoch)],
) -> Result<HashMap<(String, Epoch), Txn>, Failure> {
    let rows: Vec<Vec<Cell>> = wanted
        .iter()
        .map(|(name, epoch)| vec![catalog.0.into(), name.as_str().into(), epoch.0.into()])
        .collect();
    let columns = [("catalog", Kind::Int), ("name", Kind::Text), ("epoch", Kind::Int)];
    let text = "SELECT l.producer, l.epoch, l.txn FROM v CROSS JOIN cn_producer_log l \
                WHERE l.catalog_id = v.catalog AND l.producer = v.name AND l.epoch = v.epoch";
    let mut found = HashMap::new();
    for mut row in transaction.query_with(&columns, &rows, text).await? {
        found.insert((row.text()?, Epoch(row.int()?)), Txn(row.int()?));
    }
    Ok(found)
}

/// Stores standings and adds to the log.
pub(crate) async fn write(
    transaction: &mut Transaction,
    catalog: CatalogId,
    now: Micros,
    standings: &[(&str, &Standing)],
    epochs: &[(String, Epoch, Txn)],
) -> Result<(), Failure> {
    let rows = standings.iter().map(|(name, standing)| {
        vec![
            catalog.0.into(),
            (*name).into(),
            standing.epoch.0.into(),
            standing.txn.into(),
            standing.fence.0.into(),
            standing.state.as_ref().map(|state| state.to_vec()).into(),
            now.0.into(),
        ]
    });
    let changing = ["epoch", "txn", "fence", "state", "updated_us"];
    transaction.upsert(&PRODUCER, &changing, &rows.collect::<Vec<Vec<Cell>>>()).await?;
    let rows = epochs.iter().map(|(name, epoch, txn)| {
        vec![catalog.0.into(), name.as_str().into(), epoch.0.into(), (*txn).into()]
    });
    transaction.insert(&PRODUCER_LOG, &rows.collect::<Vec<Vec<Cell>>>()).await
}

/// Exchanges the state of a producer, if it is `from`.
pub(crate) async fn replace_state(
    transaction: &mut Transaction,
    catalog: CatalogId,
    producer: &str,
    from: &[u8],
    to: &[u8],
) -> Result<bool, Failure> {
    let statement = transaction
        .statement("UPDATE cn_producer SET state = ? WHERE catalog_id = ? AND producer = ? AND state = ?")
        .bind(to.to_vec())
        .bind(catalog.0)
        .bind(producer)
        .bind(from.to_vec());
    Ok(transaction.execute(statement).await? == 1)
}

/// The largest epoch that the producer committed at or before `at`; 0 if none.
pub(crate) async fn epoch_at(
    database: &Database,
    catalog: CatalogId,
    producer: &str,
    at: Txn,
) -> Result<Epoch, Failure> {
    let statement = database
        .statement(
            "SELECT MAX(epoch) FROM (\
             SELECT epoch FROM cn_producer WHERE catalog_id = ? AND producer = ? AND txn <= ? UNION ALL \
             SELECT MAX(epoch) FROM cn_producer_log WHERE catalog_id = ? AND producer = ? AND txn <= ?) e",
        )
        .bind(catalog.0)
        .bind(producer)
        .bind(at)
        .bind(catalog.0)
        .bind(producer)
        .bind(at);
    let epoch = database.row(statement).await?.map(|mut row| row.optional_int()).transpose()?;
    Ok(Epoch(epoch.flatten().unwrap_or(0)))
}

/// Removes epochs of a producer from the log: those before its newest hundred that were committed at or before `old`.
pub(crate) async fn prune(
    transaction: &mut Transaction,
    catalog: CatalogId,
    producer: &str,
    old: Txn,
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "SELECT epoch FROM cn_producer_log WHERE catalog_id = ? AND producer = ? ORDER BY epoch DESC LIMIT 1 OFFSET ?",
        )
        .bind(catalog.0)
        .bind(producer)
        .bind(EPOCHS_KEPT - 1);
    let Some(mut row) = transaction.row(statement).await? else { return Ok(()) };
    let oldest_kept = row.int()?;
    let statement = transaction
        .statement(
            "DELETE FROM cn_producer_log WHERE catalog_id = ? AND producer = ? AND epoch < ? AND txn <= ?",
        )
        .bind(catalog.0)
        .bind(producer)
        .bind(oldest_kept)
        .bind(old);
    transaction.execute(statement).await?;
    Ok(())
}

/// Idempotency keys that were used before a time, at most so many. Beside each stands what was asked under it; producers that
/// clients number themselves have nothing there.
pub(crate) async fn keys_before(
    transaction: &mut Transaction,
    catalog: CatalogId,
    before: Micros,
    limit: u32,
) -> Result<Vec<String>, Failure> {
    let statement = transaction
        .statement(
            "SELECT producer FROM cn_producer WHERE catalog_id = ? AND producer LIKE 'client/%' AND epoch = 1 \
             AND state IS NOT NULL AND updated_us < ? LIMIT ?",
        )
        .bind(catalog.0)
        .bind(before.0)
        .bind(i64::from(limit));
    let mut names = Vec::new();
    for mut row in transaction.query(statement).await? {
        names.push(row.text()?);
    }
    Ok(names)
}

/// Removes a producer and its epochs; false if there was none.
pub(crate) async fn drop(
    transaction: &mut Transaction,
    catalog: CatalogId,
    name: &str,
) -> Result<bool, Failure> {
    let mut found = false;
    for table in ["cn_producer_log", "cn_producer"] {
        let statement = transaction
            .statement(&format!("DELETE FROM {table} WHERE catalog_id = ? AND producer = ?"))
            .bind(catalog.0)
            .bind(name);
        found |= transaction.execute(statement).await? > 0;
    }
    Ok(found)
}
