//! Catalogs, schemas and tables as objects over HTTP: what the statements make, with the same rights, one commit each.

use std::collections::BTreeSet;

use cenote_testkit::client::{Answer, Client};
use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::rights::token;

const SCHEMAS: &str = "/api/v1/catalogs/lake/schemas";
const TABLES: &str = "/api/v1/catalogs/lake/schemas/default/tables";
const RACERS: usize = 32;
const TWINS: usize = 20;

async fn send(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(method, path, headers, body).await.expect("an answer")
}

async fn get(client: &Client, path: &str) -> (u16, Value) {
    let answer = send(client, "GET", path, &[], Value::Null).await;
    (answer.status, answer.json())
}

async fn done(client: &Client, method: &str, path: &str, body: Value, status: u16) -> Value {
    let answer = send(client, method, path, &[], body).await;
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    assert!(answer.header("x-cenote-txn").is_some() || status >= 300, "{method} {path} tells its commit");
    if answer.text.is_empty() { Value::Null } else { answer.json() }
}

/// Status and reason of a refusal.
async fn refused(client: &Client, method: &str, path: &str, body: Value) -> (u16, String) {
    let answer = send(client, method, path, &[], body).await;
    let told = answer.json();
    assert_eq!(told["status"], answer.status, "{told}");
    assert!(told["code"].is_string(), "{told}");
    (answer.status, told["reason"].as_str().unwrap_or_default().to_owned())
}

fn cpu(name: &str) -> Value {
    json!({
        "name": name,
        "description": "how busy hosts are",
        "columns": [
            {"name": "time", "data_type": "TIMESTAMP", "nullable": false},
            {"name": "host", "data_type": "VARCHAR", "description": "whose"},
            {"name": "Usage", "dataType": "DOUBLE", "default": 0.5},
            {"name": "at", "data_type": "TIMESTAMPTZ", "default": {"function": "now"}},
        ],
        "partitionBy": ["day(time)"],
        "sort_by": ["host", "time DESC NULLS FIRST"],
        "properties": {"history_keep": "2d"},
        "labels": {"team": "core"},
    })
}

fn columns(table: &Value) -> Vec<String> {
    let columns = table["columns"].as_array().expect("columns").iter();
    columns.map(|column| column["name"].as_str().expect("a name").to_owned()).collect()
}

