//! What a transaction has done to the rows of one table, before it commits.
//!
//! New rows are in files that the store has and no snapshot shows. Inside of the transaction such a file has an id below
//! zero, so that later statements can read its rows and take them away again like those of any other file.
//! Invariant: a row of a snapshot that was taken is in no [`Lake::scan_staged`]; a row that was taken from a new file is in
//! no commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{
    DataFile, FileEntry, NewFile, Op, ReadSet, Region, RetireKind, RowChange, TableDef, VisibleVector,
};
use cenote_datafile::{DeletionVector, Level, RowSet};
use cenote_vocab::{FileId, LIVE, Scope, TableSchema, Txn};
use futures::TryStreamExt;

use crate::scan::ScanFile;
use crate::writer::keeping_row_ids;
use crate::{Error, Lake, Predicate, PruneCounts, Scan, Written};

/// Of more zones of the table than that, it counts as read whole: the committer looks at each under its lock.
const ZONES_MAX: usize = 4096;

/// Uncommitted changes of the rows of one table.
#[derive(Clone, Debug)]
pub struct Staging {
    table: Arc<TableDef>,
    origin: Origin,
    appended: Vec<Appended>,
    taken: BTreeMap<FileId, Taken>,
    retired: BTreeSet<FileId>,
    read: ReadSet,
}

/// Where the table comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Snapshots show it.
    Lake,
    /// The transaction itself made it.
    Transaction,
}

/// A new file, less the rows that the same transaction took from it again.
#[derive(Clone, Debug)]
struct Appended {
    file: Arc<NewFile>,
    schema: Arc<TableSchema>,
    taken: DeletionVector,
}

/// Rows of a file of the snapshot.
#[derive(Clone, Debug)]
struct Taken {
    seen: Option<Txn>,
    positions: DeletionVector,
    kind: RowChange,
}

impl Staging {
    /// Nothing yet.
    pub fn of(table: Arc<TableDef>) -> Self {
        Self::new(table, Origin::Lake)
    }

    /// Nothing yet, of a table that the transaction itself made.
    pub fn of_new(table: Arc<TableDef>) -> Self {
        Self::new(table, Origin::Transaction)
    }

    fn new(table: Arc<TableDef>, origin: Origin) -> Self {
        Self {
            table,
            origin,
            appended: Vec::new(),
            taken: BTreeMap::new(),
            retired: BTreeSet::new(),
            read: ReadSet::None,
        }
    }

    /// The table, as it was when its rows were changed last.
    pub fn table(&self) -> &Arc<TableDef> {
        &self.table
    }

    /// New rows.
    pub fn append(&mut self, written: Written) {
        let schema = self.table.schema.clone();
        let files = written.into_files().into_iter().map(|file| Appended {
            file: Arc::new(file),
            schema: schema.clone(),
            taken: DeletionVector::default(),
        });
        self.appended.extend(files);
    }

    /// Rows of `file` are taken, which a scan showed with the vector `seen`.
    pub fn take(&mut self, file: FileId, seen: Option<Txn>, positions: &DeletionVector, kind: RowChange) {
        let nothing = Taken { seen, positions: DeletionVector::default(), kind };
        let taken = self.taken.entry(file).or_insert(nothing);
        taken.positions = taken.positions.union(positions);
        if kind == RowChange::Update {
            taken.kind = kind; // the stricter
        }
    }

    /// All rows of the files are deleted.
    pub fn retire(&mut self, files: impl IntoIterator<Item = FileId>) {
        self.retired.extend(files);
    }

    /// What the change depends on having read.
    pub fn read(&mut self, read: ReadSet) {
        self.read = match (std::mem::take(&mut self.read), read) {
            (ReadSet::None, one) | (one, ReadSet::None) => one,
            (ReadSet::Rows(mut known), ReadSet::Rows(more)) if known.0.len() + more.0.len() <= ZONES_MAX => {
                known.0.extend(more.0);
                ReadSet::Rows(known)
            }
            (ReadSet::Rows(_), ReadSet::Rows(_)) => ReadSet::Rows(Region::all()),
            _ => ReadSet::All,
        };
    }

    /// Adds what a later statement did, which saw the effects of this: also rows of new files may be taken.
    pub fn extend(&mut self, later: Self) {
        for (file, taken) in later.taken {
            match self.appended_mut(file) {
                Some(appended) => appended.taken = appended.taken.union(&taken.positions),
                None => self.take(file, taken.seen, &taken.positions, taken.kind),
            }
        }
        for file in later.retired {
            match self.appended_mut(file) {
                Some(appended) => appended.taken = (0..appended.file.rows).collect(),
                None => {
                    self.taken.remove(&file);
                    self.retired.insert(file);
                }
            }
        }
        self.read(later.read);
        self.appended.extend(later.appended);
        self.table = later.table;
    }

