//! How long and how deep planning may become.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use cenote_query::{Bounds, STACK_BYTES};
use cenote_testkit::engine::{TestEngine, node};
use cenote_vocab::Fault;
use futures::TryStreamExt;

/// Runs a test on threads with the stack of those of a node.
fn on_threads_of_a_node<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(test());
    });
    thread.expect("a thread").join().expect("succeeds");
}

async fn count(node: &TestEngine, sql: &str) -> String {
    node.session().await.rows(sql).await.concat()
}

fn repeated(first: &str, more: &str, times: usize) -> String {
    format!("{first}{}", more.repeat(times))
}

#[test]
fn chains_that_lean_are_planned_and_run() {
    on_threads_of_a_node(|| async {
        let node = node().await;
        let client = node.session().await;
        client.rows("CREATE TABLE t (a INT)").await;
        client.rows("INSERT INTO t VALUES (1), (2)").await;
        assert_eq!(count(&node, &repeated("SELECT 1", " + 1", 400)).await, "401");
        assert_eq!(
            count(&node, &(repeated("SELECT count(*) FROM (SELECT 1", " UNION ALL SELECT 1", 200) + ")"))
                .await,
            "201"
        );
        assert_eq!(
            count(&node, &repeated("SELECT count(*) FROM t WHERE a = 0", " OR a = 1", 400)).await,
            "1"
        );
        let list: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
        assert_eq!(
            count(&node, &format!("SELECT count(*) FROM t WHERE a IN ({})", list.join(", "))).await,
            "2"
        );
    });
}

#[test]
fn the_longest_chains_do_not_end_the_process() {
    on_threads_of_a_node(|| async {
        let node = node().await;
        let client = node.session().await;
        client.rows("CREATE TABLE t (a INT)").await;
        client.rows("SET statement_timeout = '5s'").await;
        for sql in [
            repeated("SELECT a", " + 1", 1_000) + " FROM t",
            repeated("SELECT a", "::bigint::int", 500) + " FROM t",
            repeated("SELECT 1", " UNION SELECT 1", 1_000),
            repeated("SELECT count(*) FROM t WHERE a > 0", " AND a < 9", 1_000),
        ] {
            if let Err(error) = client.run(&sql).await {
                assert_eq!(error.sqlstate().0, "57014", "{error}");
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_calls_are_planned_in_no_time() {
    let node = node().await;
    let begun = Instant::now();
    assert_eq!(count(&node, &format!("SELECT {}-1{}", "abs(".repeat(60), ")".repeat(60))).await, "1");
    let nested = format!("SELECT {}NULL{}", "coalesce(".repeat(60), ", 7)".repeat(60));
    assert_eq!(count(&node, &nested).await, "7");
    let with =
        (0..10).fold("SELECT 1 AS a".to_owned(), |sql, _| format!("WITH w AS ({sql}) SELECT a FROM w"));
    assert_eq!(count(&node, &with).await, "1");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planning_ends_at_the_timeout() {
    let node = node().await;
    let client = node.session().await;
    client.rows("SET statement_timeout = '300ms'").await;
    // each level reads the one before twice
    let levels =
        (1..16).map(|n| format!("w{n} AS (SELECT x.a FROM w{p} x JOIN w{p} y ON x.a = y.a)", p = n - 1));
    let sql =
        format!("WITH w0 AS (SELECT 1 AS a), {} SELECT * FROM w15", levels.collect::<Vec<_>>().join(", "));
    let begun = Instant::now();
    assert_eq!(client.error(&sql).await.sqlstate().0, "57014");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_of_limit_is_a_bigint() {
    let node = node().await;
    let client = node.session().await;
    let sql = "SELECT * FROM generate_series(1, 10) AS t(n) ORDER BY n LIMIT $1 OFFSET $2 + 1";
    let prepared = client.session.prepare(sql, &[]).await.expect("planned");
    assert_eq!(prepared.parameters, [DataType::Int64, DataType::Int64]);
    let count = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
    let execution =
        client.session.execute(&prepared, vec![count(3), count(1)], Bounds::default()).await.expect("runs");
    let rows: Vec<_> = execution.batches.try_collect().await.expect("succeeds");
    assert_eq!(rows.iter().map(|rows| rows.num_rows()).sum::<usize>(), 3);
}
