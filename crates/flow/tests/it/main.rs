//! Jobs by themselves, on a real catalog and store, by a clock that the tests move.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by a panic, in its own lines or in those that it shares"
)]

mod assets;
mod compact;
#[cfg(feature = "failpoints")]
mod failure;
mod publish;
mod schedule;
mod world;