    /// True if no snapshot shows the table yet.
    pub fn is_new_table(&self) -> bool {
        self.origin == Origin::Transaction
    }

    /// True if a commit would change nothing.
    pub fn is_empty(&self) -> bool {
        self.appended.is_empty() && self.taken.is_empty() && self.retired.is_empty()
    }

    /// Bytes of the new files.
    pub fn bytes(&self) -> u64 {
        self.appended.iter().map(|appended| appended.file.bytes).sum()
    }

    /// The scan as the transaction sees it. New files are not pruned: what they cost is what the transaction wrote.
    fn overlay(&self, mut scan: Scan) -> Scan {
        scan.files.retain(|file| !self.retired.contains(&file.entry.id));
        for file in &mut scan.files {
            if let Some(taken) = self.taken.get(&file.entry.id) {
                file.entry = Arc::new(less(&file.entry, &taken.positions));
            }
        }
        scan.files.extend(self.appended.iter().enumerate().map(|(at, appended)| self.new_file(at, appended)));
        scan.files.retain(|file| file.entry.live_rows() > 0);
        scan
    }

    fn new_file(&self, at: usize, appended: &Appended) -> ScanFile {
        let entry = DataFile {
            id: staged_id(at),
            begin_txn: Txn(0),
            end_txn: LIVE,
            file: appended.file.clone(),
            vector: None,
            row_id_start: 0,
            seq: 0,
        };
        let entry = if appended.taken.is_empty() { entry } else { less(&entry, &appended.taken) };
        ScanFile::new(&self.table, Arc::new(entry), appended.schema.clone())
    }

    fn appended_mut(&mut self, file: FileId) -> Option<&mut Appended> {
        let at = usize::try_from(-1 - file.0).ok()?;
        self.appended.get_mut(at)
    }
}

/// What a transaction sees of one file, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileNumbers {
    /// Its id; below zero if the transaction itself staged it.
    pub id: FileId,
    /// Rows that are not deleted.
    pub live_rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// The transaction that made its deletion vector.
    pub vector: Option<Txn>,
}

impl FileNumbers {
    fn of(file: &FileEntry) -> Self {
        let vector = file.deleted.map(|(txn, _)| txn);
        Self { id: file.id, live_rows: file.live_rows(), bytes: file.bytes, vector }
    }
}

impl Staging {
    /// The numbers as the transaction sees them.
    fn count(&self, files: &mut Vec<FileNumbers>) {
        files.retain(|file| !self.retired.contains(&file.id));
        for file in files.iter_mut() {
            if let Some(taken) = self.taken.get(&file.id) {
                file.live_rows -= taken.positions.cardinality();
            }
        }
        files.extend(self.appended.iter().enumerate().map(|(at, appended)| FileNumbers {
            id: staged_id(at),
            live_rows: appended.file.rows - appended.taken.cardinality(),
            bytes: appended.file.bytes,
            vector: None,
        }));
        files.retain(|file| file.live_rows > 0);
    }
}

impl Lake {
    /// The files of a table as a transaction with this staging sees them.
    pub async fn numbers(
        &self,
        scope: &Scope,
        staging: Option<&Staging>,
        table: &TableDef,
        at: Txn,
    ) -> Result<Vec<FileNumbers>, Error> {
        let mut files = match staging {
            Some(staging) if staging.is_new_table() => Vec::new(),
            _ => self.visible(scope, table, at).await?,
        };
        if let Some(staging) = staging {
            staging.count(&mut files);
        }
        Ok(files)
    }

    async fn visible(&self, scope: &Scope, table: &TableDef, at: Txn) -> Result<Vec<FileNumbers>, Error> {
        let files = self.catalog.visible_files(scope, table, at, None).await?.files;
        Ok(files.iter().map(FileNumbers::of).collect())
    }

    /// As [`Lake::scan`], of the table as the transaction sees it.
    pub async fn scan_staged(
        &self,
        scope: &Scope,
        staging: &Staging,
        table: &TableDef,
        at: Txn,
        predicate: &Predicate,
    ) -> Result<Scan, Error> {
        let scan = match staging.origin {
            Origin::Lake => self.scan(scope, table, at, predicate).await?,
            Origin::Transaction => {
                Error::refuse_view(table)?;
                Scan { txn: at, files: Vec::new(), pruned: PruneCounts::default() }
            }
        };
        Ok(staging.overlay(scan))
    }

