use std::sync::Arc;

use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::{Options, stamped};

const SECOND: i64 = 1_000_000;

struct Place {
    directory: tempfile::TempDir,
    options: FilesystemSinkOptions,
    columns: SchemaRef,
}

fn place(more: &[(&str, &str)]) -> Place {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out").display().to_string();
    let given = [("path", path.as_str()), ("filename.strategy", "serial")];
    let given = given.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut options = Options::new(given.collect());
    let taken = FilesystemSinkOptions::take(&mut options, &["n", "kind"]).expect("fits");
    options.end().expect("all are known");
    let columns =
        Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("kind", DataType::Utf8, true)]);
    Place { directory, options: taken, columns: columns.into() }
}

impl Place {
    fn sink(&self) -> FilesystemSink {
        let owner = Uuid::from_u128(7);
        FilesystemSink::open("s", owner, &self.options, &self.columns, &Reach::Everything).expect("opens")
    }

    fn rows(&self, rows: &[(i64, Option<&str>)]) -> Vec<RecordBatch> {
        let numbers = Int64Array::from_iter_values(rows.iter().map(|(n, _)| *n));
        let kinds: StringArray = rows.iter().map(|(_, kind)| *kind).collect();
        let mut columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(numbers), Arc::new(kinds)];
        let mut schema = self.columns.clone();
        if self.options.wants_event_time() {
            let times = rows.iter().map(|(n, _)| n * 3600 * SECOND);
            columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(times)));
            schema = stamped(&schema);
        }
        vec![RecordBatch::try_new(schema, columns).expect("a batch")]
    }

    async fn stage(&self, state: &str, epoch: i64, rows: &[(i64, Option<&str>)], closing: Closing) -> String {
        let rows = self.rows(rows);
        let rows = EpochRows { epoch, now: Micros(epoch * SECOND), rows: &rows, closing };
        self.sink().stage(state, rows).await.expect("stages")
    }

    /// Files that are complete, with their lines; then how many objects are in progress.
    fn files(&self) -> (Vec<(String, String)>, usize) {
        let root = self.directory.path().join("out");
        let (mut files, mut open, mut left) = (Vec::new(), 0, vec![root.clone()]);
        while let Some(directory) = left.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    left.push(path);
                } else if path.to_string_lossy().contains(IN_PROGRESS) {
                    open += 1;
                } else {
                    let name = path.strip_prefix(&root).expect("below").display().to_string();
                    files.push((
                        name,
                        String::from_utf8_lossy(&std::fs::read(&path).expect("bytes")).into_owned(),
                    ));
                }
            }
        }
        files.sort();
        (files, open)
    }
}

#[tokio::test]
async fn a_file_spans_epochs_and_is_seen_after_the_commit_that_rolls_it() {
    let place = place(&[("rolling_policy.file_size", "30")]);
    let first = place.stage("", 1, &[(1, None)], Closing::Open).await;
    assert_eq!(place.files(), (vec![], 1));
    let second = place.stage(&first, 2, &[(2, Some("a")), (3, None)], Closing::Open).await;
    assert_eq!(place.files(), (vec![], 2), "nothing is seen before the commit");
    let mut sink = place.sink();
    sink.finish(&second).await.expect("completes");
    sink.finish(&second).await.expect("completes again");
    let file = ("00002-001.json".to_owned(), "{\"n\":1}\n{\"n\":2,\"kind\":\"a\"}\n{\"n\":3}\n".to_owned());
    assert_eq!(place.files(), (vec![file.clone()], 0));
    sink.restore(&second).await.expect("nothing to do");
    let third = place.stage(&second, 3, &[], Closing::Close).await;
    sink.finish(&third).await.expect("completes");
    assert_eq!(place.files(), (vec![file], 0), "no rows make no file");
}

#[tokio::test]
async fn what_no_commit_knows_goes_and_what_it_promised_comes() {
    let place = place(&[]);
    let first = place.stage("", 1, &[(1, None)], Closing::Open).await;
    place.stage(&first, 2, &[(2, None)], Closing::Close).await; // this one was not committed
    place.sink().restore(&first).await.expect("cleans");
    assert_eq!(place.files(), (vec![], 1));
    let second = place.stage(&first, 2, &[(3, None)], Closing::Close).await; // this one was, and then came the crash
    place.sink().restore(&second).await.expect("completes");
    let (files, open) = place.files();
    assert_eq!((files.len(), open), (1, 0));
    assert_eq!(files[0].1, "{\"n\":1}\n{\"n\":3}\n");
    std::fs::remove_file(place.directory.path().join("out").join(&files[0].0)).expect("removes");
    let error = place.sink().restore(&second).await.expect_err("gone").to_string();
    assert!(error.contains("is neither in progress nor complete"), "{error}");
}

