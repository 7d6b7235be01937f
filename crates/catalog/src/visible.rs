//! Which files of a table a snapshot shows, and what is known of them.
//!
//! Two steps: the index answers numbers (when, how many rows, from which time to which) of every file without asking the
//! database, as long as it knows the table; paths, statistics and deleted rows are fetched for those files only that a reader
//! still wants, a page at a time, and kept for the next one.

use std::collections::HashMap;
use std::sync::Arc;

use cenote_datafile::DeletionVector;
use cenote_vocab::{ErrorKind, Fault, FileId, PartitionId, Scope, TableId, Tuple, Txn};

use crate::committer::TableState;
use crate::file_index::{TableIndex, View};
use crate::hold;
use crate::inner::Inner;
use crate::reading::{check_not_future, check_scope, head};
use crate::recent::FileDetails;
use crate::sql::{file, file_index, object, state};
use crate::{DataFile, Error, TableDef, TimeWindow, VisibleVector};

/// Of more files than this, statistics are not fetched: reading them would take longer than they save.
const STATISTICS_FILES_MAX: usize = 100_000;
/// Of a table with more files, the first question about some time is put to the database: to get to know it takes longer.
const ASKED_FIRST_FILES: i64 = 20_000;

/// Numbers of one file, as of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its id.
    pub id: FileId,
    /// Visible from here …
    pub begin_txn: Txn,
    /// … to before here; `LIVE` if it still is.
    pub end_txn: Txn,
    /// Its partition, see [`VisibleFiles::partitions`].
    pub partition: PartitionId,
    /// The schema it was written with.
    pub schema_no: i32,
    /// Smallest and largest time in µs.
    pub time_range: Option<(i64, i64)>,
    /// Rows, deleted ones included.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Rows deleted from it, and by the vector of which transaction.
    pub deleted: Option<(Txn, u64)>,
}

impl FileEntry {
    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.rows - self.deleted.map_or(0, |(_, rows)| rows)
    }
}

/// A partition's values, and the spec that they are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionTuple {
    /// The spec.
    pub spec_no: i32,
    /// One value per field of it.
    pub tuple: Tuple,
}

/// Partitions of a table by id.
pub type Partitions = HashMap<PartitionId, PartitionTuple>;

/// Files that a snapshot shows.
#[derive(Clone, Debug, Default)]
pub struct VisibleFiles {
    /// By id.
    pub files: Vec<FileEntry>,
    /// At least those of the files.
    pub partitions: Arc<Partitions>,
}

/// Numbers of the files visible at `at` that may hold rows in `window`.
pub(crate) async fn visible(
    inner: &Arc<Inner>,
    scope: &Scope,
    table: &TableDef,
    at: Txn,
    window: Option<TimeWindow>,
) -> Result<VisibleFiles, Error> {
    visible_of(inner, scope, table, at, window, ASKED_FIRST_FILES).await
}

async fn visible_of(
    inner: &Arc<Inner>,
    scope: &Scope,
    table: &TableDef,
    at: Txn,
    window: Option<TimeWindow>,
    asked_first_files: i64,
) -> Result<VisibleFiles, Error> {
    check_scope(scope, table.id)?;
    check_not_future(at, head(inner, scope).await?.txn)?;
    let window = window.unwrap_or(TimeWindow::ALL);
    if inner.is_active()
        && let Some(view) = inner.files.view(table.id, at, None)
    {
        return Ok(view.visible(at, window));
    }
    let found = state::state(&inner.database, table.id).await?.ok_or_else(|| purged(table, at))?;
    let cold = window != TimeWindow::ALL
        && found.live_files > asked_first_files
        && inner.files.reached(table.id).is_none();
    let known = if cold {
        get_to_know(inner, table.id, at, found.clone());
        None
    } else {
        view(inner, table.id, at, &found).await?
    };
    let files = match known {
        Some(view) => view.visible(at, window),
        None => ask(inner, table.id, at, window, &found).await?,
    };
    check_kept(inner, scope, table, at).await?; // only now: a purge may have run while the rows were read
    Ok(files)
}

