//! The audit: acts of administration with their effect, refusals once and counted.

use cenote_testkit::client::{Client, postgres};
use cenote_testkit::node::TestNode;
use cenote_testkit::{PATIENCE, settles};
use serde_json::{Value, json};

async fn entries(client: &Client, parameters: &str) -> Vec<Value> {
    let path = format!("/api/v1/audit?{parameters}");
    let answer = client.send("GET", &path, &[], "").await.expect("an answer");
    assert_eq!(answer.status, 200, "{parameters}: {}", answer.text);
    answer.json()["entries"].as_array().expect("entries").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_are_audited_with_their_effect_and_refusals_are_counted() {
    let node = TestNode::start().await;
    let admin = node.client();
    let body = json!({"name": "ada", "permissions": []}).to_string();
    let made = admin.send("POST", "/api/v1/auth/tokens", &[], body).await.expect("an answer");
    let secret = made.json()["token"].as_str().expect("a secret").to_owned();
    let ada = admin.with_token(&secret);
    let effects = [
        ("CREATE TABLE t (n BIGINT)", "ddl", "default.t"),
        ("GRANT SELECT ON TABLE t TO TOKEN ada", "grant", "SELECT on default.t to token"),
        ("CREATE ROLE team", "grant", "role team"),
        ("ALTER TABLE t ADD COLUMN m INT", "ddl", "default.t"),
        ("DROP TABLE t", "ddl", "default.t"),
    ];
    for (sql, action, object) in effects {
        admin.sql(sql).await;
        // It is there as soon as its effect is: nothing is waited for.
        let newest = entries(&admin, &format!("actor=admin&action={action}&limit=1")).await;
        assert!(newest[0]["object"].as_str().is_some_and(|text| text.contains(object)), "{sql}: {newest:?}");
        let from = (&newest[0]["protocol"], &newest[0]["address"]);
        assert_eq!(from, (&json!("http"), &json!("127.0.0.1")), "{sql}");
    }
    let tokens = entries(&admin, "action=create_token&actor=admin").await;
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    assert_eq!((&tokens[0]["object"], &tokens[0]["protocol"]), (&json!("token ada"), &json!("http")));
    assert_eq!(tokens[0]["address"], "127.0.0.1");
    let before = entries(&admin, "action=ddl&limit=1000").await.len();
    let failed = admin.try_sql("CREATE TABLE u (n BIGINT); SELECT * FROM nowhere").await.expect("an answer");
    assert_eq!(failed.status, 404);
    assert_eq!(entries(&admin, "action=ddl&limit=1000").await.len(), before, "no effect, no row");

    for _ in 0..3 {
        assert_eq!(ada.try_sql("CREATE SCHEMA x").await.expect("an answer").status, 403);
    }
    let base = ada.send("POST", "/api/v1/databases", &[], r#"{"name":"x"}"#).await.expect("an answer");
    assert_eq!(base.status, 403, "{}", base.text);
    admin.sql("CREATE TABLE src (v BIGINT)").await;
    admin.sql("CREATE TABLE out (v BIGINT)").await;
    admin.sql("CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out SELECT v FROM src").await;
    admin.sql("RUN JOB compact DRY RUN").await;
    settles("acts and refusals by other doors in the audit", PATIENCE, async || {
        let refused = entries(&admin, "action=request_deny&actor=ada").await;
        let ddl = entries(&admin, "action=ddl&actor=admin").await;
        let ran = entries(&admin, "action=admin&actor=admin").await;
        refused.iter().any(|row| row["detail"] == "POST /api/v1/databases")
            && ddl
                .iter()
                .any(|row| row["object"] == "pipeline default.p" && row["detail"] == "create_pipeline")
            && ran.iter().any(|row| row["object"] == "job compact" && row["detail"] == "run_job")
    })
    .await;
    let wrong = admin.with_token("wrong").try_sql("SELECT 1").await.expect("an answer");
    assert_eq!(wrong.status, 401);
    let mut config = node.postgres(&ada);
    config.user("ada");
    postgres(&config).await.expect("connected");
    config.password("wrong");
    assert!(postgres(&config).await.is_err());
    for (body, reason) in
        [(r#"{"tables":["access.tokens"]}"#, "private_artifact"), (r#"{"paths":["../x"]}"#, "path_traversal")]
    {
        let asked = admin.send("POST", "/api/v1/browser/urls", &[], body).await.expect("an answer");
        assert_eq!(asked.status, 403, "{}", asked.text);
        settles("the refusal in the audit", PATIENCE, async || {
            entries(&admin, "action=url_mint_deny").await.iter().any(|row| row["reason"] == reason)
        })
        .await;
    }
    settles("what was queued in the audit", PATIENCE, async || {
        let denied = entries(&admin, "action=statement_deny&actor=ada").await;
        let times: i64 = denied.iter().filter_map(|row| row["times"].as_i64()).sum();
        let doors = |rows: &[Value], protocol: &str| rows.iter().any(|row| row["protocol"] == protocol);
        let refused = entries(&admin, "action=auth_deny&outcome=deny").await;
        let let_in = entries(&admin, "action=auth_allow&actor=ada").await;
        denied.len() == 1
            && times == 3
            && doors(&refused, "http")
            && doors(&refused, "postgres")
            && doors(&let_in, "postgres")
    })
    .await;
    let denied = entries(&admin, "action=statement_deny&actor=ada").await;
    assert!(denied[0]["reason"].as_str().is_some_and(|text| text.contains("CREATE")), "{denied:?}");

    let all = entries(&admin, "limit=1000").await;
    assert!(!json!(all).to_string().contains(&secret), "no secret is in it");
    let first = admin.send("GET", "/api/v1/audit?limit=2", &[], "").await.expect("an answer").json();
    let cursor = first["next_cursor"].as_str().expect("more");
    let second = entries(&admin, &format!("limit=2&cursor={cursor}")).await;
    assert!(second.iter().all(|row| !first["entries"].as_array().expect("rows").contains(row)));
    assert_eq!(admin.number("SELECT count(*) FROM system.audit WHERE action = 'grant'").await, 2);
    for path in ["/api/v1/audit", "/api/v1/audit?limit=0", "/api/v1/audit?outcome=maybe"] {
        let client = if path.contains('?') { &admin } else { &ada };
        let answer = client.send("GET", path, &[], "").await.expect("an answer");
        assert!([400, 403].contains(&answer.status), "{path}: {}", answer.text);
    }
    assert_eq!(ada.try_sql("SELECT * FROM system.access.audit").await.expect("an answer").status, 403);
}
