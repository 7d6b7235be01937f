//! What changed the rows of a table, transaction by transaction: files that came and went, vectors that grew.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cenote_datafile::DeletionVector;
use cenote_vocab::{FileId, Micros, Scope, Txn};

use crate::conflict::ops;
use crate::inner::Inner;
use crate::reading::{check_not_future, check_scope, head};
use crate::sql::{file, history, object, state};
use crate::{DataFile, Error, TableDef};

/// Commits that one question answers, at most.
const COMMITS_MAX: usize = 1_000;
/// Files that one question answers, beyond those of one commit.
const FILES_MAX: i64 = 10_000;

/// One commit of a table, as its history keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableCommit {
    /// Its number.
    pub txn: Txn,
    /// When.
    pub committed: Micros,
    /// `insert`, `delete`, `compact`, …
    pub operation: String,
    /// Token name.
    pub actor: Option<String>,
    /// Free text for people.
    pub message: Option<String>,
    /// Its place among the commits of the table.
    pub seq: i64,
    /// What it did, as bits (tables page, 1.1).
    pub ops: i32,
    /// False for a compaction: the same rows in other files.
    pub data_change: bool,
    /// The columns since then.
    pub schema_no: i32,
    /// Files that came.
    pub files_added: i64,
    /// Files that went.
    pub files_removed: i64,
    /// Rows in the files that came.
    pub rows_added: i64,
    /// Rows that were deleted.
    pub rows_deleted: i64,
    /// Bytes of the files that came.
    pub bytes_added: i64,
}

/// A part of a table's changes, and how far it goes.
#[derive(Clone, Debug)]
pub struct Changes {
    /// By transaction; those that changed no rows are left out.
    pub deltas: Vec<TableDelta>,
    /// Everything up to and including this transaction is in `deltas`.
    pub reached: Txn,
}

/// What one transaction did to the rows of a table.
#[derive(Clone, Debug)]
pub struct TableDelta {
    /// The transaction.
    pub txn: Txn,
    /// When it was committed.
    pub committed: Micros,
    /// True if some of its rows replaced others.
    pub updates: bool,
    /// True if files of an earlier version came back, with the row ids that they had.
    pub restores: bool,
    /// By file id; each file once.
    pub files: Vec<FileDelta>,
}

/// What one transaction did to the rows of one file.
#[derive(Clone, Debug)]
pub struct FileDelta {
    /// The file; its `vector` is not filled.
    pub file: Arc<DataFile>,
    /// What happened.
    pub change: FileChange,
}

/// How rows of a file came or went.
#[derive(Clone, Debug, PartialEq)]
pub enum FileChange {
    /// The file came with all of its rows, except those that the same commit took away.
    Added {
        /// Rows that never were.
        except: Option<Arc<DeletionVector>>,
    },
    /// Rows went.
    RowsDeleted {
        /// All that are gone after the commit.
        now: Arc<DeletionVector>,
        /// Those that were gone before it.
        before: Option<Arc<DeletionVector>>,
    },
    /// The file went with all rows that it still had.
    Retired {
        /// Those that were gone before.
        before: Option<Arc<DeletionVector>>,
        /// True if its rows were too old, false if they were deleted.
        expired: bool,
    },
}

/// A deletion vector, from its first transaction to before its last.
pub(crate) struct VectorSpan {
    pub(crate) file: FileId,
    pub(crate) begin: Txn,
    pub(crate) end: Txn,
    pub(crate) vector: Arc<DeletionVector>,
}

/// Changes after `after` up to `to`, or a part of them.
pub(crate) async fn changes(
    inner: &Inner,
    scope: &Scope,
    table: &TableDef,
    after: Txn,
    to: Txn,
) -> Result<Changes, Error> {
    check_scope(scope, table.id)?;
    check_not_future(to, head(inner, scope).await?.txn)?;
    let mut transaction = inner.database.read().await?;
    let mut commits =
        history::table_commits(&mut transaction, table.id, (after, to), history::Wanted::Rows, COMMITS_MAX)
            .await?;
    let reached = cut(&mut commits, to);
    let schemas = object::table_schemas(&mut transaction, table.id).await?;
    let files = file::touched(&mut transaction, table.id, (after, reached), &schemas).await?;
    let vectors = file::vectors(&mut transaction, table.id, (after, reached), &files).await?;
    // Only now: a purge may have run before this database transaction began.
    let floor = state::states(&mut transaction, &[table.id]).await?.get(&table.id).map(|s| s.history_floor);
    transaction.rollback().await?;
    match floor {
        Some(floor) if after >= floor => Ok(Changes { deltas: deltas(&commits, &files, vectors), reached }),
        floor => Err(Error::ChangesExpired { table: table.full_name(), after, floor: floor.unwrap_or(to) }),
    }
}

