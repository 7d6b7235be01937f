//! `impulse`: a counter that goes up at a rate.

use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_vocab::{Clock, Micros};

use crate::pace::Pace;
use crate::source::generated;
use crate::{Error, Options, Pulled, Source, Wanted, stamped};

/// What `WITH (connector = 'impulse', …)` says.
#[derive(Clone, Debug, PartialEq)]
pub struct ImpulseOptions {
    /// Rows a second by the clock; 0: no limit.
    pub event_rate: f64,
    /// Event time between two rows in µs; `None`: by the rate.
    pub event_time_interval: Option<i64>,
    /// Rows in all; `None`: for ever.
    pub message_count: Option<u64>,
    /// When the first row happens, µs; `None`: when the pipeline was made.
    pub start_time: Option<i64>,
}

impl ImpulseOptions {
    /// Takes its options.
    pub fn take(options: &mut Options) -> Result<Self, Error> {
        let event_rate = options
            .rate("event_rate")?
            .ok_or_else(|| Error::Options("option 'event_rate' is required".into()))?;
        let taken = Self {
            event_rate,
            event_time_interval: options.micros("event_time_interval")?,
            message_count: options.number("message_count")?,
            start_time: options.number("start_time")?.and_then(|micros| i64::try_from(micros).ok()),
        };
        if taken.event_rate == 0.0 && taken.event_time_interval.is_none() {
            return Err(Error::Options(
                "option 'event_time_interval' is required where 'event_rate' is 0".into(),
            ));
        }
        Ok(taken)
    }
}

/// The generator. Its position is the counter of the next row.
pub struct Impulse {
    options: ImpulseOptions,
    pace: Pace,
    schema: SchemaRef,
}

impl Impulse {
    /// Columns of its rows, without the event time.
    pub fn columns() -> Schema {
        Schema::new(vec![
            Field::new("counter", DataType::Int64, false),
            Field::new("subtask_index", DataType::Int64, false),
        ])
    }

    /// Of a pipeline that was made at `created`.
    pub fn new(options: ImpulseOptions, created: Micros, clock: Clock) -> Self {
        let start = options.start_time.map_or(created, Micros);
        let (rate, count) = (options.event_rate, options.message_count);
        let pace = Pace { name: "impulse", rate, count, start, clock };
        Self { options, pace, schema: stamped(&Self::columns()) }
    }

    fn event_time(&self, counter: u64) -> i64 {
        let after = match self.options.event_time_interval {
            Some(interval) => interval.saturating_mul(i64::try_from(counter).unwrap_or(i64::MAX)),
            None => (counter as f64 * 1e6 / self.options.event_rate) as i64,
        };
        self.pace.start.0.saturating_add(after)
    }

    /// The rows `from..to`.
    fn batch(&self, from: u64, to: u64) -> Result<RecordBatch, Error> {
        let counters: Int64Array =
            (from..to).map(|counter| i64::try_from(counter).unwrap_or(i64::MAX)).collect();
        let subtasks = Int64Array::from(vec![0; counters.len()]);
        let times = (from..to).map(|counter| self.event_time(counter)).collect();
        generated(&self.schema, vec![Arc::new(counters), Arc::new(subtasks)], times)
    }
}

#[async_trait]
impl Source for Impulse {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn node(&self) -> String {
        "ext:impulse".to_owned()
    }

    async fn read(&mut self, from: &str, wanted: Wanted) -> Result<Pulled, Error> {
        self.pace.read(from, wanted, |from, to| self.batch(from, to))
    }

    async fn wait(&self, from: &str) {
        self.pace.wait(from).await;
    }

    async fn committed(&mut self, _position: &str) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

    use super::*;
    use crate::source::wanted;

    fn impulse(rate: f64, count: Option<u64>) -> Impulse {
        let options = ImpulseOptions {
            event_rate: rate,
            event_time_interval: None,
            message_count: count,
            start_time: Some(1_000_000),
        };
        Impulse::new(options, Micros(0), Clock::manual(Micros(0)))
    }

    #[tokio::test]
    async fn rows_come_by_the_clock_and_the_same_behind_a_position() {
        let mut source = impulse(10.0, Some(25));
        assert!(source.read("", wanted(100, 999_999)).await.expect("read").batches.is_empty());
        let first = source.read("", wanted(100, 1_950_000)).await.expect("read");
        assert_eq!((first.position.as_str(), first.ended), ("10", false));
        let counters = first.batches[0].column(0).as_primitive::<Int64Type>();
        assert_eq!(counters.values().to_vec(), (0..10).collect::<Vec<i64>>());
        let times = first.batches[0].column(2).as_primitive::<TimestampMicrosecondType>();
        assert_eq!((times.value(0), times.value(9)), (1_000_000, 1_900_000));
        let rest = source.read("10", wanted(7, 99_000_000)).await.expect("read");
        assert_eq!((rest.position.as_str(), rest.ended), ("17", false));
        let again = source.read("10", wanted(7, 1_000_000_000)).await.expect("read");
        assert_eq!(again.batches, rest.batches);
        let last = source.read("17", wanted(100, 99_000_000)).await.expect("read");
        assert_eq!((last.position.as_str(), last.ended), ("25", true));
    }

    #[tokio::test]
    async fn a_position_of_another_source_is_refused() {
        let error = impulse(1.0, None).read("7:1:2", wanted(1, 0)).await.expect_err("no counter");
        assert_eq!(error.to_string(), "source impulse: position \"7:1:2\" is none of its own");
    }
}
