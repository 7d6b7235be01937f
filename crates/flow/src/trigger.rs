//! Triggers: what makes assets run by itself. A firing, its tick and its run are one commit, so that none is fired twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cenote_catalog::{Asset, FlowChange, SliceRange, Tick, Trigger, TriggerKind};
use cenote_vocab::{Micros, Scope, TableId, Txn};
use uuid::Uuid;

use crate::Error;
use crate::assets::Graph;
use crate::flow::Inner;
use crate::freshness::{Freshness, State};
use crate::schedule::{CATCH_UP, CATCH_UP_MAX, Cadence};

/// Times of one schedule that were missed and are not made up for are noted one by one, up to so many …
const SKIPPED_MAX: usize = 500;
/// … and counted, of those from before the last day, up to so many.
const COUNTED_MAX: usize = 100_000;
/// Why they are not made up for.
const TOO_LATE: &str = "catchup_limit";
/// A change of what is read begins at most one run of an asset in this time.
const EAGER_INTERVAL: Duration = Duration::from_secs(1);

impl Inner {
    /// Fires what is due; answers when something is due next.
    pub(crate) async fn fire(self: &Arc<Self>, scope: &Scope, now: Micros) -> Result<Option<Micros>, Error> {
        let mut active = self.lake.catalog.triggers(scope).await?;
        active.retain(|trigger| trigger.state == "ACTIVE");
        if active.is_empty() {
            return Ok(None);
        }
        let graph = Graph::load(self, scope).await?;
        // What is read first: who reads two assets that the same change begins finds both of them in the making.
        let heights = heights(&graph);
        active.sort_by_key(|trigger| heights.get(&trigger.asset).copied());
        let mut next = None;
        for trigger in active {
            let Some(asset) = graph.asset(trigger.asset) else { continue };
            let due = match trigger.kind {
                TriggerKind::Schedule => self.fire_schedule(scope, &graph, asset, &trigger, now).await,
                TriggerKind::Eager => self.fire_eager(scope, &graph, asset, &trigger, now).await,
            };
            match due {
                Ok(due) => next = [next, due].into_iter().flatten().min(),
                // Another loop was first, or somebody changed it: the next pass sees how it is.
                Err(Error::Catalog(cenote_catalog::Error::TriggerGone(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(next)
    }

    async fn fire_schedule(
        &self,
        scope: &Scope,
        graph: &Graph,
        asset: &Asset,
        trigger: &Trigger,
        now: Micros,
    ) -> Result<Option<Micros>, Error> {
        let Some(schedule) = &asset.spec.schedule else { return Ok(None) };
        let cadence = match Cadence::of(schedule) {
            Ok(cadence) => cadence,
            Err(error) => {
                let reason = Some(error.to_string());
                let tick = Tick { reason, ..tick(trigger, "FAILED", format!("failed {}", trigger.version)) };
                self.commit_flow(scope, "tick", None, FlowChange::Tick(tick)).await?;
                return Ok(None);
            }
        };
        let Some(due) = trigger.next else {
            // It is new, or goes on after a pause: what was due before is not made up for.
            let next = cadence.after(now);
            let noted = Tick { next, ..tick(trigger, "TRIGGERED", String::new()) };
            self.commit_flow(scope, "tick", None, FlowChange::Tick(noted)).await?;
            return Ok(next);
        };
        if due > now {
            return Ok(Some(due));
        }
        let missed = Missed::until(now, &cadence, due);
        self.skip(scope, (trigger, &cadence), &missed).await?;
        let first = trigger.version + i64::try_from(missed.skipped.len()).unwrap_or(0);
        // Each firing makes the trigger a version newer.
        for (version, at) in (first..).zip(missed.due) {
            let fired = Tick { version, ..due_tick(trigger, "TRIGGERED", (&cadence, at)) };
            let slices = newest(graph, asset, at);
            let skipped = match &slices {
                None => Some("no_partition"),
                Some(slices) if schedule.if_stale && self.is_fresh(scope, graph, asset, slices).await? => {
                    Some("fresh")
                }
                Some(_) => None,
            };
            let change = match skipped {
                Some(reason) => {
                    FlowChange::Tick(Tick { status: "SKIPPED", reason: Some(reason.into()), ..fired })
                }
                None => {
                    let wanted = (asset, slices.unwrap_or_default());
                    let mut run = self.run_of_one(scope, graph, wanted, ("schedule", fired))?;
                    run.reason = Some(format!("schedule {} in {}", schedule.cron, schedule.zone));
                    FlowChange::CreateRun(Box::new(run))
                }
            };
            self.commit_flow(scope, "tick", None, change).await?;
        }
        Ok(cadence.after(now))
    }

    /// Notes the times that are not made up for, all in one commit.
    async fn skip(
        &self,
        scope: &Scope,
        (trigger, cadence): (&Trigger, &Cadence),
        missed: &Missed,
    ) -> Result<(), Error> {
        if missed.skipped.is_empty() {
            return Ok(());
        }
        let ticks = (trigger.version..).zip(&missed.skipped).enumerate().map(|(place, (version, at))| {
            let reason = match (place, missed.unlisted) {
                (0, unlisted) if unlisted > 0 => format!("{TOO_LATE}, as {unlisted} before it"),
                _ => TOO_LATE.to_owned(),
            };
            let skipped = due_tick(trigger, "SKIPPED", (cadence, *at));
            FlowChange::Tick(Tick { version, reason: Some(reason), ..skipped })
        });
        self.commit_together(scope, ("tick", None), None, ticks.collect()).await?;
        Ok(())
    }

    async fn fire_eager(
        &self,
        scope: &Scope,
        graph: &Graph,
        asset: &Asset,
        trigger: &Trigger,
        now: Micros,
    ) -> Result<Option<Micros>, Error> {
        let changed = self.changes(scope, asset.upstream.iter().copied()).await?;
        let seen = trigger.cursor.unwrap_or_default();
        let news = newer(asset, &changed, seen);
        if news.is_empty() {
            return Ok(None);
        }
        if let Some(next) = trigger.next.filter(|next| *next > now) {
            return Ok(Some(next));
        }
        let freshness = Freshness::load(self, scope, graph, &[asset.id]).await?;
        let conditions = conditions(graph, &freshness, asset);
        if conditions.iter().any(|condition| !condition.met) {
            return Ok(None); // the end of a run is a commit: that is when to look again
        }
        let newest = news.values().max().copied().unwrap_or(seen);
        let names: Vec<String> = news.keys().map(|table| name(graph, *table)).collect();
        let fired = Tick {
            next: Some(now.plus(EAGER_INTERVAL)),
            cursor: Some(newest),
            conditions: Some(as_json(graph, &conditions)),
            ..tick(trigger, "TRIGGERED", format!("txn {newest}"))
        };
        let mut run = self.run_of_one(scope, graph, (asset, Vec::new()), ("eager", fired))?;
        run.reason = Some(format!("{} changed", names.join(", ")));
        self.commit_flow(scope, "tick", None, FlowChange::CreateRun(Box::new(run))).await?;
        Ok(None)
    }

    async fn is_fresh(
        &self,
        scope: &Scope,
        graph: &Graph,
        asset: &Asset,
        slices: &[SliceRange],
    ) -> Result<bool, Error> {
        let freshness = Freshness::load(self, scope, graph, &[asset.id]).await?;
        Ok(match freshness.parts(asset.id) {
            None => freshness.of(asset).state == State::Fresh,
            Some(parts) => {
                let mut numbers = slices.iter().flat_map(|range| range.numbers());
                numbers.all(|number| freshness.of_slice(asset, parts, number).state == State::Fresh)
            }
        })
    }
}

/// Of each asset, how many stand behind each other before it.
fn heights(graph: &Graph) -> BTreeMap<Uuid, usize> {
    let of_table: BTreeMap<TableId, &Asset> = graph.assets.iter().map(|asset| (asset.table, asset)).collect();
    let mut heights = BTreeMap::new();
    for asset in &graph.assets {
        height(asset, &of_table, &mut heights);
    }
    heights
}

fn height(asset: &Asset, of_table: &BTreeMap<TableId, &Asset>, heights: &mut BTreeMap<Uuid, usize>) -> usize {
    if let Some(known) = heights.get(&asset.id) {
        return *known;
    }
    heights.insert(asset.id, 0); // it may read what it made before
    let upstream = asset.upstream.iter().filter_map(|table| of_table.get(table).copied());
    let height = upstream.map(|upstream| height(upstream, of_table, heights) + 1).max().unwrap_or(0);
    heights.insert(asset.id, height);
    height
}

/// What a schedule makes of an asset that is cut: the newest slice that had ended by an instant, or all values of a list.
/// Nothing of one that is whole; `None` if no slice had ended.
fn newest(graph: &Graph, asset: &Asset, at: Micros) -> Option<Vec<SliceRange>> {
    let Some(cut) = graph.cuts.get(&asset.id) else { return Some(Vec::new()) };
    match cut.slices.period() {
        Some(_) => cut.slices.newest_ended(at).map(|number| vec![SliceRange::one(number)]),
        None => Some(cut.there.ranges().to_vec()),
    }
}

/// Upstream tables whose rows changed after a transaction.
pub(crate) fn newer(asset: &Asset, changed: &BTreeMap<TableId, Txn>, seen: Txn) -> BTreeMap<TableId, Txn> {
    let upstream = asset.upstream.iter().filter(|table| **table != asset.table);
    let last = upstream.filter_map(|table| Some((*table, *changed.get(table)?)));
    last.filter(|(_, txn)| *txn > seen).collect()
}

/// One thing that must be so before an asset runs by itself.
pub(crate) struct Condition {
    pub(crate) name: &'static str,
    pub(crate) met: bool,
    /// What it is about, …
    pub(crate) table: TableId,
    /// … and how that is, if that is not its name.
    pub(crate) state: Option<&'static str>,
}

impl Condition {
    /// For people who know the table by this name.
    pub(crate) fn detail(&self, name: String) -> String {
        self.state.map_or_else(|| name.clone(), |state| format!("{name} is {state}"))
    }
}

/// What must be so beside a change: what is read is there and not in the making, and no run of the asset is open.
pub(crate) fn conditions(graph: &Graph, freshness: &Freshness, asset: &Asset) -> Vec<Condition> {
    let own = Condition {
        name: "no_open_run",
        met: freshness.of(asset).state != State::Running,
        table: asset.table,
        state: None,
    };
    let upstream =
        graph.assets.iter().filter(|other| asset.upstream.contains(&other.table) && other.id != asset.id);
    let ready = upstream.map(|other| {
        let state = freshness.of(other).state;
        Condition {
            name: "upstream_ready",
            met: !matches!(state, State::Missing | State::Running | State::Failed),
            table: other.table,
            state: Some(state.name()),
        }
    });
    std::iter::once(own).chain(ready).collect()
}

fn as_json(graph: &Graph, conditions: &[Condition]) -> String {
    let one = |condition: &Condition| {
        let detail = condition.detail(name(graph, condition.table));
        serde_json::json!({"condition": condition.name, "met": condition.met, "detail": detail})
    };
    serde_json::Value::from(conditions.iter().map(one).collect::<Vec<_>>()).to_string()
}

pub(crate) fn name(graph: &Graph, table: TableId) -> String {
    graph.names.table_by_id(table).map_or_else(|| table.to_string(), |table| table.full_name())
}

fn tick(trigger: &Trigger, status: &'static str, key: String) -> Tick {
    Tick {
        trigger: trigger.id,
        version: trigger.version,
        key,
        scheduled: None,
        status,
        reason: None,
        conditions: None,
        next: None,
        cursor: None,
    }
}

/// The firing of a schedule for one of its times.
fn due_tick(trigger: &Trigger, status: &'static str, (cadence, at): (&Cadence, Micros)) -> Tick {
    let key = at.0.div_euclid(1_000_000).to_string();
    Tick { scheduled: Some(at), next: cadence.after(at), ..tick(trigger, status, key) }
}

/// The times of a schedule from one that is due until now.
#[derive(Debug, PartialEq, Eq)]
struct Missed {
    /// Older ones that are not noted one by one.
    unlisted: usize,
    /// Those that are too late, in order.
    skipped: Vec<Micros>,
    /// Those that run, in order: the newest ten of the last day.
    due: Vec<Micros>,
}

impl Missed {
    fn until(now: Micros, cadence: &Cadence, due: Micros) -> Self {
        let day_ago = now.minus(CATCH_UP);
        // Of times that lie together so closely for so long nobody looks at each.
        let mut skipped = match due < day_ago {
            true => cadence.between(due, Micros(day_ago.0 - 1), COUNTED_MAX),
            false => Vec::new(),
        };
        let mut recent = cadence.between(due.max(day_ago), now, usize::MAX);
        let due = recent.split_off(recent.len().saturating_sub(CATCH_UP_MAX));
        skipped.append(&mut recent);
        let unlisted = skipped.len().saturating_sub(SKIPPED_MAX);
        skipped.drain(..unlisted);
        Self { unlisted, skipped, due }
    }
}

#[cfg(test)]
mod tests {
    use cenote_catalog::Schedule;
    use jiff::Timestamp;

    use super::*;

    fn at(text: &str) -> Micros {
        Micros(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    fn cadence(cron: &str) -> Cadence {
        let schedule = Schedule { cron: cron.to_owned(), zone: "UTC".to_owned(), if_stale: false };
        Cadence::of(&schedule).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_was_missed_is_made_up_for_of_the_last_day_and_ten_times_at_most() {
        let now = at("2026-05-10T06:30:00Z");
        let daily = Missed::until(now, &cadence("0 6 * * *"), at("2026-05-08T06:00:00Z"));
        let skipped = vec![at("2026-05-08T06:00:00Z"), at("2026-05-09T06:00:00Z")];
        assert_eq!(daily, Missed { unlisted: 0, skipped, due: vec![at("2026-05-10T06:00:00Z")] });
        let hourly = Missed::until(now, &cadence("0 * * * *"), at("2026-05-09T00:00:00Z"));
        assert_eq!((hourly.due.len(), hourly.due[0]), (10, at("2026-05-09T21:00:00Z")));
        assert_eq!((hourly.skipped.len(), hourly.skipped[0]), (21, at("2026-05-09T00:00:00Z")));
        let one = Missed::until(now, &cadence("0 * * * *"), at("2026-05-10T06:00:00Z"));
        assert_eq!(one, Missed { unlisted: 0, skipped: Vec::new(), due: vec![at("2026-05-10T06:00:00Z")] });
    }

    #[test]
    fn of_very_many_that_were_missed_the_newest_are_noted_and_the_others_counted() {
        let now = at("2026-05-10T06:00:00Z");
        let minutes = Missed::until(now, &cadence("* * * * *"), at("2026-05-08T06:00:00Z"));
        let all = 2 * 24 * 60 + 1;
        assert_eq!(
            (minutes.unlisted, minutes.skipped.len(), minutes.due.len()),
            (all - SKIPPED_MAX - 10, SKIPPED_MAX, 10)
        );
        let (last, first) = (minutes.skipped[SKIPPED_MAX - 1], minutes.due[0]);
        assert_eq!((last, first), (at("2026-05-10T05:50:00Z"), at("2026-05-10T05:51:00Z")));
    }
}
