//! What no version needs any more: rows go, their objects wait in `cn_trash`.

use cenote_vocab::{CatalogId, LIVE, Micros, TableId, Txn};

use super::file::{object_hash, object_path};
use super::hold::{self, LIVE_TAG};
use super::{Cell, Database, Failure, Kind, Row, Statement, Transaction, event, grant};
use crate::GrantKind;
use crate::registry::TRASH;

/// The most rows that one transaction removes.
pub(crate) const PURGE_ROWS_MAX: usize = 5_000;
/// The most paths in one listing.
const LISTING_MAX: i64 = 10_000;

/// Whether files are left to purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    None,
    Some,
}

/// A table to purge.
#[derive(Clone, Debug)]
pub(crate) struct Purged {
    pub(crate) table: TableId,
    pub(crate) location: String,
    pub(crate) floor: Txn,
    /// When it was dropped, unless a tag needs it.
    pub(crate) dropped: Option<Txn>,
}

/// Tables of the catalog, dropped ones too, with what a purge needs to know of them.
pub(crate) async fn tables(
    transaction: &mut Transaction,
    catalog: CatalogId,
    only: Option<TableId>,
    now: Micros,
) -> Result<Vec<Purged>, Failure> {
    let holds = hold::all(transaction, catalog, now).await?;
    let filter = if only.is_some() { " AND t.table_id = ?" } else { "" };
    let text = format!(
        "SELECT t.table_id, t.location, s.history_floor, t.end_txn, \
         (SELECT MIN(n.begin_txn) FROM cn_table n WHERE n.table_id = t.table_id) FROM cn_table t \
         JOIN cn_table_state s ON s.table_id = t.table_id \
         WHERE t.catalog_id = ?{filter} AND t.begin_txn = \
         (SELECT MAX(n.begin_txn) FROM cn_table n WHERE n.table_id = t.table_id) ORDER BY t.table_id"
    );
    let mut statement = transaction.statement(&text).bind(catalog.0);
    if let Some(only) = only {
        statement = statement.bind(only);
    }
    let mut found = Vec::new();
    for mut row in transaction.query(statement).await? {
        let (table, location, floor) = (TableId(row.int()?), row.text()?, Txn(row.int()?));
        let (end, begin) = (Txn(row.int()?), Txn(row.int()?));
        let tagged = holds.iter().any(|hold| hold.tags(table, begin, end));
        let dropped = (end != LIVE && !tagged).then_some(end);
        found.push(Purged { table, location, floor, dropped });
    }
    Ok(found)
}

/// Of these tables with their cutoffs, those whose floor would rise, or that have rows below the floor they have that no tag needs: each with
/// its newest version at or before the cutoff, or its floor.
pub(crate) async fn collectable(
    transaction: &mut Transaction,
    cutoffs: &[(TableId, Txn)],
    now: Micros,
) -> Result<Vec<(TableId, Txn)>, Failure> {
    let row = |(table, cutoff): &(TableId, Txn)| vec![(*table).into(), (*cutoff).into(), now.0.into()];
    let rows: Vec<Vec<Cell>> = cutoffs.iter().map(row).collect();
    let text = "SELECT c.id, c.newest FROM (SELECT s.table_id AS id, s.catalog_id AS catalog_id, \
                v.instant AS instant, s.history_floor AS history_floor, \
                COALESCE((SELECT MAX(x.txn) FROM cn_table_txn x WHERE x.table_id = s.table_id \
                AND x.txn > s.history_floor AND x.txn <= v.cutoff), s.history_floor) AS newest \
                FROM v CROSS JOIN cn_table_state s WHERE s.table_id = v.id) c \
                WHERE c.newest > c.history_floor OR EXISTS (SELECT 1 FROM cn_file f \
                WHERE f.table_id = c.id AND f.end_txn <= c.history_floor AND NOT EXISTS (SELECT 1 FROM cn_hold h \
                WHERE h.catalog_id = c.catalog_id AND (h.table_id = 0 OR h.table_id = c.id) AND h.from_here = 0 \
                AND (h.expires_us IS NULL OR h.expires_us > c.instant) \
                AND h.txn >= f.begin_txn AND h.txn < f.end_txn))";
    let columns = [("id", Kind::Int), ("cutoff", Kind::Int), ("instant", Kind::Int)];
    let mut found = Vec::new();
    for mut row in transaction.query_with(&columns, &rows, text).await? {
        found.push((TableId(row.int()?), Txn(row.int()?)));
    }
    Ok(found)
}

