//! The log and buffer of a test, that can end as after a crash and be opened again over the same lake.

use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use cenote_catalog::TableDef;
use cenote_codec::Precision;
use cenote_datafile::{FIELD_ID_KEY, RowSet};
use cenote_ingest::{Error, Format, Ingest, IngestOptions, WalOptions, WriteOutcome, WriteRequest};
use cenote_table::Predicate;
use cenote_vocab::MemoryPool;
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::lake::{MEMORY_BYTES, TestLake};

/// A running ingest.
pub struct TestIngest {
    /// The log and its buffer.
    pub ingest: Ingest,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Defaults that do not look at the free space of the machine.
pub fn ingest_options() -> IngestOptions {
    IngestOptions { disk_free_min: 0, ..IngestOptions::default() }
}

impl TestLake {
    /// Opens the log of this lake.
    pub async fn open(&self) -> TestIngest {
        self.open_with(ingest_options(), WalOptions::at(self.wal()), MEMORY_BYTES)
            .await
            .expect("the log opens")
    }

    /// Opens a log with these options and so many bytes of memory.
    pub async fn open_with(
        &self,
        options: IngestOptions,
        wal: WalOptions,
        memory_bytes: u64,
    ) -> Result<TestIngest, Error> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let memory = MemoryPool::node(memory_bytes);
        let ingest = Ingest::open(self.lake.clone(), options, wal, memory, &tasks, stop.clone()).await?;
        Ok(TestIngest { ingest, tasks, stop })
    }
}

impl TestIngest {
    /// As kill -9 leaves it, but for the page cache: nothing is flushed.
    pub async fn crash(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        drop(self.ingest);
    }

    /// Writes line protocol with timestamps in ns; lines that are wrong are left out.
    pub async fn write(&self, disk: &TestLake, body: &str) -> Result<WriteOutcome, Error> {
        self.ingest.write(&disk.identity, line_protocol(body)).await
    }

    /// Writes JSON rows of one table; all or nothing.
    pub async fn json(&self, disk: &TestLake, table: &str, body: &str) -> Result<WriteOutcome, Error> {
        self.ingest.write(&disk.identity, json(table, body)).await
    }

    /// Moves a table's buffered rows into files.
    pub async fn flush(&self, disk: &TestLake, table: &str) {
        let table = disk.table(table).await;
        self.ingest.flush(&disk.scope, &table).await.expect("flushes");
    }

    /// Rows as one statement counts them.
    pub async fn count(&self, disk: &TestLake, table: &TableDef) -> u64 {
        let mut pin = self.ingest.pin(&[table.id]);
        let head = disk.lake.catalog.head(&disk.scope).await.expect("head");
        let producer = self.ingest.producer(table.id);
        let epoch = disk.lake.catalog.epoch_at(&disk.scope, &producer, head.txn).await.expect("epoch");
        pin.close();
        let buffered: u64 = pin.batches(table.id, epoch).iter().map(|batch| batch.num_rows() as u64).sum();
        let files = disk.lake.catalog.files(&disk.scope, table, head.txn, None).await.expect("files");
        buffered + files.iter().map(|file| file.live_rows()).sum::<u64>()
    }

    /// The values of one column as one statement sees them, buffer and files, sorted.
    pub async fn values(&self, disk: &TestLake, table: &str, column: &str) -> Vec<String> {
        let table = disk.table(table).await;
        let field = table.schema.field(column).unwrap_or_else(|| panic!("no column {column}")).clone();
        let mut pin = self.ingest.pin(&[table.id]);
        let head = disk.lake.catalog.head(&disk.scope).await.expect("head");
        let producer = self.ingest.producer(table.id);
        let epoch = disk.lake.catalog.epoch_at(&disk.scope, &producer, head.txn).await.expect("epoch");
        pin.close();
        let mut values = Vec::new();
        for batch in pin.batches(table.id, epoch) {
            let fields = batch.schema_ref().fields();
            let id = field.id.to_string();
            let at = fields.iter().position(|candidate| candidate.metadata().get(FIELD_ID_KEY) == Some(&id));
            push(&mut values, &batch, at);
        }
        let scan = disk.lake.scan(&disk.scope, &table, head.txn, &Predicate::True).await.expect("scan");
        for file in scan.files {
            let rows = RowSet::live(file.entry.vector.as_ref().map(|visible| visible.vector.clone()));
            let batches = disk.lake.read_file(&disk.scope, &table, &file.entry, rows, &table.schema).await;
            let batches = batches.expect("reads");
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

/// A write of line protocol with timestamps in ns.
pub fn line_protocol(body: &str) -> WriteRequest {
    WriteRequest {
        database: None,
        format: Format::LineProtocol { precision: Precision::Nanosecond },
        body: Bytes::copy_from_slice(body.as_bytes()),
        ack: None,
        accept_partial: true,
        idempotency_key: None,
        caller: None,
    }
}

/// A write of JSON rows of one table.
pub fn json(table: &str, body: &str) -> WriteRequest {
    WriteRequest {
        format: Format::Json {
            table: Some(table.to_owned()),
            time_column: None,
            precision: None,
            tags: Vec::new(),
        },
        accept_partial: false,
        ..line_protocol(body)
    }
}
