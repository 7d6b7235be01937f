//! `RUN JOB` and `EXPLAIN JOB` meet the jobs of the node: SQL stands before them in the journey, so they are put together here.

use cenote_catalog::JobExplanation;
use cenote_flow::Flow;
use cenote_query::{Error, Jobs};
use cenote_table::OptimizeOutcome;
use cenote_vocab::Scope;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use uuid::Uuid;

/// The jobs of this node.
pub(crate) struct NodeJobs(pub(crate) Flow);

impl Jobs for NodeJobs {
    fn run<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a str,
        actor: &'a str,
        dry_run: bool,
    ) -> BoxFuture<'a, Result<Vec<OptimizeOutcome>, Error>> {
        let run = self.0.run_job(scope, name, actor, dry_run);
        async move { run.await.map_err(|error| Error::of(&error)) }.boxed()
    }

    fn explain<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a str,
    ) -> BoxFuture<'a, Result<JobExplanation, Error>> {
        let told = self.0.explain_job(scope, name);
        async move { told.await.map_err(|error| Error::of(&error)) }.boxed()
    }

    fn cancel<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a str,
        actor: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, Error>> {
        let cancelled = self.0.cancel_job(scope, name, actor);
        async move { cancelled.await.map_err(|error| Error::of(&error)) }.boxed()
    }
}
