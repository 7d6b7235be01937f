//! Whether assets are as they should be: computed from facts when it is asked.

use std::collections::{BTreeMap, BTreeSet};

use cenote_catalog::{Asset, AssetPartition, WHOLE};
use cenote_vocab::{Scope, TableId, Txn};
use uuid::Uuid;

use crate::Error;
use crate::assets::Graph;
use crate::flow::Inner;

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
pub(crate) struct Freshness {
    pub(crate) partitions: BTreeMap<Uuid, AssetPartition>,
    open: BTreeSet<Uuid>,
    changed: BTreeMap<TableId, Txn>,
    /// Tables that assets make, and whether they ever did.
    made: BTreeMap<TableId, bool>,
}

impl Freshness {
    pub(crate) async fn load(inner: &Inner, scope: &Scope, graph: &Graph) -> Result<Self, Error> {
        let catalog = &inner.lake.catalog;
        let partitions = catalog.asset_partitions(scope).await?;
        let whole = partitions.into_iter().filter(|part| part.key == WHOLE);
        let partitions: BTreeMap<Uuid, AssetPartition> = whole.map(|part| (part.asset, part)).collect();
        let open = catalog.open_assets(scope).await?.into_iter().collect();
        let upstream = graph.assets.iter().flat_map(|asset| asset.upstream.iter().copied());
        let changed = inner.changes(scope, upstream).await?;
        let is_made = |asset: &Asset| partitions.get(&asset.id).is_some_and(|part| part.success.is_some());
        let made = graph.assets.iter().map(|asset| (asset.table, is_made(asset))).collect();
        Ok(Self { partitions, open, changed, made })
    }

    pub(crate) fn of(&self, asset: &Asset) -> Verdict {
        let part = self.partitions.get(&asset.id);
        let reasons = self.reasons(asset, part);
        let state = match part {
            _ if self.open.contains(&asset.id) => State::Running,
            Some(part) if part.last.1 == "FAILED" => State::Failed,
            None | Some(AssetPartition { success: None, .. }) => State::Missing,
            Some(_) if reasons.is_empty() => State::Fresh,
            Some(_) => State::Stale,
        };
        Verdict { state, reasons }
    }

    fn reasons(&self, asset: &Asset, part: Option<&AssetPartition>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let upstream = || asset.upstream.iter().filter(|table| **table != asset.table);
        match part.and_then(|part| part.success.as_ref()) {
            None => reasons.push(Reason::NeverMaterialized),
            Some(success) => {
                if success.code != asset.code {
                    reasons.push(Reason::CodeChanged);
                }
                for table in upstream() {
                    let current = self.changed.get(table).copied().unwrap_or_default();
                    match success.inputs.get(table) {
                        Some(recorded) if *recorded < current => {
                            reasons.push(Reason::UpstreamChanged {
                                table: *table,
                                recorded: *recorded,
                                current,
                            });
                        }
                        _ => {}
                    }
                }
            }
        }
        let never = upstream().filter(|table| self.made.get(table) == Some(&false));
        reasons.extend(never.map(|table| Reason::UpstreamNeverMaterialized(*table)));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use cenote_catalog::{AssetSpec, Success};
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
            partitions: BTreeMap::from([(part.asset, part)]),
            open: BTreeSet::new(),
            changed: BTreeMap::from([(TableId(2), Txn(changed))]),
            made: BTreeMap::from([(TableId(1), true)]),
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
        running.open.insert(asset().id);
        assert_eq!(running.of(&asset()).state, State::Running);
        let mut upstream = facts("SUCCEEDED", true, 4);
        upstream.made.insert(TableId(2), false);
        assert_eq!(upstream.of(&asset()).reasons, [Reason::UpstreamNeverMaterialized(TableId(2))]);
    }
}