/// Brings the table's files into memory for later questions, while this one is answered.
fn get_to_know(inner: &Arc<Inner>, table: TableId, at: Txn, found: TableState) {
    let (inner, stop) = (Arc::clone(inner), inner.stop.clone());
    inner.tasks.clone().spawn(async move {
        if let Some(Err(error)) = stop.run_until_cancelled(view(&inner, table, at, &found)).await {
            tracing::warn!(%error, table = table.0, "files of the table are not in memory");
        }
    });
}

/// The table's files from memory, which first catches up with the table or gets to know it; `None` if that is not possible.
async fn view(inner: &Inner, table: TableId, at: Txn, found: &TableState) -> Result<Option<View>, Error> {
    let newest = Some(found.last_txn);
    if let Some(view) = inner.files.view(table, at, newest) {
        return Ok(Some(view));
    }
    if at < found.history_floor || !TableIndex::fits(found.live_files) {
        return Ok(None);
    }
    let _alone = inner.files.lock_loading(table).await;
    if let Some(view) = inner.files.view(table, at, newest) {
        return Ok(Some(view));
    }
    let ticket = inner.files.ticket();
    let reached = inner.files.reached(table);
    let mut transaction = inner.database.read().await?;
    let Some(found) = state::states(&mut transaction, &[table]).await?.remove(&table) else {
        return Ok(None);
    };
    match reached {
        Some((reached, partition)) if reached >= found.history_floor => {
            let delta =
                file_index::delta(&mut transaction, table, (reached, found.last_txn), partition).await?;
            inner.files.follow(table, ticket, reached, delta);
        }
        _ => {
            let index = load(&mut transaction, table, &found).await?;
            inner.files.keep(table, ticket, index);
        }
    }
    transaction.rollback().await?;
    inner.note_files();
    Ok(inner.files.view(table, at, newest))
}

/// All versions that history keeps, a page at a time.
async fn load(
    transaction: &mut crate::sql::Transaction,
    table: TableId,
    found: &TableState,
) -> Result<TableIndex, Error> {
    let floor = found.history_floor;
    let mut index = TableIndex::new(found.last_txn, floor);
    index.add_partitions(file_index::partitions(transaction, table, None).await?);
    let mut after = FileId(i64::MIN);
    loop {
        let page = file_index::page(transaction, table, floor, after).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let full = page.len() == file_index::PAGE_FILES;
        page.iter().for_each(|entry| index.push(entry));
        if !full {
            break;
        }
    }
    for vector in file_index::vectors(transaction, table, floor).await? {
        index.set_vector(&vector);
    }
    Ok(index)
}

/// Asks the database for what memory does not hold: a version below the floor that a tag keeps, a table beyond all bounds.
async fn ask(
    inner: &Inner,
    table: TableId,
    at: Txn,
    window: TimeWindow,
    found: &TableState,
) -> Result<VisibleFiles, Error> {
    let mut transaction = inner.database.read().await?;
    let files = file_index::visible(&mut transaction, table, at, window, found.max_span).await?;
    let partitions = file_index::partitions(&mut transaction, table, None).await?;
    transaction.rollback().await?;
    Ok(VisibleFiles { files, partitions: Arc::new(partitions.into_iter().collect()) })
}

/// All that the catalog knows of `files`, in their order.
pub(crate) async fn details(
    inner: &Inner,
    scope: &Scope,
    table: &TableDef,
    at: Txn,
    files: &[FileEntry],
) -> Result<Vec<Arc<DataFile>>, Error> {
    check_scope(scope, table.id)?;
    let (mut known, mut vectors) = inner.recent.find(table.id, files);
    if known.len() < files.len() || vectors.len() < files.iter().filter(|file| file.deleted.is_some()).count()
    {
        fetch(inner, scope, table, files, &mut known, &mut vectors).await?;
    }
    let mut all = Vec::with_capacity(files.len());
    for entry in files {
        match data_file(entry, &known, &vectors) {
            Some(file) => all.push(Arc::new(file)),
            None => {
                check_kept(inner, scope, table, at).await?;
                return Err(Error::Corrupt(format!(
                    "file {} of {} has lost its row, or the row of its deletion vector",
                    entry.id,
                    table.full_name()
                )));
            }
        }
    }
    Ok(all)
}

type Vectors = HashMap<(FileId, Txn), Arc<DeletionVector>>;

