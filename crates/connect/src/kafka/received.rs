//! Messages that the client has fetched, by partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use cenote_vocab::Micros;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

use super::columns::Told;

/// Messages of a partition, in their order. Those without a value only move it on.
#[derive(Debug, Default)]
pub(super) struct Messages {
    values: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
    pub(super) offsets: Vec<u64>,
    /// When each was made, µs.
    times: Vec<Option<i64>>,
    keys: Vec<Option<Box<[u8]>>>,
    /// The offset behind the last.
    pub(super) next: i64,
}

/// By partition.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) partitions: BTreeMap<i32, Messages>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl Received {
    /// Takes a message.
    pub(super) fn push(&mut self, message: &BorrowedMessage<'_>, keeps_keys: bool) {
        let of = self.partitions.entry(message.partition()).or_default();
        of.next = message.offset() + 1;
        let Some(value) = message.payload() else { return };
        of.values.extend_from_slice(value);
        of.ends.push(of.values.len());
        of.offsets.push(u64::try_from(message.offset()).unwrap_or(0));
        of.times.push(message.timestamp().to_millis().map(|millis| millis.saturating_mul(1_000)));
        let key = if keeps_keys { message.key() } else { None };
        self.bytes += value.len() + key.map_or(0, <[u8]>::len);
        of.keys.push(key.map(Into::into));
        self.rows += 1;
    }
}

impl Messages {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The value of a message.
    pub(super) fn value(&self, at: usize) -> &[u8] {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.values[from..self.ends[at]]
    }

    /// When messages were made; `now` for those that do not say.
    pub(super) fn event_times(&self, of: &[usize], now: Micros) -> ArrayRef {
        let times = of.iter().map(|at| self.times[*at].unwrap_or(now.0));
        Arc::new(TimestampMicrosecondArray::from_iter_values(times))
    }

    /// A column of what messages tell.
    pub(super) fn told(&self, told: Told, of: &[usize], (topic, partition): (&str, i32)) -> ArrayRef {
        let times = || of.iter().map(|at| self.times[*at]);
        let keys = || of.iter().map(|at| self.keys[*at].as_deref());
        match told {
            Told::Offset => {
                let offsets = of.iter().map(|at| i64::try_from(self.offsets[*at]).unwrap_or(i64::MAX));
                Arc::new(Int64Array::from_iter_values(offsets))
            }
            Told::Partition => Arc::new(Int32Array::from(vec![partition; of.len()])),
            Told::Topic => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(topic, of.len()))),
            Told::Millis => {
                Arc::new(times().map(|time| time.map(|time| time / 1_000)).collect::<Int64Array>())
            }
            Told::Instant => Arc::new(times().collect::<TimestampMicrosecondArray>()),
            Told::Key => Arc::new(keys().collect::<BinaryArray>()),
            Told::KeyText => {
                Arc::new(keys().map(|key| key.map(String::from_utf8_lossy)).collect::<StringArray>())
            }
        }
    }
}
