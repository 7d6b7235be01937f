//! Whether assets are as they should be: computed from facts when it is asked.

use std::collections::BTreeMap;

use cenote_catalog::{Asset, AssetPartition, Mapped, Mapping, PartsOf, SliceRange, SliceSet, Success};
use cenote_vocab::{Scope, TableId, Txn};
use uuid::Uuid;

use crate::Error;
use crate::assets::Graph;
use crate::flow::Inner;
use crate::slices::Cut;

/// The most partitions that are looked at one by one: fifty years of hours.
const LOOKED_AT_MAX: u64 = 500_000;

/// How an asset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Missing,
    Running,
    Failed,
    Stale,
    Fresh,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::Fresh => "fresh",
        }
    }
}

/// Why an asset is not fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    NeverMaterialized,
    CodeChanged,
    /// Rows of a table that was read at one transaction changed at a later one.
    UpstreamChanged {
        table: TableId,
        recorded: Txn,
        current: Txn,
    },
    UpstreamNeverMaterialized(TableId),
}

impl Reason {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NeverMaterialized => "NEVER_MATERIALIZED",
            Self::CodeChanged => "CODE_CHANGED",
            Self::UpstreamChanged { .. } => "UPSTREAM_CHANGED",
            Self::UpstreamNeverMaterialized(_) => "UPSTREAM_NEVER_MATERIALIZED",
        }
    }
}

/// How an asset is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: State,
    pub(crate) reasons: Vec<Reason>,
}

/// The facts of a tenant's assets.
#[derive(Default)]
pub(crate) struct Freshness {
    /// Of assets that are whole.
    wholes: BTreeMap<Uuid, AssetPartition>,
    /// Of assets that are cut and were asked about, and of those that they read.
    cut: BTreeMap<Uuid, Parts>,
    /// Assets with open tasks, and of those that are cut the slices.
    open: BTreeMap<Uuid, SliceSet>,
    changed: BTreeMap<TableId, Txn>,
    /// Tables that assets make, and whether they ever did.
    made: BTreeMap<TableId, bool>,
    /// Who makes a table, of those that are cut.
    of_table: BTreeMap<TableId, Uuid>,
}

/// What an asset that is cut has.
pub(crate) struct Parts {
    asset: Uuid,
    cut: Cut,
    pub(crate) known: BTreeMap<i64, AssetPartition>,
    /// The newest change of any slice.
    newest: Txn,
}

impl Parts {
    fn of(asset: Uuid, cut: Cut, parts: Vec<AssetPartition>) -> Self {
        let number = |part: AssetPartition| Some((cut.slices.number(&part.key).ok()?, part));
        let known: BTreeMap<i64, AssetPartition> = parts.into_iter().filter_map(number).collect();
        let newest =
            known.values().filter_map(|part| Some(part.success.as_ref()?.txn)).max().unwrap_or_default();
        Self { asset, cut, known, newest }
    }

    /// When any of these was made last.
    fn changed(&self, read: &SliceSet) -> Txn {
        if read.ranges() == [SliceRange::ALL] {
            return self.newest;
        }
        let known = read.ranges().iter().flat_map(|range| self.known.range(range.numbers()));
        known.filter_map(|(_, part)| Some(part.success.as_ref()?.txn)).max().unwrap_or_default()
    }
}

