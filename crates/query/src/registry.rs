//! Statements that run and those that ended last; the one way to cancel.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cenote_vocab::{Clock, ErrorKind, Fault, Micros, Scope};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::engine::QueryRecord;
use crate::{Error, Metrics};

/// Ended statements that are remembered.
const ENDED_MAX: usize = 1000;

/// All statements of the node.
pub(crate) struct Registry {
    clock: Clock,
    metrics: Metrics,
    slow: Duration,
    statements: Mutex<Statements>,
}

#[derive(Default)]
struct Statements {
    running: HashMap<(Scope, String), Arc<Running>>,
    ended: VecDeque<(Scope, QueryRecord)>,
}

/// A statement that runs. Dropped before its end it counts as cancelled.
pub(crate) struct Running {
    scope: Scope,
    id: String,
    sql: String,
    user: String,
    protocol: &'static str,
    started: Micros,
    rows: AtomicU64,
    state: Mutex<&'static str>,
    reason: Mutex<Option<Error>>,
    token: CancellationToken,
    /// Fires once it reads no file any more.
    read: CancellationToken,
}

impl Running {
    /// Its name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Ends it with `reason`; the first reason stays.
    pub(crate) fn cancel(&self, reason: Error) {
        self.reason.lock().get_or_insert(reason);
        self.token.cancel();
    }

    /// Fires when it should end.
    pub(crate) async fn cancelled(&self) -> Error {
        self.token.cancelled().await;
        self.reason()
    }

    /// Set once it should end.
    pub(crate) fn reason(&self) -> Error {
        self.reason.lock().clone().unwrap_or_else(|| Error::new(ErrorKind::Cancelled, "canceling statement"))
    }

    /// It plans, it runs.
    pub(crate) fn enter(&self, state: &'static str) {
        *self.state.lock() = state;
    }

    /// Counts rows that were answered.
    pub(crate) fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    fn record(&self, now: Micros, state: &'static str, error: Option<String>) -> QueryRecord {
        QueryRecord {
            id: self.id.clone(),
            state,
            sql: self.sql.clone(),
            user: self.user.clone(),
            protocol: self.protocol,
            started: self.started,
            duration_ms: u64::try_from(now.since(self.started).as_millis()).unwrap_or(u64::MAX),
            rows: self.rows.load(Ordering::Relaxed),
            error,
        }
    }
}

impl Registry {
    /// Statements that take at least `slow` are logged when they end.
    pub(crate) fn new(clock: Clock, metrics: Metrics, slow: Duration) -> Self {
        Self { clock, metrics, slow, statements: Mutex::default() }
    }

    /// Enters a statement. `Conflict` if one of the same name runs.
    pub(crate) fn begin(
        &self,
        scope: &Scope,
        id: String,
        sql: &str,
        user: &str,
        protocol: &'static str,
    ) -> Result<Arc<Running>, Error> {
        let running = Arc::new(Running {
            scope: scope.clone(),
            id: id.clone(),
            sql: sql.to_owned(),
            user: user.to_owned(),
            protocol,
            started: self.clock.now(),
            rows: AtomicU64::new(0),
            state: Mutex::new("PLANNING"),
            reason: Mutex::new(None),
            token: CancellationToken::new(),
            read: CancellationToken::new(),
        });
        let mut statements = self.statements.lock();
        let key = (scope.clone(), id);
        if statements.running.contains_key(&key) {
            return Err(Error::new(ErrorKind::Conflict, format!("query \"{}\" is still running", key.1)));
        }
        statements.running.insert(key, running.clone());
        self.metrics.began();
        Ok(running)
    }

    /// Enters the end of a statement; only the first end counts.
    pub(crate) fn end(&self, running: &Running, error: Option<&Error>) {
        running.read.cancel();
        let mut statements = self.statements.lock();
        if statements.running.remove(&(running.scope.clone(), running.id.clone())).is_none() {
            return;
        }
        let state = match error {
            None => "FINISHED",
            Some(error) if error.kind() == ErrorKind::Cancelled => "CANCELLED",
            Some(_) => "FAILED",
        };
        let record = running.record(self.clock.now(), state, error.map(ToString::to_string));
        self.metrics.ended(running.protocol, state, &record);
        if u128::from(record.duration_ms) >= self.slow.as_millis() {
            // Its text may hold secrets: `system.runtime.queries` has it, for those who may see it.
            tracing::info!(
                query_id = record.id,
                user = record.user,
                protocol = record.protocol,
                state,
                duration_ms = record.duration_ms,
                rows = record.rows,
                "slow query"
            );
        }
        statements.ended.push_front((running.scope.clone(), record));
        statements.ended.truncate(ENDED_MAX);
    }

