//! From a parsed statement to a plan: names, rights, snapshot, the catalog of one statement.

mod binder;
mod checks;
mod columns;
mod cpu;
mod duplicates;
pub(crate) mod fault;
mod memory;
mod names;
mod operators;
mod resolve;
mod rewriter;
mod snapshot;
mod state;
mod yielding;

pub(crate) use binder::{
    Binder, addressed_name, all_tables, changed_rows_name, constant_time, constants, new_rows_name,
};
pub(crate) use columns::column_of;
pub(crate) use duplicates::{visible, visible_schema, visible_text};
pub(crate) use resolve::{Found, Resolver, denied};
pub(crate) use snapshot::Snapshot;
pub(crate) use state::{BaseState, CATALOG, DEFAULT_SCHEMA, exact};
