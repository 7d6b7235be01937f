//! A node's ingest that can be dropped and opened again over the same directory.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use cenote_catalog::{Catalog, CatalogOptions, Identity, TableDef};
use cenote_codec::Precision;
use cenote_datafile::{FIELD_ID_KEY, ReadOptions, read_batches};
use cenote_ingest::{Error, Format, Ingest, IngestOptions, WalOptions, WriteOutcome, WriteRequest};
use cenote_store::{Secret, Store};
use cenote_table::{Lake, Predicate, TableOptions};
use cenote_vocab::{Clock, Ids, MemoryPool, Scope};
use futures::TryStreamExt;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What outlives a crash: the directory, and (because it is tested elsewhere) the open catalog and store.
pub(crate) struct Disk {
    pub(crate) dir: TempDir,
    pub(crate) lake: Lake,
    pub(crate) scope: Scope,
    pub(crate) identity: Identity,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A running ingest.
pub(crate) struct Node {
    pub(crate) ingest: Ingest,
    tasks: TaskTracker,
    stop: CancellationToken,
}

pub(crate) const MEMORY_BYTES: u64 = 256 << 20;

impl Disk {
    pub(crate) async fn new() -> Self {
        Self::with_clock(Clock::system()).await
    }

    pub(crate) async fn with_clock(clock: Clock) -> Self {
        let dir = TempDir::new().expect("dir");
        let ids = Ids::system(clock.clone());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let options = CatalogOptions {
            url: Secret::new("sqlite"),
            data_dir: dir.path().to_owned(),
            pool_size: 4,
            statement_cache: 100,
            auto_migrate: None,
            holder: "test".to_owned(),
        };
        let catalog =
            Catalog::open(options, clock.clone(), ids.clone(), &tasks, stop.clone()).await.expect("catalog");
        let lease = catalog.take_active(std::time::Duration::from_secs(600)).await.expect("lease");
        assert!(lease.is_some());
        let scope = catalog.tenant("default").await.expect("tenant").expect("default");
        let identity = catalog.internal_identity(&scope);
        let lake = Lake {
            catalog,
            store: Store::memory(),
            clock,
            ids,
            memory: MemoryPool::node(MEMORY_BYTES),
            options: TableOptions::default(),
        };
        Self { dir, lake, scope, identity, tasks, stop }
    }

    pub(crate) fn wal(&self) -> std::path::PathBuf {
        self.dir.path().join("wal")
    }

    pub(crate) fn options() -> IngestOptions {
        IngestOptions { disk_free_min: 0, ..IngestOptions::default() }
    }

    pub(crate) async fn open(&self) -> Node {
        self.open_with(Self::options(), WalOptions::at(self.wal()), MEMORY_BYTES).await.expect("opens")
    }

    pub(crate) async fn open_with(
        &self,
        options: IngestOptions,
        wal: WalOptions,
        memory: u64,
    ) -> Result<Node, Error> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let memory = MemoryPool::node(memory);
        let ingest = Ingest::open(self.lake.clone(), options, wal, memory, &tasks, stop.clone()).await?;
        Ok(Node { ingest, tasks, stop })
    }

    pub(crate) async fn table(&self, name: &str) -> Arc<TableDef> {
        self.try_table(name).await.unwrap_or_else(|| panic!("table {name} is not there"))
    }

    pub(crate) async fn try_table(&self, name: &str) -> Option<Arc<TableDef>> {
        let head = self.lake.catalog.head(&self.scope).await.expect("head");
        let names = self.lake.catalog.names(&self.scope, head.txn).await.expect("names");
        names.schemas.get("default")?.1.get(name).cloned()
    }

    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Node {
    /// As kill -9 leaves it, but for the page cache: nothing is flushed.
    pub(crate) async fn crash(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        drop(self.ingest);
    }

    pub(crate) async fn write(&self, disk: &Disk, body: &str) -> Result<WriteOutcome, Error> {
        self.ingest.write(&disk.identity, line_protocol(body)).await
    }

    /// The values of one column as one statement sees them, buffer and files, sorted.
    pub(crate) async fn values(&self, disk: &Disk, table: &str, column: &str) -> Vec<String> {
        let table = disk.table(table).await;
        let field = table.schema.field(column).unwrap_or_else(|| panic!("no column {column}")).clone();
        let mut pin = self.ingest.pin(&[table.id]);
        let head = disk.lake.catalog.head(&disk.scope).await.expect("head");
        let epoch = disk
            .lake
            .catalog
            .epoch_at(&disk.scope, &self.ingest.producer(table.id), head.txn)
            .await
            .expect("epoch");
        pin.close();
        let mut values = Vec::new();
        for buffered in pin.batches(table.id, epoch) {
            let batch = &buffered.batch;
            let at =
                batch.schema_ref().fields().iter().position(|candidate| {
                    candidate.metadata().get(FIELD_ID_KEY) == Some(&field.id.to_string())
                });
            push(&mut values, batch, at);
        }
        let scan = disk.lake.scan(&disk.scope, &table, head.txn, &Predicate::True).await.expect("scan");
        for file in scan.files {
            let options = ReadOptions {
                schema: table.schema.clone(),
                row_count: file.entry.file.rows,
                vector: None,
                batch_rows: 1000,
            };
            let batches = read_batches(&disk.lake.store, &file.path, file.entry.file.bytes, options)
                .await
                .expect("reads");
            for batch in batches.try_collect::<Vec<_>>().await.expect("reads") {
                let at = table.schema.fields.iter().position(|candidate| candidate.id == field.id);
                push(&mut values, &batch, at);
            }
        }
        values.sort();
        values
    }
}

fn push(values: &mut Vec<String>, batch: &RecordBatch, column: Option<usize>) {
    for row in 0..batch.num_rows() {
        let value = column.map(|column| array_value_to_string(batch.column(column), row).expect("text"));
        values.push(value.unwrap_or_default());
    }
}

pub(crate) fn line_protocol(body: &str) -> WriteRequest {
    WriteRequest {
        database: None,
        format: Format::LineProtocol { precision: Precision::Nanosecond },
        body: Bytes::copy_from_slice(body.as_bytes()),
        ack: None,
        accept_partial: true,
        idempotency_key: None,
        request_id: None,
    }
}
