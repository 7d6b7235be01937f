//! A graph in memory: for each node what leads from it and to it, so that a walk touches what it meets and nothing else.
//!
//! ```text
//! nodes    [raw.orders, mart.daily, …]          edges    [source, target, facts] …
//! leaving  [[e0, e3], [], …]  by target         arriving [[], [e0], …]  by source
//! ```
//! An edge end takes four bytes of a list. Invariant: each list is in the order of the nodes at the other ends, then of the keys.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use cenote_vocab::Txn;

use super::{Direction, Walk, WalkRequest, WalkedEdge};

/// The most edges of one walk (`lineage_walk_edges_max`).
const WALKED_MAX: usize = 100_000;

/// What is known of an edge besides its ends.
pub(crate) trait Link {
    /// What it leads from and to.
    type Node: Clone + Ord + Hash;
    /// Tells edges between the same two nodes apart.
    type Key: Ord;
    /// How a walk shows it.
    type Shown;

    /// Among the edges between its ends.
    fn key(&self) -> Self::Key;

    /// Since when it is there.
    fn first(&self) -> Txn;

    /// Becomes what was read of the same edge later.
    fn renew(&mut self, later: Self);

    /// With its ends.
    fn shown(&self, source: &Self::Node, target: &Self::Node) -> Self::Shown;
}

struct Edge<L> {
    source: u32,
    target: u32,
    link: L,
}

/// Which end of an edge.
#[derive(Clone, Copy)]
enum End {
    Source,
    Target,
}

/// Nodes and what leads from each to others.
pub(crate) struct Adjacency<L: Link> {
    ids: HashMap<L::Node, u32>,
    nodes: Vec<L::Node>,
    edges: Vec<Edge<L>>,
    leaving: Vec<Vec<u32>>,
    arriving: Vec<Vec<u32>>,
}

impl<L: Link> Default for Adjacency<L> {
    fn default() -> Self {
        Self {
            ids: HashMap::new(),
            nodes: Vec::new(),
            edges: Vec::new(),
            leaving: Vec::new(),
            arriving: Vec::new(),
        }
    }
}

impl<L: Link> Adjacency<L> {
    /// How many edges there are.
    pub(crate) fn len(&self) -> usize {
        self.edges.len()
    }

    /// Takes edges no two of which are the same, in any order; [`settle`](Self::settle) ends it.
    pub(crate) fn fill(&mut self, edges: impl IntoIterator<Item = (L::Node, L::Node, L)>) {
        for (source, target, link) in edges {
            let (source, target, at) = (self.node(source), self.node(target), self.next());
            self.edges.push(Edge { source, target, link });
            self.leaving[source as usize].push(at);
            self.arriving[target as usize].push(at);
        }
    }

    /// Puts all lists in order.
    pub(crate) fn settle(&mut self) {
        for (end, lists) in [(End::Target, &mut self.leaving), (End::Source, &mut self.arriving)] {
            for list in lists {
                list.sort_by(|a, b| {
                    order(&self.nodes, end, &self.edges[*a as usize], &self.edges[*b as usize])
                });
                list.shrink_to_fit();
            }
        }
    }

    /// Takes an edge that is new, or is known and was read again.
    pub(crate) fn note(&mut self, source: L::Node, target: L::Node, link: L) {
        let edge = Edge { source: self.node(source), target: self.node(target), link };
        let place = |list: &[u32], end| {
            list.binary_search_by(|at| order(&self.nodes, end, &self.edges[*at as usize], &edge))
        };
        let leaving = match place(&self.leaving[edge.source as usize], End::Target) {
            Ok(known) => {
                let known = self.leaving[edge.source as usize][known];
                return self.edges[known as usize].link.renew(edge.link);
            }
            Err(place) => place,
        };
        let arriving = place(&self.arriving[edge.target as usize], End::Source).unwrap_or_else(|place| place);
        let at = self.next();
        self.leaving[edge.source as usize].insert(leaving, at);
        self.arriving[edge.target as usize].insert(arriving, at);
        self.edges.push(edge);
    }

    fn next(&self) -> u32 {
        u32::try_from(self.edges.len()).expect("fewer edges than are walked at most")
    }

