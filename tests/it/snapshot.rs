//! Queries during flushes, compactions and deletes each see one snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use cenote_testkit::node::TestNode;
use serde_json::{Value, json};

const WRITES: i64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counts_never_waver_while_rows_move_from_buffer_to_files_to_larger_files() {
    let node = TestNode::start().await;
    let client = node.client();
    client.write("moving,w=a n=0i 1").await;
    let acknowledged = Arc::new(AtomicI64::new(1));
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (client, acknowledged) = (client.clone(), acknowledged.clone());
        async move {
            for n in 1..=WRITES {
                client.write(&format!("moving,w=a n={n}i {}", n + 1)).await;
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let mover = {
        let (client, done) = (client.clone(), done.clone());
        async move {
            while !done.load(Ordering::SeqCst) {
                client.sql("FLUSH moving").await;
                client.sql("OPTIMIZE TABLE moving FULL").await;
            }
        }
    };
    let reader = {
        let (client, done, acknowledged) = (client.clone(), done.clone(), acknowledged.clone());
        async move {
            let (mut last, mut reads) = (0, 0);
            while !done.load(Ordering::SeqCst) {
                let before = acknowledged.load(Ordering::SeqCst);
                let row =
                    client.sql("SELECT count(*), count(DISTINCT n), max(n) + 1 FROM moving").await.remove(0);
                let [count, distinct, highest] = [0, 1, 2].map(|n| row[n].as_i64().expect("a number"));
                assert_eq!((count, count), (distinct, highest), "no row twice, none missing in between");
                assert!(count >= before, "an acknowledged row is missing: {count} < {before}");
                assert!(count >= last, "the count fell from {last} to {count}");
                last = count;
                reads += 1;
            }
            reads
        }
    };
    let writing = async {
        writer.await;
        done.store(true, Ordering::SeqCst);
    };
    let ((), (), reads) = tokio::join!(writing, mover, reader);
    assert!(reads > 10, "the reader ran beside the writer: {reads}");
    assert_eq!(client.number("SELECT count(*) FROM moving").await, WRITES + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delete_is_seen_whole_or_not_at_all() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE pairs (n BIGINT, side BIGINT)").await;
    client.sql("INSERT INTO pairs SELECT value, 0 FROM generate_series(1, 200) AS s(value)").await;
    client.sql("INSERT INTO pairs SELECT value, 1 FROM generate_series(1, 200) AS s(value)").await;
    let done = AtomicBool::new(false);
    let deleting = async {
        for n in 1..=40 {
            client.sql(&format!("DELETE FROM pairs WHERE n = {n}")).await;
            if n % 10 == 0 {
                client.sql("OPTIMIZE TABLE pairs DELETES").await;
            }
        }
        done.store(true, Ordering::SeqCst);
    };
    let reading = async {
        while !done.load(Ordering::SeqCst) {
            let odd = client
                .number("SELECT count(*) FROM (SELECT n FROM pairs GROUP BY n HAVING count(*) <> 2) AS odd")
                .await;
            assert_eq!(odd, 0, "both rows of a pair go in one commit");
        }
    };
    tokio::join!(deleting, reading);
    assert_eq!(client.number("SELECT count(*) FROM pairs").await, 320);
}

#[tokio::test]
async fn rows_that_are_in_no_file_yet_have_no_place() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE placed (time TIMESTAMP, k BIGINT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH (dedup = 'last', inline_max = '0')").await;
    client.sql("INSERT INTO placed VALUES ('2026-01-01', 1, 10), ('2026-01-01', 2, 20)").await;
    client.write("placed k=2i,v=21i 3\nplaced k=3i,v=30i 4").await;
    let rows = client.sql("SELECT k, v, _row_id IS NULL, _file IS NULL, _pos FROM placed ORDER BY k").await;
    let expected =
        [json!([1, 10, false, false, 0]), json!([2, 21, true, true, null]), json!([3, 30, true, true, null])];
    assert_eq!(rows.into_iter().map(Value::Array).collect::<Vec<_>>(), expected);
    client.sql("FLUSH placed").await;
    assert_eq!(
        client.number("SELECT count(*) FROM placed WHERE _pos IS NOT NULL AND _row_id IS NOT NULL").await,
        3
    );
}
