//! Rows of a plan become files of a table.

use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use cenote_catalog::TableDef;
use cenote_datafile::{Level, arrow_schema, with_row_ids};
use cenote_table::{TableWriter, Written};
use cenote_vocab::TableSchema;
use parking_lot::Mutex;

use crate::Error;
use crate::plan::fault;
use crate::row_hash::RowHash;
use crate::scan::conform;
use crate::session::Inner;

/// Writes batches whose columns are those of the table, in order, and may be cast to them.
pub(crate) struct RowWriter {
    writer: TableWriter,
    columns: SchemaRef,
    /// Marks the rows by the columns of the table.
    marked: Option<(Arc<Mutex<RowHash>>, Arc<TableSchema>)>,
}

impl RowWriter {
    /// Of rows that are new.
    pub(crate) fn new(session: &Inner, table: &Arc<TableDef>) -> Self {
        let lake = session.engine().lake();
        let writer = lake.writer(&session.identity().scope, table.clone(), Level::Fresh);
        Self { writer, columns: nullable(&table.schema), marked: marked(session, table) }
    }

    /// Of rows that were in the table before too: behind the columns of the table may come the row's id.
    pub(crate) fn of_changed(session: &Inner, table: &Arc<TableDef>) -> Self {
        if !table.row_lineage() {
            return Self::new(session, table);
        }
        let lake = session.engine().lake();
        let writer = lake.changed_rows_writer(&session.identity().scope, table, Level::Fresh);
        Self { writer, columns: nullable(&with_row_ids(&table.schema)), marked: marked(session, table) }
    }

    /// Adds rows; columns that are left out at the end are NULL.
    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        if batch.num_rows() > 0 {
            let given = batch.num_columns().min(self.columns.fields().len());
            let fields = batch.schema().fields().iter().take(given).cloned().collect::<Vec<_>>();
            let rest = &self.columns.fields()[given..];
            let nulls = rest.iter().map(|field| new_null_array(field.data_type(), batch.num_rows()));
            let columns = batch.columns().iter().take(given).cloned().chain(nulls).collect();
            let fields: Vec<_> = fields.into_iter().chain(rest.iter().cloned()).collect();
            let padded = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
            let padded = padded.map_err(|error| fault::while_running(error.into()))?;
            let rows = conform(&padded, &self.columns).map_err(fault::while_running)?;
            if let Some((hash, schema)) = &self.marked {
                let mut hash = hash.lock();
                hash.add_batch(schema, &rows);
                if hash.is_dry() {
                    return Ok(());
                }
            }
            self.writer.write(rows).await?;
        }
        Ok(())
    }

    pub(crate) async fn finish(self) -> Result<Written, Error> {
        Ok(self.writer.finish().await?)
    }

    /// Deletes what was written so far.
    pub(crate) async fn abandon(self) {
        self.writer.abandon().await;
    }
}

fn marked(session: &Inner, table: &TableDef) -> Option<(Arc<Mutex<RowHash>>, Arc<TableSchema>)> {
    session.row_hash().map(|hash| (hash, table.schema.clone()))
}

/// The columns as rows are offered: nullability is the writer's to check, it names column and row.
pub(crate) fn nullable(schema: &TableSchema) -> SchemaRef {
    let fields = arrow_schema(schema);
    let fields = fields.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
