//! What the scans of one statement read and left out, for outcomes and EXPLAIN ANALYZE.

use std::sync::Arc;

use cenote_vocab::Txn;
use parking_lot::Mutex;

/// One scan, as it was planned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScanNote {
    /// `schema.table`
    pub(crate) table: String,
    pub(crate) snapshot: Txn,
    /// Files to read.
    pub(crate) files: usize,
    pub(crate) pruned_by_partition: usize,
    pub(crate) pruned_by_statistics: usize,
    pub(crate) buffered_rows: usize,
}

/// The scans of one statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScanNotes(Arc<Mutex<Vec<ScanNote>>>);

impl ScanNotes {
    pub(crate) fn add(&self, note: ScanNote) {
        self.0.lock().push(note);
    }

    pub(crate) fn all(&self) -> Vec<ScanNote> {
        self.0.lock().clone()
    }

    /// Files to read, and files left out.
    pub(crate) fn files(&self) -> (u64, u64) {
        self.0.lock().iter().fold((0, 0), |(read, pruned), note| {
            (read + note.files as u64, pruned + (note.pruned_by_partition + note.pruned_by_statistics) as u64)
        })
    }
}

impl std::fmt::Display for ScanNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "snapshot={}, files={}, files_pruned_by_partition={}, files_pruned_by_statistics={}, rows_from_buffer={}",
            self.snapshot,
            self.files,
            self.pruned_by_partition,
            self.pruned_by_statistics,
            self.buffered_rows
        )
    }
}
