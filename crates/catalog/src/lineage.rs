//! Where rows come from: what commits say they read and wrote, as a graph. Nothing is inferred.

mod adjacency;
mod edges;
mod graphs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cenote_vocab::{FieldId, TableId, Txn};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::committer::{Tally, TxnRow};
use crate::{Code, Identity, Privilege, TablesById};

pub(crate) use edges::{ColumnLink, EdgeFacts, EdgeLink};
pub(crate) use graphs::{Graphs, columns, columns_between, tables};

/// What is known of a code: which tables it reads and writes, and nothing of their columns.
const TABLE_ONLY: &str = "table_only";
/// Which column came of which is known too, of all columns.
const EXACT: &str = "exact";
/// Rows of the target were made of rows of the source.
const DERIVES_FROM: &str = "derives_from";
/// Rows of the target are rows of the source, all of them and each value as it was.
const COPIES: &str = "copies";
/// The source only decides which rows of others became rows of the target.
const FILTERS: &str = "filters";
/// The most bytes of the name of a node.
const NODE_BYTES_MAX: usize = 255;

/// Rows of one node that came of rows of another, by one code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineageEdge {
    /// A table id in decimal, or `ingest:<protocol>`, or `ext:` and a URN.
    pub source: Arc<str>,
    /// A table id in decimal.
    pub target: Arc<str>,
    /// `derives_from`, `copies`, `filters`
    pub edge_type: &'static str,
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
    /// `exact` if the code's columns are known, `table_only` if not.
    pub soundness: &'static str,
}

/// A column whose values, or rows, came of another column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnEdge {
    /// That it came of.
    pub source: (TableId, FieldId),
    /// That came of it.
    pub target: (TableId, FieldId),
    /// How.
    pub kind: ColumnKind,
}

/// How a column comes of another one. Direct kinds stand first, in the order of how much they change a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnKind {
    /// The value as it was; by another name or in a wider type.
    Identity,
    /// Something computed of it.
    Transformation,
    /// Something computed of the values of many rows.
    Aggregation,
    /// It decides which rows there are.
    Filter,
    /// It decides which rows belong together.
    Join,
    /// It decides which rows become one.
    GroupBy,
    /// It decides which rows come first, where only so many are taken.
    Sort,
    /// It decides which rows a window function sees, and in which order.
    Window,
    /// It decides which of several values is taken.
    Conditional,
}

impl ColumnKind {
    const ALL: [Self; 9] = [
        Self::Identity,
        Self::Transformation,
        Self::Aggregation,
        Self::Filter,
        Self::Join,
        Self::GroupBy,
        Self::Sort,
        Self::Window,
        Self::Conditional,
    ];

    /// True if the value became part of the other.
    pub fn is_direct(self) -> bool {
        matches!(self, Self::Identity | Self::Transformation | Self::Aggregation)
    }

    /// `direct`, `indirect`
    pub fn kind(self) -> &'static str {
        if self.is_direct() { "direct" } else { "indirect" }
    }

    /// `identity`, `group_by`, …
    pub fn subtype(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Transformation => "transformation",
            Self::Aggregation => "aggregation",
            Self::Filter => "filter",
            Self::Join => "join",
            Self::GroupBy => "group_by",
            Self::Sort => "sort",
            Self::Window => "window",
            Self::Conditional => "conditional",
        }
    }

    /// The kind of this subtype.
    pub(crate) fn of_subtype(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.subtype() == name)
    }
}

/// What is known of the columns of a code.
pub(crate) fn soundness(code: Option<&Code>) -> &'static str {
    if code.is_some_and(|code| code.columns.is_some()) { EXACT } else { TABLE_ONLY }
}

