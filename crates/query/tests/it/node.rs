//! One node without doors.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef};
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use cenote_catalog::{Catalog, CatalogOptions, Identity};
use cenote_codec::Precision;
use cenote_ingest::{Format, Ingest, IngestOptions, WalOptions, WriteRequest};
use cenote_query::{Bounds, Engine, Error, Outcome, QueryOptions, Session, SessionOptions};
use cenote_store::{Secret, Store};
use cenote_table::{Lake, TableOptions};
use cenote_vocab::{Clock, Fault, Ids, MemoryPool, Scope};
use futures::TryStreamExt;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Enough for every test that does not ask for less.
const MEMORY_BYTES: u64 = 256 << 20;

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) lake: Lake,
    pub(crate) ingest: Ingest,
    pub(crate) scope: Scope,
    pub(crate) identity: Identity,
    _dir: TempDir,
}

pub(crate) async fn node() -> Node {
    node_with(MEMORY_BYTES).await
}

pub(crate) async fn node_with(query_memory: u64) -> Node {
    let dir = TempDir::new().expect("succeeds");
    let clock = Clock::system();
    let ids = Ids::system(clock.clone());
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let options = CatalogOptions {
        url: Secret::new("sqlite::memory:"),
        data_dir: dir.path().to_owned(),
        pool_size: 4,
        statement_cache: 100,
        auto_migrate: None,
        holder: "test".to_owned(),
    };
    let catalog =
        Catalog::open(options, clock.clone(), ids.clone(), &tasks, stop.clone()).await.expect("succeeds");
    catalog.take_active(Duration::from_secs(600)).await.expect("succeeds").expect("the lease is free");
    let scope = catalog.tenant("default").await.expect("succeeds").expect("default");
    let identity = catalog.internal_identity(&scope);
    let lake = Lake {
        catalog,
        store: Store::memory(),
        clock,
        ids,
        memory: MemoryPool::node(MEMORY_BYTES),
        options: TableOptions::default(),
    };
    let ingest = Ingest::open(
        lake.clone(),
        IngestOptions { disk_free_min: 0, ..IngestOptions::default() },
        WalOptions::at(dir.path().join("wal")),
        MemoryPool::node(MEMORY_BYTES),
        &tasks,
        stop,
    )
    .await
    .expect("succeeds");
    let options = QueryOptions {
        timeout: Duration::from_secs(60),
        slow_threshold: Duration::from_secs(10),
        target_partitions: 2,
        spill_dir: dir.path().join("tmp"),
        spill_bytes_max: 1 << 30,
        staged_bytes_max: 1 << 30,
    };
    let engine =
        Engine::new(lake.clone(), ingest.clone(), options, MemoryPool::node(query_memory)).expect("succeeds");
    Node { engine, lake, ingest, scope, identity, _dir: dir }
}

impl Node {
    pub(crate) async fn session(&self) -> Client {
        self.session_of(self.identity.clone()).await
    }

    pub(crate) async fn session_of(&self, identity: Identity) -> Client {
        let options = SessionOptions { protocol: "test", ..SessionOptions::default() };
        Client { session: Arc::new(self.engine.open_session(identity, options).await.expect("succeeds")) }
    }

    /// Buffers rows, as the ingest door does.
    pub(crate) async fn write(&self, lines: &str) {
        let request = WriteRequest {
            database: None,
            format: Format::LineProtocol { precision: Precision::Second },
            body: Bytes::from(lines.to_owned()),
            ack: None,
            accept_partial: false,
            idempotency_key: None,
            request_id: None,
        };
        self.ingest.write(&self.identity, request).await.expect("succeeds");
    }
}

pub(crate) struct Client {
    pub(crate) session: Arc<Session>,
}

impl Client {
    /// Runs one statement to its end.
    pub(crate) async fn run(&self, sql: &str) -> Result<(Vec<String>, Outcome), Error> {
        self.run_with(sql, Vec::new()).await
    }

    pub(crate) async fn run_with(
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
                        array_value_to_string(column, row).expect("succeeds")
                    }
                });
                rows.push(cells.collect::<Vec<_>>().join("|"));
            }
        }
        Ok((rows, execution.outcome()))
    }

    /// The rows of a statement that succeeds, each with `|` between its cells.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        match self.run(sql).await {
            Ok((rows, _)) => rows,
            Err(error) => panic!("{sql}: {} {}", error.sqlstate().0, error.report(sql)),
        }
    }

    /// The outcome of a statement that succeeds.
    pub(crate) async fn outcome(&self, sql: &str) -> Outcome {
        match self.run(sql).await {
            Ok((_, outcome)) => outcome,
            Err(error) => panic!("{sql}: {} {}", error.sqlstate().0, error.report(sql)),
        }
    }

    /// The error of a statement that fails.
    pub(crate) async fn error(&self, sql: &str) -> Error {
        match self.run(sql).await {
            Ok((rows, outcome)) => panic!("{sql}: succeeded with {rows:?} {outcome:?}"),
            Err(error) => error,
        }
    }

    /// The SQLSTATE of a statement that fails.
    pub(crate) async fn code(&self, sql: &str) -> &'static str {
        self.error(sql).await.sqlstate().0
    }
}
