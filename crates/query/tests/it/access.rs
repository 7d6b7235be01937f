//! What a principal may not see does not exist for it.

use cenote_catalog::{Grant, NewToken};
use cenote_testkit::engine::{TestEngine, node};
use cenote_vocab::{Fault, Permission, Permissions};

async fn restricted(node: &TestEngine, permissions: Vec<Permission>) -> cenote_catalog::Identity {
    let new = NewToken {
        name: "restricted".into(),
        description: String::new(),
        permissions: Permissions::NONE,
        grants: vec![Grant { database: "default".into(), measurement: "open*".into(), permissions }],
        default_database: None,
        expires: None,
    };
    let (_, secret) = node.lake.catalog.create_token(&node.scope, new, None).await.expect("succeeds");
    node.lake.catalog.authenticate(&secret).await.expect("succeeds")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hidden_table_reads_like_a_missing_one() {
    let node = node().await;
    let admin = node.session().await;
    for table in ["open_a", "secret"] {
        admin.rows(&format!("CREATE TABLE {table} (id INT)")).await;
    }
    let client = node.session_of(restricted(&node, vec![Permission::Read]).await).await;
    assert_eq!(client.rows("SELECT count(*) FROM open_a").await, ["0"]);
    let hidden = client.error("SELECT * FROM secret").await;
    let missing = client.error("SELECT * FROM secres").await;
    assert_eq!(hidden.to_string().replace("secret", "x"), missing.to_string().replace("secres", "x"));
    assert_eq!((hidden.sqlstate().0, hidden.hint(), missing.hint()), ("42P01", None, None));
    assert_eq!(client.rows("SHOW TABLES").await.len(), 1);
    assert_eq!(client.rows("SELECT table_name FROM system.catalog.tables").await, ["open_a"]);
    assert_eq!(client.code("SELECT * FROM system.access.tokens").await, "42501");
    assert_eq!(client.code("INSERT INTO open_a VALUES (1)").await, "42501");
    assert_eq!(client.code("INSERT INTO secret VALUES (1)").await, "42P01");
    assert_eq!(client.code("DROP TABLE open_a").await, "42501");
    assert_eq!(client.code("CREATE SCHEMA x").await, "42501");
    assert_eq!(client.code("VACUUM FORCE").await, "42501");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_on_some_tables_is_none_on_their_schema() {
    let node = node().await;
    let admin = node.session().await;
    admin.rows("CREATE TABLE secret (id INT)").await;
    let rights = vec![Permission::Read, Permission::Write, Permission::Delete];
    let client = node.session_of(restricted(&node, rights).await).await;
    client.rows("CREATE TABLE open_a (id INT)").await;
    client.rows("ALTER TABLE open_a SET (retention = '90d')").await;
    for sql in [
        "ALTER SCHEMA \"default\" SET (retention = '1d')",
        "ALTER SCHEMA \"default\" RESET (history_keep)",
        "DROP SCHEMA \"default\" CASCADE",
    ] {
        assert_eq!(client.code(sql).await, "42501", "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_write_takes_nothing_away() {
    let node = node().await;
    let admin = node.session().await;
    admin.rows("CREATE TABLE open_a (id INT PRIMARY KEY NOT ENFORCED, b INT)").await;
    admin.rows("INSERT INTO open_a VALUES (1, 1), (1, 2)").await;
    let client = node.session_of(restricted(&node, vec![Permission::Read, Permission::Write]).await).await;
    client.rows("ALTER TABLE open_a ADD COLUMN c INT").await;
    client.rows("ALTER TABLE open_a SET (dedup = 'last')").await;
    for sql in [
        "CREATE OR REPLACE TABLE open_a (z TEXT)",
        "OPTIMIZE open_a DEDUP",
        "ALTER TABLE open_a DROP COLUMN b",
        "ALTER TABLE open_a SET (retention = '1d')",
        "ALTER TABLE open_a SET (history_keep = '0')",
        "TRUNCATE open_a",
    ] {
        assert_eq!(client.code(sql).await, "42501", "{sql}");
    }
    assert_eq!(client.rows("SELECT count(b) FROM open_a").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_sees_nothing_of_another() {
    let node = node().await;
    let admin = node.session().await;
    admin.rows("CREATE TABLE cpu (id INT)").await;
    let other = node.lake.catalog.create_tenant("other").await.expect("succeeds");
    let client = node.session_of(node.lake.catalog.internal_identity(&other)).await;
    assert_eq!(client.code("SELECT * FROM cpu").await, "42P01");
    assert_eq!(client.rows("SHOW TABLES").await, Vec::<String>::new());
    assert_eq!(
        client
            .rows("SELECT count(*) FROM system.queries WHERE sql LIKE '%cpu%' AND sql LIKE 'CREATE%'")
            .await,
        ["0"]
    );
    client.rows("CREATE TABLE cpu (other INT)").await;
    assert_eq!(admin.rows("DESCRIBE cpu").await[0].split('|').next(), Some("id"));
}