/// Tables that were dropped at or before a version.
pub(crate) async fn dropped(
    database: &Database,
    catalog: CatalogId,
    until: Txn,
) -> Result<Vec<TableId>, Failure> {
    let statement = database
        .statement(
            "SELECT t.table_id FROM cn_table t WHERE t.catalog_id = ? AND t.end_txn <= ? AND NOT EXISTS \
             (SELECT 1 FROM cn_table n WHERE n.table_id = t.table_id AND n.begin_txn > t.begin_txn) \
             ORDER BY t.table_id",
        )
        .bind(catalog.0)
        .bind(until);
    let mut tables = Vec::new();
    for mut row in database.query(statement).await? {
        tables.push(TableId(row.int()?));
    }
    Ok(tables)
}

/// Raises floors; a floor never falls.
pub(crate) async fn raise_floors(
    transaction: &mut Transaction,
    floors: &[(TableId, Txn)],
) -> Result<(), Failure> {
    let rows: Vec<Vec<Cell>> =
        floors.iter().map(|(table, floor)| vec![(*table).into(), (*floor).into()]).collect();
    let text = "UPDATE cn_table_state SET history_floor = v.floor FROM v \
                WHERE cn_table_state.table_id = v.id AND cn_table_state.history_floor < v.floor";
    transaction.execute_with(&[("id", Kind::Int), ("floor", Kind::Int)], &rows, text).await?;
    Ok(())
}

/// As SQL: no tag needs the row of `table`, whose catalog, id and the present instant are bound.
fn not_tagged(table: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM cn_hold h WHERE h.catalog_id = ? AND (h.table_id = 0 OR h.table_id = ?) \
         AND {LIVE_TAG} AND h.txn >= {table}.begin_txn AND h.txn < {table}.end_txn)"
    )
}

/// Removes at most [`PURGE_ROWS_MAX`] files of a table that no version at or above the floor needs, and queues their objects.
/// Answers the queued paths with their sizes, and whether more files are left.
pub(crate) async fn purge_files(
    transaction: &mut Transaction,
    catalog: CatalogId,
    purged: &Purged,
    now: Micros,
    not_before: Micros,
) -> Result<(Vec<(String, u64)>, Rest), Failure> {
    // Of a table whose drop no version can see, everything goes.
    let all = purged.dropped.is_some_and(|dropped| dropped <= purged.floor);
    let bound = if all { LIVE } else { purged.floor };
    let statement = transaction
        .statement(&format!(
            "SELECT file_id, path, size_bytes FROM cn_file WHERE table_id = ? AND end_txn <= ? AND {} \
             ORDER BY end_txn LIMIT ?",
            not_tagged("cn_file")
        ))
        .bind(purged.table)
        .bind(bound)
        .bind(catalog.0)
        .bind(purged.table)
        .bind(now.0)
        .bind(i64::try_from(PURGE_ROWS_MAX).unwrap_or(i64::MAX));
    let mut keys: Vec<Vec<Cell>> = Vec::new();
    let (mut queued, mut trash) = (Vec::new(), Vec::new());
    for mut row in transaction.query(statement).await? {
        keys.push(vec![row.int()?.into()]);
        let (path, bytes) = (row.optional_text()?, row.count()?);
        let Some(path) = path.map(|path| object_path(&purged.location, &path)) else {
            continue; // its rows go with the row
        };
        trash.push(vec![
            catalog.0.into(),
            object_hash(&path).into(),
            path.as_str().into(),
            bytes.into(),
            now.0.into(),
            not_before.0.into(),
            (if all { "dropped" } else { "expired" }).into(),
        ]);
        queued.push((path, bytes));
    }
    for table in ["cn_dv", "cn_bounds", "cn_inline", "cn_file"] {
        let text = format!("DELETE FROM {table} WHERE table_id = ? AND file_id IN (SELECT file FROM v)");
        for part in keys.chunks(transaction.dialect().rows_max(1)) {
            let statement = Statement::with_rows(transaction.dialect(), &[("file", Kind::Int)], part, &text);
            transaction.execute(statement.bind(purged.table)).await?;
        }
    }
    transaction.insert_missing(&TRASH, &trash).await?;
    let rest = if keys.len() < PURGE_ROWS_MAX { Rest::None } else { Rest::Some };
    Ok((queued, rest))
}

