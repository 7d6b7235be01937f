//! The graph of lineage over HTTP: what each sees of it, far and near, now and before.

use cenote_testkit::client::Client;
use cenote_testkit::node::TestNode;
use serde_json::{Value, json};

async fn get(client: &Client, path: &str) -> (u16, Value) {
    let answer = client.send("GET", &format!("/api/v1/lineage/{path}"), &[], "").await.expect("an answer");
    (answer.status, answer.json())
}

/// Names of the ends of edges, with their hop and type.
fn edges(answer: &Value, direction: &str) -> Vec<String> {
    let name = |id: &Value| {
        let nodes = answer["nodes"].as_array().expect("nodes");
        let node = nodes.iter().find(|node| node["id"] == *id).expect("each end is a node");
        node["name"].as_str().unwrap_or("?").to_owned()
    };
    let edges = answer[direction].as_array().expect("edges").iter();
    edges
        .map(|edge| {
            let kind = edge["edge_type"].as_str().expect("a type");
            format!("{} {} {kind} {}", edge["hop"], name(&edge["source"]), name(&edge["target"]))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_is_walked_as_far_as_asked_and_hides_what_the_caller_may_not_read() {
    let node = TestNode::start().await;
    let client = node.client();
    for sql in [
        "CREATE SCHEMA open",
        "CREATE TABLE first (id BIGINT, amount BIGINT)",
        "INSERT INTO first VALUES (1, 2)",
        "CREATE TABLE chosen (id BIGINT)",
        "INSERT INTO chosen VALUES (1)",
        "CREATE TABLE second AS SELECT id, amount FROM first WHERE id IN (SELECT id FROM chosen)",
        "CREATE TABLE open.third AS SELECT * FROM second",
        "CREATE TABLE open.fourth AS SELECT sum(amount) AS total FROM open.third",
    ] {
        client.sql(sql).await;
    }
    let (status, near) = get(&client, "second").await;
    assert_eq!(status, 200, "{near}");
    assert_eq!(
        edges(&near, "upstream"),
        ["1 default.first derives_from default.second", "1 default.chosen filters default.second"]
    );
    assert_eq!(edges(&near, "downstream"), ["1 default.second copies open.third"]);
    assert_eq!(near["truncated"], false);

    let (_, far) = get(&client, "open.fourth?direction=upstream&depth=100&columns=true").await;
    assert_eq!(edges(&far, "upstream").len(), 4);
    assert_eq!(edges(&far, "downstream"), Vec::<String>::new());
    let columns = far["columns"].as_array().expect("columns");
    assert!(columns.contains(&json!({
        "source": {"table": far["upstream"][0]["source"], "table_name": "open.third", "column": "amount"},
        "target": {"table": far["upstream"][0]["target"], "table_name": "open.fourth", "column": "total"},
        "kind": "direct",
        "subtype": "aggregation",
    })));
    let before = near["upstream"][0]["first_txn"].as_i64().expect("a number") - 1;
    assert_eq!(
        edges(&get(&client, &format!("second?as_of={before}")).await.1, "upstream"),
        Vec::<String>::new()
    );
    assert_eq!(get(&client, "open.fourth?depth=100&max_nodes=2").await.1["truncated"], true);

    let (_, column) = get(&client, "open.fourth/columns/total?direction=upstream&depth=9").await;
    let origins: Vec<String> = column["upstream"]
        .as_array()
        .expect("edges")
        .iter()
        .map(|edge| {
            format!(
                "{} {}.{} {}",
                edge["hop"],
                edge["source"]["table_name"].as_str().unwrap_or("?"),
                edge["source"]["column"].as_str().unwrap_or("?"),
                edge["subtype"].as_str().unwrap_or("?")
            )
        })
        .collect();
    assert_eq!(
        origins,
        [
            "1 open.third.amount aggregation",
            "2 default.second.amount identity",
            "3 default.first.id join",
            "3 default.first.amount identity",
            "3 default.chosen.id join",
        ]
    );

    for (path, status) in [
        ("nothing", 404),
        ("second/columns/nothing", 404),
        ("second?depth=0", 400),
        ("second?depth=101", 400),
        ("second?direction=left", 400),
        ("second?as_of=999999", 400),
        ("second?as_of=yesterday", 400),
        ("second?max_nodes=0", 400),
    ] {
        assert_eq!(get(&client, path).await.0, status, "{path}");
    }

    let body = json!({"name": "narrow", "permissions": [], "grants": [{"database": "open", "permissions": ["read"]}]});
    let made = client.send("POST", "/api/v1/auth/tokens", &[], body.to_string()).await.expect("an answer");
    let narrow = client.with_token(made.json()["token"].as_str().expect("a secret"));
    assert_eq!(get(&narrow, "second").await.0, 404);
    let (status, seen) = get(&narrow, "open.third?depth=5").await;
    assert_eq!(status, 200, "{seen}");
    assert_eq!(edges(&seen, "upstream"), ["1 ? copies open.third", "2 ? derives_from ?", "2 ? filters ?"]);
    assert_eq!(edges(&seen, "downstream"), ["1 open.third derives_from open.fourth"]);
    assert!(!seen.to_string().contains("default."), "{seen}");
}

async fn provenance(client: &Client, path: &str) -> (u16, Value) {
    let path = format!("/api/v1/tables/{path}");
    let answer = client.send("GET", &path, &[], "").await.expect("an answer");
    (answer.status, answer.json())
}

/// Hop and table of each commit, with what it read.
fn commits(answer: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let commit = |commit: &Value| {
        let inputs = commit["inputs"].as_array().expect("inputs").iter();
        let inputs: Vec<String> = inputs.map(|input| text(&input["name"])).collect();
        format!("{} {} <- {}", commit["hop"], text(&commit["name"]), inputs.join(", "))
    };
    answer["commits"].as_array().expect("commits").iter().map(commit).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_led_back_to_the_commits_that_made_what_it_read() {
    let node = TestNode::start().await;
    let client = node.client();
    for sql in [
        "CREATE SCHEMA open",
        "CREATE TABLE first (n BIGINT)",
        "CREATE TABLE second (n BIGINT)",
        "CREATE TABLE open.third (n BIGINT)",
        "INSERT INTO first VALUES (1)",
        "INSERT INTO second SELECT n FROM first",
    ] {
        client.sql(sql).await;
    }
    let early = client.number("SELECT max(txn) FROM snapshots('second')").await;
    for sql in [
        "INSERT INTO first VALUES (2)",
        "INSERT INTO open.third SELECT n FROM second",
        "INSERT INTO second SELECT n + 10 FROM first",
        // Around: what the third was made of is made of the third.
        "INSERT INTO first SELECT n FROM open.third",
    ] {
        client.sql(sql).await;
    }
    let (status, near) = provenance(&client, "open.third/provenance").await;
    assert_eq!(status, 200, "{near}");
    assert_eq!(commits(&near), ["1 open.third <- default.second"]);
    assert_eq!(near["commits"][0]["inputs"][0]["made_by"], json!(early), "{near}");
    let (_, far) = provenance(&client, "open.third/provenance?depth=100").await;
    assert_eq!(
        commits(&far),
        ["1 open.third <- default.second", "2 default.second <- default.first", "3 default.first <- "]
    );
    let code = far["commits"][0]["code_id"].as_str().expect("a code");
    assert_eq!((code.len(), far["truncated"].as_bool()), (64, Some(false)), "{far}");
    // Of now, over the cycle: each commit once.
    let (_, around) = provenance(&client, "first/provenance?depth=100").await;
    assert_eq!(
        commits(&around),
        [
            "1 default.first <- open.third",
            "2 open.third <- default.second",
            "3 default.second <- default.first",
            "4 default.first <- "
        ]
    );
    let (_, before) = provenance(&client, &format!("second/provenance?depth=9&txn={early}")).await;
    assert_eq!(commits(&before), ["1 default.second <- default.first", "2 default.first <- "]);
    assert_eq!(before["txn"], json!(early));
    let (_, nothing) = provenance(&client, "second/provenance?txn=1").await;
    assert_eq!(commits(&nothing), Vec::<String>::new());
    let rows = client
        .sql(&format!(
            "SELECT hop, table_name, operation, input, hidden FROM provenance('second', {early}, 9)"
        ))
        .await;
    assert_eq!(
        json!(rows),
        json!([
            [1, "default.second", "insert", "default.first", false],
            [2, "default.first", "insert", null, false]
        ])
    );
    for (path, status) in [
        ("nothing/provenance", 404),
        ("second/provenance?depth=0", 400),
        ("second/provenance?depth=101", 400),
        ("second/provenance?txn=999999", 400),
        ("second/provenance?txn=soon", 400),
        ("second/provenance?colour=red", 400),
    ] {
        assert_eq!(provenance(&client, path).await.0, status, "{path}");
    }

    let narrow = crate::rights::token(&client, "narrow", &[]).await;
    client.sql("GRANT SELECT ON TABLE open.third TO TOKEN narrow").await;
    assert_eq!(provenance(&narrow, "second/provenance").await.0, 404);
    let (status, seen) = provenance(&narrow, "open.third/provenance?depth=9").await;
    assert_eq!(status, 200, "{seen}");
    assert_eq!(commits(&seen), ["1 open.third <- ?", "2 ? <- ?", "3 ? <- "]);
    assert!(!seen.to_string().contains("default."), "{seen}");
    assert_eq!(seen["commits"][1]["operation"], Value::Null, "{seen}");
    assert_eq!(seen["commits"][0]["inputs"][0]["node"], seen["commits"][1]["table"], "the path is whole");
    let rows =
        narrow.sql("SELECT table_name, operation, input FROM provenance('open.third', depth => 9)").await;
    assert_eq!(
        json!(rows),
        json!([
            ["open.third", "insert", "hidden 1"],
            ["hidden 1", null, "hidden 2"],
            ["hidden 2", null, null]
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn long_chains_and_cycles_are_answered_whole() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE t00 (n BIGINT)").await;
    client.sql("INSERT INTO t00 VALUES (1)").await;
    for hop in 1..=25 {
        client.sql(&format!("CREATE TABLE t{hop:02} AS SELECT n FROM t{:02}", hop - 1)).await;
    }
    let walked = async |depth: u32, more: &str| {
        let path = format!("t00?direction=downstream&depth={depth}{more}");
        let (status, answer) = get(&client, &path).await;
        assert_eq!(status, 200, "{answer}");
        (
            edges(&answer, "downstream"),
            answer["truncated"] == json!(true),
            answer["nodes"].as_array().map_or(0, Vec::len),
        )
    };
    let (chain, truncated, nodes) = walked(20, "").await;
    assert_eq!((chain.len(), truncated, nodes), (20, false, 21));
    assert_eq!(chain[19], "20 default.t19 copies default.t20");
    let (chain, truncated, nodes) = walked(100, "").await;
    assert_eq!((chain.len(), truncated, nodes), (25, false, 26));
    assert!(walked(100, "&max_nodes=10").await.1, "a cap was hit");
    // The end leads back to the beginning; what was just committed is in the next answer.
    client.sql("INSERT INTO t00 SELECT n FROM t25").await;
    for depth in [26, 100] {
        let (cycle, truncated, nodes) = walked(depth, "").await;
        assert_eq!((cycle.len(), truncated, nodes), (26, false, 26), "depth {depth}");
        assert_eq!(cycle[25], "26 default.t25 copies default.t00");
    }
    let (_, back) = get(&client, "t00?direction=upstream&depth=100").await;
    assert_eq!(edges(&back, "upstream").len(), 26);
    let (_, columns) = get(&client, "t00/columns/n?depth=100").await;
    assert_eq!(
        (columns["downstream"].as_array().map(Vec::len), &columns["truncated"]),
        (Some(26), &json!(false))
    );
    client.sql("INSERT INTO t00 SELECT n FROM t25").await;
    let (_, again) = get(&client, "t25").await;
    assert_eq!(again["downstream"][0]["commits"], 2);
}
