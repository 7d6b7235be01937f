//! Who runs the node's jobs: registered when the node is composed, because jobs come after SQL.

use cenote_catalog::JobExplanation;
use cenote_table::OptimizeOutcome;
use cenote_vocab::Scope;
use futures::future::BoxFuture;
use uuid::Uuid;

use crate::Error;

/// Runs jobs and tells of them.
pub trait Jobs: Send + Sync {
    /// Runs the job `name` now because `actor` asked; with `dry_run`, only says what would be done.
    fn run<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a str,
        actor: &'a str,
        dry_run: bool,
    ) -> BoxFuture<'a, Result<Vec<OptimizeOutcome>, Error>>;
    /// Why a job runs or does not.
    fn explain<'a>(&'a self, scope: &'a Scope, name: &'a str)
    -> BoxFuture<'a, Result<JobExplanation, Error>>;
    /// Ends the open runs of a job early because `actor` asked; answers which.
    fn cancel<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a str,
        actor: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, Error>>;
}
