//! The door's metrics (operations page, 6); the node's registry puts `cenote_` before their names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

const HTTP_REQUESTS: &str = "http_requests";
const HTTP_REQUEST_DURATION: &str = "http_request_duration_seconds";
const AUTH_REQUESTS: &str = "auth_requests";
const CONNECTIONS: &str = "connections";
const URL_REQUESTS: &str = "url_requests";
const FILE_REQUESTS: &str = "file_requests";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) method: &'static str,
    /// The pattern of the path, never the path itself.
    pub(crate) route: String,
    pub(crate) status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct RouteLabels {
    pub(crate) method: &'static str,
    pub(crate) route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct ReasonLabels {
    pub(crate) outcome: &'static str,
    pub(crate) reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct ProtocolLabels {
    pub(crate) protocol: &'static str,
}

/// Counted by the outermost layer, by authentication and by the listener.
pub(crate) struct Metrics {
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) durations: Family<RouteLabels, Histogram>,
    pub(crate) authentications: Family<OutcomeLabels, Counter>,
    pub(crate) connections: Family<ProtocolLabels, Gauge>,
    urls: Family<ReasonLabels, Counter>,
    files: Family<OutcomeLabels, Counter>,
}

/// 0.5 ms to 65 s, factor 2.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 18))
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            authentications: Family::default(),
            connections: Family::default(),
            urls: Family::default(),
            files: Family::default(),
        }
    }
}

impl Metrics {
    /// Makes them visible in `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(HTTP_REQUESTS, "requests answered over HTTP", self.requests.clone());
        registry.register(
            HTTP_REQUEST_DURATION,
            "from a request's head to its answer's head",
            self.durations.clone(),
        );
        registry.register(AUTH_REQUESTS, "credentials checked", self.authentications.clone());
        registry.register(CONNECTIONS, "open connections", self.connections.clone());
        registry.register(URL_REQUESTS, "requests for signed URLs", self.urls.clone());
        registry.register(FILE_REQUESTS, "requests by signed URLs", self.files.clone());
    }

    /// Counts one check of credentials.
    pub(crate) fn authenticated(&self, outcome: &'static str) {
        self.authentications.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts one request for signed URLs.
    pub(crate) fn url_minted(&self, outcome: &'static str, reason: &'static str) {
        self.urls.get_or_create(&ReasonLabels { outcome, reason }).inc();
    }

    /// Counts one request by a signed URL.
    pub(crate) fn file_asked(&self, outcome: &'static str) {
        self.files.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// The gauge of this door's open connections.
    pub(crate) fn open_connections(&self) -> Gauge {
        self.connections.get_or_create(&ProtocolLabels { protocol: "http" }).clone()
    }
}
