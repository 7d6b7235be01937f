//! What a long act did so far, for who watches it, and whether it should end.

use std::sync::Arc;

use cenote_catalog::{RunCounts, RunOf};
use cenote_vocab::Txn;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// Shared by an act and its watcher. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    counts: Arc<Mutex<RunCounts>>,
    stop: CancellationToken,
    run: Option<RunOf>,
}

impl Progress {
    /// An act that ends early, with [`Error::Stopped`], once `stop` is cancelled. What it committed before stays.
    pub fn until(stop: CancellationToken) -> Self {
        Self { counts: Arc::default(), stop, run: None }
    }

    /// The act is part of a run: its commits say so.
    pub fn of_run(self, run: RunOf) -> Self {
        Self { run: Some(run), ..self }
    }

    /// The run that the act is part of.
    pub(crate) fn run(&self) -> Option<RunOf> {
        self.run
    }

    /// What is done.
    pub fn counts(&self) -> RunCounts {
        *self.counts.lock()
    }

    /// `Stopped` once the act should end.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.stop.is_cancelled() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// More is done: (files, bytes) in and out.
    pub fn add(&self, read: (u64, u64), written: (u64, u64), txn: Option<Txn>) {
        let mut counts = self.counts.lock();
        counts.files_in += read.0;
        counts.bytes_in += read.1;
        counts.files_out += written.0;
        counts.bytes_out += written.1;
        counts.txn = txn.or(counts.txn);
    }
}
