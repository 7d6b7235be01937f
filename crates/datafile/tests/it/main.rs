//! Files as a whole: written, read back, damaged.
#![expect(clippy::unwrap_used, reason = "functions of tests are tests")]

mod damage;
mod inline;
mod nested;
mod read;
mod write;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, NullArray, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::i256;
use arrow::record_batch::RecordBatch;
use cenote_datafile::{
    DeletionVector, Error, Level, ParquetWriter, ReadOptions, RowSet, StoredFile, WriterOptions, WrittenFile,
    arrow_schema, read_batches,
};
use cenote_store::Store;
use cenote_vocab::{Field, FieldId, FieldType, SortField, SortOrder, TableSchema, TimeUnit};
use futures::TryStreamExt;
use object_store::path::Path;
use uuid::Uuid;

fn path() -> Path {
    Path::from("acme/tables/t/data/f.parquet")
}

fn field(id: i32, name: &str, field_type: FieldType) -> Field {
    Field::new(FieldId(id), name, field_type)
}

fn schema(fields: Vec<Field>) -> TableSchema {
    TableSchema { no: 3, fields }
}

/// Time, host (repeating), message (all different), value.
fn measurements() -> TableSchema {
    schema(vec![
        field(1, "time", FieldType::Timestamp(TimeUnit::Micro)),
        field(2, "host.name", FieldType::String),
        field(3, "message", FieldType::String),
        field(4, "value", FieldType::Double),
    ])
}

fn measured(rows: i64) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values((0..rows).map(|row| row * 1000))),
        Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("host-{}", row % 10)))),
        Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("message {row}")))),
        Arc::new((0..rows).map(|row| (row % 7 != 0).then_some(row as f64 / 3.0)).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(arrow_schema(&measurements()), columns).unwrap()
}

