//! Two tenants with objects of equal names: neither can see the other, by any door.

use cenote_testkit::client::{Client, postgres};
use cenote_testkit::node::TestNode;

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_with_equal_names_see_only_their_own() {
    let node = TestNode::start().await;
    let second = node.second_tenant("second").await;
    stay_apart(&node, second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_a_statement_made_stays_apart_like_any_other() {
    let node = TestNode::start().await;
    let second = node.tenant("second", "").await;
    stay_apart(&node, second).await;
}

async fn stay_apart(node: &TestNode, second: Client) {
    let first = node.client();
    for (client, marker) in [(&first, "marker_first"), (&second, "marker_second")] {
        client.write(&format!("cpu,host={marker} usage=1 1")).await;
        client.sql(&format!("CREATE SCHEMA {marker}_schema")).await;
        client.sql(&format!("CREATE TABLE {marker}_table (n BIGINT)")).await;
        client.sql("CREATE VIEW v AS SELECT host FROM cpu").await;
        client.sql("FLUSH cpu").await;
        client.sql(&format!("CREATE ROLE {marker}_role")).await;
        client.sql(&format!("GRANT SELECT ON TABLE {marker}_table TO ROLE {marker}_role")).await;
        let body = format!("{{\"name\":\"{marker}_token\"}}");
        let made = client.send("POST", "/api/v1/auth/tokens", &[], body).await.expect("an answer");
        assert_eq!(made.status, 201, "{}", made.text);
    }
    for (client, own, foreign, user) in [
        (&first, "marker_first", "marker_second", "admin"),
        (&second, "marker_second", "marker_first", "admin@second"),
    ] {
        let texts = everything_seen(client).await;
        assert!(texts.iter().any(|(_, text)| text.contains(own)), "its own are seen");
        for (what, text) in &texts {
            assert!(!text.contains(foreign), "{what}: {text}");
        }
        for sql in [
            format!("SELECT * FROM {foreign}_table"),
            format!("SELECT * FROM {foreign}_schema.x"),
            format!("DROP TABLE {foreign}_table"),
            format!("DELETE FROM {foreign}_table"),
            format!("INSERT INTO {foreign}_table VALUES (1)"),
        ] {
            let answer = client.try_sql(&sql).await.expect("an answer");
            assert_eq!(answer.status, 404, "{sql}: {}", answer.text);
        }
        let mut config = node.postgres(client);
        config.user(user);
        let postgres = postgres(&config).await.expect("connected");
        for sql in [
            "SELECT host FROM cpu",
            "SELECT * FROM v",
            "SELECT relname FROM pg_catalog.pg_class",
            "SELECT nspname FROM pg_catalog.pg_namespace",
            "SELECT table_name FROM information_schema.tables",
            "SHOW TABLES",
        ] {
            let rows = postgres.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            assert!(!format!("{rows:?}").contains(foreign), "{sql}");
        }
        let mut crossed = node.postgres(client);
        crossed.user(if user == "admin" { "admin@second" } else { "admin" });
        let error = crossed.connect(tokio_postgres::NoTls).await.err().expect("refused");
        assert_eq!(error.as_db_error().expect("a database error").code().code(), "28P01");
    }
    first.sql("DROP TABLE cpu").await;
    assert_eq!(second.number("SELECT count(*) FROM cpu").await, 1);
    let files = second.number("SELECT count(*) FROM system.storage.files").await;
    first.sql("VACUUM ALL KEEP 0 HOURS FORCE").await;
    assert_eq!(second.number("SELECT count(*) FROM system.storage.files").await, files);
    assert_eq!(second.number("SELECT count(*) FROM cpu").await, 1);
}

/// What each readable door says.
async fn everything_seen(client: &Client) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let mut statements: Vec<String> = [
        "SELECT * FROM cpu",
        "SELECT * FROM v",
        "SHOW TABLES",
        "SHOW DATABASES",
        "SHOW SCHEMAS",
        "DESCRIBE cpu",
        "SELECT * FROM system.runtime.queries",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM provenance('cpu', depth => 100)",
    ]
    .map(str::to_owned)
    .into();
    for name in ["grants", "principals", "role_members", "roles"] {
        statements.push(format!("SELECT * FROM system.access.{name}"));
    }
    for name in cenote_catalog_tables() {
        statements.push(format!("SELECT * FROM system.{name}"));
    }
    for sql in statements {
        let answer = client.try_sql(&sql).await.expect("an answer");
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text);
        texts.push((sql, answer.text));
    }
    for path in [
        "/api/v1/databases",
        "/api/v1/catalogs",
        "/api/v1/catalogs/lake",
        "/api/v1/catalogs/lake/schemas",
        "/api/v1/catalogs/lake/schemas/default/tables?include=columns",
        "/api/v1/catalogs/lake/schemas/default/tables/cpu",
        "/api/v1/tables?limit=1000&include=columns",
        "/api/v1/measurements",
        "/api/v1/auth/tokens",
        "/api/v1/queries",
        "/api/v1/audit?limit=1000",
        "/api/v1/assets",
        "/api/v1/asset-graph",
        "/api/v1/checks",
        "/api/v1/jobs",
        "/api/v1/pipelines",
        "/api/v1/runs",
        "/api/v1/events?after=0",
        "/api/v1/search?q=marker&limit=100",
        "/api/v1/lineage/cpu?depth=100&columns=true",
        "/api/v1/tables/cpu/provenance?depth=100",
        "/api/v1/auth/verify",
        "/ping",
        "/health",
        "/ready",
        "/openapi.json",
    ] {
        let answer = client.send("GET", path, &[], "").await.expect("an answer");
        assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text);
        texts.push((path.to_owned(), answer.text));
    }
    texts
}

/// Every declared system table: a new one is in this test by itself.
fn cenote_catalog_tables() -> Vec<&'static str> {
    cenote_testkit::node::system_tables()
}