impl Freshness {
    /// Of all assets that are whole, and of these with what they read.
    pub(crate) async fn load(
        inner: &Inner,
        scope: &Scope,
        graph: &Graph,
        about: &[Uuid],
    ) -> Result<Self, Error> {
        let catalog = &inner.lake.catalog;
        let wholes = catalog.asset_partitions(scope, PartsOf::Wholes).await?;
        let wholes: BTreeMap<Uuid, AssetPartition> =
            wholes.into_iter().map(|part| (part.asset, part)).collect();
        let asked = graph.assets.iter().filter(|asset| about.contains(&asset.id));
        let read: Vec<TableId> = asked.flat_map(|asset| asset.upstream.iter().copied()).collect();
        let mut cut = BTreeMap::new();
        for asset in &graph.assets {
            let Some(own) = graph.cuts.get(&asset.id) else { continue };
            if about.contains(&asset.id) || read.contains(&asset.table) {
                let parts = catalog.asset_partitions(scope, PartsOf::Asset(asset.id)).await?;
                cut.insert(asset.id, Parts::of(asset.id, own.as_ref().clone(), parts));
            }
        }
        let mut open: BTreeMap<Uuid, SliceSet> = BTreeMap::new();
        for (asset, partitions) in catalog.open_tasks(scope).await? {
            let ranges =
                graph.cuts.get(&asset).zip(partitions).and_then(|(cut, text)| cut.slices.range(&text).ok());
            let slices = open.entry(asset).or_default();
            *slices = slices.with(&SliceSet::of(ranges));
        }
        let upstream = graph.assets.iter().flat_map(|asset| asset.upstream.iter().copied());
        let changed = inner.changes(scope, upstream).await?;
        let is_made = |asset: &Asset| match (graph.cuts.get(&asset.id), cut.get(&asset.id)) {
            (None, _) => Some(wholes.get(&asset.id).is_some_and(|part| part.success.is_some())),
            (Some(_), Some(parts)) => Some(parts.newest > Txn(0)),
            (Some(_), None) => None, // nobody asked about those that read it
        };
        let made = graph.assets.iter().filter_map(|asset| Some((asset.table, is_made(asset)?))).collect();
        let of_table = graph.assets.iter().map(|asset| (asset.table, asset.id)).collect();
        Ok(Self { wholes, cut, open, changed, made, of_table })
    }

    /// What an asset that is cut has, if it was asked about.
    pub(crate) fn parts(&self, asset: Uuid) -> Option<&Parts> {
        self.cut.get(&asset)
    }

    /// How an asset is; of one that is cut, how the worst of what it has is.
    pub(crate) fn of(&self, asset: &Asset) -> Verdict {
        if let Some(parts) = self.cut.get(&asset.id) {
            return self.of_all(asset, parts);
        }
        let part = self.wholes.get(&asset.id);
        let reasons = self.reasons(asset, part.and_then(|part| part.success.as_ref()), None);
        Verdict { state: state(self.open.contains_key(&asset.id), part, &reasons), reasons }
    }

    /// How a slice of an asset is.
    pub(crate) fn of_slice(&self, asset: &Asset, parts: &Parts, number: i64) -> Verdict {
        let part = parts.known.get(&number);
        let reasons = self.reasons(asset, part.and_then(|part| part.success.as_ref()), Some((parts, number)));
        let open = self.open.get(&asset.id).is_some_and(|open| open.meets(SliceRange::one(number)));
        Verdict { state: state(open, part, &reasons), reasons }
    }

    /// Numbers of the slices that are there or were ever tried; not of so many that nobody can want them all.
    pub(crate) fn numbers(parts: &Parts) -> Result<SliceSet, Error> {
        let known = SliceSet::of(parts.known.keys().map(|number| SliceRange::one(*number)));
        few(parts.cut.there.with(&known))
    }

    fn of_all(&self, asset: &Asset, parts: &Parts) -> Verdict {
        let mut reasons = Vec::new();
        let is_failed = parts.known.values().any(|part| part.last.1 == "FAILED");
        let mut made = parts.known.iter().filter(|(_, part)| part.success.is_some()).peekable();
        let is_made = made.peek().is_some();
        for (number, _) in made {
            let own = self.of_slice(asset, parts, *number);
            if !own.reasons.is_empty() {
                reasons = own.reasons; // one tells enough
                break;
            }
        }
        if !is_made {
            reasons.push(Reason::NeverMaterialized);
        }
        let state = match () {
            () if self.open.contains_key(&asset.id) => State::Running,
            () if is_failed => State::Failed,
            () if !is_made => State::Missing,
            () if reasons.is_empty() => State::Fresh,
            () => State::Stale,
        };
        Verdict { state, reasons }
    }