async fn race(kind: CatalogKind) {
    let Some(node) = TestNode::with(kind, StorageKind::Disk, &[]).await else { return };
    let client = node.client();
    let mut racing = JoinSet::new();
    for _ in 0..RACERS {
        let client = client.clone();
        racing.spawn(async move { send(&client, "POST", TABLES, &[], cpu("cpu")).await.status });
    }
    let mut statuses = racing.join_all().await;
    statuses.sort_unstable();
    let (first, rest) = statuses.split_first().expect("answers");
    assert_eq!((*first, rest), (201, [409; RACERS - 1].as_slice()));
    let listed = "SELECT count(*) FROM system.catalog.tables WHERE table_name = 'cpu'";
    assert_eq!(client.number(listed).await, 1);
    let created =
        "SELECT count(*) FROM system.meta.events WHERE kind = 'table.created' AND table_name = 'cpu'";
    assert_eq!(client.number(created).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_makes_a_table_of_a_name() {
    race(CatalogKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_makes_a_table_of_a_name_on_postgres() {
    race(CatalogKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_by_path_is_the_one_that_sql_sees() {
    let node = TestNode::start().await;
    let client = node.client();
    let made = done(&client, "POST", TABLES, cpu("cpu"), 201).await;
    assert_eq!(columns(&made), ["time", "host", "Usage", "at"]);
    assert_eq!(made["partition_by"], json!(["day(time)"]));
    assert_eq!(made["sort_by"], json!(["host", "time DESC NULLS FIRST"]));
    assert_eq!(
        (&made["labels"], &made["properties"]),
        (&json!({"team": "core"}), &json!({"history_keep": "2d"}))
    );
    let column = |at: usize| &made["columns"][at];
    assert_eq!((&column(0)["nullable"], &column(0)["data_type"]), (&json!(false), &json!("TIMESTAMP(6)")));
    assert_eq!((&column(1)["description"], &column(1)["position"]), (&json!("whose"), &json!(2)));
    assert_eq!(column(2)["default"], json!("0.5"));
    assert_eq!(column(3)["default"], json!({"function": "now"}));
    client.sql("INSERT INTO cpu (time, host) VALUES ('2026-01-01', 'a')").await;
    assert_eq!(client.sql("SELECT \"Usage\" FROM cpu WHERE at IS NOT NULL").await, [[json!(0.5)]]);
    assert_eq!(get(&client, &format!("{TABLES}/cpu")).await, (200, made.clone()));
    let answer = send(&client, "GET", &format!("{TABLES}/cpu"), &[], Value::Null).await;
    assert_eq!(answer.header("etag"), made["etag"].as_str());

    // Sent back as it was answered, it is the same table under another name.
    let again = json!({
        "name": "cpu2", "columns": made["columns"].as_array().expect("columns").iter().map(|column| json!({
            "name": column["name"], "data_type": column["data_type"], "nullable": column["nullable"],
            "default": column["default"], "description": column["description"],
        })).collect::<Vec<_>>(),
        "partition_by": made["partition_by"], "sort_by": made["sort_by"],
        "properties": made["properties"], "labels": made["labels"], "description": made["description"],
    });
    let twin = done(&client, "POST", TABLES, again, 201).await;
    for member in ["partition_by", "sort_by", "properties", "labels", "description", "columns"] {
        assert_eq!(twin[member], made[member], "{member}");
    }
    let (status, found) = get(&client, "/api/v1/search?q=core&types=table").await;
    assert_eq!(
        (status, found["results"].as_array().map(Vec::len)),
        (200, Some(2)),
        "labels are searched: {found}"
    );

    assert_eq!(refused(&client, "POST", TABLES, cpu("cpu")).await, (409, "already_exists".into()));
    for (body, status, reason) in [
        (json!({"name": "t", "columns": []}), 400, "invalid"),
        (json!({"name": "t"}), 400, "invalid"),
        (json!({"name": "a b\u{0}", "columns": [{"name": "a", "data_type": "INT"}]}), 400, "invalid"),
        (json!({"name": "t", "columns": [{"name": "a", "data_type": "INT, b TEXT"}]}), 400, "invalid"),
        (
            json!({"name": "t", "columns": [{"name": "a", "data_type": "INT); DROP TABLE cpu; --"}]}),
            400,
            "invalid",
        ),
        (
            json!({"name": "t", "columns": [{"name": "a", "data_type": "INT"}], "partition_by": ["day(a)"]}),
            400,
            "invalid",
        ),
        (
            json!({"name": "t", "columns": [{"name": "a", "data_type": "INT"}], "sort_by": ["b"]}),
            400,
            "invalid",
        ),
        (
            json!({"name": "t", "columns": [{"name": "a", "data_type": "INT", "default": "x"}]}),
            400,
            "invalid",
        ),
        (
            json!({"name": "t", "columns": [{"name": "a", "data_type": "INT"}, {"name": "a", "data_type": "INT"}]}),
            400,
            "already_exists",
        ),
        (
            json!({"name": "t", "columns": [{"name": "a", "data_type": "INT"}], "properties": {"nothing": "x"}}),
            400,
            "invalid",
        ),
        (
            json!({"name": "t", "columns": [{"name": "a", "data_type": "INT"}], "format": "vortex"}),
            501,
            "unsupported",
        ),
        (
            json!({"name": "t", "columns": [{"name": "a", "data_type": "INT"}], "location": "s3://x"}),
            501,
            "unsupported",
        ),
        (
            json!({"name": "t", "columns": [{"name": "a", "data_type": "INT"}], "owner": "ada"}),
            501,
            "unsupported",
        ),
        (json!({"name": "t", "columns": [{"name": "a", "data_type": "INTERVAL"}]}), 501, "unsupported"),
    ] {
        assert_eq!(refused(&client, "POST", TABLES, body.clone()).await, (status, reason.into()), "{body}");
    }
    let elsewhere = format!("{SCHEMAS}/nowhere/tables");
    assert_eq!(refused(&client, "POST", &elsewhere, cpu("t")).await, (404, "schema_not_found".into()));
    assert_eq!(client.number("SELECT count(*) FROM system.catalog.tables").await, 2, "nothing else was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_makes_one_object_and_all_get_one_answer() {
    let node = TestNode::start().await;
    let client = node.client();
    let mut asking = JoinSet::new();
    for _ in 0..TWINS {
        let client = client.clone();
        asking.spawn(async move {
            let answer = send(&client, "POST", TABLES, &[("idempotency-key", "k1")], cpu("cpu")).await;
            (answer.status, answer.text.clone(), answer.header("x-cenote-txn").map(str::to_owned))
        });
    }
    let answers: BTreeSet<_> = asking.join_all().await.into_iter().collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers.first().map(|(status, ..)| *status), Some(201));
    let created =
        "SELECT count(*) FROM system.meta.events WHERE kind = 'table.created' AND table_name = 'cpu'";
    assert_eq!(client.number(created).await, 1);
    let keyed = async |method: &str, path: &str, key: &str, body: Value| {
        send(&client, method, path, &[("idempotency-key", key)], body).await
    };
    let again = keyed("POST", TABLES, "k1", cpu("cpu")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
    let other = keyed("POST", TABLES, "k1", cpu("disk")).await;
    assert_eq!((other.status, &other.json()["reason"]), (409, &json!("idempotency_conflict")));

    // An error uses up no key.
    assert_eq!(keyed("POST", TABLES, "k2", cpu("cpu")).await.status, 409);
    assert_eq!(keyed("POST", TABLES, "k2", cpu("disk")).await.status, 201);
    let path = format!("{TABLES}/disk");
    let rename = json!({"name": "disks"});
    let renamed = keyed("PATCH", &path, "k3", rename.clone()).await;
    let repeated = keyed("PATCH", &path, "k3", rename).await;
    assert_eq!(
        (renamed.status, &renamed.text),
        (200, &repeated.text),
        "though there is no such table any more"
    );
    let dropped = keyed("DELETE", &format!("{TABLES}/disks"), "k4", Value::Null).await;
    let repeated = keyed("DELETE", &format!("{TABLES}/disks"), "k4", Value::Null).await;
    assert_eq!((dropped.status, repeated.status), (204, 204));
    assert_eq!(repeated.header("idempotency-replayed"), Some("true"));
    assert_eq!(keyed("DELETE", &format!("{TABLES}/disks"), "k5", Value::Null).await.status, 404);
    let schema = json!({"name": "mart"});
    let made = keyed("POST", SCHEMAS, "k6", schema.clone()).await;
    assert_eq!((made.status, &made.text), (201, &keyed("POST", SCHEMAS, "k6", schema).await.text));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_keeps_what_is_the_tables_and_frees_its_name() {
    let node = TestNode::start().await;
    let client = node.client();
    let ada = token(&client, "ada", &[]).await;
    let made = done(&client, "POST", TABLES, cpu("cpu"), 201).await;
    client.sql("GRANT SELECT ON TABLE cpu TO TOKEN ada").await;
    client.sql("INSERT INTO cpu (time, host) VALUES ('2026-01-01', 'a')").await;
    client.sql("CREATE TABLE copy AS SELECT host FROM cpu").await;
    let path = format!("{TABLES}/cpu");
    let renamed = done(&client, "PATCH", &path, json!({"name": "cpus"}), 200).await;
    assert_eq!((&renamed["id"], &renamed["name"]), (&made["id"], &json!("cpus")));
    assert_eq!(refused(&client, "GET", &path, Value::Null).await, (404, "table_not_found".into()));
    assert_eq!(ada.number("SELECT count(*) FROM cpus").await, 1, "the grant is its");
    assert_eq!(get(&ada, &format!("{TABLES}/cpus")).await.0, 200);
    let (_, lineage) =
        get(&client, &format!("/api/v1/lineage/{}", made["id"].as_str().expect("an id"))).await;
    assert_eq!(lineage["downstream"].as_array().map(Vec::len), Some(1), "{lineage}");
    assert_eq!(lineage["nodes"][0]["name"], "default.cpus");
    let other = done(&client, "POST", TABLES, cpu("cpu"), 201).await;
    assert_ne!(other["id"], made["id"]);
    assert_eq!(refused(&ada, "GET", &path, Value::Null).await.0, 404, "the name carries no grant");
    let taken = refused(&client, "PATCH", &path, json!({"name": "cpus"})).await;
    assert_eq!(taken, (409, "already_exists".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_several_columns_are_one_commit_or_nothing() {
    let node = TestNode::start().await;
    let client = node.client();
    let body = json!({"name": "t", "columns": [
        {"name": "a", "data_type": "INT"}, {"name": "b", "data_type": "VARCHAR"}, {"name": "c", "data_type": "INT"},
        {"name": "s", "data_type": "STRUCT(x INT)"},
    ]});
    let made = done(&client, "POST", TABLES, body, 201).await;
    client.sql("INSERT INTO t VALUES (1, 'x', NULL, NULL)").await;
    let path = format!("{TABLES}/t");
    let before = node.head().await;
    let changes = json!({
        "description": "of all kinds", "labels": {"team": "core", "tier": 1}, "properties": {"history_keep": "2d"},
        "columns": [
            {"op": "add", "name": "n", "data_type": "BIGINT", "default": 7, "position": "first", "description": "new"},
            {"op": "add", "name": ["s", "y"], "data_type": "TEXT"},
            {"op": "rename", "name": "b", "to": "B two"},
            {"op": "alterType", "name": "a", "dataType": "BIGINT"},
            {"op": "set_nullable", "name": "a", "nullable": false},
            {"op": "move", "name": "a", "position": {"after": "c"}},
            {"op": "comment", "name": "B two", "description": "renamed"},
            {"op": "drop", "name": "c"},
        ],
    });
    let changed = done(&client, "PATCH", &path, changes, 200).await;
    assert_eq!(node.head().await, before + 1, "one commit");
    assert_eq!(columns(&changed), ["n", "B two", "a", "s"]);
    let of = |name: &str| {
        let columns = changed["columns"].as_array().expect("columns");
        columns.iter().find(|column| column["name"] == name).expect("there").clone()
    };
    assert_eq!((&of("a")["data_type"], &of("a")["nullable"]), (&json!("BIGINT"), &json!(false)));
    assert_eq!(
        (&of("B two")["description"], &of("B two")["id"]),
        (&json!("renamed"), &made["columns"][1]["id"])
    );
    assert!(of("s")["data_type"].as_str().expect("a type").contains("y"), "{changed}");
    assert_eq!((&changed["description"], &changed["labels"]["tier"]), (&json!("of all kinds"), &json!("1")));
    assert_eq!(client.sql("SELECT n, a FROM t").await, [[json!(7), json!(1)]]);

    // The last one cannot be: nothing of the others stays.
    let before = (node.head().await, get(&client, &path).await.1);
    for (last, status) in [
        (json!({"op": "drop", "name": "nothing"}), 404),
        (json!({"op": "alter_type", "name": "B two", "data_type": "INT"}), 400),
        (json!({"op": "rename", "name": "n", "to": "a"}), 409),
        (json!({"op": "add", "name": "z", "data_type": "INTERVAL"}), 501),
    ] {
        let changes =
            json!({"name": "other", "columns": [{"op": "add", "name": "extra", "data_type": "INT"}, last]});
        assert_eq!(refused(&client, "PATCH", &path, changes.clone()).await.0, status, "{changes}");
    }
    client.sql("CREATE TABLE taken (n INT)").await;
    let taken = json!({"name": "taken", "columns": [{"op": "drop", "name": "n"}]});
    assert_eq!(refused(&client, "PATCH", &path, taken).await, (409, "already_exists".into()));
    assert_eq!((node.head().await, get(&client, &path).await.1), (before.0 + 1, before.1.clone()));

    let same = send(&client, "PATCH", &path, &[], json!({})).await;
    assert_eq!((same.status, same.json()), (200, before.1), "nothing was asked for");
    let bare = json!({"description": null, "labels": {"team": null, "tier": null}, "properties": {"history_keep": null}});
    let bare = done(&client, "PATCH", &path, bare, 200).await;
    assert_eq!(
        (&bare["description"], &bare["labels"], &bare["properties"]),
        (&Value::Null, &json!({}), &json!({}))
    );
    assert_eq!(refused(&client, "PATCH", &path, json!({"owner": "ada"})).await, (501, "unsupported".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_is_made_only_of_what_was_seen() {
    let node = TestNode::start().await;
    let client = node.client();
    let made = done(&client, "POST", TABLES, cpu("cpu"), 201).await;
    let (path, first) = (format!("{TABLES}/cpu"), made["etag"].as_str().expect("an etag"));
    client.sql("INSERT INTO cpu (time, host) VALUES ('2026-01-01', 'a')").await;
    let patch =
        async |etag: &str, body: Value| send(&client, "PATCH", &path, &[("if-match", etag)], body).await;
    let second = patch(first, json!({"description": "rows do not change what it is"})).await;
    assert_eq!(second.status, 200, "{}", second.text);
    let stale = patch(first, json!({"description": "again"})).await;
    let told = stale.json();
    assert_eq!(
        (stale.status, &told["code"], &told["reason"]),
        (412, &json!("PRECONDITION_FAILED"), &json!("changed"))
    );
    assert_eq!(patch("\"x\", \"y\"", json!({})).await.status, 412, "also if nothing else is asked for");
    let now = second.json()["etag"].as_str().expect("an etag").to_owned();
    assert_eq!(patch(&format!("\"x\", {now}"), json!({"labels": {"a": "b"}})).await.status, 200);
    assert_eq!(patch("*", json!({"labels": {"a": "c"}})).await.status, 200);

    // Of many who saw the same, one changes it.
    let seen = get(&client, &path).await.1["etag"].as_str().expect("an etag").to_owned();
    let mut racing = JoinSet::new();
    for racer in 0..8 {
        let (client, path, seen) = (client.clone(), path.clone(), seen.clone());
        racing.spawn(async move {
            let body = json!({"description": format!("of {racer}")});
            send(&client, "PATCH", &path, &[("if-match", &seen)], body).await.status
        });
    }
    let mut statuses = racing.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    let stale = send(&client, "DELETE", &path, &[("if-match", &seen)], Value::Null).await;
    assert_eq!(stale.status, 412);
    let now = get(&client, &path).await.1["etag"].as_str().expect("an etag").to_owned();
    assert_eq!(send(&client, "DELETE", &path, &[("if-match", &now)], Value::Null).await.status, 204);

    // What was dropped comes back, with another etag.
    let back = done(&client, "POST", &format!("{path}/undrop"), Value::Null, 200).await;
    assert_eq!((&back["id"], back["etag"] == json!(now)), (&made["id"], false));
    assert_eq!(client.number("SELECT count(*) FROM cpu").await, 1);
    let undropped = refused(&client, "POST", &format!("{path}/undrop"), Value::Null).await;
    assert_eq!(undropped, (409, "already_exists".into()));
    let never = refused(&client, "POST", &format!("{TABLES}/never/undrop"), Value::Null).await;
    assert_eq!(never, (404, "table_not_found".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_made_changed_and_dropped_by_path() {
    let node = TestNode::start().await;
    let client = node.client();
    let body = json!({"name": "mart", "properties": {"retention": "30d"}});
    let made = done(&client, "POST", SCHEMAS, body.clone(), 201).await;
    assert_eq!((&made["name"], &made["properties"]), (&json!("mart"), &json!({"retention": "30d"})));
    assert_eq!(refused(&client, "POST", SCHEMAS, body).await, (409, "already_exists".into()));
    let path = format!("{SCHEMAS}/mart");
    let etag = made["etag"].as_str().expect("an etag").to_owned();
    let changed =
        done(&client, "PATCH", &path, json!({"properties": {"retention": null, "history_keep": "2d"}}), 200)
            .await;
    assert_eq!(changed["properties"], json!({"history_keep": "2d"}));
    let stale =
        send(&client, "PATCH", &path, &[("if-match", &etag)], json!({"properties": {"retention": "1d"}}))
            .await;
    assert_eq!(stale.status, 412, "{}", stale.text);
    for (body, status) in [
        (json!({"properties": {"dedup": "last"}}), 400),
        (json!({"name": "other"}), 501),
        (json!({"description": "x"}), 501),
        (json!({"owner": "ada"}), 501),
    ] {
        assert_eq!(refused(&client, "PATCH", &path, body.clone()).await.0, status, "{body}");
    }
    client.sql("CREATE TABLE mart.t (n INT)").await;
    assert_eq!(refused(&client, "DELETE", &path, Value::Null).await, (409, "in_use".into()));
    done(&client, "DELETE", &format!("{path}?cascade=true"), Value::Null, 204).await;
    assert_eq!(refused(&client, "GET", &path, Value::Null).await, (404, "schema_not_found".into()));
    assert_eq!(refused(&client, "DELETE", &format!("{SCHEMAS}/default"), Value::Null).await.0, 400);
    let (status, catalogs) = get(&client, "/api/v1/catalogs").await;
    assert_eq!((status, &catalogs["catalogs"][0]["name"]), (200, &json!("lake")));
    assert_eq!(get(&client, "/api/v1/catalogs/lake").await.1["kind"], "managed");
    for (method, path, status) in [
        ("POST", "/api/v1/catalogs", 501),
        ("PATCH", "/api/v1/catalogs/lake", 501),
        ("DELETE", "/api/v1/catalogs/lake", 501),
        ("GET", "/api/v1/catalogs/other", 404),
        ("GET", "/api/v1/catalogs/other/schemas", 404),
        ("GET", "/api/v1/namespaces", 501),
        ("GET", "/api/v1/workspaces/x/y", 501),
        ("GET", "/api/v1/catalog/inventory", 501),
        ("GET", "/api/v1/tables?include=rows", 400),
        ("GET", "/api/v1/tables?limit=1001", 400),
        ("GET", "/api/v1/tables?cursor=x", 400),
        ("GET", "/api/v1/tables?nothing=x", 400),
    ] {
        assert_eq!(send(&client, method, path, &[], Value::Null).await.status, status, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_and_show_what_their_caller_may_know() {
    let node = TestNode::start().await;
    let client = node.client();
    let (ada, bob) = (token(&client, "ada", &[]).await, token(&client, "bob", &[]).await);
    for sql in [
        "CREATE SCHEMA mart",
        "CREATE SCHEMA secret",
        "CREATE TABLE b (n INT)",
        "CREATE TABLE a (n INT, m TEXT)",
        "CREATE VIEW v AS SELECT n FROM a",
        "CREATE TABLE mart.z (n INT)",
        "CREATE TABLE secret.marker (n INT)",
        "CREATE MATERIALIZED VIEW totals WITH (wait = true) AS SELECT count(*) AS n FROM a",
        "GRANT SELECT ON TABLE a TO TOKEN ada",
        "GRANT SELECT ON SCHEMA mart TO TOKEN ada",
    ] {
        client.sql(sql).await;
    }
    let listed = async |client: &Client, path: &str| {
        let (mut found, mut next) = (Vec::new(), format!("{path}limit=2"));
        loop {
            let (status, page) = get(client, &next).await;
            assert_eq!(status, 200, "{page}");
            let tables = page["tables"].as_array().expect("tables");
            assert!(tables.len() <= 2);
            let name = |table: &Value| format!("{}.{}", table["schema"], table["name"]).replace('"', "");
            found.extend(tables.iter().map(name));
            let Some(cursor) = page["next_cursor"].as_str() else { return found };
            next = format!("{path}limit=2&cursor={cursor}");
        }
    };
    let all = ["default.a", "default.b", "default.totals", "default.v", "mart.z", "secret.marker"];
    assert_eq!(listed(&client, "/api/v1/tables?").await, all);
    assert_eq!(listed(&client, &format!("{TABLES}?")).await, all[..4]);
    assert_eq!(listed(&ada, "/api/v1/tables?").await, ["default.a", "mart.z"]);
    assert!(listed(&bob, "/api/v1/tables?").await.is_empty());
    let whole = get(&client, "/api/v1/tables?limit=1000&include=columns").await.1;
    assert_eq!(columns(&whole["tables"][0]), ["n", "m"]);
    assert_eq!(whole["tables"][3]["kind"], "view");
    assert_eq!(get(&client, "/api/v1/tables").await.1["tables"][0]["columns"], Value::Null);

    let schemas = get(&ada, SCHEMAS).await.1;
    let names: Vec<&str> = schemas["schemas"]
        .as_array()
        .expect("schemas")
        .iter()
        .filter_map(|schema| schema["name"].as_str())
        .collect();
    assert!(names.contains(&"mart") && !names.contains(&"secret"), "{names:?}");
    let first = get(&client, &format!("{SCHEMAS}?limit=1")).await.1;
    let cursor = first["next_cursor"].as_str().expect("more");
    assert_ne!(
        get(&client, &format!("{SCHEMAS}?limit=1&cursor={cursor}")).await.1["schemas"],
        first["schemas"]
    );

    // Who may know may not change, and what one may not know is not there.
    for (method, path, body, status) in [
        ("PATCH", format!("{TABLES}/a"), json!({"description": "x"}), 403),
        ("DELETE", format!("{TABLES}/a"), Value::Null, 403),
        ("POST", TABLES.to_owned(), cpu("mine"), 403),
        ("POST", SCHEMAS.to_owned(), json!({"name": "mine"}), 403),
        ("PATCH", format!("{SCHEMAS}/mart"), json!({"properties": {"retention": "1d"}}), 403),
        ("DELETE", format!("{SCHEMAS}/mart?cascade=true"), Value::Null, 403),
        ("POST", "/api/v1/catalogs".to_owned(), json!({"name": "x"}), 403),
        ("GET", format!("{TABLES}/b"), Value::Null, 404),
        ("PATCH", format!("{TABLES}/b"), json!({"description": "x"}), 404),
        ("DELETE", format!("{TABLES}/b"), Value::Null, 404),
        ("GET", format!("{SCHEMAS}/secret"), Value::Null, 404),
        ("GET", format!("{SCHEMAS}/secret/tables"), Value::Null, 404),
        ("POST", format!("{SCHEMAS}/secret/tables"), cpu("mine"), 404),
    ] {
        let answer = send(&ada, method, &path, &[], body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert!(!answer.text.contains("marker"), "{}", answer.text);
    }
    assert_eq!(send(&bob, "GET", "/api/v1/catalogs/lake", &[], Value::Null).await.status, 404);
    // Who makes an object manages it.
    client.sql("GRANT CREATE ON SCHEMA mart TO TOKEN ada").await;
    let path = format!("{SCHEMAS}/mart/tables");
    done(&ada, "POST", &path, cpu("mine"), 201).await;
    done(&ada, "PATCH", &format!("{path}/mine"), json!({"labels": {"of": "ada"}}), 200).await;
    done(&ada, "DELETE", &format!("{path}/mine"), Value::Null, 204).await;
    let audited = "SELECT count(*) FROM system.access.audit WHERE actor = 'ada' AND action = 'ddl'";
    assert!(client.number(audited).await >= 3, "changes by path are audited as those by SQL");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_whose_last_statement_fails_leaves_nothing_and_no_reader_sees_a_part() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE ROLE r").await;
    let seen = "SELECT (SELECT count(*) FROM system.catalog.schemas WHERE schema_name = 'part'), \
                (SELECT count(*) FROM system.catalog.tables WHERE schema_name = 'part'), \
                (SELECT count(*) FROM system.access.grants WHERE principal = 'r')";
    let whole = "CREATE SCHEMA part; CREATE TABLE part.t (n BIGINT); GRANT SELECT ON TABLE part.t TO ROLE r; \
                 INSERT INTO part.t VALUES (1)";
    let (writes, reads) = (client.clone(), client.clone());
    let (stop, stopped) = watch::channel(false);
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        let mut states = BTreeSet::new();
        while !*stopped.borrow() {
            states.insert(json!(reads.sql(seen).await).to_string());
        }
        states
    });
    for _ in 0..20 {
        let failing = format!("{whole}; INSERT INTO part.t VALUES (CAST('x' AS BIGINT))");
        let body = json!({ "sql": failing }).to_string();
        let answer = writes.send("POST", "/api/v1/sql", &[], body).await.expect("an answer");
        assert_eq!((answer.status, answer.json()["statement"].clone()), (400, json!(5)), "{}", answer.text);
        assert_eq!(json!(writes.sql(seen).await), json!([[0, 0, 0]]), "nothing of it is there");
    }
    stop.send(true).expect("a reader");
    let states = reading.join_next().await.expect("a reader").expect("it read");
    assert_eq!(states, BTreeSet::from(["[[0,0,0]]".to_owned()]));
    let body = json!({ "sql": whole }).to_string();
    let answer = writes.send("POST", "/api/v1/sql", &[], body).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        json!(writes.sql(seen).await),
        json!([[1, 1, 1]]),
        "without the last statement all of it is there"
    );
}
