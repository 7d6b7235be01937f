//! Bearer tokens of an issuer: who has one comes in with the roles of its claims, and what is wrong with one keeps everybody out.

use cenote_testkit::client::Client;
use cenote_testkit::process::Process;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const ISSUER: &str = "https://issuer.test";
/// Seconds since 1970: no test runs as late.
const LATE: u64 = 32_503_680_000;

/// An Ed25519 key of a seed (PKCS #8: RFC 8410, 7).
fn key(seed: u8) -> EncodingKey {
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    EncodingKey::from_ed_der(&[head.as_slice(), &[seed; 32]].concat())
}

/// The issuer's keys at an address of their own.
async fn serve_keys(seed: u8) -> (String, JoinSet<()>) {
    let mut jwk = Jwk::from_encoding_key(&key(seed), Algorithm::EdDSA).expect("a key");
    jwk.common.key_id = Some("one".to_owned());
    let body = json!({"keys": [jwk]}).to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut answers = JoinSet::new();
    answers.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok() {
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let sent = stream.write_all(format!("{head}{body}").as_bytes()).await;
                sent.expect("the node reads what it asked for");
            }
        }
    });
    (format!("http://{address}/keys"), answers)
}

fn claims(subject: &str, roles: &[&str]) -> Value {
    json!({"iss": ISSUER, "aud": "cenote", "sub": subject, "exp": LATE, "tenant": "default", "groups": roles})
}

fn signed(claims: &Value, seed: u8) -> String {
    let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &key(seed)).expect("signed")
}

async fn status(client: &Client, sql: &str) -> u16 {
    client.try_sql(sql).await.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread")]
async fn who_an_issuer_vouches_for_has_the_roles_of_its_claims() {
    let directory = tempfile::tempdir().expect("a directory");
    let (keys, _answers) = serve_keys(1).await;
    let keys = format!("jwt.jwks_url={keys}");
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
    let as_bearer = |claims: &Value| admin.with_token(signed(claims, 1));

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
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_that_proves_nothing_lets_nobody_in() {
    let directory = tempfile::tempdir().expect("a directory");
    let (keys, _answers) = serve_keys(1).await;
    let keys = format!("jwt.jwks_url={keys}");
    let issuer = format!("jwt.issuer={ISSUER}");
    let settings = [issuer.as_str(), "jwt.audience=cenote", keys.as_str(), "auth.failures_per_minute=100"];
    let process = Process::start(&directory.path().join("data"), &settings);
    let admin = process.client();
    let with = |name: &str, value: Value| {
        let mut claims = claims("eve", &["admin"]);
        claims[name] = value;
        claims
    };
    assert_eq!(status(&admin.with_token(signed(&claims("ada", &["admin"]), 1)), "SELECT 1").await, 200);
    let good = signed(&claims("eve", &["admin"]), 1);
    let payload = good.split('.').nth(1).expect("three parts");
    // {"alg":"none"}
    let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
    let by_secret = |claims: &Value| {
        let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
        encode(&header, claims, &EncodingKey::from_secret(&[1; 32])).expect("signed")
    };
    for (what, token) in [
        ("no algorithm", unsigned),
        ("an HMAC where the key is public", by_secret(&claims("eve", &["admin"]))),
        ("another key", signed(&claims("eve", &["admin"]), 2)),
        ("another audience", signed(&with("aud", json!("others")), 1)),
        ("another issuer", signed(&with("iss", json!("https://other.test")), 1)),
        ("expired", signed(&with("exp", json!(1_700_000_000)), 1)),
        ("not yet", signed(&with("nbf", json!(LATE)), 1)),
        ("no tenant", signed(&with("tenant", Value::Null), 1)),
        ("a tenant that is not there", signed(&with("tenant", json!("acme")), 1)),
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
