//! A lake with a log, and a flow that ticks by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::Int64Type;
use cenote_catalog::{Alter, Commit, DataFile, Facts, NewFile, Op, ReadSet, TableChange};
use cenote_flow::{Flow, FlowOptions};
use cenote_ingest::{Ack, WriteRequest};
use cenote_testkit::ingest::{TestIngest, line_protocol};
use cenote_testkit::lake::TestLake;
use cenote_vocab::{Clock, MemoryPool, Txn};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Merges of tests are small.
const MEMORY_BYTES: u64 = 512 << 20;
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) struct World {
    pub(crate) disk: TestLake,
    pub(crate) log: TestIngest,
    pub(crate) clock: Clock,
    pub(crate) flow: Flow,
    written: std::cell::Cell<i64>,
}

impl World {
    pub(crate) async fn new() -> Self {
        // Near the time that the store's clock gives to objects.
        let clock = Clock::manual(Clock::system().now());
        let disk = TestLake::with_clock(clock.clone()).await;
        let log = disk.open().await;
        let flow = flow_on(&disk);
        Self { disk, log, clock, flow, written: std::cell::Cell::new(0) }
    }

    /// Writes rows of one day, `days` ago, and flushes them into a file of their own.
    pub(crate) async fn flush(&self, table: &str, days: i64) {
        self.log.write(&self.disk, &self.rows(table, days)).await.unwrap();
        self.log.flush(&self.disk, table).await;
    }

    /// Writes rows of today, which are committed when this returns: few as they are, as an inline batch.
    pub(crate) async fn commit(&self, table: &str) {
        let request = WriteRequest { ack: Some(Ack::Committed), ..line_protocol(&self.rows(table, 0)) };
        self.log.ingest.write(&self.disk.identity, request).await.unwrap();
    }

    fn rows(&self, table: &str, days: i64) -> String {
        let noon = self.clock.now().0 / 86_400_000_000 * 86_400_000_000 + 43_200_000_000;
        let mut body = String::new();
        for host in 0..10 {
            let at = self.written.replace(self.written.get() + 1);
            let nanos = (noon - days * 86_400_000_000 + at) * 1_000;
            body.push_str(&format!("{table},host=h{host} value={at} {nanos}\n"));
        }
        body
    }

    /// Inline batches among the live files.
    pub(crate) async fn inline(&self, table: &str) -> usize {
        self.files(table).await.iter().filter(|file| file.file.is_inline()).count()
    }

    /// Ticks until nothing comes of it any more.
    pub(crate) async fn settle(&self) {
        settle(&self.flow, &self.clock).await;
    }

    pub(crate) async fn files(&self, table: &str) -> Vec<Arc<DataFile>> {
        let table = self.disk.table(table).await;
        self.disk.lake.catalog.files(&self.disk.scope, &table, self.head().await, None).await.unwrap()
    }

    pub(crate) async fn count(&self, table: &str) -> u64 {
        let table = self.disk.table(table).await;
        self.log.count(&self.disk, &table).await
    }

    pub(crate) async fn head(&self) -> Txn {
        self.disk.lake.catalog.head(&self.disk.scope).await.unwrap().txn
    }

    pub(crate) async fn set(&self, table: &str, option: &str, value: &str) {
        let properties = BTreeMap::from([(option.to_owned(), Some(value.to_owned()))]);
        self.change(table, Op::Alter(Alter::SetProperties(properties))).await;
    }

    pub(crate) async fn append(&self, table: &str, files: Vec<NewFile>) {
        self.change(table, Op::Append { files }).await;
    }

    async fn change(&self, table: &str, op: Op) {
        let table = self.disk.table(table).await.id;
        let change = TableChange { table, base: self.head().await, read: ReadSet::None, ops: vec![op] };
        let commit = Commit {
            commit_id: self.disk.lake.ids.uuid(),
            scope: self.disk.scope.clone(),
            producers: Vec::new(),
            facts: Facts { operation: "test".to_owned(), ..Facts::default() },
            tables: vec![change],
            objects: Vec::new(),
        };
        self.disk.lake.catalog.apply(commit).await.unwrap();
    }

    pub(crate) async fn pause(&self, job: &str, paused: bool) {
        self.disk.lake.catalog.set_job_paused(&self.disk.scope, job, paused).await.unwrap();
    }

    /// Runs as `job state cause table`, sorted.
    pub(crate) async fn runs(&self) -> Vec<String> {
        let columns = ["job", "state", "trigger", "table_name"];
        let mut rows: Vec<String> = self.texts(&columns).await.iter().map(|row| row.join(" ")).collect();
        rows.sort();
        rows
    }

    /// Columns of `flow.runs`; NULL is `-`.
    pub(crate) async fn texts(&self, columns: &[&str]) -> Vec<Vec<String>> {
        let rows = self.disk.lake.catalog.system_rows(&self.disk.scope, "flow.runs").await.unwrap();
        let cell = |name: &&str, row: usize| {
            let column = rows.column_by_name(name).expect("the column").as_string::<i32>();
            if column.is_valid(row) { column.value(row).to_owned() } else { "-".to_owned() }
        };
        (0..rows.num_rows()).map(|row| columns.iter().map(|name| cell(name, row)).collect()).collect()
    }

    /// A number of each run.
    pub(crate) async fn numbers(&self, column: &str) -> Vec<i64> {
        let rows = self.disk.lake.catalog.system_rows(&self.disk.scope, "flow.runs").await.unwrap();
        rows.column_by_name(column).expect("the column").as_primitive::<Int64Type>().values().to_vec()
    }
}

/// A flow as another process on the same lake has one. It publishes nothing by itself.
pub(crate) fn flow_on(disk: &TestLake) -> Flow {
    flow_with(disk, quiet())
}

/// The defaults, but nothing is published by itself: what tests count is what other jobs do.
pub(crate) fn quiet() -> FlowOptions {
    FlowOptions { publish_interval: Duration::ZERO, ..FlowOptions::default() }
}

pub(crate) fn flow_with(disk: &TestLake, options: FlowOptions) -> Flow {
    let memory = MemoryPool::node(MEMORY_BYTES);
    Flow::new(disk.lake.clone(), options, memory, &TaskTracker::new(), CancellationToken::new())
}

pub(crate) async fn settle(flow: &Flow, clock: &Clock) {
    for _ in 0..40 {
        let due = flow.tick(clock.now()).await.unwrap();
        flow.idle().await;
        if due.is_none_or(|due| due > clock.now()) && flow.tick(clock.now()).await.unwrap() == due {
            flow.idle().await;
            return;
        }
    }
    panic!("there is always something to do");
}
