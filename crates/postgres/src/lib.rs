//! The Postgres wire: startup, SCRAM, simple and extended query, cancel. Knows no table and no SQL.

use std::sync::{Arc, OnceLock};

use cenote_catalog::Catalog;
use cenote_query::Engine;
use cenote_vocab::{Clock, Ids};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Limits and switches of the Postgres door.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// False: every caller is admin of tenant `default`.
    pub auth_enabled: bool,
    /// Connections at a time.
    pub connections_max: usize,
    /// `idle_in_transaction_session_timeout`
    pub idle_in_transaction: std::time::Duration,
}

/// The Postgres door of one node. Until `services` is set every connection is answered 57P03.
#[derive(Clone)]
pub struct Postgres {
    /// Limits and switches.
    pub options: PostgresOptions,
    /// Set once, when the node has opened them.
    pub services: Arc<OnceLock<(Catalog, Engine)>>,
    /// The time.
    pub clock: Clock,
    /// Chance, for nonces and cancel keys.
    pub ids: Ids,
}

impl Postgres {
    /// Accepts connections until `stop`; open ones get 57P01 then.
    pub async fn serve(self, _listener: TcpListener, _tasks: TaskTracker, _stop: CancellationToken) -> std::io::Result<()> {
        todo!()
    }
}
