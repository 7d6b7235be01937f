//! What runs by itself: one loop of jobs, each with runs that are rows of the catalog.
//!
//! ```text
//! a commit, a due time, a person ─► tick: look for work ─► claim (a row) ─► work (table) ─► end of the run
//!                                     ▲                                                      │
//!                                     └──────────────────── bell ◄──────────────────────────┘
//! ```
//! What there is to do is decided in `table`, by pure planners that dry runs use too; here is only *when*. Assets are planned here
//! ([`Flow::materialize`]) and done by whoever implements [`AssetTasks`]; their tasks are claimed, tried again and explained by rows.
//! Invariants: two runs of one job never have the same subject at a time, because claims meet in the database; a run ends
//! once, by its claimer; a process that lost the lease `active` claims, commits and ends nothing. Nothing to do leaves no row.

mod assets;
mod attempt;
mod backlog;
mod backoff;
mod difference;
mod error;
mod explain;
mod explain_job;
mod flow;
mod freshness;
mod jobs;
mod metrics;
mod options;
mod partitions;
mod plan;
mod pulse;
mod schedule;
mod slices;
mod task;
mod tenants;
mod trigger;
mod wanted;

pub use assets::AssetTasks;
pub use error::Error;
pub use flow::Flow;
pub use jobs::BuiltIn;
pub use options::FlowOptions;
