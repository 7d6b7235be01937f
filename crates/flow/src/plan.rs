//! What a run of assets does, and in which order: a pure function of the graph and of what is asked.
//!
//! ```text
//! roots and their slices ─ carry ─► slices of every asset of the plan ─ cut ─► tasks ─ meet ─► edges ─► order, fingerprint
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cenote_catalog::{Mapped, Mapping, SliceRange, SliceSet};
use cenote_vocab::TableId;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::slices::Cut;

/// The most tasks of one plan.
pub(crate) const TASKS_MAX: usize = 10_000;
/// The most pairs of tasks of which one waits for the other.
pub(crate) const EDGES_MAX: usize = 200_000;
/// The most slices of one task: each is a row of the commit that ends it.
const SLICES_MAX: u64 = 1_000;

/// An asset as far as plans care.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: Uuid,
    /// Schema and name of its table.
    pub(crate) name: (String, String),
    pub(crate) table: TableId,
    pub(crate) upstream: Vec<TableId>,
    /// What is said of how slices of these belong to its own.
    pub(crate) mappings: BTreeMap<TableId, Mapping>,
    pub(crate) code: [u8; 32],
    pub(crate) priority: i32,
    /// How it is cut; `None` if it is whole.
    pub(crate) cut: Option<Arc<Cut>>,
}

impl Node {
    /// The key of its task for a range of slices, or for all of it.
    fn key(&self, range: Option<SliceRange>) -> String {
        let part = match (&self.cut, range) {
            (Some(cut), Some(range)) => cut.slices.text(range),
            _ => "_".to_owned(),
        };
        format!("{}/{}/{part}", self.name.0, self.name.1)
    }

    fn mapping(&self, upstream: TableId) -> Mapping {
        self.mappings.get(&upstream).copied().unwrap_or_default()
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Slices of those that are cut, nothing for those that are whole.
    pub(crate) roots: BTreeMap<Uuid, Vec<SliceRange>>,
    pub(crate) upstream: bool,
    pub(crate) downstream: bool,
    /// The most slices of a task.
    pub(crate) chunk: Option<u64>,
    /// Whether each range of the roots is a task as it is.
    pub(crate) as_given: bool,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedTask {
    pub(crate) key: String,
    pub(crate) asset: Uuid,
    /// Which slices, as text; `None` of an asset that is whole.
    pub(crate) partitions: Option<String>,
    pub(crate) reason: String,
    pub(crate) priority: i32,
    pub(crate) upstream: Vec<String>,
    pub(crate) code: [u8; 32],
}

/// Tasks in an order in which they may run one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) tasks: Vec<PlannedTask>,
    pub(crate) fingerprint: String,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// These are no assets.
    Unknown(Vec<Uuid>),
    /// Over [`TASKS_MAX`].
    TooMany(u64),
    /// Over [`EDGES_MAX`].
    TooManyEdges,
    /// These depend on each other.
    Cycle(Vec<String>),
}

/// What is wanted of an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Slices(SliceSet),
}

/// Plans a run of a tenant's assets. Independent of the order of `nodes`, of ids and of time.
pub(crate) fn plan(
    (tenant, workspace): (&str, &str),
    nodes: &[Node],
    selection: &Selection,
) -> Result<Plan, Refusal> {
    let graph = Graph::of(nodes);
    let unknown: Vec<Uuid> =
        selection.roots.keys().filter(|root| !graph.by_id.contains_key(root)).copied().collect();
    if !unknown.is_empty() {
        return Err(Refusal::Unknown(unknown));
    }
    let chosen = graph.choose(selection);
    let pieces = cut(&graph, &chosen, selection)?;
    let mut tasks: BTreeMap<String, PlannedTask> = BTreeMap::new();
    let mut edges = 0;
    for (id, ranges) in &pieces {
        let node = graph.by_id[id];
        for range in ranges {
            let upstream = before(&graph, node, *range, &pieces);
            edges += upstream.len();
            if edges > EDGES_MAX {
                return Err(Refusal::TooManyEdges);
            }
            let task = PlannedTask {
                key: node.key(*range),
                asset: node.id,
                partitions: node.cut.as_ref().zip(*range).map(|(cut, range)| cut.slices.text(range)),
                reason: chosen[id].1.clone(),
                priority: node.priority,
                upstream,
                code: node.code,
            };
            tasks.insert(task.key.clone(), task);
        }
    }
    let fingerprint = fingerprint((tenant, workspace), &tasks);
    Ok(Plan { tasks: sorted(tasks)?, fingerprint })
}

