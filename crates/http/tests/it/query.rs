//! SQL out: shapes of answers, what the reading paths refuse, answers that break off.

use arrow::array::AsArray;
use arrow::ipc::reader::StreamReader;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use crate::node::{ADMIN, Node};

#[tokio::test]
async fn rows_come_as_json_with_their_columns() {
    let node = Node::start().await;
    let answer = node.post("/api/v1/query", r#"{"sql":"SELECT 1 AS a, 'x' AS b;","limit":10000}"#).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(
        (&body["success"], &body["columns"], &body["data"]),
        (&json!(true), &json!(["a", "b"]), &json!([[1, "x"]]))
    );
    assert_eq!((&body["row_count"], &body["types"]), (&json!(1), &json!(["BIGINT", "VARCHAR"])));
    assert_eq!(answer.header("x-row-count"), "1");
    assert!(!answer.header("x-cenote-query-id").is_empty());
    assert_eq!(answer.header("x-cenote-query-id"), answer.header("x-arc-query-id"));
    let parameters = r#"{"sql":"SELECT $1::BIGINT + 1 AS n","params":[41]}"#;
    assert_eq!(node.post("/api/v1/query", parameters).await.json()["data"], json!([[42]]));
    let profiled = Request::post("/api/v1/query").header("x-arc-profile", "true");
    assert!(node.send(profiled, r#"{"sql":"SELECT 1"}"#).await.json()["profile"]["total_ms"].is_number());
    node.stop().await;
}

#[tokio::test]
async fn every_format_tells_the_same_rows() {
    let node = Node::start().await;
    let sql = r#"{"sql":"SELECT 1 AS a, 'x,y' AS b"}"#;
    let csv = node.send(Request::post("/api/v1/query").header("accept", "text/csv"), sql).await;
    assert_eq!((csv.text(), csv.header("content-type")), ("a,b\r\n1,\"x,y\"\r\n", "text/csv; charset=utf-8"));
    let lines = node.post("/api/v1/query", r#"{"sql":"SELECT 1 AS a","format":"ndjson"}"#).await;
    assert_eq!(lines.text(), "{\"a\":1}\n");
    let stream = node.post("/api/v1/query/stream", sql).await;
    assert_eq!(stream.header("content-disposition"), "attachment; filename=query_result.csv");
    let objects = node.get("/api/v3/query_sql?db=default&q=SELECT%201%20AS%20a").await;
    assert_eq!(objects.json(), json!([{"a": 1}]));
    let posted =
        node.post("/api/v3/query_sql", r#"{"db":"default","q":"SELECT 1 AS a","format":"jsonl"}"#).await;
    assert_eq!(posted.text(), "{\"a\":1}\n");
    let arrow = node.post("/api/v1/query/arrow", r#"{"sql":"SHOW DATABASES"}"#).await;
    let batches: Vec<_> = StreamReader::try_new(arrow.body.as_slice(), None).expect("a stream").collect();
    let batch = batches[0].as_ref().expect("a batch");
    assert_eq!(
        (batch.schema().field(0).name().as_str(), batch.column(0).as_string::<i32>().value(0)),
        ("database", "default")
    );
    let unknown = Request::post("/api/v1/query/arrow").header("x-arc-arrow-compression", "gzip");
    assert_eq!(node.send(unknown, sql).await.status.as_u16(), 400);
    node.stop().await;
}

#[tokio::test]
async fn the_reading_paths_only_read() {
    let node = Node::start().await;
    let error = async |sql: &str| {
        let answer = node.post("/api/v1/query", json!({"sql": sql}).to_string()).await;
        assert_eq!(answer.status.as_u16(), 400, "{sql}");
        answer.json()["error"].as_str().expect("a text").to_owned()
    };
    assert_eq!(error("").await, "SQL query is required");
    assert_eq!(error("SELECT 1; SELECT 2").await, "Multiple SQL statements are not allowed");
    assert_eq!(error("CREATE TABLE t (a BIGINT)").await, "only queries are allowed on this endpoint");
    assert_eq!(error("CREATE SCHEMA x").await, "only queries are allowed on this endpoint");
    let by_url = node.get("/api/v1/sql?q=CREATE%20SCHEMA%20x").await;
    assert_eq!(by_url.json()["error"], "only queries are allowed on this endpoint");
    assert_eq!(node.get("/api/v1/sql?q=SELECT%201&limit=5").await.status.as_u16(), 400);
    assert_eq!(node.rows("SELECT 'created_update' AS created_update").await, json!([["created_update"]]));
    assert_eq!(node.post("/api/v1/query", r#"{"sql":"SELECT * FROM nowhere"}"#).await.status.as_u16(), 404);
    node.stop().await;
}

#[tokio::test]
async fn an_error_shows_its_place() {
    let node = Node::start().await;
    node.post("/write", "cpu,host=a usage_idle=1").await;
    let answer =
        node.post("/api/v1/query", json!({"sql": "SELECT host,\n  usage_idel FROM cpu"}).to_string()).await;
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), &body["sqlstate"]), (400, &json!("42703")), "{body}");
    assert_eq!(
        (&body["line"], &body["column"], &body["length"]),
        (&json!(2), &json!(3), &json!(10)),
        "{body}"
    );
    assert_eq!(body["hint"], "did you mean \"usage_idle\"?");
    assert!(body["error"].as_str().expect("a text").contains("\n     |   ^^^^^^^^^^"), "{}", body["error"]);
    node.stop().await;
}

#[tokio::test]
async fn a_long_answer_is_streamed_whole_and_max_rows_says_so() {
    let node = Node::start().await;
    let sql = "SELECT value, repeat('x', 100) AS pad FROM generate_series(1, 30000)";
    let answer = node.post("/api/v1/query", json!({"sql": sql}).to_string()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-row-count")),
        (200, ""),
        "{}",
        &answer.text()[..200]
    );
    let body = answer.json();
    assert_eq!((body["data"].as_array().expect("rows").len(), &body["row_count"]), (30_000, &json!(30_000)));
    let cut = node.post("/api/v1/query", json!({"sql": sql, "max_rows": 10}).to_string()).await.json();
    assert_eq!(
        (&cut["row_count"], &cut["truncated"], &cut["row_cap"]),
        (&json!(10), &json!(true), &json!(10))
    );
    node.stop().await;
}

#[tokio::test]
async fn an_answer_that_fails_after_its_beginning_never_looks_whole() {
    let node = Node::start().await;
    let sql = "SELECT repeat('x', 100) AS pad, 1 / (60000 - value) AS n FROM generate_series(1, 100000)";
    let request = Request::post("/api/v1/query").header("authorization", format!("Bearer {ADMIN}"));
    let request = request.body(Body::from(json!({"sql": sql}).to_string())).expect("a request");
    let response = node.router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(response.status().as_u16(), 200);
    let (mut body, mut text, mut broken) = (response.into_body(), Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => text.extend(frame.into_data().unwrap_or_default()),
            Err(_) => broken = true,
        }
    }
    assert!(broken, "the transfer must not end in order");
    let body: serde_json::Value = serde_json::from_slice(&text).expect("readable all the same");
    assert_eq!((&body["truncated"], &body["sqlstate"]), (&json!(true), &json!("22012")));
    node.stop().await;
}

#[tokio::test]
async fn the_registry_shows_what_ran() {
    let node = Node::start().await;
    node.rows("SELECT 4711").await;
    let list = node.get("/api/v1/queries?state=FINISHED&limit=1").await.json();
    assert_eq!((&list["count"], &list["queries"][0]["sql"]), (&json!(1), &json!("SELECT 4711")), "{list}");
    let id = list["queries"][0]["id"].as_str().expect("an id").to_owned();
    let one = node.get(&format!("/api/v1/queries/{id}")).await.json();
    assert_eq!((&one["status"], &one["query"]["id"]), (&json!("completed"), &json!(id)));
    let cancelled = node.send(Request::delete(format!("/api/v1/queries/{id}")), "").await;
    assert_eq!(
        (cancelled.status.as_u16(), &cancelled.json()["error"]),
        (409, &json!("Query already completed"))
    );
    assert_eq!(node.get("/api/v1/queries/nothing").await.status.as_u16(), 404);
    assert_eq!(node.get("/api/v1/queries?order=up").await.status.as_u16(), 400);
    node.stop().await;
}
