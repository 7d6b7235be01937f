//! What every source of a pipeline can do.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_vocab::Micros;

use crate::Error;

/// The hidden last column of every batch: when the row happened, µs UTC, never NULL.
pub const EVENT_TIME: &str = "_timestamp";

/// What a source gave to an epoch.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// Rows, in the order of the source; the last column is [`EVENT_TIME`].
    pub batches: Vec<RecordBatch>,
    /// Behind them.
    pub position: String,
    /// True if there will never be more.
    pub ended: bool,
    /// No row that is still to come of what was there at the start is before this; `None`: nothing is known.
    pub floor: Option<Micros>,
}

/// Rows with positions. One reader at a time.
#[async_trait]
pub trait Source: Send + Sync {
    /// Columns of its batches, [`EVENT_TIME`] included.
    fn schema(&self) -> SchemaRef;

    /// What lineage calls it: a table's id, or `ext:` and a name.
    fn node(&self) -> String;

    /// The rows behind `from` that are there by `now`, about `rows_max` of them; an empty `from` is the start.
    async fn read(&mut self, from: &str, rows_max: usize, now: Micros) -> Result<Pulled, Error>;

    /// Waits until there may be rows behind `from`.
    async fn wait(&self, from: &str);

    /// Everything before `position` is needed no longer.
    async fn committed(&mut self, position: &str) -> Result<(), Error>;
}

/// The columns with [`EVENT_TIME`] behind them.
pub fn stamped(columns: &Schema) -> SchemaRef {
    let time = Field::new(EVENT_TIME, DataType::Timestamp(TimeUnit::Microsecond, None), false);
    Arc::new(Schema::new(
        columns.fields().iter().map(|field| field.as_ref().clone()).chain([time]).collect::<Vec<_>>(),
    ))
}

/// Rows of a generator: its columns, and when each happened.
pub(crate) fn generated(
    schema: &SchemaRef,
    mut columns: Vec<ArrayRef>,
    times: Vec<i64>,
) -> Result<RecordBatch, Error> {
    columns.push(Arc::new(TimestampMicrosecondArray::from(times)));
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
