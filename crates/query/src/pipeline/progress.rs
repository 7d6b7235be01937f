//! How far pipelines are.

use std::sync::Arc;
use std::time::Duration;

use cenote_vocab::{Epoch, Micros, Txn};
use uuid::Uuid;

use crate::pipeline::PipelineGraph;

/// How far a pipeline is that runs in this process.
#[derive(Clone, Debug, Default)]
pub struct PipelineProgress {
    /// Which.
    pub id: Uuid,
    /// What it runs.
    pub graph: Arc<PipelineGraph>,
    /// Its last epoch.
    pub epoch: Epoch,
    /// The transaction at which its tables were read, if it is at one.
    pub reached: Option<Txn>,
    /// Event time that is over; `None`: none yet.
    pub watermark: Option<Micros>,
    /// Its sources, in the order of the script.
    pub sources: Vec<SourceProgress>,
    /// What holds rows, each before those that read it.
    pub operators: Vec<OperatorProgress>,
    /// Bytes of memory that operators hold.
    pub state_bytes: u64,
}

/// How far a source is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceProgress {
    /// As the script calls it, or the table's full name.
    pub name: String,
    /// Everything before it was read and committed.
    pub committed: String,
    /// Up to here there is something to read; `None`: nobody knows.
    pub available: Option<String>,
    /// Rows between the two; `None`: nobody knows.
    pub lag_rows: Option<u64>,
    /// How long rows have been waiting there that were not read.
    pub lag: Duration,
    /// Event time that is over by its rows.
    pub watermark: Option<Micros>,
    /// When rows came last; `None`: none came.
    pub seen: Option<Micros>,
    /// It no longer holds the watermark.
    pub is_idle: bool,
    /// There will be no more rows.
    pub has_ended: bool,
}

/// What an operator holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorProgress {
    /// As EXPLAIN calls it.
    pub id: String,
    /// What it does.
    pub name: String,
    /// Rows that it holds.
    pub rows: u64,
    /// Bytes of memory that they take.
    pub bytes: u64,
    /// Bytes on disk, where there is no memory for more.
    pub disk_bytes: u64,
    /// Rows that came too late, since the pipeline was started.
    pub late: u64,
    /// How long it worked, of the time since the pipeline was started.
    pub busy: (Duration, Duration),
}

/// A failure of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineFailure {
    /// When.
    pub at: Micros,
    /// Which.
    pub id: Uuid,
    /// Its schema and its name.
    pub name: (String, String),
    /// The epoch that was the last.
    pub epoch: Epoch,
    /// `user`, `external` or `internal`: who can help.
    pub domain: &'static str,
    /// What failed.
    pub message: String,
    /// True if it tries again by itself.
    pub retries: bool,
}
