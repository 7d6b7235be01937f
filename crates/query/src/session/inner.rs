//! What the statements of a session share: settings, transaction, the statement that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use cenote_catalog::{Identity, Names};
use cenote_vocab::{ErrorKind, Micros, TableId, Txn};
use parking_lot::Mutex;

use super::{SessionOptions, TransactionStatus};
use crate::Error;
use crate::engine::Engine;
use crate::parse::{Characteristics, Command, Parsed, unsupported};
use crate::plan::{Binder, Snapshot, all_tables, constant_time};
use crate::registry::Running;
use crate::settings::Settings;
use crate::statement::Guard;
use crate::system::SessionFacts;
use crate::transaction::{Staged, Transaction};

/// How long a statement waits for the snapshot that `min_txn` asks for.
const MIN_TXN_WAIT: Duration = Duration::from_secs(5);

pub(crate) struct Inner {
    engine: Engine,
    identity: Identity,
    options: SessionOptions,
    state: Mutex<State>,
    running: Mutex<Option<Arc<Running>>>,
    backend_pid: AtomicI32,
}

#[derive(Default)]
struct State {
    settings: Settings,
    transaction: Option<Transaction>,
    /// What the client was told last.
    reported: BTreeMap<String, String>,
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

    // ---- settings ----

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
            "is_superuser" => Ok(if self.identity.allows_everywhere(cenote_vocab::Permission::Admin) {
                "on"
            } else {
                "off"
            }
            .into()),
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
        let superuser = self.identity.allows_everywhere(cenote_vocab::Permission::Admin);
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

    // ---- the statement that runs ----

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

    // ---- transaction ----

    /// Opens a transaction; an implicit one becomes explicit. True if an explicit one was open.
    pub(crate) fn begin(&self, characteristics: Characteristics) -> bool {
        let mut state = self.state.lock();
        if let Some(transaction) = &mut state.transaction {
            let was_explicit = !transaction.implicit;
            transaction.implicit = false;
            return was_explicit;
        }
        let settings = state.settings.clone();
        let repeatable = characteristics.repeatable_read.unwrap_or_else(|| {
            settings.get("default_transaction_isolation").as_deref() == Some("repeatable read")
        });
        let read_only =
            characteristics.read_only.unwrap_or_else(|| settings.is_on("default_transaction_read_only"));
        state.transaction =
            Some(Transaction { repeatable_read: repeatable, read_only, settings, ..Transaction::default() });
        false
    }

    pub(super) fn begin_implicit(&self) {
        let mut state = self.state.lock();
        if state.transaction.is_none() {
            let settings = state.settings.clone();
            let read_only = settings.is_on("default_transaction_read_only");
            state.transaction =
                Some(Transaction { implicit: true, read_only, settings, ..Transaction::default() });
        }
    }

    /// `SET TRANSACTION`; false if none is open.
    pub(crate) fn characterise(&self, characteristics: Characteristics) -> Result<bool, Error> {
        let mut state = self.state.lock();
        let Some(transaction) = state.transaction.as_mut().filter(|transaction| !transaction.implicit) else {
            return Ok(false);
        };
        if transaction.snapshot.is_some() {
            return Err(Error::new(ErrorKind::Invalid, "SET TRANSACTION must be called before any query")
                .with_sqlstate("25001"));
        }
        transaction.repeatable_read = characteristics.repeatable_read.unwrap_or(transaction.repeatable_read);
        transaction.read_only = characteristics.read_only.unwrap_or(transaction.read_only);
        Ok(true)
    }

    pub(super) fn transaction_status(&self) -> TransactionStatus {
        match &self.state.lock().transaction {
            Some(transaction) if transaction.implicit => TransactionStatus::Idle,
            Some(transaction) if transaction.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::Open,
            None => TransactionStatus::Idle,
        }
    }

    pub(super) fn fail_transaction(&self) {
        if let Some(transaction) = &mut self.state.lock().transaction {
            transaction.failed = true;
        }
    }

    /// In a failed transaction only its end is taken.
    pub(super) fn check_not_failed(&self, parsed: &Parsed) -> Result<(), Error> {
        let failed = self.state.lock().transaction.as_ref().is_some_and(|transaction| transaction.failed);
        if failed && !matches!(parsed, Parsed::Command(Command::Commit | Command::Rollback)) {
            return Err(crate::statement::failed());
        }
        Ok(())
    }

    /// Takes the open transaction away: it ends.
    pub(crate) fn take_transaction(&self) -> Option<Transaction> {
        self.state.lock().transaction.take()
    }

