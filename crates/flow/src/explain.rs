//! Why assets and runs are as they are, told from their rows.

use std::collections::BTreeMap;

use cenote_catalog::{
    Asset, AssetExplanation, AssetRun, Because, EagerVerdict, Explained, FailedAttempt, Identity, Input,
    PlanDifference, ReadInput, RerunKind, RunExplanation, RunFilter, RunOutline, StaleReason, TaskRecord,
    TriggerKind, Waiting,
};
use cenote_vocab::{ErrorKind, Fault as _, Micros, Scope, TableId, Txn};
use jiff::Timestamp;
use uuid::Uuid;

use crate::assets::Graph;
use crate::difference::{Outline, difference};
use crate::freshness::{Freshness, Reason};
use crate::trigger::{conditions, newer};
use crate::{Error, Flow};

/// Tasks whose inputs an explanation tells of.
const EXPLAINED_TASKS_MAX: usize = 50;
/// The most changes of one input that are told.
const CHANGES_MAX: u32 = 100;
/// The most reruns of reruns that are followed back.
const CAUSES_MAX: usize = 20;
/// The most runs before an open one among which one that has ended is looked for.
const EARLIER_RUNS_MAX: u32 = 100;

impl Flow {
    /// How an asset is and why; its last run and an open one; when it runs next, or what keeps it from running.
    /// Of one partition, if it is named: how that is and why. What the principal may not know of is not named.
    pub async fn explain_asset(
        &self,
        identity: &Identity,
        id: Uuid,
        partition: Option<&str>,
    ) -> Result<AssetExplanation, Error> {
        let scope = &identity.scope;
        let graph = Graph::load(&self.inner, scope).await?;
        let asset = graph
            .asset(id)
            .ok_or_else(|| cenote_catalog::Error::AssetNotFound { name: id.to_string(), nearest: None })?;
        let freshness = Freshness::load(&self.inner, scope, &graph, &[id]).await?;
        let told = Told { graph: &graph, identity };
        let (mut why, reasons) = match partition {
            Some(key) => told.of_partition(&freshness, asset, key)?,
            None => self.of_whole(&told, &freshness, asset).await?,
        };
        for reason in &reasons {
            why.reasons.push(self.stale_reason(&told, reason).await?);
        }
        Ok(why)
    }

    async fn of_whole(
        &self,
        told: &Told<'_>,
        freshness: &Freshness,
        asset: &Asset,
    ) -> Result<(AssetExplanation, Vec<Reason>), Error> {
        let (catalog, scope) = (&self.inner.lake.catalog, &told.identity.scope);
        let own = told.name(asset.table);
        let verdict = freshness.of(asset);
        let mut why = AssetExplanation { state: verdict.state.name(), ..AssetExplanation::default() };
        let rows = &mut why.steps;
        rows.push(Explained::new("asset", &own, verdict.state.name()));
        rows.extend(verdict.reasons.iter().map(|reason| told.reason(&own, reason)));
        if let Some(parts) = freshness.parts(asset.id) {
            let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
            for number in Freshness::numbers(parts)?.numbers() {
                *counts.entry(freshness.of_slice(asset, parts, number).state.name()).or_default() += 1;
            }
            rows.extend(counts.iter().map(|(state, count)| {
                Explained::new("partitions", &own, *state).with_detail(count.to_string())
            }));
        }
        if let Some(run) = catalog.newest_run_of(scope, asset.id).await? {
            rows.extend(told.newest(asset, &run));
            if is_open(&run.state) {
                why.last_run = self.ended_before(scope, asset, &run).await?;
                why.open_run = Some(outline(run));
            } else {
                why.last_run = Some(outline(run));
            }
        }
        for trigger in catalog.triggers(scope).await?.iter().filter(|trigger| trigger.asset == asset.id) {
            match trigger.kind {
                TriggerKind::Schedule => {
                    why.next_tick = trigger.next;
                    let row = Explained::new("schedule", &own, trigger.state.to_lowercase());
                    why.steps.push(match trigger.next {
                        Some(next) => row.with_detail(format!("due at {}", time(next))),
                        None => row,
                    });
                }
                TriggerKind::Eager => {
                    let changed = self.inner.changes(scope, asset.upstream.iter().copied()).await?;
                    let news = newer(asset, &changed, trigger.cursor.unwrap_or_default());
                    let verdict = match (trigger.state.as_str(), news.is_empty()) {
                        ("ACTIVE", false) => "due",
                        ("ACTIVE", true) => "waiting",
                        _ => "paused",
                    };
                    let changed = match news.keys().next() {
                        Some(table) => format!("{} changed", told.name(*table)),
                        None => "nothing that it reads has changed since it was looked at".to_owned(),
                    };
                    let mut all = vec![("upstream_changed", !news.is_empty(), changed)];
                    all.extend(conditions(told.graph, freshness, asset).into_iter().map(|condition| {
                        (condition.name, condition.met, condition.detail(told.name(condition.table)))
                    }));
                    why.steps.push(Explained::new("eager", &own, verdict));
                    why.steps.extend(all.iter().map(|(name, is_met, detail)| {
                        Explained::new("condition", &own, met(*is_met)).because(*name).with_detail(detail)
                    }));
                    why.eager = Some(EagerVerdict { verdict, conditions: all });
                }
            }
        }
        Ok((why, verdict.reasons))
    }