    fn node(&mut self, node: L::Node) -> u32 {
        if let Some(id) = self.ids.get(&node) {
            return *id;
        }
        let id = u32::try_from(self.nodes.len()).expect("no more nodes than ends of edges");
        self.nodes.push(node.clone());
        self.leaving.push(Vec::new());
        self.arriving.push(Vec::new());
        self.ids.insert(node, id);
        id
    }

    /// The edges whose ends are both wanted, as they were at a transaction.
    pub(crate) fn between(&self, at: Txn, wanted: impl Fn(&L::Node, &L::Node) -> bool) -> Vec<L::Shown> {
        let shown = |edge: &Edge<L>| {
            let (source, target) = (&self.nodes[edge.source as usize], &self.nodes[edge.target as usize]);
            (edge.link.first() <= at && wanted(source, target)).then(|| edge.link.shown(source, target))
        };
        self.edges.iter().filter_map(shown).collect()
    }

    /// Breadth first from a node; a cycle ends at a visited node.
    pub(crate) fn walk(&self, start: &L::Node, asked: &WalkRequest) -> Walk<L::Shown> {
        let mut found = Walk { edges: Vec::new(), truncated: false };
        let Some(start) = self.ids.get(start).copied() else { return found };
        for direction in &asked.directions {
            let mut visited = HashSet::from([start]);
            let mut level = vec![start];
            for hop in 1..=asked.depth {
                let mut next = Vec::new();
                for (edge, end) in level.iter().flat_map(|node| self.from(*node, *direction)) {
                    if edge.link.first() > asked.at {
                        continue;
                    }
                    if found.edges.len() >= WALKED_MAX {
                        found.truncated = true;
                        return found;
                    }
                    if !visited.contains(&end) {
                        if visited.len() >= asked.nodes_max {
                            found.truncated = true;
                            continue;
                        }
                        visited.insert(end);
                        next.push(end);
                    }
                    let (source, target) =
                        (&self.nodes[edge.source as usize], &self.nodes[edge.target as usize]);
                    let edge = edge.link.shown(source, target);
                    found.edges.push(WalkedEdge { direction: *direction, hop, edge });
                }
                if next.is_empty() {
                    break;
                }
                level = next;
            }
        }
        found
    }

    /// What leads on from a node, and where to.
    fn from(&self, node: u32, direction: Direction) -> impl Iterator<Item = (&Edge<L>, u32)> {
        let list = match direction {
            Direction::Upstream => &self.arriving[node as usize],
            Direction::Downstream => &self.leaving[node as usize],
        };
        list.iter().map(move |at| {
            let edge = &self.edges[*at as usize];
            let end = match direction {
                Direction::Upstream => edge.source,
                Direction::Downstream => edge.target,
            };
            (edge, end)
        })
    }
}

