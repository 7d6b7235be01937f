//! Appends to a file. The state is its length: what is behind it at a start belongs to no commit and is cut off.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use arrow::datatypes::Schema;
use async_trait::async_trait;
use bytes::Bytes;
use cenote_codec::record::{RecordFormat, encode, header};

use super::SingleFileOptions;
use crate::format::FileFormat;
use crate::sink::{EpochRows, Sink, SinkClass};
use crate::{Error, Reach};

/// The writer of a file. The pipeline's first start makes it anew.
pub struct SingleFileSink {
    name: String,
    path: PathBuf,
    format: RecordFormat,
    header: Vec<u8>,
}

impl SingleFileSink {
    /// `Denied` if the file is out of reach.
    pub fn open(
        name: &str,
        options: &SingleFileOptions,
        columns: &Schema,
        reach: &Reach,
    ) -> Result<Self, Error> {
        let path = reach.path(&options.path)?;
        let FileFormat::Records(format) = options.format.clone() else {
            return Err(Error::Options("format 'parquet' cannot be appended to".to_owned()));
        };
        let header = header(&format, columns)?;
        Ok(Self { name: name.to_owned(), path, format, header })
    }

    fn length(&self, state: &str) -> Result<u64, Error> {
        if state.is_empty() {
            return Ok(0);
        }
        state.parse().map_err(|_| Error::SinkChanged {
            sink_name: self.name.clone(),
            reason: format!("its state {state:?} is none of its own"),
        })
    }

    /// Does something with the file on a thread that may wait.
    async fn with_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        let failed = |reason: String| Error::SinkUnavailable {
            sink_name: self.name.clone(),
            reason: format!("{}: {reason}", self.path.display()),
        };
        done.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }
}

/// The file, with a name that survives a power cut.
fn opened(path: &Path) -> std::io::Result<File> {
    let is_new = !path.exists();
    if is_new && let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    if is_new && let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

#[async_trait]
impl Sink for SingleFileSink {
    fn class(&self) -> SinkClass {
        SinkClass::Finish
    }

    async fn restore(&mut self, state: &str) -> Result<(), Error> {
        let length = self.length(state)?;
        let found = self.with_file(move |path| {
            let file = opened(path)?;
            let found = file.metadata()?.len();
            if found > length {
                file.set_len(length)?;
                file.sync_all()?;
            }
            Ok(found)
        });
        match found.await? {
            found if found < length => Err(Error::SinkChanged {
                sink_name: self.name.clone(),
                reason: format!("{} has {found} bytes, {length} were committed", self.path.display()),
            }),
            _ => Ok(()),
        }
    }

    async fn stage(&mut self, state: &str, rows: EpochRows<'_>) -> Result<String, Error> {
        let length = self.length(state)?;
        if rows.rows.is_empty() {
            return Ok(state.to_owned());
        }
        let mut lines = if length == 0 { self.header.clone() } else { Vec::new() };
        for batch in rows.rows {
            encode(&self.format, batch, &mut lines)?;
        }
        let added = lines.len() as u64;
        let lines = Bytes::from(lines);
        self.with_file(move |path| {
            let mut file = opened(path)?;
            file.set_len(length)?; // rows of an attempt that was not committed
            file.seek(SeekFrom::Start(length))?;
            file.write_all(&lines)?;
            file.sync_all()
        })
        .await?;
        Ok((length + added).to_string())
    }

    async fn finish(&mut self, _state: &str) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field};
    use arrow::record_batch::RecordBatch;
    use cenote_codec::record::JsonOptions;
    use cenote_vocab::Micros;

    use super::*;
    use crate::{Closing, FileCompression};

    fn sink(path: &Path, format: RecordFormat) -> (SingleFileSink, Arc<Schema>) {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let options = SingleFileOptions {
            path: path.display().to_string(),
            format: FileFormat::Records(format),
            compression: FileCompression::None,
        };
        let sink = SingleFileSink::open("s", &options, &schema, &Reach::Everything).expect("opens");
        (sink, schema)
    }

    async fn stage(sink: &mut SingleFileSink, schema: &Arc<Schema>, state: &str, rows: &[i64]) -> String {
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(rows.to_vec()))]);
        let rows = [batch.expect("a batch")];
        let rows = EpochRows { epoch: 1, now: Micros(0), rows: &rows, closing: Closing::Open };
        sink.stage(state, rows).await.expect("stages")
    }

    #[tokio::test]
    async fn what_no_commit_knows_is_cut_off() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("new/out.json");
        let (mut sink, schema) = sink(&path, RecordFormat::Json(JsonOptions::default()));
        sink.restore("").await.expect("makes the file");
        let first = stage(&mut sink, &schema, "", &[1, 2]).await;
        stage(&mut sink, &schema, &first, &[3]).await;
        sink.restore(&first).await.expect("cuts");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "{\"n\":1}\n{\"n\":2}\n");
        let second = stage(&mut sink, &schema, &first, &[4, 5]).await;
        let again = stage(&mut sink, &schema, &first, &[6]).await;
        assert_ne!(second, again);
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "{\"n\":1}\n{\"n\":2}\n{\"n\":6}\n");
        let error = sink.restore("1000").await.expect_err("shorter");
        assert!(error.to_string().contains("24 bytes, 1000 were committed"), "{error}");
        sink.restore("").await.expect("begins anew");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "");
    }

    #[tokio::test]
    async fn csv_has_one_header() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("out.csv");
        let (mut sink, schema) = sink(&path, RecordFormat::Csv);
        let first = stage(&mut sink, &schema, "", &[1]).await;
        stage(&mut sink, &schema, &first, &[2]).await;
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "n\n1\n2\n");
    }
}
