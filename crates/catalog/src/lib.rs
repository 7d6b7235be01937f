//! The control plane: what exists, who may use it, and the one way to change it.
//!
//! ```text
//! writers ─ Commit ─► committer (one task per catalog: group commit) ─ one database transaction ─► txn
//! readers ─ head, names, files, epochs at a txn ◄─ SQL rows, cached
//! ```
//! Invariants: every change is a [`Commit`] under the locked head row; a (producer, epoch) takes effect once; a data
//! file exists for readers only when a committed transaction says so; every question carries a
//! [`Scope`](cenote_vocab::Scope), so no tenant sees another's rows. Nothing here reads data files.
//!
//! ```
//! use cenote_catalog::{Catalog, CatalogOptions, Commit, Facts, ObjectChange};
//! use cenote_vocab::{Clock, Ids};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), cenote_catalog::Error> {
//! # let (tasks, stop) = Default::default();
//! let clock = Clock::system();
//! let ids = Ids::system(clock.clone());
//! let options = CatalogOptions {
//!     url: cenote_store::Secret::new("sqlite::memory:"),
//!     data_dir: ".".into(),
//!     pool_size: 4,
//!     statement_cache: 100,
//!     auto_migrate: None,
//!     audit_keep: std::time::Duration::from_secs(90 * 86_400),
//!     holder: "example".into(),
//! };
//! let catalog = Catalog::open(options, clock, ids.clone(), &tasks, stop).await?;
//! let scope = catalog.tenant("default").await?.expect("made by open");
//! let committed = catalog
//!     .apply(Commit {
//!         commit_id: ids.uuid(),
//!         scope: scope.clone(),
//!         producers: vec![],
//!         facts: Facts { operation: "create_schema".into(), ..Facts::default() },
//!         tables: vec![],
//!         objects: vec![ObjectChange::CreateSchema { name: "app".into(), if_not_exists: false }],
//!     })
//!     .await?;
//! assert_eq!(catalog.head(&scope).await?.txn, committed.txn);
//! # Ok(())
//! # }
//! ```

mod access;
mod asset;
mod audit;
mod bearer;
mod catalog;
mod changes;
mod collection;
mod commit;
mod committer;
mod conflict;
mod credential;
mod error;
mod event;
mod evolution;
mod file;
mod file_index;
mod grants;
mod guarded;
mod hold;
mod inline;
mod inner;
mod job;
mod lease;
mod ledger;
mod lineage;
mod materialize;
mod memory;
mod metrics;
mod object;
mod options;
mod partition;
mod pipeline;
mod provenance;
mod publication;
mod read_set;
mod reading;
mod recent;
mod recipe;
mod registry;
mod reruns;
mod run;
mod signing;
mod slices;
mod sql;
mod system;
mod task;
mod task_state;
mod tenant;
mod tokens;
mod tuple;
mod visible;
mod widening;

pub use access::{
    Access, AccessBook, AccessChange, BUILT_IN_ROLES, Giving, Grant, GrantChange, GrantKind, GrantTarget,
    Granted, Identity, Membership, NewToken, OPERATOR_ROLE, Object, Principal, Privilege, Privileges, Role,
    ScramVerifier, Token, TokenChange, authorize, pattern_matches,
};
pub use asset::{
    ASSET, Asset, AssetPartition, AssetSpec, Check, CheckRecord, CheckResult, Dependency, Mode,
    OnSchemaChange, PartsOf, Schedule, Severity, Success, Trigger, TriggerKind, WHOLE,
};
pub use audit::{AuditEntry, AuditFilter, AuditOutcome, AuditRow, Caller, came_in};
pub use catalog::{Catalog, Head, TransactionFacts, TransactionRecord};
pub use changes::{Changes, FileChange, FileDelta, TableCommit, TableDelta};
pub use commit::{
    Alter, Code, Commit, Committed, Expected, Facts, Input, NewTable, ObjectChange, Op, Producer, RetireKind,
    RewriteInput, RowChange, RunOf, TableChange,
};
pub use conflict::Clash;
pub use error::Error;
pub use event::{Event, EventPage};
pub use evolution::{ColumnPath, Evolution, Place, SortColumn, first_schema};
pub use file::{Content, DataFile, NewFile, TimeWindow, VisibleVector};
pub use hold::{Hold, NewTag};
pub use job::{Job, JobExplanation};
pub use lease::Lease;
pub use lineage::{
    ColumnEdge, ColumnKind, Direction, LineageEdge, Walk, WalkRequest, WalkedEdge, node_kind, node_name,
};
pub use materialize::{
    AssetExplanation, Because, EagerVerdict, Explained, FailedAttempt, MaterializeRequest, PartitionStatus,
    PlanChange, PlanDifference, Planned, ReadInput, RerunSelection, RunExplanation, RunOutline, StaleReason,
    Wanted,
};
pub use object::{
    LABEL, MATERIALIZED, MATERIALIZED_SOURCES, Names, SchemaDef, TableDef, TableKind, TablesById,
};
pub use options::CatalogOptions;
pub use partition::{LevelCounters, PartitionCounters};
pub use pipeline::{Desired, Pipeline, Reset, ResetExtent};
pub use provenance::{Provenance, ProvenanceCommit, ProvenanceInput};
pub use publication::{Publication, PublicationReader};
pub use read_set::{ColumnRange, PartitionKey, ReadSet, Region, Zone};
pub use recipe::{Kept, Made, Recipe, Recorded};
pub use registry::{
    PublishedKind, PublishedTable, SystemColumn, SystemKind, SystemTable, published_tables, system_tables,
};
pub use reruns::Reruns;
pub use run::{NewRun, PipelineStart, RunCounts, RunEnd, RunRecord};
pub use signing::SigningKey;
pub use slices::{Mapped, Mapping, Partitioning, Period, Sameness, SliceRange, SliceSet, SliceValue, Slices};
pub use task::{
    AssetRun, Cancel, Category, ClaimedTask, FlowChange, LetGo, NewAssetRun, NewTask, RerunKind, RunFilter,
    StagedRows, TaskEnd, TaskFailure, TaskOutcome, TaskRecord, Tick, Waiting,
};
pub use task_state::{TASK_TRANSITIONS, TaskState};
pub use tenant::{
    CATALOG_NAME, NewTenant, OPERATING_TENANT, Tenant, TenantChange, TenantState, check_tenant,
    check_tenant_text,
};
pub use tuple::tuple_text;
pub use visible::{FileEntry, PartitionTuple, Partitions, VisibleFiles};