    /// The last run of an asset that has ended, behind one that goes on.
    async fn ended_before(
        &self,
        scope: &Scope,
        asset: &Asset,
        open: &AssetRun,
    ) -> Result<Option<RunOutline>, Error> {
        let wanted = RunFilter {
            asset: Some(asset.id),
            after: Some((open.created, open.id)),
            limit: EARLIER_RUNS_MAX,
            ..RunFilter::default()
        };
        let earlier = self.inner.lake.catalog.asset_runs(scope, &wanted).await?;
        Ok(earlier.into_iter().map(|(run, _)| run).find(|run| !is_open(&run.state)).map(outline))
    }

    async fn stale_reason(&self, told: &Told<'_>, reason: &Reason) -> Result<StaleReason, Error> {
        let mut stale = StaleReason {
            code: reason.code(),
            upstream: None,
            recorded: None,
            current: None,
            by: None,
            text: told.reason("", reason).detail.unwrap_or_default(),
        };
        match reason {
            Reason::NeverMaterialized | Reason::CodeChanged => {}
            Reason::UpstreamNeverMaterialized(table) => stale.upstream = told.known(*table),
            Reason::UpstreamChanged { table, recorded, current } => {
                (stale.recorded, stale.current) = (Some(*recorded), Some(*current));
                stale.upstream = told.known(*table);
                if stale.upstream.is_some() {
                    let (catalog, scope) = (&self.inner.lake.catalog, &told.identity.scope);
                    let changes = catalog.row_changes(scope, *table, (*recorded, *current), 1).await?;
                    stale.by = changes.first().copied();
                }
            }
        }
        Ok(stale)
    }

    /// What began a run, in what its plan differs from that of the run before, how each of its tasks is and what it read.
    pub async fn explain_run(&self, scope: &Scope, id: Uuid) -> Result<RunExplanation, Error> {
        let catalog = &self.inner.lake.catalog;
        let record = catalog.run(scope, id).await?;
        if record.kind != "asset" {
            return self.explain_record(scope, &record).await;
        }
        let run = catalog.asset_run(scope, id).await?;
        let before = catalog.asset_run_before(scope, &run).await?;
        let difference = match &before {
            Some(before) => {
                let old = Outline::of(before, catalog.asset_run_edges(scope, before.id).await?);
                difference(&old, &Outline::of(&run, catalog.asset_run_edges(scope, id).await?))
            }
            None => PlanDifference::default(),
        };
        let because = self.because(scope, &run).await?;
        let inputs = self.inputs(scope, &run, before.as_ref()).await?;
        let mut retries: BTreeMap<String, Vec<FailedAttempt>> = BTreeMap::new();
        for (key, attempt) in catalog.failed_attempts(scope, id).await? {
            retries.entry(key).or_default().push(attempt);
        }
        let mut steps = vec![of_run(&run)];
        steps.extend(because.iter().skip(1).map(of_cause));
        steps.extend(before.as_ref().map(|before| of_plan(before, &difference)).into_iter().flatten());
        for task in &run.tasks {
            steps.push(of_task(task, str::to_owned));
            steps.extend(inputs.get(&task.key).into_iter().flatten().map(|input| of_input(task, input)));
        }
        let previous = before.map(|before| (before.id, before.fingerprint));
        Ok(RunExplanation { because, previous, difference, inputs, retries, steps })
    }

