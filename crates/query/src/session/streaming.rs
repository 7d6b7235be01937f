//! An answer becomes an execution: bounded, counted, cancellable, recorded.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_ingest::Pin;
use cenote_vocab::ErrorKind;
use futures::{StreamExt, stream};
use parking_lot::Mutex;

use super::Inner;
use crate::engine::cancelled;
use crate::execution::{BatchStream, Outcome};
use crate::scan::ScanNotes;
use crate::statement::{Answer, Guard, expired, timed_out};
use crate::{Bounds, Error, Execution};

/// A stream that ends for one of many reasons. Dropped early, the statement counts as cancelled.
struct Streaming {
    session: Arc<Inner>,
    guard: Guard,
    batches: Option<BatchStream>,
    outcome: Arc<Mutex<Outcome>>,
    notes: Option<ScanNotes>,
    counts: bool,
    /// Rows that may still be answered.
    room: Option<u64>,
    /// At the limit: an error instead of a cut.
    refuse_more: bool,
    /// Buffered batches stay while they are read.
    pin: Option<Arc<Pin>>,
}

/// The execution of an answer.
pub(super) fn execution(session: Arc<Inner>, answer: Answer, guard: Guard, bounds: &Bounds) -> Execution {
    let outcome = Arc::new(Mutex::new(Outcome {
        command: answer.command,
        rows: answer.rows,
        counts_rows: answer.counts_rows,
        txn: answer.txn,
        notices: answer.notices,
        ..Outcome::default()
    }));
    let setting = Some(session.settings().number("max_rows")).filter(|rows| *rows > 0);
    let id = guard.running.id().to_owned();
    let streaming = Streaming {
        refuse_more: bounds.rows_max.is_none() && setting.is_some() && session.options().protocol != "http",
        room: if answer.reads { bounds.rows_max.or(setting) } else { None },
        session,
        guard,
        batches: Some(answer.batches),
        outcome: outcome.clone(),
        notes: answer.notes,
        counts: answer.reads,
        pin: answer.pin,
    };
    let batches = stream::unfold(streaming, |mut streaming| async move {
        let next = streaming.next().await?;
        Some((next, streaming))
    });
    Execution::new(id, answer.schema, batches.boxed(), outcome)
}

impl Streaming {
    async fn next(&mut self) -> Option<Result<RecordBatch, Error>> {
        loop {
            let batches = self.batches.as_mut()?;
            let next = tokio::select! {
                biased;
                error = self.guard.running.cancelled() => Some(Err(error)),
                () = expired(self.guard.deadline) => Some(Err(timed_out())),
                next = batches.next() => next,
            };
            match next {
                None => {
                    self.end(None);
                    return None;
                }
                Some(Err(error)) => {
                    self.end(Some(&error));
                    return Some(Err(error));
                }
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => return self.answer(batch),
            }
        }
    }

    /// The batch, or as much of it as there is room for.
    fn answer(&mut self, batch: RecordBatch) -> Option<Result<RecordBatch, Error>> {
        let rows = batch.num_rows() as u64;
        let Some(room) = self.room else {
            self.count(rows);
            return Some(Ok(batch));
        };
        if rows <= room {
            self.room = Some(room - rows);
            self.count(rows);
            return Some(Ok(batch));
        }
        if self.refuse_more {
            let error = Error::new(ErrorKind::Exhausted, "the answer has more rows than max_rows");
            self.end(Some(&error));
            return Some(Err(error));
        }
        self.outcome.lock().truncated = true;
        self.count(room);
        self.end(None);
        (room > 0).then(|| Ok(batch.slice(0, usize::try_from(room).unwrap_or(usize::MAX))))
    }

    fn count(&self, rows: u64) {
        self.guard.running.add_rows(rows);
        if self.counts {
            self.outcome.lock().rows += rows;
        }
    }

    /// Frees what the statement holds and records its end. Only the first end counts.
    fn end(&mut self, error: Option<&Error>) {
        self.batches = None;
        self.pin = None;
        if let Some(notes) = self.notes.take() {
            let mut outcome = self.outcome.lock();
            (outcome.files_scanned, outcome.files_pruned) = notes.files();
        }
        if error.is_some() {
            self.session.fail_transaction();
        }
        self.session.engine().registry().end(&self.guard.running, error);
        self.session.ran(&self.guard.running);
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if self.batches.is_some() {
            self.batches = None;
            let error = cancelled("the client did not take the whole answer");
            self.session.engine().registry().end(&self.guard.running, Some(&error));
            self.session.ran(&self.guard.running);
        }
    }
}
