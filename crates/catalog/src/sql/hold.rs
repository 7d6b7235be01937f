//! Rows of `cn_hold`.

use cenote_vocab::{CatalogId, LIVE, Micros, TableId, Txn};
use uuid::Uuid;

use super::{Failure, Transaction};
use crate::Hold;
use crate::registry::HOLD;

/// As SQL: rows of `h` that are tags and not expired at the one bound instant.
pub(super) const LIVE_TAG: &str = "h.from_here = 0 AND (h.expires_us IS NULL OR h.expires_us > ?)";

/// All that have not expired, by version.
pub(crate) async fn all(
    transaction: &mut Transaction,
    catalog: CatalogId,
    now: Micros,
) -> Result<Vec<Hold>, Failure> {
    let statement = transaction
        .statement(
            "SELECT hold_id, table_id, name, txn, holder, expires_us FROM cn_hold \
             WHERE catalog_id = ? AND (expires_us IS NULL OR expires_us > ?) ORDER BY txn, hold_id",
        )
        .bind(catalog.0)
        .bind(now.0);
    let mut holds = Vec::new();
    for mut row in transaction.query(statement).await? {
        let id = row.uuid()?;
        let table = row.int()?;
        holds.push(Hold {
            id,
            table: (table != 0).then_some(TableId(table)),
            name: row.optional_text()?,
            txn: Txn(row.int()?),
            holder: row.text()?,
            expires: row.optional_int()?.map(Micros),
        });
    }
    Ok(holds)
}

/// Adds one.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    catalog: CatalogId,
    hold: &Hold,
) -> Result<(), Failure> {
    let row = vec![
        hold.id.into(),
        catalog.0.into(),
        hold.table.map_or(0, |table| table.0).into(),
        hold.name.as_deref().into(),
        hold.txn.into(),
        hold.name.is_none().into(),
        hold.holder.as_str().into(),
        hold.expires.map(|at| at.0).into(),
    ];
    transaction.insert(&HOLD, &[row]).await
}

/// Removes one.
pub(crate) async fn remove(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
) -> Result<(), Failure> {
    let statement = transaction
        .statement("DELETE FROM cn_hold WHERE hold_id = ? AND catalog_id = ?")
        .bind(id)
        .bind(catalog.0);
    transaction.execute(statement).await?;
    Ok(())
}

/// Removes what has expired: its name may be taken again.
pub(crate) async fn forget_expired(
    transaction: &mut Transaction,
    catalog: CatalogId,
    now: Micros,
) -> Result<(), Failure> {
    let statement = transaction
        .statement("DELETE FROM cn_hold WHERE catalog_id = ? AND expires_us <= ?")
        .bind(catalog.0)
        .bind(now.0);
    transaction.execute(statement).await?;
    Ok(())
}

/// History floors of a table, or of all that are live.
pub(crate) async fn floors(
    transaction: &mut Transaction,
    catalog: CatalogId,
    table: Option<TableId>,
) -> Result<Vec<(TableId, Txn)>, Failure> {
    let only = if table.is_some() { " AND t.table_id = ?" } else { "" };
    let text = format!(
        "SELECT t.table_id, s.history_floor FROM cn_table t JOIN cn_table_state s ON s.table_id = t.table_id \
         WHERE t.catalog_id = ? AND t.end_txn = {LIVE}{only}"
    );
    let mut statement = transaction.statement(&text).bind(catalog.0);
    if let Some(table) = table {
        statement = statement.bind(table);
    }
    let mut floors = Vec::new();
    for mut row in transaction.query(statement).await? {
        floors.push((TableId(row.int()?), Txn(row.int()?)));
    }
    Ok(floors)
}
