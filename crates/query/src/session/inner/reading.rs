//! What the next statement sees: names, snapshots, and what the transaction itself has staged.

use std::sync::Arc;
use std::time::Duration;

use cenote_catalog::{Names, TableDef};
use cenote_table::FileNumbers;
use cenote_vocab::{ErrorKind, TableId, Txn};

use super::Inner;
use crate::Error;
use crate::plan::{Binder, Pins, Snapshot, all_tables, constant_time};
use crate::transaction::StagedRows;

/// How long a statement waits for the snapshot that `min_txn` asks for.
const MIN_TXN_WAIT: Duration = Duration::from_secs(5);

impl Inner {
    /// Sees to it that no row of the table which the next statement can see is in the buffer only: a vector cannot name it.
    ///
    /// In a transaction whose snapshot stays, rows that came to the buffer before it are flushed and the snapshot moves
    /// forward, if all that is staged holds there too; else, and with repeatable read, it is a conflict (40001).
    pub(crate) async fn flush_for_change(&self, table: &TableDef) -> Result<(), Error> {
        self.keep_still(table.id);
        let (lake, ingest, scope) = (self.engine.lake(), self.engine.ingest(), &self.identity.scope);
        let is_new = self.staged_rows().get(&table.id).is_some_and(|staging| staging.is_new_table());
        let (kept, repeatable) = self.kept_snapshot();
        let Some(kept) = kept else {
            ingest.flush(scope, table).await?;
            return Ok(());
        };
        if is_new || !kept.has_buffered(lake, ingest, scope, table.id).await? {
            return Ok(());
        }
        let conflict = |what: &str| {
            Error::new(ErrorKind::Conflict, format!("rows of {} {what}", table.full_name()))
                .with_hint("roll back and begin the transaction again")
        };
        if repeatable {
            return Err(conflict("were not in files yet when the transaction's snapshot was taken"));
        }
        ingest.flush(scope, table).await?;
        let moved = Snapshot::take(lake, ingest, scope, |names| Ok(all_tables(names))).await?;
        if !self.holds_at(&kept, &moved).await? {
            return Err(conflict(
                "had to be flushed, and what the transaction did before was changed by others",
            ));
        }
        if let Some(transaction) = &mut self.state.lock().transaction {
            transaction.snapshot = Some(Arc::new(moved));
        }
        Ok(())
    }

    /// Keeps compaction away from the table until the open transaction ends.
    fn keep_still(&self, table: TableId) {
        let (changing, now) = (&self.engine.lake().changing, self.engine.lake().clock.now());
        if let Some(transaction) = &mut self.state.lock().transaction {
            transaction.changing.entry(table).or_insert_with(|| changing.begin(table, now));
        }
    }

    /// The snapshot that stays, and whether it must not move.
    fn kept_snapshot(&self) -> (Option<Arc<Snapshot>>, bool) {
        match &self.state.lock().transaction {
            Some(transaction) => (transaction.snapshot.clone(), transaction.repeatable_read),
            None => (None, false),
        }
    }