struct Graph<'a> {
    by_id: BTreeMap<Uuid, &'a Node>,
    by_table: BTreeMap<TableId, &'a Node>,
    /// Those that read an asset.
    readers: BTreeMap<Uuid, Vec<&'a Node>>,
}

impl<'a> Graph<'a> {
    fn of(nodes: &'a [Node]) -> Self {
        let by_id: BTreeMap<Uuid, &Node> = nodes.iter().map(|node| (node.id, node)).collect();
        let by_table: BTreeMap<TableId, &Node> = nodes.iter().map(|node| (node.table, node)).collect();
        let mut readers: BTreeMap<Uuid, Vec<&Node>> = BTreeMap::new();
        for node in by_id.values() {
            for other in node.upstream.iter().filter_map(|table| by_table.get(table)) {
                if other.id != node.id {
                    readers.entry(other.id).or_default().push(node);
                }
            }
        }
        Self { by_id, by_table, readers }
    }

    fn upstream(&self, node: &Node) -> impl Iterator<Item = &'a Node> {
        node.upstream.iter().filter_map(|table| self.by_table.get(table).copied())
    }

    /// The assets of the plan, each with what is wanted of it and why it is there.
    fn choose(&self, selection: &Selection) -> BTreeMap<Uuid, (Part, String)> {
        let part = |node: &Node, ranges: &[SliceRange]| match node.cut {
            Some(_) => Part::Slices(SliceSet::of(ranges.iter().copied())),
            None => Part::Whole,
        };
        let mut chosen: BTreeMap<Uuid, (Part, String)> = BTreeMap::new();
        // By name, so that reasons do not depend on ids.
        let mut roots: Vec<(&Node, Part)> = Vec::new();
        for (root, ranges) in &selection.roots {
            let node = self.by_id[root];
            let part = part(node, ranges);
            chosen.insert(*root, (part.clone(), "selected".to_owned()));
            roots.push((node, part));
        }
        roots.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        for (root, part) in roots {
            let name = format!("{}.{}", root.name.0, root.name.1);
            if selection.upstream {
                let next = |node: &'a Node, part: &Part| -> Reached<'a> {
                    let others = self.upstream(node).filter(|other| other.id != node.id);
                    others.map(|other| (other, read_by(node, part, other))).collect()
                };
                reach(root, &part, &next, &format!("upstream_of:{name}"), &mut chosen);
            }
            if selection.downstream {
                let next = |node: &'a Node, part: &Part| -> Reached<'a> {
                    let others = self.readers.get(&node.id).into_iter().flatten();
                    others.map(|other| (*other, reading(other, node, part))).collect()
                };
                reach(root, &part, &next, &format!("downstream_of:{name}"), &mut chosen);
            }
        }
        chosen.retain(|_, (part, _)| *part != Part::Slices(SliceSet::default()));
        chosen
    }
}

/// Assets next to another, with what follows for them.
type Reached<'a> = Vec<(&'a Node, Part)>;

/// Follows edges from a root for as long as they add something.
fn reach<'a>(
    root: &'a Node,
    part: &Part,
    next: &dyn Fn(&'a Node, &Part) -> Reached<'a>,
    reason: &str,
    chosen: &mut BTreeMap<Uuid, (Part, String)>,
) {
    let mut seen: BTreeMap<Uuid, Part> = BTreeMap::from([(root.id, part.clone())]);
    let mut open = VecDeque::from([root]);
    while let Some(node) = open.pop_front() {
        let own = seen[&node.id].clone();
        for (other, part) in next(node, &own) {
            let merged = match seen.get(&other.id) {
                Some(known) => both(known, &part),
                None => part,
            };
            if merged == Part::Slices(SliceSet::default()) || seen.get(&other.id) == Some(&merged) {
                continue;
            }
            let entry = chosen.entry(other.id).or_insert_with(|| (merged.clone(), reason.to_owned()));
            entry.0 = both(&entry.0, &merged);
            seen.insert(other.id, merged);
            open.push_back(other);
        }
    }
}

fn both(one: &Part, other: &Part) -> Part {
    match (one, other) {
        (Part::Slices(one), Part::Slices(other)) => Part::Slices(one.with(other)),
        _ => Part::Whole,
    }
}

