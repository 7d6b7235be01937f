//! Ingest over a real catalog (SQLite), a real log and a real store.
//!
//! Fail points are the process's: with the feature `failpoints` run these by nextest, which gives each test its own.

mod ask;
#[cfg(feature = "failpoints")]
mod crash;
mod handover;
mod keyed;
mod limits;
mod restart;
mod schema;
mod steps;
mod writes;
