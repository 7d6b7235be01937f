//! `publish`: the catalog's metadata as files, when something was committed, but not more often than the interval.

use std::sync::Arc;
use std::time::Duration;

use cenote_catalog::Job;
use cenote_table::{OptimizeOutcome, Progress, Published};
use cenote_vocab::{CatalogId, Micros, Scope, Txn};

use super::BuiltIn;
use crate::Error;
use crate::attempt::Cause;
use crate::backoff::retry_at;
use crate::flow::Inner;

/// How often old manifests and files are looked for.
const COLLECT_INTERVAL: Duration = Duration::from_secs(3600);

/// How far the metadata of one catalog is published, as this process knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// Everything up to here is published.
    shown: Txn,
    /// When the pass began that published it.
    shown_at: Micros,
    /// No pass by itself before this.
    next: Micros,
    /// Failed passes since the last good one.
    failures: u32,
    /// When old manifests were looked for.
    collected: Option<Micros>,
}

impl Inner {
    /// Begins a pass if something was committed since the last one and its time has come; answers when to look again.
    pub(crate) fn tick_publish(self: &Arc<Self>, scope: &Scope, job: &Job, now: Micros) -> Option<Micros> {
        let head = self.heads.lock().get(&scope.catalog()).map_or(Txn(0), |(_, head)| *head);
        self.note_lag(now);
        if self.options.publish_interval.is_zero() {
            return None;
        }
        let pace = self.publications.lock().get(&scope.catalog()).copied();
        match pace {
            // A commit makes the next look worthwhile, and nothing else does.
            Some(pace) if pace.failures == 0 && pace.shown >= head => return None,
            Some(pace) if pace.next > now => return Some(pace.next),
            _ => {}
        }
        let place = (scope.catalog(), BuiltIn::Publish);
        if !self.scheduled.lock().insert(place) {
            return None;
        }
        let (inner, scope, job) = (Arc::clone(self), scope.clone(), job.clone());
        self.spawn(async move {
            let ran = inner.run_scheduled(&scope, BuiltIn::Publish, &job, Cause::Commit).await;
            inner.settle_publish(&scope, (head, now), ran);
            inner.scheduled.lock().remove(&place);
        });
        None
    }

    fn settle_publish(
        &self,
        scope: &Scope,
        (head, began): (Txn, Micros),
        ran: Result<Option<Vec<OptimizeOutcome>>, Error>,
    ) {
        let now = self.lake.clock.now();
        let mut publications = self.publications.lock();
        let pace = publications.entry(scope.catalog()).or_default();
        pace.next = began.plus(self.options.publish_interval);
        match ran {
            Ok(Some(outcomes)) if outcomes.iter().all(|outcome| outcome.reason != BUSY) => {
                (pace.shown, pace.shown_at, pace.failures) = (pace.shown.max(head), began, 0);
            }
            // Somebody else publishes just now.
            Ok(_) => {}
            Err(error) if error.is_stop() => {}
            Err(error) => {
                tracing::warn!(%error, tenant = scope.tenant(), "publishing metadata failed; it is tried again");
                pace.failures = pace.failures.saturating_add(1);
                pace.next = retry_at(now, pace.failures, &self.lake.ids);
            }
        }
    }

    /// The pass itself, and now and then the collection of what is old.
    pub(crate) async fn publish(
        &self,
        scope: &Scope,
        dry_run: bool,
        progress: &Progress,
    ) -> Result<Vec<OptimizeOutcome>, Error> {
        let published = self.lake.publish_metadata(scope, dry_run).await?;
        let mut outcomes = vec![told(&published, dry_run, progress)];
        let now = self.lake.clock.now();
        let due = {
            let mut publications = self.publications.lock();
            let pace = publications.entry(scope.catalog()).or_default();
            let due = pace.collected.is_none_or(|collected| now.since(collected) >= COLLECT_INTERVAL);
            if due && !dry_run {
                pace.collected = Some(now);
            }
            due && !dry_run
        };
        if due {
            let (files, bytes) = self.lake.collect_metadata(scope).await?;
            progress.add((files, bytes), (0, 0), None);
            if files > 0 {
                outcomes.push(outcome(
                    "deleted",
                    "no manifest that is kept names them",
                    (files, bytes),
                    (0, 0),
                ));
            }
        }
        Ok(outcomes)
    }

    /// No pass begins by itself before this; `None` if this process has made none so far.
    pub(crate) fn next_publication(&self, scope: &Scope) -> Option<Micros> {
        self.publications.lock().get(&scope.catalog()).map(|pace| pace.next)
    }

    /// For how long commits have been waiting to be published, of the tenant that waits longest.
    fn note_lag(&self, now: Micros) {
        let heads = self.heads.lock();
        let publications = self.publications.lock();
        let lag = |catalog: &CatalogId, pace: &Pace| {
            let newest = heads.get(catalog).map_or(Txn(0), |(_, head)| *head);
            if newest > pace.shown && pace.shown_at > Micros(0) {
                now.since(pace.shown_at)
            } else {
                Duration::ZERO
            }
        };
        let longest = publications.iter().map(|(catalog, pace)| lag(catalog, pace)).max();
        self.metrics.publish_lag.set(longest.unwrap_or_default().as_secs_f64());
    }
}

const BUSY: &str = "another process publishes";

fn told(published: &Published, dry_run: bool, progress: &Progress) -> OptimizeOutcome {
    match published {
        Published::New { publication, files, bytes } => {
            if !dry_run {
                progress.add((0, 0), (*files, *bytes), None);
            }
            let reason = format!("manifest {}", publication.manifest_id);
            let told = outcome("publish", &reason, (0, 0), (*files, *bytes));
            OptimizeOutcome { txn: Some(publication.txn), ..told }
        }
        Published::Unchanged => outcome("none", "nothing changed", (0, 0), (0, 0)),
        Published::Busy => outcome("none", BUSY, (0, 0), (0, 0)),
    }
}

fn outcome(action: &'static str, reason: &str, read: (u64, u64), written: (u64, u64)) -> OptimizeOutcome {
    OptimizeOutcome {
        table: String::new(),
        partition: String::new(),
        action,
        reason: reason.to_owned(),
        files_in: read.0,
        bytes_in: read.1,
        files_out: written.0,
        bytes_out: written.1,
        txn: None,
    }
}
