//! What stands in a file.

use bytes::Bytes;
use cenote_datafile::{FIELD_ID_KEY, Value};
use cenote_vocab::{ErrorKind, Fault};
use parquet::basic::{Compression, Encoding, LogicalType};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::*;

async fn metadata(store: &Store) -> ParquetMetaData {
    let bytes = store.read(&path()).await.unwrap();
    ParquetMetaDataReader::new()
        .with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Required)
        .parse_and_finish(&bytes)
        .unwrap()
}

#[tokio::test]
async fn every_node_has_its_field_id() {
    let store = Store::memory();
    let (schema, batch) = every_type();
    write(&store, options(&schema, Level::Fresh), &[batch]).await.unwrap();
    let metadata = metadata(&store).await;
    let descriptor = metadata.file_metadata().schema_descr();
    let stored: Vec<(String, i32)> = descriptor
        .columns()
        .iter()
        .map(|column| (column.name().to_owned(), column.self_type().get_basic_info().id()))
        .collect();
    let expected: Vec<(String, i32)> = schema
        .fields
        .iter()
        .filter(|field| field.field_type != FieldType::Unknown)
        .map(|field| (field.name.clone(), field.id.0))
        .collect();
    assert_eq!(stored, expected);
    assert!(arrow_schema(&schema).fields().iter().all(|field| field.metadata().contains_key(FIELD_ID_KEY)));
}

#[tokio::test]
async fn a_uuid_is_one_for_other_readers_too() {
    let store = Store::memory();
    let (schema, batch) = every_type();
    write(&store, options(&schema, Level::Fresh), &[batch]).await.unwrap();
    let metadata = metadata(&store).await;
    let columns = metadata.file_metadata().schema_descr().columns();
    let marked: Vec<&str> = columns
        .iter()
        .filter(|column| column.logical_type_ref() == Some(&LogicalType::Uuid))
        .map(|column| column.name())
        .collect();
    let uuid = schema.fields.iter().find(|field| field.field_type == FieldType::Uuid).unwrap();
    assert_eq!(marked, [&uuid.name]);
}

#[tokio::test]
async fn a_fresh_file_is_cheap_to_write() {
    let store = Store::memory();
    let options = WriterOptions {
        sort: sorted_by(&[2, 1]),
        time_field: Some(FieldId(1)),
        ..options(&measurements(), Level::Fresh)
    };
    let written = write(&store, options, &[measured(10_000)]).await.unwrap().unwrap();
    assert_eq!((written.rows, written.time_range), (10_000, Some((0, 9_999_000))));

    let metadata = metadata(&store).await;
    let file = metadata.file_metadata();
    assert_eq!(file.created_by(), Some(concat!("cenote ", env!("CARGO_PKG_VERSION"))));
    let values = file.key_value_metadata().unwrap();
    let value = |key: &str| values.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone());
    assert_eq!(value("cenote.table_uuid"), Some(Uuid::from_u128(5).to_string()));
    assert_eq!(value("cenote.schema_no"), Some("3".into()));

    let group = metadata.row_group(0);
    let order: Vec<i32> = group.sorting_columns().unwrap().iter().map(|column| column.column_idx).collect();
    assert_eq!(order, [1, 0]);
    let has = |column: usize, encoding| group.column(column).encodings().any(|found| found == encoding);
    let dictionary = |column: usize| group.column(column).dictionary_page_offset().is_some();
    assert!(has(0, Encoding::DELTA_BINARY_PACKED) && !dictionary(0));
    assert!(dictionary(1), "a host repeats");
    assert!(!dictionary(2), "a message does not");
    assert!(!dictionary(3));
    for column in group.columns() {
        assert_eq!(column.compression(), Compression::LZ4_RAW);
        assert!(column.bloom_filter_offset().is_none());
        assert!(column.column_index_offset().is_some() && column.offset_index_offset().is_some());
    }
}

