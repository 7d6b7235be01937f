//! Memory of requests and buffer: who finds none waits for a flush, but not for long.

use std::sync::Arc;
use std::time::Duration;

use cenote_vocab::{MemoryPool, OutOfMemory, Reservation};
use tokio::sync::Notify;

use crate::Error;

/// How long a request waits for room before it is refused.
const PATIENCE: Duration = Duration::from_secs(5);
/// From this part of the memory or the log on, flushes start early.
const PRESSURE_PERCENT: u64 = 70;
/// What a refused client is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The memory share of ingest. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pool: MemoryPool,
    bell: Arc<Bell>,
    patience: Duration,
}

/// Who is told when room is made, and when room is wanted.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Room was made in memory or in the log.
    pub(crate) room: Notify,
    /// The flush loop should look at once.
    pub(crate) flush: Notify,
}

/// Bytes of the share. Dropping them wakes who waits for room.
#[derive(Debug)]
pub(crate) struct Held {
    reservation: Reservation,
    bell: Arc<Bell>,
}

impl Admission {
    pub(crate) fn new(pool: MemoryPool) -> Self {
        Self { pool, bell: Arc::default(), patience: PATIENCE }
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    pub(crate) fn used(&self) -> u64 {
        self.pool.used()
    }

    pub(crate) fn limit(&self) -> u64 {
        self.pool.limit()
    }

    /// True if flushes should start early.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pool.used() >= pressure(self.pool.limit())
    }

    /// Takes `bytes` now, or nothing.
    pub(crate) fn try_take(&self, bytes: u64) -> Result<Held, OutOfMemory> {
        let reservation = self.pool.reserve(bytes)?;
        let border = pressure(self.pool.limit());
        let used = self.pool.used();
        if used >= border && used.saturating_sub(bytes) < border {
            self.bell.flush.notify_one(); // once, when pressure begins
        }
        Ok(Held { reservation, bell: self.bell.clone() })
    }

    /// Bytes that are held although the share has no room; counted as none.
    pub(crate) fn take_beyond(&self) -> Held {
        Held { reservation: self.pool.reservation(), bell: self.bell.clone() }
    }

    /// Takes `bytes`, waiting for a flush to make room. `Full` after [`PATIENCE`], `TooLarge` if it can never fit.
    pub(crate) async fn take(&self, bytes: u64) -> Result<Held, Error> {
        if bytes > self.pool.limit() {
            return Err(Error::TooLarge {
                what: "memory of the request",
                bytes,
                bytes_max: self.pool.limit(),
            });
        }
        self.wait_for("ingest.buffer_memory", || self.try_take(bytes).ok()).await
    }

    /// Grows `held` by `more` bytes, waiting as [`Admission::take`] does.
    pub(crate) async fn grow(&self, held: &mut Held, more: u64) -> Result<(), Error> {
        if held.bytes().saturating_add(more) > self.pool.limit() {
            let bytes = held.bytes().saturating_add(more);
            return Err(Error::TooLarge {
                what: "memory of the request",
                bytes,
                bytes_max: self.pool.limit(),
            });
        }
        self.wait_for("ingest.buffer_memory", || held.reservation.try_grow(more).ok()).await
    }

    /// Asks `attempt` each time that room is made, for at most [`PATIENCE`]. `Full` names `what`.
    pub(crate) async fn wait_for<T>(
        &self,
        what: &'static str,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Result<T, Error> {
        if let Some(taken) = attempt() {
            return Ok(taken);
        }
        let waits = async {
            loop {
                let mut room = std::pin::pin!(self.bell.room.notified());
                room.as_mut().enable(); // before the attempt, or a wake between the two is lost
                if let Some(taken) = attempt() {
                    return taken;
                }
                self.bell.flush.notify_one();
                room.await;
            }
        };
        tokio::time::timeout(self.patience, waits)
            .await
            .map_err(|_| Error::Full { what, retry_after: RETRY_AFTER })
    }
}

impl Held {
    pub(crate) fn bytes(&self) -> u64 {
        self.reservation.bytes()
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        let less = self.reservation.bytes().saturating_sub(bytes);
        if less > 0 {
            self.reservation.shrink(less);
            self.bell.room.notify_waiters();
        }
    }

    /// Parts off at most `bytes`.
    pub(crate) fn split(&mut self, bytes: u64) -> Self {
        Self { reservation: self.reservation.split(bytes), bell: self.bell.clone() }
    }

    /// Takes over what `other` holds.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.reservation.join(other.reservation.split(u64::MAX));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Where pressure begins for a limit.
pub(crate) fn pressure(limit: u64) -> u64 {
    (u128::from(limit) * u128::from(PRESSURE_PERCENT) / 100) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_waits_for_room_and_is_refused_after_its_patience() {
        let admission =
            Admission { patience: Duration::from_millis(1), ..Admission::new(MemoryPool::node(100)) };
        let held = admission.take(80).await.expect("fits");
        let refused = admission.take(30).await.expect_err("no room");
        assert!(matches!(refused, Error::Full { what: "ingest.buffer_memory", .. }));
        let admission = Admission { patience: PATIENCE, ..admission };
        let (taken, ()) = tokio::join!(admission.take(30), async {
            tokio::task::yield_now().await;
            drop(held);
        });
        let taken = taken.expect("room was made");
        assert_eq!((taken.bytes(), admission.used()), (30, 30));
    }

    #[tokio::test]
    async fn what_can_never_fit_is_refused_at_once() {
        let admission = Admission::new(MemoryPool::node(100));
        let refused = admission.take(101).await.expect_err("too large");
        assert!(matches!(refused, Error::TooLarge { bytes: 101, bytes_max: 100, .. }));
    }
}
