//! The handle by which HTTP writes, queries read and statements flush.

use std::sync::Arc;

use cenote_catalog::{Identity, TableDef};
use cenote_table::Lake;
use cenote_vocab::{MemoryPool, Scope, TableId, Txn};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Error, IngestOptions, Pin, WalOptions, WriteOutcome, WriteRequest};

/// Log, buffer and flusher of one node. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    _inner: Arc<()>,
}

/// Whether writes can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Reading the log.
    Replaying,
    /// Taking writes.
    Ready,
    /// The disk is full; reads go on, a probe resumes writes.
    DiskFull,
    /// A write or sync failed; the process must restart.
    Closed(String),
    /// Stopping.
    Draining,
}

impl Ingest {
    /// Opens the log, claims its producer name in every catalog, replays it into the buffer. Returns when recovery is complete.
    /// The flush loop runs on `tasks` until `stop`.
    pub async fn open(
        _lake: Lake,
        _options: IngestOptions,
        _wal: WalOptions,
        _memory: MemoryPool,
        _tasks: &TaskTracker,
        _stop: CancellationToken,
    ) -> Result<Self, Error> {
        todo!()
    }

    /// Whether writes can be taken.
    pub fn state(&self) -> State {
        todo!()
    }

    /// Stores a body: all of its (good) rows in all its tables, or nothing.
    pub async fn write(&self, _identity: &Identity, _request: WriteRequest) -> Result<WriteOutcome, Error> {
        todo!()
    }

    /// Begins a statement's view of the buffer of these tables.
    pub fn pin(&self, _tables: &[TableId]) -> Pin {
        todo!()
    }

    /// The producer name under which this node flushes `table`: its epoch at a snapshot says what is in files.
    pub fn producer(&self, _table: TableId) -> String {
        todo!()
    }

    /// Makes everything of `table` that was acknowledged before the call part of a snapshot; answers a txn that contains it.
    pub async fn flush(&self, _scope: &Scope, _table: &TableDef) -> Result<Txn, Error> {
        todo!()
    }

    /// The same for all tables of the tenant; also begins a new log segment.
    pub async fn flush_all(&self, _scope: &Scope) -> Result<Txn, Error> {
        todo!()
    }

    /// Buffered rows and bytes of a table that are in no snapshot yet.
    pub fn buffered(&self, _table: TableId) -> (u64, u64) {
        todo!()
    }

    /// The oldest and newest place of the log and its size in bytes.
    pub fn log_status(&self) -> (u64, u64, u64) {
        todo!()
    }

    /// Flushes what can be flushed within `patience`, then syncs and closes the log. What was not flushed is replayed at the next start.
    pub async fn shutdown(&self, _patience: std::time::Duration) -> Result<(), Error> {
        todo!()
    }
}
