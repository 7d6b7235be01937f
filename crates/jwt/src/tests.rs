use std::time::Duration;

use cenote_testkit::issuer::{Issuer as Double, signed, signed_by_secret};
use cenote_vocab::{Clock, Micros};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::{Bearer, Error, Issuer, KeySource, Options};

const ISSUER: &str = "https://issuer.test";
/// Seconds.
const NOW: i64 = 1_900_000_000;
/// An RSA key, and a token that was signed by its private half, which is kept nowhere. It expires in 2033.
const PUBLIC_KEY: &str = include_str!("tests/public.pem");
const SIGNED: &str = include_str!("tests/rs256.jwt");
const SECRET: &[u8] = b"a secret of issuer and node, 32+ bytes";

fn options(key: KeySource) -> Options {
    Options {
        issuer: ISSUER.to_owned(),
        audience: "cenote".to_owned(),
        key,
        tenant_claim: "tenant".to_owned(),
        roles_claim: "groups".to_owned(),
        default_tenant: None,
    }
}

fn clock() -> Clock {
    Clock::manual(Micros(NOW * 1_000_000))
}

fn issuer(key: KeySource) -> Issuer {
    Issuer::new(options(key), clock(), &TaskTracker::new()).expect("options")
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": ["other", "cenote"], "sub": "ada", "exp": NOW + 60, "tenant": "default", "groups": "ops, writer"})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

async fn refusal(issuer: &Issuer, token: &str) -> &'static str {
    match issuer.verify(token).await {
        Err(Error::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_of_the_public_key_says_who_has_it() {
    let issuer = issuer(KeySource::Pem(PUBLIC_KEY.into()));
    let bearer = issuer.verify(SIGNED).await.expect("proven");
    let expected = Bearer {
        subject: "ada".into(),
        tenant: "default".into(),
        roles: vec!["ops".into(), "writer".into()],
        expires: Micros(2_000_000_030 * 1_000_000),
    };
    assert_eq!(bearer, expected);
}

#[tokio::test]
async fn no_algorithm_and_an_hmac_under_the_public_key_prove_nothing() {
    let issuer = issuer(KeySource::Pem(PUBLIC_KEY.into()));
    let payload = SIGNED.split('.').nth(1).expect("three parts");
    // {"alg":"none"}
    let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
    assert!(Issuer::is_token(&unsigned));
    assert!(refusal(&issuer, &unsigned).await.contains("header"));
    let confused = signed_by_secret(&claims(), PUBLIC_KEY.as_bytes());
    assert!(refusal(&issuer, &confused).await.contains("no key"));
    let (signed, signature) = SIGNED.rsplit_once('.').expect("three parts");
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let changed = format!("{signed}.{other}{}", &signature[1..]);
    assert!(refusal(&issuer, &changed).await.contains("signature"));
}

#[tokio::test]
async fn each_claim_is_looked_at_and_refused_by_name() {
    let issuer = issuer(KeySource::Secret(SECRET.to_vec()));
    assert!(issuer.verify(&signed_by_secret(&claims(), SECRET)).await.is_ok());
    let cases = [
        ("iss", json!("https://other.test"), "another issuer"),
        ("aud", json!(["other"]), "another audience"),
        ("exp", json!(NOW - 30), "expired"),
        ("exp", json!("soon"), "exp"),
        ("nbf", json!(NOW + 31), "not valid yet"),
        ("sub", json!(7), "sub"),
        ("tenant", Value::Null, "no tenant"),
        ("tenant", json!(""), "no tenant"),
    ];
    for (name, value, words) in cases {
        let reason = refusal(&issuer, &signed_by_secret(&with(name, value.clone()), SECRET)).await;
        assert!(reason.contains(words), "{name} = {value}: {reason}");
    }
    for name in ["iss", "aud", "exp", "sub"] {
        let mut claims = claims();
        claims.as_object_mut().expect("claims").remove(name);
        let reason = refusal(&issuer, &signed_by_secret(&claims, SECRET)).await;
        assert!(reason.contains("lacks"), "{name}: {reason}");
    }
    for claims in
        [with("exp", json!(NOW - 29)), with("nbf", json!(NOW + 30)), with("exp", json!(NOW as f64 + 0.5))]
    {
        assert!(
            issuer.verify(&signed_by_secret(&claims, SECRET)).await.is_ok(),
            "within the leeway: {claims}"
        );
    }
    assert!(
        refusal(&issuer, &signed_by_secret(&claims(), b"another secret of 32 bytes or more"))
            .await
            .contains("signature")
    );
    assert!(refusal(&issuer, &"a.".repeat(20_000)).await.contains("too long"));
}

#[tokio::test]
async fn a_token_without_a_tenant_is_of_the_default_one_if_there_is_one() {
    let options =
        Options { default_tenant: Some("acme".into()), ..options(KeySource::Secret(SECRET.to_vec())) };
    let issuer = Issuer::new(options, clock(), &TaskTracker::new()).expect("options");
    let mut claims = claims();
    claims.as_object_mut().expect("claims").remove("tenant");
    assert_eq!(issuer.verify(&signed_by_secret(&claims, SECRET)).await.expect("proven").tenant, "acme");
}

#[test]
fn what_is_no_key_and_no_safe_address_is_named() {
    let error =
        |key| Issuer::new(options(key), clock(), &TaskTracker::new()).expect_err("refused").to_string();
    assert!(error(KeySource::Pem(b"hello".to_vec())).contains("jwt.public_key"));
    assert!(error(KeySource::Secret(b"short".to_vec())).contains("32 bytes"));
    assert!(error(KeySource::Jwks("http://keys.test/set".parse().expect("url"))).contains("HTTPS"));
    assert!(Issuer::is_token("a.b.c") && !Issuer::is_token("a.b") && !Issuer::is_token("a.b.c.d"));
    assert!(!Issuer::is_token("cenote_..x") && !Issuer::is_token("a. .c"));
}

#[tokio::test]
async fn keys_that_change_are_found_and_those_that_are_known_outlive_an_issuer_that_is_away() {
    let (server, clock) = (Double::start(), clock());
    let key = KeySource::Jwks(format!("{}/keys", server.url).parse().expect("url"));
    let issuer = Issuer::new(options(key), clock.clone(), &TaskTracker::new()).expect("options");
    let later = |seconds| clock.advance(Duration::from_secs(seconds));
    // expired tokens are not what this is about
    let token = |id: &str, seed: u8| signed(&with("exp", json!(NOW + 1_000_000)), (id, seed));
    assert!(matches!(issuer.verify(&token("one", 1)).await, Err(Error::Unreachable(_))), "never seen");
    server.holds(&[("one", 1)]);
    assert!(matches!(issuer.verify(&token("one", 1)).await, Err(Error::Unreachable(_))), "asked just now");
    later(30);
    assert!(issuer.verify(&token("one", 1)).await.is_ok());
    assert_eq!(server.asked(), 2);
    assert!(issuer.verify(&token("one", 1)).await.is_ok());
    assert_eq!(server.asked(), 2, "kept");
    server.holds(&[("two", 2)]);
    assert!(refusal(&issuer, &token("two", 2)).await.contains("no key"), "fetched just now");
    later(30);
    assert!(issuer.verify(&token("two", 2)).await.is_ok(), "an unknown id is asked for");
    assert_eq!(server.asked(), 3);
    assert!(refusal(&issuer, &token("one", 1)).await.contains("no key"), "taken out of use");
    assert!(refusal(&issuer, &token("two", 3)).await.contains("signature"));
    server.goes_away();
    later(3600);
    assert!(issuer.verify(&token("two", 2)).await.is_ok(), "known keys hold");
    assert_eq!(server.asked(), 4, "it was asked");
    later(23 * 3600);
    assert!(issuer.verify(&token("two", 2)).await.is_err(), "for a day");
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are() {
    let server = Double::start();
    server.holds(&[("one", 1)]);
    let options = Options { issuer: server.url.clone(), ..options(KeySource::Discovery) };
    let issuer = Issuer::new(options, clock(), &TaskTracker::new()).expect("options");
    let token = signed(&with("iss", json!(server.url)), ("one", 1));
    assert_eq!(issuer.verify(&token).await.expect("proven").subject, "ada");
    assert!(refusal(&issuer, &signed(&claims(), ("one", 1))).await.contains("another issuer"));
}

#[tokio::test]
async fn who_leaves_while_keys_are_fetched_keeps_nobody_out() {
    let server = Double::start();
    server.holds(&[("one", 1)]);
    let key = KeySource::Jwks(format!("{}/keys", server.url).parse().expect("url"));
    let issuer = issuer(key);
    let token = signed(&claims(), ("one", 1));
    {
        let mut first = Box::pin(issuer.verify(&token));
        assert!(futures::poll!(first.as_mut()).is_pending(), "the keys are asked for");
    }
    assert_eq!(issuer.verify(&token).await.expect("proven").subject, "ada");
    assert_eq!(server.asked(), 1, "once");
}

#[tokio::test]
async fn no_error_tells_the_secret_of_an_address() {
    let address = |text: &str| KeySource::Jwks(text.parse().expect("url"));
    for text in
        ["https://who:hunter2@keys.test/set", "https://hunter2@keys.test/set", "http://keys.test/?k=hunter2"]
    {
        let error =
            Issuer::new(options(address(text)), clock(), &TaskTracker::new()).expect_err(text).to_string();
        assert!(!error.contains("hunter2") && error.contains("keys.test"), "{error}");
    }
    let server = Double::start();
    let url = format!("{}/keys?api_key=hunter2#hunter2", server.url);
    assert!(!format!("{:?}", options(address(&url))).contains("hunter2"));
    let error = issuer(address(&url)).verify(&signed(&claims(), ("one", 1))).await.expect_err("away");
    assert!(matches!(error, Error::Unreachable(_)) && !error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn an_issuer_that_is_discovered_is_the_one_that_is_trusted_to_the_letter() {
    let server = Double::start();
    server.holds(&[("one", 1)]);
    for other in [format!("{}/", server.url), format!("{}/realm", server.url)] {
        let options = Options { issuer: other.clone(), ..options(KeySource::Discovery) };
        let issuer = Issuer::new(options, clock(), &TaskTracker::new()).expect("options");
        let token = signed(&with("iss", json!(other)), ("one", 1));
        let error = issuer.verify(&token).await.expect_err("another issuer").to_string();
        assert!(error.contains("another issuer"), "{other}: {error}");
    }
}

#[tokio::test]
async fn what_must_be_understood_and_is_not_makes_a_token_worthless() {
    let issuer = issuer(KeySource::Secret(SECRET.to_vec()));
    let critical =
        jsonwebtoken::Header { typ: None, ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256) };
    let mut header = serde_json::to_value(&critical).expect("a header");
    header["crit"] = json!(["b64"]);
    header["b64"] = json!(true);
    let text = |value: &Value| base64url(value.to_string().as_bytes());
    let signed = format!("{}.{}", text(&header), text(&claims()));
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    let token = format!("{signed}.{}", signature.expect("signed"));
    assert!(refusal(&issuer, &token).await.contains("crit"));
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
