//! A few rows as bytes that fit into a row of the catalog: an Arrow IPC stream of one batch, its buffers in ZSTD.
//!
//! The columns are those that a Parquet file of the table would have, each node with its field id, so rows are found again
//! through every later schema, and can always be moved into files.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use bytes::Bytes;
use cenote_vocab::TableSchema;

use crate::adapt::{absent, adapt};
use crate::arrow_schema::field_id;
use crate::file_schema::FileSchema;
use crate::writer::{also, time_range};
use crate::{Error, RowSet, StatisticsCollector, WriterOptions, WrittenFile, arrow_schema};

/// How errors name rows that have no path.
const OBJECT: &str = "inline batch";

/// The rows as a payload, and what is known of them. The batch is of the table's [`arrow_schema`].
///
/// Fails as [`crate::ParquetWriter::write`] does: what a Parquet file would refuse is refused here.
pub fn encode_inline(batch: &RecordBatch, options: &WriterOptions) -> Result<(Bytes, WrittenFile), Error> {
    let file = FileSchema::new(&options.schema);
    let path = || OBJECT.to_owned();
    file.check(batch).map_err(|reason| Error::SchemaChanged { path: path(), reason })?;
    let rows = file.to_file(batch).map_err(|reason| Error::RowsDoNotFit { path: path(), reason })?;
    let mut statistics = StatisticsCollector::with_columns(&options.schema, &also(options));
    statistics.add(batch);
    let statistics = statistics.finish();
    let compressed = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
    let mut stream = StreamWriter::try_new_with_options(Vec::new(), &rows.schema(), compressed)?;
    stream.write(&rows)?;
    let payload = Bytes::from(stream.into_inner()?);
    let time_range = options.time_field.and_then(|id| time_range(&statistics, &options.schema, id));
    let (rows, bytes) = (batch.num_rows() as u64, payload.len() as u64);
    Ok((payload, WrittenFile { rows, bytes, footer_bytes: 0, statistics, time_range }))
}

/// The rows of a payload, all of them, with field ids in the schema. `Corrupt`, naming `object`, if it is damaged or has
/// another number of rows.
pub fn decode_inline(object: &str, payload: &[u8], rows: u64) -> Result<RecordBatch, Error> {
    let corrupt = |reason: String| Error::Corrupt { object: object.to_owned(), reason };
    let decode = || -> Result<Option<RecordBatch>, ArrowError> {
        let mut stream = StreamReader::try_new(payload, None)?;
        stream.next().transpose()
    };
    let decoded =
        catch_unwind(AssertUnwindSafe(decode)).map_err(|_| corrupt("the decoder panicked".into()))?;
    let batch = decoded.map_err(|error| corrupt(error.to_string()))?;
    let batch = batch.ok_or_else(|| corrupt("it has no batch".into()))?;
    if batch.num_rows() as u64 != rows {
        return Err(corrupt(format!("expected {rows} rows, found {}", batch.num_rows())));
    }
    Ok(batch)
}

/// Some rows of a decoded payload as a wanted schema has them, as [`crate::read_batches`] answers those of a file. `Corrupt`,
/// naming `object`, if a value does not fit its column.
pub fn read_inline(
    object: &str,
    batch: &RecordBatch,
    schema: &TableSchema,
    rows: &RowSet,
) -> Result<RecordBatch, Error> {
    let batch = select_rows(batch, rows)?;
    let (stored, wanted) = (batch.schema(), arrow_schema(schema));
    let columns = schema.fields.iter().zip(wanted.fields()).map(|(field, wanted)| {
        let place = stored.fields().iter().position(|stored| field_id(stored) == Some(field.id));
        let found = match place {
            None => absent(field, batch.num_rows()),
            Some(at) => adapt(batch.column(at), stored.field(at), wanted),
        };
        found.map_err(|error| Error::Corrupt {
            object: object.to_owned(),
            reason: format!("column {:?}: {error}", field.name),
        })
    });
    let columns = columns.collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(wanted, columns, &options)?)
}

