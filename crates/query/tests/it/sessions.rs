//! Settings, registry, cancellation, limits, SHOW, system tables.

use std::time::{Duration, Instant};

use cenote_query::Bounds;
use cenote_testkit::engine::{node, node_with};
use cenote_testkit::{PATIENCE, settles};
use cenote_vocab::Fault;
use futures::TryStreamExt;
use tokio_util::task::TaskTracker;

/// Runs for minutes unless it is stopped.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 8";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_belong_to_their_session() {
    let node = node().await;
    let (a, b) = (node.session().await, node.session().await);
    a.rows("SET application_name = 'x'").await;
    assert_eq!(a.rows("SHOW application_name").await, ["x"]);
    assert_eq!(b.rows("SHOW application_name").await, [""]);
    assert_eq!(a.code("SET nonsense = 1").await, "42704");
    assert_eq!(a.code("SET datafusion.execution.batch_size = 1").await, "42501");
    let reported = a.session.take_reported();
    assert!(reported.contains(&("application_name".into(), "x".into())), "{reported:?}");
    a.rows("SET application_name = 'y'").await;
    assert_eq!(a.session.take_reported(), [("application_name".into(), "y".into())]);
    assert_eq!(a.rows("SELECT value FROM system.settings WHERE name = 'application_name'").await, ["y"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_ends_when_it_is_cancelled() {
    let node = node().await;
    let client = node.session().await;
    let prepared = client.session.prepare(ENDLESS, &[]).await.expect("succeeds");
    let execution = client
        .session
        .execute(&prepared, Vec::new(), Bounds { query_id: Some("q1".into()), ..Bounds::default() })
        .await
        .expect("succeeds");
    let running = TaskTracker::new().spawn(async move { execution.batches.try_collect::<Vec<_>>().await });
    let other = node.session().await;
    let state = "SELECT state FROM system.queries WHERE id = 'q1'";
    settles("q1 to run", PATIENCE, async || other.rows(state).await == ["RUNNING"]).await;
    let began = Instant::now();
    other.rows("KILL QUERY 'q1'").await;
    let error = running.await.expect("succeeds").expect_err("fails");
    assert_eq!(error.sqlstate().0, "57014");
    assert!(began.elapsed() < Duration::from_millis(1000), "{:?}", began.elapsed());
    assert_eq!(other.rows(state).await, ["CANCELLED"]);
    assert_eq!(node.engine.cancel(&node.scope, "q1", "again"), Some(false));
    assert_eq!(other.code("KILL QUERY 'nope'").await, "42704");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_of_one_batch_with_billions_of_rows_ends_when_nobody_reads_on() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (k INT)").await;
    client.rows("INSERT INTO t SELECT 1 FROM generate_series(1, 8000)").await;
    let endless = "SELECT count(*) FROM t a JOIN t b ON a.k = b.k JOIN t c ON b.k = c.k";
    client.rows("SET statement_timeout = '200ms'").await;
    assert_eq!(client.error(endless).await.sqlstate().0, "57014");
    client.rows("RESET statement_timeout").await;
    let next = client.rows("SELECT sum(k) FROM t");
    let next = tokio::time::timeout(PATIENCE, next).await.expect("the threads of queries are free again");
    assert_eq!(next, ["8000"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_ends_at_its_timeout() {
    let node = node().await;
    let client = node.session().await;
    client.rows("SET statement_timeout = '200ms'").await;
    let began = Instant::now();
    let error = client.error(ENDLESS).await;
    assert_eq!(
        (error.sqlstate().0, error.to_string().as_str()),
        ("57014", "canceling statement due to statement timeout")
    );
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    client.rows("RESET statement_timeout").await;
    assert_eq!(client.rows("SELECT 1").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_cut_at_its_bound_and_says_so() {
    let node = node().await;
    let client = node.session().await;
    let prepared =
        client.session.prepare("SELECT * FROM generate_series(1, 100)", &[]).await.expect("succeeds");
    for (rows_max, rows, truncated) in [(10, 10, true), (100, 100, false), (0, 0, true)] {
        let bounds = Bounds { rows_max: Some(rows_max), ..Bounds::default() };
        let mut execution = client.session.execute(&prepared, Vec::new(), bounds).await.expect("succeeds");
        let mut answered = 0;
        while let Some(batch) = execution.batches.try_next().await.expect("succeeds") {
            answered += batch.num_rows();
        }
        let outcome = execution.outcome();
        assert_eq!((answered, outcome.rows, outcome.truncated), (rows, rows as u64, truncated), "{rows_max}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_little_memory_is_an_error_that_names_the_consumer() {
    let node = node_with(4 << 20).await;
    let client = node.session().await;
    let sql = "SELECT count(*) FROM (SELECT a.value, b.value AS w FROM generate_series(1, 400000) a JOIN generate_series(1, 400000) b ON a.value = b.value) t";
    let error = client.error(sql).await;
    assert_eq!(error.sqlstate().0, "53200", "{error}");
    assert!(error.to_string().contains("query.memory_limit"), "{error}");
    assert_eq!(client.rows("SELECT 1").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exists_is_shown() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE DATABASE metrics").await;
    client.rows("CREATE TABLE metrics.load (time TIMESTAMP, v INT)").await;
    client.rows("CREATE TABLE cpu (time TIMESTAMP, v INT)").await;
    client.rows("INSERT INTO cpu VALUES ('2026-01-01', 1)").await;
    assert_eq!(client.rows("SHOW DATABASES").await, ["default", "metrics"]);
    let tables = client.rows("SHOW TABLES").await;
    assert!(
        tables.len() == 1 && tables[0].starts_with("default|cpu|") && tables[0].contains("|1|"),
        "{tables:?}"
    );
    assert!(client.rows("SHOW TABLES FROM metrics LIKE 'lo%'").await[0].starts_with("metrics|load|"));
    assert_eq!(client.rows("SHOW COLUMNS FROM metrics.load").await.len(), 2);
    assert_eq!(client.rows("SHOW SNAPSHOTS cpu").await.len(), 2);
    assert_eq!(client.code("SHOW TABLES FROM nope").await, "3F000");
    client.rows("USE metrics").await;
    assert_eq!(client.rows("SELECT count(*) FROM load").await, ["0"]);
    assert_eq!(
        client.rows("SELECT count(*) FROM system.catalog.tables WHERE table_name IN ('cpu', 'load')").await,
        ["2"]
    );
    assert_eq!(client.rows("SELECT count(*) FROM system.files WHERE table_name = 'cpu'").await, ["1"]);
    client.rows("DROP SCHEMA metrics CASCADE").await;
    assert_eq!(client.rows("SHOW SCHEMAS").await, ["default"]);
}
