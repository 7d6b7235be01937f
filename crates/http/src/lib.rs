//! The HTTP door: parse, authenticate, call, encode. Knows no table and no SQL.
//!
//! ```text
//! connection ─ observe (id, metrics, errors) ─ gate (ready, identity) ─ route ─ Ingest | Session | Catalog
//!                                                                         answer ◄─ encode ◄─ batches
//! ```
//! Before the node is ready only health, readiness, `/ping` and `/` answer; everything else is 503 with the reason.
//! Invariants: an error of any path is one body ([`problem`]) by one table ([`status`]); a body is never read beyond
//! its limit; an answer that breaks off never looks complete.

mod answer;
mod app;
mod auth;
mod body;
mod call;
mod connection;
mod credentials;
mod database;
mod encode;
mod exposition;
mod layers;
mod metrics;
mod multipart;
mod options;
mod parameters;
mod problem;
mod rate;
mod routes;
mod server;
mod signed;
mod sse;
mod status;

pub use options::{HttpOptions, NodeState, Services};
pub use server::Http;
