//! What is asked of assets and answered of them: statements and the doors ask, the loop answers.

use std::collections::BTreeMap;
use std::time::Duration;

use cenote_vocab::{Micros, TableId, Txn};
use uuid::Uuid;

use crate::{AssetPartition, RerunKind};

/// A request for a run.
#[derive(Clone, Debug, Default)]
pub struct MaterializeRequest {
    /// What is asked for.
    pub assets: Vec<Uuid>,
    /// Also what they read.
    pub upstream: bool,
    /// Also what reads them.
    pub downstream: bool,
    /// Which partitions of those that have them.
    pub wanted: Wanted,
    /// The most partitions of a task.
    pub chunk: Option<u64>,
    /// Tasks at a time, at most.
    pub concurrency: Option<u32>,
    /// How long the run may take.
    pub timeout: Option<Duration>,
    /// What is said of the run.
    pub labels: BTreeMap<String, String>,
    /// Runs of a higher one begin first.
    pub priority: Option<i32>,
    /// The time that the run is about.
    pub logical: Option<Micros>,
    /// Only say what would be.
    pub dry_run: bool,
    /// The same key is the same run.
    pub key: Option<String>,
    /// The run that this one repeats, and how.
    pub parent: Option<(Uuid, RerunKind)>,
}

/// Which tasks of a run are run again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RerunSelection {
    /// Those that did not succeed.
    #[default]
    FromFailure,
    /// Those that are named.
    Subset {
        /// Their keys.
        tasks: Vec<String>,
        /// Also what they read.
        upstream: bool,
        /// Also what reads them.
        downstream: bool,
    },
}

/// Partitions of assets, as they are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// None are named: right for assets that have none.
    #[default]
    Nothing,
    /// These.
    Keys(Vec<String>),
    /// From one to another, both counted.
    Range(String, String),
    /// Those that are there and were never made.
    Missing,
    /// Those that were made and are not as they should be.
    Stale,
    /// Those whose last attempt failed.
    Failed,
    /// Ranges of each asset that are a task each, as texts.
    Tasks(BTreeMap<Uuid, Vec<String>>),
}

impl Wanted {
    /// The same text for the same question.
    pub fn canonical(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Keys(keys) => {
                let mut keys = keys.clone();
                keys.sort();
                keys.dedup();
                serde_json::json!({ "keys": keys }).to_string()
            }
            Self::Range(first, last) => serde_json::json!({"first": first, "last": last}).to_string(),
            Self::Missing => "missing".to_owned(),
            Self::Stale => "stale".to_owned(),
            Self::Failed => "failed".to_owned(),
            Self::Tasks(tasks) => serde_json::json!({ "tasks": tasks }).to_string(),
        }
    }
}

/// A plan, and the run that was made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// None of a dry run.
    pub run: Option<Uuid>,
    /// False if a run of the same key was there already.
    pub created: bool,
    /// Of the plan.
    pub fingerprint: String,
    /// Key and reason of each task, in an order in which they may run; of a run that was there already, by key.
    pub tasks: Vec<(String, String)>,
}

/// One row of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// `asset`, `partition`, `partitions`, `reason`, `last_run`, `open_run`, `schedule`, `eager`, `run`, `because`, `plan`, `task`,
    /// `input`
    pub step: &'static str,
    /// Of what.
    pub subject: String,
    /// A word.
    pub verdict: String,
    /// A stable word for why, if there is one.
    pub reason: Option<String>,
    /// For people.
    pub detail: Option<String>,
}

impl Explained {
    /// A row without a why.
    pub fn new(step: &'static str, subject: impl Into<String>, verdict: impl Into<String>) -> Self {
        Self { step, subject: subject.into(), verdict: verdict.into(), reason: None, detail: None }
    }

