//! What every sink outside of the lake can do.
//!
//! ```text
//! state of the last commit ─ stage (step 3) ─► state of this epoch ─ the commit ─ finish (step 5)
//! start: restore(state of the last commit)
//! ```
//! The state is a text that the commit stores. What is outside and not in the state of a commit never was.

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_vocab::Micros;

use crate::{BadRow, Error};

/// What a sink promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkClass {
    /// Rows are durable before the commit and seen after it: exactly once.
    Finish,
    /// Rows are sent before the commit; a crash sends those of its epoch again.
    AtLeastOnce,
    /// Nothing.
    Nothing,
}

/// Whether rows may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// They may.
    Open,
    /// What is open is to be completed: all sources have ended, or the pipeline pauses.
    Close,
}

/// Rows of an epoch for one sink.
#[derive(Clone, Copy, Debug)]
pub struct EpochRows<'a> {
    /// Counts up.
    pub epoch: i64,
    /// The instant of the epoch.
    pub now: Micros,
    /// In the columns that the sink was opened with.
    pub rows: &'a [RecordBatch],
    /// Whether more may come.
    pub closing: Closing,
}

/// Takes rows. One writer at a time. An empty state is the state of a pipeline that has committed nothing.
#[async_trait]
pub trait Sink: Send + Sync {
    /// What it promises.
    fn class(&self) -> SinkClass;

    /// Brings what is outside to what the last commit says: what it promised is completed, what is not in it goes.
    async fn restore(&mut self, state: &str) -> Result<(), Error>;

    /// Makes the rows durable, or sends them; answers the state with them. Nothing is in memory afterwards.
    async fn stage(&mut self, state: &str, rows: EpochRows<'_>) -> Result<String, Error>;

    /// Takes the rows of the last `stage` that are refused for good wherever they go: those were not made durable.
    fn take_refused(&mut self) -> Vec<BadRow> {
        Vec::new()
    }

    /// Completes what a commit has promised; may be done again.
    async fn finish(&mut self, state: &str) -> Result<(), Error>;

    /// When there is something to stage though no row comes.
    fn due(&self, _state: &str) -> Option<Micros> {
        None
    }
}

/// Drops its rows.
pub struct Blackhole;

#[async_trait]
impl Sink for Blackhole {
    fn class(&self) -> SinkClass {
        SinkClass::Nothing
    }

    async fn restore(&mut self, _state: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn stage(&mut self, _state: &str, _rows: EpochRows<'_>) -> Result<String, Error> {
        Ok(String::new())
    }

    async fn finish(&mut self, _state: &str) -> Result<(), Error> {
        Ok(())
    }
}
