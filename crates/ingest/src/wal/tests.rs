//! Laws of the log as a whole: what was answered is found again, in order, after any tear; damage is seen.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use cenote_vocab::{Clock, Lsn, Micros, TableId};
use parking_lot::Mutex;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;
use crate::Error;
use crate::metrics::LogMetrics;

const NODE: Uuid = Uuid::from_u128(7);
const TABLE: TableId = TableId(5);

type Published = Arc<Mutex<Vec<(Lsn, u64)>>>;

struct Opened {
    log: Log<u64>,
    published: Published,
}

fn shape() -> Arc<Shape> {
    let field = Field::new("n", DataType::Int64, true)
        .with_metadata([(cenote_datafile::FIELD_ID_KEY.to_owned(), "1".to_owned())].into());
    let shape = Shape::new(TABLE, 1, ["default", "default", "t"], Arc::new(Schema::new(vec![field])));
    Arc::new(shape.expect("shape"))
}

/// Records of kind rows with their first payload number, as read back.
fn read(dir: &Path) -> Result<(Vec<(u64, u64)>, Tail), Error> {
    let mut records = Vec::new();
    let tail = read_log(dir, NODE, &mut |found| {
        if found.header.kind == Kind::Rows {
            let read = sections(&found.header, &found.body).map_err(Error::Internal)?;
            let number = read[0].1[..8].try_into().map_err(|_| Error::Internal("payload".to_owned()))?;
            records.push((found.header.lsn.0, u64::from_le_bytes(number)));
        }
        Ok(())
    })?;
    Ok((records, tail))
}

fn open(dir: &Path, segment_bytes: u64) -> Opened {
    let (_, tail) = read(dir).expect("a sound log");
    let tables = vec![HashMap::from([(TABLE, Lsn(u64::MAX))]); tail.segments.len()];
    let start = Start {
        dir: dir.to_owned(),
        node: NODE,
        segment_bytes,
        tail,
        tables,
        shapes: vec![shape()],
        clock: Clock::manual(Micros(1)),
        metrics: LogMetrics::default(),
    };
    let published = Published::default();
    let shown = published.clone();
    let log = Log::start(start, Box::new(move |rows| shown.lock().extend(rows))).expect("starts");
    Opened { log, published }
}

fn append(log: &Log<u64>, number: u64, payload: usize) -> oneshot::Receiver<Result<Lsn, Refused>> {
    let mut draft = Draft::new(Kind::Rows, Micros(number as i64));
    let section = SectionHeader { table: TABLE, schema_no: 1, rows: 1, time_range: None, flags: 0 };
    draft
        .rows(section, |out| {
            out.extend_from_slice(&number.to_le_bytes());
            out.resize(out.len() + payload, number as u8);
            Ok::<_, String>(0)
        })
        .expect("payload");
    draft.finish();
    let (done, answer) = oneshot::channel();
    log.append(Append { draft, shapes: vec![shape()], rows: number, done }).expect("queued");
    answer
}

async fn append_all(log: &Log<u64>, numbers: std::ops::Range<u64>, payload: usize) {
    for number in numbers {
        append(log, number, payload).await.expect("answered").expect("stored");
    }
}

/// The only segment of `dir`.
fn segment(dir: &Path) -> PathBuf {
    let paths = fs::read_dir(dir).expect("lists").map(|entry| entry.expect("entry").path());
    let mut segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ext| ext == "seg")).collect();
    assert_eq!(segments.len(), 1);
    segments.remove(0)
}

#[tokio::test]
async fn concurrent_records_are_dense_published_in_order_and_found_again() {
    let dir = TempDir::new().expect("dir");
    let opened = open(dir.path(), 1 << 20);
    let answers: Vec<_> = (0..200).map(|number| append(&opened.log, number, 100)).collect();
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await.expect("answered"), Ok(Lsn(number as u64 + 1)));
    }
    let wanted: Vec<_> = (0..200).map(|number| (number + 1, number)).collect();
    let published: Vec<_> = opened.published.lock().iter().map(|(lsn, number)| (lsn.0, *number)).collect();
    assert_eq!(published, wanted);
    drop(opened);
    let (records, tail) = read(dir.path()).expect("sound");
    assert_eq!((records, tail.next, tail.durable), (wanted, Lsn(201), Lsn(200)));
    assert!(tail.unproven.is_empty(), "the mark of the shutdown proves all");
}

