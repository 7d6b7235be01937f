//! Writes one Parquet file.

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use cenote_store::{Store, Upload};
use cenote_vocab::{FieldId, FieldType, SortOrder, TableSchema};
use object_store::path::Path;
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use uuid::Uuid;

use crate::checks::{PARQUET_TAIL_BYTES, Summing};
use crate::file_schema::FileSchema;
use crate::properties::properties;
use crate::{Error, FileStatistics, StatisticsCollector, Value};

/// Rows encoded at once: between two steps the size of the row group is checked and a full one is sent.
const STEP_ROWS: usize = 16_384;

/// How much work goes into a file: fresh files are cheap to write, compacted ones cheap to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A sorted run that a merge reads again, and no file of the table: LZ4, nothing to find rows by, small row groups, as many
    /// runs are open at a time.
    Run = -1,
    /// Flush and small inserts: LZ4, no bloom filters.
    Fresh = 0,
    /// First merge.
    Merged = 1,
    /// Full size.
    Full = 2,
}

/// How to write a file.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Goes into the file's metadata.
    pub table_uuid: Uuid,
    /// The columns, exactly those of every batch, in order; those of [`crate::with_row_ids`] where rows keep their identity.
    pub schema: TableSchema,
    /// The order in which rows arrive, announced in the file.
    pub sort: SortOrder,
    /// Column of `time_range`.
    pub time_field: Option<FieldId>,
    /// Encoding effort.
    pub level: Level,
}

/// A file that is complete and durable in the store.
#[derive(Clone, Debug)]
pub struct WrittenFile {
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Size in bytes of the checksums and the footer: so much from the end on is enough to read the file's metadata.
    pub footer_bytes: u32,
    /// What is known of its columns.
    pub statistics: FileStatistics,
    /// Smallest and largest value of the time column in µs; finer values are rounded outwards.
    pub time_range: Option<(i64, i64)>,
}

/// Writes batches into one object; nothing is visible before [`ParquetWriter::finish`].
///
/// Memory: the encoded pages of one row group (at most 128 MiB), and the parts that are on their way to the store.
pub struct ParquetWriter {
    store: Store,
    path: Path,
    options: WriterOptions,
    file: FileSchema,
    statistics: StatisticsCollector,
    rows: u64,
    bytes_estimate: u64,
    /// Made by the first rows, whose values choose encodings. Never locked: the mutex makes the writer `Sync`, so that
    /// tasks that hold it may change threads.
    begun: Mutex<Option<Begun>>,
}

/// A file with rows.
struct Begun {
    encoder: ArrowWriter<Vec<u8>>,
    upload: Upload,
    summing: Summing,
    bytes: u64,
}

impl ParquetWriter {
    /// Begins the file at `path`.
    pub async fn create(store: &Store, path: Path, options: WriterOptions) -> Result<Self, Error> {
        Ok(Self {
            store: store.clone(),
            path,
            file: FileSchema::new(&options.schema),
            statistics: StatisticsCollector::with_columns(&options.schema, &also(&options)),
            options,
            rows: 0,
            bytes_estimate: 0,
            begun: Mutex::new(None),
        })
    }

    /// Adds rows. Encoding runs on the calling task: call it where CPU work belongs. After an error drop the writer.
    ///
    /// `SchemaChanged` if the batch is not of the table's [`crate::arrow_schema`]; `RowsDoNotFit` if it has a NULL in a
    /// required column, or an instant that no timestamp of a file can hold.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let path = || self.path.to_string();
        self.file.check(batch).map_err(|reason| Error::SchemaChanged { path: path(), reason })?;
        let rows = self.file.to_file(batch).map_err(|reason| Error::RowsDoNotFit { path: path(), reason })?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if self.begun.get_mut().is_none() {
            let encoder = self.encoder(&rows)?;
            let upload = self.store.upload(&self.path).await?;
            *self.begun.get_mut() = Some(Begun { encoder, upload, summing: Summing::default(), bytes: 0 });
        }
        let Some(begun) = self.begun.get_mut() else { return Ok(()) };
        self.statistics.add(batch);
        self.rows += rows.num_rows() as u64;
        for start in (0..rows.num_rows()).step_by(STEP_ROWS) {
            let step = rows.slice(start, STEP_ROWS.min(rows.num_rows() - start));
            begun.write(&step).await?;
        }
        self.bytes_estimate = (begun.encoder.bytes_written() + begun.encoder.in_progress_size()) as u64;
        Ok(())
    }

    /// Bytes written or buffered so far, an estimate of the file's size.
    pub fn bytes_estimate(&self) -> u64 {
        self.bytes_estimate
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Completes the file; `None` if there were no rows (then no object is left).
    pub async fn finish(self) -> Result<Option<WrittenFile>, Error> {
        let Some(begun) = self.begun.into_inner() else { return Ok(None) };
        let (bytes, footer_bytes) = begun.finish().await?;
        let statistics = self.statistics.finish();
        let time_range =
            self.options.time_field.and_then(|id| time_range(&statistics, &self.options.schema, id));
        Ok(Some(WrittenFile { rows: self.rows, bytes, footer_bytes, statistics, time_range }))
    }

    fn encoder(&self, first: &RecordBatch) -> Result<ArrowWriter<Vec<u8>>, Error> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties(&self.options, &self.file, first)?)
            .with_parquet_schema(self.file.parquet()?);
        Ok(ArrowWriter::try_new_with_options(Vec::new(), self.file.arrow().clone(), options)?)
    }
}

