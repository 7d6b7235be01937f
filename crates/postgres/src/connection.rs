//! One connection: its session and its handlers.

use std::sync::{Arc, OnceLock};

use cenote_query::{Session, TransactionStatus as SessionStatus};
use parking_lot::Mutex;
use pgwire::api::auth::StartupHandler;
use pgwire::api::cancel::CancelHandler;
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::{ClientInfo, ErrorHandler, PgWireServerHandlers};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::response::TransactionStatus;
use pgwire::messages::startup::SecretKey;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cancel::{CancelKeys, Canceller};
use crate::error;
use crate::extended::Extended;
use crate::server::Postgres;
use crate::simple::Simple;
use crate::startup::Startup;

/// The longest that a revoked token's open connection goes on while it is idle.
const VALIDITY_CHECK: std::time::Duration = std::time::Duration::from_secs(5);

/// What all handlers of one connection share.
pub(crate) struct Connection {
    pub(crate) door: Postgres,
    pub(crate) cancel_keys: Arc<CancelKeys>,
    /// True if there are too many connections: this one is told so and closed.
    pub(crate) refused: bool,
    session: OnceLock<Arc<Session>>,
    cancel_key: Mutex<Option<(i32, SecretKey)>>,
    last_statement: Mutex<Instant>,
    busy: std::sync::atomic::AtomicBool,
    opened: Notify,
    startup: Arc<Startup>,
}

impl Connection {
    pub(crate) fn new(door: Postgres, cancel_keys: Arc<CancelKeys>, refused: bool) -> Arc<Self> {
        Arc::new_cyclic(|connection| Self {
            door,
            cancel_keys,
            refused,
            session: OnceLock::new(),
            cancel_key: Mutex::new(None),
            last_statement: Mutex::new(Instant::now()),
            busy: std::sync::atomic::AtomicBool::new(false),
            opened: Notify::new(),
            startup: Arc::new(Startup::new(connection.clone())),
        })
    }

    /// The session of a connection that has authenticated.
    pub(crate) fn session(&self) -> PgWireResult<&Arc<Session>> {
        self.session.get().ok_or_else(|| error::fatal("08P01", "the connection has not authenticated"))
    }

    pub(crate) fn open(&self, session: Session) -> &Arc<Session> {
        let session = self.session.get_or_init(|| Arc::new(session));
        self.opened.notify_one();
        session
    }

    pub(crate) fn remember_cancel_key(&self, pid: i32, key: SecretKey) {
        if let Some(session) = self.session.get() {
            session.set_backend_pid(pid);
            self.cancel_keys.insert(pid, &key, session);
            *self.cancel_key.lock() = Some((pid, key));
        }
    }

    /// Marks the begin or end of a statement, for the idle timeout.
    pub(crate) fn mark(&self, busy: bool) {
        self.busy.store(busy, std::sync::atomic::Ordering::Relaxed);
        *self.last_statement.lock() = Instant::now();
    }

    /// Resolves when the connection must be closed: its token ended, or a transaction idles too long.
    pub(crate) async fn expelled(&self) {
        self.opened.notified().await;
        let (Some(session), Some((catalog, _))) = (self.session.get(), self.door.services.get()) else {
            return std::future::pending().await;
        };
        let mut every = tokio::time::interval(VALIDITY_CHECK.min(self.door.options.idle_in_transaction));
        loop {
            every.tick().await;
            if self.door.options.auth_enabled
                && matches!(catalog.is_valid(session.identity()).await, Ok(false))
            {
                return;
            }
            let idle = self.last_statement.lock().elapsed();
            let is_open = session.transaction_status() != SessionStatus::Idle;
            let is_busy = self.busy.load(std::sync::atomic::Ordering::Relaxed);
            if is_open && !is_busy && idle >= self.door.options.idle_in_transaction {
                return;
            }
        }
    }

    /// Ends what the connection left open.
    pub(crate) async fn close(&self) {
        if let Some((pid, key)) = self.cancel_key.lock().take() {
            self.cancel_keys.remove(pid, &key);
        }
        if let Some(session) = self.session.get() {
            session.cancel("the connection was closed");
            if let Err(error) = session.end_implicit(true).await {
                tracing::debug!(%error, "rolling back a closed connection");
            }
        }
    }

    /// The session's transaction status as ReadyForQuery tells it.
    pub(crate) fn status(&self) -> TransactionStatus {
        match self.session.get().map(|session| session.transaction_status()) {
            Some(SessionStatus::Open) => TransactionStatus::Transaction,
            Some(SessionStatus::Failed) => TransactionStatus::Error,
            Some(SessionStatus::Idle) | None => TransactionStatus::Idle,
        }
    }
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::new(Simple(self.startup.connection()))
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::new(Extended::new(self.startup.connection()))
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        self.startup.clone()
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(Canceller(self.cancel_keys.clone()))
    }

    fn error_handler(&self) -> Arc<impl ErrorHandler> {
        Arc::new(StatusOfError(self.startup.connection()))
    }
}

/// Keeps the session's transaction in step with the wire: an error of the protocol itself fails it too.
struct StatusOfError(Arc<Connection>);

impl ErrorHandler for StatusOfError {
    fn on_error<C: ClientInfo>(&self, _client: &C, error: &mut PgWireError) {
        if let Some(session) = self.0.session.get() {
            session.fail_transaction();
        }
        self.0.mark(false);
        if let PgWireError::InvalidPassword(user) = error {
            *error =
                crate::error::fatal("28P01", format!("password authentication failed for user \"{user}\""));
        }
    }
}
