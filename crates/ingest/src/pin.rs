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

/// Rows of one request for one table that are not in files yet, as of the pin.
#[derive(Clone, Debug)]
pub struct BufferedBatch {
    /// Place in the log.
    pub lsn: Lsn,
    /// Schema number of the table when it was written: columns are matched by field id (`PARQUET:field_id` metadata).
    pub schema_no: i32,
    /// The rows. Columns of the table that the request did not send are not there: they are NULL.
    pub batch: RecordBatch,
    /// Smallest and largest time in µs.
    pub time_range: Option<(i64, i64)>,
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

    /// The batches of `table` above `flushed` (its log producer's epoch at the statement's snapshot) and up to the close, in
    /// log order. None before the close, and none of a table that is not pinned: they might be freed at any time.
    pub fn batches(&self, table: TableId, flushed: Epoch) -> Vec<BufferedBatch> {
        match self.end {
            Some(end) if self.tables.contains(&table) => {
                self.buffer.batches(table, Lsn(u64::try_from(flushed.0).unwrap_or(0)), end)
            }
            _ => Vec::new(),
        }
    }

    /// Bytes that the pinned batches hold.
    pub fn bytes(&self) -> u64 {
        self.buffer.bytes_of(&self.tables)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.buffer.unpin(&self.tables);
    }
}
