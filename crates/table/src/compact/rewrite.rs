//! Carries out one job: reads its files, merges their rows, writes new files. Nothing of it is visible before the commit.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{NewFile, TableDef};
use cenote_datafile::{Level, RowIdentity, RowSet, has_row_ids, row_group_bytes};
use cenote_vocab::{Scope, Tuple};
use futures::{StreamExt, TryStreamExt, stream};

use super::plan::{Action, Job};
use super::sorter::Sorter;
use super::spill::{Run, Spill};
use crate::merge::{Batches, Merge};
use crate::new_files::{NewFiles, Place};
use crate::order::{Cut, RowOrder};
use crate::scan::ScanFile;
use crate::worker::on_worker;
use crate::{Error, Lake, Progress};

/// A merge reads as many files at a time as fit into this, …
const MERGE_BYTES_MAX: u64 = 128 << 20;
/// … or into this part of the memory; of more files it makes runs first.
const MERGE_PARTS: u64 = 4;
/// A reader holds the encoded pages of a row group and some of them decoded, …
const PAGE_COPIES: u64 = 2;
/// … and besides a batch of rows and their keys: so much, or all rows of a small group.
const BATCH_BYTES: u64 = 1 << 20;
const BATCH_COPIES: u64 = 4;
/// A store far away answers so many openings at a time.
const OPENED_AT_ONCE: usize = 16;
/// Inline batches are read so many at a time.
const INLINE_FILES: usize = 256;
/// Rows beyond share an unpartitioned file: a commit takes 10 000 files.
const OUTPUTS_MAX: usize = 4_096;
/// The same for rows that came in small pieces, whose partitions get few rows each.
const FLUSHED_FILES_MAX: usize = 128;

/// What a reader holds at most, of row groups of this size.
pub(super) fn reader_bytes(row_group_bytes: u64) -> u64 {
    row_group_bytes * PAGE_COPIES + BATCH_BYTES.min(row_group_bytes * BATCH_COPIES)
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
    let (ordered, unordered): (Vec<_>, Vec<_>) = inputs.into_iter().partition(is_ordered);
    let run_bytes = Sorter::run_bytes(lake.memory.limit());
    let merge_bytes = MERGE_BYTES_MAX.min(lake.memory.limit() / MERGE_PARTS);
    let sorter = if unordered.is_empty() { 0 } else { Sorter::memory_bytes(run_bytes) };
    let readers: Vec<u64> = ordered.iter().map(file_reader_bytes).collect();
    // One file at a time where there is no order, and two at least where there is one.
    let largest = unordered.iter().map(file_reader_bytes).chain(readers.iter().copied()).max().unwrap_or(0);
    let merge = readers.iter().sum::<u64>().min(merge_bytes.max(largest * 2));
    let reservation = lake.memory.reserve(largest.max(merge) + sorter)?;

    let rewrite = Rewrite {
        lake: lake.clone(),
        scope: scope.clone(),
        table: table.clone(),
        cut,
        place: Place { spec_no, partition: partition.clone(), sort_no: table.sort.no },
        ordered,
        unordered,
        run_bytes,
        merge_bytes,
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
    merge_bytes: u64,
    /// Files that are cut by partition; later rows share one that is not.
    outputs_max: usize,
    progress: Progress,
}

/// One of the ordered inputs of a merge.
enum Sorted<'a> {
    File(&'a ScanFile),
    Run(Run),
    Held(RecordBatch),
}

impl Sorted<'_> {
    fn reader_bytes(&self) -> u64 {
        match self {
            Self::File(file) => file_reader_bytes(file),
            Self::Run(run) => run.reader_bytes(),
            Self::Held(_) => 0, // the sorter's memory
        }
    }
}

impl Rewrite {
    async fn run(self, mut files: NewFiles) -> Result<Vec<NewFile>, Error> {
        let outcome = if self.order()?.is_free() {
            self.append(&mut files).await
        } else {
            let mut spill = Spill::new(self.lake.clone(), self.table.clone(), self.progress.clone());
            let outcome = self.merge(&mut spill, &mut files).await;
            spill.clear().await;
            outcome
        };
        match outcome {
            Ok(()) => Ok(files.into_complete()),
            Err(error) => {
                self.lake.delete_new(&self.table, &files.into_complete()).await;
                Err(error)
            }
        }
    }

    fn order(&self) -> Result<RowOrder, Error> {
        RowOrder::of(&self.table, self.cut)
    }

    /// File after file: there is no order to keep.
    async fn append(&self, files: &mut NewFiles) -> Result<(), Error> {
        for some in portions(&self.ordered).chain(portions(&self.unordered)) {
            let mut batches = self.read(some).await?;
            while let Some(batch) = batches.try_next().await? {
                self.progress.check()?;
                files.write(&self.place, &batch).await?;
            }
        }
        files.close().await
    }

