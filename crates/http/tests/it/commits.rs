//! Commits of writers outside: once per id, whole or not at all, only with the rights for it.

use cenote_vocab::Permissions;
use http::Request;
use serde_json::{Value, json};

use crate::node::{Answer, Node, get};

const ID: &str = "0198a3f0-7d1c-7c52-9b1e-000000000001";

async fn commit(node: &Node, body: &Value) -> Answer {
    node.post("/api/v1/commits", body.to_string()).await
}

/// A node with `t (n)`: 1 to 4 in one object, and the file's id.
async fn node() -> (Node, i64) {
    let node = Node::start().await;
    for sql in
        ["CREATE TABLE t (n BIGINT) WITH (inline_max = '0')", "INSERT INTO t VALUES (1), (2), (3), (4)"]
    {
        assert_eq!(node.sql(sql).await.status, 200, "{sql}");
    }
    let file = node.rows("SELECT file_id FROM table_files('t')").await[0][0].as_i64().expect("an id");
    (node, file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_happens_once_however_often_it_is_sent() {
    let (node, file) = node().await;
    assert_eq!(node.get(&format!("/api/v1/commits/{ID}")).await.status, 404);
    let body = json!({"commit_id": ID, "message": "by hand", "tables": [
        {"table": "t", "delete_rows": [{"file_id": file, "positions": [0, 2]}]}]});
    let first = commit(&node, &body).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.json()["replayed"], false);
    assert_eq!(first.json()["tables"][0]["table"], "default.t");
    let again = commit(&node, &body).await.json();
    assert_eq!((&again["replayed"], &again["txn"]), (&json!(true), &first.json()["txn"]));
    let known = node.get(&format!("/api/v1/commits/{ID}")).await.json();
    assert_eq!((&known["txn"], &known["committed_at"]), (&again["txn"], &again["committed_at"]));
    assert_eq!(node.rows("SELECT n FROM t ORDER BY n").await, json!([[2], [4]]));
    assert_eq!(
        node.rows("SELECT count(*) FROM snapshots('t') WHERE message = 'by hand'").await,
        json!([[1]])
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_lie_in_the_tables_place_are_adopted() {
    let (node, file) = node().await;
    // another table's file, laid into this table's place by somebody who may write there
    let rows = node.rows("SELECT path FROM table_files('t')").await;
    let path = rows[0][0].as_str().expect("a path").to_owned();
    let copy = format!("{}/outside.parquet", path.rsplit_once('/').expect("a directory").0);
    node.copy_object(&path, &copy).await;
    let body = json!({"commit_id": ID, "tables": [
        {"table": "t", "append": [{"path": copy}], "retire": [file]}]});
    let done = commit(&node, &body).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let files = done.json()["tables"][0]["files"].clone();
    assert_eq!(files[0]["path"], "data/outside.parquet");
    assert_eq!(node.rows("SELECT count(*), sum(n) FROM t").await, json!([[4, 10]]));
    assert_eq!(commit(&node, &body).await.json()["tables"][0]["files"], files, "the same answer");
    let other =
        json!({"commit_id": ID.replace('1', "2"), "tables": [{"table": "t", "append": [{"path": copy}]}]});
    let twice = commit(&node, &other).await;
    assert_eq!(twice.status, 400);
    assert!(twice.text().contains("it is a file of a table already"), "{}", twice.text());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopted_files_are_signed_unless_no_url_can_have_their_names() {
    let (node, file) = node().await;
    let rows = node.rows("SELECT path FROM table_files('t')").await;
    let path = rows[0][0].as_str().expect("a path").to_owned();
    let directory = path.rsplit_once('/').expect("a directory").0.to_owned();
    let copy = format!("{directory}/day=2026-01-01 00:00/a b.parquet");
    node.copy_object(&path, &copy).await;
    let body = json!({"commit_id": ID, "tables": [
        {"table": "t", "append": [{"path": copy}], "retire": [file]}]});
    let done = commit(&node, &body).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let sign = async || {
        let request = Request::post("/api/v1/tables/t/urls").header("host", "lake.example");
        node.send(request, "{}").await
    };
    let signed = sign().await;
    assert_eq!(signed.status, 200, "{}", signed.text());
    let url = signed.json()["urls"][0]["url"].as_str().expect("a URL").to_owned();
    assert!(url.ends_with("/day=2026-01-01%2000%3A00/a%20b.parquet"), "{url}");
    let target = url.strip_prefix("http://lake.example").expect("its host").to_owned();
    let read = get(&node.router, &target).await;
    assert_eq!((read.status.as_u16(), &read.body[..4]), (200, &b"PAR1"[..]));
    let other = get(&node.router, &target.replace("a%20b", "a%20c")).await;
    assert_eq!(other.status, 403);

    let odd = format!("{directory}/100%.parquet");
    node.copy_object(&path, &odd).await;
    let body =
        json!({"commit_id": ID.replace('1', "2"), "tables": [{"table": "t", "append": [{"path": odd}]}]});
    assert_eq!(commit(&node, &body).await.status, 200);
    let refused = sign().await;
    assert_eq!((refused.status.as_u16(), refused.json()["reason"].clone()), (409, json!("unsigned_path")));
    assert!(refused.text().contains("100%"), "the file is named: {}", refused.text());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let (node, file) = node().await;
    let before = node.rows("SELECT max(txn) FROM snapshots('t')").await;
    let table = |more: Value| {
        let mut table = json!({"table": "t"});
        table.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"commit_id": ID, "tables": [table]})
    };
    for (body, status, text) in [
        (json!({"tables": []}), 400, "missing field `commit_id`"),
        (json!({"commit_id": ID, "tables": [], "x": 1}), 400, "unknown field `x`"),
        (json!({"commit_id": ID, "tables": [{"table": "nope"}]}), 404, "does not exist"),
        (table(json!({"append": [{"path": "../../x.parquet"}]})), 403, "does not lie below the location"),
        (table(json!({"append": [{"path": "data/none.parquet"}]})), 400, "it is not there"),
        (table(json!({"append": [{"path": "x", "mode": "copy"}]})), 501, "mode copy"),
        (table(json!({"append": [{"path": "x", "format": "orc"}]})), 501, "format orc"),
        (table(json!({"delete_rows": [{"file_id": 99, "positions": [0]}]})), 400, "has no file 99"),
        (
            table(json!({"delete_rows": [{"file_id": file, "positions": [4]}]})),
            400,
            "has 4 rows, got position 4",
        ),
        (table(json!({"retire": [99]})), 400, "never had file 99"),
    ] {
        let answer = commit(&node, &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.text().contains(text), "{body}: {}", answer.text());
    }
    assert_eq!(node.rows("SELECT max(txn) FROM snapshots('t')").await, before);
    node.sql("ALTER TABLE t SET (append_only = on)").await;
    let deletes = [json!({"retire": [file]}), json!({"delete_rows": [{"file_id": file, "positions": [0]}]})];
    for act in deletes {
        let answer = commit(&node, &table(act)).await;
        assert_eq!(answer.json()["sqlstate"], "25006", "{}", answer.text());
    }
    assert_eq!(node.rows("SELECT count(*) FROM t").await, json!([[4]]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_act_needs_its_right() {
    let (node, file) = node().await;
    let reader =
        node.token("reader", Permissions::NONE.with(cenote_vocab::Permission::Read), &[], None).await;
    let writer =
        node.token("writer", Permissions::NONE.with(cenote_vocab::Permission::Write), &[], None).await;
    let stranger = node.stranger().await;
    let delete = json!({"commit_id": ID, "tables": [{"table": "t", "retire": [file]}]});
    let append = json!({"commit_id": ID, "tables": [{"table": "t", "append": [{"path": "data/x"}]}]});
    for (secret, body, status) in [
        (&reader, &delete, 403),
        (&reader, &append, 403),
        (&writer, &delete, 403), // it may write there, and so knows it
        (&writer, &append, 400), // the file is not there
        (&stranger, &delete, 404),
        (&stranger, &append, 404),
    ] {
        let request = Request::post("/api/v1/commits").header("authorization", format!("Bearer {secret}"));
        let answer = node.send(request, body.to_string()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    assert_eq!(node.rows("SELECT count(*) FROM t").await, json!([[4]]));
    node.stop().await;
}
