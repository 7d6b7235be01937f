//! What was acknowledged is there after the process ends, once.

use std::time::{Duration, Instant};

use cenote_ingest::{Error, State, WalOptions};
use cenote_testkit::ingest::ingest_options;
use cenote_testkit::lake::{MEMORY_BYTES, TestLake};

use crate::ask::segments;

#[tokio::test]
async fn acknowledged_rows_come_back_once_whether_flushed_or_not() {
    let disk = TestLake::new().await;
    let mut wanted = Vec::new();
    for round in 0..5 {
        let node = disk.open().await;
        for n in 0..10 {
            let value = round * 10 + n;
            node.write(&disk, &format!("t,host=h{n} v={value}i {value}\nu v={value}i {value}"))
                .await
                .expect("stored");
            wanted.push(value.to_string());
            if n == 6 && round % 2 == 0 {
                node.flush(&disk, "t").await;
            }
        }
        wanted.sort();
        assert_eq!(node.values(&disk, "t", "v").await, wanted);
        node.crash().await;
    }
    let node = disk.open().await;
    assert_eq!(node.values(&disk, "t", "v").await, wanted);
    assert_eq!(node.values(&disk, "u", "v").await, wanted);
    node.ingest.flush_all(&disk.scope).await.expect("flushes");
    assert_eq!(node.values(&disk, "u", "v").await, wanted);
    node.crash().await;
}

#[tokio::test]
async fn a_shutdown_flushes_all_and_refuses_writes() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.write(&disk, "t v=1 1").await.expect("stored");
    let table = disk.table("t").await;
    node.ingest.shutdown(Duration::from_secs(30)).await.expect("ends well");
    assert_eq!((node.ingest.state(), node.ingest.buffered(table.id)), (State::Draining, (0, 0)));
    assert!(matches!(node.write(&disk, "t v=2 2").await, Err(Error::NotReady(_))));
    node.crash().await;
    let node = disk.open().await;
    assert_eq!(
        (node.ingest.buffered(table.id), node.values(&disk, "t", "v").await),
        ((0, 0), vec!["1.0".to_owned()])
    );
    node.crash().await;
}

#[tokio::test]
async fn a_log_in_use_is_refused_and_a_copied_one_fences_the_older_process() {
    let disk = TestLake::new().await;
    let older = disk.open().await;
    older.write(&disk, "t v=1 1").await.expect("stored");
    let second = disk.open_with(ingest_options(), WalOptions::at(disk.wal()), MEMORY_BYTES).await;
    assert!(second.is_err_and(|error| error.to_string().contains("in use")));

    let copied = disk.directory.path().join("copied");
    std::fs::create_dir(&copied).expect("dir");
    for path in segments(&disk.wal()).into_iter().chain([disk.wal().join("node")]) {
        std::fs::copy(&path, copied.join(path.file_name().expect("name"))).expect("copies");
    }
    let newer = disk.open_with(ingest_options(), WalOptions::at(copied), MEMORY_BYTES).await.expect("opens");
    let table = disk.table("t").await;
    assert!(older.ingest.flush(&disk.scope, &table).await.is_err());
    assert!(matches!(older.ingest.state(), State::Closed(_)));
    assert!(matches!(older.write(&disk, "t v=2 2").await, Err(Error::LogClosed(_))));
    newer.flush(&disk, "t").await;
    assert_eq!(newer.values(&disk, "t", "v").await, ["1.0"]);
    older.crash().await;
    newer.crash().await;
}

#[tokio::test]
async fn an_old_copy_of_a_log_begins_anew_and_loses_no_later_row() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.write(&disk, "t v=1 1\nu v=1 1").await.expect("stored");
    node.crash().await;
    let copied = disk.directory.path().join("old");
    std::fs::create_dir(&copied).expect("dir");
    for path in segments(&disk.wal()).into_iter().chain([disk.wal().join("node")]) {
        std::fs::copy(&path, copied.join(path.file_name().expect("name"))).expect("copies");
    }
    let node = disk.open().await;
    node.write(&disk, "t v=2 2").await.expect("stored");
    node.write(&disk, "t v=3 3").await.expect("stored");
    node.flush(&disk, "t").await;
    let id = node.ingest.producer(disk.table("t").await.id);
    node.crash().await;
    let node = disk.open_with(ingest_options(), WalOptions::at(copied), MEMORY_BYTES).await.expect("opens");
    assert_ne!(node.ingest.producer(disk.table("t").await.id), id);
    node.write(&disk, "t v=4 4").await.expect("stored");
    node.flush(&disk, "t").await;
    assert_eq!(node.values(&disk, "t", "v").await, ["1.0", "2.0", "3.0", "4.0"]);
    assert_eq!(node.values(&disk, "u", "v").await, ["1.0"]);
    node.crash().await;
}

#[tokio::test]
async fn a_log_of_another_catalog_is_refused_each_time_and_kept() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.write(&disk, "t v=1 1").await.expect("stored");
    node.crash().await;
    let other = TestLake::new().await;
    for _ in 0..2 {
        let refused = other.open_with(ingest_options(), WalOptions::at(disk.wal()), MEMORY_BYTES).await;
        assert!(matches!(refused, Err(Error::Corrupt(_))));
    }
    let node = disk.open().await;
    assert_eq!(node.values(&disk, "t", "v").await, ["1.0"]);
    node.crash().await;
}

#[tokio::test]
async fn damage_to_acknowledged_data_refuses_the_start() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.write(&disk, "t v=1 1").await.expect("stored");
    node.write(&disk, "t v=2 2").await.expect("stored");
    node.crash().await;
    let path = segments(&disk.wal()).remove(0);
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[64 + 100] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    let refused = disk.open_with(ingest_options(), WalOptions::at(disk.wal()), MEMORY_BYTES).await;
    let Err(Error::Corrupt(text)) = refused.map(|_| ()) else { panic!("not refused") };
    assert!(text.contains("0000000000000001.seg") && text.contains("offset 64"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_flushes_when_its_memory_is_full_and_is_fast() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    let rows = 20_000;
    for batch in 0..20 {
        let lines: Vec<String> = (0..rows)
            .map(|n| {
                format!(
                    "t,host=h{} a={}i,b={},c=\"{:x}\" {n}",
                    n % 100,
                    batch * rows + n,
                    n as f64 * 1.1,
                    n * 7919
                )
            })
            .collect();
        node.write(&disk, &lines.join("\n")).await.expect("stored");
    }
    let table = disk.table("t").await;
    let (_, buffered) = node.ingest.buffered(table.id);
    let log = node.ingest.log_status().2;
    node.crash().await;
    let began = Instant::now();
    let small =
        disk.open_with(ingest_options(), WalOptions::at(disk.wal()), buffered / 3).await.expect("opens");
    println!("replayed {log} bytes of log, {buffered} of rows, in {:?}", began.elapsed());
    assert_eq!(small.count(&disk, &table).await, 20 * rows);
    assert!(small.ingest.buffered(table.id).1 <= buffered / 3);
    small.crash().await;
    let again = disk.open().await;
    assert_eq!(again.count(&disk, &table).await, 20 * rows);
    again.crash().await;
}