    async fn merge(&self, spill: &mut Spill, files: &mut NewFiles) -> Result<(), Error> {
        let schema = cenote_datafile::arrow_schema(&self.table.schema);
        let mut sorter = Sorter::new(schema, self.order()?, self.run_bytes, spill);
        for some in portions(&self.unordered) {
            let mut batches = self.read(some).await?;
            while let Some(batch) = batches.try_next().await? {
                self.progress.check()?;
                sorter.add(batch).await?;
            }
        }
        let (runs, held) = sorter.finish()?;
        let mut inputs: Vec<Sorted<'_>> = self.ordered.iter().map(Sorted::File).collect();
        inputs.extend(runs.into_iter().map(Sorted::Run));
        inputs.push(Sorted::Held(held));
        while self.exceeds(&inputs) {
            inputs = self.narrow(inputs, spill).await?;
        }
        let mut merge = self.start(inputs, spill).await?;
        let order = self.order()?;
        while let Some(batch) = merge.next().await? {
            self.progress.check()?;
            match self.cut {
                Cut::Nothing => files.write(&self.place, &batch).await?,
                Cut::Partitions => self.write_cut(&order, &batch, files).await?,
            }
        }
        files.close().await
    }

    /// True if not all of them can be read at a time. Two always can.
    fn exceeds(&self, inputs: &[Sorted<'_>]) -> bool {
        inputs.len() > 2 && inputs.iter().map(Sorted::reader_bytes).sum::<u64>() > self.merge_bytes
    }

    /// Merges neighbours, as many as can be read at a time, into runs.
    async fn narrow<'a>(&self, inputs: Vec<Sorted<'a>>, spill: &mut Spill) -> Result<Vec<Sorted<'a>>, Error> {
        let mut narrowed = Vec::new();
        let mut group: Vec<Sorted<'_>> = Vec::new();
        let mut inputs = inputs.into_iter().peekable();
        while let Some(input) = inputs.next() {
            group.push(input);
            let is_last = match inputs.peek() {
                Some(next) => {
                    let bytes = group.iter().chain([next]).map(Sorted::reader_bytes).sum::<u64>();
                    group.len() > 1 && bytes > self.merge_bytes
                }
                None => true,
            };
            if is_last && group.len() == 1 {
                narrowed.append(&mut group);
            } else if is_last {
                let merge = self.start(std::mem::take(&mut group), spill).await?;
                narrowed.extend(spill.write(merge.into_batches()).await?.map(Sorted::Run));
            }
        }
        Ok(narrowed)
    }

    async fn start(&self, inputs: Vec<Sorted<'_>>, spill: &Spill) -> Result<Merge, Error> {
        let open = |input| self.open(input, spill);
        let streams =
            stream::iter(inputs.into_iter().map(open)).buffered(OPENED_AT_ONCE).try_collect().await?;
        Merge::start(self.order()?, streams).await
    }

    async fn open(&self, input: Sorted<'_>, spill: &Spill) -> Result<Batches, Error> {
        match input {
            Sorted::File(file) => self.read(std::slice::from_ref(file)).await,
            Sorted::Run(run) => spill.read(&run).await,
            Sorted::Held(batch) => Ok(stream::iter([Ok(batch)]).boxed()),
        }
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

    /// The rows of an object, or of some inline batches, that are not deleted, in the table's present columns.
    async fn read(&self, files: &[ScanFile]) -> Result<Batches, Error> {
        let wanted = &self.table.schema;
        if let [file] = files
            && !file.entry.file.is_inline()
        {
            let rows = live_rows(file);
            let batches = self.lake.read_file(&self.scope, &self.table, &file.entry, rows, wanted).await?;
            let mut who = has_row_ids(wanted).then(|| identity(file));
            return Ok(batches.map(move |batch| identified(batch?, who.as_mut())).boxed());
        }
        let entries: Vec<_> = files.iter().map(|file| (&*file.entry, live_rows(file))).collect();
        let batches = self.lake.read_inline(&self.scope, &self.table, &entries, wanted).await?;
        let rows = files.iter().zip(batches).map(|(file, batch)| {
            let mut who = has_row_ids(wanted).then(|| identity(file));
            identified(batch, who.as_mut())
        });
        Ok(stream::iter(rows.collect::<Vec<_>>()).boxed())
    }
}

fn live_rows(file: &ScanFile) -> RowSet {
    RowSet::live(file.entry.vector.as_ref().map(|visible| visible.vector.clone()))
}

fn identity(file: &ScanFile) -> RowIdentity {
    let vector = file.entry.vector.as_ref().map(|visible| &*visible.vector);
    RowIdentity::new(file.entry.row_id_start, file.entry.seq, vector)
}

/// The rows with their identities, where they keep them.
fn identified(batch: RecordBatch, who: Option<&mut RowIdentity>) -> Result<RecordBatch, Error> {
    Ok(match who {
        Some(who) => who.fill(&batch)?,
        None => batch,
    })
}

/// Inline batches that are read at a time, other files one by one.
fn portions(files: &[ScanFile]) -> impl Iterator<Item = &[ScanFile]> {
    let are_inline = |a: &ScanFile, b: &ScanFile| a.entry.file.is_inline() && b.entry.file.is_inline();
    files.chunk_by(are_inline).flat_map(|some| some.chunks(INLINE_FILES))
}

fn file_reader_bytes(file: &ScanFile) -> u64 {
    let file = &file.entry.file;
    reader_bytes(row_group_bytes(Level::Full, file.rows, file.bytes))
}