#[tokio::test]
async fn a_merged_file_is_cheap_to_read() {
    let store = Store::memory();
    let options = WriterOptions {
        sort: sorted_by(&[2, 1]),
        time_field: Some(FieldId(1)),
        ..options(&measurements(), Level::Merged)
    };
    write(&store, options, &[measured(10_000)]).await.unwrap().unwrap();
    let metadata = metadata(&store).await;
    let group = metadata.row_group(0);
    let filtered: Vec<bool> =
        group.columns().iter().map(|column| column.bloom_filter_offset().is_some()).collect();
    assert_eq!(filtered, [false, true, false, false], "sort columns, but not time");
    assert!(group.columns().iter().all(|column| matches!(column.compression(), Compression::ZSTD(_))));
    assert!(group.column(0).dictionary_page_offset().is_none());
}

#[tokio::test]
async fn floats_of_a_merged_file_are_packed_only_if_they_get_smaller() {
    let scattered = |at: i64| at.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
    let noise = |at: i64| f64::from_bits((scattered(at) as u64 >> 12) | 0x3FF0_0000_0000_0000);
    let columns: [(&str, ArrayRef); 4] = [
        ("noise", Arc::new(Float64Array::from_iter_values((0..20_000).map(noise)))),
        ("counted", Arc::new(Float64Array::from_iter_values((0..20_000).map(|at| at as f64)))),
        ("few", Arc::new(Float64Array::from_iter_values((0..20_000).map(|at| noise(at % 100))))),
        ("little", Arc::new(Float32Array::from_iter_values((0..20_000).map(|at| noise(at) as f32)))),
    ];
    let types = [FieldType::Double, FieldType::Double, FieldType::Double, FieldType::Float];
    let fields = columns
        .iter()
        .zip(types)
        .zip(1..)
        .map(|(((name, _), field_type), id)| Field::new(FieldId(id), *name, field_type));
    let schema = TableSchema { no: 1, fields: fields.collect() };
    let batch =
        RecordBatch::try_new(arrow_schema(&schema), columns.map(|(_, column)| column).to_vec()).unwrap();
    let store = Store::memory();
    write(&store, options(&schema, Level::Full), &[batch]).await.unwrap().unwrap();
    let metadata = metadata(&store).await;
    let how = metadata.row_group(0).columns().iter().map(|column| {
        (column.dictionary_page_offset().is_some(), matches!(column.compression(), Compression::ZSTD(_)))
    });
    assert_eq!(how.collect::<Vec<_>>(), [(false, false), (false, true), (true, true), (false, true)]);
}

#[tokio::test]
async fn the_footer_is_as_long_as_reported() {
    let store = Store::memory();
    let written =
        write(&store, options(&measurements(), Level::Fresh), &[measured(100)]).await.unwrap().unwrap();
    let bytes: Bytes = store.read(&path()).await.unwrap();
    assert_eq!(bytes.len() as u64, written.bytes);
    let length: [u8; 4] = bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap();
    let footer = bytes.len() - 8 - u32::from_le_bytes(length) as usize;
    let metadata = &bytes[footer..bytes.len() - 8];
    assert_eq!(&bytes[footer - 9..footer], b"CNBLOCKS1");
    let blocks = (bytes.len() - written.footer_bytes as usize).div_ceil(64 << 10);
    assert_eq!(written.footer_bytes as usize, bytes.len() - footer + 4 * blocks + 21);
    assert_eq!(ParquetMetaDataReader::decode_metadata(metadata).unwrap().file_metadata().num_rows(), 100);
}

#[tokio::test]
async fn row_groups_have_a_limit_and_leave_memory_when_full() {
    let store = Store::memory();
    let options = options(&measurements(), Level::Fresh);
    let mut writer = ParquetWriter::create(&store, path(), options).await.unwrap();
    let batch = measured(100_000);
    let mut estimates = vec![writer.bytes_estimate()];
    for _ in 0..6 {
        writer.write(&batch).await.unwrap();
        estimates.push(writer.bytes_estimate());
    }
    assert!(estimates.is_sorted() && estimates[6] > estimates[1], "{estimates:?}");
    assert_eq!(writer.rows(), 600_000);
    writer.finish().await.unwrap().unwrap();
    let rows: Vec<i64> = metadata(&store).await.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows, [262_144, 262_144, 75_712]);
}

