//! Rows become files of a table: sorted, cut by partition, uploaded.

use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use cenote_catalog::{NewFile, TableDef};
use cenote_datafile::Level;
use cenote_vocab::{Reservation, Scope};

use crate::fit::{fit, memory_bytes};
use crate::new_files::{NewFiles, Place, inline_file};
use crate::order::{Cut, RowOrder};
use crate::worker::on_worker;
use crate::{Error, Lake};

/// Rows of this many bytes in memory are worth a file.
const RUN_BYTES: u64 = 128 << 20;
/// Held without asking the pool: a flush must get on when memory is full, or it would never be freed.
const RUN_BYTES_UNRESERVED: u64 = 8 << 20;
/// A run is there twice while it is sorted.
const COPIES: u64 = 2;
/// With so many live inline batches of a table, or so many bytes in them, rows are written into objects until the batches are
/// flushed, which begins long before.
const INLINE_FILES_MAX: u64 = 20_000;
const INLINE_BYTES_MAX: u64 = 64 << 20;
/// Rows that take more than this many times `inline_max` in memory are not tried as an inline batch, …
const INLINE_EXPANSION_MAX: u64 = 8;
/// … nor, with so many of them, rows that take more than these bytes: what a reader of all of them holds is bounded.
const INLINE_FILES_FEW: u64 = 1_000;
const INLINE_LITTLE_BYTES: u64 = 32 << 10;
/// Files that one writer makes, beyond one for each run: partitions that are left share an unpartitioned file, which
/// compaction splits.
const FILES_MAX: usize = 128;

/// Files that are in the store for certain, or need none: only [`TableWriter::finish`] makes one, and a `Commit` takes what it holds.
#[derive(Clone, Debug, Default)]
pub struct Written {
    files: Vec<NewFile>,
}

impl Written {
    /// The files, for `Op::Append`.
    pub fn into_files(self) -> Vec<NewFile> {
        self.files
    }

    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// Where a writer may put rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Few rows become an inline batch, others objects.
    #[default]
    Any,
    /// All rows become objects.
    Objects,
}

/// Takes batches in the table's current schema (see `cenote_datafile::arrow_schema`) and writes files.
/// Dropped unfinished, it leaves at most objects that no row names.
pub struct TableWriter {
    lake: Lake,
    scope: Scope,
    table: Arc<TableDef>,
    schema: SchemaRef,
    level: Level,
    form: Form,
    held: Vec<RecordBatch>,
    held_bytes: u64,
    reservation: Reservation,
    rows: u64,
    files: Vec<NewFile>,
}

impl Lake {
    /// Begins to write rows for `table`. Rows are held until a sorted run is worth a file (memory from the lake's pool).
    pub fn writer(&self, scope: &Scope, table: Arc<TableDef>, level: Level) -> TableWriter {
        TableWriter {
            lake: self.clone(),
            scope: scope.clone(),
            form: Form::Any,
            schema: cenote_datafile::arrow_schema(&table.schema),
            table,
            level,
            held: Vec::new(),
            held_bytes: 0,
            reservation: self.memory.reservation(),
            rows: 0,
            files: Vec::new(),
        }
    }

    /// As [`Lake::writer`], for rows that were in the table before: batches have the columns of
    /// [`cenote_datafile::with_row_ids`], a NULL `_row_id` is a new row's, and sequence numbers are left NULL.
    pub fn changed_rows_writer(&self, scope: &Scope, table: &TableDef, level: Level) -> TableWriter {
        self.writer(scope, Arc::new(keeping_row_ids(table)), level)
    }

    /// Deletes the objects of files that no commit took. Best effort: what stays is an orphan.
    pub async fn abandon(&self, table: &TableDef, written: Written) {
        self.delete_new(table, &written.files).await;
    }

    pub(crate) async fn delete_new(&self, table: &TableDef, files: &[NewFile]) {
        for file in files.iter().filter(|file| !file.is_inline()) {
            let path = cenote_store::object_path(&table.location, &file.path);
            if let Err(error) = self.store.delete(&path).await {
                tracing::info!(%path, %error, "object of an abandoned write stays until VACUUM ORPHANS");
            }
        }
    }
}

/// The table as it is written where rows keep their identity.
pub(crate) fn keeping_row_ids(table: &TableDef) -> TableDef {
    TableDef { schema: Arc::new(cenote_datafile::with_row_ids(&table.schema)), ..table.clone() }
}

