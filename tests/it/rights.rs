//! A token with nothing but roles and grants sees and does just that, over HTTP and the Postgres wire.

use cenote_testkit::client::{Client, postgres};
use cenote_testkit::node::TestNode;
use serde_json::json;

async fn token(admin: &Client, name: &str, permissions: &[&str]) -> Client {
    let body = json!({"name": name, "permissions": permissions}).to_string();
    let made = admin.send("POST", "/api/v1/auth/tokens", &[], body).await.expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text);
    admin.with_token(made.json()["token"].as_str().expect("a secret"))
}

/// HTTP status, SQLSTATE and text of a statement.
async fn outcome(client: &Client, sql: &str) -> (u16, String, String) {
    let answer = client.try_sql(sql).await.expect("an answer");
    let body = answer.json();
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    (answer.status, text("sqlstate"), text("error"))
}

/// SQLSTATE of a statement over the Postgres wire; empty if it was done.
async fn code(client: &tokio_postgres::Client, sql: &str) -> String {
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
