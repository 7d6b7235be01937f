//! The handle by which all other crates use the catalog.

use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use cenote_vocab::{Clock, Epoch, Fence, FileId, Ids, Micros, SchemaId, Scope, TableId, Txn};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{
    CatalogOptions, Commit, Committed, DataFile, Error, Identity, Lease, Names, NewToken, ScramVerifier, TableDef, TimeWindow,
    Token, TokenChange,
};

/// A catalog database. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    _inner: Arc<()>,
}

/// The newest state of one catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The newest transaction.
    pub txn: Txn,
    /// When it was committed; strictly increasing.
    pub committed: Micros,
    /// The newest transaction that changed an object.
    pub ddl_txn: Txn,
}

/// One row of the history.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionRecord {
    /// Its number.
    pub txn: Txn,
    /// When.
    pub committed: Micros,
    /// What kind.
    pub operation: String,
}

impl Catalog {
    /// Opens the database, brings an empty or older one up to date, and makes tenant `default`, catalog `lake`, schema
    /// `default` if there are none. Committers start on `tasks` and end with `stop`, after what is queued.
    pub async fn open(
        _options: CatalogOptions,
        _clock: Clock,
        _ids: Ids,
        _tasks: &TaskTracker,
        _stop: CancellationToken,
    ) -> Result<Self, Error> {
        todo!()
    }

