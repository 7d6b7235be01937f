//! A request that is sent again under its key, through kill -9: one effect, one answer.

use std::collections::BTreeSet;
use std::time::Duration;

use cenote_testkit::client::Client;
use cenote_testkit::process::Process;
use serde_json::json;
use tokio::task::JoinSet;

const TWINS: usize = 20;

/// Asks twenty times at once.
fn twins(process: &Process, key: &str, sql: &str) -> JoinSet<Option<String>> {
    let mut asking = JoinSet::new();
    for _ in 0..TWINS {
        let (client, key, body) = (process.client(), key.to_owned(), json!({ "sql": sql }).to_string());
        asking.spawn(async move { ask(&client, &key, body).await });
    }
    asking
}

/// `None` if the node went away before it answered.
async fn ask(client: &Client, key: &str, body: String) -> Option<String> {
    let answer = client.send("POST", "/api/v1/sql", &[("idempotency-key", key)], body).await.ok()?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    Some(answer.text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twins_under_one_key_have_one_effect_and_one_answer_through_kills() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    for round in 0..6_u64 {
        let (key, sql) = (
            format!("key-{round}"),
            format!("CREATE TABLE r{round} (n BIGINT); INSERT INTO r{round} VALUES (1), (2)"),
        );
        let process = Process::start(&data, &[]);
        let asking = twins(&process, &key, &sql);
        // The moment of the kill is what this test is about.
        tokio::time::sleep(Duration::from_millis(4 + 9 * round)).await;
        process.kill();
        let mut bodies: BTreeSet<String> = asking.join_all().await.into_iter().flatten().collect();
        let process = Process::start(&data, &[]);
        let again = twins(&process, &key, &sql).join_all().await;
        assert!(again.iter().all(Option::is_some), "all are answered");
        bodies.extend(again.into_iter().flatten());
        assert_eq!(bodies.len(), 1, "round {round}: {bodies:?}");
        let client = process.client();
        assert_eq!(client.number(&format!("SELECT count(*) FROM r{round}")).await, 2, "round {round}");
        let commits = format!(
            "SELECT count(*) FROM system.meta.events WHERE kind = 'table.created' AND table_name = 'r{round}'"
        );
        assert_eq!(client.number(&commits).await, 1, "round {round}");
        process.kill();
    }
}
