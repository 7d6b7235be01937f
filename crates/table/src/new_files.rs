//! The files that one act writes: one is open at a time, each in one place of the table.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{Content, NewFile, TableDef};
use cenote_datafile::{
    Level, ParquetWriter, WriterOptions, WrittenFile, encode_inline, has_row_ids, is_hidden,
};
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
        if let Some(written) = writer.finish().await? {
            let file = new_file(&self.table, place, self.level, written);
            self.complete.push(NewFile { path, ..file });
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
        let options = options(&self.table, place, self.level);
        Ok((place.clone(), relative, ParquetWriter::create(&self.lake.store, path, options).await?))
    }
}

/// The rows, which are in the table's order, as an inline batch; `None` if it would have more than `bytes_max` bytes.
pub(crate) fn inline_file(
    table: &TableDef,
    rows: &RecordBatch,
    bytes_max: u64,
) -> Result<Option<NewFile>, Error> {
    let place = Place { spec_no: 0, partition: Tuple::new(), sort_no: table.sort.no };
    let (payload, written) = encode_inline(rows, &options(table, &place, Level::Fresh))?;
    if written.bytes > bytes_max {
        return Ok(None);
    }
    let content = Content::Inline(Some(payload));
    Ok(Some(NewFile { content, ..new_file(table, place, Level::Fresh, written) }))
}

fn options(table: &TableDef, place: &Place, level: Level) -> WriterOptions {
    WriterOptions {
        table_uuid: table.uuid,
        schema: (*table.schema).clone(),
        sort: if place.sort_no == 0 { SortOrder::default() } else { table.sort.clone() },
        time_field: table.time_field,
        level,
    }
}

/// What the catalog gets to know, but for where the rows are.
fn new_file(table: &TableDef, place: Place, level: Level, mut written: WrittenFile) -> NewFile {
    written.statistics.columns.retain(|column| !is_hidden(column.field_id));
    NewFile {
        content: Content::Parquet,
        path: String::new(),
        rows: written.rows,
        bytes: written.bytes,
        footer_bytes: written.footer_bytes,
        schema_no: table.schema.no,
        spec_no: place.spec_no,
        partition: place.partition,
        sort_no: place.sort_no,
        level: level as i32,
        time_range: written.time_range,
        statistics: written.statistics,
        row_ids_stored: has_row_ids(&table.schema),
    }
}
