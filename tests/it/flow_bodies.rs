//! Bodies of the paths of assets and runs: both spellings, what is wrong with them, and the same twice under a key.

use cenote_testkit::node::TestNode;
use serde_json::{Value, json};

use crate::flow_paths::{call, ended, get, post, world};
use crate::rights::token;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_and_another_tenant_sees_nothing() {
    let node = TestNode::start().await;
    let (client, other) = (node.client(), node.second_tenant("other").await);
    world(&client).await;
    for (body, status, expected) in [
        (json!({"selection": []}), 400, "names no asset"),
        (json!({"selection": ["mart.nothing", "mart.none"]}), 404, "mart.none"),
        (json!({"selection": ["mart.daily"]}), 400, "has partitions: say which"),
        (json!({"selection": ["mart.daily"], "partitionKey": "month=2024-01"}), 400, "is of month"),
        (json!({"selection": ["mart.daily"], "partitionKey": "day=2023-12-31"}), 400, "before the first"),
        (
            json!({"selection": ["mart.daily"], "partitionKey": "day=2024-01-01", "partitionStatus": "stale"}),
            400,
            "said once",
        ),
        (json!({"selection": ["mart.total"], "partitionKey": "day=2024-01-01"}), 400, "has no partitions"),
        (json!({"selection": ["mart.total"], "colour": "red"}), 400, "unknown field `colour`"),
        (json!({"selection": ["mart.total"], "runKey": "a", "run_key": "b"}), 400, "given twice"),
        (json!({"selection": ["mart.total"], "labels": {"cenote.own": "x"}}), 400, "reserved"),
        (json!({"selection": ["mart.total"], "logicalTime": "yesterday"}), 400, "logicalTime must be a time"),
        (json!({"selection": ["mart.total"], "concurrency": 0}), 400, "at least 1"),
    ] {
        let answer = call(&client, "POST", "/api/v1/runs", body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(answer.text.contains(expected), "{body}: {}", answer.text);
    }
    let many: Vec<&str> = vec!["mart.total"; 1_001];
    let answer = call(&client, "POST", "/api/v1/runs", json!({"selection": many})).await;
    assert!(answer.status == 400 && answer.text.contains("at most 1000"), "{}", answer.text);
    assert_eq!(get(&client, "/api/v1/runs").await["data"], json!([]), "nothing was begun");
    for (path, expected) in [
        ("assets?status=sick", "status is one of missing, running, failed, stale, fresh"),
        ("assets?kind=python", "kind is one of sql"),
        ("runs?kind=sensor", "kind is one of asset"),
        ("runs?state=DONE", "state is one of PENDING, RUNNING"),
        ("assets/mart.daily/partitions?status=sick", "status is one of"),
        ("assets/mart.daily/partitions?format=text", "format is one of keys, ranges"),
        ("assets/mart.daily?colour=red", "colour"),
        ("assets/mart.daily/partitions/summary?colour=red", "colour"),
        ("assets?cursor=eHh4", "cursor is none"),
    ] {
        let answer = call(&client, "GET", &format!("/api/v1/{path}"), Value::Null).await;
        assert!(answer.status == 400 && answer.text.contains(expected), "{path}: {}", answer.text);
    }
    let nobody = "00000000-0000-0000-0000-000000000000";
    for (method, path) in [
        ("PUT", "assets/mart.daily".to_owned()),
        ("PATCH", "assets/mart.daily".to_owned()),
        ("POST", "checks".to_owned()),
        ("PATCH", format!("checks/{nobody}")),
        ("DELETE", format!("checks/{nobody}")),
        ("GET", format!("runs/{nobody}")),
        ("GET", format!("runs/{nobody}/explain")),
        ("POST", format!("runs/{nobody}/cancel")),
        ("POST", format!("runs/{nobody}/pause")),
        ("POST", format!("runs/{nobody}/resume")),
        ("POST", format!("runs/{nobody}/rerun")),
    ] {
        let answer = call(&client, method, &format!("/api/v1/{path}?colour=red"), json!({})).await;
        assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text);
        assert!(answer.text.contains("unknown parameter \\\"colour\\\""), "{method} {path}: {}", answer.text);
    }
    let made = post(&client, "/api/v1/runs", json!({"selection": ["mart.total"]}), 201).await;
    let run = ended(&client, &made).await;
    let id = run["runId"].as_str().expect("a run");
    let answer = call(&client, "GET", &format!("/api/v1/runs/{id}/tasks?state=READY"), Value::Null).await;
    assert!(answer.status == 400 && answer.text.contains("QUEUED"), "{}", answer.text);
    for path in ["/api/v1/runs", "/api/v1/assets", "/api/v1/checks"] {
        assert_eq!(get(&other, path).await["data"], json!([]), "{path}");
    }
    assert_eq!(get(&other, "/api/v1/asset-graph").await, json!({"nodes": [], "edges": []}));
    for (method, path) in [
        ("GET", format!("/api/v1/runs/{id}")),
        ("GET", format!("/api/v1/runs/{id}/tasks")),
        ("GET", format!("/api/v1/runs/{id}/explain")),
        ("POST", format!("/api/v1/runs/{id}/cancel")),
        ("POST", format!("/api/v1/runs/{id}/pause")),
        ("POST", format!("/api/v1/runs/{id}/resume")),
        ("POST", format!("/api/v1/runs/{id}/rerun")),
        ("GET", "/api/v1/tables/mart.daily/provenance".to_owned()),
        ("GET", "/api/v1/assets/mart.daily".to_owned()),
        ("GET", "/api/v1/assets/mart.daily/explain".to_owned()),
        ("GET", "/api/v1/assets/mart.daily/runs".to_owned()),
        ("GET", "/api/v1/assets/mart.daily/partitions".to_owned()),
        ("GET", "/api/v1/assets/mart.daily/partitions/summary".to_owned()),
        ("DELETE", "/api/v1/assets/mart.daily".to_owned()),
    ] {
        let answer = call(&other, method, &path, Value::Null).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
    }
    for path in ["/api/v1/backfills", "/api/v1/sensors/x", "/api/v1/queues"] {
        assert_eq!(call(&client, "GET", path, Value::Null).await.status, 501, "{path}");
    }
}

