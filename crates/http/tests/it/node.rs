//! A door for tests: without a node behind it, or with a real one in this process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use cenote_catalog::{Grant, NewToken};
use cenote_http::{Http, HttpOptions, NodeState, Services};
use cenote_testkit::engine::TestEngine;
use cenote_vocab::{Clock, Ids, Micros, Permissions};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

/// The secret of the admin token of every test node.
pub(crate) const ADMIN: &str = "an-admin-secret-of-more-than-32-characters";

/// Limits as the configuration's defaults, with a small body.
pub(crate) fn options() -> HttpOptions {
    HttpOptions {
        auth_enabled: true,
        body_max: 1 << 20,
        import_max: 1 << 20,
        failures_per_minute: 3,
        delete_enabled: true,
        query_timeout: Duration::from_secs(30),
        connections_max: 16,
    }
}

/// A door with nothing behind it yet. The sender moves its state.
pub(crate) fn door(options: HttpOptions, state: NodeState) -> (Http, watch::Sender<NodeState>) {
    with_clock(options, state, Clock::manual(Micros(1_700_000_000_000_000)))
}

fn with_clock(options: HttpOptions, state: NodeState, clock: Clock) -> (Http, watch::Sender<NodeState>) {
    let (sender, receiver) = watch::channel(state);
    let http = Http {
        options,
        services: Arc::new(OnceLock::new()),
        state: receiver,
        registry: Arc::new(Mutex::new(Registry::with_prefix("cenote"))),
        ids: Ids::seeded(7, clock.clone()),
        clock,
    };
    (http, sender)
}

/// A ready node with an admin token, and its router.
pub(crate) struct Node {
    pub(crate) router: Router,
    engine: TestEngine,
    _state: watch::Sender<NodeState>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(options()).await
    }

    pub(crate) async fn with(options: HttpOptions) -> Self {
        let engine = cenote_testkit::engine::node().await;
        let services = Services {
            catalog: engine.lake.catalog.clone(),
            lake: engine.lake.clone(),
            ingest: engine.ingest.clone(),
            engine: engine.engine.clone(),
        };
        let clock = engine.lake.clock.clone();
        let (http, state) = with_clock(options, NodeState::Ready, clock);
        assert!(http.services.set(services).is_ok());
        let node = Self { router: http.router(), engine, _state: state };
        node.token("admin", Permissions::ADMIN, &[], Some(ADMIN)).await;
        node
    }

    /// Makes a token with rights everywhere and on databases by pattern (read and write); answers its secret.
    pub(crate) async fn token(
        &self,
        name: &str,
        permissions: Permissions,
        databases: &[&str],
        secret: Option<&str>,
    ) -> String {
        use cenote_vocab::Permission::{Read, Write};
        let grant = |database: &&str| Grant {
            database: (*database).to_owned(),
            measurement: "*".to_owned(),
            permissions: vec![Read, Write],
        };
        let new = NewToken {
            name: name.to_owned(),
            description: String::new(),
            permissions,
            grants: databases.iter().map(grant).collect(),
            default_database: None,
            expires: None,
        };
        self.engine.lake.catalog.create_token(&self.engine.scope, new, secret).await.expect("a token").1
    }

    /// The secret of an admin token of another tenant.
    pub(crate) async fn stranger(&self) -> String {
        let catalog = &self.engine.lake.catalog;
        let scope = catalog.create_tenant("other").await.expect("a tenant");
        let new = NewToken {
            name: "stranger".to_owned(),
            description: String::new(),
            permissions: Permissions::ADMIN,
            grants: Vec::new(),
            default_database: None,
            expires: None,
        };
        catalog.create_token(&scope, new, None).await.expect("a token").1
    }

    /// Lays a copy of an object beside it, as a writer outside would.
    pub(crate) async fn copy_object(&self, from: &str, to: &str) {
        let store = &self.engine.lake.store;
        let bytes = store.read(&from.into()).await.expect("an object");
        store.put(&to.into(), bytes).await.expect("stored");
    }

    /// `GET` as admin.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path), "").await
    }

    /// `POST` as admin.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(path), body).await
    }

    /// A request as admin, unless it has its own credential.
    pub(crate) async fn send(&self, request: http::request::Builder, body: impl Into<Body>) -> Answer {
        let has_own = request.headers_ref().is_some_and(|headers| headers.contains_key("authorization"));
        let request =
            if has_own { request } else { request.header("authorization", format!("Bearer {ADMIN}")) };
        send(&self.router, request.body(body.into()).expect("a request")).await
    }

    /// The rows of a query that must succeed.
    pub(crate) async fn rows(&self, sql: &str) -> Value {
        let answer = self.post("/api/v1/query", serde_json::json!({ "sql": sql }).to_string()).await;
        assert_eq!(answer.status.as_u16(), 200, "{sql}: {}", answer.text());
        answer.json()["data"].clone()
    }

    /// The answer of a text of statements, whatever it is.
    pub(crate) async fn sql(&self, sql: &str) -> Answer {
        self.post("/api/v1/sql", serde_json::json!({ "sql": sql }).to_string()).await
    }

    /// Makes it as if the node had died between a commit under a key and its answer.
    pub(crate) async fn lose_answer(&self, producer: &str) {
        let (catalog, scope) = (&self.engine.lake.catalog, &self.engine.scope);
        let (_, _, state) = catalog.producer(scope, producer).await.expect("read").expect("known");
        let state = state.expect("kept");
        let mut kept: Value = serde_json::from_slice(&state).expect("JSON");
        assert!(kept.as_object_mut().expect("an object").remove("answer").is_some());
        let lost = kept.to_string();
        let changed = catalog.replace_producer_state(scope, producer, &state, lost.as_bytes()).await;
        assert!(changed.expect("written"));
    }

    pub(crate) async fn stop(self) {
        self.engine.stop().await;
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// Sends one request through the router.
pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("the router answers");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes().to_vec();
    Answer { status: head.status, headers: head.headers, body }
}

/// `GET` without a credential.
pub(crate) async fn get(router: &Router, path: &str) -> Answer {
    send(router, Request::get(path).body(Body::empty()).expect("a request")).await
}
