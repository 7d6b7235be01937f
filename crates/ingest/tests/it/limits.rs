//! Memory, log and disk are bounded; reaching a bound is an answer.

use std::time::Duration;

use bytes::Bytes;
use cenote_ingest::{Error, IngestOptions, State, WalOptions, WriteRequest};
use cenote_testkit::ingest::{ingest_options, line_protocol};
use cenote_testkit::lake::{MEMORY_BYTES, TestLake};
use cenote_testkit::{PATIENCE, settles};
use cenote_vocab::{Clock, ErrorKind, Fault, Micros};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::ask::segments;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pressure_of_memory_and_log_flushes_so_that_writes_go_on() {
    let disk = TestLake::new().await;
    let memory = 4 << 20;
    let wal = WalOptions { segment_bytes: 256 << 10, bytes_max: 2 << 20, ..WalOptions::at(disk.wal()) };
    let node = disk.open_with(ingest_options(), wal, memory).await.expect("opens");
    let rows = 2000;
    for batch in 0..60 {
        let lines: Vec<String> = (0..rows)
            .map(|n| format!("t v={}i,noise={} {n}", batch * rows + n, (n * 7919 + batch) as f64 / 3.0))
            .collect();
        node.write(&disk, &lines.join("\n")).await.expect("room is made");
    }
    let table = disk.table("t").await;
    assert_eq!(node.count(&disk, &table).await, 60 * rows);
    let (_, newest, bytes) = node.ingest.log_status();
    assert!(newest >= 60 && bytes <= 2 << 20, "{bytes} bytes of log");
    node.ingest.flush_all(&disk.scope).await.expect("flushes");
    assert_eq!(segments(&disk.wal()).len(), 1);
    node.crash().await;
}

#[tokio::test]
async fn a_body_that_can_never_fit_and_a_bomb_are_refused_in_bounded_memory() {
    let disk = TestLake::new().await;
    let options = IngestOptions { decompressed_max: 64 << 20, ..ingest_options() };
    let node = disk.open_with(options, WalOptions::at(disk.wal()), 8 << 20).await.expect("opens");
    let large = line_protocol(&"t v=1 1\n".repeat(2 << 20));
    let refused = node.ingest.write(&disk.identity, large).await.expect_err("too large");
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
    // zstd frame of one RLE block: 128 KiB of zeros in a few bytes, 600 times over.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for block in 0..600_u32 {
        let header: u32 = (128 << 10 << 3) | (1 << 1) | u32::from(block == 599);
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(0);
    }
    let bomb = WriteRequest { body: Bytes::from(bomb), ..line_protocol("") };
    let refused = node.ingest.write(&disk.identity, bomb).await.expect_err("a bomb");
    assert_eq!(refused.kind(), ErrorKind::Exhausted, "{refused}");
    node.write(&disk, "t v=1 1").await.expect("all memory was given back");
    node.crash().await;
}

#[tokio::test]
async fn a_quiet_table_is_flushed_after_a_minute() {
    let clock = Clock::manual(Micros(1_700_000_000_000_000));
    let disk = TestLake::with_clock(clock.clone()).await;
    let node = disk.open().await;
    node.write(&disk, "t v=1 1").await.expect("stored");
    let table = disk.table("t").await;
    clock.advance(Duration::from_secs(59));
    node.write(&disk, "u v=1 1").await.expect("stored");
    assert_eq!(node.ingest.buffered(table.id).0, 1);
    clock.advance(Duration::from_secs(2));
    settles("the quiet table's flush", PATIENCE, async || node.ingest.buffered(table.id).0 == 0).await;
    assert_eq!(node.ingest.buffered(disk.table("u").await.id).0, 1, "younger rows wait");
    node.crash().await;
}

#[tokio::test]
async fn a_low_disk_refuses_writes_and_not_reads() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.write(&disk, "t v=1 1").await.expect("stored");
    node.crash().await;
    let options = IngestOptions { disk_free_min: u64::MAX, ..ingest_options() };
    let node = disk.open_with(options, WalOptions::at(disk.wal()), MEMORY_BYTES).await.expect("opens");
    assert_eq!(node.ingest.state(), State::DiskFull);
    let refused = node.write(&disk, "t v=2 2").await.expect_err("no room");
    assert!(matches!(refused, Error::DiskFull));
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(10)));
    assert_eq!(node.values(&disk, "t", "v").await, ["1.0"]);
    node.crash().await;
}

#[tokio::test]
async fn metrics_show_what_was_done() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    let mut registry = Registry::with_prefix("cenote");
    node.ingest.register(&mut registry);
    node.write(&disk, "t v=1 1\nt v=2 2\nt bad").await.expect("stored");
    node.flush(&disk, "t").await;
    let mut text = String::new();
    encode(&mut text, &registry).expect("encodes");
    for line in [
        r#"cenote_ingest_rows_total{format="line_protocol"} 2"#,
        r#"cenote_ingest_rejected_rows_total{format="line_protocol",reason="bad"} 1"#,
        r#"cenote_ingest_request_duration_seconds_count{format="line_protocol",ack="durable"} 1"#,
        "cenote_wal_group_records_count 1",
        "cenote_wal_open 1",
        "cenote_flush_rows_total 2",
        r#"cenote_flush_duration_seconds_count{outcome="ok"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    node.crash().await;
}
