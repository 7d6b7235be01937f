//! Chance comes in by one door.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use uuid::Uuid;

use crate::Clock;

/// Gives out random ids and bytes; repeatable when made from a seed. Clones share the sequence.
#[derive(Clone)]
pub struct Ids {
    rng: Arc<Mutex<StdRng>>,
    clock: Clock,
}

impl Ids {
    /// Seeded by the operating system.
    pub fn system(clock: Clock) -> Self {
        Self { rng: Arc::new(Mutex::new(StdRng::from_os_rng())), clock }
    }

    /// The same sequence for the same seed.
    pub fn seeded(seed: u64, clock: Clock) -> Self {
        Self { rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))), clock }
    }

    /// A time-ordered id (UUID version 7).
    pub fn uuid(&self) -> Uuid {
        let millis = u64::try_from(self.clock.now().0 / 1000).unwrap_or(0);
        let random: [u8; 10] = self.bytes();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// `N` random bytes, good enough for secrets when made by [`Ids::system`].
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.lock().fill_bytes(&mut bytes);
        bytes
    }

    /// A number in `0..bound`; 0 if `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.rng.lock().next_u64() % bound }
    }
}

impl std::fmt::Debug for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ids")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;

    #[test]
    fn one_seed_gives_one_sequence() {
        let clock = Clock::manual(Micros(0));
        let (a, b) = (Ids::seeded(7, clock.clone()), Ids::seeded(7, clock));
        assert_eq!((a.uuid(), a.bytes::<4>()), (b.uuid(), b.bytes::<4>()));
        assert_eq!(a.uuid().get_version_num(), 7);
    }
}
