//! Orders rows that need not fit into memory: sorted runs, all but the last spilled.

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, stream};

use super::spill::{Run, Spill};
use crate::Error;
use crate::fit::memory_bytes;
use crate::order::RowOrder;

/// A run of this size is sorted at once, …
const RUN_BYTES_MAX: u64 = 128 << 20;
/// … or of this part of the memory.
const RUN_PARTS: u64 = 8;
/// Rows of a run are there twice while they are sorted.
const COPIES: u64 = 2;

pub(super) struct Sorter<'a> {
    schema: SchemaRef,
    order: RowOrder,
    run_bytes: u64,
    held: Vec<RecordBatch>,
    held_bytes: u64,
    runs: Vec<Run>,
    spill: &'a mut Spill,
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

    pub(super) fn new(schema: SchemaRef, order: RowOrder, run_bytes: u64, spill: &'a mut Spill) -> Self {
        Self { schema, order, run_bytes, held: Vec::new(), held_bytes: 0, runs: Vec::new(), spill }
    }

    /// Adds rows in any order.
    pub(super) async fn add(&mut self, batch: RecordBatch) -> Result<(), Error> {
        let bytes = memory_bytes(&batch);
        if !self.held.is_empty() && self.held_bytes + bytes > self.run_bytes {
            let run = self.sorted_run()?;
            self.runs.extend(self.spill.write(stream::iter([Ok(run)]).boxed()).await?);
        }
        self.held_bytes += bytes;
        self.held.push(batch);
        Ok(())
    }

    /// All rows: runs, and one more that is in memory.
    pub(super) fn finish(mut self) -> Result<(Vec<Run>, RecordBatch), Error> {
        let last = self.sorted_run()?;
        Ok((self.runs, last))
    }

    fn sorted_run(&mut self) -> Result<RecordBatch, Error> {
        let batches = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        self.order.sort(concat_batches(&self.schema, &batches)?)
    }
}