    /// True if what is staged on one snapshot holds on a later one.
    async fn holds_at(&self, kept: &Snapshot, moved: &Snapshot) -> Result<bool, Error> {
        if self.staged_names().is_some() && moved.names.ddl_txn != kept.names.ddl_txn {
            return Ok(false);
        }
        for staging in self.staged_rows().values() {
            if !self.engine.lake().holds_at(&self.identity.scope, staging, (kept.txn, moved.txn)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn staged_names(&self) -> Option<Arc<Names>> {
        self.state.lock().transaction.as_ref().and_then(|transaction| transaction.staged.names.clone())
    }

    /// The names that the next statement sees, without pinning anything for it.
    pub(crate) async fn names(&self) -> Result<Arc<Names>, Error> {
        match (self.staged_names(), self.kept_snapshot().0) {
            (Some(names), _) => Ok(names),
            (None, Some(kept)) => Ok(kept.names.clone()),
            (None, None) => {
                let catalog = &self.engine.lake().catalog;
                let head = catalog.head(&self.identity.scope).await?;
                Ok(catalog.names(&self.identity.scope, head.txn).await?)
            }
        }
    }

    /// The transaction that the open transaction reads, once its snapshot stays.
    pub(crate) fn kept_txn(&self) -> Option<Txn> {
        self.kept_snapshot().0.map(|snapshot| snapshot.txn)
    }

    /// What this transaction has done to rows; nothing for a session that reads the past.
    pub(crate) fn staged_rows(&self) -> StagedRows {
        let state = self.state.lock();
        match &state.transaction {
            Some(transaction) if state.settings.text("as_of").is_none() => transaction.staged.rows.clone(),
            _ => StagedRows::new(),
        }
    }

    /// The files of a table, as the next statement of this transaction sees them.
    pub(crate) async fn files(&self, table: &TableDef, at: Txn) -> Result<Vec<FileNumbers>, Error> {
        let staged = self.staged_rows();
        let staging = staged.get(&table.id).map(Arc::as_ref);
        Ok(self.engine.lake().numbers(&self.identity.scope, staging, table, at).await?)
    }

    /// The names for which a statement is described, without pinning anything for it.
    pub(crate) async fn described(&self) -> Result<Snapshot, Error> {
        let (lake, scope) = (self.engine.lake(), &self.identity.scope);
        if let Some(as_of) = self.settings().text("as_of") {
            return Snapshot::at(lake, scope, self.as_of(&as_of).await?).await;
        }
        let snapshot = Snapshot::committed(lake, scope).await?;
        Ok(match self.staged_names() {
            Some(names) => snapshot.with_names(names),
            None => snapshot,
        })
    }

    /// The snapshot of the next statement. `tables` says which buffers it needs; one that stays pins them all.
    pub(crate) async fn snapshot(
        &self,
        writes: bool,
        tables: impl Fn(&Names) -> Result<Vec<TableId>, Error>,
    ) -> Result<Arc<Snapshot>, Error> {
        let (lake, scope) = (self.engine.lake(), &self.identity.scope);
        let (kept, stays, staged_names, settings) = {
            let state = self.state.lock();
            let transaction = state.transaction.as_ref();
            (
                transaction.and_then(|transaction| transaction.snapshot.clone()),
                transaction.is_some_and(|transaction| transaction.repeatable_read || writes),
                transaction.and_then(|transaction| transaction.staged.names.clone()),
                state.settings.clone(),
            )
        };
        if let Some(as_of) = settings.text("as_of") {
            let txn = self.as_of(&as_of).await?;
            return Ok(Arc::new(Snapshot::at(lake, scope, txn).await?));
        }
        let snapshot = match kept {
            Some(kept) => kept,
            None => {
                self.wait_for(Txn(i64::try_from(settings.number("min_txn")).unwrap_or(i64::MAX))).await?;
                let taken = if settings.get("freshness").as_deref() == Some("committed") {
                    Snapshot::committed(lake, scope).await?
                } else if stays {
                    Snapshot::take(lake, self.engine.ingest(), scope, |names| Ok(all_tables(names))).await?
                } else {
                    Snapshot::take(lake, self.engine.ingest(), scope, tables).await?
                };
                let taken = Arc::new(taken);
                if stays && let Some(transaction) = &mut self.state.lock().transaction {
                    transaction.snapshot = Some(taken.clone());
                }
                taken
            }
        };
        Ok(match staged_names {
            Some(names) => Arc::new(snapshot.with_names(names)),
            None => snapshot,
        })
    }

    /// `4711`, `tag:x` of the catalog, or a time.
    async fn as_of(&self, as_of: &str) -> Result<Txn, Error> {
        if let Ok(txn) = as_of.parse::<i64>() {
            return Ok(Txn(txn));
        }
        if let Some(tag) = as_of.strip_prefix("tag:") {
            return Ok(self.engine.lake().catalog.tagged(&self.identity.scope, None, tag).await?);
        }
        let state = self.engine.base().statement(self.now(), None);
        let literal = crate::parse::literal(as_of);
        let at = constant_time(&self.engine, &state, &literal, "").await?;
        Ok(self.engine.lake().catalog.txn_at(&self.identity.scope, at).await?)
    }

    async fn wait_for(&self, wanted: Txn) -> Result<(), Error> {
        let catalog = &self.engine.lake().catalog;
        let mut seen = catalog.head(&self.identity.scope).await?.txn;
        if seen >= wanted {
            return Ok(());
        }
        let reached = tokio::time::timeout(MIN_TXN_WAIT, async {
            while seen < wanted {
                seen = catalog.changed(&self.identity.scope, seen).await;
            }
        });
        reached.await.map_err(|_| {
            Error::new(ErrorKind::Unavailable, format!("snapshot {wanted} (min_txn) is not here yet"))
        })
    }

    /// What binds the names of the next statement.
    pub(crate) fn binder(&self, snapshot: Arc<Snapshot>) -> Binder<'_> {
        let settings = self.settings();
        let partitions =
            usize::try_from(settings.number("target_partitions")).ok().filter(|partitions| *partitions > 0);
        let partitions = partitions.map(|partitions| partitions.min(self.engine.options().target_partitions));
        let state = self.engine.base().statement(self.now(), partitions);
        let mut binder =
            Binder::new(&self.engine, &self.identity, snapshot, self.staged_rows(), state, self.facts());
        binder.read_at(self.state.lock().pins.clone());
        binder
    }

    /// From now on the open transaction sees this snapshot.
    pub(crate) fn stand_at(&self, snapshot: Snapshot) {
        if let Some(transaction) = &mut self.state.lock().transaction {
            transaction.snapshot = Some(Arc::new(snapshot));
        }
    }

    /// From now on names in statements mean what these snapshots show, and not the present; `None`: the present again.
    pub(crate) fn read_at(&self, pins: Option<Pins>) {
        self.state.lock().pins = pins;
    }
}
