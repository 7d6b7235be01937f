//! Time comes in by one door.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// An instant: microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// The instant `duration` later; saturates.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The instant `duration` earlier; saturates.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The instant of a text of RFC 3339; `None` if it is none.
    pub fn of_rfc3339(text: &str) -> Option<Self> {
        chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| Self(at.timestamp_micros()))
    }

    /// RFC 3339 in UTC with microseconds and `Z`.
    pub fn rfc3339(self) -> String {
        chrono::DateTime::from_timestamp_micros(self.0)
            .map_or_else(|| self.0.to_string(), |at| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
    }
}

/// The wall clock, or a clock that a test moves by hand. Clones share it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The operating system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until [`Clock::advance`].
    pub fn manual(start: Micros) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.0))))
    }

    /// The present instant.
    pub fn now(&self) -> Micros {
        match &self.0 {
            Source::System => {
                #[expect(clippy::disallowed_methods, reason = "the one door by which time comes in")]
                let now = SystemTime::now();
                let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Source::Manual(now) => Micros(now.load(Ordering::SeqCst)),
        }
    }

    /// Waits before something is tried again. A manual clock moves on by as much instead: a test waits for nothing.
    pub async fn pause(&self, duration: Duration) {
        match &self.0 {
            Source::System => tokio::time::sleep(duration).await,
            Source::Manual(_) => {
                self.advance(duration);
                tokio::task::yield_now().await; // who is waited for gets a turn
            }
        }
    }

    /// Moves a manual clock; the system's clock cannot be moved and stays.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Moves a manual clock back, as an operator's or a time server's correction does; the system's clock stays.
    pub fn turn_back(&self, by: Duration) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_print_as_rfc3339() {
        assert_eq!(Micros(1_500_000).rfc3339(), "1970-01-01T00:00:01.500000Z");
    }

    #[tokio::test]
    async fn a_pause_moves_a_manual_clock_and_takes_no_time() {
        let clock = Clock::manual(Micros(5));
        clock.pause(Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), Micros(3_600_000_005));
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Clock::manual(Micros(5));
        let same = clock.clone();
        same.advance(Duration::from_micros(7));
        assert_eq!(clock.now(), Micros(12));
    }
}
