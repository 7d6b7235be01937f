//! What a Parquet file says of itself: its columns, its rows, and what it knows of their values. No row is read.

use std::ops::Range;
use std::panic::AssertUnwindSafe;

use arrow::array::Array;
use arrow::datatypes::DataType;
use cenote_store::Store;
use cenote_vocab::{FieldId, FieldType, TableSchema};
use futures::FutureExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::RowGroupMetaData;

use crate::checks::PARQUET_TAIL_BYTES;
use crate::file_schema::FileSchema;
use crate::object_reader::ObjectReader;
use crate::reader::{corrupt, failure};
use crate::{Checks, ColumnStatistics, Error, FileStatistics, StoredFile, Value, min_max};

/// Ids from here on are never given to users: columns that Cenote itself puts into files.
const HIDDEN_IDS: FieldId = FieldId(2_147_483_400);
/// Bytes after the footer: its length and the magic number.
const TAIL_BYTES: u64 = PARQUET_TAIL_BYTES as u64;

/// A file's description of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Footer {
    /// Rows.
    pub rows: u64,
    /// Size of the footer in bytes, with its length and the magic number.
    pub footer_bytes: u32,
    /// In the file's order.
    pub columns: Vec<FooterColumn>,
}

/// One column of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FooterColumn {
    /// Its name.
    pub name: String,
    /// Its field id, if the writer gave it one.
    pub id: Option<FieldId>,
    /// Its type, by Parquet's own schema.
    pub data_type: DataType,
    /// NULLs, if every row group counts them.
    pub null_count: Option<u64>,
    /// The smallest and the largest value, if every row group with a value says so; only for types whose order all writers
    /// agree on.
    pub bounds: Option<(Value, Value)>,
}

impl Footer {
    /// What is known of the values if this is a file of a table with these columns, found by their field ids. Else the reason
    /// why it cannot be one.
    pub fn fit(&self, schema: &TableSchema) -> Result<FileStatistics, String> {
        let expected = FileSchema::new(schema);
        for column in self.columns.iter().filter(|column| column.id.is_none_or(|id| id < HIDDEN_IDS)) {
            let id = column.id.ok_or_else(|| format!("column {:?} has no field id", column.name))?;
            let Some(at) = expected.position(id) else {
                return Err(format!(
                    "column {:?} has field id {id}, which the table does not have",
                    column.name
                ));
            };
            let (wanted, given) = (expected.arrow().field(at).data_type(), &column.data_type);
            if wanted != given {
                return Err(format!("column {:?} is {wanted}, got {given}", column.name));
            }
        }
        let mut columns = Vec::with_capacity(schema.fields.len());
        for field in &schema.fields {
            let found = self.columns.iter().find(|column| column.id == Some(field.id));
            if field.required && found.and_then(|column| column.null_count) != Some(0) {
                return Err(format!(
                    "column {:?} is NOT NULL, and the file does not show that it has no NULL",
                    field.name
                ));
            }
            // nothing tells how many NaN a float column holds: it has no statistics then
            let float = matches!(field.field_type, FieldType::Float | FieldType::Double);
            if let Some(column) = found.filter(|_| !float)
                && let Some(null_count) = column.null_count
            {
                let (min, max) = column.bounds.clone().unzip();
                columns.push(ColumnStatistics {
                    field_id: field.id,
                    value_count: self.rows,
                    null_count,
                    nan_count: None,
                    min,
                    max,
                    min_exact: false,
                    max_exact: false,
                });
            }
        }
        columns.sort_unstable_by_key(|column| column.field_id);
        Ok(FileStatistics { columns })
    }
}

/// Some neighbouring rows of a file, and what it says of them alone.
#[derive(Clone, Debug, PartialEq)]
pub struct RowGroup {
    /// Their positions.
    pub rows: Range<u64>,
    /// In the file's order.
    pub columns: Vec<FooterColumn>,
}

/// The row groups of a file, in order. `Corrupt` if it is no Parquet file.
pub async fn read_row_groups(store: &Store, file: &StoredFile) -> Result<Vec<RowGroup>, Error> {
    let read = AssertUnwindSafe(row_groups(store, file)).catch_unwind().await;
    read.unwrap_or_else(|_| Err(corrupt(&file.path, "the decoder panicked")))
}

async fn row_groups(store: &Store, file: &StoredFile) -> Result<Vec<RowGroup>, Error> {
    let known = load(store, file).await?;
    let mut start = 0;
    let mut groups = Vec::with_capacity(known.metadata().num_row_groups());
    for group in known.metadata().row_groups() {
        let rows = u64::try_from(group.num_rows())
            .map_err(|_| corrupt(&file.path, format!("a row group has {} rows", group.num_rows())))?;
        let columns = columns(&known, std::slice::from_ref(group));
        groups.push(RowGroup { rows: start..start + rows, columns });
        start += rows;
    }
    Ok(groups)
}