impl TableWriter {
    /// Says where rows may go.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Adds rows. `NullValue` for a NULL in a `NOT NULL` column, `SchemaMismatch` for other columns than the table's,
    /// `Unsupported` for a view. Nothing of the batch is taken then.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<(), Error> {
        Error::refuse_view(&self.table)?;
        let batch = fit(&self.table, &self.schema, batch, self.rows)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let bytes = memory_bytes(&batch);
        if !self.held.is_empty() && self.held_bytes + bytes > RUN_BYTES {
            self.write_run(0).await?;
        }
        if self.reservation.try_grow(bytes * COPIES).is_err()
            && self.held_bytes + bytes > RUN_BYTES_UNRESERVED
        {
            self.write_run(0).await?;
            if let Err(full) = self.reservation.try_grow(bytes * COPIES) {
                tracing::debug!(%full, bytes, "rows are written without a reservation");
            }
        }
        self.rows += batch.num_rows() as u64;
        self.held_bytes += bytes;
        self.held.push(batch);
        Ok(())
    }

    /// Writes what is left and answers all files.
    pub async fn finish(mut self) -> Result<Written, Error> {
        let inline_bytes_max = self.inline_bytes_max().await?;
        self.write_run(inline_bytes_max).await?;
        Ok(Written { files: self.files })
    }

    /// Gives up: deletes what was written so far. Best effort: what stays is an orphan.
    pub async fn abandon(self) {
        self.lake.delete_new(&self.table, &self.files).await;
    }

    /// How large an inline batch may be; 0: the rows become objects.
    async fn inline_bytes_max(&self) -> Result<u64, Error> {
        let few = self.form == Form::Any && self.level == Level::Fresh && self.files.is_empty();
        if !few || self.held.is_empty() {
            return Ok(0);
        }
        let bytes_max = self.lake.options.of(&self.table)?.inline_bytes_max;
        if bytes_max == 0 || self.held_bytes > bytes_max * INLINE_EXPANSION_MAX {
            return Ok(0);
        }
        let live = self.lake.catalog.inline_counters(&self.scope, self.table.id).await?;
        let has_room = live.files < INLINE_FILES_MAX
            && live.bytes < INLINE_BYTES_MAX
            && (live.files < INLINE_FILES_FEW || self.held_bytes <= INLINE_LITTLE_BYTES);
        Ok(if has_room { bytes_max } else { 0 })
    }

    async fn write_run(&mut self, inline_bytes_max: u64) -> Result<(), Error> {
        let batches = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        if batches.is_empty() {
            return Ok(());
        }
        let reservation = std::mem::replace(&mut self.reservation, self.lake.memory.reservation());
        let run = Run {
            files_max: FILES_MAX.saturating_sub(self.files.len()).max(1),
            lake: self.lake.clone(),
            table: self.table.clone(),
            schema: self.schema.clone(),
            level: self.level,
            inline_bytes_max,
        };
        let outcome = on_worker(move || async move {
            let outcome = run.write(batches).await;
            drop(reservation);
            outcome
        });
        match outcome.await {
            Ok(files) => {
                self.files.extend(files);
                Ok(())
            }
            Err(error) => {
                let files = std::mem::take(&mut self.files);
                self.lake.delete_new(&self.table, &files).await;
                Err(error)
            }
        }
    }
}

/// What became of rows that might be few enough for an inline batch.
enum Inlined {
    Done(Box<NewFile>),
    /// They are not.
    TooLarge(Vec<RecordBatch>),
}

/// What a worker needs to turn one run into files.
struct Run {
    lake: Lake,
    table: Arc<TableDef>,
    schema: SchemaRef,
    level: Level,
    files_max: usize,
    inline_bytes_max: u64,
}

impl Run {
    /// All files of the run, or none.
    async fn write(self, batches: Vec<RecordBatch>) -> Result<Vec<NewFile>, Error> {
        let batches = match self.inline(batches)? {
            Inlined::Done(file) => return Ok(vec![*file]),
            Inlined::TooLarge(batches) => batches,
        };
        let mut files = NewFiles::new(self.lake.clone(), self.table.clone(), self.level, u64::MAX);
        match self.fill(&mut files, batches).await {
            Ok(()) => Ok(files.into_complete()),
            Err(error) => {
                self.lake.delete_new(&self.table, &files.into_complete()).await;
                Err(error)
            }
        }
    }

    fn inline(&self, batches: Vec<RecordBatch>) -> Result<Inlined, Error> {
        if self.inline_bytes_max == 0 {
            return Ok(Inlined::TooLarge(batches));
        }
        let rows = RowOrder::of(&self.table, Cut::Nothing)?.sort(concat_batches(&self.schema, &batches)?)?;
        Ok(match inline_file(&self.table, &rows, self.inline_bytes_max)? {
            Some(file) => Inlined::Done(Box::new(file)),
            None => Inlined::TooLarge(vec![rows]),
        })
    }

    async fn fill(&self, files: &mut NewFiles, batches: Vec<RecordBatch>) -> Result<(), Error> {
        let run = concat_batches(&self.schema, &batches)?;
        drop(batches);
        let order = RowOrder::of(&self.table, Cut::Partitions)?;
        let run = match order.single_tuple(&run)? {
            Some(_) => RowOrder::of(&self.table, Cut::Nothing)?.sort(run)?,
            None => order.sort(run)?,
        };
        let mut slices = order.slices(&run)?;
        let mut rest = Vec::new();
        if slices.len() > self.files_max {
            slices.sort_by_key(|(_, range)| std::cmp::Reverse(range.len()));
            rest = slices.split_off(self.files_max - 1);
        }
        let sort_no = self.table.sort.no;
        for (partition, range) in slices {
            let place = Place { spec_no: self.table.spec.no, partition, sort_no };
            files.write(&place, &run.slice(range.start, range.len())).await?;
        }
        if !rest.is_empty() {
            let rest: Vec<_> = rest.iter().map(|(_, range)| run.slice(range.start, range.len())).collect();
            let mixed =
                RowOrder::of(&self.table, Cut::Nothing)?.sort(concat_batches(&self.schema, &rest)?)?;
            files.write(&Place { spec_no: 0, partition: Vec::new(), sort_no }, &mixed).await?;
        }
        files.close().await
    }
}