    pub(super) fn take_implicit(&self) -> Option<Transaction> {
        let mut state = self.state.lock();
        if state.transaction.as_ref().is_some_and(|transaction| transaction.implicit) {
            state.transaction.take()
        } else {
            None
        }
    }

    /// Drops what a transaction staged; its settings are as before it.
    pub(crate) async fn roll_back(&self, transaction: Transaction) {
        self.state.lock().settings = transaction.settings;
        transaction.staged.abandon(self.engine.lake()).await;
    }

    /// Commits what a transaction staged, as one.
    pub(crate) async fn commit(
        &self,
        transaction: Transaction,
        request_id: Option<String>,
    ) -> Result<Option<Txn>, Error> {
        {
            let mut state = self.state.lock();
            for (name, before) in &transaction.local {
                state.settings.set(name, before.as_deref())?;
            }
        }
        if transaction.staged.is_empty() {
            return Ok(None);
        }
        let base = transaction.snapshot.as_ref().map_or(Txn(0), |snapshot| snapshot.txn);
        let committed = self.commit_staged(transaction.staged, base, request_id).await;
        if committed.is_err() {
            self.state.lock().settings = transaction.settings;
        }
        committed.map(Some)
    }

    async fn commit_staged(
        &self,
        staged: Staged,
        base: Txn,
        request_id: Option<String>,
    ) -> Result<Txn, Error> {
        let key = self.state.lock().settings.text("idempotency_key");
        let committed =
            staged.commit(self.engine.lake(), &self.identity, base, request_id, key.clone()).await?;
        if key.is_some() {
            self.state.lock().settings.set("idempotency_key", Some(""))?; // one key, one commit
        }
        Ok(committed.txn)
    }

    /// Ends a statement that wrote: staged in the open transaction, or committed now.
    pub(crate) async fn finish(&self, staged: Staged, guard: &Guard) -> Result<Option<Txn>, Error> {
        let bytes_max = self.engine.options().staged_bytes_max;
        let outside = {
            let mut state = self.state.lock();
            match &mut state.transaction {
                Some(transaction) => {
                    transaction.staged.append(staged);
                    if transaction.staged.bytes() > bytes_max {
                        return Err(Error::new(
                            ErrorKind::Exhausted,
                            format!(
                                "the transaction has staged more than query.staged_bytes_max ({bytes_max} bytes)"
                            ),
                        ));
                    }
                    return Ok(None);
                }
                None => staged,
            }
        };
        if outside.is_empty() {
            return Ok(None);
        }
        if let Err(error) = guard.check() {
            outside.abandon(self.engine.lake()).await;
            return Err(error);
        }
        let head = self.engine.lake().catalog.head(&self.identity.scope).await?;
        self.commit_staged(outside, head.txn, guard.request_id.clone()).await.map(Some)
    }

