//! The handle by which HTTP writes, queries read and statements flush.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cenote_catalog::{Error as CatalogError, Identity, Names, TableDef};
use cenote_table::{Form, Lake};
use cenote_vocab::{CatalogId, MemoryPool, Scope, TableId, Txn};
use futures::future::try_join_all;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::admission::Admission;
use crate::buffer::Buffer;
use crate::metrics::Metrics;
use crate::schema::ChangeRates;
use crate::tables::Tables;
use crate::tenants::Tenants;
use crate::wal::{Directory, Health, Log};
use crate::write::Logged;
use crate::{Error, IngestOptions, Pin, WalOptions, WriteOutcome, WriteRequest};

/// Log, buffer and flusher of one node. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    pub(crate) inner: Arc<Inner>,
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

pub(crate) struct Inner {
    pub(crate) lake: Lake,
    pub(crate) options: IngestOptions,
    pub(crate) wal: WalOptions,
    pub(crate) admission: Admission,
    pub(crate) buffer: Buffer,
    pub(crate) tables: Tables,
    pub(crate) tenants: Tenants,
    pub(crate) rates: ChangeRates,
    pub(crate) metrics: Metrics,
    pub(crate) tasks: TaskTracker,
    /// As many flushes at once as cores.
    pub(crate) flushes: Semaphore,
    pub(crate) fenced: Mutex<Option<String>>,
    pub(crate) disk_low: AtomicBool,
    draining: AtomicBool,
    /// The newest names read of each catalog: known tables take rows while the catalog is away.
    names: Mutex<HashMap<CatalogId, (Txn, Arc<Names>)>>,
    /// Empty during recovery. Dropped before `directory`, whose lock then ends.
    pub(crate) log: OnceLock<Log<Logged>>,
    pub(crate) directory: Directory,
}

impl Ingest {
    /// Opens the log, claims its producer name in every catalog, replays it into the buffer. Returns when recovery is complete.
    /// The flush loop runs on `tasks` until `stop`.
    ///
    /// `Corrupt` names file and offset of damaged acknowledged data; `Io` if the directory cannot be used, for example
    /// because another process holds it.
    pub async fn open(
        lake: Lake,
        options: IngestOptions,
        wal: WalOptions,
        memory: MemoryPool,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let mut directory = Directory::open(&wal.dir, &lake.ids)?;
        loop {
            let inner = Inner::new(&lake, &options, &wal, &memory, tasks, directory);
            let inner = Arc::new(inner);
            if inner.recover().await? {
                inner.watch_disk();
                tasks.spawn(inner.clone().run(stop));
                return Ok(Self { inner });
            }
            // The ledger is ahead of this log, an old copy: its rows are in files now, and it begins anew.
            let inner = Arc::into_inner(inner)
                .ok_or_else(|| Error::Internal("recovery left a task behind".to_owned()))?;
            directory = inner.directory;
            directory.renew(&lake.ids)?;
        }
    }

    /// Whether writes can be taken.
    pub fn state(&self) -> State {
        self.inner.state()
    }

    /// Stores a body: all of its (good) rows in all its tables, or nothing.
    pub async fn write(&self, identity: &Identity, request: WriteRequest) -> Result<WriteOutcome, Error> {
        Box::pin(self.inner.write(identity, request)).await
    }

    /// Begins a statement's view of the buffer of these tables.
    pub fn pin(&self, tables: &[TableId]) -> Pin {
        Pin::new(self.inner.buffer.clone(), tables)
    }

    /// The producer name under which this node flushes `table`: its epoch at a snapshot says what is in files.
    pub fn producer(&self, table: TableId) -> String {
        self.inner.producer(table)
    }

    /// Makes everything of `table` that was acknowledged before the call part of a snapshot, in objects, however few rows they
    /// are; answers a txn that contains it.
    ///
    /// An error of storage or catalog leaves the rows durable and queryable; the flush loop goes on trying.
    pub async fn flush(&self, scope: &Scope, table: &TableDef) -> Result<Txn, Error> {
        self.inner.tenants.know(scope);
        self.inner.log_barrier().await;
        self.inner.flush_table(table.id, Form::Objects).await
    }

    /// The same for all tables of the tenant; also begins a new log segment.
    pub async fn flush_all(&self, scope: &Scope) -> Result<Txn, Error> {
        let inner = &self.inner;
        inner.tenants.know(scope);
        if let Some(log) = inner.log.get() {
            log.rotate().await;
        }
        let waiting =
            inner.buffer.waiting().into_iter().filter(|waiting| waiting.table.catalog() == scope.catalog());
        try_join_all(waiting.map(|waiting| inner.flush_table(waiting.table, Form::Objects))).await?;
        inner.truncate_log().await;
        Ok(inner.lake.catalog.head(scope).await?.txn)
    }

    /// Buffered rows and bytes of a table that are in no snapshot yet.
    pub fn buffered(&self, table: TableId) -> (u64, u64) {
        self.inner.buffer.unflushed(table)
    }

