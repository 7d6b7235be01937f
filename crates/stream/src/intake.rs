//! What a source gave becomes the rows of its table: columns that are made from others, when each row happened, and which
//! rows cannot be used.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, TimestampMicrosecondArray};
use arrow::compute::max;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use cenote_codec::record::{JsonOptions, RecordFormat, encode};
use cenote_connect::{BadRow, EVENT_TIME, Pulled, RowPlace, RowPlaces};
use cenote_vocab::Micros;

use crate::Error;
use crate::epoch::Executor;
use crate::feed::Feeds;
use crate::streams::{EventTime, Shape, SourcePlan};

/// Rows of a table of a script.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) batches: Vec<RecordBatch>,
    /// Event time that is over by them, µs, by the part of the source that they are of.
    pub(crate) over: BTreeMap<Arc<str>, i64>,
    /// When the last of them happened, µs.
    pub(crate) latest: Option<i64>,
    pub(crate) bad: Vec<BadRow>,
}

/// The rows of an epoch; `delay` is how late rows may come where their table does not say.
pub(crate) async fn intake(
    executor: &Executor<'_>,
    source: &SourcePlan,
    pulled: &Pulled,
    (now, delay): (Micros, i64),
) -> Result<Intake, Error> {
    let mut intake = Intake { bad: pulled.bad.clone(), ..Intake::default() };
    let given = match source.event_time {
        EventTime::Source | EventTime::Unasked => pulled.batches.clone(),
        EventTime::Ingest => pulled.batches.iter().map(|batch| at(batch, now)).collect::<Result<_, _>>()?,
    };
    let places = places(pulled);
    let Some(shape) = &source.shape else {
        for (batch, places) in given.into_iter().zip(&places) {
            let last = latest(&batch);
            intake.latest = last.max(intake.latest);
            intake.note(places.partition(), last.map(|time| time.saturating_sub(delay)));
            intake.batches.push(batch);
        }
        return Ok(intake);
    };
    match shaped(executor, shape, given.clone()).await {
        Ok(rows) if rows.iter().all(|batch| has_times(shape, batch)) => {
            let mut of = given.iter().map(RecordBatch::num_rows).zip(&places).filter(|(rows, _)| *rows > 0);
            let mut left = of.next();
            for batch in rows {
                // A plan of one partition keeps the order of rows, and may cut batches anew.
                let mut from = 0;
                while from < batch.num_rows() {
                    let Some((rows, places)) = left else { break };
                    let taken = rows.min(batch.num_rows() - from);
                    intake.take(shape, &batch.slice(from, taken), (places.partition(), delay))?;
                    from += taken;
                    left = if taken == rows { of.next() } else { Some((rows - taken, places)) };
                }
            }
        }
        // Some row is bad: which, is found by trying each batch, then each row.
        _ => {
            for (batch, place) in given.iter().zip(&places) {
                intake.row_by_row(executor, shape, batch, place, delay).await?;
            }
        }
    }
    Ok(intake)
}

impl Intake {
    async fn row_by_row(
        &mut self,
        executor: &Executor<'_>,
        shape: &Shape,
        batch: &RecordBatch,
        places: &RowPlaces,
        delay: i64,
    ) -> Result<(), Error> {
        let whole = shaped(executor, shape, vec![batch.clone()]).await;
        if let Ok(rows) = &whole
            && rows.iter().all(|batch| has_times(shape, batch))
        {
            return rows.iter().try_for_each(|batch| self.take(shape, batch, (places.partition(), delay)));
        }
        for number in 0..batch.num_rows() {
            let row = batch.slice(number, 1);
            let reason = match shaped(executor, shape, vec![row.clone()]).await {
                Ok(rows) if rows.iter().all(|row| has_times(shape, row)) => {
                    rows.iter().try_for_each(|row| self.take(shape, row, (places.partition(), delay)))?;
                    continue;
                }
                Ok(_) => shape.without_time(),
                Err(Error::Plan(error)) => {
                    format!("{}: {}", shape.made.join(" or "), error.strip_backtrace())
                }
                Err(error) => return Err(error),
            };
            self.bad.push(BadRow::new(places.row(number), shown(&without_time(&row)).as_bytes(), reason));
        }
        Ok(())
    }