/// What of `upstream` is read for a part of `node`.
fn read_by(node: &Node, part: &Part, upstream: &Node) -> Part {
    let Some(up) = &upstream.cut else { return Part::Whole };
    let mapping = node.mapping(upstream.table);
    let (Some(down), Part::Slices(slices)) = (&node.cut, part) else {
        return Part::Slices(match mapping {
            Mapping::Latest => SliceSet::of(up.there.last().map(SliceRange::one)),
            _ => up.there.clone(),
        });
    };
    let mapped = Mapped { mapping, down: &down.slices, up: &up.slices };
    let sets = slices.ranges().iter().map(|range| mapped.upstream(*range, up.there.last()));
    Part::Slices(sets.fold(SliceSet::default(), |sum, set| sum.with(&up.possible(&set))))
}

/// What of `node` reads a part of `upstream`: of what is there by now.
fn reading(node: &Node, upstream: &Node, part: &Part) -> Part {
    let Some(down) = &node.cut else { return Part::Whole };
    let (Some(up), Part::Slices(slices)) = (&upstream.cut, part) else {
        return Part::Slices(down.there.clone());
    };
    let mapped = Mapped { mapping: node.mapping(upstream.table), down: &down.slices, up: &up.slices };
    let sets = slices.ranges().iter().map(|range| mapped.downstream(*range, up.there.last()));
    Part::Slices(sets.fold(SliceSet::default(), |sum, set| sum.with(&down.existing(&set))))
}

/// The ranges of each asset that are a task each, in order; `None` of one that is whole.
fn cut(
    graph: &Graph<'_>,
    chosen: &BTreeMap<Uuid, (Part, String)>,
    selection: &Selection,
) -> Result<BTreeMap<Uuid, Vec<Option<SliceRange>>>, Refusal> {
    let (mut pieces, mut count) = (BTreeMap::new(), 0_u64);
    for (id, (part, _)) in chosen {
        let size = match &graph.by_id[id].cut {
            Some(cut) if cut.alone => 1,
            _ => selection.chunk.unwrap_or(SLICES_MAX).clamp(1, SLICES_MAX),
        };
        let ranges: Vec<SliceRange> = match part {
            Part::Whole => {
                count += 1;
                pieces.insert(*id, vec![None]);
                continue;
            }
            Part::Slices(_) if selection.as_given && selection.roots.contains_key(id) => {
                selection.roots[id].clone()
            }
            Part::Slices(slices) => slices.ranges().to_vec(),
        };
        let tasks = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.len().div_ceil(size)));
        count = count.saturating_add(tasks);
        if count > TASKS_MAX as u64 {
            return Err(Refusal::TooMany(count));
        }
        pieces.insert(*id, ranges.into_iter().flat_map(|range| range.pieces(size)).map(Some).collect());
    }
    match count > TASKS_MAX as u64 {
        true => Err(Refusal::TooMany(count)),
        false => Ok(pieces),
    }
}

/// Keys of the tasks of the plan that make something that a task reads, in order.
fn before(
    graph: &Graph<'_>,
    node: &Node,
    range: Option<SliceRange>,
    pieces: &BTreeMap<Uuid, Vec<Option<SliceRange>>>,
) -> Vec<String> {
    let mut keys = BTreeSet::new();
    for upstream in graph.upstream(node) {
        let Some(others) = pieces.get(&upstream.id) else { continue };
        if upstream.id == node.id && range.is_none() {
            continue;
        }
        let part = match range {
            Some(range) => Part::Slices(range.into()),
            None => Part::Whole,
        };
        match read_by(node, &part, upstream) {
            Part::Whole => keys.extend(others.iter().map(|other| upstream.key(*other))),
            Part::Slices(read) => {
                for wanted in read.ranges() {
                    let from =
                        others.partition_point(|other| other.is_some_and(|other| other.last < wanted.first));
                    let meets = |other: &&Option<SliceRange>| other.is_some_and(|other| other.meets(*wanted));
                    keys.extend(others[from..].iter().take_while(meets).map(|other| upstream.key(*other)));
                }
            }
        }
    }
    keys.into_iter().collect()
}

