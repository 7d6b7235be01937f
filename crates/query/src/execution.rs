//! A statement that runs: a stream of batches, then an outcome.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use cenote_vocab::Txn;
use futures::stream::BoxStream;

use crate::Error;

/// Batches of an answer, pulled by the protocol: who does not pull holds the query back.
pub type BatchStream = BoxStream<'static, Result<RecordBatch, Error>>;

/// Bounds of one execution, besides the session's settings.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// Longest run, planning and streaming included.
    pub timeout: Option<std::time::Duration>,
    /// Cut the answer after this many rows; `Outcome::truncated` says so.
    pub rows_max: Option<u64>,
    /// A name for the query, chosen by the client.
    pub query_id: Option<String>,
    /// The client has seen the columns that were described: an answer that has others by now is an error.
    pub promised: bool,
}

/// A running statement. Dropping it cancels the statement.
pub struct Execution {
    /// Its name in the registry.
    pub query_id: String,
    /// Columns of the answer; no fields if it has no rows.
    pub schema: SchemaRef,
    /// The answer. A write has run to its commit before `execute` returns; its stream holds `RETURNING` rows or nothing.
    pub batches: BatchStream,
    outcome: std::sync::Arc<parking_lot::Mutex<Outcome>>,
}

/// What is known at the end of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// `SELECT`, `INSERT`, `CREATE TABLE`, … : the first words of the command tag.
    pub command: String,
    /// Rows answered, or rows written.
    pub rows: u64,
    /// True for INSERT, DELETE, CTAS, …: `rows` belongs into the command tag.
    pub counts_rows: bool,
    /// The commit that it made, or the snapshot that it read.
    pub txn: Option<Txn>,
    /// True if `rows_max` cut the answer.
    pub truncated: bool,
    /// Notices for the client, such as `PRIMARY KEY is not enforced`; what marks them as notices is the protocol's.
    pub notices: Vec<String>,
    /// Files read and left out by scans.
    pub files_scanned: u64,
    /// Files left out.
    pub files_pruned: u64,
}

impl Execution {
    pub(crate) fn new(
        query_id: String,
        schema: SchemaRef,
        batches: BatchStream,
        outcome: std::sync::Arc<parking_lot::Mutex<Outcome>>,
    ) -> Self {
        Self { query_id, schema, batches, outcome }
    }

    /// What is known so far; complete after the stream's end.
    pub fn outcome(&self) -> Outcome {
        self.outcome.lock().clone()
    }

    /// A way to ask for the outcome while the stream is being consumed elsewhere.
    pub fn outcome_handle(&self) -> impl Fn() -> Outcome + Send + Sync + 'static {
        let outcome = self.outcome.clone();
        move || outcome.lock().clone()
    }
}