    /// True if what was staged on snapshot `from` holds on `to` as well: the rows that it took are as they were, and no row
    /// that it looked for can have come.
    pub async fn holds_at(
        &self,
        scope: &Scope,
        staging: &Staging,
        (from, to): (Txn, Txn),
    ) -> Result<bool, Error> {
        if staging.origin == Origin::Transaction {
            return Ok(true);
        }
        let before = self.visible(scope, &staging.table, from).await?;
        let after = self.visible(scope, &staging.table, to).await?;
        if staging.read != ReadSet::None && before != after {
            return Ok(false);
        }
        let vectors = |files: Vec<FileNumbers>| -> BTreeMap<FileId, Option<Txn>> {
            files.into_iter().map(|file| (file.id, file.vector)).collect()
        };
        let (before, after) = (vectors(before), vectors(after));
        let mut changed = staging.taken.keys().chain(&staging.retired);
        Ok(changed.all(|file| before.get(file) == after.get(file)))
    }
}

/// Ids of new files count down from -1.
fn staged_id(at: usize) -> FileId {
    FileId(-1 - i64::try_from(at).unwrap_or(i64::MAX - 1))
}

/// The file with more rows deleted.
fn less(entry: &DataFile, positions: &DeletionVector) -> DataFile {
    let (begin_txn, vector) = match &entry.vector {
        Some(visible) => (visible.begin_txn, visible.vector.union(positions)),
        None => (Txn(0), positions.clone()),
    };
    DataFile { vector: Some(VisibleVector { begin_txn, vector: Arc::new(vector) }), ..entry.clone() }
}

impl Lake {
    /// Makes the new files hold only rows that stay: those from which rows were taken again are written anew.
    pub async fn settle(&self, scope: &Scope, staging: &mut Staging) -> Result<(), Error> {
        while let Some(at) = staging.appended.iter().position(|appended| !appended.taken.is_empty()) {
            let written = if staging.appended[at].taken.cardinality() == staging.appended[at].file.rows {
                Written::default()
            } else {
                self.rewritten(scope, staging, at).await?
            };
            let old = staging.appended.swap_remove(at);
            staging.append(written);
            self.delete_new(&staging.table, std::slice::from_ref(&*old.file)).await;
        }
        Ok(())
    }

    async fn rewritten(&self, scope: &Scope, staging: &Staging, at: usize) -> Result<Written, Error> {
        let (table, appended) = (&staging.table, &staging.appended[at]);
        let file = staging.new_file(at, appended);
        let taken = Some(Arc::new(appended.taken.clone()));
        let as_written = match appended.file.row_ids_stored {
            true => Arc::new(keeping_row_ids(table)),
            false => table.clone(),
        };
        let rows = RowSet::live(taken);
        let mut batches = self.read_file(scope, &as_written, &file.entry, rows, &as_written.schema).await?;
        let mut writer = self.writer(scope, as_written, Level::Fresh);
        loop {
            let batch: Result<Option<RecordBatch>, Error> = batches.try_next().await;
            let outcome = match batch {
                Ok(Some(batch)) => writer.write(batch).await,
                Ok(None) => return writer.finish().await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                writer.abandon().await;
                return Err(error);
            }
        }
    }

    /// Deletes the new files of a change that will not be committed. Best effort: what stays is an orphan.
    pub async fn discard(&self, staging: &Staging) {
        let files: Vec<NewFile> =
            staging.appended.iter().map(|appended| appended.file.as_ref().clone()).collect();
        self.delete_new(&staging.table, &files).await;
    }
}

impl Staging {
    /// The acts of a commit, and what they depend on having read. Call [`Lake::settle`] first.
    pub fn ops(&self) -> (Vec<Op>, ReadSet) {
        let mut ops = Vec::new();
        let files: Vec<NewFile> =
            self.appended.iter().map(|appended| appended.file.as_ref().clone()).collect();
        if !files.is_empty() {
            ops.push(Op::Append { files });
        }
        for (file, taken) in &self.taken {
            let Taken { seen, positions, kind } = taken.clone();
            ops.push(Op::DeleteRows { file: *file, seen, positions, kind });
        }
        if !self.retired.is_empty() {
            let files = self.retired.iter().copied().collect();
            ops.push(Op::Retire { files, kind: RetireKind::Delete });
        }
        (ops, self.read.clone())
    }
}
