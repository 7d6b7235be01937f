//! Group commit: the records of many requests share one write and one `fdatasync`.
//!
//! ```text
//! requests ─ Append ─► queue ─► one thread: place, write, sync, publish in order, wake ─► answers
//!                        └ the next group gathers while this one syncs: the sync is the window, there is no timer
//! ```
//! Invariant: a place is published and answered only after its bytes are synced. A failed write or sync is final: the disk
//! may hold any part of what was written, and a second sync would not tell.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use cenote_vocab::{Clock, Lsn, TableId};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::group::Groups;
use super::record::Draft;
use super::segment::{SegmentStatus, sync_directory};
use super::thread::Thread;
use super::{Shape, Tail};
use crate::{Error, metrics::LogMetrics};

/// What is shown to readers when a record is durable: `T` stands at its place.
pub(crate) type Publish<T> = Box<dyn FnMut(Vec<(Lsn, T)>) + Send>;

/// One request's record.
pub(crate) struct Append<T> {
    /// The finished record.
    pub(crate) draft: Draft,
    /// The columns of each of its tables.
    pub(crate) shapes: Vec<Arc<Shape>>,
    /// What is published when it is durable.
    pub(crate) rows: T,
    /// Is told the place once it is durable and published.
    pub(crate) done: oneshot::Sender<Result<Lsn, Refused>>,
}

/// Why a record was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No segment could be allocated; nothing was written.
    DiskFull,
    /// The log is closed: the record may be on disk.
    Closed(String),
}

/// Whether the log takes records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// It does.
    #[default]
    Open,
    /// The next segment cannot be allocated; [`Log::probe`] tries again.
    DiskFull,
    /// A write or sync failed, or the log was shut down.
    Closed(String),
}

/// How to begin a log where an earlier one ended.
pub(crate) struct Start {
    /// The log's directory, locked by the caller.
    pub(crate) dir: PathBuf,
    /// The log's id.
    pub(crate) node: Uuid,
    /// Size of a segment in bytes.
    pub(crate) segment_bytes: u64,
    /// What was found; its unproven records are written once more.
    pub(crate) tail: Tail,
    /// The tables of each segment of the tail, with their last places.
    pub(crate) tables: Vec<HashMap<TableId, Lsn>>,
    /// The columns of all unproven records.
    pub(crate) shapes: Vec<Arc<Shape>>,
    /// The time.
    pub(crate) clock: Clock,
    /// Where the log counts.
    pub(crate) metrics: LogMetrics,
}

/// The log of one node. Dropping it writes what is queued and ends its thread.
pub(crate) struct Log<T> {
    shared: Arc<Shared<T>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    truncating: Mutex<()>,
}

pub(super) struct Shared<T> {
    pub(super) queue: Mutex<Queue<T>>,
    pub(super) filled: Condvar,
    pub(super) status: Status,
}

/// What the log's thread shows to others.
#[derive(Default)]
pub(super) struct Status {
    pub(super) health: Mutex<Health>,
    pub(super) segments: Mutex<VecDeque<SegmentStatus>>,
    /// The place that the next record gets.
    pub(super) next: AtomicU64,
    /// Bytes of all segments.
    pub(super) bytes: AtomicU64,
}

pub(super) struct Queue<T> {
    pub(super) commands: VecDeque<Command<T>>,
    pub(super) closing: bool,
}

pub(super) enum Command<T> {
    Append(Append<T>),
    /// Answered when all that was queued before is published, or refused.
    Barrier(oneshot::Sender<()>),
    /// Begin a new segment.
    Rotate(oneshot::Sender<()>),
    /// Try to leave the state `DiskFull`.
    Probe,
}

