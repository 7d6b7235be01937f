//! What all handles and tasks of one catalog database have in common.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use cenote_vocab::{CatalogId, Clock, Fence, Ids, TableId, Txn};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::audit::Queued;
use crate::committer::{HeadRow, World, Writes};
use crate::credential::CredentialCache;
use crate::file_index::FileIndexes;
use crate::lineage::Graphs;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::recent::Recent;
use crate::sql::Database;
use crate::{Error, Head};

/// How this process stands to the lease `active`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Active {
    /// It never took it: unit tests and embedded use, where nobody else writes.
    Never,
    /// It holds it.
    Held(Fence),
    /// It held it once.
    Lost,
}

/// Shared by all clones of a catalog's handle and its tasks.
pub(crate) struct Inner {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) holder: String,
    pub(crate) metrics: Metrics,
    pub(crate) credentials: CredentialCache,
    /// Whose bearer tokens are taken, if anybody's.
    pub(crate) issuer: OnceLock<cenote_jwt::Issuer>,
    pub(crate) active: Mutex<Active>,
    pub(crate) memories: Mutex<HashMap<CatalogId, Arc<Memory>>>,
    pub(crate) access: Mutex<HashMap<CatalogId, Arc<Access>>>,
    /// Entries of the audit that wait to be written.
    pub(crate) audit: tokio::sync::mpsc::Sender<Queued>,
    pub(crate) files: FileIndexes,
    pub(crate) recent: Recent,
    pub(crate) graphs: Graphs,
    /// Rings when metadata of any catalog was published by this process.
    pub(crate) published: tokio::sync::Notify,
    /// Counts the changes of tenants by this process.
    pub(crate) tenant_changes: tokio::sync::watch::Sender<u64>,
}

impl Inner {
    pub(crate) fn memory(&self, catalog: CatalogId) -> Arc<Memory> {
        self.memories.lock().entry(catalog).or_insert_with(|| Arc::new(Memory::new())).clone()
    }

    /// What is granted in a tenant, as far as it was read.
    pub(crate) fn access(&self, catalog: CatalogId) -> Arc<Access> {
        self.access.lock().entry(catalog).or_default().clone()
    }

    /// Runs work to its end, though whoever waits for it leaves.
    pub(crate) async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        self.tasks.spawn(work).await.map_err(|error| Error::Internal(error.to_string()))?
    }

    /// True while this process alone may write, so that what it published is the newest.
    pub(crate) fn is_active(&self) -> bool {
        matches!(*self.active.lock(), Active::Held(_))
    }

    /// The fence that each commit must check; `None` if this process never took the lease.
    pub(crate) fn active_fence(&self) -> Result<Option<Fence>, Error> {
        match *self.active.lock() {
            Active::Never => Ok(None),
            Active::Held(fence) => Ok(Some(fence)),
            Active::Lost => Err(Error::Fenced { name: "lease active".into() }),
        }
    }

    pub(crate) fn lose_active(&self) {
        *self.active.lock() = Active::Lost;
    }

    /// As [`Memory::check_head`], for a head row that is locked: nobody has seen more than it says.
    pub(crate) fn check_locked_head(&self, catalog: CatalogId, txn: Txn) -> Result<(), Error> {
        let memory = self.memory(catalog);
        memory.check_head(txn, memory.newest_seen())
    }

    /// A head above the one in memory was written behind its back: by a commit whose answer was lost, most likely.
    pub(crate) fn saw_head(&self, catalog: CatalogId, head: &HeadRow) {
        let memory = self.memory(catalog);
        if self.is_active() && memory.head().is_some_and(|known| known.txn < head.txn) {
            memory.forget();
            self.files.forget();
            memory.note_head(Head { txn: head.txn, committed: head.committed, ddl_txn: head.ddl_txn });
        }
    }

    pub(crate) fn generation(&self, catalog: CatalogId) -> u64 {
        self.memory(catalog).generation()
    }

    /// Shows readers what a group changed.
    pub(crate) fn publish(
        &self,
        catalog: CatalogId,
        world: &World,
        writes: &Writes,
        last_txns: &[(TableId, Txn)],
    ) {
        let head = Head { txn: world.head.txn, committed: world.head.committed, ddl_txn: world.head.ddl_txn };
        self.recent.publish(writes);
        self.files.publish(writes, last_txns); // before the head: who sees it finds its files
        let memory = self.memory(catalog);
        let touched = world.tables.iter().filter(|(_, work)| work.touched);
        memory.note_inline(touched.map(|(table, work)| (*table, work.state.inline.into())));
        memory.publish(head, &world.names, writes);
        self.note_files();
    }

    /// Shows how much is held of files in memory.
    pub(crate) fn note_files(&self) {
        self.metrics.note_files(self.files.bytes(), self.recent.bytes());
    }
}
