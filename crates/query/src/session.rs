//! One client's state: search path, settings, transaction.

mod access;
mod assets;
mod audit;
mod inner;
mod objects;
mod pipelines;
mod rights;
mod runs;
mod statements;
mod streaming;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use cenote_catalog::{Identity, TableDef};
use cenote_table::Predicate;
use cenote_vocab::{ErrorKind, Txn};
use datafusion::common::ScalarValue;

use crate::engine::{Engine, cancelled};
use crate::parse::{self, Command, Parsed};
use crate::plan::fault;
use crate::registry::{Registry, Running};
use crate::statement::{self, Guard};
use crate::{Bounds, Error, Execution, Prepared};

pub use access::AccessTable;
pub use assets::{AssetView, Upstream};
pub use objects::{ColumnPlace, ColumnSpec, DefaultSpec, ObjectEdit, TableEdit, TableSpec};
pub use pipelines::PipelineEdit;

pub(crate) use inner::Inner;

/// Runs of one statement at most, where each time its snapshot is vacuumed away before it is planned.
const RUNS_MAX: usize = 5;

/// What a protocol knows of a client.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Schema for bare names; `None`: the token's default, else `default`.
    pub database: Option<String>,
    /// Initial settings (`SET name = value`).
    pub settings: Vec<(String, String)>,
    /// `http`, `postgres`, `cli`
    pub protocol: &'static str,
    /// Address of the client.
    pub remote: Option<String>,
    /// `X-Request-Id`, where a session is one request.
    pub request_id: Option<String>,
}

/// Whether a transaction is open, as ReadyForQuery tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// None.
    Idle,
    /// Open.
    Open,
    /// Open and failed: only ROLLBACK (or COMMIT, which rolls back) is taken.
    Failed,
}

/// One client's session. Statements of one session run one after the other.
pub struct Session {
    inner: Arc<Inner>,
}

