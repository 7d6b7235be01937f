//! The file index: numbers of every file of every table that is asked for, in memory.
//!
//! ```text
//! table ─► blocks of 4096 files, each a column per number:  id  begin  end  partition  schema  times  rows  bytes
//! ```
//! 68 bytes per file, one or more columns of which a question goes through; a block whose times or versions lie apart is left
//! out whole. Own commits are applied as they are published, others' by asking for what came and went since. A reader takes
//! the blocks as they are and looks through them without a lock.
//!
//! Invariant: an index is exact from the table's history floor on up to the last change it has seen.

mod block;
mod publish;
mod table;

use std::collections::HashMap;

use cenote_vocab::{PartitionId, TableId, Txn};
use parking_lot::Mutex;
use tokio::sync::MutexGuard;

pub(crate) use block::VectorEntry;
pub(crate) use table::{Delta, TableIndex, View};

/// All indexes together take at most this many bytes; the table that was asked for longest ago goes first.
const INDEX_BYTES_MAX: usize = 512 << 20;
/// Tables that are read from the database at the same time.
const LOADS_MAX: usize = 16;

/// The indexes of all tables of this process.
#[derive(Debug)]
pub(crate) struct FileIndexes {
    bytes_max: usize,
    known: Mutex<Known>,
    loading: [tokio::sync::Mutex<()>; LOADS_MAX],
}

#[derive(Debug, Default)]
struct Known {
    tables: HashMap<TableId, TableIndex>,
    /// The last change of each table that was published here.
    published: HashMap<TableId, Txn>,
    /// Grows when something is forgotten: what was read before is not kept.
    generation: u64,
    turn: u64,
    bytes: usize,
}

impl FileIndexes {
    pub(crate) fn new() -> Self {
        Self { bytes_max: INDEX_BYTES_MAX, known: Mutex::default(), loading: Default::default() }
    }

    /// The table's files, if they are known well enough for `at`. `newest`: the table's last change as just read, or `None`
    /// while this process is the only one that writes.
    pub(crate) fn view(&self, table: TableId, at: Txn, newest: Option<Txn>) -> Option<View> {
        let known = &mut *self.known.lock();
        known.turn += 1;
        let newest = newest.or_else(|| known.published.get(&table).copied());
        let index = known.tables.get_mut(&table)?;
        let exact = at <= index.last_txn || newest.is_none_or(|newest| newest <= index.last_txn);
        if at < index.floor || !exact {
            return None;
        }
        index.used = known.turn;
        Some(index.view())
    }

    /// Lets one at a time read a table.
    pub(crate) async fn lock_loading(&self, table: TableId) -> MutexGuard<'_, ()> {
        self.loading[table.0 as usize % LOADS_MAX].lock().await
    }

    /// What a read must show to be kept.
    pub(crate) fn ticket(&self) -> u64 {
        self.known.lock().generation
    }

    /// Up to which change the table is known, and the last of its partitions.
    pub(crate) fn reached(&self, table: TableId) -> Option<(Txn, Option<PartitionId>)> {
        let known = self.known.lock();
        known.tables.get(&table).map(|index| (index.last_txn, index.last_partition()))
    }

    /// Keeps a table as it was read since `ticket`.
    pub(crate) fn keep(&self, table: TableId, ticket: u64, mut index: TableIndex) {
        let known = &mut *self.known.lock();
        if ticket != known.generation {
            return;
        }
        known.turn += 1;
        index.used = known.turn;
        known.change(table, self.bytes_max, |tables| drop(tables.insert(table, index)));
    }

    /// Applies what happened after `reached`, as it was read since `ticket`; unless somebody else was faster.
    pub(crate) fn follow(&self, table: TableId, ticket: u64, reached: Txn, delta: Delta) {
        let known = &mut *self.known.lock();
        if ticket == known.generation {
            known.apply(table, self.bytes_max, reached, delta);
        }
    }

    /// Drops all that is known.
    pub(crate) fn forget(&self) {
        let known = &mut *self.known.lock();
        known.generation += 1;
        known.tables.clear();
        known.published.clear();
        known.bytes = 0;
    }

    /// Versions of the table below `floor` are gone.
    pub(crate) fn raise_floor(&self, table: TableId, floor: Txn) {
        let known = &mut *self.known.lock();
        known.generation += 1;
        known.change(table, self.bytes_max, |tables| {
            if let Some(index) = tables.get_mut(&table) {
                index.raise_floor(floor);
            }
        });
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.known.lock().bytes
    }
}

impl Known {
    /// An index that is not at `reached` is left as it is: who asks for it next brings it up to date.
    fn apply(&mut self, table: TableId, bytes_max: usize, reached: Txn, delta: Delta) {
        if self.tables.get(&table).is_none_or(|index| index.last_txn != reached) {
            return;
        }
        self.change(table, bytes_max, |tables| {
            if tables.get_mut(&table).is_some_and(|index| !index.apply(delta)) {
                tables.remove(&table);
            }
        });
    }

    fn change(
        &mut self,
        table: TableId,
        bytes_max: usize,
        change: impl FnOnce(&mut HashMap<TableId, TableIndex>),
    ) {
        let bytes = |tables: &HashMap<TableId, TableIndex>| tables.get(&table).map_or(0, TableIndex::bytes);
        let before = bytes(&self.tables);
        change(&mut self.tables);
        self.bytes = self.bytes - before + bytes(&self.tables);
        while self.bytes > bytes_max {
            let oldest = self.tables.iter().min_by_key(|(_, index)| index.used).map(|(table, _)| *table);
            let Some(oldest) = oldest.and_then(|table| self.tables.remove(&table)) else { break };
            self.bytes -= oldest.bytes();
        }
    }
}

#[cfg(test)]
mod tests;
