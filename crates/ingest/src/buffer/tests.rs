//! Buffer and files together are what was published, whatever happens between the steps of a reader.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use cenote_vocab::{Epoch, MemoryPool};
use proptest::prelude::*;

use super::*;
use crate::Pin;
use crate::admission::Admission;
use crate::protocols::Protocols;

const TABLE: TableId = TableId(1);

/// One step of the flusher, the log or a reader.
#[derive(Clone, Copy, Debug)]
enum Step {
    Publish { records: usize, rows: usize },
    Seal,
    Commit,
    Release,
    Pin,
    ReadHead,
    Close,
    Count,
}

/// A reader's way: pin, then the head, then the close, then any number of counts.
#[derive(Default)]
struct Reader {
    pin: Option<Pin>,
    /// Epoch and rows in files at the head that was read.
    head: Option<(Lsn, u64)>,
    /// The newest place that was published at the close.
    end: Option<Lsn>,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1usize..50, 1usize..4).prop_map(|(records, rows)| Step::Publish { records, rows }),
        1 => Just(Step::Seal),
        1 => Just(Step::Commit),
        1 => Just(Step::Release),
        1 => Just(Step::Pin),
        2 => Just(Step::ReadHead),
        2 => Just(Step::Close),
        3 => Just(Step::Count),
    ]
}

/// Rows that say the place of their record.
fn batch(place: Lsn, rows: usize) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![place.0 as i64; rows]));
    RecordBatch::try_from_iter([("v", column)]).expect("batch")
}

