//! Small files that are a function of their rows alone: the same rows give the same bytes, so that the bytes can give the name.

use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};

use crate::Error;

const ZSTD_LEVEL: i32 = 3;
const ROW_GROUP_ROWS: usize = 131_072;

/// A Parquet file of these rows, all in memory; field ids are those of the batch's schema, `metadata` is kept as it is.
pub fn encode_rows(batch: &RecordBatch, metadata: &[(&str, String)]) -> Result<Bytes, Error> {
    let metadata = metadata.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(format!("cenote {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(metadata.collect()))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    // Without the library's own copy of the schema: the file's is enough.
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options)?;
    writer.write(batch)?;
    Ok(writer.into_inner()?.into())
}

/// The rows of a file of [`encode_rows`], as one batch, without what its metadata says.
pub fn decode_rows(file: Bytes) -> Result<RecordBatch, Error> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let schema = Arc::new(Schema::new(reader.schema().fields().clone()));
    let batches = reader.build()?.collect::<Result<Vec<_>, _>>();
    let batches = batches.map_err(ParquetError::from)?;
    Ok(concat_batches(&schema, &batches)?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::{BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, TimeUnit};

    use super::*;
    use crate::FIELD_ID_KEY;

    fn rows(count: i64) -> RecordBatch {
        let field = |name: &str, id: i32, data_type| {
            let id = HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_string())]);
            Field::new(name, data_type, true).with_metadata(id)
        };
        let schema = Schema::new(vec![
            field("n", 1, DataType::Int64),
            field("name", 2, DataType::Utf8),
            field("flag", 3, DataType::Boolean),
            field("at", 4, DataType::Timestamp(TimeUnit::Microsecond, None)),
        ]);
        let texts: StringArray = (0..count).map(|n| (n % 3 > 0).then(|| format!("name {n}"))).collect();
        let flags: BooleanArray = (0..count).map(|n| (n % 2 > 0).then_some(n % 4 > 0)).collect();
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(0..count)),
            Arc::new(texts),
            Arc::new(flags),
            Arc::new(TimestampMicrosecondArray::from_iter_values(0..count)),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    #[test]
    fn the_same_rows_give_the_same_bytes_and_come_back() {
        for count in [0, 1, 1_000] {
            let metadata = [("cenote.table", "a.b".to_owned()), ("cenote.version", "1".to_owned())];
            let bytes = encode_rows(&rows(count), &metadata).unwrap();
            assert_eq!(bytes, encode_rows(&rows(count), &metadata).unwrap());
            assert_eq!(decode_rows(bytes).unwrap(), rows(count));
        }
        assert_ne!(encode_rows(&rows(2), &[]).unwrap(), encode_rows(&rows(3), &[]).unwrap());
    }
}