/// By longest path from the beginning, then by key.
fn sorted(mut tasks: BTreeMap<String, PlannedTask>) -> Result<Vec<PlannedTask>, Refusal> {
    let mut waits: BTreeMap<String, usize> =
        tasks.values().map(|task| (task.key.clone(), task.upstream.len())).collect();
    let mut next: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for task in tasks.values() {
        for key in &task.upstream {
            next.entry(key.clone()).or_default().push(task.key.clone());
        }
    }
    let mut stage: BTreeSet<String> =
        waits.iter().filter(|(_, count)| **count == 0).map(|(key, _)| key.clone()).collect();
    let mut order = Vec::with_capacity(tasks.len());
    while !stage.is_empty() {
        let mut following = BTreeSet::new();
        for key in stage {
            for later in next.get(&key).into_iter().flatten() {
                if let Some(count) = waits.get_mut(later) {
                    *count -= 1;
                    if *count == 0 {
                        following.insert(later.clone());
                    }
                }
            }
            order.extend(tasks.remove(&key));
        }
        stage = following;
    }
    if tasks.is_empty() { Ok(order) } else { Err(Refusal::Cycle(tasks.into_keys().collect())) }
}

/// SHA-256 of the canonical JSON: keys sorted, no spaces.
fn fingerprint((tenant, workspace): (&str, &str), tasks: &BTreeMap<String, PlannedTask>) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let tasks: Vec<String> = tasks
        .values()
        .map(|task| {
            let upstream: Vec<String> = task.upstream.iter().map(|key| text(key)).collect();
            format!(
                r#"{{"codeId":"{}","key":{},"priority":{},"upstreamKeys":[{}]}}"#,
                hex::encode(task.code),
                text(&task.key),
                task.priority,
                upstream.join(",")
            )
        })
        .collect();
    let json = format!(
        r#"{{"tasks":[{}],"tenant":{},"version":1,"workspace":{}}}"#,
        tasks.join(","),
        text(tenant),
        text(workspace)
    );
    hex::encode(Sha256::digest(json))
}

#[cfg(test)]
mod tests {
    use cenote_catalog::{Partitioning, Period, Slices};
    use cenote_vocab::Micros;

    use super::*;

    /// `edges` are (upstream, downstream) by number.
    fn graph(count: u128, edges: &[(u128, u128)]) -> Vec<Node> {
        let table = |number: u128| TableId(i64::try_from(number).unwrap());
        (1..=count)
            .map(|number| Node {
                id: Uuid::from_u128(number),
                name: ("s".to_owned(), format!("a{number}")),
                table: table(number),
                upstream: edges.iter().filter(|edge| edge.1 == number).map(|edge| table(edge.0)).collect(),
                mappings: BTreeMap::new(),
                code: [u8::try_from(number % 251).unwrap(); 32],
                priority: 0,
                cut: None,
            })
            .collect()
    }

    fn select(roots: &[u128], upstream: bool, downstream: bool) -> Selection {
        let roots = roots.iter().map(|root| (Uuid::from_u128(*root), Vec::new())).collect();
        Selection { roots, upstream, downstream, ..Selection::default() }
    }

    fn every(nodes: &[Node]) -> Selection {
        let roots = nodes.iter().map(|node| (node.id, Vec::new())).collect();
        Selection { roots, ..Selection::default() }
    }

    fn planned(nodes: &[Node], selection: &Selection) -> Vec<(String, String)> {
        let plan = plan(("default", "lake"), nodes, selection).unwrap();
        plan.tasks.into_iter().map(|task| (task.key, task.reason)).collect()
    }

    fn keys(nodes: &[Node], selection: &Selection) -> Vec<String> {
        planned(nodes, selection).into_iter().map(|(key, _)| key).collect()
    }

    const DIAMOND: &[(u128, u128)] = &[(1, 2), (1, 3), (2, 4), (3, 4)];

    #[test]
    fn of_a_diamond_the_end_comes_last_and_each_once() {
        let nodes = graph(4, DIAMOND);
        let all = ["s/a1/_", "s/a2/_", "s/a3/_", "s/a4/_"];
        assert_eq!(keys(&nodes, &select(&[4], true, false)), all);
        assert_eq!(keys(&nodes, &select(&[1], false, true)), all);
        assert_eq!(keys(&nodes, &select(&[4], false, false)), ["s/a4/_"], "nothing is implied");
        assert_eq!(keys(&nodes, &select(&[1, 4], false, false)), ["s/a1/_", "s/a4/_"]);
        let reasons = planned(&nodes, &select(&[4], true, false));
        assert_eq!(reasons[0].1, "upstream_of:s.a4");
        assert_eq!(reasons[3].1, "selected");
    }

