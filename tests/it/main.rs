//! A whole node, by its front doors.

mod assets;
mod changes;
mod clients;
mod crash;
mod disk;
mod doors;
mod fence;
mod files;
mod inline;
mod isolation;
mod jobs;
mod journey;
mod kafka;
mod limits;
mod metadata;
mod model;
mod pipelines;
mod process;
mod run;
mod search;
mod slt;
mod snapshot;
mod steering;
mod storm;
mod tpch;
mod wire;
