//! A crash at each step of the log and the flush: nothing acknowledged is lost, nothing is there twice.

use cenote_ingest::{Ack, Error, State, WalOptions, WriteRequest};
use cenote_testkit::ingest::{TestIngest, ingest_options, line_protocol};
use cenote_testkit::lake::{MEMORY_BYTES, TestLake};
use cenote_testkit::{PATIENCE, settles};
use fail::FailScenario;

/// Writes `v`; answers whether it was acknowledged.
async fn write(node: &TestIngest, disk: &TestLake, v: u32) -> bool {
    node.write(disk, &format!("t v={v}i {v}")).await.is_ok()
}

/// Small segments, so that a rotation comes soon.
async fn open(disk: &TestLake) -> Result<TestIngest, Error> {
    let wal = WalOptions { segment_bytes: 2048, ..WalOptions::at(disk.wal()) };
    disk.open_with(ingest_options(), wal, MEMORY_BYTES).await
}

#[tokio::test]
async fn each_crash_point_keeps_every_acknowledged_row_once() {
    let scenario = FailScenario::setup();
    let points = [
        "wal.append",
        "wal.sync",
        "wal.rotate",
        "wal.truncate",
        "wal.replay",
        "flush.seal",
        "flush.file",
        "flush.commit",
    ];
    for point in points {
        for skipped in [0, 1, 3] {
            let disk = TestLake::new().await;
            let mut acknowledged = Vec::new();
            let mut sent = Vec::new();
            let mut node = open(&disk).await.expect("opens");
            for round in 0..3 {
                fail::cfg(point, &format!("{skipped}*off->return")).expect("configured");
                for n in 0..12 {
                    let v = round * 100 + n;
                    sent.push(v.to_string());
                    if write(&node, &disk, v).await {
                        acknowledged.push(v.to_string());
                    }
                    if n % 5 == 4
                        && let Some(table) = disk.try_table("t").await
                    {
                        drop(node.ingest.flush(&disk.scope, &table).await);
                    }
                }
                node.crash().await;
                if let Ok(failed) = open(&disk).await {
                    failed.crash().await; // the point may strike at the start too
                }
                fail::remove(point);
                node = open(&disk).await.unwrap_or_else(|error| panic!("{point} after {skipped}: {error}"));
                if disk.try_table("t").await.is_none() {
                    continue;
                }
                let values = node.values(&disk, "t", "v").await;
                for v in &acknowledged {
                    let times = values.iter().filter(|value| *value == v).count();
                    assert_eq!(times, 1, "{point} after {skipped}, round {round}: row {v} in {values:?}");
                }
                let mut known = values.clone();
                known.dedup();
                assert_eq!(known, values, "{point} after {skipped}, round {round}: a row twice");
                assert!(values.iter().all(|v| sent.contains(v)), "{point}: a row that was never sent");
            }
            assert!(!acknowledged.is_empty() || skipped == 0, "{point} after {skipped}: nothing was stored");
            node.crash().await;
            disk.close().await;
        }
    }
    scenario.teardown();
}

