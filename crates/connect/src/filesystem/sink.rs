//! Writes files that are seen when they are complete.
//!
//! ```text
//! rows ─ parts below __in_progress, one for each epoch and partition ─ roll ─► a whole file there ─ the commit ─► rename
//! ```
//! The state names parts and files. A rename that is done already is found by the file's size at its last place; what is
//! below [`IN_PROGRESS`] and in no state is of an attempt that was not committed, and deleted at the start.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use cenote_codec::record::{encode, header};
use cenote_store::Store;
use cenote_vocab::Micros;
use futures::TryStreamExt;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::IN_PROGRESS;
use super::file::{Names, partitions};
use super::options::FilesystemSinkOptions;
use crate::format::FileFormat;
use crate::sink::{Closing, EpochRows, Sink, SinkClass};
use crate::{Error, Reach};

/// Parts of one file that are kept apart; more become one.
const PARTS_MAX: usize = 8;

/// What the sink holds between epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    open: Vec<OpenFile>,
    /// Files that the commit completes.
    finish: Vec<Rename>,
    /// Parts that are needed no longer when it is there.
    spent: Vec<String>,
}

/// A file that takes more rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OpenFile {
    /// Directory of its partition.
    partition: Vec<String>,
    parts: Vec<String>,
    bytes: u64,
    /// When its first and its last rows came, µs.
    opened: i64,
    touched: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rename {
    from: String,
    to: String,
    bytes: u64,
}

/// The writer of files.
pub struct FilesystemSink {
    name: String,
    options: FilesystemSinkOptions,
    /// Columns of the files.
    columns: SchemaRef,
    store: Store,
    names: Names,
    /// Below [`IN_PROGRESS`], of this sink alone.
    own: Path,
}

impl FilesystemSink {
    /// `Denied` if the place is out of reach.
    pub fn open(
        name: &str,
        owner: Uuid,
        options: &FilesystemSinkOptions,
        columns: &Schema,
        reach: &Reach,
    ) -> Result<Self, Error> {
        let names = Names::new(owner, name, options);
        Ok(Self {
            own: Path::from_iter([IN_PROGRESS, &names.own()]),
            name: name.to_owned(),
            options: options.clone(),
            columns: columns.clone().into(),
            store: options.location.store(reach)?,
            names,
        })
    }

    fn state(&self, text: &str) -> Result<State, Error> {
        if text.is_empty() {
            return Ok(State::default());
        }
        serde_json::from_str(text)
            .map_err(|error| self.changed(format!("its state is none of its own: {error}")))
    }

    fn changed(&self, reason: String) -> Error {
        Error::SinkChanged { sink_name: self.name.clone(), reason }
    }

    /// True if the file is to be completed.
    fn rolls(&self, file: &OpenFile, now: Micros, closing: Closing) -> bool {
        closing == Closing::Close
            || file.bytes >= self.options.rolling.file_bytes
            || self.due_of(file).is_some_and(|due| due <= now)
    }

    fn due_of(&self, file: &OpenFile) -> Option<Micros> {
        let after = |since: i64, length: Option<Duration>| length.map(|length| Micros(since).plus(length));
        let rolling = &self.options.rolling;
        [after(file.opened, rolling.interval), after(file.touched, rolling.inactivity)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Rows as a part of a file.
    fn part(&self, rows: &[RecordBatch]) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        match &self.options.format {
            FileFormat::Records(format) => {
                for batch in rows {
                    encode(format, batch, &mut bytes)?;
                }
            }
            FileFormat::Parquet(_) => {
                let mut writer = StreamWriter::try_new(&mut bytes, &self.columns)?;
                for batch in rows {
                    writer.write(batch)?;
                }
                writer.finish()?;
            }
        }
        Ok(bytes)
    }

    /// Parts as one.
    fn joined(&self, parts: Vec<Bytes>) -> Result<Vec<u8>, Error> {
        match &self.options.format {
            FileFormat::Records(_) => Ok(parts.concat()),
            FileFormat::Parquet(_) => self.part(&rows_of(&parts)?),
        }
    }

    /// Parts as a whole file.
    async fn file(&self, parts: Vec<Bytes>) -> Result<Bytes, Error> {
        match &self.options.format {
            FileFormat::Records(format) => {
                let mut bytes = header(format, &self.columns)?;
                parts.iter().for_each(|part| bytes.extend_from_slice(part));
                Ok(bytes.into())
            }
            FileFormat::Parquet(options) => {
                let properties = WriterProperties::builder()
                    .set_compression(options.compression)
                    .set_max_row_group_bytes(Some(options.row_group_bytes))
                    .build();
                let columns = self.columns.clone();
                let written = tokio::task::spawn_blocking(move || {
                    let mut bytes = Vec::new();
                    let mut writer = ArrowWriter::try_new(&mut bytes, columns, Some(properties))
                        .map_err(|error| error.to_string())?;
                    for batch in rows_of(&parts).map_err(|error| error.to_string())? {
                        writer.write(&batch).map_err(|error| error.to_string())?;
                    }
                    writer.close().map_err(|error| error.to_string())?;
                    Ok::<_, String>(bytes)
                });
                let refused = |reason: String| Error::SinkRefused { sink_name: self.name.clone(), reason };
                let written = written.await.map_err(|error| refused(error.to_string()))?;
                Ok(written.map_err(refused)?.into())
            }
        }
    }

    async fn read(&self, parts: &[String]) -> Result<Vec<Bytes>, Error> {
        let mut read = Vec::with_capacity(parts.len());
        for part in parts {
            read.push(self.store.read(&stored(part)?).await?);
        }
        Ok(read)
    }

    /// Completes what a commit has promised.
    async fn complete(&self, state: &State) -> Result<(), Error> {
        for rename in &state.finish {
            let (from, to) = (stored(&rename.from)?, stored(&rename.to)?);
            if self.store.size(&from).await?.is_some() {
                self.store.rename(&from, &to).await?;
            } else if self.store.size(&to).await? != Some(rename.bytes) {
                return Err(self.changed(format!("{to} is neither in progress nor complete")));
            }
        }
        for part in &state.spent {
            self.store.delete(&stored(part)?).await?;
        }
        Ok(())
    }
}

/// A path as its text says it, which escapes already what a path cannot hold.
pub(super) fn stored(path: &str) -> Result<Path, Error> {
    Path::parse(path).map_err(|error| Error::Options(format!("path {path:?}: {error}")))
}

/// Rows of parts.
fn rows_of(parts: &[Bytes]) -> Result<Vec<RecordBatch>, Error> {
    let mut rows = Vec::new();
    for part in parts {
        for batch in StreamReader::try_new(part.as_ref(), None)? {
            rows.push(batch?);
        }
    }
    Ok(rows)
}

#[async_trait]
impl Sink for FilesystemSink {
    fn class(&self) -> SinkClass {
        SinkClass::Finish
    }

