//! Who runs the node's assets: registered when the node is composed, because what makes them run comes after SQL.

use cenote_catalog::{
    AssetExplanation, AssetRun, Identity, MaterializeRequest, PartitionStatus, Planned, RerunSelection,
    RunExplanation, Schedule,
};
use cenote_vocab::{Micros, Scope};
use futures::future::BoxFuture;
use uuid::Uuid;

use crate::Error;

/// Plans, begins and explains runs of assets. The caller has checked who may do what, but for what a plan reaches.
pub trait Assets: Send + Sync {
    /// Fails if a schedule cannot be understood.
    fn check_schedule(&self, schedule: &Schedule) -> Result<(), Error>;
    /// Plans a run, and begins it unless it is only asked what it would be. `Denied` if the principal may not run all of it.
    fn materialize<'a>(
        &'a self,
        identity: &'a Identity,
        asked: MaterializeRequest,
    ) -> BoxFuture<'a, Result<Planned, Error>>;
    /// Returns when the run is at its end.
    fn wait<'a>(&'a self, scope: &'a Scope, run: Uuid) -> BoxFuture<'a, Result<AssetRun, Error>>;
    /// Ends a run: what has not begun does not begin, what runs ends early.
    fn cancel<'a>(&'a self, scope: &'a Scope, run: Uuid, reason: &'a str)
    -> BoxFuture<'a, Result<(), Error>>;
    /// Begins a run of tasks of another; the same key is the same run.
    fn rerun<'a>(
        &'a self,
        identity: &'a Identity,
        run: Uuid,
        selection: RerunSelection,
        key: Option<String>,
    ) -> BoxFuture<'a, Result<Planned, Error>>;
    /// Begins a run that does what the tasks of another did, on what they read; the same key is the same run.
    fn replay<'a>(
        &'a self,
        identity: &'a Identity,
        run: Uuid,
        key: Option<String>,
    ) -> BoxFuture<'a, Result<Planned, Error>>;
    /// Lets no further task of a run begin, or lets them again.
    fn pause<'a>(&'a self, scope: &'a Scope, run: Uuid, paused: bool) -> BoxFuture<'a, Result<(), Error>>;
    /// Every partition of an asset that is there or was ever tried, in order; and when that was so.
    fn partitions<'a>(
        &'a self,
        scope: &'a Scope,
        asset: Uuid,
    ) -> BoxFuture<'a, Result<(Vec<PartitionStatus>, Micros), Error>>;
    /// How every asset is, or one of them: `missing`, `running`, `failed`, `stale`, `fresh`.
    fn states<'a>(
        &'a self,
        scope: &'a Scope,
        of: Option<Uuid>,
    ) -> BoxFuture<'a, Result<Vec<(Uuid, &'static str)>, Error>>;
    /// Why an asset is as it is, or one partition of it, as far as the principal may know.
    fn explain_asset<'a>(
        &'a self,
        identity: &'a Identity,
        asset: Uuid,
        partition: Option<&'a str>,
    ) -> BoxFuture<'a, Result<AssetExplanation, Error>>;
    /// Why a run is as it is.
    fn explain_run<'a>(&'a self, scope: &'a Scope, run: Uuid)
    -> BoxFuture<'a, Result<RunExplanation, Error>>;
}
