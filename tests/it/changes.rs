//! Changes of the same rows by several connections at once end in the state of some serial order.

use cenote_testkit::client::{Client, postgres};
use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use cenote_testkit::{needs, number_of};
use futures::future::join_all;
use tokio::sync::Barrier;
use tokio_postgres::SimpleQueryMessage;

/// Connections that work at once.
const WORKERS: usize = 3;
/// Rounds of a kind of race; in each of them all connections begin at the same time. `make scale` takes ten thousand.
const ROUNDS: u64 = 5;

/// How a statement ended.
#[derive(Default)]
struct Ended {
    /// Rows that its tag names.
    rows: u64,
    /// Rows that say that a merge of files was given up, because others had changed them.
    discarded: u64,
}

/// Runs a statement until no other is first.
async fn until_done(connection: &tokio_postgres::Client, sql: &str) -> Ended {
    loop {
        match connection.simple_query(sql).await {
            Ok(messages) => {
                let mut ended = Ended::default();
                for message in messages {
                    match message {
                        SimpleQueryMessage::CommandComplete(rows) => ended.rows += rows,
                        SimpleQueryMessage::Row(row) => {
                            ended.discarded += u64::from(row.get("action") == Some("discarded"));
                        }
                        _ => {}
                    }
                }
                return ended;
            }
            Err(error) => {
                let code = error.as_db_error().map(|error| error.code().code().to_owned());
                assert_eq!(code.as_deref(), Some("40001"), "{sql}: {error:?}");
                connection.simple_query("ROLLBACK").await.expect("nothing is open any more");
            }
        }
    }
}

async fn connections(node: &TestNode, client: &Client) -> Vec<tokio_postgres::Client> {
    let connected =
        (0..WORKERS).map(|_| async { postgres(&node.postgres(client)).await.expect("connected") });
    join_all(connected).await
}

/// Commits of the node so far that had to be planned again.
async fn conflicts(client: &Client) -> u64 {
    let metrics = client.send("GET", "/metrics", &[], "").await.expect("an answer").text;
    let count = metrics.lines().find_map(|line| line.strip_prefix("cenote_commit_conflicts_total "));
    count.and_then(|count| count.parse().ok()).expect("the metric")
}

/// Every connection runs its statement of a round, all at once, and then that of the next; the rows that each named. Fails unless they
/// got in each other's way.
async fn race(
    what: &str,
    client: &Client,
    connections: &[tokio_postgres::Client],
    rounds: u64,
    sql: impl Fn(usize, u64) -> String,
) -> Vec<u64> {
    let (sql, before, barrier) = (&sql, conflicts(client).await, &Barrier::new(connections.len()));
    let work = connections.iter().enumerate().map(|(worker, connection)| async move {
        let mut all = Ended::default();
        for round in 0..rounds {
            barrier.wait().await;
            let ended = until_done(connection, &sql(worker, round)).await;
            all.rows += ended.rows;
            all.discarded += ended.discarded;
        }
        all
    });
    let ended = join_all(work).await;
    let discarded: u64 = ended.iter().map(|ended| ended.discarded).sum();
    let met = conflicts(client).await - before + discarded;
    eprintln!("{what}: {rounds} rounds, {met} times others were first");
    assert!(met >= (rounds / 10).max(1), "{what}: {met} times of {rounds} others were first");
    ended.iter().map(|ended| ended.rows).collect()
}

