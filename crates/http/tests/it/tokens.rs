//! The token API: made, shown, changed, rotated, revoked, deleted.

use http::Request;
use serde_json::json;

use crate::node::Node;

#[tokio::test]
async fn a_token_lives_from_its_making_to_its_end() {
    let node = Node::start().await;
    let made = node
        .post("/api/v1/auth/tokens", r#"{"name":"app","permissions":"read,write","expires_in":"7d"}"#)
        .await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text());
    let made = made.json();
    let (id, secret) = (made["id"].to_string(), made["token"].as_str().expect("a secret").to_owned());
    let uses = async |secret: &str| {
        let request = Request::get("/api/v1/databases").header("authorization", format!("Bearer {secret}"));
        node.send(request, "").await.status.as_u16()
    };
    assert_eq!((uses(&secret).await, &made["permissions"]), (200, &json!(["read", "write"])));
    let shown = node.get(&format!("/api/v1/auth/tokens/{id}")).await.json();
    assert_eq!((&shown["name"], &shown["token"]["name"]), (&json!("app"), &json!("app")));
    assert!(!shown.to_string().contains(&secret), "a secret is shown only once");
    let changed =
        node.send(Request::patch(format!("/api/v1/auth/tokens/{id}")), r#"{"description":"d"}"#).await.json();
    assert_eq!((&changed["description"], &changed["name"]), (&json!("d"), &json!("app")));
    let rotated = node.post(&format!("/api/v1/auth/tokens/{id}/rotate"), "").await.json();
    let fresh = rotated["new_token"].as_str().expect("a secret");
    assert_eq!((uses(&secret).await, uses(fresh).await), (401, 200));
    node.post(&format!("/api/v1/auth/tokens/{id}/revoke"), "").await;
    assert_eq!(uses(fresh).await, 401);
    let gone = node.send(Request::delete(format!("/api/v1/auth/tokens/{id}")), "").await.json();
    assert_eq!(gone["message"], "Token deleted successfully");
    assert_eq!(node.get(&format!("/api/v1/auth/tokens/{id}")).await.json()["error"], "Token not found");
    assert_eq!(node.get("/api/v1/auth/tokens/x").await.json()["error"], "Invalid token ID");
    node.stop().await;
}

#[tokio::test]
async fn the_last_admin_stays_and_names_are_unique() {
    let node = Node::start().await;
    let tokens = node.get("/api/v1/auth/tokens").await.json();
    assert_eq!((&tokens["count"], &tokens["tokens"][0]["name"]), (&json!(1), &json!("admin")));
    let path = format!("/api/v1/auth/tokens/{}", tokens["tokens"][0]["id"]);
    assert_eq!(node.send(Request::delete(&path), "").await.status.as_u16(), 409);
    assert_eq!(node.post(&format!("{path}/revoke"), "").await.status.as_u16(), 409);
    assert_eq!(node.post("/api/v1/auth/tokens", r#"{"name":"admin"}"#).await.status.as_u16(), 409);
    assert_eq!(node.post("/api/v1/auth/tokens", "{}").await.json()["error"], "Token name is required");
    let rights = node.get(&format!("{path}/permissions")).await.json();
    assert_eq!(rights["permissions"][0]["permissions"], json!(["admin"]));
    node.stop().await;
}
