//! The handle by which all other crates use the catalog.

mod flow;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use cenote_vocab::{
    CatalogId, Clock, Epoch, Fence, FieldId, FileId, Ids, Micros, SchemaId, Scope, TableId, Txn,
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::committer::{Committer, check_active, object_id};
use crate::credential::CredentialCache;
use crate::file_index::FileIndexes;
use crate::inner::{Active, Inner};
use crate::metrics::Metrics;
use crate::recent::Recent;
use crate::sql::{Database, Dialect, access, head, history, migrate, staged, trash};
use crate::{
    AccessBook, Caller, CatalogOptions, Changes, ColumnEdge, Commit, Committed, DataFile, Error, FileEntry,
    Hold, Identity, Input, Lease, LevelCounters, LineageEdge, Names, NewTag, NewToken, PartitionCounters,
    Pipeline, Provenance, ScramVerifier, TableCommit, TableDef, TablesById, TimeWindow, Token, TokenChange,
    VisibleFiles, Walk, WalkRequest, audit, changes, collection, grants, hold, inline, lease, lineage,
    partition, pipeline, provenance, reading, system, tenant, tokens, visible,
};

/// A catalog database. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    pub(crate) inner: Arc<Inner>,
    /// One per catalog, started when first asked.
    committers: Arc<Mutex<HashMap<CatalogId, Committer>>>,
    /// Whose acts of administration these are; `None`: the node's.
    pub(crate) caller: Option<Arc<Caller>>,
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

/// What a transaction said of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionFacts {
    /// Its number.
    pub txn: Txn,
    /// When.
    pub committed: Micros,
    /// What kind.
    pub operation: String,
    /// Who.
    pub actor: Option<String>,
    /// The run that it is part of.
    pub run: Option<Uuid>,
    /// What made its rows.
    pub code: Option<[u8; 32]>,
    /// What it read.
    pub inputs: Vec<Input>,
}

impl Catalog {
    /// Opens the database, brings an empty or older one up to date, and makes tenant `default`, catalog `lake`, schema
    /// `default` if there are none. Committers start on `tasks` and end with `stop`, after what is queued.
    pub async fn open(
        options: CatalogOptions,
        clock: Clock,
        ids: Ids,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let database = Database::connect(&options).await?;
        let auto_migrate = options.auto_migrate.unwrap_or(database.dialect() == Dialect::Sqlite);
        migrate::migrate(&database, auto_migrate).await?;
        let secret = migrate::server_secret(&database, &ids).await?;
        let (audit, queued) = audit::queue();
        let inner = Inner {
            audit,
            database,
            clock,
            ids,
            tasks: tasks.clone(),
            stop,
            holder: options.holder,
            metrics: Metrics::new(),
            credentials: CredentialCache::new(secret.into_bytes()),
            issuer: OnceLock::new(),
            active: Mutex::new(Active::Never),
            memories: Mutex::default(),
            access: Mutex::default(),
            files: FileIndexes::new(),
            recent: Recent::new(),
            graphs: crate::lineage::Graphs::default(),
            published: tokio::sync::Notify::new(),
            tenant_changes: tokio::sync::watch::Sender::new(0),
        };
        tenant::create_first(&inner).await?;
        let inner = Arc::new(inner);
        tasks.spawn(audit::write(inner.clone(), queued, options.audit_keep));
        Ok(Self { inner, committers: Arc::default(), caller: None })
    }

