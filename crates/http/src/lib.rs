//! The HTTP door: parse, authenticate, call, encode. Knows no table and no SQL.
//!
//! Before the node is ready only health, readiness and `/` answer; everything else is 503 with the reason.

mod options;
mod server;

pub use options::{HttpOptions, NodeState, Services};
pub use server::Http;
