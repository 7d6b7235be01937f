//! The files that a statement must read.

use std::collections::HashMap;
use std::sync::Arc;

use cenote_catalog::{DataFile, FileEntry, TableDef, VisibleFiles};
use cenote_datafile::StoredFile;
use cenote_vocab::{PartitionId, PartitionSpec, Scope, TableSchema, Txn};
use object_store::path::Path;

use crate::prune::{Verdict, judge, partition_may_match};
use crate::{Error, Lake, Predicate};

/// What a statement reads of one table at one snapshot.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The snapshot.
    pub txn: Txn,
    /// Files that may hold wanted rows, by id.
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

impl ScanFile {
    /// Its object.
    pub fn stored(&self) -> StoredFile {
        let known = &self.entry.file;
        StoredFile { path: self.path.clone(), bytes: known.bytes, footer_bytes: known.footer_bytes }
    }
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
        let visible = self.catalog.visible_files(scope, table, at, window).await?;
        let mut schemas = Schemas::of(table);
        let mut specs = Specs::of(table);
        let wanted = self.wanted(scope, table, &visible, predicate, (&mut schemas, &mut specs)).await?;
        let mut pruned = PruneCounts {
            files: visible.files.len(),
            by_partition: visible.files.len() - wanted.len(),
            by_statistics: 0,
        };
        let mut files = Vec::with_capacity(wanted.len());
        for entry in self.catalog.file_details(scope, table, at, &wanted).await? {
            let schema = schemas.at(self, scope, entry.file.schema_no).await?;
            let spec = specs.at(self, scope, entry.file.spec_no).await?;
            match judge(&entry, &schema, &spec, table, predicate) {
                Verdict::Keep => files.push(ScanFile::new(table, entry, schema)),
                Verdict::ByPartition => pruned.by_partition += 1,
                Verdict::ByStatistics => pruned.by_statistics += 1,
            }
        }
        Ok(Scan { txn: at, files, pruned })
    }

    /// The files whose partitions may hold wanted rows, by numbers alone; each partition is looked at once.
    async fn wanted(
        &self,
        scope: &Scope,
        table: &TableDef,
        visible: &VisibleFiles,
        predicate: &Predicate,
        (schemas, specs): (&mut Schemas<'_>, &mut Specs<'_>),
    ) -> Result<Vec<FileEntry>, Error> {
        let mut verdicts: HashMap<(PartitionId, i32), bool> = HashMap::new();
        for file in &visible.files {
            let key = (file.partition, file.schema_no);
            if verdicts.contains_key(&key) {
                continue;
            }
            let may_match = match visible.partitions.get(&file.partition) {
                Some(partition) => {
                    let written = schemas.at(self, scope, file.schema_no).await?;
                    let spec = specs.at(self, scope, partition.spec_no).await?;
                    partition_may_match(partition, &written, &spec, table, predicate)
                }
                None => true,
            };
            verdicts.insert(key, may_match);
        }
        let wanted = visible.files.iter().filter(|file| verdicts[&(file.partition, file.schema_no)]);
        Ok(wanted.copied().collect())
    }
}

impl ScanFile {
    /// False for what a transaction has staged.
    pub fn is_committed(&self) -> bool {
        self.entry.id.0 >= 0
    }

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

/// The partition specs of one table's files, each asked for once.
struct Specs<'a> {
    table: &'a TableDef,
    known: HashMap<i32, Arc<PartitionSpec>>,
}

impl<'a> Specs<'a> {
    fn of(table: &'a TableDef) -> Self {
        Self { table, known: HashMap::from([(table.spec.no, Arc::new(table.spec.clone()))]) }
    }

    async fn at(&mut self, lake: &Lake, scope: &Scope, spec_no: i32) -> Result<Arc<PartitionSpec>, Error> {
        if let Some(spec) = self.known.get(&spec_no) {
            return Ok(spec.clone());
        }
        let spec = lake.catalog.spec_at(scope, self.table.id, spec_no).await?;
        self.known.insert(spec_no, spec.clone());
        Ok(spec)
    }
}
