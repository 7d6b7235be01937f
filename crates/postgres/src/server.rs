//! Accepts connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cenote_catalog::Catalog;
use cenote_query::Engine;
use cenote_vocab::{Clock, Ids};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cancel::CancelKeys;
use crate::connection::Connection;

/// Pause after a failed accept (such as too many open files), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits and switches of the Postgres door.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// False: every caller is admin of tenant `default`.
    pub auth_enabled: bool,
    /// Connections at a time; the next one is answered 53300.
    pub connections_max: usize,
    /// `idle_in_transaction_session_timeout`
    pub idle_in_transaction: Duration,
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
    /// Accepts connections until `stop`; open ones are closed then.
    pub async fn serve(
        self,
        listener: TcpListener,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let cancel_keys = Arc::new(CancelKeys::default());
        let open = Arc::new(AtomicUsize::new(0));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return Ok(()),
            };
            let socket = match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let place = Place::take(&open);
            let is_full = open.load(Ordering::Relaxed) > self.options.connections_max;
            let connection = Connection::new(self.clone(), cancel_keys.clone(), is_full);
            tasks.spawn(talk(socket, connection, place, stop.clone()));
        }
    }
}

/// Counts an open connection while it lives.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn talk(socket: TcpStream, connection: Arc<Connection>, place: Place, stop: CancellationToken) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let conversation = pgwire::tokio::process_socket(socket, None, connection.clone());
    tokio::select! {
        ended = conversation => {
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
        }
        () = stop.cancelled() => {}
        () = connection.expelled() => {}
    }
    connection.close().await;
    drop(place);
}
