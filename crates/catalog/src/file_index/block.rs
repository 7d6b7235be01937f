//! Some thousand files of a table, a column of numbers each.

use cenote_vocab::{FileId, LIVE, PartitionId, Txn};

use crate::{FileEntry, TimeWindow};

/// Files of one block. A block is copied when it changes while a reader holds it, so it must be small.
pub(super) const FILES_MAX: usize = 4096;
/// Bytes of one file in the columns.
pub(super) const FILE_BYTES: usize = size_of::<[i64; 8]>() + size_of::<i32>();

/// Rows deleted from a file by one version of its deletion vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VectorEntry {
    pub(crate) file: FileId,
    pub(crate) begin: Txn,
    pub(crate) end: Txn,
    pub(crate) deleted: u64,
}

/// Files in order of their ids.
#[derive(Clone, Debug)]
pub(super) struct Block {
    ids: Vec<FileId>,
    begins: Vec<Txn>,
    ends: Vec<Txn>,
    partitions: Vec<PartitionId>,
    schema_nos: Vec<i32>,
    /// The smallest number for a file without times …
    earliest: Vec<i64>,
    /// … and the largest here: such a file touches every window.
    latest: Vec<i64>,
    rows: Vec<u64>,
    bytes: Vec<u64>,
    /// By file, then by begin.
    vectors: Vec<VectorEntry>,
    /// All times of the block lie in here.
    span: TimeWindow,
    live: usize,
    /// Of the files that are not live, when the last one ended.
    last_end: Txn,
}

impl Block {
    pub(super) fn new() -> Self {
        Self {
            ids: Vec::new(),
            begins: Vec::new(),
            ends: Vec::new(),
            partitions: Vec::new(),
            schema_nos: Vec::new(),
            earliest: Vec::new(),
            latest: Vec::new(),
            rows: Vec::new(),
            bytes: Vec::new(),
            vectors: Vec::new(),
            span: TimeWindow { from: i64::MAX, to: i64::MIN },
            live: 0,
            last_end: Txn(i64::MIN),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn ended(&self) -> usize {
        self.ids.len() - self.live
    }

    pub(super) fn last_id(&self) -> Option<FileId> {
        self.ids.last().copied()
    }

    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.ids.capacity() * FILE_BYTES
            + self.vectors.capacity() * size_of::<VectorEntry>()
    }

    /// Appends a file whose id is above all others; what it says of deleted rows is left to [`Self::set_vector`].
    pub(super) fn push(&mut self, file: &FileEntry) {
        let (earliest, latest) = file.time_range.unwrap_or((i64::MIN, i64::MAX));
        self.ids.push(file.id);
        self.begins.push(file.begin_txn);
        self.ends.push(file.end_txn);
        self.partitions.push(file.partition);
        self.schema_nos.push(file.schema_no);
        self.earliest.push(earliest);
        self.latest.push(latest);
        self.rows.push(file.rows);
        self.bytes.push(file.bytes);
        self.span = TimeWindow { from: self.span.from.min(earliest), to: self.span.to.max(latest) };
        match file.end_txn {
            LIVE => self.live += 1,
            end => self.last_end = self.last_end.max(end),
        }
    }

    /// True if the file is here.
    pub(super) fn holds(&self, file: FileId) -> bool {
        self.ids.binary_search(&file).is_ok()
    }

    /// Ends a live file.
    pub(super) fn end(&mut self, file: FileId, end: Txn) {
        let Ok(at) = self.ids.binary_search(&file) else { return };
        if self.ends[at] == LIVE {
            self.ends[at] = end;
            self.live -= 1;
            self.last_end = self.last_end.max(end);
        }
    }

    /// Adds a version of a file's vector, or ends it; the version before ends where this one begins.
    pub(super) fn set_vector(&mut self, vector: &VectorEntry) {
        let at =
            self.vectors.partition_point(|known| (known.file, known.begin) < (vector.file, vector.begin));
        if let Some(before) = at.checked_sub(1).map(|before| &mut self.vectors[before])
            && before.file == vector.file
        {
            before.end = before.end.min(vector.begin);
        }
        match self.vectors.get_mut(at) {
            Some(known) if (known.file, known.begin) == (vector.file, vector.begin) => *known = *vector,
            _ => self.vectors.insert(at, *vector),
        }
    }

    /// False only if no file of the block is visible at `at` and may hold rows in the window.
    pub(super) fn may_show(&self, at: Txn, window: TimeWindow) -> bool {
        (self.live > 0 || at < self.last_end) && self.span.to >= window.from && self.span.from <= window.to
    }

    /// Appends the files that are visible at `at` and may hold rows in the window.
    pub(super) fn visible(&self, at: Txn, window: TimeWindow, found: &mut Vec<FileEntry>) {
        let times = self.earliest.iter().zip(&self.latest);
        let versions = self.begins.iter().zip(&self.ends);
        for (row, ((earliest, latest), (begin, end))) in times.zip(versions).enumerate() {
            if *latest >= window.from && *earliest <= window.to && *begin <= at && at < *end {
                found.push(self.entry(row, at));
            }
        }
    }

    /// All files, as of `at` where rows were deleted from them.
    pub(super) fn entries(&self, at: Txn) -> impl Iterator<Item = FileEntry> + '_ {
        (0..self.ids.len()).map(move |row| self.entry(row, at))
    }

    pub(super) fn vectors(&self) -> &[VectorEntry] {
        &self.vectors
    }

    fn entry(&self, row: usize, at: Txn) -> FileEntry {
        let range = (self.earliest[row], self.latest[row]);
        FileEntry {
            id: self.ids[row],
            begin_txn: self.begins[row],
            end_txn: self.ends[row],
            partition: self.partitions[row],
            schema_no: self.schema_nos[row],
            time_range: (range != (i64::MIN, i64::MAX)).then_some(range),
            rows: self.rows[row],
            bytes: self.bytes[row],
            deleted: self.deleted(self.ids[row], at),
        }
    }

    fn deleted(&self, file: FileId, at: Txn) -> Option<(Txn, u64)> {
        let after = self.vectors.partition_point(|known| (known.file, known.begin) <= (file, at));
        let vector = self.vectors.get(after.checked_sub(1)?)?;
        (vector.file == file && at < vector.end).then_some((vector.begin, vector.deleted))
    }
}
