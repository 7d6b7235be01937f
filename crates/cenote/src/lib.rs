//! A node: configuration, composition of the parts, start and stop order, and the command line.
//!
//! ```text
//! Config ─► lock data directory ─► catalog ─► lease `active` ─► ports (503) ─► log replay ─► engine ─► ready
//! stop:    draining ─► doors close ─► flush ─► log closed ─► lease returned ─► unlocked
//! ```
//! The only crate that reads variables and configuration files.

mod assets;
pub mod cli;
pub mod config;
mod data_dir;
mod jobs;
mod node;
mod tenants;

pub use data_dir::{DataDir, Holder};
pub use node::{Node, NodeError, PortChoice, Ports};
