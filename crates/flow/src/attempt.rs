//! One run: claimed, watched, ended.

use std::time::{Duration, Instant};

use cenote_catalog::{NewRun, RunEnd, RunOf};
use cenote_table::Progress;
use cenote_vocab::{Scope, TableId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Error;
use crate::flow::Inner;
use crate::jobs::BuiltIn;

/// How often a run's row says what it did so far.
const NOTE_INTERVAL: Duration = Duration::from_secs(5);

/// What began a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Something was committed, or became cold.
    Commit,
    /// Its time had come.
    Schedule,
    /// Somebody asked for it.
    Person(String),
}

/// A run of a job that is under way.
#[derive(Debug)]
pub(crate) struct JobRun {
    pub(crate) job: Uuid,
    /// Who ended it early.
    cancelled_by: Option<String>,
    stop: CancellationToken,
}

impl JobRun {
    /// Asks the run to end early; answers its id.
    pub(crate) fn cancel(&mut self, id: Uuid, actor: &str) -> Uuid {
        self.cancelled_by = Some(actor.to_owned());
        self.stop.cancel();
        id
    }
}

/// What a run is to work on.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) job: BuiltIn,
    pub(crate) job_id: Uuid,
    pub(crate) subject: Option<String>,
    pub(crate) table: Option<TableId>,
    pub(crate) cause: Cause,
    pub(crate) reason: Option<String>,
    pub(crate) running_max: u32,
}

impl Inner {
    /// Claims a run, does `work` in it and ends it. `None` if another run works on the subject, or too many are open.
    ///
    /// `work` answers whether it changed anything; a run that did not leaves no row.
    pub(crate) async fn attempt<T: Send + 'static, W>(
        &self,
        scope: &Scope,
        claim: Claim,
        work: impl FnOnce(Progress) -> W + Send,
    ) -> Result<Option<T>, Error>
    where
        W: Future<Output = Result<(T, Changed), Error>> + Send + 'static,
    {
        let (cause, actor) = match claim.cause {
            Cause::Commit => ("commit", None),
            Cause::Schedule => ("schedule", None),
            Cause::Person(actor) => ("person", Some(actor)),
        };
        let new = NewRun {
            id: self.lake.ids.uuid(),
            job: claim.job_id,
            subject: claim.subject,
            table: claim.table,
            cause,
            actor,
            reason: claim.reason,
            executor: self.executor,
            running_max: claim.running_max,
        };
        if self.lake.catalog.claim_run(scope, &new).await?.is_none() {
            return Ok(None);
        }
        let started = Instant::now();
        let stop = self.working(scope).child_token();
        let run = JobRun { job: claim.job_id, cancelled_by: None, stop: stop.clone() };
        self.job_runs.lock().insert(new.id, run);
        let progress = Progress::until(stop).of_run(RunOf::Open(new.id));
        // On a task of its own: a panic ends the run, and whoever asked for it may go.
        let task = self.tasks.spawn(work(progress.clone()));
        let outcome = self.watch(scope, new.id, &progress, task).await;
        let run = self.job_runs.lock().remove(&new.id);
        let (end, word) = match &outcome {
            Ok((_, Changed::Something)) => (RunEnd::Succeeded, "succeeded"),
            Ok((_, Changed::Nothing)) => (RunEnd::Nothing, "nothing"),
            Err(error) if error.is_stop() => {
                let why = match run.and_then(|run| run.cancelled_by) {
                    Some(actor) => format!("cancelled by {actor}"),
                    None if self.stop.is_cancelled() => "the node stops".to_owned(),
                    None => "the tenant was halted".to_owned(),
                };
                (RunEnd::Cancelled(why), "cancelled")
            }
            Err(error) => (RunEnd::Failed(error.to_string()), "failed"),
        };
        let counts = progress.counts();
        self.metrics.ended(claim.job.name(), word, started.elapsed());
        if claim.job == BuiltIn::Compact {
            self.metrics.merged(counts);
        }
        let ended = self.lake.catalog.end_run(scope, new.id, self.executor, counts, &end).await;
        let (value, _) = outcome?;
        ended?;
        Ok(Some(value))
    }

    /// Waits for the work, and notes its progress now and then.
    async fn watch<T>(
        &self,
        scope: &Scope,
        run: Uuid,
        progress: &Progress,
        task: tokio::task::JoinHandle<Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::pin!(task);
        let mut noted = progress.counts();
        loop {
            tokio::select! {
                joined = &mut task => {
                    return joined.map_err(|error| Error::Internal(format!("the run's task ended: {error}")))?;
                }
                () = tokio::time::sleep(NOTE_INTERVAL) => {}
            }
            let counts = progress.counts();
            if counts != noted {
                noted = counts;
                if let Err(error) = self.lake.catalog.note_run(scope, run, self.executor, counts).await {
                    tracing::debug!(%error, %run, "progress is not noted");
                }
            }
        }
    }
}

/// Whether a run did anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Something,
    Nothing,
}
