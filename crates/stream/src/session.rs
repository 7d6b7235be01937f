//! Session windows: rows of a key that follow each other closely. Pure.
//!
//! A row is a session of its own, [time, time + gap); sessions of a key that touch are one. So joining is done by giving
//! rows, or states, the span of all that they touch, and aggregating by it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, TimestampMicrosecondArray};
use arrow::compute::{filter_record_batch, not};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};

use crate::Error;
use crate::window::{ends, span_array, starts};

/// Sessions that end when nothing came for so long, in µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sessions {
    gap: i64,
}

impl Sessions {
    pub(crate) fn new(gap: i64) -> Result<Self, Error> {
        if gap <= 0 {
            return Err(Error::Invalid("the interval of session must be longer than 0".to_owned()));
        }
        Ok(Self { gap })
    }

    /// The gap in µs.
    pub(crate) fn gap(self) -> i64 {
        self.gap
    }

    /// Each instant as a session of its own.
    pub(crate) fn of(self, times: &TimestampMicrosecondArray) -> arrow::array::StructArray {
        let ends = times.values().iter().map(|time| time.saturating_add(self.gap));
        span_array(times.values().to_vec(), ends.collect())
    }
}

/// Where a batch has its groups: columns `0..count`, one of them the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups {
    pub(crate) count: usize,
    pub(crate) window: usize,
}

impl Groups {
    fn keys(self, batch: &RecordBatch) -> Vec<ArrayRef> {
        (0..self.count).filter(|at| *at != self.window).map(|at| batch.column(at).clone()).collect()
    }
}

/// Keys as bytes that compare; of a query without keys all are the same.
struct Keys {
    converter: Option<RowConverter>,
}

impl Keys {
    fn of(batch: &RecordBatch, groups: Groups) -> Result<Self, Error> {
        let columns = groups.keys(batch);
        if columns.is_empty() {
            return Ok(Self { converter: None });
        }
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        Ok(Self { converter: Some(RowConverter::new(fields)?) })
    }

    fn rows(&self, batch: &RecordBatch, groups: Groups) -> Result<Option<Rows>, Error> {
        let Some(converter) = &self.converter else { return Ok(None) };
        Ok(Some(converter.convert_columns(&groups.keys(batch))?))
    }
}

fn key(rows: Option<&Rows>, at: usize) -> &[u8] {
    rows.map_or(&[], |rows| rows.row(at).data())
}

