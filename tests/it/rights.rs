//! A token with nothing but roles and grants sees and does just that, over HTTP and the Postgres wire.

use cenote_testkit::client::{Client, postgres};
use cenote_testkit::node::TestNode;
use cenote_testkit::{PATIENCE, settles};
use serde_json::json;

pub(crate) async fn token(admin: &Client, name: &str, permissions: &[&str]) -> Client {
    let body = json!({"name": name, "permissions": permissions}).to_string();
    let made = admin.send("POST", "/api/v1/auth/tokens", &[], body).await.expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text);
    admin.with_token(made.json()["token"].as_str().expect("a secret"))
}

/// HTTP status, SQLSTATE and text of a statement.
pub(crate) async fn outcome(client: &Client, sql: &str) -> (u16, String, String) {
    let answer = client.try_sql(sql).await.expect("an answer");
    let body = answer.json();
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    (answer.status, text("sqlstate"), text("error"))
}

/// SQLSTATE of a statement over the Postgres wire; empty if it was done.
pub(crate) async fn code(client: &tokio_postgres::Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Ok(_) => String::new(),
        Err(error) => error.as_db_error().map(|error| error.code().code().to_owned()).unwrap_or_default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_only_grants_sees_and_does_just_that() {
    let node = TestNode::start().await;
    let admin = node.client();
    for sql in [
        "CREATE TABLE seen (n BIGINT)",
        "CREATE TABLE hidden (marker_column BIGINT)",
        "CREATE SCHEMA apart",
        "CREATE TABLE apart.hidden_too (n BIGINT)",
        "CREATE ROLE analysts",
        "GRANT SELECT ON TABLE seen TO ROLE analysts",
    ] {
        admin.sql(sql).await;
    }
    let ada = token(&admin, "ada", &[]).await;
    let mut config = node.postgres(&ada);
    config.user("ada");
    let wire = postgres(&config).await.expect("connected");
    assert_eq!(outcome(&ada, "SELECT * FROM seen").await.0, 404, "for who has nothing there is nothing");
    let lines = ada.send("POST", "/api/v1/query", &[], r#"{"sql":"SELECT 1"}"#).await.expect("an answer");
    assert_eq!(lines.status, 403, "{}", lines.text);
    assert_eq!(code(&wire, "SELECT * FROM seen").await, "42P01");

    // What is granted holds at once, also for who is connected.
    admin.sql("GRANT ROLE analysts TO TOKEN ada").await;
    assert_eq!(ada.number("SELECT count(*) FROM seen").await, 0);
    assert_eq!(code(&wire, "SELECT * FROM seen").await, "");
    for (sql, status, sqlstate) in [
        ("INSERT INTO seen VALUES (1)", 403, "42501"),
        ("UPDATE seen SET n = 1", 403, "42501"),
        ("DELETE FROM seen", 403, "42501"),
        ("DROP TABLE seen", 403, "42501"),
        ("ALTER TABLE seen ADD COLUMN m INT", 403, "42501"),
        ("GRANT SELECT ON TABLE seen TO TOKEN ada", 403, "42501"),
        ("CREATE ROLE mine", 403, "42501"),
        ("GRANT ROLE admin TO TOKEN ada", 403, "42501"),
        ("CREATE TABLE mine (n BIGINT)", 403, "42501"),
        ("CREATE SCHEMA mine", 403, "42501"),
        ("SELECT * FROM hidden", 404, "42P01"),
        ("INSERT INTO hidden VALUES (1)", 404, "42P01"),
        ("GRANT SELECT ON TABLE hidden TO TOKEN ada", 404, "42P01"),
        ("SHOW GRANTS ON TABLE hidden", 404, "42P01"),
        ("SELECT * FROM apart.hidden_too", 404, "42P01"),
        ("CREATE TABLE apart.mine (n BIGINT)", 404, "3F000"),
        ("SELECT * FROM system.access.tokens", 403, "42501"),
        ("SELECT * FROM system.catalog.transactions", 403, "42501"),
        ("RUN JOB compact", 403, "42501"),
    ] {
        let (found, state, text) = outcome(&ada, sql).await;
        assert_eq!((found, state.as_str()), (status, sqlstate), "{sql}: {text}");
        assert_eq!(code(&wire, sql).await, sqlstate, "{sql}");
    }
    let (_, _, text) = outcome(&ada, "INSERT INTO seen VALUES (1)").await;
    assert!(text.contains("INSERT required on default.seen"), "{text}");
    for sql in [
        "SHOW TABLES",
        "SHOW SCHEMAS",
        "SHOW GRANTS",
        "SELECT * FROM system.catalog.tables",
        "SELECT * FROM system.catalog.schemas",
        "SELECT * FROM system.catalog.columns",
        "SELECT * FROM system.access.grants",
        "SELECT * FROM system.access.principals",
        "SELECT * FROM information_schema.columns",
        "SELECT relname FROM pg_catalog.pg_class",
        "SELECT nspname FROM pg_catalog.pg_namespace",
    ] {
        let answer = ada.try_sql(sql).await.expect("an answer");
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text);
        let rows = format!("{:?}", wire.simple_query(sql).await.expect("rows"));
        for unseen in ["hidden", "marker_column", "apart"] {
            assert!(!answer.text.contains(unseen) && !rows.contains(unseen), "{sql}: {}", answer.text);
        }
    }
    let tables = ada.send("GET", "/api/v1/measurements", &[], "").await.expect("an answer");
    assert!(tables.text.contains("seen") && !tables.text.contains("hidden"), "{}", tables.text);
    assert_eq!(ada.try_write("seen n=1i 1").await.expect("an answer").status, 403);

    admin.sql("REVOKE ROLE analysts FROM TOKEN ada").await;
    assert_eq!(code(&wire, "SELECT * FROM seen").await, "42P01");
    assert_eq!(outcome(&ada, "SELECT * FROM seen").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_create_owns_what_it_made_and_lets_others_in() {
    let node = TestNode::start().await;
    let admin = node.client();
    let (ada, bob) = (token(&admin, "ada", &[]).await, token(&admin, "bob", &[]).await);
    admin.sql("CREATE SCHEMA team").await;
    admin.sql("CREATE TABLE team.others (n BIGINT)").await;
    admin.sql("GRANT CREATE ON SCHEMA team TO TOKEN ada").await;
    ada.sql("CREATE TABLE team.mine (n BIGINT)").await;
    ada.sql("INSERT INTO team.mine VALUES (1), (2)").await;
    ada.sql("DELETE FROM team.mine WHERE n = 1").await;
    assert_eq!(ada.number("SELECT count(*) FROM team.mine").await, 1);
    assert_eq!(
        outcome(&ada, "SELECT * FROM team.others").await.1,
        "42501",
        "it is in a schema that it knows"
    );
    // Who may create takes nothing over that is there.
    admin.sql("CREATE VIEW team.looked AS SELECT 1 AS n").await;
    for sql in [
        "CREATE OR REPLACE TABLE team.others (m BIGINT)",
        "CREATE OR REPLACE VIEW team.looked AS SELECT 2 AS n",
        "CREATE ASSET team.others AS SELECT n FROM team.mine",
        "ALTER TABLE team.others RENAME TO team.taken",
    ] {
        assert_eq!(outcome(&ada, sql).await.1, "42501", "{sql}");
    }
    ada.sql("GRANT SELECT ON TABLE team.mine TO TOKEN bob").await;
    assert_eq!(bob.number("SELECT count(*) FROM team.mine").await, 1);
    assert_eq!(outcome(&bob, "GRANT SELECT ON TABLE team.mine TO TOKEN ada").await.1, "42501");
    assert_eq!(outcome(&bob, "DROP TABLE team.mine").await.1, "42501");
    let grants =
        ada.sql("SELECT principal FROM system.access.grants WHERE object_name = 'mine' ORDER BY 1").await;
    assert_eq!(json!(grants), json!([["ada"], ["bob"]]), "an owner sees who else may");
    ada.sql("DROP TABLE team.mine").await;
    admin.sql("CREATE TABLE team.mine (n BIGINT)").await;
    assert_eq!(outcome(&bob, "SELECT * FROM team.mine").await.1, "42P01", "another table of that name");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_insert_writes_to_what_is_there() {
    let node = TestNode::start().await;
    let admin = node.client();
    admin.write("cpu,host=a usage=1 1").await;
    let ingest = token(&admin, "ingest", &[]).await;
    admin.sql("GRANT INSERT ON TABLE cpu TO TOKEN ingest").await;
    assert_eq!(ingest.try_write("cpu,host=b usage=2 2").await.expect("an answer").status, 204);
    let refused = ingest.try_write("mem used=1 1").await.expect("an answer");
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(refused.text.contains("INSERT required"), "{}", refused.text);
    ingest.sql("INSERT INTO cpu (time, host, usage) VALUES (now(), 'c', 3)").await;
    assert_eq!(outcome(&ingest, "SELECT * FROM cpu").await.1, "42501");
    assert_eq!(admin.number("SELECT count(*) FROM cpu").await, 3);
    admin.sql("GRANT INSERT, CREATE ON SCHEMA \"default\" TO TOKEN ingest").await;
    assert_eq!(ingest.try_write("mem used=1 1").await.expect("an answer").status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_and_jobs_are_steered_by_who_was_granted_them() {
    let node = TestNode::start().await;
    let admin = node.client();
    let ada = token(&admin, "ada", &[]).await;
    admin.sql("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    admin.sql("CREATE TABLE out (v BIGINT)").await;
    admin.sql("CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out SELECT v FROM src").await;
    admin.sql("GRANT SELECT ON TABLE src TO TOKEN ada").await;
    assert_eq!(outcome(&ada, "RESUME PIPELINE p").await.0, 404, "it may not know that it is there");
    admin.sql("GRANT RUN ON PIPELINE p TO TOKEN ada").await;
    ada.sql("RESUME PIPELINE p").await;
    ada.sql("PAUSE PIPELINE p").await;
    assert_eq!(json!(ada.sql("SELECT name FROM system.stream.pipelines").await), json!([["p"]]));
    assert_eq!(outcome(&ada, "DROP PIPELINE p").await.1, "42501");
    assert_eq!(outcome(&ada, "SHOW CREATE PIPELINE p").await.1, "42501");
    assert_eq!(outcome(&ada, "RUN JOB compact DRY RUN").await.1, "42501");
    admin.sql("GRANT RUN ON JOB compact TO TOKEN ada").await;
    ada.sql("RUN JOB compact DRY RUN").await;
    assert_eq!(outcome(&ada, "ALTER JOB compact PAUSE").await.1, "42501");
    assert_eq!(outcome(&ada, "RUN JOB expire DRY RUN").await.1, "42501");
}

/// What asks for the thing of a name by every door: method, path, body.
fn requests(name: &str) -> Vec<(&'static str, String, String)> {
    let table = format!("default.{name}");
    let commit = |act: &str| {
        let id = "00000000-0000-7000-8000-000000000001";
        format!(r#"{{"commit_id":"{id}","tables":[{{"table":"{table}",{act}}}]}}"#)
    };
    let mut asked = vec![
        ("GET", format!("/api/v1/tables/{table}/changes?from=0"), String::new()),
        ("POST", format!("/api/v1/tables/{table}/urls"), "{}".to_owned()),
        ("GET", format!("/api/v1/tables/{table}/provenance"), String::new()),
        ("GET", format!("/api/v1/lineage/{table}"), String::new()),
        ("GET", format!("/api/v1/lineage/{table}/columns/n"), String::new()),
        ("GET", format!("/api/v1/measurements/{name}/schema"), String::new()),
        ("POST", "/api/v1/holds".to_owned(), format!(r#"{{"table":"{table}","txn":1,"ttl":60}}"#)),
        ("POST", "/api/v1/commits".to_owned(), commit(r#""retire":[1]"#)),
        ("POST", "/api/v1/commits".to_owned(), commit(r#""append":[{"path":"x.parquet"}]"#)),
        (
            "POST",
            "/api/v1/checks".to_owned(),
            format!(r#"{{"name":"c","table":"{table}","rule":"UNIQUE (n)"}}"#),
        ),
        ("GET", format!("/api/v1/asset-graph?root={table}"), String::new()),
        ("POST", "/api/v1/runs".to_owned(), format!(r#"{{"selection":["{table}"]}}"#)),
        ("PATCH", format!("/api/v1/assets/{table}"), r#"{"paused":true}"#.to_owned()),
        ("DELETE", format!("/api/v1/assets/{table}"), String::new()),
        ("POST", "/api/v1/write/line-protocol".to_owned(), format!("{name} n=1i 1")),
        (
            "POST",
            "/api/v1/grants".to_owned(),
            format!(
                r#"{{"principal":{{"kind":"token","name":"ada"}},"privileges":["SELECT"],"object":{{"kind":"table","name":"{table}"}}}}"#
            ),
        ),
        ("GET", format!("/api/v1/jobs/{name}"), String::new()),
        ("POST", format!("/api/v1/jobs/{name}/run"), String::new()),
        ("POST", format!("/api/v1/jobs/{name}/disable"), String::new()),
        ("GET", format!("/api/v1/pipelines/{name}"), String::new()),
        ("GET", format!("/api/v1/pipelines/{name}/output"), String::new()),
        ("PATCH", format!("/api/v1/pipelines/{name}"), r#"{"stop":"checkpoint"}"#.to_owned()),
        ("DELETE", format!("/api/v1/pipelines/{name}"), String::new()),
    ];
    for path in ["", "/explain", "/partitions", "/partitions/summary", "/runs"] {
        asked.push(("GET", format!("/api/v1/assets/{table}{path}"), String::new()));
    }
    asked
}

/// Statements about the thing of a name.
pub(crate) fn statements(name: &str) -> Vec<String> {
    [
        "SELECT * FROM {}",
        "INSERT INTO {} VALUES (1)",
        "UPDATE {} SET n = 1",
        "DELETE FROM {}",
        "TRUNCATE TABLE {}",
        "MERGE INTO {} AS t USING seen AS s ON t.n = s.n WHEN MATCHED THEN DELETE",
        "DROP TABLE {}",
        "ALTER TABLE {} ADD COLUMN m INT",
        "ALTER TABLE {} RENAME TO other",
        "COMMENT ON TABLE {} IS 'x'",
        "CREATE VIEW other AS SELECT * FROM {}",
        "DESCRIBE {}",
        "SHOW CREATE TABLE {}",
        "SHOW SNAPSHOTS FROM {}",
        "OPTIMIZE TABLE {}",
        "VERIFY TABLE {}",
        "GRANT SELECT ON TABLE {} TO TOKEN ada",
        "SHOW GRANTS ON TABLE {}",
        "SELECT * FROM table_changes('{}', 0)",
        "SELECT * FROM lineage('{}', 'upstream', 3)",
        "SELECT * FROM column_lineage('{}', 'n', 'upstream', 3)",
        "MATERIALIZE {}",
        "EXPLAIN ASSET {}",
        "ALTER ASSET {} PAUSE",
        "DROP ASSET {}",
        "CREATE CHECK c ON {} AS UNIQUE (n)",
        "DROP SCHEMA {}",
        "ALTER SCHEMA {} SET (retention = '1 day')",
        "CREATE TABLE {}.x (n BIGINT)",
        "GRANT USE ON SCHEMA {} TO TOKEN ada",
        "SHOW TABLES FROM {}",
        "SHOW CREATE PIPELINE {}",
        "PAUSE PIPELINE {}",
        "ALTER PIPELINE {} SET (parallelism = '2')",
        "DROP PIPELINE {}",
        "EXPLAIN PIPELINE {}",
        "GRANT RUN ON PIPELINE {} TO TOKEN ada",
        "DROP MATERIALIZED VIEW {}",
        "REFRESH MATERIALIZED VIEW {}",
        "SELECT has_table_privilege('{}', 'SELECT')",
        "SELECT has_schema_privilege('{}', 'USAGE')",
        "USE {}",
        "SET search_path TO {}; SELECT current_schema(), current_schemas(true)",
    ]
    .map(|sql| sql.replace("{}", name))
    .into()
}

/// A body as it would be for any name.
pub(crate) fn of_any(text: &str, names: &[String]) -> String {
    let text = names.iter().fold(text.to_owned(), |text, name| text.replace(name, "X"));
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(mut body) => {
            if let Some(members) = body.as_object_mut() {
                for volatile in ["request_id", "execution_time_ms", "timestamp"] {
                    members.remove(volatile);
                }
            }
            body.to_string()
        }
        Err(_) => text,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_door_tells_what_may_not_be_known_from_what_is_not_there() {
    let node = TestNode::start().await;
    let admin = node.client();
    let ada = token(&admin, "ada", &[]).await;
    for sql in [
        "CREATE TABLE seen (n BIGINT)",
        "CREATE SCHEMA hidden_s",
        "CREATE TABLE hidden_s.inner_hidden (n BIGINT)",
        "CREATE TABLE hidden_t (n BIGINT)",
        "INSERT INTO hidden_t VALUES (1)",
        "CREATE ASSET hidden_a AS SELECT n FROM hidden_t",
        "CREATE TABLE hidden_o (n BIGINT)",
        "CREATE PIPELINE hidden_p WITH (desired = 'paused') AS INSERT INTO hidden_o SELECT n FROM hidden_t",
        "CREATE TABLE hidden_q (n BIGINT)",
        "CREATE PIPELINE missing_p WITH (desired = 'paused') AS INSERT INTO hidden_q SELECT n FROM hidden_t",
        "CREATE ROLE hidden_role",
        "GRANT SELECT ON TABLE hidden_t TO ROLE hidden_role",
        "GRANT SELECT ON TABLE seen TO TOKEN ada",
    ] {
        admin.sql(sql).await;
    }
    let listed = admin.send("GET", "/api/v1/pipelines", &[], "").await.expect("an answer").json();
    let id = |name: &str| {
        let all = listed["data"].as_array().expect("pipelines");
        let found = all.iter().find(|pipeline| pipeline["name"] == name).expect("it is there");
        found["id"].as_str().expect("an id").to_owned()
    };
    let (hidden_id, missing_id) = (id("hidden_p"), id("missing_p"));
    // As errors write them.
    let uuid = async |name: &str| {
        let sql = format!("SELECT pipeline_id FROM system.stream.pipelines WHERE name = '{name}'");
        admin.sql(&sql).await[0][0].as_str().expect("an id").to_owned()
    };
    let (hidden_uuid, missing_uuid) = (uuid("hidden_p").await, uuid("missing_p").await);
    admin.sql("DROP PIPELINE missing_p").await;
    let mut config = node.postgres(&ada);
    config.user("ada");
    let wire = postgres(&config).await.expect("connected");

    let pairs = [
        ("hidden_t", "missing_t"),
        ("hidden_a", "missing_a"),
        ("hidden_s", "missing_s"),
        ("hidden_p", "missing_p"),
        ("compact", "nowhere"),
        (hidden_id.as_str(), missing_id.as_str()),
    ];
    for (hidden, missing) in pairs {
        let hidden_names = [hidden.to_owned(), hidden_uuid.clone()];
        let missing_names = [missing.to_owned(), missing_uuid.clone()];
        for (there, not_there) in requests(hidden).into_iter().zip(requests(missing)) {
            let (method, path, body) = there;
            let answer = ada.send(method, &path, &[], body).await.expect("an answer");
            let (_, path_too, body) = not_there;
            let other = ada.send(method, &path_too, &[], body).await.expect("an answer");
            assert_eq!(
                (answer.status, of_any(&answer.text, &hidden_names)),
                (other.status, of_any(&other.text, &missing_names)),
                "{method} {path}"
            );
            assert!((400..500).contains(&answer.status), "{method} {path}: {}", answer.text);
        }
        if hidden.contains('-') || hidden == hidden_id {
            continue;
        }
        for (there, not_there) in statements(hidden).into_iter().zip(statements(missing)) {
            let answer = ada.try_sql(&there).await.expect("an answer");
            let other = ada.try_sql(&not_there).await.expect("an answer");
            assert_eq!(
                (answer.status, of_any(&answer.text, &hidden_names)),
                (other.status, of_any(&other.text, &missing_names)),
                "{there}"
            );
            assert_eq!(code(&wire, &there).await, code(&wire, &not_there).await, "{there}");
        }
    }
    for (database, state) in [("hidden_s", "3D000"), ("missing_s", "3D000")] {
        let mut config = node.postgres(&ada);
        config.user("ada").dbname(database);
        let error = config.connect(tokio_postgres::NoTls).await.err().expect("refused");
        assert_eq!(error.as_db_error().expect("a database error").code().code(), state, "{database}");
    }

    for path in [
        "/api/v1/events?after=0&limit=5000",
        "/api/v1/search?q=hidden&limit=100",
        "/api/v1/databases",
        "/api/v1/measurements",
        "/api/v1/assets",
        "/api/v1/asset-graph",
        "/api/v1/checks",
        "/api/v1/jobs",
        "/api/v1/pipelines",
    ] {
        let answer = ada.send("GET", path, &[], "").await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let text = answer.text.replace("q=hidden", "");
        assert!(!text.contains("hidden") && !text.contains("compact"), "{path}: {text}");
    }
    for path in ["/api/v1/audit", "/api/v1/auth/tokens", "/api/v1/runs", "/api/v1/metadata/manifests"] {
        let answer = ada.send("GET", path, &[], "").await.expect("an answer");
        assert_eq!(answer.status, 403, "{path}: {}", answer.text);
    }
    for table in cenote_testkit::node::system_tables() {
        let answer = ada.try_sql(&format!("SELECT * FROM system.{table}")).await.expect("an answer");
        assert!([200, 403].contains(&answer.status), "{table}: {}", answer.text);
        assert!(!answer.text.contains("hidden"), "{table}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_opens_the_doors_of_its_privilege_and_no_other() {
    let node = TestNode::start().await;
    let admin = node.client();
    let ada = token(&admin, "ada", &[]).await;
    for sql in [
        "CREATE TABLE t (n BIGINT)",
        "INSERT INTO t VALUES (1)",
        "CREATE ASSET raw AS SELECT n FROM t",
        "CREATE ASSET mart AS SELECT n FROM raw",
        "CREATE TABLE out (n BIGINT)",
        "CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out SELECT n FROM t",
        "GRANT SELECT ON TABLE t TO TOKEN ada",
        "GRANT RUN ON ASSET mart TO TOKEN ada",
        "GRANT RUN ON PIPELINE p TO TOKEN ada",
        "GRANT RUN ON JOB compact TO TOKEN ada",
    ] {
        admin.sql(sql).await;
    }
    let status = async |method: &'static str, path: &str, body: &str| {
        let answer = ada.send(method, path, &[], body.to_owned()).await.expect("an answer");
        (answer.status, answer.text)
    };
    let pipeline = admin.send("GET", "/api/v1/pipelines", &[], "").await.expect("an answer").json();
    let pipeline = format!("/api/v1/pipelines/{}", pipeline["data"][0]["id"].as_str().expect("an id"));
    let output = format!("{pipeline}/output");
    let retire =
        r#"{"commit_id":"00000000-0000-7000-8000-000000000001","tables":[{"table":"t","retire":[1]}]}"#;
    for (method, path, body, wanted) in [
        ("GET", "/api/v1/tables/t/changes?from=0", "", 200),
        ("GET", "/api/v1/lineage/t", "", 200),
        ("GET", "/api/v1/tables/t/provenance?depth=9", "", 200),
        ("GET", "/api/v1/measurements/t/schema", "", 200),
        ("POST", "/api/v1/commits", retire, 403),
        ("POST", "/api/v1/write/line-protocol", "t n=1i 1", 403),
        ("GET", "/api/v1/assets/default.mart", "", 200),
        ("GET", "/api/v1/assets/default.mart/explain", "", 403),
        ("GET", "/api/v1/assets/default.raw", "", 404),
        ("PATCH", "/api/v1/assets/default.mart", r#"{"paused":true}"#, 200),
        ("PATCH", "/api/v1/assets/default.mart", r#"{"options":{"priority":7}}"#, 403),
        ("POST", "/api/v1/runs?dry_run=true", r#"{"selection":["default.mart"]}"#, 200),
        (
            "POST",
            "/api/v1/runs?dry_run=true",
            r#"{"selection":["default.mart"],"includeUpstream":true}"#,
            403,
        ),
        ("GET", "/api/v1/jobs/compact", "", 200),
        ("POST", "/api/v1/jobs/compact/run?dry_run=true", "", 200),
        ("POST", "/api/v1/jobs/compact/disable", "", 403),
        ("GET", "/api/v1/jobs/expire", "", 404),
        ("GET", pipeline.as_str(), "", 200),
        ("PATCH", pipeline.as_str(), r#"{"stop":"none"}"#, 200),
        ("PATCH", pipeline.as_str(), r#"{"stop":"checkpoint"}"#, 200),
        ("PATCH", pipeline.as_str(), r#"{"query":"INSERT INTO out SELECT n + 1 FROM t"}"#, 403),
        ("GET", output.as_str(), "", 403),
        ("DELETE", pipeline.as_str(), "", 403),
    ] {
        let (found, text) = status(method, path, body).await;
        assert_eq!(found, wanted, "{method} {path} {body}: {text}");
    }
    let (_, text) = status("POST", "/api/v1/commits", retire).await;
    assert!(text.contains("DELETE") && text.contains("default.t"), "{text}");
    // Who manages a pipeline of another's still does not read by the owner's rights.
    admin.sql("GRANT MANAGE ON PIPELINE p TO TOKEN ada").await;
    let (state, text) =
        status("PATCH", pipeline.as_str(), r#"{"query":"INSERT INTO out SELECT n FROM raw"}"#).await;
    assert_eq!(state, 403, "{text}");
    assert_eq!(outcome(&ada, "ALTER PIPELINE p AS INSERT INTO out SELECT n FROM raw").await.1, "42501");
    assert_eq!(status("DELETE", &pipeline, "").await.0, 200);
    let events = status("GET", "/api/v1/events?after=0&limit=5000", "").await.1;
    assert!(events.contains("\"t\"") && !events.contains("\"out\""), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_stops_once_its_owner_may_no_longer_read_what_it_reads() {
    let node = TestNode::start().await;
    let admin = node.client();
    let ada = token(&admin, "ada", &[]).await;
    for sql in [
        "CREATE SCHEMA team",
        "CREATE TABLE src (v BIGINT)",
        "CREATE TABLE out (v BIGINT)",
        "GRANT CREATE ON SCHEMA team TO TOKEN ada",
        "GRANT SELECT ON TABLE src TO TOKEN ada",
        "GRANT INSERT ON TABLE out TO TOKEN ada",
    ] {
        admin.sql(sql).await;
    }
    ada.sql("CREATE PIPELINE team.p AS INSERT INTO \"default\".out SELECT v FROM \"default\".src").await;
    admin.sql("INSERT INTO src VALUES (1)").await;
    let rows = async || admin.number("SELECT count(*) FROM out").await;
    settles("the row to be copied", PATIENCE, async || rows().await == 1).await;
    // What does not concern it does not stop it.
    admin.sql("CREATE TABLE other (v BIGINT)").await;
    admin.sql("GRANT SELECT ON TABLE other TO TOKEN ada").await;
    admin.sql("INSERT INTO src VALUES (2)").await;
    settles("the next row to be copied", PATIENCE, async || rows().await == 2).await;
    admin.sql("REVOKE SELECT ON TABLE src FROM TOKEN ada").await;
    admin.sql("INSERT INTO src VALUES (3)").await;
    settles("the pipeline to fail", PATIENCE, async || {
        let states = admin.sql("SELECT state, error FROM system.stream.pipelines").await;
        json!(states).to_string().contains("failed")
    })
    .await;
    assert_eq!(rows().await, 2, "nothing more was read");
}
