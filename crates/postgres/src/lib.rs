//! The Postgres wire: startup, SCRAM, simple and extended query, cancel. Knows no table and no SQL.
//!
//! ```text
//! accept ─ startup (SCRAM-SHA-256) ─ Session ─┬─ Query: statements one by one, rows as they come
//!                                             └─ Parse, Bind, Describe, Execute, Sync
//! CancelRequest on a connection of its own ─ (pid, key) ─ Session::cancel
//! ```
//! One set of handlers per connection, holding its session. Arrow values become Postgres values in `value`; error kinds
//! become severities and codes in `error`. Until the node is ready every connection is answered 57P03.

mod cancel;
mod connection;
mod copy;
mod error;
mod extended;
mod server;
mod simple;
mod startup;
mod value;

pub use server::{Postgres, PostgresOptions};
