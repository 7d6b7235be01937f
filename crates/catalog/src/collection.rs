//! Collection: versions that nobody may read any more lose their rows, and their objects wait to be deleted.

use std::time::Duration;

use cenote_vocab::{Micros, Scope, TableId, Txn};

use crate::Error;
use crate::committer::check_active;
use crate::hold::{floor_under, week_ago};
use crate::inner::Inner;
use crate::reading::check_scope;
use crate::sql::trash::Rest;
use crate::sql::{self, Failure, head, trash};

/// For how long an idempotency key is known.
const KEYS_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Those of the tables that have something to purge, with their floors.
pub(crate) async fn collectable(
    inner: &Inner,
    scope: &Scope,
    cutoffs: &[(TableId, Txn)],
) -> Result<Vec<(TableId, Txn)>, Error> {
    for (table, _) in cutoffs {
        check_scope(scope, *table)?;
    }
    let (week_ago, now) = (week_ago(inner, scope).await?, inner.clock.now());
    let mut transaction = inner.database.read().await?;
    let holds = sql::hold::all(&mut transaction, scope.catalog(), now).await?;
    let allowed = |(table, cutoff): &(TableId, Txn)| (*table, floor_under(&holds, *table, *cutoff, week_ago));
    let cutoffs: Vec<(TableId, Txn)> = cutoffs.iter().map(allowed).collect();
    let found = trash::collectable(&mut transaction, &cutoffs, now).await?;
    transaction.rollback().await?;
    Ok(found)
}

/// Raises floors and purges, a bounded number of rows per database transaction. What was queued before a failure stays queued.
pub(crate) async fn purge(
    inner: &Inner,
    scope: &Scope,
    table: Option<TableId>,
    floor: Txn,
    not_before: Micros,
) -> Result<Vec<(String, u64)>, Error> {
    if let Some(table) = table {
        check_scope(scope, table)?;
    }
    let catalog = scope.catalog();
    let memory = inner.memory(catalog);
    let week_ago = week_ago(inner, scope).await?;
    let mut transaction = inner.database.write().await?;
    let newest = head::lock(&mut transaction, catalog).await?.txn;
    check_active(inner, &mut transaction).await?;
    if floor > newest {
        return Err(Error::SnapshotFuture { asked: floor, head: newest });
    }
    let now = inner.clock.now();
    let mut tables = trash::tables(&mut transaction, catalog, table, now).await?;
    let holds = sql::hold::all(&mut transaction, catalog, now).await?;
    for purged in &mut tables {
        purged.floor = purged.floor.max(floor_under(&holds, purged.table, floor, week_ago));
    }
    let floors: Vec<(TableId, Txn)> = tables.iter().map(|purged| (purged.table, purged.floor)).collect();
    trash::raise_floors(&mut transaction, &floors).await?;
    transaction.commit().await?;
    for (table, floor) in floors {
        inner.files.raise_floor(table, floor);
    }
    // The committer remembers counters with the old floors, and partitions that may go.
    memory.next_generation();

    let mut queued = Vec::new();
    for purged in tables {
        loop {
            let (part, rest) = purge_part(inner, scope, &purged, not_before).await?;
            queued.extend(part);
            if rest == Rest::None {
                break;
            }
        }
        memory.next_generation();
    }
    Ok(queued)
}

async fn purge_part(
    inner: &Inner,
    scope: &Scope,
    purged: &trash::Purged,
    not_before: Micros,
) -> Result<(Vec<(String, u64)>, Rest), Failure> {
    let catalog = scope.catalog();
    let mut transaction = inner.database.write().await?;
    head::lock(&mut transaction, catalog).await?;
    check_active(inner, &mut transaction).await?;
    let now = inner.clock.now();
    let (part, rest) = trash::purge_files(&mut transaction, catalog, purged, now, not_before).await?;
    if rest == Rest::None {
        trash::purge_rest(&mut transaction, catalog, purged, now).await?;
    }
    transaction.commit().await?;
    Ok((part, rest))
}

/// Exchanges the state of a producer whose epochs have all come: nobody remembers it.
pub(crate) async fn replace_producer_state(
    inner: &Inner,
    scope: &Scope,
    name: &str,
    from: &[u8],
    to: &[u8],
) -> Result<bool, Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    let found = sql::producer::replace_state(&mut transaction, scope.catalog(), name, from, to).await?;
    transaction.commit().await?;
    Ok(found)
}

/// Forgets idempotency keys that were used more than a day ago, at most so many; answers how many.
pub(crate) async fn forget_keys(inner: &Inner, scope: &Scope, keys_max: u32) -> Result<u64, Error> {
    let (catalog, before) = (scope.catalog(), inner.clock.now().minus(KEYS_KEPT));
    let mut transaction = inner.database.write().await?;
    head::lock(&mut transaction, catalog).await?;
    check_active(inner, &mut transaction).await?;
    let names = sql::producer::keys_before(&mut transaction, catalog, before, keys_max).await?;
    if names.is_empty() {
        transaction.rollback().await?;
        return Ok(0);
    }
    for name in &names {
        sql::producer::drop(&mut transaction, catalog, name).await?;
    }
    transaction.commit().await?;
    // Committer and readers remember that they were used.
    inner.memory(catalog).forget();
    Ok(names.len() as u64)
}

/// Forgets a producer.
pub(crate) async fn drop_producer(inner: &Inner, scope: &Scope, name: &str) -> Result<bool, Error> {
    if name.starts_with("log/") {
        return Err(Error::Invalid(format!("producer {name} is a log's: without it rows would come twice")));
    }
    let catalog = scope.catalog();
    let mut transaction = inner.database.write().await?;
    head::lock(&mut transaction, catalog).await?;
    check_active(inner, &mut transaction).await?;
    let found = sql::producer::drop(&mut transaction, catalog, name).await?;
    transaction.commit().await?;
    // Committer and readers remember how far it was.
    inner.memory(catalog).forget();
    Ok(found)
}
