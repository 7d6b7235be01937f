//! Why assets and runs are as they are, told from their rows.

use std::collections::BTreeMap;

use cenote_catalog::{Asset, AssetRun, Explained, TaskRecord, TriggerKind};
use cenote_vocab::{Micros, Scope};
use jiff::Timestamp;
use uuid::Uuid;

use crate::assets::Graph;
use crate::freshness::{Freshness, Reason};
use crate::trigger::{conditions, name, newer};
use crate::{Error, Flow};

impl Flow {
    /// How an asset is and why; its last run and an open one; when it runs next, or what keeps it from running.
    /// Of one partition, if it is named: how that is and why.
    pub async fn explain_asset(
        &self,
        scope: &Scope,
        id: Uuid,
        partition: Option<&str>,
    ) -> Result<Vec<Explained>, Error> {
        let catalog = &self.inner.lake.catalog;
        let graph = Graph::load(&self.inner, scope).await?;
        let asset = graph
            .asset(id)
            .ok_or_else(|| cenote_catalog::Error::AssetNotFound { name: id.to_string(), nearest: None })?;
        let freshness = Freshness::load(&self.inner, scope, &graph, &[id]).await?;
        let own = name(&graph, asset.table);
        if let Some(key) = partition {
            return of_partition(&graph, &freshness, asset, key);
        }
        let verdict = freshness.of(asset);
        let mut rows = vec![Explained::new("asset", &own, verdict.state.name())];
        rows.extend(verdict.reasons.iter().map(|reason| told(&graph, &own, reason)));
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
            rows.extend(of_newest(&graph, asset, &run));
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
                        Some(table) => format!("{} changed", name(&graph, *table)),
                        None => "nothing that it reads has changed since it was looked at".to_owned(),
                    }));
                    let others = conditions(&graph, &freshness, asset).into_iter();
                    rows.extend(others.map(|condition| {
                        let row = Explained::new("condition", &own, met(condition.met));
                        row.because(condition.name).with_detail(condition.detail)
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
        rows.extend(run.tasks.iter().map(of_task));
        Ok(rows)
    }
}

/// How a partition is and why, and the run that made or tried it last.
fn of_partition(
    graph: &Graph,
    freshness: &Freshness,
    asset: &Asset,
    key: &str,
) -> Result<Vec<Explained>, Error> {
    let own = name(graph, asset.table);
    let (Some(cut), Some(parts)) = (graph.cuts.get(&asset.id), freshness.parts(asset.id)) else {
        return Err(Error::Plan(format!("asset {own} has no partitions")));
    };
    let number = cut.slices.number(key)?;
    let subject = format!("{own} {}", cut.slices.key(number));
    let verdict = freshness.of_slice(asset, parts, number);
    let mut rows = vec![Explained::new("partition", &subject, verdict.state.name())];
    rows.extend(verdict.reasons.iter().map(|reason| told(graph, &subject, reason)));
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

fn met(met: bool) -> &'static str {
    if met { "met" } else { "not_met" }
}

fn told(graph: &Graph, own: &str, reason: &Reason) -> Explained {
    let row = Explained::new("reason", own, "stale").because(reason.code());
    match reason {
        Reason::NeverMaterialized => row.with_detail("no task has succeeded yet"),
        Reason::CodeChanged => row.with_detail("its recipe is another than that of its rows"),
        Reason::UpstreamChanged { table, recorded, current } => row
            .with_detail(format!("{} was read at {recorded} and changed at {current}", name(graph, *table))),
        Reason::UpstreamNeverMaterialized(table) => {
            row.with_detail(format!("{} was never materialized", name(graph, *table)))
        }
    }
}

fn of_newest(graph: &Graph, asset: &Asset, run: &AssetRun) -> Option<Explained> {
    let task = run.tasks.iter().find(|task| task.asset == asset.id)?;
    let is_open = matches!(run.state.as_str(), "PENDING" | "RUNNING" | "PAUSED" | "CANCELLING");
    let step = if is_open { "open_run" } else { "last_run" };
    let row = Explained::new(step, name(graph, asset.table), task.state.clone());
    Some(match of_task(task) {
        Explained { reason: Some(reason), detail, .. } => {
            let detail = detail.unwrap_or_else(|| reason.clone());
            row.because(reason).with_detail(format!("run {}: {detail}", run.id))
        }
        _ => row.with_detail(format!("run {}", run.id)),
    })
}

fn of_run(run: &AssetRun) -> Explained {
    let begun = match &run.actor {
        Some(actor) => format!("begun by {actor}"),
        None => run.reason.clone().unwrap_or_else(|| format!("begun by its {}", run.cause)),
    };
    Explained::new("run", run.id.to_string(), run.state.clone()).because(run.cause.clone()).with_detail(begun)
}

/// Why a task is as it is: what it waits for, what kept it from running, what went wrong.
fn of_task(task: &TaskRecord) -> Explained {
    let row = Explained::new("task", task.key.clone(), task.state.clone());
    match task.state.as_str() {
        "SKIPPED" => match &task.skipped_by {
            Some((upstream, resolution)) => {
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