/// Names of members as the other spelling has them; what stands in `labels` and `options` is the caller's own.
fn in_snake_case(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let renamed = members.iter().map(|(name, value)| {
                let mut snake = String::new();
                for letter in name.chars() {
                    if letter.is_ascii_uppercase() {
                        snake.push('_');
                    }
                    snake.push(letter.to_ascii_lowercase());
                }
                let own = ["labels", "options"].contains(&name.as_str());
                (snake, if own { value.clone() } else { in_snake_case(value) })
            });
            Value::Object(renamed.collect())
        }
        Value::Array(values) => values.iter().map(in_snake_case).collect(),
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_body_is_taken_in_both_spellings_and_objects_have_the_members_of_the_page() {
    let node = TestNode::start().await;
    let client = node.client();
    world(&client).await;
    for body in [
        json!({"selection": ["mart.total"], "includeUpstream": true, "concurrency": 2}),
        json!({"selection": ["mart.daily"], "includeDownstream": true, "partitionKey": "day=2024-01-01"}),
        json!({"selection": ["mart.daily"], "partitionKeys": ["day=2024-01-01", "day=2024-01-03"], "priority": 3}),
        json!({"selection": ["mart.daily"], "partitionRange": {"start": "day=2024-01-01", "end": "day=2024-01-03"},
            "chunk": 2, "runKey": "planned", "labels": {"teamName": "mart"}, "logicalTime": "2024-02-01T00:00:00Z",
            "timeoutSeconds": 60}),
        json!({"selection": ["mart.daily"], "partitionStatus": "missing"}),
    ] {
        let snake = in_snake_case(&body);
        assert_ne!(snake, body);
        let planned = post(&client, "/api/v1/runs?dry_run=true", body.clone(), 200).await;
        assert!(planned["tasks"].as_array().is_some_and(|tasks| !tasks.is_empty()), "{body}: {planned}");
        assert_eq!(post(&client, "/api/v1/runs?dry_run=true", snake, 200).await, planned, "{body}");
    }
    let whole = json!({"selection": ["mart.total"], "includeUpstream": true});
    ended(&client, &post(&client, "/api/v1/runs", whole, 201).await).await;
    let recipe = json!({
        "query": "SELECT ts, amount FROM raw.orders",
        "partition": {"column": "ts", "period": "day", "start": "2024-01-01"},
        "dependsOn": [{"table": "raw.orders", "mapping": "all"}],
        "schedule": {"cron": "0 0 1 1 *", "timezone": "Europe/Rome", "ifStale": true},
        "options": {"retry_backoff": "10s"},
    });
    let mut shown = Vec::new();
    for body in [recipe.clone(), in_snake_case(&recipe)] {
        let made = call(&client, "PUT", "/api/v1/assets/mart.copied", body).await;
        assert_eq!(made.status, 200, "{}", made.text);
        let mut asset = made.json();
        asset["version"] = Value::Null;
        shown.push(asset);
    }
    assert_eq!(shown[0], shown[1]);
    assert_eq!(
        (&shown[0]["schedule"]["ifStale"], &shown[0]["dependsOn"][0]["mapping"]),
        (&json!(true), &json!("all"))
    );
    let twice = json!({"query": "SELECT 1 AS n", "dependsOn": [], "depends_on": []});
    let twice = call(&client, "PUT", "/api/v1/assets/mart.copied", twice).await;
    assert!(twice.status == 400 && twice.text.contains("depends_on is given twice"), "{}", twice.text);

    let has = |object: &Value, members: &str| {
        for member in members.split(", ") {
            assert!(object.get(member).is_some(), "{member}: {object}");
        }
    };
    let listed = get(&client, "/api/v1/runs").await["data"][0].clone();
    let of_run = "runId, kind, workspaceId, planId, state, trigger, labels, createdAt, startedAt, completedAt, \
                  parentRunId, rerunKind, snapshotTxn";
    has(&listed, of_run);
    has(&listed, "taskCount, tasksSucceeded, tasksFailed");
    let run = get(&client, &format!("/api/v1/runs/{}", listed["runId"].as_str().expect("a run"))).await;
    has(&run, of_run);
    has(&run["taskCounts"], "total, pending, queued, running, succeeded, failed, skipped, cancelled");
    let of_task = "taskKey, assetKey, partitions, state, attempt, startedAt, completedAt, errorMessage, waiting, \
                   outputTxn, rows, retryAttribution, skipAttribution";
    has(&run["tasks"][0], of_task);
    let of_partition = "assetKey, partitionKey, status, staleReason, lastMaterializationAt, \
                        lastMaterializationRunId, outputTxn";
    has(&get(&client, "/api/v1/assets/mart.daily/partitions").await["data"][0], of_partition);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_made_once_under_a_key_and_where_none_is_kept_it_is_refused() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE t (n BIGINT)").await;
    token(&client, "ada", &[]).await;
    let keyed = async |key: &str, method: &str, path: &str, body: &Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        client.send(method, &format!("/api/v1{path}"), &headers, body).await.expect("an answer")
    };
    let ada = json!({"kind": "token", "name": "ada"});
    let grant = json!({"principal": {"kind": "role", "name": "r"}, "privileges": ["SELECT"],
        "object": {"kind": "table", "name": "default.t"}});
    let check = json!({"name": "c", "table": "default.a", "rule": "UNIQUE (n)"});
    let mut made = None;
    for (at, (method, path, body, status)) in [
        (
            "PUT",
            "/assets/default.a",
            json!({"query": "SELECT n FROM t", "dependsOn": [{"table": "default.t"}]}),
            200,
        ),
        ("PATCH", "/assets/default.a", json!({"options": {"attempts": 5}}), 200),
        ("POST", "/checks", check, 201),
        ("PATCH", "/checks/{check}", json!({"severity": "warning"}), 200),
        ("DELETE", "/checks/{check}", Value::Null, 204),
        ("DELETE", "/assets/default.a?cascade=true", Value::Null, 204),
        ("POST", "/roles", json!({"name": "r"}), 201),
        ("POST", "/roles/r/members", ada.clone(), 201),
        ("POST", "/grants", grant.clone(), 201),
        ("DELETE", "/grants", grant, 204),
        ("DELETE", "/roles/r/members", ada, 204),
        ("DELETE", "/roles/r", Value::Null, 204),
    ]
    .into_iter()
    .enumerate()
    {
        let (key, path) = (format!("key {at}"), path.replace("{check}", made.as_deref().unwrap_or("")));
        let ask = async |body: &Value| keyed(&key, method, &path, body).await;
        let (one, two) = tokio::join!(ask(&body), ask(&body));
        assert_eq!((one.status, two.status), (status, status), "{method} {path}: {} {}", one.text, two.text);
        assert_eq!(one.text, two.text, "{method} {path}: twins get one answer");
        let head = node.head().await;
        let again = ask(&in_snake_case(&body)).await;
        assert_eq!((again.status, &again.text), (status, &one.text), "{method} {path}");
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{method} {path}");
        assert_eq!(node.head().await, head, "{method} {path}: nothing is done again");
        let other = keyed(&key, "POST", "/roles", &json!({"name": "another"})).await;
        assert_eq!(
            (other.status, other.json()["reason"].clone()),
            (409, json!("idempotency_conflict")),
            "{}",
            other.text
        );
        if path == "/checks" {
            made = one.json()["checkId"].as_str().map(str::to_owned);
        }
    }
    // An error uses up no key.
    assert_eq!(keyed("free", "DELETE", "/roles/r", &Value::Null).await.status, 404);
    assert_eq!(keyed("free", "POST", "/roles", &json!({"name": "r"})).await.status, 201);
    let nobody = "00000000-0000-0000-0000-000000000000";
    for (method, path) in [
        ("POST", "/auth/tokens".to_owned()),
        ("PATCH", "/auth/tokens/1".to_owned()),
        ("DELETE", "/auth/tokens/1".to_owned()),
        ("POST", "/auth/tokens/1/rotate".to_owned()),
        ("POST", "/auth/tokens/1/revoke".to_owned()),
        ("POST", "/tenants".to_owned()),
        ("PATCH", "/tenants/x".to_owned()),
        ("DELETE", "/tenants/x".to_owned()),
        ("POST", "/tenants/x/tokens".to_owned()),
        ("POST", "/holds".to_owned()),
        ("POST", format!("/holds/{nobody}")),
        ("DELETE", format!("/holds/{nobody}")),
        ("POST", "/jobs/compact/run".to_owned()),
        ("POST", "/jobs/compact/enable".to_owned()),
        ("POST", "/jobs/compact/disable".to_owned()),
        ("POST", format!("/runs/{nobody}/cancel")),
        ("POST", format!("/runs/{nobody}/pause")),
        ("POST", format!("/runs/{nobody}/resume")),
    ] {
        let answer = keyed("none", method, &path, &json!({"name": "x"})).await;
        assert!(
            answer.status == 501 && answer.text.contains("Idempotency-Key"),
            "{method} {path}: {}",
            answer.text
        );
    }
}
