//! Rows of pipelines for whoever looks on.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_vocab::Micros;
use futures::stream::BoxStream;

use crate::Error;
use crate::pipeline::PipelineGraph;

/// Rows that an epoch gave to a sink which shows them.
#[derive(Clone, Debug)]
pub struct ShownRows {
    /// The node of the sink.
    pub node: String,
    /// The instant of the epoch.
    pub at: Micros,
    /// How many rows were shown before.
    pub first: u64,
    /// The rows.
    pub rows: RecordBatch,
    /// How many of each come (above 0) or go; `None`: each comes once.
    pub weights: Option<Vec<i64>>,
}

/// What somebody who looks on sees.
#[derive(Clone, Debug)]
pub enum Shown {
    /// Rows.
    Rows(Arc<ShownRows>),
    /// So many pieces came faster than they were taken, and are gone.
    Lost(u64),
}

/// A script that runs for a while, and leaves nothing behind.
pub struct Preview {
    /// What runs.
    pub graph: PipelineGraph,
    /// Its rows. It ends with this.
    pub rows: BoxStream<'static, Result<ShownRows, Error>>,
}
