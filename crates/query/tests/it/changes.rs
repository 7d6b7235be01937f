//! The change feed in SQL: whatever statements did, replaying it gives every version.

use std::collections::BTreeMap;

use cenote_table::Progress;
use cenote_testkit::engine::{TestSession, node, node_with_clock};
use cenote_vocab::{Clock, Micros};
use object_store::path::Path;

/// A repeatable choice below `bound`.
fn choose(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

/// Rows with their number, so that equal rows count.
type Rows = BTreeMap<String, i64>;

fn counted(rows: Vec<String>) -> Rows {
    let mut counted = Rows::new();
    for row in rows {
        *counted.entry(row).or_default() += 1;
    }
    counted
}

async fn version(client: &TestSession, txn: i64) -> Rows {
    counted(client.rows(&format!("SELECT n, g FROM t FOR VERSION AS OF {txn}")).await)
}

/// The rows after the changes after `from` up to `to`.
async fn replayed(client: &TestSession, mut rows: Rows, from: i64, to: i64) -> Rows {
    let changes = client
        .rows(&format!(
            "SELECT _change_type, n, g FROM table_changes('t', {from}, {to}) ORDER BY _txn, _file, _pos"
        ))
        .await;
    for change in changes {
        let (kind, row) = change.split_once('|').expect("a kind");
        let count = rows.entry(row.to_owned()).or_default();
        *count += if matches!(kind, "insert" | "update_postimage") { 1 } else { -1 };
        assert!(*count >= 0, "{change} took a row that was not there");
    }
    rows.retain(|_, count| *count > 0);
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_statements_are_replayed_from_any_version_to_any_other() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (n BIGINT, g TEXT)").await;
    let mut versions = vec![client.outcome("SELECT 1 FROM t").await.txn.expect("a snapshot").0];
    let mut state = 11;
    for step in 0..24 {
        let n = choose(&mut state, 50);
        let sql = match choose(&mut state, 10) {
            0..=3 => format!("INSERT INTO t SELECT value, 'g{step}' FROM generate_series({n}, {n} + 9)"),
            4..=6 => format!("DELETE FROM t WHERE n % 7 = {}", n % 7),
            7 => format!("DELETE FROM t WHERE n > {n}"),
            8 => "OPTIMIZE TABLE t FULL".to_owned(),
            _ => "TRUNCATE TABLE t".to_owned(),
        };
        client.rows(&sql).await;
        versions.push(client.outcome("SELECT 1 FROM t").await.txn.expect("a snapshot").0);
    }
    for (at, from) in versions.iter().enumerate().step_by(3) {
        for to in versions[at..].iter().step_by(4) {
            let rebuilt = replayed(&client, version(&client, *from).await, *from, *to).await;
            assert_eq!(rebuilt, version(&client, *to).await, "{from} to {to}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_of_changes_reads_what_is_asked_for() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (n BIGINT, \"Mixed\" TEXT)").await;
    for n in 0..5 {
        client.rows(&format!("INSERT INTO t VALUES ({n}, 'm{n}')")).await;
    }
    let txns = client.rows("SELECT DISTINCT _txn FROM table_changes('t', 0) ORDER BY 1").await;
    let third = &txns[2];
    let one = client.rows(&format!("SELECT n, mixed FROM table_changes('t', 0) WHERE _txn = {third}")).await;
    assert_eq!(one, ["2|m2"]);
    let rest = client
        .rows(&format!("SELECT count(*) FROM table_changes('t', '{third}') WHERE _txn > {third}"))
        .await;
    assert_eq!(rest, ["2"]);
    // a place inside of a transaction is a start too
    let place =
        client.rows("SELECT _txn || ':' || _file || ':' || _pos FROM table_changes('t', 0) LIMIT 1").await;
    assert_eq!(client.rows(&format!("SELECT count(*) FROM table_changes('t', '{}')", place[0])).await, ["4"]);
    assert_eq!(client.code("SELECT * FROM table_changes('t', 0, '1:1:1')").await, "22023");
    assert_eq!(client.code("SELECT * FROM table_changes('t', $1)").await, "0A000");
    // a view of the feed, and a transaction that has written the table
    client.rows("CREATE VIEW v AS SELECT n FROM table_changes('t', 0)").await;
    assert_eq!(client.rows("SELECT count(*) FROM v").await, ["5"]);
    client.rows("BEGIN").await;
    client.rows("INSERT INTO t VALUES (9, 'x')").await;
    assert_eq!(client.rows("SELECT count(*) FROM table_changes('t', 0)").await, ["5"]);
    client.rows("ROLLBACK").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buffered_rows_come_with_their_flush() {
    let node = node().await;
    let client = node.session().await;
    node.write("cpu,host=a usage=1 1\ncpu,host=b usage=2 2").await;
    assert_eq!(client.rows("SELECT count(*) FROM cpu").await, ["2"]);
    assert_eq!(client.rows("SELECT count(*) FROM table_changes('cpu', 0)").await, ["0"]);
    client.rows("FLUSH").await;
    assert_eq!(
        client.rows("SELECT _change_type, host, usage FROM table_changes('cpu', 0) ORDER BY host").await,
        ["insert|a|1.0", "insert|b|2.0"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_too_old_go_unread_and_are_told_of_only_where_it_is_asked() {
    // 30 days of an hour each, the newest of them today
    let noon = 20_000 * 86_400_000_000 + 43_200_000_000;
    let node = node_with_clock(Clock::manual(Micros(noon))).await;
    let client = node.session().await;
    client
        .rows(
            "CREATE TABLE m (time TIMESTAMP, n BIGINT) PARTITIONED BY (day(time)) \
             WITH (retention = '1d', inline_max = '0', compaction.enabled = off)",
        )
        .await;
    let times =
        "SELECT now() - INTERVAL '1' HOUR - value * INTERVAL '1' DAY, value FROM generate_series(0, 29)";
    let before = client.outcome(&format!("INSERT INTO m {times}")).await.txn.expect("a version").0;
    let objects: Vec<Path> = node
        .objects()
        .await
        .into_iter()
        .map(Path::from)
        .filter(|path| path.as_ref().contains("/tables/"))
        .collect();
    assert_eq!(objects.len(), 30);
    let mut held = Vec::new();
    for path in objects {
        held.push((path.clone(), node.lake.store.read(&path).await.expect("read")));
        node.lake.store.delete(&path).await.expect("deleted");
    }

    let names =
        node.lake.catalog.names(&node.scope, node.lake.catalog.head(&node.scope).await.expect("head").txn);
    let table = names.await.expect("names").table("default", "m").expect("the table").clone();
    let expire = async |dry_run| {
        node.lake
            .expire_rows(&node.scope, &table, dry_run, &Progress::default())
            .await
            .expect("no file is opened")
    };
    let (planned, done) = (expire(true).await, expire(false).await);
    assert_eq!((planned.files_in, planned.bytes_in, &planned.reason), (29, done.bytes_in, &done.reason));
    assert_eq!((done.action, done.files_in), ("expire", 29));
    for (path, bytes) in held {
        node.lake.store.put(&path, bytes).await.expect("put");
    }

    assert_eq!(client.rows("SELECT n FROM m").await, ["0"]);
    let told = |more: &str| {
        format!(
            "SELECT _change_type, count(*), min(n), max(n) FROM table_changes('m', {before}{more}) GROUP BY 1"
        )
    };
    assert_eq!(client.rows(&told("")).await, Vec::<String>::new());
    assert_eq!(client.rows(&told(", expired => true")).await, ["delete|29|1|29"]);
}
