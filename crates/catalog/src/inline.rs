//! Inline batches: rows that are in the catalog itself, each batch a file of its table.

use std::collections::HashMap;

use arrow::record_batch::RecordBatch;
use cenote_datafile::decode_inline;
use cenote_vocab::{FileId, Scope, TableId};

use crate::inner::Inner;
use crate::reading::check_scope;
use crate::sql::{inline, state};
use crate::{DataFile, Error, LevelCounters, TableDef};

/// The rows of these inline batches, deleted ones included, in their order. A batch never changes, so those that were asked for
/// last are kept decoded.
pub(crate) async fn batches(
    inner: &Inner,
    scope: &Scope,
    table: &TableDef,
    files: &[&DataFile],
) -> Result<Vec<RecordBatch>, Error> {
    check_scope(scope, table.id)?;
    let ids: Vec<FileId> = files.iter().map(|file| file.id).collect();
    let mut known = inner.recent.find_inline(table.id, &ids);
    let missing: Vec<&DataFile> =
        files.iter().copied().filter(|file| !known.contains_key(&file.id)).collect();
    if !missing.is_empty() {
        known.extend(fetch(inner, table, &missing).await?);
    }
    // each is there: what was missing was fetched, or is an error
    Ok(ids.iter().filter_map(|id| known.get(id).cloned()).collect())
}

async fn fetch(
    inner: &Inner,
    table: &TableDef,
    files: &[&DataFile],
) -> Result<HashMap<FileId, RecordBatch>, Error> {
    let mut transaction = inner.database.read().await?;
    let ids: Vec<FileId> = files.iter().map(|file| file.id).collect();
    let payloads = inline::payloads(&mut transaction, table.id, &ids).await?;
    let mut found = HashMap::with_capacity(files.len());
    for file in files {
        let object = format!("inline batch {} of {}", file.id, table.full_name());
        let Some(payload) = payloads.get(&file.id) else {
            return Err(if inline::is_kept(&mut transaction, table.id, file.id).await? {
                Error::Corrupt(format!("{object} has lost its payload"))
            } else {
                Error::SnapshotExpired(format!("{object} is no longer kept"))
            });
        };
        found.insert(file.id, decode_inline(&object, payload, file.file.rows)?);
    }
    transaction.rollback().await?;
    inner.recent.keep_inline(table.id, &found);
    inner.note_files();
    Ok(found)
}

/// How many live inline batches a table has, and their bytes: from memory while this process alone writes.
pub(crate) async fn count(inner: &Inner, scope: &Scope, table: TableId) -> Result<LevelCounters, Error> {
    check_scope(scope, table)?;
    let (memory, is_active) = (inner.memory(scope.catalog()), inner.is_active());
    if let Some(known) = memory.inline(table).filter(|_| is_active) {
        return Ok(known);
    }
    let found = state::state(&inner.database, table).await?;
    let counters = found.map(|state| state.inline.into()).unwrap_or_default();
    if is_active {
        memory.note_inline([(table, counters)]);
    }
    Ok(counters)
}
