//! How long planning takes on a table of a million files: warm and cold, at the head and in mid-history, after a commit.
//!
//! `CENOTE_BENCH_FILES` sets another number of files. The catalog is SQLite on disk, filled by commits of 10 000 files.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use cenote_catalog::{
    Catalog, CatalogOptions, Commit, Content, Facts, NewFile, NewTable, ObjectChange, Op, ReadSet,
    TableChange, TableDef,
};
use cenote_datafile::{ColumnStatistics, FileStatistics, Value};
use cenote_store::{Secret, Store};
use cenote_table::{Changing, Comparison, Lake, Predicate, TableOptions};
use cenote_vocab::{Clock, Field, FieldId, FieldType, Ids, MemoryPool, Scope, TableSchema, TimeUnit, Txn};
use criterion::{Criterion, criterion_group, criterion_main};
use prometheus_client::registry::Registry;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const FILES_PER_COMMIT: usize = 10_000;
const HOUR: i64 = 3_600_000_000;
/// A file is cut every 30 s and holds one minute: an hour is about 122 files, a million files are 347 days.
const STEP: i64 = 30_000_000;

const COLUMNS: [(&str, FieldType); 6] = [
    ("time", FieldType::Timestamp(TimeUnit::Micro)),
    ("host", FieldType::String),
    ("usage_user", FieldType::Double),
    ("usage_system", FieldType::Double),
    ("requests", FieldType::Int64),
    ("errors", FieldType::Int64),
];

/// A process on the catalog.
struct Node {
    lake: Lake,
    scope: Scope,
    registry: Registry,
}

impl Node {
    async fn open(directory: &Path) -> Self {
        let clock = Clock::system();
        let ids = Ids::system(clock.clone());
        let options = CatalogOptions {
            url: Secret::new("sqlite"),
            data_dir: directory.to_owned(),
            pool_size: 4,
            statement_cache: 100,
            auto_migrate: None,
            audit_keep: std::time::Duration::from_secs(90 * 86_400),
            holder: "bench".to_owned(),
        };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let catalog =
            Catalog::open(options, clock.clone(), ids.clone(), &tasks, stop).await.expect("a catalog");
        let scope = catalog.tenant("default").await.expect("read").expect("made at open");
        let mut registry = Registry::default();
        catalog.register(&mut registry);
        let memory = MemoryPool::node(256 << 20);
        let lake = Lake {
            catalog,
            store: Store::memory(),
            clock,
            ids,
            memory,
            options: TableOptions::default(),
            changing: Changing::default(),
        };
        Self { lake, scope, registry }
    }

    /// As the one that writes alone.
    async fn open_active(directory: &Path) -> Self {
        let node = Self::open(directory).await;
        let lease = node.lake.catalog.take_active(Duration::from_secs(3600)).await.expect("asked");
        lease.expect("nobody else has it");
        node
    }

    async fn apply(&self, tables: Vec<TableChange>, objects: Vec<ObjectChange>) -> Txn {
        let commit = Commit {
            commit_id: self.lake.ids.uuid(),
            scope: self.scope.clone(),
            producers: vec![],
            facts: Facts { operation: "bench".into(), ..Facts::default() },
            tables,
            objects,
        };
        self.lake.catalog.apply(commit).await.expect("committed").txn
    }

    async fn create(&self) -> std::sync::Arc<TableDef> {
        let fields = COLUMNS
            .into_iter()
            .zip(1..)
            .map(|((name, field_type), id)| Field::new(FieldId(id), name, field_type));
        let columns = TableSchema { no: 1, fields: fields.collect() };
        let ids = (self.lake.catalog.reserve_table(&self.scope).await.expect("an id"), self.lake.ids.uuid());
        let new = NewTable {
            time_field: Some(FieldId(1)),
            ..NewTable::plain(self.scope.tenant(), ids, ("default", "cpu"), columns)
        };
        self.apply(vec![], vec![ObjectChange::CreateTable(Box::new(new))]).await;
        self.table().await
    }

    async fn table(&self) -> std::sync::Arc<TableDef> {
        let names = self.lake.catalog.names(&self.scope, self.head().await).await.expect("names");
        names.table("default", "cpu").expect("the table").clone()
    }

    async fn append(&self, table: &TableDef, files: std::ops::Range<usize>) -> Txn {
        let files = files.map(|at| self.file(at as i64)).collect();
        let base = self.head().await;
        let change =
            TableChange { table: table.id, base, read: ReadSet::None, ops: vec![Op::Append { files }] };
        self.apply(vec![change], vec![]).await
    }

    fn file(&self, at: i64) -> NewFile {
        let times = (at * STEP, at * STEP + 2 * STEP);
        let column = |(field_id, (_, field_type)): (i32, (&str, FieldType))| {
            let (min, max) = match field_type {
                FieldType::String => (Value::Text("host-0000".into()), Value::Text("host-3999".into())),
                FieldType::Double => (Value::Float(at as f64), Value::Float(at as f64 + 0.5)),
                FieldType::Int64 => (Value::Integer(at.into()), Value::Integer((at + 1000).into())),
                _ => (Value::Integer(times.0.into()), Value::Integer(times.1.into())),
            };
            ColumnStatistics {
                field_id: FieldId(field_id),
                value_count: 10_000,
                null_count: 0,
                nan_count: (field_type == FieldType::Double).then_some(0),
                min: Some(min),
                max: Some(max),
                min_exact: true,
                max_exact: true,
            }
        };
        NewFile {
            content: Content::Parquet,
            path: format!("data/{}.parquet", self.lake.ids.uuid()),
            rows: 10_000,
            bytes: 1 << 20,
            footer_bytes: 4096,
            schema_no: 1,
            spec_no: 0,
            partition: vec![],
            sort_no: 0,
            level: 0,
            time_range: Some(times),
            statistics: FileStatistics { columns: (1..).zip(COLUMNS).map(column).collect() },
            row_ids_stored: false,
        }
    }

