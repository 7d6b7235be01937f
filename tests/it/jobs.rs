//! Maintenance by itself on a whole node.

use cenote_testkit::client::Client;
use cenote_testkit::node::TestNode;
use cenote_testkit::{PATIENCE, settles};

const LIVE_FILES: &str =
    "SELECT count(*) FROM system.storage.files WHERE table_name = 'cpu' AND end_txn IS NULL";
const MERGED: &str = "SELECT count(*) FROM system.flow.runs WHERE job = 'compact' AND state = 'SUCCEEDED'";
/// Runs of the job, besides those that ended.
const OPEN: &str = "SELECT count(*) FROM system.flow.runs WHERE state = 'RUNNING'";

/// So many files of ten rows each.
async fn flush(client: &Client, files: i64) {
    for file in 0..files {
        let line = |n: i64| format!("cpu,host=h{n} value={n}i {}\n", file * 10 + n);
        client.write(&(0..10).map(line).collect::<String>()).await;
        client.sql("FLUSH cpu").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_merged_while_the_node_runs_and_nobody_asks() {
    let node = TestNode::start().await;
    let client = node.client();
    flush(&client, 40).await;
    settles("merges", PATIENCE, async || client.number(LIVE_FILES).await < 8).await;
    assert_eq!(client.number("SELECT count(*) FROM cpu").await, 400);
    assert!(client.number(MERGED).await > 0);
    let metrics = client.send("GET", "/metrics", &[], "").await.expect("an answer").text;
    for name in ["cenote_jobs_total{kind=\"compact\",outcome=\"succeeded\"}", "cenote_compaction_bytes_total"]
    {
        assert!(metrics.contains(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_held_stays_so_after_a_restart_and_a_crash_leaves_no_run_open() {
    let mut node = TestNode::start().await;
    node.client().sql("ALTER JOB compact PAUSE").await;
    flush(&node.client(), 12).await;
    node.restart().await;
    let client = node.client();
    assert_eq!(client.sql("SELECT state FROM system.flow.jobs WHERE name = 'compact'").await[0][0], "PAUSED");
    assert_eq!((client.number(LIVE_FILES).await, client.number(MERGED).await), (12, 0));
    client.sql("ALTER JOB compact RESUME").await;
    node.crash().await;
    let client = node.client();
    settles("the merge", PATIENCE, async || client.number(LIVE_FILES).await == 1).await;
    settles("ends of runs", PATIENCE, async || client.number(OPEN).await == 0).await;
    assert_eq!(client.number("SELECT count(*) FROM cpu").await, 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_seen_run_and_held_over_http() {
    let node = TestNode::start().await;
    let client = node.client();
    let send = async |method: &str, path: &str| {
        let answer = client.send(method, path, &[], "").await.expect("an answer");
        (answer.status, answer.json())
    };
    let (status, jobs) = send("GET", "/api/v1/jobs").await;
    let names = |jobs: &serde_json::Value| {
        let name = |job: &serde_json::Value| job["name"].as_str().unwrap_or_default().to_owned();
        jobs["data"].as_array().map(|jobs| jobs.iter().map(name).collect::<Vec<_>>()).unwrap_or_default()
    };
    assert_eq!(
        (status, names(&jobs)),
        (200, ["compact", "expire", "orphans", "publish", "retention"].map(str::to_owned).to_vec())
    );
    let (status, held) = send("POST", "/api/v1/jobs/compact/disable").await;
    assert_eq!((status, held["enabled"].as_bool()), (200, Some(false)));
    flush(&client, 9).await;
    let (status, planned) = send("POST", "/api/v1/jobs/compact/run?dry_run=true").await;
    assert_eq!((status, &planned["data"][0]["filesIn"]), (200, &serde_json::json!(9)));
    assert_eq!(client.number(LIVE_FILES).await, 9);
    let id = held["id"].as_str().expect("an id");
    let (status, done) = send("POST", &format!("/api/v1/jobs/{id}/run")).await;
    assert_eq!((status, &done["data"][0]["filesOut"]), (200, &serde_json::json!(1)));
    assert_eq!(client.number(LIVE_FILES).await, 1);
    let (status, _) = send("POST", "/api/v1/jobs/compact/enable").await;
    assert_eq!(status, 200);
    let (status, unknown) = send("GET", "/api/v1/jobs/compct").await;
    assert_eq!((status, unknown["hint"].as_str()), (404, Some("did you mean \"compact\"?")));
}
