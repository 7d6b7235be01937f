//! Questions about the catalog as of one transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cenote_vocab::{Epoch, Micros, SchemaId, Scope, TableId, TableSchema, Txn};
use tokio::time::timeout;

use crate::hold;
use crate::inner::Inner;
use crate::sql::{file, head, history, object, producer, state};
use crate::{DataFile, Error, Head, Names, TableDef, TimeWindow};

/// How often the head is asked for when others may write too.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The newest state: from memory while this process alone writes.
pub(crate) async fn head(inner: &Inner, scope: &Scope) -> Result<Head, Error> {
    let memory = inner.memory(scope.catalog());
    if inner.is_active()
        && let Some(head) = memory.head()
    {
        return Ok(head);
    }
    let seen = memory.newest_seen();
    let row = head::read(&inner.database, scope.catalog()).await?;
    memory.check_head(row.txn, seen)?;
    let head = Head { txn: row.txn, committed: row.committed, ddl_txn: row.ddl_txn };
    memory.note_head(head);
    Ok(head)
}

/// All names as of `at`. `SnapshotFuture` above the head.
pub(crate) async fn names(inner: &Inner, scope: &Scope, at: Txn) -> Result<Arc<Names>, Error> {
    let newest = head(inner, scope).await?;
    check_not_future(at, newest.txn)?;
    let memory = inner.memory(scope.catalog());
    let current = at >= newest.ddl_txn;
    if current && let Some(names) = memory.names(newest.ddl_txn) {
        return Ok(names);
    }
    // Names of an older state carry that state's number: nobody mistakes them for the newest.
    let (at, ddl_txn) = if current { (newest.txn, newest.ddl_txn) } else { (at, at) };
    let mut transaction = inner.database.read().await?;
    let names = Arc::new(object::names(&mut transaction, scope.catalog(), at, ddl_txn).await?);
    transaction.rollback().await?;
    if current {
        memory.note_names(&names);
    }
    Ok(names)
}

fn check_not_future(asked: Txn, head: Txn) -> Result<(), Error> {
    if asked > head {
        return Err(Error::SnapshotFuture { asked, head });
    }
    Ok(())
}

/// The last version not after an instant.
pub(crate) async fn txn_at(inner: &Inner, scope: &Scope, at: Micros) -> Result<Txn, Error> {
    match history::at(&inner.database, scope.catalog(), at).await? {
        (Some(txn), _) => Ok(txn),
        (None, Some(first)) => Err(Error::SnapshotExpired(format!(
            "no snapshot at {}: the first is of {}",
            at.rfc3339(),
            first.rfc3339()
        ))),
        (None, None) => Err(Error::SnapshotExpired(format!("no snapshot at {}", at.rfc3339()))),
    }
}

/// A table that is not the asker's is not there.
pub(crate) fn check_scope(scope: &Scope, table: TableId) -> Result<(), Error> {
    if table.catalog() != scope.catalog() {
        return Err(Error::TableNotFound { name: table.to_string(), nearest: None });
    }
    Ok(())
}

/// Files of a table visible at `at`.
pub(crate) async fn files(
    inner: &Inner,
    scope: &Scope,
    table: &TableDef,
    at: Txn,
    window: Option<TimeWindow>,
) -> Result<Vec<Arc<DataFile>>, Error> {
    check_scope(scope, table.id)?;
    check_not_future(at, head(inner, scope).await?.txn)?;
    let memory = inner.memory(scope.catalog());
    if inner.is_active() {
        let known = memory.files.lock().files(table.id, at, None, window);
        if let Some((files, floor)) = known {
            check_readable(inner, scope, table, at, floor).await?;
            return Ok(files);
        }
    }
    let found = state::state(&inner.database, table.id).await?.ok_or_else(|| expired(table, at, None))?;
    let known = memory.files.lock().files(table.id, at, Some(found.last_txn), window);
    let files = match known {
        Some((files, _)) => files,
        None if at >= found.last_txn => load_live(inner, scope, table, at, window).await?,
        None => load_history(inner, table, at, window).await?,
    };
    // Only now: a purge may have run while the rows were read.
    let floor = state::state(&inner.database, table.id).await?.map(|state| state.history_floor);
    let floor = floor.ok_or_else(|| expired(table, at, None))?;
    check_readable(inner, scope, table, at, floor).await?;
    Ok(files)
}

/// `SnapshotExpired` below the floor, unless a tag keeps that very version.
async fn check_readable(
    inner: &Inner,
    scope: &Scope,
    table: &TableDef,
    at: Txn,
    floor: Txn,
) -> Result<(), Error> {
    if at >= floor {
        return Ok(());
    }
    let holds = hold::all(inner, scope).await?;
    let tagged = holds.iter().any(|hold| hold.tags(table.id, at, Txn(at.0 + 1)));
    if tagged { Ok(()) } else { Err(expired(table, at, Some(floor))) }
}

fn expired(table: &TableDef, at: Txn, floor: Option<Txn>) -> Error {
    Error::SnapshotExpired(match floor {
        Some(floor) => {
            format!("version {at} of {} is no longer kept: the oldest is {floor}", table.full_name())
        }
        None => format!("version {at} of {} is no longer kept", table.full_name()),
    })
}

