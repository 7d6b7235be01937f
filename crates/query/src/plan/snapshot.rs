//! The one state that all tables of a statement are read at.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_catalog::Names;
use cenote_ingest::{Ingest, Pin};
use cenote_table::Lake;
use cenote_vocab::{Epoch, Scope, TableId, Txn};

use crate::Error;

/// Attempts to pin what the names of the snapshot mean, while tables are being created and dropped.
const ATTEMPTS: usize = 5;

/// At which snapshots a task reads, whatever is newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pins {
    /// Of tables that its run does not make.
    pub(crate) txn: Txn,
    /// Of those that it does.
    pub(crate) tables: BTreeMap<TableId, Txn>,
}

/// Files at `txn`, and the buffered rows that are in no file then.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) txn: Txn,
    pub(crate) names: Arc<Names>,
    pin: Option<Arc<Pin>>,
}

impl Snapshot {
    /// The present state. `tables` says which buffers are needed, by the names of then.
    ///
    /// Order matters (table page, 8.2): the buffers are pinned first, then the head is read, then the pin is closed. A batch
    /// that is not in the pin was freed after its commit, so that commit is in the snapshot; one that is in both is left out
    /// by its epoch.
    pub(crate) async fn take(
        lake: &Lake,
        ingest: &Ingest,
        scope: &Scope,
        tables: impl Fn(&Names) -> Result<Vec<TableId>, Error>,
    ) -> Result<Self, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let before = lake.catalog.head(scope).await?;
            let wanted = tables(&*lake.catalog.names(scope, before.txn).await?)?;
            let mut pin = ingest.pin(&wanted);
            let head = lake.catalog.head(scope).await?;
            pin.close();
            let names = lake.catalog.names(scope, head.txn).await?;
            if before.ddl_txn == head.ddl_txn || attempt == ATTEMPTS || tables(&names)? == wanted {
                return Ok(Self { txn: head.txn, names, pin: Some(Arc::new(pin)) });
            }
        }
    }

    /// The state at `txn`, without buffered rows.
    pub(crate) async fn at(lake: &Lake, scope: &Scope, txn: Txn) -> Result<Self, Error> {
        Ok(Self { txn, names: lake.catalog.names(scope, txn).await?, pin: None })
    }

    /// The newest committed state, without buffered rows.
    pub(crate) async fn committed(lake: &Lake, scope: &Scope) -> Result<Self, Error> {
        let head = lake.catalog.head(scope).await?;
        Self::at(lake, scope, head.txn).await
    }

    /// The same state with other names: those that a transaction made.
    pub(crate) fn with_names(&self, names: Arc<Names>) -> Self {
        Self { txn: self.txn, names, pin: self.pin.clone() }
    }

    /// Buffered rows of the table that are in no file of this snapshot: the pin, and the epoch above which they lie.
    pub(crate) async fn buffer(
        &self,
        lake: &Lake,
        ingest: &Ingest,
        scope: &Scope,
        table: TableId,
    ) -> Result<Option<(Arc<Pin>, Epoch)>, Error> {
        let Some(pin) = &self.pin else { return Ok(None) };
        if !pin.has_rows(table, Epoch(0)) {
            return Ok(None);
        }
        let epoch = lake.catalog.epoch_at(scope, &ingest.producer(table), self.txn).await?;
        Ok(Some((pin.clone(), epoch)))
    }

    /// True if rows of the table are in the buffer and in no file of this snapshot.
    pub(crate) async fn has_buffered(
        &self,
        lake: &Lake,
        ingest: &Ingest,
        scope: &Scope,
        table: TableId,
    ) -> Result<bool, Error> {
        let Some((pin, flushed)) = self.buffer(lake, ingest, scope, table).await? else { return Ok(false) };
        Ok(pin.has_rows(table, flushed))
    }

    /// Keeps the pinned batches while a stream runs.
    pub(crate) fn pin(&self) -> Option<Arc<Pin>> {
        self.pin.clone()
    }
}
