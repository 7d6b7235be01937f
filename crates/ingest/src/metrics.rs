//! What ingest counts. Names are given without the prefix and without `_total`, which the registry adds.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::{Ack, Format};

/// Half a millisecond to a minute.
const SECONDS_FIRST: f64 = 0.0005;
const SECONDS_BUCKETS: u16 = 18;
const GROUP_BUCKETS: u16 = 12;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FormatLabels {
    format: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabels {
    format: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    format: &'static str,
    ack: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// Everything that ingest counts. Clones share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    rows: Family<FormatLabels, Counter>,
    bytes: Family<FormatLabels, Counter>,
    rejected: Family<RejectedLabels, Counter>,
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    pub(crate) memory: Gauge<u64, AtomicU64>,
    pub(crate) log: LogMetrics,
    pub(crate) log_bytes: Gauge<u64, AtomicU64>,
    pub(crate) replayed_rows: Counter,
    pub(crate) buffer_rows: Gauge<u64, AtomicU64>,
    pub(crate) buffer_bytes: Gauge<u64, AtomicU64>,
    pub(crate) buffer_oldest: Gauge<u64, AtomicU64>,
    flushes: Family<OutcomeLabels, Histogram, fn() -> Histogram>,
    flushed_rows: Counter,
}

/// What the log's thread counts.
#[derive(Clone, Debug)]
pub(crate) struct LogMetrics {
    appended: Counter,
    sync: Histogram,
    group: Histogram,
    open: Gauge<u64, AtomicU64>,
}

impl Default for LogMetrics {
    fn default() -> Self {
        Self {
            appended: Counter::default(),
            sync: seconds(),
            group: Histogram::new(exponential_buckets(1.0, 2.0, GROUP_BUCKETS)),
            open: Gauge::default(),
        }
    }
}

impl LogMetrics {
    /// A group of `records` is durable.
    pub(crate) fn synced(&self, elapsed: Duration, bytes: u64, records: usize) {
        self.appended.inc_by(bytes);
        self.sync.observe(elapsed.as_secs_f64());
        self.group.observe(records as f64);
    }

    /// The log takes records.
    pub(crate) fn opened(&self) {
        self.open.set(1);
    }

    /// The log takes no more records.
    pub(crate) fn closed(&self) {
        self.open.set(0);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            rows: Family::default(),
            bytes: Family::default(),
            rejected: Family::default(),
            requests: Family::new_with_constructor(seconds),
            memory: Gauge::default(),
            log: LogMetrics::default(),
            log_bytes: Gauge::default(),
            replayed_rows: Counter::default(),
            buffer_rows: Gauge::default(),
            buffer_bytes: Gauge::default(),
            buffer_oldest: Gauge::default(),
            flushes: Family::new_with_constructor(seconds),
            flushed_rows: Counter::default(),
        }
    }
}

impl Metrics {
    /// A request was stored.
    pub(crate) fn stored(&self, format: &Format, ack: Ack, rows: u64, body_bytes: u64, elapsed: Duration) {
        let format = format.name();
        self.rows.get_or_create(&FormatLabels { format }).inc_by(rows);
        self.bytes.get_or_create(&FormatLabels { format }).inc_by(body_bytes);
        self.requests
            .get_or_create(&RequestLabels { format, ack: ack.name() })
            .observe(elapsed.as_secs_f64());
    }

    /// Rows, or lines, were left out.
    pub(crate) fn rejected(&self, format: &Format, reason: &'static str, rows: u64) {
        if rows > 0 {
            self.rejected.get_or_create(&RejectedLabels { format: format.name(), reason }).inc_by(rows);
        }
    }

    /// A flush of a table ended.
    pub(crate) fn flushed(&self, outcome: &'static str, rows: u64, elapsed: Duration) {
        self.flushes.get_or_create(&OutcomeLabels { outcome }).observe(elapsed.as_secs_f64());
        self.flushed_rows.inc_by(rows);
    }

    /// Shows all of it in `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("ingest_rows", "Rows stored by writes", self.rows.clone());
        registry.register("ingest_bytes", "Bytes of stored bodies as received", self.bytes.clone());
        registry.register("ingest_rejected_rows", "Rows or lines left out of writes", self.rejected.clone());
        registry.register("ingest_request_duration_seconds", "Time of stored writes", self.requests.clone());
        registry.register("ingest_memory_bytes", "Bytes in use of ingest.buffer_memory", self.memory.clone());
        registry.register("wal_appended_bytes", "Bytes written to the log", self.log.appended.clone());
        registry.register(
            "wal_sync_duration_seconds",
            "Time to write and sync a group",
            self.log.sync.clone(),
        );
        registry.register("wal_group_records", "Requests that share a sync", self.log.group.clone());
        registry.register("wal_open", "1 while the log takes records", self.log.open.clone());
        registry.register("wal_size_bytes", "Bytes of the log's segments", self.log_bytes.clone());
        registry.register(
            "wal_replayed_rows",
            "Rows restored from the log at start",
            self.replayed_rows.clone(),
        );
        registry.register("buffer_rows", "Rows that are not in files yet", self.buffer_rows.clone());
        registry.register(
            "buffer_bytes",
            "Bytes of rows that are not in files yet",
            self.buffer_bytes.clone(),
        );
        registry.register("buffer_oldest_seconds", "Age of the oldest such row", self.buffer_oldest.clone());
        registry.register("flush_duration_seconds", "Time of a table's flush", self.flushes.clone());
        registry.register("flush_rows", "Rows that flushes put into files", self.flushed_rows.clone());
    }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(SECONDS_FIRST, 2.0, SECONDS_BUCKETS))
}