/// All live files, kept in memory for the next question.
async fn load_live(
    inner: &Inner,
    scope: &Scope,
    table: &TableDef,
    at: Txn,
    window: Option<TimeWindow>,
) -> Result<Vec<Arc<DataFile>>, Error> {
    let memory = inner.memory(scope.catalog());
    let ticket = memory.files.lock().ticket();
    let mut transaction = inner.database.read().await?;
    let found = state::states(&mut transaction, &[table.id]).await?;
    let Some(found) = found.get(&table.id) else { return Err(expired(table, at, None)) };
    let schemas = object::table_schemas(&mut transaction, table.id).await?;
    let files = if found.last_txn <= at {
        let files = file::visible(&mut transaction, table.id, file::Visible::Now, None, &schemas).await?;
        let files: Vec<Arc<DataFile>> = files.into_iter().map(Arc::new).collect();
        memory.files.lock().keep(table.id, ticket, (found.last_txn, found.history_floor), &files);
        files
            .into_iter()
            .filter(|file| window.is_none_or(|window| crate::file_cache::touches(file, window)))
            .collect()
    } else {
        // The table changed since its last change was asked for.
        let files =
            file::visible(&mut transaction, table.id, file::Visible::At(at), window, &schemas).await?;
        files.into_iter().map(Arc::new).collect()
    };
    transaction.rollback().await?;
    memory.note_schemas(table.id, &schemas);
    Ok(files)
}

async fn load_history(
    inner: &Inner,
    table: &TableDef,
    at: Txn,
    window: Option<TimeWindow>,
) -> Result<Vec<Arc<DataFile>>, Error> {
    let mut transaction = inner.database.read().await?;
    let schemas = object::table_schemas(&mut transaction, table.id).await?;
    let files = file::visible(&mut transaction, table.id, file::Visible::At(at), window, &schemas).await?;
    transaction.rollback().await?;
    Ok(files.into_iter().map(Arc::new).collect())
}

/// The largest epoch that the producer committed at or before `at`.
pub(crate) async fn epoch_at(inner: &Inner, scope: &Scope, name: &str, at: Txn) -> Result<Epoch, Error> {
    if inner.is_active()
        && let Some((epoch, txn)) = inner.memory(scope.catalog()).epoch(name)
        && txn <= at
    {
        return Ok(epoch);
    }
    Ok(producer::epoch_at(&inner.database, scope.catalog(), name, at).await?)
}

/// The columns that a table had at a schema number.
pub(crate) async fn schema_at(
    inner: &Inner,
    scope: &Scope,
    table: TableId,
    no: i32,
) -> Result<Arc<TableSchema>, Error> {
    check_scope(scope, table)?;
    let memory = inner.memory(scope.catalog());
    if let Some(schema) = memory.schema(table, no) {
        return Ok(schema);
    }
    let mut transaction = inner.database.read().await?;
    let schemas: HashMap<i32, Arc<TableSchema>> = object::table_schemas(&mut transaction, table).await?;
    transaction.rollback().await?;
    if schemas.is_empty() {
        return Err(Error::TableNotFound { name: table.to_string(), nearest: None });
    }
    memory.note_schemas(table, &schemas);
    schemas.get(&no).cloned().ok_or_else(|| Error::Invalid(format!("table {table} never had schema {no}")))
}

/// The schema's id, if it exists at the head.
pub(crate) async fn schema_id(inner: &Inner, scope: &Scope, name: &str) -> Result<Option<SchemaId>, Error> {
    let newest = head(inner, scope).await?;
    Ok(names(inner, scope, newest.txn).await?.schemas.get(name).map(|(schema, _)| schema.id))
}

/// Waits until the head is above `seen`. A failing database is waited for.
pub(crate) async fn changed(inner: &Inner, scope: &Scope, seen: Txn) -> Txn {
    let mut news = inner.memory(scope.catalog()).watch();
    loop {
        let newest = *news.borrow_and_update();
        if newest > seen {
            return newest;
        }
        if !inner.is_active() {
            match head(inner, scope).await {
                Ok(head) if head.txn > seen => return head.txn,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "head could not be read; asking again"),
            }
        }
        // Either there is news or it is time to ask again: both go on above.
        drop(timeout(POLL_INTERVAL, news.changed()).await);
    }
}

/// Ids of live files.
pub(crate) async fn live_file_ids(
    inner: &Inner,
    scope: &Scope,
    table: TableId,
) -> Result<Vec<cenote_vocab::FileId>, Error> {
    check_scope(scope, table)?;
    let mut transaction = inner.database.read().await?;
    let ids = file::live_ids(&mut transaction, table).await?;
    transaction.rollback().await?;
    Ok(ids)
}

/// What the ledger knows of a producer: newest epoch, its transaction, and the state kept beside it.
pub(crate) async fn producer(
    inner: &Inner,
    scope: &Scope,
    name: &str,
) -> Result<Option<(Epoch, Txn, Option<Bytes>)>, Error> {
    let mut transaction = inner.database.read().await?;
    let standings = producer::standings(&mut transaction, scope.catalog(), &[name.to_owned()]).await?;
    transaction.rollback().await?;
    Ok(standings.into_values().next().map(|standing| (standing.epoch, standing.txn, standing.state)))
}
