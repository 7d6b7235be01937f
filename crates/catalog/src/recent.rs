//! What was last wanted of files beyond their numbers: paths, statistics, deleted rows, rows of inline batches. All of it never changes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_datafile::{ColumnStatistics, DeletionVector, Value};
use cenote_vocab::{FileId, TableId, Txn};
use parking_lot::Mutex;

use crate::committer::Writes;
use crate::{DataFile, FileEntry, NewFile};

/// Paths and statistics that are kept, in bytes.
const FILES_BYTES_MAX: usize = 256 << 20;
/// Deletion vectors that are kept, in bytes.
const VECTORS_BYTES_MAX: usize = 64 << 20;
/// Rows of inline batches that are kept, in bytes.
const INLINE_BYTES_MAX: usize = 128 << 20;
/// About what an entry of a map takes besides what it points to.
const ENTRY_BYTES: usize = 64;

/// What never changes of a file.
#[derive(Clone, Debug)]
pub(crate) struct FileDetails {
    pub(crate) file: Arc<NewFile>,
    pub(crate) row_id_start: i64,
    pub(crate) seq: i64,
}

impl From<DataFile> for FileDetails {
    fn from(file: DataFile) -> Self {
        Self { file: file.file, row_id_start: file.row_id_start, seq: file.seq }
    }
}

type FileKey = (TableId, FileId);
type VectorKey = (TableId, FileId, Txn);

/// Details of files, deletion vectors and rows of inline batches, for all tables of this process.
#[derive(Debug)]
pub(crate) struct Recent {
    files: Mutex<Generations<FileKey, FileDetails>>,
    vectors: Mutex<Generations<VectorKey, Arc<DeletionVector>>>,
    inline: Mutex<Generations<FileKey, RecordBatch>>,
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self {
            files: Mutex::new(Generations::new(FILES_BYTES_MAX)),
            vectors: Mutex::new(Generations::new(VECTORS_BYTES_MAX)),
            inline: Mutex::new(Generations::new(INLINE_BYTES_MAX)),
        }
    }

    /// What is known of these files, and of their vectors.
    #[expect(clippy::type_complexity, reason = "both are maps of what was asked for")]
    pub(crate) fn find(
        &self,
        table: TableId,
        files: &[FileEntry],
    ) -> (HashMap<FileId, FileDetails>, HashMap<(FileId, Txn), Arc<DeletionVector>>) {
        let mut recent = self.files.lock();
        let known =
            files.iter().filter_map(|file| Some((file.id, recent.find(&(table, file.id))?))).collect();
        drop(recent);
        let mut recent = self.vectors.lock();
        let vectors = files.iter().filter_map(|file| {
            let (begin, _) = file.deleted?;
            Some(((file.id, begin), recent.find(&(table, file.id, begin))?))
        });
        (known, vectors.collect())
    }

    pub(crate) fn keep_files(&self, table: TableId, files: &[(FileId, FileDetails)]) {
        let mut recent = self.files.lock();
        for (id, details) in files {
            recent.keep((table, *id), details.clone(), file_bytes(&details.file));
        }
    }

    pub(crate) fn keep_vectors(&self, table: TableId, vectors: &[((FileId, Txn), Arc<DeletionVector>)]) {
        let mut recent = self.vectors.lock();
        for ((file, begin), vector) in vectors {
            recent.keep((table, *file, *begin), vector.clone(), vector.memory_bytes());
        }
    }

    /// Those of these inline batches that are known.
    pub(crate) fn find_inline(&self, table: TableId, files: &[FileId]) -> HashMap<FileId, RecordBatch> {
        let mut recent = self.inline.lock();
        files.iter().filter_map(|file| Some((*file, recent.find(&(table, *file))?))).collect()
    }

    pub(crate) fn keep_inline(&self, table: TableId, batches: &HashMap<FileId, RecordBatch>) {
        let mut recent = self.inline.lock();
        for (file, batch) in batches {
            recent.keep((table, *file), batch.clone(), batch.get_array_memory_size());
        }
    }

    /// Keeps what a group has written: what is new is asked for first.
    pub(crate) fn publish(&self, writes: &Writes) {
        let mut recent = self.files.lock();
        for row in &writes.files {
            let details =
                FileDetails { file: row.file.clone(), row_id_start: row.row_id_start, seq: row.seq };
            recent.keep((row.table, row.id), details, file_bytes(&row.file));
        }
        drop(recent);
        let mut recent = self.vectors.lock();
        for row in &writes.vectors {
            recent.keep((row.table, row.file, row.begin), row.vector.clone(), row.vector.memory_bytes());
        }
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.files.lock().bytes() + self.vectors.lock().bytes() + self.inline.lock().bytes()
    }
}

fn file_bytes(file: &NewFile) -> usize {
    let value = |value: &Option<Value>| match value {
        Some(Value::Text(text)) => text.capacity(),
        Some(Value::Bytes(bytes)) => bytes.capacity(),
        _ => 0,
    };
    let column =
        |column: &ColumnStatistics| size_of::<ColumnStatistics>() + value(&column.min) + value(&column.max);
    size_of::<NewFile>()
        + file.path.capacity()
        + size_of_val(file.partition.as_slice())
        + file.statistics.columns.iter().map(column).sum::<usize>()
}

/// Keeps what was asked for last within a number of bytes: what was not asked for while half of them came anew is dropped.
#[derive(Debug)]
struct Generations<K, V> {
    bytes_max: usize,
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_bytes: usize,
    old_bytes: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> Generations<K, V> {
    fn new(bytes_max: usize) -> Self {
        Self { bytes_max, young: HashMap::new(), old: HashMap::new(), young_bytes: 0, old_bytes: 0 }
    }

    fn bytes(&self) -> usize {
        self.young_bytes + self.old_bytes
    }

    fn find(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (value, bytes) = self.old.remove(key)?;
        self.old_bytes -= bytes;
        self.insert(key.clone(), value.clone(), bytes);
        Some(value)
    }

    /// Keeps a value that takes about so many bytes, if it is not larger than all of them.
    fn keep(&mut self, key: K, value: V, bytes: usize) {
        if let Some((_, bytes)) = self.old.remove(&key) {
            self.old_bytes -= bytes;
        }
        if let Some((_, bytes)) = self.young.remove(&key) {
            self.young_bytes -= bytes;
        }
        self.insert(key, value, bytes + ENTRY_BYTES);
    }

    fn insert(&mut self, key: K, value: V, bytes: usize) {
        let half = self.bytes_max / 2;
        if bytes > half {
            return;
        }
        if self.young_bytes + bytes > half {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
        self.young_bytes += bytes;
        self.young.insert(key, (value, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_bytes_are_bounded() {
        let mut recent = Generations::new(20 * (ENTRY_BYTES + 36));
        recent.keep(0, "wanted", 36);
        for key in 1..1_000 {
            recent.keep(key, "passing", 36);
            assert_eq!(recent.find(&0), Some("wanted"), "after {key}");
            assert!(recent.bytes() <= recent.bytes_max);
        }
        assert_eq!(recent.find(&999), Some("passing"));
        assert_eq!(recent.find(&900), None, "not asked for since");
        recent.keep(999, "again", 36);
        assert_eq!(recent.find(&999), Some("again"));
        let held = recent.young.values().chain(recent.old.values()).map(|(_, bytes)| bytes).sum::<usize>();
        assert_eq!(recent.bytes(), held);
        recent.keep(5, "huge", 1 << 20);
        assert_eq!(recent.find(&5), None);
    }
}
