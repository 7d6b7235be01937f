//! The query of a materialized view, and the table that holds its rows.
//!
//! What tells the rows apart follows from the query: groups, else the ids of the rows that it reads. It is one hidden column of
//! the table, since values of groups may be NULL, of any type, and not shown by the view.

use std::collections::BTreeSet;
use std::sync::Arc;

use cenote_catalog::{Identity, MATERIALIZED, Pipeline, TableDef};
use cenote_connect::{Reach, WEIGHT};
use cenote_datafile::sql_schema;
use cenote_query::{Engine, StreamTables, view_columns};
use cenote_vocab::{ErrorKind, Field, FieldId, FieldType, TableId, TableSchema};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, cast};

use super::hidden::{columns, with_hidden};
use super::key::with_keys;
use super::{Output, PipelinePlan, Planner, Writes, check};
use crate::Error;
use crate::streams::SourceKind;

/// The hidden column.
const KEY: &str = "_key";

/// The table of a view that is to be made.
pub(crate) struct Shape {
    /// Columns of the view, which come first.
    pub(crate) shown: TableSchema,
    pub(crate) columns: TableSchema,
    pub(crate) key: FieldId,
    /// Tables of the lake that it reads, and views.
    pub(crate) sources: BTreeSet<TableId>,
    /// Those of them whose rows must keep their ids from now on.
    pub(crate) with_ids: BTreeSet<TableId>,
}

/// What table a view needs. Errors name what its query may not hold.
pub(crate) async fn shape(engine: &Engine, owner: Identity, pipeline: &Pipeline) -> Result<Shape, Error> {
    // a view reads the lake only
    let reach = Reach::Named { paths: Vec::new(), urls: Vec::new() };
    let mut planner = Planner::open(engine, owner, pipeline, &reach).await?;
    let (shown, _, _) = Box::pin(planner.view_query(&pipeline.script)).await?;
    let mut fields = shown.fields.clone();
    if fields.iter().any(|field| field.name == KEY) {
        return Err(Error::Invalid(format!("a materialized view has a column \"{KEY}\" of its own")));
    }
    let key = FieldId(i32::try_from(fields.len() + 1).unwrap_or(i32::MAX));
    fields.push(Field { required: true, ..Field::new(key, KEY, FieldType::Binary) });
    let columns = cenote_catalog::first_schema(fields)?;
    let (mut sources, mut with_ids) = (BTreeSet::new(), BTreeSet::new());
    for source in planner.streams.sources() {
        if let SourceKind::Lake(table, _) = &source.kind {
            if planner.streams.shows_ids(table.id) && !table.row_lineage() {
                with_ids.insert(table.id);
            }
            sources.insert(table.id);
        }
    }
    sources.extend(planner.streams.views().keys());
    Ok(Shape { shown, columns, key, sources, with_ids })
}

impl Planner {
    /// Plans a view into the table with its rows.
    pub(super) async fn view(mut self, pipeline: &Pipeline) -> Result<PipelinePlan, Error> {
        let catalog = &self.lake.catalog;
        let scope = &self.scope;
        let id = pipeline.options.get(MATERIALIZED);
        let names = catalog.names(scope, catalog.head(scope).await?.txn).await?;
        let target = names.tables().find(|table| Some(&table.id.to_string()) == id).cloned();
        let target = target.ok_or_else(|| {
            let text = format!("the table with the rows of {} is gone", pipeline.full_name());
            cenote_query::Error::new(ErrorKind::NotFound, text)
        })?;
        let (shown, plan, keys) = Box::pin(self.view_query(&pipeline.script)).await?;
        same_columns(&shown, &target)?;
        let plan = typed(plan, &target)?;
        let plan = with_hidden(&plan, &[WEIGHT])?;
        let Some(state) = self.state.clone() else {
            return Err(Error::Invalid("a view without a query".to_owned()));
        };
        let optimized = state.optimize(&plan)?;
        let plan = state.create_physical_plan(&optimized).await?;
        self.outputs.push((optimized, Output { target, plan, writes: Writes::View { keys } }));
        self.finish()
    }

    /// Fails if the times of some table's rows are not in the column that the watermark names.
    fn check_time(&self) -> Result<(), Error> {
        let Some(wanted) = &self.options.view_time else { return Ok(()) };
        for source in self.streams.sources() {
            let SourceKind::Lake(table, _) = &source.kind else { continue };
            let time = table.time_column();
            if !time.is_some_and(|time| time.name.eq_ignore_ascii_case(wanted)) {
                return Err(Error::Invalid(format!(
                    "option 'watermark' names column \"{wanted}\", which is not the time column of table {}{}",
                    table.full_name(),
                    time.map_or_else(String::new, |time| format!(": that is \"{}\"", time.name))
                )));
            }
        }
        Ok(())
    }

    /// The columns of the query; the query with what tells its rows apart as its last columns, and how many those are.
    async fn view_query(&mut self, sql: &str) -> Result<(TableSchema, LogicalPlan, usize), Error> {
        let tables: Arc<dyn StreamTables> = self.streams.clone();
        let (plan, state) = Box::pin(self.session.plan_query(sql, &tables)).await?;
        let state = super::narrow(state);
        check::steady(&plan)?;
        let shown = view_columns(plan.schema().inner())?;
        // Rows of a table have no order.
        let plan = match plan {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => Arc::unwrap_or_clone(sort.input),
            plan => plan,
        };
        let (plan, _) = self.cut(plan, &state).await?;
        self.check_time()?;
        self.state.get_or_insert(state);
        let (plan, keys) = with_keys(&plan, "\u{1f}key")?;
        Ok((shown, plan, keys))
    }
}

/// Fails unless the query still has the columns of the view, whatever they are called by now.
fn same_columns(query: &TableSchema, target: &TableDef) -> Result<(), Error> {
    // the last one is the key
    let (query, view) =
        (&query.fields, &target.schema.fields[..target.schema.fields.len().saturating_sub(1)]);
    let differs = |difference: String| Err(Error::State { operator: target.full_name(), difference });
    if query.len() != view.len() {
        return differs(format!("the query has {} columns, the view has {}", query.len(), view.len()));
    }
    match query.iter().zip(view).find(|(query, view)| query.field_type != view.field_type) {
        None => Ok(()),
        Some((now, was)) => differs(format!(
            "column \"{}\" was {}, it is {}",
            was.name,
            was.field_type.sql_name(),
            now.field_type.sql_name()
        )),
    }
}

/// The columns of the query as the table has them, with the keys behind them.
fn typed(plan: LogicalPlan, target: &TableDef) -> Result<LogicalPlan, Error> {
    let wanted = sql_schema(&target.schema);
    let shown = wanted.fields().len() - 1;
    let types = plan.schema().fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
    let casted: Vec<Expr> = columns(&plan)
        .enumerate()
        .map(|(at, column)| match wanted.fields().get(at).filter(|_| at < shown) {
            Some(field) if *field.data_type() != types[at] => {
                cast(column, field.data_type().clone()).alias(format!("c{at}"))
            }
            _ => column.alias(format!("c{at}")),
        })
        .collect();
    Ok(LogicalPlan::Projection(Projection::try_new(casted, Arc::new(plan))?))
}
