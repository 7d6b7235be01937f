//! The files that one act writes: one is open at a time, each in one place of the table.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{NewFile, TableDef};
use cenote_datafile::{Level, ParquetWriter, WriterOptions, has_row_ids, is_hidden};
use cenote_vocab::{SortOrder, Tuple};

use crate::{Error, Lake};

/// Where in the table a file belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The spec of `partition`; 0 if its rows are of several partitions.
    pub(crate) spec_no: i32,
    pub(crate) partition: Tuple,
    /// The order its rows are in; 0 = none.
    pub(crate) sort_no: i32,
}

/// Writes files of one table.
pub(crate) struct NewFiles {
    lake: Lake,
    table: Arc<TableDef>,
    level: Level,
    /// A file of this size is complete.
    target_bytes: u64,
    open: Option<(Place, String, ParquetWriter)>,
    complete: Vec<NewFile>,
}

impl NewFiles {
    pub(crate) fn new(lake: Lake, table: Arc<TableDef>, level: Level, target_bytes: u64) -> Self {
        Self { lake, table, level, target_bytes, open: None, complete: Vec::new() }
    }

    /// Files so far, the open one included.
    pub(crate) fn count(&self) -> usize {
        self.complete.len() + usize::from(self.open.is_some())
    }

    /// Adds rows of one place, which are in the order that the place announces, after the rows before them.
    pub(crate) async fn write(&mut self, place: &Place, batch: &RecordBatch) -> Result<(), Error> {
        let full = self
            .open
            .as_ref()
            .is_some_and(|(open, _, writer)| open != place || writer.bytes_estimate() >= self.target_bytes);
        if full {
            self.close().await?;
        }
        if self.open.is_none() {
            self.open = Some(self.begin(place).await?);
        }
        if let Some((_, _, writer)) = &mut self.open {
            writer.write(batch).await?;
        }
        Ok(())
    }

    /// Completes the open file; the next rows begin another.
    pub(crate) async fn close(&mut self) -> Result<(), Error> {
        let Some((place, path, writer)) = self.open.take() else {
            return Ok(());
        };
        if let Some(mut written) = writer.finish().await? {
            written.statistics.columns.retain(|column| !is_hidden(column.field_id));
            self.complete.push(NewFile {
                path,
                rows: written.rows,
                bytes: written.bytes,
                footer_bytes: written.footer_bytes,
                schema_no: self.table.schema.no,
                spec_no: place.spec_no,
                partition: place.partition,
                sort_no: place.sort_no,
                level: self.level as i32,
                time_range: written.time_range,
                statistics: written.statistics,
                row_ids_stored: has_row_ids(&self.table.schema),
            });
        }
        Ok(())
    }

    /// The complete files, whatever became of the open one.
    pub(crate) fn into_complete(self) -> Vec<NewFile> {
        self.complete
    }

    async fn begin(&self, place: &Place) -> Result<(Place, String, ParquetWriter), Error> {
        let relative = cenote_store::data_file(self.lake.ids.uuid());
        let path = cenote_store::object_path(&self.table.location, &relative);
        let sort = if place.sort_no == 0 { SortOrder::default() } else { self.table.sort.clone() };
        let options = WriterOptions {
            table_uuid: self.table.uuid,
            schema: (*self.table.schema).clone(),
            sort,
            time_field: self.table.time_field,
            level: self.level,
        };
        Ok((place.clone(), relative, ParquetWriter::create(&self.lake.store, path, options).await?))
    }
}