    async fn head(&self) -> Txn {
        self.lake.catalog.head(&self.scope).await.expect("head").txn
    }

    /// Plans a query of one hour; answers how many files it must read.
    async fn plan(&self, table: &TableDef, at: Txn, hour: i64) -> usize {
        let time = |comparison, value: i64| Predicate::Compare {
            field: FieldId(1),
            comparison,
            value: Value::Integer(value.into()),
        };
        let predicate = Predicate::And(vec![
            time(Comparison::GreaterOrEqual, hour * HOUR),
            time(Comparison::Less, (hour + 1) * HOUR),
        ]);
        self.lake.scan(&self.scope, table, at, &predicate).await.expect("a plan").files.len()
    }

    /// The figures of the catalog's metrics that speak of files.
    fn memory(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("text");
        text.lines().filter(|line| line.starts_with("file_")).collect::<Vec<_>>().join(", ")
    }
}

async fn fill(directory: &Path, files: usize) {
    let node = Node::open_active(directory).await;
    let table = node.create().await;
    for from in (0..files).step_by(FILES_PER_COMMIT) {
        node.append(&table, from..(from + FILES_PER_COMMIT).min(files)).await;
    }
    node.lake.catalog.release_active().await.expect("released");
    node.lake.catalog.close().await;
}

/// Time that work takes on nodes that have just begun.
async fn cold(directory: &Path, rounds: u64, work: impl AsyncFn(&Node, &TableDef, Txn)) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..rounds {
        let node = Node::open_active(directory).await;
        let (table, head) = (node.table().await, node.head().await);
        let started = Instant::now();
        work(&node, &table, head).await;
        took += started.elapsed();
        node.lake.catalog.release_active().await.expect("released");
        node.lake.catalog.close().await;
    }
    took
}

fn plan(criterion: &mut Criterion) {
    let files = std::env::var("CENOTE_BENCH_FILES").ok().and_then(|files| files.parse().ok());
    let files: usize = files.unwrap_or(1_000_000);
    let hours = (files as i64 * STEP / HOUR).max(1);
    let directory = tempfile::TempDir::new().expect("a directory");
    let directory = directory.path();
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(fill(directory, files));
    let mut group = criterion.benchmark_group(format!("plan/{files}"));
    group.sample_size(10);

    group.bench_function("cold", |bencher| {
        bencher.iter_custom(|rounds| {
            runtime.block_on(cold(directory, rounds, async |node, table, head| {
                black_box(node.plan(table, head, hours / 2).await);
            }))
        });
    });

    group.bench_function("cold, all files", |bencher| {
        bencher.iter_custom(|rounds| {
            runtime.block_on(cold(directory, rounds, async |node, table, head| {
                let all = node.lake.catalog.visible_files(&node.scope, table, head, None).await;
                assert_eq!(all.expect("numbers").files.len(), files);
            }))
        });
    });

    let node = runtime.block_on(Node::open_active(directory));
    let (table, head) = runtime.block_on(async { (node.table().await, node.head().await) });
    runtime.block_on(node.lake.catalog.visible_files(&node.scope, &table, head, None)).expect("in memory");
    let found = runtime.block_on(node.plan(&table, head, hours / 2));
    eprintln!("one hour is {found} files; {}", node.memory());
    let mut hour = 0;
    let mut bench = |name: &str, at: Txn, next: fn(i64, i64) -> i64| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                hour = next(hour, hours);
                runtime.block_on(node.plan(&table, at, hour))
            });
        });
    };
    bench("the same hour again", head, |_, hours| hours / 2);
    bench("another hour each time", head, |hour, hours| (hour + 7) % hours);
    bench("mid-history", Txn(head.0 / 2), |_, hours| hours / 4);

    let reader = runtime.block_on(Node::open(directory));
    runtime
        .block_on(reader.lake.catalog.visible_files(&reader.scope, &table, head, None))
        .expect("in memory");
    runtime.block_on(reader.plan(&table, head, 0));
    let mut next = files;
    group.bench_function("after an own commit", |bencher| {
        bencher.iter_custom(|rounds| refresh(&runtime, rounds, &node, &node, &table, &mut next));
    });
    group.bench_function("after another process's commit", |bencher| {
        bencher.iter_custom(|rounds| refresh(&runtime, rounds, &node, &reader, &table, &mut next));
    });
    group.finish();
    eprintln!("{}", node.memory());
}

/// Time that `reader` takes to plan the newest hour right after `writer` committed a file.
fn refresh(
    runtime: &Runtime,
    rounds: u64,
    writer: &Node,
    reader: &Node,
    table: &TableDef,
    next: &mut usize,
) -> Duration {
    runtime.block_on(async {
        let mut took = Duration::ZERO;
        for _ in 0..rounds {
            let txn = writer.append(table, *next..*next + 1).await;
            let hour = *next as i64 * STEP / HOUR;
            *next += 1;
            let started = Instant::now();
            black_box(reader.plan(table, txn, hour).await);
            took += started.elapsed();
        }
        took
    })
}

criterion_group!(benches, plan);
criterion_main!(benches);
