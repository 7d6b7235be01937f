//! What generators share: their rows are numbered from 0 and come at a rate, so a position is the number of the next row.

use std::time::Duration;

use arrow::record_batch::RecordBatch;
use cenote_vocab::{Clock, Micros};

use crate::{Error, Pulled, Wanted};

/// Rows of one batch.
const BATCH_ROWS: u64 = 8192;

/// Which rows are there by when.
pub(crate) struct Pace {
    /// The connector.
    pub(crate) name: &'static str,
    /// Rows a second by the clock; 0: no limit.
    pub(crate) rate: f64,
    /// Rows in all; `None`: for ever.
    pub(crate) count: Option<u64>,
    /// When the first is there.
    pub(crate) start: Micros,
    pub(crate) clock: Clock,
}

impl Pace {
    /// Rows that are there by `now`.
    fn available(&self, now: Micros) -> u64 {
        let rows = match self.rate {
            0.0 => u64::MAX,
            _ if now < self.start => 0,
            rate => (now.since(self.start).as_secs_f64() * rate) as u64 + 1,
        };
        rows.min(self.count.unwrap_or(u64::MAX))
    }

    /// The number that a position is; the start is 0.
    fn number(&self, position: &str) -> Result<u64, Error> {
        if position.is_empty() {
            return Ok(0);
        }
        let foreign = |_| Error::Position { source_name: self.name.into(), position: position.into() };
        position.parse().map_err(foreign)
    }

    /// The rows from a position on, as far as they are there and wanted; `batch` makes those of two numbers.
    pub(crate) fn read(
        &self,
        from: &str,
        wanted: Wanted,
        batch: impl Fn(u64, u64) -> Result<RecordBatch, Error>,
    ) -> Result<Pulled, Error> {
        let from = self.number(from)?;
        let to = self.available(wanted.now).min(from.saturating_add(wanted.rows_max as u64)).max(from);
        let mut batches = Vec::new();
        let mut at = from;
        while at < to {
            let until = to.min(at + BATCH_ROWS);
            batches.push(batch(at, until)?);
            at = until;
        }
        let ended = self.count.is_some_and(|count| to >= count);
        Ok(Pulled { ended, ..Pulled::of(batches, to.to_string()) })
    }

    /// Waits until the row at a position is there.
    pub(crate) async fn wait(&self, from: &str) {
        let next = self.number(from).unwrap_or(0);
        if self.rate > 0.0 {
            let due = self.start.plus(Duration::from_secs_f64((next as f64 / self.rate).min(1e9)));
            self.clock.pause(due.since(self.clock.now())).await;
        }
    }
}
