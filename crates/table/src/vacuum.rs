//! Deletes the objects that no readable version needs.
//!
//! Purge: rows below the history floor leave the catalog, their paths are queued. Sweep: due paths that no row names are
//! deleted, then forgotten. Orphans: what lies in the store and was never named. Killed between any two steps, the next call
//! goes on.
//!
//! By force, paths are due as soon as nobody can read them any more. Who knows the readers waits for them between
//! [`Lake::queue_unneeded`] and [`Lake::collect_queued`].

mod due;
mod rows;
mod sweep;
mod tenant;

use std::collections::HashSet;
use std::time::Duration;

use cenote_catalog::{TableDef, TableKind};
use cenote_vocab::{Micros, Scope, TableId, Txn};

use crate::{Error, Lake, TableOptions};

/// What `VACUUM` says.
#[derive(Clone, Copy, Debug, Default)]
pub struct VacuumOptions {
    /// Stands for `history_keep`.
    pub keep: Option<Duration>,
    /// Delete what is queued by now without waiting for `orphan_grace`.
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
    /// `deleted`; `queued` until `orphan_grace` has passed; `orphan`: deleted, and no row had named it; in a dry run `due`
    /// stands for `deleted`
    pub reason: &'static str,
}

impl VacuumOutcome {
    fn new((path, bytes): (String, u64), reason: &'static str) -> Self {
        Self { path, bytes, reason }
    }
}

/// An object that would have gone, were it not for a tag or a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptObject {
    /// Below the storage root.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// `tag "x"` or `a hold of "who"`
    pub by: String,
}

/// How far back one table's history goes after this call.
struct Floor {
    txn: Txn,
    options: TableOptions,
}

/// What a call of `VACUUM` queued, before anything is deleted: rows that name it are gone already, so whoever begins now reads none of it.
#[derive(Debug)]
pub struct Queued {
    options: VacuumOptions,
    /// By this call.
    fresh: Vec<(String, u64)>,
    /// What goes although it is not due; empty without force.
    forced: Vec<(String, u64)>,
}

impl Lake {
    /// Raises the history floor, forgets versions below it, and deletes objects that are due. `None`: all tables of the tenant.
    ///
    /// Every version from the newest one that is older than `keep` on stays readable. With `force`, statements that began
    /// before must have ended: their files may go, and what was deleted from the catalog leaves its disk. A dry run does not see the files of dropped tables.
    pub async fn vacuum(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
        options: VacuumOptions,
    ) -> Result<Vec<VacuumOutcome>, Error> {
        if options.dry_run {
            return self.planned(scope, table, options).await;
        }
        let queued = self.queue_unneeded(scope, table, options).await?;
        self.collect_queued(scope, table, queued).await
    }

    /// The first half of [`Lake::vacuum`]: deletes no object. What it queued waits for `orphan_grace` if the second half never comes.
    pub async fn queue_unneeded(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
        options: VacuumOptions,
    ) -> Result<Queued, Error> {
        if let Some(table) = table {
            Error::refuse_view(table)?;
        }
        let mut fresh = self.purge(scope, table, options).await?;
        if table.is_none() {
            fresh.extend(self.purge_dropped(scope, options).await?);
        }
        // Also what an earlier call queued: it may have been ended before its own second half.
        let forced = if options.force { self.unneeded_queued(scope, table).await? } else { Vec::new() };
        Ok(Queued { options, fresh, forced })
    }

    /// The second half: deletes what is due, and by force what was queued. Then no statement may run that began before the first half
    /// ended.
    pub async fn collect_queued(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
        queued: Queued,
    ) -> Result<Vec<VacuumOutcome>, Error> {
        let Queued { options, fresh, forced } = queued;
        self.delete_all(scope, &forced).await?;
        let mut deleted = forced;
        deleted.extend(self.sweep(scope, table).await?);
        if options.force {
            self.catalog.scrub().await?;
        }
        let gone: HashSet<&String> = deleted.iter().map(|(path, _)| path).collect();
        let waits = fresh.into_iter().filter(|(path, _)| !gone.contains(path));
        let mut outcomes: Vec<_> = waits.map(|object| VacuumOutcome::new(object, "queued")).collect();
        outcomes.extend(deleted.into_iter().map(|object| VacuumOutcome::new(object, "deleted")));
        if options.orphans {
            outcomes.extend(self.collect_orphans(scope, table, false).await?);
        }
        outcomes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(outcomes)
    }

