//! What each way of writing leaves in the transaction of its rows: what was read, by which code, in which run.

use cenote_testkit::client::Client;
use cenote_testkit::needs;
use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use cenote_testkit::services::{ask_python, python_environment};
use cenote_testkit::{PATIENCE, settles};
use serde_json::{Value, json};

async fn post(client: &Client, path: &str, body: impl Into<reqwest::Body>) {
    let answer = client.send("POST", path, &[], body).await.expect("an answer");
    assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text);
}

/// One row of `m` by each protocol.
async fn line(client: &Client) {
    client.write("m,host=a v=1 1700000000000000").await;
}

async fn packed(client: &Client) {
    // {"m":"m","columns":{"time":[1700000001],"v":[7.0]}}
    let body =
        b"\x82\xa1m\xa1m\xa7columns\x82\xa4time\x91\xce\x65\x53\xf1\x01\xa1v\x91\xcb\x40\x1c\x00\x00\x00\x00\x00\x00";
    post(client, "/api/v1/write/msgpack", body.to_vec()).await;
}

async fn rows(client: &Client) {
    post(client, "/api/v1/write/json?table=m", r#"[{"time":1700000002,"v":2.5}]"#).await;
}

async fn lines(client: &Client) {
    post(client, "/api/v1/write/csv?table=m", "time,v\n2024-01-02T00:00:00Z,1.5\n").await;
}

/// What the newest flush says it read.
async fn flushed(client: &Client) -> Vec<String> {
    let newest = "SELECT max(txn) FROM system.catalog.transactions WHERE operation = 'ingest'";
    let nodes = format!("SELECT node_id FROM system.lineage.inputs WHERE txn = ({newest}) ORDER BY n");
    let node = |row: &Vec<Value>| row[0].as_str().unwrap_or("?").to_owned();
    client.sql(&nodes).await.iter().map(node).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_names_every_protocol_of_its_rows_and_a_crash_before_it_changes_nothing() {
    let mut node = TestNode::start().await;
    let client = node.client();
    line(&client).await;
    client.sql("FLUSH m").await;
    assert_eq!(flushed(&client).await, ["ingest:line_protocol"]);
    packed(&client).await;
    client.sql("FLUSH m").await;
    assert_eq!(flushed(&client).await, ["ingest:message_pack"]);
    for _ in 0..2 {
        rows(&client).await;
        lines(&client).await;
        line(&client).await;
    }
    // What the log knows is known after it was read again.
    node.crash().await;
    let client = node.client();
    client.sql("FLUSH m").await;
    assert_eq!(flushed(&client).await, ["ingest:line_protocol", "ingest:json", "ingest:csv"]);
    assert_eq!(client.number("SELECT count(*) FROM m").await, 8);
    let edges = "SELECT e.source_id, e.commits FROM system.lineage.edges e WHERE e.source_id LIKE 'ingest:%' ORDER BY 1";
    assert_eq!(
        json!(client.sql(edges).await),
        json!([
            ["ingest:csv", 1],
            ["ingest:json", 1],
            ["ingest:line_protocol", 2],
            ["ingest:message_pack", 1]
        ])
    );
    // With a key the log is not used.
    let keyed = client.send(
        "POST",
        "/api/v1/write/json?table=m",
        &[("idempotency-key", "once")],
        r#"[{"time":1700000003,"v":3.5}]"#,
    );
    assert_eq!(keyed.await.expect("an answer").status, 204);
    assert_eq!(flushed(&client).await, ["ingest:json"]);
}

/// The runs of a pipeline, the oldest first: state, what began it, why it ended.
async fn starts(client: &Client) -> Value {
    let runs = "SELECT state, trigger, error FROM system.flow.runs WHERE kind = 'pipeline' AND subject = 'default.copy' ORDER BY created_at";
    json!(client.sql(runs).await)
}

async fn copied(client: &Client, rows: i64) {
    settles("the rows to be copied", PATIENCE, async || {
        client.number("SELECT count(*) FROM copied").await == rows
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_is_a_commit_of_the_run_of_its_pipeline_with_what_it_read_and_by_which_code() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE src (n BIGINT)").await;
    client.sql("CREATE TABLE copied (n BIGINT)").await;
    client.sql("CREATE PIPELINE copy AS INSERT INTO copied SELECT n FROM src WHERE n > 0").await;
    for n in 1..=2 {
        client.sql(&format!("INSERT INTO src VALUES ({n}), (-1)")).await;
        copied(&client, n).await;
    }
    assert_eq!(starts(&client).await, json!([["RUNNING", "person", null]]));
    let run = client.sql("SELECT run_id FROM system.flow.runs WHERE kind = 'pipeline'").await[0][0].clone();
    // Each epoch that wrote rows: the table that it read, the script, the run.
    let facts = "SELECT x.run_id, s.table_name, c.text \
        FROM system.catalog.table_commits t \
        JOIN system.catalog.transactions x ON x.txn = t.txn \
        JOIN system.lineage.inputs i ON i.txn = t.txn \
        JOIN system.catalog.tables s ON CAST(s.id AS VARCHAR) = i.node_id \
        JOIN system.catalog.code c ON c.code_id = x.code_id \
        WHERE t.table_name = 'copied' AND x.operation = 'pipeline' ORDER BY t.txn";
    let epoch = json!([run, "src", "INSERT INTO copied SELECT n FROM src WHERE n > 0"]);
    assert_eq!(json!(client.sql(facts).await), json!([epoch, epoch]));
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_jobs_name_their_run_and_older_rows_of_keys_go_in_a_run_of_their_own() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("ALTER JOB compact PAUSE").await;
    for n in 0..9 {
        client.write(&format!("m,host=a v={n} {}", 1_700_000_000_000_000_i64 + n)).await;
        client.sql("FLUSH m").await;
    }
    client.sql("RUN JOB compact").await;
    client.sql("ALTER TABLE m SET (retention = '30d')").await;
    client.sql("RUN JOB retention").await;
    for job in ["compact", "retention"] {
        let commits = format!(
            "SELECT x.operation, x.txn = r.output_txn, r.state FROM system.catalog.transactions x \
             JOIN system.flow.runs r ON r.run_id = x.run_id WHERE r.job = '{job}'"
        );
        assert_eq!(json!(client.sql(&commits).await), json!([[job, true, "SUCCEEDED"]]), "{job}");
    }
    client
        .sql("CREATE TABLE k (id BIGINT, v BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH (dedup = 'none')")
        .await;
    client.sql("INSERT INTO k VALUES (1, 1), (1, 2)").await;
    client.sql("ALTER TABLE k SET (dedup = 'last')").await;
    client.sql("OPTIMIZE k DEDUP").await;
    let dedup = "SELECT r.kind, r.state, r.table_name FROM system.catalog.transactions x \
        JOIN system.flow.runs r ON r.run_id = x.run_id WHERE x.operation = 'dedup'";
    assert_eq!(json!(client.sql(dedup).await), json!([["query", "SUCCEEDED", "k"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_finds_runs_in_what_is_published() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let quiet = [("metadata.publish_interval", "0s")];
    let node = TestNode::with(CatalogKind::Sqlite, StorageKind::Disk, &quiet).await.expect("always there");
    let client = node.client();
    for sql in [
        "CREATE TABLE src (n BIGINT)",
        "INSERT INTO src VALUES (1), (2)",
        "CREATE ASSET total AS SELECT sum(n) AS n FROM src",
        "CREATE CHECK some ON total SEVERITY warning AS ROW COUNT >= 2",
        "MATERIALIZE ASSET total WAIT",
        "CREATE TABLE copied AS SELECT n FROM src",
    ] {
        client.sql(sql).await;
    }
    post(&client, "/api/v1/metadata/publish", "").await;
    let run = client.sql("SELECT run_id FROM system.flow.runs WHERE kind = 'asset'").await[0][0].clone();
    let run = run.as_str().expect("an id");
    let script = client.send("GET", "/api/v1/metadata/duckdb.sql", &[], "").await.expect("an answer").text;
    let queries = [
        format!(
            "SELECT t.table_name FROM catalog.transactions x JOIN catalog.table_commits t USING (txn) WHERE x.run_id = '{run}' AND t.data_change"
        ),
        format!(
            "SELECT t.table_name FROM lineage.inputs i JOIN catalog.tables t ON CAST(t.id AS VARCHAR) = i.node_id WHERE i.run_id = '{run}'"
        ),
        format!(
            "SELECT DISTINCT c.text FROM lineage.inputs i JOIN catalog.code c USING (code_id) WHERE i.run_id = '{run}'"
        ),
        format!(
            "SELECT DISTINCT run_id FROM meta.events WHERE run_id = '{run}' AND kind = 'table.committed'"
        ),
        format!("SELECT kind, state, table_name, trigger FROM flow.runs WHERE run_id = '{run}'"),
        format!("SELECT state, output_txn = run_txn FROM flow.tasks WHERE run_id = '{run}'"),
        format!("SELECT name, severity, passed FROM flow.check_results WHERE run_id = '{run}'"),
        "SELECT r.state, t.table_name FROM flow.runs r JOIN catalog.table_commits t ON t.txn = r.output_txn WHERE r.kind = 'query'"
            .to_owned(),
        "SELECT run_id, output_txn FROM flow.runs ORDER BY output_txn, run_id".to_owned(),
    ];
    let read = ask_python(&python, "read_metadata.py", &[], &json!({"script": script, "queries": queries}));
    let ended = "SELECT run_id, output_txn FROM system.flow.runs WHERE kind IN ('asset', 'query') ORDER BY output_txn, run_id";
    assert_eq!(
        read["answers"],
        json!([
            [["total"]],
            [["src"]],
            [["SELECT sum(n) AS n FROM src"]],
            [[run]],
            [["asset", "SUCCEEDED", "total", "person"]],
            [["SUCCEEDED", true]],
            [["some", "warning", false]],
            [["SUCCEEDED", "copied"]],
            client.sql(ended).await,
        ]),
        "{read}"
    );

    // What is published of a run is never written again: what comes later is in files of its own.
    let files = async |table: &str| {
        let manifest =
            client.send("GET", "/api/v1/metadata/manifest", &[], "").await.expect("an answer").json();
        let tables = manifest["tables"].as_array().expect("tables").iter();
        let found = tables.clone().find(|one| one["name"] == table).expect("published");
        found["files"].as_array().expect("files").clone()
    };
    let before = files("flow.runs").await;
    client.sql("MATERIALIZE ASSET total WAIT").await;
    post(&client, "/api/v1/metadata/publish", "").await;
    let after = files("flow.runs").await;
    assert_eq!((after.len(), &after[0]), (before.len() + 1, &before[0]));
    assert_eq!(after[1]["rows"], 1);
}
