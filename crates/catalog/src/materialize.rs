//! What is asked of assets and answered of them: statements and the doors ask, the loop answers.

use std::collections::BTreeMap;
use std::time::Duration;

use cenote_vocab::Micros;
use uuid::Uuid;

use crate::AssetPartition;

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
    /// The run that this one repeats.
    pub parent: Option<Uuid>,
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
    /// `asset`, `partition`, `partitions`, `reason`, `last_run`, `open_run`, `schedule`, `eager`, `run`, `task`
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
