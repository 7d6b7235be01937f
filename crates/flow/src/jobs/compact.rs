//! `compact`: partitions with many small files, as their counters say, each in a run of its own.

use std::sync::Arc;

use cenote_catalog::{Job, TableDef};
use cenote_table::{OptimizeMode, OptimizeOutcome, Progress};
use cenote_vocab::{Micros, Scope};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::BuiltIn;
use crate::Error;
use crate::attempt::{Cause, Changed, Claim};
use crate::backlog::{Backlog, Candidate, Look, Settled, Work};
use crate::flow::Inner;

impl Inner {
    /// Looks for partitions to merge and begins with the worst; answers when to look again without any news.
    pub(crate) async fn tick_compact(
        self: &Arc<Self>,
        scope: &Scope,
        job: &Job,
        now: Micros,
    ) -> Result<Option<Micros>, Error> {
        let marks = self.with_backlog(scope, |backlog| backlog.marks());
        let look = Look::at(&self.lake, scope, now, marks).await?;
        // Each merge has a part of the memory; without a free one nothing is taken.
        let free = [Work::Flush, Work::Merge].map(|work| (work, self.free_slots(work)));
        let (due, next, files) = self.with_backlog(scope, |backlog| {
            backlog.note(look);
            let taken = free.map(|(work, slots)| {
                let due = backlog.take(now, work, slots.len());
                due.into_iter().zip(slots).collect::<Vec<_>>()
            });
            (taken.into_iter().flatten(), backlog.next_due(now), backlog.files())
        });
        self.metrics.backlog_files.set(files);
        for (candidate, slot) in due {
            let (inner, scope, job) = (Arc::clone(self), scope.clone(), job.clone());
            self.spawn(async move {
                let merged = inner.merge(&scope, &job, &candidate, Cause::Commit).await;
                let settled = match &merged {
                    Ok(Merge::Done(_)) => Settled::Done,
                    Ok(Merge::Busy) => Settled::Busy,
                    Err(error) if error.is_stop() => Settled::Busy,
                    Err(error) => {
                        tracing::warn!(%error, table = %candidate.place.0, tuple = candidate.tuple, "merge failed");
                        Settled::Failed
                    }
                };
                let now = inner.lake.clock.now();
                inner.with_backlog(&scope, |backlog| {
                    backlog.settle(&candidate, settled, now, &inner.lake.ids);
                });
                drop(slot);
            });
        }
        // A merge that ends rings: what waits for a free slot need not be looked for.
        Ok(next)
    }

    fn slots(&self, work: Work) -> &Arc<Semaphore> {
        match work {
            Work::Flush => &self.flushes,
            Work::Merge => &self.merges,
        }
    }

    fn free_slots(&self, work: Work) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| self.slots(work).clone().try_acquire_owned().ok()).collect()
    }

    /// Merges all that is due, one partition after another, because a person asked; or says what would be merged.
    pub(crate) async fn compact_now(
        self: &Arc<Self>,
        scope: &Scope,
        job: &Job,
        actor: &str,
        dry_run: bool,
    ) -> Result<Vec<OptimizeOutcome>, Error> {
        let marks = Backlog::default().marks();
        let look = Look::at(&self.lake, scope, self.lake.clock.now(), marks).await?;
        let mut outcomes = Vec::new();
        for candidate in look.into_candidates() {
            if dry_run {
                outcomes.extend(self.plan(scope, &candidate).await?.map(|(_, outcome)| outcome));
                continue;
            }
            let slot = self.slots(candidate.work).clone().acquire_owned().await;
            match self.merge(scope, job, &candidate, Cause::Person(actor.to_owned())).await? {
                Merge::Done(outcome) => outcomes.extend(outcome),
                Merge::Busy => {
                    let planned = self.plan(scope, &candidate).await?;
                    outcomes.extend(planned.map(|(_, outcome)| OptimizeOutcome {
                        action: "none",
                        reason: "another run works on it".to_owned(),
                        files_in: 0,
                        bytes_in: 0,
                        ..outcome
                    }));
                }
            }
            drop(slot);
        }
        Ok(outcomes)
    }

    /// What is due in the partition now; `None` if it, or its table, is gone.
    async fn plan(
        &self,
        scope: &Scope,
        candidate: &Candidate,
    ) -> Result<Option<(Arc<TableDef>, OptimizeOutcome)>, Error> {
        let head = self.lake.catalog.head(scope).await?;
        let names = self.lake.catalog.names(scope, head.txn).await?;
        let Some(table) = names.table_by_id(candidate.place.0) else { return Ok(None) };
        let partition = (candidate.spec_no, candidate.tuple.as_str());
        let (lake, mode, nothing) = (self.merging(), candidate.work.mode(), Progress::default());
        let planned = lake.compact_partition(scope, table, partition, mode, true, &nothing).await?;
        Ok(planned.map(|outcome| (table.clone(), outcome)))
    }

    /// One run, if there is something to do.
    async fn merge(
        self: &Arc<Self>,
        scope: &Scope,
        job: &Job,
        candidate: &Candidate,
        cause: Cause,
    ) -> Result<Merge, Error> {
        if matches!(cause, Cause::Commit) && self.lake.changing.is(candidate.place.0, self.lake.clock.now()) {
            return Ok(Merge::Busy);
        }
        let Some((table, planned)) = self.plan(scope, candidate).await? else { return Ok(Merge::Done(None)) };
        if planned.action == "none" {
            return Ok(Merge::Done(Some(planned)));
        }
        let claim = Claim {
            job: BuiltIn::Compact,
            job_id: job.id,
            subject: Some(match candidate.work {
                Work::Flush => format!("{} inline batches", planned.table),
                Work::Merge => format!("{} {}", planned.table, planned.partition),
            }),
            table: Some(table.id),
            cause,
            reason: Some(planned.reason.clone()),
            running_max: self.compactions_max(),
        };
        let (lake, candidate, of) = (self.merging(), candidate.clone(), scope.clone());
        let work = move |progress: Progress| async move {
            let partition = (candidate.spec_no, candidate.tuple.as_str());
            let mode = candidate.work.mode();
            let done = lake.compact_partition(&of, &table, partition, mode, false, &progress).await?;
            let changed = match &done {
                Some(outcome) if outcome.action != "none" => Changed::Something,
                _ => Changed::Nothing,
            };
            Ok((done, changed))
        };
        Ok(match self.attempt(scope, claim, work).await? {
            Some(done) => Merge::Done(done),
            None => Merge::Busy,
        })
    }
}

impl Work {
    fn mode(self) -> OptimizeMode {
        match self {
            Self::Flush => OptimizeMode::Inline,
            Self::Merge => OptimizeMode::Merges,
        }
    }
}

/// How a merge went.
enum Merge {
    /// What was done; `None` if the partition was gone.
    Done(Option<OptimizeOutcome>),
    /// Another run works on it, or an open transaction changes the table.
    Busy,
}
