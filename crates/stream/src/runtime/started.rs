//! One start of a pipeline, until it stops: a run, whose commits are the epochs.

use cenote_catalog::{Catalog, Pipeline, PipelineStart, RunCounts, RunEnd};
use cenote_vocab::{Ids, Scope, Txn};
use uuid::Uuid;

use crate::Error;

/// What started a pipeline.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    /// A statement.
    Person,
    /// The node began, or the tenant goes on.
    Start,
}

/// A start, and how far it got.
pub(super) struct Started {
    cause: Cause,
    executor: Uuid,
    /// Its run, once that is in the catalog.
    run: Option<Uuid>,
    counts: RunCounts,
}

impl Started {
    pub(super) fn new(cause: Cause, ids: &Ids) -> Self {
        Self { cause, executor: ids.uuid(), run: None, counts: RunCounts::default() }
    }

    /// The run. The first call makes it.
    pub(super) async fn run(
        &mut self,
        (catalog, ids): (&Catalog, &Ids),
        scope: &Scope,
        pipeline: &Pipeline,
    ) -> Result<Uuid, Error> {
        if let Some(run) = self.run {
            return Ok(run);
        }
        let start = PipelineStart {
            id: ids.uuid(),
            pipeline: pipeline.id,
            name: pipeline.full_name(),
            cause: match self.cause {
                Cause::Person => "person",
                Cause::Start => "start",
            },
            executor: self.executor,
        };
        catalog.begin_pipeline_run(scope, &start).await?;
        self.run = Some(start.id);
        Ok(start.id)
    }

    /// An epoch was committed.
    pub(super) fn committed(&mut self, txn: Txn) {
        self.counts.txn = Some(txn);
    }

    /// Ends the run. One whose end cannot be noted is ended by the next start, or by the next process.
    pub(super) async fn end(&self, catalog: &Catalog, scope: &Scope, end: &RunEnd) {
        let Some(run) = self.run else { return };
        if let Err(error) = catalog.end_run(scope, run, self.executor, self.counts, end).await {
            tracing::info!(%run, %error, "the end of a pipeline's run was not noted");
        }
    }
}
