//! Own commits, as they reach the index: from memory, without a question to the database.

use std::collections::HashMap;

use cenote_vocab::{LIVE, TableId, Txn};

use super::{Delta, FileIndexes, VectorEntry};
use crate::FileEntry;
use crate::committer::{FileRow, VectorRow, Writes};
use crate::visible::PartitionTuple;

impl FileIndexes {
    /// Follows a group: `last_txns` are the last changes of its tables before it.
    pub(crate) fn publish(&self, writes: &Writes, last_txns: &[(TableId, Txn)]) {
        let before: HashMap<TableId, Txn> = last_txns.iter().copied().collect();
        let known = &mut *self.known.lock();
        for (table, delta) in deltas(writes) {
            known.published.insert(table, delta.last_txn);
            if let Some(reached) = before.get(&table) {
                known.apply(table, self.bytes_max, *reached, delta);
            }
        }
    }
}

/// What a group did to each of its tables.
fn deltas(writes: &Writes) -> HashMap<TableId, Delta> {
    let mut deltas: HashMap<TableId, Delta> = HashMap::new();
    for tally in &writes.tallies {
        let delta = deltas.entry(tally.table).or_insert_with(|| Delta::new(tally.txn));
        delta.last_txn = delta.last_txn.max(tally.txn);
    }
    for row in &writes.files {
        if let Some(delta) = deltas.get_mut(&row.table) {
            delta.files.push(file(row));
            delta.partitions.push((row.partition, partition(row)));
        }
    }
    for row in &writes.vectors {
        if let Some(delta) = deltas.get_mut(&row.table) {
            delta.vectors.push(vector(row));
        }
    }
    for (table, file, end) in &writes.file_ends {
        if let Some(delta) = deltas.get_mut(table) {
            delta.ends.push((*file, *end));
        }
    }
    for delta in deltas.values_mut() {
        delta.files.sort_unstable_by_key(|file| file.id);
        delta.vectors.sort_unstable_by_key(|vector| vector.begin);
        delta.partitions.sort_unstable_by_key(|(id, _)| *id);
        delta.partitions.dedup_by_key(|(id, _)| *id);
    }
    deltas
}

fn file(row: &FileRow) -> FileEntry {
    FileEntry {
        id: row.id,
        begin_txn: row.begin,
        end_txn: LIVE,
        partition: row.partition,
        schema_no: row.file.schema_no,
        time_range: row.file.time_range,
        rows: row.file.rows,
        bytes: row.file.bytes,
        deleted: None,
    }
}

fn partition(row: &FileRow) -> PartitionTuple {
    PartitionTuple { spec_no: row.file.spec_no, tuple: row.file.partition.clone() }
}

fn vector(row: &VectorRow) -> VectorEntry {
    let deleted = row.vector.cardinality();
    VectorEntry { file: row.file, begin: row.begin, end: row.end, deleted }
}
