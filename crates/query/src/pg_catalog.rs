//! What Postgres clients ask about the server: `pg_catalog`, `information_schema`, and the functions beside them.
//!
//! ```text
//! text ─ mentions? ─ parse (rewritten for DataFusion) ─ install (functions, types) ─ plan over two made schemas
//! ```
//! Relations of types, functions and operators are Postgres 15's own and the same for everybody; those of schemas, tables
//! and columns are made per statement from the names of its snapshot, without opening a table; all others exist and are
//! empty. Invariant: what a token may not know is in none of them.
//! The OID of a schema or table is the low half of its id: equal after a restart, never reused.

mod facts;
mod functions;
mod information_schema;
mod objects;
mod parse;
mod provider;
mod relation;
mod roles;
mod server;
mod subquery;
mod system;
mod type_names;

#[cfg(test)]
mod tests;

pub(crate) use facts::PgFacts;
pub(crate) use functions::install;
pub(crate) use parse::{mentions, parse};
pub(crate) use provider::{information_schema, schema_provider};
