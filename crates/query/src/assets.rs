//! Who runs the node's assets: registered when the node is composed, because what makes them run comes after SQL.

use std::collections::BTreeMap;
use std::time::Duration;

use cenote_catalog::{AssetPartition, AssetRun, Schedule};
use cenote_vocab::{Micros, Scope};
use futures::future::BoxFuture;
use uuid::Uuid;

use crate::Error;

/// Plans, begins and explains runs of assets. The caller has checked who may do what.
pub trait Assets: Send + Sync {
    /// Fails if a schedule cannot be understood.
    fn check_schedule(&self, schedule: &Schedule) -> Result<(), Error>;
    /// Plans a run, and begins it unless it is only asked what it would be.
    fn materialize<'a>(
        &'a self,
        scope: &'a Scope,
        asked: MaterializeRequest,
    ) -> BoxFuture<'a, Result<PlannedRun, Error>>;
    /// Returns when the run is at its end.
    fn wait<'a>(&'a self, scope: &'a Scope, run: Uuid) -> BoxFuture<'a, Result<AssetRun, Error>>;
    /// Ends a run: what has not begun does not begin, what runs ends early.
    fn cancel<'a>(&'a self, scope: &'a Scope, run: Uuid, reason: &'a str)
    -> BoxFuture<'a, Result<(), Error>>;
    /// Begins a run of the tasks of another that did not succeed.
    fn rerun<'a>(
        &'a self,
        scope: &'a Scope,
        run: Uuid,
        actor: &'a str,
    ) -> BoxFuture<'a, Result<PlannedRun, Error>>;
    /// Lets no further task of a run begin, or lets them again.
    fn pause<'a>(&'a self, scope: &'a Scope, run: Uuid, paused: bool) -> BoxFuture<'a, Result<(), Error>>;
    /// Every partition of an asset that is there or was ever tried, in order; and when that was so.
    fn partitions<'a>(
        &'a self,
        scope: &'a Scope,
        asset: Uuid,
    ) -> BoxFuture<'a, Result<(Vec<PartitionState>, Micros), Error>>;
    /// How every asset is: `missing`, `running`, `failed`, `stale`, `fresh`.
    fn states<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<(Uuid, &'static str)>, Error>>;
    /// Why an asset is as it is, or one partition of it.
    fn explain_asset<'a>(
        &'a self,
        scope: &'a Scope,
        asset: Uuid,
        partition: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Explanation>, Error>>;
    /// Why a run is as it is.
    fn explain_run<'a>(
        &'a self,
        scope: &'a Scope,
        run: Uuid,
    ) -> BoxFuture<'a, Result<Vec<Explanation>, Error>>;
}

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
    pub partitions: WantedPartitions,
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
    /// Who asks.
    pub actor: String,
    /// Only say what would be.
    pub dry_run: bool,
    /// The same key is the same run.
    pub key: Option<String>,
}

/// Which partitions are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WantedPartitions {
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
}

/// How a partition of an asset is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Its key.
    pub key: String,
    /// `missing`, `running`, `failed`, `stale`, `fresh`
    pub status: &'static str,
    /// The first reason why it is not fresh.
    pub reason: Option<&'static str>,
    /// What is known of it; nothing of one that was never tried.
    pub facts: Option<AssetPartition>,
}

/// A plan, and the run that was made of it.
#[derive(Clone, Debug, Default)]
pub struct PlannedRun {
    /// None of a dry run.
    pub run: Option<Uuid>,
    /// False if a run of the same key was there already.
    pub created: bool,
    /// Of the plan.
    pub fingerprint: String,
    /// Key and reason of each task, in an order in which they may run.
    pub tasks: Vec<(String, String)>,
}

/// One row of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What is explained: `asset`, `partition`, `reason`, `run`, `task`, `schedule`, …
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
