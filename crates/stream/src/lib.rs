//! Streaming SQL: pipelines, which are queries that run again, epoch by epoch, whenever there is new input.
//!
//! ```text
//! script ─ plan ─► sources, windows, sinks
//! epoch:  cut (read behind the positions) ─ run (rows, panes, closed windows) ─ stage (files)
//!         ─ commit: output + positions + watermark + state + (producer, epoch) ─ finish
//! ```
//! An epoch is one commit of the producer `pipeline/{id}`: what it wrote, where its sources stand and what its operators
//! hold become true together, or not at all. So a start after a crash only reads the last commit and goes on.
//! Operators see whole batches of an epoch and know nothing of time, tasks or storage.

mod alteration;
mod blocks;
mod changelog;
mod checkpoint;
mod epoch;
mod error;
mod feed;
mod idle;
mod intake;
mod kept;
mod lineage;
mod lookups;
mod metrics;
mod multiset;
mod options;
mod pieces;
mod plan;
mod printed;
mod run;
mod runtime;
mod session;
mod sink;
mod spilled;
mod streams;
mod window;

pub use cenote_connect::Reach;
pub use epoch::Step;
pub use error::Error;
pub use options::{BadData, Limits, PipelineOptions};
pub use printed::printed;
pub use run::Run;
pub use runtime::Streams;
