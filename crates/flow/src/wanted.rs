//! Which partitions of the selected assets a request means.

use std::collections::BTreeMap;

use cenote_catalog::{Asset, MaterializeRequest, SliceRange, SliceSet, Wanted};
use cenote_vocab::Scope;
use uuid::Uuid;

use crate::Error;
use crate::assets::Graph;
use crate::flow::Inner;
use crate::freshness::{Freshness, State, Verdict, few};
use crate::slices::Cut;
use crate::trigger::name;

/// True of something that is how it must be to be wanted.
fn takes(wanted: &Wanted, verdict: &Verdict) -> bool {
    match wanted {
        Wanted::Missing => verdict.state == State::Missing,
        Wanted::Stale => verdict.state == State::Stale,
        Wanted::Failed => verdict.state == State::Failed,
        Wanted::Nothing | Wanted::Keys(_) | Wanted::Range(..) | Wanted::Tasks(_) => false,
    }
}

impl Inner {
    /// The selected assets, with the slices of those that are cut. Those of which nothing is wanted are left out.
    pub(crate) async fn roots(
        &self,
        scope: &Scope,
        graph: &Graph,
        asked: &MaterializeRequest,
    ) -> Result<BTreeMap<Uuid, Vec<SliceRange>>, Error> {
        let by_state = matches!(asked.wanted, Wanted::Missing | Wanted::Stale | Wanted::Failed);
        let freshness = match by_state {
            true => Freshness::load(self, scope, graph, &asked.assets).await?,
            false => Freshness::default(),
        };
        if matches!(asked.wanted, Wanted::Keys(_) | Wanted::Range(..))
            && let Some(first) = asked.assets.first()
            && asked.assets.iter().all(|id| !graph.cuts.contains_key(id))
        {
            let own = graph.asset(*first).map_or_else(|| first.to_string(), |asset| name(graph, asset.table));
            return Err(Error::Plan(format!("asset {own} has no partitions")));
        }
        let mut roots = BTreeMap::new();
        for id in &asked.assets {
            // One that is not there is told by the plan, with the others that are not.
            let Some(asset) = graph.asset(*id) else {
                roots.insert(*id, Vec::new());
                continue;
            };
            let ranges = match graph.cuts.get(id) {
                None if by_state && !takes(&asked.wanted, &freshness.of(asset)) => continue,
                None => {
                    let given = match &asked.wanted {
                        Wanted::Tasks(tasks) => tasks.get(id),
                        _ => None,
                    };
                    if given.is_some_and(|texts| !texts.is_empty()) {
                        let own = name(graph, asset.table);
                        return Err(Error::Plan(format!("asset {own} has no partitions any more")));
                    }
                    Vec::new()
                }
                Some(cut) => {
                    let ranges = slices(graph, asset, cut, &asked.wanted, &freshness)?;
                    if ranges.is_empty() {
                        continue;
                    }
                    ranges
                }
            };
            roots.insert(*id, ranges);
        }
        Ok(roots)
    }
}

fn slices(
    graph: &Graph,
    asset: &Asset,
    cut: &Cut,
    wanted: &Wanted,
    freshness: &Freshness,
) -> Result<Vec<SliceRange>, Error> {
    let begun = |number: i64| match number <= cut.limit.last {
        true => Ok(number),
        false => {
            let newest = cut.slices.key(cut.limit.last);
            let key = cut.slices.key(number);
            Err(Error::Plan(format!("partition {key} has not begun yet, the newest that has is {newest}")))
        }
    };
    let number = |key: &String| begun(cut.slices.number(key)?);
    match wanted {
        Wanted::Nothing => {
            let text = format!(
                "asset {} has partitions: say which, by PARTITION '{}', PARTITIONS '…' TO '…', MISSING, STALE or FAILED",
                name(graph, asset.table),
                cut.slices.example()
            );
            Err(Error::Plan(text))
        }
        Wanted::Keys(keys) => {
            let numbers: Vec<i64> = keys.iter().map(number).collect::<Result<_, _>>()?;
            Ok(SliceSet::of(numbers.into_iter().map(SliceRange::one)).ranges().to_vec())
        }
        Wanted::Range(first, last) => Ok(vec![cut.slices.between(number(first)?, number(last)?)?]),
        Wanted::Missing | Wanted::Stale | Wanted::Failed => {
            let Some(parts) = freshness.parts(asset.id) else { return Ok(Vec::new()) };
            let numbers: Vec<i64> = match wanted {
                Wanted::Missing => few(cut.there.clone())?.numbers().collect(),
                _ => parts.known.keys().copied().collect(),
            };
            let wanted = numbers
                .into_iter()
                .filter(|number| takes(wanted, &freshness.of_slice(asset, parts, *number)));
            Ok(SliceSet::of(wanted.map(SliceRange::one)).ranges().to_vec())
        }
        Wanted::Tasks(tasks) => {
            let texts = tasks.get(&asset.id).map(Vec::as_slice).unwrap_or_default();
            if texts.is_empty() {
                let own = name(graph, asset.table);
                return Err(Error::Plan(format!(
                    "asset {own} has partitions by now, the run's tasks have none"
                )));
            }
            let mut ranges: Vec<SliceRange> =
                texts.iter().map(|text| cut.slices.range(text)).collect::<Result<_, _>>()?;
            ranges.sort();
            Ok(ranges)
        }
    }
}
