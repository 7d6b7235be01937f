//! What pipelines count. Names are given without the prefix and without `_total`, which the registry adds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use cenote_catalog::Pipeline;
use cenote_query::PipelineProgress;
use cenote_vocab::{Micros, Scope};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use uuid::Uuid;

use crate::run::{Counts, Took};

/// Half a millisecond to a minute.
const SECONDS_FIRST: f64 = 0.0005;
const SECONDS_BUCKETS: u16 = 18;

/// What becomes of rows that came too late: they are in no window, or in some of theirs.
const LATE: [&str; 2] = ["dropped", "partial"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    tenant: String,
    pipeline: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    tenant: String,
    pipeline: String,
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    tenant: String,
    pipeline: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    tenant: String,
    pipeline: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    tenant: String,
    pipeline: String,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    tenant: String,
    pipeline: String,
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    tenant: String,
    state: String,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Everything that pipelines count. Clones share the numbers.
#[derive(Clone)]
pub(crate) struct Metrics {
    rows: Family<DirectionLabels, Counter>,
    late: Family<KindLabels, Counter>,
    bad: Family<Labels, Counter>,
    skipped: Family<ReasonLabels, Counter>,
    epoch: Family<Labels, Gauge<i64, AtomicI64>>,
    epochs: Histograms<Labels>,
    phases: Histograms<PhaseLabels>,
    checkpoints: Histograms<Labels>,
    event_to_commit: Histograms<Labels>,
    watermark_lag: Family<Labels, Gauge<f64, AtomicU64>>,
    source_lag: Family<SourceLabels, Gauge<u64, AtomicU64>>,
    state_bytes: Family<Labels, Gauge<u64, AtomicU64>>,
    spilled_bytes: Family<Labels, Gauge<u64, AtomicU64>>,
    restarts: Family<Labels, Counter>,
    pipelines: Family<StateLabels, Gauge<i64, AtomicI64>>,
    /// In which state each pipeline is counted.
    states: Arc<Mutex<HashMap<Uuid, StateLabels>>>,
    /// Of which sources of each pipeline the lag is told.
    sources: Arc<Mutex<HashMap<Uuid, HashSet<SourceLabels>>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            rows: Family::default(),
            late: Family::default(),
            bad: Family::default(),
            skipped: Family::default(),
            epoch: Family::default(),
            epochs: Family::new_with_constructor(seconds),
            phases: Family::new_with_constructor(seconds),
            checkpoints: Family::new_with_constructor(seconds),
            event_to_commit: Family::new_with_constructor(seconds),
            watermark_lag: Family::default(),
            source_lag: Family::default(),
            state_bytes: Family::default(),
            spilled_bytes: Family::default(),
            restarts: Family::default(),
            pipelines: Family::default(),
            states: Arc::default(),
            sources: Arc::default(),
        }
    }
}

/// What was counted so far.
pub(crate) struct Seen(Counts);

impl Seen {
    pub(crate) fn of(counts: Counts) -> Self {
        Self(counts)
    }