    /// Waits until a table has buffered rows; not at all if it has.
    pub async fn until_buffered(&self, table: TableId) {
        let grown = self.inner.buffer.grown(table);
        loop {
            let mut grew = std::pin::pin!(grown.notified());
            grew.as_mut().enable(); // or rows that come between the look and the wait would be missed
            if self.buffered(table).0 > 0 {
                return;
            }
            grew.await;
        }
    }

    /// The oldest and newest place of the log and its size in bytes.
    pub fn log_status(&self) -> (u64, u64, u64) {
        let (oldest, newest, bytes) = self.inner.log.get().map(Log::status).unwrap_or_default();
        (oldest.0, newest.0, bytes)
    }

    /// Shows ingest's metrics in `registry`, whose prefix is `cenote`.
    pub fn register(&self, registry: &mut Registry) {
        self.inner.metrics.register(registry);
    }

    /// Flushes what can be flushed within `patience`, then syncs and closes the log. What was not flushed is replayed at the next start.
    pub async fn shutdown(&self, patience: Duration) -> Result<(), Error> {
        let inner = &self.inner;
        inner.draining.store(true, Ordering::SeqCst);
        inner.log_barrier().await;
        let waiting = inner.buffer.waiting().into_iter();
        let flushes = waiting.map(|waiting| inner.flush_table(waiting.table, Form::Any));
        match tokio::time::timeout(patience, try_join_all(flushes)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "not all rows are in files: the next start replays them")
            }
            Err(_) => {
                tracing::warn!("not all rows are in files within the patience: the next start replays them")
            }
        }
        let inner = inner.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let log = inner.log.get()?;
            let health = log.health();
            log.close();
            Some(health)
        });
        match closed.await {
            Ok(Some(Health::Closed(reason))) => Err(Error::LogClosed(reason)),
            Ok(_) => Ok(()),
            Err(error) => Err(Error::Internal(format!("closing the log: {error}"))),
        }
    }
}

impl Inner {
    fn new(
        lake: &Lake,
        options: &IngestOptions,
        wal: &WalOptions,
        memory: &MemoryPool,
        tasks: &TaskTracker,
        directory: Directory,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            lake: lake.clone(),
            options: options.clone(),
            wal: wal.clone(),
            admission: Admission::new(memory.clone()),
            buffer: Buffer::default(),
            tables: Tables::default(),
            tenants: Tenants::default(),
            rates: ChangeRates::default(),
            metrics: Metrics::default(),
            tasks: tasks.clone(),
            flushes: Semaphore::new(cores),
            fenced: Mutex::default(),
            disk_low: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            names: Mutex::default(),
            log: OnceLock::new(),
            directory,
        }
    }

    pub(crate) fn state(&self) -> State {
        if self.draining.load(Ordering::SeqCst) {
            return State::Draining;
        }
        if let Some(reason) = self.fenced.lock().clone() {
            return State::Closed(reason);
        }
        match self.log.get().map(Log::health) {
            None => State::Replaying,
            Some(Health::Closed(reason)) => State::Closed(reason),
            Some(Health::DiskFull) => State::DiskFull,
            Some(Health::Open) if self.disk_low.load(Ordering::Relaxed) => State::DiskFull,
            Some(Health::Open) => State::Ready,
        }
    }

    /// The log, or why there is none to write to.
    pub(crate) fn ready_log(&self) -> Result<&Log<Logged>, Error> {
        match self.state() {
            State::Ready => self.log.get().ok_or(Error::NotReady("replaying the write-ahead log")),
            State::Replaying => Err(Error::NotReady("replaying the write-ahead log")),
            State::DiskFull => Err(Error::DiskFull),
            State::Closed(reason) => Err(Error::LogClosed(reason)),
            State::Draining => Err(Error::NotReady("stopping")),
        }
    }

    /// Waits until all that is queued now is in the buffer, or refused.
    pub(crate) async fn log_barrier(&self) {
        if let Some(log) = self.log.get() {
            log.barrier().await;
        }
    }

    /// The log's own producer name, whose fence binds those of its tables.
    pub(crate) fn log_name(&self) -> String {
        log_name(self.directory.node())
    }

    pub(crate) fn producer(&self, table: TableId) -> String {
        format!("{}/{table}", self.log_name())
    }

    /// The newest names and the transaction they are of; those read last if the catalog is away.
    pub(crate) async fn names(&self, scope: &Scope) -> Result<(Txn, Arc<Names>), Error> {
        let read = async {
            let head = self.lake.catalog.head(scope).await?;
            let names = self.lake.catalog.names(scope, head.txn).await?;
            Ok::<_, CatalogError>((head.txn, names))
        };
        match read.await {
            Ok(read) => {
                self.names.lock().insert(scope.catalog(), read.clone());
                Ok(read)
            }
            Err(error @ CatalogError::Unavailable(_)) => {
                self.names.lock().get(&scope.catalog()).cloned().ok_or_else(|| error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A newer process has this log: nothing of this one may be committed any more.
    pub(crate) fn fence_off(&self, error: &CatalogError) {
        tracing::error!(%error, "another process took over the write-ahead log: this one must stop");
        *self.fenced.lock() = Some(error.to_string());
        self.metrics.log.closed();
    }
}

pub(crate) fn log_name(node: Uuid) -> String {
    format!("log/{node}")
}