    /// From a run to the person or the commit that began it.
    async fn because(&self, scope: &Scope, run: &AssetRun) -> Result<Vec<Because>, Error> {
        let catalog = &self.inner.lake.catalog;
        let (mut causes, mut run) = (Vec::new(), run.clone());
        while let (Some(parent), true) = (run.parent, causes.len() < CAUSES_MAX) {
            let how = match run.rerun {
                Some(RerunKind::Replay) => "done again as run",
                Some(RerunKind::Subset) => "begun again with some tasks of run",
                _ => "begun again from the failure of run",
            };
            causes.push(Because {
                kind: "rerun".to_owned(),
                id: Some(parent.to_string()),
                at: run.created,
                text: format!("{how} {parent} by {}", run.actor.as_deref().unwrap_or("the node")),
            });
            run = match catalog.asset_run(scope, parent).await {
                Ok(parent) => parent,
                // It is forgotten; nothing is known of what was before.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(causes),
                Err(error) => return Err(error.into()),
            };
        }
        let text = begun(&run);
        causes.push(Because { kind: run.cause.clone(), id: run.actor.clone(), at: run.created, text });
        if run.cause == TriggerKind::Eager.name()
            && let Some(commit) = self.change_before(scope, &run).await?
        {
            causes.push(commit);
        }
        Ok(causes)
    }

    /// The newest change of what the asset of a run reads, as of when the run was made.
    async fn change_before(&self, scope: &Scope, run: &AssetRun) -> Result<Option<Because>, Error> {
        let catalog = &self.inner.lake.catalog;
        let assets = catalog.assets(scope).await?;
        let Some(asset) = assets.iter().find(|asset| Some(asset.id) == run.asset) else { return Ok(None) };
        let until = catalog.txn_at(scope, run.created).await?;
        let mut newest = None;
        for table in &asset.upstream {
            let change = catalog.row_changes(scope, *table, (Txn(0), until), 1).await?;
            newest = newest.max(change.first().map(|(txn, _)| *txn));
        }
        let Some(txn) = newest else { return Ok(None) };
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

    /// What the first tasks of a run read, and what had changed since the same tasks of the run before read it.
    async fn inputs(
        &self,
        scope: &Scope,
        run: &AssetRun,
        before: Option<&AssetRun>,
    ) -> Result<BTreeMap<String, Vec<ReadInput>>, Error> {
        let catalog = &self.inner.lake.catalog;
        let names = catalog.names(scope, catalog.head(scope).await?.txn).await?;
        let done = run.tasks.iter().filter_map(|task| Some((task, task.output?)));
        let mut inputs = BTreeMap::new();
        for (task, output) in done.take(EXPLAINED_TASKS_MAX) {
            let same = before.and_then(|before| before.tasks.iter().find(|known| known.key == task.key));
            let earlier = match same.and_then(|same| same.output) {
                Some(output) => self.read(scope, output).await?,
                None => BTreeMap::new(),
            };
            let mut read = Vec::new();
            for (table, txn) in self.read(scope, output).await? {
                let previous = earlier.get(&table).copied();
                let changed_by = match previous {
                    Some(previous) => catalog.row_changes(scope, table, (previous, txn), CHANGES_MAX).await?,
                    None => Vec::new(),
                };
                let name = names.table_by_id(table);
                let name = name.map_or_else(|| format!("dropped table {table}"), |table| table.full_name());
                read.push(ReadInput { table, name, txn, previous, changed_by });
            }
            inputs.insert(task.key.clone(), read);
        }
        Ok(inputs)
    }

    /// The tables that a transaction read, and at which snapshot.
    async fn read(&self, scope: &Scope, txn: Txn) -> Result<BTreeMap<TableId, Txn>, Error> {
        let facts = self.inner.lake.catalog.transaction(scope, txn).await?;
        let inputs = facts.map(|facts| facts.inputs).unwrap_or_default();
        let table = |input: &Input| {
            let (table, txn) = (input.node.parse().ok()?, input.to.as_ref()?.parse().ok()?);
            Some((TableId(table), Txn(txn)))
        };
        Ok(inputs.iter().filter_map(table).collect())
    }
}

/// What is told to somebody.
struct Told<'a> {
    graph: &'a Graph,
    identity: &'a Identity,
}