async fn load(store: &Store, file: &StoredFile) -> Result<ArrowReaderMetadata, Error> {
    let mut reader = ObjectReader::new(store.objects(), file.clone(), None);
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let known = ArrowReaderMetadata::load_async(&mut reader, options).await;
    known.map_err(|error| failure(&file.path, error))
}

/// The description of a file. `Corrupt` if it is none.
pub async fn read_footer(store: &Store, file: &StoredFile) -> Result<Footer, Error> {
    let read = AssertUnwindSafe(read(store, file)).catch_unwind().await;
    read.unwrap_or_else(|_| Err(corrupt(&file.path, "the decoder panicked")))
}

async fn read(store: &Store, file: &StoredFile) -> Result<Footer, Error> {
    let (path, size) = (&file.path, file.bytes);
    if size < TAIL_BYTES {
        return Err(corrupt(path, format!("{size} bytes are no Parquet file")));
    }
    let footer_bytes =
        if file.footer_bytes == 0 { end_bytes(store, path, size).await? } else { file.footer_bytes };
    let known = load(store, &StoredFile { footer_bytes, ..file.clone() }).await?;
    let rows = known.metadata().file_metadata().num_rows();
    let rows = u64::try_from(rows).map_err(|_| corrupt(path, format!("it says that it has {rows} rows")))?;
    Ok(Footer { rows, footer_bytes, columns: columns(&known, known.metadata().row_groups()) })
}

/// Bytes of checksums, if there are any, and footer, by the file's own word.
async fn end_bytes(store: &Store, path: &Path, size: u64) -> Result<u32, Error> {
    let read = async |from: u64, to: u64| {
        let bytes = store.objects().get_range(path, from..to).await;
        bytes.map_err(|source| Error::from(cenote_store::Error::from_store(path, source)))
    };
    let tail = read(size - TAIL_BYTES, size).await?;
    let length = tail.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes))) + TAIL_BYTES;
    let sums = match size.checked_sub(length) {
        None => return Err(corrupt(path, format!("a footer of {length} bytes in {size}"))),
        Some(end) if end < Checks::END_BYTES => 0,
        Some(end) => Checks::bytes(&read(end - Checks::END_BYTES, end).await?),
    };
    u32::try_from(length + sums).map_err(|_| corrupt(path, format!("a footer of {length} bytes")))
}

/// What some row groups say of the columns.
fn columns(known: &ArrowReaderMetadata, groups: &[RowGroupMetaData]) -> Vec<FooterColumn> {
    let nodes = known.parquet_schema().root_schema().get_fields();
    let columns = nodes.iter().zip(known.schema().fields()).map(|(node, field)| {
        let node = node.get_basic_info();
        let (null_count, bounds) = statistics(known, groups, field.name());
        FooterColumn {
            name: field.name().clone(),
            id: node.has_id().then(|| FieldId(node.id())),
            data_type: field.data_type().clone(),
            null_count,
            bounds: bounds.filter(|_| has_one_order(field.data_type())),
        }
    });
    columns.collect()
}

/// NULLs and bounds of a column; nested columns have none.
fn statistics(
    known: &ArrowReaderMetadata,
    groups: &[RowGroupMetaData],
    column: &str,
) -> (Option<u64>, Option<(Value, Value)>) {
    let converter = StatisticsConverter::try_new(column, known.schema(), known.parquet_schema());
    let Some(converter) = converter.ok().filter(|converter| converter.parquet_column_index().is_some())
    else {
        return (None, None);
    };
    let converter = converter.with_missing_null_counts_as_zero(false);
    let nulls = converter.row_group_null_counts(groups).ok().filter(|nulls| nulls.null_count() == 0);
    let Some(nulls) = nulls else { return (None, None) };
    let null_count = nulls.values().iter().sum();
    let (Ok(mins), Ok(maxes)) = (converter.row_group_mins(groups), converter.row_group_maxes(groups)) else {
        return (Some(null_count), None);
    };
    // a group without bounds may hold any value, unless all of its rows are NULL
    let bounded = groups.iter().enumerate().all(|(at, group)| {
        let all_null = u64::try_from(group.num_rows()).is_ok_and(|rows| rows == nulls.value(at));
        all_null || (mins.is_valid(at) && maxes.is_valid(at))
    });
    let bounds = min_max(&mins).zip(min_max(&maxes)).map(|((min, _), (_, max))| (min, max));
    (Some(null_count), bounds.filter(|_| bounded))
}

/// True for types that every writer of Parquet orders in the same way.
fn has_one_order(data_type: &DataType) -> bool {
    data_type.is_signed_integer()
        || matches!(data_type, DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_))
}
