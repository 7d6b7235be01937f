//! Assets: a table plus the recipe that fills it; checks that its rows are tested by; what makes it run.

use std::collections::BTreeMap;
use std::time::Duration;

use cenote_vocab::{Micros, Scope, TableId, Txn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::inner::Inner;
use crate::sql::{asset, asset_part, check};
use crate::{Error, Identity, Mapping, Names, Partitioning, Privilege, Slices, TableDef, authorize};

/// The property of a table that is an asset: its id.
pub const ASSET: &str = "asset";
/// The partition of an asset that has none.
pub const WHOLE: &str = "_";

/// A recipe as its row says.
#[derive(Clone, Debug, PartialEq)]
pub struct Asset {
    /// For ever.
    pub id: Uuid,
    /// Its table, whose name it has.
    pub table: TableId,
    /// The token by whose rights it runs.
    pub owner: i64,
    /// Schemas of bare names in its query.
    pub search_path: Vec<String>,
    /// SELECT …
    pub query: String,
    /// Changes with what the query means, and with how its rows come into the table.
    pub code: [u8; 32],
    /// Everything else that is said of it.
    pub spec: AssetSpec,
    /// Tables that the query reads.
    pub upstream: Vec<TableId>,
    /// True while nothing starts by itself.
    pub paused: bool,
    /// When it was made.
    pub created: Micros,
    /// Grows with every change.
    pub version: i64,
}

/// How an asset runs; stored as JSON with a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetSpec {
    /// Of this form: 1.
    pub version: u32,
    /// How its rows come into the table.
    pub mode: Mode,
    /// Columns that tell rows apart, for `merge`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Attempts of a task.
    pub attempts: u32,
    /// Pause before the second attempt; doubled before each further one.
    pub retry_backoff_s: u64,
    /// The longest that a task may take.
    pub timeout_s: u64,
    /// Tasks of a higher one begin first.
    pub priority: i32,
    /// What becomes of a table whose query answers other columns.
    pub on_schema_change: OnSchemaChange,
    /// When it runs by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Whether it runs when what it reads has changed.
    #[serde(default)]
    pub eager: bool,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How it is cut into partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partitioning>,
    /// Whether each partition is a task of its own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub per_partition: bool,
    /// What is said of tables that it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<Dependency>,
    /// Of so many of its last runs what they read is kept, so that they can be done again.
    #[serde(default, skip_serializing_if = "is_none")]
    pub keep_runs: u32,
}

/// A table that an asset depends on, as it is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// The id of the table.
    pub table: i64,
    /// Which of its partitions belong to which.
    #[serde(default)]
    pub mapping: Mapping,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

impl Default for AssetSpec {
    fn default() -> Self {
        Self {
            version: 1,
            mode: Mode::Replace,
            key: Vec::new(),
            attempts: 3,
            retry_backoff_s: 30,
            timeout_s: 3600,
            priority: 0,
            on_schema_change: OnSchemaChange::Evolve,
            schedule: None,
            eager: false,
            description: None,
            partition: None,
            per_partition: false,
            depends: Vec::new(),
            keep_runs: 0,
        }
    }
}

impl AssetSpec {
    /// The longest that a task may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }

    /// How it is cut, understood; `None` if it is whole.
    pub fn slices(&self) -> Result<Option<Slices>, Error> {
        self.partition.as_ref().map(Slices::of).transpose()
    }

    /// Which partitions of a table belong to which of its own.
    pub fn mapping(&self, table: TableId) -> Mapping {
        let said = self.depends.iter().find(|said| said.table == table.0);
        said.map(|said| said.mapping).unwrap_or_default()
    }

    /// True if keys of one are not keys of the other.
    pub(crate) fn is_cut_otherwise(&self, other: &Self) -> bool {
        let cut = |spec: &Self| match &spec.partition {
            None => None,
            Some(Partitioning::Time { column, period, zone, .. }) => {
                Some((column.clone(), Some((*period, zone.clone()))))
            }
            Some(Partitioning::Values { column, .. }) => Some((column.clone(), None)),
        };
        cut(self) != cut(other)
    }
}

/// How rows come into the table of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the place of those that are there.
    Replace,
    /// Beside those that are there.
    Append,
    /// In the place of those with the same key.
    Merge,
}

/// What becomes of a table whose query answers other columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnSchemaChange {
    /// It gets those that it lacks.
    Evolve,
    /// The task fails.
    Fail,
}

/// A cron schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Five or six fields, or a nickname such as `@hourly`.
    pub cron: String,
    /// The time zone in which they are read.
    pub zone: String,
    /// Whether an asset that is fresh is left alone.
    #[serde(default)]
    pub if_stale: bool,
}

/// Whose parts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartsOf {
    /// All assets.
    All,
    /// Assets that have no partitions.
    Wholes,
    /// One asset.
    Asset(Uuid),
}

/// What an asset has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetPartition {
    /// The asset.
    pub asset: Uuid,
    /// Which part of it.
    pub key: String,
    /// The last success.
    pub success: Option<Success>,
    /// The last attempt: its run, how it ended, and when.
    pub last: (Uuid, String, Micros),
}

/// A success of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    /// The run.
    pub run: Uuid,
    /// The commit with its rows.
    pub txn: Txn,
    /// The code that made them.
    pub code: [u8; 32],
    /// When.
    pub at: Micros,
    /// What was read, and at which snapshot.
    pub inputs: BTreeMap<TableId, Txn>,
}