impl Told<'_> {
    /// The name of the table, if it may be known.
    fn known(&self, table: TableId) -> Option<String> {
        let known = self.graph.names.table_by_id(table).filter(|table| table.is_known_to(self.identity));
        known.map(|table| table.full_name())
    }

    /// The same, or words for one that may not.
    fn name(&self, table: TableId) -> String {
        self.known(table).unwrap_or_else(|| "a table that you may not know of".to_owned())
    }

    /// How a partition is and why, and the run that made or tried it last.
    fn of_partition(
        &self,
        freshness: &Freshness,
        asset: &Asset,
        key: &str,
    ) -> Result<(AssetExplanation, Vec<Reason>), Error> {
        let own = self.name(asset.table);
        let (Some(cut), Some(parts)) = (self.graph.cuts.get(&asset.id), freshness.parts(asset.id)) else {
            return Err(Error::Plan(format!("asset {own} has no partitions")));
        };
        let number = cut.slices.number(key)?;
        let subject = format!("{own} {}", cut.slices.key(number));
        let verdict = freshness.of_slice(asset, parts, number);
        let mut why = AssetExplanation { state: verdict.state.name(), ..AssetExplanation::default() };
        let rows = &mut why.steps;
        rows.push(Explained::new("partition", &subject, verdict.state.name()));
        rows.extend(verdict.reasons.iter().map(|reason| self.reason(&subject, reason)));
        let Some(part) = parts.known.get(&number) else { return Ok((why, verdict.reasons)) };
        if let Some(success) = &part.success {
            let detail = format!("run {}: its rows are transaction {}", success.run, success.txn);
            rows.push(Explained::new("last_success", &subject, "SUCCEEDED").with_detail(detail));
        }
        let (run, outcome, at) = &part.last;
        rows.push(
            Explained::new("last_run", &subject, outcome.clone())
                .with_detail(format!("run {run}, ended {}", time(*at))),
        );
        why.last_run = Some(RunOutline { run: *run, state: outcome.clone(), completed: Some(*at) });
        Ok((why, verdict.reasons))
    }

    fn reason(&self, own: &str, reason: &Reason) -> Explained {
        let row = Explained::new("reason", own, "stale").because(reason.code());
        match reason {
            Reason::NeverMaterialized => row.with_detail("no task has succeeded yet"),
            Reason::CodeChanged => row.with_detail("its recipe is another than that of its rows"),
            Reason::UpstreamChanged { table, recorded, current } => {
                let table = self.name(*table);
                row.with_detail(format!("{table} was read at {recorded} and changed at {current}"))
            }
            Reason::UpstreamNeverMaterialized(table) => {
                row.with_detail(format!("{} was never materialized", self.name(*table)))
            }
        }
    }

    fn newest(&self, asset: &Asset, run: &AssetRun) -> Option<Explained> {
        let task = run.tasks.iter().find(|task| task.asset == asset.id)?;
        let step = if is_open(&run.state) { "open_run" } else { "last_run" };
        let row = Explained::new(step, self.name(asset.table), task.state.clone());
        let known = |key: &str| {
            let asset =
                run.tasks.iter().find(|task| task.key == key).and_then(|task| self.graph.asset(task.asset));
            asset.map_or_else(|| key.to_owned(), |asset| self.name(asset.table))
        };
        Some(match of_task(task, known) {
            Explained { reason: Some(reason), detail, .. } => {
                let detail = detail.unwrap_or_else(|| reason.clone());
                row.because(reason).with_detail(format!("run {}: {detail}", run.id))
            }
            _ => row.with_detail(format!("run {}", run.id)),
        })
    }
}

