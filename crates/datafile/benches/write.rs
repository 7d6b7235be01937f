//! Rows per second into a fresh file: the encoding part of a flush.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use cenote_datafile::{Level, ParquetWriter, WriterOptions, arrow_schema};
use cenote_store::Store;
use cenote_vocab::{Field, FieldId, FieldType, SortOrder, TableSchema, TimeUnit};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use object_store::path::Path;
use uuid::Uuid;

const ROWS: i64 = 200_000;

fn schema() -> TableSchema {
    let columns = [
        ("time", FieldType::Timestamp(TimeUnit::Micro)),
        ("host", FieldType::String),
        ("message", FieldType::String),
        ("value", FieldType::Double),
        ("count", FieldType::Int64),
    ];
    let fields = columns
        .into_iter()
        .zip(1..)
        .map(|((name, field_type), id)| Field::new(FieldId(id), name, field_type));
    TableSchema { no: 1, fields: fields.collect() }
}

fn rows() -> RecordBatch {
    let scattered = |row: i64| row.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values((0..ROWS).map(|row| row * 997))),
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("host-{}", row % 100)))),
        Arc::new(StringArray::from_iter_values(
            (0..ROWS).map(|row| format!("request {} took long", scattered(row))),
        )),
        Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| scattered(row) as f64 / 1e9))),
        Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row % 1000))),
    ];
    RecordBatch::try_new(arrow_schema(&schema()), columns).expect("columns fit the schema")
}

fn write(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let store = Store::memory();
    let rows = rows();
    let mut group = criterion.benchmark_group("write");
    group.throughput(Throughput::Bytes(rows.get_array_memory_size() as u64)).sample_size(10);
    for (name, level) in [("fresh", Level::Fresh), ("merged", Level::Merged)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let options = WriterOptions {
                        table_uuid: Uuid::nil(),
                        schema: schema(),
                        sort: SortOrder::default(),
                        time_field: Some(FieldId(1)),
                        level,
                    };
                    let writer = ParquetWriter::create(&store, Path::from("bench/file"), options).await;
                    let mut writer = writer.expect("memory takes every file");
                    writer.write(&rows).await.expect("the rows fit");
                    black_box(writer.finish().await.expect("memory takes every file"))
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, write);
criterion_main!(benches);
