//! `lineage('t', 'upstream', 3)`: which tables the rows of a table came of, and which came of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Direction, Identity, LineageEdge, TableDef, TablesById, Walk, WalkRequest, node_name};
use cenote_vocab::ErrorKind;
use futures::stream::{self, StreamExt};

use super::arguments::Arguments;
use super::{Context, Relation};
use crate::Error;
use crate::statement::table_batch;

/// The farthest that a walk goes.
pub(super) const DEPTH_MAX: u32 = 100;
/// The most nodes of one walk.
pub(super) const NODES_MAX: usize = 10_000;

fn columns() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("direction", false),
        number("hop"),
        text("source", false),
        text("target", false),
        Field::new("hidden", DataType::Boolean, false),
        text("edge_type", false),
        text("code_id", true),
        number("first_txn"),
        number("last_txn"),
        number("commits"),
        number("rows_written"),
        text("last_run_id", true),
    ]))
}

/// The edges around the table as of the statement's snapshot. Tables that the asker may not read have no name.
pub(super) fn relation(
    context: &Context<'_>,
    table: &Arc<TableDef>,
    arguments: &Arguments<'_>,
) -> Result<Relation, Error> {
    let directions = directions(arguments)?;
    let depth = arguments.number("depth", 1, DEPTH_MAX)?;
    let (catalog, scope, at) = (context.engine.lake().catalog.clone(), context.scope().clone(), context.at);
    let (identity, names, start) = (context.identity.clone(), context.names.clone(), table.id);
    let name = format!("lineage({})", table.full_name());
    Ok(Relation::new(name, columns(), move |places, _| {
        let (catalog, scope, places) = (catalog.clone(), scope.clone(), places.to_vec());
        let (identity, names, directions) = (identity.clone(), names.clone(), directions.clone());
        let rows = async move {
            let asked = WalkRequest { at, directions, depth, nodes_max: NODES_MAX };
            let walked = catalog.walk_lineage(&scope, &start.to_string(), asked).await?;
            check_whole(&walked)?;
            let shown = Shown { identity: &identity, tables: &TablesById::new(names) };
            Ok(shown.batch(&walked)?.project(&places).map_err(cenote_table::Error::from)?)
        };
        Ok(stream::once(rows).boxed())
    }))
}

/// Both, if the call does not say.
pub(super) fn directions(arguments: &Arguments<'_>) -> Result<Vec<Direction>, Error> {
    match arguments.optional_text("direction")?.as_deref() {
        None | Some("both") => Ok(vec![Direction::Upstream, Direction::Downstream]),
        Some("upstream") => Ok(vec![Direction::Upstream]),
        Some("downstream") => Ok(vec![Direction::Downstream]),
        Some(other) => {
            let text = format!("argument direction is 'upstream', 'downstream' or 'both', got '{other}'");
            Err(arguments.wrong(text))
        }
    }
}

/// A walk that was cut is an error: rows cannot say that there are more.
pub(super) fn check_whole<E>(walked: &Walk<E>) -> Result<(), Error> {
    if !walked.truncated {
        return Ok(());
    }
    let text = format!("lineage reaches more than {NODES_MAX} nodes, or too many edges");
    Err(Error::new(ErrorKind::Exhausted, text).with_hint("ask for a smaller depth"))
}

/// What the asker may see of nodes.
struct Shown<'a> {
    identity: &'a Identity,
    tables: &'a TablesById,
}

impl Shown<'_> {
    fn batch(&self, walked: &Walk<LineageEdge>) -> Result<RecordBatch, Error> {
        let mut hidden: BTreeMap<String, usize> = BTreeMap::new();
        let mut name = |node: &str| {
            node_name(self.tables, self.identity, node).ok_or_else(|| {
                let next = hidden.len() + 1;
                format!("hidden {}", hidden.entry(node.to_owned()).or_insert(next))
            })
        };
        let ends: Vec<_> =
            walked.edges.iter().map(|met| (name(&met.edge.source), name(&met.edge.target))).collect();
        let texts = |values: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let numbers = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        let edges = || walked.edges.iter().map(|met| &met.edge);
        let known = |name: &Result<String, String>| match name {
            Ok(name) | Err(name) => name.clone(),
        };
        let is_hidden: BooleanArray =
            ends.iter().map(|(source, target)| Some(source.is_err() || target.is_err())).collect();
        let codes: StringArray = edges().map(|edge| edge.code.map(hex::encode)).collect();
        let runs: StringArray = edges().map(|edge| edge.run.map(|run| run.to_string())).collect();
        table_batch(
            columns(),
            vec![
                texts(walked.edges.iter().map(|met| met.direction.name()).collect()),
                numbers(walked.edges.iter().map(|met| i64::from(met.hop)).collect()),
                Arc::new(ends.iter().map(|(source, _)| Some(known(source))).collect::<StringArray>()),
                Arc::new(ends.iter().map(|(_, target)| Some(known(target))).collect::<StringArray>()),
                Arc::new(is_hidden),
                texts(edges().map(|edge| edge.edge_type).collect()),
                Arc::new(codes),
                numbers(edges().map(|edge| edge.first.0).collect()),
                numbers(edges().map(|edge| edge.last.0).collect()),
                numbers(edges().map(|edge| edge.commits).collect()),
                numbers(edges().map(|edge| edge.rows_written).collect()),
                Arc::new(runs),
            ],
        )
    }
}
