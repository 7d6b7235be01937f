//! Rows of `cn_event`, and the feed that they are with the commits of rows.

use cenote_vocab::{CatalogId, Micros, Txn};

use super::history::{NAME_BYTES_MAX, cut};
use super::{Cell, Failure, Row, Transaction};
use crate::committer::EventRow;
use crate::registry::{EVENT, META, committed, told};
use crate::{Error, Event};

/// Adds what commits tell.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    catalog: CatalogId,
    events: &[EventRow],
) -> Result<(), Failure> {
    let rows: Vec<Vec<Cell>> = events
        .iter()
        .map(|event| {
            let name = |name: &Option<String>| name.as_deref().map(|name| cut(name, NAME_BYTES_MAX));
            vec![
                catalog.0.into(),
                event.txn.into(),
                event.n.into(),
                event.kind.into(),
                event.object_type.into(),
                event.object_id.as_str().into(),
                name(&event.schema).into(),
                name(&event.name).into(),
                event.payload.as_ref().map(ToString::to_string).into(),
            ]
        })
        .collect();
    transaction.insert(&EVENT, &rows).await
}

/// Which part of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Changes of objects.
    Told,
    /// Commits of rows.
    Committed,
}

/// The first events of a part of the feed, after one transaction up to another.
pub(crate) async fn read(
    transaction: &mut Transaction,
    catalog: CatalogId,
    part: Part,
    (after, to): (Txn, Txn),
    limit: Option<usize>,
) -> Result<Vec<Event>, Failure> {
    let text = match part {
        Part::Told => told!("WHERE e.catalog_id = ? AND e.txn > ? AND e.txn <= ? ORDER BY e.txn, e.n"),
        Part::Committed => committed!(
            "WHERE c.catalog_id = ? AND c.txn > ? AND c.txn <= ? \
             AND (c.added_files > 0 OR c.removed_files > 0 OR c.deleted_rows > 0) ORDER BY c.txn, c.table_id"
        ),
    };
    let mut statement = transaction.statement(text).bind(catalog.0).bind(after).bind(to);
    if let Some(limit) = limit {
        statement.push(" LIMIT ?");
        statement = statement.bind(i64::try_from(limit).unwrap_or(i64::MAX));
    }
    let rows = transaction.query(statement).await?;
    Ok(rows.into_iter().map(decode).collect::<Result<_, _>>()?)
}

fn decode(mut row: Row) -> Result<Event, Error> {
    Ok(Event {
        txn: Txn(row.int()?),
        n: row.int()?,
        at: Micros(row.int()?),
        kind: row.text()?,
        object_type: row.text()?,
        object_id: row.text()?,
        schema: row.optional_text()?,
        name: row.optional_text()?,
        operation: row.text()?,
        actor: row.optional_text()?,
        request_id: row.optional_text()?,
        run: row.optional_uuid()?,
        payload: row.optional_text()?,
    })
}

/// Events at and before this transaction may be gone.
pub(crate) async fn floor(transaction: &mut Transaction, catalog: CatalogId) -> Result<Txn, Failure> {
    let statement = transaction.statement("SELECT value FROM cn_meta WHERE name = ?").bind(fact(catalog));
    let Some(mut row) = transaction.row(statement).await? else { return Ok(Txn(0)) };
    let text = row.text()?;
    let floor = text.parse().map_err(|_| Error::Corrupt(format!("events_floor {text:?} is no number")))?;
    Ok(Txn(floor))
}

/// Raises the floor to the newest transaction that is as old as `before`; answers the floor.
pub(crate) async fn raise_floor(
    transaction: &mut Transaction,
    catalog: CatalogId,
    before: Micros,
) -> Result<Txn, Failure> {
    let known = floor(transaction, catalog).await?;
    let statement = transaction
        .statement(
            "SELECT txn FROM cn_txn WHERE catalog_id = ? AND committed_us <= ? ORDER BY committed_us DESC LIMIT 1",
        )
        .bind(catalog.0)
        .bind(before.0);
    let found = transaction.row(statement).await?.map(|mut row| row.int()).transpose()?.map_or(known, Txn);
    if found <= known {
        return Ok(known);
    }
    let row = vec![fact(catalog).into(), found.to_string().into()];
    transaction.upsert(&META, &["value"], &[row]).await?;
    Ok(found)
}

/// Removes events up to the floor: of commits those that no history needs.
pub(crate) async fn purge(
    transaction: &mut Transaction,
    catalog: CatalogId,
    floor: Txn,
) -> Result<(), Failure> {
    for text in [
        "DELETE FROM cn_event WHERE catalog_id = ? AND txn <= ?",
        "DELETE FROM cn_table_txn WHERE catalog_id = ? AND txn <= ? AND NOT EXISTS \
         (SELECT 1 FROM cn_table_state s WHERE s.table_id = cn_table_txn.table_id \
         AND (cn_table_txn.txn >= s.history_floor OR cn_table_txn.txn >= s.last_txn))",
    ] {
        let statement = transaction.statement(text).bind(catalog.0).bind(floor);
        transaction.execute(statement).await?;
    }
    Ok(())
}

/// Databases of layouts before 8 tell no changes of objects: their feed begins at their head.
pub(crate) async fn begin(transaction: &mut Transaction) -> Result<(), Failure> {
    let text = "INSERT INTO cn_meta (name, value) \
                SELECT 'events_floor/' || CAST(h.catalog_id AS TEXT), CAST(h.txn AS TEXT) FROM cn_head h WHERE true \
                ON CONFLICT (name) DO NOTHING";
    transaction.run(text).await
}

fn fact(catalog: CatalogId) -> String {
    format!("events_floor/{catalog}")
}
