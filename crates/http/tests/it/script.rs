//! `POST /api/v1/sql`: several statements, all or nothing.

use http::Request;
use serde_json::json;

use crate::node::Node;

#[tokio::test]
async fn each_statement_has_its_result() {
    let node = Node::start().await;
    let answer = node.sql("CREATE TABLE t (a BIGINT, b VARCHAR)").await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let answer = node.sql("INSERT INTO t VALUES (1, 'x'), (2, 'y')").await;
    let body = answer.json();
    let result = &body["results"][0];
    assert_eq!((&result["command"], &result["rows_affected"]), (&json!("INSERT"), &json!(2)), "{body}");
    assert_eq!(answer.header("x-cenote-txn"), result["txn"].to_string());
    let body = node.sql("SELECT a FROM t ORDER BY a; SELECT count(*) AS n FROM t").await.json();
    assert_eq!(
        (&body["results"][0]["data"], &body["results"][1]["data"]),
        (&json!([[1], [2]]), &json!([[2]])),
        "{body}"
    );
    assert_eq!(body["results"][1]["columns"], json!(["n"]));
    let arrow = Request::post("/api/v1/sql").header("accept", "application/vnd.apache.arrow.stream");
    let answer = node.send(arrow, r#"{"sql":"SELECT a FROM t"}"#).await;
    assert_eq!(answer.header("content-type"), "application/vnd.apache.arrow.stream");
    let arrow = Request::post("/api/v1/sql").header("accept", "application/vnd.apache.arrow.stream");
    let answer = node.send(arrow, r#"{"sql":"INSERT INTO t VALUES (3, 'z')"}"#).await;
    assert_eq!(answer.json()["results"][0]["rows_affected"], 1);
    node.stop().await;
}

#[tokio::test]
async fn a_text_that_fails_leaves_nothing_and_names_its_statement() {
    let node = Node::start().await;
    let sql = "CREATE TABLE t (a BIGINT);\nINSERT INTO t VALUES (1);\nINSERT INTO nowhere VALUES (1)";
    let answer = node.sql(sql).await;
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), &body["statement"]), (404, &json!(3)), "{body}");
    assert_eq!(node.sql("SELECT * FROM t").await.status.as_u16(), 404, "the table was rolled back");
    let open = node.sql("BEGIN; CREATE TABLE u (a BIGINT)").await;
    assert_eq!((open.status.as_u16(), &open.json()["sqlstate"]), (400, &json!("25001")), "{}", open.text());
    assert_eq!(node.sql("SELECT * FROM u").await.status.as_u16(), 404, "an open transaction is rolled back");
    let whole = node.sql("BEGIN; CREATE TABLE u (a BIGINT); INSERT INTO u VALUES (7); COMMIT").await;
    assert_eq!(whole.status.as_u16(), 200, "{}", whole.text());
    assert_eq!(node.rows("SELECT a FROM u").await, json!([[7]]));
    let both = node.sql("INSERT INTO u VALUES (1); DELETE FROM u WHERE a = 1").await;
    let head = node.rows("SELECT max(txn) FROM system.catalog.transactions").await;
    assert_eq!(both.header("x-cenote-txn"), head[0][0].to_string(), "the commit of all of it");
    let rest = node.sql("INSERT INTO u VALUES (8); COMMIT; INSERT INTO u VALUES (9); SELECT 1 / 0").await;
    assert_eq!(rest.json()["statement"], 4, "{}", rest.text());
    assert_eq!(
        node.rows("SELECT a FROM u ORDER BY a").await,
        json!([[7], [8]]),
        "after COMMIT all or nothing again"
    );
    let unknown = node.post("/api/v1/sql", r#"{"sql":"SELECT 1","limit":5}"#).await;
    assert_eq!(unknown.json()["error"], "unknown key \"limit\"");
    node.stop().await;
}
