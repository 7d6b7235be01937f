//! Carries out one job: reads its files, merges their rows, writes new files. Nothing of it is visible before the commit.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{NewFile, TableDef};
use cenote_datafile::{DeletionVector, ReadOptions, RowIdentity, RowSet, has_row_ids, read_batches};
use cenote_vocab::{Scope, Tuple};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::plan::{Action, JOB_BYTES_MAX, Job};
use super::sorter::Sorter;
use crate::merge::{Batches, Merge};
use crate::new_files::{NewFiles, Place};
use crate::order::{Cut, RowOrder};
use crate::scan::ScanFile;
use crate::worker::on_worker;
use crate::{Error, Lake, Progress};

/// Rows that are decoded at a time, of each file of a merge.
const READ_ROWS: usize = 8_192;
/// A reader holds at most one row group of its file.
const READER_BYTES: u64 = 128 << 20;
/// Rows beyond share an unpartitioned file: a commit takes 10 000 files.
const OUTPUTS_MAX: usize = 4_096;
/// The same for rows that came in small pieces, whose partitions get few rows each.
const FLUSHED_FILES_MAX: usize = 128;

/// Bytes that one job may read when this much memory is there.
pub(super) fn job_bytes(memory: u64) -> u64 {
    JOB_BYTES_MAX.min(memory / 4)
}

/// Rewrites the job's files, which lie in `partition` of spec `spec_no`. All new files, or none.
pub(super) async fn rewrite(
    (lake, scope): (&Lake, &Scope),
    table: &Arc<TableDef>,
    (spec_no, partition): (i32, &Tuple),
    job: &Job,
    inputs: Vec<ScanFile>,
    progress: &Progress,
) -> Result<Vec<NewFile>, Error> {
    let cut = if spec_no == table.spec.no { Cut::Nothing } else { Cut::Partitions };
    // inline batches are many and small: read one after another, they are sorted in no time
    let is_ordered = |file: &ScanFile| {
        cut == Cut::Nothing && file.entry.file.sort_no == table.sort.no && !file.entry.file.is_inline()
    };
    let run_bytes = Sorter::run_bytes(lake.memory.limit());
    let readers: u64 = inputs.iter().map(|file| file.entry.file.bytes.min(READER_BYTES)).sum();
    let sorter = if inputs.iter().all(is_ordered) { 0 } else { Sorter::memory_bytes(run_bytes) };
    let reservation = lake.memory.reserve(readers + sorter)?;

    let (ordered, unordered) = inputs.into_iter().partition(is_ordered);
    let rewrite = Rewrite {
        lake: lake.clone(),
        scope: scope.clone(),
        table: table.clone(),
        cut,
        place: Place { spec_no, partition: partition.clone(), sort_no: table.sort.no },
        ordered,
        unordered,
        run_bytes,
        outputs_max: if job.action == Action::Flush { FLUSHED_FILES_MAX } else { OUTPUTS_MAX },
        progress: progress.clone(),
    };
    let files = NewFiles::new(lake.clone(), table.clone(), job.level, job.target_bytes);
    on_worker(move || async move {
        let outcome = rewrite.run(files).await;
        drop(reservation);
        outcome
    })
    .await
}

struct Rewrite {
    lake: Lake,
    scope: Scope,
    table: Arc<TableDef>,
    cut: Cut,
    /// Where the rows are, and stay unless they are cut.
    place: Place,
    /// Files in the order that is wanted.
    ordered: Vec<ScanFile>,
    unordered: Vec<ScanFile>,
    run_bytes: u64,
    /// Files that are cut by partition; later rows share one that is not.
    outputs_max: usize,
    progress: Progress,
}

