//! Readers of the table's files for the engine: their bytes are compared with checksums, what is known of a file is kept between
//! statements, and damage names file and table.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cenote_datafile::{Checks, ObjectReader, StoredFile};
use cenote_vocab::ErrorKind;
use datafusion::common::{HashMap, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{ParquetFileMetrics, ParquetFileReaderFactory};
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadata, FileMetadataCache};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{ObjectMeta, ObjectStore};

use crate::Error;

/// Makes the readers of one scan.
pub(super) struct LakeReaders {
    objects: Arc<dyn ObjectStore>,
    known: Arc<FileMetadataCache>,
    table: Arc<str>,
}

impl LakeReaders {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, known: Arc<FileMetadataCache>, table: String) -> Self {
        Self { objects, known, table: table.into() }
    }
}

impl fmt::Debug for LakeReaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeReaders").field("table", &self.table).finish_non_exhaustive()
    }
}

impl ParquetFileReaderFactory for LakeReaders {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _footer_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let meta = file.object_meta.clone();
        let stored = file.extension::<StoredFile>().cloned();
        let stored = stored.unwrap_or_else(|| StoredFile::of_others(meta.location.clone(), meta.size));
        let checks = known_of(self.known.as_ref(), &meta, |known| known.checks.clone());
        Ok(Box::new(LakeReader {
            reader: ObjectReader::new(self.objects.clone(), stored, checks),
            metrics: ParquetFileMetrics::new(partition, meta.location.as_ref(), metrics),
            known: self.known.clone(),
            table: self.table.clone(),
            meta,
        }))
    }
}

/// What is kept of a file.
struct KnownFile {
    metadata: Arc<ParquetMetaData>,
    checks: Arc<Checks>,
}

impl FileMetadata for KnownFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn memory_size(&self) -> usize {
        self.metadata.memory_size() + self.checks.memory_size()
    }

    fn extra_info(&self) -> HashMap<String, String> {
        HashMap::from([("page_index".to_owned(), has_page_index(&self.metadata).to_string())])
    }
}

fn has_page_index(metadata: &ParquetMetaData) -> bool {
    metadata.column_index().is_some() && metadata.offset_index().is_some()
}

fn known_of<T>(
    known: &FileMetadataCache,
    meta: &ObjectMeta,
    wanted: impl FnOnce(&KnownFile) -> T,
) -> Option<T> {
    let entry = known.get(&meta.location).filter(|entry| entry.is_valid_for(meta))?;
    entry.file_metadata.as_any().downcast_ref().map(wanted)
}

struct LakeReader {
    reader: ObjectReader,
    metrics: ParquetFileMetrics,
    known: Arc<FileMetadataCache>,
    table: Arc<str>,
    meta: ObjectMeta,
}

impl LakeReader {
    async fn metadata(
        &mut self,
        options: Option<&ArrowReaderOptions>,
    ) -> ParquetResult<Arc<ParquetMetaData>> {
        let wants_index =
            options.is_none_or(|options| options.column_index_policy() != PageIndexPolicy::Skip);
        let metadata = match known_of(self.known.as_ref(), &self.meta, |known| known.metadata.clone()) {
            Some(known) if has_page_index(&known) || !wants_index => return Ok(known),
            Some(known) => {
                let metadata = Arc::unwrap_or_clone(known);
                let mut indexes = ParquetMetaDataReader::new_with_metadata(metadata)
                    .with_page_index_policy(PageIndexPolicy::Optional);
                indexes.load_page_index(&mut self.reader).await?;
                Arc::new(indexes.finish()?)
            }
            None => self.reader.get_metadata(options).await?,
        };
        if let Some(checks) = self.reader.checks() {
            let known = Arc::new(KnownFile { metadata: metadata.clone(), checks });
            self.known.put(&self.meta.location, CachedFileMetadataEntry::new(self.meta.clone(), known));
        }
        Ok(metadata)
    }

    /// What is not a failure of the storage is damage.
    fn explained(&self, error: ParquetError) -> ParquetError {
        let reason = match error {
            ParquetError::External(source) => match source.downcast_ref::<object_store::Error>() {
                Some(object_store::Error::NotFound { .. }) => "is missing".to_owned(),
                Some(_) => return ParquetError::External(source),
                None => format!("is damaged: {source}"),
            },
            ParquetError::General(reason) => format!("is damaged: {reason}"),
            other => format!("is damaged: {other}"),
        };
        let text = format!("data file {} of table {} {reason}", self.meta.location, self.table);
        ParquetError::External(Box::new(Error::new(ErrorKind::Corrupt, text)))
    }
}

impl AsyncFileReader for LakeReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.metrics.bytes_scanned.add(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
        async move {
            let read = self.reader.get_bytes(range).await;
            read.map_err(|error| self.explained(error))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let bytes = ranges.iter().map(|range| range.end - range.start).sum::<u64>();
        self.metrics.bytes_scanned.add(usize::try_from(bytes).unwrap_or(usize::MAX));
        async move {
            let read = self.reader.get_byte_ranges(ranges).await;
            read.map_err(|error| self.explained(error))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let read = self.metadata(options).await;
            read.map_err(|error| self.explained(error))
        }
        .boxed()
    }
}

impl Drop for LakeReader {
    fn drop(&mut self) {
        let scanned = &self.metrics.scan_efficiency_ratio;
        scanned.add_part(self.metrics.bytes_scanned.value());
        scanned.set_total(usize::try_from(self.meta.size).unwrap_or(usize::MAX));
    }
}
