//! Metrics of the commit path.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::Error;

const COMMIT_DURATION: &str = "commit_duration_seconds";
const COMMIT_CONFLICTS: &str = "commit_conflicts";
const GROUP_COMMITS: &str = "commit_group_commits";
const GROUP_STATEMENTS: &str = "commit_group_statements";
const FILE_INDEX_BYTES: &str = "file_index_bytes";
const FILE_DETAILS_BYTES: &str = "file_details_bytes";

/// Counters, shared with the registry.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    commit_duration: Histogram,
    commit_conflicts: Counter,
    group_commits: Histogram,
    group_statements: Histogram,
    file_index_bytes: Gauge,
    file_details_bytes: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            commit_duration: Histogram::new(exponential_buckets(0.0005, 2.0, 18)),
            commit_conflicts: Counter::default(),
            group_commits: Histogram::new(exponential_buckets(1.0, 2.0, 8)),
            group_statements: Histogram::new([5.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0]),
            file_index_bytes: Gauge::default(),
            file_details_bytes: Gauge::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            COMMIT_DURATION,
            "Time from taking a commit to its answer",
            self.commit_duration.clone(),
        );
        registry.register(
            COMMIT_CONFLICTS,
            "Commits that must be planned again",
            self.commit_conflicts.clone(),
        );
        registry.register(
            GROUP_COMMITS,
            "Commits that shared a transaction of the database",
            self.group_commits.clone(),
        );
        registry.register(
            GROUP_STATEMENTS,
            "Statements of a transaction of the database that commits",
            self.group_statements.clone(),
        );
        registry.register(
            FILE_INDEX_BYTES,
            "Memory that the numbers of files take",
            self.file_index_bytes.clone(),
        );
        registry.register(
            FILE_DETAILS_BYTES,
            "Memory that paths, statistics and deletion vectors of files take",
            self.file_details_bytes.clone(),
        );
    }

    /// So much is held of files in memory.
    pub(crate) fn note_files(&self, index: usize, details: usize) {
        self.file_index_bytes.set(index as i64);
        self.file_details_bytes.set(details as i64);
    }

    /// A group is about to be committed.
    pub(crate) fn note_group(&self, commits: usize, statements: u32) {
        self.group_commits.observe(commits as f64);
        self.group_statements.observe(statements.into());
    }

    /// One commit was answered.
    pub(crate) fn observe(&self, took: Duration, outcome: &Result<(), &Error>) {
        self.commit_duration.observe(took.as_secs_f64());
        if let Err(Error::CommitConflict { .. }) = outcome {
            self.commit_conflicts.inc();
        }
    }
}
