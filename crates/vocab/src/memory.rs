//! One memory pool per node: a counter with a limit and named consumers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The pool cannot give `asked` more bytes.
#[derive(Debug, thiserror::Error)]
#[error("{pool} memory is full: {asked} more bytes asked, {used} of {limit} bytes in use")]
pub struct OutOfMemory {
    /// Whose share it was.
    pub pool: &'static str,
    /// Bytes that were asked for.
    pub asked: u64,
    /// Bytes in use when it was asked.
    pub used: u64,
    /// The share's size in bytes.
    pub limit: u64,
}

/// A share of the node's memory. A pool made by [`MemoryPool::share`] also draws on its parent.
#[derive(Clone, Debug)]
pub struct MemoryPool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    name: &'static str,
    limit: u64,
    used: AtomicU64,
    parent: Option<MemoryPool>,
}

impl MemoryPool {
    /// The node's whole pool of `limit` bytes.
    pub fn node(limit: u64) -> Self {
        Self(Arc::new(Pool { name: "node", limit, used: AtomicU64::new(0), parent: None }))
    }

    /// A part of this pool that may use at most `limit` bytes of it.
    pub fn share(&self, name: &'static str, limit: u64) -> Self {
        Self(Arc::new(Pool { name, limit, used: AtomicU64::new(0), parent: Some(self.clone()) }))
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most bytes that this pool gives out.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// An empty reservation, to be grown.
    pub fn reservation(&self) -> Reservation {
        Reservation { pool: self.clone(), bytes: 0 }
    }

    /// Takes `bytes`, or fails and takes nothing.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, OutOfMemory> {
        let mut reservation = self.reservation();
        reservation.try_grow(bytes)?;
        Ok(reservation)
    }

    fn take(&self, bytes: u64) -> Result<(), OutOfMemory> {
        let pool = &*self.0;
        pool.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= pool.limit)
            })
            .map_err(|used| OutOfMemory { pool: pool.name, asked: bytes, used, limit: pool.limit })?;
        if let Some(parent) = &pool.parent
            && let Err(error) = parent.take(bytes)
        {
            pool.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(error);
        }
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.0.parent {
            parent.give_back(bytes);
        }
    }
}

/// Bytes taken from a pool; dropping it gives them back.
#[derive(Debug)]
pub struct Reservation {
    pool: MemoryPool,
    bytes: u64,
}

impl Reservation {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes `more` bytes, or fails and changes nothing.
    pub fn try_grow(&mut self, more: u64) -> Result<(), OutOfMemory> {
        self.pool.take(more)?;
        self.bytes += more;
        Ok(())
    }

    /// Gives back `less` bytes, at most what is held.
    pub fn shrink(&mut self, less: u64) {
        let less = less.min(self.bytes);
        self.pool.give_back(less);
        self.bytes -= less;
    }

    /// Parts off `bytes` (at most what is held) as a reservation of their own.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { pool: self.pool.clone(), bytes }
    }

    /// Takes over what `other`, of the same pool, holds.
    pub fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_bounded_by_itself_and_by_its_parent() {
        let node = MemoryPool::node(100);
        let (ingest, query) = (node.share("ingest", 80), node.share("query", 80));
        let held = ingest.reserve(70).expect("fits");
        assert_eq!(ingest.reserve(20).expect_err("over the share").pool, "ingest");
        assert_eq!(query.reserve(40).expect_err("over the node").pool, "node");
        assert_eq!(query.used(), 0);
        drop(held);
        assert_eq!((node.used(), query.reserve(40).expect("free again").bytes()), (0, 40));
    }

    #[test]
    fn a_split_reservation_gives_back_each_byte_once() {
        let node = MemoryPool::node(10);
        let mut all = node.reserve(10).expect("fits");
        let part = all.split(4);
        drop(all);
        assert_eq!(node.used(), 4);
        drop(part);
        assert_eq!(node.used(), 0);
    }
}
