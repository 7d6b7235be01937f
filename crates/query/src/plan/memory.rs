//! The node's memory pool as the engine sees it: fair among the operators of one query, bounded by the share of all.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cenote_vocab::{MemoryPool as SharePool, Reservation};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
};
use parking_lot::Mutex;

/// Consumers that an error names.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");

/// The pool of one query: at most half of the share.
pub(crate) fn query_pool(share: &SharePool) -> Arc<dyn MemoryPool> {
    let limit = usize::try_from(share.limit() / 2).unwrap_or(usize::MAX);
    Arc::new(TrackConsumersPool::new(
        QueryPool {
            fair: FairSpillPool::new(limit),
            held: Mutex::new(Held { reservation: share.reservation(), over: 0 }),
        },
        NAMED_CONSUMERS,
    ))
}

#[derive(Debug)]
struct QueryPool {
    fair: FairSpillPool,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    reservation: Reservation,
    /// Bytes that an operator took without asking and that the share could not give.
    over: u64,
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.fair.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.fair.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.fair.grow(reservation, additional);
        let mut held = self.held.lock();
        if held.reservation.try_grow(additional as u64).is_err() {
            held.over += additional as u64;
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.fair.shrink(reservation, shrink);
        let mut held = self.held.lock();
        let over = held.over.min(shrink as u64);
        held.over -= over;
        held.reservation.shrink(shrink as u64 - over);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.fair.try_grow(reservation, additional)?;
        let given = self.held.lock().reservation.try_grow(additional as u64);
        given.map_err(|error| {
            self.fair.shrink(reservation, additional);
            DataFusionError::ResourcesExhausted(error.to_string())
        })
    }

    fn reserved(&self) -> usize {
        self.fair.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.fair.memory_limit()
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.fair, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_takes_from_the_share_and_gives_all_back() {
        let share = SharePool::node(1000);
        let pool = query_pool(&share);
        let reservation = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        reservation.try_grow(400).unwrap();
        assert_eq!(share.used(), 400);
        let error = reservation.try_grow(200).unwrap_err();
        assert!(error.to_string().contains("sort"), "{error}");
        reservation.grow(700); // without asking: the share has only 600 left
        drop(reservation);
        assert_eq!(share.used(), 0);
    }

    #[test]
    fn other_users_of_the_share_count() {
        let share = SharePool::node(1000);
        let _ingest = share.reserve(900).unwrap();
        let pool = query_pool(&share);
        let reservation = MemoryConsumer::new("join").register(&pool);
        assert!(matches!(reservation.try_grow(200), Err(DataFusionError::ResourcesExhausted(_))));
        assert_eq!((reservation.size(), pool.reserved()), (0, 0));
    }
}