/// The table's commits after `range.0` up to `range.1`, oldest first, at most `limit`.
pub(crate) async fn table_commits(
    inner: &Inner,
    scope: &Scope,
    table: &TableDef,
    range: (Txn, Txn),
    limit: usize,
) -> Result<Vec<TableCommit>, Error> {
    check_scope(scope, table.id)?;
    let mut transaction = inner.database.read().await?;
    let commits =
        history::table_commits(&mut transaction, table.id, range, history::Wanted::All, limit).await?;
    transaction.rollback().await?;
    Ok(commits)
}

/// Leaves so many commits that their files are bounded, one at least; answers how far they go.
fn cut(commits: &mut Vec<TableCommit>, to: Txn) -> Txn {
    let full = commits.len() == COMMITS_MAX;
    let mut files = 0;
    let kept = commits.iter().take_while(|commit| {
        files += commit.files_added + commit.files_removed;
        files <= FILES_MAX
    });
    let kept = kept.count().max(1);
    let whole = kept >= commits.len() && !full;
    commits.truncate(kept);
    match commits.last() {
        Some(last) if !whole => last.txn,
        _ => to,
    }
}

fn deltas(
    commits: &[TableCommit],
    files: &BTreeMap<FileId, Arc<DataFile>>,
    vectors: Vec<VectorSpan>,
) -> Vec<TableDelta> {
    let mut begun: HashMap<(Txn, FileId), Arc<DeletionVector>> = HashMap::new();
    let mut ended: HashMap<(Txn, FileId), Arc<DeletionVector>> = HashMap::new();
    for span in vectors {
        begun.insert((span.begin, span.file), span.vector.clone());
        ended.insert((span.end, span.file), span.vector);
    }
    let mut by_txn: BTreeMap<Txn, BTreeMap<FileId, FileChange>> =
        commits.iter().map(|commit| (commit.txn, BTreeMap::new())).collect();
    let bits: HashMap<Txn, i32> = commits.iter().map(|commit| (commit.txn, commit.ops)).collect();
    let expiring = |txn: Txn| {
        bits.get(&txn).is_some_and(|bits| bits & ops::EXPIRE != 0 && bits & (ops::RETIRE | ops::REPLACE) == 0)
    };
    let mut add = |txn: Txn, file: FileId, change: FileChange| {
        if let Some(changes) = by_txn.get_mut(&txn) {
            changes.insert(file, change);
        }
    };
    for ((txn, file), vector) in &begun {
        let before = ended.get(&(*txn, *file)).cloned();
        add(*txn, *file, FileChange::RowsDeleted { now: vector.clone(), before });
    }
    for file in files.values() {
        let before = ended.get(&(file.end_txn, file.id)).cloned();
        add(file.end_txn, file.id, FileChange::Retired { before, expired: expiring(file.end_txn) });
        let except = begun.get(&(file.begin_txn, file.id)).cloned();
        add(file.begin_txn, file.id, FileChange::Added { except });
    }
    let deltas = commits.iter().filter_map(|commit| {
        let changes = by_txn.remove(&commit.txn)?;
        let files = changes
            .into_iter()
            .filter_map(|(id, change)| Some(FileDelta { file: files.get(&id)?.clone(), change }));
        let files: Vec<FileDelta> = files.collect();
        let (updates, restores) = (commit.ops & ops::UPDATE != 0, commit.ops & ops::RESTORE != 0);
        (!files.is_empty()).then_some(TableDelta {
            txn: commit.txn,
            committed: commit.committed,
            updates,
            restores,
            files,
        })
    });
    deltas.collect()
}