/// Of two edges that have the other end in common.
fn order<L: Link>(nodes: &[L::Node], end: End, a: &Edge<L>, b: &Edge<L>) -> Ordering {
    let of = |edge: &Edge<L>| match end {
        End::Source => edge.source,
        End::Target => edge.target,
    };
    let (left, right) = (of(a), of(b));
    let by_node = match left == right {
        true => Ordering::Equal,
        false => nodes[left as usize].cmp(&nodes[right as usize]),
    };
    by_node.then_with(|| a.link.key().cmp(&b.link.key()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Since when it is there, and which it is of several.
    #[derive(Clone, Copy, Debug)]
    struct Plain(i64, u8);

    impl Link for Plain {
        type Node = String;
        type Key = u8;
        type Shown = (String, String);

        fn key(&self) -> u8 {
            self.1
        }

        fn first(&self) -> Txn {
            Txn(self.0)
        }

        fn renew(&mut self, later: Self) {
            *self = later;
        }

        fn shown(&self, source: &String, target: &String) -> (String, String) {
            (source.clone(), target.clone())
        }
    }

    fn graph(edges: &[(&str, &str)]) -> Adjacency<Plain> {
        let mut graph = Adjacency::default();
        let edge =
            |(source, target): &(&str, &str)| ((*source).to_owned(), (*target).to_owned(), Plain(1, 0));
        graph.fill(edges.iter().map(edge));
        graph.settle();
        graph
    }

    fn asked(direction: Direction, depth: u32) -> WalkRequest {
        WalkRequest { at: Txn(9), directions: vec![direction], depth, nodes_max: 100 }
    }

    fn shown(walk: &Walk<(String, String)>) -> Vec<String> {
        walk.edges.iter().map(|met| format!("{} {}-{}", met.hop, met.edge.0, met.edge.1)).collect()
    }

    fn walked(graph: &Adjacency<Plain>, start: &str, direction: Direction, depth: u32) -> Vec<String> {
        shown(&graph.walk(&start.to_owned(), &asked(direction, depth)))
    }

    #[test]
    fn a_walk_goes_one_way_so_far_and_ends_at_what_it_knows() {
        let edges = graph(&[("d", "a"), ("c", "d"), ("b", "d"), ("a", "c"), ("a", "b")]);
        assert_eq!(walked(&edges, "a", Direction::Downstream, 1), ["1 a-b", "1 a-c"]);
        assert_eq!(
            walked(&edges, "a", Direction::Downstream, 9),
            ["1 a-b", "1 a-c", "2 b-d", "2 c-d", "3 d-a"],
            "the cycle ends"
        );
        assert_eq!(walked(&edges, "d", Direction::Upstream, 1), ["1 b-d", "1 c-d"]);
        assert!(walked(&edges, "x", Direction::Upstream, 9).is_empty());
        assert_eq!(walked(&graph(&[("a", "a")]), "a", Direction::Upstream, 9), ["1 a-a"]);
    }

    #[test]
    fn a_long_chain_is_walked_to_its_end_and_nothing_is_cut() {
        let names: Vec<String> = (0..26).map(|at| format!("n{at:02}")).collect();
        let pairs: Vec<(&str, &str)> =
            names.windows(2).map(|two| (two[0].as_str(), two[1].as_str())).collect();
        let walk = graph(&pairs).walk(&names[0], &asked(Direction::Downstream, 100));
        assert_eq!((walk.edges.len(), walk.edges[24].hop, walk.truncated), (25, 25, false));
    }

    #[test]
    fn a_walk_says_when_there_is_more() {
        let wanted = WalkRequest { nodes_max: 2, ..asked(Direction::Downstream, 5) };
        let found = graph(&[("a", "b"), ("a", "c")]).walk(&"a".to_owned(), &wanted);
        assert_eq!((found.edges.len(), found.truncated), (1, true));
        let many: Vec<(String, String)> =
            (0..=WALKED_MAX).map(|at| ("a".to_owned(), format!("{at}"))).collect();
        let pairs: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let wanted = WalkRequest { nodes_max: usize::MAX, ..asked(Direction::Downstream, 5) };
        let found = graph(&pairs).walk(&"a".to_owned(), &wanted);
        assert_eq!((found.edges.len(), found.truncated), (WALKED_MAX, true));
    }

    #[test]
    fn what_is_noted_later_stands_where_it_would_have_stood_at_once() {
        let all = [("a", "d"), ("a", "b"), ("c", "b"), ("a", "c"), ("d", "b")];
        let whole = graph(&all);
        let mut grown = graph(&all[..1]);
        for (source, target) in &all[1..] {
            for _ in 0..2 {
                grown.note((*source).to_owned(), (*target).to_owned(), Plain(1, 0)); // the second time it is known
            }
        }
        assert_eq!(grown.len(), all.len());
        for direction in [Direction::Upstream, Direction::Downstream] {
            for start in ["a", "b", "c", "d"] {
                assert_eq!(
                    walked(&grown, start, direction, 9),
                    walked(&whole, start, direction, 9),
                    "{start}"
                );
            }
        }
    }

    #[test]
    fn an_edge_that_came_later_was_not_there_before() {
        let mut edges = graph(&[("a", "b")]);
        edges.note("b".to_owned(), "c".to_owned(), Plain(5, 0));
        edges.note("a".to_owned(), "b".to_owned(), Plain(7, 1));
        let at = |at| {
            let wanted = WalkRequest { at: Txn(at), ..asked(Direction::Downstream, 9) };
            shown(&edges.walk(&"a".to_owned(), &wanted))
        };
        assert_eq!(at(4), ["1 a-b"]);
        assert_eq!(at(5), ["1 a-b", "2 b-c"]);
        assert_eq!(at(7), ["1 a-b", "1 a-b", "2 b-c"], "by another code");
        assert_eq!(edges.between(Txn(6), |_, target| target == "b").len(), 1);
    }
}