#[tokio::test]
async fn rows_go_to_the_directories_of_their_time_and_values() {
    let more = [
        ("partitioning.time_pattern", "%Y/%m-%d"),
        ("partitioning.fields", "kind"),
        ("filename.prefix", "x"),
        ("filename.suffix", "jsonl"),
    ];
    let place = place(&more);
    let rows = [(1, Some("a/b")), (2, None), (30, Some("a/b")), (3, Some("a/b"))];
    let state = place.stage("", 1, &rows, Closing::Close).await;
    place.sink().finish(&state).await.expect("completes");
    let (files, _) = place.files();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "1970/01-01/kind=__HIVE_DEFAULT_PARTITION__/x-00001-001.jsonl",
            "1970/01-01/kind=a%2Fb/x-00001-002.jsonl",
            "1970/01-02/kind=a%2Fb/x-00001-003.jsonl"
        ]
    );
    assert_eq!(files[1].1, "{\"n\":1,\"kind\":\"a/b\"}\n{\"n\":3,\"kind\":\"a/b\"}\n");
}

#[tokio::test]
async fn a_file_that_is_silent_or_old_is_due() {
    let place = place(&[
        ("rolling_policy.interval", "1 minute"),
        ("rolling_policy.inactivity_interval", "10 seconds"),
    ]);
    let mut state = place.stage("", 1, &[(1, None)], Closing::Open).await;
    assert_eq!(place.sink().due(&state), Some(Micros(11 * SECOND)));
    for epoch in (9..60).step_by(8) {
        state = place.stage(&state, epoch, &[(epoch, None)], Closing::Open).await;
    }
    assert_eq!(place.sink().due(&state), Some(Micros(61 * SECOND)));
    let state = place.stage(&state, 61, &[], Closing::Open).await;
    place.sink().finish(&state).await.expect("completes");
    let (files, open) = place.files();
    assert_eq!((files.len(), files[0].1.lines().count(), open), (1, 8, 0));
    assert_eq!(place.sink().due(&state), None);
}

#[tokio::test]
async fn many_parts_become_one_and_parquet_is_whole() {
    let place = place(&[("format", "parquet")]);
    let mut state = String::new();
    for epoch in 1..=20 {
        state = place.stage(&state, epoch, &[(epoch, Some("a"))], Closing::Open).await;
        place.sink().finish(&state).await.expect("completes");
    }
    assert!(place.files().1 <= PARTS_MAX + 1, "{:?}", place.files());
    let state = place.stage(&state, 21, &[(21, None)], Closing::Close).await;
    place.sink().finish(&state).await.expect("completes");
    let (files, open) = place.files();
    assert_eq!((files.len(), open), (1, 0));
    let file = std::fs::File::open(place.directory.path().join("out").join(&files[0].0)).expect("opens");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("parquet").build().expect("reads");
    let numbers: Vec<i64> = reader
        .flat_map(|batch| {
            let batch = batch.expect("a batch");
            let numbers = batch.column(0).as_any().downcast_ref::<Int64Array>().expect("numbers").clone();
            numbers.values().to_vec()
        })
        .collect();
    assert_eq!(numbers, (1..=21).collect::<Vec<i64>>());
}

#[test]
fn names_are_the_same_for_the_same_epoch_and_others_for_others() {
    for strategy in ["uuid_v7", "uuid", "ulid", "serial"] {
        let given = [("path", "x"), ("filename.strategy", strategy)];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let options = FilesystemSinkOptions::take(&mut Options::new(given.into()), &[]).expect("fits");
        let names = Names::new(Uuid::from_u128(7), "s", &options);
        let of = |epoch| {
            let mut names = names.of_epoch(epoch, Micros(5));
            [names.next_file(), names.next_file()]
        };
        assert_eq!(of(1), of(1));
        let all: BTreeSet<String> = of(1).into_iter().chain(of(2)).collect();
        assert_eq!(all.len(), 4, "{strategy}: {all:?}");
    }
}
