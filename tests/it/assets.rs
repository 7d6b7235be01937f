//! Assets on a whole node: killed at any moment, tried again, cancelled, begun by their schedules and by changes.

use std::time::Duration;

use cenote_testkit::client::Client;
use cenote_testkit::node::TestNode;
use cenote_testkit::process::Process;
use cenote_testkit::{PATIENCE, number_of, settles};

/// Tasks that are not at their ends.
const OPEN: &str = "SELECT count(*) FROM system.flow.tasks WHERE state NOT IN ('SUCCEEDED', 'FAILED', 'SKIPPED', 'CANCELLED')";
const OPEN_RUNS: &str = "SELECT count(*) FROM system.flow.runs WHERE state IN ('PENDING', 'RUNNING', 'CANCELLING') AND kind = 'asset'";
/// It takes longer than any test.
const ENDLESS: &str = "SELECT sum(a.value % 7 + b.value % 5) AS n \
                       FROM generate_series(1, 1000000) AS a CROSS JOIN generate_series(1, 1000000) AS b";

async fn text(client: &Client, sql: &str) -> String {
    client.sql(sql).await[0][0].as_str().unwrap_or_default().to_owned()
}

async fn ended(client: &Client) {
    settles("ends of runs", PATIENCE, async || {
        client.number(OPEN).await == 0 && client.number(OPEN_RUNS).await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_kill_at_any_moment_leaves_no_run_open_and_every_row_once() {
    let rounds = number_of("CENOTE_CRASH_ROUNDS", 6);
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let process = Process::start(&data, &[]);
    let client = process.client();
    client.sql("CREATE TABLE raw (n BIGINT, text TEXT)").await;
    client.sql("INSERT INTO raw SELECT value, repeat('x', 200) FROM generate_series(1, 20000)").await;
    client.sql("CREATE ASSET copied WITH (mode = 'append') AS SELECT n, text FROM raw").await;
    client.sql("CREATE ASSET counted AS SELECT count(*) AS n FROM copied").await;
    process.kill();
    for round in 0..rounds {
        let process = Process::start(&data, &[]);
        let client = process.client();
        ended(&client).await;
        client.sql("MATERIALIZE ASSET counted WITH UPSTREAM").await;
        // The moment of the kill is what this test is about.
        tokio::time::sleep(Duration::from_millis(round * 37 % 260)).await;
        process.kill();
    }
    let process = Process::start(&data, &[]);
    let client = process.client();
    ended(&client).await;
    let runs = i64::try_from(rounds).expect("few");
    assert_eq!(client.number("SELECT count(*) FROM copied").await, runs * 20_000);
    assert_eq!(client.number("SELECT n FROM counted").await, runs * 20_000);
    let others = "SELECT count(*) FROM system.flow.runs WHERE kind = 'asset' AND state <> 'SUCCEEDED'";
    assert_eq!(client.number(others).await, 0);
    let lineage = "SELECT commits FROM lineage('copied', 'upstream')";
    assert_eq!(client.number(lineage).await, runs);
    assert_eq!(client.number("SELECT count(*) FROM system.storage.holds").await, 0, "snapshots are let go");
    assert!(process.terminate().success(), "a stop in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_on_its_way_is_tried_again_and_publishes_once() {
    if !fail::has_failpoints() {
        return;
    }
    let scenario = fail::FailScenario::setup();
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE raw (n BIGINT)").await;
    client.sql("INSERT INTO raw VALUES (1), (2)").await;
    let options = "mode = 'append', retry_backoff = '1s', attempts = 2";
    client.sql(&format!("CREATE ASSET copied WITH ({options}) AS SELECT n FROM raw")).await;
    for (done, point) in
        (1..).zip(["task.begin", "task.files", "task.commit", "task.answer", "commit.answer"])
    {
        fail::cfg(point, "1*return").expect("a point");
        let run = client.sql("MATERIALIZE ASSET copied WAIT").await;
        assert_eq!(run[0][3], "SUCCEEDED", "{point}: {run:?}");
        assert_eq!(client.number("SELECT count(*) FROM copied").await, 2 * done, "{point}");
        fail::remove(point);
    }
    let again = "SELECT count(*) FROM system.flow.attempts WHERE category = 'INFRASTRUCTURE'";
    assert_eq!(client.number(again).await, 3, "those that failed before their commit");
    // Attempts have an end.
    fail::cfg("task.files", "return").expect("a point");
    let run = client.sql("MATERIALIZE ASSET copied WAIT").await;
    assert_eq!(run[0][3], "FAILED", "{run:?}");
    let attempts = "SELECT attempt FROM system.flow.tasks WHERE state = 'FAILED'";
    assert_eq!(client.number(attempts).await, 2);
    fail::remove("task.files");
    let failed = run[0][0].as_str().expect("a run").to_owned();
    client.sql(&format!("RERUN RUN '{failed}' FROM FAILURE")).await;
    ended(&client).await;
    assert_eq!(client.number("SELECT count(*) FROM copied").await, 12);
    let parent = format!("SELECT count(*) FROM system.flow.runs WHERE parent_run_id = '{failed}'");
    assert_eq!(client.number(&parent).await, 1);
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_cannot_be_noted_is_noted_later() {
    if !fail::has_failpoints() {
        return;
    }
    let scenario = fail::FailScenario::setup();
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE ASSET one WITH (retry_backoff = '1s', attempts = 2) AS SELECT 1 AS n").await;
    // Its next attempt.
    fail::cfg("task.files", "1*return").expect("a point");
    fail::cfg("task.end", "2*return").expect("a point");
    let run = client.sql("MATERIALIZE ASSET one WAIT").await;
    assert_eq!(run[0][3], "SUCCEEDED", "{run:?}");
    assert_eq!(client.number("SELECT max(attempt) FROM system.flow.tasks").await, 2);
    // Its failure.
    client.sql("ALTER ASSET one SET (attempts = 1)").await;
    fail::cfg("task.files", "1*return").expect("a point");
    fail::cfg("task.end", "1*return").expect("a point");
    let run = client.sql("MATERIALIZE ASSET one WAIT").await;
    assert_eq!(run[0][3], "FAILED", "{run:?}");
    // That somebody cancelled it; the asset is free then.
    client.sql(&format!("CREATE ASSET endless AS {ENDLESS}")).await;
    let run = client.sql("MATERIALIZE ASSET endless").await;
    let id = run[0][0].as_str().expect("a run");
    let running = "SELECT count(*) FROM system.flow.tasks WHERE state = 'RUNNING'";
    settles("begins", PATIENCE, async || client.number(running).await == 1).await;
    fail::cfg("task.end", "1*return").expect("a point");
    client.sql(&format!("CANCEL RUN '{id}'")).await;
    ended(&client).await;
    let state = format!("SELECT state FROM system.flow.runs WHERE run_id = '{id}'");
    assert_eq!(text(&client, &state).await, "CANCELLED");
    client.sql("CREATE OR REPLACE ASSET endless AS SELECT 1 AS n").await;
    let run = client.sql("MATERIALIZE ASSET endless WAIT").await;
    assert_eq!(run[0][3], "SUCCEEDED", "{run:?}");
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_tick_of_a_schedule_is_lost_or_doubled_by_a_kill() {
    let rounds = number_of("CENOTE_CRASH_ROUNDS", 6);
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let process = Process::start(&data, &[]);
    let made =
        "CREATE ASSET ticked SCHEDULE '* * * * * *' WITH (mode = 'append') AS SELECT logical_time() AS due";
    process.client().sql(made).await;
    process.kill();
    let fired = "SELECT count(*) FROM system.flow.ticks WHERE status = 'TRIGGERED'";
    for round in 0..rounds {
        let process = Process::start(&data, &[]);
        let client = process.client();
        let before = client.number(fired).await;
        settles("a tick", PATIENCE, async || client.number(fired).await > before).await;
        // The moment of the kill is what this test is about.
        tokio::time::sleep(Duration::from_millis(round * 137 % 1_000)).await;
        process.kill();
    }
    let process = Process::start(&data, &[]);
    let client = process.client();
    let before = client.number(fired).await;
    settles("a tick", PATIENCE, async || client.number(fired).await > before).await;
    client.sql("ALTER ASSET ticked PAUSE").await;
    ended(&client).await;
    let ticks =
        client.sql("SELECT CAST(tick_key AS BIGINT), status, reason FROM system.flow.ticks ORDER BY 1").await;
    let seconds: Vec<i64> = ticks.iter().map(|tick| tick[0].as_i64().expect("a second")).collect();
    let all: Vec<i64> = (seconds[0]..seconds[0] + i64::try_from(seconds.len()).expect("few")).collect();
    assert_eq!(seconds, all, "each second is there once");
    let is_known = |tick: &Vec<serde_json::Value>| {
        tick[1] == "TRIGGERED" || (tick[1] == "SKIPPED" && tick[2] == "catchup_limit")
    };
    assert!(ticks.iter().all(is_known), "{ticks:?}");
    let begun = client.number(fired).await;
    assert!(begun > i64::try_from(rounds).expect("few"));
    for one_of_each in [
        "SELECT count(DISTINCT run_id) FROM system.flow.ticks",
        "SELECT count(*) FROM system.flow.runs WHERE trigger = 'schedule' AND state = 'SUCCEEDED'",
        "SELECT count(*) FROM system.flow.runs WHERE kind = 'asset'",
        "SELECT count(*) FROM ticked",
        "SELECT count(DISTINCT due) FROM ticked",
    ] {
        assert_eq!(client.number(one_of_each).await, begun, "{one_of_each}");
    }
    assert!(process.terminate().success(), "a stop in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_and_a_task_has_its_time() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql(&format!("CREATE ASSET endless AS {ENDLESS}")).await;
    client.sql("CREATE ASSET after_it AS SELECT n FROM endless").await;
    let run = client.sql("MATERIALIZE ASSET after_it WITH UPSTREAM").await;
    let id = run[0][0].as_str().expect("a run").to_owned();
    let running = "SELECT count(*) FROM system.flow.tasks WHERE state = 'RUNNING'";
    settles("begins", PATIENCE, async || client.number(running).await == 1).await;
    let why = client.sql(&format!("EXPLAIN RUN '{id}'")).await;
    assert_eq!((why[0][0].as_str(), why[0][2].as_str()), (Some("run"), Some("RUNNING")), "{why:?}");
    client.sql(&format!("CANCEL RUN '{id}'")).await;
    ended(&client).await;
    let states = "SELECT DISTINCT state FROM system.flow.tasks";
    assert_eq!(text(&client, states).await, "CANCELLED");
    assert_eq!(text(&client, "SELECT state FROM system.flow.runs WHERE kind = 'asset'").await, "CANCELLED");
    let again = client.try_sql(&format!("CANCEL RUN '{id}'")).await.expect("an answer");
    assert!(again.text.contains("has ended"), "{}", again.text);

    client.sql("ALTER ASSET endless SET (timeout = '1s', attempts = 1)").await;
    let run = client.sql("MATERIALIZE ASSET endless WAIT").await;
    assert_eq!(run[0][3], "FAILED", "{run:?}");
    let category = "SELECT category FROM system.flow.tasks WHERE state = 'FAILED'";
    assert_eq!(text(&client, category).await, "TIMEOUT");
    assert_eq!(client.number("SELECT count(*) FROM endless").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_and_changes_begin_runs_and_a_stop_in_between_loses_none() {
    let mut node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE raw (n BIGINT)").await;
    client.sql("CREATE ASSET every_second SCHEDULE '* * * * * *' AS SELECT count(*) AS n FROM raw").await;
    client.sql("CREATE ASSET at_once EAGER AS SELECT sum(n) AS n FROM raw").await;
    client.sql("CREATE ASSET behind EAGER AS SELECT n + 1 AS n FROM at_once").await;
    let ticks =
        "SELECT count(*) FROM system.flow.ticks WHERE status = 'TRIGGERED' AND table_name = 'every_second'";
    settles("the schedule", PATIENCE, async || client.number(ticks).await >= 2).await;
    assert_eq!(client.number("SELECT count(*) FROM system.flow.runs WHERE trigger = 'eager'").await, 0);
    client.sql("INSERT INTO raw VALUES (1), (2)").await;
    settles("the change", PATIENCE, async || {
        client.number("SELECT COALESCE(max(n), 0) FROM behind").await == 4
    })
    .await;
    let why = "SELECT count(*) FROM system.flow.runs WHERE trigger = 'eager' AND reason LIKE '%raw changed'";
    assert!(client.number(why).await >= 1);
    let twice = "SELECT count(*) FROM (SELECT trigger_id, scheduled_for FROM system.flow.ticks \
                 WHERE scheduled_for IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1) AS x";
    assert_eq!(client.number(twice).await, 0);
    client.sql("ALTER ASSET every_second PAUSE").await;
    client.sql("INSERT INTO raw VALUES (5)").await;
    node.restart().await;
    let client = node.client();
    settles("the change after a restart", PATIENCE, async || {
        client.number("SELECT max(n) FROM behind").await == 9
    })
    .await;
    ended(&client).await;
    let others = "SELECT count(*) FROM system.flow.runs WHERE kind = 'asset' AND state <> 'SUCCEEDED'";
    assert_eq!(client.number(others).await, 0);
    let held = "SELECT state FROM system.flow.triggers WHERE table_name = 'every_second'";
    assert_eq!(text(&client, held).await, "PAUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_of_a_tenant_are_its_own() {
    let node = TestNode::start().await;
    let (client, other) = (node.client(), node.second_tenant("other").await);
    client.sql("CREATE TABLE raw (n BIGINT)").await;
    client.sql("INSERT INTO raw VALUES (1)").await;
    client.sql("CREATE ASSET copied AS SELECT n FROM raw").await;
    let run = client.sql("MATERIALIZE ASSET copied WAIT").await;
    let id = run[0][0].as_str().expect("a run").to_owned();
    for table in ["assets", "asset_deps", "asset_partitions", "tasks", "attempts", "checks", "ticks"] {
        assert_eq!(other.number(&format!("SELECT count(*) FROM system.flow.{table}")).await, 0, "{table}");
    }
    for table in ["lineage.edges", "lineage.nodes", "lineage.inputs", "catalog.code"] {
        assert_eq!(other.number(&format!("SELECT count(*) FROM system.{table}")).await, 0, "{table}");
    }
    for sql in [
        "MATERIALIZE ASSET copied".to_owned(),
        format!("EXPLAIN RUN '{id}'"),
        format!("CANCEL RUN '{id}'"),
        format!("RERUN RUN '{id}' FROM FAILURE"),
        "DROP ASSET copied".to_owned(),
    ] {
        let answer = other.try_sql(&sql).await.expect("an answer");
        assert!(answer.text.contains("does not exist"), "{sql}: {}", answer.text);
    }
    assert_eq!(client.number("SELECT n FROM copied").await, 1);
}
