//! Before the node is ready only public paths answer, and every answer is in form.

use axum::body::Body;
use cenote_http::NodeState;
use http::Request;

use crate::node::{door, get, options, send};

#[tokio::test]
async fn health_answers_while_the_node_starts_and_speaks_influx_to_its_clients() {
    let router = door(options(), NodeState::Starting).0.router();
    let answer = get(&router, "/health").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &"ok".into()));
    assert_eq!(answer.json()["uptime"], "0s");
    let request =
        Request::get("/health").header("user-agent", "influxdb-client-python/1.0").body(Body::empty());
    assert_eq!(send(&router, request.expect("a request")).await.json()["status"], "pass");
    assert_eq!(get(&router, "/ping").await.status.as_u16(), 204);
    assert_eq!(get(&router, "/ping?verbose=true").await.json()["version"], "1.8.10");
    assert_eq!(get(&router, "/").await.json()["service"], "Cenote");
}

#[tokio::test]
async fn everything_else_is_503_with_the_reason() {
    let (http, state) = door(options(), NodeState::Replaying);
    let router = http.router();
    let answer = get(&router, "/api/v1/databases").await;
    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(answer.header("retry-after"), "5");
    let body = answer.json();
    assert_eq!((&body["reason"], &body["code"]), (&"recovering".into(), &"unavailable".into()));
    assert_eq!((&body["retryable"], &body["sqlstate"]), (&true.into(), &"57P03".into()));
    let ready = get(&router, "/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["reason"]), (503, &"recovering".into()));
    state.send(NodeState::Standby).expect("a listener");
    assert_eq!(get(&router, "/readyz").await.json()["reason"], "standby");
    state.send(NodeState::Draining).expect("a listener");
    assert_eq!(get(&router, "/api/v1/databases").await.json()["sqlstate"], "57P01");
}

#[tokio::test]
async fn every_answer_carries_an_id_and_the_guarding_headers() {
    let router = door(options(), NodeState::Starting).0.router();
    let request = |id: &str| {
        Request::get("/health/").header("x-request-id", id).body(Body::empty()).expect("a request")
    };
    let answer = send(&router, request("my.id-1_2")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-request-id")), (200, "my.id-1_2"));
    assert_eq!(
        (answer.header("x-content-type-options"), answer.header("x-frame-options")),
        ("nosniff", "DENY")
    );
    let replaced = send(&router, request("not an id")).await;
    assert_eq!(replaced.header("x-request-id").len(), 36);
    let missing = get(&router, "/no/such/path?x=1").await;
    assert_eq!(missing.status.as_u16(), 503, "an unknown path is behind authentication too");
    assert_eq!(missing.header("content-type"), "application/problem+json");
    assert_eq!(missing.json()["request_id"], missing.header("x-request-id"));
}

#[tokio::test]
async fn two_spellings_of_a_header_that_differ_are_refused() {
    let router = door(options(), NodeState::Starting).0.router();
    let request =
        Request::post("/api/v1/query").header("x-cenote-database", "a").header("x-arc-database", "b");
    let answer = send(&router, request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status.as_u16(), 400);
    assert_eq!(answer.json()["error"], "headers x-cenote-database and x-arc-database differ");
}
