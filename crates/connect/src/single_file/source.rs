//! Reads a file once. A position is the bytes and rows of it that were read.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use cenote_codec::record::AtBad;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use super::SingleFileOptions;
use crate::connector::Column;
use crate::file_reader::{FilePlace, FileReader};
use crate::{Error, Pulled, Reach, Source, Wanted};

/// The reader of a file.
pub struct SingleFileSource {
    name: String,
    path: Path,
    reader: FileReader,
}

impl SingleFileSource {
    /// `Denied` if the file is out of reach.
    pub fn open(
        name: &str,
        options: &SingleFileOptions,
        columns: &[Column],
        at_bad: AtBad,
        reach: &Reach,
    ) -> Result<Self, Error> {
        let path = reach.path(&options.path)?;
        let path = Path::from_absolute_path(&path)
            .map_err(|error| Error::Options(format!("path {:?}: {error}", options.path)))?;
        let format = (options.format.clone(), options.compression);
        let reader = FileReader::new(name, Arc::new(LocalFileSystem::new()), format, columns, at_bad)?;
        Ok(Self { name: name.to_owned(), path, reader })
    }
}

/// `bytes:rows`
pub(crate) fn place(name: &str, position: &str) -> Result<FilePlace, Error> {
    if position.is_empty() {
        return Ok(FilePlace::default());
    }
    let parsed = position
        .split_once(':')
        .and_then(|(bytes, rows)| Some(FilePlace { bytes: bytes.parse().ok()?, rows: rows.parse().ok()? }));
    parsed.ok_or_else(|| Error::Position { source_name: name.to_owned(), position: position.to_owned() })
}

#[async_trait]
impl Source for SingleFileSource {
    fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }

    fn node(&self) -> String {
        format!("ext:file:/{}", self.path)
    }

    async fn read(&mut self, from: &str, wanted: Wanted) -> Result<Pulled, Error> {
        let from = place(&self.name, from)?;
        let part = self.reader.read(&self.path, from, wanted.rows_max, wanted.now).await?;
        let position = format!("{}:{}", part.place.bytes, part.place.rows);
        let (places, bad, ended) = (part.places, part.bad, part.at_end);
        Ok(Pulled { places, bad, ended, ..Pulled::of(part.batches, position) })
    }

    async fn wait(&self, _from: &str) {}

    async fn committed(&mut self, _position: &str) -> Result<(), Error> {
        Ok(())
    }
}