    fn reasons(&self, asset: &Asset, success: Option<&Success>, slice: Option<(&Parts, i64)>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let upstream = || asset.upstream.iter().filter(|table| **table != asset.table);
        match success {
            None => reasons.push(Reason::NeverMaterialized),
            Some(success) => {
                if success.code != asset.code {
                    reasons.push(Reason::CodeChanged);
                }
                for table in upstream() {
                    let current = self.current(asset, *table, slice);
                    if let Some(recorded) = success.inputs.get(table).copied().filter(|read| *read < current)
                    {
                        reasons.push(Reason::UpstreamChanged { table: *table, recorded, current });
                    }
                }
            }
        }
        let never = upstream().filter(|table| self.made.get(table) == Some(&false));
        reasons.extend(never.map(|table| Reason::UpstreamNeverMaterialized(*table)));
        reasons
    }

    /// The last change of what a slice reads of a table, or of all of the table.
    fn current(&self, asset: &Asset, table: TableId, slice: Option<(&Parts, i64)>) -> Txn {
        let others =
            slice.and_then(|own| Some((own, self.of_table.get(&table).and_then(|id| self.cut.get(id))?)));
        let Some(((own, number), others)) = others.filter(|((own, _), others)| own.asset != others.asset)
        else {
            return self.changed.get(&table).copied().unwrap_or_default();
        };
        let mapping: Mapping = asset.spec.mapping(table);
        let mapped = Mapped { mapping, down: &own.cut.slices, up: &others.cut.slices };
        others.changed(&mapped.upstream(SliceRange::one(number), others.cut.there.last()))
    }
}

/// These, if they may be looked at one by one.
pub(crate) fn few(slices: SliceSet) -> Result<SliceSet, Error> {
    match slices.len() <= LOOKED_AT_MAX {
        true => Ok(slices),
        false => Err(Error::Plan(format!(
            "the asset has {} partitions, at most {LOOKED_AT_MAX} are looked at one by one",
            slices.len()
        ))),
    }
}

fn state(open: bool, part: Option<&AssetPartition>, reasons: &[Reason]) -> State {
    match part {
        _ if open => State::Running,
        Some(part) if part.last.1 == "FAILED" => State::Failed,
        None | Some(AssetPartition { success: None, .. }) => State::Missing,
        Some(_) if reasons.is_empty() => State::Fresh,
        Some(_) => State::Stale,
    }
}

#[cfg(test)]
mod tests {
    use cenote_catalog::{AssetSpec, Partitioning, Period, Slices, WHOLE};
    use cenote_vocab::Micros;

    use super::*;

    fn asset() -> Asset {
        Asset {
            id: Uuid::from_u128(1),
            table: TableId(1),
            owner: 0,
            search_path: Vec::new(),
            query: String::new(),
            code: [1; 32],
            spec: AssetSpec::default(),
            upstream: vec![TableId(2)],
            paused: false,
            created: Micros(0),
            version: 1,
        }
    }

    fn facts(outcome: &str, success: bool, changed: i64) -> Freshness {
        let success = success.then(|| Success {
            run: Uuid::nil(),
            txn: Txn(5),
            code: [1; 32],
            at: Micros(0),
            inputs: BTreeMap::from([(TableId(2), Txn(4))]),
        });
        let last = (Uuid::nil(), outcome.to_owned(), Micros(0));
        let part = AssetPartition { asset: asset().id, key: WHOLE.to_owned(), success, last };
        Freshness {
            wholes: BTreeMap::from([(part.asset, part)]),
            changed: BTreeMap::from([(TableId(2), Txn(changed))]),
            made: BTreeMap::from([(TableId(1), true)]),
            ..Freshness::default()
        }
    }

    #[test]
    fn an_asset_is_stale_once_what_it_read_has_changed_or_its_code() {
        let fresh = facts("SUCCEEDED", true, 4).of(&asset());
        assert_eq!(fresh, Verdict { state: State::Fresh, reasons: Vec::new() });
        let changed = facts("SUCCEEDED", true, 6).of(&asset());
        let reason = Reason::UpstreamChanged { table: TableId(2), recorded: Txn(4), current: Txn(6) };
        assert_eq!(changed, Verdict { state: State::Stale, reasons: vec![reason] });
        let other = facts("SUCCEEDED", true, 4).of(&Asset { code: [2; 32], ..asset() });
        assert_eq!(other, Verdict { state: State::Stale, reasons: vec![Reason::CodeChanged] });
    }

