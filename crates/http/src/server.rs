//! The listener and its routes.

use std::sync::{Arc, OnceLock};

use axum::Router;
use cenote_vocab::{Clock, Ids};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::connection::Door;
use crate::{HttpOptions, NodeState, Services, routes};

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
    /// All routes. Registers the door's metrics: once per registry, by this or by [`Http::serve`].
    pub fn router(&self) -> Router {
        routes::router(App::new(self.clone()))
    }

    /// Accepts connections until `stop`, then lets running requests end. HTTP/1.1 and cleartext HTTP/2.
    pub async fn serve(
        self,
        listener: TcpListener,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        self.serve_all(vec![listener], tasks, stop).await
    }

    /// The same on several addresses that share limits and metrics.
    pub async fn serve_all(
        self,
        listeners: Vec<TcpListener>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let app = App::new(self);
        let door = Arc::new(Door::new(&app, routes::router(app.clone()), tasks, stop));
        futures::future::try_join_all(listeners.into_iter().map(|listener| door.serve(listener))).await?;
        Ok(())
    }

    /// The OpenAPI document of all routes, as JSON.
    pub fn openapi() -> String {
        routes::openapi()
    }
}
