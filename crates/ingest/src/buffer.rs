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

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use cenote_vocab::{Lsn, Micros, TableId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::admission::Held;
use crate::protocols::Protocols;
use crate::write::rows_bytes;

/// Memory of a batch besides its values.
pub(crate) const BATCH_OVERHEAD_BYTES: u64 = 512;
/// A batch of so many rows is read as fast as a larger one, and is not copied again.
const MERGED_ROWS: usize = 2048;
/// A reader merges small batches when so many fewer are left.
const MERGED_BATCHES: usize = 32;

/// The rows of one table in one record, on their way into the buffer.
#[derive(Debug)]
pub(crate) struct NewRows {
    pub(crate) table: TableId,
    pub(crate) batch: RecordBatch,
    pub(crate) received: Micros,
    pub(crate) protocols: Protocols,
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
    /// The end of the newest flush that began. No batch holds rows from both sides of such an end.
    sealed: Lsn,
    pins: usize,
    /// Rows and bytes above `flushed`.
    rows: u64,
    bytes: u64,
    /// Rings when rows come.
    grown: Arc<Notify>,
}

/// Rows of one record, or of several small ones that a reader has merged, in order of places.
#[derive(Debug)]
struct Buffered {
    batch: RecordBatch,
    /// Place of the first record.
    first: Lsn,
    /// The records after it, each with the row where it begins.
    later: Vec<(Lsn, usize)>,
    /// When the first record came.
    received: Micros,
    /// How its rows came.
    protocols: Protocols,
    held: Held,
}

/// Neighbours that are to be one batch.
struct Group {
    first: Lsn,
    last: Lsn,
    batches: Vec<RecordBatch>,
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
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) protocols: Protocols,
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

    /// The rows of `table` with a place above `after` and up to `end`, in order of places. Merges small batches first, so that
    /// what many small requests left costs its readers, one after another, no more than the same rows of a few large ones.
    pub(crate) fn batches(&self, table: TableId, after: Lsn, end: Lsn) -> Vec<RecordBatch> {
        self.merge_small(table);
        let inner = self.0.lock();
        let Some(rows) = inner.tables.get(&table) else { return Vec::new() };
        rows.between(after, end).map(|buffered| buffered.rows(after, end)).collect()
    }

    /// True if there is a row of `table` with a place above `after` and up to `end`.
    pub(crate) fn has_rows(&self, table: TableId, after: Lsn, end: Lsn) -> bool {
        let inner = self.0.lock();
        inner.tables.get(&table).is_some_and(|rows| {
            rows.between(after, end).any(|buffered| buffered.rows_up_to(end) > buffered.rows_up_to(after))
        })
    }

    /// Copies are made without the lock; where a flush or another reader came before, the copy is dropped.
    fn merge_small(&self, table: TableId) {
        let groups = match self.0.lock().tables.get(&table) {
            Some(rows) => rows.small_groups(),
            None => return,
        };
        for group in groups {
            let schema = group.batches[0].schema();
            // what cannot be copied into one (more distinct texts than a dictionary has keys) stays as it is
            let Ok(batch) = concat_batches(&schema, &group.batches) else { continue };
            let freed = self.0.lock().tables.get_mut(&table).and_then(|rows| rows.replace(&group, batch));
            drop(freed); // without the lock: it wakes others
        }
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
        let mut inner = self.0.lock();
        let rows = inner.tables.get_mut(&table)?;
        let first = rows.unflushed_batches().next()?.first;
        let end = rows.batches.back()?.last();
        let batches = rows.unflushed_batches().map(|buffered| buffered.batch.clone()).collect();
        let protocols = rows.unflushed_batches().map(|buffered| buffered.protocols);
        let protocols = protocols.fold(Protocols::default(), Protocols::and);
        rows.sealed = rows.sealed.max(end);
        Some(Sealed { first, end, batches, protocols })
    }

    /// The rows of `table` up to `end` are in files that every head shows from now on, or will never be wanted again.
    pub(crate) fn release(&self, table: TableId, end: Lsn) {
        let mut freed = Vec::new();
        let mut inner = self.0.lock();
        let rows = inner.tables.entry(table).or_default();
        let flushed = rows.flushed;
        for buffered in
            rows.batches.iter().filter(|buffered| buffered.first > flushed && buffered.last() <= end)
        {
            rows.rows -= buffered.batch.num_rows() as u64;
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
        table.rows += new.batch.num_rows() as u64;
        table.bytes += new.held.bytes();
        let NewRows { batch, received, protocols, held, .. } = new;
        table.batches.push_back(Buffered { batch, first: lsn, later: Vec::new(), received, protocols, held });
        table.grown.notify_waiters();
        !was_large && is_large(table)
    }
}

impl TableRows {
    fn unflushed_batches(&self) -> impl Iterator<Item = &Buffered> {
        self.between(self.flushed, Lsn(u64::MAX))
    }

    /// The batches that have rows above `after` and up to `end`.
    fn between(&self, after: Lsn, end: Lsn) -> impl Iterator<Item = &Buffered> {
        let from = self.batches.partition_point(|buffered| buffered.last() <= after);
        self.batches.range(from..).take_while(move |buffered| buffered.first <= end)
    }

    /// Neighbours of equal columns that no flush has taken, put together so that each batch has at most half the rows of the one
    /// before it: a row is copied once each time that the rows around it have doubled. None while that would save few.
    fn small_groups(&self) -> Vec<Group> {
        let mut groups: Vec<(usize, Vec<&Buffered>)> = Vec::new();
        let mut seen = 0;
        for buffered in self.between(self.flushed.max(self.sealed), Lsn(u64::MAX)) {
            seen += 1;
            groups.push((buffered.batch.num_rows(), vec![buffered]));
            while let [.., (before, early), (rows, late)] = groups.as_mut_slice()
                && *before < MERGED_ROWS
                && *rows < MERGED_ROWS
                && *rows * 2 > *before
                && early[0].batch.schema_ref() == late[0].batch.schema_ref()
            {
                *before += *rows;
                early.append(late);
                groups.pop();
            }
        }
        if seen - groups.len() < MERGED_BATCHES {
            return Vec::new();
        }
        let groups = groups.into_iter().filter(|(_, group)| group.len() > 1).map(|(_, group)| Group {
            first: group[0].first,
            last: group[group.len() - 1].last(),
            batches: group.iter().map(|buffered| buffered.batch.clone()).collect(),
        });
        groups.collect()
    }

    /// Puts `batch`, the rows of `group`, in its place, if all of it is still there as it was. Answers the memory that is free now.
    fn replace(&mut self, group: &Group, batch: RecordBatch) -> Option<Held> {
        let at = self.batches.partition_point(|buffered| buffered.first < group.first);
        let end = at + group.batches.len();
        if end > self.batches.len()
            || self.batches[at].first != group.first
            || self.batches[end - 1].last() != group.last
        {
            return None;
        }
        let mut replaced = self.batches.drain(at..end);
        let mut merged = replaced.next()?;
        let mut rows = merged.batch.num_rows();
        for next in replaced {
            merged.later.push((next.first, rows));
            merged.later.extend(next.later.iter().map(|(place, row)| (*place, rows + row)));
            merged.held.join(next.held);
            merged.protocols = merged.protocols.and(next.protocols);
            rows += next.batch.num_rows();
        }
        let excess = merged.held.bytes().saturating_sub(rows_bytes(&batch));
        let freed = merged.held.split(excess);
        if merged.first > self.flushed {
            self.bytes -= excess;
        }
        self.batches.insert(at, Buffered { batch, ..merged });
        Some(freed)
    }

    fn free(&mut self, freed: &mut Vec<Buffered>) {
        if self.pins == 0 {
            let end = self.batches.partition_point(|buffered| buffered.last() <= self.flushed);
            freed.extend(self.batches.drain(..end));
        }
    }
}

impl Buffered {
    fn last(&self) -> Lsn {
        self.later.last().map_or(self.first, |(place, _)| *place)
    }

    /// How many of its rows have a place up to `end`.
    fn rows_up_to(&self, end: Lsn) -> usize {
        if end < self.first {
            return 0;
        }
        let next = self.later.partition_point(|(place, _)| *place <= end);
        self.later.get(next).map_or(self.batch.num_rows(), |(_, row)| *row)
    }

    /// The rows with a place above `after` and up to `end`.
    fn rows(&self, after: Lsn, end: Lsn) -> RecordBatch {
        let from = self.rows_up_to(after);
        self.batch.slice(from, self.rows_up_to(end) - from)
    }
}

#[cfg(test)]
mod tests;
