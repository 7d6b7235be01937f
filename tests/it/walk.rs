//! The two-tenant gate: every route of the document, walked by a stranger who knows how the objects of another tenant are called. A
//! route that names an object and has no entry here fails.

use cenote_testkit::client::{Answer, Client};
use cenote_testkit::node::TestNode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::rights::{of_any, statements, token};

/// Every route; it is compared with the build elsewhere.
const DOCUMENT: &str = include_str!("../../crates/http/openapi.json");

/// A route: method, and path with its parameters in braces.
fn routes() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, methods): (&String, &Value)| {
        let methods: Vec<String> = methods.as_object().expect("methods").keys().cloned().collect();
        methods.into_iter().map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

async fn ask(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(method, path, &[("x-request-id", "walk")], body).await.expect("an answer")
}

async fn sent(client: &Client, path: &str, body: Value) -> Value {
    let answer = ask(client, "POST", path, &body).await;
    assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text);
    answer.json()
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What is asked of an object, where a request without a body would not come so far.
fn body(method: &str, path: &str) -> Value {
    match (method, path) {
        ("PATCH", "/api/v1/auth/tokens/{id}") => json!({"description": "taken"}),
        ("PATCH", "/api/v1/pipelines/{id}") => json!({"stop": "immediate"}),
        ("PATCH", "/api/v1/assets/{key}") => json!({"paused": true}),
        ("PATCH", "/api/v1/checks/{id}") => json!({"severity": "warning"}),
        ("PATCH", "/api/v1/catalogs/{catalog}/schemas/{schema}/tables/{table}") => {
            json!({"description": "taken"})
        }
        ("PATCH", "/api/v1/tenants/{tenant}") => json!({"state": "suspended"}),
        ("POST", "/api/v1/holds/{id}") => json!({"ttl": 60}),
        ("POST" | "DELETE", "/api/v1/roles/{role}/members") => json!({"kind": "token", "name": "admin"}),
        ("GET" | "DELETE" | "OPTIONS", _) => Value::Null,
        _ => json!({}),
    }
}

/// What the tenant has: by the beginning of the paths that name it, an object of it and one that nobody has, both of one length.
async fn things(acme: &Client) -> Vec<(&'static str, String, String)> {
    for sql in [
        "CREATE SCHEMA marker_schema",
        "CREATE TABLE marker_table (n BIGINT)",
        "INSERT INTO marker_table VALUES (1)",
        "CREATE TABLE marker_out (n BIGINT)",
        "CREATE ROLE marker_role",
        "GRANT SELECT ON TABLE marker_table TO ROLE marker_role",
        "CREATE PIPELINE marker_pipeline WITH (desired = 'paused') AS INSERT INTO marker_out SELECT n FROM marker_table",
        "CREATE ASSET marker_asset AS SELECT n FROM marker_table",
        "CREATE CHECK marker_check ON marker_asset AS UNIQUE (n)",
    ] {
        acme.sql(sql).await;
    }
    acme.write("marker_cpu,marker_tag=marker_host marker_field=1 1").await;
    acme.sql("FLUSH marker_cpu").await;
    acme.sql("PUBLISH METADATA").await;
    token(acme, "marker_token", &[]).await;
    let run = acme.sql("MATERIALIZE ASSET marker_asset WAIT").await[0][0].clone();
    let check = acme.sql("SELECT check_id FROM system.flow.checks").await[0][0].clone();
    let tokens = "SELECT id FROM system.access.tokens WHERE name = 'marker_token'";
    let token = acme.sql(tokens).await[0][0].clone();
    let head = acme.sql("SELECT max(txn) FROM snapshots('marker_table')").await[0][0].clone();
    let hold = sent(acme, "/api/v1/holds", json!({"table": "marker_table", "txn": head, "ttl": 3600})).await;
    let list = async |path: &str, key: &str| {
        let answer = ask(acme, "GET", path, &Value::Null).await.json();
        answer[key].as_array().expect("a list")[0]["id"].clone()
    };
    let pipeline = acme.sql("SELECT pipeline_id FROM system.stream.pipelines").await[0][0].clone();
    let job = list("/api/v1/jobs", "data").await;
    let query = acme.sql("SELECT id FROM system.runtime.queries LIMIT 1").await[0][0].clone();
    let commit = json!("019a0000-0000-7000-8000-000000000001");
    let named = |prefix, name: &str| (prefix, name.to_owned(), name.replace("marker", "nobody"));
    // Ids are told apart by their last characters, which are random.
    let numbered = |prefix, id: &Value| {
        let (id, mut other) = (word(id), word(id));
        let last = if other.pop() == Some('7') { '3' } else { '7' };
        other.push(last);
        (prefix, id, other)
    };
    let token = word(&token);
    let unknown = format!("9{}", &token[1..]);
    vec![
        named("/api/v1/assets/", "default.marker_asset"),
        ("/api/v1/auth/tokens/", token, unknown),
        named("/api/v1/catalogs/lake/schemas/default/tables/", "marker_table"),
        named("/api/v1/catalogs/lake/schemas/", "marker_schema"),
        numbered("/api/v1/checks/", &check),
        numbered("/api/v1/commits/", &commit),
        named("/api/v1/databases/", "marker_schema"),
        numbered("/api/v1/holds/", &hold["hold_id"]),
        numbered("/api/v1/jobs/", &job),
        named("/api/v1/lineage/", "default.marker_table"),
        named("/api/v1/measurements/", "marker_cpu"),
        numbered("/api/v1/pipelines/", &pipeline),
        numbered("/api/v1/queries/", &query),
        named("/api/v1/roles/", "marker_role"),
        numbered("/api/v1/runs/", &run),
        named("/api/v1/tables/", "default.marker_table"),
        ("/api/v1/tenants/", "acme".to_owned(), "ecma".to_owned()),
        // What is signed is its own credential: here are two that nobody signed.
        ("/files/", "9999999999.marker.c2lnbmF0dXJl".to_owned(), "9999999999.nobody.c2lnbmF0dXJl".to_owned()),
    ]
}

/// The path with what every tenant has in it: its catalog, and the schema around a table.
fn in_own(path: &str) -> String {
    let path = path.replace("{catalog}", "lake");
    if path.contains("{schema}/tables/{table}") { path.replace("{schema}", "default") } else { path }
}

/// The path with its parameters filled: the object first.
fn filled(path: &str, id: &str) -> String {
    let mut first = Some(id);
    let part = |part: &str| match part {
        "{column}" => "n".to_owned(),
        "{*path}" | "{path}" => "acme/tables/x.parquet".to_owned(),
        part if part.starts_with('{') => first.take().expect("one object in a path").to_owned(),
        part => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// What the tenant has, as it sees it.
async fn possessions(acme: &Client) -> Vec<Vec<Vec<Value>>> {
    let mut all = Vec::new();
    for sql in [
        "SELECT name, enabled, description FROM system.access.tokens ORDER BY 1",
        "SELECT role, member FROM system.access.role_members ORDER BY 1, 2",
        "SELECT name FROM system.access.roles ORDER BY 1",
        "SELECT schema_name, table_name FROM system.catalog.tables ORDER BY 1, 2",
        "SELECT name, desired FROM system.stream.pipelines ORDER BY 1",
        "SELECT name, severity FROM system.flow.checks ORDER BY 1",
        "SELECT name, state FROM system.flow.jobs ORDER BY 1",
        "SELECT state FROM system.flow.runs WHERE kind = 'asset' ORDER BY 1",
        "SELECT count(*) FROM system.storage.holds",
    ] {
        all.push(acme.sql(sql).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_learns_and_changes_nothing_of_another_tenant_by_any_route() {
    let node = TestNode::start().await;
    let acme = node.tenant("acme", "").await;
    let stranger = node.second_tenant("stranger").await;
    let things = things(&acme).await;
    let before = possessions(&acme).await;
    let mut routes = routes();
    assert!(routes.len() > 100, "the document has its routes");
    // Lists come before the stranger has said a name: what one has asked is told again to oneself.
    routes.sort_by_key(|(_, path)| in_own(path).contains('{'));
    assert_eq!(learned(&stranger, &things, &routes).await, Vec::<String>::new());
    assert_eq!(possessions(&acme).await, before);
}

/// What a stranger learns of things by routes.
async fn learned(
    stranger: &Client,
    things: &[(&'static str, String, String)],
    routes: &[(String, String)],
) -> Vec<String> {
    let mut learned = Vec::new();
    for (method, path) in routes {
        let (body, path) = (body(method, path), &in_own(path));
        if !path.contains('{') {
            let answer = ask(stranger, method, path, &body).await;
            if answer.text.contains("marker") {
                learned.push(format!("{method} {path} shows: {}", answer.text));
            }
            continue;
        }
        let thing = things.iter().find(|(prefix, ..)| path.starts_with(prefix));
        let Some((_, theirs, nobodys)) = thing else {
            learned.push(format!("{method} {path} names an object and has no entry"));
            continue;
        };
        let mut answers = Vec::new();
        for id in [theirs, nobodys] {
            let answer = ask(stranger, method, &filled(path, id), &body).await;
            // Of what has a schema before its name, that is told alone too.
            let name = id.rsplit('.').next().unwrap_or(id);
            let text = answer.text.replace(id.as_str(), "ID").replace(name, "ID");
            if text.contains("marker") {
                learned.push(format!("{method} {path} shows: {text}"));
            }
            answers.push((answer.status, text));
        }
        if answers[0] != answers[1] {
            learned.push(format!("{method} {path} tells: {answers:?}"));
        }
    }
    learned
}

/// A door whose routes forgot the tenant: whoever asks for what is there gets it.
async fn door_without_scope(tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a caller");
            let mut stream = BufReader::new(stream);
            let mut asked = String::new();
            stream.read_line(&mut asked).await.expect("a request");
            let mut header = asked.clone();
            while !header.trim().is_empty() {
                header.clear();
                stream.read_line(&mut header).await.expect("a header");
            }
            let (status, text) = match asked {
                asked if asked.contains("/leaking") => ("200 OK", r#"{"name":"marker_table"}"#),
                asked if asked.contains("marker") => ("403 Forbidden", "{}"),
                _ => ("404 Not Found", "{}"),
            };
            let length = text.len();
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
            stream.write_all(answer.as_bytes()).await.expect("answered");
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_finds_a_route_that_forgot_the_tenant_and_one_that_it_does_not_know() {
    let mut tasks = JoinSet::new();
    let stranger = Client::new(door_without_scope(&mut tasks).await, "");
    let things = [("/api/v1/roles/", "marker_role".to_owned(), "nobody_role".to_owned())];
    let route = |path: &str| [("GET".to_owned(), path.to_owned())];
    for (path, expected) in [
        ("/api/v1/roles/{role}/made_up", "tells: [(403"),
        ("/api/v1/roles/{role}/leaking", "shows: "),
        ("/api/v1/leaking", "shows: "),
        ("/api/v1/made_up/{id}", "has no entry"),
    ] {
        let learned = learned(&stranger, &things, &route(path)).await;
        assert!(learned.len() == 1 || path.ends_with("leaking"), "{path}: {learned:?}");
        assert!(learned.iter().all(|text| text.contains(expected)), "{path}: {learned:?}");
        assert!(!learned.is_empty(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_learns_and_changes_nothing_of_another_tenant_by_any_statement() {
    let node = TestNode::start().await;
    let acme = node.tenant("acme", "").await;
    let stranger = node.second_tenant("stranger").await;
    things(&acme).await;
    let before = possessions(&acme).await;
    let mut asked = 0;
    for thing in ["table", "schema", "asset", "pipeline", "role", "token", "check"] {
        let (theirs, nobodys) = (format!("marker_{thing}"), format!("nobody_{thing}"));
        for (of_theirs, of_nobodys) in statements(&theirs).into_iter().zip(statements(&nobodys)) {
            let told = async |sql: &str, name: &str| {
                let answer = stranger.try_sql(sql).await.expect("an answer");
                (answer.status, of_any(&answer.text, &[name.to_owned()]))
            };
            let (one, other) = (told(&of_theirs, &theirs).await, told(&of_nobodys, &nobodys).await);
            assert!(!one.1.contains("marker"), "{of_theirs}: {}", one.1);
            assert_eq!(one, other, "{of_theirs}");
            asked += 1;
        }
    }
    assert!(asked > 200, "all of them");
    assert_eq!(possessions(&acme).await, before);
}
