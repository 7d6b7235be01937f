//! What the statements of a session share: settings, transaction, the statement that runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{Committed, Identity, Names, ObjectChange, Producer, TableDef};
use cenote_table::FileNumbers;
use cenote_vocab::{ErrorKind, Fault, Micros, TableId, Txn};
use parking_lot::{Mutex, MutexGuard};

use super::statements::Statements;
use super::{SessionOptions, TransactionStatus};
use crate::Error;
use crate::engine::Engine;
use crate::parse::{Characteristics, Command, Parsed, unsupported};
use crate::plan::{Binder, Pins, Snapshot, all_tables, constant_time, constants};
use crate::registry::Running;
use crate::settings::Settings;
use crate::statement::Guard;
use crate::system::SessionFacts;
use crate::transaction::{Failure, Staged, StagedRows, Transaction, client_producer};

/// How long a statement waits for the snapshot that `min_txn` asks for.
const MIN_TXN_WAIT: Duration = Duration::from_secs(5);

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
    /// Kept beside the idempotency key.
    request: Option<Vec<u8>>,
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
            "is_superuser" => Ok(if self.identity.allows_everywhere(cenote_catalog::Privilege::Manage) {
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
        let superuser = self.identity.allows_everywhere(cenote_catalog::Privilege::Manage);
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

    /// A statement that only read has failed, and what is staged stands: the transaction goes on.
    pub(crate) fn go_on_after_read(&self) {
        if let Some(transaction) = &mut self.state.lock().transaction {
            transaction.failed = false;
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
    pub(crate) async fn commit(&self, transaction: Transaction) -> Result<Option<Txn>, Error> {
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
        let committed = self.commit_staged(transaction.staged, base).await;
        if committed.is_err() {
            self.state.lock().settings = transaction.settings;
        }
        committed.map(|committed| Some(committed.txn)).map_err(|failure| at_commit(failure.into()))
    }

    async fn commit_staged(&self, staged: Staged, base: Txn) -> Result<Committed, Failure> {
        let once = self.client_producer();
        let committed = staged.commit(self.engine.lake(), &self.identity, base, self.caller(), once).await?;
        self.idempotency_key_used()?;
        Ok(committed)
    }

    /// The key of the next commit.
    pub(crate) fn idempotency_key(&self) -> Option<String> {
        self.state.lock().settings.text("idempotency_key")
    }

    /// What the ledger is to keep beside the key.
    pub(super) fn identify_request(&self, request: Vec<u8>) {
        self.state.lock().request = Some(request);
    }

    /// The mark of the next commit, if there is a key.
    pub(crate) fn client_producer(&self) -> Option<Producer> {
        let request = self.state.lock().request.clone();
        self.idempotency_key().map(|key| client_producer(&self.identity, &key, request))
    }

    /// One key, one commit.
    pub(crate) fn idempotency_key_used(&self) -> Result<(), Error> {
        if self.idempotency_key().is_some() {
            self.state.lock().settings.set("idempotency_key", Some(""))?;
        }
        Ok(())
    }

    /// Ends a statement that wrote: staged in the open transaction, or committed now, with its number.
    pub(crate) async fn finish(&self, staged: Staged, guard: &Guard) -> Result<Option<Txn>, Error> {
        Ok(self.finish_rows(staged, guard).await?.map(|committed| committed.txn))
    }

    /// As [`finish`](Self::finish), with all that came of the commit.
    pub(crate) async fn finish_rows(
        &self,
        staged: Staged,
        guard: &Guard,
    ) -> Result<Option<Committed>, Failure> {
        let bytes_max = self.engine.options().staged_bytes_max;
        let (outside, gone, bytes) = {
            let mut state = self.state.lock();
            match &mut state.transaction {
                Some(transaction) => {
                    let gone = transaction.staged.append(staged);
                    (None, gone, transaction.staged.bytes())
                }
                None => (Some(staged), Vec::new(), 0),
            }
        };
        for staging in &gone {
            self.engine.lake().discard(staging).await;
        }
        if bytes > bytes_max {
            return Err(Failure::Other(Error::new(
                ErrorKind::Exhausted,
                format!("the transaction has staged more than query.staged_bytes_max ({bytes_max} bytes)"),
            )));
        }
        let Some(outside) = outside else { return Ok(None) };
        if outside.is_empty() {
            return Ok(None);
        }
        if let Err(error) = guard.check() {
            outside.abandon(self.engine.lake()).await;
            return Err(error.into());
        }
        let base = match outside.base {
            Some(base) => base,
            None => self.engine.lake().catalog.head(&self.identity.scope).await?.txn,
        };
        self.commit_staged(outside, base).await.map(Some)
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

    /// True inside of a transaction, also of one that a text of several statements is.
    pub(crate) fn in_transaction(&self) -> bool {
        self.state.lock().transaction.is_some()
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

    /// Sees to it that no row of the table which the next statement can see is in the buffer only: a vector cannot name it.
    ///
    /// In a transaction whose snapshot stays, rows that came to the buffer before it are flushed and the snapshot moves
    /// forward, if all that is staged holds there too; else, and with repeatable read, it is a conflict (40001).
    pub(crate) async fn flush_for_change(&self, table: &TableDef) -> Result<(), Error> {
        self.keep_still(table.id);
        let (lake, ingest, scope) = (self.engine.lake(), self.engine.ingest(), &self.identity.scope);
        let is_new = self.staged_rows().get(&table.id).is_some_and(|staging| staging.is_new_table());
        let (kept, repeatable) = self.kept_snapshot();
        let Some(kept) = kept else {
            ingest.flush(scope, table).await?;
            return Ok(());
        };
        if is_new || !kept.has_buffered(lake, ingest, scope, table.id).await? {
            return Ok(());
        }
        let conflict = |what: &str| {
            Error::new(ErrorKind::Conflict, format!("rows of {} {what}", table.full_name()))
                .with_hint("roll back and begin the transaction again")
        };
        if repeatable {
            return Err(conflict("were not in files yet when the transaction's snapshot was taken"));
        }
        ingest.flush(scope, table).await?;
        let moved = Snapshot::take(lake, ingest, scope, |names| Ok(all_tables(names))).await?;
        if !self.holds_at(&kept, &moved).await? {
            return Err(conflict(
                "had to be flushed, and what the transaction did before was changed by others",
            ));
        }
        if let Some(transaction) = &mut self.state.lock().transaction {
            transaction.snapshot = Some(Arc::new(moved));
        }
        Ok(())
    }

    /// Keeps compaction away from the table until the open transaction ends.
    fn keep_still(&self, table: TableId) {
        let (changing, now) = (&self.engine.lake().changing, self.now());
        if let Some(transaction) = &mut self.state.lock().transaction {
            transaction.changing.entry(table).or_insert_with(|| changing.begin(table, now));
        }
    }

    /// The snapshot that stays, and whether it must not move.
    fn kept_snapshot(&self) -> (Option<Arc<Snapshot>>, bool) {
        match &self.state.lock().transaction {
            Some(transaction) => (transaction.snapshot.clone(), transaction.repeatable_read),
            None => (None, false),
        }
    }

    /// True if what is staged on one snapshot holds on a later one.
    async fn holds_at(&self, kept: &Snapshot, moved: &Snapshot) -> Result<bool, Error> {
        if self.staged_names().is_some() && moved.names.ddl_txn != kept.names.ddl_txn {
            return Ok(false);
        }
        for staging in self.staged_rows().values() {
            if !self.engine.lake().holds_at(&self.identity.scope, staging, (kept.txn, moved.txn)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn staged_names(&self) -> Option<Arc<Names>> {
        self.state.lock().transaction.as_ref().and_then(|transaction| transaction.staged.names.clone())
    }

    /// The names that the next statement sees, without pinning anything for it.
    pub(crate) async fn names(&self) -> Result<Arc<Names>, Error> {
        match (self.staged_names(), self.kept_snapshot().0) {
            (Some(names), _) => Ok(names),
            (None, Some(kept)) => Ok(kept.names.clone()),
            (None, None) => {
                let catalog = &self.engine.lake().catalog;
                let head = catalog.head(&self.identity.scope).await?;
                Ok(catalog.names(&self.identity.scope, head.txn).await?)
            }
        }
    }

    /// The transaction that the open transaction reads, once its snapshot stays.
    pub(crate) fn kept_txn(&self) -> Option<Txn> {
        self.kept_snapshot().0.map(|snapshot| snapshot.txn)
    }

    // ---- reading ----

    /// What this transaction has done to rows; nothing for a session that reads the past.
    pub(crate) fn staged_rows(&self) -> StagedRows {
        let state = self.state.lock();
        match &state.transaction {
            Some(transaction) if state.settings.text("as_of").is_none() => transaction.staged.rows.clone(),
            _ => StagedRows::new(),
        }
    }

    /// The files of a table, as the next statement of this transaction sees them.
    pub(crate) async fn files(&self, table: &TableDef, at: Txn) -> Result<Vec<FileNumbers>, Error> {
        let staged = self.staged_rows();
        let staging = staged.get(&table.id).map(Arc::as_ref);
        Ok(self.engine.lake().numbers(&self.identity.scope, staging, table, at).await?)
    }

    /// The names for which a statement is described, without pinning anything for it.
    pub(crate) async fn described(&self) -> Result<Snapshot, Error> {
        let (lake, scope) = (self.engine.lake(), &self.identity.scope);
        if let Some(as_of) = self.settings().text("as_of") {
            return Snapshot::at(lake, scope, self.as_of(&as_of).await?).await;
        }
        let snapshot = Snapshot::committed(lake, scope).await?;
        Ok(match self.staged_names() {
            Some(names) => snapshot.with_names(names),
            None => snapshot,
        })
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

    /// `4711`, `tag:x` of the catalog, or a time.
    async fn as_of(&self, as_of: &str) -> Result<Txn, Error> {
        if let Ok(txn) = as_of.parse::<i64>() {
            return Ok(Txn(txn));
        }
        if let Some(tag) = as_of.strip_prefix("tag:") {
            return Ok(self.engine.lake().catalog.tagged(&self.identity.scope, None, tag).await?);
        }
        let state = self.engine.base().statement(self.now(), None);
        let literal = crate::parse::literal(as_of);
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
    pub(crate) fn binder(&self, snapshot: Arc<Snapshot>) -> Binder<'_> {
        let settings = self.settings();
        let partitions =
            usize::try_from(settings.number("target_partitions")).ok().filter(|partitions| *partitions > 0);
        let partitions = partitions.map(|partitions| partitions.min(self.engine.options().target_partitions));
        let state = self.engine.base().statement(self.now(), partitions);
        let mut binder =
            Binder::new(&self.engine, &self.identity, snapshot, self.staged_rows(), state, self.facts());
        binder.read_at(self.state.lock().pins.clone());
        binder
    }

    /// From now on names in statements mean what these snapshots show, and not the present; `None`: the present again.
    pub(crate) fn read_at(&self, pins: Option<Pins>) {
        self.state.lock().pins = pins;
    }

    /// What the last of the changes that the open transaction has staged says, of those that say something.
    pub(crate) fn last_staged<T>(&self, says: impl Fn(&ObjectChange) -> Option<T>) -> Option<T> {
        let state = self.state.lock();
        state.transaction.as_ref()?.staged.objects.iter().rev().find_map(says)
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
        self.engine.lake().clock.now()
    }
}

/// What others did since the transaction's snapshot makes it fail as a whole: begun again, it may succeed.
fn at_commit(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Conflict if error.sqlstate().0 != "55000" => {
            Error::new(ErrorKind::Conflict, format!("the transaction is rolled back: {error}"))
                .with_hint("begin the transaction again")
        }
        _ => error,
    }
}