fn is_open(state: &str) -> bool {
    matches!(state, "PENDING" | "RUNNING" | "PAUSED" | "CANCELLING")
}

fn outline(run: AssetRun) -> RunOutline {
    RunOutline { run: run.id, state: run.state, completed: run.completed }
}

fn met(met: bool) -> &'static str {
    if met { "met" } else { "not_met" }
}

fn begun(run: &AssetRun) -> String {
    match &run.actor {
        Some(actor) => format!("begun by {actor}"),
        None => run.reason.clone().unwrap_or_else(|| format!("begun by its {}", run.cause)),
    }
}

fn of_run(run: &AssetRun) -> Explained {
    Explained::new("run", run.id.to_string(), run.state.clone())
        .because(run.cause.clone())
        .with_detail(begun(run))
}

fn of_cause(cause: &Because) -> Explained {
    Explained::new("because", cause.id.clone().unwrap_or_default(), cause.kind.clone())
        .with_detail(&cause.text)
}

/// In what a plan differs from that of the run before.
fn of_plan(before: &AssetRun, difference: &PlanDifference) -> Vec<Explained> {
    let verdict = if *difference == PlanDifference::default() { "same" } else { "changed" };
    let mut rows = vec![Explained::new("plan", format!("run {}", before.id), verdict)];
    let only = |keys: &[String], verdict: &str| -> Vec<Explained> {
        keys.iter().map(|key| Explained::new("plan", key, verdict)).collect()
    };
    rows.extend(only(&difference.added, "added"));
    rows.extend(only(&difference.removed, "removed"));
    rows.extend(difference.changed.iter().map(|change| {
        let row = Explained::new("plan", &change.task, "changed").because(change.field);
        row.with_detail(format!("{} is {} now", change.from, change.to))
    }));
    rows
}

fn of_input(task: &TaskRecord, input: &ReadInput) -> Explained {
    let (verdict, detail) = match (input.previous, input.changed_by.as_slice()) {
        (None, _) => ("read", format!("{} at {}", input.name, input.txn)),
        (Some(previous), []) => {
            ("same", format!("{} at {}, unchanged since {previous}", input.name, input.txn))
        }
        (Some(previous), changes) => {
            let changes: Vec<String> = changes.iter().map(|(txn, _)| txn.to_string()).collect();
            let by = changes.join(", ");
            ("changed", format!("{} at {}, changed since {previous} by {by}", input.name, input.txn))
        }
    };
    Explained::new("input", &task.key, verdict).with_detail(detail)
}

/// Why a task is as it is: what it waits for, what kept it from running, what went wrong. `known`: how another task is called.
fn of_task(task: &TaskRecord, known: impl Fn(&str) -> String) -> Explained {
    let row = Explained::new("task", task.key.clone(), task.state.clone());
    if let Some(waiting) = task.waiting {
        let detail = match waiting {
            Waiting::Upstream => "tasks before it are not done".to_owned(),
            Waiting::RetryAt => {
                let error = task.error.clone().unwrap_or_default();
                let at = task.not_before.map_or_else(String::new, |at| format!(", again at {}", time(at)));
                format!("attempt {} failed: {error}{at}", task.attempt)
            }
            Waiting::Paused => "its run is paused".to_owned(),
            Waiting::AssetBusy => "another task makes its asset".to_owned(),
            Waiting::Slots => "as many tasks run as may, of its run or of all".to_owned(),
        };
        return row.because(waiting.name()).with_detail(detail);
    }
    match task.state.as_str() {
        "SKIPPED" => match &task.skipped_by {
            Some((upstream, resolution)) => {
                let upstream = known(upstream);
                row.because("upstream").with_detail(format!("{upstream} is {}", resolution.to_lowercase()))
            }
            None => row.because("upstream"),
        },
        "FAILED" | "CANCELLED" => {
            row.because(task.reason.clone()).with_detail(task.error.clone().unwrap_or_default())
        }
        _ => {
            let row = row.because(task.reason.clone());
            match task.output {
                Some(txn) => row.with_detail(format!("its rows are transaction {txn}")),
                None => row,
            }
        }
    }
}

fn time(at: Micros) -> String {
    Timestamp::from_microsecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}
