//! What every handler can reach.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use cenote_catalog::Identity;
use cenote_vocab::{CatalogId, Micros};
use tokio::sync::{Notify, OnceCell, Semaphore};

use crate::auth::UNKNOWN_ADDRESS;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::rate::PerMinute;
use crate::signed::{Keys, MINTS_PER_MINUTE};
use crate::{Http, NodeState, Services};

/// Requests between their head and the head of their answer (`requests_in_flight_max`).
const REQUESTS_IN_FLIGHT_MAX: usize = 4_096;

/// The door's state; clones share it.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) http: Http,
    pub(crate) metrics: Metrics,
    /// Failed authentications.
    pub(crate) failures: PerMinute<IpAddr>,
    /// Requests for signed URLs.
    pub(crate) mints: PerMinute<CatalogId>,
    /// Keys that signed them.
    pub(crate) keys: Keys,
    /// Rings when an answer was stored under an idempotency key.
    pub(crate) kept: Notify,
    /// Places for requests that are being answered.
    pub(crate) in_flight: Semaphore,
    /// When this door was made.
    pub(crate) started: Micros,
    everyone: OnceCell<Identity>,
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Registers the door's metrics: once per registry.
    pub(crate) fn new(http: Http) -> Self {
        let metrics = Metrics::default();
        metrics.register(&mut http.registry.lock());
        let failures = PerMinute::new(http.options.failures_per_minute, UNKNOWN_ADDRESS);
        let mints = PerMinute::new(MINTS_PER_MINUTE, CatalogId(0));
        let started = http.clock.now();
        let in_flight = Semaphore::new(REQUESTS_IN_FLIGHT_MAX);
        let (keys, everyone) = (Keys::default(), OnceCell::new());
        let kept = Notify::new();
        Self(Arc::new(Inner { http, metrics, failures, mints, keys, kept, in_flight, started, everyone }))
    }

    /// Where the node is in its life.
    pub(crate) fn state(&self) -> NodeState {
        self.http.state.borrow().clone()
    }

    /// What a ready node offers; 503 with the reason while it is not ready.
    pub(crate) fn services(&self) -> Result<&Services, Problem> {
        let state = self.state();
        match self.http.services.get() {
            Some(services) if state == NodeState::Ready => Ok(services),
            Some(_) => Err(Problem::not_ready(state.reason())),
            None if state == NodeState::Ready => Err(Problem::not_ready(NodeState::Starting.reason())),
            None => Err(Problem::not_ready(state.reason())),
        }
    }

    /// Who everybody is when `auth.enabled` is false: admin of tenant `default`.
    pub(crate) async fn everyone(&self) -> Result<Identity, Problem> {
        let catalog = &self.services()?.catalog;
        let identity = self.everyone.get_or_try_init(|| async {
            match catalog.tenant("default").await.map_err(Problem::from)? {
                Some(scope) => Ok::<_, Problem>(catalog.internal_identity(&scope)),
                None => Err(Problem::internal("tenant \"default\" does not exist")),
            }
        });
        identity.await.cloned()
    }

    /// How long the node has been up.
    pub(crate) fn uptime(&self) -> Duration {
        self.http.clock.now().since(self.started)
    }
}
