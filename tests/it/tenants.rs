//! Tenants by statements and over REST: made, suspended, let go on, dropped; who may, and where their objects are.

use std::path::Path;

use arrow::array::AsArray as _;
use cenote_testkit::client::{Answer, Client, postgres};
use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use cenote_testkit::{PATIENCE, needs, settles};
use serde_json::{Value, json};

use crate::rights::{code, outcome, token};

/// What a dropped tenant leaves goes at once.
const AT_ONCE: [(&str, &str); 1] = [("table.orphan_grace", "0s")];

async fn node(kind: CatalogKind, settings: &[(&str, &str)]) -> Option<TestNode> {
    let node = TestNode::with(kind, StorageKind::Disk, settings).await;
    if node.is_none() {
        needs("PostgreSQL", false);
    }
    node
}

async fn send(client: &Client, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(method, path, &[], body).await.expect("an answer")
}

/// Paths of the files below a directory.
fn files(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            found.push(entry.display().to_string());
        }
    }
    found
}

async fn states(operator: &Client) -> Value {
    json!(operator.sql("SELECT name, state FROM system.access.tenants ORDER BY name").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_operates_the_deployment_makes_and_sees_tenants() {
    let node = TestNode::start().await;
    let operator = node.client();
    let acme = node.tenant("acme", "WITH (description = 'the first')").await;
    // Its own admin, another admin of the operating tenant, and somebody with nothing but a right or two.
    let second = token(&operator, "second", &["admin"]).await;
    let ada = token(&operator, "ada", &["read", "write", "delete"]).await;
    for client in [&acme, &second, &ada] {
        for sql in [
            "CREATE TENANT b",
            "ALTER TENANT acme SUSPEND",
            "ALTER TENANT acme SET (description = 'x')",
            "DROP TENANT acme CASCADE",
            "DROP TENANT IF EXISTS b",
            "SHOW TENANTS",
            "SELECT * FROM system.access.tenants",
        ] {
            assert_eq!(outcome(client, sql).await.1, "42501", "{sql}");
        }
        for (method, path, body) in [
            ("GET", "/api/v1/tenants", Value::Null),
            ("POST", "/api/v1/tenants", json!({"name": "b"})),
            ("GET", "/api/v1/tenants/acme", Value::Null),
            ("PATCH", "/api/v1/tenants/acme", json!({"state": "suspended"})),
            ("DELETE", "/api/v1/tenants/acme", Value::Null),
            ("GET", "/api/v1/tenants/nowhere", Value::Null),
            ("POST", "/api/v1/tenants/acme/tokens", json!({})),
            ("POST", "/api/v1/tenants/nowhere/tokens", json!({})),
        ] {
            let answer = send(client, method, path, body).await;
            let told = (answer.status, answer.json()["sqlstate"].clone());
            assert_eq!(told, (403, json!("42501")), "{method} {path}: {}", answer.text);
        }
    }
    assert_eq!(outcome(&acme, "GRANT ROLE operator TO TOKEN admin").await.1, "42704");
    assert_eq!(outcome(&acme, "CREATE ROLE operator").await.1, "42939");
    assert!(!json!(acme.sql("SELECT name FROM system.access.roles").await).to_string().contains("operator"));
    assert_eq!(outcome(&second, "GRANT ROLE operator TO TOKEN second").await.1, "42501");

    // Who manages the tenant takes no operator's token over.
    let tokens = send(&second, "GET", "/api/v1/auth/tokens", Value::Null).await.json();
    let id = |name: &str| {
        let all = tokens["tokens"].as_array().expect("tokens");
        all.iter().find(|token| token["name"] == name).expect("it is there")["id"].clone()
    };
    for (method, path) in [
        ("POST", format!("/api/v1/auth/tokens/{}/rotate", id("admin"))),
        ("POST", format!("/api/v1/auth/tokens/{}/revoke", id("admin"))),
        ("PATCH", format!("/api/v1/auth/tokens/{}", id("admin"))),
        ("DELETE", format!("/api/v1/auth/tokens/{}", id("admin"))),
    ] {
        let answer = send(&second, method, &path, json!({})).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
    }
    let rotated =
        send(&second, "POST", &format!("/api/v1/auth/tokens/{}/rotate", id("ada")), Value::Null).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);

    // The role is what counts, and it counts at once.
    operator.sql("GRANT ROLE operator TO TOKEN second").await;
    assert_eq!(states(&second).await, json!([["acme", "active"], ["default", "active"]]));
    second.sql("CREATE TENANT b").await;
    let may = json!({"privilege": "MANAGE", "object": {"kind": "deployment"}});
    let told = send(&second, "POST", "/api/v1/authorize", may.clone()).await.json();
    assert_eq!((&told["allowed"], &told["reason"]), (&json!(true), &json!("by role operator")));
    operator.sql("REVOKE ROLE operator FROM TOKEN second").await;
    assert_eq!(outcome(&second, "SHOW TENANTS").await.1, "42501");
    assert_eq!(send(&second, "POST", "/api/v1/authorize", may).await.json()["allowed"], false);
    // It gives no right in a tenant.
    operator.sql("CREATE TABLE t (n BIGINT)").await;
    let nobody = token(&operator, "nobody", &[]).await;
    operator.sql("GRANT ROLE operator TO TOKEN nobody").await;
    nobody.sql("SHOW TENANTS").await;
    assert_eq!(outcome(&nobody, "SELECT * FROM t").await.0, 404);
    assert_eq!(outcome(&nobody, "CREATE SCHEMA x").await.1, "42501");
}

async fn by_paths(kind: CatalogKind) {
    let Some(node) = node(kind, &AT_ONCE).await else { return };
    let operator = node.client();
    let made =
        send(&operator, "POST", "/api/v1/tenants", json!({"name": "Acme", "description": "one"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let tenant = made.json();
    assert_eq!(
        (&tenant["name"], &tenant["state"], &tenant["description"], &tenant["storageRoot"]),
        (&json!("acme"), &json!("active"), &json!("one"), &Value::Null)
    );
    for (body, status) in [
        (json!({"name": "acme"}), 409),
        (json!({"name": "../acme"}), 400),
        (json!({"name": "b", "color": "red"}), 400),
        (json!({}), 400),
        (json!({"name": "b", "storage_root": "/etc"}), 403),
    ] {
        let answer = send(&operator, "POST", "/api/v1/tenants", body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
    }
    let path = "/api/v1/tenants/acme";
    for (body, status) in [
        (json!({"state": "asleep"}), 400),
        (json!({"state": "active", "description": "x"}), 400),
        (json!({}), 400),
        (json!({"storage_root": "/x"}), 400),
    ] {
        assert_eq!(send(&operator, "PATCH", path, body.clone()).await.status, status, "{body}");
    }
    let changed = send(&operator, "PATCH", path, json!({"description": "two"})).await;
    assert_eq!((changed.status, &changed.json()["description"]), (200, &json!("two")));
    assert_eq!(send(&operator, "GET", "/api/v1/tenants/nowhere", Value::Null).await.status, 404);
    let page = send(&operator, "GET", "/api/v1/tenants?limit=1", Value::Null).await.json();
    assert_eq!(page["data"][0]["name"], "acme");
    let rest = format!("/api/v1/tenants?limit=1&cursor={}", page["nextCursor"].as_str().expect("more"));
    assert_eq!(send(&operator, "GET", &rest, Value::Null).await.json()["data"][0]["name"], "default");

    // Its first token is an admin's; what it makes is the tenant's own.
    let token = send(&operator, "POST", "/api/v1/tenants/acme/tokens", json!({"expires_in": "7d"})).await;
    assert_eq!((token.status, &token.json()["permissions"]), (201, &json!(["admin"])), "{}", token.text);
    let secret = token.json()["token"].as_str().expect("a secret").to_owned();
    let acme = operator.with_token(&secret);
    acme.write("cpu,host=a usage=1 1").await;
    acme.sql("FLUSH cpu").await;
    acme.sql("CREATE VIEW v AS SELECT host FROM cpu").await;
    assert!(!files(&node.directory().join("lake/acme")).is_empty());
    // Both audits tell of it, and none of the secret; the history and its readers know no name.
    let audits = [
        send(&operator, "GET", "/api/v1/audit?limit=1000", Value::Null).await.text,
        send(&acme, "GET", "/api/v1/audit?limit=1000", Value::Null).await.text,
    ];
    assert!(audits[0].contains("tenant acme") && audits[0].contains("create_tenant"), "{}", audits[0]);
    assert!(audits[1].contains("admin@default") && audits[1].contains("token admin"), "{}", audits[1]);
    assert!(audits.iter().all(|audit| !audit.contains(&secret)));
    let events = send(&operator, "GET", "/api/v1/events?after=0", Value::Null).await.text;
    assert!(events.contains("tenant.created") && !events.contains("acme"), "{events}");

    // It has objects, so that it goes only with them: its token at once, its files soon, and then its name.
    let refused = send(&operator, "DELETE", path, Value::Null).await;
    assert_eq!((refused.status, &refused.json()["sqlstate"]), (409, &json!("2BP01")), "{}", refused.text);
    acme.write("late,host=a usage=1 1").await; // and is not flushed
    assert_eq!(send(&operator, "DELETE", &format!("{path}?cascade=true"), Value::Null).await.status, 204);
    assert_eq!(acme.try_sql("SELECT 1").await.expect("an answer").status, 401);
    assert_eq!(acme.try_write("cpu usage=1 1").await.expect("an answer").status, 401);
    let mut config = node.postgres(&acme);
    config.user("admin@acme");
    let refused = postgres(&config).await.expect_err("refused");
    assert_eq!(refused.as_db_error().expect("a database error").code().code(), "28P01");
    settles("the tenant to be collected", PATIENCE * 3, async || {
        states(&operator).await == json!([["default", "active"]])
    })
    .await;
    assert_eq!(files(&node.directory().join("lake/acme")), [""; 0]);
    assert_eq!(files(&node.directory().join("lake/_cenote/meta/acme")), [""; 0]);
    assert_eq!(send(&operator, "DELETE", path, Value::Null).await.status, 404);

    // Another of the name has nothing of it, also after its rows in the log were read again.
    let again = node.tenant("acme", "").await;
    assert_eq!(again.number("SELECT count(*) FROM system.catalog.tables").await, 0);
    again.write("cpu,host=b usage=2 1").await;
    assert_eq!(acme.try_sql("SELECT 1").await.expect("an answer").status, 401);
    let mut node = node;
    node.crash().await;
    let again = again_at(&node, &again);
    assert_eq!(json!(again.sql("SELECT host FROM cpu").await), json!([["b"]]));
}

/// The same token on the node's newest port.
fn again_at(node: &TestNode, client: &Client) -> Client {
    Client::new(node.url(), client.token.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_made_and_dropped_by_paths_on_sqlite() {
    by_paths(CatalogKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_made_and_dropped_by_paths_on_postgresql() {
    by_paths(CatalogKind::Postgres).await;
}

async fn suspended(kind: CatalogKind) {
    let Some(mut node) = node(kind, &[]).await else { return };
    let operator = node.client();
    let acme = node.tenant("acme", "").await;
    acme.sql("CREATE TABLE t (n BIGINT)").await;
    acme.sql("CREATE MATERIALIZED VIEW v AS SELECT n, count(*) AS c FROM t GROUP BY n").await;
    acme.sql("INSERT INTO t VALUES (1)").await;
    settles("the view to be filled", PATIENCE, async || acme.number("SELECT count(*) FROM v").await == 1)
        .await;
    acme.write("cpu,host=a usage=1 1").await; // acknowledged, and not flushed
    let signed = {
        acme.sql("FLUSH t").await;
        let urls = send(&acme, "POST", "/api/v1/tables/default.t/urls", json!({})).await;
        assert_eq!(urls.status, 200, "{}", urls.text);
        urls.json()["urls"][0]["url"].as_str().expect("a URL").to_owned()
    };
    let fetch = async || Client::new(&signed, "").send("GET", "", &[], "").await.expect("an answer");
    assert_eq!(fetch().await.status, 200);
    let mut config = node.postgres(&acme);
    config.user("admin@acme");
    let wire = postgres(&config).await.expect("connected");
    assert_eq!(code(&wire, "SELECT * FROM t").await, "");

    let answer = send(&operator, "PATCH", "/api/v1/tenants/acme", json!({"state": "suspended"})).await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("suspended")), "{}", answer.text);
    assert!(answer.json()["stateSince"].is_string(), "{}", answer.text);
    for (method, path, body) in [
        ("POST", "/api/v1/sql", json!({"sql": "SELECT 1"})),
        ("POST", "/api/v1/query", json!({"sql": "SELECT 1"})),
        ("GET", "/api/v1/databases", Value::Null),
        ("GET", "/api/v1/auth/verify", Value::Null),
        ("GET", "/api/v1/auth/tokens", Value::Null),
        ("GET", "/api/v1/events?after=0", Value::Null),
        ("GET", "/metrics", Value::Null),
        ("GET", "/api/v1/no/such/path", Value::Null),
    ] {
        let answer = send(&acme, method, path, body).await;
        let told = (answer.status, answer.json()["reason"].clone(), answer.json()["sqlstate"].clone());
        assert_eq!(
            told,
            (403, json!("tenant_suspended"), json!("28000")),
            "{method} {path}: {}",
            answer.text
        );
    }
    let write = acme.try_write("cpu,host=b usage=2 2").await.expect("an answer");
    assert_eq!((write.status, &write.json()["reason"]), (403, &json!("tenant_suspended")), "{}", write.text);
    assert_eq!(fetch().await.status, 403, "a signed URL is of its tenant too");
    // Who is connected gets no answer any more, and nobody connects; who proves nothing learns nothing.
    assert!(wire.simple_query("SELECT * FROM t").await.is_err());
    settles("the connection to be closed", PATIENCE, async || wire.is_closed()).await;
    let refused = postgres(&config).await.expect_err("refused");
    let refused = refused.as_db_error().expect("a database error");
    assert_eq!((refused.code().code(), refused.message()), ("28000", "tenant \"acme\" is suspended"));
    let mut wrong = config.clone();
    wrong.password("wrong");
    let refused = postgres(&wrong).await.expect_err("refused");
    assert_eq!(refused.as_db_error().expect("a database error").code().code(), "28P01");
    let stranger = acme.with_token("cnt_wrong");
    assert_eq!(stranger.try_sql("SELECT 1").await.expect("an answer").status, 401);
    // Others go on.
    operator.write("cpu,host=o usage=1 1").await;
    assert_eq!(operator.number("SELECT count(*) FROM cpu").await, 1);

    // A restart changes nothing of it, and loses nothing.
    node.crash().await;
    let (operator, acme) = (node.client(), again_at(&node, &acme));
    assert_eq!(states(&operator).await, json!([["acme", "suspended"], ["default", "active"]]));
    assert_eq!(acme.try_sql("SELECT 1").await.expect("an answer").status, 403);
    let jobs = async || {
        let catalog = &node.node().services.catalog;
        let scope = catalog.tenant("acme").await.expect("a catalog").expect("it is there");
        catalog.system_rows(&scope, "flow.jobs").await.expect("read")
    };
    let before = jobs().await;
    operator.sql("CREATE TABLE other (n BIGINT)").await; // which makes the jobs look around
    operator.sql("RUN JOB expire").await;
    assert_eq!(jobs().await, before, "nothing runs");

    operator.sql("ALTER TENANT acme RESUME").await;
    assert_eq!(acme.number("SELECT count(*) FROM t").await, 1);
    assert_eq!(
        json!(acme.sql("SELECT host FROM cpu").await),
        json!([["a"]]),
        "what was refused is not there"
    );
    acme.sql("INSERT INTO t VALUES (2)").await;
    settles("the view to go on", PATIENCE, async || acme.number("SELECT count(*) FROM v").await == 2).await;
    assert_eq!(acme.number("SELECT CAST(sum(c) AS BIGINT) FROM v").await, 2, "each row once");
    let mut config = node.postgres(&acme);
    config.user("admin@acme");
    let wire = postgres(&config).await.expect("connected");
    assert_eq!(code(&wire, "SELECT * FROM t").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenant_is_let_in_nowhere_and_goes_on_without_loss_on_sqlite() {
    suspended(CatalogKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenant_is_let_in_nowhere_and_goes_on_without_loss_on_postgresql() {
    suspended(CatalogKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_suspended_tenant_is_given_back_and_done_when_it_goes_on() {
    let node = TestNode::start().await;
    let operator = node.client();
    let acme = node.tenant("acme", "").await;
    // It takes longer than the test has patience for, unless it is ended.
    let endless = "SELECT sum(a.value % 7 + b.value % 5) AS n \
                   FROM generate_series(1, 1000000) AS a CROSS JOIN generate_series(1, 1000000) AS b";
    acme.sql(&format!("CREATE ASSET endless AS {endless}")).await;
    acme.sql("MATERIALIZE ASSET endless").await;
    let catalog = &node.node().services.catalog;
    let scope = catalog.tenant("acme").await.expect("a catalog").expect("it is there");
    let is = async |wanted: &str| {
        let rows = catalog.system_rows(&scope, "flow.tasks").await.expect("read");
        let states = rows.column_by_name("state").expect("a column").as_string::<i32>().clone();
        states.iter().flatten().all(|state| state == wanted)
    };
    settles("the task to run", PATIENCE, async || is("RUNNING").await).await;
    operator.sql("ALTER TENANT acme SUSPEND").await;
    settles("the task to be given back", PATIENCE, async || is("READY").await).await;
    operator.sql("CREATE TABLE t (n BIGINT)").await; // which makes the jobs look around
    operator.sql("RUN JOB expire").await;
    assert!(is("READY").await, "it is not begun again");
    operator.sql("ALTER TENANT acme RESUME").await;
    settles("the task to run again", PATIENCE, async || is("RUNNING").await).await;
}

async fn rooted(kind: CatalogKind) {
    let place = tempfile::tempdir().expect("a directory");
    let root = place.path().join("roots");
    let allowed = place.path().display().to_string();
    let settings = [AT_ONCE[0], ("security.allowed_paths", allowed.as_str())];
    let Some(mut node) = node(kind, &settings).await else { return };
    let options = format!("WITH (storage_root = '{}')", root.display());
    let acme = node.tenant("acme", &options).await;
    let beta = node.tenant("beta", "").await;
    for client in [&acme, &beta] {
        client.write("cpu,host=a usage=1 1\ncpu,host=b usage=2 2").await;
        client.sql("FLUSH cpu").await;
        client.sql("CREATE TABLE t (n BIGINT)").await;
        client.sql("INSERT INTO t SELECT value FROM generate_series(1, 1000)").await;
        client.sql("FLUSH t").await;
        client.sql("DELETE FROM t WHERE n <= 10").await;
        client.sql("PUBLISH METADATA").await;
    }
    let lake = node.directory().join("lake");
    assert!(files(&root).iter().any(|file| file.contains("/acme/tables/")), "{:?}", files(&root));
    assert!(files(&root).iter().any(|file| file.contains("/_cenote/meta/acme/")), "{:?}", files(&root));
    assert!(files(&root).iter().all(|file| !file.contains("beta")), "{:?}", files(&root));
    assert!(files(&lake).iter().all(|file| !file.contains("acme")), "{:?}", files(&lake));
    assert!(files(&lake).iter().any(|file| file.contains("/beta/tables/")), "{:?}", files(&lake));
    let urls = send(&acme, "POST", "/api/v1/tables/default.cpu/urls", json!({})).await;
    let url = urls.json()["urls"][0]["url"].as_str().expect("a URL").to_owned();
    assert_eq!(Client::new(url, "").send("GET", "", &[], "").await.expect("an answer").status, 200);

    node.restart().await;
    let (operator, acme) = (node.client(), again_at(&node, &acme));
    assert_eq!(acme.number("SELECT count(*) FROM t").await, 990);
    acme.sql("OPTIMIZE TABLE t FULL").await;
    acme.sql("VACUUM ALL KEEP 0 HOURS FORCE").await;
    assert_eq!(acme.number("SELECT count(*) FROM t").await, 990);
    assert_eq!(acme.number("SELECT count(*) FROM cpu").await, 2);
    let shown = send(&operator, "GET", "/api/v1/tenants/acme", Value::Null).await.json();
    assert_eq!(shown["storageRoot"], root.display().to_string());
    operator.sql("DROP TENANT acme CASCADE").await;
    settles("the tenant to be collected", PATIENCE * 3, async || {
        states(&operator).await == json!([["beta", "active"], ["default", "active"]])
    })
    .await;
    assert_eq!(files(&root), [""; 0]);
    let beta = again_at(&node, &beta);
    assert_eq!(beta.number("SELECT count(*) FROM t").await, 990);
    // Another of its name is where it says, not where the first was.
    let again = node.tenant("acme", "").await;
    again.write("cpu,host=c usage=3 3").await;
    again.sql("FLUSH cpu").await;
    assert_eq!(files(&root), [""; 0]);
    assert_eq!(again.number("SELECT count(*) FROM cpu").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_tenant_are_below_its_root_on_sqlite() {
    rooted(CatalogKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_tenant_are_below_its_root_on_postgresql() {
    rooted(CatalogKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_the_node_are_its_operators_and_a_tenants_admin_sees_its_own() {
    let node = TestNode::start().await;
    let operator = node.client();
    let acme = node.tenant("acme", "").await;
    for client in [&operator, &acme] {
        client.sql("CREATE TABLE t (n BIGINT)").await;
        client.sql("CREATE MATERIALIZED VIEW v AS SELECT n FROM t").await;
        client.sql("INSERT INTO t VALUES (1)").await;
    }
    let own = "cenote_pipeline_epoch{tenant=\"acme\"";
    let metrics = async |client: &Client| send(client, "GET", "/metrics", Value::Null).await.text;
    settles("its pipeline in the metrics", PATIENCE, async || metrics(&acme).await.contains(own)).await;
    let theirs = metrics(&acme).await;
    let samples: Vec<&str> = theirs.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(samples.iter().all(|line| line.contains("tenant=\"acme\"")), "{samples:?}");
    let all = metrics(&operator).await;
    assert!(all.contains(own) && all.contains("cenote_http_requests_total{"), "{all}");
    let second = token(&operator, "second", &["admin"]).await;
    assert!(!metrics(&second).await.contains("tenant=\"acme\""));
}
