//! Failures of pipelines, the last of them remembered.

use std::collections::VecDeque;

use cenote_catalog::Pipeline;
use cenote_query::PipelineFailure;
use cenote_vocab::{CatalogId, Epoch, ErrorKind, Fault, Micros, Scope};
use parking_lot::Mutex;

use crate::Error;

/// Failures that a node remembers.
const FAILURES_MAX: usize = 1_000;

/// The last failures of a node's pipelines, oldest first.
#[derive(Default)]
pub(super) struct Failures(Mutex<VecDeque<(CatalogId, PipelineFailure)>>);

impl Failures {
    pub(super) fn note(
        &self,
        scope: &Scope,
        pipeline: &Pipeline,
        (at, epoch): (Micros, Epoch),
        error: &Error,
        retries: bool,
    ) {
        let failure = PipelineFailure {
            at,
            id: pipeline.id,
            name: (pipeline.schema.clone(), pipeline.name.clone()),
            epoch,
            domain: domain(error.kind()),
            message: error.to_string(),
            retries,
        };
        let mut failures = self.0.lock();
        if failures.len() == FAILURES_MAX {
            failures.pop_front();
        }
        failures.push_back((scope.catalog(), failure));
    }

    /// Those of a tenant.
    pub(super) fn of(&self, scope: &Scope) -> Vec<PipelineFailure> {
        let failures = self.0.lock();
        let of_tenant = failures.iter().filter(|(catalog, _)| *catalog == scope.catalog());
        of_tenant.map(|(_, failure)| failure.clone()).collect()
    }
}

/// Who can help.
fn domain(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid
        | ErrorKind::Unauthenticated
        | ErrorKind::Denied
        | ErrorKind::NotFound
        | ErrorKind::Unsupported => "user",
        ErrorKind::Conflict | ErrorKind::Unavailable | ErrorKind::Exhausted | ErrorKind::Cancelled => {
            "external"
        }
        ErrorKind::Corrupt | ErrorKind::Internal => "internal",
    }
}
