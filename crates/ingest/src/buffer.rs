//! The rows that are durable (or queued behind nothing but a sync) and not in files yet.
//!
//! ```text
//! log ─ publish, in order of places ─► per table: batch, batch, … ─ release up to E ─► freed once unpinned
//!                                        └ readers: pin ─ head ─ close at P ─ batches with E < place ≤ P
//! ```
//! Invariant: a batch is dropped only after its rows are in files of a commit that every later head shows, and only while
//! nobody pins its table.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use cenote_vocab::{Lsn, Micros, TableId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::BufferedBatch;
use crate::admission::Held;

/// Memory of a batch besides its values.
pub(crate) const BATCH_OVERHEAD_BYTES: u64 = 512;

/// The rows of one table in one record, on their way into the buffer.
#[derive(Debug)]
pub(crate) struct NewRows {
    pub(crate) table: TableId,
    /// Its place is set when it is published.
    pub(crate) batch: BufferedBatch,
    pub(crate) received: Micros,
    pub(crate) held: Held,
}

/// All buffered rows of the node. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    published: Lsn,
    tables: HashMap<TableId, TableRows>,
}

#[derive(Debug, Default)]
struct TableRows {
    batches: VecDeque<Buffered>,
    /// Everything up to here is in files.
    flushed: Lsn,
    pins: usize,
    /// Rows and bytes above `flushed`.
    rows: u64,
    bytes: u64,
    /// Rings when rows come.
    grown: Arc<Notify>,
}

#[derive(Debug)]
struct Buffered {
    batch: BufferedBatch,
    received: Micros,
    held: Held,
}

/// What waits for a table's flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) table: TableId,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// When its oldest row came.
    pub(crate) oldest: Micros,
}

/// The batches that a flush takes: all of a table up to `end`.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) first: Lsn,
    pub(crate) end: Lsn,
    pub(crate) batches: Vec<BufferedBatch>,
}

impl Buffer {
    /// Shows the rows of whole records, in order of places, as one step. True if a table grew beyond `rows_max` or `bytes_max`
    /// by it.
    pub(crate) fn publish(&self, records: Vec<(Lsn, Vec<NewRows>)>, rows_max: u64, bytes_max: u64) -> bool {
        let mut inner = self.0.lock();
        let mut grew = false;
        for (lsn, tables) in records {
            for rows in tables {
                grew |= inner.add(lsn, rows, rows_max, bytes_max);
            }
            inner.published = inner.published.max(lsn);
        }
        grew
    }

    /// The newest place whose rows are shown.
    pub(crate) fn published(&self) -> Lsn {
        self.0.lock().published
    }

    /// Keeps the batches of these tables until [`Buffer::unpin`].
    pub(crate) fn pin(&self, tables: &[TableId]) {
        let mut inner = self.0.lock();
        for table in tables {
            inner.tables.entry(*table).or_default().pins += 1;
        }
    }

    pub(crate) fn unpin(&self, tables: &[TableId]) {
        let mut freed = Vec::new();
        let mut inner = self.0.lock();
        for table in tables {
            if let Some(rows) = inner.tables.get_mut(table) {
                rows.pins -= 1;
                rows.free(&mut freed);
            }
        }
        drop(inner); // and only then the memory, which wakes others
    }

    /// The batches of `table` with a place above `after` and up to `end`.
    pub(crate) fn batches(&self, table: TableId, after: Lsn, end: Lsn) -> Vec<BufferedBatch> {
        let inner = self.0.lock();
        let Some(rows) = inner.tables.get(&table) else { return Vec::new() };
        let from = rows.batches.partition_point(|buffered| buffered.batch.lsn <= after);
        let between = rows.batches.range(from..).take_while(|buffered| buffered.batch.lsn <= end);
        between.map(|buffered| buffered.batch.clone()).collect()
    }

