//! The table that keeps rows which could not be used.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use cenote_catalog::TableDef;
use cenote_connect::BadRow;
use cenote_query::{Bounds, Session, StreamTables};
use futures::TryStreamExt;

use crate::Error;

/// Its columns, as a statement makes them.
const COLUMNS: &str = "source TEXT, partition TEXT, \"offset\" BIGINT, raw TEXT, error TEXT, _epoch BIGINT";

/// The table of a name; it is made if it is not there.
pub(crate) async fn table(
    session: &Session,
    name: &str,
    tables: &Arc<dyn StreamTables>,
) -> Result<Arc<TableDef>, Error> {
    let sql = format!("CREATE TABLE IF NOT EXISTS {name} ({COLUMNS})");
    let prepared = session.prepare(&sql, &[]).await?;
    let mut made = session.execute(&prepared, Vec::new(), Bounds::default()).await?;
    while made.batches.try_next().await?.is_some() {}
    let sql = format!("INSERT INTO {name} SELECT '', '', 0, '', '', 0");
    let planned = Box::pin(session.plan_insert(&sql, tables)).await?;
    Ok(planned.target)
}

/// Its rows: each with its source.
pub(crate) fn batch(rows: &[(String, BadRow)], epoch: i64) -> Result<RecordBatch, Error> {
    let text = |value: fn(&(String, BadRow)) -> &str| {
        Arc::new(StringArray::from_iter_values(rows.iter().map(value))) as ArrayRef
    };
    let offset = |(_, row): &(String, BadRow)| i64::try_from(row.place.offset).unwrap_or(i64::MAX);
    let columns = vec![
        text(|(source, _)| source),
        text(|(_, row)| &row.place.partition),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(offset))),
        text(|(_, row)| &row.raw),
        text(|(_, row)| &row.reason),
        Arc::new(Int64Array::from(vec![epoch; rows.len()])),
    ];
    let names = ["source", "partition", "offset", "raw", "error", "_epoch"];
    let fields = names.iter().zip(&columns).map(|(name, column)| {
        let data_type: DataType = column.data_type().clone();
        Field::new(*name, data_type, true)
    });
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?)
}
