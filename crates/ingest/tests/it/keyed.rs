//! Tables with `dedup = 'last'`: of points that are sent again the newest stays, through flushes, merges and restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use cenote_datafile::RowSet;
use cenote_ingest::{Ack, WriteRequest};
use cenote_table::{Dedup, OptimizeMode, Predicate};
use cenote_testkit::ingest::line_protocol;
use cenote_testkit::lake::TestLake;
use cenote_vocab::{Clock, Ids, Micros};
use futures::TryStreamExt;
use tokio_util::task::TaskTracker;

use crate::ask::with_ack;

/// A lake whose new tables keep the newest row of a key.
async fn keyed_lake() -> TestLake {
    let mut disk = TestLake::new().await;
    disk.lake.options.dedup = Dedup::Last;
    disk
}

/// (host, time in µs) and value of each row in files, deleted ones left out; sorted.
async fn rows_in_files(disk: &TestLake, table: &str) -> Vec<((String, i64), f64)> {
    let table = disk.table(table).await;
    let head = disk.lake.catalog.head(&disk.scope).await.expect("head").txn;
    let scan = disk.lake.scan(&disk.scope, &table, head, &Predicate::True).await.expect("scan");
    let place = |name: &str| table.schema.fields.iter().position(|field| field.name == name).expect(name);
    let mut rows = Vec::new();
    for file in scan.files {
        let live = RowSet::live(file.entry.vector.as_ref().map(|visible| visible.vector.clone()));
        let batches = disk.lake.read_file(&disk.scope, &table, &file.entry, live, &table.schema);
        for batch in batches.await.expect("reads").try_collect::<Vec<_>>().await.expect("reads") {
            let time = batch.column(place("time")).as_primitive::<TimestampMicrosecondType>();
            let host = batch.column(place("host")).as_string::<i32>();
            let value = batch.column(place("v")).as_primitive::<Float64Type>();
            rows.extend(
                (0..value.len()).map(|at| ((host.value(at).to_owned(), time.value(at)), value.value(at))),
            );
        }
    }
    rows.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    rows
}

#[tokio::test]
async fn points_sent_again_replace_those_before_through_flushes_merges_and_restarts() {
    for seed in 0..3 {
        let disk = keyed_lake().await;
        let mut node = disk.open().await;
        let dice = Ids::seeded(seed, Clock::manual(Micros(0)));
        let mut model: BTreeMap<(String, i64), f64> = BTreeMap::new();
        let mut sent = 0;
        for step in 0..60 {
            match dice.below(9) {
                0 if sent > 0 => node.flush(&disk, "t").await,
                1 if sent > 0 => {
                    let table = disk.table("t").await;
                    disk.lake
                        .optimize(&disk.scope, &table, OptimizeMode::Full, &Predicate::True, false)
                        .await
                        .expect("merges");
                }
                2 if step % 3 == 0 => {
                    node.crash().await;
                    node = disk.open().await;
                }
                kind => {
                    let mut body = String::new();
                    for _ in 0..=dice.below(20) {
                        let (host, time) = (format!("h{}", dice.below(3)), dice.below(30) * 43_200);
                        sent += 1;
                        body.push_str(&format!("t,host={host} v={sent} {time}000000000\n"));
                        model
                            .insert((host, i64::try_from(time).expect("small") * 1_000_000), f64::from(sent));
                    }
                    let request = match kind {
                        3 => with_ack(line_protocol(&body), Ack::Committed),
                        4 => WriteRequest {
                            idempotency_key: Some(format!("step {step}")),
                            ..line_protocol(&body)
                        },
                        _ => line_protocol(&body),
                    };
                    node.ingest.write(&disk.identity, request).await.expect("stored");
                }
            }
        }
        assert!(sent > 100);
        node.flush(&disk, "t").await;
        let expected: Vec<_> = model.into_iter().collect();
        assert_eq!(rows_in_files(&disk, "t").await, expected, "seed {seed}");
        node.crash().await;
        disk.close().await;
    }
}

#[tokio::test]
async fn a_direct_write_comes_after_what_is_buffered_and_counts_once() {
    let disk = keyed_lake().await;
    let node = disk.open().await;
    node.write(&disk, "t,host=a v=1 1000\nt,host=b v=1 1000").await.expect("stored");
    let keyed = || WriteRequest {
        idempotency_key: Some("again".to_owned()),
        ..line_protocol("t,host=a v=2 1000\nt,host=a v=3 1000")
    };
    node.ingest.write(&disk.identity, keyed()).await.expect("stored");
    let expected = |value| vec![(("a".to_owned(), 1), value), (("b".to_owned(), 1), 1.0)];
    assert_eq!(rows_in_files(&disk, "t").await, expected(3.0), "the buffer is flushed before");
    node.write(&disk, "t,host=a v=4 1000").await.expect("stored");
    assert!(node.ingest.write(&disk.identity, keyed()).await.expect("known").replayed);
    node.flush(&disk, "t").await;
    assert_eq!(rows_in_files(&disk, "t").await, expected(4.0), "a repeat changes nothing");
    node.crash().await;
}

#[tokio::test]
async fn new_tables_keep_the_default_and_a_later_tag_makes_other_keys() {
    let disk = keyed_lake().await;
    let node = disk.open().await;
    node.write(&disk, "t,host=a v=1 1000").await.expect("stored");
    assert_eq!(disk.table("t").await.properties.get("dedup").map(String::as_str), Some("last"));
    node.flush(&disk, "t").await;
    node.write(&disk, "t,host=a,core=0 v=2 1000\nt,host=a,core=1 v=3 1000\nt,host=a v=4 1000")
        .await
        .expect("stored");
    node.flush(&disk, "t").await;
    let values: Vec<f64> = rows_in_files(&disk, "t").await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [2.0, 3.0, 4.0], "no core is a key of its own");
    node.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_writes_of_the_same_keys_side_by_side_all_succeed() {
    let disk = Arc::new(keyed_lake().await);
    let node = Arc::new(disk.open().await);
    let tasks = TaskTracker::new();
    let writes = (0..24).map(|n| {
        let (disk, node) = (Arc::clone(&disk), Arc::clone(&node));
        tasks.spawn(async move {
            let body: String = (0..10).map(|host| format!("t,host=h{host} v={n} 1000\n")).collect();
            let key = Some(format!("write {n}"));
            let request = WriteRequest { idempotency_key: key, ..line_protocol(&body) };
            node.ingest.write(&disk.identity, request).await.expect("stored");
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.expect("a write");
    }
    let rows = rows_in_files(&disk, "t").await;
    assert_eq!(rows.len(), 10);
    assert!(rows.iter().all(|(_, v)| *v == rows[0].1), "one write was last: {rows:?}");
}
