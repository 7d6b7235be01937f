//! One client's state: search path, settings, transaction.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use cenote_catalog::Identity;

use crate::{Bounds, Error, Execution, Prepared};

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
    /// True only for the local CLI with an embedded node: file functions read what the OS user may.
    pub local_files: bool,
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
    _private: (),
}

impl Session {
    /// Splits a text into statements; an empty text gives none. Syntax errors name their place in the whole text.
    pub fn statements(&self, _sql: &str) -> Result<Vec<String>, Error> {
        todo!()
    }

    /// Parses, names and types one statement. `declared`: parameter types that the client stated, in order (`None`: infer).
    pub async fn prepare(&self, _sql: &str, _declared: &[Option<DataType>]) -> Result<Arc<Prepared>, Error> {
        todo!()
    }

    /// Runs a statement. `parameters`: arrays of length 1.
    pub async fn execute(
        &self,
        _prepared: &Prepared,
        _parameters: Vec<ArrayRef>,
        _bounds: Bounds,
    ) -> Result<Execution, Error> {
        todo!()
    }

    /// Begins the implicit transaction of a text with several statements: all or nothing. Nothing if one is open.
    pub async fn begin_implicit(&self) -> Result<(), Error> {
        todo!()
    }

    /// Ends the implicit transaction, if it is still open: commits, or rolls back after a failure.
    pub async fn end_implicit(&self, _failed: bool) -> Result<(), Error> {
        todo!()
    }

    /// Whether a transaction is open.
    pub fn transaction_status(&self) -> TransactionStatus {
        todo!()
    }

    /// Marks an open transaction as failed (a protocol error outside a statement). Nothing if none is open.
    pub fn fail_transaction(&self) {
        todo!()
    }

    /// The value of a setting as `SHOW` prints it.
    pub fn setting(&self, _name: &str) -> Option<String> {
        todo!()
    }

    /// Settings that changed since the last call and that Postgres reports as ParameterStatus.
    pub fn take_reported(&self) -> Vec<(String, String)> {
        todo!()
    }

    /// Who this is.
    pub fn identity(&self) -> &Identity {
        todo!()
    }

    /// Cancels the statement that runs in this session, if any; from another task.
    pub fn cancel(&self, _reason: &str) -> bool {
        todo!()
    }
}
