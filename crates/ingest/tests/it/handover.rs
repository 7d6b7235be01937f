//! Each row is in the buffer or in a file, never both, never neither.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::record_batch::RecordBatch;
use cenote_testkit::lake::TestLake;
use cenote_vocab::Epoch;
use tokio_util::task::TaskTracker;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_never_sees_a_count_waver_while_rows_are_flushed() {
    let disk = Arc::new(TestLake::new().await);
    let node = Arc::new(disk.open().await);
    node.write(&disk, "t v=0 0").await.expect("stored");
    let table = disk.table("t").await;
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(1));
    let sent = Arc::new(AtomicU64::new(1));

    let writer = TaskTracker::new().spawn({
        let (disk, node, stop) = (disk.clone(), node.clone(), stop.clone());
        let (acknowledged, sent) = (acknowledged.clone(), sent.clone());
        async move {
            while !stop.load(Ordering::SeqCst) {
                let first = sent.fetch_add(10, Ordering::SeqCst);
                let lines: Vec<String> = (first..first + 10).map(|n| format!("t v={n} {n}000")).collect();
                node.write(&disk, &lines.join("\n")).await.expect("stored");
                acknowledged.fetch_add(10, Ordering::SeqCst);
            }
        }
    });
    let flusher = TaskTracker::new().spawn({
        let (disk, node, stop) = (disk.clone(), node.clone(), stop.clone());
        async move {
            for _ in 0..60 {
                node.flush(&disk, "t").await;
            }
            stop.store(true, Ordering::SeqCst);
        }
    });
    let mut last = 0;
    while !stop.load(Ordering::SeqCst) {
        let low = acknowledged.load(Ordering::SeqCst);
        let count = node.count(&disk, &table).await;
        let high = sent.load(Ordering::SeqCst);
        assert!(low <= count && count <= high && last <= count, "{low} <= {count} <= {high}, {last} before");
        last = count;
    }
    writer.await.expect("writer");
    flusher.await.expect("flusher");
    let total = acknowledged.load(Ordering::SeqCst);
    node.flush(&disk, "t").await;
    let values = node.values(&disk, "t", "v").await;
    assert_eq!(values.len() as u64, total);
    assert_eq!(values.iter().collect::<std::collections::HashSet<_>>().len() as u64, total, "no row twice");
}

#[tokio::test]
async fn pinned_batches_stay_after_their_flush_until_the_pin_ends() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.write(&disk, "t v=1 1").await.expect("stored");
    let table = disk.table("t").await;
    let mut pin = node.ingest.pin(&[table.id]);
    assert!(pin.batches(table.id, Epoch(0)).is_empty(), "not closed yet");
    let end = pin.close();
    node.flush(&disk, "t").await;
    node.write(&disk, "t v=2 2").await.expect("stored");
    assert_eq!(pin.close(), end);
    let batches = pin.batches(table.id, Epoch(0));
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1]);
    assert!(pin.bytes() > 0);
    assert!(pin.batches(table.id, Epoch(end.0 as i64)).is_empty(), "in files");
    drop(pin);
    let mut later = node.ingest.pin(&[table.id]);
    later.close();
    assert_eq!(later.batches(table.id, Epoch(0)).len(), 1, "the flushed batch is freed");
    node.crash().await;
}

#[tokio::test]
async fn a_flush_of_one_table_leaves_the_others_and_is_idempotent() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.write(&disk, "a v=1 1\nb v=2 2").await.expect("stored");
    let (a, b) = (disk.table("a").await, disk.table("b").await);
    let txn = node.ingest.flush(&disk.scope, &a).await.expect("flushes");
    assert_eq!((node.ingest.buffered(a.id).0, node.ingest.buffered(b.id).0), (0, 1));
    let again = node.ingest.flush(&disk.scope, &a).await.expect("nothing to do");
    assert!(again >= txn);
    let files = disk.lake.catalog.files(&disk.scope, &a, again, None).await.expect("files");
    assert_eq!(files.iter().map(|file| file.file.rows).collect::<Vec<_>>(), [1]);
    node.crash().await;
}
