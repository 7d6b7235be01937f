//! Roles and grants as objects over HTTP: they are what the statements make, with the same rights.

use cenote_testkit::client::Client;
use cenote_testkit::node::TestNode;
use serde_json::{Value, json};

use crate::rights::{outcome, token};

async fn send(client: &Client, method: &'static str, path: &str, body: Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.send(method, path, &[], body).await.expect("an answer");
    let told = if answer.text.is_empty() { Value::Null } else { answer.json() };
    (answer.status, told)
}

fn on_cpu(privileges: &[&str]) -> Value {
    json!({
        "principal": {"kind": "role", "name": "Ana \"lysts"},
        "privileges": privileges,
        "object": {"kind": "table", "name": "default.cpu"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_grants_made_by_paths_are_those_of_the_statements() {
    let node = TestNode::start().await;
    let admin = node.client();
    let ada = token(&admin, "ada", &[]).await;
    admin.sql("CREATE TABLE cpu (n BIGINT)").await;
    let role = "Ana \"lysts";
    assert_eq!(
        send(&admin, "POST", "/api/v1/roles", json!({"name": role})).await,
        (201, json!({"name": role}))
    );
    assert_eq!(send(&admin, "POST", "/api/v1/roles", json!({"name": role})).await.0, 409);
    let (status, granted) = send(&admin, "POST", "/api/v1/grants", on_cpu(&["SELECT", "INSERT"])).await;
    assert_eq!((status, &granted), (201, &on_cpu(&["SELECT", "INSERT"])));
    let members = "/api/v1/roles/Ana%20%22lysts/members";
    let who = json!({"kind": "token", "name": "ada"});
    assert_eq!(send(&admin, "POST", members, who.clone()).await.0, 201);
    let held = send(&admin, "GET", members, Value::Null).await.1;
    assert_eq!(held, json!({"data": [{"kind": "token", "name": "ada"}], "nextCursor": null}));
    assert_eq!(ada.number("SELECT count(*) FROM cpu").await, 0, "at once");

    // One's own is listed, page by page; what is others' is not.
    admin.sql("GRANT DELETE ON TABLE 'default.c*' TO ROLE \"Ana \"\"lysts\"").await;
    let mine = send(&ada, "GET", "/api/v1/grants?principal_kind=role&limit=2", Value::Null).await.1;
    let rest = format!(
        "/api/v1/grants?principal_kind=role&limit=2&cursor={}",
        mine["nextCursor"].as_str().expect("more")
    );
    let rest = send(&ada, "GET", &rest, Value::Null).await.1;
    let told = |page: &Value| {
        let of = |grant: &Value| format!("{} {}", grant["privilege"], grant["object"]["isPattern"]);
        page["data"].as_array().expect("grants").iter().map(of).collect::<Vec<_>>()
    };
    let mut all = [told(&mine), told(&rest)].concat();
    all.sort();
    assert_eq!(all, ["\"DELETE\" true", "\"INSERT\" false", "\"SELECT\" false"]);
    assert_eq!(rest["nextCursor"], Value::Null);
    let roles = send(&ada, "GET", "/api/v1/roles", Value::Null).await.1;
    assert_eq!(roles["data"].as_array().expect("roles").len(), 1, "{roles}");
    assert!(send(&admin, "GET", "/api/v1/roles", Value::Null).await.1.to_string().contains("\"reader\""));

    let select = json!({"privilege": "select", "object": {"kind": "table", "name": "default.cpu"}});
    let (status, answer) = send(&ada, "POST", "/api/v1/authorize", select).await;
    assert_eq!((status, &answer["allowed"]), (200, &json!(true)), "{answer}");
    assert_eq!(answer["reason"], format!("granted to role {role}"));
    assert_eq!(answer["grants"][0]["object"], json!({"kind": "table", "schema": "default", "name": "cpu"}));
    for name in ["default.cpu", "default.nowhere"] {
        let drop = json!({"privilege": "DROP", "object": {"kind": "table", "name": name}});
        let answer = send(&ada, "POST", "/api/v1/authorize", drop.clone()).await.1;
        let told = format!("nobody has granted DROP on {name}");
        assert_eq!(answer, json!({"allowed": false, "reason": told, "grants": []}));
        assert_eq!(send(&admin, "POST", "/api/v1/authorize", drop).await.1["allowed"], true);
    }

    assert_eq!(send(&admin, "DELETE", "/api/v1/grants", on_cpu(&["INSERT"])).await.0, 204);
    assert_eq!(outcome(&ada, "INSERT INTO cpu VALUES (1)").await.1, "42501");
    assert_eq!(send(&admin, "DELETE", members, who).await.0, 204);
    assert_eq!(outcome(&ada, "SELECT * FROM cpu").await.1, "42P01");
    assert_eq!(send(&admin, "DELETE", "/api/v1/roles/Ana%20%22lysts", Value::Null).await.0, 204);
    assert_eq!(
        admin.number("SELECT count(*) FROM system.access.grants WHERE principal_kind = 'role'").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_roles_and_grants_ask_for_the_rights_of_the_statements_and_for_sense() {
    let node = TestNode::start().await;
    let admin = node.client();
    let ada = token(&admin, "ada", &[]).await;
    admin.sql("CREATE TABLE cpu (n BIGINT)").await;
    admin.sql("CREATE ROLE analysts").await;
    admin.sql("GRANT SELECT ON TABLE cpu TO TOKEN ada").await;
    let to_ada = |object: Value| json!({"principal": {"kind": "token", "name": "ada"}, "privileges": ["SELECT"], "object": object});
    let cpu = || json!({"kind": "table", "name": "default.cpu"});
    let who = json!({"kind": "token", "name": "ada"});
    for (method, path, body) in [
        ("POST", "/api/v1/roles", json!({"name": "mine"})),
        ("DELETE", "/api/v1/roles/analysts", Value::Null),
        ("POST", "/api/v1/roles/analysts/members", who.clone()),
        ("DELETE", "/api/v1/roles/analysts/members", who),
        ("POST", "/api/v1/grants", to_ada(cpu())),
        ("DELETE", "/api/v1/grants", to_ada(cpu())),
    ] {
        let (status, told) = send(&ada, method, path, body).await;
        assert_eq!((status, &told["sqlstate"]), (403, &json!("42501")), "{method} {path}: {told}");
    }
    let sent = |principal: Value, privileges: Value, object: Value| json!({"principal": principal, "privileges": privileges, "object": object});
    let role = || json!({"kind": "role", "name": "analysts"});
    for (body, wanted) in [
        (sent(json!({"kind": "group", "name": "x"}), json!(["SELECT"]), cpu()), 400),
        (sent(json!({"kind": "role", "name": "nobody"}), json!(["SELECT"]), cpu()), 404),
        (sent(role(), json!([]), cpu()), 400),
        (sent(role(), json!(["SELECT ON TABLE x TO ROLE y; DROP"]), cpu()), 400),
        (sent(role(), json!(["FLY"]), cpu()), 400),
        (sent(role(), json!(["SELECT"]), json!({"kind": "table", "name": "cpu"})), 400),
        (sent(role(), json!(["SELECT"]), json!({"kind": "table", "name": "default.nowhere"})), 404),
        (sent(role(), json!(["SELECT"]), json!({"kind": "table"})), 400),
        (
            sent(role(), json!(["SELECT"]), json!({"kind": "table", "name": "default.cpu", "pattern": "*"})),
            400,
        ),
        (sent(role(), json!(["SELECT"]), json!({"kind": "moon", "name": "default.cpu"})), 400),
        (sent(role(), json!(["READ METADATA"]), json!({"kind": "catalog", "name": "lake"})), 201),
        (sent(role(), json!(["RUN"]), json!({"kind": "job", "name": "compact"})), 201),
        (sent(role(), json!(["USE"]), json!({"kind": "schema", "pattern": "team_*"})), 201),
    ] {
        let (status, told) = send(&admin, "POST", "/api/v1/grants", body.clone()).await;
        assert_eq!(status, wanted, "{body}: {told}");
    }
    for question in [
        json!({"privilege": "FLY", "object": {"kind": "catalog"}}),
        json!({"privilege": "USE", "object": {"kind": "table", "name": "cpu"}}),
        json!({"privilege": "USE", "object": {"kind": "moon"}}),
        json!({"privilege": "USE"}),
    ] {
        assert_eq!(send(&admin, "POST", "/api/v1/authorize", question.clone()).await.0, 400, "{question}");
    }
    assert_eq!(send(&admin, "GET", "/api/v1/grants?principal_kind=moon", Value::Null).await.0, 400);
}
