//! Sorted runs: rows of a merge that go into objects of their own, because not all of them fit into memory at once.

use std::sync::Arc;

use cenote_catalog::TableDef;
use cenote_datafile::{
    Level, ParquetWriter, ReadOptions, RowSet, StoredFile, WriterOptions, read_batches, row_group_bytes,
};
use cenote_vocab::SortOrder;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::rewrite::reader_bytes;
use crate::merge::Batches;
use crate::{Error, Lake, Progress};

/// Rows that are decoded at a time: many runs are open at once.
const READ_ROWS: usize = 4_096;

/// The runs of one merge. [`Spill::clear`] deletes them; what a crash leaves is an orphan.
pub(super) struct Spill {
    lake: Lake,
    /// With the columns of the new files.
    table: Arc<TableDef>,
    progress: Progress,
    /// All that were begun, complete ones or not.
    paths: Vec<Path>,
}

/// A complete run.
#[derive(Debug)]
pub(super) struct Run {
    file: StoredFile,
    rows: u64,
}

impl Run {
    /// What a reader of it holds at most.
    pub(super) fn reader_bytes(&self) -> u64 {
        reader_bytes(row_group_bytes(Level::Run, self.rows, self.file.bytes))
    }
}

impl Spill {
    pub(super) fn new(lake: Lake, table: Arc<TableDef>, progress: Progress) -> Self {
        Self { lake, table, progress, paths: Vec::new() }
    }

    /// Writes rows in their order; `None` if there are none.
    pub(super) async fn write(&mut self, mut rows: Batches) -> Result<Option<Run>, Error> {
        let relative = cenote_store::data_file(self.lake.ids.uuid());
        let path = cenote_store::object_path(&self.table.location, &relative);
        self.paths.push(path.clone());
        let options = WriterOptions {
            table_uuid: self.table.uuid,
            schema: (*self.table.schema).clone(),
            sort: SortOrder::default(),
            time_field: None,
            level: Level::Run,
        };
        let mut writer = ParquetWriter::create(&self.lake.store, path.clone(), options).await?;
        while let Some(batch) = rows.try_next().await? {
            self.progress.check()?;
            writer.write(&batch).await?;
        }
        let written = writer.finish().await?;
        Ok(written.map(|written| Run {
            file: StoredFile { path, bytes: written.bytes, footer_bytes: written.footer_bytes },
            rows: written.rows,
        }))
    }

    pub(super) async fn read(&self, run: &Run) -> Result<Batches, Error> {
        let options = ReadOptions {
            schema: self.table.schema.clone(),
            row_count: run.rows,
            rows: RowSet::live(None),
            batch_rows: READ_ROWS,
        };
        let batches = read_batches(&self.lake.store, &run.file, options).await?;
        Ok(batches.map_err(Error::from).boxed())
    }

    pub(super) async fn clear(self) {
        for path in self.paths {
            if let Err(error) = self.lake.store.delete(&path).await {
                tracing::info!(%path, %error, "spilled run stays until VACUUM ORPHANS");
            }
        }
    }
}