/// What a source is to a target, by the columns.
fn edge_type(code: Option<&Code>, source: &str, target: TableId) -> &'static str {
    let Some(columns) = code.and_then(|code| code.columns.as_ref()) else { return DERIVES_FROM };
    let Ok(source) = source.parse().map(TableId) else { return DERIVES_FROM };
    let mut of_target = columns.iter().filter(|edge| edge.target.0 == target).peekable();
    if of_target.peek().is_none() {
        return DERIVES_FROM;
    }
    if of_target.clone().all(|edge| edge.source.0 == source && edge.kind == ColumnKind::Identity) {
        return COPIES;
    }
    let (own, others): (Vec<&ColumnEdge>, Vec<_>) = of_target.partition(|edge| edge.source.0 == source);
    let is_direct = |edge: &&ColumnEdge| edge.kind.is_direct();
    if !own.is_empty() && !own.iter().any(is_direct) && others.iter().any(is_direct) {
        return FILTERS;
    }
    DERIVES_FROM
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
            let known = self.nodes.entry(node.to_owned()).or_insert((node_kind(node), row.txn, row.txn));
            known.2 = row.txn;
        }
        let edge_type = edge_type(row.facts.code.as_ref(), source, tally.table);
        let code = row.facts.code.as_ref().map(|code| code.id);
        let edge = self.edges.entry(edge_id(source, &target, edge_type, code)).or_insert(LineageEdge {
            source: source.into(),
            target: target.into(),
            edge_type,
            code,
            first: row.txn,
            last: row.txn,
            commits: 0,
            rows_written: 0,
            run: None,
            soundness: soundness(row.facts.code.as_ref()),
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

/// `table`, `ingest`, `external`
pub fn node_kind(node: &str) -> &'static str {
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

/// The name of a node among some tables; none if it is a table that the asker may not know of. What is no table needs the right to
/// read all.
pub fn node_name(tables: &TablesById, identity: &Identity, node: &str) -> Option<String> {
    let reads_all = || identity.allows_everywhere(Privilege::ReadMetadata);
    let Ok(id) = node.parse().map(TableId) else { return reads_all().then(|| node.to_owned()) };
    match tables.table_by_id(id) {
        Some(table) => {
            identity.allows(Privilege::Use, &table.schema_name, Some(&table.name)).then(|| table.full_name())
        }
        None => reads_all().then(|| format!("dropped table {id}")),
    }
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

/// Which edges to walk, and how far.
#[derive(Clone, Debug)]
pub struct WalkRequest {
    /// Only edges that were there then.
    pub at: Txn,
    /// Which ways, one after the other.
    pub directions: Vec<Direction>,
    /// Edges away from the beginning, at most.
    pub depth: u32,
    /// Nodes that are met each way, at most, the beginning counted.
    pub nodes_max: usize,
}

/// An edge that was met on a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkedEdge<E> {
    /// Which way.
    pub direction: Direction,
    /// How many edges lie between it and the beginning, itself counted.
    pub hop: u32,
    /// The edge.
    pub edge: E,
}

/// What a walk met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk<E> {
    /// By hop, then by source and target; upstream first.
    pub edges: Vec<WalkedEdge<E>>,
    /// True if there was more than so many nodes or edges.
    pub truncated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_edge_do_not_run_together() {
        assert_ne!(edge_id("1", "23", "x", None), edge_id("12", "3", "x", None));
        assert_ne!(edge_id("1", "2", "x", None), edge_id("1", "2", "x", Some([0; 32])));
    }
    #[test]
    fn what_a_source_is_to_a_target_follows_from_the_columns() {
        let column = |source: i64, target: i32, kind| ColumnEdge {
            source: (TableId(source), FieldId(1)),
            target: (TableId(9), FieldId(target)),
            kind,
        };
        let typed = |source: &str, columns: Option<Vec<ColumnEdge>>| {
            let code = Code { id: [0; 32], text: String::new(), columns, deterministic: None };
            edge_type(Some(&code), source, TableId(9))
        };
        let same = column(1, 1, ColumnKind::Identity);
        assert_eq!(typed("1", None), DERIVES_FROM);
        assert_eq!(typed("1", Some(Vec::new())), DERIVES_FROM, "rows are counted");
        assert_eq!(typed("1", Some(vec![same.clone(), column(1, 2, ColumnKind::Identity)])), COPIES);
        assert_eq!(typed("1", Some(vec![same.clone(), column(1, 1, ColumnKind::Filter)])), DERIVES_FROM);
        let semi = vec![same.clone(), column(1, 1, ColumnKind::Join), column(2, 1, ColumnKind::Join)];
        assert_eq!((typed("1", Some(semi.clone())), typed("2", Some(semi))), (DERIVES_FROM, FILTERS));
        assert_eq!(typed("ingest:http", Some(vec![same])), DERIVES_FROM);
    }

    #[test]
    fn subtypes_are_read_as_they_are_written() {
        for kind in ColumnKind::ALL {
            assert_eq!(ColumnKind::of_subtype(kind.subtype()), Some(kind));
        }
        assert!(ColumnKind::Identity < ColumnKind::Transformation);
        assert!(ColumnKind::Transformation < ColumnKind::Aggregation);
    }
}
