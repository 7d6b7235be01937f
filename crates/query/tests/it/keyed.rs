//! Tables with `dedup = 'last'`: each key once with its newest value, wherever its rows are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cenote_testkit::engine::{TestEngine, TestSession, node};
use cenote_vocab::{Clock, Fault, Ids, Micros};
use tokio_util::task::TaskTracker;

const TABLE: &str = "CREATE TABLE cpu (time TIMESTAMP NOT NULL, host TEXT, v DOUBLE) PARTITIONED BY (day(time)) \
                     SORTED BY (host, time) WITH (tags = 'host', dedup = 'last', row_lineage = 'off')";

async fn keyed_node() -> (TestEngine, TestSession) {
    let node = node().await;
    let client = node.session().await;
    client.rows(TABLE).await;
    (node, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_hides_file_rows_whose_key_is_buffered() {
    let (node, client) = keyed_node().await;
    node.write("cpu,host=a v=1 1\ncpu,host=b v=1 1\ncpu,host=a v=9 1\ncpu,host=a v=2 100000\n").await;
    assert_eq!(client.rows("SELECT count(*) FROM cpu").await, ["3"], "within the buffer the newest counts");
    client.rows("FLUSH cpu").await;
    node.write("cpu,host=a v=5 1\ncpu,host=c v=5 1\ncpu,host=c v=6 1\n").await;
    let expected = ["a|5.0", "b|1.0", "c|6.0", "a|2.0"];
    for _ in 0..2 {
        assert_eq!(client.rows("SELECT host, v FROM cpu ORDER BY time, host").await, expected);
        assert_eq!(client.rows("SELECT count(*), count(v), min(v), max(v) FROM cpu").await, ["4|4|1.0|6.0"]);
        assert_eq!(client.rows("SELECT count(*), max(time) FROM cpu").await, ["4|1970-01-02T03:46:40"]);
        assert_eq!(client.rows("SELECT v FROM cpu WHERE v = 9").await, [""; 0], "an old value is not found");
        assert_eq!(
            client.rows("SELECT v FROM cpu WHERE host = 'a' AND v < 6 ORDER BY v").await,
            ["2.0", "5.0"]
        );
        assert_eq!(client.rows("SELECT v FROM cpu ORDER BY v DESC LIMIT 2").await, ["6.0", "5.0"]);
        assert_eq!(client.rows("SELECT 1 FROM cpu LIMIT 10").await.len(), 4);
        client.rows("FLUSH cpu").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_files_that_the_buffer_overlaps_are_read_another_way() {
    let (node, client) = keyed_node().await;
    node.write("cpu,host=a v=1 1\n").await;
    client.rows("FLUSH cpu").await;
    let plan = |sql: &'static str| {
        let client = &client;
        async move { client.rows(&format!("EXPLAIN {sql}")).await.join("\n") }
    };
    node.write("cpu,host=a v=2 100000\n").await;
    let apart = plan("SELECT v FROM cpu").await;
    assert!(!apart.contains("NOT_BUFFERED"), "{apart}");
    let counted = plan("SELECT count(*) FROM cpu").await;
    assert!(!counted.contains("DataSourceExec"), "counted without files: {counted}");
    node.write("cpu,host=a v=3 1\n").await;
    let overlapped = plan("SELECT v FROM cpu").await;
    assert!(overlapped.contains("NOT_BUFFERED"), "{overlapped}");
    let counted = plan("SELECT count(*) FROM cpu").await;
    assert!(counted.contains("NOT_BUFFERED"), "{counted}");
    assert_eq!(client.rows("SELECT count(*), max(v) FROM cpu").await, ["2|3.0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_points_read_as_a_plain_model_says_after_each_step() {
    for seed in 0..2 {
        let (node, client) = keyed_node().await;
        let dice = Ids::seeded(seed, Clock::manual(Micros(0)));
        let mut model: BTreeMap<(u64, String), u32> = BTreeMap::new();
        let mut sent = 0;
        for step in 0..25 {
            match dice.below(7) {
                0 => drop(client.rows("FLUSH cpu").await),
                1 => drop(client.rows("OPTIMIZE cpu FULL").await),
                2 => {
                    let host = format!("h{}", dice.below(3));
                    client.rows(&format!("DELETE FROM cpu WHERE host = '{host}'")).await;
                    model.retain(|(_, of), _| *of != host);
                }
                kind => {
                    let point = || (dice.below(20) * 20_000, format!("h{}", dice.below(3)));
                    let points: Vec<_> = (0..=dice.below(10)).map(|_| point()).collect();
                    let numbered = points.into_iter().map(|point| {
                        sent += 1;
                        (point, sent)
                    });
                    let numbered: Vec<_> = numbered.collect();
                    if kind == 3 {
                        let row = |((time, host), v): &((u64, String), u32)| {
                            format!("(to_timestamp({time}), '{host}', {v})")
                        };
                        let rows: Vec<String> = numbered.iter().map(row).collect();
                        client.rows(&format!("INSERT INTO cpu VALUES {}", rows.join(", "))).await;
                    } else {
                        let line = |((time, host), v): &((u64, String), u32)| {
                            format!("cpu,host={host} v={v} {time}\n")
                        };
                        node.write(&numbered.iter().map(line).collect::<String>()).await;
                    }
                    model.extend(numbered);
                }
            }
            let expected: Vec<String> =
                model.iter().map(|((time, host), v)| format!("{time}|{host}|{v}")).collect();
            let mut rows = client
                .rows("SELECT CAST(extract(epoch FROM time) AS BIGINT), host, CAST(v AS BIGINT) FROM cpu")
                .await;
            rows.sort_by_key(|row| {
                let (time, rest) = row.split_once('|').expect("three cells");
                (time.parse::<u64>().expect("a number"), rest.to_owned())
            });
            assert_eq!(rows, expected, "seed {seed}, step {step}");
            let count = model.len().to_string();
            assert_eq!(client.rows("SELECT count(*) FROM cpu").await, std::slice::from_ref(&count));
            let keys = "SELECT count(*) FROM (SELECT DISTINCT host, time FROM cpu) keys";
            assert_eq!(client.rows(keys).await, [count]);
        }
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_among_flushes_and_merges_see_each_key_once_and_never_an_older_value() {
    let (node, client) = keyed_node().await;
    let node = Arc::new(node);
    let stop = Arc::new(AtomicBool::new(false));
    let points =
        |v: u32| (0..50).map(|n| format!("cpu,host=h{} v={v} {}\n", n % 5, n * 4_000)).collect::<String>();
    node.write(&points(0)).await;
    let tasks = TaskTracker::new();
    let writer = tasks.spawn({
        let (node, stop) = (Arc::clone(&node), Arc::clone(&stop));
        async move {
            for v in 1..60 {
                node.write(&points(v)).await;
            }
            stop.store(true, Ordering::SeqCst);
        }
    });
    let flusher = tasks.spawn({
        let (node, stop) = (Arc::clone(&node), Arc::clone(&stop));
        async move {
            let client = node.session().await;
            while !stop.load(Ordering::SeqCst) {
                client.rows("FLUSH cpu").await;
                client.rows("OPTIMIZE cpu FULL").await;
            }
        }
    });
    let mut last = 0;
    while !stop.load(Ordering::SeqCst) {
        let seen =
            client.rows("SELECT count(*), CAST(min(v) AS BIGINT), CAST(max(v) AS BIGINT) FROM cpu").await;
        let cells: Vec<u32> = seen[0].split('|').map(|cell| cell.parse().expect("a number")).collect();
        assert_eq!((cells[0], cells[1]), (50, cells[2]), "one write is seen whole");
        assert!(cells[1] >= last, "{} after {last}", cells[1]);
        last = cells[1];
    }
    writer.await.expect("writer");
    flusher.await.expect("flusher");
    assert_eq!(client.rows("SELECT count(*), min(v), max(v) FROM cpu").await, ["50|59.0|59.0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserts_replace_rows_by_primary_key() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id BIGINT PRIMARY KEY NOT ENFORCED, name TEXT) WITH (dedup = 'last')").await;
    let outcome = client.outcome("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (1, 'c')").await;
    assert_eq!((outcome.rows, outcome.txn.is_some()), (2, true));
    client.rows("INSERT INTO t SELECT id + 1, 'd' FROM t").await;
    assert_eq!(client.rows("SELECT * FROM t ORDER BY id").await, ["1|c", "2|d", "3|d"]);
    client.rows("CREATE TABLE copy (id BIGINT PRIMARY KEY NOT ENFORCED) WITH (dedup = 'last') AS SELECT id % 2 AS id FROM t").await;
    assert_eq!(client.rows("SELECT id FROM copy ORDER BY id").await, ["0", "1"]);
    client.rows("BEGIN").await;
    client.rows("INSERT INTO t VALUES (1, 'x'), (1, 'y')").await;
    assert_eq!(client.rows("SELECT * FROM t ORDER BY id").await, ["1|y", "2|d", "3|d"]);
    client.rows("ROLLBACK").await;
    assert_eq!(client.rows("SELECT * FROM t ORDER BY id").await, ["1|c", "2|d", "3|d"]);
    client.rows("SET idempotency_key = 'once'").await;
    client.rows("INSERT INTO t VALUES (1, 'once')").await;
    client.rows("INSERT INTO t VALUES (1, 'later')").await;
    client.rows("SET idempotency_key = 'once'").await;
    client.rows("INSERT INTO t VALUES (1, 'once')").await;
    assert_eq!(client.rows("SELECT name FROM t WHERE id = 1").await, ["later"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_inserts_of_a_new_key_leave_one_row() {
    let node = Arc::new(node().await);
    let client = node.session().await;
    client.rows("CREATE TABLE t (id BIGINT PRIMARY KEY NOT ENFORCED, v INT) WITH (dedup = 'last')").await;
    for id in 0..5 {
        let tasks = TaskTracker::new();
        let inserts: Vec<_> = (0..3)
            .map(|v| {
                let node = Arc::clone(&node);
                tasks.spawn(async move {
                    node.session().await.rows(&format!("INSERT INTO t VALUES ({id}, {v})")).await;
                })
            })
            .collect();
        for insert in inserts {
            insert.await.expect("inserts");
        }
    }
    assert_eq!(client.rows("SELECT count(*), count(DISTINCT id) FROM t").await, ["5|5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dedup_needs_a_key_and_holds_for_new_writes() {
    let node = node().await;
    let client = node.session().await;
    let error = client.error("CREATE TABLE t (id BIGINT) WITH (dedup = 'last')").await;
    assert_eq!(error.sqlstate().0, "22023");
    assert!(error.to_string().contains("dedup = 'last' of table default.t needs a key"), "{error}");
    assert_eq!(client.code("CREATE TABLE t (id BIGINT PRIMARY KEY) WITH (dedup = 'tags')").await, "22023");
    client.rows("CREATE TABLE t (id BIGINT, v INT)").await;
    assert_eq!(client.code("ALTER TABLE t SET (dedup = 'last')").await, "22023");
    client.rows("INSERT INTO t VALUES (1, 1), (1, 2), (2, 1)").await;
    client.rows("INSERT INTO t VALUES (1, 3)").await;
    assert_eq!(client.code("OPTIMIZE t DEDUP").await, "22023");
    client.rows("ALTER TABLE t ADD PRIMARY KEY (id) NOT ENFORCED, SET (dedup = 'last')").await;
    assert_eq!(client.code("ALTER TABLE t DROP PRIMARY KEY").await, "22023");
    client.rows("INSERT INTO t VALUES (2, 2)").await;
    assert_eq!(client.rows("SELECT id, v FROM t ORDER BY id, v").await, ["1|1", "1|2", "1|3", "2|2"]);

    let planned = client.rows("OPTIMIZE t DEDUP DRY RUN").await;
    assert!(planned[0].contains("|dedup|2 older rows of keys|"), "{planned:?}");
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["4"]);
    assert_eq!(client.rows("OPTIMIZE ALL DEDUP").await.len(), 1);
    assert_eq!(client.rows("SELECT id, v FROM t ORDER BY id").await, ["1|3", "2|2"]);
    client.rows("ALTER TABLE t SET (dedup = 'none'), DROP PRIMARY KEY").await;
    client.rows("INSERT INTO t VALUES (2, 2)").await;
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_wait_are_written_as_it_was_when_they_came() {
    let node = node().await;
    let client = node.session().await;
    node.write("cpu,host=a v=1 1\n").await;
    node.write("cpu,host=a v=2 1\n").await;
    client.rows("ALTER TABLE cpu SET (dedup = 'last')").await;
    assert_eq!(client.rows("SELECT v FROM cpu ORDER BY v").await, ["1.0", "2.0"]);
    node.write("cpu,host=a v=3 1\n").await;
    assert_eq!(client.rows("SELECT v FROM cpu").await, ["3.0"], "both are hidden");
    client.rows("ALTER TABLE cpu SET (dedup = 'none')").await;
    assert_eq!(client.rows("SELECT v FROM cpu").await, ["3.0"], "both are gone");
    node.write("cpu,host=a v=4 1\n").await;
    assert_eq!(client.rows("SELECT v FROM cpu ORDER BY v").await, ["3.0", "4.0"]);
}