    /// Some rows of a part of the source say what is over.
    fn note(&mut self, partition: &Arc<str>, over: Option<i64>) {
        let Some(over) = over else { return };
        let latest = self.over.entry(partition.clone()).or_insert(over);
        *latest = over.max(*latest);
    }

    /// Rows of one part of the source, as the shape made them.
    fn take(
        &mut self,
        shape: &Shape,
        batch: &RecordBatch,
        (partition, delay): (&Arc<str>, i64),
    ) -> Result<(), Error> {
        let width = shape.schema.fields().len();
        let last = batch.column(width - 1).as_primitive_opt::<TimestampMicrosecondType>().and_then(max);
        let over = match batch.columns().get(width) {
            Some(over) => over.as_primitive_opt::<TimestampMicrosecondType>().and_then(max),
            None => last.map(|time| time.saturating_sub(delay)),
        };
        self.latest = last.max(self.latest);
        self.note(partition, over);
        self.batches.push(RecordBatch::try_new(shape.schema.clone(), batch.columns()[..width].to_vec())?);
        Ok(())
    }
}

impl Shape {
    /// Why a row that did not happen cannot be used.
    fn without_time(&self) -> String {
        match &self.time {
            Some(column) => format!("column \"{column}\" is NULL: the row has no event time"),
            None => "the row has no event time".to_owned(),
        }
    }
}

/// What the plan makes of rows of the connector.
async fn shaped(
    executor: &Executor<'_>,
    shape: &Shape,
    rows: Vec<RecordBatch>,
) -> Result<Vec<RecordBatch>, Error> {
    if rows.is_empty() {
        return Ok(rows);
    }
    let mut feeds = Feeds::default();
    feeds.set(shape.raw, rows);
    executor.run(&shape.plan, &feeds).await
}

/// False if some row did not happen at any time.
fn has_times(shape: &Shape, batch: &RecordBatch) -> bool {
    batch.columns().get(shape.schema.fields().len() - 1).is_some_and(|times| times.null_count() == 0)
}

/// The latest of the times at which rows happened.
fn latest(batch: &RecordBatch) -> Option<i64> {
    batch.column_by_name(EVENT_TIME)?.as_primitive_opt::<TimestampMicrosecondType>().and_then(max)
}

/// The rows, as if they happened now.
fn at(batch: &RecordBatch, now: Micros) -> Result<RecordBatch, Error> {
    let mut columns = batch.columns().to_vec();
    let time = batch.schema().index_of(EVENT_TIME)?;
    columns[time] = Arc::new(TimestampMicrosecondArray::from(vec![now.0; batch.num_rows()]));
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// Where each batch stands; rows of a source that tells nothing are counted.
pub(crate) fn places(pulled: &Pulled) -> Vec<RowPlaces> {
    if pulled.places.len() == pulled.batches.len() {
        return pulled.places.clone();
    }
    let mut offset = 0;
    let place = |batch: &RecordBatch| {
        let place = RowPlace { partition: "rows of the epoch".into(), offset };
        offset += batch.num_rows() as u64;
        RowPlaces::behind(place)
    };
    pulled.batches.iter().map(place).collect()
}

/// The row without its last column, the event time.
pub(crate) fn without_time(row: &RecordBatch) -> RecordBatch {
    let columns: Vec<usize> = (0..row.num_columns().saturating_sub(1)).collect();
    row.project(&columns).unwrap_or_else(|_| row.clone())
}

/// A row as JSON; where it has no such form, as it prints.
pub(crate) fn shown(row: &RecordBatch) -> String {
    let mut text = Vec::new();
    match encode(&RecordFormat::Json(JsonOptions::default()), row, &mut text) {
        Ok(()) => String::from_utf8_lossy(&text).trim_end().to_owned(),
        Err(_) => format!("{row:?}"),
    }
}
