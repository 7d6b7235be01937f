//! What a run of assets does, and in which order: a pure function of the graph and of what is asked.

use std::collections::{BTreeMap, BTreeSet};

use cenote_vocab::TableId;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The most tasks of one plan.
pub(crate) const TASKS_MAX: usize = 10_000;

/// An asset as far as plans care.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: Uuid,
    /// Schema and name of its table.
    pub(crate) name: (String, String),
    pub(crate) table: TableId,
    pub(crate) upstream: Vec<TableId>,
    pub(crate) code: [u8; 32],
    pub(crate) priority: i32,
}

impl Node {
    /// The key of its task.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}/_", self.name.0, self.name.1)
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) roots: BTreeSet<Uuid>,
    pub(crate) upstream: bool,
    pub(crate) downstream: bool,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedTask {
    pub(crate) key: String,
    pub(crate) asset: Uuid,
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
    TooMany(usize),
    /// These depend on each other.
    Cycle(Vec<String>),
}

/// Plans a run of a tenant's assets. Independent of the order of `nodes`, of ids and of time.
pub(crate) fn plan(
    (tenant, workspace): (&str, &str),
    nodes: &[Node],
    selection: &Selection,
) -> Result<Plan, Refusal> {
    let by_id: BTreeMap<Uuid, &Node> = nodes.iter().map(|node| (node.id, node)).collect();
    let unknown: Vec<Uuid> =
        selection.roots.iter().filter(|root| !by_id.contains_key(root)).copied().collect();
    if !unknown.is_empty() {
        return Err(Refusal::Unknown(unknown));
    }
    let by_table: BTreeMap<TableId, &Node> = nodes.iter().map(|node| (node.table, node)).collect();
    let upstream = |node: &Node| -> Vec<&Node> {
        let found = node.upstream.iter().filter_map(|table| by_table.get(table).copied());
        found.filter(|other| other.id != node.id).collect()
    };
    let chosen = choose(&by_id, selection, &upstream);
    if chosen.len() > TASKS_MAX {
        return Err(Refusal::TooMany(chosen.len()));
    }
    let mut tasks: BTreeMap<String, PlannedTask> = BTreeMap::new();
    for (id, reason) in &chosen {
        let node = by_id[id];
        let mut before: Vec<String> = upstream(node)
            .into_iter()
            .filter(|other| chosen.contains_key(&other.id))
            .map(Node::key)
            .collect();
        before.sort();
        let task = PlannedTask {
            key: node.key(),
            asset: node.id,
            reason: reason.clone(),
            priority: node.priority,
            upstream: before,
            code: node.code,
        };
        tasks.insert(task.key.clone(), task);
    }
    let fingerprint = fingerprint((tenant, workspace), &tasks);
    Ok(Plan { tasks: sorted(tasks)?, fingerprint })
}

/// The assets of the plan, each with the reason why it is in it.
fn choose<'a>(
    by_id: &BTreeMap<Uuid, &'a Node>,
    selection: &Selection,
    upstream: &dyn Fn(&Node) -> Vec<&'a Node>,
) -> BTreeMap<Uuid, String> {
    let mut chosen: BTreeMap<Uuid, String> =
        selection.roots.iter().map(|root| (*root, "selected".to_owned())).collect();
    // By name, so that reasons do not depend on ids.
    let mut roots: Vec<&Node> = selection.roots.iter().filter_map(|root| by_id.get(root).copied()).collect();
    roots.sort_by(|a, b| a.name.cmp(&b.name));
    if selection.upstream {
        let next = |node: &Node| upstream(node);
        reach(&roots, &next, "upstream_of", &mut chosen);
    }
    if selection.downstream {
        let mut downstream: BTreeMap<Uuid, Vec<&'a Node>> = BTreeMap::new();
        for node in by_id.values() {
            for other in upstream(node) {
                downstream.entry(other.id).or_default().push(node);
            }
        }
        let next = |node: &Node| downstream.get(&node.id).cloned().unwrap_or_default();
        reach(&roots, &next, "downstream_of", &mut chosen);
    }
    chosen
}

fn reach<'a>(
    roots: &[&'a Node],
    next: &dyn Fn(&Node) -> Vec<&'a Node>,
    relation: &str,
    chosen: &mut BTreeMap<Uuid, String>,
) {
    for root in roots {
        let (mut seen, mut open) = (BTreeSet::from([root.id]), vec![*root]);
        while let Some(node) = open.pop() {
            for other in next(node) {
                if seen.insert(other.id) {
                    chosen
                        .entry(other.id)
                        .or_insert_with(|| format!("{relation}:{}.{}", root.name.0, root.name.1));
                    open.push(other);
                }
            }
        }
    }
}

/// By longest path from the beginning, then by key.
fn sorted(mut tasks: BTreeMap<String, PlannedTask>) -> Result<Vec<PlannedTask>, Refusal> {
    let mut done: BTreeSet<String> = BTreeSet::new();
    let mut order = Vec::with_capacity(tasks.len());
    while !tasks.is_empty() {
        let stage: Vec<String> = tasks
            .values()
            .filter(|task| task.upstream.iter().all(|key| done.contains(key)))
            .map(|task| task.key.clone())
            .collect();
        if stage.is_empty() {
            return Err(Refusal::Cycle(tasks.into_keys().collect()));
        }
        order.extend(stage.iter().filter_map(|key| tasks.remove(key)));
        done.extend(stage);
    }
    Ok(order)
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
                hex(&task.code),
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
    hex(&Sha256::digest(json))
}

/// In small hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
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
                code: [u8::try_from(number % 251).unwrap(); 32],
                priority: 0,
            })
            .collect()
    }

    fn select(roots: &[u128], upstream: bool, downstream: bool) -> Selection {
        let roots = roots.iter().map(|root| Uuid::from_u128(*root)).collect();
        Selection { roots, upstream, downstream }
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
        let selection =
            Selection { roots: nodes.iter().map(|node| node.id).collect(), ..Selection::default() };
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
        let all = Selection { roots: many.iter().map(|node| node.id).collect(), ..Selection::default() };
        assert_eq!(plan(("t", "l"), &many, &all), Err(Refusal::TooMany(10_001)));
    }
}
