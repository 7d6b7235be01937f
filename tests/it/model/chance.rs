//! The choices of one step: the same for the same seed.

use cenote_vocab::{Clock, Ids, Micros};

/// A sequence of choices.
pub(super) struct Chance(Ids);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Ids::seeded(seed, Clock::manual(Micros(0))))
    }

    /// A number in `0..bound`.
    pub(super) fn below(&self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }

    /// A number in `low..high`.
    pub(super) fn within(&self, low: i64, high: i64) -> i64 {
        low + self.0.below((high - low) as u64) as i64
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&self, share: usize) -> bool {
        self.below(100) < share
    }

    /// One of them; panics if there is none.
    pub(super) fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// The seed of another sequence.
    pub(super) fn seed(&self) -> u64 {
        u64::from_le_bytes(self.0.bytes())
    }
}
