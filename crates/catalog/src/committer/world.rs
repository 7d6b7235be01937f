//! What a group of commits knows of the catalog while it is under the lock. Each commit sees the effects of those before it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cenote_datafile::{DeletionVector, FileStatistics};
use cenote_vocab::{Epoch, FileId, Micros, PartitionId, TableId, TableSchema, Txn};
use uuid::Uuid;

use crate::evolution::Layouts;
use crate::ledger::Standing;
use crate::widening::Findings;
use crate::{Content, Error, LevelCounters, Names, PartitionKey, TableDef, TenantState, VisibleVector};

/// The head row of a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadRow {
    pub(crate) txn: Txn,
    pub(crate) committed: Micros,
    pub(crate) ddl_txn: Txn,
    pub(crate) next_object: i64,
    pub(crate) next_file: i64,
    /// Of the tenant.
    pub(crate) state: TenantState,
}

/// Counters of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableState {
    pub(crate) last_txn: Txn,
    pub(crate) table_seq: i64,
    pub(crate) next_row_id: i64,
    pub(crate) next_field: i32,
    pub(crate) next_part_field: i32,
    pub(crate) next_partition: i64,
    pub(crate) live_files: i64,
    pub(crate) live_rows: i64,
    pub(crate) deleted_rows: i64,
    pub(crate) live_bytes: i64,
    /// Of the live files, the inline batches.
    pub(crate) inline: LevelCount,
    pub(crate) max_span: i64,
    pub(crate) history_floor: Txn,
}

/// A partition tuple and its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) spec_no: i32,
    pub(crate) tuple_hash: [u8; 16],
    pub(crate) tuple: String,
    pub(crate) live_files: i64,
    pub(crate) live_rows: i64,
    pub(crate) live_bytes: i64,
    pub(crate) small_files: i64,
    /// Files as they were flushed.
    pub(crate) fresh: LevelCount,
    /// Files that were merged once.
    pub(crate) merged: LevelCount,
    pub(crate) deleted_rows: i64,
    pub(crate) time_range: Option<(i64, i64)>,
    pub(crate) last_txn: Txn,
}

/// Live files of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LevelCount {
    pub(crate) files: i64,
    pub(crate) bytes: i64,
}

impl From<LevelCount> for LevelCounters {
    fn from(count: LevelCount) -> Self {
        // the catalog's checks find counters below zero; who reads them meanwhile sees none
        let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
        Self { files: unsigned(count.files), bytes: unsigned(count.bytes) }
    }
}

impl Partition {
    /// Counts files of `level` that come, or go if the numbers are negative; full files have no count of their own.
    pub(crate) fn count_level(&mut self, level: i32, files: i64, bytes: i64) {
        let counted = match level {
            ..=0 => &mut self.fresh,
            1 => &mut self.merged,
            _ => return,
        };
        counted.files += files;
        counted.bytes += bytes;
    }
}

/// A file that a commit of the group names.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownFile {
    /// When it ended, and what that transaction did to the table.
    pub(crate) ended: Option<(Txn, i32)>,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) level: i32,
    pub(crate) content: Content,
    pub(crate) partition: PartitionId,
    pub(crate) vector: Option<VisibleVector>,
    /// Its vectors, oldest first, from the one that was live at the oldest base on; empty if nothing changed since.
    pub(crate) versions: Vec<VectorVersion>,
}

/// A vector of a file, and what the transaction that made it did to the table.
#[derive(Clone, Debug)]
pub(crate) struct VectorVersion {
    pub(crate) begin: Txn,
    pub(crate) ops: i32,
    pub(crate) vector: Arc<DeletionVector>,
}

/// A file that came with new rows, after a base that the group knows.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) file: FileId,
    pub(crate) begin: Txn,
    pub(crate) partition: PartitionKey,
    pub(crate) statistics: FileStatistics,
    pub(crate) schema: Arc<TableSchema>,
}

