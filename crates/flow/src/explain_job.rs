//! Why jobs run or do not, and what their runs did: told from rows, and from what would be done now.

use std::collections::BTreeMap;

use cenote_catalog::{
    Because, Explained, Job, JobExplanation, PlanDifference, RunCounts, RunExplanation, RunFilter, RunRecord,
};
use cenote_table::OptimizeOutcome;
use cenote_vocab::{Micros, Scope, Txn};
use jiff::Timestamp;

use crate::{BuiltIn, Error, Flow};

/// Places that an explanation names of those where something is due.
const DUE_MAX: usize = 50;
/// Open runs of a job that are told of.
const OPEN_MAX: u32 = 50;

/// Whether a job would do something now.
enum Duty {
    /// It is held.
    Paused,
    /// The configuration keeps it from running by itself.
    Off(&'static str),
    /// There is something to do, or it will look for it at once.
    Due(Vec<OptimizeOutcome>),
    /// It looks for work then.
    At(Micros),
    /// There is nothing to do.
    Nothing(String),
}

impl Duty {
    /// A word, and a text for people.
    fn told(&self) -> (&'static str, String) {
        match self {
            Self::Paused => ("paused", "nothing begins by itself until it is resumed".to_owned()),
            Self::Off(key) => ("off", format!("{key} keeps it from running by itself")),
            Self::Due(places) if places.is_empty() => ("due", "it looks for work at once".to_owned()),
            Self::Due(places) => ("due", format!("there is something to do in {} places", places.len())),
            Self::At(next) => ("waiting", format!("it looks for work at {}", time(*next))),
            Self::Nothing(why) => ("nothing_due", why.clone()),
        }
    }
}

impl Flow {
    /// How a job is: what it would do now or why it does nothing, its open runs and the last one, when it is due next.
    pub async fn explain_job(&self, scope: &Scope, name: &str) -> Result<JobExplanation, Error> {
        let catalog = &self.inner.lake.catalog;
        let job = catalog.job(scope, name).await?;
        let of = ("job", Some(job.id));
        let running = Some("RUNNING".to_owned());
        let open = RunFilter { state: running, limit: OPEN_MAX, ..RunFilter::default() };
        let open = catalog.runs(scope, of, &open).await?;
        // One more than are open: among them is one that ended, if there is any.
        let limit = u32::try_from(open.len()).unwrap_or(OPEN_MAX) + 1;
        let newest = catalog.runs(scope, of, &RunFilter { limit, ..RunFilter::default() }).await?;
        let last = newest.into_iter().find(|run| run.completed.is_some());
        let duty = self.duty(scope, &job).await?;
        let (verdict, text) = match (&duty, open.is_empty()) {
            (_, false) => ("running", format!("{} runs are open", open.len())),
            (duty, true) => duty.told(),
        };
        let mut steps = vec![Explained::new("job", &job.name, verdict).with_detail(text)];
        if job.failures > 0 {
            let detail = format!("{} times since the last success", job.failures);
            steps.push(Explained::new("failures", &job.name, "failing").with_detail(detail));
        }
        let every = BuiltIn::of_name(&job.name).and_then(BuiltIn::every);
        let trigger = every.map_or_else(
            || "looks for work when something is committed".to_owned(),
            |every| format!("looks for work every {} s", every.as_secs()),
        );
        let (word, text) = duty.told();
        steps.push(Explained::new("schedule", &job.name, word).because(text).with_detail(trigger));
        if let Duty::Due(places) = &duty {
            steps.extend(places.iter().take(DUE_MAX).map(|due| {
                let subject = format!("{} {}", due.table, due.partition);
                Explained::new("due", subject.trim(), due.action).with_detail(&due.reason)
            }));
        }
        if job.name == BuiltIn::Publish.name()
            && let Some(newest) = catalog.newest_publication(scope).await?
        {
            let row = Explained::new("publication", format!("manifest {}", newest.manifest_id), "published");
            let at = time(newest.published);
            steps.push(row.with_detail(format!("everything up to transaction {}, at {at}", newest.txn)));
        }
        steps.extend(open.iter().map(|run| of_run("open_run", run)));
        steps.extend(last.iter().map(|run| of_run("last_run", run)));
        let due = match duty {
            Duty::At(next) => Some(next),
            _ => job.next.filter(|_| !job.paused),
        };
        Ok(JobExplanation { state: verdict, due, open, last, steps, job })
    }

    async fn duty(&self, scope: &Scope, job: &Job) -> Result<Duty, Error> {
        let (inner, now) = (&self.inner, self.inner.lake.clock.now());
        let Some(kind) = BuiltIn::of_name(&job.name) else {
            return Err(Error::Internal(format!("job {} is not built in", job.name)));
        };
        if job.paused {
            return Ok(Duty::Paused);
        }
        match kind {
            BuiltIn::Compact => {
                let mut places = inner.compact_now(scope, job, "", true).await?;
                places.retain(|place| place.action != "none");
                Ok(match places.is_empty() {
                    true => Duty::Nothing("no partition has enough small files or deleted rows".to_owned()),
                    false => Duty::Due(places),
                })
            }
            BuiltIn::Publish if inner.options.publish_interval.is_zero() => {
                Ok(Duty::Off("metadata.publish_interval = 0"))
            }
            BuiltIn::Publish => {
                let head = inner.lake.catalog.head(scope).await?.txn;
                let shown = inner.lake.catalog.newest_publication(scope).await?.map(|newest| newest.txn);
                Ok(match (shown, inner.next_publication(scope)) {
                    (Some(shown), _) if shown >= head => {
                        Duty::Nothing(format!("everything up to transaction {shown} is published"))
                    }
                    (_, Some(next)) if next > now => Duty::At(next),
                    _ => Duty::Due(Vec::new()),
                })
            }
            BuiltIn::Retention if !inner.options.retention_enabled => {
                Ok(Duty::Off("retention.enabled = false"))
            }
            BuiltIn::Expire | BuiltIn::Orphans | BuiltIn::Retention => Ok(match job.next {
                Some(next) if next > now => Duty::At(next),
                _ => Duty::Due(Vec::new()),
            }),
        }
    }