#[tokio::test]
async fn segments_rotate_survive_reopening_and_go_oldest_first() {
    let dir = TempDir::new().expect("dir");
    for round in 0..3 {
        let opened = open(dir.path(), 4096);
        append_all(&opened.log, round * 20..(round + 1) * 20, 500).await;
        append(&opened.log, 0, 100_000).await.expect("answered").expect("larger than a segment");
    }
    let (records, tail) = read(dir.path()).expect("sound");
    assert_eq!(records.iter().map(|record| record.0).collect::<Vec<_>>(), (1..=63).collect::<Vec<_>>());
    assert!(tail.segments.len() > 9, "{} segments", tail.segments.len());

    let opened = open(dir.path(), 4096);
    let before = opened.log.status();
    opened.log.truncate(|_, _| false).expect("keeps all");
    assert_eq!(opened.log.status(), before);
    opened.log.truncate(|_, _| true).expect("removes all but the current");
    assert_eq!(opened.log.status(), (Lsn(64), Lsn(63), 64));
    append_all(&opened.log, 0..1, 0).await;
    drop(opened);
    let (records, tail) = read(dir.path()).expect("sound");
    assert_eq!((records, tail.next), (vec![(64, 0)], Lsn(65)));
}

#[tokio::test]
async fn a_barrier_and_a_rotation_come_after_what_was_queued() {
    let dir = TempDir::new().expect("dir");
    let opened = open(dir.path(), 1 << 20);
    let answer = append(&opened.log, 1, 0);
    opened.log.barrier().await;
    assert_eq!(opened.published.lock().len(), 1);
    answer.await.expect("answered").expect("stored");
    opened.log.rotate().await;
    opened.log.rotate().await; // an empty segment is not followed by another
    drop(opened);
    let (_, tail) = read(dir.path()).expect("sound");
    assert_eq!(tail.segments.iter().map(|segment| segment.0).collect::<Vec<_>>(), [Lsn(1), Lsn(2)]);
}

/// A log of some groups, the last of which nothing proves: its bytes, and where each record ends.
async fn unmarked(dir: &Path, records: u64) -> (PathBuf, Vec<u8>, Vec<(u64, u64)>) {
    let opened = open(dir, 1 << 20);
    append_all(&opened.log, 0..records, 30).await;
    drop(opened);
    let path = segment(dir);
    let mut ends = Vec::new();
    read_log(dir, NODE, &mut |found| {
        if found.header.kind == Kind::Rows {
            ends.push((found.header.lsn.0, found.offset + found.header.record_bytes()));
        }
        Ok(())
    })
    .expect("sound");
    let mut bytes = fs::read(&path).expect("reads");
    bytes.truncate(ends.last().expect("a record").1 as usize);
    (path, bytes, ends)
}

