//! Ways around rights: by what runs for its owner, by another name, by what is gone, by what is only told.

use cenote_testkit::client::{Client, postgres};
use cenote_testkit::node::TestNode;
use cenote_testkit::{PATIENCE, settles};
use serde_json::{Value, json};

use crate::rights::{code, outcome, token};

async fn all(admin: &Client, statements: &[&str]) {
    for sql in statements {
        admin.sql(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_alter_an_asset_writes_no_query_that_reads_by_its_owners_rights() {
    let node = TestNode::start().await;
    let admin = node.client();
    let ada = token(&admin, "ada", &[]).await;
    let made = [
        "CREATE TABLE t (n BIGINT)",
        "CREATE ASSET a AS SELECT n FROM t",
        "CREATE TABLE plain (n BIGINT)",
        "GRANT SELECT, ALTER ON TABLE a TO TOKEN ada",
        "GRANT SELECT, ALTER ON TABLE plain TO TOKEN ada",
    ];
    all(&admin, &made).await;
    let check = "CREATE OR REPLACE CHECK q ON a AS QUERY (SELECT n FROM a WHERE n < 0)";
    assert_eq!(outcome(&ada, check).await.1, "42501");
    ada.sql("CREATE CHECK u ON a AS UNIQUE (n)").await;
    admin.sql("GRANT MANAGE ON ASSET a TO TOKEN ada").await;
    assert_eq!(outcome(&ada, check).await.1, "42501", "what it reads is read by the rights of its owner");
    let body = r#"{"name":"q","table":"default.a","rule":"QUERY (SELECT n FROM a WHERE n < 0)"}"#;
    let sent = ada.send("POST", "/api/v1/checks", &[], body).await.expect("an answer");
    assert_eq!(sent.status, 403, "{}", sent.text);
    // A table may become somebody's asset: who manages it answers for its queries.
    let check = "CREATE CHECK q ON plain AS QUERY (SELECT n FROM plain WHERE n < 0)";
    assert_eq!(outcome(&ada, check).await.1, "42501");
    admin.sql("GRANT MANAGE ON TABLE plain TO TOKEN ada").await;
    ada.sql(check).await;
    admin.sql("CREATE CHECK q ON a AS QUERY (SELECT n FROM a WHERE n < 0)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_gives_nobody_more_than_he_had() {
    let node = TestNode::start().await;
    let admin = node.client();
    let ada = token(&admin, "ada", &[]).await;
    let made = [
        "CREATE SCHEMA mine",
        "CREATE TABLE secret (n BIGINT)",
        "CREATE TABLE taken (n BIGINT)",
        "GRANT ALTER ON TABLE secret TO TOKEN ada",
        "GRANT ALTER ON TABLE taken TO TOKEN ada",
        "GRANT MANAGE ON SCHEMA mine TO TOKEN ada",
        "GRANT CREATE ON SCHEMA \"default\" TO TOKEN ada",
        "GRANT SELECT ON TABLE 'default.open_*' TO TOKEN ada",
    ];
    all(&admin, &made).await;
    ada.sql("CREATE ASSET taken AS SELECT CAST(1 AS BIGINT) AS n").await;
    for sql in [
        "ALTER TABLE secret SET SCHEMA mine",
        "ALTER TABLE secret RENAME TO open_secret",
        "ALTER TABLE secret RENAME TO still, SET SCHEMA mine",
        "SELECT 1; ALTER TABLE secret RENAME TO open_secret",
        "ALTER ASSET taken RENAME TO open_taken",
    ] {
        let (_, state, text) = outcome(&ada, sql).await;
        assert_eq!(state, "42501", "{sql}: {text}");
    }
    let (_, _, text) = outcome(&ada, "ALTER TABLE secret RENAME TO open_secret").await;
    assert!(text.contains("SELECT"), "it says what would be gained: {text}");
    ada.sql("ALTER TABLE secret RENAME TO still").await;
    // What one manages goes where one may create.
    ada.sql("CREATE TABLE own (n BIGINT)").await;
    ada.sql("ALTER TABLE own RENAME TO open_own").await;
    ada.sql("ALTER TABLE open_own SET SCHEMA mine").await;
    admin.sql("ALTER TABLE still SET SCHEMA mine").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_on_a_schema_is_not_of_another_that_took_its_name() {
    let node = TestNode::start().await;
    let admin = node.client();
    all(&admin, &["CREATE ROLE r", "CREATE SCHEMA s"]).await;
    let mut config = node.postgres(&admin);
    config.user("admin");
    let wire = postgres(&config).await.expect("connected");
    assert_eq!(code(&wire, "BEGIN").await, "");
    assert_eq!(code(&wire, "GRANT SELECT ON SCHEMA s TO ROLE r").await, "");
    all(&admin, &["DROP SCHEMA s", "CREATE SCHEMA s"]).await;
    assert_eq!(code(&wire, "COMMIT").await, "40001");
    assert_eq!(admin.number("SELECT count(*) FROM system.access.grants WHERE principal = 'r'").await, 0);
    assert_eq!(code(&wire, "BEGIN").await, "");
    assert_eq!(code(&wire, "CREATE SCHEMA made").await, "");
    assert_eq!(code(&wire, "GRANT SELECT ON SCHEMA made TO ROLE r").await, "");
    admin.sql("DROP ROLE r").await;
    assert_eq!(code(&wire, "COMMIT").await, "40001", "the role has gone meanwhile");
    admin.sql("CREATE ROLE r").await;
    assert_eq!(admin.number("SELECT count(*) FROM system.access.grants WHERE principal = 'r'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asset_is_steered_by_its_owner_and_by_who_has_the_privilege() {
    let node = TestNode::start().await;
    let admin = node.client();
    let (ada, bob) = (token(&admin, "ada", &[]).await, token(&admin, "bob", &[]).await);
    let made = [
        "CREATE TABLE t (n BIGINT)",
        "GRANT SELECT ON TABLE t TO TOKEN bob",
        "GRANT CREATE ON SCHEMA \"default\" TO TOKEN bob",
    ];
    all(&admin, &made).await;
    bob.sql("CREATE ASSET a AS SELECT n FROM t").await;
    admin.sql("GRANT ALTER ON TABLE a TO TOKEN ada").await;
    for sql in
        ["ALTER ASSET a PAUSE", "ALTER ASSET a SET (priority = 7)", "DROP ASSET a", "MATERIALIZE ASSET a"]
    {
        assert_eq!(outcome(&ada, sql).await.1, "42501", "{sql}");
    }
    admin.sql("GRANT RUN ON ASSET a TO TOKEN ada").await;
    all(&ada, &["ALTER ASSET a PAUSE", "ALTER ASSET a RESUME", "MATERIALIZE ASSET a DRY RUN"]).await;
    let paused = ada.send("PATCH", "/api/v1/assets/default.a", &[], r#"{"paused":true}"#).await;
    assert_eq!(paused.expect("an answer").status, 200);
    assert_eq!(outcome(&ada, "ALTER ASSET a RESUME, SET (priority = 7)").await.1, "42501");
    // Whose it is may do everything with it, whatever became of what was granted.
    admin.sql("REVOKE MANAGE ON TABLE a FROM TOKEN bob").await;
    admin.sql("REVOKE CREATE ON SCHEMA \"default\" FROM TOKEN bob").await;
    all(&bob, &["ALTER ASSET a RESUME", "ALTER ASSET a SET (priority = 7)", "MATERIALIZE ASSET a DRY RUN"])
        .await;
    bob.sql("DROP ASSET a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_steered_by_who_may_run_all_that_it_makes() {
    let node = TestNode::start().await;
    let admin = node.client();
    let (ada, bob) = (token(&admin, "ada", &[]).await, token(&admin, "bob", &[]).await);
    let endless = "CREATE ASSET slow AS SELECT sum(a.value % 7 + b.value % 5) AS n \
                   FROM generate_series(1, 1000000) AS a CROSS JOIN generate_series(1, 1000000) AS b";
    all(&admin, &[endless, "CREATE ASSET marker AS SELECT n FROM slow"]).await;
    let body = r#"{"selection":["default.marker"],"includeUpstream":true}"#;
    let made = admin.send("POST", "/api/v1/runs", &[], body).await.expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["runId"].as_str().expect("a run").to_owned();
    let path = format!("/api/v1/runs/{id}");
    let statements = ["PAUSE RUN", "RESUME RUN", "CANCEL RUN"].map(|verb| format!("{verb} '{id}'"));
    let rerun = format!("RERUN RUN '{id}' FROM FAILURE");
    let refused = async |asker: &Client, status: u16, state: &str| {
        for sql in statements.iter().chain([&rerun]) {
            let (found, sqlstate, text) = outcome(asker, sql).await;
            assert_eq!((found, sqlstate.as_str()), (status, state), "{sql}: {text}");
            assert!(!text.contains("marker"), "{sql}: {text}");
        }
        for door in ["pause", "resume", "cancel", "rerun"] {
            let answer = asker.send("POST", &format!("{path}/{door}"), &[], "{}").await.expect("an answer");
            assert_eq!(answer.status, status, "{door}: {}", answer.text);
            assert!(!answer.text.contains("marker"), "{door}: {}", answer.text);
        }
        let shown = asker.send("GET", &path, &[], "").await.expect("an answer");
        assert_eq!(shown.status, status, "{}", shown.text);
    };
    refused(&ada, 404, "42704").await;
    admin.sql("GRANT RUN ON ASSET slow TO TOKEN bob").await;
    refused(&bob, 403, "42501").await;
    admin.sql("GRANT RUN ON ASSET marker TO TOKEN bob").await;
    bob.sql(&statements[0]).await;
    let held = bob.send("POST", &format!("{path}/pause"), &[], "").await.expect("an answer");
    assert_eq!((held.status, held.json()["state"].clone()), (200, json!("PAUSED")), "{}", held.text);
    let goes_on = bob.send("POST", &format!("{path}/resume"), &[], "").await.expect("an answer");
    assert_eq!(goes_on.status, 200, "{}", goes_on.text);
    let cancelled = bob.send("POST", &format!("{path}/cancel"), &[], "").await.expect("an answer");
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    let state = async || {
        let shown = bob.send("GET", &path, &[], "").await.expect("an answer").json();
        assert_eq!(shown["errorMessage"], Value::Null, "texts of errors may hold values: {shown}");
        shown["state"].clone()
    };
    settles("the end of the run", PATIENCE, async || state().await == "CANCELLED").await;
    admin.sql("CREATE OR REPLACE ASSET slow AS SELECT CAST(1 AS BIGINT) AS n").await;
    bob.sql(&rerun).await;
    settles("what bob has begun", PATIENCE, async || {
        let sql = "SELECT count(*) FROM system.flow.runs WHERE kind = 'asset' AND state = 'SUCCEEDED' AND actor = 'bob'";
        admin.number(sql).await == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_known_shows_no_values() {
    let node = TestNode::start().await;
    let admin = node.client();
    let (ada, bob) = (token(&admin, "ada", &[]).await, token(&admin, "bob", &[]).await);
    let made = [
        "CREATE TABLE t (host TEXT, n BIGINT) PARTITIONED BY (host)",
        "INSERT INTO t VALUES ('aValue', 1)",
        "CREATE ASSET a PARTITION BY (host VALUES ('aValue', 'another')) WITH (per_partition = true) \
         AS SELECT partition_value() AS host, n FROM t",
        "CREATE CHECK some ON a AS ROW COUNT >= 1",
        "MATERIALIZE ASSET a MISSING WAIT",
        "GRANT INSERT, ALTER ON TABLE t TO TOKEN ada",
        "GRANT RUN ON ASSET a TO TOKEN ada",
        "GRANT SELECT ON ASSET a TO TOKEN bob",
        "FLUSH ALL",
    ];
    all(&admin, &made).await;
    assert!(admin.number("SELECT count(*) FROM system.storage.partitions").await > 0);
    for table in ["storage.files", "storage.partitions", "storage.deletion_vectors", "storage.maintenance"] {
        let rows = ada.sql(&format!("SELECT * FROM system.{table}")).await;
        assert_eq!(json!(rows), json!([]), "{table}");
    }
    for table in ["flow.asset_partitions", "flow.check_results"] {
        let sql = format!("SELECT count(*) FROM system.{table} WHERE table_name = 'a'");
        assert!(admin.number(&sql).await > 0, "{table}");
        assert_eq!(ada.number(&sql).await, 0, "{table}");
        assert!(bob.number(&sql).await > 0, "{table}");
    }
    assert_eq!(outcome(&ada, "EXPLAIN ASSET a").await.1, "42501");
    for path in ["explain", "partitions", "partitions/summary"] {
        let answer = ada.send("GET", &format!("/api/v1/assets/default.a/{path}"), &[], "").await;
        assert_eq!(answer.expect("an answer").status, 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn why_an_asset_is_as_it_is_names_nothing_that_may_not_be_known() {
    let node = TestNode::start().await;
    let admin = node.client();
    let bob = token(&admin, "bob", &[]).await;
    let made = [
        "CREATE TABLE hidden_t (n BIGINT)",
        "INSERT INTO hidden_t VALUES (1)",
        "CREATE ASSET a AS SELECT n FROM hidden_t",
        "MATERIALIZE ASSET a WAIT",
        "CREATE ASSET eager EAGER AS SELECT n FROM hidden_t",
        "INSERT INTO hidden_t VALUES (2)",
        "FLUSH ALL",
        "GRANT SELECT ON ASSET a TO TOKEN bob",
        "GRANT SELECT ON ASSET eager TO TOKEN bob",
    ];
    all(&admin, &made).await;
    for asset in ["a", "eager"] {
        let told = json!(bob.sql(&format!("EXPLAIN ASSET {asset}")).await).to_string();
        assert!(!told.contains("hidden"), "{told}");
        let path = format!("/api/v1/assets/default.{asset}/explain");
        let answer = bob.send("GET", &path, &[], "").await.expect("an answer");
        assert!(answer.status == 200 && !answer.text.contains("hidden"), "{}", answer.text);
    }
    let told = json!(bob.sql("EXPLAIN ASSET a").await).to_string();
    assert!(told.contains("a table that you may not know of was read at"), "{told}");
    assert!(json!(admin.sql("EXPLAIN ASSET a").await).to_string().contains("default.hidden_t was read at"));
}

async fn refusals(admin: &Client, actor: &str) -> Vec<Value> {
    let path = format!("/api/v1/audit?outcome=deny&actor={actor}");
    let answer = admin.send("GET", &path, &[], "").await.expect("an answer").json();
    answer["entries"].as_array().expect("entries").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_audited_once_by_whatever_door() {
    let node = TestNode::start().await;
    let admin = node.client();
    all(&admin, &["CREATE TABLE t (n BIGINT)", "CREATE ASSET a AS SELECT n FROM t"]).await;
    let sql = r#"{"sql":"SELECT * FROM system.access.tokens"}"#;
    let script = r#"{"sql":"SELECT 1; SELECT * FROM system.access.tokens"}"#;
    let doors = [
        ("PATCH", "/api/v1/assets/default.a", r#"{"paused":true}"#),
        ("POST", "/api/v1/runs", r#"{"selection":["default.a"]}"#),
        ("GET", "/api/v1/runs", ""),
        ("POST", "/api/v1/checks", r#"{"name":"c","table":"default.a","rule":"UNIQUE (n)"}"#),
        ("POST", "/api/v1/sql", sql),
        ("POST", "/api/v1/sql", script),
        ("POST", "/api/v1/query", sql),
        ("POST", "/api/v1/browser/urls", r#"{"tables":["default.a"]}"#),
        ("POST", "/api/v1/tables/default.a/urls", "{}"),
        ("GET", "/api/v1/metadata/duckdb.sql", ""),
    ];
    for (at, (method, path, body)) in doors.into_iter().enumerate() {
        let name = format!("asker{at}");
        let asker = token(&admin, &name, &[]).await;
        admin.sql(&format!("GRANT USE ON SCHEMA \"default\" TO TOKEN {name}")).await;
        let answer = asker.send(method, path, &[], body.to_owned()).await.expect("an answer");
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
    }
    let nobody = token(&admin, "nobody", &[]).await;
    let answer = nobody.send("POST", "/api/v1/query", &[], r#"{"sql":"SELECT 1"}"#).await.expect("an answer");
    assert_eq!(answer.status, 403, "{}", answer.text);
    let names = (0..doors.len()).map(|at| format!("asker{at}")).chain(["nobody".to_owned()]);
    for name in names.collect::<Vec<_>>() {
        settles("the refusal in the audit", PATIENCE, async || !refusals(&admin, &name).await.is_empty())
            .await;
    }
    // What comes later is behind all that came before.
    let last = token(&admin, "last", &[]).await;
    assert_eq!(last.try_sql("CREATE SCHEMA x").await.expect("an answer").status, 403);
    settles("the last refusal", PATIENCE, async || !refusals(&admin, "last").await.is_empty()).await;
    for (at, (method, path, _)) in doors.into_iter().enumerate() {
        let rows = refusals(&admin, &format!("asker{at}")).await;
        let times: i64 = rows.iter().filter_map(|row| row["times"].as_i64()).sum();
        assert_eq!((rows.len(), times), (1, 1), "{method} {path}: {rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_on_a_pipeline_is_one_row_of_one_form_by_whatever_door() {
    let node = TestNode::start().await;
    let admin = node.client();
    all(&admin, &["CREATE TABLE t (n BIGINT)", "CREATE TABLE out (n BIGINT)"]).await;
    let ddl = async || {
        let answer =
            admin.send("GET", "/api/v1/audit?action=ddl&limit=1000", &[], "").await.expect("an answer");
        answer.json()["entries"].as_array().expect("entries").clone()
    };
    let before = ddl().await.len();
    admin.sql("CREATE MATERIALIZED VIEW v AS SELECT n FROM t").await;
    admin.sql("CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out SELECT n FROM t").await;
    let listed = admin.send("GET", "/api/v1/pipelines", &[], "").await.expect("an answer").json();
    let path = format!("/api/v1/pipelines/{}", listed["data"][0]["id"].as_str().expect("an id"));
    admin.sql("RESUME PIPELINE p").await;
    let sent = admin.send("PATCH", &path, &[], r#"{"stop":"checkpoint"}"#).await.expect("an answer");
    assert_eq!(sent.status, 200, "{}", sent.text);
    admin.sql("DROP PIPELINE p").await;
    settles("the last act in the audit", PATIENCE, async || {
        ddl().await.iter().any(|row| row["detail"] == "drop_pipeline")
    })
    .await;
    let rows = ddl().await;
    let of = |object: &str, detail: &str| {
        rows.iter().filter(|row| row["object"] == object && row["detail"] == detail).collect::<Vec<_>>()
    };
    assert_eq!(of("pipeline default.p", "create_pipeline").len(), 1, "{rows:?}");
    let (resumed, paused) =
        (of("pipeline default.p", "resume_pipeline"), of("pipeline default.p", "pause_pipeline"));
    assert_eq!((resumed.len(), paused.len()), (1, 1), "by a statement and by a path: {rows:?}");
    let from = |row: &Value| (row["actor"].clone(), row["protocol"].clone(), row["address"].clone());
    assert_eq!(from(resumed[0]), from(paused[0]));
    assert_eq!(from(paused[0]), (json!("admin"), json!("http"), json!("127.0.0.1")));
    // The view, the pipeline made, resumed, paused, dropped.
    assert_eq!(rows.len() - before, 5, "{rows:?}");
}
