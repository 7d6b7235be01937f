//! Leases: who may act, until when, and the number that outdates them.

use cenote_vocab::{Fence, Micros};

/// A lease that this process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// `active`, …
    pub name: String,
    /// Grows with every new holder; each effect under the lease checks it.
    pub fence: Fence,
    /// By the database's clock.
    pub expires: Micros,
}
