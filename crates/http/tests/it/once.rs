//! A change that is sent again under its key is made once and answered as the first time.

use futures::future::join_all;
use http::Request;
use serde_json::{Value, json};

use crate::node::{Answer, Node};

async fn keyed(node: &Node, key: &str, sql: &str) -> Answer {
    let request = Request::post("/api/v1/sql").header("idempotency-key", key);
    node.send(request, json!({ "sql": sql }).to_string()).await
}

fn reason(answer: &Answer) -> (u16, Value) {
    (answer.status.as_u16(), answer.json()["reason"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_twins_make_one_object_and_get_one_answer() {
    let node = Node::start().await;
    for (key, sql) in [
        ("one", "CREATE TABLE one (n BIGINT)"),
        ("two", "CREATE TABLE two (n BIGINT); INSERT INTO two VALUES (1), (2)"),
        ("rows", "INSERT INTO one VALUES (1), (2), (3)"),
        ("altered", "ALTER TABLE one ADD COLUMN m BIGINT"),
    ] {
        let before = node.rows("SELECT max(txn) FROM system.catalog.transactions").await;
        let answers = join_all((0..20).map(|_| keyed(&node, key, sql))).await;
        let first = &answers[0];
        assert_eq!(first.status.as_u16(), 200, "{sql}: {}", first.text());
        assert!(answers.iter().all(|answer| answer.body == first.body), "{sql}");
        let replayed =
            answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true").count();
        assert_eq!(replayed, 19, "{sql}");
        let again = keyed(&node, key, sql).await;
        assert_eq!((&again.body, again.header("x-cenote-txn")), (&first.body, first.header("x-cenote-txn")));
        let after = node.rows("SELECT max(txn) FROM system.catalog.transactions").await;
        assert_eq!(after[0][0].as_i64(), before[0][0].as_i64().map(|txn| txn + 1), "{sql}: one commit");
        assert_eq!(first.header("x-cenote-txn"), after[0][0].to_string());
    }
    assert_eq!(node.rows("SELECT count(*) FROM one").await, json!([[3]]));
    assert_eq!(node.rows("SELECT count(*) FROM two").await, json!([[2]]));
    let other = keyed(&node, "one", "CREATE TABLE other (n BIGINT)").await;
    assert_eq!(reason(&other), (409, json!("idempotency_conflict")), "{}", other.text());
    assert_eq!(node.sql("SELECT * FROM other").await.status.as_u16(), 404);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_each_attempt_would_give_otherwise_is_that_of_the_one_that_committed() {
    let node = Node::start().await;
    assert_eq!(node.sql("CREATE TABLE ids (round BIGINT, id TEXT)").await.status.as_u16(), 200);
    for round in 0..8 {
        let sql = format!("INSERT INTO ids SELECT {round}, uuid() RETURNING id");
        let key = format!("ids-{round}");
        let answers = join_all((0..20).map(|_| keyed(&node, &key, &sql))).await;
        let stored = node.rows(&format!("SELECT id FROM ids WHERE round = {round}")).await;
        assert_eq!(stored.as_array().map(Vec::len), Some(1), "one commit");
        for answer in &answers {
            assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
            assert_eq!(answer.json()["results"][0]["data"], stored);
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_free_after_an_error_and_a_text_under_it_is_one_commit() {
    let node = Node::start().await;
    let failed = keyed(&node, "k", "CREATE TABLE t (n BIGINT); SELECT 1 / 0").await;
    assert_eq!(failed.status.as_u16(), 400, "{}", failed.text());
    let parted = keyed(&node, "k", "CREATE TABLE t (n BIGINT); COMMIT; CREATE TABLE u (n BIGINT)").await;
    assert_eq!(parted.status.as_u16(), 400, "{}", parted.text());
    assert!(parted.text().contains("COMMIT in the middle"), "{}", parted.text());
    assert_eq!(node.sql("SELECT * FROM t").await.status.as_u16(), 404, "nothing was done");
    let made = keyed(&node, "k", "BEGIN; CREATE TABLE t (n BIGINT); COMMIT").await;
    assert_eq!(made.status.as_u16(), 200, "{}", made.text());
    assert_eq!(made.header("idempotency-replayed"), "");
    let read = keyed(&node, "reads", "SELECT count(*) FROM t").await;
    assert_eq!(read.status.as_u16(), 200, "{}", read.text());
    let read = keyed(&node, "reads", "SELECT count(*) + 1 FROM t").await;
    assert_eq!(read.status.as_u16(), 200, "what changes nothing uses no key: {}", read.text());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_told_by_its_number() {
    let node = Node::start().await;
    let sql = "CREATE TABLE t (n BIGINT); INSERT INTO t VALUES (1)";
    let first = keyed(&node, "k", sql).await;
    assert_eq!(first.status.as_u16(), 200, "{}", first.text());
    node.lose_answer("client/admin/k").await;
    let (one, two) = tokio::join!(keyed(&node, "k", sql), keyed(&node, "k", sql));
    assert_eq!((one.status.as_u16(), &one.body), (200, &two.body), "{}", one.text());
    let results = one.json()["results"].as_array().expect("a list").clone();
    let txn: i64 = first.header("x-cenote-txn").parse().expect("a number");
    assert_eq!(
        results.iter().map(|result| result["txn"].clone()).collect::<Vec<_>>(),
        [json!(txn), json!(txn)]
    );
    assert_eq!(keyed(&node, "k", sql).await.body, one.body, "and so it stays");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_are_made_and_dropped_once_under_a_key() {
    let node = Node::start().await;
    let make = |name: &'static str| {
        let request = Request::post("/api/v1/databases").header("idempotency-key", "make");
        node.send(request, json!({ "name": name }).to_string())
    };
    let answers = join_all((0..20).map(|_| make("prod"))).await;
    let made = answers[0].body.clone();
    assert!(answers.iter().all(|answer| answer.status.as_u16() == 201 && answer.body == made));
    assert_eq!(reason(&make("other").await), (409, json!("idempotency_conflict")));
    let again = node.post("/api/v1/databases", json!({"name": "prod"}).to_string()).await;
    assert_eq!(again.status.as_u16(), 409, "without the key it is there already");
    let drop = || {
        let request =
            Request::delete("/api/v1/databases/prod?confirm=true").header("idempotency-key", "drop");
        node.send(request, "")
    };
    let answers = join_all((0..5).map(|_| drop())).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &answers[0].body), "{}", answer.text());
    }
    assert_eq!(make("prod").await.body, made, "the answer of then, though it is gone");
    node.stop().await;
}