    /// The short name of the database kind: `sqlite`, `postgresql`.
    pub fn database(&self) -> &'static str {
        self.inner.database.dialect().name()
    }

    /// Takes what was deleted from the catalog off its disk. `Unavailable` while a statement still reads it. PostgreSQL does so by
    /// itself, in its own time.
    pub async fn scrub(&self) -> Result<(), Error> {
        Ok(self.inner.database.scrub().await?)
    }

    // ---- leases ----

    /// Takes or renews the lease `active` for `ttl`; `None` if another process holds it. From then on every commit checks its fence.
    pub async fn take_active(&self, ttl: Duration) -> Result<Option<Lease>, Error> {
        lease::take_active(&self.inner, ttl).await
    }

    /// Renews the lease `active`. `Fenced` if it was lost: the process must stop.
    pub async fn renew_active(&self, ttl: Duration) -> Result<Lease, Error> {
        lease::renew_active(&self.inner, ttl).await
    }

    /// Ends the lease `active` now, so that a standby need not wait.
    pub async fn release_active(&self) -> Result<(), Error> {
        lease::release_active(&self.inner).await
    }

    // ---- tenants, tokens ----

    /// The scope of a tenant that was not dropped, for the node's own work (flush, recovery) and for authentication.
    pub async fn tenant(&self, name: &str) -> Result<Option<Scope>, Error> {
        Ok(tenant::scopes(&self.inner).await?.remove(name))
    }

    /// Scopes of all tenants that were not dropped, suspended ones too, for the node's own work.
    pub async fn scopes(&self) -> Result<Vec<Scope>, Error> {
        Ok(tenant::scopes(&self.inner).await?.into_values().collect())
    }

    /// Makes a token and answers it with its secret, `cnt_…`, which is shown only here. `secret`: a given one (bootstrap).
    pub async fn create_token(
        &self,
        scope: &Scope,
        new: NewToken,
        secret: Option<&str>,
    ) -> Result<(Token, String), Error> {
        let secret = secret.map(str::to_owned);
        self.to_its_end(scope, move |inner, scope, caller| async move {
            tokens::create(&inner, &scope, new, secret.as_deref(), caller.as_deref()).await
        })
        .await
    }

    /// A new secret for the token; the old one ends at once.
    pub async fn rotate_token(&self, scope: &Scope, id: i64) -> Result<String, Error> {
        self.to_its_end(scope, move |inner, scope, caller| async move {
            tokens::rotate(&inner, &scope, id, caller.as_deref()).await
        })
        .await
    }

    /// Changes a token. `LastAdmin` if no enabled admin token would be left.
    pub async fn change_token(&self, scope: &Scope, id: i64, change: TokenChange) -> Result<Token, Error> {
        self.to_its_end(scope, move |inner, scope, caller| async move {
            tokens::change(&inner, &scope, id, change, caller.as_deref()).await
        })
        .await
    }

    /// Deletes a token. `LastAdmin` if no enabled admin token would be left.
    pub async fn delete_token(&self, scope: &Scope, id: i64) -> Result<(), Error> {
        self.to_its_end(scope, move |inner, scope, caller| async move {
            tokens::delete(&inner, &scope, id, caller.as_deref()).await
        })
        .await
    }

    /// Runs a change of rights to its end, though whoever asked for it leaves meanwhile: what is remembered of rights is then what
    /// is stored.
    async fn to_its_end<T, F>(
        &self,
        scope: &Scope,
        work: impl FnOnce(Arc<Inner>, Scope, Option<Arc<Caller>>) -> F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let work = work(self.inner.clone(), scope.clone(), self.caller.clone());
        self.inner.to_its_end(work).await
    }

    /// All tokens of the tenant.
    pub async fn tokens(&self, scope: &Scope) -> Result<Vec<Token>, Error> {
        tokens::list(&self.inner, scope).await
    }

    /// True if no token exists at all: a first start.
    pub async fn has_no_token(&self) -> Result<bool, Error> {
        Ok(!access::any(&self.inner.database).await?)
    }

    /// Takes bearer tokens of this issuer from now on. Only the first one counts.
    pub fn trust(&self, issuer: cenote_jwt::Issuer) {
        if self.inner.issuer.set(issuer).is_err() {
            tracing::warn!("an issuer of bearer tokens is trusted already");
        }
    }

    /// Who has this secret, or bearer token of a trusted issuer. Cached for 30 s; a change of the token by this process ends the cache entry at once.
    pub async fn authenticate(&self, secret: &str) -> Result<Identity, Error> {
        tokens::authenticate(&self.inner, secret).await
    }

    /// What SCRAM needs for `name` or `name@tenant`; unknown users get a verifier that nothing fits, the same one each time.
    pub async fn scram_verifier(&self, user: &str) -> Result<ScramVerifier, Error> {
        tokens::scram_verifier(&self.inner, user).await
    }

    /// True while the token is enabled, not expired, and not deleted (open connections ask this).
    pub async fn is_valid(&self, identity: &Identity) -> Result<bool, Error> {
        tokens::is_valid(&self.inner, identity).await
    }

    /// The identity of the node's own work, and of everybody when `auth.enabled` is false: admin of the tenant.
    pub fn internal_identity(&self, scope: &Scope) -> Identity {
        tokens::internal_identity(&self.inner, scope)
    }

    /// Grows with every change of rights and tokens of the tenant that this process knows of: who acts for long asks again then.
    pub fn rights_generation(&self, scope: &Scope) -> u64 {
        self.inner.access(scope.catalog()).generation()
    }

    /// Roles, who has them, and what is granted in the tenant, as the database has it now.
    pub async fn access(&self, scope: &Scope) -> Result<Arc<AccessBook>, Error> {
        grants::book(&self.inner, scope).await
    }

    // ---- reading ----

    /// The newest state. One indexed read at most; memory while this process is the only writer.
    pub async fn head(&self, scope: &Scope) -> Result<Head, Error> {
        reading::head(&self.inner, scope).await
    }

    /// All names as of `at` (at the head: cached by `ddl_txn`).
    pub async fn names(&self, scope: &Scope, at: Txn) -> Result<Arc<Names>, Error> {
        reading::names(&self.inner, scope, at).await
    }

    /// All tables and views as of `at` by id (at the head: made once for each change of what exists).
    pub async fn tables_by_id(&self, scope: &Scope, at: Txn) -> Result<Arc<TablesById>, Error> {
        reading::tables_by_id(&self.inner, scope, at).await
    }

    /// The last version not after `at`. `SnapshotExpired` if it is before the first.
    pub async fn txn_at(&self, scope: &Scope, at: Micros) -> Result<Txn, Error> {
        reading::txn_at(&self.inner, scope, at).await
    }

    /// Files of the table visible at `at`, with the vectors visible then; `window` leaves out files that lie outside it
    /// (files without a time range stay). `SnapshotExpired` below the table's history floor, `SnapshotFuture` above the head.
    pub async fn files(
        &self,
        scope: &Scope,
        table: &TableDef,
        at: Txn,
        window: Option<TimeWindow>,
    ) -> Result<Vec<Arc<DataFile>>, Error> {
        let visible = visible::visible(&self.inner, scope, table, at, window).await?;
        visible::details(&self.inner, scope, table, at, &visible.files).await
    }

    /// As [`Self::files`], numbers alone: from memory, without a question to the database while this process alone writes.
    pub async fn visible_files(
        &self,
        scope: &Scope,
        table: &TableDef,
        at: Txn,
        window: Option<TimeWindow>,
    ) -> Result<VisibleFiles, Error> {
        visible::visible(&self.inner, scope, table, at, window).await
    }

    /// Path, statistics and deletion vector of each of `files`, which [`Self::visible_files`] answered at `at`, in their
    /// order. Of more than 100 000 files no statistics are known. `SnapshotExpired` if they were purged meanwhile.
    pub async fn file_details(
        &self,
        scope: &Scope,
        table: &TableDef,
        at: Txn,
        files: &[FileEntry],
    ) -> Result<Vec<Arc<DataFile>>, Error> {
        visible::details(&self.inner, scope, table, at, files).await
    }

    /// The rows of these inline batches of the table, deleted ones included, in their order; field ids stand in their schemas.
    /// `SnapshotExpired` if one was purged.
    pub async fn inline_batches(
        &self,
        scope: &Scope,
        table: &TableDef,
        files: &[&DataFile],
    ) -> Result<Vec<RecordBatch>, Error> {
        inline::batches(&self.inner, scope, table, files).await
    }

    /// How many live inline batches the table has, perhaps but for those of this very moment.
    pub async fn inline_counters(&self, scope: &Scope, table: TableId) -> Result<LevelCounters, Error> {
        inline::count(&self.inner, scope, table).await
    }

    /// What changed the table's rows after `after` up to `to`: a part of it if it is much, then `reached` is below `to`.
    /// `ChangesExpired` below the table's history floor, `SnapshotFuture` above the head.
    pub async fn changes(
        &self,
        scope: &Scope,
        table: &TableDef,
        after: Txn,
        to: Txn,
    ) -> Result<Changes, Error> {
        changes::changes(&self.inner, scope, table, after, to).await
    }

    /// The table's commits after `after` up to `to` that history still keeps, oldest first, at most `limit`.
    pub async fn table_commits(
        &self,
        scope: &Scope,
        table: &TableDef,
        (after, to): (Txn, Txn),
        limit: usize,
    ) -> Result<Vec<TableCommit>, Error> {
        changes::table_commits(&self.inner, scope, table, (after, to), limit).await
    }

    /// The largest epoch that `producer` committed at or before `at`; 0 if none.
    pub async fn epoch_at(&self, scope: &Scope, producer: &str, at: Txn) -> Result<Epoch, Error> {
        reading::epoch_at(&self.inner, scope, producer, at).await
    }

    /// The columns that the table had at `schema_no`.
    pub async fn schema_at(
        &self,
        scope: &Scope,
        table: TableId,
        schema_no: i32,
    ) -> Result<Arc<cenote_vocab::TableSchema>, Error> {
        reading::schema_at(&self.inner, scope, table, schema_no).await
    }

    /// The partition spec of number `spec_no`; 0 is that of no partitions.
    pub async fn spec_at(
        &self,
        scope: &Scope,
        table: TableId,
        spec_no: i32,
    ) -> Result<Arc<cenote_vocab::PartitionSpec>, Error> {
        reading::spec_at(&self.inner, scope, table, spec_no).await
    }

    // ---- pipelines ----

    /// Stores a new pipeline. `PipelineExists` if its schema has one of its name.
    pub async fn create_pipeline(&self, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
        pipeline::create(&self.inner, scope, pipeline).await
    }

    /// All pipelines by schema and name.
    pub async fn pipelines(&self, scope: &Scope) -> Result<Vec<Pipeline>, Error> {
        pipeline::list(&self.inner, scope).await
    }

    /// Stores what is wanted of a pipeline, what it does, and its error. `PipelineNotFound` once it was dropped.
    pub async fn note_pipeline(&self, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
        pipeline::note(&self.inner, scope, pipeline).await
    }

    /// Stores another name, script or options of a pipeline. `PipelineNotFound` once it was dropped, `PipelineExists` if another of its
    /// schema has the name.
    pub async fn alter_pipeline(&self, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
        let pipeline = pipeline.clone();
        self.to_its_end(scope, move |inner, scope, _| async move {
            pipeline::alter(&inner, &scope, &pipeline).await?;
            grants::refresh(&inner, scope.catalog()).await;
            Ok(())
        })
        .await
    }

    /// Stores the options of a pipeline that goes on as it is. `PipelineNotFound` once it was dropped.
    pub async fn set_pipeline_options(&self, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
        pipeline::set_options(&self.inner, scope, pipeline).await
    }

    /// Forgets a pipeline with its producer and its holds. `PipelineNotFound` if it is not there.
    pub async fn drop_pipeline(&self, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
        let pipeline = pipeline.clone();
        self.to_its_end(scope, move |inner, scope, _| async move {
            pipeline::remove(&inner, &scope, &pipeline).await?;
            grants::refresh(&inner, scope.catalog()).await;
            Ok(())
        })
        .await
    }

    /// The identity by whose rights a pipeline runs. `OwnerGone` for a token that is gone, revoked or expired.
    pub async fn owner(&self, scope: &Scope, token: i64) -> Result<Identity, Error> {
        pipeline::owner(&self.inner, scope, token).await
    }

    // ---- lineage, system tables ----

    /// The tables and places around a node of lineage: a table id in decimal, `ingest:<protocol>`, or `ext:` and a URN. `Limit` if
    /// there are more edges than are held.
    pub async fn walk_lineage(
        &self,
        scope: &Scope,
        start: &str,
        asked: WalkRequest,
    ) -> Result<Walk<LineageEdge>, Error> {
        lineage::tables(&self.inner, scope, start, asked).await
    }

    /// The columns around a column. `Limit` if there are more edges than are held.
    pub async fn walk_columns(
        &self,
        scope: &Scope,
        start: (TableId, FieldId),
        asked: WalkRequest,
    ) -> Result<Walk<ColumnEdge>, Error> {
        lineage::columns(&self.inner, scope, start, asked).await
    }

    /// The edges between columns of pairs of tables, from and to, as of a transaction.
    pub async fn columns_between(
        &self,
        scope: &Scope,
        at: Txn,
        pairs: BTreeSet<(TableId, TableId)>,
    ) -> Result<Vec<ColumnEdge>, Error> {
        lineage::columns_between(&self.inner, scope, at, pairs).await
    }

    /// Rows of a registered system table, limited to what the tenant may see.
    pub async fn system_rows(&self, scope: &Scope, name: &str) -> Result<RecordBatch, Error> {
        system::rows(&self.inner, scope, name).await
    }

    /// Waits until a commit after `seen` is visible in this process.
    pub async fn changed(&self, scope: &Scope, seen: Txn) -> Txn {
        reading::changed(&self.inner, scope, seen).await
    }

    // ---- changing ----

    /// Applies a commit. Answers when it is durable and visible. See [`Error::CommitConflict`] for what to plan again.
    pub async fn apply(&self, commit: Commit) -> Result<Committed, Error> {
        self.committer(&commit.scope).apply(commit).await
    }

    /// Takes a producer name over: from now on earlier holders are fenced. Answers fence and the epoch reached.
    pub async fn claim_producer(&self, scope: &Scope, name: &str) -> Result<(Fence, Epoch), Error> {
        self.committer(scope).claim(name).await
    }

    /// What the ledger knows of a producer: newest epoch, its transaction, and the state kept beside it; `None` if unknown.
    pub async fn producer(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<Option<(Epoch, Txn, Option<bytes::Bytes>)>, Error> {
        reading::producer(&self.inner, scope, name).await
    }

    /// Exchanges the state that is kept beside a producer's epoch, if it is `from`. False if it is another, or there is none.
    pub async fn replace_producer_state(
        &self,
        scope: &Scope,
        name: &str,
        from: &[u8],
        to: &[u8],
    ) -> Result<bool, Error> {
        collection::replace_producer_state(&self.inner, scope, name, from, to).await
    }

    /// Forgets a producer, its epochs and its fence: what it offers next takes effect whatever its epoch. `Invalid` for those
    /// of logs, which the node needs to start. False if there was none.
    pub async fn drop_producer(&self, scope: &Scope, name: &str) -> Result<bool, Error> {
        collection::drop_producer(&self.inner, scope, name).await
    }

    /// Forgets idempotency keys that were used more than a day ago, at most so many; answers how many.
    pub async fn forget_keys(&self, scope: &Scope, keys_max: u32) -> Result<u64, Error> {
        collection::forget_keys(&self.inner, scope, keys_max).await
    }

    /// What is wrong with the rows of the catalog that are about a table, each with the row that it is about.
    pub async fn contradictions(
        &self,
        scope: &Scope,
        table: &TableDef,
    ) -> Result<Vec<(String, String)>, Error> {
        reading::contradictions(&self.inner, scope, table.id).await
    }

    // ---- what keeps history ----

    /// Makes a tag, which keeps a version; answers the version. `SnapshotExpired` for one that is not kept any more.
    pub async fn create_tag(&self, scope: &Scope, tag: NewTag) -> Result<Txn, Error> {
        hold::create_tag(&self.inner, scope, tag).await
    }

    /// Ends a tag of a table, or of the catalog.
    pub async fn drop_tag(&self, scope: &Scope, table: Option<TableId>, name: &str) -> Result<(), Error> {
        hold::drop_tag(&self.inner, scope, table, name).await
    }

    /// The version that a tag names: the table's own tag, or else the catalog's.
    pub async fn tagged(&self, scope: &Scope, table: Option<TableId>, name: &str) -> Result<Txn, Error> {
        hold::tagged(&self.inner, scope, table, name).await
    }

    /// Tags and holds that have not expired, by version.
    pub async fn holds(&self, scope: &Scope) -> Result<Vec<Hold>, Error> {
        hold::all(&self.inner, scope).await
    }

    /// What keeps history from collection: the tags, and the holds, each from the version on from which it counts.
    pub async fn keepers(&self, scope: &Scope) -> Result<Vec<Hold>, Error> {
        hold::keepers(&self.inner, scope).await
    }

    /// Keeps all of a table (`None`: of the catalog) from `txn` on, for `ttl` (at most a week) unless it is renewed, and a
    /// week back at most. `SnapshotExpired` below the floor.
    pub async fn hold(
        &self,
        scope: &Scope,
        table: Option<TableId>,
        txn: Txn,
        holder: &str,
        ttl: Duration,
    ) -> Result<Hold, Error> {
        hold::hold(&self.inner, scope, table, txn, (holder, ttl)).await
    }

    /// Lets a hold live on for `ttl`, and moves it forward if `txn` is given. `HoldNotFound` once it has expired.
    pub async fn renew_hold(
        &self,
        scope: &Scope,
        id: Uuid,
        txn: Option<Txn>,
        ttl: Duration,
    ) -> Result<Hold, Error> {
        hold::renew(&self.inner, scope, id, txn, ttl).await
    }

    /// Ends a hold.
    pub async fn release_hold(&self, scope: &Scope, id: Uuid) -> Result<(), Error> {
        hold::release(&self.inner, scope, id).await
    }

    /// Ids for a table and, with it, a uuid and location, before its commit.
    pub async fn reserve_table(&self, scope: &Scope) -> Result<TableId, Error> {
        let catalog = scope.catalog();
        let mut transaction = self.inner.database.write().await?;
        let mut row = head::lock(&mut transaction, catalog).await?;
        check_active(&self.inner, &mut transaction).await?;
        let table = TableId(object_id(catalog.0, row.next_object));
        row.next_object += 1;
        head::write(&mut transaction, catalog, &row).await?;
        transaction.commit().await?;
        Ok(table)
    }

    /// The schema's id, if it exists at the head.
    pub async fn schema_id(&self, scope: &Scope, name: &str) -> Result<Option<SchemaId>, Error> {
        reading::schema_id(&self.inner, scope, name).await
    }

    // ---- collection ----

    /// Shows `visit` the counters of partitions with live files whose newest change is in `after < txn <= until`.
    pub async fn visit_partitions(
        &self,
        scope: &Scope,
        after: Txn,
        until: Txn,
        visit: impl FnMut(PartitionCounters) + Send,
    ) -> Result<(), Error> {
        partition::visit_changed(&self.inner, scope, (after, until), visit).await
    }

    /// Of these tables, each with a version that its history need not reach behind, those with something to purge; with the floor
    /// that they get: their own newest version up to there, so that a quiet table stays readable at all times.
    pub async fn collectable(
        &self,
        scope: &Scope,
        cutoffs: &[(TableId, Txn)],
    ) -> Result<Vec<(TableId, Txn)>, Error> {
        collection::collectable(&self.inner, scope, cutoffs).await
    }

    /// Tables that were dropped at or before a version, and still have rows.
    pub async fn dropped_tables(&self, scope: &Scope, until: Txn) -> Result<Vec<TableId>, Error> {
        Ok(trash::dropped(&self.inner.database, scope.catalog(), until).await?)
    }

    /// Raises the table's history floor to `floor` (never lowers it) and removes the rows of files and vectors that no version
    /// at or above it needs, queueing their objects for deletion at `not_before`; answers the queued (path below the storage
    /// root, bytes). `None`: every table of the catalog, dropped ones too.
    pub async fn purge(
        &self,
        scope: &Scope,
        table: Option<TableId>,
        floor: Txn,
        not_before: Micros,
    ) -> Result<Vec<(String, u64)>, Error> {
        collection::purge(&self.inner, scope, table, floor, not_before).await
    }

    /// The paths queued for deletion that are due at `now`, with their sizes.
    pub async fn trash_due(&self, scope: &Scope, now: Micros) -> Result<Vec<(String, u64)>, Error> {
        Ok(trash::due(&self.inner.database, scope.catalog(), now).await?)
    }

    /// Forgets queued paths whose objects are gone.
    pub async fn trash_gone(&self, scope: &Scope, paths: &[String]) -> Result<(), Error> {
        Ok(trash::gone(&self.inner.database, scope.catalog(), paths).await?)
    }

    /// True if a file row of any version names this path, or it is of rows that a check kept out of their table.
    pub async fn is_referenced(&self, scope: &Scope, path: &str) -> Result<bool, Error> {
        let (database, catalog) = (&self.inner.database, scope.catalog());
        Ok(trash::is_referenced(database, catalog, path).await?
            || staged::is_kept(database, catalog, path).await?)
    }

    /// Ids of files of the table that are live now; for checks.
    pub async fn live_file_ids(&self, scope: &Scope, table: TableId) -> Result<Vec<FileId>, Error> {
        reading::live_file_ids(&self.inner, scope, table).await
    }

    // ---- the node ----

    /// The newest `limit` transactions, newest first.
    pub async fn history(&self, scope: &Scope, limit: u32) -> Result<Vec<TransactionRecord>, Error> {
        Ok(history::newest(&self.inner.database, scope.catalog(), i64::from(limit)).await?)
    }

    /// What a transaction said of itself; `None` if there is none of this number.
    pub async fn transaction(&self, scope: &Scope, txn: Txn) -> Result<Option<TransactionFacts>, Error> {
        Ok(history::facts(&self.inner.database, scope.catalog(), txn).await?)
    }

    /// The transactions after one up to another that changed rows of a table, newest first, each with its run; those of which
    /// history is kept.
    pub async fn row_changes(
        &self,
        scope: &Scope,
        table: TableId,
        (after, to): (Txn, Txn),
        limit: u32,
    ) -> Result<Vec<(Txn, Option<Uuid>)>, Error> {
        reading::check_scope(scope, table)?;
        Ok(history::row_changes(&self.inner.database, table, (after, to), i64::from(limit)).await?)
    }

    /// The commits that a version of a table was made by, at most `depth` steps back and `commits_max` in all.
    pub async fn provenance(
        &self,
        scope: &Scope,
        version: (TableId, Txn),
        depth: u32,
        commits_max: usize,
    ) -> Result<Provenance, Error> {
        provenance::provenance(&self.inner, scope, version, depth, commits_max).await
    }

    /// `SnapshotExpired` if this version of a table is not kept any more.
    pub async fn check_kept(&self, scope: &Scope, table: &TableDef, at: Txn) -> Result<(), Error> {
        visible::check_kept(&self.inner, scope, table, at).await
    }

    /// The transaction that a commit became; `None` if it has not been committed so far.
    pub async fn transaction_of(
        &self,
        scope: &Scope,
        commit: uuid::Uuid,
    ) -> Result<Option<TransactionRecord>, Error> {
        Ok(history::of_commit(&self.inner.database, scope.catalog(), commit).await?)
    }

    /// Adds the metrics of the commit path to a registry.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.inner.metrics.register(registry);
    }

    /// Closes the connections to the database, once committers have ended.
    pub async fn close(&self) {
        self.inner.database.close().await;
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    fn committer(&self, scope: &Scope) -> Committer {
        let mut committers = self.committers.lock();
        committers.entry(scope.catalog()).or_insert_with(|| Committer::start(&self.inner, scope)).clone()
    }
}