    /// With a why.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// With a text for people.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// Why an asset, or a partition of one, is as it is, as far as who asks may know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssetExplanation {
    /// `missing`, `running`, `failed`, `stale`, `fresh`
    pub state: &'static str,
    /// Why it is not fresh.
    pub reasons: Vec<StaleReason>,
    /// The last run of it that has ended.
    pub last_run: Option<RunOutline>,
    /// The run of it that goes on.
    pub open_run: Option<RunOutline>,
    /// When its schedule is due.
    pub next_tick: Option<Micros>,
    /// Whether it runs by itself after a change, if it does that.
    pub eager: Option<EagerVerdict>,
    /// All of it as rows.
    pub steps: Vec<Explained>,
}

/// Why something is not fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleReason {
    /// `UPSTREAM_CHANGED`, …
    pub code: &'static str,
    /// The table that it is about.
    pub upstream: Option<String>,
    /// At which that was read, …
    pub recorded: Option<Txn>,
    /// … and has changed.
    pub current: Option<Txn>,
    /// The last change of it, and the run of that.
    pub by: Option<(Txn, Option<Uuid>)>,
    /// For people.
    pub text: String,
}

/// A run in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutline {
    /// Its id.
    pub run: Uuid,
    /// How it is, or how it ended.
    pub state: String,
    /// When it ended.
    pub completed: Option<Micros>,
}

/// What came of looking whether an asset runs by itself after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EagerVerdict {
    /// `due`, `waiting`, `paused`
    pub verdict: &'static str,
    /// What must be so: a name, whether it is, and a text for people.
    pub conditions: Vec<(&'static str, bool, String)>,
}

/// Why a run is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunExplanation {
    /// From the run to the person or the commit that began it.
    pub because: Vec<Because>,
    /// The run before it that is about the same, and the fingerprint of its plan.
    pub previous: Option<(Uuid, Option<String>)>,
    /// In what its plan differs from that one's.
    pub difference: PlanDifference,
    /// What its first tasks read, by task key.
    pub inputs: BTreeMap<String, Vec<ReadInput>>,
    /// Attempts that did not succeed, by task key.
    pub retries: BTreeMap<String, Vec<FailedAttempt>>,
    /// All of it as rows.
    pub steps: Vec<Explained>,
}

/// Something that made something else happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    /// `person`, `schedule`, `eager`, `rerun`, `commit`
    pub kind: String,
    /// Of the person, the run or the commit.
    pub id: Option<String>,
    /// When.
    pub at: Micros,
    /// For people.
    pub text: String,
}

/// In what a plan differs from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanDifference {
    /// Keys of tasks that the other does not have.
    pub added: Vec<String>,
    /// Keys of tasks that only the other has.
    pub removed: Vec<String>,
    /// Tasks that both have.
    pub changed: Vec<PlanChange>,
}

/// What is other about a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanChange {
    /// Its key.
    pub task: String,
    /// `codeId`, `priority`, `upstreamKeys`
    pub field: &'static str,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
}

/// A table that a task read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadInput {
    /// The table.
    pub table: TableId,
    /// Its name now.
    pub name: String,
    /// The snapshot that was read.
    pub txn: Txn,
    /// The one that the same task of the run before read.
    pub previous: Option<Txn>,
    /// What changed its rows between the two, newest first, each with its run.
    pub changed_by: Vec<(Txn, Option<Uuid>)>,
}

/// An attempt that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// Which one, from 1.
    pub attempt: i64,
    /// `FAILED`, `STOPPED`, …
    pub outcome: String,
    /// Whose fault it was.
    pub category: Option<String>,
    /// The error.
    pub message: Option<String>,
    /// When it ended.
    pub at: Micros,
}

/// How a partition of an asset is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Its key.
    pub key: String,
    /// `missing`, `running`, `failed`, `stale`, `fresh`
    pub status: &'static str,
    /// The first reason why it is not fresh.
    pub reason: Option<&'static str>,
    /// What is known of it; nothing of one that was never tried.
    pub facts: Option<AssetPartition>,
}
