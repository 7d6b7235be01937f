//! Ingest over a real catalog (SQLite), a real log and a real store.
//!
//! With the feature `failpoints` only the crash tests run: fail points are the process's, so no other test may run beside them.

mod node;

#[cfg(not(feature = "failpoints"))]
mod ask;
#[cfg(feature = "failpoints")]
mod crash;
#[cfg(not(feature = "failpoints"))]
mod handover;
#[cfg(not(feature = "failpoints"))]
mod limits;
#[cfg(not(feature = "failpoints"))]
mod measure;
#[cfg(not(feature = "failpoints"))]
mod restart;
#[cfg(not(feature = "failpoints"))]
mod schema;
#[cfg(not(feature = "failpoints"))]
mod writes;
