//! The files that a statement must read.

use std::collections::HashMap;
use std::sync::Arc;

use cenote_catalog::{DataFile, TableDef};
use cenote_vocab::{Scope, TableSchema, Txn};
use object_store::path::Path;

use crate::prune::{Verdict, judge};
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
    /// Visible at the snapshot; the catalog's index has left out those outside the predicate's times already.
    pub files: usize,
    /// Left out by partition tuple or time range.
    pub by_partition: usize,
    /// Left out by column statistics.
    pub by_statistics: usize,
}

impl Lake {
    /// Plans the read of `table` at `at`. `SnapshotExpired` if its history is gone, `Unsupported` for a view.
    pub async fn scan(
        &self,
        scope: &Scope,
        table: &TableDef,
        at: Txn,
        predicate: &Predicate,
    ) -> Result<Scan, Error> {
        Error::refuse_view(table)?;
        let window = table.time_column().and_then(|time| predicate.time_window(time));
        let visible = self.catalog.files(scope, table, at, window).await?;
        let mut pruned = PruneCounts { files: visible.len(), ..PruneCounts::default() };
        let mut schemas = Schemas::of(table);
        let mut files = Vec::with_capacity(visible.len());
        for entry in visible {
            let schema = schemas.at(self, scope, entry.file.schema_no).await?;
            match judge(&entry, &schema, table, predicate) {
                Verdict::Keep => files.push(ScanFile::new(table, entry, schema)),
                Verdict::ByPartition => pruned.by_partition += 1,
                Verdict::ByStatistics => pruned.by_statistics += 1,
            }
        }
        files.sort_unstable_by_key(|file| file.entry.id);
        Ok(Scan { txn: at, files, pruned })
    }
}

impl ScanFile {
    pub(crate) fn new(table: &TableDef, entry: Arc<DataFile>, schema: Arc<TableSchema>) -> Self {
        let path = cenote_store::object_path(&table.location, &entry.file.path);
        Self { entry, path, schema }
    }
}

/// The schemas of one table's files, each asked for once.
pub(crate) struct Schemas<'a> {
    table: &'a TableDef,
    known: HashMap<i32, Arc<TableSchema>>,
}

impl<'a> Schemas<'a> {
    pub(crate) fn of(table: &'a TableDef) -> Self {
        Self { table, known: HashMap::from([(table.schema.no, table.schema.clone())]) }
    }

    pub(crate) async fn at(
        &mut self,
        lake: &Lake,
        scope: &Scope,
        schema_no: i32,
    ) -> Result<Arc<TableSchema>, Error> {
        if let Some(schema) = self.known.get(&schema_no) {
            return Ok(schema.clone());
        }
        let schema = lake.catalog.schema_at(scope, self.table.id, schema_no).await?;
        self.known.insert(schema_no, schema.clone());
        Ok(schema)
    }
}
