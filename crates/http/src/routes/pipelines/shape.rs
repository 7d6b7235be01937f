//! Pipelines as clients of Arroyo know them, with keys of ours added.

use std::collections::BTreeMap;

use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
use cenote_catalog::{Desired, Pipeline};
use cenote_query::{Error, PartOfChange, PipelineGraph, PipelineProgress, Session};
use serde_json::{Map, Value, json};

use super::id;
use crate::problem::Problem;

/// µs between checkpoints, if nothing else is said.
const CHECKPOINT_INTERVAL: u64 = 10_000_000;

/// One pipeline. One that cannot be planned any more has no nodes.
pub(super) async fn shown(session: &Session, pipeline: &Pipeline) -> Result<Value, Problem> {
    let progress = session.pipeline_progress().into_iter().find(|progress| progress.id == pipeline.id);
    let planned = match &progress {
        Some(progress) if !progress.graph.nodes.is_empty() => Ok(PipelineGraph::clone(&progress.graph)),
        _ => session.explain_pipeline(pipeline).await,
    };
    let mut planned = planned.unwrap_or_default();
    if let Some(asked) = pipeline.options.get("parallelism").and_then(|most| most.parse().ok()) {
        // A pipeline that runs may not have come to its next epoch.
        planned.parallelism = asked;
    }
    let drawn = graph(&planned);
    let (action, action_text, in_progress) = action(pipeline);
    let shows =
        drawn["nodes"].as_array().into_iter().flatten().any(|node| node["operator"] == "sink<preview>");
    Ok(json!({
        "id": id::shown(pipeline.id),
        "name": pipeline.name,
        "query": session.shown_script(pipeline),
        "udfs": [],
        "checkpoint_interval_micros": checkpoint_interval(pipeline),
        "stop": if pipeline.desired == Desired::Running { "none" } else { "checkpoint" },
        "created_at": pipeline.created.0,
        "action": action,
        "action_text": action_text,
        "action_in_progress": in_progress,
        "graph": drawn,
        "preview": shows,
        "state_url": null,
        "tags": tags(pipeline),
        "schema": pipeline.schema,
        "state": pipeline.state,
        "error": pipeline.error,
        "epoch": progress.as_ref().map(|progress| progress.epoch.0),
        "watermark": progress.as_ref().and_then(|progress| progress.watermark).map(|watermark| watermark.0),
        "lag": lag(progress.as_ref()),
    }))
}

/// Rows that are there and not read, if every source knows; and whether all is read, as far as is known.
fn lag(progress: Option<&PipelineProgress>) -> Value {
    let Some(progress) = progress else { return Value::Null };
    let rows = progress.sources.iter().map(|source| source.lag_rows).sum::<Option<u64>>();
    let idle = progress.sources.iter().all(|source| source.is_idle || source.has_ended);
    json!({"rows": rows, "idle": idle})
}

/// Nodes and edges; nodes are numbered from 0.
pub(super) fn graph(graph: &PipelineGraph) -> Value {
    let numbers: BTreeMap<&str, usize> =
        graph.nodes.iter().enumerate().map(|(number, node)| (node.id.as_str(), number)).collect();
    let nodes = graph.nodes.iter().enumerate().map(|(number, node)| {
        let facts = node.facts.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into()));
        json!({
            "node_id": number,
            "operator": node.operator,
            "description": node.description,
            "parallelism": graph.parallelism,
            "operator_id": node.id,
            "rows": node.rows,
            "facts": facts.collect::<Map<String, Value>>(),
        })
    });
    let edges = graph.edges.iter().map(|edge| {
        json!({
            "src_id": numbers.get(edge.from.as_str()),
            "dest_id": numbers.get(edge.to.as_str()),
            "key_type": "()",
            "value_type": edge.columns,
            "edge_type": "Forward",
        })
    });
    json!({
        "nodes": nodes.collect::<Vec<_>>(),
        "edges": edges.collect::<Vec<_>>(),
        "warnings": graph.warnings,
    })
}

/// How a part fits.
pub(super) fn part(part: &PartOfChange) -> Value {
    json!({
        "part": part.kind.name(),
        "name": part.name,
        "verdict": part.verdict.name(),
        "difference": part.verdict.difference(),
    })
}

/// What is wrong with a script, and where.
pub(super) fn diagnostic(error: &Error) -> Value {
    let mut told = json!({"message": error.to_string()});
    if let Some(place) = error.place() {
        told["span"] = json!({
            "start": {"line": place.line, "column": place.column},
            "end": {"line": place.line, "column": place.column + place.length},
        });
    }
    told
}

/// What a client may do next, in words for its button.
fn action(pipeline: &Pipeline) -> (Option<&'static str>, &'static str, bool) {
    match (pipeline.state.as_str(), pipeline.desired) {
        ("finished", _) => (None, "Finished", false),
        ("failed", _) | (_, Desired::Paused) if pipeline.state != "pausing" => (Some("none"), "Start", false),
        ("pausing", _) => (None, "Stopping", true),
        ("running", _) => (Some("checkpoint"), "Stop", false),
        _ => (Some("checkpoint"), "Starting", true),
    }
}

fn checkpoint_interval(pipeline: &Pipeline) -> u64 {
    let given = pipeline.options.get("checkpoint_interval").map(|text| spaced(text));
    let interval = given.and_then(|text| parse_interval_month_day_nano(&text).ok());
    let micros =
        interval.map(|interval| i64::from(interval.days) * 86_400_000_000 + interval.nanoseconds / 1_000);
    micros.and_then(|micros| u64::try_from(micros).ok()).unwrap_or(CHECKPOINT_INTERVAL)
}

/// `10s` as `10 s`.
fn spaced(text: &str) -> String {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    format!("{} {}", &text[..digits], text[digits..].trim_start())
}

fn tags(pipeline: &Pipeline) -> Map<String, Value> {
    let labels =
        pipeline.options.iter().filter_map(|(name, value)| Some((name.strip_prefix("label.")?, value)));
    labels.map(|(name, value)| (name.to_owned(), value.as_str().into())).collect()
}
