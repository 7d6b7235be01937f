//! Jobs that look for work every so often, and rest longer after each failure.

use std::sync::Arc;

use cenote_catalog::Job;
use cenote_table::{OptimizeOutcome, Progress};
use cenote_vocab::{Fault, Micros, Scope};

use super::BuiltIn;
use crate::Error;
use crate::attempt::{Cause, Changed, Claim};
use crate::backoff::retry_at;
use crate::flow::Inner;

impl Inner {
    /// Begins a run if its time has come; answers when it comes again, `None` while the job runs, because its end rings.
    pub(crate) fn tick_scheduled(
        self: &Arc<Self>,
        scope: &Scope,
        kind: BuiltIn,
        job: &Job,
        now: Micros,
    ) -> Option<Micros> {
        if let Some(next) = job.next.filter(|next| *next > now) {
            return Some(next);
        }
        let place = (scope.catalog(), kind);
        if !self.scheduled.lock().insert(place) {
            return None;
        }
        let (inner, scope, job) = (Arc::clone(self), scope.clone(), job.clone());
        self.spawn(async move {
            let ran = inner.run_scheduled(&scope, kind, &job, Cause::Schedule).await;
            let ended_early = ran.as_ref().is_err_and(Error::is_stop);
            if !(ended_early && inner.working(&scope).is_cancelled()) {
                inner.rest(&scope, kind, &job, ran.as_ref().err().filter(|_| !ended_early)).await;
            }
            inner.scheduled.lock().remove(&place);
        });
        None
    }

    /// One run, if no other is open. What it did; nothing if another is.
    pub(crate) async fn run_scheduled(
        self: &Arc<Self>,
        scope: &Scope,
        kind: BuiltIn,
        job: &Job,
        cause: Cause,
    ) -> Result<Option<Vec<OptimizeOutcome>>, Error> {
        let claim = Claim {
            job: kind,
            job_id: job.id,
            subject: None,
            table: None,
            cause,
            reason: None,
            running_max: 1,
        };
        // What was published is a row of its own: a run every half a minute would only hide the others.
        let quiet = kind == BuiltIn::Publish && claim.cause == Cause::Commit;
        let (inner, of) = (Arc::clone(self), scope.clone());
        let work = move |progress: Progress| async move {
            let outcomes = inner.do_scheduled(&of, kind, false, &progress).await?;
            let changed = if !quiet && outcomes.iter().any(|outcome| outcome.action != "none") {
                Changed::Something
            } else {
                Changed::Nothing
            };
            Ok((outcomes, changed))
        };
        self.attempt(scope, claim, work).await
    }

    /// The work itself, or what it would be.
    pub(crate) async fn do_scheduled(
        &self,
        scope: &Scope,
        kind: BuiltIn,
        dry_run: bool,
        progress: &Progress,
    ) -> Result<Vec<OptimizeOutcome>, Error> {
        match kind {
            BuiltIn::Expire => self.expire(scope, dry_run, progress).await,
            BuiltIn::Publish => self.publish(scope, dry_run, progress).await,
            BuiltIn::Orphans => self.collect_orphans(scope, dry_run, progress).await,
            BuiltIn::Retention => self.expire_rows(scope, dry_run, progress).await,
            BuiltIn::Compact => Err(Error::Internal("compact has no schedule".to_owned())),
        }
    }

    /// Notes when the job looks for work next.
    async fn rest(&self, scope: &Scope, kind: BuiltIn, job: &Job, failed: Option<&Error>) {
        let now = self.lake.clock.now();
        let (next, failures) = match failed {
            None => (now.plus(kind.every().unwrap_or_default()), 0),
            Some(error) => {
                tracing::warn!(%error, kind = ?error.kind(), job = kind.name(), "job failed; it is tried again");
                let failures = job.failures.saturating_add(1);
                (retry_at(now, failures.unsigned_abs(), &self.lake.ids), failures)
            }
        };
        let noted = self.lake.catalog.note_job_checked(scope, job.id, now, Some(next), failures).await;
        if let Err(error) = noted {
            tracing::warn!(%error, job = kind.name(), "the job's next time is not noted");
        }
    }
}
