//! Bearer tokens of an issuer: who has one comes in with the roles of its claims, and what is wrong with one keeps everybody out.

use cenote_testkit::client::Client;
use cenote_testkit::issuer::{Issuer, signed, signed_by_secret};
use cenote_testkit::process::Process;
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.test";
/// Id and seed of the issuer's key.
const KEY: (&str, u8) = ("one", 1);
/// Seconds since 1970: no test runs as late.
const LATE: u64 = 32_503_680_000;

fn claims(subject: &str, roles: &[&str]) -> Value {
    json!({"iss": ISSUER, "aud": "cenote", "sub": subject, "exp": LATE, "tenant": "default", "groups": roles})
}

/// By the issuer's key.
fn ours(claims: &Value) -> String {
    signed(claims, KEY)
}

async fn status(client: &Client, sql: &str) -> u16 {
    client.try_sql(sql).await.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread")]
async fn who_an_issuer_vouches_for_has_the_roles_of_its_claims() {
    let directory = tempfile::tempdir().expect("a directory");
    let double = Issuer::start();
    double.holds(&[KEY]);
    let keys = format!("jwt.jwks_url={}/keys", double.url);
    let issuer = format!("jwt.issuer={ISSUER}");
    let settings = [issuer.as_str(), "jwt.audience=cenote", keys.as_str()];
    let process = Process::start(&directory.path().join("data"), &settings);
    let admin = process.client();
    for sql in [
        "CREATE TABLE t (n BIGINT)",
        "CREATE TABLE other (n BIGINT)",
        "CREATE ROLE analysts",
        "GRANT SELECT ON TABLE t TO ROLE analysts",
    ] {
        admin.sql(sql).await;
    }
    let as_bearer = |claims: &Value| admin.with_token(ours(claims));

    let ada = as_bearer(&claims("ada@example.org", &["analysts", "nobody_made_this"]));
    assert_eq!(ada.number("SELECT count(*) FROM t").await, 0);
    let signed_in = "SELECT count(*) FROM system.access.audit WHERE actor = 'jwt:ada@example.org' AND action = 'claim_roles'";
    assert_eq!(admin.number(signed_in).await, 1);
    assert_eq!(status(&ada, "SELECT * FROM other").await, 404);
    assert_eq!(status(&ada, "INSERT INTO t VALUES (1)").await, 403);
    // Another token of hers, with other roles: they are hers from then on, and what she makes is hers.
    let ada = as_bearer(&claims("ada@example.org", &["writer"]));
    ada.sql("INSERT INTO other VALUES (1)").await;
    ada.sql("CREATE TABLE hers (n BIGINT)").await;
    let reader = as_bearer(&claims("ada@example.org", &["reader"]));
    assert_eq!(status(&reader, "INSERT INTO other VALUES (2)").await, 403);
    reader.sql("ALTER TABLE hers ADD COLUMN m BIGINT").await;
    // What is granted to the subject itself stays, whatever its claims say.
    admin.sql("GRANT INSERT ON TABLE other TO TOKEN \"jwt:ada@example.org\"").await;
    let bare = as_bearer(&claims("ada@example.org", &[]));
    bare.sql("INSERT INTO other VALUES (3)").await;
    assert_eq!(status(&bare, "SELECT * FROM t").await, 404);
    let bob = as_bearer(&claims("bob", &[]));
    assert_eq!(status(&bob, "SELECT * FROM t").await, 404, "nobody vouches for more");

    // A subject that is switched off stays out, with whatever token.
    let listed = admin.send("GET", "/api/v1/auth/tokens", &[], "").await.expect("an answer").json();
    let bobs = listed["tokens"].as_array().expect("tokens").iter().find(|token| token["name"] == "jwt:bob");
    let path = format!("/api/v1/auth/tokens/{}", bobs.expect("a principal")["id"]);
    let off = admin.send("PATCH", &path, &[], r#"{"enabled": false}"#).await.expect("an answer");
    assert_eq!(off.status, 200, "{}", off.text);
    assert_eq!(status(&as_bearer(&claims("bob", &["admin"])), "SELECT 1").await, 401);
    let bobs = "SELECT count(*) FROM system.access.role_members WHERE member = 'jwt:bob'";
    assert_eq!(admin.number(bobs).await, 0, "and gets no role by it");

    // What a claim gave a person can take away, until the next token says it again.
    let eve = as_bearer(&claims("eve", &["analysts"]));
    assert_eq!(status(&eve, "SELECT * FROM t").await, 200);
    let answer = admin.try_sql("REVOKE ROLE analysts FROM TOKEN \"jwt:eve\"").await.expect("an answer");
    assert!(answer.status == 200 && answer.text.contains("claim"), "it says so: {}", answer.text);
    assert_eq!(status(&eve, "SELECT * FROM t").await, 404);

    // `jwt:` and the subject are a name of at most 255 bytes.
    for (bytes, wanted) in [(251, 200), (252, 401)] {
        let long = as_bearer(&claims(&"s".repeat(bytes), &[]));
        assert_eq!(status(&long, "SELECT 1").await, wanted, "{bytes} bytes");
    }
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_that_proves_nothing_lets_nobody_in() {
    let directory = tempfile::tempdir().expect("a directory");
    let double = Issuer::start();
    double.holds(&[KEY]);
    let keys = format!("jwt.jwks_url={}/keys", double.url);
    let issuer = format!("jwt.issuer={ISSUER}");
    let settings = [issuer.as_str(), "jwt.audience=cenote", keys.as_str(), "auth.failures_per_minute=100"];
    let process = Process::start(&directory.path().join("data"), &settings);
    let admin = process.client();
    let with = |name: &str, value: Value| {
        let mut claims = claims("eve", &["admin"]);
        claims[name] = value;
        claims
    };
    assert_eq!(status(&admin.with_token(ours(&claims("ada", &["admin"]))), "SELECT 1").await, 200);
    let good = ours(&claims("eve", &["admin"]));
    let payload = good.split('.').nth(1).expect("three parts");
    // {"alg":"none"}
    let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
    for (what, token) in [
        ("no algorithm", unsigned),
        ("an HMAC where the key is public", signed_by_secret(&claims("eve", &["admin"]), &[1; 32])),
        ("another key", signed(&claims("eve", &["admin"]), (KEY.0, 2))),
        ("another audience", ours(&with("aud", json!("others")))),
        ("another issuer", ours(&with("iss", json!("https://other.test")))),
        ("expired", ours(&with("exp", json!(1_700_000_000)))),
        ("not yet", ours(&with("nbf", json!(LATE)))),
        ("no tenant", ours(&with("tenant", Value::Null))),
        ("a tenant that is not there", ours(&with("tenant", json!("acme")))),
    ] {
        let answer = admin.with_token(&token).try_sql("SELECT 1").await.expect("an answer");
        assert_eq!(
            (answer.status, answer.json()["error"].as_str()),
            (401, Some("Invalid or expired token")),
            "{what}"
        );
    }
    let made = "SELECT count(*) FROM system.access.tokens WHERE name LIKE 'jwt:eve%'";
    assert_eq!(admin.number(made).await, 0, "who proved nothing is nobody");
    let taken =
        admin.send("POST", "/api/v1/auth/tokens", &[], r#"{"name": "jwt:ada2"}"#).await.expect("an answer");
    assert_eq!(taken.status, 400, "{}", taken.text);
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_proven_now_is_told_no_address_of_the_issuer() {
    let directory = tempfile::tempdir().expect("a directory");
    let double = Issuer::start(); // it is away
    let keys = format!("jwt.jwks_url={}/keys?api_key=hunter2", double.url);
    let issuer = format!("jwt.issuer={ISSUER}");
    let settings = [issuer.as_str(), "jwt.audience=cenote", keys.as_str()];
    let process = Process::start(&directory.path().join("data"), &settings);
    let ada = process.client().with_token(ours(&claims("ada", &[])));
    let answer = ada.try_sql("SELECT 1").await.expect("an answer");
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(!answer.text.contains("hunter2") && !answer.text.contains("127.0.0.1"), "{}", answer.text);
    assert!(process.terminate().success());
}