/// Removes what else of a table no version at or above the floor needs: old vectors, old history; of a table whose drop no
/// version can see, everything.
pub(crate) async fn purge_rest(
    transaction: &mut Transaction,
    catalog: CatalogId,
    purged: &Purged,
    now: Micros,
) -> Result<(), Failure> {
    let floor = purged.floor;
    let text = format!("DELETE FROM cn_dv WHERE table_id = ? AND end_txn <= ? AND {}", not_tagged("cn_dv"));
    let statement = transaction
        .statement(&text)
        .bind(purged.table)
        .bind(floor)
        .bind(catalog.0)
        .bind(purged.table)
        .bind(now.0);
    transaction.execute(statement).await?;
    // The newest row stays: it says what the table's last change was. So do those that are events still.
    let events = event::floor(transaction, catalog).await?;
    let statement = transaction
        .statement(
            "DELETE FROM cn_table_txn WHERE table_id = ? AND txn < ? AND txn <= ? AND txn < \
             (SELECT s.last_txn FROM cn_table_state s WHERE s.table_id = cn_table_txn.table_id)",
        )
        .bind(purged.table)
        .bind(floor)
        .bind(events);
    transaction.execute(statement).await?;
    if purged.dropped.is_none_or(|dropped| dropped > floor) {
        return Ok(());
    }
    for table in [
        "cn_partition",
        "cn_spec_field",
        "cn_sort_field",
        "cn_field",
        "cn_table_schema",
        "cn_table_state",
        "cn_table",
    ] {
        let statement =
            transaction.statement(&format!("DELETE FROM {table} WHERE table_id = ?")).bind(purged.table);
        transaction.execute(statement).await?;
    }
    grant::forget_object(transaction, catalog, GrantKind::Table, purged.table.into()).await?;
    grant::forget_object(transaction, catalog, GrantKind::Asset, purged.table.into()).await
}

/// Paths that are due at `now`.
pub(crate) async fn due(
    database: &Database,
    catalog: CatalogId,
    now: Micros,
) -> Result<Vec<(String, u64)>, Failure> {
    let statement = database
        .statement(
            "SELECT path, size_bytes FROM cn_trash WHERE catalog_id = ? AND not_before_us <= ? \
             ORDER BY not_before_us LIMIT ?",
        )
        .bind(catalog.0)
        .bind(now.0)
        .bind(LISTING_MAX);
    let mut paths = Vec::new();
    for mut row in database.query(statement).await? {
        paths.push((row.text()?, row.count()?));
    }
    Ok(paths)
}

/// Forgets paths.
pub(crate) async fn gone(database: &Database, catalog: CatalogId, paths: &[String]) -> Result<(), Failure> {
    let mut transaction = database.write().await?;
    for path in paths {
        let statement = transaction
            .statement("DELETE FROM cn_trash WHERE catalog_id = ? AND path_hash = ?")
            .bind(catalog.0)
            .bind(object_hash(path));
        transaction.execute(statement).await?;
    }
    transaction.commit().await
}

/// True if a file of the catalog has this path.
pub(crate) async fn is_referenced(
    database: &Database,
    catalog: CatalogId,
    path: &str,
) -> Result<bool, Failure> {
    let statement = database
        .statement("SELECT 1 FROM cn_file WHERE path_hash = ? AND table_id >= ? AND table_id < ? LIMIT 1")
        .bind(object_hash(path))
        .bind(catalog.0 << 32)
        .bind((catalog.0 + 1) << 32);
    let row: Option<Row> = database.row(statement).await?;
    Ok(row.is_some())
}
