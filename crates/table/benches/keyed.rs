//! What it takes to write rows that replace each other, beside the same rows of a table where they do not.
//!
//! A million rows in batches of 20 000 become files of a table without rows: what a flush does, but for its commit.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Commit, Facts, NewTable, ObjectChange, TableDef};
use cenote_datafile::{Level, arrow_schema};
use cenote_testkit::lake::TestLake;
use cenote_vocab::{Field, FieldId, FieldType, TableSchema, TimeUnit};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const ROWS: i64 = 1_000_000;
const BATCH: i64 = 20_000;

async fn table(world: &TestLake) -> Arc<TableDef> {
    let columns = [
        ("time", FieldType::Timestamp(TimeUnit::Micro)),
        ("host", FieldType::String),
        ("n", FieldType::Int64),
    ];
    let fields = columns.into_iter().zip(1..).map(|((name, kind), id)| Field::new(FieldId(id), name, kind));
    let columns = TableSchema { no: 1, fields: fields.collect() };
    let (TestLake { lake, scope, .. }, options) = (world, [("tags", "host"), ("dedup", "last")]);
    let ids = (lake.catalog.reserve_table(scope).await.expect("an id"), lake.ids.uuid());
    let new = NewTable {
        time_field: Some(FieldId(1)),
        properties: options.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..NewTable::plain(scope.tenant(), ids, ("default", "points"), columns)
    };
    let commit = Commit {
        commit_id: lake.ids.uuid(),
        scope: scope.clone(),
        producers: Vec::new(),
        facts: Facts { operation: "bench".into(), ..Facts::default() },
        tables: Vec::new(),
        objects: vec![ObjectChange::CreateTable(Box::new(new))],
    };
    lake.catalog.apply(commit).await.expect("committed");
    world.table("points").await
}

/// Batches of rows by number; `of` answers microsecond and host.
fn batches(table: &TableDef, of: impl Fn(i64) -> (i64, i64)) -> Vec<RecordBatch> {
    let schema = arrow_schema(&table.schema);
    let batch = |start: i64| {
        let rows = start..start + BATCH;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from_iter_values(rows.clone().map(|row| of(row).0))),
            Arc::new(StringArray::from_iter_values(rows.clone().map(|row| format!("host-{}", of(row).1)))),
            Arc::new(Int64Array::from_iter_values(rows)),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).expect("rows of the table")
    };
    (0..ROWS / BATCH).map(|number| batch(number * BATCH)).collect()
}

fn keyed(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let lake = runtime.block_on(TestLake::new());
    let table = runtime.block_on(table(&lake));
    let head = runtime.block_on(lake.lake.catalog.head(&lake.scope)).expect("head").txn;
    let chance = |row: i64| row.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64).rem_euclid(ROWS);
    let orders: [(&str, Vec<RecordBatch>); 3] = [
        ("one host in order", batches(&table, |row| (row * 1_000, 0))),
        ("100 hosts in order", batches(&table, |row| (row / 100 * 1_000, row % 100))),
        ("by chance", batches(&table, |row| (chance(row) * 1_000, 0))),
    ];
    let mut group = criterion.benchmark_group("a million rows");
    group.throughput(Throughput::Elements(ROWS.unsigned_abs())).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    for (order, rows) in &orders {
        group.bench_function(format!("{order}, plain"), |bencher| {
            bencher.iter_batched(
                || rows.clone(),
                |rows| {
                    runtime.block_on(async {
                        let mut writer = lake.lake.writer(&lake.scope, Arc::clone(&table), Level::Fresh);
                        for batch in rows {
                            writer.write(batch).await.expect("taken");
                        }
                        lake.lake.abandon(&table, writer.finish().await.expect("written")).await;
                    })
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("{order}, keyed"), |bencher| {
            bencher.iter_batched(
                || rows.clone(),
                |rows| {
                    runtime.block_on(async {
                        let writer = lake.lake.keyed_rows(&lake.scope, &table).expect("options");
                        let mut writer = writer.expect("a keyed table");
                        for batch in rows {
                            writer.upsert(batch).expect("taken");
                        }
                        let newest = writer.finish().await.expect("keys");
                        lake.lake.abandon(&table, newest.plan(head).await.expect("written").written).await;
                    })
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    runtime.block_on(lake.close());
}

criterion_group!(benches, keyed);
criterion_main!(benches);
