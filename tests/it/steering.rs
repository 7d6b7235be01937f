//! Pipelines over REST: the calls of clients that know Arroyo, with the keys and statuses that they look for.

use cenote_testkit::client::{Answer, Client};
use cenote_testkit::node::TestNode;
use cenote_testkit::{PATIENCE, settles};
use serde_json::{Value, json};
use tokio::task::JoinSet;

async fn call(client: &Client, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let path = format!("/api/v1{path}");
    client.send(method, &path, &[("content-type", "application/json")], body).await.expect("an answer")
}

async fn good(client: &Client, method: &str, path: &str, body: Value) -> Value {
    let answer = call(client, method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
    answer.json()
}

async fn has_state(client: &Client, path: &str, state: &str) {
    settles(&format!("{path} to be {state}"), PATIENCE, async || {
        good(client, "GET", path, Value::Null).await["state"] == state
    })
    .await;
}

const KEYS: [&str; 18] = [
    "id",
    "name",
    "query",
    "udfs",
    "checkpoint_interval_micros",
    "stop",
    "created_at",
    "action",
    "action_text",
    "action_in_progress",
    "graph",
    "preview",
    "state_url",
    "tags",
    "state",
    "epoch",
    "watermark",
    "lag",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_is_validated_made_stopped_rescaled_and_deleted_by_path() {
    let node = TestNode::start().await;
    let client = node.client();
    let query = "CREATE TABLE source WITH (connector = 'impulse', event_rate = 10); \
                 SELECT count(*) FROM source WHERE counter % 2 = 0 GROUP BY hop(INTERVAL '2 seconds', INTERVAL '10 seconds');";
    let valid = good(&client, "POST", "/pipelines/validate_query", json!({"query": query, "udfs": []})).await;
    assert_eq!(valid["errors"], json!([]));
    let nodes = valid["graph"]["nodes"].as_array().expect("nodes");
    assert!(
        nodes.iter().any(|node| node["description"].as_str().unwrap_or_default().contains("sink")),
        "{valid}"
    );
    let wrong = good(&client, "POST", "/pipelines/validate", json!({"query": "SELECT x FROM nowhere"})).await;
    assert_eq!(wrong["graph"], Value::Null);
    assert!(wrong["errors"][0]["message"].as_str().unwrap_or_default().contains("nowhere"), "{wrong}");

    let new = json!({"name": "p", "query": query, "parallelism": 1, "checkpoint_interval_micros": 1_000_000,
        "udfs": [], "tags": {"team": "x"}});
    let made = good(&client, "POST", "/pipelines", new.clone()).await;
    for key in KEYS {
        assert!(made.get(key).is_some(), "{key}: {made}");
    }
    assert_eq!((&made["query"], &made["checkpoint_interval_micros"]), (&json!(query), &json!(1_000_000)));
    assert_eq!((&made["tags"], &made["stop"]), (&json!({"team": "x"}), &json!("none")));
    let id = made["id"].as_str().expect("an id");
    assert!(id.starts_with("pl_") && id.len() == 29, "{id}");
    let path = format!("/pipelines/{id}");
    has_state(&client, &path, "running").await;

    let again = call(&client, "POST", "/pipelines", new).await;
    assert_eq!(again.status, 400, "{}", again.text);
    let bad = json!({"name": "q", "query": "INSERT INTO nowhere SELECT counter FROM source"});
    let bad = call(&client, "POST", "/pipelines", bad).await;
    assert_eq!(bad.status, 400);
    assert!(
        bad.json()["error"].as_str().unwrap_or_default().starts_with("Failed to plan query:\n"),
        "{}",
        bad.text
    );

    assert_eq!(call(&client, "DELETE", &path, Value::Null).await.status, 400, "it runs");
    let stopped = good(&client, "PATCH", &path, json!({"stop": "checkpoint"})).await;
    assert_eq!((&stopped["state"], &stopped["stop"]), (&json!("paused"), &json!("checkpoint")));
    good(&client, "PATCH", &path, json!({"stop": "none"})).await;
    has_state(&client, &path, "running").await;
    let rescaled = good(&client, "PATCH", &path, json!({"parallelism": 2})).await;
    let nodes = rescaled["graph"]["nodes"].as_array().expect("nodes");
    assert!(nodes.iter().all(|node| node["parallelism"] == 2), "{rescaled}");
    let too_short = call(&client, "PATCH", &path, json!({"checkpoint_interval_micros": 1_000})).await;
    assert_eq!(too_short.status, 400, "{}", too_short.text);

    let other = query.replace("count(*)", "sum(counter)");
    let dry = good(&client, "PATCH", &path, json!({"query": other, "dry_run": true})).await;
    assert!(dry["changes"].as_array().is_some_and(|changes| changes.len() == 3), "{dry}");
    settles("an epoch", PATIENCE, async || {
        good(&client, "GET", &path, Value::Null).await["epoch"].as_i64() > Some(0)
    })
    .await;
    let refused = call(&client, "PATCH", &path, json!({"query": other})).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("state does not fit"), "{}", refused.text);
    good(&client, "PATCH", &path, json!({"query": other, "state": "reset"})).await;
    has_state(&client, &path, "running").await;

    let listed = good(&client, "GET", "/pipelines?limit=1", Value::Null).await;
    assert_eq!((listed["data"].as_array().map(Vec::len), &listed["hasMore"]), (Some(1), &json!(false)));
    let after = good(&client, "GET", &format!("/pipelines?starting_after={id}"), Value::Null).await;
    assert_eq!(after, json!({"data": [], "hasMore": false}));

    for name in [
        "cenote_pipeline_epoch{",
        "cenote_pipeline_rows_total{",
        "cenote_pipeline_checkpoint_duration_seconds_count{",
        "cenote_pipeline_event_to_commit_seconds_count{",
        "cenote_pipeline_spilled_bytes{",
        "cenote_pipelines{",
    ] {
        // What began anew is counted from its first epoch on.
        settles(name, PATIENCE, async || {
            client.send("GET", "/metrics", &[], "").await.expect("an answer").text.contains(name)
        })
        .await;
    }
    let stranger = node.second_tenant("stranger").await;
    let theirs = stranger.send("GET", "/metrics", &[], "").await.expect("an answer").text;
    assert!(!theirs.contains("cenote_pipeline_epoch{"), "{theirs}");
    assert_eq!(call(&stranger, "GET", &path, Value::Null).await.status, 404);

    good(&client, "PATCH", &path, json!({"stop": "immediate"})).await;
    has_state(&client, &path, "paused").await;
    good(&client, "DELETE", &path, Value::Null).await;
    assert_eq!(call(&client, "GET", &path, Value::Null).await.status, 404);
    for (method, later) in [
        ("PUT", path.clone()),
        ("POST", format!("{path}/restart")),
        ("GET", format!("{path}/jobs")),
        ("GET", format!("{path}/jobs/j/errors")),
        ("GET", "/connectors".to_owned()),
        ("POST", "/connection_profiles".to_owned()),
        ("GET", "/connection_tables".to_owned()),
        ("POST", "/udfs/validate".to_owned()),
    ] {
        assert_eq!(call(&client, method, &later, Value::Null).await.status, 501, "{method} {later}");
    }
}

/// Takes events until one holds what is wanted.
async fn events(client: &Client, method: &str, path: &str, body: Value, wanted: &str) -> String {
    let url = format!("{}/api/v1{path}", client.url);
    let request =
        reqwest::Client::new().request(method.parse().expect("a method"), url).bearer_auth(&client.token);
    let mut response = request.body(body.to_string()).send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 200);
    let mut seen = String::new();
    while !seen.contains(wanted) {
        let piece = tokio::time::timeout(PATIENCE, response.chunk()).await.expect("in time").expect("whole");
        let piece = piece.unwrap_or_else(|| panic!("no {wanted:?} in {seen}"));
        seen.push_str(&String::from_utf8_lossy(&piece));
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_shown_without_a_trace_and_beside_a_pipeline_that_runs() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT)").await;
    client.sql("CREATE TABLE out (v BIGINT)").await;
    client.sql("INSERT INTO src VALUES (now()::TIMESTAMP, 'a', 1), (now()::TIMESTAMP, 'a', 2)").await;
    let script = "INSERT INTO out SELECT v * 10 FROM src; SELECT k, sum(v) AS total FROM src GROUP BY k";
    let seen = events(&client, "POST", "/pipelines/preview", json!({"query": script}), "total").await;
    assert!(seen.starts_with("event: graph\ndata: {"), "{seen}");
    let rows: Vec<Value> = seen
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    let of = |operator: &str| rows.iter().find(|row| row["operator_id"] == operator).expect(operator);
    let batch = |operator: &str| -> Value {
        serde_json::from_str(of(operator)["batch"].as_str().expect("a text")).expect("JSON")
    };
    assert_eq!(batch("sink_1").as_array().map(Vec::len), Some(2), "{rows:?}");
    assert_eq!(batch("sink_2"), json!([{"before": null, "after": {"k": "a", "total": 3}, "op": "c"}]));
    assert_eq!((&of("sink_1")["start_id"], &of("sink_1")["subtask_idx"]), (&json!(0), &json!(0)));
    assert_eq!(client.number("SELECT count(*) FROM out").await, 0, "nothing is written");
    settles("nothing to be held", PATIENCE, async || {
        client.number("SELECT count(*) FROM system.storage.holds").await == 0
    })
    .await;
    assert_eq!(
        client.number("SELECT count(*) FROM system.storage.producers WHERE producer LIKE 'pipeline%'").await,
        0
    );
    let sinks =
        call(&client, "POST", "/pipelines/preview", json!({"query": script, "enable_sinks": true})).await;
    assert_eq!(sinks.status, 501);

    let new = json!({"name": "p", "query": "SELECT v FROM src"});
    let made = good(&client, "POST", "/pipelines", new).await;
    let path = format!("/pipelines/{}", made["id"].as_str().expect("an id"));
    has_state(&client, &path, "running").await;
    let (looks_on, output) = (client.clone(), format!("{path}/output"));
    let mut looking = JoinSet::new();
    let shown = looking.spawn(async move { events(&looks_on, "GET", &output, Value::Null, "4711").await });
    settles("somebody to have looked on", PATIENCE, async || {
        client.sql("INSERT INTO src VALUES (now()::TIMESTAMP, 'b', 4711)").await;
        shown.is_finished()
    })
    .await;
    assert!(looking.join_next().await.expect("somebody").expect("rows").contains("4711"));
    client.sql("CREATE PIPELINE q AS INSERT INTO out SELECT v FROM src").await;
    let listed = good(&client, "GET", "/pipelines", Value::Null).await;
    let other =
        listed["data"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "q")).expect("q");
    let path = format!("/pipelines/{}/output", other["id"].as_str().expect("an id"));
    assert_eq!(call(&client, "GET", &path, Value::Null).await.status, 400);
}
