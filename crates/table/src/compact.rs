//! Merges small files into large ones; rows stay the same.

use std::sync::Arc;

use cenote_catalog::TableDef;
use cenote_vocab::{Scope, Txn};

use crate::{Error, Lake};

/// Which files are worth a merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptimizeMode {
    /// By the thresholds of the table page, section 10.
    #[default]
    Due,
    /// Everything that is not one full file per partition, and every deletion vector.
    Full,
    /// Only files with deleted rows.
    Deletes,
}

/// What was done, or would be, in one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizeOutcome {
    /// `schema.table`
    pub table: String,
    /// The tuple as text; empty if unpartitioned.
    pub partition: String,
    /// `merge`, `deletes`, `none`, `discarded`
    pub action: &'static str,
    /// Why.
    pub reason: String,
    /// Files read.
    pub files_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Files written (0 in a dry run).
    pub files_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// The commit.
    pub txn: Option<Txn>,
}

impl Lake {
    /// Compacts a table, partition by partition, each in its own commit that commutes with appends and deletes.
    pub async fn optimize(
        &self,
        _scope: &Scope,
        _table: &Arc<TableDef>,
        _mode: OptimizeMode,
        _dry_run: bool,
    ) -> Result<Vec<OptimizeOutcome>, Error> {
        todo!()
    }
}
