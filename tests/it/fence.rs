//! Two processes on one catalog: one stands still until its lease is over, the other takes over, the first wakes up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cenote_testkit::client::Client;
use cenote_testkit::process::Process;
use cenote_testkit::{needs, number_of, services, settles};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Longer than the lease lives, and a start.
const PATIENCE: Duration = Duration::from_secs(90);
/// Rows of the counter, a thousand a second: it ends after the first process has woken up.
const COUNTED: i64 = 40_000;

/// Settings of processes that share a catalog and a lake, and the directory for all of them.
fn one_catalog() -> Option<(TempDir, Vec<String>)> {
    let Some(database) = services::postgres_database() else {
        needs("PostgreSQL", false);
        return None;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let lake = directory.path().join("lake");
    std::fs::create_dir_all(&lake).expect("a directory");
    let settings = vec![
        format!("catalog.url={database}"),
        "catalog.auto_migrate=true".to_owned(),
        format!("storage.url={}", lake.display()),
    ];
    Some((directory, settings))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_slept_through_its_lease_commits_nothing_more() {
    let Some((directory, settings)) = one_catalog() else { return };
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut first = Process::start(&directory.path().join("first"), &settings);
    let client = first.client();
    client.sql("CREATE TABLE counted (n BIGINT)").await;
    let script = format!(
        "CREATE PIPELINE p AS $$ CREATE TABLE counter WITH (connector = 'impulse', event_rate = 1000, \
         message_count = {COUNTED}); INSERT INTO counted SELECT counter FROM counter $$"
    );
    client.sql(&script).await;
    settles("some epochs", PATIENCE, async || client.number(EPOCHS).await > 5).await;

    let second = Process::start_unready(&directory.path().join("second"), &settings);
    first.freeze();
    let second = second.wait_until_ready();
    let client = Client::new(format!("http://127.0.0.1:{}", second.http), &client.token);
    let before = client.number(EPOCHS).await;
    settles("epochs of the second", PATIENCE, async || client.number(EPOCHS).await > before + 5).await;

    first.thaw();
    settles("the first to end", PATIENCE, async || first.ended().is_some()).await;
    let log = first.log();
    assert!(
        log.contains("another process has taken the pipeline over")
            || log.contains("another process took over"),
        "{log}"
    );
    settles("the counter to end", PATIENCE, async || client.sql("SHOW PIPELINE p").await[0][3] == "finished")
        .await;
    assert_eq!(client.number("SELECT count(*) FROM counted").await, COUNTED);
    assert_eq!(client.number("SELECT count(DISTINCT n) FROM counted").await, COUNTED);
    let gaps = "SELECT max(epoch) - count(*) FROM system.stream.epochs";
    assert_eq!(client.number(gaps).await, 0, "the ledger has a gap");
    assert!(second.terminate().success(), "a stop in order");
}

/// Runs a statement for each number, ten at a time.
async fn each(client: &Client, count: i64, statement: impl Fn(i64) -> String) {
    let statements: Vec<String> = (0..count).map(statement).collect();
    for some in statements.chunks(10) {
        futures::future::join_all(some.iter().map(|sql| client.sql(sql))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tick_of_many_schedules_runs_once_through_a_takeover() {
    let Some((directory, settings)) = one_catalog() else { return };
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let schedules = i64::try_from(number_of("CENOTE_SCHEDULES", 50)).expect("few");
    // Their runs must end before they are due again.
    let (cron, every) = if schedules <= 100 { ("*/10 * * * * *", 10) } else { ("0 * * * * *", 60) };
    let mut first = Process::start(&directory.path().join("first"), &settings);
    let client = first.client();
    let spec = format!("SCHEDULE '{cron}' WITH (mode = 'append')");
    each(&client, schedules, |n| format!("CREATE ASSET ticked_{n} {spec} AS SELECT logical_time() AS due"))
        .await;
    let fired = "SELECT count(DISTINCT trigger_id) FROM system.flow.ticks WHERE status = 'TRIGGERED'";
    settles("the first ticks", PATIENCE, async || client.number(fired).await == schedules).await;

    let second = Process::start_unready(&directory.path().join("second"), &settings);
    first.freeze();
    let second = second.wait_until_ready();
    let client = Client::new(format!("http://127.0.0.1:{}", second.http), &client.token);
    let newest = "SELECT CAST(max(tick_key) AS BIGINT) FROM system.flow.ticks";
    let before = client.number(newest).await;
    let later = format!("{fired} AND CAST(tick_key AS BIGINT) > {before}");
    settles("ticks of the second", PATIENCE, async || client.number(&later).await == schedules).await;
    first.thaw();
    settles("the first to end", PATIENCE, async || first.ended().is_some()).await;

    each(&client, schedules, |n| format!("ALTER ASSET ticked_{n} PAUSE")).await;
    let open = "SELECT count(*) FROM system.flow.runs WHERE kind = 'asset' AND state <> 'SUCCEEDED'";
    settles("ends of runs", PATIENCE, async || client.number(open).await == 0).await;
    let gaps = format!(
        "SELECT count(*) FROM (SELECT trigger_id FROM system.flow.ticks GROUP BY 1 \
         HAVING (max(CAST(tick_key AS BIGINT)) - min(CAST(tick_key AS BIGINT))) / {every} + 1 <> count(*)) AS x"
    );
    assert_eq!(client.number(&gaps).await, 0, "each time is there once");
    let ticks = client.number("SELECT count(*) FROM system.flow.ticks").await;
    assert!(ticks >= 2 * schedules, "{ticks}");
    for one_of_each in [
        "SELECT count(DISTINCT run_id) FROM system.flow.ticks WHERE status = 'TRIGGERED'",
        "SELECT count(*) FROM system.flow.runs WHERE trigger = 'schedule'",
    ] {
        assert_eq!(client.number(one_of_each).await, ticks, "{one_of_each}");
    }
    let rows: Vec<String> =
        (0..schedules).map(|n| format!("SELECT 'ticked_{n}' AS name, due FROM ticked_{n}")).collect();
    let made = format!(
        "SELECT name, count(DISTINCT due), count(*) FROM ({}) AS x GROUP BY 1 ORDER BY 1",
        rows.join(" UNION ALL ")
    );
    let due = "SELECT table_name, count(*), count(*) FROM system.flow.ticks GROUP BY 1 ORDER BY 1";
    assert_eq!(client.sql(&made).await, client.sql(due).await, "a row of each");
    assert!(second.terminate().success(), "a stop in order");
}

const EPOCHS: &str = "SELECT count(*) FROM system.stream.epochs";

/// What one writer sends at once.
const BATCH: i64 = 10;
/// Acknowledged batches after which something happens.
const BATCHES: usize = 60;

/// Numbers of the batches that were acknowledged, by any process.
type Acknowledged = Arc<Mutex<BTreeSet<i64>>>;

fn acknowledged_of(batches: &Acknowledged) -> BTreeSet<i64> {
    batches.lock().expect("not poisoned").clone()
}

/// Four writers that send rows, each batch once, until their task is ended.
fn load(client: &Client, next: &Arc<Mutex<i64>>, acknowledged: &Acknowledged) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let (client, next, acknowledged) = (client.clone(), next.clone(), acknowledged.clone());
        writers.spawn(async move {
            loop {
                let batch = {
                    let mut next = next.lock().expect("not poisoned");
                    *next += 1;
                    *next
                };
                let rows = batch * BATCH..(batch + 1) * BATCH;
                let lines: String = rows.map(|n| format!("load n={n}i {n}\n")).collect();
                let answer = client.try_write(&lines).await;
                if answer.is_ok_and(|answer| answer.status == 204) {
                    acknowledged.lock().expect("not poisoned").insert(batch);
                }
            }
        });
    }
    writers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_that_was_acknowledged_before_or_after_a_takeover_is_there_once() {
    let Some((directory, mut settings)) = one_catalog() else { return };
    // Some rows are flushed at once, others are in the log alone for as long as their process lives.
    settings.extend(
        ["ingest.flush_size=16KiB", "ingest.flush_age=24h", "ingest.flush_interval=24h"].map(str::to_owned),
    );
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let (next, acknowledged) = (Arc::new(Mutex::new(0)), Acknowledged::default());
    let first_directory = directory.path().join("first");
    let mut first = Process::start(&first_directory, &settings);
    let client = first.client();
    let mut writers = load(&client, &next, &acknowledged);
    settles("rows of the first", PATIENCE, async || acknowledged_of(&acknowledged).len() > BATCHES).await;

    let second = Process::start_unready(&directory.path().join("second"), &settings);
    first.freeze();
    writers.shutdown().await; // who waits for an answer will never know
    let by_first = acknowledged_of(&acknowledged).len();
    let second = second.wait_until_ready();
    let client = Client::new(format!("http://127.0.0.1:{}", second.http), &client.token);
    let mut writers = load(&client, &next, &acknowledged);
    settles("rows of the second", PATIENCE, async || {
        acknowledged_of(&acknowledged).len() > by_first + BATCHES
    })
    .await;
    first.thaw();
    settles("the first to end", PATIENCE, async || first.ended().is_some()).await;
    let alone = client.number("SELECT count(*) FROM load").await;

    // It brings the rows of its log, and waits for its turn.
    let first = Process::start_unready(&first_directory, &settings);
    let complete = async || {
        let known = acknowledged_of(&acknowledged);
        let rows =
            client.sql(&format!("SELECT n / {BATCH} FROM load GROUP BY 1 HAVING count(*) = {BATCH}")).await;
        let found: BTreeSet<i64> = rows.iter().map(|row| row[0].as_i64().expect("a number")).collect();
        found.is_superset(&known)
    };
    settles("all rows", PATIENCE, complete).await;
    writers.shutdown().await;
    assert!(complete().await);
    let count = "SELECT count(*) - count(DISTINCT n) FROM load";
    assert_eq!(client.number(count).await, 0, "a row is there twice");
    assert!(client.number("SELECT count(*) FROM load").await > alone, "rows came back with the first");

    assert!(second.terminate().success(), "a stop in order");
    let first = first.wait_until_ready();
    let client = Client::new(format!("http://127.0.0.1:{}", first.http), &client.token);
    let rows = client
        .sql(&format!("SELECT n / {BATCH}, count(*) FROM load GROUP BY 1 HAVING count(*) <> {BATCH}"))
        .await;
    assert!(rows.is_empty(), "in part or twice: {rows:?}");
    let all = client.sql(&format!("SELECT DISTINCT n / {BATCH} FROM load")).await;
    let all: BTreeSet<i64> = all.iter().map(|row| row[0].as_i64().expect("a number")).collect();
    assert!(all.is_superset(&acknowledged_of(&acknowledged)));
}
