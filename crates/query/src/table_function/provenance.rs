//! `provenance('t', txn, 3)`: the commits that a version of a table was made by, and what each of them read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{
    Identity, Provenance, ProvenanceCommit, ProvenanceInput, TableDef, TablesById, node_name,
};
use cenote_vocab::{ErrorKind, Txn};
use futures::stream::{self, StreamExt};

use super::arguments::Arguments;
use super::{Context, Relation};
use crate::Error;
use crate::statement::table_batch;

/// The farthest that a walk goes.
const DEPTH_MAX: u32 = 100;
/// The most commits of one walk.
const COMMITS_MAX: usize = 10_000;

fn columns() -> SchemaRef {
    let number = |name: &str, nullable: bool| Field::new(name, DataType::Int64, nullable);
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        number("hop", false),
        text("table_name", false),
        number("txn", false),
        Field::new("committed_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        text("operation", true),
        text("run_id", true),
        text("code_id", true),
        text("input", true),
        text("input_from", true),
        text("input_to", true),
        number("made_by", true),
        Field::new("hidden", DataType::Boolean, false),
    ]))
}

/// The commits up to the version, one row for each thing that one read. Tables that the asker may not read have no name, and nothing
/// is said of their commits but the number.
pub(super) fn relation(
    context: &Context<'_>,
    table: &Arc<TableDef>,
    at: Txn,
    arguments: &Arguments<'_>,
) -> Result<Relation, Error> {
    let depth = arguments.number("depth", 1, DEPTH_MAX)?;
    let (catalog, scope) = (context.engine.lake().catalog.clone(), context.scope().clone());
    let (identity, seen, start) = (context.identity.clone(), context.at, table.id);
    let name = format!("provenance({}, {at})", table.full_name());
    Ok(Relation::new(name, columns(), move |places, _| {
        let (catalog, scope, places) = (catalog.clone(), scope.clone(), places.to_vec());
        let identity = identity.clone();
        let rows = async move {
            let found = catalog.provenance(&scope, (start, at), depth, COMMITS_MAX).await?;
            check_whole(&found)?;
            let tables = catalog.tables_by_id(&scope, seen).await?;
            let batch = Shown { identity: &identity, tables: &tables }.batch(&found)?;
            Ok(batch.project(&places).map_err(cenote_table::Error::from)?)
        };
        Ok(stream::once(rows).boxed())
    }))
}

/// A walk that was cut is an error: rows cannot say that there are more.
fn check_whole(found: &Provenance) -> Result<(), Error> {
    if !found.truncated {
        return Ok(());
    }
    let text = format!("provenance reaches more than {COMMITS_MAX} commits");
    Err(Error::new(ErrorKind::Exhausted, text).with_hint("ask for a smaller depth"))
}

/// What the asker may see of commits.
struct Shown<'a> {
    identity: &'a Identity,
    tables: &'a TablesById,
}

impl Shown<'_> {
    fn batch(&self, found: &Provenance) -> Result<RecordBatch, Error> {
        let mut hidden: BTreeMap<String, usize> = BTreeMap::new();
        let mut name = |node: &str| {
            node_name(self.tables, self.identity, node).ok_or_else(|| {
                let next = hidden.len() + 1;
                format!("hidden {}", hidden.entry(node.to_owned()).or_insert(next))
            })
        };
        type Row<'a> = (
            &'a ProvenanceCommit,
            Result<String, String>,
            Option<(&'a ProvenanceInput, Result<String, String>)>,
        );
        let mut rows: Vec<Row<'_>> = Vec::new();
        for commit in &found.commits {
            let table = name(&commit.table.to_string());
            if commit.inputs.is_empty() {
                rows.push((commit, table.clone(), None));
            }
            for input in &commit.inputs {
                let read = name(&input.input.node);
                rows.push((commit, table.clone(), Some((input, read))));
            }
        }
        let either = |name: &Result<String, String>| match name {
            Ok(name) | Err(name) => name.clone(),
        };
        // Of a commit of a table that the asker may not know of, nothing but its number is told.
        let told = |row: &Row<'_>, of: fn(&ProvenanceCommit) -> Option<String>| {
            row.1.as_ref().ok().and_then(|_| of(row.0))
        };
        let read = |row: &Row<'_>, of: fn(&ProvenanceInput) -> Option<String>| {
            row.2.as_ref().filter(|(_, name)| name.is_ok()).and_then(|(input, _)| of(input))
        };
        let texts = |values: Vec<Option<String>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let times: TimestampMicrosecondArray =
            rows.iter().map(|row| row.1.as_ref().ok().map(|_| row.0.facts.committed.0)).collect();
        let hidden: BooleanArray = rows
            .iter()
            .map(|row| Some(row.1.is_err() || row.2.as_ref().is_some_and(|(_, name)| name.is_err())))
            .collect();
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(i64::from(row.0.hop))).collect::<Int64Array>()),
            texts(rows.iter().map(|row| Some(either(&row.1))).collect()),
            Arc::new(rows.iter().map(|row| Some(row.0.facts.txn.0)).collect::<Int64Array>()),
            Arc::new(times.with_timezone("UTC")),
            texts(rows.iter().map(|row| told(row, |commit| Some(commit.facts.operation.clone()))).collect()),
            texts(rows.iter().map(|row| told(row, |commit| Some(commit.facts.run?.to_string()))).collect()),
            texts(rows.iter().map(|row| told(row, |commit| Some(hex::encode(commit.facts.code?)))).collect()),
            texts(rows.iter().map(|row| row.2.as_ref().map(|(_, name)| either(name))).collect()),
            texts(rows.iter().map(|row| read(row, |input| input.input.from.clone())).collect()),
            texts(rows.iter().map(|row| read(row, |input| input.input.to.clone())).collect()),
            Arc::new(
                rows.iter()
                    .map(|row| row.2.as_ref().and_then(|(input, _)| Some(input.made_by?.0)))
                    .collect::<Int64Array>(),
            ),
            Arc::new(hidden),
        ];
        table_batch(columns(), arrays)
    }
}