fn rows(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

fn places(batches: &[RecordBatch]) -> Vec<u64> {
    let values = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(values).map(|place| place as u64).collect()
}

proptest! {
    #[test]
    fn a_reader_counts_what_was_published_at_its_close(steps in proptest::collection::vec(step(), 1..80)) {
        let admission = Admission::new(MemoryPool::node(1 << 24));
        let buffer = Buffer::default();
        let (mut next, mut published) = (Lsn(1), Vec::new());
        let (mut committed, mut files) = (Lsn(0), 0);
        let (mut sealed, mut unreleased) = (None::<Sealed>, None);
        let mut reader = Reader::default();
        for step in steps {
            match step {
                Step::Publish { records, rows } => {
                    for _ in 0..records {
                        let batch = batch(next, rows);
                        let held = admission.try_take(rows_bytes(&batch)).expect("room");
                        buffer.publish(vec![(next, vec![NewRows { table: TABLE, batch, received: Micros(1), protocols: Protocols::default(), held }])], u64::MAX, u64::MAX);
                        published.extend(std::iter::repeat_n(next.0, rows));
                        next = Lsn(next.0 + 1);
                    }
                }
                // One flush at a time: nothing is sealed before the last one is released.
                Step::Seal if sealed.is_none() && unreleased.is_none() => sealed = buffer.seal(TABLE),
                Step::Commit => {
                    if let Some(sealed) = sealed.take() {
                        files += rows(&sealed.batches);
                        committed = sealed.end;
                        unreleased = Some(sealed.end);
                    }
                }
                Step::Release => {
                    if let Some(end) = unreleased.take() {
                        buffer.release(TABLE, end);
                    }
                }
                Step::Pin => {
                    drop(std::mem::take(&mut reader));
                    reader.pin = Some(Pin::new(buffer.clone(), &[TABLE]));
                }
                Step::ReadHead if reader.pin.is_some() && reader.head.is_none() => reader.head = Some((committed, files)),
                Step::Close if reader.head.is_some() && reader.end.is_none() => {
                    reader.end = Some(reader.pin.as_mut().expect("pinned").close());
                }
                Step::Count => {
                    if let (Some(pin), Some((epoch, in_files)), Some(end)) = (&reader.pin, reader.head, reader.end) {
                        let buffered = pin.batches(TABLE, Epoch(epoch.0 as i64));
                        let wanted: Vec<_> = published.iter().copied().filter(|place| *place > epoch.0 && *place <= end.0).collect();
                        prop_assert_eq!(in_files as usize + wanted.len(), published.iter().filter(|place| **place <= end.0).count());
                        prop_assert_eq!(pin.has_rows(TABLE, Epoch(epoch.0 as i64)), !wanted.is_empty());
                        prop_assert_eq!(places(&buffered), wanted);
                    }
                }
                Step::Seal | Step::ReadHead | Step::Close => {}
            }
        }
        drop(reader);
        let (unflushed, _) = buffer.unflushed(TABLE);
        prop_assert_eq!(unflushed + files, published.len() as u64 + unreleased.map_or(0, |_| files_again(&buffer, committed)));
        buffer.release(TABLE, next);
        prop_assert_eq!((buffer.unflushed(TABLE), admission.used()), ((0, 0), 0));
    }
}

/// Rows that are in files of a commit that the buffer has not been told of.
fn files_again(buffer: &Buffer, committed: Lsn) -> u64 {
    rows(&buffer.batches(TABLE, Lsn(0), committed))
}

#[test]
fn rows_of_a_dropped_table_are_not_kept() {
    let admission = Admission::new(MemoryPool::node(1000));
    let buffer = Buffer::default();
    buffer.release(TABLE, Lsn(u64::MAX));
    let new = NewRows {
        table: TABLE,
        batch: batch(Lsn(1), 1),
        received: Micros(1),
        protocols: Protocols::default(),
        held: admission.try_take(10).expect("room"),
    };
    buffer.publish(vec![(Lsn(1), vec![new])], u64::MAX, u64::MAX);
    assert_eq!((buffer.seal(TABLE).is_none(), admission.used(), buffer.published()), (true, 0, Lsn(1)));
}

#[test]
fn publishing_says_when_a_table_grew_large_and_only_then() {
    let admission = Admission::new(MemoryPool::node(1000));
    let buffer = Buffer::default();
    let publish = |lsn| {
        let held = admission.try_take(10).expect("room");
        buffer.publish(
            vec![(
                Lsn(lsn),
                vec![NewRows {
                    table: TABLE,
                    batch: batch(Lsn(lsn), 2),
                    received: Micros(1),
                    protocols: Protocols::default(),
                    held,
                }],
            )],
            4,
            1000,
        )
    };
    assert_eq!([publish(1), publish(2), publish(3)], [false, true, false]);
}

#[test]
fn what_many_small_requests_left_is_few_batches_for_readers_and_holds_less() {
    let admission = Admission::new(MemoryPool::node(1 << 30));
    let buffer = Buffer::default();
    let publish = |from: u64, records: u64| {
        for place in (from..from + records).map(Lsn) {
            let batch = batch(place, 10);
            let held = admission.try_take(rows_bytes(&batch)).expect("room");
            buffer.publish(
                vec![(
                    place,
                    vec![NewRows {
                        table: TABLE,
                        batch,
                        received: Micros(1),
                        protocols: Protocols::default(),
                        held,
                    }],
                )],
                u64::MAX,
                u64::MAX,
            );
        }
    };
    publish(1, 3000);
    let before = admission.used();
    let all = buffer.batches(TABLE, Lsn(0), Lsn(u64::MAX));
    assert_eq!((rows(&all), places(&all).is_sorted()), (30_000, true));
    assert!(all.len() < 40, "{} batches", all.len());
    assert!(admission.used() < before / 4, "{} of {before} bytes", admission.used());
    assert_eq!(buffer.unflushed(TABLE), (30_000, admission.used()));
    assert_eq!(
        places(&buffer.batches(TABLE, Lsn(0), Lsn(7))).len(),
        70,
        "the end lies within a merged batch"
    );

    let sealed = buffer.seal(TABLE).expect("rows");
    publish(3001, 1000);
    assert_eq!(rows(&buffer.batches(TABLE, Lsn(0), Lsn(u64::MAX))), 40_000);
    buffer.release(TABLE, sealed.end);
    let later = buffer.batches(TABLE, Lsn(0), Lsn(u64::MAX));
    assert_eq!((rows(&later), places(&later)[0]), (10_000, 3001), "none is merged over the end of a flush");
    assert_eq!(buffer.unflushed(TABLE), (10_000, admission.used()));
}
