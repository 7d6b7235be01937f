//! Reads a file once. A position is the bytes and rows of it that were read.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use cenote_codec::record::AtBad;
use cenote_vocab::Micros;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use super::SingleFileOptions;
use crate::connector::Column;
use crate::file_reader::{FilePlace, FileReader};
use crate::{Error, Pulled, Reach, Source};

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

    async fn read(&mut self, from: &str, rows_max: usize, now: Micros) -> Result<Pulled, Error> {
        let from = place(&self.name, from)?;
        let part = self.reader.read(&self.path, from, rows_max, now).await?;
        Ok(Pulled {
            batches: part.batches,
            places: part.places,
            bad: part.bad,
            position: format!("{}:{}", part.place.bytes, part.place.rows),
            ended: part.at_end,
            floor: None,
        })
    }

    async fn wait(&self, _from: &str) {}

    async fn committed(&mut self, _position: &str) -> Result<(), Error> {
        Ok(())
    }
}
