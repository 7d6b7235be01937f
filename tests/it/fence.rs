//! Two processes on one catalog: one stands still until its lease is over, the other takes its pipelines, the first wakes up.

use std::time::Duration;

use cenote_testkit::client::Client;
use cenote_testkit::process::Process;
use cenote_testkit::{needs, services, settles};

/// Longer than the lease lives, and a start.
const PATIENCE: Duration = Duration::from_secs(90);
/// Rows of the counter, a thousand a second: it ends after the first process has woken up.
const COUNTED: i64 = 40_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_slept_through_its_lease_commits_nothing_more() {
    let Some(database) = services::postgres_database() else {
        needs("PostgreSQL", false);
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let lake = directory.path().join("lake");
    std::fs::create_dir_all(&lake).expect("a directory");
    let settings = [
        format!("catalog.url={database}"),
        "catalog.auto_migrate=true".to_owned(),
        format!("storage.url={}", lake.display()),
    ];
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

const EPOCHS: &str = "SELECT count(*) FROM system.stream.epochs";
