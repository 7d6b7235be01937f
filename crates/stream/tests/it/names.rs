//! What a query reads may be renamed, changed and replaced: it goes on where it means the same, and says so where it does not.

use cenote_query::Pipelines;
use cenote_stream::Limits;
use cenote_vocab::{ErrorKind, Fault};

use crate::world::{World, drain};

async fn sorted(world: &World, sql: &str) -> Vec<String> {
    let mut rows = world.client.rows(sql).await;
    rows.sort();
    rows
}

/// The views as a node that starts would run them; then what `name` answers.
async fn refreshed_after_a_restart(world: &World, name: &str) -> Result<Vec<String>, String> {
    world.streams.stop().await;
    let again = world.other_streams();
    again.start().await.expect("starts");
    let (scope, catalog) = (&world.node.scope, &world.node.lake.catalog);
    let head = catalog.head(scope).await.expect("a head").txn;
    let names = catalog.names(scope, head).await.expect("names");
    let view = names.tables().find(|table| table.name == name).expect("the view").clone();
    let outcome = match again.refresh_view(scope, &view).await {
        Ok(()) => Ok(sorted(world, &format!("SELECT * FROM {name}")).await),
        Err(error) => Err(error.to_string()),
    };
    again.stop().await;
    outcome
}

async fn with_rows() -> World {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE t (a BIGINT, b BIGINT, c INT, d INT)",
        "INSERT INTO t VALUES (1, 10, 100, 1000), (2, 20, 200, 2000)",
    ] {
        world.client.rows(sql).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_view_that_is_read_is_neither_replaced_nor_dropped() {
    let world = with_rows().await;
    world.client.rows("CREATE VIEW w AS SELECT a, b FROM t WHERE a > 0").await;
    world.client.rows("CREATE MATERIALIZED VIEW v WITH (wait = true) AS SELECT sum(b) AS total FROM w").await;
    for sql in ["CREATE OR REPLACE VIEW w AS SELECT b AS a, a AS b FROM t", "DROP VIEW w"] {
        let error = world.client.error(sql).await;
        assert_eq!((error.kind(), error.sqlstate().0), (ErrorKind::Conflict, "2BP01"), "{sql}: {error}");
        assert!(error.to_string().contains("materialized view default.v reads"), "{sql}: {error}");
    }
    world.client.rows("INSERT INTO t VALUES (3, 30, 300, 3000)").await;
    assert_eq!(refreshed_after_a_restart(&world, "v").await, Ok(vec!["60".to_owned()]));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_does_not_go_on_with_a_view_that_says_something_else() {
    let world = with_rows().await;
    world.client.rows("CREATE VIEW w AS SELECT a FROM t WHERE a > 0").await;
    world.client.rows("CREATE TABLE out (a BIGINT)").await;
    world.client.rows("CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out SELECT a FROM w").await;
    drain(&mut world.open("p", Limits::default()).await.expect("opens")).await;
    world.client.rows("CREATE OR REPLACE VIEW w AS SELECT a FROM t WHERE a > 1").await;
    let error = world.open("p", Limits::default()).await.err().expect("another query").to_string();
    assert!(error.starts_with("state does not fit: default.w: the query of the view was"), "{error}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_table_of_the_name_is_another_table() {
    let world = with_rows().await;
    world.client.rows("CREATE MATERIALIZED VIEW v WITH (wait = true) AS SELECT a, b FROM t").await;
    world.client.rows("ALTER TABLE t RENAME TO before").await;
    world.client.rows("CREATE TABLE t (a BIGINT, b BIGINT)").await;
    world.client.rows("INSERT INTO t VALUES (7, 7)").await;
    let error = refreshed_after_a_restart(&world, "v").await.expect_err("another table");
    assert!(error.contains("state does not fit: default.t: it was table"), "{error}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_change_their_names_with_each_other_are_others() {
    let world = with_rows().await;
    world.client.rows("CREATE MATERIALIZED VIEW v WITH (wait = true) AS SELECT a FROM t WHERE b > 0").await;
    for (from, to) in [("a", "x"), ("b", "a"), ("x", "b")] {
        world.client.rows(&format!("ALTER TABLE t RENAME COLUMN {from} TO {to}")).await;
    }
    let error = refreshed_after_a_restart(&world, "v").await.expect_err("other columns");
    assert!(error.contains("state does not fit: default.t: column \"a\" is another one"), "{error}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_nobody_reads_may_go_and_change() {
    let world = with_rows().await;
    world
        .client
        .rows("CREATE MATERIALIZED VIEW v WITH (wait = true) AS SELECT a, sum(b) AS b FROM t GROUP BY a")
        .await;
    world.client.rows("CREATE MATERIALIZED VIEW n WITH (wait = true) AS SELECT count(*) AS n FROM t").await;
    world.client.rows("CREATE TABLE out (a BIGINT)").await;
    world.client.rows("CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out SELECT a FROM t").await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    drain(&mut run).await;
    for sql in [
        "ALTER TABLE t ALTER COLUMN d TYPE BIGINT",
        "ALTER TABLE t DROP COLUMN c",
        "INSERT INTO t VALUES (3, 30, 3000)",
        "DELETE FROM t WHERE a = 1",
        "REFRESH MATERIALIZED VIEW v",
        "REFRESH MATERIALIZED VIEW n",
    ] {
        world.client.rows(sql).await;
    }
    assert_eq!(sorted(&world, "SELECT * FROM v").await, ["2|20", "3|30"]);
    assert_eq!(sorted(&world, "SELECT * FROM n").await, ["2"]);
    drain(&mut run).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens again");
    drain(&mut run).await;
    assert_eq!(sorted(&world, "SELECT * FROM out").await, ["1", "2", "3"]);
    world.client.rows("INSERT INTO t VALUES (4, 40, 4000)").await;
    let expected = ["2|20", "3|30", "4|40"].map(str::to_owned).to_vec();
    assert_eq!(refreshed_after_a_restart(&world, "v").await, Ok(expected));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_is_read_may_become_wider_where_the_query_stays_the_same() {
    let world = with_rows().await;
    world.client.rows("CREATE MATERIALIZED VIEW v WITH (wait = true) AS SELECT a FROM t WHERE c > 0").await;
    world.client.rows("CREATE MATERIALIZED VIEW w WITH (wait = true) AS SELECT c FROM t").await;
    world.client.rows("ALTER TABLE t ALTER COLUMN c TYPE BIGINT").await;
    world.client.rows("INSERT INTO t VALUES (3, 30, 5000000000, 3)").await;
    world.client.rows("REFRESH MATERIALIZED VIEW v").await;
    assert_eq!(sorted(&world, "SELECT * FROM v").await, ["1", "2", "3"]);
    let error = world.client.error("REFRESH MATERIALIZED VIEW w").await.to_string();
    assert!(error.contains("column \"c\" was INTEGER, it is BIGINT"), "{error}");
    world.client.rows("REFRESH MATERIALIZED VIEW w FULL").await;
    assert_eq!(sorted(&world, "SELECT * FROM w").await, ["100", "200", "5000000000"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_column_name_is_taken_by_what_a_query_carries_along() {
    let world = with_rows().await;
    world
        .client
        .rows("CREATE TABLE odd (_timestamp BIGINT, _weight BIGINT, _retract BIGINT, id0 BIGINT, left0 BIGINT, right0 BIGINT, rank0 BIGINT, first0 BIGINT)")
        .await;
    world.client.rows("INSERT INTO odd VALUES (1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 4, 5, 6, 7, 9)").await;
    for (at, query) in [
        "SELECT * FROM odd",
        "SELECT first0 AS _weight, _weight AS _timestamp FROM odd",
        "SELECT a.id0, a.left0, b.right0, b._weight FROM odd a JOIN odd b ON a._weight = b._weight",
        "SELECT id0, rank0, rank() OVER (PARTITION BY _weight ORDER BY first0) AS first0 FROM odd",
        "SELECT first0, _timestamp FROM odd ORDER BY first0 LIMIT 1",
        "SELECT _weight, sum(_timestamp) AS _timestamp FROM odd GROUP BY _weight",
    ]
    .iter()
    .enumerate()
    {
        world.client.rows(&format!("CREATE MATERIALIZED VIEW o{at} WITH (wait = true) AS {query}")).await;
        let got = sorted(&world, &format!("SELECT * FROM o{at}")).await;
        assert_eq!(got, sorted(&world, query).await, "{query}");
    }
    for sql in [
        "CREATE MATERIALIZED VIEW o AS SELECT a FROM t WHERE a = $1",
        "CREATE PIPELINE o AS INSERT INTO t SELECT id0, $1, 1, 1 FROM odd",
    ] {
        let error = world.client.error(sql).await;
        assert!(error.to_string().contains("there is no parameter $1"), "{sql}: {error}");
    }
    world.stop().await;
}
