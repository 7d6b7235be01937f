//! Reads a file from a place in it on: records with their numbers, whatever the store, compression and format.

use std::io::Read as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use cenote_codec::record::{AtBad, DecodedRecords, Decoder, RECORD_BYTES_MAX, RecordFormat, split};
use cenote_datafile::{ObjectReader, StoredFile};
use cenote_vocab::Micros;
use flate2::read::MultiGzDecoder;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use crate::connector::{Column, sql_type};
use crate::format::FileFormat;
use crate::{BadRow, Error, RowPlace, RowPlaces, logged, stamped};

/// Bytes that are read at once; more if a record is longer.
const CHUNK_BYTES: u64 = 4 << 20;
/// Records that are decoded at once.
const BATCH_ROWS: usize = 8192;
/// Bytes of a compressed file when it is not.
const PLAIN_BYTES_MAX: u64 = 1 << 30;

/// `source.compression`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileCompression {
    /// As it is.
    None,
    /// Members of gzip.
    Gzip,
    /// Frames of zstd.
    Zstd,
}

/// What a file tells of a row beside its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metadata {
    /// The file.
    Path,
    /// Its number in the file, from 0.
    Row,
}

/// Where a reader stands in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FilePlace {
    /// Bytes of it, decompressed; 0 in a format with rows of its own.
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct FilePart {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) places: Vec<RowPlaces>,
    pub(crate) bad: Vec<BadRow>,
    /// Behind it.
    pub(crate) place: FilePlace,
    pub(crate) at_end: bool,
}

/// Reads files of one source. What it keeps only saves work.
pub(crate) struct FileReader {
    source_name: String,
    objects: Arc<dyn ObjectStore>,
    format: FileFormat,
    compression: FileCompression,
    at_bad: AtBad,
    /// Columns that stand in the files.
    stored: SchemaRef,
    /// Of each column of the table: what the file tells, or the next stored one.
    columns: Vec<Option<Metadata>>,
    schema: SchemaRef,
    /// The file that was decompressed last.
    plain: Option<(Path, Bytes)>,
    /// The decoder for a file with a header.
    headed: Option<(Path, Decoder)>,
}

/// The column that a file tells, if it is of the type that it tells.
fn metadata_of(column: &Column) -> Result<Option<Metadata>, Error> {
    let Some(key) = &column.metadata else { return Ok(None) };
    let (metadata, expected) = match key.as_str() {
        "path" => (Metadata::Path, DataType::Utf8),
        "row" => (Metadata::Row, DataType::Int64),
        other => {
            return Err(Error::Options(format!("unknown metadata field '{other}'; there are path, row")));
        }
    };
    if *column.field.data_type() != expected {
        return Err(Error::Options(format!(
            "incorrect data type for metadata field '{key}'; expected {}, but found {}",
            sql_type(&expected),
            sql_type(column.field.data_type())
        )));
    }
    Ok(Some(metadata))
}

/// Fails if files of this format cannot have these columns.
pub(crate) fn check_columns(format: &FileFormat, columns: &[Column]) -> Result<(), Error> {
    for column in columns {
        metadata_of(column)?;
    }
    format.check(&stored(columns))
}

fn stored(columns: &[Column]) -> SchemaRef {
    let stored = columns.iter().filter(|column| column.metadata.is_none());
    Arc::new(Schema::new(stored.map(|column| column.field.clone()).collect::<Vec<_>>()))
}

