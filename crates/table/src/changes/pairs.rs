//! Which rows of a transaction went and came again under the same id: those that it updated.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use cenote_catalog::{DataFile, FileChange, TableDef, TableDelta};
use cenote_datafile::RowSet;
use cenote_vocab::{Reservation, Scope};
use futures::TryStreamExt;
use roaring::RoaringTreemap;

use super::plan;
use super::read::row_id_column;
use crate::{Error, Lake};

/// Row ids that a transaction took and gave back.
#[derive(Debug)]
pub(super) struct Pairs {
    ids: RoaringTreemap,
    _memory: Reservation,
}

impl Pairs {
    /// True if the row of this id went and came again.
    pub(super) fn contains(&self, id: i64) -> bool {
        u64::try_from(id).is_ok_and(|id| self.ids.contains(id))
    }
}

/// The pairs of a transaction; `None` if it has none. Only files that keep ids can bring a row back: those are read, one column
/// of each, and of the files that rows went from those that keep ids too.
pub(super) async fn pairs(
    lake: &Lake,
    scope: &Scope,
    table: &TableDef,
    delta: &TableDelta,
) -> Result<Option<Arc<Pairs>>, Error> {
    let came = |change: &FileChange| matches!(change, FileChange::Added { .. });
    let brings_back = delta.files.iter().any(|file| came(&file.change) && file.file.file.row_ids_stored);
    if !delta.updates || !brings_back {
        return Ok(None);
    }
    let mut memory = lake.memory.reservation();
    let (mut back, mut gone) = (RoaringTreemap::new(), RoaringTreemap::new());
    for file in &delta.files {
        let (rows, ids) = match &file.change {
            FileChange::Added { .. } if !file.file.file.row_ids_stored => continue,
            FileChange::Added { except } => (RowSet::live(except.clone()), &mut back),
            FileChange::RowsDeleted { now, before } => (plan::deleted(now, before.as_deref()), &mut gone),
            FileChange::Retired { before, .. } => (RowSet::live(before.clone()), &mut gone),
        };
        add_ids(lake, scope, table, &file.file, rows, ids).await?;
        let bytes = back.serialized_size() + gone.serialized_size();
        memory.try_grow((bytes as u64).saturating_sub(memory.bytes()))?;
    }
    let ids = back & gone;
    Ok((!ids.is_empty()).then(|| Arc::new(Pairs { ids, _memory: memory })))
}

async fn add_ids(
    lake: &Lake,
    scope: &Scope,
    table: &TableDef,
    file: &DataFile,
    rows: RowSet,
    ids: &mut RoaringTreemap,
) -> Result<(), Error> {
    let id =
        |value: i64| u64::try_from(value).map_err(|_| Error::Internal(format!("row id {value} is negative")));
    if !file.file.row_ids_stored {
        let start = id(file.row_id_start)?;
        for run in rows.runs(file.file.rows) {
            ids.insert_range(start + run.start..start + run.end);
        }
        return Ok(());
    }
    let mut batches = lake.read_file(scope, table, file, rows, &Arc::new(row_id_column())).await?;
    while let Some(batch) = batches.try_next().await? {
        let column = batch.column(0).as_primitive::<Int64Type>();
        for value in column.iter().flatten() {
            ids.insert(id(value)?);
        }
    }
    Ok(())
}
