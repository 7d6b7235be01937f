//! Maintenance by itself on a whole node.

use cenote_testkit::client::Client;
use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use cenote_testkit::{PATIENCE, settles};
use serde_json::{Value, json};

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

/// The rows of an explanation that are about one step.
fn steps(rows: &[Vec<Value>], step: &str) -> Vec<Vec<Value>> {
    rows.iter().filter(|row| row[0] == step).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_and_its_runs_say_why_what_and_how_it_ended() {
    let quiet = [("metadata.publish_interval", "0s")];
    let node = TestNode::with(CatalogKind::Sqlite, StorageKind::Disk, &quiet).await.expect("always there");
    let client = node.client();
    let get = async |path: &str| {
        let answer = client.send("GET", &format!("/api/v1{path}"), &[], "").await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    };
    client.sql("ALTER JOB compact PAUSE").await;
    flush(&client, 12).await;
    let held = client.sql("EXPLAIN JOB compact").await;
    assert_eq!((&held[0][0], &held[0][1], &held[0][2]), (&json!("job"), &json!("compact"), &json!("paused")));
    let why = get("/jobs/compact/explain").await;
    assert_eq!(
        (&why["state"], &why["lastRun"], &why["openRuns"]),
        (&json!("paused"), &Value::Null, &json!([]))
    );
    let none = client.send("POST", "/api/v1/jobs/compact/cancel", &[], "").await.expect("an answer");
    assert_eq!(none.status, 409, "{}", none.text);

    // A person.
    client.sql("RUN JOB compact").await;
    let run =
        client.sql("SELECT run_id, output_txn FROM system.flow.runs WHERE job = 'compact'").await[0].clone();
    let id = run[0].as_str().expect("an id").to_owned();
    let why = client.sql(&format!("EXPLAIN RUN '{id}'")).await;
    assert_eq!((&why[0][1], &why[0][2], &why[0][3]), (&run[0], &json!("SUCCEEDED"), &json!("person")));
    assert!(why[0][4].as_str().is_some_and(|text| text.starts_with("begun by admin: 12 ")), "{why:?}");
    assert_eq!(
        steps(&why, "job"),
        [[json!("job"), json!("compact"), json!("paused"), Value::Null, Value::Null]]
    );
    let work = &steps(&why, "work")[0];
    assert_eq!(work[2], "did");
    let did = work[4].as_str().expect("what it did");
    assert!(did.starts_with("12 files of ") && did.contains("became 1 files of "), "{did}");
    assert_eq!(steps(&why, "commit")[0][1..3], [json!(run[1].to_string()), json!("compact")]);
    assert_eq!(steps(&why, "end")[0][2], "SUCCEEDED");
    let one = get(&format!("/runs/{id}")).await;
    assert_eq!(
        (&one["kind"], &one["state"], &one["trigger"], &one["filesIn"], &one["filesOut"], &one["outputTxn"]),
        (&json!("job"), &json!("SUCCEEDED"), &json!("person"), &json!(12), &json!(1), &run[1])
    );
    let told = get(&format!("/runs/{id}/explain")).await;
    assert_eq!((&told["runId"], &told["because"][0]["kind"]), (&run[0], &json!("person")));
    assert_eq!(told["steps"].as_array().map(Vec::len), Some(why.len()));
    assert_eq!(get("/jobs/compact/explain").await["lastRun"]["runId"], run[0]);

    // A commit.
    client.sql("ALTER JOB compact RESUME").await;
    flush(&client, 12).await;
    let by_commit = "SELECT run_id FROM system.flow.runs WHERE job = 'compact' AND trigger = 'commit' AND state = 'SUCCEEDED'";
    settles("a merge by itself", PATIENCE, async || !client.sql(by_commit).await.is_empty()).await;
    let merged = client.sql(by_commit).await[0][0].clone();
    let why = client.sql(&format!("EXPLAIN RUN '{}'", merged.as_str().expect("an id"))).await;
    assert_eq!(why[0][3], "commit");
    let because = &steps(&why, "because")[0];
    assert_eq!((&because[2], &because[4]), (&json!("commit"), &json!("ingest")));
    settles("nothing to do", PATIENCE, async || {
        client.sql("EXPLAIN JOB compact").await[0][2] == "nothing_due"
    })
    .await;

    // A schedule: the first look at the rows was before they were to go.
    client.sql("ALTER TABLE cpu SET (retention = '30d')").await;
    client.sql("RUN JOB retention").await;
    let why = client.sql("EXPLAIN JOB retention").await;
    assert_eq!(why[0][2], "waiting", "it looked when the node began: {why:?}");
    let last = &steps(&why, "last_run")[0];
    assert_eq!((&last[2], &last[3]), (&json!("SUCCEEDED"), &json!("person")));
    assert!(
        last[4].as_str().is_some_and(|text| text.contains(" went; the last commit is transaction ")),
        "{last:?}"
    );
    let due = get("/jobs/retention/explain").await["dueAt"].clone();
    assert_eq!(due, get("/jobs/retention").await["nextAt"]);
    assert!(due.is_string(), "{due}");

    // Publication: by a person a run like any other.
    assert_eq!(client.sql("EXPLAIN JOB publish").await[0][2], "off");
    client.sql("RUN JOB publish").await;
    let why = client.sql("EXPLAIN JOB publish").await;
    assert_eq!(steps(&why, "publication")[0][1], "manifest 1");
    let last = &steps(&why, "last_run")[0];
    assert!(last[4].as_str().is_some_and(|text| text.contains(" were written")), "{last:?}");

    // Lists.
    let listed = get("/jobs/compact/executions?trigger=person").await;
    assert_eq!((listed["data"].as_array().map(Vec::len), &listed["data"][0]["runId"]), (Some(1), &run[0]));
    let mut seen = Vec::new();
    let mut next = get("/runs?kind=job&limit=2").await;
    loop {
        let page = next["data"].as_array().expect("runs").iter();
        seen.extend(page.map(|run| run["runId"].as_str().unwrap_or("?").to_owned()));
        let Some(cursor) = next["nextCursor"].as_str() else { break };
        next = get(&format!("/runs?kind=job&limit=2&cursor={cursor}")).await;
    }
    let all = client
        .sql("SELECT run_id FROM system.flow.runs WHERE kind = 'job' ORDER BY created_at DESC, run_id DESC")
        .await;
    assert_eq!(seen, all.iter().map(|row| row[0].as_str().unwrap_or("?").to_owned()).collect::<Vec<_>>());
    for (path, status) in [
        ("/runs?kind=sensor", 400),
        ("/runs?kind=job&asset=default.x", 400),
        ("/runs?kind=job&state=SKIPPED", 400),
        ("/jobs/compct/explain", 404),
        ("/jobs/compct/executions", 404),
    ] {
        let answer = client.send("GET", &format!("/api/v1{path}"), &[], "").await.expect("an answer");
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
    }
    let unknown = client.try_sql("EXPLAIN JOB compct").await.expect("an answer");
    assert!(unknown.text.contains("did you mean \\\"compact\\\"?"), "{}", unknown.text);
}