/// The rows with the spans of all that they touch among them.
pub(crate) fn joined(batch: &RecordBatch, groups: Groups) -> Result<RecordBatch, Error> {
    let rows = Keys::of(batch, groups)?.rows(batch, groups)?;
    let start = starts(batch, groups.window).values();
    let end = ends(batch, groups.window).values();
    let mut order: Vec<usize> = (0..batch.num_rows()).collect();
    order.sort_by(|a, b| (key(rows.as_ref(), *a), start[*a]).cmp(&(key(rows.as_ref(), *b), start[*b])));
    let (mut new_starts, mut new_ends) = (start.to_vec(), end.to_vec());
    let mut from = 0;
    while from < order.len() {
        let first = order[from];
        let (mut to, mut last) = (from + 1, end[first]);
        while let Some(next) = order.get(to).copied()
            && key(rows.as_ref(), next) == key(rows.as_ref(), first)
            && start[next] <= last
        {
            last = last.max(end[next]);
            to += 1;
        }
        for at in &order[from..to] {
            (new_starts[*at], new_ends[*at]) = (start[first], last);
        }
        from = to;
    }
    let mut columns = batch.columns().to_vec();
    columns[groups.window] = Arc::new(span_array(new_starts, new_ends));
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// The rows that are not too late, and those that are: before the watermark, and of no session that is open.
pub(crate) fn on_time(
    batch: &RecordBatch,
    groups: Groups,
    held: &[RecordBatch],
    watermark: i64,
) -> Result<(RecordBatch, RecordBatch), Error> {
    let times = starts(batch, groups.window).values();
    if times.iter().all(|time| *time >= watermark) {
        return Ok((batch.clone(), batch.slice(0, 0)));
    }
    let keys = Keys::of(batch, groups)?;
    let mut began: HashMap<Vec<u8>, i64> = HashMap::new();
    for run in held {
        let rows = keys.rows(run, groups)?;
        for (at, start) in starts(run, groups.window).values().iter().enumerate() {
            let earliest = began.entry(key(rows.as_ref(), at).to_vec()).or_insert(*start);
            *earliest = (*earliest).min(*start);
        }
    }
    let rows = keys.rows(batch, groups)?;
    let is_open =
        |at: usize, time: i64| began.get(key(rows.as_ref(), at)).is_some_and(|start| *start <= time);
    let kept = times.iter().enumerate().map(|(at, time)| Some(*time >= watermark || is_open(at, *time)));
    let kept: BooleanArray = kept.collect();
    Ok((filter_record_batch(batch, &kept)?, filter_record_batch(batch, &not(&kept)?)?))
}

/// True if some session is over.
pub(crate) fn some_ended(batch: &RecordBatch, column: usize, watermark: i64) -> bool {
    ends(batch, column).values().iter().any(|end| *end < watermark)
}

/// The sessions that are over, or those that are not.
pub(crate) fn ended(
    batch: &RecordBatch,
    column: usize,
    watermark: i64,
    over: bool,
) -> Result<RecordBatch, Error> {
    let kept: BooleanArray =
        ends(batch, column).values().iter().map(|end| Some((*end < watermark) == over)).collect();
    Ok(filter_record_batch(batch, &kept)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::window::window_type;

    const GROUPS: Groups = Groups { count: 2, window: 1 };

    fn rows(gap: i64, rows: &[(Option<&str>, i64)]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("k", DataType::Utf8, true),
            Field::new("window", window_type(), false),
        ]);
        let keys: StringArray = rows.iter().map(|(key, _)| *key).collect();
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(_, time)| *time));
        let spans = Sessions::new(gap).expect("fits").of(&times);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), Arc::new(spans)]).expect("a batch")
    }

    fn spans(batch: &RecordBatch) -> Vec<(Option<String>, i64, i64)> {
        let keys = batch.column(0).as_string::<i32>();
        let (start, end) = (starts(batch, 1), ends(batch, 1));
        let row = |at| (keys.iter().nth(at).flatten().map(str::to_owned), start.value(at), end.value(at));
        (0..batch.num_rows()).map(row).collect()
    }

    #[test]
    fn what_is_at_most_a_gap_apart_is_one_session_of_its_key() {
        let batch = rows(
            10,
            &[(Some("a"), 20), (Some("b"), 12), (Some("a"), 1), (Some("a"), 11), (None, 15), (Some("a"), 31)],
        );
        let a = |start, end| (Some("a".to_owned()), start, end);
        let b = (Some("b".to_owned()), 12, 22);
        assert_eq!(
            spans(&joined(&batch, GROUPS).expect("joins")),
            [a(1, 30), b, a(1, 30), a(1, 30), (None, 15, 25), a(31, 41)]
        );
    }

    #[test]
    fn a_late_row_is_taken_by_a_session_that_is_open() {
        let held = joined(&rows(10, &[(Some("a"), 40), (Some("a"), 48)]), GROUPS).expect("joins");
        let batch = rows(10, &[(Some("a"), 45), (Some("a"), 30), (Some("b"), 45), (Some("b"), 50)]);
        let (kept, late) = on_time(&batch, GROUPS, &[held], 50).expect("filters");
        let starts: Vec<i64> = spans(&kept).into_iter().map(|(_, start, _)| start).collect();
        assert_eq!((starts, late.num_rows()), (vec![45, 50], 2));
    }

    #[test]
    fn a_session_is_over_when_the_watermark_is_past_its_end() {
        let batch = rows(10, &[(Some("a"), 0), (Some("b"), 1)]);
        let count = |over| ended(&batch, 1, 11, over).expect("filters").num_rows();
        assert_eq!((count(true), count(false)), (1, 1));
        assert_eq!([10, 11].map(|watermark| some_ended(&batch, 1, watermark)), [false, true]);
    }
}
