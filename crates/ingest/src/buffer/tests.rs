//! Buffer and files together are what was published, whatever happens between the steps of a reader.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use cenote_vocab::{Epoch, MemoryPool};
use proptest::prelude::*;

use super::*;
use crate::Pin;
use crate::admission::Admission;

const TABLE: TableId = TableId(1);

/// One step of the flusher, the log or a reader.
#[derive(Clone, Copy, Debug)]
enum Step {
    Publish { rows: usize },
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
    /// Rows that were published at the close.
    wanted: Option<u64>,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1usize..4).prop_map(|rows| Step::Publish { rows }),
        1 => Just(Step::Seal),
        1 => Just(Step::Commit),
        1 => Just(Step::Release),
        1 => Just(Step::Pin),
        2 => Just(Step::ReadHead),
        2 => Just(Step::Close),
        3 => Just(Step::Count),
    ]
}

fn batch(rows: usize) -> BufferedBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![7; rows]));
    let batch = RecordBatch::try_from_iter([("v", column)]).expect("batch");
    BufferedBatch { lsn: Lsn(0), schema_no: 1, batch, time_range: None }
}

fn rows(batches: &[BufferedBatch]) -> u64 {
    batches.iter().map(|buffered| buffered.batch.num_rows() as u64).sum()
}

proptest! {
    #[test]
    fn a_reader_counts_what_was_published_at_its_close(steps in proptest::collection::vec(step(), 1..80)) {
        let admission = Admission::new(MemoryPool::node(1 << 20));
        let buffer = Buffer::default();
        let (mut next, mut published) = (Lsn(1), 0);
        let (mut committed, mut files) = (Lsn(0), 0);
        let (mut sealed, mut unreleased) = (None::<Sealed>, None);
        let mut reader = Reader::default();
        for step in steps {
            match step {
                Step::Publish { rows } => {
                    let held = admission.try_take(100).expect("room");
                    let new = NewRows { table: TABLE, batch: batch(rows), received: Micros(1), held };
                    buffer.publish(vec![(next, vec![new])], u64::MAX, u64::MAX);
                    next = Lsn(next.0 + 1);
                    published += rows as u64;
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
                Step::Close if reader.head.is_some() && reader.wanted.is_none() => {
                    reader.pin.as_mut().expect("pinned").close();
                    reader.wanted = Some(published);
                }
                Step::Count => {
                    if let (Some(pin), Some((epoch, in_files)), Some(wanted)) = (&reader.pin, reader.head, reader.wanted) {
                        let buffered = pin.batches(TABLE, Epoch(epoch.0 as i64));
                        prop_assert_eq!(in_files + rows(&buffered), wanted);
                    }
                }
                Step::Seal | Step::ReadHead | Step::Close => {}
            }
        }
        drop(reader);
        let (unflushed, _) = buffer.unflushed(TABLE);
        prop_assert_eq!(unflushed + files, published + unreleased.map_or(0, |_| files_again(&buffer, committed)));
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
        batch: batch(1),
        received: Micros(1),
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
            vec![(Lsn(lsn), vec![NewRows { table: TABLE, batch: batch(2), received: Micros(1), held }])],
            4,
            1000,
        )
    };
    assert_eq!([publish(1), publish(2), publish(3)], [false, true, false]);
}