#[tokio::test]
async fn a_failed_sync_is_final_until_the_restart() {
    let scenario = FailScenario::setup();
    let disk = TestLake::new().await;
    let node = disk.open().await;
    assert!(write(&node, &disk, 1).await);
    fail::cfg("wal.sync", "1*return").expect("configured");
    let refused = node.write(&disk, "t v=2i 2").await.expect_err("the sync failed");
    assert!(matches!(refused, Error::LogClosed(_)), "{refused}");
    for _ in 0..3 {
        assert!(matches!(node.write(&disk, "t v=3i 3").await, Err(Error::LogClosed(_))));
    }
    assert!(matches!(node.ingest.state(), State::Closed(_)));
    assert_eq!(node.values(&disk, "t", "v").await, ["1"], "reads go on");
    node.crash().await;
    let node = disk.open().await;
    let values = node.values(&disk, "t", "v").await;
    assert!(values == ["1"] || values == ["1", "2"], "{values:?}");
    assert!(write(&node, &disk, 4).await);
    node.crash().await;
    scenario.teardown();
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_the_probe_resumes_them() {
    let scenario = FailScenario::setup();
    let disk = TestLake::new().await;
    let node = open(&disk).await.expect("opens");
    assert!(write(&node, &disk, 1).await);
    fail::cfg("wal.allocate", "return").expect("configured");
    let mut acknowledged = vec!["1".to_owned()];
    let refused = loop {
        let v = acknowledged.len() + 1;
        match node.write(&disk, &format!("t v={v}i {v}")).await {
            Ok(_) => acknowledged.push(v.to_string()),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, Error::DiskFull), "{refused}");
    assert_eq!(node.ingest.state(), State::DiskFull);
    acknowledged.sort();
    assert_eq!(node.values(&disk, "t", "v").await, acknowledged);
    fail::remove("wal.allocate");
    settles("the disk's probe", PATIENCE, async || node.ingest.state() == State::Ready).await;
    assert!(write(&node, &disk, 999).await);
    node.crash().await;
    scenario.teardown();
}

#[tokio::test]
async fn a_lost_commit_answer_is_settled_by_the_same_commit() {
    let scenario = FailScenario::setup();
    let disk = TestLake::new().await;
    let node = disk.open().await;
    assert!(write(&node, &disk, 1).await);
    let table = disk.table("t").await;
    fail::cfg("flush.commit", "1*return").expect("configured");
    assert!(node.ingest.flush(&disk.scope, &table).await.is_err());
    assert_eq!(node.values(&disk, "t", "v").await, ["1"], "in files, and the ledger hides it in the buffer");
    assert!(write(&node, &disk, 2).await);
    node.ingest.flush(&disk.scope, &table).await.expect("the same commit, then the next");
    assert_eq!(node.values(&disk, "t", "v").await, ["1", "2"]);
    assert_eq!(node.ingest.buffered(table.id), (0, 0));
    node.crash().await;
    scenario.teardown();
}

#[tokio::test]
async fn a_commit_that_the_catalog_answers_late_keeps_its_files() {
    let scenario = FailScenario::setup();
    let disk = TestLake::new().await;
    let node = disk.open().await;
    assert!(write(&node, &disk, 1).await);
    fail::cfg("commit.answer", "1*return").expect("configured");
    let request = WriteRequest { ack: Some(Ack::Committed), ..line_protocol("t v=2i 2") };
    node.ingest.write(&disk.identity, request).await.expect("found by its id at the second offer");
    assert_eq!(node.values(&disk, "t", "v").await, ["1", "2"]);
    fail::cfg("commit.answer", "1*return").expect("configured");
    node.flush(&disk, "t").await;
    assert_eq!(node.ingest.state(), State::Ready, "this is no older copy of the log");
    assert!(write(&node, &disk, 3).await);
    assert_eq!(node.values(&disk, "t", "v").await, ["1", "2", "3"]);
    node.crash().await;
    scenario.teardown();
}

#[tokio::test]
async fn keyed_rows_are_replaced_once_whatever_step_of_the_flush_fails() {
    let scenario = FailScenario::setup();
    for point in ["flush.seal", "flush.file", "flush.commit"] {
        let mut disk = TestLake::new().await;
        disk.lake.options.dedup = cenote_table::Dedup::Last;
        let mut node = open(&disk).await.expect("opens");
        for round in 0..4 {
            let lines: Vec<String> = (0..5).map(|n| format!("t v={}i {n}000", round * 10 + n)).collect();
            node.write(&disk, &lines.join("\n")).await.expect("stored");
            fail::cfg(point, "1*return").expect("configured");
            let table = disk.table("t").await;
            node.ingest.flush(&disk.scope, &table).await.expect_err("the flush fails");
            fail::remove(point);
            if round % 2 == 0 {
                node.crash().await;
                node = open(&disk).await.expect("opens");
            }
            node.flush(&disk, "t").await;
            let expected: Vec<String> = (0..5).map(|n| (round * 10 + n).to_string()).collect();
            assert_eq!(node.values(&disk, "t", "v").await, expected, "{point}, round {round}");
        }
        node.crash().await;
        disk.close().await;
    }
    scenario.teardown();
}
