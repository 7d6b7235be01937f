//! Assets and their runs over HTTP: every example of the paths, in both spellings, and what is refused.

use cenote_testkit::client::{Answer, Client};
use cenote_testkit::node::TestNode;
use cenote_testkit::{PATIENCE, settles};
use serde_json::{Value, json};

use crate::rights::token;

pub(crate) async fn call(client: &Client, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(method, path, &[("content-type", "application/json")], body).await.expect("an answer")
}

pub(crate) async fn get(client: &Client, path: &str) -> Value {
    let answer = call(client, "GET", path, Value::Null).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

pub(crate) async fn post(client: &Client, path: &str, body: Value, status: u16) -> Value {
    let answer = call(client, "POST", path, body.clone()).await;
    assert_eq!(answer.status, status, "{path} {body}: {}", answer.text);
    answer.json()
}

pub(crate) async fn ended(client: &Client, run: &Value) -> Value {
    let path = format!("/api/v1/runs/{}", run["runId"].as_str().expect("a run"));
    settles("the end of a run", PATIENCE, async || {
        let state = get(client, &path).await["state"].clone();
        ["SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"].contains(&state.as_str().expect("a state"))
    })
    .await;
    get(client, &path).await
}

/// `raw.orders` of three days, and `mart.daily`, which is cut by day.
pub(crate) async fn world(client: &Client) {
    for sql in
        ["CREATE SCHEMA raw", "CREATE SCHEMA mart", "CREATE TABLE raw.orders (ts TIMESTAMP, amount BIGINT)"]
    {
        client.sql(sql).await;
    }
    client
        .sql("INSERT INTO raw.orders VALUES ('2024-01-01', 1), ('2024-01-02', 2), ('2024-01-02 12:00:00', 4), ('2024-01-03', 8)")
        .await;
    let recipe = json!({
        "query": "SELECT date_trunc('day', ts) AS ts, sum(amount) AS amount FROM raw.orders GROUP BY 1",
        "partition": {"column": "ts", "period": "day", "start": "2024-01-01", "end": "2024-01-06", "timezone": "UTC"},
        "dependsOn": [{"table": "raw.orders", "mapping": "identity"}],
        "options": {"attempts": 2, "description": "by day"},
    });
    let made = call(client, "PUT", "/api/v1/assets/mart.daily", recipe).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let shown = made.json();
    assert_eq!((shown["assetKey"].as_str(), shown["status"].as_str()), (Some("mart.daily"), Some("missing")));
    assert_eq!(shown["partition"]["period"], "day");
    assert_eq!(shown["dependsOn"], json!([{"table": "raw.orders", "mapping": "identity"}]));
    client.sql("CREATE ASSET mart.total AS SELECT sum(amount) AS amount FROM mart.daily").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_planned_begun_once_by_its_key_and_shown() {
    let node = TestNode::start().await;
    let client = node.client();
    world(&client).await;
    let range = json!({"start": "day=2024-01-01", "end": "day=2024-01-03"});
    let camel = json!({
        "selection": ["mart.daily"], "includeDownstream": true, "partitionRange": range, "chunk": 2,
        "runKey": "january", "labels": {"team": "mart"}, "concurrency": 1, "logicalTime": "2024-02-01T00:00:00Z",
        "timeoutSeconds": 600,
    });
    let snake = json!({
        "selection": ["mart.daily"], "include_downstream": true, "partition_range": range, "chunk": 2,
        "run_key": "january", "labels": {"team": "mart"}, "concurrency": 1, "logical_time": "2024-02-01T00:00:00Z",
        "timeout_seconds": 600,
    });
    // A dry run stores nothing, and says what the run will be.
    let plan = post(&client, "/api/v1/runs?dry_run=true", camel.clone(), 200).await;
    let keys: Vec<&str> =
        plan["tasks"].as_array().expect("tasks").iter().filter_map(|task| task["taskKey"].as_str()).collect();
    assert_eq!(
        keys,
        ["mart/daily/day=d:2024-01-01..2024-01-02", "mart/daily/day=d:2024-01-03", "mart/total/_"]
    );
    assert_eq!(get(&client, "/api/v1/runs").await["data"], json!([]));

    let made = post(&client, "/api/v1/runs", camel, 201).await;
    assert_eq!((made["created"].as_bool(), &made["planId"]), (Some(true), &plan["planId"]));
    let again = post(&client, "/api/v1/runs", snake, 200).await;
    assert_eq!((again["created"].as_bool(), &again["runId"]), (Some(false), &made["runId"]));
    let other = json!({"selection": ["mart.total"], "runKey": "january"});
    let taken = post(&client, "/api/v1/runs", other, 409).await;
    assert_eq!(
        (taken["reason"].as_str(), taken["code"].as_str()),
        (Some("run_key_conflict"), Some("CONFLICT"))
    );
    let text = taken["detail"].as_str().expect("a text");
    let hashes =
        text.split(|letter: char| !letter.is_ascii_hexdigit()).filter(|word| word.len() == 64).count();
    assert!(text.contains(made["runId"].as_str().expect("a run")) && hashes == 2, "{text}");

    let run = ended(&client, &made).await;
    assert_eq!(
        (run["state"].as_str(), run["trigger"].as_str()),
        (Some("SUCCEEDED"), Some("person")),
        "{run}"
    );
    assert_eq!(run["labels"], json!({"team": "mart"}));
    assert_eq!((&run["taskCounts"]["total"], &run["taskCounts"]["succeeded"]), (&json!(3), &json!(3)));
    assert_eq!(run["logicalTime"], "2024-02-01T00:00:00.000000Z");
    let first = &run["tasks"][0];
    assert_eq!(
        (first["assetKey"].as_str(), first["state"].as_str()),
        (Some("mart.daily"), Some("SUCCEEDED"))
    );
    assert_eq!(
        (first["partitions"].as_str(), first["rows"].as_i64()),
        (Some("day=d:2024-01-01..2024-01-02"), Some(2))
    );
    assert_eq!(client.number("SELECT amount FROM mart.total").await, 15);
    let id = run["runId"].as_str().expect("a run");
    let page = get(&client, &format!("/api/v1/runs/{id}/tasks?state=SUCCEEDED&limit=2")).await;
    let cursor = page["nextCursor"].as_str().expect("more");
    let rest =
        get(&client, &format!("/api/v1/runs/{id}/tasks?state=SUCCEEDED&limit=2&cursor={cursor}")).await;
    assert_eq!(
        (page["data"].as_array().map(Vec::len), rest["data"].as_array().map(Vec::len)),
        (Some(2), Some(1))
    );
    assert_eq!(rest["nextCursor"], Value::Null);
    let why = get(&client, &format!("/api/v1/runs/{id}/explain")).await;
    assert_eq!(
        (why["state"].as_str(), why["because"][0]["kind"].as_str()),
        (Some("SUCCEEDED"), Some("person"))
    );
    assert_eq!(why["tasks"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_by_pages_held_cancelled_and_repeated() {
    let node = TestNode::start().await;
    let client = node.client();
    world(&client).await;
    for _ in 0..3 {
        let made = post(&client, "/api/v1/runs", json!({"selection": ["mart.total"]}), 201).await;
        ended(&client, &made).await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/runs?limit=2&asset=mart.total&trigger=person&state=SUCCEEDED".to_owned();
    loop {
        let page = get(&client, &path).await;
        seen.extend(page["data"].as_array().expect("runs").iter().map(|run| run["runId"].to_string()));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path =
            format!("/api/v1/runs?limit=2&asset=mart.total&trigger=person&state=SUCCEEDED&cursor={cursor}");
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!((seen.len(), unique.len()), (3, 3), "each once");
    let page = get(&client, "/api/v1/assets/mart.total/runs?since=2999-01-01T00:00:00Z").await;
    assert_eq!(page["data"], json!([]));

    let endless = "SELECT sum(a.value % 7 + b.value % 5) AS n \
                   FROM generate_series(1, 1000000) AS a CROSS JOIN generate_series(1, 1000000) AS b";
    client.sql(&format!("CREATE ASSET mart.endless AS {endless}")).await;
    client.sql("CREATE ASSET mart.after_it AS SELECT n FROM mart.endless").await;
    let made =
        post(&client, "/api/v1/runs", json!({"selection": ["mart.after_it"], "includeUpstream": true}), 201)
            .await;
    let id = made["runId"].as_str().expect("a run").to_owned();
    settles("it runs", PATIENCE, async || {
        get(&client, &format!("/api/v1/runs/{id}")).await["taskCounts"]["running"] == 1
    })
    .await;
    let held = post(&client, &format!("/api/v1/runs/{id}/pause"), Value::Null, 200).await;
    assert_eq!(held["state"], "PAUSED");
    let goes_on = post(&client, &format!("/api/v1/runs/{id}/resume"), Value::Null, 200).await;
    assert_eq!(goes_on["state"], "RUNNING");
    let waits = goes_on["tasks"].as_array().expect("tasks").iter().find(|task| task["state"] == "PENDING");
    assert_eq!(waits.expect("one waits")["waiting"]["reason"], "upstream");
    post(&client, &format!("/api/v1/runs/{id}/rerun"), Value::Null, 409).await;
    let open = json!({"mode": "subset", "tasks": ["mart/endless/_"]});
    post(&client, &format!("/api/v1/runs/{id}/rerun"), open, 409).await;
    post(&client, &format!("/api/v1/runs/{id}/cancel"), json!({"reason": "enough"}), 200).await;
    let run = ended(&client, &made).await;
    assert_eq!((run["state"].as_str(), run["errorMessage"].as_str()), (Some("CANCELLED"), Some("enough")));
    post(&client, &format!("/api/v1/runs/{id}/cancel"), Value::Null, 409).await;
    client.sql("CREATE OR REPLACE ASSET mart.endless AS SELECT 1 AS n").await;
    let keyed = async |key: &str, body: Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let path = format!("/api/v1/runs/{id}/rerun");
        client.send("POST", &path, &headers, body.to_string()).await.expect("an answer")
    };
    let mode = json!({"mode": "fromFailure"});
    let (one, two) = tokio::join!(keyed("again", mode.clone()), keyed("again", mode.clone()));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(
        (statuses, &one.json()["runId"]),
        ([200, 201], &two.json()["runId"]),
        "{} {}",
        one.text,
        two.text
    );
    let again = keyed("again", mode).await;
    assert_eq!((again.status, &again.json()["runId"]), (200, &one.json()["runId"]), "{}", again.text);
    let again = again.json();
    let by_sql = async |text: String| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "by SQL")];
        let body = json!({ "sql": text }).to_string();
        client.send("POST", "/api/v1/sql", &headers, body).await.expect("an answer")
    };
    let rerun = format!("RERUN RUN '{id}' FROM FAILURE");
    let (one, two) = (by_sql(rerun.clone()).await, by_sql(rerun).await);
    assert_eq!((one.status, two.status), (200, 200), "{} {}", one.text, two.text);
    let run_of = |answer: &Answer| answer.json()["results"][0]["data"][0][0].clone();
    assert!(run_of(&one).is_string() && run_of(&one) == run_of(&two), "{} {}", one.text, two.text);
    assert_ne!(run_of(&one), again["runId"], "another key is another run");
    let taken = json!({"selection": ["mart.total"], "runKey": "again"});
    post(&client, "/api/v1/runs", taken, 409).await;
    let again = ended(&client, &again).await;
    assert_eq!(
        (again["state"].as_str(), again["parentRunId"].as_str()),
        (Some("SUCCEEDED"), Some(id.as_str()))
    );
    assert_eq!(again["rerunKind"], "FROM_FAILURE");
    let done = again["runId"].as_str().expect("a run");
    post(&client, &format!("/api/v1/runs/{done}/rerun"), Value::Null, 409).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_are_named_are_run_again_by_path_and_by_statement() {
    let node = TestNode::start().await;
    let client = node.client();
    world(&client).await;
    let whole = json!({
        "selection": ["mart.daily"], "includeDownstream": true, "chunk": 1,
        "partitionRange": {"start": "day=2024-01-01", "end": "day=2024-01-03"},
    });
    let first = ended(&client, &post(&client, "/api/v1/runs", whole, 201).await).await;
    let id = first["runId"].as_str().expect("a run");
    let path = format!("/api/v1/runs/{id}/rerun");
    let keys = |run: &Value| -> Vec<String> {
        let tasks = run["tasks"].as_array().expect("tasks").iter();
        tasks.map(|task| task["taskKey"].as_str().expect("a key").to_owned()).collect()
    };
    let days = ["mart/daily/day=d:2024-01-01", "mart/daily/day=d:2024-01-02", "mart/daily/day=d:2024-01-03"];
    assert_eq!(
        (&keys(&first)[..3], keys(&first)[3].as_str()),
        (&days.map(str::to_owned)[..], "mart/total/_")
    );
    client.sql("INSERT INTO raw.orders VALUES ('2024-01-02', 32), ('2024-01-03', 64)").await;

    // Nothing but what is named, although more has changed.
    let again = post(&client, &path, json!({"mode": "subset", "tasks": [days[1]]}), 201).await;
    let again = ended(&client, &again).await;
    assert_eq!((again["state"].as_str(), keys(&again)), (Some("SUCCEEDED"), vec![days[1].to_owned()]));
    assert_eq!((again["rerunKind"].as_str(), again["parentRunId"].as_str()), (Some("SUBSET"), Some(id)));
    assert_eq!(client.number("SELECT sum(amount) FROM mart.daily").await, 47);
    assert_eq!(client.number("SELECT amount FROM mart.total").await, 15);

    // With what reads it, in either spelling; under one key it is one run.
    let keyed = async |body: Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "with all behind it")];
        client.send("POST", &path, &headers, body.to_string()).await.expect("an answer")
    };
    let camel = json!({"mode": "subset", "tasks": [days[1]], "includeDownstream": true});
    let snake = json!({"mode": "subset", "tasks": [days[1]], "include_downstream": true});
    let (one, two) = (keyed(camel).await, keyed(snake).await);
    assert_eq!((one.status, two.status), (201, 200), "{} {}", one.text, two.text);
    assert_eq!(one.json()["runId"], two.json()["runId"]);
    let run = ended(&client, &one.json()).await;
    assert_eq!(keys(&run), [days[1], "mart/total/_"]);
    assert_eq!(client.number("SELECT amount FROM mart.total").await, 47);
    let other = keyed(json!({"mode": "subset", "tasks": [days[2]], "includeDownstream": true})).await;
    assert_eq!((other.status, other.json()["reason"].clone()), (409, json!("run_key_conflict")));

    let rows = client.sql(&format!("RERUN RUN '{id}' TASKS ('{}', 'mart/total/_')", days[2])).await;
    assert_eq!([&rows[0][2], &rows[1][2]], [&json!(days[2]), &json!("mart/total/_")], "{rows:?}");
    let begun = json!({"runId": rows[0][0]});
    assert_eq!(ended(&client, &begun).await["state"], "SUCCEEDED");
    assert_eq!(client.number("SELECT amount FROM mart.total").await, 111);
    let rows = client.sql(&format!("RERUN RUN '{id}' TASKS ('mart/total/_') WITH UPSTREAM")).await;
    assert!(rows.len() > 1 && rows.iter().any(|row| row[2] == "mart/total/_"), "{rows:?}");
    ended(&client, &json!({"runId": rows[0][0]})).await;

    for (body, expected) in [
        (json!({"mode": "subset"}), "no task is named"),
        (json!({"mode": "subset", "tasks": ["x/y/_", "mart/total/_", "z"]}), "has no tasks x/y/_, z"),
        (json!({"mode": "fromFailure", "tasks": ["mart/total/_"]}), "are said of a subset"),
        (json!({"mode": "replay", "includeUpstream": true}), "are said of a subset"),
    ] {
        let told = post(&client, &path, body.clone(), 400).await;
        assert!(told["detail"].as_str().is_some_and(|text| text.contains(expected)), "{body}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_their_partitions_and_their_graph_are_shown_and_changed() {
    let node = TestNode::start().await;
    let client = node.client();
    world(&client).await;
    let made = json!({"selection": ["mart.daily"], "partitionKeys": ["day=2024-01-01", "day=2024-01-02"]});
    ended(&client, &post(&client, "/api/v1/runs", made, 201).await).await;
    client.sql("INSERT INTO raw.orders VALUES ('2024-01-05', 16)").await;
    let made = json!({"selection": ["mart.daily"], "partitionKey": "day=2024-01-05"});
    ended(&client, &post(&client, "/api/v1/runs", made, 201).await).await;

    let summary = get(&client, "/api/v1/assets/mart.daily/partitions/summary").await;
    for (name, count) in [
        ("totalPartitions", 5),
        ("materializedPartitions", 3),
        ("stalePartitions", 2),
        ("missingPartitions", 2),
        ("failedPartitions", 0),
    ] {
        assert_eq!(summary[name], count, "{name}: {summary}");
    }
    let page = get(&client, "/api/v1/assets/mart.daily/partitions?limit=2").await;
    let keys = |page: &Value| -> Vec<String> {
        let rows = page["data"].as_array().expect("partitions").iter();
        rows.map(|row| row["partitionKey"].as_str().expect("a key").to_owned()).collect()
    };
    assert_eq!(keys(&page), ["day=d:2024-01-01", "day=d:2024-01-02"]);
    assert_eq!(
        (page["data"][0]["status"].as_str(), page["data"][0]["staleReason"].as_str()),
        (Some("stale"), Some("UPSTREAM_CHANGED"))
    );
    let cursor = page["nextCursor"].as_str().expect("more");
    let page = get(&client, &format!("/api/v1/assets/mart.daily/partitions?limit=3&cursor={cursor}")).await;
    assert_eq!(keys(&page), ["day=d:2024-01-03", "day=d:2024-01-04", "day=d:2024-01-05"]);
    let some = get(
        &client,
        "/api/v1/assets/mart.daily/partitions?from=day=2024-01-02&to=day=2024-01-04&status=missing",
    )
    .await;
    assert_eq!(keys(&some), ["day=d:2024-01-03", "day=d:2024-01-04"]);
    let ranges = get(&client, "/api/v1/assets/mart.daily/partitions?format=ranges").await;
    let shape: Vec<(Option<&str>, Option<u64>)> = ranges["data"]
        .as_array()
        .expect("ranges")
        .iter()
        .map(|range| (range["status"].as_str(), range["count"].as_u64()))
        .collect();
    assert_eq!(shape, [(Some("stale"), Some(2)), (Some("missing"), Some(2)), (Some("fresh"), Some(1))]);

    let first = get(&client, "/api/v1/assets/mart.daily/partitions?status=stale&limit=1").await;
    assert_eq!(keys(&first), ["day=d:2024-01-01"]);
    let first_range = get(&client, "/api/v1/assets/mart.daily/partitions?format=ranges&limit=1").await;
    let why = get(&client, "/api/v1/assets/mart.daily/explain?partition=day=2024-01-02").await;
    assert_eq!(
        (why["state"].as_str(), why["reasons"][0]["code"].as_str()),
        (Some("stale"), Some("UPSTREAM_CHANGED"))
    );
    // The partition at which the first page ended is not among those that are asked for any more.
    let again = json!({"selection": ["mart.daily"], "partitionKey": "day=2024-01-01"});
    ended(&client, &post(&client, "/api/v1/runs", again, 201).await).await;
    let cursor = first["nextCursor"].as_str().expect("more");
    let path = format!("/api/v1/assets/mart.daily/partitions?status=stale&limit=1&cursor={cursor}");
    assert_eq!(keys(&get(&client, &path).await), ["day=d:2024-01-02"]);
    let cursor = first_range["nextCursor"].as_str().expect("more");
    let path = format!("/api/v1/assets/mart.daily/partitions?format=ranges&cursor={cursor}");
    assert_eq!(get(&client, &path).await["data"][0]["start"], "day=d:2024-01-03");
    let stale = json!({"selection": ["mart.daily"], "partitionStatus": "stale"});
    ended(&client, &post(&client, "/api/v1/runs", stale, 201).await).await;
    let why = get(&client, "/api/v1/assets/mart.daily/explain?partition=day=2024-01-02").await;
    assert_eq!((why["state"].as_str(), &why["reasons"]), (Some("fresh"), &json!([])));

    let graph = get(&client, "/api/v1/asset-graph?root=mart.daily").await;
    let nodes: Vec<&str> = graph["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter_map(|node| node["assetKey"].as_str())
        .collect();
    assert_eq!(nodes, ["mart.daily", "mart.total", "raw.orders"]);
    assert_eq!(graph["edges"].as_array().map(Vec::len), Some(2));
    let up = get(&client, "/api/v1/asset-graph?root=mart.total&direction=upstream&depth=1").await;
    assert_eq!(up["edges"], json!([{"from": "mart.daily", "to": "mart.total", "mapping": "identity"}]));

    let listed = get(&client, "/api/v1/assets?schema=mart&status=missing").await;
    assert_eq!(
        (listed["data"].as_array().map(Vec::len), listed["data"][0]["assetKey"].as_str()),
        (Some(1), Some("mart.total"))
    );
    let held = call(
        &client,
        "PATCH",
        "/api/v1/assets/mart.total",
        json!({"paused": true, "options": {"attempts": 7}}),
    )
    .await;
    assert_eq!(
        (held.status, &held.json()["paused"], &held.json()["attempts"]),
        (200, &json!(true), &json!(7))
    );
    let (before, path) = (get(&client, "/api/v1/assets/mart.total").await, "/api/v1/assets/mart.total");
    let taken = json!({"paused": false, "options": {"attempts": 9}, "name": "daily"});
    let taken = call(&client, "PATCH", path, taken).await;
    assert_eq!(taken.status, 409, "{}", taken.text);
    assert_eq!(get(&client, path).await, before, "nothing of it was done");
    let commits = "SELECT count(*) FROM system.catalog.transactions WHERE operation = 'alter_asset'";
    let changed = client.number(commits).await;
    let all = json!({"paused": false, "options": {"attempts": 9}, "name": "sums"});
    let renamed = call(&client, "PATCH", path, all).await;
    assert_eq!((renamed.status, renamed.json()["assetKey"].as_str()), (200, Some("mart.sums")));
    assert_eq!(
        (&renamed.json()["paused"], &renamed.json()["attempts"], client.number(commits).await),
        (&json!(false), &json!(9), changed + 1),
        "one commit"
    );
    let refused = call(&client, "DELETE", "/api/v1/assets/mart.daily?cascade=true", Value::Null).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    let gone = call(&client, "DELETE", "/api/v1/assets/mart.sums?cascade=true", Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.text);

    let check = json!({"name": "small", "table": "mart.daily", "severity": "warning", "rule": "QUERY (SELECT * FROM mart.daily WHERE amount > 9)"});
    let check = post(&client, "/api/v1/checks", check, 201).await;
    let id = check["checkId"].as_str().expect("a check");
    let changed = call(&client, "PATCH", &format!("/api/v1/checks/{id}"), json!({"severity": "error"})).await;
    assert_eq!((changed.status, changed.json()["severity"].as_str()), (200, Some("error")));
    let listed = get(&client, "/api/v1/checks?table=mart.daily").await;
    assert_eq!(listed["data"][0]["checkId"].as_str(), Some(id));
    let keyed = async || {
        let headers = [("content-type", "application/json"), ("idempotency-key", "a check")];
        let body = json!({"sql": "CREATE CHECK whole ON mart.daily AS NOT NULL (ts)"}).to_string();
        client.send("POST", "/api/v1/sql", &headers, body).await.expect("an answer")
    };
    let (one, two) = (keyed().await, keyed().await);
    assert_eq!((one.status, two.status, &one.text), (200, 200, &two.text), "it is made once");
    let gone = call(&client, "DELETE", &format!("/api/v1/checks/{id}"), Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asset_says_by_path_what_it_read_what_changed_it_and_what_it_waits_for() {
    let node = TestNode::start().await;
    let client = node.client();
    let explained = async |asset: &str| get(&client, &format!("/api/v1/assets/mart.{asset}/explain")).await;
    for sql in [
        "CREATE SCHEMA raw",
        "CREATE SCHEMA mart",
        "CREATE TABLE raw.t (n BIGINT)",
        "INSERT INTO raw.t VALUES (1)",
        "CREATE ASSET mart.copied SCHEDULE '0 0 1 1 *' AS SELECT n FROM raw.t",
        "CREATE ASSET mart.second AS SELECT n FROM mart.copied",
        "CREATE ASSET mart.eager EAGER AS SELECT n FROM mart.copied",
        "ALTER ASSET mart.eager PAUSE",
    ] {
        client.sql(sql).await;
    }
    settles("the schedule to be looked at", PATIENCE, async || {
        explained("copied").await["nextTick"].as_str().is_some_and(|at| at.contains("-01-01T00:00:00"))
    })
    .await;
    let never = explained("copied").await;
    assert_eq!((never["state"].as_str(), &never["lastRun"]), (Some("missing"), &Value::Null));
    assert_eq!(never["reasons"][0]["code"], "NEVER_MATERIALIZED");
    assert_eq!(never["eager"], Value::Null);

    let first = json!({"selection": ["mart.second"], "includeUpstream": true});
    let first = ended(&client, &post(&client, "/api/v1/runs", first, 201).await).await;
    let fresh = explained("copied").await;
    assert_eq!((fresh["state"].as_str(), &fresh["reasons"]), (Some("fresh"), &json!([])));
    assert_eq!(
        (&fresh["lastRun"]["runId"], &fresh["lastRun"]["state"]),
        (&first["runId"], &json!("SUCCEEDED"))
    );
    assert_eq!((&fresh["lastRun"]["completedAt"], &fresh["openRun"]), (&first["completedAt"], &Value::Null));

    client.sql("INSERT INTO raw.t VALUES (2)").await;
    let inserted = client.number("SELECT max(txn) FROM snapshots('raw.t') WHERE operation = 'insert'").await;
    let reason = explained("copied").await["reasons"][0].clone();
    assert_eq!(
        (reason["code"].as_str(), reason["upstream"].as_str()),
        (Some("UPSTREAM_CHANGED"), Some("raw.t"))
    );
    assert_eq!(
        (&reason["currentTxn"], &reason["by"]),
        (&json!(inserted), &json!({"txn": inserted, "runId": null}))
    );
    assert!(reason["recordedTxn"].as_i64() < Some(inserted), "{reason}");

    // What a run has changed leads to that run.
    let again = post(&client, "/api/v1/runs", json!({"selection": ["mart.copied"]}), 201).await;
    let again = ended(&client, &again).await;
    let reason = explained("second").await["reasons"][0].clone();
    assert_eq!((reason["upstream"].as_str(), &reason["by"]["runId"]), (Some("mart.copied"), &again["runId"]));

    let eager = explained("eager").await["eager"].clone();
    assert_eq!(eager["verdict"], "paused");
    let conditions: Vec<(&str, bool)> = eager["conditions"]
        .as_array()
        .expect("conditions")
        .iter()
        .map(|one| (one["condition"].as_str().expect("a name"), one["met"].as_bool().expect("whether")))
        .collect();
    assert_eq!(conditions, [("upstream_changed", true), ("no_open_run", true), ("upstream_ready", true)]);
    assert_eq!(eager["conditions"][2]["detail"], "mart.copied is fresh");
    assert_eq!(eager["conditions"][2]["children"], json!([]));

    let endless = "SELECT sum(a.value % 7 + b.value % 5) AS n \
                   FROM generate_series(1, 1000000) AS a CROSS JOIN generate_series(1, 1000000) AS b";
    client.sql(&format!("CREATE OR REPLACE ASSET mart.second AS {endless}")).await;
    let open = post(&client, "/api/v1/runs", json!({"selection": ["mart.second"]}), 201).await;
    let running = explained("second").await;
    assert_eq!((running["state"].as_str(), &running["openRun"]["runId"]), (Some("running"), &open["runId"]));
    assert_eq!(running["lastRun"]["runId"], first["runId"], "the one before it that has ended");
    let cancel = format!("/api/v1/runs/{}/cancel", open["runId"].as_str().expect("a run"));
    post(&client, &cancel, Value::Null, 200).await;
    ended(&client, &open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_a_check_are_shown_by_pages_to_who_may_read_its_table() {
    let node = TestNode::start().await;
    let (client, other) = (node.client(), node.second_tenant("other").await);
    for sql in [
        "CREATE TABLE t (n BIGINT)",
        "INSERT INTO t VALUES (1)",
        "CREATE ASSET copied AS SELECT n FROM t",
        "CREATE CHECK two ON copied SEVERITY warning AS ROW COUNT >= 2",
        "MATERIALIZE ASSET copied WAIT",
        "INSERT INTO t VALUES (2)",
        "MATERIALIZE ASSET copied WAIT",
        "MATERIALIZE ASSET copied WAIT",
    ] {
        client.sql(sql).await;
    }
    let checks = get(&client, "/api/v1/checks").await;
    let path = format!("/api/v1/checks/{}/results", checks["data"][0]["checkId"].as_str().expect("a check"));
    let page = get(&client, &format!("{path}?limit=2")).await;
    let passed = |page: &Value| -> Vec<bool> {
        let results = page["data"].as_array().expect("results").iter();
        results.map(|result| result["passed"].as_bool().expect("whether")).collect()
    };
    assert_eq!(passed(&page), [true, true], "{page}");
    let cursor = page["nextCursor"].as_str().expect("more");
    let rest = get(&client, &format!("{path}?limit=2&cursor={cursor}")).await;
    assert_eq!((passed(&rest), &rest["nextCursor"]), (vec![false], &Value::Null), "{rest}");
    let first = &rest["data"][0];
    assert_eq!(
        (first["severity"].as_str(), first["taskKey"].as_str()),
        (Some("warning"), Some("default/copied/_"))
    );
    let stored =
        client.sql("SELECT run_id, txn, message FROM system.flow.check_results WHERE NOT passed").await;
    assert_eq!(
        [&first["runId"], &first["txn"], &first["message"]],
        [&stored[0][0], &stored[0][1], &stored[0][2]]
    );

    let (ada, bob) = (token(&client, "ada", &[]).await, token(&client, "bob", &[]).await);
    client.sql("GRANT RUN ON ASSET copied TO TOKEN ada").await;
    for (asker, status) in [(&ada, 403), (&bob, 404), (&other, 404)] {
        let answer = call(asker, "GET", &path, Value::Null).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    client.sql("GRANT SELECT ON ASSET copied TO TOKEN ada").await;
    assert_eq!(passed(&get(&ada, &path).await).len(), 3);
    for wrong in ["limit=0", "cursor=x", "colour=red"] {
        assert_eq!(
            call(&client, "GET", &format!("{path}?{wrong}"), Value::Null).await.status,
            400,
            "{wrong}"
        );
    }
}