    /// What began a run that is none of assets, what it did, and how it ended.
    pub(crate) async fn explain_record(
        &self,
        scope: &Scope,
        run: &RunRecord,
    ) -> Result<RunExplanation, Error> {
        let catalog = &self.inner.lake.catalog;
        let mut because = vec![Because {
            kind: run.cause.clone(),
            id: run.actor.clone(),
            at: run.started,
            text: begun(run),
        }];
        let mut steps = vec![
            Explained::new("run", run.id.to_string(), run.state.clone())
                .because(run.cause.clone())
                .with_detail(begun(run)),
        ];
        if run.cause == "commit"
            && let Some(commit) = self.commit_before(scope, run).await?
        {
            let row = Explained::new("because", commit.id.clone().unwrap_or_default(), commit.kind.clone());
            steps.push(row.with_detail(&commit.text));
            because.push(commit);
        }
        if run.kind == "job" {
            let job = catalog.jobs(scope).await?.into_iter().find(|job| job.id == run.object);
            let state = job.as_ref().map_or("dropped", |job| if job.paused { "paused" } else { "active" });
            steps.push(Explained::new("job", job.map_or_else(String::new, |job| job.name), state));
        }
        let did = if run.completed.is_some() { "did" } else { "does" };
        let subject = run.subject.clone().unwrap_or_default();
        steps.push(Explained::new("work", subject, did).with_detail(done(&run.counts)));
        if let Some(txn) = run.counts.txn
            && let Some(facts) = catalog.transaction(scope, txn).await?
        {
            steps.push(Explained::new("commit", txn.to_string(), facts.operation));
        }
        if let Some(completed) = run.completed {
            let end = Explained::new("end", run.id.to_string(), run.state.clone());
            let at = format!("at {}", time(completed));
            steps.push(match &run.error {
                Some(error) => end.because(error.clone()).with_detail(at),
                None => end.with_detail(at),
            });
        }
        Ok(RunExplanation {
            because,
            previous: None,
            difference: PlanDifference::default(),
            inputs: BTreeMap::new(),
            retries: BTreeMap::new(),
            steps,
        })
    }

    /// The newest commit before a run began: of the table that it works on, if it is one.
    async fn commit_before(&self, scope: &Scope, run: &RunRecord) -> Result<Option<Because>, Error> {
        let catalog = &self.inner.lake.catalog;
        let until = match catalog.txn_at(scope, run.started).await {
            // It is forgotten by now.
            Err(cenote_catalog::Error::SnapshotExpired(_)) => return Ok(None),
            until => until?,
        };
        let txn = match run.table {
            Some(table) => {
                let change = catalog.row_changes(scope, table, (Txn(0), until), 1).await?;
                change.first().map(|(txn, _)| *txn)
            }
            None => Some(until),
        };
        let Some(txn) = txn else { return Ok(None) };
        let facts = catalog.transaction(scope, txn).await?;
        Ok(facts.map(|facts| Because {
            kind: "commit".to_owned(),
            id: Some(txn.to_string()),
            at: facts.committed,
            text: match facts.actor {
                Some(actor) => format!("{} by {actor}", facts.operation),
                None => facts.operation,
            },
        }))
    }
}

/// Why a run began.
fn begun(run: &RunRecord) -> String {
    let by = match (&run.actor, run.cause.as_str()) {
        (Some(actor), _) => format!("begun by {actor}"),
        (None, "person") => "begun by a statement".to_owned(),
        (None, "commit") => "begun because something was committed".to_owned(),
        (None, "schedule") => "begun because its time had come".to_owned(),
        (None, "start") => "begun with the node".to_owned(),
        (None, other) => format!("begun by its {other}"),
    };
    match &run.reason {
        Some(reason) => format!("{by}: {reason}"),
        None => by,
    }
}

/// What a run did, in words.
fn done(counts: &RunCounts) -> String {
    let files = |files: u64, bytes: u64| format!("{files} files of {bytes} bytes");
    let (read, written) =
        (files(counts.files_in, counts.bytes_in), files(counts.files_out, counts.bytes_out));
    let moved = match (counts.files_in, counts.files_out) {
        (0, 0) => None,
        (0, _) => Some(format!("{written} were written")),
        (_, 0) => Some(format!("{read} went")),
        (_, _) => Some(format!("{read} became {written}")),
    };
    let txn = counts.txn.map(|txn| format!("the last commit is transaction {txn}"));
    match [moved, txn].into_iter().flatten().reduce(|moved, txn| format!("{moved}; {txn}")) {
        Some(text) => text,
        None => "nothing was changed so far".to_owned(),
    }
}

fn of_run(step: &'static str, run: &RunRecord) -> Explained {
    let mut detail = format!("{}; {}", begun(run), done(&run.counts));
    if let Some(error) = &run.error {
        detail.push_str("; ");
        detail.push_str(error);
    }
    if let Some(completed) = run.completed {
        detail.push_str(&format!("; ended {}", time(completed)));
    }
    Explained::new(step, run.id.to_string(), run.state.clone()).because(run.cause.clone()).with_detail(detail)
}

fn time(at: Micros) -> String {
    Timestamp::from_microsecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}