impl Session {
    pub(crate) fn open(engine: Engine, identity: Identity, options: SessionOptions) -> Result<Self, Error> {
        Ok(Self { inner: Arc::new(Inner::open(engine, identity, options)?) })
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Splits a text into statements; an empty text gives none. Syntax errors name their place in the whole text.
    pub fn statements(&self, sql: &str) -> Result<Vec<String>, Error> {
        parse::split(sql)
    }

    /// Parses, names and types one statement. `declared`: parameter types that the client stated, in order (`None`: infer).
    pub async fn prepare(&self, sql: &str, declared: &[Option<DataType>]) -> Result<Arc<Prepared>, Error> {
        self.in_time(self.prepare_now(sql, declared)).await
    }

    /// As [`Session::prepare`], of a statement that runs at once and without parameters: of a query nothing is planned before
    /// it runs, so its columns are known only then.
    pub async fn prepare_to_run(&self, sql: &str) -> Result<Arc<Prepared>, Error> {
        let prepared = async {
            let parsed = parse::parse(sql)?;
            self.inner.check_not_failed(&parsed)?;
            match statement::undescribed(sql, parsed) {
                Ok(prepared) => Ok(Arc::new(prepared)),
                Err(parsed) => {
                    Ok(Arc::new(Box::pin(statement::describe(&self.inner, sql, parsed, &[])).await?))
                }
            }
        };
        self.in_time(prepared).await
    }

    async fn in_time(
        &self,
        prepared: impl Future<Output = Result<Arc<Prepared>, Error>>,
    ) -> Result<Arc<Prepared>, Error> {
        self.inner.check_tenant().await?;
        let prepared = tokio::select! {
            biased;
            () = statement::expired(statement::deadline([self.inner.settings().statement_timeout()])) => {
                Err(statement::timed_out())
            }
            prepared = prepared => prepared,
        };
        match prepared {
            Ok(prepared) => Ok(prepared),
            Err(error) => {
                let error = self.inner.audit_denied(error).await;
                self.fail_transaction();
                Err(error)
            }
        }
    }

    async fn prepare_now(&self, sql: &str, declared: &[Option<DataType>]) -> Result<Arc<Prepared>, Error> {
        let parsed = parse::parse(sql)?;
        self.inner.check_not_failed(&parsed)?;
        Ok(Arc::new(Box::pin(statement::describe(&self.inner, sql, parsed, declared)).await?))
    }

    /// Runs a statement. `parameters`: arrays of length 1.
    pub async fn execute(
        &self,
        prepared: &Prepared,
        parameters: Vec<ArrayRef>,
        bounds: Bounds,
    ) -> Result<Execution, Error> {
        let engine = self.inner.engine();
        self.inner.check_tenant().await?;
        let (identity, options) = (self.inner.identity(), self.inner.options());
        let id = bounds.query_id.clone().unwrap_or_else(|| engine.lake().ids.uuid().to_string());
        let running = engine.registry().begin(
            &identity.scope,
            id,
            &prepared.sql,
            &identity.token.name,
            options.protocol,
        )?;
        self.inner.runs(Some(running.clone()));
        let mut unanswered = Unanswered { registry: engine.registry(), running: Some(running.clone()) };
        let timeouts =
            [bounds.timeout, self.inner.settings().statement_timeout(), engine.statement_time_max()];
        let guard = Guard {
            running: running.clone(),
            deadline: statement::deadline(timeouts),
            promised: bounds.promised,
        };
        let answer = match self
            .inner
            .check_not_failed(prepared.parsed())
            .and_then(|()| values(prepared, parameters))
        {
            Ok(values) => Box::pin(self.answer(prepared, values, &guard)).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => {
                self.inner.audit_statement(prepared).await;
                running.enter("RUNNING");
                unanswered.running = None;
                Ok(streaming::execution(self.inner.clone(), answer, guard, &bounds))
            }
            Err(error) => {
                let error = self.inner.audit_denied(error).await;
                engine.registry().end(&running, Some(&error));
                self.inner.runs(None);
                if !matches!(prepared.parsed(), Parsed::Command(Command::Commit | Command::Rollback)) {
                    self.fail_transaction();
                }
                Err(error)
            }
        }
    }

    /// Runs a statement up to its answer; anew, if a VACUUM took away the snapshot on which it was planned: it changed nothing.
    async fn answer(
        &self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        guard: &Guard,
    ) -> Result<statement::Answer, Error> {
        let repeats = matches!(
            prepared.parsed(),
            Parsed::Sql { .. } | Parsed::CopyOut { .. } | Parsed::Command(Command::Execute { .. })
        );
        let mut run = 1;
        loop {
            match Box::pin(statement::run(&self.inner, prepared, values.clone(), guard)).await {
                Err(error)
                    if error.is_expired() && repeats && run < RUNS_MAX && self.inner.kept_txn().is_none() =>
                {
                    run += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Begins the implicit transaction of a text with several statements: all or nothing. Nothing if one is open.
    pub async fn begin_implicit(&self) -> Result<(), Error> {
        self.inner.begin_implicit();
        Ok(())
    }

    /// Ends the implicit transaction, if it is still open: commits, or rolls back after a failure. Answers the commit, if any.
    pub async fn end_implicit(&self, failed: bool) -> Result<Option<Txn>, Error> {
        let Some(transaction) = self.inner.take_implicit() else { return Ok(None) };
        if failed || transaction.failed {
            Box::pin(self.inner.roll_back(transaction)).await;
            return Ok(None);
        }
        Box::pin(self.inner.commit(transaction)).await // a door that awaits it stays of a size
    }

    /// What the ledger keeps beside the setting `idempotency_key` of the next commit.
    pub fn identify_request(&self, request: Vec<u8>) {
        self.inner.identify_request(request);
    }

    /// Whether a transaction is open.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.inner.transaction_status()
    }

    /// Marks an open transaction as failed (a protocol error outside a statement). Nothing if none is open.
    pub fn fail_transaction(&self) {
        self.inner.fail_transaction();
    }

    /// What of a condition on a table's rows tells which of its files may hold rows for which it is true.
    pub async fn condition_on(&self, table: &TableDef, condition: &str) -> Result<Predicate, Error> {
        Box::pin(statement::condition_on(&self.inner, table, condition)).await
    }

    /// The value of a setting as `SHOW` prints it.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.inner.shown(name).ok()
    }

    /// Settings that changed since the last call and that Postgres reports as ParameterStatus.
    pub fn take_reported(&self) -> Vec<(String, String)> {
        self.inner.take_reported()
    }

    /// Tells the session what its client knows as the process id: `pg_backend_pid()` answers it.
    pub fn set_backend_pid(&self, pid: i32) {
        self.inner.set_backend_pid(pid);
    }

    /// Who this is.
    pub fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    /// Cancels the statement that runs in this session, if any; from another task.
    pub fn cancel(&self, reason: &str) -> bool {
        self.inner.cancel(cancelled(reason))
    }
}

/// A statement that has no answer yet. Dropped then, with the request of a client that went away, it has ended.
struct Unanswered<'a> {
    registry: &'a Registry,
    running: Option<Arc<Running>>,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            self.registry.end(running, Some(&cancelled("the client did not wait for the answer")));
        }
    }
}

/// Parameters as values of the types that the statement was typed with.
fn values(prepared: &Prepared, parameters: Vec<ArrayRef>) -> Result<Vec<ScalarValue>, Error> {
    if parameters.len() != prepared.parameters.len() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "the statement has {} parameters, {} were given",
                prepared.parameters.len(),
                parameters.len()
            ),
        )
        .with_sqlstate("08P01"));
    }
    parameters
        .iter()
        .zip(&prepared.parameters)
        .map(|(array, wanted)| {
            if array.len() != 1 {
                return Err(Error::new(ErrorKind::Invalid, "a parameter must be one value"));
            }
            ScalarValue::try_from_array(array, 0)
                .and_then(|value| value.cast_to(wanted))
                .map_err(|error| fault::of(error, &prepared.sql))
        })
        .collect()
}