    #[test]
    fn a_thousand_assets_in_twenty_orders_are_one_plan() {
        let mut edges = Vec::new();
        let mut state = 7_u64;
        let mut random = |below: u128| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u128::from(state >> 33) % below
        };
        for downstream in 2..=1_000_u128 {
            for _ in 0..3 {
                edges.push((1 + random(downstream - 1), downstream));
            }
        }
        let mut nodes = graph(1_000, &edges);
        let selection = every(&nodes);
        let first = plan(("default", "lake"), &nodes, &selection).unwrap();
        assert_eq!(first.tasks.len(), 1_000);
        for turn in 0..20 {
            nodes.rotate_left(37 + turn);
            nodes.reverse();
            assert_eq!(plan(("default", "lake"), &nodes, &selection).unwrap(), first);
        }
        let other_tenant = plan(("other", "lake"), &nodes, &selection).unwrap();
        assert_ne!(other_tenant.fingerprint, first.fingerprint);
        nodes[0].code = [255; 32];
        assert_ne!(plan(("default", "lake"), &nodes, &selection).unwrap().fingerprint, first.fingerprint);
    }

    #[test]
    fn what_cannot_be_planned_is_named() {
        let nodes = graph(2, &[(1, 2), (2, 1)]);
        let unknown = plan(("t", "l"), &nodes, &select(&[9], false, false));
        assert_eq!(unknown, Err(Refusal::Unknown(vec![Uuid::from_u128(9)])));
        let cycle = plan(("t", "l"), &nodes, &select(&[1], true, false));
        assert_eq!(cycle, Err(Refusal::Cycle(vec!["s/a1/_".to_owned(), "s/a2/_".to_owned()])));
        let many = graph(10_001, &[]);
        assert_eq!(plan(("t", "l"), &many, &every(&many)), Err(Refusal::TooMany(10_001)));
    }

    /// Cut by time, with the slices of January there.
    fn by(period: Period, alone: bool) -> Option<Arc<Cut>> {
        let said = Partitioning::Time {
            column: "ts".into(),
            period,
            start: Some("2026-01-01".into()),
            end: None,
            zone: "UTC".into(),
        };
        let now = Micros("2026-02-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_microsecond());
        Some(Arc::new(Cut::at(Slices::of(&said).unwrap(), None, now, alone)))
    }

    fn range(cut: &Option<Arc<Cut>>, text: &str) -> Vec<SliceRange> {
        vec![cut.as_ref().unwrap().slices.range(text).unwrap()]
    }

    /// 1 raw days → 2 days → 3 months; 4 is whole and reads 2.
    fn calendar(alone: bool) -> Vec<Node> {
        let mut nodes = graph(4, &[(1, 2), (2, 3), (2, 4)]);
        nodes[0].cut = by(Period::Day, false);
        nodes[1].cut = by(Period::Day, alone);
        nodes[2].cut = by(Period::Month, false);
        nodes
    }

    fn select_range(nodes: &[Node], root: usize, text: &str) -> Selection {
        let roots = BTreeMap::from([(nodes[root].id, range(&nodes[root].cut, text))]);
        Selection { roots, ..Selection::default() }
    }

    #[test]
    fn slices_are_carried_along_the_mappings_and_cut_into_tasks() {
        let nodes = calendar(false);
        let days = select_range(&nodes, 1, "day=d:2026-01-03..2026-01-09");
        assert_eq!(keys(&nodes, &days), ["s/a2/day=d:2026-01-03..2026-01-09"]);
        let all = Selection { upstream: true, downstream: true, ..days.clone() };
        assert_eq!(
            keys(&nodes, &all),
            [
                "s/a1/day=d:2026-01-03..2026-01-09",
                "s/a2/day=d:2026-01-03..2026-01-09",
                "s/a3/month=d:2026-01",
                "s/a4/_"
            ]
        );
        let month = select_range(&nodes, 2, "month=d:2026-01");
        let month = Selection { upstream: true, chunk: Some(15), ..month };
        let chunks: Vec<String> =
            keys(&nodes, &month).into_iter().filter(|key| key.starts_with("s/a2")).collect();
        assert_eq!(
            chunks,
            [
                "s/a2/day=d:2026-01-01..2026-01-15",
                "s/a2/day=d:2026-01-16..2026-01-30",
                "s/a2/day=d:2026-01-31"
            ]
        );
        let plan = plan(("default", "lake"), &nodes, &month).unwrap();
        assert_eq!(plan.tasks.last().unwrap().upstream, chunks);
        let of = |key: &str| plan.tasks.iter().find(|task| task.key == key).unwrap().upstream.clone();
        assert_eq!(of("s/a2/day=d:2026-01-31"), ["s/a1/day=d:2026-01-31"], "only what it reads");
        assert_eq!(keys(&calendar(true), &days).len(), 7, "a task each");
    }

    #[test]
    fn a_diamond_over_a_range_is_carried_once_on_both_ways() {
        let mut nodes = graph(4, DIAMOND);
        nodes[0].cut = by(Period::Day, false);
        nodes[1].cut = by(Period::Day, false);
        nodes[2].cut = by(Period::Week, false);
        nodes[3].cut = by(Period::Day, false);
        let range = select_range(&nodes, 3, "day=d:2026-01-07..2026-01-08");
        let plan = plan(("default", "lake"), &nodes, &Selection { upstream: true, chunk: Some(1), ..range })
            .unwrap();
        let keys: Vec<&str> = plan.tasks.iter().map(|task| task.key.as_str()).collect();
        // The week needs all of its days, so the day that both ways ask for is there once.
        let days = (5..=11).map(|day| format!("s/a1/day=d:2026-01-{day:02}"));
        let rest =
            ["s/a2/day=d:2026-01-07", "s/a2/day=d:2026-01-08", "s/a3/week=d:2026-01-05"].map(str::to_owned);
        let ends = ["s/a4/day=d:2026-01-07", "s/a4/day=d:2026-01-08"].map(str::to_owned);
        assert_eq!(keys, days.chain(rest).chain(ends).collect::<Vec<String>>());
        let last = plan.tasks.last().unwrap();
        assert_eq!(last.upstream, ["s/a2/day=d:2026-01-08", "s/a3/week=d:2026-01-05"]);
    }

    #[test]
    fn a_window_reads_what_is_there_of_earlier_slices() {
        let mut nodes = calendar(false);
        let raw = nodes[0].table;
        nodes[1].mappings.insert(raw, Mapping::Window { from: -6, to: 0 });
        let day = Selection { upstream: true, ..select_range(&nodes, 1, "day=d:2026-01-03") };
        assert_eq!(keys(&nodes, &day), ["s/a1/day=d:2026-01-01..2026-01-03", "s/a2/day=d:2026-01-03"]);
        let raw = nodes[0].table;
        nodes[1].mappings.insert(raw, Mapping::Latest);
        assert_eq!(keys(&nodes, &day), ["s/a1/day=d:2026-01-31", "s/a2/day=d:2026-01-03"]);
        let down = Selection { downstream: true, ..select_range(&nodes, 0, "day=d:2026-01-31") };
        assert_eq!(keys(&nodes, &down)[1], "s/a2/day=d:2026-01-01..2026-01-31");
        let none = Selection { downstream: true, ..select_range(&nodes, 0, "day=d:2026-01-30") };
        assert_eq!(keys(&nodes, &none), ["s/a1/day=d:2026-01-30"], "nobody reads it");
    }

    #[test]
    fn slices_that_read_earlier_ones_of_their_own_run_one_after_the_other() {
        let mut nodes = graph(1, &[(1, 1)]);
        nodes[0].cut = by(Period::Day, true);
        let own = nodes[0].table;
        nodes[0].mappings.insert(own, Mapping::Window { from: -1, to: -1 });
        let asked = select_range(&nodes, 0, "day=d:2026-01-03..2026-01-06");
        let plan = plan(("default", "lake"), &nodes, &asked).unwrap();
        let edges: Vec<usize> = plan.tasks.iter().map(|task| task.upstream.len()).collect();
        assert_eq!(edges, [0, 1, 1, 1]);
        assert_eq!(plan.tasks[1].upstream, ["s/a1/day=d:2026-01-03"]);
    }

    #[test]
    fn tasks_that_are_repeated_stay_as_they_were_cut() {
        let nodes = calendar(false);
        let ranges = ["day=d:2026-01-01..2026-01-02", "day=d:2026-01-03..2026-01-04"];
        let given = ranges.iter().flat_map(|text| range(&nodes[1].cut, text)).collect();
        let roots = BTreeMap::from([(nodes[1].id, given)]);
        let again = Selection { roots: roots.clone(), as_given: true, ..Selection::default() };
        assert_eq!(keys(&nodes, &again).len(), 2);
        assert_eq!(keys(&nodes, &Selection { roots, ..Selection::default() }).len(), 1);
    }
}
