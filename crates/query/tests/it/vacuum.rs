//! VACUUM beside statements that run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use cenote_query::{Bounds, Error, Execution, Outcome};
use cenote_testkit::engine::{TestEngine, TestSession, node};
use cenote_testkit::{PATIENCE, settles};
use cenote_vocab::Fault;
use futures::TryStreamExt;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

const FORCE: &str = "VACUUM TABLE t KEEP 0 HOURS FORCE";
/// Files of the table before they are merged: more than are opened at a time.
const FILES: i64 = 24;

/// A table of many small files.
async fn many_files(client: &TestSession) {
    client.rows("CREATE TABLE t (n BIGINT) WITH (inline_max = '0')").await;
    for n in 0..FILES {
        client.rows(&format!("INSERT INTO t VALUES ({n})")).await;
    }
}

/// A statement that has begun and of which nobody took a row yet.
async fn begun(client: &TestSession, sql: &str) -> Execution {
    let prepared = client.session.prepare(sql, &[]).await.expect("a statement");
    client.session.execute(&prepared, Vec::new(), Bounds::default()).await.expect("begins")
}

/// Its rows, to the end.
async fn rows(execution: Execution) -> usize {
    let batches: Vec<_> = execution.batches.try_collect().await.expect("it reads to its end");
    batches.iter().map(|batch| batch.num_rows()).sum()
}

/// A statement in a session of its own.
async fn apart(node: &TestEngine, sql: &'static str) -> JoinHandle<Result<(Vec<String>, Outcome), Error>> {
    let session = node.session().await;
    TaskTracker::new().spawn(async move { session.run(sql).await })
}

async fn settles_waiting(client: &TestSession, count: usize) {
    let waiting = "SELECT count(*) FROM system.queries WHERE state = 'WAITING'";
    let wanted = [count.to_string()];
    settles("statements to wait", PATIENCE, async || client.rows(waiting).await == wanted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vacuum_by_force_waits_for_statements_that_began_before_it() {
    let node = node().await;
    let (client, reader) = (node.session().await, node.session().await);
    many_files(&client).await;
    let reading = begun(&reader, "SELECT n FROM t").await;
    client.rows("OPTIMIZE TABLE t FULL").await;
    let before = node.objects().await;
    assert_eq!(before.len() as i64, FILES + 1);

    let vacuum = apart(&node, FORCE).await;
    settles_waiting(&client, 1).await;
    assert_eq!(node.objects().await, before, "nothing goes while it is read");
    let late = begun(&client, "SELECT n FROM t").await; // of what began after it none goes
    assert_eq!(rows(reading).await as i64, FILES);
    let (gone, _) = vacuum.await.expect("no panic").expect("succeeds");
    assert_eq!(gone.len() as i64, FILES);
    assert!(gone.iter().all(|row| row.ends_with("|deleted")), "{gone:?}");
    assert_eq!(node.objects().await.len(), 1);
    assert_eq!(rows(late).await as i64, FILES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_vacuums_by_force_do_not_wait_for_each_other() {
    let node = node().await;
    let (client, reader) = (node.session().await, node.session().await);
    many_files(&client).await;
    let reading = begun(&reader, "SELECT n FROM t").await;
    client.rows("OPTIMIZE TABLE t FULL").await;
    let (one, two) = (apart(&node, FORCE).await, apart(&node, FORCE).await);
    settles_waiting(&client, 2).await;
    drop(reading);
    for vacuum in [one, two] {
        let ended = tokio::time::timeout(PATIENCE, vacuum).await.expect("it waits for no other");
        ended.expect("no panic").expect("succeeds");
    }
    assert_eq!(node.objects().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vacuum_by_force_that_is_cancelled_deletes_nothing_and_the_next_goes_on() {
    let node = node().await;
    let (client, reader) = (node.session().await, node.session().await);
    many_files(&client).await;
    let reading = begun(&reader, "SELECT n FROM t").await;
    client.rows("OPTIMIZE TABLE t FULL").await;
    let before = node.objects().await;

    let vacuum = apart(&node, FORCE).await;
    settles_waiting(&client, 1).await;
    let id = client.rows("SELECT id FROM system.queries WHERE state = 'WAITING'").await.remove(0);
    client.rows(&format!("KILL QUERY '{id}'")).await;
    assert_eq!(vacuum.await.expect("no panic").expect_err("killed").sqlstate().0, "57014");

    let impatient = node.session().await;
    impatient.rows("SET statement_timeout = '50ms'").await;
    assert_eq!(impatient.code(FORCE).await, "57014");

    let forgotten = apart(&node, FORCE).await;
    settles_waiting(&client, 1).await;
    forgotten.abort();
    settles_waiting(&client, 0).await;

    client.rows("VACUUM").await; // an ordinary one leaves to their readers what those queued
    assert_eq!(node.objects().await, before);
    assert_eq!(rows(reading).await as i64, FILES);
    assert_eq!(client.rows(&format!("{FORCE} DRY RUN")).await.len() as i64, FILES);
    assert_eq!(client.rows(FORCE).await.len() as i64, FILES);
    assert_eq!(node.objects().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_statement_fails_beside_vacuums_that_keep_nothing() {
    const ROUNDS: i64 = 25;
    const READERS: usize = 3;
    let node = Arc::new(node().await);
    let client = node.session().await;
    client.rows("CREATE TABLE t (n BIGINT) WITH (inline_max = '0')").await;
    client.rows("INSERT INTO t VALUES (0), (1)").await;
    let (committed, ended) = (Arc::new(AtomicI64::new(2)), Arc::new(AtomicBool::new(false)));
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let (session, committed, ended) = (node.session().await, committed.clone(), ended.clone());
        readers.push(TaskTracker::new().spawn(async move {
            let mut answers = 0;
            while !ended.load(Ordering::SeqCst) {
                let least = committed.load(Ordering::SeqCst);
                let row = session.rows("SELECT count(n), sum(n) FROM t").await.remove(0);
                let (count, sum) = row.split_once('|').expect("two cells");
                let count: i64 = count.parse().expect("a number");
                assert!(count >= least, "{count} rows, {least} were committed");
                assert_eq!(sum, (count * (count - 1) / 2).to_string(), "{count} rows");
                answers += 1;
            }
            answers
        }));
    }
    for round in 1..=ROUNDS {
        client.rows(&format!("INSERT INTO t VALUES ({}), ({})", round * 2, round * 2 + 1)).await;
        committed.store(round * 2 + 2, Ordering::SeqCst);
        client.rows("OPTIMIZE TABLE t FULL").await;
        client.rows(FORCE).await;
    }
    ended.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.expect("no statement of it failed") > 0);
    }
    assert_eq!(node.objects().await.len(), 1);
}
