//! A lake of a test: its catalog (SQLite in memory) and its store (memory), with nothing running on it yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cenote_catalog::{Catalog, CatalogOptions, Identity, TableDef};
use cenote_store::{Secret, Store};
use cenote_table::{Changing, Lake, TableOptions};
use cenote_vocab::{Clock, Ids, MemoryPool, Scope};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes that are enough for every test that does not ask for less.
pub const MEMORY_BYTES: u64 = 256 << 20;

/// What outlives the processes that a test starts on it: catalog, store, and a directory for the log.
pub struct TestLake {
    /// Catalog, store, clock, ids and memory.
    pub lake: Lake,
    /// The tenant `default`.
    pub scope: Scope,
    /// The node itself: every right in its tenant.
    pub identity: Identity,
    /// Where its log is, and whatever the test puts there.
    pub directory: TempDir,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl TestLake {
    /// By the system's clock.
    pub async fn new() -> Self {
        Self::with_clock(Clock::system()).await
    }

    /// By a clock that the test may move.
    pub async fn with_clock(clock: Clock) -> Self {
        let ids = Ids::system(clock.clone());
        Self::with(clock, ids, MEMORY_BYTES).await
    }

    /// By given time and chance, with so many bytes for writing and compaction.
    pub async fn with(clock: Clock, ids: Ids, memory_bytes: u64) -> Self {
        let directory = TempDir::new().expect("a directory");
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let options = CatalogOptions {
            url: Secret::new("sqlite::memory:"),
            data_dir: directory.path().to_owned(),
            pool_size: 4,
            statement_cache: 100,
            auto_migrate: None,
            audit_keep: std::time::Duration::from_secs(90 * 86_400),
            holder: "test".to_owned(),
        };
        let catalog = Catalog::open(options, clock.clone(), ids.clone(), &tasks, stop.clone()).await;
        let catalog = catalog.expect("a catalog");
        catalog.take_active(Duration::from_secs(3600)).await.expect("a lease").expect("nobody else has it");
        let scope = catalog.tenant("default").await.expect("a catalog").expect("made at open");
        let identity = catalog.internal_identity(&scope);
        let memory = MemoryPool::node(memory_bytes);
        let options = TableOptions::default();
        let lake = Lake {
            catalog,
            store: Store::memory(),
            clock,
            ids,
            memory,
            options,
            changing: Changing::default(),
        };
        Self { lake, scope, identity, directory, tasks, stop }
    }

    /// Where a log of this lake is.
    pub fn wal(&self) -> PathBuf {
        self.directory.path().join("wal")
    }

    /// Where queries of this lake may spill.
    pub fn spill(&self) -> PathBuf {
        self.directory.path().join("spill")
    }

    /// A table of the schema `default` at the head; panics if it is not there.
    pub async fn table(&self, name: &str) -> Arc<TableDef> {
        self.try_table(name).await.unwrap_or_else(|| panic!("table {name} is not there"))
    }

    /// A table of the schema `default` at the head.
    pub async fn try_table(&self, name: &str) -> Option<Arc<TableDef>> {
        let head = self.lake.catalog.head(&self.scope).await.expect("head");
        let names = self.lake.catalog.names(&self.scope, head.txn).await.expect("names");
        names.schemas.get("default")?.1.get(name).cloned()
    }

    /// Columns of a table with their types, `time` left out.
    pub async fn columns(&self, name: &str) -> BTreeMap<String, String> {
        let table = self.table(name).await;
        let fields = table.schema.fields.iter().filter(|field| field.name != "time");
        fields.map(|field| (field.name.clone(), field.field_type.to_string())).collect()
    }

    /// Ends what the catalog runs.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
