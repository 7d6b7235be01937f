//! The control plane: what exists, who may use it, and the one way to change it.
//!
//! ```text
//! writers ─ Commit ─► committer (one task per catalog: group commit) ─ one database transaction ─► txn
//! readers ─ head, names, files, epochs at a txn ◄─ SQL rows, cached
//! ```
//! Invariants: every change is a [`Commit`] under the locked head row; a (producer, epoch) takes effect once; a data
//! file exists for readers only when a committed transaction says so; every question carries a
//! [`Scope`](cenote_vocab::Scope), so no tenant sees another's rows. Nothing here reads data files.

mod access;
mod catalog;
mod commit;
mod error;
mod file;
mod lease;
mod object;
mod options;
mod system;

pub use access::{Grant, Identity, NewToken, ScramVerifier, Token, TokenChange, pattern_matches};
pub use catalog::{Catalog, Head, TransactionRecord};
pub use commit::{
    Alter, Committed, Commit, Facts, Input, NewTable, ObjectChange, Op, Producer, ReadSet, RetireKind, RewriteInput,
    TableChange,
};
pub use error::Error;
pub use file::{DataFile, NewFile, TimeWindow, VisibleVector};
pub use lease::Lease;
pub use object::{Names, SchemaDef, TableDef, TableKind};
pub use options::CatalogOptions;
pub use system::{SystemTable, system_tables};
