//! Who runs the node's jobs: registered when the node is composed, because jobs come after SQL.

use cenote_table::OptimizeOutcome;
use cenote_vocab::Scope;
use futures::future::BoxFuture;

use crate::Error;

/// Runs jobs for `RUN JOB`.
pub trait Jobs: Send + Sync {
    /// Runs the job `name` now because `actor` asked; with `dry_run`, only says what would be done.
    fn run<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a str,
        actor: &'a str,
        dry_run: bool,
    ) -> BoxFuture<'a, Result<Vec<OptimizeOutcome>, Error>>;
}
