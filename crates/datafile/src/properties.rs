//! How files are encoded: the rules of this format, in the library's words.

use std::collections::HashSet;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::record_batch::RecordBatch;
use cenote_vocab::{FieldId, FieldType, SortOrder, TableSchema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{
    BloomFilterPosition, EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::schema::types::ColumnPath;

use crate::file_schema::FileSchema;
use crate::row_ids::{LAST_UPDATED, ROW_ID};
use crate::statistics::COLUMNS_WITH_STATISTICS;
use crate::{Level, WriterOptions};

const ROW_GROUP_ROWS_MAX: usize = 262_144;
/// The same of a run.
const RUN_GROUP_ROWS_MAX: usize = 16_384;
const ROW_GROUP_BYTES_MAX: usize = 128 << 20;
const PAGE_BYTES: usize = 1 << 20;
const PAGE_ROWS: usize = 20_000;
const DICTIONARY_BYTES_MAX: usize = 1 << 20;
/// Bounds of pages and chunks are cut here.
const BOUND_BYTES_MAX: usize = 64;
const BLOOM_FALSE_POSITIVES: f64 = 0.01;
const ZSTD_LEVEL: i32 = 3;
/// Rows of the first batch that decide whether a text column of a fresh file gets a dictionary.
const SAMPLE_ROWS: usize = 1024;
/// A dictionary pays if each value of the sample stands for at least so many rows.
const ROWS_PER_VALUE_MIN: usize = 4;

/// Rows of the first batch that decide how floats of a merged file are encoded, and the fewest that say anything.
const FLOAT_SAMPLE_ROWS: usize = 8192;
const FLOAT_SAMPLE_ROWS_MIN: usize = 256;
/// A dictionary of floats pays if each stands for at least so many rows …
const ROWS_PER_FLOAT_MIN: usize = 2;
/// … and compression if it leaves at most this share.
const PACKED_PERCENT_MAX: usize = 90;

/// The properties of a file that begins with `first`, a batch of `file`'s schema.
pub(crate) fn properties(
    options: &WriterOptions,
    file: &FileSchema,
    first: &RecordBatch,
) -> Result<WriterProperties, ParquetError> {
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_coerce_types(true)
        .set_created_by(format!("cenote {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(vec![
            KeyValue::new("cenote.table_uuid".to_owned(), options.table_uuid.to_string()),
            KeyValue::new("cenote.schema_no".to_owned(), options.schema.no.to_string()),
        ]))
        .set_compression(match options.level {
            Level::Run | Level::Fresh => Compression::LZ4_RAW,
            Level::Merged | Level::Full => Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?),
        })
        .set_max_row_group_row_count(Some(row_group_rows_max(options.level)))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_dictionary_enabled(options.level > Level::Fresh)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(BOUND_BYTES_MAX))
        .set_column_index_truncate_length(Some(BOUND_BYTES_MAX))
        .set_offset_index_disabled(false)
        .set_bloom_filter_position(BloomFilterPosition::End)
        .set_sorting_columns(sorting_columns(&options.sort, file));

    let bounded = (options.level > Level::Run).then(|| page_statistics(options));
    for id in bounded.into_iter().flatten() {
        if let Some(path) = path(file, id) {
            builder = builder.set_column_statistics_enabled(path, EnabledStatistics::Page);
        }
    }
    if options.level <= Level::Fresh {
        builder = dictionaries_that_pay(builder, first);
    } else {
        builder = floats_as_they_pay(builder, first);
        for path in bloom_columns(options).filter_map(|id| path(file, id)) {
            builder = builder
                .set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE_POSITIVES)
                .set_column_bloom_filter_max_ndv(path, ROW_GROUP_ROWS_MAX as u64); // folded to what is there
        }
    }
    let counted = [ROW_ID, LAST_UPDATED];
    for path in delta_column(options).into_iter().chain(counted).filter_map(|id| path(file, id)) {
        builder = builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    Ok(builder.build())
}

/// How many bytes of a file of `rows` rows and `bytes` bytes a reader holds at most of its encoded pages.
pub fn row_group_bytes(level: Level, rows: u64, bytes: u64) -> u64 {
    let group_rows = (row_group_rows_max(level) as u64).min(rows.max(1));
    (bytes.saturating_mul(group_rows) / rows.max(1)).min(ROW_GROUP_BYTES_MAX as u64)
}

fn row_group_rows_max(level: Level) -> usize {
    if level == Level::Run { RUN_GROUP_ROWS_MAX } else { ROW_GROUP_ROWS_MAX }
}

fn path(file: &FileSchema, id: FieldId) -> Option<ColumnPath> {
    let at = file.position(id)?;
    Some(ColumnPath::new(vec![file.arrow().field(at).name().clone()]))
}