impl Rewrite {
    async fn run(self, mut files: NewFiles) -> Result<Vec<NewFile>, Error> {
        let order = RowOrder::of(&self.table, self.cut)?;
        let mut spilled = Vec::new();
        let outcome = if order.is_free() {
            self.append(&mut files).await
        } else {
            self.merge(order, &mut spilled, &mut files).await
        };
        for path in spilled {
            if let Err(error) = self.lake.store.delete(&path).await {
                tracing::info!(%path, %error, "spilled run stays until VACUUM ORPHANS");
            }
        }
        match outcome {
            Ok(()) => Ok(files.into_complete()),
            Err(error) => {
                self.lake.delete_new(&self.table, &files.into_complete()).await;
                Err(error)
            }
        }
    }

    /// File after file: there is no order to keep.
    async fn append(&self, files: &mut NewFiles) -> Result<(), Error> {
        for file in self.ordered.iter().chain(&self.unordered) {
            let mut batches = read(&self.lake, &self.scope, &self.table, file).await?;
            while let Some(batch) = batches.try_next().await? {
                self.progress.check()?;
                files.write(&self.place, &batch).await?;
            }
        }
        files.close().await
    }

    async fn merge(
        &self,
        order: RowOrder,
        spilled: &mut Vec<Path>,
        files: &mut NewFiles,
    ) -> Result<(), Error> {
        let mut inputs = Vec::new();
        for file in &self.ordered {
            inputs.push(read(&self.lake, &self.scope, &self.table, file).await?);
        }
        let mut sorter = Sorter::new(&self.lake, &self.table, self.cut, self.run_bytes, spilled)?;
        for file in &self.unordered {
            let mut batches = read(&self.lake, &self.scope, &self.table, file).await?;
            while let Some(batch) = batches.try_next().await? {
                self.progress.check()?;
                sorter.add(batch).await?;
            }
        }
        inputs.extend(sorter.finish().await?);
        let mut merge = Merge::start(order, inputs).await?;
        let cut = match self.cut {
            Cut::Partitions => Some(RowOrder::of(&self.table, Cut::Partitions)?),
            Cut::Nothing => None,
        };
        while let Some(batch) = merge.next().await? {
            self.progress.check()?;
            match &cut {
                None => files.write(&self.place, &batch).await?,
                Some(order) => self.write_cut(order, &batch, files).await?,
            }
        }
        files.close().await
    }

    /// Rows in order of (tuple, sort order): each partition begins a file.
    async fn write_cut(
        &self,
        order: &RowOrder,
        batch: &RecordBatch,
        files: &mut NewFiles,
    ) -> Result<(), Error> {
        for (partition, range) in order.slices(batch)? {
            let place = if files.count() < self.outputs_max {
                Place { spec_no: self.table.spec.no, partition, sort_no: self.table.sort.no }
            } else {
                // In order of tuples, so not in the table's.
                Place { spec_no: 0, partition: Tuple::new(), sort_no: 0 }
            };
            files.write(&place, &batch.slice(range.start, range.len())).await?;
        }
        Ok(())
    }
}

/// The rows of a file that are not deleted, in the table's present columns.
async fn read(lake: &Lake, scope: &Scope, table: &TableDef, file: &ScanFile) -> Result<Batches, Error> {
    let entry = &file.entry;
    let vector = entry.vector.as_ref().map(|visible| visible.vector.clone());
    let batches = lake.read_file(scope, table, entry, RowSet::live(vector.clone()), &table.schema).await?;
    if !has_row_ids(&table.schema) {
        return Ok(batches);
    }
    let mut identity = RowIdentity::new(entry.row_id_start, entry.seq, vector.as_deref());
    Ok(batches.map(move |batch| Ok(identity.fill(&batch?)?)).boxed())
}

/// The rows of an object of the table.
pub(super) async fn read_object(
    lake: &Lake,
    table: &TableDef,
    path: &Path,
    bytes: u64,
    row_count: u64,
    vector: Option<Arc<DeletionVector>>,
) -> Result<Batches, Error> {
    let rows = RowSet::live(vector);
    let options = ReadOptions { schema: table.schema.clone(), row_count, rows, batch_rows: READ_ROWS };
    let batches = read_batches(&lake.store, path, bytes, options).await?;
    Ok(batches.map_err(Error::from).boxed())
}