    /// The short name of the database kind: `sqlite`, `postgresql`.
    pub fn database(&self) -> &'static str {
        todo!()
    }

    // ---- leases ----

    /// Takes or renews the lease `active` for `ttl`; `None` if another process holds it. From then on every commit checks its fence.
    pub async fn take_active(&self, _ttl: Duration) -> Result<Option<Lease>, Error> {
        todo!()
    }

    /// Renews the lease `active`. `Fenced` if it was lost: the process must stop.
    pub async fn renew_active(&self, _ttl: Duration) -> Result<Lease, Error> {
        todo!()
    }

    /// Ends the lease `active` now, so that a standby need not wait.
    pub async fn release_active(&self) -> Result<(), Error> {
        todo!()
    }

    // ---- tenants, tokens ----

    /// The scope of a tenant, for the node's own work (flush, recovery) and for authentication.
    pub async fn tenant(&self, _name: &str) -> Result<Option<Scope>, Error> {
        todo!()
    }

    /// All tenants' scopes, for the node's own work.
    pub async fn scopes(&self) -> Result<Vec<Scope>, Error> {
        todo!()
    }

    /// Makes a tenant with its `lake` and schema `default`. Not reachable by any route yet: `testkit` uses it.
    pub async fn create_tenant(&self, _name: &str) -> Result<Scope, Error> {
        todo!()
    }

    /// Makes a token and answers it with its secret, `cnt_…`, which is shown only here. `secret`: a given one (bootstrap).
    pub async fn create_token(&self, _scope: &Scope, _new: NewToken, _secret: Option<&str>) -> Result<(Token, String), Error> {
        todo!()
    }

    /// A new secret for the token; the old one ends at once.
    pub async fn rotate_token(&self, _scope: &Scope, _id: i64) -> Result<String, Error> {
        todo!()
    }

    /// Changes a token. `LastAdmin` if no enabled admin token would be left.
    pub async fn change_token(&self, _scope: &Scope, _id: i64, _change: TokenChange) -> Result<Token, Error> {
        todo!()
    }

    /// Deletes a token. `LastAdmin` if no enabled admin token would be left.
    pub async fn delete_token(&self, _scope: &Scope, _id: i64) -> Result<(), Error> {
        todo!()
    }

    /// All tokens of the tenant.
    pub async fn tokens(&self, _scope: &Scope) -> Result<Vec<Token>, Error> {
        todo!()
    }

    /// True if no token exists at all: a first start.
    pub async fn has_no_token(&self) -> Result<bool, Error> {
        todo!()
    }

    /// Who has this secret. Cached for 30 s; a change of the token by this process ends the cache entry at once.
    pub async fn authenticate(&self, _secret: &str) -> Result<Identity, Error> {
        todo!()
    }

    /// What SCRAM needs for `name` or `name@tenant`; unknown users get a verifier that nothing fits, the same one each time.
    pub async fn scram_verifier(&self, _user: &str) -> Result<ScramVerifier, Error> {
        todo!()
    }

    /// True while the token is enabled, not expired, and not deleted (open connections ask this).
    pub async fn is_valid(&self, _identity: &Identity) -> Result<bool, Error> {
        todo!()
    }

    /// The identity of the node's own work, and of everybody when `auth.enabled` is false: admin of the tenant.
    pub fn internal_identity(&self, _scope: &Scope) -> Identity {
        todo!()
    }

    // ---- reading ----

    /// The newest state. One indexed read at most; memory while this process is the only writer.
    pub async fn head(&self, _scope: &Scope) -> Result<Head, Error> {
        todo!()
    }

    /// All names as of `at` (at the head: cached by `ddl_txn`).
    pub async fn names(&self, _scope: &Scope, _at: Txn) -> Result<Arc<Names>, Error> {
        todo!()
    }

    /// The last version not after `at`. `SnapshotExpired` if it is before the first.
    pub async fn txn_at(&self, _scope: &Scope, _at: Micros) -> Result<Txn, Error> {
        todo!()
    }

    /// Files of the table visible at `at`, with the vectors visible then; `window` leaves out files that lie outside it
    /// (files without a time range stay). `SnapshotExpired` below the table's history floor, `SnapshotFuture` above the head.
    pub async fn files(
        &self,
        _scope: &Scope,
        _table: &TableDef,
        _at: Txn,
        _window: Option<TimeWindow>,
    ) -> Result<Vec<Arc<DataFile>>, Error> {
        todo!()
    }

    /// The largest epoch that `producer` committed at or before `at`; 0 if none.
    pub async fn epoch_at(&self, _scope: &Scope, _producer: &str, _at: Txn) -> Result<Epoch, Error> {
        todo!()
    }

    /// The columns that the table had at `schema_no`.
    pub async fn schema_at(&self, _scope: &Scope, _table: TableId, _schema_no: i32) -> Result<Arc<cenote_vocab::TableSchema>, Error> {
        todo!()
    }

    /// Rows of a registered system table, limited to what the tenant may see.
    pub async fn system_rows(&self, _scope: &Scope, _name: &str) -> Result<RecordBatch, Error> {
        todo!()
    }

    /// Waits until a commit after `seen` is visible in this process.
    pub async fn changed(&self, _scope: &Scope, _seen: Txn) -> Txn {
        todo!()
    }

    // ---- changing ----

    /// Applies a commit. Answers when it is durable and visible. See [`Error::CommitConflict`] for what to plan again.
    pub async fn apply(&self, _commit: Commit) -> Result<Committed, Error> {
        todo!()
    }

    /// Takes a producer name over: from now on earlier holders are fenced. Answers fence and the epoch reached.
    pub async fn claim_producer(&self, _scope: &Scope, _name: &str) -> Result<(Fence, Epoch), Error> {
        todo!()
    }

    /// What the ledger knows of a producer: newest epoch, its transaction, and the state kept beside it; `None` if unknown.
    pub async fn producer(&self, _scope: &Scope, _name: &str) -> Result<Option<(Epoch, Txn, Option<bytes::Bytes>)>, Error> {
        todo!()
    }

    /// Ids for a table and, with it, a uuid and location, before its commit.
    pub async fn reserve_table(&self, _scope: &Scope) -> Result<TableId, Error> {
        todo!()
    }

    /// The schema's id, if it exists at the head.
    pub async fn schema_id(&self, _scope: &Scope, _name: &str) -> Result<Option<SchemaId>, Error> {
        todo!()
    }

    // ---- collection ----

    /// Raises the table's history floor to `floor` (never lowers it) and removes the rows of files and vectors that no version
    /// at or above it needs, queueing their objects for deletion at `not_before`; answers the queued (path below the storage
    /// root, bytes). `None`: every table of the catalog, dropped ones too.
    pub async fn purge(
        &self,
        _scope: &Scope,
        _table: Option<TableId>,
        _floor: Txn,
        _not_before: Micros,
    ) -> Result<Vec<(String, u64)>, Error> {
        todo!()
    }

    /// The paths queued for deletion that are due at `now`, with their sizes.
    pub async fn trash_due(&self, _scope: &Scope, _now: Micros) -> Result<Vec<(String, u64)>, Error> {
        todo!()
    }

    /// Forgets queued paths whose objects are gone.
    pub async fn trash_gone(&self, _scope: &Scope, _paths: &[String]) -> Result<(), Error> {
        todo!()
    }

    /// True if a file row of any version names this path.
    pub async fn is_referenced(&self, _scope: &Scope, _path: &str) -> Result<bool, Error> {
        todo!()
    }

    /// Ids of files of the table that are live now; for checks.
    pub async fn live_file_ids(&self, _scope: &Scope, _table: TableId) -> Result<Vec<FileId>, Error> {
        todo!()
    }
}
