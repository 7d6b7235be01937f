//! When tables are flushed. The loop only waits; its work is `tick`.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cenote_table::Form;
use cenote_vocab::{Fault, Lsn, Micros, TableId};
use tokio_util::sync::CancellationToken;

use crate::admission::pressure;
use crate::buffer::Waiting;
use crate::ingest::Inner;
use crate::wal::{Health, Log};

/// A table with this many rows is flushed.
pub(crate) const ROWS_MAX: u64 = 1_000_000;
/// A table with this many bytes is flushed after `ingest.flush_interval`; smaller ones wait, for fewer files.
const INTERVAL_BYTES_MIN: u64 = 8 << 20;
/// How long the loop waits at most: disk and ages are looked at this often.
const TICK: Duration = Duration::from_secs(1);
/// Memory pressure flushes tables only if the buffer holds at least this part of the memory: else it would make tiny files and no
/// room.
const BUFFER_PERCENT_MIN: u64 = 10;

impl Inner {
    /// Runs ticks until `stop`. Flushes that run then go on; rows of the others stay in the log.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            self.tick(self.lake.clock.now());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.admission.bell().flush.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Starts the flushes that are due at `now`; answers their tables.
    pub(crate) fn tick(self: &Arc<Self>, now: Micros) -> Vec<TableId> {
        self.watch_disk();
        let waiting = self.buffer.waiting();
        self.measure(&waiting, now);
        if self.fenced.lock().is_some() {
            return Vec::new();
        }
        let mut due = self.due(&waiting, now);
        due.retain(|table| {
            let state = self.tables.of(*table);
            !state.rests(now) && !state.busy.swap(true, Ordering::SeqCst)
        });
        for table in &due {
            let (inner, table) = (Arc::clone(self), *table);
            self.tasks.spawn(async move { inner.flush_in_background(table).await });
        }
        due
    }

    /// Looks at the log's disk, and tries to get out of `DiskFull`.
    pub(crate) fn watch_disk(&self) {
        if let Some(log) = self.log.get()
            && log.health() == Health::DiskFull
        {
            log.probe();
        }
        let low = match rustix::fs::statvfs(self.directory.path()) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) < self.options.disk_free_min,
            Err(error) => {
                tracing::warn!(%error, dir = %self.directory.path().display(), "free space is not known");
                return;
            }
        };
        if low != self.disk_low.swap(low, Ordering::Relaxed) {
            match low {
                true => tracing::warn!("writes are refused: the log's disk is below limits.disk_free_min"),
                false => tracing::info!("the log's disk has room again"),
            }
        }
    }

    fn due(&self, waiting: &[Waiting], now: Micros) -> Vec<TableId> {
        let options = &self.options;
        let is_due = |waiting: &&Waiting| {
            let age = now.since(waiting.oldest);
            waiting.bytes >= options.flush_bytes
                || waiting.rows >= ROWS_MAX
                || age >= options.flush_age
                || (age >= options.flush_interval && waiting.bytes >= INTERVAL_BYTES_MIN)
        };
        let mut due: HashSet<TableId> = waiting.iter().filter(is_due).map(|waiting| waiting.table).collect();
        due.extend(self.due_for_memory(waiting));
        due.extend(self.due_for_log());
        due.into_iter().collect()
    }

    /// The largest tables, as many as bring the memory well below pressure.
    fn due_for_memory(&self, waiting: &[Waiting]) -> Vec<TableId> {
        let limit = self.admission.limit();
        let buffered: u64 = waiting.iter().map(|waiting| waiting.bytes).sum();
        if !self.admission.is_pressed() || buffered < limit / 100 * BUFFER_PERCENT_MIN {
            return Vec::new();
        }
        let mut largest: Vec<&Waiting> = waiting.iter().collect();
        largest.sort_by_key(|waiting| std::cmp::Reverse(waiting.bytes));
        let excess = self.admission.used().saturating_sub(limit / 2);
        let mut sum = 0;
        let needed = largest.into_iter().take_while(|waiting| {
            let wanted = sum < excess;
            sum += waiting.bytes;
            wanted
        });
        needed.map(|waiting| waiting.table).collect()
    }

    /// The tables that keep the log's oldest segment, if the log is nearly full.
    fn due_for_log(self: &Inner) -> Vec<TableId> {
        let Some(log) = self.log.get() else { return Vec::new() };
        if log.status().2 < pressure(self.wal.bytes_max) {
            return Vec::new();
        }
        let (tables, is_current) = log.oldest_tables();
        if is_current {
            log.request_rotation(); // or nothing of it can go
        }
        let kept = |(table, lsn): &(TableId, Lsn)| !self.buffer.is_flushed(*table, *lsn);
        tables.into_iter().filter(kept).map(|(table, _)| table).collect()
    }

    fn measure(&self, waiting: &[Waiting], now: Micros) {
        let metrics = &self.metrics;
        metrics.memory.set(self.admission.used());
        metrics.log_bytes.set(self.log.get().map_or(0, |log| Log::status(log).2));
        metrics.buffer_rows.set(waiting.iter().map(|waiting| waiting.rows).sum());
        metrics.buffer_bytes.set(waiting.iter().map(|waiting| waiting.bytes).sum());
        let oldest = waiting.iter().map(|waiting| now.since(waiting.oldest)).max().unwrap_or_default();
        metrics.buffer_oldest.set(oldest.as_secs());
    }

    async fn flush_in_background(self: Arc<Self>, table: TableId) {
        if let Err(error) = self.flush_table(table, Form::Any).await {
            tracing::warn!(%table, %error, kind = ?error.kind(), "flush failed; its rows stay durable and queryable");
        }
        self.tables.of(table).busy.store(false, Ordering::SeqCst);
        let bell = self.admission.bell();
        bell.room.notify_waiters();
        bell.flush.notify_one();
    }
}
