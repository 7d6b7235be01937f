//! Statements about assets meet the loop that runs them, and its tasks meet the engine that does them.

use std::sync::Arc;

use cenote_catalog::{
    AssetExplanation, AssetRun, Category, ClaimedTask, Identity, MaterializeRequest, PartitionStatus,
    Planned, RerunSelection, RunExplanation, Schedule, TaskFailure,
};
use cenote_flow::{AssetTasks, Flow};
use cenote_query::{Assets, Engine, Error};
use cenote_vocab::{Micros, Scope, TableId, Txn};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The loop, as statements see it.
pub(crate) struct NodeAssets(pub(crate) Flow);

/// The engine, as the loop sees it.
pub(crate) struct NodeTasks(pub(crate) Engine);

impl NodeTasks {
    pub(crate) fn new(engine: Engine) -> Arc<Self> {
        Arc::new(Self(engine))
    }
}

impl AssetTasks for NodeTasks {
    fn settle<'a>(
        &'a self,
        scope: &'a Scope,
        tables: &'a [TableId],
    ) -> BoxFuture<'a, Result<(), TaskFailure>> {
        let failed = |error: Error| TaskFailure {
            category: Category::Infrastructure,
            message: error.to_string(),
            checks: Vec::new(),
            staged: None,
        };
        async move { self.0.settle(scope, tables).await.map_err(failed) }.boxed()
    }

    fn run<'a>(
        &'a self,
        scope: &'a Scope,
        task: &'a ClaimedTask,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Txn, TaskFailure>> {
        self.0.materialize(scope, task, stop).boxed()
    }
}

impl Assets for NodeAssets {
    fn check_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        self.0.check_schedule(schedule).map_err(|error| Error::of(&error))
    }

    fn materialize<'a>(
        &'a self,
        identity: &'a Identity,
        asked: MaterializeRequest,
    ) -> BoxFuture<'a, Result<Planned, Error>> {
        async move { self.0.materialize(identity, asked).await.map_err(|error| Error::of(&error)) }.boxed()
    }

    fn wait<'a>(&'a self, scope: &'a Scope, run: Uuid) -> BoxFuture<'a, Result<AssetRun, Error>> {
        async move { self.0.wait_for_run(scope, run).await.map_err(|error| Error::of(&error)) }.boxed()
    }

    fn cancel<'a>(
        &'a self,
        scope: &'a Scope,
        run: Uuid,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<(), Error>> {
        async move { self.0.cancel_run(scope, run, reason).await.map_err(|error| Error::of(&error)) }.boxed()
    }

    fn rerun<'a>(
        &'a self,
        identity: &'a Identity,
        run: Uuid,
        selection: RerunSelection,
        key: Option<String>,
    ) -> BoxFuture<'a, Result<Planned, Error>> {
        async move { self.0.rerun(identity, run, selection, key).await.map_err(|error| Error::of(&error)) }
            .boxed()
    }

    fn replay<'a>(
        &'a self,
        identity: &'a Identity,
        run: Uuid,
        key: Option<String>,
    ) -> BoxFuture<'a, Result<Planned, Error>> {
        async move { self.0.replay(identity, run, key).await.map_err(|error| Error::of(&error)) }.boxed()
    }

    fn pause<'a>(&'a self, scope: &'a Scope, run: Uuid, paused: bool) -> BoxFuture<'a, Result<(), Error>> {
        async move { self.0.pause_run(scope, run, paused).await.map_err(|error| Error::of(&error)) }.boxed()
    }

    fn partitions<'a>(
        &'a self,
        scope: &'a Scope,
        asset: Uuid,
    ) -> BoxFuture<'a, Result<(Vec<PartitionStatus>, Micros), Error>> {
        async move { self.0.partitions(scope, asset).await.map_err(|error| Error::of(&error)) }.boxed()
    }

    fn states<'a>(
        &'a self,
        scope: &'a Scope,
        of: Option<Uuid>,
    ) -> BoxFuture<'a, Result<Vec<(Uuid, &'static str)>, Error>> {
        async move { self.0.asset_states(scope, of).await.map_err(|error| Error::of(&error)) }.boxed()
    }

    fn explain_asset<'a>(
        &'a self,
        identity: &'a Identity,
        asset: Uuid,
        partition: Option<&'a str>,
    ) -> BoxFuture<'a, Result<AssetExplanation, Error>> {
        let why = self.0.explain_asset(identity, asset, partition);
        async move { why.await.map_err(|error| Error::of(&error)) }.boxed()
    }

    fn explain_run<'a>(
        &'a self,
        scope: &'a Scope,
        run: Uuid,
    ) -> BoxFuture<'a, Result<RunExplanation, Error>> {
        let rows = self.0.explain_run(scope, run);
        async move { rows.await.map_err(|error| Error::of(&error)) }.boxed()
    }
}
