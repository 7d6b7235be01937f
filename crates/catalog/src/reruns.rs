//! How often, and after which pauses, something that met another is tried again.

use std::time::Duration;

use cenote_vocab::Ids;

use crate::Error;

/// A statement is planned again so many times before its client is told of the conflict.
const RERUNS_MAX: u32 = 10;
/// Doubled before each pause.
const PAUSE: Duration = Duration::from_millis(10);
/// Longest pause, before half of it is added or taken off.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Counts the reruns of one statement.
///
/// ```
/// # fn plan_and_commit() -> Result<(), cenote_catalog::Error> { Ok(()) }
/// # async fn example(ids: cenote_vocab::Ids) -> Result<(), cenote_catalog::Error> {
/// let mut reruns = cenote_catalog::Reruns::new(ids);
/// while let Err(error) = plan_and_commit() {
///     tokio::time::sleep(reruns.pause_after(error)?).await;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reruns {
    ids: Ids,
    done: u32,
}

impl Reruns {
    /// None was done yet.
    pub fn new(ids: Ids) -> Self {
        Self { ids, done: 0 }
    }

    /// How long to wait before planning again at the new head. Gives the error back if it is no conflict of commits, or if the
    /// statement was tried again ten times already.
    pub fn pause_after(&mut self, error: Error) -> Result<Duration, Error> {
        if !matches!(error, Error::CommitConflict { .. }) || self.done == RERUNS_MAX {
            return Err(error);
        }
        self.done += 1;
        Ok(pause(&self.ids, self.done))
    }
}

/// 10 ms · 2ⁿ, at most 1 s, ± 50 %: two that collide do not collide again in step.
pub(crate) fn pause(ids: &Ids, n: u32) -> Duration {
    let full = PAUSE.saturating_mul(1 << n.min(16)).min(PAUSE_MAX);
    let micros = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros / 2 + ids.below(micros))
}

#[cfg(test)]
mod tests {
    use cenote_vocab::{Clock, Micros, TableId, Txn};

    use super::*;
    use crate::Clash;

    fn conflict() -> Error {
        Error::CommitConflict {
            table: "default.cpu".into(),
            table_id: TableId(1),
            clash: Clash::Rewritten,
            with_txn: Txn(7),
            files: Vec::new(),
        }
    }

    #[test]
    fn ten_reruns_wait_longer_each_time_and_the_conflict_comes_back() {
        let mut reruns = Reruns::new(Ids::seeded(1, Clock::manual(Micros(0))));
        for n in 1..=RERUNS_MAX {
            let waited = reruns.pause_after(conflict()).expect("again");
            let full = Duration::from_millis((10 << n).min(1_000));
            assert!(waited >= full / 2 && waited < full * 3 / 2, "{waited:?} before rerun {n}");
        }
        assert!(matches!(reruns.pause_after(conflict()), Err(Error::CommitConflict { .. })));
    }

    #[test]
    fn only_conflicts_of_commits_are_tried_again() {
        let mut reruns = Reruns::new(Ids::seeded(1, Clock::manual(Micros(0))));
        assert!(matches!(reruns.pause_after(Error::Full), Err(Error::Full)));
    }
}