/// One column of every type that a table can have, and three rows: low, high, NULL.
fn every_type() -> (TableSchema, RecordBatch) {
    let decimal = FieldType::Decimal { precision: 38, scale: 3 };
    let wide = FieldType::Decimal { precision: 76, scale: 70 };
    let columns: Vec<(FieldType, ArrayRef)> = vec![
        (FieldType::Boolean, Arc::new(BooleanArray::from(vec![Some(false), Some(true), None]))),
        (FieldType::Int8, Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(i8::MAX), None]))),
        (FieldType::Int16, Arc::new(Int16Array::from(vec![Some(i16::MIN), Some(i16::MAX), None]))),
        (FieldType::Int32, Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None]))),
        (FieldType::Int64, Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None]))),
        (FieldType::UInt8, Arc::new(UInt8Array::from(vec![Some(0), Some(u8::MAX), None]))),
        (FieldType::UInt16, Arc::new(UInt16Array::from(vec![Some(0), Some(u16::MAX), None]))),
        (FieldType::UInt32, Arc::new(UInt32Array::from(vec![Some(0), Some(u32::MAX), None]))),
        (FieldType::UInt64, Arc::new(UInt64Array::from(vec![Some(0), Some(u64::MAX), None]))),
        (FieldType::Float, Arc::new(Float32Array::from(vec![Some(-0.0), Some(f32::NAN), None]))),
        (FieldType::Double, Arc::new(Float64Array::from(vec![Some(f64::MIN), Some(f64::INFINITY), None]))),
        (
            decimal,
            Arc::new(
                Decimal128Array::from(vec![Some(-(10_i128.pow(38) - 1)), Some(5), None])
                    .with_precision_and_scale(38, 3)
                    .unwrap(),
            ),
        ),
        (
            wide,
            Arc::new(
                Decimal256Array::from(vec![Some(i256::MINUS_ONE), Some(i256::from_i128(i128::MAX)), None])
                    .with_precision_and_scale(76, 70)
                    .unwrap(),
            ),
        ),
        (FieldType::Date, Arc::new(Date32Array::from(vec![Some(-719_162), Some(2_932_896), None]))),
        (FieldType::Time, Arc::new(Time64MicrosecondArray::from(vec![Some(0), Some(86_399_999_999), None]))),
        (
            FieldType::Timestamp(TimeUnit::Second),
            Arc::new(TimestampSecondArray::from(vec![Some(-62_135_596_800), Some(253_402_300_799), None])),
        ),
        (
            FieldType::Timestamp(TimeUnit::Milli),
            Arc::new(TimestampMillisecondArray::from(vec![Some(-1), Some(1), None])),
        ),
        (
            FieldType::Timestamp(TimeUnit::Nano),
            Arc::new(TimestampNanosecondArray::from(vec![Some(i64::MIN), Some(i64::MAX), None])),
        ),
        (
            FieldType::TimestampTz(TimeUnit::Second),
            Arc::new(TimestampSecondArray::from(vec![Some(-1), Some(1), None]).with_timezone("UTC")),
        ),
        (
            FieldType::TimestampTz(TimeUnit::Micro),
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(i64::MIN), Some(1), None]).with_timezone("UTC"),
            ),
        ),
        (
            FieldType::TimestampTz(TimeUnit::Nano),
            Arc::new(TimestampNanosecondArray::from(vec![Some(-1), Some(1), None]).with_timezone("UTC")),
        ),
        (FieldType::String, Arc::new(StringArray::from(vec![Some(""), Some("zażółć"), None]))),
        (FieldType::Json, Arc::new(StringArray::from(vec![Some("null"), Some(r#"{"a":[1]}"#), None]))),
        (FieldType::Binary, Arc::new(BinaryArray::from(vec![Some(&[][..]), Some(&[0, 255]), None]))),
        (
            FieldType::Uuid,
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                    [Some([0; 16]), Some([255; 16]), None].into_iter(),
                    16,
                )
                .unwrap(),
            ),
        ),
        (FieldType::Unknown, Arc::new(NullArray::new(3))),
    ];
    let fields = columns
        .iter()
        .zip(11..)
        .map(|((field_type, _), id)| field(id, &format!("c{id}"), field_type.clone()));
    let schema = schema(fields.collect());
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(arrow_schema(&schema), arrays).unwrap();
    (schema, batch)
}

fn options(schema: &TableSchema, level: Level) -> WriterOptions {
    WriterOptions {
        table_uuid: Uuid::from_u128(5),
        schema: schema.clone(),
        sort: SortOrder::default(),
        time_field: None,
        level,
    }
}

fn sorted_by(ids: &[i32]) -> SortOrder {
    let fields =
        ids.iter().map(|id| SortField { source: FieldId(*id), descending: false, nulls_first: false });
    SortOrder { no: 1, fields: fields.collect() }
}

async fn write(
    store: &Store,
    options: WriterOptions,
    batches: &[RecordBatch],
) -> Result<Option<WrittenFile>, Error> {
    let mut writer = ParquetWriter::create(store, path(), options).await?;
    for batch in batches {
        writer.write(batch).await?;
    }
    writer.finish().await
}

/// What the catalog would know of the file at [`path`].
fn stored(written: &WrittenFile) -> StoredFile {
    StoredFile { path: path(), bytes: written.bytes, footer_bytes: written.footer_bytes }
}

/// Every row of the file at [`path`] that `vector` leaves, in one batch of `schema`.
async fn read(
    store: &Store,
    file: &StoredFile,
    rows: u64,
    schema: &TableSchema,
    vector: Option<DeletionVector>,
) -> Result<RecordBatch, Error> {
    let options = ReadOptions {
        schema: Arc::new(schema.clone()),
        row_count: rows,
        rows: RowSet::live(vector.map(Arc::new)),
        batch_rows: 1000,
    };
    let batches: Vec<RecordBatch> = read_batches(store, file, options).await?.try_collect().await?;
    Ok(concat_batches(&arrow_schema(schema), &batches).unwrap())
}
