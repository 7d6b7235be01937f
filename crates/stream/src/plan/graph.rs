//! What a plan is, for people and for clients that draw it.

use std::collections::BTreeSet;

use arrow::datatypes::Schema;
use cenote_connect::{LakeMode, SinkClass, WEIGHT};
use cenote_query::{GraphEdge, GraphNode, NodeKind, PipelineGraph};
use datafusion::logical_expr::LogicalPlan;

use super::table::WATERMARK;
use super::{Operator, Output, SunkOutput, Writes, check};
use crate::feed::FeedId;
use crate::streams::{EventTime, SinkPlan, SourceKind, SourcePlan};
use crate::{Error, PipelineOptions};

const APPEND: &str = "append";
const UPDATING: &str = "updating";

/// What is planned.
pub(super) struct Parts<'a> {
    pub(super) options: &'a PipelineOptions,
    pub(super) sources: &'a [SourcePlan],
    pub(super) operators: &'a [Operator],
    pub(super) outputs: &'a [(LogicalPlan, Output)],
    pub(super) sunk: &'a [(LogicalPlan, SunkOutput)],
    pub(super) sinks: &'a [SinkPlan],
}

/// Nodes and edges of it; and the node of each output to a sink outside of the lake.
pub(super) fn graph(parts: &Parts<'_>) -> Result<(PipelineGraph, Vec<String>), Error> {
    let mut sunk = Vec::new();
    let mut graph = PipelineGraph { parallelism: parts.options.pieces() as u64, ..PipelineGraph::default() };
    for (at, source) in parts.sources.iter().enumerate() {
        graph.nodes.push(source_node(at, source, parts.options));
    }
    for (at, operator) in parts.operators.iter().enumerate() {
        let id = operator_id(at);
        let edges = parts.edges(operator.reads(), &id);
        graph.nodes.push(GraphNode {
            id,
            kind: NodeKind::Operator,
            operator: operator.kind().to_owned(),
            description: format!("operator {}: {}", at + 1, operator.name()),
            rows: if operator.output().is_updating() { UPDATING } else { APPEND },
            facts: operator.facts(),
        });
        graph.edges.extend(edges);
    }
    for (plan, output) in parts.outputs {
        let table = output.target.full_name();
        let (rows, writes) = match output.writes {
            Writes::Appends => (APPEND, "rows are added"),
            Writes::Upserts => (APPEND, "rows take the place of those with their key"),
            Writes::Changes | Writes::View { .. } => (UPDATING, "rows come and go by their key"),
        };
        let facts =
            vec![("writes", writes.to_owned()), ("guarantee", "exactly once, in the commit".to_owned())];
        let node = ("sink<lake>".to_owned(), format!("sink table {table}"), rows);
        parts.sink(&mut graph, plan, node, facts)?;
    }
    for (plan, output) in parts.sunk {
        let Some(sink) = parts.sinks.get(output.sink) else { continue };
        let connector = sink.options.connector();
        let guarantee = match sink.options.class() {
            SinkClass::Finish => "exactly once",
            SinkClass::AtLeastOnce => "at least once",
            SinkClass::Nothing => "none",
        };
        let is_updating = output.changes.is_some() || output.columns.index_of(WEIGHT).is_ok();
        let rows = if is_updating { UPDATING } else { APPEND };
        let node = (format!("sink<{connector}>"), format!("sink {}: {connector}", sink.name), rows);
        sunk.push(parts.sink(&mut graph, plan, node, vec![("guarantee", guarantee.to_owned())])?);
    }
    Ok((graph, sunk))
}

