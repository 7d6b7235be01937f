//! Runs that are done again and explained: what their tasks did, on what they read, and in what they differ from the runs before.

use std::collections::BTreeSet;

use cenote_testkit::client::{Answer, Client};
use cenote_testkit::node::TestNode;
use cenote_testkit::{PATIENCE, settles};
use serde_json::{Value, json};

use crate::rights::token;

async fn all(client: &Client, statements: &[&str]) {
    for sql in statements {
        client.sql(sql).await;
    }
}

/// Runs assets to their end; answers the run.
async fn materialized(client: &Client, what: &str) -> String {
    let tasks = client.sql(&format!("MATERIALIZE ASSET {what} WAIT")).await;
    assert!(tasks.iter().all(|task| task[3] == "SUCCEEDED"), "{what}: {tasks:?}");
    tasks[0][0].as_str().expect("a run").to_owned()
}

async fn post(client: &Client, path: &str, body: Value) -> Answer {
    client
        .send("POST", path, &[("content-type", "application/json")], body.to_string())
        .await
        .expect("an answer")
}

async fn replay(client: &Client, run: &str) -> Answer {
    post(client, &format!("/api/v1/runs/{run}/rerun"), json!({"mode": "replay"})).await
}

async fn get(client: &Client, path: &str) -> Value {
    let answer = client.send("GET", path, &[], "").await.expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

async fn explained(client: &Client, run: &str) -> Value {
    get(client, &format!("/api/v1/runs/{run}/explain")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replay_after_a_thousand_commits_is_identical_and_one_without_its_inputs_names_them() {
    let node = TestNode::start().await;
    let client = node.client();
    all(
        &client,
        &[
            "CREATE TABLE raw (day TEXT, amount BIGINT, price DOUBLE)",
            "INSERT INTO raw VALUES ('mon', 1, 0.1), ('mon', 2, 0.2), ('tue', 5, 0.3)",
            "CREATE ASSET daily AS SELECT day, sum(amount) AS amount, avg(price) AS price, now() AS at FROM raw GROUP BY day",
            "CREATE ASSET total AS SELECT sum(amount) AS amount FROM daily",
        ],
    )
    .await;
    let run = materialized(&client, "total WITH UPSTREAM").await;
    let shown = get(&client, &format!("/api/v1/runs/{run}")).await;
    let snapshot = shown["snapshotTxn"].as_i64().expect("a snapshot");
    let writer = async |client: Client| {
        for n in 0..125 {
            client.sql(&format!("INSERT INTO raw VALUES ('wed', {n}, 1.5)")).await;
        }
    };
    let writers = (0..8).map(|_| writer(client.clone()));
    futures::future::join_all(writers).await;
    assert!(node.head().await >= snapshot + 1_000);

    let made = "SELECT count(*) FROM system.catalog.transactions WHERE operation = 'asset'";
    let before = client.number(made).await;
    let again = replay(&client, &run).await;
    assert_eq!(again.status, 200, "{}", again.text);
    let task = |key: &str, rows: u64| json!({"taskKey": key, "identical": true, "rows": rows, "differingRows": 0, "deterministic": true});
    assert_eq!(
        again.json(),
        json!({"runId": run, "identical": true, "rows": 3, "differingRows": 0, "deterministic": true,
            "tasks": [task("default/daily/_", 2), task("default/total/_", 1)]})
    );
    let rows = client.sql(&format!("RERUN RUN '{run}' REPLAY")).await;
    assert_eq!(
        json!(rows),
        json!([[run, "default/daily/_", true, 2, 0, true], [run, "default/total/_", true, 1, 0, true]])
    );
    assert_eq!(client.number(made).await, before, "nothing is committed");
    assert_eq!(client.number("SELECT count(*) FROM system.flow.runs WHERE kind = 'asset'").await, 1);
    // It is the recipe of then that is done again, whatever became of it.
    client.sql("CREATE OR REPLACE ASSET total AS SELECT max(amount) AS amount FROM daily").await;
    assert_eq!(replay(&client, &run).await.json()["identical"], true);

    client.sql("VACUUM raw KEEP 0 HOURS FORCE").await;
    let gone = replay(&client, &run).await;
    assert_eq!(
        (gone.status, gone.json()["reason"].as_str()),
        (409, Some("snapshot_expired")),
        "{}",
        gone.text
    );
    let told = format!("version {snapshot} of default.raw is no longer kept");
    assert!(gone.text.contains(&told), "{}", gone.text);
    let gone = client.try_sql(&format!("RERUN RUN '{run}' REPLAY")).await.expect("an answer");
    assert!(gone.status == 409 && gone.text.contains(&told), "{}", gone.text);
    let commits = json!({"mode": "replay", "commit": true});
    let gone = post(&client, &format!("/api/v1/runs/{run}/rerun"), commits).await;
    assert_eq!(
        (gone.status, gone.json()["reason"].as_str()),
        (409, Some("snapshot_expired")),
        "{}",
        gone.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_what_answers_differently_each_time_says_so() {
    let node = TestNode::start().await;
    let client = node.client();
    all(
        &client,
        &[
            "CREATE TABLE raw (n BIGINT)",
            "INSERT INTO raw VALUES (1), (2), (3)",
            "CREATE VIEW chance AS SELECT n, CAST(random() * 1000000000 AS BIGINT) AS r FROM raw",
            "CREATE ASSET drawn AS SELECT n, CASE WHEN n = 1 THEN 0 ELSE r END AS r FROM chance",
            "CREATE ASSET named AS SELECT n, uuid() AS id FROM raw",
            "CREATE ASSET plain AS SELECT n FROM raw",
        ],
    )
    .await;
    let run = materialized(&client, "drawn").await;
    let again = replay(&client, &run).await.json();
    assert_eq!((&again["identical"], &again["deterministic"]), (&json!(false), &json!(false)), "{again}");
    assert_eq!((&again["rows"], &again["differingRows"]), (&json!(3), &json!(2)), "one row is not by chance");
    let run = materialized(&client, "named").await;
    let again = replay(&client, &run).await.json();
    assert_eq!((&again["identical"], &again["deterministic"]), (&json!(false), &json!(false)), "{again}");
    materialized(&client, "plain").await;
    let known = "SELECT c.deterministic FROM system.catalog.code AS c JOIN system.flow.assets AS a \
                 ON a.code_id = c.code_id WHERE a.table_name = ";
    for (asset, deterministic) in [("drawn", false), ("named", false), ("plain", true)] {
        let rows = client.sql(&format!("{known} '{asset}'")).await;
        assert_eq!(json!(rows), json!([[deterministic]]), "{asset}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_and_every_partition_is_replayed_from_what_was_there_before_it() {
    let node = TestNode::start().await;
    let client = node.client();
    all(
        &client,
        &[
            "CREATE TABLE raw (ts TIMESTAMP, k BIGINT, v BIGINT)",
            "INSERT INTO raw VALUES ('2024-01-01', 1, 1), ('2024-01-02', 2, 2), ('2024-01-03', 3, 4)",
            "CREATE TABLE sums (ts TIMESTAMP, v BIGINT)",
            "CREATE ASSET log WITH (mode = 'append') AS SELECT k, v FROM raw",
            "CREATE ASSET merged WITH (mode = 'merge', key = 'k') AS SELECT k, sum(v) AS v FROM raw GROUP BY k",
            "CREATE ASSET days PARTITION BY (day(ts)) START '2024-01-01' END '2024-01-04' AS SELECT ts, v FROM raw",
            // Each day is the sum up to it: it reads the day before, which the same run made.
            "CREATE ASSET sums PARTITION BY (day(ts)) START '2024-01-01' END '2024-01-04' \
             DEPENDS ON (sums MAPPING window(-1, -1)) WITH (per_partition = true) \
             AS SELECT r.ts, r.v + COALESCE((SELECT max(s.v) FROM sums AS s WHERE s.ts < partition_start()), 0) AS v \
             FROM raw AS r",
        ],
    )
    .await;
    let mut runs = Vec::new();
    for round in 0..2 {
        for asset in ["log", "merged", "days MISSING", "sums MISSING"] {
            let asset = if round == 1 { asset.replace("MISSING", "STALE") } else { asset.to_owned() };
            runs.push((asset.clone(), materialized(&client, &asset).await));
        }
        all(
            &client,
            &[
                "UPDATE raw SET v = v + 10 WHERE k = 2",
                "INSERT INTO raw VALUES ('2024-01-03 05:00:00', 4, 9)",
            ],
        )
        .await;
    }
    assert_eq!(client.number("SELECT max(v) FROM sums").await, 1 + 12 + 9, "the days before are in it");
    for (asset, run) in &runs {
        let again = replay(&client, run).await;
        assert_eq!(again.status, 200, "{asset}: {}", again.text);
        assert_eq!(again.json()["identical"], true, "{asset}: {}", again.text);
    }
    let tasks = replay(&client, &runs[3].1).await.json();
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(3), "{tasks}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_runs_read_is_kept_for_their_replay() {
    let node = TestNode::start().await;
    let client = node.client();
    all(
        &client,
        &[
            "CREATE TABLE raw (k BIGINT, v BIGINT)",
            "INSERT INTO raw VALUES (1, 1)",
            "CREATE ASSET kept WITH (mode = 'merge', key = 'k', keep_runs = 2) AS SELECT k, sum(v) AS v FROM raw GROUP BY k",
        ],
    )
    .await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(materialized(&client, "kept").await);
        client.sql("INSERT INTO raw VALUES (1, 5), (2, 7)").await;
        client.sql("VACUUM ALL KEEP 0 HOURS FORCE").await;
    }
    let told: Vec<(u16, Value)> = {
        let mut told = Vec::new();
        for run in &runs {
            let answer = replay(&client, run).await;
            told.push((answer.status, answer.json()["identical"].clone()));
        }
        told
    };
    assert_eq!(told, [(409, Value::Null), (200, json!(true)), (200, json!(true))]);
    let shown = get(&client, "/api/v1/assets/default.kept").await;
    assert_eq!(shown["keepRuns"], 2, "{shown}");
    let tags = "SELECT count(*) FROM system.storage.holds";
    assert_eq!(client.number(tags).await, 4, "raw and the asset's own table, of two runs");
    client.sql("ALTER ASSET kept SET (keep_runs = 0)").await;
    assert_eq!(client.number(tags).await, 0);
    client.sql("VACUUM ALL KEEP 0 HOURS FORCE").await;
    assert_eq!(replay(&client, &runs[2]).await.status, 409);
    let refused = client.try_sql("ALTER ASSET kept SET (keep_runs = 101)").await.expect("an answer");
    assert!(refused.text.contains("a number from 0 to 100"), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_commits_puts_back_what_was_made_of_the_inputs_of_then() {
    let node = TestNode::start().await;
    let client = node.client();
    all(
        &client,
        &[
            "CREATE TABLE raw (n BIGINT)",
            "INSERT INTO raw VALUES (1), (2)",
            "CREATE ASSET copied AS SELECT n FROM raw",
            "CREATE ASSET summed AS SELECT sum(n) AS n FROM copied",
        ],
    )
    .await;
    let first = materialized(&client, "summed WITH UPSTREAM").await;
    all(
        &client,
        &["INSERT INTO raw VALUES (7)", "CREATE OR REPLACE ASSET copied AS SELECT n + 100 AS n FROM raw"],
    )
    .await;
    materialized(&client, "summed WITH UPSTREAM").await;
    assert_eq!(client.number("SELECT n FROM summed").await, 310);
    let path = format!("/api/v1/runs/{first}/rerun");
    let commits = json!({"mode": "replay", "commit": true});
    let headers = [("content-type", "application/json"), ("idempotency-key", "put-back")];
    let begun = client.send("POST", &path, &headers, commits.to_string()).await.expect("an answer");
    assert_eq!(begun.status, 201, "{}", begun.text);
    let run = begun.json()["runId"].as_str().expect("a run").to_owned();
    let same = client.send("POST", &path, &headers, commits.to_string()).await.expect("an answer");
    assert_eq!((same.status, &same.json()["runId"]), (200, &json!(run)), "{}", same.text);
    settles("the end of the run", PATIENCE, async || {
        get(&client, &format!("/api/v1/runs/{run}")).await["state"] == "SUCCEEDED"
    })
    .await;
    assert_eq!(client.number("SELECT n FROM summed").await, 3);
    assert_eq!(client.number("SELECT max(n) FROM copied").await, 2, "by the recipe of then");
    let shown = get(&client, &format!("/api/v1/runs/{run}")).await;
    assert_eq!((&shown["rerunKind"], &shown["parentRunId"]), (&json!("REPLAY"), &json!(first)), "{shown}");
    let because = explained(&client, &run).await["because"].clone();
    assert_eq!((&because[0]["kind"], &because[0]["id"]), (&json!("rerun"), &json!(first)), "{because}");
    assert_eq!(because[1]["kind"], "person", "{because}");
    // What it published can be done again in its turn.
    assert_eq!(replay(&client, &run).await.json()["identical"], true);
    let why = client.sql("EXPLAIN ASSET copied").await;
    assert!(json!(why).to_string().contains("CODE_CHANGED"), "{why:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_refused_and_by_whom() {
    let node = TestNode::start().await;
    let (client, other) = (node.client(), node.second_tenant("other").await);
    all(
        &client,
        &[
            "CREATE TABLE raw (n BIGINT)",
            "CREATE ASSET copied AS SELECT n FROM raw",
            "CREATE ASSET broken AS SELECT CAST('x' || CAST(n AS TEXT) AS BIGINT) AS n FROM raw",
            "INSERT INTO raw VALUES (1)",
        ],
    )
    .await;
    let run = materialized(&client, "copied").await;
    let path = format!("/api/v1/runs/{run}/rerun");
    let failed = client.sql("MATERIALIZE ASSET broken WAIT").await[0][0].as_str().expect("a run").to_owned();
    let refused = replay(&client, &failed).await;
    assert!(refused.status == 409 && refused.text.contains("is FAILED"), "{}", refused.text);
    let answer = post(&client, &path, json!({"mode": "fromFailure", "commit": true})).await;
    assert!(answer.status == 400 && answer.text.contains("commit is said of a replay"), "{}", answer.text);
    let answer = post(&client, &path, json!({"mode": "subset"})).await;
    assert!(answer.status == 400 && answer.text.contains("no task is named"), "{}", answer.text);
    assert_eq!(replay(&other, &run).await.status, 404);
    let foreign = other.try_sql(&format!("RERUN RUN '{run}' REPLAY")).await.expect("an answer");
    assert!(foreign.text.contains("does not exist"), "{}", foreign.text);
    let ada = token(&client, "ada", &[]).await;
    client.sql("GRANT RUN ON ASSET copied TO TOKEN ada").await;
    client.sql("GRANT SELECT ON TABLE raw TO TOKEN ada").await;
    for body in [json!({"mode": "replay"}), json!({"mode": "replay", "commit": true})] {
        assert_eq!(post(&ada, &path, body.clone()).await.status, 403, "{body}");
    }
    let answer = ada.try_sql(&format!("RERUN RUN '{run}' REPLAY")).await.expect("an answer");
    assert_eq!(answer.status, 403, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_names_the_statement_that_changed_and_the_commits_that_were_read() {
    let node = TestNode::start().await;
    let client = node.client();
    all(
        &client,
        &[
            "CREATE TABLE raw (n BIGINT)",
            "INSERT INTO raw VALUES (1)",
            "CREATE ASSET copied AS SELECT n FROM raw",
            "CREATE ASSET summed AS SELECT sum(n) AS n FROM copied",
        ],
    )
    .await;
    let first = materialized(&client, "summed WITH UPSTREAM").await;
    let why = explained(&client, &first).await;
    assert_eq!(
        (&why["plan"]["previousFingerprint"], &why["plan"]["diff"]),
        (&Value::Null, &json!({"added": [], "removed": [], "changed": []}))
    );
    client.sql("INSERT INTO raw VALUES (2)").await;
    let changed = client.number("SELECT max(txn) FROM snapshots('raw') WHERE operation = 'insert'").await;
    let second = materialized(&client, "summed WITH UPSTREAM").await;
    let why = explained(&client, &second).await;
    assert_eq!(why["plan"]["fingerprint"], why["plan"]["previousFingerprint"], "{why}");
    assert_eq!(why["plan"]["previousRunId"], json!(first));
    let read = &why["tasks"][0]["inputs"];
    assert_eq!((&read[0]["table"], read.as_array().map(Vec::len)), (&json!("default.raw"), Some(1)), "{why}");
    let by: Vec<&Value> =
        read[0]["changedBy"].as_array().expect("changes").iter().map(|by| &by["txn"]).collect();
    assert_eq!(by, [&json!(changed)], "{why}");
    assert!(
        read[0]["previousTxn"].as_i64() < Some(changed) && read[0]["txn"].as_i64() >= Some(changed),
        "{why}"
    );
    assert_eq!(why["tasks"][1]["inputs"][0]["changedBy"][0]["runId"], json!(second), "{why}");

    client.sql("CREATE OR REPLACE ASSET summed AS SELECT max(n) AS n FROM copied").await;
    let third = materialized(&client, "summed WITH UPSTREAM").await;
    let why = explained(&client, &third).await;
    assert_ne!(why["plan"]["fingerprint"], why["plan"]["previousFingerprint"], "{why}");
    let diff = &why["plan"]["diff"];
    assert_eq!((&diff["added"], &diff["removed"]), (&json!([]), &json!([])));
    let found: Vec<(&Value, &Value)> = diff["changed"]
        .as_array()
        .expect("changes")
        .iter()
        .map(|one| (&one["taskKey"], &one["field"]))
        .collect();
    assert_eq!(found, [(&json!("default/summed/_"), &json!("codeId"))], "{diff}");
    assert_ne!(diff["changed"][0]["from"], diff["changed"][0]["to"]);

    client.sql("CREATE ASSET middle AS SELECT n FROM copied").await;
    client.sql("CREATE OR REPLACE ASSET summed WITH (priority = 7) AS SELECT max(n) AS n FROM middle").await;
    let fourth = materialized(&client, "summed WITH UPSTREAM").await;
    let diff = explained(&client, &fourth).await["plan"]["diff"].clone();
    assert_eq!(diff["added"], json!(["default/middle/_"]), "{diff}");
    let fields: BTreeSet<&str> =
        diff["changed"].as_array().expect("changes").iter().filter_map(|one| one["field"].as_str()).collect();
    assert_eq!(fields, BTreeSet::from(["codeId", "priority", "upstreamKeys"]), "{diff}");
    let upstream = json!({"taskKey": "default/summed/_", "field": "upstreamKeys",
        "from": "default/copied/_", "to": "default/middle/_"});
    assert!(diff["changed"].as_array().expect("changes").contains(&upstream), "{diff}");

    let rows = client.sql(&format!("EXPLAIN RUN '{third}'")).await;
    let told: Vec<(&str, &str, &str)> = rows
        .iter()
        .map(|row| {
            (row[0].as_str().unwrap_or("-"), row[2].as_str().unwrap_or("-"), row[3].as_str().unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("run", "SUCCEEDED", "person"),
            ("plan", "changed", "-"),
            ("plan", "changed", "codeId"),
            ("task", "SUCCEEDED", "upstream_of:default.summed"),
            ("input", "same", "-"),
            ("task", "SUCCEEDED", "selected"),
            ("input", "changed", "-"),
        ],
        "{rows:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_after_a_change_leads_to_the_commit_that_began_it() {
    let node = TestNode::start().await;
    let client = node.client();
    all(&client, &["CREATE TABLE raw (n BIGINT)", "CREATE ASSET eager EAGER AS SELECT n FROM raw"]).await;
    client.sql("INSERT INTO raw VALUES (1)").await;
    let txn = client.number("SELECT max(txn) FROM snapshots('raw') WHERE operation = 'insert'").await;
    settles("the run", PATIENCE, async || client.number("SELECT count(*) FROM eager").await == 1).await;
    let runs = get(&client, "/api/v1/runs?trigger=eager").await;
    let run = runs["data"].as_array().expect("runs").last().expect("one")["runId"]
        .as_str()
        .expect("a run")
        .to_owned();
    let because = explained(&client, &run).await["because"].clone();
    let kinds: Vec<&str> =
        because.as_array().expect("causes").iter().filter_map(|cause| cause["kind"].as_str()).collect();
    assert_eq!(kinds, ["eager", "commit"], "{because}");
    assert_eq!(because[1]["id"], json!(txn.to_string()), "{because}");
    assert!(because[1]["text"].as_str().expect("a text").starts_with("insert by "), "{because}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_of_an_asset_names_the_right_cause() {
    let node = TestNode::start().await;
    let client = node.client();
    let endless = "CREATE ASSET endless AS SELECT sum(a.value % 7 + b.value % 5) AS n \
                   FROM generate_series(1, 1000000) AS a CROSS JOIN generate_series(1, 1000000) AS b";
    all(
        &client,
        &[
            "CREATE TABLE quiet (n BIGINT)",
            "CREATE TABLE busy (n BIGINT)",
            "INSERT INTO quiet VALUES (1)",
            "INSERT INTO busy VALUES (1)",
            "CREATE ASSET fresh AS SELECT n FROM quiet",
            "CREATE ASSET stale AS SELECT n FROM busy",
            "CREATE ASSET broken WITH (attempts = 1) AS SELECT CAST('x' || CAST(n AS TEXT) AS BIGINT) AS n FROM quiet",
            "CREATE ASSET skipped AS SELECT n FROM broken",
            endless,
            "CREATE ASSET waiting AS SELECT n FROM endless",
        ],
    )
    .await;
    materialized(&client, "fresh").await;
    materialized(&client, "stale").await;
    client.sql("INSERT INTO busy VALUES (2)").await;
    client.sql("MATERIALIZE ASSET skipped WITH UPSTREAM WAIT").await;
    let run =
        client.sql("MATERIALIZE ASSET waiting WITH UPSTREAM").await[0][0].as_str().expect("a run").to_owned();
    let running = "SELECT count(*) FROM system.flow.tasks WHERE state = 'RUNNING'";
    settles("it runs", PATIENCE, async || client.number(running).await == 1).await;
    let mut told = Vec::new();
    for asset in ["fresh", "stale", "skipped", "endless", "waiting"] {
        for row in client.sql(&format!("EXPLAIN ASSET {asset}")).await {
            let cells: Vec<String> = row.iter().map(|cell| masked(cell.as_str().unwrap_or("-"))).collect();
            told.push(cells.join(" | "));
        }
    }
    let golden = include_str!("golden/explain_asset.txt");
    assert_eq!(told.join("\n"), golden.trim_end(), "{}", told.join("\n"));
    client.sql(&format!("CANCEL RUN '{run}'")).await;
}

/// Ids of runs, and numbers of transactions, are others each time.
fn masked(text: &str) -> String {
    let words = text.split(' ').map(|word| match word {
        word if word.len() >= 36 && word.matches('-').count() >= 4 => "<run>",
        word if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) => "<txn>",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}