/// Flushes and compactions run on any thread.
#[tokio::test]
async fn writing_and_reading_may_change_threads() {
    fn sent<T: Send>(future: T) -> T {
        future
    }
    fn shared<T: Sync>() {}
    shared::<ParquetWriter>();
    let store = Store::memory();
    let written =
        sent(write(&store, options(&measurements(), Level::Fresh), &[measured(5)])).await.unwrap().unwrap();
    sent(read(&store, &stored(&written), 5, &measurements(), None)).await.unwrap();
}

#[tokio::test]
async fn no_rows_make_no_file() {
    let store = Store::memory();
    let written = write(&store, options(&measurements(), Level::Fresh), &[measured(0)]).await.unwrap();
    assert!(written.is_none());
    assert_eq!(store.size(&path()).await.unwrap(), None);
}

#[tokio::test]
async fn a_table_of_unknown_columns_keeps_its_rows() {
    let store = Store::memory();
    let schema = schema(vec![field(1, "a", FieldType::Unknown)]);
    let batch = RecordBatch::try_new(arrow_schema(&schema), vec![Arc::new(NullArray::new(5))]).unwrap();
    let written =
        write(&store, options(&schema, Level::Fresh), std::slice::from_ref(&batch)).await.unwrap().unwrap();
    assert_eq!(read(&store, &stored(&written), 5, &schema, None).await.unwrap(), batch);
}

#[tokio::test]
async fn the_time_range_is_in_micros_and_never_too_narrow() {
    let store = Store::memory();
    let schema = schema(vec![field(1, "at", FieldType::Timestamp(TimeUnit::Nano))]);
    let times = TimestampNanosecondArray::from(vec![-1, 1500]);
    let batch = RecordBatch::try_new(arrow_schema(&schema), vec![Arc::new(times)]).unwrap();
    let options = WriterOptions { time_field: Some(FieldId(1)), ..options(&schema, Level::Fresh) };
    let written = write(&store, options, &[batch]).await.unwrap().unwrap();
    assert_eq!(written.time_range, Some((-1, 2)));
    let column = written.statistics.column(FieldId(1)).unwrap();
    assert_eq!(column.max, Some(Value::Integer(1500)), "bounds stay in the column's unit");
}

#[tokio::test]
async fn a_batch_of_another_schema_is_refused() {
    let store = Store::memory();
    let mut other = measurements();
    other.fields[3].field_type = FieldType::Float;
    let error = write(&store, options(&other, Level::Fresh), &[measured(3)]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "schema of a batch changed while writing {}: column \"value\" is Float32, got Float64",
            path()
        )
    );
    assert_eq!(store.size(&path()).await.unwrap(), None);
}

#[tokio::test]
async fn rows_that_do_not_fit_leave_no_file() {
    let store = Store::memory();
    let seconds = schema(vec![field(1, "at", FieldType::Timestamp(TimeUnit::Second))]);
    let times = TimestampSecondArray::from(vec![0, i64::MAX]);
    let late = RecordBatch::try_new(arrow_schema(&seconds), vec![Arc::new(times)]).unwrap();
    let mut required = schema(vec![field(1, "n", FieldType::Int64)]);
    let nulls = Arc::new(Int64Array::from(vec![Some(1), None]));
    let null = RecordBatch::try_new(arrow_schema(&required), vec![nulls]).unwrap();
    required.fields[0].required = true;
    for (schema, batch, column) in [(seconds, late, "at"), (required, null, "n")] {
        let error = write(&store, options(&schema, Level::Fresh), &[batch]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(column), "{error}");
        assert_eq!(store.size(&path()).await.unwrap(), None);
    }
}
