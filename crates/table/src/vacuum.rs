//! Deletes the objects that no readable version needs.

use std::time::Duration;

use cenote_catalog::TableDef;
use cenote_vocab::Scope;

use crate::{Error, Lake};

/// What `VACUUM` says.
#[derive(Clone, Copy, Debug, Default)]
pub struct VacuumOptions {
    /// Stands for `history_keep`.
    pub keep: Option<Duration>,
    /// Delete what this call queued at once, without `orphan_grace`.
    pub force: bool,
    /// Also look for objects that no row names.
    pub orphans: bool,
    /// Only say what would go.
    pub dry_run: bool,
}

/// One object that went, was queued, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VacuumOutcome {
    /// Below the storage root.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// `deleted`, `queued`, `orphan`, or `due` in a dry run
    pub reason: &'static str,
}

impl Lake {
    /// Raises the history floor, forgets versions below it, and deletes objects that are due. `None`: all tables of the tenant.
    pub async fn vacuum(
        &self,
        _scope: &Scope,
        _table: Option<&TableDef>,
        _options: VacuumOptions,
    ) -> Result<Vec<VacuumOutcome>, Error> {
        todo!()
    }
}