impl Parts<'_> {
    /// From those whose rows a node reads.
    fn edges(&self, reads: &BTreeSet<FeedId>, to: &str) -> Vec<GraphEdge> {
        let edge =
            |from: String, columns: &Schema| GraphEdge { from, to: to.to_owned(), columns: shown(columns) };
        let sources = self.sources.iter().enumerate().filter(|(_, source)| reads.contains(&source.feed));
        let sources = sources.map(|(at, source)| edge(source_id(at), &columns_of(source)));
        let operators =
            self.operators.iter().enumerate().filter(|(_, operator)| reads.contains(&operator.output().id));
        let operators = operators.map(|(at, operator)| edge(operator_id(at), &operator.output().columns()));
        sources.chain(operators).collect()
    }

    /// A sink, which several queries may write; answers its node.
    fn sink(
        &self,
        graph: &mut PipelineGraph,
        plan: &LogicalPlan,
        (operator, description, rows): (String, String, &'static str),
        mut facts: Vec<(&'static str, String)>,
    ) -> Result<String, Error> {
        let known =
            graph.nodes.iter().find(|node| node.description == description).map(|node| node.id.clone());
        let sinks = graph.nodes.iter().filter(|node| node.kind == NodeKind::Sink).count();
        let id = known.clone().unwrap_or_else(|| format!("sink_{}", sinks + 1));
        let edges = self.edges(&check::feeds([plan])?, &id);
        graph.edges.extend(edges.into_iter().filter(|edge| !graph.edges.contains(edge)).collect::<Vec<_>>());
        let volatile = check::volatile_functions(plan)?;
        if !volatile.is_empty() {
            facts.push(("volatile", volatile.into_iter().collect::<Vec<_>>().join(", ")));
        }
        if known.is_none() {
            let id = id.clone();
            graph.nodes.push(GraphNode { id, kind: NodeKind::Sink, operator, description, rows, facts });
        }
        Ok(id)
    }
}

fn source_id(at: usize) -> String {
    format!("source_{}", at + 1)
}

/// The node of an operator.
pub(crate) fn operator_id(at: usize) -> String {
    format!("operator_{}", at + 1)
}

fn source_node(at: usize, source: &SourcePlan, options: &PipelineOptions) -> GraphNode {
    let delay = format!(
        "{:?} behind the latest row",
        std::time::Duration::from_micros(options.watermark_delay.unsigned_abs())
    );
    let says = source.shape.as_ref().is_some_and(|shape| shape.plan.schema().index_of(WATERMARK).is_ok());
    let watermark = if says { "as WATERMARK says".to_owned() } else { delay };
    let (operator, description, rows, reads) = match &source.kind {
        SourceKind::Lake(table, LakeMode::Append) => {
            ("lake", format!("source table {}", table.full_name()), APPEND, "rows that are inserted")
        }
        SourceKind::Lake(table, LakeMode::Changes) => {
            ("lake", format!("source table {}", table.full_name()), UPDATING, "every change")
        }
        SourceKind::Connector(options) => {
            let connector = options.connector();
            let (rows, reads) =
                if options.is_changelog() { (UPDATING, "every change") } else { (APPEND, "every row") };
            (connector, format!("source {}: {connector}", source.name), rows, reads)
        }
    };
    let mut facts = vec![("reads", reads.to_owned()), ("watermark", watermark)];
    if source.event_time == EventTime::Ingest {
        facts.push(("event time", "when an epoch reads the row".to_owned()));
    }
    GraphNode {
        id: source_id(at),
        kind: NodeKind::Source,
        operator: format!("source<{operator}>"),
        description,
        rows,
        facts,
    }
}

fn columns_of(source: &SourcePlan) -> Schema {
    match (&source.shape, &source.kind) {
        (Some(shape), _) => shape.schema.as_ref().clone(),
        (None, SourceKind::Lake(table, _)) => cenote_connect::LakeSource::columns(table),
        (None, SourceKind::Connector(options)) => options.columns(),
    }
}

/// `a Int64, b Utf8`, without hidden columns.
fn shown(columns: &Schema) -> String {
    let fields = columns.fields().iter().filter(|field| !field.name().starts_with('_'));
    fields.map(|field| format!("{} {}", field.name(), field.data_type())).collect::<Vec<_>>().join(", ")
}
