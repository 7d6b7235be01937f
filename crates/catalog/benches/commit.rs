//! Commits of one file each by one writer, where each is a transaction of its own, and by 64 at once, where they share transactions.
//! SQLite with full synchronisation on disk, and a PostgreSQL that syncs, if the machine has one.

#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cenote_catalog::{
    Catalog, CatalogOptions, Commit, Content, Facts, NewFile, NewTable, ObjectChange, Op, ReadSet,
    TableChange,
};
use cenote_store::Secret;
use cenote_testkit::services::start_postgres;
use cenote_vocab::{Clock, Field, FieldId, FieldType, Ids, Scope, TableId, TableSchema};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prometheus_client::registry::Registry;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

struct Node {
    catalog: Catalog,
    scope: Scope,
    ids: Ids,
    table: TableId,
    registry: Registry,
}

impl Node {
    async fn open(url: &str, directory: &Path) -> Self {
        let clock = Clock::system();
        let ids = Ids::system(clock.clone());
        let options = CatalogOptions {
            url: Secret::new(url),
            data_dir: directory.to_owned(),
            pool_size: 8,
            statement_cache: 100,
            auto_migrate: None,
            audit_keep: std::time::Duration::from_secs(90 * 86_400),
            holder: "bench".to_owned(),
        };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let catalog = Catalog::open(options, clock, ids.clone(), &tasks, stop).await.expect("a catalog");
        let lease = catalog.take_active(Duration::from_secs(3600)).await.expect("asked");
        lease.expect("nobody else has it");
        let scope = catalog.tenant("default").await.expect("read").expect("made at open");
        let mut registry = Registry::default();
        catalog.register(&mut registry);
        let table = catalog.reserve_table(&scope).await.expect("an id");
        let node = Self { catalog, scope, ids, table, registry };
        node.create().await;
        node
    }

    fn empty(&self) -> Commit {
        Commit {
            commit_id: self.ids.uuid(),
            scope: self.scope.clone(),
            producers: Vec::new(),
            facts: Facts { operation: "bench".into(), ..Facts::default() },
            tables: Vec::new(),
            objects: Vec::new(),
        }
    }

    async fn create(&self) {
        let columns = TableSchema { no: 1, fields: vec![Field::new(FieldId(1), "v", FieldType::Int64)] };
        let new = NewTable::plain("default", (self.table, self.ids.uuid()), ("default", "t"), columns);
        let change = ObjectChange::CreateTable(Box::new(new));
        self.catalog.apply(Commit { objects: vec![change], ..self.empty() }).await.expect("created");
    }

    async fn append(&self) {
        let file = NewFile {
            content: Content::Parquet,
            path: format!("data/{}.parquet", self.ids.uuid()),
            rows: 10,
            bytes: 1_000,
            footer_bytes: 500,
            schema_no: 1,
            spec_no: 0,
            partition: Vec::new(),
            sort_no: 0,
            level: 0,
            time_range: None,
            statistics: Default::default(),
            row_ids_stored: false,
        };
        let base = self.catalog.head(&self.scope).await.expect("a head").txn;
        let ops = vec![Op::Append { files: vec![file] }];
        let change = TableChange { table: self.table, base, read: ReadSet::None, ops };
        self.catalog.apply(Commit { tables: vec![change], ..self.empty() }).await.expect("committed");
    }

    /// Transactions so far, and those of at most 15 statements among them.
    fn transactions(&self) -> [u64; 2] {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("metrics");
        ["commit_group_statements_count ", "commit_group_statements_bucket{le=\"15.0\"} "].map(|name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a metric");
            line.parse().expect("a count")
        })
    }
}

/// Time of `commits` by so many writers.
async fn commits(node: &Arc<Node>, writers: u64, commits: u64) -> Duration {
    let left = Arc::new(AtomicU64::new(commits));
    let began = Instant::now();
    let tasks = TaskTracker::new();
    let all = (0..writers).map(|_| {
        let (node, left) = (node.clone(), left.clone());
        tasks.spawn(async move {
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                node.append().await;
            }
        })
    });
    for task in all.collect::<Vec<_>>() {
        task.await.expect("a writer");
    }
    began.elapsed()
}

fn group_commit(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let server = start_postgres(true);
    let postgres = server.as_ref().map(|server| format!("{}/postgres", server.url));
    let databases = [("sqlite", Some("sqlite".to_owned())), ("postgresql", postgres)];
    for (name, url) in databases {
        let Some(url) = url else { continue };
        let directory = tempfile::tempdir().expect("a directory");
        let node = Arc::new(runtime.block_on(Node::open(&url, directory.path())));
        let before = node.transactions();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(10));
        for writers in [1, 64] {
            group.bench_function(format!("{writers} writers"), |bencher| {
                bencher.iter_custom(|count| runtime.block_on(commits(&node, writers, count)));
            });
        }
        group.finish();
        let [all, short] = node.transactions();
        println!("{name}: {} transactions, {} of at most 15 statements", all - before[0], short - before[1]);
    }
}

criterion_group!(benches, group_commit);
criterion_main!(benches);
