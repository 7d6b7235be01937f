//! The files that a statement must read.

use std::sync::Arc;

use cenote_catalog::{DataFile, TableDef};
use cenote_vocab::{Scope, TableSchema, Txn};
use object_store::path::Path;

use crate::{Error, Lake, Predicate};

/// What a statement reads of one table at one snapshot.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The snapshot.
    pub txn: Txn,
    /// Files that may hold wanted rows, in order of id.
    pub files: Vec<ScanFile>,
    /// What was left out.
    pub pruned: PruneCounts,
}

/// One file to read.
#[derive(Clone, Debug)]
pub struct ScanFile {
    /// Catalog's knowledge: rows, sizes, statistics, deletion vector.
    pub entry: Arc<DataFile>,
    /// Below the storage root.
    pub path: Path,
    /// The columns it was written with.
    pub schema: Arc<TableSchema>,
}

/// How many files a scan left out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneCounts {
    /// Visible at the snapshot.
    pub files: usize,
    /// Left out by partition tuple or time range.
    pub by_partition: usize,
    /// Left out by column statistics.
    pub by_statistics: usize,
}

impl Lake {
    /// Plans the read of `table` at `at`. `SnapshotExpired` if its history is gone.
    pub async fn scan(
        &self,
        _scope: &Scope,
        _table: &TableDef,
        _at: Txn,
        _predicate: &Predicate,
    ) -> Result<Scan, Error> {
        todo!()
    }
}