    /// Fails where nothing can be written: a read-only transaction, a session in the past.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        let read_only = {
            let state = self.state.lock();
            match &state.transaction {
                Some(transaction) => transaction.read_only,
                None => {
                    state.settings.is_on("default_transaction_read_only")
                        || state.settings.is_on("transaction_read_only")
                }
            }
        };
        if read_only {
            return Err(Error::new(ErrorKind::Invalid, "cannot write in a read-only transaction")
                .with_sqlstate("25006"));
        }
        self.check_not_as_of()
    }

    /// Fails while the session reads the past.
    pub(crate) fn check_not_as_of(&self) -> Result<(), Error> {
        match self.state.lock().settings.text("as_of") {
            Some(as_of) => {
                Err(Error::new(ErrorKind::Invalid, format!("the session reads the past (as_of = '{as_of}')"))
                    .with_sqlstate("25006")
                    .with_hint("RESET as_of"))
            }
            None => Ok(()),
        }
    }

    /// Fails inside of a transaction, also of one that a text of several statements is.
    pub(crate) fn refuse_in_transaction(&self, what: &str) -> Result<(), Error> {
        match &self.state.lock().transaction {
            None => Ok(()),
            Some(transaction) if transaction.implicit => {
                Err(unsupported(&format!("{what} in a text of several statements"))
                    .with_hint("send it as a statement of its own"))
            }
            Some(_) => Err(unsupported(&format!("{what} inside of a transaction"))),
        }
    }

    /// Fails inside of a transaction for a statement that can never be part of one.
    pub(crate) fn refuse_in_transaction_block(&self, what: &str) -> Result<(), Error> {
        if self.state.lock().transaction.is_some() {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{what} cannot run inside a transaction block"),
            )
            .with_sqlstate("25001"));
        }
        Ok(())
    }

    // ---- reading ----

    /// Tables that this transaction has written or made.
    pub(crate) fn staged_tables(&self) -> BTreeSet<TableId> {
        self.state
            .lock()
            .transaction
            .as_ref()
            .map(|transaction| transaction.staged.tables())
            .unwrap_or_default()
    }

    /// The snapshot with the names that this transaction has staged.
    pub(crate) fn with_staged_names(&self, snapshot: Snapshot) -> Snapshot {
        let staged =
            self.state.lock().transaction.as_ref().and_then(|transaction| transaction.staged.names.clone());
        match staged {
            Some(names) => snapshot.with_names(names),
            None => snapshot,
        }
    }

    /// The snapshot of the next statement. `tables` says which buffers it needs; one that stays pins them all.
    pub(crate) async fn snapshot(
        &self,
        writes: bool,
        tables: impl Fn(&Names) -> Result<Vec<TableId>, Error>,
    ) -> Result<Arc<Snapshot>, Error> {
        let (lake, scope) = (self.engine.lake(), &self.identity.scope);
        let (kept, stays, staged_names, settings) = {
            let state = self.state.lock();
            let transaction = state.transaction.as_ref();
            (
                transaction.and_then(|transaction| transaction.snapshot.clone()),
                transaction.is_some_and(|transaction| transaction.repeatable_read || writes),
                transaction.and_then(|transaction| transaction.staged.names.clone()),
                state.settings.clone(),
            )
        };
        if let Some(as_of) = settings.text("as_of") {
            let txn = self.as_of(&as_of).await?;
            return Ok(Arc::new(Snapshot::at(lake, scope, txn).await?));
        }
        let snapshot = match kept {
            Some(kept) => kept,
            None => {
                self.wait_for(Txn(i64::try_from(settings.number("min_txn")).unwrap_or(i64::MAX))).await?;
                let taken = if settings.get("freshness").as_deref() == Some("committed") {
                    Snapshot::committed(lake, scope).await?
                } else if stays {
                    Snapshot::take(lake, self.engine.ingest(), scope, |names| Ok(all_tables(names))).await?
                } else {
                    Snapshot::take(lake, self.engine.ingest(), scope, tables).await?
                };
                let taken = Arc::new(taken);
                if stays && let Some(transaction) = &mut self.state.lock().transaction {
                    transaction.snapshot = Some(taken.clone());
                }
                taken
            }
        };
        Ok(match staged_names {
            Some(names) => Arc::new(snapshot.with_names(names)),
            None => snapshot,
        })
    }

    /// `4711`, or a time.
    async fn as_of(&self, as_of: &str) -> Result<Txn, Error> {
        if let Ok(txn) = as_of.parse::<i64>() {
            return Ok(Txn(txn));
        }
        if as_of.starts_with("tag:") {
            return Err(unsupported("as_of with a tag"));
        }
        let state = self.engine.base().statement(self.now(), None);
        let literal = format!("'{}'", as_of.replace('\'', "''"));
        let at = constant_time(&self.engine, &state, &literal, "").await?;
        Ok(self.engine.lake().catalog.txn_at(&self.identity.scope, at).await?)
    }

    async fn wait_for(&self, wanted: Txn) -> Result<(), Error> {
        let catalog = &self.engine.lake().catalog;
        let mut seen = catalog.head(&self.identity.scope).await?.txn;
        if seen >= wanted {
            return Ok(());
        }
        let reached = tokio::time::timeout(MIN_TXN_WAIT, async {
            while seen < wanted {
                seen = catalog.changed(&self.identity.scope, seen).await;
            }
        });
        reached.await.map_err(|_| {
            Error::new(ErrorKind::Unavailable, format!("snapshot {wanted} (min_txn) is not here yet"))
        })
    }

    /// What binds the names of the next statement.
    pub(crate) fn binder<'a>(&'a self, snapshot: Arc<Snapshot>, staged: &'a BTreeSet<TableId>) -> Binder<'a> {
        let settings = self.settings();
        let partitions =
            usize::try_from(settings.number("target_partitions")).ok().filter(|partitions| *partitions > 0);
        let partitions = partitions.map(|partitions| partitions.min(self.engine.options().target_partitions));
        let state = self.engine.base().statement(self.now(), partitions);
        Binder::new(&self.engine, &self.identity, snapshot, staged, state, self.facts())
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

    fn now(&self) -> Micros {
        self.engine.lake().clock.now()
    }
}