#[tokio::test]
async fn a_log_torn_at_each_byte_keeps_every_whole_record_before() {
    let dir = TempDir::new().expect("dir");
    let (path, bytes, ends) = unmarked(dir.path(), 6).await;
    for cut in 64..=bytes.len() {
        for zeros in [0, 500] {
            let mut torn = bytes[..cut].to_vec();
            torn.resize(cut + zeros, 0);
            fs::write(&path, &torn).expect("writes");
            let (records, tail) = read(dir.path()).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            let whole = ends.iter().filter(|(_, end)| *end <= cut as u64).count();
            // Padding at the end of a record may be missing: zeros are what it holds.
            assert!(records.len() == whole || records.len() == whole + 1, "cut at {cut}");
            assert!(records.iter().zip(1..).all(|(record, lsn)| record.0 == lsn), "cut at {cut}");
            assert_eq!(tail.unproven.len() as u64, tail.next.0 - 1 - tail.durable.0, "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_in_proven_data_is_corrupt_and_names_the_file() {
    let dir = TempDir::new().expect("dir");
    let opened = open(dir.path(), 1 << 20);
    append_all(&opened.log, 0..5, 30).await;
    drop(opened); // with a mark
    let path = segment(dir.path());
    let (records, tail) = read(dir.path()).expect("sound");
    let mark = tail.segments[0].2 - 48;
    let bytes = fs::read(&path).expect("reads");
    let mut refused = 0;
    for at in 0..mark as usize {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).expect("writes");
        match read(dir.path()) {
            Err(Error::Corrupt(text)) => {
                assert!(text.contains(&path.display().to_string()) && text.contains("offset"), "{text}");
                refused += 1;
            }
            Ok((found, _)) => assert_eq!(found, records, "only padding may differ, byte {at}"),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(refused > mark as usize * 9 / 10, "{refused} of {mark}");
}

#[tokio::test]
async fn unproven_records_are_written_once_more_before_the_log_goes_on() {
    let dir = TempDir::new().expect("dir");
    let (path, mut bytes, _) = unmarked(dir.path(), 4).await;
    bytes.resize(bytes.len() + 4096, 0);
    fs::write(&path, &bytes).expect("writes");
    let (records, tail) = read(dir.path()).expect("sound");
    assert_eq!((records.len(), tail.durable, tail.unproven.len()), (4, Lsn(3), 1));
    for reopened in 0..3 {
        let opened = open(dir.path(), 1 << 20);
        if reopened == 2 {
            append_all(&opened.log, 77..78, 0).await;
        }
        std::mem::forget(opened); // killed: no mark is written
        let (records, _) = read(dir.path()).expect("sound");
        assert_eq!(&records[..4], [(1, 0), (2, 1), (3, 2), (4, 3)], "reopened {reopened}");
    }
    let (records, tail) = read(dir.path()).expect("sound");
    assert_eq!((records.last(), tail.segments.len()), (Some(&(5, 77)), 2));
}

#[tokio::test]
async fn a_lost_or_foreign_segment_is_corrupt() {
    let dir = TempDir::new().expect("dir");
    let opened = open(dir.path(), 4096);
    append_all(&opened.log, 0..20, 500).await;
    drop(opened);
    let (_, tail) = read(dir.path()).expect("sound");
    let (_, middle, _) = &tail.segments[1];
    let kept = fs::read(middle).expect("reads");
    fs::remove_file(middle).expect("removes");
    assert!(matches!(read(dir.path()), Err(Error::Corrupt(_))));
    fs::write(middle, kept).expect("writes");
    assert!(read(dir.path()).is_ok());
    assert!(matches!(read_log(dir.path(), Uuid::from_u128(8), &mut |_| Ok(())), Err(Error::Corrupt(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_panic(
        first in 0u64..4,
        bytes in proptest::collection::vec(any::<u8>(), 0..4000),
        with_header in any::<bool>(),
    ) {
        let dir = TempDir::new().expect("dir");
        let mut file = Vec::new();
        if with_header {
            file.extend(SegmentHeader { node: NODE, first: Lsn(first), created: Micros(0), key: 0 }.encode());
        }
        file.extend(bytes);
        fs::write(dir.path().join(segment::file_name(Lsn(first))), file).expect("writes");
        prop_assert!(matches!(read(dir.path()), Ok(_) | Err(Error::Corrupt(_))));
    }

    #[test]
    fn overwritten_ranges_give_a_prefix_or_corrupt(at in 0.0f64..1.0, noise in proptest::collection::vec(any::<u8>(), 1..300)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let dir = TempDir::new().expect("dir");
        let (path, mut bytes, _) = runtime.block_on(unmarked(dir.path(), 5));
        let (records, _) = read(dir.path()).expect("sound");
        let at = (at * bytes.len() as f64) as usize;
        let end = (at + noise.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&noise[..end - at]);
        fs::write(&path, &bytes).expect("writes");
        match read(dir.path()) {
            Ok((found, _)) => prop_assert_eq!(&records[..found.len()], found),
            Err(error) => prop_assert!(matches!(error, Error::Corrupt(_) | Error::Internal(_))),
        }
    }
}
