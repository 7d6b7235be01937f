//! The transaction that is open, what it stages, and how that is committed.

use cenote_catalog::{Committed, Expected, ObjectChange, Producer};
use cenote_vocab::{ErrorKind, Fault, Txn};

use super::Inner;
use crate::Error;
use crate::parse::{Characteristics, Command, Parsed, unsupported};
use crate::session::TransactionStatus;
use crate::statement::Guard;
use crate::transaction::{Failure, Staged, Transaction, client_producer};

impl Inner {
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

    pub(in crate::session) fn begin_implicit(&self) {
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

    pub(in crate::session) fn transaction_status(&self) -> TransactionStatus {
        match &self.state.lock().transaction {
            Some(transaction) if transaction.implicit => TransactionStatus::Idle,
            Some(transaction) if transaction.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::Open,
            None => TransactionStatus::Idle,
        }
    }

    pub(in crate::session) fn fail_transaction(&self) {
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
    pub(in crate::session) fn check_not_failed(&self, parsed: &Parsed) -> Result<(), Error> {
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

    pub(in crate::session) fn take_implicit(&self) -> Option<Transaction> {
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
        let objects = self.expected().into_iter().chain(staged.objects).collect();
        let staged = Staged { objects, ..staged };
        let committed = staged.commit(self.engine.lake(), &self.identity, base, self.caller(), once).await?;
        self.idempotency_key_used()?;
        Ok(committed)
    }

    /// The key of the next commit.
    pub(crate) fn idempotency_key(&self) -> Option<String> {
        self.state.lock().settings.text("idempotency_key")
    }

    /// What the ledger is to keep beside the key.
    pub(in crate::session) fn identify_request(&self, request: Vec<u8>) {
        self.state.lock().request = Some(request);
    }

    /// What must be as it was seen when the next statement commits.
    pub(in crate::session) fn expect(&self, expected: Option<Expected>) {
        self.state.lock().expected = expected;
    }

    /// The same as the first change of a commit.
    pub(crate) fn expected(&self) -> Option<ObjectChange> {
        let expected = self.state.lock().expected.clone()?;
        Some(ObjectChange::Expect(Box::new(expected)))
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

    /// What the last of the changes that the open transaction has staged says, of those that say something.
    pub(crate) fn last_staged<T>(&self, says: impl Fn(&ObjectChange) -> Option<T>) -> Option<T> {
        let state = self.state.lock();
        state.transaction.as_ref()?.staged.objects.iter().rev().find_map(says)
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
