//! What the node tells Prometheus of its statements.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::engine::QueryRecord;

/// From half a millisecond to about half an hour.
const BUCKETS: (f64, f64, u16) = (0.0005, 2.0, 22);

/// Counters of statements. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    statements: Family<Ended, Counter>,
    running: Gauge,
    rows: Counter,
    seconds: Histogram,
    files: Family<Files, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    protocol: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Files {
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let (start, factor, count) = BUCKETS;
        Self {
            statements: Family::default(),
            running: Gauge::default(),
            rows: Counter::default(),
            seconds: Histogram::new(exponential_buckets(start, factor, count)),
            files: Family::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn began(&self) {
        self.running.inc();
    }

    pub(crate) fn ended(&self, protocol: &'static str, state: &str, record: &QueryRecord) {
        let outcome = match state {
            "FINISHED" => "completed",
            "CANCELLED" => "cancelled",
            _ => "failed",
        };
        self.running.dec();
        self.statements.get_or_create(&Ended { protocol, outcome }).inc();
        self.rows.inc_by(record.rows);
        self.seconds.observe(record.duration_ms as f64 / 1000.0);
    }

    pub(crate) fn scanned(&self, read: u64, pruned: u64) {
        self.files.get_or_create(&Files { result: "read" }).inc_by(read);
        self.files.get_or_create(&Files { result: "pruned" }).inc_by(pruned);
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("queries", "Statements that ended", self.statements.clone());
        registry.register("queries_running", "Statements that run", self.running.clone());
        registry.register("query_rows", "Rows answered", self.rows.clone());
        registry.register(
            "query_duration_seconds",
            "Time of statements, from text to last row",
            self.seconds.clone(),
        );
        registry.register("scan_files", "Files of scanned tables, read or left out", self.files.clone());
    }
}