impl Begun {
    async fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        let row_groups = self.encoder.flushed_row_groups().len();
        self.encoder.write(rows)?;
        if self.encoder.flushed_row_groups().len() != row_groups {
            self.send().await?;
        }
        Ok(())
    }

    fn take_encoded(&mut self) -> Result<Bytes, Error> {
        self.encoder.sync().map_err(ParquetError::from)?;
        Ok(Bytes::from(std::mem::take(self.encoder.inner_mut())))
    }

    /// Hands over rows that are encoded.
    async fn send(&mut self) -> Result<(), Error> {
        let encoded = self.take_encoded()?;
        self.summing.add(&encoded);
        self.hand_over(encoded).await
    }

    async fn hand_over(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.bytes += bytes.len() as u64;
        Ok(self.upload.write(bytes).await?)
    }

    /// Sizes of the file, and of its checksums and footer.
    async fn finish(mut self) -> Result<(u64, u32), Error> {
        self.encoder.finish()?;
        let mut data = self.take_encoded()?;
        let no_footer = || ParquetError::General("the encoder wrote no footer".to_owned());
        let [.., a, b, c, d, _, _, _, _] = *data else { return Err(no_footer().into()) };
        let footer_bytes = u32::from_le_bytes([a, b, c, d]) as usize + PARQUET_TAIL_BYTES;
        let footer = data.split_off(data.len().checked_sub(footer_bytes).ok_or_else(no_footer)?);
        self.summing.add(&data);
        self.hand_over(data).await?;
        let sums = Bytes::from(std::mem::take(&mut self.summing).finish(&footer));
        let footer_bytes = u32::try_from(sums.len() + footer.len())
            .map_err(|_| ParquetError::General("the footer is larger than 4 GiB".to_owned()))?;
        self.hand_over(sums).await?;
        self.hand_over(footer).await?;
        self.upload.finish().await?;
        Ok((self.bytes, footer_bytes))
    }
}

/// Columns that have statistics wherever they stand.
pub(crate) fn also(options: &WriterOptions) -> Vec<FieldId> {
    options.sort.fields.iter().map(|field| field.source).chain(options.time_field).collect()
}

/// The range of the time column in µs. `None` if it has no value, is no timestamp or date, or exceeds 64 bits of µs.
pub(crate) fn time_range(
    statistics: &FileStatistics,
    schema: &TableSchema,
    id: FieldId,
) -> Option<(i64, i64)> {
    let column = statistics.column(id)?;
    let (Some(Value::Integer(min)), Some(Value::Integer(max))) = (&column.min, &column.max) else {
        return None;
    };
    let micros_per_day = 86_400_000_000;
    let (min, max) = match schema.field_by_id(id)?.field_type {
        FieldType::Date => (min.checked_mul(micros_per_day)?, max.checked_mul(micros_per_day)?),
        FieldType::Timestamp(unit) | FieldType::TimestampTz(unit) => {
            let (units, micros) = (crate::value::per_second(unit), 1_000_000);
            (min.checked_mul(micros)?.div_euclid(units), -(-max.checked_mul(micros)?).div_euclid(units))
        }
        _ => return None,
    };
    Some((i64::try_from(min).ok()?, i64::try_from(max).ok()?))
}
