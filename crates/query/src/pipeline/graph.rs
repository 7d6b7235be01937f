//! What a pipeline runs, as EXPLAIN tells it and clients draw it.

use serde_json::{Map, Value, json};

/// Sources, operators and sinks, and which rows go where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineGraph {
    /// Each before those that its rows go to.
    pub nodes: Vec<GraphNode>,
    /// Between nodes.
    pub edges: Vec<GraphEdge>,
    /// What a reader should know before it runs.
    pub warnings: Vec<String>,
    /// Pieces of an epoch's rows that are worked on at once, at most.
    pub parallelism: u64,
}

/// What a node of a pipeline is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Rows come from there.
    Source,
    /// It holds rows between epochs.
    Operator,
    /// Rows go there.
    Sink,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNode {
    /// Unique in the pipeline.
    pub id: String,
    /// Source, operator or sink.
    pub kind: NodeKind,
    /// `source<impulse>`, `windows`, `groups`, `keys`, `sink<lake>`, …
    pub operator: String,
    /// For people; holds its kind.
    pub description: String,
    /// `append`, or `updating`: rows may be taken back.
    pub rows: &'static str,
    /// More that is known of it: `key`, `window`, `state`, `watermark`, `volatile`, `guarantee`, …
    pub facts: Vec<(&'static str, String)>,
}

/// Rows go from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphEdge {
    /// Where they come from.
    pub from: String,
    /// Where they go.
    pub to: String,
    /// Their columns.
    pub columns: String,
}

/// How a part of a pipeline fits what was held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartOfChange {
    /// Source, operator or sink.
    pub kind: NodeKind,
    /// Its name.
    pub name: String,
    /// What becomes of what is held for it.
    pub verdict: Verdict,
}

/// What becomes of what is held for a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on with it.
    Kept,
    /// It is new.
    New,
    /// It is there no longer.
    Gone,
    /// It is given up because somebody asked.
    Reset,
    /// It does not fit, and why.
    Differs(String),
}

impl Verdict {
    /// `kept`, `new`, …
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::New => "new",
            Self::Gone => "gone",
            Self::Reset => "reset",
            Self::Differs(_) => "differs",
        }
    }

    /// Why it does not fit.
    pub fn difference(&self) -> Option<&str> {
        match self {
            Self::Differs(difference) => Some(difference),
            Self::Kept | Self::New | Self::Gone | Self::Reset => None,
        }
    }
}

impl NodeKind {
    /// `source`, `operator`, `sink`
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Operator => "operator",
            Self::Sink => "sink",
        }
    }
}

impl PipelineGraph {
    /// The same for programs.
    pub fn json(&self) -> Value {
        let node = |node: &GraphNode| {
            let facts = node.facts.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into()));
            let mut all = Map::from_iter([
                ("id".to_owned(), node.id.as_str().into()),
                ("kind".to_owned(), node.kind.name().into()),
                ("operator".to_owned(), node.operator.as_str().into()),
                ("description".to_owned(), node.description.as_str().into()),
                ("rows".to_owned(), node.rows.into()),
            ]);
            all.extend(facts);
            Value::Object(all)
        };
        let edge = |edge: &GraphEdge| json!({"from": edge.from, "to": edge.to, "columns": edge.columns});
        json!({
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
            "edges": self.edges.iter().map(edge).collect::<Vec<_>>(),
            "warnings": self.warnings,
        })
    }

    /// Line by line, for a terminal.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for node in &self.nodes {
            lines.push(format!("{} [{}]", node.description, node.rows));
            let from: Vec<&str> =
                self.edges.iter().filter(|edge| edge.to == node.id).map(|edge| edge.from.as_str()).collect();
            if !from.is_empty() {
                lines.push(format!("  from: {}", from.join(", ")));
            }
            lines.extend(node.facts.iter().map(|(name, value)| format!("  {name}: {value}")));
        }
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines
    }
}
