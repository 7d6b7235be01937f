//! Credentials: where they may stand, what a bad one answers, how guessing is slowed down.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cenote_http::HttpOptions;
use cenote_vocab::{Permission, Permissions};
use http::Request;
use serde_json::json;

use crate::node::{ADMIN, Node, get, options};

#[tokio::test]
async fn a_token_is_taken_from_every_place_that_clients_use() {
    let node = Node::start().await;
    let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
    let credentials = [
        format!("Bearer {ADMIN}"),
        format!("Token {ADMIN}"),
        basic(format!("anybody:{ADMIN}")),
        basic(format!("{ADMIN}:")),
        ADMIN.to_owned(),
    ];
    for credential in credentials {
        let request = Request::get("/api/v1/databases").header("authorization", &credential);
        assert_eq!(node.send(request, "").await.status.as_u16(), 200, "{credential}");
    }
    assert_eq!(get(&node.router, &format!("/api/v1/databases?u=x&p={ADMIN}")).await.status.as_u16(), 200);
    let verified = node.get("/api/v1/auth/verify").await.json();
    assert_eq!((&verified["valid"], &verified["permissions"]), (&json!(true), &json!(["admin"])));
    node.stop().await;
}

#[tokio::test]
async fn wrong_and_missing_credentials_are_told_apart_and_slowed_down() {
    let node = Node::start().await;
    let missing = get(&node.router, "/api/v1/databases").await;
    assert_eq!((missing.status.as_u16(), &missing.json()["error"]), (401, &json!("Authentication required")));
    assert_eq!(missing.json()["code"], "unauthorized");
    let wrong = Request::get("/api/v1/auth/verify").header("authorization", "Bearer wrong");
    let wrong = node.send(wrong, "").await;
    assert_eq!((wrong.status.as_u16(), &wrong.json()["error"]), (401, &json!("Invalid or expired token")));
    assert_eq!(wrong.json()["valid"], false);
    get(&node.router, "/api/v1/databases").await;
    let slowed = get(&node.router, "/api/v1/databases").await;
    assert_eq!(slowed.status.as_u16(), 429);
    assert!((1..=60).contains(&slowed.header("retry-after").parse::<u64>().expect("seconds")));
    assert_eq!(node.get("/api/v1/databases").await.status.as_u16(), 200, "a valid token is not touched");
    node.stop().await;
}

#[tokio::test]
async fn rights_are_checked_where_the_call_enters() {
    let node = Node::start().await;
    let reader = node.token("reader", Permissions::NONE.with(Permission::Read), &[], None).await;
    let as_reader =
        |request: http::request::Builder| request.header("authorization", format!("Bearer {reader}"));
    let write = node.send(as_reader(Request::post("/write")), "cpu v=1").await;
    assert_eq!(
        (write.status.as_u16(), &write.json()["error"]),
        (403, &json!("Permission denied: write required"))
    );
    for path in ["/api/v1/auth/tokens", "/metrics", "/api/v1/status"] {
        let answer = node.send(as_reader(Request::get(path)), "").await;
        assert_eq!(answer.json()["error"], "Permission denied: admin required", "{path}");
    }
    let query = as_reader(Request::post("/api/v1/query"));
    assert_eq!(node.send(query, r#"{"sql":"SELECT 1"}"#).await.status.as_u16(), 200);
    node.stop().await;
}

#[tokio::test]
async fn without_authentication_everybody_is_admin() {
    let node = Node::with(HttpOptions { auth_enabled: false, ..options() }).await;
    assert_eq!(get(&node.router, "/api/v1/status").await.status.as_u16(), 200);
    node.stop().await;
}
