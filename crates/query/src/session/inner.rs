//! What the statements of a session share: settings, transaction, the statement that runs.

mod reading;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use arrow::record_batch::RecordBatch;
use cenote_catalog::{Expected, Identity, Privilege};
use cenote_vocab::Micros;
use parking_lot::{Mutex, MutexGuard};

use super::SessionOptions;
use super::statements::Statements;
use crate::Error;
use crate::engine::Engine;
use crate::plan::{Pins, constants};
use crate::registry::Running;
use crate::row_hash::RowHash;
use crate::settings::Settings;
use crate::system::SessionFacts;
use crate::transaction::Transaction;

pub(crate) struct Inner {
    engine: Engine,
    identity: Identity,
    options: SessionOptions,
    state: Mutex<State>,
    running: Mutex<Option<Arc<Running>>>,
    backend_pid: AtomicI32,
    statements: Mutex<Statements>,
}

#[derive(Default)]
struct State {
    settings: Settings,
    transaction: Option<Transaction>,
    /// What the client was told last.
    reported: BTreeMap<String, String>,
    /// Where a task reads.
    pins: Option<Pins>,
    /// The time of the statements of a task.
    time: Option<Micros>,
    /// Marks the rows that statements write.
    row_hash: Option<Arc<Mutex<RowHash>>>,
    /// Kept beside the idempotency key.
    request: Option<Vec<u8>>,
    /// What must be as it was seen when the statement commits.
    expected: Option<Expected>,
}

impl Inner {
    pub(super) fn open(engine: Engine, identity: Identity, options: SessionOptions) -> Result<Self, Error> {
        let mut settings = Settings::default();
        let database = options.database.clone().or_else(|| identity.token.default_database.clone());
        if let Some(database) = database {
            settings.begin_with("search_path", &format!("\"{database}\""))?;
        }
        for (name, value) in &options.settings {
            settings.begin_with(name, value)?;
        }
        let state = State { settings, ..State::default() };
        Ok(Self {
            engine,
            identity,
            options,
            state: Mutex::new(state),
            running: Mutex::new(None),
            backend_pid: AtomicI32::new(0),
            statements: Mutex::new(Statements::default()),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// What the client was told as its process id.
    pub(super) fn set_backend_pid(&self, pid: i32) {
        self.backend_pid.store(pid, Ordering::Relaxed);
    }

    /// Statements that were prepared by name; the guard must not be held over an await.
    pub(crate) fn statements(&self) -> MutexGuard<'_, Statements> {
        self.statements.lock()
    }

    /// The values of constant expressions, one row.
    pub(crate) async fn constants(&self, exprs: &[String]) -> Result<RecordBatch, Error> {
        let state = self.engine.base().statement(self.now(), None);
        constants(&self.engine, &state, exprs, "").await
    }

    /// The settings as they are now.
    pub(crate) fn settings(&self) -> Settings {
        self.state.lock().settings.clone()
    }

    /// Schemas of bare names.
    pub(crate) fn search_path(&self) -> Vec<String> {
        self.state.lock().settings.search_path()
    }

    /// A setting as `SHOW` prints it.
    pub(crate) fn shown(&self, name: &str) -> Result<String, Error> {
        let state = self.state.lock();
        if let Some(transaction) = &state.transaction {
            match name {
                "transaction_isolation" if transaction.repeatable_read => return Ok("repeatable read".into()),
                "transaction_read_only" => return Ok(if transaction.read_only { "on" } else { "off" }.into()),
                _ => {}
            }
        }
        match name {
            "is_superuser" => {
                Ok(if self.identity.allows_everywhere(Privilege::Manage) { "on" } else { "off" }.into())
            }
            "session_authorization" => Ok(self.identity.token.name.clone()),
            _ => state.settings.show(name),
        }
    }

    /// Changes settings; what is local is put back at the end of the transaction.
    pub(crate) fn change_settings(
        &self,
        name: &str,
        local: bool,
        change: impl FnOnce(&mut Settings) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut state = self.state.lock();
        let before = state.settings.text(name);
        let mut changed = state.settings.clone();
        change(&mut changed)?;
        match &mut state.transaction {
            Some(transaction) if local => {
                transaction.local.entry(name.to_owned()).or_insert(before);
            }
            None if local => return Ok(()), // as in Postgres: it would end with this statement
            _ => {}
        }
        state.settings = changed;
        Ok(())
    }

    pub(super) fn take_reported(&self) -> Vec<(String, String)> {
        let mut state = self.state.lock();
        let mut now = state.settings.reported();
        let superuser = self.identity.allows_everywhere(Privilege::Manage);
        now.insert("is_superuser".into(), if superuser { "on" } else { "off" }.into());
        now.insert("session_authorization".into(), self.identity.token.name.clone());
        for name in ["in_hot_standby", "integer_datetimes", "server_encoding", "server_version"] {
            if let Some(value) = state.settings.get(name) {
                now.insert(name.into(), value);
            }
        }
        let changed = now.iter().filter(|(name, value)| state.reported.get(*name) != Some(value));
        let changed = changed.map(|(name, value)| (name.clone(), value.clone())).collect();
        state.reported = now;
        changed
    }

    pub(super) fn runs(&self, running: Option<Arc<Running>>) {
        *self.running.lock() = running;
    }

    /// Forgets the statement, unless another runs by now.
    pub(super) fn ran(&self, running: &Running) {
        let mut now = self.running.lock();
        if now.as_ref().is_some_and(|now| now.id() == running.id()) {
            *now = None;
        }
    }

    pub(super) fn cancel(&self, reason: Error) -> bool {
        match &*self.running.lock() {
            Some(running) => {
                running.cancel(reason);
                true
            }
            None => false,
        }
    }

    /// What system tables are made from.
    pub(crate) fn facts(&self) -> SessionFacts {
        SessionFacts {
            engine: self.engine.clone(),
            identity: self.identity.clone(),
            settings: self.settings().all(),
            backend_pid: self.backend_pid.load(Ordering::Relaxed),
        }
    }

    /// The time of the statement.
    pub(crate) fn now(&self) -> Micros {
        self.state.lock().time.unwrap_or_else(|| self.engine.lake().clock.now())
    }

    /// From now on this is the time of every statement.
    pub(crate) fn stop_time(&self, at: Micros) {
        self.state.lock().time = Some(at);
    }

    /// From now on rows that statements write are marked; `None`: no more.
    pub(crate) fn mark_rows(&self, hash: Option<Arc<Mutex<RowHash>>>) {
        self.state.lock().row_hash = hash;
    }

    /// What marks the rows that the statement writes.
    pub(crate) fn row_hash(&self) -> Option<Arc<Mutex<RowHash>>> {
        self.state.lock().row_hash.clone()
    }
}
