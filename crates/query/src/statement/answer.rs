//! What a statement answers, before it becomes an execution; and what may end it early.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use cenote_ingest::Pin;
use cenote_vocab::{Clock, ErrorKind, Txn};
use futures::{FutureExt, StreamExt, stream};
use tokio::time::Instant;

use super::Prepared;
use super::select::as_described;
use crate::Error;
use crate::execution::BatchStream;
use crate::plan::fault;
use crate::registry::Running;
use crate::scan::{ScanNotes, conform};

/// An answer that begins.
pub(crate) struct Answer {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: BatchStream,
    pub(crate) command: String,
    /// Rows written; of a read, they are counted as they are answered.
    pub(crate) rows: u64,
    pub(crate) counts_rows: bool,
    /// True if `rows` counts what the stream answers.
    pub(crate) reads: bool,
    pub(crate) txn: Option<Txn>,
    pub(crate) notices: Vec<String>,
    pub(crate) notes: Option<ScanNotes>,
    /// Buffered batches that the stream reads.
    pub(crate) pin: Option<Arc<Pin>>,
}

impl Answer {
    /// Without rows and without a count.
    pub(crate) fn done(command: &str) -> Self {
        Self {
            schema: Arc::new(Schema::empty()),
            batches: stream::empty().boxed(),
            command: command.to_owned(),
            rows: 0,
            counts_rows: false,
            reads: false,
            txn: None,
            notices: Vec::new(),
            notes: None,
            pin: None,
        }
    }

    /// Rows were written.
    pub(crate) fn wrote(command: &str, rows: u64) -> Self {
        Self { rows, counts_rows: true, ..Self::done(command) }
    }

    /// One batch that is there already.
    pub(crate) fn batch(command: &str, batch: RecordBatch) -> Self {
        Self {
            schema: batch.schema(),
            batches: stream::iter([Ok(batch)]).boxed(),
            reads: true,
            ..Self::done(command)
        }
    }

    /// With the rows of RETURNING.
    pub(crate) fn with_rows(mut self, rows: Option<Returned>) -> Self {
        if let Some(Returned { columns, rows }) = rows {
            self.schema = columns;
            self.batches = stream::iter(rows.into_iter().map(Ok)).boxed();
        }
        self
    }

    #[must_use]
    pub(crate) fn with_txn(mut self, txn: Option<Txn>) -> Self {
        self.txn = txn;
        self
    }

    #[must_use]
    pub(crate) fn with_notice(mut self, notice: impl Into<String>) -> Self {
        self.notices.push(notice.into());
        self
    }
}

/// Rows that a change answers, known before it is committed: then nothing can fail any more.
pub(crate) struct Returned {
    columns: SchemaRef,
    rows: Vec<RecordBatch>,
}

impl Returned {
    /// In the columns that were described; `None` if nothing was to be answered. `Unsupported` if the table has changed so that the
    /// answer has others than were promised.
    pub(crate) fn of(
        rows: &[RecordBatch],
        prepared: &Prepared,
        guard: &Guard,
    ) -> Result<Option<Self>, Error> {
        let Some(described) = &prepared.columns else { return Ok(None) };
        let columns = match rows.first() {
            Some(batch) => as_described(&batch.schema(), prepared, guard.promised)?,
            None => described.clone(),
        };
        let rows = rows.iter().map(|rows| conform(rows, &columns).map_err(fault::while_running));
        let rows = rows.collect::<Result<Vec<_>, Error>>()?;
        Ok(Some(Self { columns, rows }))
    }
}

/// What may end a statement before its own end: cancellation, and time.
pub(crate) struct Guard {
    pub(crate) running: Arc<Running>,
    pub(crate) deadline: Option<Instant>,
    /// The columns that were described are known to the client.
    pub(crate) promised: bool,
}

impl Guard {
    /// Runs work that may be dropped at any point.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            error = self.running.cancelled() => Err(error),
            () = expired(self.deadline) => Err(timed_out()),
            result = work => result,
        }
    }

    /// Waits before the statement is planned again, unless it should end.
    pub(crate) async fn pause(&self, clock: &Clock, pause: Duration) -> Result<(), Error> {
        self.run(async {
            clock.pause(pause).await;
            Ok(())
        })
        .await
    }

    /// Fails if the statement should end; for steps between work that must not be dropped.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.running.cancelled().now_or_never() {
            Some(error) => Err(error),
            None if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) => Err(timed_out()),
            None => Ok(()),
        }
    }
}

/// The deadline of a statement that begins now and may run so long.
pub(crate) fn deadline<const N: usize>(timeouts: [Option<Duration>; N]) -> Option<Instant> {
    timeouts.into_iter().flatten().min().and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Ends at the deadline; never, without one.
pub(crate) async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The error of a statement that took too long.
pub(crate) fn timed_out() -> Error {
    Error::new(ErrorKind::Exhausted, "canceling statement due to statement timeout").with_sqlstate("57014")
}
