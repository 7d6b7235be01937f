//! `staged('t', 'run')`: the rows that a check kept out of a table, as long as they are kept.

use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use cenote_catalog::{DataFile, StagedRows, TableDef};
use cenote_datafile::RowSet;
use cenote_vocab::{ErrorKind, FileId, LIVE, Txn};
use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::arguments::Arguments;
use super::{Context, Relation};
use crate::Error;
use crate::scan::sql_schema;

/// The rows of a run, in the columns that the table has now. `NotFound` if none are kept.
pub(super) async fn relation(
    context: &Context<'_>,
    table: &Arc<TableDef>,
    arguments: &Arguments<'_>,
) -> Result<Relation, Error> {
    let asked = arguments.text("run")?;
    let run = Uuid::parse_str(&asked);
    let run = run.map_err(|_| arguments.wrong(format!("argument run is the id of a run, got '{asked}'")))?;
    let (lake, scope) = (context.engine.lake().clone(), context.scope().clone());
    let kept = lake.catalog.staged_rows(&scope, table, run).await?;
    if kept.files.is_empty() {
        let text = format!("no rows of run {run} are staged for table {}", table.full_name());
        let hint = "rows that a check with severity error or critical refuses are kept for 24 hours";
        return Err(Error::new(ErrorKind::NotFound, text).with_sqlstate("42704").with_hint(hint));
    }
    let fields = sql_schema(&table.schema);
    let fields = fields.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let columns = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let (name, table) = (format!("staged({}, {run})", table.full_name()), table.clone());
    let files: Arc<Vec<DataFile>> = Arc::new(data_files(kept).collect());
    Ok(Relation::new(name, columns, move |places, _| {
        let (lake, scope, table, places) = (lake.clone(), scope.clone(), table.clone(), places.to_vec());
        let files = files.clone();
        let batches = stream::iter(0..files.len()).then(move |at| {
            let (lake, scope, table, files) = (lake.clone(), scope.clone(), table.clone(), files.clone());
            async move { lake.read_file(&scope, &table, &files[at], RowSet::live(None), &table.schema).await }
        });
        let batches = batches.try_flatten().map_err(Error::from);
        let wanted = move |batch: Result<RecordBatch, Error>| -> Result<RecordBatch, Error> {
            Ok(batch?.project(&places).map_err(cenote_table::Error::from)?)
        };
        Ok(batches.map(wanted).boxed())
    }))
}

/// Files as readers take them: no version shows them, so they have no id.
fn data_files(rows: StagedRows) -> impl Iterator<Item = DataFile> {
    rows.files.into_iter().map(|file| DataFile {
        id: FileId(-1),
        begin_txn: Txn(0),
        end_txn: LIVE,
        file: Arc::new(file),
        vector: None,
        row_id_start: 0,
        seq: 0,
    })
}
