//! Rows of one file, wherever it is: an object of the store, or an inline batch.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{Content, DataFile, TableDef};
use cenote_datafile::{ReadOptions, RowSet, StoredFile, decode_inline, read_batches, read_inline};
use cenote_vocab::{Scope, TableSchema};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{Error, Lake};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8_192;

impl Lake {
    /// Some rows of a file of the table, in their order, in the wanted columns.
    pub async fn read_file(
        &self,
        scope: &Scope,
        table: &TableDef,
        file: &DataFile,
        rows: RowSet,
        wanted: &Arc<TableSchema>,
    ) -> Result<BoxStream<'static, Result<RecordBatch, Error>>, Error> {
        if file.file.is_inline() {
            let batches = self.read_inline(scope, table, &[(file, rows)], wanted).await?;
            return Ok(stream::iter(batches.into_iter().map(Ok)).boxed());
        }
        let row_count = file.file.rows;
        let options = ReadOptions { schema: wanted.clone(), row_count, rows, batch_rows: BATCH_ROWS };
        let path = cenote_store::object_path(&table.location, &file.file.path);
        let stored = StoredFile { path, bytes: file.file.bytes, footer_bytes: file.file.footer_bytes };
        let batches = read_batches(&self.store, &stored, options).await?;
        Ok(batches.map_err(Error::from).boxed())
    }

    /// As [`Lake::read_file`], of some inline batches at once: one batch of each.
    pub(crate) async fn read_inline(
        &self,
        scope: &Scope,
        table: &TableDef,
        files: &[(&DataFile, RowSet)],
        wanted: &Arc<TableSchema>,
    ) -> Result<Vec<RecordBatch>, Error> {
        let entries: Vec<&DataFile> = files.iter().map(|(file, _)| *file).collect();
        let stored = self.inline_batches(scope, table, &entries).await?;
        let read = files.iter().zip(&stored).map(|((file, rows), batch)| {
            let object = format!("inline batch {} of {}", file.id, table.full_name());
            Ok(read_inline(&object, batch, wanted, rows)?)
        });
        read.collect()
    }

    /// The rows of these inline batches, deleted ones included, in their order: the columns are those that they were written
    /// with, their field ids in the schema.
    pub async fn inline_batches(
        &self,
        scope: &Scope,
        table: &TableDef,
        files: &[&DataFile],
    ) -> Result<Vec<RecordBatch>, Error> {
        let stored: Vec<&DataFile> =
            files.iter().copied().filter(|file| file.file.content == Content::Inline(None)).collect();
        let mut stored = self.catalog.inline_batches(scope, table, &stored).await?.into_iter();
        let mut batches = Vec::with_capacity(files.len());
        for file in files {
            match &file.file.content {
                Content::Inline(None) => batches.extend(stored.next()),
                // not in the catalog yet
                Content::Inline(Some(payload)) => {
                    batches.push(decode_inline("an uncommitted inline batch", payload, file.file.rows)?);
                }
                Content::Parquet => {
                    let name = table.full_name();
                    return Err(Error::Internal(format!("file {} of {name} is not inline", file.id)));
                }
            }
        }
        Ok(batches)
    }
}
