//! What one statement sees of the buffer.

use arrow::record_batch::RecordBatch;
use cenote_vocab::{Epoch, Lsn, TableId};

use crate::buffer::Buffer;

/// Keeps the buffered batches of some tables from being freed while a statement runs (table page, 8.2).
///
/// Order of use: pin, **then** read the catalog's head S, **then** [`Pin::close`]. Dropping it ends the pin.
#[derive(Debug)]
pub struct Pin {
    buffer: Buffer,
    tables: Vec<TableId>,
    end: Option<Lsn>,
}

impl Pin {
    pub(crate) fn new(buffer: Buffer, tables: &[TableId]) -> Self {
        buffer.pin(tables);
        Self { buffer, tables: tables.to_vec(), end: None }
    }

    /// Takes the end of what this statement sees: the newest published place in the log. One number for all tables.
    ///
    /// Called again it answers the same place.
    pub fn close(&mut self) -> Lsn {
        *self.end.get_or_insert_with(|| self.buffer.published())
    }

    /// The rows of `table` above `flushed` (its log producer's epoch at the statement's snapshot) and up to the close, in
    /// log order. Their columns are matched by field id (`PARQUET:field_id` metadata); what a request did not send is not there.
    /// None before the close, and none of a table that is not pinned: they might be freed at any time.
    pub fn batches(&self, table: TableId, flushed: Epoch) -> Vec<RecordBatch> {
        self.end_of(table).map_or_else(Vec::new, |end| self.buffer.batches(table, place(flushed), end))
    }

    /// True if [`Pin::batches`] has a row.
    pub fn has_rows(&self, table: TableId, flushed: Epoch) -> bool {
        self.end_of(table).is_some_and(|end| self.buffer.has_rows(table, place(flushed), end))
    }

    fn end_of(&self, table: TableId) -> Option<Lsn> {
        self.end.filter(|_| self.tables.contains(&table))
    }

    /// Bytes that the pinned batches hold.
    pub fn bytes(&self) -> u64 {
        self.buffer.bytes_of(&self.tables)
    }
}

/// The place in the log up to which an epoch of its producer has put rows into files.
fn place(flushed: Epoch) -> Lsn {
    Lsn(u64::try_from(flushed.0).unwrap_or(0))
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.buffer.unpin(&self.tables);
    }
}
