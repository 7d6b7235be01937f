//! Triggers: what makes assets run by itself. A firing, its tick and its run are one commit, so that none is fired twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cenote_catalog::{Asset, FlowChange, SliceRange, Tick, Trigger, TriggerKind};
use cenote_vocab::{Micros, Scope, TableId, Txn};

use crate::Error;
use crate::assets::Graph;
use crate::flow::Inner;
use crate::freshness::{Freshness, State};
use crate::schedule::{CATCH_UP, CATCH_UP_MAX, Cadence};

/// Times that are looked at of one schedule in one pass.
const DUE_MAX: usize = 500;
/// A change of what is read begins at most one run of an asset in this time.
const EAGER_INTERVAL: Duration = Duration::from_secs(1);

impl Inner {
    /// Fires what is due; answers when something is due next.
    pub(crate) async fn fire(self: &Arc<Self>, scope: &Scope, now: Micros) -> Result<Option<Micros>, Error> {
        let triggers = self.lake.catalog.triggers(scope).await?;
        let mut active = triggers.into_iter().filter(|trigger| trigger.state == "ACTIVE").peekable();
        if active.peek().is_none() {
            return Ok(None);
        }
        let graph = Graph::load(self, scope).await?;
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
        // Each firing makes the trigger a version newer.
        for (version, (at, verdict)) in (trigger.version..).zip(missed(&cadence, due, now)) {
            let next = cadence.after(at);
            let fired = Tick {
                version,
                scheduled: Some(at),
                next,
                ..tick(trigger, "TRIGGERED", at.0.div_euclid(1_000_000).to_string())
            };
            let slices = newest(graph, asset, at);
            let skipped = match (verdict, &slices) {
                (Due::TooLate, _) => Some("catchup_limit"),
                (Due::Run, None) => Some("no_partition"),
                (Due::Run, Some(slices))
                    if schedule.if_stale && self.is_fresh(scope, graph, asset, slices).await? =>
                {
                    Some("fresh")
                }
                (Due::Run, Some(_)) => None,
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

/// What becomes of a time that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Run,
    TooLate,
}

/// The times of a schedule from one that is due until now. Of those that were missed the newest ten of the last day run.
fn missed(cadence: &Cadence, due: Micros, now: Micros) -> Vec<(Micros, Due)> {
    let day_ago = now.minus(CATCH_UP);
    let mut times = Vec::new();
    if due < day_ago {
        times.push((due, Due::TooLate)); // stands for all from before the last day
    }
    let recent = cadence.between(due.max(day_ago), now, usize::MAX);
    let late = recent.len().saturating_sub(CATCH_UP_MAX);
    let noted = late.saturating_sub(DUE_MAX);
    times.extend(recent[noted..late].iter().map(|at| (*at, Due::TooLate)));
    times.extend(recent[late..].iter().map(|at| (*at, Due::Run)));
    times
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
        let daily = missed(&cadence("0 6 * * *"), at("2026-05-08T06:00:00Z"), now);
        assert_eq!(
            daily,
            [(at("2026-05-08T06:00:00Z"), Due::TooLate), (at("2026-05-10T06:00:00Z"), Due::Run)]
        );
        let hourly = missed(&cadence("0 * * * *"), at("2026-05-09T00:00:00Z"), now);
        let runs: Vec<_> = hourly.iter().filter(|(_, due)| *due == Due::Run).collect();
        assert_eq!((runs.len(), runs[0].0), (10, at("2026-05-09T21:00:00Z")));
        assert_eq!(hourly.iter().filter(|(_, due)| *due == Due::TooLate).count(), 15);
        let one = missed(&cadence("0 * * * *"), at("2026-05-10T06:00:00Z"), now);
        assert_eq!(one, [(at("2026-05-10T06:00:00Z"), Due::Run)]);
    }
}
