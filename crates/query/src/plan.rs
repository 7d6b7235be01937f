//! From a parsed statement to a plan: names, rights, snapshot, the catalog of one statement.

mod binder;
mod casts;
mod checks;
mod coalesce;
mod columns;
mod cpu;
mod determinism;
mod duplicates;
pub(crate) mod fault;
mod limits;
mod memory;
mod names;
mod operators;
mod places;
mod resolve;
mod rewriter;
mod snapshot;
mod state;
mod texts;
mod times;
mod yielding;

pub(crate) use binder::{
    Binder, addressed_name, all_tables, changed_rows_name, constant_time, constants, new_rows_name,
};
pub(crate) use columns::column_of;
pub use cpu::STACK_BYTES;
pub(crate) use determinism::is_deterministic;
pub(crate) use duplicates::{visible, visible_schema, visible_text};
pub(crate) use resolve::{Found, Resolver, denied, refuse_materialized};
pub(crate) use snapshot::{Pins, Snapshot};
pub(crate) use state::{BaseState, CATALOG, DEFAULT_SCHEMA, exact};