/// Those rows of the batch, in their order.
pub fn select_rows(batch: &RecordBatch, rows: &RowSet) -> Result<RecordBatch, Error> {
    let row_count = batch.num_rows();
    if rows.count(row_count as u64) == row_count as u64 {
        return Ok(batch.clone());
    }
    let mut wanted = BooleanBufferBuilder::new(row_count);
    let place = |position: u64| usize::try_from(position).unwrap_or(row_count).min(row_count);
    for run in rows.runs(row_count as u64) {
        wanted.append_n(place(run.start) - wanted.len(), false);
        wanted.append_n(place(run.end) - wanted.len(), true);
    }
    wanted.append_n(row_count - wanted.len(), false);
    Ok(filter_record_batch(batch, &BooleanArray::new(wanted.finish(), None))?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int32Array, StringArray, TimestampMillisecondArray};
    use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
    use cenote_vocab::{Field, FieldId, FieldType, SortOrder, TimeUnit};
    use uuid::Uuid;

    use super::*;
    use crate::{DeletionVector, Level, Value};

    fn field(id: i32, name: &str, field_type: FieldType) -> Field {
        Field::new(FieldId(id), name, field_type)
    }

    fn written() -> (TableSchema, RecordBatch) {
        let schema = TableSchema {
            no: 1,
            fields: vec![
                field(1, "at", FieldType::Timestamp(TimeUnit::Milli)),
                field(2, "n", FieldType::Int32),
                field(3, "text", FieldType::String),
            ],
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from(vec![1, 2, 3, 4])),
            Arc::new(Int32Array::from(vec![Some(10), None, Some(30), Some(40)])),
            Arc::new(StringArray::from(vec!["a", "b", "c", "d"])),
        ];
        let batch = RecordBatch::try_new(arrow_schema(&schema), columns).unwrap();
        (schema, batch)
    }

    fn options(schema: &TableSchema) -> WriterOptions {
        WriterOptions {
            table_uuid: Uuid::nil(),
            schema: schema.clone(),
            sort: SortOrder::default(),
            time_field: Some(FieldId(1)),
            level: Level::Fresh,
        }
    }

    #[test]
    fn rows_come_back_through_renamed_widened_dropped_and_added_columns() {
        let (schema, batch) = written();
        let (payload, known) = encode_inline(&batch, &options(&schema)).unwrap();
        assert_eq!((known.rows, known.bytes, known.footer_bytes), (4, payload.len() as u64, 0));
        assert_eq!(known.time_range, Some((1_000, 4_000)));
        assert_eq!(known.statistics.column(FieldId(2)).unwrap().max, Some(Value::Integer(40)));

        let stored = decode_inline("file 7", &payload, 4).unwrap();
        let later = TableSchema {
            no: 4,
            fields: vec![
                field(2, "renamed", FieldType::Double),
                field(1, "at", FieldType::Timestamp(TimeUnit::Micro)),
                Field { initial_default: Some("7".into()), ..field(4, "new", FieldType::Int32) },
            ],
        };
        let vector: DeletionVector = [0, 2].into_iter().collect();
        let left = RowSet::live(Some(Arc::new(vector)));
        let read = read_inline("file 7", &stored, &later, &left).unwrap();
        assert_eq!(read.schema(), arrow_schema(&later));
        let doubles: Vec<_> = read.column(0).as_primitive::<Float64Type>().iter().collect();
        assert_eq!(doubles, [None, Some(40.0)]);
        assert_eq!(read.column(1).as_primitive::<TimestampMicrosecondType>().values(), &[2_000, 4_000]);
        assert_eq!(read.column(2).as_primitive::<arrow::datatypes::Int32Type>().values(), &[7, 7]);
    }

    #[test]
    fn a_damaged_payload_is_corrupt_and_named() {
        let (schema, batch) = written();
        let (payload, _) = encode_inline(&batch, &options(&schema)).unwrap();
        for damaged in [&payload[..payload.len() / 2], &payload[..0], b"no stream at all"] {
            let error = decode_inline("file 7", damaged, 4).unwrap_err();
            assert!(matches!(&error, Error::Corrupt { object, .. } if object == "file 7"), "{error}");
        }
        let error = decode_inline("file 7", &payload, 5).unwrap_err();
        assert!(error.to_string().contains("expected 5 rows, found 4"), "{error}");
    }

    #[test]
    fn an_instant_that_no_file_can_hold_is_refused() {
        let (schema, _) = written();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from(vec![i64::MAX])),
            Arc::new(Int32Array::from(vec![1])),
            Arc::new(StringArray::from(vec!["a"])),
        ];
        let batch = RecordBatch::try_new(arrow_schema(&schema), columns).unwrap();
        assert!(matches!(encode_inline(&batch, &options(&schema)), Err(Error::RowsDoNotFit { .. })));
    }
}
