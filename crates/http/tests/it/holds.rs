//! Holds over HTTP: what is held stays readable, and each belongs to who made it.

use cenote_vocab::{Permission, Permissions};
use http::Request;
use serde_json::json;

use crate::node::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_after_a_held_transaction_outlive_a_vacuum() {
    let node = Node::start().await;
    for sql in ["CREATE TABLE t (n BIGINT)", "INSERT INTO t VALUES (1), (2)"] {
        assert_eq!(node.sql(sql).await.status, 200, "{sql}");
    }
    let held = node.rows("SELECT max(txn) FROM snapshots('t')").await[0][0].clone();
    let made = node.post("/api/v1/holds", json!({"table": "t", "txn": held, "ttl": 3600}).to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["hold_id"].as_str().expect("an id").to_owned();
    assert!(made.json()["expires_at"].is_string());
    for sql in ["DELETE FROM t WHERE n = 1", "VACUUM TABLE t KEEP 0 HOURS"] {
        assert_eq!(node.sql(sql).await.status, 200, "{sql}");
    }
    let path = format!("/api/v1/tables/t/changes?from={held}");
    let kept = node.get(&path).await;
    assert_eq!(kept.status, 200, "{}", kept.text());
    assert_eq!(kept.json()["changes"][0]["_change_type"], "delete");

    let own = format!("/api/v1/holds/{id}");
    let head = kept.json()["head"].clone();
    let moved = node.post(&own, json!({"txn": head, "ttl": 60}).to_string()).await;
    assert_eq!((moved.status.as_u16(), &moved.json()["txn"]), (200, &head), "{}", moved.text());
    assert_eq!(node.send(Request::delete(&own), "").await.status, 204);
    assert_eq!(node.send(Request::delete(&own), "").await.status, 404);
    assert_eq!(node.sql("VACUUM TABLE t KEEP 0 HOURS").await.status, 200);
    assert_eq!(node.get(&path).await.status, 410);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_its_makers_and_its_limits_are_named() {
    let node = Node::start().await;
    assert_eq!(node.sql("CREATE TABLE t (n BIGINT)").await.status, 200);
    let made = node.post("/api/v1/holds", json!({"table": "t", "txn": 1, "ttl": 60}).to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let own = format!("/api/v1/holds/{}", made.json()["hold_id"].as_str().expect("an id"));
    let reader = node.token("reader", Permissions::NONE.with(Permission::Read), &[], None).await;
    for secret in [reader, node.stranger().await] {
        let request = Request::delete(&own).header("authorization", format!("Bearer {secret}"));
        assert_eq!(node.send(request, "").await.status, 404);
    }
    for (body, status, text) in [
        (json!({"table": "t", "txn": 1, "ttl": 0}), 400, "ttl must be 1 to 604800"),
        (json!({"table": "t", "txn": 1, "ttl": 604_801}), 400, "ttl must be 1 to 604800"),
        (json!({"table": "t", "txn": 1}), 400, "missing field `ttl`"),
        (json!({"table": "nope", "txn": 1, "ttl": 1}), 404, "does not exist"),
        (json!({"table": "t", "txn": 99_999, "ttl": 1}), 400, "in the future"),
    ] {
        let answer = node.post("/api/v1/holds", body.to_string()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.text().contains(text), "{body}: {}", answer.text());
    }
    node.stop().await;
}
