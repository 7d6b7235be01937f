//! Which rows of a transaction went and came again, under the same id or the same primary key: those that it updated.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use cenote_catalog::{DataFile, FileChange, TableDef, TableDelta};
use cenote_datafile::RowSet;
use cenote_vocab::{Field, FileId, Reservation, Scope, TableSchema};
use futures::TryStreamExt;
use roaring::RoaringTreemap;

use super::plan;
use super::read::row_id_column;
use crate::{Error, Lake, RowKey};

/// What it takes to remember where a key is, besides the key.
const PLACE_BYTES: usize = 64;

/// Rows that a transaction took and gave back.
#[derive(Debug)]
pub(super) struct Pairs {
    /// Under the same id.
    ids: RoaringTreemap,
    /// Under the same primary key: positions in the files that they went from and came with.
    places: BTreeMap<FileId, RoaringTreemap>,
    _memory: Reservation,
}

impl Pairs {
    /// True if the row of this id, at this place, went and came again.
    pub(super) fn contains(&self, id: i64, (file, position): (FileId, i64)) -> bool {
        let has = |rows: &RoaringTreemap, row: i64| u64::try_from(row).is_ok_and(|row| rows.contains(row));
        has(&self.ids, id) || self.places.get(&file).is_some_and(|rows| has(rows, position))
    }
}

/// Which rows of a file a transaction brought or took; `None`: they were too old.
fn rows(change: &FileChange) -> Option<(Way, RowSet)> {
    match change {
        FileChange::Added { except } => Some((Way::Came, RowSet::live(except.clone()))),
        FileChange::RowsDeleted { now, before } => Some((Way::Went, plan::deleted(now, before.as_deref()))),
        FileChange::Retired { expired: true, .. } => None,
        FileChange::Retired { before, .. } => Some((Way::Went, RowSet::live(before.clone()))),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Came,
    Went,
}

/// The pairs of a transaction; `None` if it has none.
pub(super) async fn pairs(
    lake: &Lake,
    scope: &Scope,
    table: &TableDef,
    delta: &TableDelta,
) -> Result<Option<Arc<Pairs>>, Error> {
    let mut memory = lake.memory.reservation();
    let ids = same_ids(lake, scope, table, delta, &mut memory).await?;
    let places = same_keys(lake, scope, table, delta, &mut memory).await?;
    let none = ids.is_empty() && places.is_empty();
    Ok((!none).then(|| Arc::new(Pairs { ids, places, _memory: memory })))
}

/// Only files that keep ids can bring a row back: those are read, one column of each, and of the files that rows went from those
/// that keep ids too.
async fn same_ids(
    lake: &Lake,
    scope: &Scope,
    table: &TableDef,
    delta: &TableDelta,
    memory: &mut Reservation,
) -> Result<RoaringTreemap, Error> {
    let came = |change: &FileChange| matches!(change, FileChange::Added { .. });
    let keeps_ids = |file: &DataFile| file.file.row_ids_stored || delta.restores;
    let brings_back = delta.files.iter().any(|file| came(&file.change) && keeps_ids(&file.file));
    if !(delta.updates || delta.restores) || !brings_back {
        return Ok(RoaringTreemap::new());
    }
    let (mut back, mut gone) = (RoaringTreemap::new(), RoaringTreemap::new());
    for file in &delta.files {
        let Some((way, rows)) = rows(&file.change) else { continue };
        let ids = match way {
            Way::Came if !keeps_ids(&file.file) => continue,
            Way::Came => &mut back,
            Way::Went => &mut gone,
        };
        add_ids(lake, scope, table, &file.file, rows, ids).await?;
        let bytes = back.serialized_size() + gone.serialized_size();
        memory.try_grow((bytes as u64).saturating_sub(memory.bytes()))?;
    }
    Ok(back & gone)
}

/// Rows that went, and rows of the same primary key that came: the key's columns of both are read.
async fn same_keys(
    lake: &Lake,
    scope: &Scope,
    table: &TableDef,
    delta: &TableDelta,
    memory: &mut Reservation,
) -> Result<BTreeMap<FileId, RoaringTreemap>, Error> {
    let mut places: BTreeMap<FileId, RoaringTreemap> = BTreeMap::new();
    let Some(key) = RowKey::primary(table)? else { return Ok(places) };
    let of = |wanted: Way| {
        let changed = delta.files.iter().filter_map(|file| Some((file, rows(&file.change)?)));
        changed.filter(move |(_, (way, _))| *way == wanted).map(|(file, (_, rows))| (&file.file, rows))
    };
    if of(Way::Came).next().is_none() {
        return Ok(places);
    }
    let fields = key.fields().iter().map(|field| Field { required: false, ..field.clone() }).collect();
    let wanted = Arc::new(TableSchema { no: table.schema.no, fields });
    let mut gone: HashMap<Box<[u8]>, Vec<(FileId, u64)>> = HashMap::new();
    for (file, rows) in of(Way::Went) {
        let mut positions = rows.runs(file.file.rows).flatten();
        let mut batches = lake.read_file(scope, table, file, rows.clone(), &wanted).await?;
        while let Some(batch) = batches.try_next().await? {
            let keys = key.rows(batch.columns())?;
            memory.try_grow((keys.size() + batch.num_rows() * PLACE_BYTES) as u64)?;
            for (row, position) in keys.iter().zip(&mut positions) {
                gone.entry(row.data().into()).or_default().push((file.id, position));
            }
        }
    }
    if gone.is_empty() {
        return Ok(places);
    }
    for (file, rows) in of(Way::Came) {
        let mut positions = rows.runs(file.file.rows).flatten();
        let mut batches = lake.read_file(scope, table, file, rows.clone(), &wanted).await?;
        while let Some(batch) = batches.try_next().await? {
            for (row, position) in key.rows(batch.columns())?.iter().zip(&mut positions) {
                let Some(before) = gone.get(row.data()) else { continue };
                for (of, position) in before.iter().copied().chain([(file.id, position)]) {
                    places.entry(of).or_default().insert(position);
                }
            }
        }
    }
    Ok(places)
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
