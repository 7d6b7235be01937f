//! Orders rows that need not fit into memory: sorted runs, all but the last in objects of their own.

use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use cenote_catalog::TableDef;
use cenote_datafile::{Level, ParquetWriter, WriterOptions};
use cenote_vocab::SortOrder;
use futures::{StreamExt, stream};
use object_store::path::Path;

use super::rewrite::read_object;
use crate::fit::memory_bytes;
use crate::merge::Batches;
use crate::order::{Cut, RowOrder};
use crate::{Error, Lake};

/// A run of this size is sorted at once, …
const RUN_BYTES_MAX: u64 = 128 << 20;
/// … or of this part of the memory.
const RUN_PARTS: u64 = 8;
/// Rows of a run are there twice while they are sorted.
const COPIES: u64 = 2;

pub(super) struct Sorter<'a> {
    lake: &'a Lake,
    table: &'a Arc<TableDef>,
    schema: SchemaRef,
    order: RowOrder,
    run_bytes: u64,
    held: Vec<RecordBatch>,
    held_bytes: u64,
    runs: Vec<Batches>,
    /// Objects that were written, for the caller to delete; complete ones or not.
    spilled: &'a mut Vec<Path>,
}

impl<'a> Sorter<'a> {
    /// Bytes of a run when this much memory is there.
    pub(super) fn run_bytes(memory: u64) -> u64 {
        RUN_BYTES_MAX.min(memory / RUN_PARTS)
    }

    /// The most that a sorter with such runs holds.
    pub(super) fn memory_bytes(run_bytes: u64) -> u64 {
        run_bytes * COPIES
    }

    pub(super) fn new(
        lake: &'a Lake,
        table: &'a Arc<TableDef>,
        cut: Cut,
        run_bytes: u64,
        spilled: &'a mut Vec<Path>,
    ) -> Result<Self, Error> {
        Ok(Self {
            lake,
            table,
            schema: cenote_datafile::arrow_schema(&table.schema),
            order: RowOrder::of(table, cut)?,
            run_bytes,
            held: Vec::new(),
            held_bytes: 0,
            runs: Vec::new(),
            spilled,
        })
    }

    /// Adds rows in any order.
    pub(super) async fn add(&mut self, batch: RecordBatch) -> Result<(), Error> {
        let bytes = memory_bytes(&batch);
        if !self.held.is_empty() && self.held_bytes + bytes > self.run_bytes {
            self.spill().await?;
        }
        self.held_bytes += bytes;
        self.held.push(batch);
        Ok(())
    }

    /// All rows as ordered streams, to be merged.
    pub(super) async fn finish(mut self) -> Result<Vec<Batches>, Error> {
        let last = self.sorted_run()?;
        if last.num_rows() > 0 {
            self.runs.push(stream::iter([Ok(last)]).boxed());
        }
        Ok(self.runs)
    }

    async fn spill(&mut self) -> Result<(), Error> {
        let run = self.sorted_run()?;
        let relative = cenote_store::data_file(self.lake.ids.uuid());
        let path = cenote_store::object_path(&self.table.location, &relative);
        self.spilled.push(path.clone());
        let options = WriterOptions {
            table_uuid: self.table.uuid,
            schema: (*self.table.schema).clone(),
            sort: SortOrder::default(),
            time_field: None,
            level: Level::Fresh,
        };
        let mut writer = ParquetWriter::create(&self.lake.store, path.clone(), options).await?;
        writer.write(&run).await?;
        if let Some(written) = writer.finish().await? {
            self.runs
                .push(read_object(self.lake, self.table, &path, written.bytes, written.rows, None).await?);
        }
        Ok(())
    }

    fn sorted_run(&mut self) -> Result<RecordBatch, Error> {
        let batches = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        self.order.sort(concat_batches(&self.schema, &batches)?)
    }
}