    /// Bytes that the batches of these tables hold.
    pub(crate) fn bytes_of(&self, tables: &[TableId]) -> u64 {
        let inner = self.0.lock();
        let of = |table| inner.tables.get(table).into_iter().flat_map(|rows| &rows.batches);
        tables.iter().flat_map(of).map(|buffered| buffered.held.bytes()).sum()
    }

    /// Rows and bytes of `table` that are not in files.
    pub(crate) fn unflushed(&self, table: TableId) -> (u64, u64) {
        self.0.lock().tables.get(&table).map_or((0, 0), |rows| (rows.rows, rows.bytes))
    }

    /// Rings when rows of `table` come.
    pub(crate) fn grown(&self, table: TableId) -> Arc<Notify> {
        Arc::clone(&self.0.lock().tables.entry(table).or_default().grown)
    }

    /// The tables with rows that are not in files.
    pub(crate) fn waiting(&self) -> Vec<Waiting> {
        let inner = self.0.lock();
        let waiting = inner.tables.iter().filter_map(|(table, rows)| {
            let oldest = rows.unflushed_batches().next()?.received;
            Some(Waiting { table: *table, rows: rows.rows, bytes: rows.bytes, oldest })
        });
        waiting.collect()
    }

    /// All rows of `table` that are not in files; `None` if there are none.
    pub(crate) fn seal(&self, table: TableId) -> Option<Sealed> {
        let inner = self.0.lock();
        let batches: Vec<_> =
            inner.tables.get(&table)?.unflushed_batches().map(|buffered| buffered.batch.clone()).collect();
        Some(Sealed { first: batches.first()?.lsn, end: batches.last()?.lsn, batches })
    }

    /// The rows of `table` up to `end` are in files that every head shows from now on, or will never be wanted again.
    pub(crate) fn release(&self, table: TableId, end: Lsn) {
        let mut freed = Vec::new();
        let mut inner = self.0.lock();
        let rows = inner.tables.entry(table).or_default();
        for buffered in rows
            .batches
            .iter()
            .filter(|buffered| buffered.batch.lsn > rows.flushed && buffered.batch.lsn <= end)
        {
            rows.rows -= buffered.batch.batch.num_rows() as u64;
            rows.bytes -= buffered.held.bytes();
        }
        rows.flushed = rows.flushed.max(end);
        rows.free(&mut freed);
        drop(inner); // and only then the memory, which wakes others
    }

    /// True if all rows of `table` up to `lsn` are in files.
    pub(crate) fn is_flushed(&self, table: TableId, lsn: Lsn) -> bool {
        self.0.lock().tables.get(&table).is_some_and(|rows| lsn <= rows.flushed)
    }
}

impl Inner {
    fn add(&mut self, lsn: Lsn, new: NewRows, rows_max: u64, bytes_max: u64) -> bool {
        let table = self.tables.entry(new.table).or_default();
        if lsn <= table.flushed {
            return false; // the table was dropped
        }
        let is_large = |table: &TableRows| table.rows >= rows_max || table.bytes >= bytes_max;
        let was_large = is_large(table);
        table.rows += new.batch.batch.num_rows() as u64;
        table.bytes += new.held.bytes();
        let batch = BufferedBatch { lsn, ..new.batch };
        table.batches.push_back(Buffered { batch, received: new.received, held: new.held });
        table.grown.notify_waiters();
        !was_large && is_large(table)
    }
}

impl TableRows {
    fn unflushed_batches(&self) -> impl Iterator<Item = &Buffered> {
        let from = self.batches.partition_point(|buffered| buffered.batch.lsn <= self.flushed);
        self.batches.range(from..)
    }

    fn free(&mut self, freed: &mut Vec<Buffered>) {
        if self.pins == 0 {
            let end = self.batches.partition_point(|buffered| buffered.batch.lsn <= self.flushed);
            freed.extend(self.batches.drain(..end));
        }
    }
}

#[cfg(test)]
mod tests;