/// Columns whose pages have bounds: those that the statistics of the file know too.
fn page_statistics(options: &WriterOptions) -> impl Iterator<Item = FieldId> + '_ {
    let leading = options.schema.fields.iter().take(COLUMNS_WITH_STATISTICS).map(|field| field.id);
    leading.chain(options.sort.fields.iter().map(|field| field.source)).chain(options.time_field)
}

/// Sort columns that a query compares with `=`: texts and integers, but not time.
fn bloom_columns(options: &WriterOptions) -> impl Iterator<Item = FieldId> + '_ {
    let sources = options.sort.fields.iter().map(|field| field.source);
    sources.filter(|id| {
        Some(*id) != options.time_field
            && type_of(&options.schema, *id).is_some_and(|field_type| {
                matches!(
                    field_type,
                    FieldType::String
                        | FieldType::Int8
                        | FieldType::Int16
                        | FieldType::Int32
                        | FieldType::Int64
                        | FieldType::UInt8
                        | FieldType::UInt16
                        | FieldType::UInt32
                        | FieldType::UInt64
                )
            })
    })
}

/// The time column: steps between its values are small.
fn delta_column(options: &WriterOptions) -> Option<FieldId> {
    let field_type = type_of(&options.schema, options.time_field?)?;
    let is_integer =
        matches!(field_type, FieldType::Timestamp(_) | FieldType::TimestampTz(_) | FieldType::Date);
    options.time_field.filter(|_| is_integer)
}

fn type_of(schema: &TableSchema, id: FieldId) -> Option<&FieldType> {
    schema.field_by_id(id).map(|field| &field.field_type)
}

/// As far as the order is on columns that the file has: behind a column of NULLs alone the order goes on.
fn sorting_columns(sort: &SortOrder, file: &FileSchema) -> Option<Vec<SortingColumn>> {
    let columns: Vec<SortingColumn> = sort
        .fields
        .iter()
        .filter_map(|field| {
            Some(SortingColumn {
                column_idx: i32::try_from(file.leaf_position(field.source)?).ok()?,
                descending: field.descending,
                nulls_first: field.nulls_first,
            })
        })
        .collect();
    (!columns.is_empty()).then_some(columns)
}

/// Measured values seldom repeat and often do not get smaller: a sample says whether a dictionary or compression would only
/// cost the time of every reader.
fn floats_as_they_pay(mut builder: WriterPropertiesBuilder, first: &RecordBatch) -> WriterPropertiesBuilder {
    let sample = first.slice(0, first.num_rows().min(FLOAT_SAMPLE_ROWS));
    for (field, column) in first.schema_ref().fields().iter().zip(sample.columns()) {
        let values: Vec<u64> = match column.data_type() {
            DataType::Float64 => {
                column.as_primitive::<Float64Type>().iter().flatten().map(f64::to_bits).collect()
            }
            DataType::Float32 => {
                let values = column.as_primitive::<Float32Type>().iter().flatten();
                values.map(|value| u64::from(value.to_bits())).collect()
            }
            _ => continue,
        };
        if values.len() < FLOAT_SAMPLE_ROWS_MIN {
            continue;
        }
        let distinct = values.iter().collect::<HashSet<_>>().len();
        if distinct * ROWS_PER_FLOAT_MIN <= values.len() {
            continue;
        }
        let path = ColumnPath::new(vec![field.name().clone()]);
        builder = builder.set_column_dictionary_enabled(path.clone(), false);
        let width = column.data_type().primitive_width().unwrap_or(size_of::<f64>());
        let plain: Vec<u8> =
            values.iter().flat_map(|value| value.to_le_bytes().into_iter().take(width)).collect();
        let is_smaller = zstd::bulk::compress(&plain, ZSTD_LEVEL)
            .is_ok_and(|packed| packed.len() * 100 <= plain.len() * PACKED_PERCENT_MAX);
        if !is_smaller {
            builder = builder.set_column_compression(path, Compression::UNCOMPRESSED);
        }
    }
    builder
}

/// Fresh files have dictionaries only where a sample says that they make texts smaller.
fn dictionaries_that_pay(
    mut builder: WriterPropertiesBuilder,
    first: &RecordBatch,
) -> WriterPropertiesBuilder {
    let sample = first.slice(0, first.num_rows().min(SAMPLE_ROWS));
    for (field, column) in first.schema_ref().fields().iter().zip(sample.columns()) {
        if column.data_type() != &DataType::Utf8 {
            continue;
        }
        let texts: HashSet<&str> = column.as_string::<i32>().iter().flatten().collect();
        let rows = column.len() - column.null_count();
        if texts.len() * ROWS_PER_VALUE_MIN <= rows {
            let path = ColumnPath::new(vec![field.name().clone()]);
            builder = builder.set_column_dictionary_enabled(path, true);
        }
    }
    builder
}