impl<T: Send + 'static> Log<T> {
    /// Begins a new segment, with the unproven records of the tail in it, synced; then starts the log's thread.
    pub(crate) fn start(start: Start, publish: Publish<T>) -> Result<Self, Error> {
        let metrics = start.metrics.clone();
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { commands: VecDeque::new(), closing: false }),
            filled: Condvar::new(),
            status: Status::default(),
        });
        let groups = Groups::start(start, &shared.status)
            .map_err(|error| Error::Io(format!("cannot begin a new segment: {error}")))?;
        let thread = std::thread::Builder::new()
            .name("wal".to_owned())
            .spawn({
                let shared = shared.clone();
                move || Thread::new(&shared, groups, publish, metrics).run()
            })
            .map_err(|error| Error::Io(format!("cannot start the thread of the log: {error}")))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), truncating: Mutex::new(()) })
    }

    /// Queues a record; its place is told to `done`. Nothing was queued if it is refused at once.
    pub(crate) fn append(&self, append: Append<T>) -> Result<(), Refused> {
        match self.health() {
            Health::Open => self.push(Command::Append(append)),
            Health::DiskFull => Err(Refused::DiskFull),
            Health::Closed(reason) => Err(Refused::Closed(reason)),
        }
    }

    /// Waits until all that is queued now is published or refused.
    pub(crate) async fn barrier(&self) {
        let (done, waits) = oneshot::channel();
        if self.push(Command::Barrier(done)).is_ok() {
            // An error means that the thread ended: nothing is queued any more.
            drop(waits.await);
        }
    }

    /// Begins a new segment, so that the older ones can go when their rows are in files.
    pub(crate) async fn rotate(&self) {
        let (done, waits) = oneshot::channel();
        if self.push(Command::Rotate(done)).is_ok() {
            drop(waits.await);
        }
    }

    /// Asks for a new segment without waiting for it.
    pub(crate) fn request_rotation(&self) {
        let (done, _) = oneshot::channel();
        // A closed log needs no new segment.
        drop(self.push(Command::Rotate(done)));
    }

    /// Tries to allocate again after `DiskFull`; the outcome shows in [`Log::health`].
    pub(crate) fn probe(&self) {
        // A closed log needs no probe.
        drop(self.push(Command::Probe));
    }

    /// Whether records are taken.
    pub(crate) fn health(&self) -> Health {
        self.shared.status.health.lock().clone()
    }

    /// The oldest place that is kept, the newest that was given out, and bytes of all segments.
    pub(crate) fn status(&self) -> (Lsn, Lsn, u64) {
        let status = &self.shared.status;
        let next = status.next.load(Ordering::Acquire);
        let oldest = status.segments.lock().front().map_or(next, |segment| segment.first.0);
        (Lsn(oldest), Lsn(next.saturating_sub(1)), status.bytes.load(Ordering::Relaxed))
    }

    /// The tables of the oldest segment, with their last places in it; and whether it is the one that is being written.
    pub(crate) fn oldest_tables(&self) -> (Vec<(TableId, Lsn)>, bool) {
        let segments = self.shared.status.segments.lock();
        let tables = segments
            .front()
            .map(|segment| segment.tables.iter().map(|(table, lsn)| (*table, *lsn)).collect());
        (tables.unwrap_or_default(), segments.len() <= 1)
    }

    /// True if [`Log::truncate`] would remove a segment.
    pub(crate) fn may_truncate(&self, in_files: impl Fn(TableId, Lsn) -> bool) -> bool {
        self.removable(&in_files).is_some()
    }

    /// Removes the oldest segments as long as `in_files` holds for each of their tables. Blocks on the disk.
    pub(crate) fn truncate(&self, in_files: impl Fn(TableId, Lsn) -> bool) -> std::io::Result<()> {
        let _truncating = self.truncating.lock();
        let mut dir = None;
        // Oldest first, and known until it is gone, so that what is left has no gap.
        while let Some((path, bytes)) = self.removable(&in_files) {
            fail::fail_point!("wal.truncate", |_| Err(std::io::Error::other("fail point wal.truncate")));
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.shared.status.segments.lock().pop_front();
            self.shared.status.bytes.fetch_sub(bytes, Ordering::Relaxed);
            dir = path.parent().map(Path::to_owned);
        }
        dir.map_or(Ok(()), |dir| sync_directory(&dir))
    }

    /// The oldest segment, if it is not the one that is being written and nothing in it is wanted.
    fn removable(&self, in_files: &impl Fn(TableId, Lsn) -> bool) -> Option<(PathBuf, u64)> {
        let segments = self.shared.status.segments.lock();
        let oldest = segments.front().filter(|_| segments.len() > 1)?;
        let wanted = oldest.tables.iter().any(|(table, lsn)| !in_files(*table, *lsn));
        (!wanted).then(|| (oldest.path.clone(), oldest.bytes))
    }

    /// Writes what is queued and a mark, syncs, and ends the thread. Blocks.
    pub(crate) fn close(&self) {
        self.end();
    }

    fn push(&self, command: Command<T>) -> Result<(), Refused> {
        let mut queue = self.shared.queue.lock();
        if queue.closing {
            return Err(Refused::Closed("stopped".to_owned()));
        }
        queue.commands.push_back(command);
        drop(queue);
        self.shared.filled.notify_one();
        Ok(())
    }
}

impl<T> Log<T> {
    fn end(&self) {
        self.shared.queue.lock().closing = true;
        self.shared.filled.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the write-ahead log panicked");
        }
    }
}

impl<T> Drop for Log<T> {
    fn drop(&mut self) {
        self.end();
    }
}
