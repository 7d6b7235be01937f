//! Where rows come from: what commits say they read and wrote, as a graph. Nothing is inferred.

use std::collections::{BTreeMap, BTreeSet};

use cenote_vocab::Txn;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::committer::{Tally, TxnRow};

/// What is known of a code: which tables it reads and writes, and nothing of their columns.
pub(crate) const TABLE_ONLY: &str = "table_only";
/// Rows of the target were made of rows of the source.
const DERIVES_FROM: &str = "derives_from";
/// The most bytes of the name of a node.
const NODE_BYTES_MAX: usize = 255;

/// Rows of one node that came of rows of another, by one code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineageEdge {
    /// A table id in decimal, or `ingest:<protocol>`, or `ext:` and a URN.
    pub source: String,
    /// A table id in decimal.
    pub target: String,
    /// `derives_from`
    pub edge_type: String,
    /// The code; none where rows came in by a protocol.
    pub code: Option<[u8; 32]>,
    /// The first commit.
    pub first: Txn,
    /// The newest one.
    pub last: Txn,
    /// How many.
    pub commits: i64,
    /// Rows that came.
    pub rows_written: i64,
    /// The run of the newest commit.
    pub run: Option<Uuid>,
}

/// What the commits of a group add to the graph.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Kind, first and last transaction by node.
    pub(crate) nodes: BTreeMap<String, (&'static str, Txn, Txn)>,
    /// By id.
    pub(crate) edges: BTreeMap<[u8; 32], LineageEdge>,
}

impl Graph {
    /// An edge from each input of a commit to each table whose rows it changed. What only moves rows makes none, and what
    /// becomes of a table's own rows is told by its history.
    pub(crate) fn of(txns: &[TxnRow], tallies: &[Tally]) -> Self {
        let mut graph = Self::default();
        for row in txns.iter().filter(|row| !row.facts.inputs.is_empty()) {
            for tally in tallies.iter().filter(|tally| tally.txn == row.txn && tally.data_change) {
                let sources: BTreeSet<&str> =
                    row.facts.inputs.iter().map(|input| storable(&input.node)).collect();
                for source in sources.into_iter().filter(|source| *source != tally.table.to_string()) {
                    graph.add(row, source, tally);
                }
            }
        }
        graph
    }

    fn add(&mut self, row: &TxnRow, source: &str, tally: &Tally) {
        let target = tally.table.to_string();
        for node in [source, &target] {
            let known = self.nodes.entry(node.to_owned()).or_insert((kind_of(node), row.txn, row.txn));
            known.2 = row.txn;
        }
        let code = row.facts.code.as_ref().map(|code| code.id);
        let edge = self.edges.entry(edge_id(source, &target, DERIVES_FROM, code)).or_insert(LineageEdge {
            source: source.to_owned(),
            target,
            edge_type: DERIVES_FROM.to_owned(),
            code,
            first: row.txn,
            last: row.txn,
            commits: 0,
            rows_written: 0,
            run: None,
        });
        edge.last = row.txn;
        edge.commits += 1;
        edge.rows_written += tally.added_rows;
        edge.run = row.facts.run.map(crate::RunOf::id).or(edge.run);
    }
}

/// As much of a node's name as is stored; two that differ only behind that are one.
fn storable(node: &str) -> &str {
    let mut end = node.len().min(NODE_BYTES_MAX);
    while !node.is_char_boundary(end) {
        end -= 1;
    }
    &node[..end]
}

fn kind_of(node: &str) -> &'static str {
    match node.split_once(':') {
        None => "table",
        Some(("ingest", _)) => "ingest",
        Some(_) => "external",
    }
}

fn edge_id(source: &str, target: &str, edge_type: &str, code: Option<[u8; 32]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let code = code.map(|code| code.to_vec()).unwrap_or_default();
    for part in [source.as_bytes(), target.as_bytes(), edge_type.as_bytes(), &code] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Which way a graph is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To what it came of.
    Upstream,
    /// To what came of it.
    Downstream,
}

impl Direction {
    /// `upstream`, `downstream`
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Downstream => "downstream",
        }
    }
}

