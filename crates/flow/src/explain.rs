//! Why assets and runs are as they are, told from their rows.

use std::collections::BTreeMap;

use cenote_catalog::{Asset, AssetRun, Explained, Identity, TaskRecord, TriggerKind};
use cenote_vocab::{Micros, Scope, TableId};
use jiff::Timestamp;
use uuid::Uuid;

use crate::assets::Graph;
use crate::freshness::{Freshness, Reason};
use crate::trigger::{conditions, newer};
use crate::{Error, Flow};

impl Flow {
    /// How an asset is and why; its last run and an open one; when it runs next, or what keeps it from running.
    /// Of one partition, if it is named: how that is and why. What the principal may not know of is not named.
    pub async fn explain_asset(
        &self,
        identity: &Identity,
        id: Uuid,
        partition: Option<&str>,
    ) -> Result<Vec<Explained>, Error> {
        let (catalog, scope) = (&self.inner.lake.catalog, &identity.scope);
        let graph = Graph::load(&self.inner, scope).await?;
        let asset = graph
            .asset(id)
            .ok_or_else(|| cenote_catalog::Error::AssetNotFound { name: id.to_string(), nearest: None })?;
        let freshness = Freshness::load(&self.inner, scope, &graph, &[id]).await?;
        let told = Told { graph: &graph, identity };
        let own = told.name(asset.table);
        if let Some(key) = partition {
            return told.of_partition(&freshness, asset, key);
        }
        let verdict = freshness.of(asset);
        let mut rows = vec![Explained::new("asset", &own, verdict.state.name())];
        rows.extend(verdict.reasons.iter().map(|reason| told.reason(&own, reason)));
        if let Some(parts) = freshness.parts(id) {
            let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
            for number in Freshness::numbers(parts)?.numbers() {
                *counts.entry(freshness.of_slice(asset, parts, number).state.name()).or_default() += 1;
            }
            rows.extend(counts.iter().map(|(state, count)| {
                Explained::new("partitions", &own, *state).with_detail(count.to_string())
            }));
        }
        if let Some(run) = catalog.newest_run_of(scope, id).await? {
            rows.extend(told.newest(asset, &run));
        }
        for trigger in catalog.triggers(scope).await?.iter().filter(|trigger| trigger.asset == id) {
            match trigger.kind {
                TriggerKind::Schedule => {
                    let row = Explained::new("schedule", &own, trigger.state.to_lowercase());
                    rows.push(match trigger.next {
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
                    rows.push(Explained::new("eager", &own, verdict));
                    let is_changed = Explained::new("condition", &own, met(!news.is_empty()));
                    rows.push(is_changed.because("upstream_changed").with_detail(match news.keys().next() {
                        Some(table) => format!("{} changed", told.name(*table)),
                        None => "nothing that it reads has changed since it was looked at".to_owned(),
                    }));
                    let others = conditions(&graph, &freshness, asset).into_iter();
                    rows.extend(others.map(|condition| {
                        let row = Explained::new("condition", &own, met(condition.met));
                        row.because(condition.name).with_detail(condition.detail(told.name(condition.table)))
                    }));
                }
            }
        }
        Ok(rows)
    }

    /// What began a run, and how each of its tasks is.
    pub async fn explain_run(&self, scope: &Scope, id: Uuid) -> Result<Vec<Explained>, Error> {
        let run = self.inner.lake.catalog.asset_run(scope, id).await?;
        let mut rows = vec![of_run(&run)];
        rows.extend(run.tasks.iter().map(|task| of_task(task, str::to_owned)));
        Ok(rows)
    }
}

/// What is told to somebody.
struct Told<'a> {
    graph: &'a Graph,
    identity: &'a Identity,
}

impl Told<'_> {
    /// The table, if it may be known.
    fn name(&self, table: TableId) -> String {
        let known = self.graph.names.table_by_id(table).filter(|table| table.is_known_to(self.identity));
        known.map_or_else(|| "a table that you may not know of".to_owned(), |table| table.full_name())
    }

    /// How a partition is and why, and the run that made or tried it last.
    fn of_partition(&self, freshness: &Freshness, asset: &Asset, key: &str) -> Result<Vec<Explained>, Error> {
        let own = self.name(asset.table);
        let (Some(cut), Some(parts)) = (self.graph.cuts.get(&asset.id), freshness.parts(asset.id)) else {
            return Err(Error::Plan(format!("asset {own} has no partitions")));
        };
        let number = cut.slices.number(key)?;
        let subject = format!("{own} {}", cut.slices.key(number));
        let verdict = freshness.of_slice(asset, parts, number);
        let mut rows = vec![Explained::new("partition", &subject, verdict.state.name())];
        rows.extend(verdict.reasons.iter().map(|reason| self.reason(&subject, reason)));
        let Some(part) = parts.known.get(&number) else { return Ok(rows) };
        if let Some(success) = &part.success {
            let detail = format!("run {}: its rows are transaction {}", success.run, success.txn);
            rows.push(Explained::new("last_success", &subject, "SUCCEEDED").with_detail(detail));
        }
        let (run, outcome, at) = &part.last;
        rows.push(
            Explained::new("last_run", &subject, outcome.clone())
                .with_detail(format!("run {run}, ended {}", time(*at))),
        );
        Ok(rows)
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
        let is_open = matches!(run.state.as_str(), "PENDING" | "RUNNING" | "PAUSED" | "CANCELLING");
        let step = if is_open { "open_run" } else { "last_run" };
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

fn met(met: bool) -> &'static str {
    if met { "met" } else { "not_met" }
}

fn of_run(run: &AssetRun) -> Explained {
    let begun = match &run.actor {
        Some(actor) => format!("begun by {actor}"),
        None => run.reason.clone().unwrap_or_else(|| format!("begun by its {}", run.cause)),
    };
    Explained::new("run", run.id.to_string(), run.state.clone()).because(run.cause.clone()).with_detail(begun)
}

/// Why a task is as it is: what it waits for, what kept it from running, what went wrong. `known`: how another task is called.
fn of_task(task: &TaskRecord, known: impl Fn(&str) -> String) -> Explained {
    let row = Explained::new("task", task.key.clone(), task.state.clone());
    match task.state.as_str() {
        "SKIPPED" => match &task.skipped_by {
            Some((upstream, resolution)) => {
                let upstream = known(upstream);
                row.because("upstream").with_detail(format!("{upstream} is {}", resolution.to_lowercase()))
            }
            None => row.because("upstream"),
        },
        "BLOCKED" => row.because("upstream").with_detail("tasks before it are not done"),
        "WAITING" => {
            let error = task.error.clone().unwrap_or_default();
            let at = task.not_before.map_or_else(String::new, |at| format!(", again at {}", time(at)));
            row.because("retry_at").with_detail(format!("attempt {} failed: {error}{at}", task.attempt))
        }
        "READY" => {
            row.because("slots").with_detail("it waits for a free slot, or for another run of its asset")
        }
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