    /// Returns when the other statements of the tenant that run now have ended. One that waits here counts as ended: it reads no file
    /// any more, and two of them do not wait for each other.
    pub(crate) async fn outlast(&self, running: &Running) {
        running.enter("WAITING");
        running.read.cancel();
        let others: Vec<CancellationToken> = {
            let statements = self.statements.lock();
            let others = statements.running.values().filter(|other| other.scope == running.scope);
            others.map(|other| other.read.clone()).collect()
        };
        for other in others {
            other.cancelled().await;
        }
    }

    /// Statements of the tenant: running ones first, then those that ended last.
    pub(crate) fn list(&self, scope: &Scope) -> Vec<QueryRecord> {
        let statements = self.statements.lock();
        let now = self.clock.now();
        let mut running: Vec<QueryRecord> = statements
            .running
            .values()
            .filter(|running| running.scope == *scope)
            .map(|running| running.record(now, *running.state.lock(), None))
            .collect();
        running.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| a.id.cmp(&b.id)));
        running
            .extend(statements.ended.iter().filter(|(of, _)| of == scope).map(|(_, record)| record.clone()));
        running
    }

    /// Cancels all running statements of the tenant.
    pub(crate) fn cancel_all(&self, scope: &Scope, reason: &Error) {
        let statements = self.statements.lock();
        let running = statements.running.values().filter(|running| running.scope == *scope);
        running.for_each(|running| running.cancel(reason.clone()));
    }

    /// Cancels a running statement of the tenant. `None`: there is none of this name; `Some(false)`: it has ended.
    pub(crate) fn cancel(&self, scope: &Scope, id: &str, reason: Error) -> Option<bool> {
        let statements = self.statements.lock();
        if let Some(running) = statements.running.get(&(scope.clone(), id.to_owned())) {
            running.cancel(reason);
            return Some(true);
        }
        statements.ended.iter().any(|(of, record)| of == scope && record.id == id).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use cenote_vocab::CatalogId;

    use super::*;

    fn registry() -> (Registry, Scope, Scope) {
        let scope = |name: &str, id: i64| Scope::from_authentication(name, CatalogId(id));
        (
            Registry::new(Clock::manual(Micros(0)), Metrics::default(), Duration::from_secs(1)),
            scope("a", 1),
            scope("b", 2),
        )
    }

    #[test]
    fn a_tenant_sees_and_cancels_only_its_own() {
        let (registry, a, b) = registry();
        let running = registry.begin(&a, "q".into(), "SELECT 1", "me", "http").unwrap();
        let reason = || Error::new(ErrorKind::Cancelled, "stop");
        assert_eq!(registry.cancel(&b, "q", reason()), None);
        assert!(registry.list(&b).is_empty());
        assert_eq!(registry.cancel(&a, "q", reason()), Some(true));
        registry.end(&running, Some(&running.reason()));
        assert_eq!(registry.cancel(&a, "q", reason()), Some(false));
        assert_eq!(registry.list(&a)[0].state, "CANCELLED");
    }

    #[tokio::test]
    async fn who_waits_for_the_others_waits_for_those_of_its_tenant_that_run_by_now_and_do_not_wait() {
        let (registry, a, b) = registry();
        let begin =
            |scope: &Scope, id: &str| registry.begin(scope, id.into(), "SELECT 1", "me", "http").unwrap();
        let (early, elsewhere) = (begin(&a, "early"), begin(&b, "elsewhere"));
        let (one, two) = (begin(&a, "one"), begin(&a, "two"));
        let mut one_waits = std::pin::pin!(registry.outlast(&one));
        let mut two_waits = std::pin::pin!(registry.outlast(&two));
        assert!(futures::poll!(&mut one_waits).is_pending());
        assert!(futures::poll!(&mut two_waits).is_pending());
        let late = begin(&a, "late");
        registry.end(&early, None);
        assert!(futures::poll!(&mut one_waits).is_ready());
        assert!(futures::poll!(&mut two_waits).is_ready());
        assert_eq!(registry.list(&a).iter().filter(|record| record.state == "WAITING").count(), 2);
        registry.end(&late, None);
        registry.end(&elsewhere, None);
    }

    #[test]
    fn a_name_is_taken_while_it_runs() {
        let (registry, a, b) = registry();
        let first = registry.begin(&a, "q".into(), "SELECT 1", "me", "http").unwrap();
        assert!(registry.begin(&a, "q".into(), "SELECT 2", "me", "http").is_err());
        assert!(registry.begin(&b, "q".into(), "SELECT 2", "me", "http").is_ok());
        registry.end(&first, None);
        assert!(registry.begin(&a, "q".into(), "SELECT 2", "me", "http").is_ok());
    }
}
