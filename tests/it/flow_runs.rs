//! Runs of assets on a whole node: in order whoever begins them, told of from their beginning to their end, and why they wait.

use cenote_testkit::client::Client;
use cenote_testkit::node::TestNode;
use cenote_testkit::{PATIENCE, settles};
use serde_json::Value;

/// Tasks that are not at their ends.
const OPEN: &str = "SELECT count(*) FROM system.flow.runs WHERE kind = 'asset' AND state IN ('PENDING', 'RUNNING', 'CANCELLING')";
/// It takes longer than any test.
const ENDLESS: &str = "SELECT sum(a.value % 7 + b.value % 5) AS n \
                       FROM generate_series(1, 1000000) AS a CROSS JOIN generate_series(1, 1000000) AS b";

async fn text(client: &Client, sql: &str) -> String {
    client.sql(sql).await[0][0].as_str().unwrap_or_default().to_owned()
}

async fn run(client: &Client, sql: &str) -> String {
    client.sql(sql).await[0][0].as_str().expect("a run").to_owned()
}

async fn state(client: &Client, run: &str) -> String {
    text(client, &format!("SELECT state FROM system.flow.runs WHERE run_id = '{run}'")).await
}

async fn get(client: &Client, path: &str) -> Value {
    let answer = client.send("GET", path, &[], "").await.expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

async fn settled(client: &Client) {
    settles("ends of runs", PATIENCE, async || client.number(OPEN).await == 0).await;
}

/// `top` feeds `left` and `right`, which feed `bottom`: each in this schema, said so, by these queries.
async fn diamond(client: &Client, schema: &str, said: [&str; 2], queries: [&str; 4]) {
    client.sql(&format!("CREATE SCHEMA {schema}")).await;
    let [of_top, of_others] = said;
    let names = ["top", "left_side", "right_side", "bottom"];
    for ((name, query), said) in names.iter().zip(queries).zip([of_top, of_others, of_others, of_others]) {
        let query = query.replace("{s}", schema);
        client.sql(&format!("CREATE ASSET {schema}.{name} {said} AS {query}")).await;
    }
}

const SUMS: [&str; 4] = [
    "SELECT n FROM raw",
    "SELECT n + 1 AS n FROM {s}.top",
    "SELECT n * 2 AS n FROM {s}.top",
    "SELECT l.n + r.n AS n FROM {s}.left_side l CROSS JOIN {s}.right_side r",
];

/// How often each asset of a schema was made, by name; that no attempt failed, and nothing began before what it reads had ended.
async fn made(client: &Client, schema: &str) -> Vec<(String, i64)> {
    let tasks = format!("FROM system.flow.tasks WHERE schema_name = '{schema}'");
    let failed = format!("SELECT count(*) {tasks} AND (state <> 'SUCCEEDED' OR attempt <> 1)");
    assert_eq!(client.number(&failed).await, 0, "{schema}");
    let early = format!(
        "SELECT count(*) FROM system.flow.tasks d JOIN system.flow.tasks u ON u.schema_name = d.schema_name \
         WHERE d.schema_name = '{schema}' AND d.started_at < u.completed_at \
         AND ((d.table_name = 'bottom' AND u.table_name <> 'bottom') \
         OR (d.table_name IN ('left_side', 'right_side') AND u.table_name = 'top'))"
    );
    assert_eq!(client.number(&early).await, 0, "{schema}: something began too early");
    let counts = format!("SELECT table_name, count(*) {tasks} GROUP BY 1 ORDER BY 1");
    let rows = client.sql(&counts).await;
    rows.iter()
        .map(|row| (row[0].as_str().expect("a name").to_owned(), row[1].as_i64().expect("a count")))
        .collect()
}

fn each_once() -> Vec<(String, i64)> {
    ["bottom", "left_side", "right_side", "top"].map(|name| (name.to_owned(), 1)).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_diamond_runs_each_once_and_its_end_last_whoever_begins_it() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE raw (n BIGINT)").await;
    diamond(&client, "by_change", ["EAGER", "EAGER"], SUMS).await;
    diamond(&client, "by_person", ["", ""], SUMS).await;
    let cut = "PARTITION BY (day(ts)) START '2024-01-01' END '2024-01-04'";
    let days = [
        "SELECT ts, v FROM daily",
        "SELECT ts, v + 1 AS v FROM {s}.top",
        "SELECT ts, v * 2 AS v FROM {s}.top",
        "SELECT l.ts, l.v + r.v AS v FROM {s}.left_side l JOIN {s}.right_side r ON l.ts = r.ts",
    ];
    client.sql("CREATE TABLE daily (ts TIMESTAMP, v BIGINT)").await;
    client.sql("INSERT INTO daily VALUES ('2024-01-01', 1), ('2024-01-02', 2), ('2024-01-03', 3)").await;
    diamond(&client, "by_range", [cut, cut], days).await;

    client.sql("INSERT INTO raw VALUES (3)").await;
    let done = async |schema: &str| {
        client.number(&format!("SELECT COALESCE(sum(n), 0) FROM {schema}.bottom")).await == 10
    };
    settles("the change", 3 * PATIENCE, async || done("by_change").await).await;

    let run = client.sql("MATERIALIZE ASSET by_person.bottom WITH UPSTREAM WAIT").await;
    assert_eq!(run.len(), 4);
    assert_eq!(made(&client, "by_person").await, each_once());
    let alone = client.sql("MATERIALIZE ASSET by_person.bottom WAIT").await;
    assert_eq!(alone.len(), 1, "nothing else was asked for");

    let range = "PARTITIONS 'day=2024-01-01' TO 'day=2024-01-03'";
    client.sql(&format!("MATERIALIZE ASSET by_range.bottom {range} WITH UPSTREAM WAIT")).await;
    assert_eq!(made(&client, "by_range").await, each_once());
    assert_eq!(client.number("SELECT sum(v) FROM by_range.bottom").await, 21);

    // Once a year, and that is soon.
    let soon = "SELECT to_char(now() + INTERVAL '8 seconds', '%S %M %H %d %m *')";
    let schedule = format!("SCHEDULE '{}'", text(&client, soon).await);
    diamond(&client, "by_schedule", [&schedule, "EAGER"], SUMS).await;
    settles("the schedule", 4 * PATIENCE, async || done("by_schedule").await).await;

    settled(&client).await;
    for schema in ["by_change", "by_schedule"] {
        assert_eq!(made(&client, schema).await, each_once());
        for asset in ["left_side", "right_side", "bottom"] {
            let why = client.sql(&format!("EXPLAIN ASSET {schema}.{asset}")).await;
            let eager = why.iter().find(|row| row[0] == "eager").expect("it is");
            assert_eq!(eager[2], "waiting", "nothing is left to do: {why:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_critical_check_that_fails_ends_its_whole_run() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql(&format!("CREATE ASSET endless AS {ENDLESS}")).await;
    client.sql("CREATE ASSET after_endless AS SELECT n FROM endless").await;
    client.sql("CREATE ASSET bad AS SELECT 1 AS n").await;
    client.sql("CREATE ASSET after_bad AS SELECT n FROM bad").await;
    client.sql("CREATE CHECK enough ON bad SEVERITY critical AS ROW COUNT >= 5").await;
    let run = run(&client, "MATERIALIZE ASSET after_endless, after_bad WITH UPSTREAM").await;
    settled(&client).await;
    let found = get(&client, &format!("/api/v1/runs/{run}")).await;
    let reason = found["errorMessage"].as_str().unwrap_or_default();
    assert_eq!(found["state"], "CANCELLED", "{found}");
    assert!(reason.contains("critical") || reason.contains("enough"), "{found}");
    let states: Vec<(&str, &str)> = found["tasks"]
        .as_array()
        .expect("tasks")
        .iter()
        .map(|task| (task["assetKey"].as_str().unwrap_or("?"), task["state"].as_str().unwrap_or("?")))
        .collect();
    let expected = [
        ("default.after_bad", "SKIPPED"),
        ("default.after_endless", "CANCELLED"),
        ("default.bad", "FAILED"),
        ("default.endless", "CANCELLED"),
    ];
    assert_eq!(states, expected);
    assert_eq!(client.number("SELECT count(*) FROM bad").await, 0, "nothing was published");
    let kinds = kinds(&client, &run).await;
    for kind in ["check.failed", "run.cancelled", "run.finished"] {
        assert!(kinds.iter().any(|known| known == kind), "{kind}: {kinds:?}");
    }
    // One that is only an error ends its task alone.
    client.sql("DROP CHECK enough ON bad").await;
    client.sql("CREATE CHECK enough ON bad SEVERITY error AS ROW COUNT >= 5").await;
    client.sql("CREATE ASSET other AS SELECT 2 AS n").await;
    let mut tasks = client.sql("MATERIALIZE ASSET bad, other WAIT").await;
    tasks.sort_by_key(|task| task[2].to_string());
    assert_eq!((&tasks[0][3], &tasks[1][3]), (&"FAILED".into(), &"SUCCEEDED".into()), "{tasks:?}");
}

/// Kinds of the events of a run, in their order.
async fn kinds(client: &Client, run: &str) -> Vec<String> {
    let page = get(client, &format!("/api/v1/events?after=0&run_id={run}")).await;
    let events = page["events"].as_array().expect("events");
    events.iter().map(|event| event["kind"].as_str().expect("a kind").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_of_a_run_are_told_from_its_beginning_to_its_end() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE raw (t TEXT)").await;
    client.sql("INSERT INTO raw VALUES ('1'), ('x')").await;
    client.sql("CREATE ASSET good AS SELECT count(*) AS n FROM raw").await;
    client.sql("CREATE ASSET bad AS SELECT CAST(t AS BIGINT) AS n FROM raw").await;
    client.sql(&format!("CREATE ASSET endless AS {ENDLESS}")).await;
    let good = run(&client, "MATERIALIZE ASSET good WAIT").await;
    let bad = run(&client, "MATERIALIZE ASSET bad WAIT").await;
    let endless = run(&client, "MATERIALIZE ASSET endless").await;
    let running = "SELECT count(*) FROM system.flow.tasks WHERE state = 'RUNNING'";
    settles("begins", PATIENCE, async || client.number(running).await == 1).await;
    client.sql(&format!("PAUSE RUN '{endless}'")).await;
    client.sql(&format!("CANCEL RUN '{endless}'")).await;
    settled(&client).await;
    for (run, state, expected) in [
        (&good, "SUCCEEDED", vec!["run.created", "task.finished", "run.finished", "table.committed"]),
        (&bad, "FAILED", vec!["run.created", "task.finished", "run.finished"]),
        (
            &endless,
            "CANCELLED",
            vec!["run.created", "run.paused", "run.cancelled", "task.finished", "run.finished"],
        ),
    ] {
        assert_eq!(kinds(&client, run).await, expected, "{state}");
        let page = get(&client, &format!("/api/v1/events?after=0&run_id={run}")).await;
        let events = page["events"].as_array().expect("events");
        assert!(events.iter().all(|event| event["run_id"] == **run), "{page}");
        let end = events.iter().find(|event| event["kind"] == "run.finished").expect("it is told");
        assert_eq!(
            (end["payload"]["state"].as_str(), &end["object"]["id"]),
            (Some(state), &Value::from(run.as_str()))
        );
        let stored = "SELECT count(*) FROM system.meta.events WHERE kind = 'run.finished' AND object_id";
        assert_eq!(client.number(&format!("{stored} = '{run}'")).await, 1);
    }
}

/// What the task of an asset in a run waits for, as SQL and as HTTP say it.
async fn waits(client: &Client, run: &str, asset: &str) -> String {
    let key = format!("default/{asset}/_");
    let steps = client.sql(&format!("EXPLAIN RUN '{run}'")).await;
    let step = steps.iter().find(|row| row[0] == "task" && row[1] == key.as_str());
    let by_sql = step.unwrap_or_else(|| panic!("{key}: {steps:?}"))[3].clone();
    let found = get(client, &format!("/api/v1/runs/{run}")).await;
    let tasks = found["tasks"].as_array().expect("tasks");
    let task = tasks.iter().find(|task| task["taskKey"] == key.as_str()).expect("the task");
    assert_eq!(task["waiting"]["reason"], by_sql, "{found}");
    by_sql.as_str().expect("a reason").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_waits_says_for_what() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql(&format!("CREATE ASSET endless AS {ENDLESS}")).await;
    client.sql("CREATE ASSET after_endless AS SELECT n FROM endless").await;
    client.sql("CREATE ASSET quick AS SELECT 1 AS n").await;
    let options = "timeout = '1s', attempts = 2, retry_backoff = '10m'";
    client.sql(&format!("CREATE ASSET slow WITH ({options}) AS {ENDLESS}")).await;
    let first = run(&client, "MATERIALIZE ASSET after_endless WITH UPSTREAM").await;
    let running = "SELECT count(*) FROM system.flow.tasks WHERE state = 'RUNNING'";
    settles("begins", PATIENCE, async || client.number(running).await == 1).await;
    assert_eq!(waits(&client, &first, "after_endless").await, "upstream");
    let second = run(&client, "MATERIALIZE ASSET endless").await;
    assert_eq!(waits(&client, &second, "endless").await, "asset_busy");
    client.sql(&format!("PAUSE RUN '{second}'")).await;
    assert_eq!(waits(&client, &second, "endless").await, "paused");
    for id in [&first, &second] {
        client.sql(&format!("CANCEL RUN '{id}'")).await;
    }
    settled(&client).await;
    let third = run(&client, "MATERIALIZE ASSET endless, quick WITH (concurrency = 1)").await;
    settles("begins", PATIENCE, async || client.number(running).await == 1).await;
    assert_eq!(waits(&client, &third, "quick").await, "slots");
    client.sql(&format!("CANCEL RUN '{third}'")).await;
    settled(&client).await;
    let fourth = run(&client, "MATERIALIZE ASSET slow").await;
    let rests = "SELECT count(*) FROM system.flow.tasks WHERE state = 'WAITING'";
    settles("its timeout", PATIENCE, async || client.number(rests).await == 1).await;
    assert_eq!(waits(&client, &fourth, "slow").await, "retry_at");
    let found = get(&client, &format!("/api/v1/runs/{fourth}")).await;
    assert!(found["tasks"][0]["waiting"]["until"].is_string(), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_failed_and_what_was_skipped_is_run_again_together() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE raw (t TEXT)").await;
    client.sql("INSERT INTO raw VALUES ('1'), ('x')").await;
    client.sql("CREATE ASSET counted AS SELECT count(*) AS n FROM raw").await;
    client.sql("CREATE ASSET numbers AS SELECT CAST(t AS BIGINT) AS n FROM raw").await;
    client.sql("CREATE ASSET summed AS SELECT sum(n) AS n FROM numbers").await;
    client.sql("CREATE ASSET doubled AS SELECT n * 2 AS n FROM summed").await;
    let failed = run(&client, "MATERIALIZE ASSET counted, doubled WITH UPSTREAM WAIT").await;
    let states = async |run: &str| {
        let tasks = format!(
            "SELECT table_name, state, skip_upstream FROM system.flow.tasks WHERE run_id = '{run}' ORDER BY 1"
        );
        let row = |row: &Vec<Value>| {
            row.iter().map(|cell| cell.as_str().unwrap_or("-")).collect::<Vec<_>>().join(" ")
        };
        client.sql(&tasks).await.iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(
        states(&failed).await,
        [
            "counted SUCCEEDED -",
            "doubled SKIPPED default/summed/_",
            "numbers FAILED -",
            "summed SKIPPED default/numbers/_",
        ]
    );
    assert_eq!(state(&client, &failed).await, "FAILED");
    client.sql("UPDATE raw SET t = '41' WHERE t = 'x'").await;
    let again = run(&client, &format!("RERUN RUN '{failed}' FROM FAILURE")).await;
    settled(&client).await;
    assert_eq!(states(&again).await, ["doubled SUCCEEDED -", "numbers SUCCEEDED -", "summed SUCCEEDED -"]);
    assert_eq!(state(&client, &again).await, "SUCCEEDED");
    assert_eq!(client.number("SELECT n FROM doubled").await, 84);
    assert_eq!(states(&failed).await.len(), 4, "what was stays as it was");
}
