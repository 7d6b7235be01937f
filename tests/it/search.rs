//! Search finds what its caller may see, the best first, a page at a time.

use cenote_testkit::client::Client;
use cenote_testkit::node::TestNode;
use serde_json::{Value, json};

async fn search(client: &Client, parameters: &str) -> (u16, Value) {
    let answer =
        client.send("GET", &format!("/api/v1/search?{parameters}"), &[], "").await.expect("an answer");
    (answer.status, answer.json())
}

fn shown(one: &Value) -> String {
    format!("{} {}", one["type"].as_str().expect("a type"), one["path"].as_str().expect("a path"))
}

/// Type and path of what is found, in order.
async fn paths(client: &Client, parameters: &str) -> Vec<String> {
    let (status, answer) = search(client, parameters).await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["results"].as_array().expect("results");
    results.iter().map(shown).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_what_its_caller_may_see_best_first_and_by_pages() {
    let node = TestNode::start().await;
    let client = node.client();
    for sql in [
        "CREATE SCHEMA secret",
        "CREATE TABLE cpu (time TIMESTAMP, \"hostName\" TEXT, usage DOUBLE)",
        "CREATE TABLE cpu_by_host (host TEXT, mean DOUBLE)",
        "CREATE TABLE secret.host (id BIGINT)",
        "CREATE VIEW hosts AS SELECT \"hostName\" FROM cpu",
        "CREATE MATERIALIZED VIEW host_usage WITH (wait = true) AS SELECT count(*) AS n FROM cpu",
        "CREATE PIPELINE copy_hosts WITH (desired = 'paused') AS INSERT INTO cpu_by_host SELECT \"hostName\", usage FROM cpu",
        "CREATE SCHEMA mart",
        "CREATE ASSET mart.monthly WITH (description = 'revenue of all') AS SELECT count(*) AS n FROM cpu",
        "CREATE ASSET secret.monthly_plan AS SELECT count(*) AS n FROM cpu",
    ] {
        client.sql(sql).await;
    }
    let tables = [
        "table secret.host",
        "table default.cpu_by_host",
        "table default.host_usage",
        "table default.hosts",
        "table default.cpu",
    ];
    assert_eq!(paths(&client, "q=host&types=table").await, tables, "the very name, names, then columns");
    assert_eq!(
        paths(&client, "q=host+na&types=column").await,
        ["column default.cpu.hostName", "column default.hosts.hostName"]
    );
    assert_eq!(
        paths(&client, "q=cpu+host&types=table").await,
        ["table default.cpu_by_host", "table default.cpu"]
    );
    assert_eq!(paths(&client, "q=SECRET").await, ["schema secret"]);
    assert_eq!(paths(&client, "q=copy").await, ["pipeline default.copy_hosts"]);
    assert_eq!(paths(&client, "q=compac&types=job,table").await, ["job compact"]);
    assert_eq!(
        paths(&client, "q=monthly&types=asset,job").await,
        ["asset mart.monthly", "asset secret.monthly_plan"]
    );
    assert_eq!(paths(&client, "q=revenue").await, ["asset mart.monthly"], "by its description");
    assert!(paths(&client, "q=nothing").await.is_empty());

    let (mut page, mut seen) = ("q=host&limit=2".to_owned(), Vec::new());
    loop {
        let (_, answer) = search(&client, &page).await;
        let results = answer["results"].as_array().expect("results");
        assert!(results.len() <= 2);
        seen.extend(results.iter().map(shown));
        let Some(next) = answer["next_cursor"].as_str() else { break };
        page = format!("q=host&limit=2&cursor={next}");
    }
    assert_eq!(seen, paths(&client, "q=host&limit=100").await);

    let body = json!({"name": "narrow", "permissions": [], "grants": [{"database": "default", "measurement": "cpu_by_host", "permissions": ["read"]}]});
    let made =
        client.send("POST", "/api/v1/auth/tokens", &[], body.to_string()).await.expect("an answer").json();
    let narrow = client.with_token(made["token"].as_str().expect("a secret"));
    assert_eq!(
        paths(&narrow, "q=host").await,
        ["column default.cpu_by_host.host", "table default.cpu_by_host"]
    );

    assert!(paths(&narrow, "q=monthly").await.is_empty());
    client.sql("GRANT SELECT ON ASSET mart.monthly TO TOKEN narrow").await;
    assert_eq!(paths(&narrow, "q=monthly").await, ["table mart.monthly", "asset mart.monthly"]);
    let stranger = node.second_tenant("stranger").await;
    assert!(paths(&stranger, "q=monthly").await.is_empty());

    for (parameters, part) in [
        ("q=", "q must hold a word"),
        ("q=x", "q must hold a word"),
        ("q=host&types=tables", "unknown type \\\"tables\\\""),
        ("q=host&limit=0", "limit must be 1 to 100"),
        ("q=host&cursor=abc", "cursor is not one of this search"),
        ("q=host&colour=red", "colour"),
    ] {
        let (status, answer) = search(&client, parameters).await;
        assert!(status == 400 && answer.to_string().contains(part), "{parameters}: {status} {answer}");
    }
}