    #[test]
    fn a_failed_retry_leaves_the_last_success_known() {
        let failed = facts("FAILED", true, 4).of(&asset());
        assert_eq!(failed, Verdict { state: State::Failed, reasons: Vec::new() });
        let never = facts("FAILED", false, 4).of(&asset());
        assert_eq!(never.reasons, [Reason::NeverMaterialized]);
        let mut running = facts("FAILED", true, 4);
        running.open.insert(asset().id, SliceSet::default());
        assert_eq!(running.of(&asset()).state, State::Running);
        let mut upstream = facts("SUCCEEDED", true, 4);
        upstream.made.insert(TableId(2), false);
        assert_eq!(upstream.of(&asset()).reasons, [Reason::UpstreamNeverMaterialized(TableId(2))]);
    }

    /// Days of January 2026, each made at the transaction that is given, from what was read at another.
    fn parts(id: u128, input: TableId, made: &[(&str, i64, i64)]) -> Parts {
        let said = Partitioning::Time {
            column: "ts".into(),
            period: Period::Day,
            start: Some("2026-01-01".into()),
            end: Some("2026-02-01".into()),
            zone: "UTC".into(),
        };
        let cut = Cut::at(Slices::of(&said).unwrap(), None, Micros(4_000_000_000_000_000), false);
        let asset = Uuid::from_u128(id);
        let part = |(day, txn, read): &(&str, i64, i64)| AssetPartition {
            asset,
            key: format!("day=d:{day}"),
            success: Some(Success {
                run: Uuid::nil(),
                txn: Txn(*txn),
                code: [1; 32],
                at: Micros(0),
                inputs: BTreeMap::from([(input, Txn(*read))]),
            }),
            last: (Uuid::nil(), "SUCCEEDED".into(), Micros(0)),
        };
        Parts::of(asset, cut, made.iter().map(part).collect())
    }

    #[test]
    fn a_slice_is_stale_when_one_that_it_reads_was_made_again() {
        let down = Asset { spec: AssetSpec::default(), ..asset() };
        let upstream = parts(2, TableId(9), &[("2026-01-01", 12, 0), ("2026-01-02", 7, 0)]);
        let own = parts(1, TableId(2), &[("2026-01-01", 8, 8), ("2026-01-02", 8, 8)]);
        let mut facts = Freshness {
            cut: BTreeMap::from([(own.asset, own), (upstream.asset, upstream)]),
            changed: BTreeMap::from([(TableId(2), Txn(12))]),
            of_table: BTreeMap::from([(TableId(1), Uuid::from_u128(1)), (TableId(2), Uuid::from_u128(2))]),
            ..Freshness::default()
        };
        let of = |facts: &Freshness, asset: &Asset, key: &str| {
            let parts = facts.parts(asset.id).unwrap();
            facts.of_slice(asset, parts, parts.cut.slices.number(key).unwrap())
        };
        let changed = Reason::UpstreamChanged { table: TableId(2), recorded: Txn(8), current: Txn(12) };
        assert_eq!(of(&facts, &down, "day=2026-01-01").reasons, std::slice::from_ref(&changed));
        assert_eq!(of(&facts, &down, "day=2026-01-02").state, State::Fresh, "the other day is another's");
        assert_eq!(of(&facts, &down, "day=2026-01-03").state, State::Missing);
        assert_eq!(facts.of(&down).state, State::Stale);
        let window = cenote_catalog::Dependency { table: 2, mapping: Mapping::Window { from: -1, to: 0 } };
        let down = Asset { spec: AssetSpec { depends: vec![window], ..AssetSpec::default() }, ..down };
        assert_eq!(of(&facts, &down, "day=2026-01-02").reasons, [changed]);
        let number = facts.parts(down.id).unwrap().cut.slices.number("day=2026-01-03").unwrap();
        facts.open.insert(down.id, SliceRange::one(number).into());
        assert_eq!(of(&facts, &down, "day=2026-01-03").state, State::Running);
        assert_eq!(of(&facts, &down, "day=2026-01-02").state, State::Stale, "another runs");
    }
}