impl FileReader {
    pub(crate) fn new(
        source_name: &str,
        objects: Arc<dyn ObjectStore>,
        (format, compression): (FileFormat, FileCompression),
        columns: &[Column],
        at_bad: AtBad,
    ) -> Result<Self, Error> {
        let all = Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>());
        Ok(Self {
            source_name: source_name.to_owned(),
            objects,
            compression,
            at_bad,
            stored: stored(columns),
            columns: columns.iter().map(metadata_of).collect::<Result<_, _>>()?,
            schema: if format.is_changelog() { logged(&all) } else { stamped(&all) },
            format,
            plain: None,
            headed: None,
        })
    }

    /// Columns of its batches.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// At most `rows_max` rows from a place on; each happens `now`.
    pub(crate) async fn read(
        &mut self,
        path: &Path,
        from: FilePlace,
        rows_max: usize,
        now: Micros,
    ) -> Result<FilePart, Error> {
        match self.format.clone() {
            FileFormat::Parquet(_) => {
                // The file is anybody's, and the library panics on some damage.
                let read = AssertUnwindSafe(self.read_parquet(path, from, rows_max, now)).catch_unwind();
                read.await.unwrap_or_else(|_| Err(self.unreadable(path, "the decoder panicked".to_owned())))
            }
            FileFormat::Records(format) => self.read_records(&format, path, from, rows_max, now).await,
        }
    }

    async fn read_records(
        &mut self,
        format: &RecordFormat,
        path: &Path,
        from: FilePlace,
        rows_max: usize,
        now: Micros,
    ) -> Result<FilePart, Error> {
        let bytes = self.bytes(path).await?;
        let partition: Arc<str> = path.to_string().into();
        let decoder = self.decoder(format, path, bytes).await?;
        let mut part = FilePart { place: from, ..FilePart::default() };
        let (mut rows, mut wanted) = (0, CHUNK_BYTES);
        while rows < rows_max {
            let (chunk, at_end) = self.chunk(path, bytes, part.place.bytes, wanted).await?;
            if *format == RecordFormat::Csv && part.place.bytes == 0 {
                let (header, taken) = split(format, &chunk, at_end, 1)?;
                if header.is_empty() && !at_end {
                    wanted *= 2;
                    continue;
                }
                part.place.bytes = taken as u64;
                part.at_end = at_end && taken == chunk.len();
                if part.at_end {
                    break;
                }
                continue;
            }
            let (records, taken) = split(format, &chunk, at_end, BATCH_ROWS.min(rows_max - rows))?;
            if records.is_empty() {
                part.at_end = at_end;
                if at_end {
                    break;
                }
                wanted = (wanted * 2).min(RECORD_BYTES_MAX as u64 + 1);
                continue;
            }
            let (at_bad, this, all) = (self.at_bad, decoder.clone(), chunk.clone());
            let ranges = records.clone();
            let decoded = tokio::task::spawn_blocking(move || {
                let records: Vec<&[u8]> = ranges.into_iter().map(|range| &all[range]).collect();
                this.decode(&records, at_bad)
            });
            let DecodedRecords { batches, records: rows_of, bad } =
                decoded.await.map_err(|error| self.unreadable(path, error.to_string()))?;
            let place = |number: usize| RowPlace {
                partition: partition.clone(),
                offset: part.place.rows + number as u64,
            };
            // Records that say nothing are read over, or an epoch of them would look like the end of what is there.
            let says_something = !bad.is_empty() || batches.iter().any(|(_, batch)| batch.num_rows() > 0);
            for (number, reason) in bad {
                part.bad.push(BadRow::new(place(number), &chunk[records[number].clone()], reason));
            }
            let mut rows_of = rows_of.into_iter();
            for (number, batch) in batches {
                let places = match rows_of.next() {
                    Some(rows_of) => {
                        let offsets = rows_of.iter().map(|record| part.place.rows + *record as u64);
                        RowPlaces::each(partition.clone(), offsets.collect())
                    }
                    None => RowPlaces::behind(place(number)),
                };
                part.batches.push(self.complete(&batch, &places, now)?);
                part.places.push(places);
            }
            rows += if says_something { records.len() } else { 0 };
            part.place.rows += records.len() as u64;
            part.place.bytes += taken as u64;
            part.at_end = at_end && taken == chunk.len();
            if part.at_end || (self.at_bad == AtBad::Stop && !part.bad.is_empty()) {
                break;
            }
        }
        Ok(part)
    }

    /// The decoder, with the places of the columns if the file says them.
    async fn decoder(&mut self, format: &RecordFormat, path: &Path, bytes: u64) -> Result<Decoder, Error> {
        let decoder = Decoder::new(format.clone(), self.stored.clone())?;
        if *format != RecordFormat::Csv {
            return Ok(decoder);
        }
        if let Some((headed, decoder)) = &self.headed
            && headed == path
        {
            return Ok(decoder.clone());
        }
        let (chunk, at_end) = self.chunk(path, bytes, 0, CHUNK_BYTES).await?;
        let (header, _) = split(format, &chunk, at_end, 1)?;
        let header = header.first().map(|header| chunk.slice(header.clone())).unwrap_or_default();
        let decoder =
            decoder.with_header(&header).map_err(|error| self.unreadable(path, error.to_string()))?;
        self.headed = Some((path.clone(), decoder.clone()));
        Ok(decoder)
    }

    fn unreadable(&self, path: &Path, reason: String) -> Error {
        Error::Unreadable { source_name: self.source_name.clone(), path: path.to_string(), reason }
    }

    fn failed(&self, path: &Path, error: object_store::Error) -> Error {
        match cenote_store::Error::from_store(path, error) {
            cenote_store::Error::Missing { path } => {
                Error::Missing { source_name: self.source_name.clone(), path }
            }
            error => error.into(),
        }
    }

    /// Bytes of the file, decompressed.
    async fn bytes(&mut self, path: &Path) -> Result<u64, Error> {
        if self.compression == FileCompression::None {
            return Ok(self.objects.head(path).await.map_err(|error| self.failed(path, error))?.size);
        }
        if let Some((plain, bytes)) = &self.plain
            && plain == path
        {
            return Ok(bytes.len() as u64);
        }
        let packed = self.objects.get(path).await.map_err(|error| self.failed(path, error))?;
        let packed = packed.bytes().await.map_err(|error| self.failed(path, error))?;
        let compression = self.compression;
        let plain = tokio::task::spawn_blocking(move || unpack(compression, &packed)).await;
        let plain = plain
            .map_err(|error| error.to_string())
            .and_then(|plain| plain)
            .map_err(|reason| self.unreadable(path, reason))?;
        let bytes = plain.len() as u64;
        self.plain = Some((path.clone(), plain));
        Ok(bytes)
    }

    /// Bytes from a place on, and whether the file ends with them.
    async fn chunk(&self, path: &Path, bytes: u64, from: u64, wanted: u64) -> Result<(Bytes, bool), Error> {
        if from > bytes {
            let reason = format!("{path} has {bytes} bytes, {from} of it were read");
            return Err(Error::Gone { source_name: self.source_name.clone(), reason });
        }
        let to = bytes.min(from.saturating_add(wanted));
        let chunk = match &self.plain {
            Some((plain, bytes)) if plain == path => bytes.slice(from as usize..to as usize),
            _ if from == to => Bytes::new(),
            _ => self.objects.get_range(path, from..to).await.map_err(|error| self.failed(path, error))?,
        };
        Ok((chunk, to == bytes))
    }

    async fn read_parquet(
        &self,
        path: &Path,
        from: FilePlace,
        rows_max: usize,
        now: Micros,
    ) -> Result<FilePart, Error> {
        let unreadable = |error: parquet::errors::ParquetError| self.unreadable(path, error.to_string());
        let size = self.objects.head(path).await.map_err(|error| self.failed(path, error))?.size;
        let file = StoredFile::of_others(path.clone(), size);
        let reader = ObjectReader::new(self.objects.clone(), file, None);
        let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(unreadable)?;
        let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let is_wanted =
            |name: &str| self.stored.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
        let roots: Vec<usize> = builder
            .schema()
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| is_wanted(field.name()))
            .map(|(at, _)| at)
            .collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let offset = usize::try_from(from.rows).unwrap_or(usize::MAX);
        let stream = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        let stream = stream.with_offset(offset).with_limit(rows_max).build().map_err(unreadable)?;
        let read: Vec<RecordBatch> = stream.try_collect().await.map_err(unreadable)?;
        let partition: Arc<str> = path.to_string().into();
        let mut part = FilePart { place: from, ..FilePart::default() };
        for batch in read {
            let place = RowPlace { partition: partition.clone(), offset: part.place.rows };
            let columns = self.stored.fields().iter().map(|field| column_of(&batch, field));
            let columns = columns
                .collect::<Result<Vec<_>, _>>()
                .and_then(|columns| RecordBatch::try_new(self.stored.clone(), columns))
                .map_err(|error| self.unreadable(path, error.to_string()))?;
            let places = RowPlaces::behind(place);
            part.place.rows += batch.num_rows() as u64;
            part.batches.push(self.complete(&columns, &places, now)?);
            part.places.push(places);
        }
        part.at_end = part.place.rows >= total;
        Ok(part)
    }

    /// The stored columns with what the file tells between them, and the event time behind.
    fn complete(&self, batch: &RecordBatch, places: &RowPlaces, now: Micros) -> Result<RecordBatch, Error> {
        let rows = batch.num_rows();
        let mut stored = batch.columns().iter();
        let told = |metadata: Metadata| -> ArrayRef {
            match metadata {
                Metadata::Path => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
                    places.partition().as_ref(),
                    rows,
                ))),
                Metadata::Row => {
                    let numbers = (0..rows).map(|at| i64::try_from(places.offset(at)).unwrap_or(i64::MAX));
                    Arc::new(Int64Array::from_iter_values(numbers))
                }
            }
        };
        let mut columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .filter_map(|column| match column {
                Some(metadata) => Some(told(*metadata)),
                None => stored.next().cloned(),
            })
            .collect();
        columns.push(Arc::new(TimestampMicrosecondArray::from(vec![now.0; rows])));
        // What becomes of the rows stands behind them.
        if let Some(changes) = stored.next().and_then(|changes| changes.as_primitive_opt::<Int64Type>()) {
            columns.push(Arc::new(changes.unary::<_, Int64Type>(i64::signum)));
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// The column of a file under a name in any case, in the declared type; NULL if it is not there.
fn column_of(batch: &RecordBatch, field: &Field) -> Result<ArrayRef, arrow::error::ArrowError> {
    let schema = batch.schema();
    let found = schema.fields().iter().position(|given| given.name().eq_ignore_ascii_case(field.name()));
    let Some(at) = found else { return Ok(new_null_array(field.data_type(), batch.num_rows())) };
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(batch.column(at), field.data_type(), &exact)
}

/// The plain bytes of a file, at most [`PLAIN_BYTES_MAX`].
fn unpack(compression: FileCompression, packed: &[u8]) -> Result<Bytes, String> {
    let mut plain = Vec::new();
    let limit = PLAIN_BYTES_MAX + 1;
    let read = match compression {
        FileCompression::None => return Ok(Bytes::copy_from_slice(packed)),
        FileCompression::Gzip => MultiGzDecoder::new(packed).take(limit).read_to_end(&mut plain),
        FileCompression::Zstd => zstd::stream::read::Decoder::with_buffer(packed)
            .and_then(|decoder| decoder.take(limit).read_to_end(&mut plain)),
    };
    read.map_err(|error| format!("cannot be decompressed: {error}"))?;
    if plain.len() as u64 > PLAIN_BYTES_MAX {
        return Err(format!("is larger than {PLAIN_BYTES_MAX} bytes when decompressed"));
    }
    Ok(plain.into())
}