/// Reads what is not known of the files, and keeps it.
async fn fetch(
    inner: &Inner,
    scope: &Scope,
    table: &TableDef,
    files: &[FileEntry],
    known: &mut HashMap<FileId, FileDetails>,
    vectors: &mut Vectors,
) -> Result<(), Error> {
    let missing = files.iter().map(|file| file.id).filter(|id| !known.contains_key(id));
    let missing: Vec<FileId> = missing.collect();
    let mut transaction = inner.database.read().await?;
    if !missing.is_empty() {
        let schemas = object::table_schemas(&mut transaction, table.id).await?;
        let statistics = match files.len() {
            0..=STATISTICS_FILES_MAX => file::Statistics::Read,
            _ => file::Statistics::LeaveOut,
        };
        let found = file::named(&mut transaction, table.id, &missing, statistics, &schemas).await?;
        inner.memory(scope.catalog()).note_schemas(table.id, &schemas);
        let found = found.into_iter().map(|file| (file.id, FileDetails::from(file)));
        let found: Vec<(FileId, FileDetails)> = found.collect();
        if statistics == file::Statistics::Read {
            inner.recent.keep_files(table.id, &found);
        }
        known.extend(found);
    }
    let missing = files.iter().filter_map(|file| Some((file.id, file.deleted?.0, file.rows)));
    let missing = missing.filter(|(file, begin, _)| !vectors.contains_key(&(*file, *begin)));
    let missing: Vec<(FileId, Txn, u64)> = missing.collect();
    if !missing.is_empty() {
        let found = file::vectors_named(&mut transaction, table.id, &missing).await;
        let found = found.map_err(|failure| named(table, Error::from(failure)))?;
        inner.recent.keep_vectors(table.id, &found);
        vectors.extend(found);
    }
    inner.note_files();
    Ok(transaction.rollback().await?)
}

/// A damaged vector is known by numbers; here by the name of its table too.
fn named(table: &TableDef, error: Error) -> Error {
    match error {
        Error::DataFile(error) if error.kind() == ErrorKind::Corrupt => {
            Error::Corrupt(format!("table {}: {error}", table.full_name()))
        }
        other => other,
    }
}

fn data_file(entry: &FileEntry, known: &HashMap<FileId, FileDetails>, vectors: &Vectors) -> Option<DataFile> {
    let details = known.get(&entry.id)?;
    let vector = match entry.deleted {
        Some((begin_txn, _)) => {
            Some(VisibleVector { begin_txn, vector: vectors.get(&(entry.id, begin_txn))?.clone() })
        }
        None => None,
    };
    Some(DataFile {
        id: entry.id,
        begin_txn: entry.begin_txn,
        end_txn: entry.end_txn,
        file: details.file.clone(),
        vector,
        row_id_start: details.row_id_start,
        seq: details.seq,
    })
}

/// `SnapshotExpired` below the floor that the database knows now, unless a tag keeps that very version.
pub(crate) async fn check_kept(inner: &Inner, scope: &Scope, table: &TableDef, at: Txn) -> Result<(), Error> {
    let floor = state::state(&inner.database, table.id).await?.map(|state| state.history_floor);
    let floor = floor.ok_or_else(|| purged(table, at))?;
    if at >= floor {
        return Ok(());
    }
    let holds = hold::all(inner, scope).await?;
    let tags =
        || holds.iter().filter(|hold| hold.name.is_some() && hold.concerns(table.id)).map(|hold| hold.txn);
    if tags().any(|tag| tag == at) {
        return Ok(());
    }
    let after = tags().filter(|tag| *tag > at).fold(floor, Txn::min);
    let readable = match tags().filter(|tag| *tag < at).max() {
        Some(before) => format!("the nearest that are readable are {before} and {after}"),
        None => format!("the oldest is {after}"),
    };
    Err(Error::SnapshotExpired(format!(
        "version {at} of {} is no longer kept: {readable}",
        table.full_name()
    )))
}

/// Of a table of which nothing is left.
fn purged(table: &TableDef, at: Txn) -> Error {
    Error::SnapshotExpired(format!("version {at} of {} is no longer kept", table.full_name()))
}

#[cfg(test)]
mod tests;