/// A rule that rows of a table are tested by before they are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// For ever.
    pub id: Uuid,
    /// Its table.
    pub table: TableId,
    /// Its name, one of the table's.
    pub name: String,
    /// What follows if it fails.
    pub severity: Severity,
    /// The rule in its normal form, such as `NOT NULL (a, b)`.
    pub rule: String,
    /// Schemas of bare names in it.
    pub search_path: Vec<String>,
    /// When it was made.
    pub created: Micros,
}

/// What follows when a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is noted.
    Info,
    /// The same.
    Warning,
    /// Nothing is published.
    Error,
    /// Nothing is published, and the run ends.
    Critical,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// `info`, `warning`, `error`, `critical`
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// The severity of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }

    /// True if rows that fail are not published.
    pub fn blocks(self) -> bool {
        self >= Self::Error
    }
}

/// What a check said of the rows of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// The check.
    pub check: Uuid,
    /// Its name.
    pub name: String,
    /// Whether the rows are as they should be.
    pub passed: bool,
    /// Of the check.
    pub severity: Severity,
    /// What was found.
    pub value: Option<String>,
    /// What is wrong with it.
    pub message: Option<String>,
}

/// What a check said of an attempt, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRecord {
    /// Of which run and task.
    pub run: Uuid,
    /// Its key in the run.
    pub task: String,
    /// Which attempt at it.
    pub attempt: Uuid,
    /// When.
    pub at: Micros,
    /// In the commit that ended the attempt.
    pub txn: Txn,
    /// Whether the rows were as they should be.
    pub passed: bool,
    /// Of the check, then.
    pub severity: Severity,
    /// What was found.
    pub value: Option<String>,
    /// What was wrong with it.
    pub message: Option<String>,
}

/// What makes an asset run by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// For ever.
    pub id: Uuid,
    /// Its asset.
    pub asset: Uuid,
    /// `schedule`, `eager`
    pub kind: TriggerKind,
    /// `ACTIVE`, `PAUSED`, `ERROR`
    pub state: String,
    /// Changes up to here were looked at.
    pub cursor: Option<Txn>,
    /// When it is due.
    pub next: Option<Micros>,
    /// Grows with every firing.
    pub version: i64,
}

/// Kinds of triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerKind {
    /// Its time has come.
    Schedule,
    /// Something that is read has changed.
    Eager,
}

impl TriggerKind {
    /// `schedule`, `eager`
    pub fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Eager => "eager",
        }
    }
}

/// All assets, by id.
pub(crate) async fn list(inner: &Inner, scope: &Scope) -> Result<Vec<Asset>, Error> {
    let mut transaction = inner.database.read().await?;
    let assets = asset::list(&mut transaction, scope.catalog()).await?;
    transaction.rollback().await?;
    Ok(assets)
}

/// What assets have, by asset and part.
pub(crate) async fn partitions(
    inner: &Inner,
    scope: &Scope,
    of: PartsOf,
) -> Result<Vec<AssetPartition>, Error> {
    let memory = inner.memory(scope.catalog());
    // While this process alone writes, parts change by its commits only.
    let one = match of {
        PartsOf::Asset(asset) if inner.is_active() => Some(asset),
        _ => None,
    };
    let mut generation = None;
    if let Some(asset) = one {
        match memory.parts(asset) {
            (Some(known), _) => return Ok(known.to_vec()),
            (None, shown) => generation = Some((asset, shown)),
        }
    }
    let mut transaction = inner.database.read().await?;
    let partitions = asset_part::partitions(&mut transaction, scope.catalog(), of).await?;
    transaction.rollback().await?;
    if let Some((asset, shown)) = generation {
        memory.note_parts(asset, shown, &partitions);
    }
    Ok(partitions)
}

/// The last transaction that changed rows, of each of these tables that has one.
pub(crate) async fn changed(inner: &Inner, tables: &[TableId]) -> Result<BTreeMap<TableId, Txn>, Error> {
    let mut transaction = inner.database.read().await?;
    let last = crate::sql::history::last_data_txns(&mut transaction, tables).await?;
    transaction.rollback().await?;
    Ok(last.into_iter().collect())
}

/// All triggers.
pub(crate) async fn triggers(inner: &Inner, scope: &Scope) -> Result<Vec<Trigger>, Error> {
    let mut transaction = inner.database.read().await?;
    let triggers = asset::triggers(&mut transaction, scope.catalog()).await?;
    transaction.rollback().await?;
    Ok(triggers)
}

/// The checks of a table, or of all, by name.
pub(crate) async fn checks(
    inner: &Inner,
    scope: &Scope,
    table: Option<TableId>,
) -> Result<Vec<Check>, Error> {
    let mut transaction = inner.database.read().await?;
    let checks = check::checks(&mut transaction, scope.catalog(), table).await?;
    transaction.rollback().await?;
    Ok(checks)
}

/// A page of what a check said, newest first, behind the result of a time and an attempt.
pub(crate) async fn check_results(
    inner: &Inner,
    scope: &Scope,
    id: Uuid,
    page: (Option<(Micros, Uuid)>, u32),
) -> Result<Vec<CheckRecord>, Error> {
    let mut transaction = inner.database.read().await?;
    let results = check::results(&mut transaction, scope.catalog(), id, page).await?;
    transaction.rollback().await?;
    Ok(results)
}

impl Asset {
    /// True if somebody may do this with it: its owner everything, others what they were granted on its table.
    pub fn allows(&self, identity: &Identity, privilege: Privilege, table: &TableDef) -> bool {
        self.owner == identity.token.id || authorize(identity, privilege, table.object())
    }

    /// `schema.table`; its id, if the table is gone.
    pub fn full_name(&self, names: &Names) -> String {
        names.table_by_id(self.table).map_or_else(|| self.id.to_string(), |table| table.full_name())
    }
}
