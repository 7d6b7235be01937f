//! Databases and measurements, by their own paths and by InfluxQL; figures of the node.

use cenote_vocab::Permissions;
use http::Request;
use serde_json::json;

use crate::node::Node;

#[tokio::test]
async fn databases_are_made_listed_and_dropped() {
    let node = Node::start().await;
    let made = node.post("/api/v1/databases", r#"{"name":"prod"}"#).await;
    assert_eq!(
        (made.status.as_u16(), &made.json()["measurement_count"]),
        (201, &json!(0)),
        "{}",
        made.text()
    );
    assert_eq!(node.post("/api/v1/databases", r#"{"name":"prod"}"#).await.status.as_u16(), 409);
    assert_eq!(node.post("/api/v1/databases", r#"{"name":"1x"}"#).await.status.as_u16(), 400);
    node.post("/write?db=prod", "cpu,host=a v=1i 1\ncpu,host=a v=2i 2").await;
    let all = node.get("/api/v1/databases").await.json();
    assert_eq!(
        (&all["count"], &all["databases"][1]),
        (&json!(2), &json!({"name": "prod", "measurement_count": 1}))
    );
    node.post("/api/v1/write/flush", "").await;
    let measurements = node.get("/api/v1/databases/prod/measurements/").await.json();
    assert_eq!(measurements["measurements"], json!([{"name": "cpu", "file_count": 1}]));
    let listed = node.get("/api/v1/measurements?database=prod").await.json();
    assert_eq!(
        (&listed["measurements"][0]["row_count"], &listed["count"]),
        (&json!(2), &json!(1)),
        "{listed}"
    );
    let schema = node.get("/api/v1/measurements/cpu/schema?database=prod").await.json();
    assert_eq!(
        schema["columns"][1],
        json!({"name": "host", "type": "VARCHAR", "tag": true, "nullable": true})
    );
    assert_eq!(node.get("/api/v1/databases/nowhere").await.status.as_u16(), 404);
    let unsure = node.send(Request::delete("/api/v1/databases/prod"), "").await;
    assert_eq!(unsure.status.as_u16(), 400);
    let fixed = node.send(Request::delete("/api/v1/databases/default?confirm=true"), "").await;
    assert_eq!(fixed.status.as_u16(), 403);
    let dropped = node.send(Request::delete("/api/v1/databases/prod?confirm=true"), "").await;
    assert_eq!(
        (dropped.status.as_u16(), &dropped.json()["files_deleted"]),
        (200, &json!(1)),
        "{}",
        dropped.text()
    );
    assert_eq!(node.get("/api/v1/databases/prod").await.status.as_u16(), 404);
    node.stop().await;
}

#[tokio::test]
async fn a_restricted_token_sees_its_own_databases_only() {
    let node = Node::start().await;
    node.post("/write?db=prod_a", "m v=1").await;
    node.post("/write?db=secret", "m v=1").await;
    let token = node.token("prod", Permissions::NONE, &["prod*"], None).await;
    let get = async |path: &str| {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        node.send(request, "").await
    };
    assert_eq!(
        get("/api/v1/databases").await.json()["databases"],
        json!([{"name": "prod_a", "measurement_count": 1}])
    );
    assert_eq!(get("/api/v1/databases/secret").await.json()["error"], "Database 'secret' not found");
    assert_eq!(get("/api/v1/databases/nowhere").await.json()["error"], "Database 'nowhere' not found");
    assert_eq!(get("/api/v1/measurements/m/schema?database=secret").await.status.as_u16(), 404);
    assert_eq!(get("/api/v1/measurements").await.json()["count"], 1);
    let shown = get("/query?q=SHOW%20DATABASES").await.json();
    assert_eq!(shown["results"][0]["series"][0]["values"], json!([["prod_a"]]));
    node.stop().await;
}

#[tokio::test]
async fn influxql_makes_and_shows_databases() {
    let node = Node::start().await;
    let form = Request::post("/query").header("content-type", "application/x-www-form-urlencoded");
    let made = node.send(form, "q=CREATE+DATABASE+%22telegraf%22").await;
    assert_eq!(made.json(), json!({"results": [{"statement_id": 0}]}));
    node.post("/write?db=telegraf", "cpu v=1").await;
    let shown = node.get("/query?db=telegraf&q=SHOW%20MEASUREMENTS").await.json();
    let series = json!([{"name": "measurements", "columns": ["name"], "values": [["cpu"]]}]);
    assert_eq!(shown["results"][0]["series"], series);
    let other = node.get("/query?q=DROP%20SERIES").await;
    assert_eq!((other.status.as_u16(), other.header("content-type")), (400, "application/json"));
    node.stop().await;
}

#[tokio::test]
async fn figures_and_metrics_are_for_the_admin() {
    let node = Node::start().await;
    node.post("/write", "cpu v=1").await;
    let status = node.get("/api/v1/status").await.json();
    assert_eq!((&status["state"], &status["tables"]), (&json!("ready"), &json!(1)), "{status}");
    assert_eq!(node.get("/ready").await.json()["reason"], "ready");
    let text = node.get("/metrics").await;
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.text().contains("# TYPE cenote_http_requests_total counter\n"), "{}", text.text());
    assert!(
        text.text()
            .contains("cenote_http_requests_total{method=\"POST\",route=\"/write\",status=\"204\"} 1\n")
    );
    let flat = node.get("/api/v1/metrics").await.json();
    assert!(flat["http_requests_total"].as_i64().expect("a number") >= 4, "{flat}");
    node.stop().await;
}