    /// What has come since.
    pub(crate) fn take(&mut self, now: Counts) -> Counts {
        let before = std::mem::replace(&mut self.0, now);
        Counts {
            rows_in: now.rows_in.saturating_sub(before.rows_in),
            rows_out: now.rows_out.saturating_sub(before.rows_out),
            late: now.late.saturating_sub(before.late),
            partly_late: now.partly_late.saturating_sub(before.partly_late),
            bad: now.bad.saturating_sub(before.bad),
            skipped: now.skipped.saturating_sub(before.skipped),
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("pipeline");
        registry.register("rows", "Rows that pipelines read and wrote", self.rows.clone());
        registry.register("late_rows", "Rows that came too late", self.late.clone());
        registry.register("bad_rows", "Rows that could not be used", self.bad.clone());
        registry.register("skipped_rows", "Changes of tables that were left out", self.skipped.clone());
        registry.register("epoch", "The last epoch", self.epoch.clone());
        registry.register("epoch_duration_seconds", "Duration of epochs", self.epochs.clone());
        registry.register("epoch_phase_seconds", "Duration of the steps of epochs", self.phases.clone());
        registry.register(
            "checkpoint_duration_seconds",
            "Duration of storing what operators hold, which is a part of stage",
            self.checkpoints.clone(),
        );
        registry.register(
            "event_to_commit_seconds",
            "From when the newest row of an epoch happened to its commit",
            self.event_to_commit.clone(),
        );
        registry.register(
            "source_lag_rows",
            "Rows that sources have and that were not read, where that is known",
            self.source_lag.clone(),
        );
        registry.register(
            "watermark_lag_seconds",
            "How long ago event time is over",
            self.watermark_lag.clone(),
        );
        registry.register("state_bytes", "Memory that operators hold", self.state_bytes.clone());
        registry.register(
            "spilled_bytes",
            "Bytes on disk of what operators hold, as there is no memory for it",
            self.spilled_bytes.clone(),
        );
        registry.register("restarts", "Starts after failures", self.restarts.clone());
    }

    /// Registers what is not of one pipeline.
    pub(crate) fn register_states(&self, registry: &mut Registry) {
        registry.register("pipelines", "Pipelines by what they do", self.pipelines.clone());
    }

    /// A pipeline looked for input; `took`: an epoch was committed.
    pub(crate) fn stepped(
        &self,
        of: (&Scope, &Pipeline),
        (progress, now): (&PipelineProgress, Micros),
        more: Counts,
        took: Option<Took>,
    ) {
        let Labels { tenant, pipeline } = labels(of);
        let all = Labels { tenant: tenant.clone(), pipeline: pipeline.clone() };
        for (direction, rows) in [("in", more.rows_in), ("out", more.rows_out)] {
            let labels = DirectionLabels { tenant: tenant.clone(), pipeline: pipeline.clone(), direction };
            self.rows.get_or_create(&labels).inc_by(rows);
        }
        for (kind, rows) in LATE.into_iter().zip([more.late, more.partly_late]) {
            let labels = KindLabels { tenant: tenant.clone(), pipeline: pipeline.clone(), kind };
            self.late.get_or_create(&labels).inc_by(rows);
        }
        self.bad.get_or_create(&all).inc_by(more.bad);
        let skipped = ReasonLabels { tenant: tenant.clone(), pipeline: pipeline.clone(), reason: "change" };
        self.skipped.get_or_create(&skipped).inc_by(more.skipped);
        self.epoch.get_or_create(&all).set(progress.epoch.0);
        self.state_bytes.get_or_create(&all).set(progress.state_bytes);
        let on_disk = progress.operators.iter().map(|operator| operator.disk_bytes).sum();
        self.spilled_bytes.get_or_create(&all).set(on_disk);
        for source in &progress.sources {
            if let Some(rows) = source.lag_rows {
                let (tenant, pipeline) = (tenant.clone(), pipeline.clone());
                let labels = SourceLabels { tenant, pipeline, source: source.name.clone() };
                self.source_lag.get_or_create(&labels).set(rows);
                self.sources.lock().entry(progress.id).or_default().insert(labels);
            }
        }
        if let Some(watermark) = progress.watermark {
            self.watermark_lag.get_or_create(&all).set(now.since(watermark).as_secs_f64());
        }
        if let Some(took) = took {
            let phases = took.phases();
            let whole: f64 = phases.iter().map(|(_, took)| took.as_secs_f64()).sum();
            self.epochs.get_or_create(&all).observe(whole);
            self.checkpoints.get_or_create(&all).observe(took.checkpoint.as_secs_f64());
            if let Some(after) = took.event_to_commit {
                self.event_to_commit.get_or_create(&all).observe(after.as_secs_f64());
            }
            for (phase, took) in phases {
                let labels = PhaseLabels { tenant: tenant.clone(), pipeline: pipeline.clone(), phase };
                self.phases.get_or_create(&labels).observe(took.as_secs_f64());
            }
        }
    }

    /// A pipeline begins again after a failure.
    pub(crate) fn restarted(&self, scope: &Scope, pipeline: &Pipeline) {
        self.restarts.get_or_create(&labels((scope, pipeline))).inc();
    }

    /// A pipeline does something else now.
    pub(crate) fn is_in(&self, scope: &Scope, pipeline: &Pipeline, state: &str) {
        let now = StateLabels { tenant: scope.tenant().to_owned(), state: state.to_owned() };
        let mut states = self.states.lock();
        if let Some(before) = states.insert(pipeline.id, now.clone()) {
            self.pipelines.get_or_create(&before).dec();
        }
        self.pipelines.get_or_create(&now).inc();
    }

    /// Nothing is counted under the pipeline's name any more.
    pub(crate) fn forget(&self, scope: &Scope, of: &Pipeline) {
        let all = labels((scope, of));
        let Labels { tenant, pipeline } = all.clone();
        for direction in ["in", "out"] {
            let labels = DirectionLabels { tenant: tenant.clone(), pipeline: pipeline.clone(), direction };
            self.rows.remove(&labels);
        }
        for kind in LATE {
            self.late.remove(&KindLabels { tenant: tenant.clone(), pipeline: pipeline.clone(), kind });
        }
        let reason = "change";
        self.skipped.remove(&ReasonLabels { tenant: tenant.clone(), pipeline: pipeline.clone(), reason });
        for (phase, _) in Took::default().phases() {
            self.phases.remove(&PhaseLabels { tenant: tenant.clone(), pipeline: pipeline.clone(), phase });
        }
        self.bad.remove(&all);
        self.epoch.remove(&all);
        self.epochs.remove(&all);
        self.checkpoints.remove(&all);
        self.event_to_commit.remove(&all);
        self.watermark_lag.remove(&all);
        for labels in self.sources.lock().remove(&of.id).into_iter().flatten() {
            self.source_lag.remove(&labels);
        }
        self.state_bytes.remove(&all);
        self.spilled_bytes.remove(&all);
        self.restarts.remove(&all);
        if let Some(before) = self.states.lock().remove(&of.id) {
            self.pipelines.get_or_create(&before).dec();
        }
    }
}

fn labels((scope, pipeline): (&Scope, &Pipeline)) -> Labels {
    Labels { tenant: scope.tenant().to_owned(), pipeline: pipeline.full_name() }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(SECONDS_FIRST, 2.0, SECONDS_BUCKETS))
}
