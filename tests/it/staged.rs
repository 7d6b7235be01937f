//! Rows that a check keeps out of a table: no reader of the table sees one, and who may read the table can look at them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cenote_testkit::client::Client;
use cenote_testkit::node::TestNode;
use serde_json::json;

use crate::rights::{outcome, token};

/// Runs an asset to its end; answers the run and how its task ended.
async fn materialize(client: &Client, asset: &str) -> (String, String) {
    let tasks = client.sql(&format!("MATERIALIZE ASSET {asset} WAIT")).await;
    let text = |at: usize| tasks[0][at].as_str().expect("a text").to_owned();
    (text(0), text(3))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reader_sees_a_row_that_a_check_refuses_and_staged_shows_it() {
    let node = TestNode::start().await;
    let client = node.client();
    for sql in [
        "CREATE TABLE raw (n BIGINT, text TEXT)",
        "INSERT INTO raw VALUES (1, 'good')",
        "CREATE ASSET clean AS SELECT n, text FROM raw",
        "CREATE CHECK signs ON clean AS QUERY (SELECT * FROM clean WHERE n < 0)",
        "CREATE CHECK few ON clean SEVERITY warning AS ROW COUNT >= 1 AND <= 1",
    ] {
        client.sql(sql).await;
    }
    assert_eq!(materialize(&client, "clean").await.1, "SUCCEEDED");

    let stop = Arc::new(AtomicBool::new(false));
    let reader = async |client: Client, stop: Arc<AtomicBool>| {
        let mut looks = 0;
        while !stop.load(Ordering::Relaxed) {
            let rows = client.sql("SELECT count(*), count(*) FILTER (WHERE n < 0) FROM clean").await;
            assert_eq!(json!(rows), json!([[1, 0]]));
            looks += 1;
        }
        looks
    };
    let writes = async {
        let mut runs = Vec::new();
        // A few rows stay in the catalog, many are objects of the store.
        client.sql("INSERT INTO raw VALUES (-1, 'bad')").await;
        runs.push(materialize(&client, "clean").await);
        client.sql("INSERT INTO raw SELECT -value, repeat('x', 200) FROM generate_series(2, 20000)").await;
        runs.push(materialize(&client, "clean").await);
        stop.store(true, Ordering::Relaxed);
        runs
    };
    let (looks, runs) = tokio::join!(reader(client.clone(), stop.clone()), writes);
    assert!(looks > 1, "it looked meanwhile");
    let states: Vec<&str> = runs.iter().map(|(_, state)| state.as_str()).collect();
    assert_eq!(states, ["FAILED", "FAILED"]);
    let [(few, _), (many, _)] = runs.as_slice() else { panic!("two runs") };
    let rows = client.sql(&format!("SELECT n, text FROM staged('default.clean', '{few}') ORDER BY n")).await;
    assert_eq!(json!(rows), json!([[-1, "bad"], [1, "good"]]));
    let count = format!("SELECT count(*) FROM staged('clean', run => '{many}') WHERE n < 0");
    assert_eq!(client.number(&count).await, 20_000);
    // What is kept is no orphan, and none of the table's: neither collection nor compaction touches it.
    client.sql("VACUUM ALL KEEP 0 HOURS FORCE").await;
    client.sql("OPTIMIZE clean").await;
    assert_eq!(client.number(&count).await, 20_000);

    // A column that came later is NULL in rows of before.
    client.sql("ALTER TABLE clean ADD COLUMN more BIGINT").await;
    let rows = client.sql(&format!("SELECT n, more FROM staged('clean', '{few}') ORDER BY n LIMIT 1")).await;
    assert_eq!(json!(rows), json!([[-1, null]]));

    // A warning publishes, and is noted.
    client.sql("DROP CHECK signs ON clean").await;
    let (run, state) = materialize(&client, "clean").await;
    assert_eq!(state, "SUCCEEDED");
    assert_eq!(client.number("SELECT count(*) FROM clean WHERE n < 0").await, 20_000);
    let noted = format!("SELECT severity, passed FROM system.flow.check_results WHERE run_id = '{run}'");
    assert_eq!(json!(client.sql(&noted).await), json!([["warning", false]]));
    let (_, state, text) = outcome(&client, &format!("SELECT * FROM staged('clean', '{run}')")).await;
    assert_eq!(state, "42704", "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_staged_is_shown_to_who_may_read_the_table() {
    let node = TestNode::start().await;
    let (client, other) = (node.client(), node.second_tenant("other").await);
    for sql in [
        "CREATE TABLE raw (n BIGINT)",
        "INSERT INTO raw VALUES (-1)",
        "CREATE ASSET clean AS SELECT n FROM raw",
        "CREATE ASSET elsewhere AS SELECT n FROM raw",
        "CREATE CHECK signs ON clean AS QUERY (SELECT * FROM clean WHERE n < 0)",
    ] {
        client.sql(sql).await;
    }
    other.sql("CREATE TABLE clean (n BIGINT)").await;
    let (run, state) = materialize(&client, "clean").await;
    assert_eq!(state, "FAILED");
    let staged = format!("SELECT n FROM staged('default.clean', '{run}')");
    assert_eq!(client.number(&staged).await, -1);
    let ada = token(&client, "ada", &[]).await;
    assert_eq!(outcome(&ada, &staged).await.1, "42P01");
    client.sql("GRANT RUN ON ASSET clean TO TOKEN ada").await;
    assert_eq!(outcome(&ada, &staged).await.1, "42501");
    client.sql("GRANT SELECT ON TABLE clean TO TOKEN ada").await;
    assert_eq!(ada.number(&staged).await, -1);
    assert_eq!(outcome(&other, &staged).await.1, "42704", "a run of nobody");
    let elsewhere = format!("SELECT n FROM staged('elsewhere', '{run}')");
    assert_eq!(outcome(&client, &elsewhere).await.1, "42704", "it made no rows for that table");
    assert_eq!(outcome(&client, "SELECT n FROM staged('clean', 'no-run')").await.1, "42883");
    assert_eq!(outcome(&client, "SELECT n FROM staged('clean')").await.1, "42883");
}