async fn serial_order(catalog: CatalogKind) {
    let Some(node) = TestNode::with(catalog, StorageKind::Disk, &[]).await else {
        needs("PostgreSQL", false);
        return;
    };
    let client = node.client();
    let connections = connections(&node, &client).await;
    let rounds = number_of("CENOTE_RACES", ROUNDS);
    let all = WORKERS as u64 * rounds;
    let race = async |what: &str, sql: &dyn Fn(usize, u64) -> String| {
        race(what, &client, &connections, rounds, sql).await
    };

    // UPDATE ∥ UPDATE: none is lost
    client.sql("CREATE TABLE counter (id BIGINT, n BIGINT)").await;
    client.sql("INSERT INTO counter VALUES (1, 0), (2, 0), (3, 0)").await;
    let rows = race("UPDATE beside UPDATE", &|_, _| "UPDATE counter SET n = n + 1 WHERE id = 2".into()).await;
    assert_eq!(rows.iter().sum::<u64>(), all);
    assert_eq!(client.number("SELECT n FROM counter WHERE id = 2").await, all as i64);
    assert_eq!(client.number("SELECT count(*) FROM counter").await, 3);

    // DELETE ∥ UPDATE: whichever is first, the row is gone, and one DELETE took it
    client.sql("CREATE TABLE gone (id BIGINT, n BIGINT)").await;
    client.sql(&format!("INSERT INTO gone SELECT value, 0 FROM generate_series(1, {rounds})")).await;
    let rows = race("DELETE beside UPDATE", &|worker, round| match worker {
        0 => format!("DELETE FROM gone WHERE id = {round} + 1"),
        _ => format!("UPDATE gone SET n = n + 1 WHERE id = {round} + 1"),
    })
    .await;
    assert_eq!(rows[0], rounds);
    assert_eq!(client.number("SELECT count(*) FROM gone").await, 0);

    // upsert ∥ upsert of one new key: one row, which saw them all
    client.sql("CREATE TABLE keyed (k BIGINT, n BIGINT)").await;
    let rows = race("MERGE of a new key", &|_, round| {
        format!(
            "MERGE INTO keyed t USING (SELECT {round} AS k) s ON t.k = s.k \
             WHEN MATCHED THEN UPDATE SET n = t.n + 1 WHEN NOT MATCHED THEN INSERT VALUES (s.k, 1)"
        )
    })
    .await;
    assert_eq!(rows.iter().sum::<u64>(), all);
    assert_eq!(client.number("SELECT count(*) FROM keyed").await, rounds as i64);
    assert_eq!(client.number("SELECT count(DISTINCT k) FROM keyed").await, rounds as i64);
    assert_eq!(client.number("SELECT min(n) FROM keyed").await, WORKERS as i64);

    // INSERT … ON CONFLICT ∥ the same: likewise
    client.sql("CREATE TABLE declared (k BIGINT PRIMARY KEY, n BIGINT)").await;
    let rows = race("ON CONFLICT of a new key", &|_, round| {
        format!("INSERT INTO declared VALUES ({round}, 1) ON CONFLICT (k) DO UPDATE SET n = declared.n + 1")
    })
    .await;
    assert_eq!(rows.iter().sum::<u64>(), all);
    assert_eq!(client.number("SELECT count(*) FROM declared").await, rounds as i64);
    assert_eq!(client.number("SELECT count(DISTINCT k) FROM declared").await, rounds as i64);
    assert_eq!(client.number("SELECT min(n) FROM declared").await, WORKERS as i64);

    // DELETE ∥ a merge of its files: the rows are gone, each counted once, the others are who they were
    for row_lineage in ["on", "off"] {
        let table = format!("merged_{row_lineage}");
        client
            .sql(&format!(
                "CREATE TABLE {table} (id BIGINT) WITH (row_lineage = {row_lineage}, inline_max = '0')"
            ))
            .await;
        for half in 0..2 {
            let ids = format!("SELECT value * 2 + {half} FROM generate_series(0, {rounds} * 2)");
            client.sql(&format!("INSERT INTO {table} {ids}")).await;
        }
        let rows = race("DELETE beside OPTIMIZE", &|worker, round| match worker {
            0 => format!("OPTIMIZE TABLE {table} FULL"),
            _ => format!("DELETE FROM {table} WHERE id = {round} * 2 + {worker} - 1"),
        })
        .await;
        assert_eq!(rows[1..], [rounds; WORKERS - 1]);
        let left = client.sql(&format!("SELECT id FROM {table} ORDER BY id")).await;
        let left: Vec<i64> = left.iter().map(|row| row[0].as_i64().expect("an id")).collect();
        assert_eq!(left, (rounds as i64 * 2..=rounds as i64 * 4 + 1).collect::<Vec<_>>());
        client.sql(&format!("DELETE FROM {table}")).await;
        let other_ids = if row_lineage == "on" { "count(DISTINCT _row_id) <> 1" } else { "false" };
        let twice = format!(
            "SELECT id FROM table_changes('{table}', 0) GROUP BY id \
             HAVING count(*) <> 2 OR count(DISTINCT _change_type) <> 2 OR {other_ids} LIMIT 5"
        );
        let none: Vec<Vec<serde_json::Value>> = Vec::new();
        assert_eq!(client.sql(&twice).await, none, "row_lineage {row_lineage}");
    }

    // transactions over two tables: their sum stays, whatever is rolled back
    client.sql("CREATE TABLE a (n BIGINT)").await;
    client.sql("CREATE TABLE b (n BIGINT)").await;
    client.sql("INSERT INTO a VALUES (100)").await;
    client.sql("INSERT INTO b VALUES (100)").await;
    let moved = "BEGIN; UPDATE a SET n = n - 1; UPDATE b SET n = n + 1; COMMIT";
    race("transactions over two tables", &|_, _| moved.into()).await;
    assert_eq!(client.number("SELECT n FROM a").await, 100 - all as i64);
    assert_eq!(client.number("SELECT n FROM b").await, 100 + all as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_changes_end_in_a_serial_order_on_sqlite() {
    serial_order(CatalogKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_changes_end_in_a_serial_order_on_postgresql() {
    serial_order(CatalogKind::Postgres).await;
}
