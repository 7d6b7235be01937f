//! Changes of the same rows by several connections at once end in the state of some serial order.

use cenote_testkit::client::{Client, postgres};
use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use cenote_testkit::{needs, number_of};
use futures::future::join_all;
use tokio_postgres::SimpleQueryMessage;

/// Connections that work at once.
const WORKERS: usize = 3;
/// Statements of each of them on a kind of race. `make scale` takes ten thousand.
const ROUNDS: u64 = 8;

/// Runs a statement until no other is first; the number of rows that its tag names.
async fn until_done(connection: &tokio_postgres::Client, sql: &str) -> u64 {
    loop {
        match connection.simple_query(sql).await {
            Ok(messages) => {
                let rows = messages.into_iter().filter_map(|message| match message {
                    SimpleQueryMessage::CommandComplete(rows) => Some(rows),
                    _ => None,
                });
                return rows.sum();
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

/// Every connection runs its statements, all at once; the rows that each named.
async fn race(
    connections: &[tokio_postgres::Client],
    rounds: u64,
    sql: impl Fn(usize, u64) -> String,
) -> Vec<u64> {
    let sql = &sql;
    let work = connections.iter().enumerate().map(|(worker, connection)| async move {
        let mut rows = 0;
        for round in 0..rounds {
            rows += until_done(connection, &sql(worker, round)).await;
        }
        rows
    });
    join_all(work).await
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

    // UPDATE ∥ UPDATE: none is lost
    client.sql("CREATE TABLE counter (id BIGINT, n BIGINT)").await;
    client.sql("INSERT INTO counter VALUES (1, 0), (2, 0), (3, 0)").await;
    let rows = race(&connections, rounds, |_, _| "UPDATE counter SET n = n + 1 WHERE id = 2".into()).await;
    assert_eq!(rows.iter().sum::<u64>(), all);
    assert_eq!(client.number("SELECT n FROM counter WHERE id = 2").await, all as i64);
    assert_eq!(client.number("SELECT count(*) FROM counter").await, 3);

    // DELETE ∥ UPDATE: whichever is first, the row is gone, and one DELETE took it
    client.sql("CREATE TABLE gone (id BIGINT, n BIGINT)").await;
    client.sql(&format!("INSERT INTO gone SELECT value, 0 FROM generate_series(1, {rounds})")).await;
    let rows = race(&connections, rounds, |worker, round| match worker {
        0 => format!("DELETE FROM gone WHERE id = {round} + 1"),
        _ => format!("UPDATE gone SET n = n + 1 WHERE id = {round} + 1"),
    })
    .await;
    assert_eq!(rows[0], rounds);
    assert_eq!(client.number("SELECT count(*) FROM gone").await, 0);

    // upsert ∥ upsert of one new key: one row, which saw them all
    client.sql("CREATE TABLE keyed (k BIGINT, n BIGINT)").await;
    let rows = race(&connections, rounds, |_, round| {
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
    let rows = race(&connections, rounds, |_, round| {
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
        let rows = race(&connections, rounds, |worker, round| match worker {
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
    race(&connections, rounds, |_, _| moved.into()).await;
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
