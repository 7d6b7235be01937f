//! Writes one Parquet file.

use arrow::record_batch::RecordBatch;
use cenote_store::Store;
use cenote_vocab::{FieldId, SortOrder, TableSchema};
use object_store::path::Path;
use uuid::Uuid;

use crate::{Error, FileStatistics};

/// How much work goes into a file: fresh files are cheap to write, compacted ones cheap to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Flush and small inserts: LZ4, no bloom filters.
    Fresh = 0,
    /// First merge.
    Merged = 1,
    /// Full size.
    Full = 2,
}

/// How to write a file.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Goes into the file's metadata.
    pub table_uuid: Uuid,
    /// The columns, exactly those of every batch, in order.
    pub schema: TableSchema,
    /// The order in which rows arrive, announced in the file.
    pub sort: SortOrder,
    /// Column of `time_range`.
    pub time_field: Option<FieldId>,
    /// Encoding effort.
    pub level: Level,
}

/// A file that is complete and durable in the store.
#[derive(Clone, Debug)]
pub struct WrittenFile {
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Size of the footer in bytes.
    pub footer_bytes: u32,
    /// What is known of its columns.
    pub statistics: FileStatistics,
    /// Smallest and largest value of the time column in µs.
    pub time_range: Option<(i64, i64)>,
}

/// Writes batches into one object; nothing is visible before [`ParquetWriter::finish`].
pub struct ParquetWriter {
    _private: (),
}

impl ParquetWriter {
    /// Begins the file at `path`.
    pub async fn create(_store: &Store, _path: Path, _options: WriterOptions) -> Result<Self, Error> {
        todo!()
    }

    /// Adds rows. Encoding runs on the calling task: call it where CPU work belongs.
    pub async fn write(&mut self, _batch: &RecordBatch) -> Result<(), Error> {
        todo!()
    }

    /// Bytes written or buffered so far, an estimate of the file's size.
    pub fn bytes_estimate(&self) -> u64 {
        todo!()
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        todo!()
    }

    /// Completes the file; `None` if there were no rows (then no object is left).
    pub async fn finish(self) -> Result<Option<WrittenFile>, Error> {
        todo!()
    }
}
