//! Tables that keep rows which became no part of an answer: those that could not be used, and those that came too late.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use cenote_catalog::TableDef;
use cenote_connect::BadRow;
use cenote_query::{Bounds, Session, StreamTables};
use futures::TryStreamExt;

use crate::Error;
use crate::intake::shown;

/// Columns of one, as a statement makes them, and a row of them.
pub(crate) struct Shape {
    columns: &'static str,
    row: &'static str,
}

/// Rows that could not be used.
pub(crate) const BAD: Shape = Shape {
    columns: "source TEXT, partition TEXT, \"offset\" BIGINT, raw TEXT, error TEXT, _epoch BIGINT",
    row: "'', '', 0, '', '', 0",
};

/// Rows that came too late; `_late_by` is in microseconds.
pub(crate) const LATE: Shape = Shape {
    columns: "_operator TEXT, _time TIMESTAMP, _late_by BIGINT, _epoch BIGINT, row JSON",
    row: "'', TIMESTAMP '2026-01-01', 0, 0, '{}'",
};

/// The table of a name; it is made if it is not there.
pub(crate) async fn table(
    session: &Session,
    name: &str,
    shape: &Shape,
    tables: &Arc<dyn StreamTables>,
) -> Result<Arc<TableDef>, Error> {
    let sql = format!("CREATE TABLE IF NOT EXISTS {name} ({})", shape.columns);
    let prepared = session.prepare(&sql, &[]).await?;
    let mut made = session.execute(&prepared, Vec::new(), Bounds::default()).await?;
    while made.batches.try_next().await?.is_some() {}
    let sql = format!("INSERT INTO {name} SELECT {}", shape.row);
    let planned = Box::pin(session.plan_insert(&sql, tables)).await?;
    Ok(planned.target)
}

/// Rows that came too late for an operator.
#[derive(Debug)]
pub(crate) struct LateRows {
    /// Their columns, by the names that people know them by.
    pub(crate) rows: RecordBatch,
    /// When they happened, µs.
    pub(crate) times: Vec<i64>,
    /// What was over by then, µs.
    pub(crate) watermark: i64,
}

/// Rows for the table of those that could not be used: each with its source.
pub(crate) fn bad(rows: &[(String, BadRow)], epoch: i64) -> Result<RecordBatch, Error> {
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
    batch(&["source", "partition", "offset", "raw", "error", "_epoch"], columns)
}

/// Rows for the table of those that came too late: each with its operator.
pub(crate) fn late<'a>(
    all: impl Iterator<Item = (&'a str, &'a LateRows)>,
    epoch: i64,
) -> Result<RecordBatch, Error> {
    let (mut operators, mut times, mut late_by, mut texts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (operator, late) in all {
        for (at, time) in late.times.iter().enumerate() {
            operators.push(operator);
            times.push(*time);
            late_by.push(late.watermark.saturating_sub(*time));
            texts.push(shown(&late.rows.slice(at, 1)));
        }
    }
    let epochs = vec![epoch; times.len()];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(operators)),
        Arc::new(TimestampMicrosecondArray::from(times)),
        Arc::new(Int64Array::from(late_by)),
        Arc::new(Int64Array::from(epochs)),
        Arc::new(StringArray::from(texts)),
    ];
    batch(&["_operator", "_time", "_late_by", "_epoch", "row"], columns)
}

fn batch(names: &[&str], columns: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
    let fields = names.iter().zip(&columns);
    let fields = fields.map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?)
}
