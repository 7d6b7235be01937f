//! Questions about the catalog as of one transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cenote_vocab::{Epoch, Micros, PartitionSpec, SchemaId, Scope, TableId, TableSchema, Txn};
use tokio::time::timeout;

use crate::inner::Inner;
use crate::sql::{file, head, history, object, producer, verify};
use crate::{Error, Head, Names, TablesById};

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

/// The same, by id.
pub(crate) async fn tables_by_id(inner: &Inner, scope: &Scope, at: Txn) -> Result<Arc<TablesById>, Error> {
    let names = names(inner, scope, at).await?;
    let memory = inner.memory(scope.catalog());
    if let Some(tables) = memory.by_id(&names) {
        return Ok(tables);
    }
    let is_newest = memory.names(names.ddl_txn).is_some_and(|newest| Arc::ptr_eq(&newest, &names));
    let tables = Arc::new(TablesById::new(names));
    if is_newest {
        memory.note_by_id(&tables);
    }
    Ok(tables)
}

pub(crate) fn check_not_future(asked: Txn, head: Txn) -> Result<(), Error> {
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

/// Rows of a table that contradict each other.
pub(crate) async fn contradictions(
    inner: &Inner,
    scope: &Scope,
    table: TableId,
) -> Result<Vec<(String, String)>, Error> {
    check_scope(scope, table)?;
    let mut transaction = inner.database.read().await?;
    let found = verify::contradictions(&mut transaction, table).await?;
    transaction.rollback().await?;
    Ok(found)
}

/// The partition spec of that number.
pub(crate) async fn spec_at(
    inner: &Inner,
    scope: &Scope,
    table: TableId,
    no: i32,
) -> Result<Arc<PartitionSpec>, Error> {
    check_scope(scope, table)?;
    if no == 0 {
        return Ok(Arc::default());
    }
    let memory = inner.memory(scope.catalog());
    if let Some(spec) = memory.spec(table, no) {
        return Ok(spec);
    }
    let mut transaction = inner.database.read().await?;
    let layouts = object::layouts(&mut transaction, table).await?;
    transaction.rollback().await?;
    memory.note_specs(table, layouts.specs);
    let never = || Error::Invalid(format!("table {table} never had partition spec {no}"));
    memory.spec(table, no).ok_or_else(never)
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