    async fn restore(&mut self, state: &str) -> Result<(), Error> {
        let state = self.state(state)?;
        self.complete(&state).await?;
        let kept: BTreeSet<&str> =
            state.open.iter().flat_map(|file| file.parts.iter().map(String::as_str)).collect();
        let mut listed = self.store.list(&self.own);
        while let Some(object) = listed.try_next().await? {
            if !kept.contains(object.path.as_ref()) {
                self.store.delete(&object.path).await?;
            }
        }
        Ok(())
    }

    async fn stage(&mut self, state: &str, rows: EpochRows<'_>) -> Result<String, Error> {
        let mut state = State { finish: Vec::new(), spent: Vec::new(), ..self.state(state)? };
        let mut names = self.names.of_epoch(rows.epoch, rows.now);
        let mut new: Vec<(usize, Vec<u8>)> = Vec::new();
        for (partition, batches) in partitions(&self.options.partitioning, &self.columns, rows.rows)? {
            let at = match state.open.iter().position(|file| file.partition == partition) {
                Some(at) => at,
                None => {
                    let (opened, parts) = (rows.now.0, Vec::new());
                    state.open.push(OpenFile { partition, parts, bytes: 0, opened, touched: opened });
                    state.open.len() - 1
                }
            };
            let part = self.part(&batches)?;
            state.open[at].bytes += part.len() as u64;
            state.open[at].touched = rows.now.0;
            new.push((at, part));
        }
        let mut open = Vec::new();
        for (at, mut file) in std::mem::take(&mut state.open).into_iter().enumerate() {
            let fresh: Vec<Bytes> =
                new.iter().filter(|(of, _)| *of == at).map(|(_, part)| part.clone().into()).collect();
            if self.rolls(&file, rows.now, rows.closing) {
                let mut parts = self.read(&file.parts).await?;
                parts.extend(fresh);
                let content = self.file(parts).await?;
                let name = names.next_file();
                let from = self.own.clone().join(name.as_str());
                let to = Path::from_iter(file.partition.iter().map(String::as_str).chain([name.as_str()]));
                let bytes = content.len() as u64;
                self.store.put(&from, content).await?;
                state.finish.push(Rename { from: from.to_string(), to: to.to_string(), bytes });
                state.spent.append(&mut file.parts);
                continue;
            }
            if !fresh.is_empty() {
                let mut parts = fresh;
                if file.parts.len() >= PARTS_MAX {
                    let mut all = self.read(&file.parts).await?;
                    all.append(&mut parts);
                    parts = all;
                    state.spent.append(&mut file.parts);
                }
                let part = self.own.clone().join(names.next_part().as_str());
                self.store.put(&part, self.joined(parts)?.into()).await?;
                file.parts.push(part.to_string());
            }
            open.push(file);
        }
        state.open = open;
        serde_json::to_string(&state).map_err(|error| self.changed(error.to_string()))
    }

    async fn finish(&mut self, state: &str) -> Result<(), Error> {
        self.complete(&self.state(state)?).await
    }

    fn due(&self, state: &str) -> Option<Micros> {
        let state = self.state(state).ok()?;
        state.open.iter().filter_map(|file| self.due_of(file)).min()
    }
}

#[cfg(test)]
mod tests;
