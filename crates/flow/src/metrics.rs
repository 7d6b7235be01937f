//! What jobs count. Names are given without the prefix and without `_total`, which the registry adds.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use cenote_catalog::RunCounts;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Half a millisecond to a minute.
const SECONDS_FIRST: f64 = 0.0005;
const SECONDS_BUCKETS: u16 = 18;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

/// Everything that jobs count. Clones share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    jobs: Family<OutcomeLabels, Counter>,
    durations: Family<KindLabels, Histogram, fn() -> Histogram>,
    compaction_bytes: Family<DirectionLabels, Counter>,
    pub(crate) backlog_files: Gauge<u64, AtomicU64>,
    pub(crate) passes: Histogram,
    pub(crate) running: Gauge<u64, AtomicU64>,
    pub(crate) publish_lag: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            jobs: Family::default(),
            durations: Family::new_with_constructor(seconds),
            compaction_bytes: Family::default(),
            backlog_files: Gauge::default(),
            passes: seconds(),
            running: Gauge::default(),
            publish_lag: Gauge::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("jobs", "Runs of jobs that ended", self.jobs.clone());
        registry.register("job_duration_seconds", "Duration of runs of jobs", self.durations.clone());
        registry.register(
            "compaction_bytes",
            "Bytes that merges read and wrote",
            self.compaction_bytes.clone(),
        );
        registry.register(
            "compaction_backlog_files",
            "Live files of partitions that may be due for a merge",
            self.backlog_files.clone(),
        );
        registry.register("scheduler_pass_seconds", "Duration of one look for work", self.passes.clone());
        registry.register("tasks_running", "Runs that are open in this process", self.running.clone());
        registry.register(
            "metadata_publish_lag_seconds",
            "Age of the published metadata while commits wait to be published",
            self.publish_lag.clone(),
        );
    }

    /// A run ended.
    pub(crate) fn ended(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.jobs.get_or_create(&OutcomeLabels { kind, outcome }).inc();
        self.durations.get_or_create(&KindLabels { kind }).observe(took.as_secs_f64());
    }

    /// A merge ended.
    pub(crate) fn merged(&self, counts: RunCounts) {
        self.compaction_bytes.get_or_create(&DirectionLabels { direction: "in" }).inc_by(counts.bytes_in);
        self.compaction_bytes.get_or_create(&DirectionLabels { direction: "out" }).inc_by(counts.bytes_out);
    }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(SECONDS_FIRST, 2.0, SECONDS_BUCKETS))
}
