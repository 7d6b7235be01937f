//! What one statement sees of the buffer.

use arrow::record_batch::RecordBatch;
use cenote_vocab::{Epoch, Lsn, TableId};

/// Keeps the buffered batches of some tables from being freed while a statement runs (table page, 8.2).
///
/// Order of use: pin, **then** read the catalog's head S, **then** [`Pin::close`]. Dropping it ends the pin.
#[derive(Debug)]
pub struct Pin {
    _private: (),
}

/// Rows of one request for one table that are not in files yet, as of the pin.
#[derive(Clone, Debug)]
pub struct BufferedBatch {
    /// Place in the log.
    pub lsn: Lsn,
    /// Schema number of the table when it was written: columns are matched by field id (`PARQUET:field_id` metadata).
    pub schema_no: i32,
    /// The rows.
    pub batch: RecordBatch,
    /// Smallest and largest time in µs.
    pub time_range: Option<(i64, i64)>,
}

impl Pin {
    /// Takes the end of what this statement sees: the newest published place in the log. One number for all tables.
    pub fn close(&mut self) -> Lsn {
        todo!()
    }

    /// The batches of `table` above `flushed` (its log producer's epoch at the statement's snapshot) and up to the close, in log order.
    pub fn batches(&self, _table: TableId, _flushed: Epoch) -> Vec<BufferedBatch> {
        todo!()
    }

    /// Bytes that the pinned batches hold.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
}
