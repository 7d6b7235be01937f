//! An engine over the lake and the log of a test, without doors.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::datatypes::Float64Type;
use arrow::util::display::array_value_to_string;
use cenote_catalog::Identity;
use cenote_codec::Precision;
use cenote_ingest::{Format, Ingest, WriteRequest};
use cenote_query::{Bounds, Engine, Error, Outcome, QueryOptions, Session, SessionOptions};
use cenote_table::Lake;
use cenote_vocab::{Clock, Fault, MemoryPool, Scope};
use futures::TryStreamExt;

use crate::ingest::{TestIngest, line_protocol};
use crate::lake::{MEMORY_BYTES, TestLake};

/// Bytes on disk for what is spilled, where a test does not say.
const SPILL_BYTES: u64 = 1 << 30;

/// An engine and what it stands on.
pub struct TestEngine {
    /// The engine.
    pub engine: Engine,
    /// Catalog, store, clock and ids.
    pub lake: Lake,
    /// The log and its buffer.
    pub ingest: Ingest,
    /// The tenant `default`.
    pub scope: Scope,
    /// The node itself: every right in its tenant.
    pub identity: Identity,
    log: TestIngest,
    disk: TestLake,
}

/// A node without doors, on a new lake.
pub async fn node() -> TestEngine {
    node_with(MEMORY_BYTES).await
}

/// A node without doors, on a new lake, with so many bytes for queries.
pub async fn node_with(query_memory_bytes: u64) -> TestEngine {
    node_of(TestLake::new().await, query_memory_bytes, SPILL_BYTES).await
}

/// A node without doors, on a new lake, with so many bytes on disk for what is spilled.
pub async fn node_with_disk(spill_bytes_max: u64) -> TestEngine {
    node_of(TestLake::new().await, MEMORY_BYTES, spill_bytes_max).await
}

/// A node without doors, on a new lake, by a clock that the test may move.
pub async fn node_with_clock(clock: Clock) -> TestEngine {
    node_of(TestLake::with_clock(clock).await, MEMORY_BYTES, SPILL_BYTES).await
}

async fn node_of(disk: TestLake, query_memory_bytes: u64, spill_bytes_max: u64) -> TestEngine {
    let log = disk.open().await;
    let options = QueryOptions {
        timeout: Duration::from_secs(60),
        slow_threshold: Duration::from_secs(10),
        target_partitions: 2,
        spill_dir: disk.spill(),
        spill_bytes_max,
        staged_bytes_max: 1 << 30,
    };
    let (lake, ingest) = (disk.lake.clone(), log.ingest.clone());
    let memory = MemoryPool::node(query_memory_bytes);
    let engine = Engine::new(lake.clone(), ingest.clone(), options, memory).expect("an engine");
    let (scope, identity) = (disk.scope.clone(), disk.identity.clone());
    TestEngine { engine, lake, ingest, scope, identity, log, disk }
}

impl TestEngine {
    /// A session of the node itself.
    pub async fn session(&self) -> TestSession {
        self.session_of(self.identity.clone()).await
    }

    /// A session of somebody.
    pub async fn session_of(&self, identity: Identity) -> TestSession {
        let options = SessionOptions { protocol: "test", ..SessionOptions::default() };
        let session = self.engine.open_session(identity, options).await.expect("a session");
        TestSession { session: Arc::new(session) }
    }

    /// Buffers rows with timestamps in s, as the ingest door does.
    pub async fn write(&self, lines: &str) {
        let format = Format::LineProtocol { precision: Precision::Second };
        let request = WriteRequest { format, accept_partial: false, ..line_protocol(lines) };
        self.ingest.write(&self.identity, request).await.expect("the rows are stored");
    }

    /// Paths of all objects in the store.
    pub async fn objects(&self) -> Vec<String> {
        let listed = self.lake.store.list(&Default::default()).map_ok(|object| object.path.to_string());
        let mut paths: Vec<String> = listed.try_collect().await.expect("a list");
        paths.sort();
        paths
    }

    /// Ends everything in order.
    pub async fn stop(self) {
        self.ingest.shutdown(Duration::from_secs(5)).await.expect("a whole log");
        self.log.crash().await;
        self.disk.close().await;
    }
}

/// A session that runs statements to their end.
pub struct TestSession {
    /// The session.
    pub session: Arc<Session>,
}

impl TestSession {
    /// Runs one statement to its end.
    pub async fn run(&self, sql: &str) -> Result<(Vec<String>, Outcome), Error> {
        self.run_with(sql, Vec::new()).await
    }

    /// Runs one statement with parameters to its end.
    pub async fn run_with(
        &self,
        sql: &str,
        parameters: Vec<ArrayRef>,
    ) -> Result<(Vec<String>, Outcome), Error> {
        let prepared = self.session.prepare(sql, &[]).await?;
        let mut execution = self.session.execute(&prepared, parameters, Bounds::default()).await?;
        let mut rows = Vec::new();
        while let Some(batch) = execution.batches.try_next().await? {
            for row in 0..batch.num_rows() {
                let cells = batch.columns().iter().map(|column| {
                    if column.is_null(row) {
                        "NULL".to_owned()
                    } else {
                        array_value_to_string(column, row).expect("a value that prints")
                    }
                });
                rows.push(cells.collect::<Vec<_>>().join("|"));
            }
        }
        Ok((rows, execution.outcome()))
    }

    /// How many rows a statement gives that succeeds, and a number that is the same in whatever order they come; floats count with
    /// nine digits.
    pub async fn digest(&self, sql: &str) -> (u64, u64) {
        let prepared = self.session.prepare(sql, &[]).await.expect("a statement");
        let execution = self.session.execute(&prepared, Vec::new(), Bounds::default()).await;
        let mut batches = execution.unwrap_or_else(|error| panic!("{sql}: {error}")).batches;
        let (mut rows, mut sum) = (0, 0_u64);
        while let Some(batch) = batches.try_next().await.unwrap_or_else(|error| panic!("{sql}: {error}")) {
            rows += batch.num_rows() as u64;
            for row in 0..batch.num_rows() {
                let mut hasher = DefaultHasher::new();
                for column in batch.columns() {
                    match column.as_primitive_opt::<Float64Type>().filter(|floats| floats.is_valid(row)) {
                        Some(floats) => format!("{:.8e}", floats.value(row)).hash(&mut hasher),
                        None if column.is_null(row) => 0_u8.hash(&mut hasher),
                        None => array_value_to_string(column, row).expect("it prints").hash(&mut hasher),
                    }
                }
                sum = sum.wrapping_add(hasher.finish());
            }
        }
        (rows, sum)
    }

    /// The rows of a statement that succeeds, each with `|` between its cells.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        self.succeed(sql).await.0
    }

    /// The outcome of a statement that succeeds.
    pub async fn outcome(&self, sql: &str) -> Outcome {
        self.succeed(sql).await.1
    }

    async fn succeed(&self, sql: &str) -> (Vec<String>, Outcome) {
        match self.run(sql).await {
            Ok(done) => done,
            Err(error) => panic!("{sql}: {} {}", error.sqlstate().0, error.report(sql)),
        }
    }

    /// The error of a statement that fails.
    pub async fn error(&self, sql: &str) -> Error {
        match self.run(sql).await {
            Ok((rows, outcome)) => panic!("{sql}: succeeded with {rows:?} {outcome:?}"),
            Err(error) => error,
        }
    }

    /// The SQLSTATE of a statement that fails.
    pub async fn code(&self, sql: &str) -> &'static str {
        self.error(sql).await.sqlstate().0
    }
}
