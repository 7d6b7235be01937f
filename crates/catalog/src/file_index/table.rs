//! Numbers of all files of one table, of every version from its history floor on.

use std::sync::Arc;

use cenote_vocab::{FileId, PartitionId, Txn};

use super::block::{self, Block, VectorEntry};
use crate::visible::{PartitionTuple, Partitions};
use crate::{FileEntry, TimeWindow, VisibleFiles};

/// Ended files that no version needs are dropped once they are so many, and a quarter of the live ones.
const DROPPED_MIN: usize = 1_000;

/// One table. Exact for every snapshot from `floor` on up to `last_txn`, and for later ones if the table did not change since.
#[derive(Clone, Debug)]
pub(crate) struct TableIndex {
    pub(super) last_txn: Txn,
    pub(super) floor: Txn,
    /// When it was last asked for.
    pub(super) used: u64,
    blocks: Vec<Arc<Block>>,
    partitions: Arc<Partitions>,
    partition_bytes: usize,
    last_partition: Option<PartitionId>,
}

/// What happened to a table up to a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Delta {
    pub(crate) last_txn: Txn,
    pub(crate) partitions: Vec<(PartitionId, PartitionTuple)>,
    /// By id.
    pub(crate) files: Vec<FileEntry>,
    pub(crate) ends: Vec<(FileId, Txn)>,
    /// By begin.
    pub(crate) vectors: Vec<VectorEntry>,
}

impl Delta {
    /// Nothing but that it went on.
    pub(crate) fn new(last_txn: Txn) -> Self {
        let (partitions, files, ends, vectors) = Default::default();
        Self { last_txn, partitions, files, ends, vectors }
    }
}

/// A table as it was at one moment; what happens to it later does not show.
#[derive(Debug)]
pub(crate) struct View {
    blocks: Vec<Arc<Block>>,
    partitions: Arc<Partitions>,
}

impl TableIndex {
    pub(crate) fn new(last_txn: Txn, floor: Txn) -> Self {
        let (blocks, partitions) = (Vec::new(), Arc::default());
        Self { last_txn, floor, used: 0, blocks, partitions, partition_bytes: 0, last_partition: None }
    }

    /// True if a table of so many files is not too large for the index.
    pub(crate) fn fits(files: i64) -> bool {
        usize::try_from(files).is_ok_and(|files| files <= super::INDEX_BYTES_MAX / block::FILE_BYTES)
    }

    /// The partition that came last; ids ascend.
    pub(super) fn last_partition(&self) -> Option<PartitionId> {
        self.last_partition
    }

    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.bytes()).sum::<usize>() + self.partition_bytes
    }

    pub(crate) fn add_partitions(&mut self, partitions: Vec<(PartitionId, PartitionTuple)>) {
        let fresh = |(id, _): &(PartitionId, PartitionTuple)| !self.partitions.contains_key(id);
        let fresh: Vec<_> = partitions.into_iter().filter(fresh).collect();
        if fresh.is_empty() {
            return; // the rule: then the map is not copied, though a reader may hold it
        }
        let known = Arc::make_mut(&mut self.partitions);
        for (id, partition) in fresh {
            self.last_partition = self.last_partition.max(Some(id));
            self.partition_bytes +=
                size_of::<(PartitionId, PartitionTuple)>() + size_of_val(partition.tuple.as_slice());
            known.insert(id, partition);
        }
    }

    /// Appends a file; its id is above all that are here.
    pub(crate) fn push(&mut self, file: &FileEntry) {
        if self.blocks.last().is_none_or(|block| block.len() >= block::FILES_MAX) {
            self.blocks.push(Arc::new(Block::new()));
        }
        if let Some(last) = self.blocks.last_mut() {
            Arc::make_mut(last).push(file);
        }
    }

    /// Adds or ends a version of the vector of a file that is here.
    pub(crate) fn set_vector(&mut self, vector: &VectorEntry) {
        if let Some(block) = self.block_of(vector.file) {
            block.set_vector(vector);
        }
    }

    /// Follows the table. False if a file came out of order: then nothing here may be trusted any more.
    pub(super) fn apply(&mut self, delta: Delta) -> bool {
        let last_id = self.blocks.last().and_then(|block| block.last_id());
        if delta.files.first().is_some_and(|first| last_id.is_some_and(|last| first.id <= last))
            || !delta.files.is_sorted_by(|a, b| a.id < b.id)
        {
            return false;
        }
        self.add_partitions(delta.partitions);
        delta.files.iter().for_each(|file| self.push(file));
        for vector in &delta.vectors {
            self.set_vector(vector);
        }
        for (file, end) in delta.ends {
            if let Some(block) = self.block_of(file) {
                block.end(file, end);
            }
        }
        self.last_txn = delta.last_txn;
        true
    }

    /// Versions below `floor` are not asked for any more: files that only they showed go.
    pub(super) fn raise_floor(&mut self, floor: Txn) {
        self.floor = self.floor.max(floor);
        let (files, ended) = self
            .blocks
            .iter()
            .fold((0, 0), |(files, ended), block| (files + block.len(), ended + block.ended()));
        if ended < DROPPED_MIN.max((files - ended) / 4) {
            return;
        }
        let floor = self.floor;
        for block in std::mem::take(&mut self.blocks) {
            for file in block.entries(floor).filter(|file| file.end_txn > floor) {
                self.push(&file);
            }
            for vector in block.vectors().iter().filter(|vector| vector.end > floor) {
                self.set_vector(vector);
            }
        }
    }

    fn block_of(&mut self, file: FileId) -> Option<&mut Block> {
        let at = self.blocks.partition_point(|block| block.last_id() < Some(file));
        let block = self.blocks.get_mut(at).filter(|block| block.holds(file))?;
        Some(Arc::make_mut(block))
    }

    pub(super) fn view(&self) -> View {
        View { blocks: self.blocks.clone(), partitions: self.partitions.clone() }
    }
}

impl View {
    /// The files visible at `at` that may hold rows in the window.
    pub(crate) fn visible(&self, at: Txn, window: TimeWindow) -> VisibleFiles {
        let mut files = Vec::new();
        for block in self.blocks.iter().filter(|block| block.may_show(at, window)) {
            block.visible(at, window, &mut files);
        }
        VisibleFiles { files, partitions: self.partitions.clone() }
    }
}