/// An edge that was met on a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkedEdge {
    /// Which way.
    pub direction: Direction,
    /// How many edges lie between it and the beginning, itself counted.
    pub hop: u32,
    /// The edge.
    pub edge: LineageEdge,
}

/// What a walk met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// By hop, then by source and target; upstream first.
    pub edges: Vec<WalkedEdge>,
    /// True if there was more than so many nodes.
    pub truncated: bool,
}

/// Breadth first from a node, at most `depth` edges far and over at most `nodes_max` nodes; a cycle ends at a visited node.
pub fn walk(
    edges: &[LineageEdge],
    start: &str,
    directions: &[Direction],
    depth: u32,
    nodes_max: usize,
) -> Walk {
    let mut found = Walk::default();
    for direction in directions {
        let ends = |edge: &'_ LineageEdge| match direction {
            Direction::Upstream => (edge.target.clone(), edge.source.clone()),
            Direction::Downstream => (edge.source.clone(), edge.target.clone()),
        };
        let mut by_node: BTreeMap<String, Vec<&LineageEdge>> = BTreeMap::new();
        for edge in edges {
            by_node.entry(ends(edge).0).or_default().push(edge);
        }
        let mut visited = BTreeSet::from([start.to_owned()]);
        let mut level = vec![start.to_owned()];
        for hop in 1..=depth {
            let mut next = Vec::new();
            for edge in level.iter().filter_map(|node| by_node.get(node)).flatten() {
                let end = ends(edge).1;
                if !visited.contains(&end) {
                    if visited.len() >= nodes_max {
                        found.truncated = true;
                        continue;
                    }
                    visited.insert(end.clone());
                    next.push(end);
                }
                found.edges.push(WalkedEdge { direction: *direction, hop, edge: (*edge).clone() });
            }
            if next.is_empty() {
                break;
            }
            level = next;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(source: &str, target: &str) -> LineageEdge {
        LineageEdge {
            source: source.to_owned(),
            target: target.to_owned(),
            edge_type: DERIVES_FROM.to_owned(),
            code: None,
            first: Txn(1),
            last: Txn(1),
            commits: 1,
            rows_written: 1,
            run: None,
        }
    }

    fn walked(edges: &[LineageEdge], start: &str, direction: Direction, depth: u32) -> Vec<String> {
        let found = walk(edges, start, &[direction], depth, 100);
        found
            .edges
            .iter()
            .map(|walked| format!("{} {}-{}", walked.hop, walked.edge.source, walked.edge.target))
            .collect()
    }

    #[test]
    fn a_walk_goes_one_way_so_far_and_ends_at_what_it_knows() {
        let edges = [edge("a", "b"), edge("a", "c"), edge("b", "d"), edge("c", "d"), edge("d", "a")];
        assert_eq!(walked(&edges, "a", Direction::Downstream, 1), ["1 a-b", "1 a-c"]);
        assert_eq!(
            walked(&edges, "a", Direction::Downstream, 9),
            ["1 a-b", "1 a-c", "2 b-d", "2 c-d", "3 d-a"],
            "the cycle ends"
        );
        assert_eq!(walked(&edges, "d", Direction::Upstream, 1), ["1 b-d", "1 c-d"]);
        assert!(walked(&edges, "x", Direction::Upstream, 9).is_empty());
        assert_eq!(walked(&[edge("a", "a")], "a", Direction::Upstream, 9), ["1 a-a"]);
    }

    #[test]
    fn a_walk_says_when_there_is_more() {
        let edges = [edge("a", "b"), edge("a", "c")];
        let found = walk(&edges, "a", &[Direction::Downstream], 5, 2);
        assert_eq!((found.edges.len(), found.truncated), (1, true));
    }

    #[test]
    fn parts_of_an_edge_do_not_run_together() {
        assert_ne!(edge_id("1", "23", "x", None), edge_id("12", "3", "x", None));
        assert_ne!(edge_id("1", "2", "x", None), edge_id("1", "2", "x", Some([0; 32])));
    }
}
