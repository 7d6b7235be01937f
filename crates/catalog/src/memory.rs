//! What readers of one catalog find in memory: head, names, epochs.
//!
//! The committer publishes after each group. While this process holds the lease `active`, nobody else writes, so what was
//! published is the truth; else it is compared with the head row first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use cenote_vocab::{Epoch, PartitionSpec, TableId, TableSchema, Txn};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::committer::Writes;
use crate::{AssetPartition, Error, Head, LevelCounters, Names, TablesById};

/// Producers and schemas that are remembered, at most.
const REMEMBERED_MAX: usize = 100_000;

/// Parts of assets that are remembered, at most.
const PARTS_MAX: usize = 500_000;

/// Parts of assets as they were read since they were changed last.
#[derive(Debug, Default)]
struct Parts {
    generation: u64,
    count: usize,
    of: HashMap<Uuid, Arc<Vec<AssetPartition>>>,
}

/// One catalog's memory.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The newest head that was published here; only true while this process holds `active`.
    head: Mutex<Option<Head>>,
    names: Mutex<Option<Arc<Names>>>,
    by_id: Mutex<Option<Arc<TablesById>>>,
    epochs: Mutex<HashMap<String, (Epoch, Txn)>>,
    schemas: Mutex<HashMap<(TableId, i32), Arc<TableSchema>>>,
    specs: Mutex<HashMap<(TableId, i32), Arc<PartitionSpec>>>,
    /// Live inline batches.
    inline: Mutex<HashMap<TableId, LevelCounters>>,
    parts: Mutex<Parts>,
    changed: watch::Sender<Txn>,
    /// Rings when a person changed a job.
    bell: Notify,
    newest_seen: AtomicI64,
    generation: AtomicU64,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            head: Mutex::default(),
            names: Mutex::default(),
            by_id: Mutex::default(),
            epochs: Mutex::default(),
            schemas: Mutex::default(),
            specs: Mutex::default(),
            inline: Mutex::default(),
            parts: Mutex::default(),
            changed: watch::Sender::new(Txn(0)),
            bell: Notify::new(),
            newest_seen: AtomicI64::new(0),
            generation: AtomicU64::new(0),
        }
    }

    pub(crate) fn head(&self) -> Option<Head> {
        *self.head.lock()
    }

    /// Remembers a head that was read; an older one than is known changes nothing.
    pub(crate) fn note_head(&self, head: Head) {
        let mut known = self.head.lock();
        if known.is_none_or(|known| known.txn < head.txn) {
            *known = Some(head);
        }
        drop(known);
        self.changed.send_if_modified(|newest| {
            let newer = head.txn > *newest;
            if newer {
                *newest = head.txn;
            }
            newer
        });
    }

    /// Forgets what others may have changed.
    pub(crate) fn forget(&self) {
        *self.head.lock() = None;
        self.epochs.lock().clear();
        self.inline.lock().clear();
        self.forget_parts();
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The newest head that was ever read here.
    pub(crate) fn newest_seen(&self) -> Txn {
        Txn(self.newest_seen.load(Ordering::Acquire))
    }

    /// `Corrupt` if the catalog is older than it was: its database was put back behind our back. `seen`: what had been seen
    /// before the head was read; another task may have seen more since.
    pub(crate) fn check_head(&self, txn: Txn, seen: Txn) -> Result<(), Error> {
        self.newest_seen.fetch_max(txn.0, Ordering::AcqRel);
        if txn < seen {
            return Err(Error::Corrupt(format!("head is {txn}, but transaction {seen} has been seen")));
        }
        Ok(())
    }

    /// The names that the newest DDL made, if they are those of `ddl_txn`.
    pub(crate) fn names(&self, ddl_txn: Txn) -> Option<Arc<Names>> {
        self.names.lock().clone().filter(|names| names.ddl_txn == ddl_txn)
    }

    pub(crate) fn note_names(&self, names: &Arc<Names>) {
        let mut known = self.names.lock();
        if known.as_ref().is_none_or(|known| known.ddl_txn <= names.ddl_txn) {
            *known = Some(names.clone());
        }
    }

    /// The tables of these names by id, if they were asked for so.
    pub(crate) fn by_id(&self, names: &Arc<Names>) -> Option<Arc<TablesById>> {
        self.by_id.lock().clone().filter(|tables| Arc::ptr_eq(tables.names(), names))
    }

    pub(crate) fn note_by_id(&self, tables: &Arc<TablesById>) {
        *self.by_id.lock() = Some(tables.clone());
    }

    /// The producer's newest epoch and its transaction.
    pub(crate) fn epoch(&self, producer: &str) -> Option<(Epoch, Txn)> {
        self.epochs.lock().get(producer).copied()
    }

    pub(crate) fn schema(&self, table: TableId, no: i32) -> Option<Arc<TableSchema>> {
        self.schemas.lock().get(&(table, no)).cloned()
    }

    pub(crate) fn note_schemas(&self, table: TableId, schemas: &HashMap<i32, Arc<TableSchema>>) {
        let mut known = self.schemas.lock();
        if known.len() > REMEMBERED_MAX {
            known.clear();
        }
        known.extend(schemas.iter().map(|(no, schema)| ((table, *no), schema.clone())));
    }

    pub(crate) fn spec(&self, table: TableId, no: i32) -> Option<Arc<PartitionSpec>> {
        self.specs.lock().get(&(table, no)).cloned()
    }

    /// A spec never changes: it is remembered for as long as there is room.
    pub(crate) fn note_specs(&self, table: TableId, specs: BTreeMap<i32, PartitionSpec>) {
        let mut known = self.specs.lock();
        if known.len() > REMEMBERED_MAX {
            known.clear();
        }
        known.extend(specs.into_iter().map(|(no, spec)| ((table, no), Arc::new(spec))));
    }

    /// How many live inline batches the table has, and their bytes.
    pub(crate) fn inline(&self, table: TableId) -> Option<LevelCounters> {
        self.inline.lock().get(&table).copied()
    }

    pub(crate) fn note_inline(&self, counts: impl IntoIterator<Item = (TableId, LevelCounters)>) {
        let mut known = self.inline.lock();
        if known.len() > REMEMBERED_MAX {
            known.clear();
        }
        known.extend(counts);
    }

    /// What an asset has, if it is known; and what to show when it is read instead.
    pub(crate) fn parts(&self, asset: Uuid) -> (Option<Arc<Vec<AssetPartition>>>, u64) {
        let parts = self.parts.lock();
        (parts.of.get(&asset).cloned(), parts.generation)
    }

    /// Remembers what an asset has, unless parts have changed since the generation that was shown.
    pub(crate) fn note_parts(&self, asset: Uuid, generation: u64, read: &[AssetPartition]) {
        let mut parts = self.parts.lock();
        if parts.generation != generation || read.len() > PARTS_MAX {
            return;
        }
        if parts.count + read.len() > PARTS_MAX {
            parts.of.clear();
            parts.count = 0;
        }
        parts.count += read.len();
        parts.of.insert(asset, Arc::new(read.to_vec()));
    }

    /// Parts of some assets have changed.
    pub(crate) fn forget_parts(&self) {
        let mut parts = self.parts.lock();
        *parts = Parts { generation: parts.generation + 1, ..Parts::default() };
    }

    /// Shows readers what a group changed.
    pub(crate) fn publish(&self, head: Head, names: &Arc<Names>, writes: &Writes) {
        if !writes.flow.is_empty() {
            self.forget_parts(); // a task may have ended
        }
        self.note_names(names);
        let mut epochs = self.epochs.lock();
        if epochs.len() > REMEMBERED_MAX {
            epochs.clear();
        }
        for (producer, epoch, txn) in &writes.epochs {
            epochs.insert(producer.clone(), (*epoch, *txn));
        }
        drop(epochs);
        self.note_head(head);
    }

    /// Tells who waits for jobs that one of them changed.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Waits until a job is changed; one that was changed since the last call ends it at once.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// News of later transactions.
    pub(crate) fn watch(&self) -> watch::Receiver<Txn> {
        self.changed.subscribe()
    }

    /// Grows whenever something changed that the committer does not see by the head row.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The committer must read counters anew.
    pub(crate) fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}
