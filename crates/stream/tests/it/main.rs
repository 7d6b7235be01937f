//! Pipelines over a real catalog (SQLite in memory), a real log and a store in memory.

mod backlog;
mod checks;
mod damage;
mod files;
mod forgetting;
mod golden;
mod history;
mod joins;
#[cfg(feature = "kafka")]
mod kafka;
mod life;
mod names;
mod nexmark;
mod parked;
mod scripts;
mod spilling;
mod steer;
mod views;
mod windows;
mod world;
