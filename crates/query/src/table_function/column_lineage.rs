//! `column_lineage('t', 'total', 'upstream', 3)`: which columns a column came of, and which came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{ColumnEdge, Identity, TableDef, TablesById, Walk, WalkRequest, node_name};
use cenote_vocab::{FieldId, TableId};
use futures::stream::{self, StreamExt};
use sqlparser::ast::Ident;

use super::arguments::Arguments;
use super::lineage::{DEPTH_MAX, NODES_MAX, check_whole, directions};
use super::{Context, Relation};
use crate::Error;
use crate::plan::column_of;
use crate::statement::table_batch;

type Node = (TableId, FieldId);

fn columns() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        text("direction"),
        Field::new("hop", DataType::Int64, false),
        text("source_table"),
        text("source_column"),
        text("target_table"),
        text("target_column"),
        Field::new("hidden", DataType::Boolean, false),
        text("kind"),
        text("subtype"),
    ]))
}

/// The edges around the column as of the statement's snapshot. Tables that the asker may not read have no name, nor have their columns.
pub(super) fn relation(
    context: &Context<'_>,
    table: &Arc<TableDef>,
    arguments: &Arguments<'_>,
) -> Result<Relation, Error> {
    let column = arguments.text("column")?;
    let exact = column_of(table, &Ident::with_quote('"', &column));
    let field = exact.or_else(|_| column_of(table, &Ident::new(&column)))?;
    let directions = directions(arguments)?;
    let depth = arguments.number("depth", 1, DEPTH_MAX)?;
    let (catalog, scope, at) = (context.engine.lake().catalog.clone(), context.scope().clone(), context.at);
    let (identity, names, start) = (context.identity.clone(), context.names.clone(), (table.id, field.id));
    let name = format!("column_lineage({}, {})", table.full_name(), field.name);
    Ok(Relation::new(name, columns(), move |places, _| {
        let (catalog, scope, places) = (catalog.clone(), scope.clone(), places.to_vec());
        let (identity, names, directions) = (identity.clone(), names.clone(), directions.clone());
        let rows = async move {
            let asked = WalkRequest { at, directions, depth, nodes_max: NODES_MAX };
            let walked = catalog.walk_columns(&scope, start, asked).await?;
            check_whole(&walked)?;
            let tables = TablesById::new(names);
            let shown = Shown { identity: &identity, tables: &tables, hidden: BTreeMap::new() };
            Ok(shown.batch(&walked)?.project(&places).map_err(cenote_table::Error::from)?)
        };
        Ok(stream::once(rows).boxed())
    }))
}

/// What the asker may see of columns.
struct Shown<'a> {
    identity: &'a Identity,
    tables: &'a TablesById,
    /// Numbers of the tables without a name, in the order in which they were met.
    hidden: BTreeMap<TableId, usize>,
}

/// The names of a table and a column, and whether they are the true ones.
struct Name {
    table: String,
    column: String,
    is_hidden: bool,
}

impl Shown<'_> {
    fn batch(mut self, walked: &Walk<ColumnEdge>) -> Result<RecordBatch, Error> {
        let mut ends = Vec::with_capacity(walked.edges.len());
        for met in &walked.edges {
            ends.push((self.name(met.edge.source), self.name(met.edge.target)));
        }
        let texts = |of: &dyn Fn(usize) -> String| -> ArrayRef {
            Arc::new((0..ends.len()).map(|at| Some(of(at))).collect::<StringArray>())
        };
        let hops: Int64Array = walked.edges.iter().map(|met| i64::from(met.hop)).collect();
        let hidden: BooleanArray =
            ends.iter().map(|(source, target)| Some(source.is_hidden || target.is_hidden)).collect();
        table_batch(
            columns(),
            vec![
                texts(&|at| walked.edges[at].direction.name().to_owned()),
                Arc::new(hops),
                texts(&|at| ends[at].0.table.clone()),
                texts(&|at| ends[at].0.column.clone()),
                texts(&|at| ends[at].1.table.clone()),
                texts(&|at| ends[at].1.column.clone()),
                Arc::new(hidden),
                texts(&|at| walked.edges[at].edge.kind.kind().to_owned()),
                texts(&|at| walked.edges[at].edge.kind.subtype().to_owned()),
            ],
        )
    }

    fn name(&mut self, (table, field): Node) -> Name {
        let Some(name) = node_name(self.tables, self.identity, &table.to_string()) else {
            let next = self.hidden.len() + 1;
            let number = self.hidden.entry(table).or_insert(next);
            return Name { table: format!("hidden {number}"), column: "hidden".to_owned(), is_hidden: true };
        };
        let known = self.tables.table_by_id(table).and_then(|known| known.schema.field_by_id(field));
        let column = known.map_or_else(|| format!("dropped column {field}"), |field| field.name.clone());
        Name { table: name, column, is_hidden: false }
    }
}
