//! Rows in: what is stored, what is answered, what is refused.

use http::Request;
use serde_json::json;

use crate::node::Node;

#[tokio::test]
async fn acknowledged_lines_are_there_for_the_next_query() {
    let node = Node::start().await;
    let answer =
        node.post("/api/v1/write/line-protocol?precision=s", "cpu,host=a v=1 1\ncpu,host=b v=2 2").await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
    assert_eq!((answer.header("x-cenote-rows"), answer.header("x-cenote-ack")), ("2", "durable"));
    assert_eq!(node.rows("SELECT host, v FROM cpu ORDER BY host").await, json!([["a", 1.0], ["b", 2.0]]));
    let committed = node.post("/api/v2/write?bucket=other&ack=committed", "mem used=5i").await;
    assert_eq!((committed.status.as_u16(), committed.header("x-cenote-ack")), (204, "committed"));
    assert!(committed.header("x-cenote-txn").parse::<i64>().expect("a number") > 0);
    assert_eq!(node.rows("SELECT used FROM other.mem").await, json!([[5]]));
    node.post("/write?db=a&rp=month", "m v=1").await;
    assert_eq!(node.rows("SELECT count(*) FROM a_month.m").await, json!([[1]]));
    let flushed = node.post("/api/v1/write/flush?measurement=cpu", "").await;
    assert_eq!(flushed.json()["message"], "Flushed buffer for measurement: cpu", "{}", flushed.text());
    assert_eq!(node.rows("SELECT count(*) FROM cpu").await, json!([[2]]));
    node.stop().await;
}

#[tokio::test]
async fn bad_lines_are_reported_and_the_good_ones_stored() {
    let node = Node::start().await;
    let body = "m v=1\nm\nm v=2\n";
    let answer = node.post("/write", body).await;
    assert_eq!(answer.status.as_u16(), 400);
    let error = answer.json();
    assert_eq!(error["error"], "partial write of line protocol occurred");
    assert_eq!((&error["lines_written"], &error["lines_rejected"]), (&json!(2), &json!(1)));
    assert_eq!((&error["data"][0]["line_number"], &error["code"]), (&json!(2), &json!("invalid")));
    assert!(error["message"].as_str().expect("a text").starts_with("partial write: line 2: "), "{error}");
    let refused = node.post("/api/v3/write_lp?db=default&accept_partial=false", body).await.json();
    assert_eq!(refused["error"], "parsing failed for write_lp endpoint");
    assert_eq!(node.rows("SELECT count(*) FROM m").await, json!([[2]]));
    let none = node.post("/write", "nonsense").await;
    assert_eq!(none.status.as_u16(), 400);
    assert!(
        none.json()["error"].as_str().expect("a text").starts_with("unable to parse 'nonsense'"),
        "{}",
        none.text()
    );
    node.stop().await;
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_with_its_own_status() {
    let node = Node::start().await;
    assert_eq!(node.post("/write", "").await.json()["error"], "Empty payload");
    assert_eq!(node.post("/write?precision=d", "m v=1").await.status.as_u16(), 400);
    assert_eq!(node.post("/write?db=system", "m v=1").await.status.as_u16(), 400);
    assert_eq!(node.post("/api/v3/write_lp", "m v=1").await.json()["error"], "missing query parameter 'db'");
    assert_eq!(node.post("/write", "x".repeat((1 << 20) + 1)).await.status.as_u16(), 413);
    let encoded = Request::post("/write").header("content-encoding", "br");
    assert_eq!(node.send(encoded, "m v=1").await.status.as_u16(), 415);
    assert_eq!(node.post("/api/v1/write/csv?table=t", "time,a\n1,2,3\n").await.status.as_u16(), 422);
    assert_eq!(node.post("/api/v1/write/csv", "time,a\n1,2\n").await.status.as_u16(), 400);
    let later = node.post("/api/v1/write/parquet", "x").await;
    assert_eq!(
        (later.status.as_u16(), &later.json()["error"]),
        (501, &json!("writing Parquet is not part of this release"))
    );
    node.stop().await;
}

#[tokio::test]
async fn json_msgpack_and_csv_are_rows_too() {
    let node = Node::start().await;
    let body = r#"[{"time":1700000000,"host":"a","v":1.5},{"time":1700000001,"host":"b","v":2}]"#;
    let answer = node.post("/api/v1/write/json?table=j&tags=host", body).await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
    assert_eq!(
        node.rows("SELECT time, v FROM j ORDER BY time LIMIT 1").await,
        json!([["2023-11-14T22:13:20.000000Z", 1.5]])
    );
    // {"m":"p","columns":{"time":[1700000000],"v":[7]}}
    let packed = b"\x82\xa1m\xa1p\xa7columns\x82\xa4time\x91\xce\x65\x53\xf1\x00\xa1v\x91\x07".to_vec();
    let answer = node.post("/api/v1/write/msgpack", packed).await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
    assert_eq!(node.rows("SELECT v FROM p").await, json!([[7]]));
    let answer = node.post("/api/v1/write/csv?table=c", "time,v\n2024-01-02T00:00:00Z,1\n").await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
    assert_eq!(node.rows("SELECT v FROM c").await, json!([[1]]));
    node.stop().await;
}

#[tokio::test]
async fn a_file_is_imported_and_committed() {
    let node = Node::start().await;
    let body = "--B\r\nContent-Disposition: form-data; name=\"measurement\"\r\n\r\nt\r\n\
                --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"t.csv\"\r\n\r\n\
                time,v\n2024-01-02T00:00:00Z,1\n2024-01-03T00:00:00Z,2\n\r\n--B--\r\n";
    let request = |path: &str| Request::post(path).header("content-type", "multipart/form-data; boundary=B");
    assert_eq!(node.send(request("/api/v1/import/csv"), body).await.status.as_u16(), 400);
    let answer = node.send(request("/api/v1/import/csv?db=files"), body).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let result = answer.json()["result"].clone();
    // two days, and one inline batch
    assert_eq!((&result["rows_imported"], &result["partitions_created"]), (&json!(2), &json!(1)), "{result}");
    assert_eq!(result["time_range_max"], "2024-01-03T00:00:00.000000Z");
    assert_eq!(node.rows("SELECT sum(v) FROM files.t").await, json!([[3]]));
    node.stop().await;
}

#[tokio::test]
async fn one_key_stores_once_and_another_body_is_a_conflict() {
    let node = Node::start().await;
    let request = || Request::post("/write").header("idempotency-key", "key-1");
    let first = node.send(request(), "k v=1 1").await;
    assert_eq!((first.status.as_u16(), first.header("idempotency-replayed")), (204, ""), "{}", first.text());
    let again = node.send(request(), "k v=1 1").await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (204, "true"));
    let other = node.send(request(), "k v=2 2").await;
    assert_eq!((other.status.as_u16(), &other.json()["reason"]), (409, &json!("idempotency_conflict")));
    assert_eq!(node.rows("SELECT count(*) FROM k").await, json!([[1]]));
    node.stop().await;
}
