//! Rows come back as they were, under the schema that is asked for.

use arrow::compute::filter_record_batch;
use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn every_type_reads_back_at_every_level() {
    let directory = tempfile::tempdir().unwrap();
    let local = cenote_store::StorageOptions {
        url: directory.path().to_str().unwrap().to_owned(),
        ..Default::default()
    };
    let (schema, batch) = every_type();
    for store in [Store::memory(), Store::open(&local).unwrap()] {
        for level in [Level::Fresh, Level::Merged, Level::Full] {
            let written =
                write(&store, options(&schema, level), std::slice::from_ref(&batch)).await.unwrap().unwrap();
            assert_eq!(read(&store, &stored(&written), 3, &schema, None).await.unwrap(), batch);
        }
    }
}

#[tokio::test]
async fn columns_are_found_by_id_and_widened() {
    let store = Store::memory();
    let old = schema(vec![
        field(1, "a", FieldType::Int32),
        field(2, "b", FieldType::String),
        field(3, "dropped", FieldType::Double),
        field(4, "unknown", FieldType::Unknown),
        field(5, "day", FieldType::Date),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1, -2])),
        Arc::new(StringArray::from(vec!["x", "y"])),
        Arc::new(Float64Array::from(vec![0.5, 1.5])),
        Arc::new(NullArray::new(2)),
        Arc::new(Date32Array::from(vec![1, 2])),
    ];
    let batch = RecordBatch::try_new(arrow_schema(&old), columns).unwrap();
    let written = write(&store, options(&old, Level::Fresh), &[batch]).await.unwrap().unwrap();

    let new = schema(vec![
        field(5, "day", FieldType::Timestamp(TimeUnit::Micro)),
        field(2, "a", FieldType::String),
        field(6, "b", FieldType::Int64),
        field(1, "c", FieldType::Int64),
        field(4, "was unknown", FieldType::TimestampTz(TimeUnit::Milli)),
    ]);
    let expected: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![86_400_000_000, 172_800_000_000])),
        Arc::new(StringArray::from(vec!["x", "y"])),
        Arc::new(Int64Array::new_null(2)),
        Arc::new(Int64Array::from(vec![1, -2])),
        Arc::new(TimestampMillisecondArray::new_null(2).with_timezone("UTC")),
    ];
    let expected = RecordBatch::try_new(arrow_schema(&new), expected).unwrap();
    assert_eq!(read(&store, &stored(&written), 2, &new, None).await.unwrap(), expected);
}

#[tokio::test]
async fn no_column_still_has_rows() {
    let store = Store::memory();
    let written =
        write(&store, options(&measurements(), Level::Fresh), &[measured(2500)]).await.unwrap().unwrap();
    let vector = DeletionVector::from_iter(0..100);
    let options = ReadOptions {
        schema: Arc::new(schema(Vec::new())),
        row_count: 2500,
        rows: RowSet::Except(Arc::new(vector)),
        batch_rows: 1000,
    };
    let batches = read_batches(&store, &stored(&written), options).await.unwrap();
    let rows: Vec<usize> = batches.map_ok(|batch| batch.num_rows()).try_collect().await.unwrap();
    assert_eq!(rows, [1000, 1000, 400]);
}

#[tokio::test]
async fn a_wholly_deleted_file_has_no_rows() {
    let store = Store::memory();
    let written =
        write(&store, options(&measurements(), Level::Fresh), &[measured(50)]).await.unwrap().unwrap();
    let vector = DeletionVector::from_iter(0..50);
    let rows = read(&store, &stored(&written), 50, &measurements(), Some(vector)).await.unwrap();
    assert_eq!(rows.num_rows(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn deleted_rows_are_left_out(
        sizes in prop::collection::vec(0..9000_i64, 1..4),
        deleted in prop::collection::btree_set(0..20_000_u64, 0..200),
        run in 0..9000_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = Store::memory();
            let batches: Vec<RecordBatch> = sizes.iter().map(|rows| measured(*rows)).collect();
            let all = concat_batches(&arrow_schema(&measurements()), &batches).unwrap();
            let rows = all.num_rows() as u64;
            let written = write(&store, options(&measurements(), Level::Fresh), &batches).await.unwrap();
            let Some(written) = written else { return };
            let deleted: DeletionVector = deleted.into_iter().chain(run..run + 700).filter(|at| *at < rows).collect();
            let kept: BooleanArray = (0..rows).map(|at| Some(!deleted.contains(at))).collect();
            let found = read(&store, &stored(&written), rows, &measurements(), Some(deleted)).await.unwrap();
            assert_eq!(found, filter_record_batch(&all, &kept).unwrap());
        });
    }
}