/// One table in the group.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableWork {
    /// `None` if it is dropped, or not created yet.
    pub(crate) def: Option<Arc<TableDef>>,
    /// Its columns by schema number, as far as the group's files need them.
    pub(crate) schemas: HashMap<i32, Arc<TableSchema>>,
    pub(crate) state: TableState,
    pub(crate) partitions: HashMap<PartitionId, Partition>,
    pub(crate) tuples: HashMap<(i32, [u8; 16]), PartitionId>,
    pub(crate) touched_partitions: BTreeSet<PartitionId>,
    pub(crate) touched: bool,
    // What follows is known for one group only.
    pub(crate) files: HashMap<FileId, KnownFile>,
    /// Versions below the floor that tags keep; asked for only where a change restores one.
    pub(crate) tagged: BTreeSet<Txn>,
    /// Files that came with new rows: asked for only where a change read a region; in any case those of the group.
    pub(crate) arrivals: Vec<Arc<Arrived>>,
    /// The last transaction that changed rows; asked for only where a change read the whole table.
    pub(crate) last_data_txn: Option<Txn>,
    /// Asked for only where values decide about a change of columns.
    pub(crate) findings: Option<Findings>,
    /// Asked for only where specs and orders before the present ones matter.
    pub(crate) layouts: Option<Layouts>,
}

/// The catalog as a group knows it. Cloning is cheap: a commit works on a clone, which is dropped if the commit fails.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) head: HeadRow,
    pub(crate) names: Arc<Names>,
    pub(crate) tables: HashMap<TableId, Arc<TableWork>>,
    pub(crate) producers: HashMap<String, Standing>,
    pub(crate) touched_producers: BTreeSet<String>,
    /// Transactions of (producer, epoch) that the group's commits name.
    pub(crate) epochs: HashMap<(String, Epoch), Txn>,
    /// Tables that were dropped last, by schema and name, as they were; asked for only where one is to come back.
    pub(crate) dropped: HashMap<(String, String), Arc<TableDef>>,
    /// Commits of the group that were there before, with the rows that they deleted.
    pub(crate) commits: HashMap<Uuid, (Txn, u64)>,
}

impl World {
    /// The table, to be changed; made if the group does not know it yet.
    pub(crate) fn table_mut(&mut self, table: TableId) -> &mut TableWork {
        Arc::make_mut(self.tables.entry(table).or_default())
    }

    /// The table, if the group knows it.
    pub(crate) fn table(&self, table: TableId) -> Option<&TableWork> {
        self.tables.get(&table).map(Arc::as_ref)
    }

    /// The table's definition at this point of the group.
    pub(crate) fn def(&self, table: TableId) -> Option<&Arc<TableDef>> {
        self.table(table).and_then(|work| work.def.as_ref())
    }

    pub(crate) fn standing(&self, producer: &str) -> Standing {
        self.producers.get(producer).cloned().unwrap_or_default()
    }
}

impl KnownFile {
    /// When its vector last changed.
    pub(crate) fn last_change(&self) -> Option<Txn> {
        self.vector.as_ref().map(|visible| visible.begin_txn)
    }
}

impl TableWork {
    /// A file that the load found.
    pub(crate) fn file(&self, table: TableId, file: FileId) -> Result<&KnownFile, Error> {
        self.files.get(&file).ok_or_else(|| Error::Invalid(format!("table {table} never had file {file}")))
    }

    /// The tuple's partition, counted from now on.
    pub(crate) fn partition_mut(&mut self, partition: PartitionId) -> &mut Partition {
        self.touched_partitions.insert(partition);
        self.partitions.entry(partition).or_default()
    }

    /// The tuple's id; a new one if the table never had it.
    pub(crate) fn intern(&mut self, spec_no: i32, hash: [u8; 16], tuple: &str) -> PartitionId {
        if let Some(partition) = self.tuples.get(&(spec_no, hash)) {
            return *partition;
        }
        let partition = if spec_no == 0 {
            PartitionId(0)
        } else {
            self.state.next_partition += 1;
            PartitionId(self.state.next_partition)
        };
        self.tuples.insert((spec_no, hash), partition);
        let made = Partition { spec_no, tuple_hash: hash, tuple: tuple.to_owned(), ..Partition::default() };
        self.partitions.insert(partition, made);
        partition
    }

    /// Forgets what only one group may know.
    pub(crate) fn end_group(&mut self) {
        self.touched = false;
        self.touched_partitions.clear();
        self.files.clear();
        self.arrivals.clear();
        self.tagged.clear();
        self.last_data_txn = None;
        self.findings = None;
        self.layouts = None;
    }
}
