//! The listener and its routes.

use std::sync::{Arc, OnceLock};

use cenote_vocab::{Clock, Ids};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{HttpOptions, NodeState, Services};

/// The HTTP door of one node.
#[derive(Clone)]
pub struct Http {
    /// Limits and switches.
    pub options: HttpOptions,
    /// Set once, when the node has opened them.
    pub services: Arc<OnceLock<Services>>,
    /// Where the node is in its life.
    pub state: watch::Receiver<NodeState>,
    /// All metrics of the node.
    pub registry: Arc<Mutex<Registry>>,
    /// The time.
    pub clock: Clock,
    /// Chance, for request ids.
    pub ids: Ids,
}

impl Http {
    /// All routes.
    pub fn router(&self) -> axum::Router {
        todo!()
    }

    /// Accepts connections until `stop`, then lets running requests end. HTTP/1.1 and cleartext HTTP/2.
    pub async fn serve(self, _listener: TcpListener, _tasks: TaskTracker, _stop: CancellationToken) -> std::io::Result<()> {
        todo!()
    }

    /// The OpenAPI document of all routes, as JSON.
    pub fn openapi() -> String {
        todo!()
    }
}
