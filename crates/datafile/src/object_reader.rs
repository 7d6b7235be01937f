//! Ranges of an object, for the Parquet library; what is read is compared with the checksums of the file.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::Checks;
use crate::checks::BLOCK_BYTES;

/// Read with the footer at once: most footers are smaller, with the indexes before them.
const FOOTER_HINT_BYTES: usize = 64 << 10;

/// What is known of a file's object before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Path below the root.
    pub path: Path,
    /// Size in bytes.
    pub bytes: u64,
    /// Size of what stands behind the data: checksums, footer, its length and the magic number. 0 if that is not known, as of
    /// the files of others: then nothing is compared.
    pub footer_bytes: u32,
}

impl StoredFile {
    /// A file of which only the size is known.
    pub fn of_others(path: Path, bytes: u64) -> Self {
        Self { path, bytes, footer_bytes: 0 }
    }

    /// Where the part with the footer begins.
    pub(crate) fn data_end(&self) -> u64 {
        self.bytes.saturating_sub(u64::from(self.footer_bytes))
    }
}

/// An object of known size.
pub struct ObjectReader {
    objects: Arc<dyn ObjectStore>,
    file: StoredFile,
    /// Read with the first bytes, if they were not known before.
    checks: Option<Arc<Checks>>,
}

impl ObjectReader {
    /// Nothing is read yet. `checks` as another reader of the same file knows them.
    pub fn new(objects: Arc<dyn ObjectStore>, file: StoredFile, checks: Option<Arc<Checks>>) -> Self {
        let checks = checks.or_else(|| (file.footer_bytes == 0).then(|| Checks::none(&file)));
        Self { objects, file, checks }
    }

    /// What the file is compared with, if it was read already.
    pub fn checks(&self) -> Option<Arc<Checks>> {
        self.checks.clone()
    }

    /// A range outside of the object comes from a damaged footer: that is no failure of the store.
    fn check(&self, range: &Range<u64>) -> Result<()> {
        if range.start <= range.end && range.end <= self.file.bytes {
            Ok(())
        } else {
            Err(ParquetError::EOF(format!("bytes {range:?} of {}", self.file.bytes)))
        }
    }

    /// A store refuses to read behind an object's end: if the object has another size than known, that is the finding.
    async fn explained<T>(&self, read: object_store::Result<T>) -> Result<T> {
        let error = match read {
            Ok(read) => return Ok(read),
            Err(error) => error,
        };
        match self.objects.head(&self.file.path).await {
            Ok(object) if object.size != self.file.bytes => {
                let (expected, found) = (self.file.bytes, object.size);
                Err(ParquetError::General(format!("expected {expected} bytes, found {found}")))
            }
            _ => Err(error.into()),
        }
    }

    /// The bytes from `start` to the end, and with them what the file is compared with.
    async fn end_from(&mut self, start: u64) -> Result<Bytes> {
        let first = self.file.data_end().min(start - start % BLOCK_BYTES);
        let read = self.objects.get_range(&self.file.path, first..self.file.bytes).await;
        let bytes = self.explained(read).await?;
        let place = |at: u64| usize::try_from(at - first).unwrap_or(usize::MAX).min(bytes.len());
        let tail = &bytes[place(self.file.data_end())..];
        let checks = Checks::read(&self.file, tail).map_err(ParquetError::General)?;
        checks.compare(first, &bytes).map_err(ParquetError::General)?;
        self.checks = Some(checks);
        Ok(bytes.slice(place(start)..))
    }

    /// What the file is compared with; reads it if it is not known.
    async fn known_checks(&mut self) -> Result<Arc<Checks>> {
        if self.checks.is_none() {
            self.end_from(self.file.data_end()).await?;
        }
        self.checks.clone().ok_or_else(|| ParquetError::General("it has no footer".to_owned()))
    }
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            self.check(&range)?;
            if self.checks.is_none() && range.end == self.file.bytes && range.start <= self.file.data_end() {
                return self.end_from(range.start).await;
            }
            let mut found = self.get_byte_ranges(vec![range]).await?;
            found.pop().ok_or_else(|| ParquetError::General("the store answered nothing".to_owned()))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            ranges.iter().try_for_each(|range| self.check(range))?;
            let checks = self.known_checks().await?;
            let whole = merged(ranges.iter().map(|range| checks.widened(range)).collect());
            let read = self.objects.get_ranges(&self.file.path, &whole).await;
            let found = self.explained(read).await?;
            for (whole, bytes) in whole.iter().zip(&found) {
                checks.compare(whole.start, bytes).map_err(ParquetError::General)?;
            }
            let part = |range: &Range<u64>| {
                let at = whole.partition_point(|whole| whole.start <= range.start).checked_sub(1)?;
                let (first, bytes) = (whole[at].start, found.get(at)?);
                let place = |at: u64| usize::try_from(at - first).unwrap_or(usize::MAX).min(bytes.len());
                Some(bytes.slice(place(range.start)..place(range.end)))
            };
            let parts: Option<Vec<Bytes>> = ranges.iter().map(part).collect();
            parts.ok_or_else(|| ParquetError::General("the store answered too little".to_owned()))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.file.bytes;
            let hint = FOOTER_HINT_BYTES.max(self.file.footer_bytes as usize);
            let mut reader = ParquetMetaDataReader::new()
                .with_metadata_options(options.map(|options| options.metadata_options().clone()))
                .with_prefetch_hint(Some(hint));
            if let Some(options) = options {
                reader = reader
                    .with_column_index_policy(options.column_index_policy())
                    .with_offset_index_policy(options.offset_index_policy());
            }
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

/// The ranges in order, those that share bytes as one: no block is read or compared twice.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start < last.end || range.start == last.start => {
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_share_bytes_become_one() {
        for (given, expected) in [
            (vec![0..4, 4..8], "[0..4, 4..8]"),
            (vec![4..8, 0..5], "[0..8]"),
            (vec![0..9, 2..3, 12..14], "[0..9, 12..14]"),
            (vec![3..3, 3..5], "[3..5]"),
            (vec![0..2, 2..2], "[0..2, 2..2]"),
        ] {
            assert_eq!(format!("{:?}", merged(given)), expected);
        }
    }
}