    async fn planned(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
        options: VacuumOptions,
    ) -> Result<Vec<VacuumOutcome>, Error> {
        if let Some(table) = table {
            Error::refuse_view(table)?;
        }
        let mut outcomes = self.due(scope, table, options).await?;
        if options.orphans {
            outcomes.extend(self.collect_orphans(scope, table, true).await?);
        }
        outcomes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(outcomes)
    }

    /// Each table by its own history; one that has nothing to purge costs nothing.
    async fn purge(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
        options: VacuumOptions,
    ) -> Result<Vec<(String, u64)>, Error> {
        fail::fail_point!("gc.purge", |_| Err(Error::Internal("fail point gc.purge".to_owned())));
        let floors = self.floors(scope, table, options).await?;
        let cutoffs: Vec<(TableId, Txn)> = floors.iter().map(|(table, floor)| (*table, floor.txn)).collect();
        let mut queued = Vec::new();
        for (table, txn) in self.catalog.collectable(scope, &cutoffs).await? {
            let Some((_, floor)) = floors.iter().find(|(of, _)| *of == table) else { continue };
            let not_before = self.not_before(&floor.options);
            queued.extend(self.catalog.purge(scope, Some(table), txn, not_before).await?);
        }
        Ok(queued)
    }

    /// What only dropped tables are left to need: at the floor that all tables have in common, and by the defaults, because
    /// their own options went with them.
    async fn purge_dropped(
        &self,
        scope: &Scope,
        options: VacuumOptions,
    ) -> Result<Vec<(String, u64)>, Error> {
        let Some(defaults) = self.floor(scope, self.options.clone(), options).await? else {
            return Ok(Vec::new());
        };
        let head = self.catalog.head(scope).await?;
        let names = self.catalog.names(scope, head.txn).await?;
        let mut common = defaults.txn;
        for table in names.tables().filter(|table| table.kind == TableKind::Table) {
            let floor = self.floor(scope, self.options.within(&names, table)?, options).await?;
            common = common.min(floor.map_or(Txn(0), |floor| floor.txn));
        }
        let not_before = self.not_before(&defaults.options);
        let mut queued = Vec::new();
        for table in self.catalog.dropped_tables(scope, common).await? {
            queued.extend(self.catalog.purge(scope, Some(table), common, not_before).await?);
        }
        Ok(queued)
    }

    /// How far back the history of the table, or of each, goes after this call; those that are too young are left out.
    async fn floors(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
        options: VacuumOptions,
    ) -> Result<Vec<(TableId, Floor)>, Error> {
        let head = self.catalog.head(scope).await?;
        let names = self.catalog.names(scope, head.txn).await?;
        let mut floors = Vec::new();
        let all = names.tables().filter(|one| one.kind == TableKind::Table).map(std::sync::Arc::as_ref);
        let asked: Vec<&TableDef> = table.map_or_else(|| all.collect(), |table| vec![table]);
        for one in asked {
            if let Some(floor) = self.floor(scope, self.options.within(&names, one)?, options).await? {
                floors.push((one.id, floor));
            }
        }
        Ok(floors)
    }

    /// Also by force: another call must not take it away before this one has waited for readers.
    fn not_before(&self, own: &TableOptions) -> Micros {
        self.clock.now().plus(own.orphan_grace)
    }

    /// The newest version that is older than what is to be kept; `None` if there is no such version yet.
    async fn floor(
        &self,
        scope: &Scope,
        own: TableOptions,
        options: VacuumOptions,
    ) -> Result<Option<Floor>, Error> {
        let keep = options.keep.unwrap_or(own.history_keep);
        let txn = if keep.is_zero() {
            // Not by time: commits of one instant get times after it.
            self.catalog.head(scope).await?.txn
        } else {
            match self.catalog.txn_at(scope, self.clock.now().minus(keep)).await {
                Ok(txn) => txn,
                Err(cenote_catalog::Error::SnapshotExpired(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Some(Floor { txn, options: own }))
    }
}
