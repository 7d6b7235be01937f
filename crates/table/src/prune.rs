//! Leaves out files that cannot hold a wanted row.

use cenote_catalog::{DataFile, TableDef};

use crate::Predicate;

/// False only when partition tuple and statistics prove that no row of `file` matches.
pub fn may_match(_file: &DataFile, _table: &TableDef, _predicate: &Predicate) -> bool {
    todo!()
}
