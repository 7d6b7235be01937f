//! Which columns of tables the columns of a plan come of, bottom up over its nodes (metadata page, 9).
//!
//! A value of an output column stays what it is when a column changes that is not among its sources. A node that is not known here
//! makes the whole unknown: nothing is guessed, least of all from names.

mod expression;

use std::collections::{BTreeMap, BTreeSet};

use cenote_catalog::{ColumnEdge, ColumnKind, TableDef};
use cenote_vocab::{FieldId, TableId};
use datafusion::common::{DFSchema, JoinType};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Join, LogicalPlan, TableScan, Union, Unnest, Window,
};

use crate::scan::LakeTable;

/// The most edges that are kept of one statement.
const EDGES_MAX: usize = 10_000;

/// Columns that something comes of, and in which ways.
type Traces = BTreeMap<(TableId, FieldId), BTreeSet<ColumnKind>>;

/// What the rows of a node come of.
#[derive(Clone, Debug, Default)]
struct Origins {
    /// Per column of its schema.
    columns: Vec<Traces>,
    /// What decides which rows there are.
    rows: Traces,
}

/// Where expressions find what their columns come of.
#[derive(Clone, Copy)]
struct Scope<'a> {
    schema: &'a DFSchema,
    columns: &'a [Traces],
    /// Around a subquery.
    outer: Option<&'a Self>,
}

/// The columns of `target` by those that the plan of its new rows reads, in the same order; `None` if that is not known of all.
pub(crate) fn column_edges(plan: &LogicalPlan, target: &TableDef) -> Option<Vec<ColumnEdge>> {
    let origins = of_plan(plan, None, Limited::No)?;
    if origins.columns.len() != target.schema.fields.len() {
        return None;
    }
    let mut edges = Vec::new();
    for (column, field) in origins.columns.into_iter().zip(&target.schema.fields) {
        let traces = union([column, origins.rows.clone()]);
        edges.extend(traces.into_iter().flat_map(|(source, kinds)| {
            kinds.into_iter().map(move |kind| ColumnEdge { source, target: (target.id, field.id), kind })
        }));
        if edges.len() > EDGES_MAX {
            return None;
        }
    }
    Some(edges)
}

/// Whether a LIMIT above lets an order decide which rows there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limited {
    No,
    Yes,
}

fn of_plan(plan: &LogicalPlan, outer: Option<&Scope<'_>>, limited: Limited) -> Option<Origins> {
    match plan {
        LogicalPlan::TableScan(scan) => of_scan(scan, outer, limited),
        LogicalPlan::EmptyRelation(empty) => {
            Some(Origins { columns: vec![Traces::new(); empty.schema.fields().len()], ..Origins::default() })
        }
        LogicalPlan::Values(values) => {
            let mut columns = vec![Traces::new(); values.schema.fields().len()];
            let scope = Scope { schema: &values.schema, columns: &[], outer };
            for row in &values.values {
                for (column, value) in columns.iter_mut().zip(row) {
                    add(column, scope.trace(value)?);
                }
            }
            Some(Origins { columns, ..Origins::default() })
        }
        LogicalPlan::Projection(projection) => {
            let input = of_plan(&projection.input, outer, limited)?;
            let scope = Scope { schema: projection.input.schema(), columns: &input.columns, outer };
            Some(Origins { columns: scope.traces(&projection.expr)?, rows: input.rows })
        }
        LogicalPlan::Filter(filter) => {
            let mut input = of_plan(&filter.input, outer, limited)?;
            let scope = Scope { schema: filter.input.schema(), columns: &input.columns, outer };
            add(&mut input.rows, indirect(scope.trace(&filter.predicate)?, ColumnKind::Filter));
            Some(input)
        }
        LogicalPlan::Sort(sort) => {
            let limited = if sort.fetch.is_some() { Limited::Yes } else { limited };
            let mut input = of_plan(&sort.input, outer, limited)?;
            if limited == Limited::Yes {
                let scope = Scope { schema: sort.input.schema(), columns: &input.columns, outer };
                let keys = sort.expr.iter().map(|key| scope.trace(&key.expr));
                let keys = union(keys.collect::<Option<Vec<_>>>()?);
                add(&mut input.rows, indirect(keys, ColumnKind::Sort));
            }
            Some(input)
        }
        LogicalPlan::Limit(limit) => of_plan(&limit.input, outer, Limited::Yes),
        LogicalPlan::SubqueryAlias(alias) => of_plan(&alias.input, outer, limited),
        LogicalPlan::Repartition(repartition) => of_plan(&repartition.input, outer, limited),
        LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate, outer, limited),
        LogicalPlan::Window(window) => of_window(window, outer, limited),
        LogicalPlan::Join(join) => of_join(join, outer, limited),
        LogicalPlan::Union(union) => of_union(union, outer, limited),
        LogicalPlan::Distinct(distinct) => of_distinct(distinct, outer, limited),
        LogicalPlan::Unnest(unnest) => of_unnest(unnest, outer, limited),
        _ => None,
    }
}

fn of_scan(scan: &TableScan, outer: Option<&Scope<'_>>, limited: Limited) -> Option<Origins> {
    let all = match scan.source.get_logical_plan() {
        Some(view) => of_plan(&view, outer, limited)?,
        None => {
            let provider = source_as_provider(&scan.source).ok()?;
            let lake = provider.downcast_ref::<LakeTable>()?;
            let trace = |id| Traces::from([((lake.id(), id), BTreeSet::from([ColumnKind::Identity]))]);
            let columns = lake.field_ids().map(trace).collect();
            Origins { columns, ..Origins::default() }
        }
    };
    if all.columns.len() != scan.source.schema().fields().len() {
        return None;
    }
    let columns = match &scan.projection {
        None => all.columns,
        Some(places) => places.iter().map(|place| all.columns.get(*place).cloned()).collect::<Option<_>>()?,
    };
    let mut origins = Origins { columns, rows: all.rows };
    let scope = Scope { schema: &scan.projected_schema, columns: &origins.columns, outer };
    let filters = scan.filters.iter().map(|filter| scope.trace(filter)).collect::<Option<Vec<_>>>()?;
    add(&mut origins.rows, indirect(union(filters), ColumnKind::Filter));
    Some(origins)
}

fn of_aggregate(aggregate: &Aggregate, outer: Option<&Scope<'_>>, limited: Limited) -> Option<Origins> {
    let mut input = of_plan(&aggregate.input, outer, limited)?;
    let scope = Scope { schema: aggregate.input.schema(), columns: &input.columns, outer };
    let mut columns = Vec::with_capacity(aggregate.schema.fields().len());
    for key in grouping_set_to_exprlist(&aggregate.group_expr).ok()? {
        columns.push(scope.trace(key)?);
    }
    let keys = indirect(union(columns.clone()), ColumnKind::GroupBy);
    if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) {
        columns.push(Traces::new()); // which of the sets a row is of
    }
    columns.extend(scope.traces(&aggregate.aggr_expr)?);
    add(&mut input.rows, keys);
    (columns.len() == aggregate.schema.fields().len()).then_some(Origins { columns, rows: input.rows })
}

fn of_window(window: &Window, outer: Option<&Scope<'_>>, limited: Limited) -> Option<Origins> {
    let mut input = of_plan(&window.input, outer, limited)?;
    let scope = Scope { schema: window.input.schema(), columns: &input.columns, outer };
    let more = scope.traces(&window.window_expr)?;
    input.columns.extend(more);
    Some(input)
}

fn of_join(join: &Join, outer: Option<&Scope<'_>>, limited: Limited) -> Option<Origins> {
    let (left, right) = (of_plan(&join.left, outer, limited)?, of_plan(&join.right, outer, limited)?);
    let both: Vec<Traces> = left.columns.iter().chain(&right.columns).cloned().collect();
    let mut condition = Traces::new();
    let left_scope = Scope { schema: join.left.schema(), columns: &left.columns, outer };
    let right_scope = Scope { schema: join.right.schema(), columns: &right.columns, outer };
    for (a, b) in &join.on {
        add(&mut condition, left_scope.trace(a)?);
        add(&mut condition, right_scope.trace(b)?);
    }
    if let Some(filter) = &join.filter {
        let schema = join.left.schema().join(join.right.schema()).ok()?;
        add(&mut condition, Scope { schema: &schema, columns: &both, outer }.trace(filter)?);
    }
    let matched = |mut columns: Vec<Traces>| {
        columns.push(indirect(condition.clone(), ColumnKind::Conditional));
        columns
    };
    let columns = match join.join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => both,
        JoinType::LeftSemi | JoinType::LeftAnti => left.columns,
        JoinType::RightSemi | JoinType::RightAnti => right.columns,
        JoinType::LeftMark => matched(left.columns),
        JoinType::RightMark => matched(right.columns),
    };
    let rows = union([left.rows, right.rows, indirect(condition, ColumnKind::Join)]);
    (columns.len() == join.schema.fields().len()).then_some(Origins { columns, rows })
}

fn of_union(all: &Union, outer: Option<&Scope<'_>>, limited: Limited) -> Option<Origins> {
    let mut origins =
        Origins { columns: vec![Traces::new(); all.schema.fields().len()], ..Origins::default() };
    for input in &all.inputs {
        let input = of_plan(input, outer, limited)?;
        if input.columns.len() != origins.columns.len() {
            return None;
        }
        origins.columns.iter_mut().zip(input.columns).for_each(|(known, more)| add(known, more));
        add(&mut origins.rows, input.rows);
    }
    Some(origins)
}

fn of_distinct(distinct: &Distinct, outer: Option<&Scope<'_>>, limited: Limited) -> Option<Origins> {
    match distinct {
        Distinct::All(input) => {
            let mut input = of_plan(input, outer, limited)?;
            let keys = indirect(union(input.columns.clone()), ColumnKind::GroupBy);
            add(&mut input.rows, keys);
            Some(input)
        }
        Distinct::On(on) => {
            let input = of_plan(&on.input, outer, Limited::Yes)?;
            let scope = Scope { schema: on.input.schema(), columns: &input.columns, outer };
            let keys = indirect(union(scope.traces(&on.on_expr)?), ColumnKind::GroupBy);
            let order = on.sort_expr.iter().flatten().map(|key| scope.trace(&key.expr));
            let order = union(order.collect::<Option<Vec<_>>>()?);
            let rows = union([input.rows.clone(), keys, indirect(order, ColumnKind::Sort)]);
            Some(Origins { columns: scope.traces(&on.select_expr)?, rows })
        }
    }
}

/// How often a row stands in the answer depends on its lists.
fn of_unnest(unnest: &Unnest, outer: Option<&Scope<'_>>, limited: Limited) -> Option<Origins> {
    let mut input = of_plan(&unnest.input, outer, limited)?;
    let opened = |place: &usize| {
        unnest.list_type_columns.iter().any(|(list, _)| list == place)
            || unnest.struct_type_columns.contains(place)
    };
    let columns = unnest.dependency_indices.iter().map(|place| {
        let traces = input.columns.get(*place)?.clone();
        Some(if opened(place) { made(traces, ColumnKind::Transformation) } else { traces })
    });
    let columns = columns.collect::<Option<Vec<_>>>()?;
    for (place, _) in &unnest.list_type_columns {
        add(&mut input.rows, indirect(input.columns.get(*place)?.clone(), ColumnKind::Join));
    }
    Some(Origins { columns, rows: input.rows })
}

fn add(known: &mut Traces, more: Traces) {
    for (source, kinds) in more {
        known.entry(source).or_default().extend(kinds);
    }
}

fn union(all: impl IntoIterator<Item = Traces>) -> Traces {
    let mut found = Traces::new();
    all.into_iter().for_each(|traces| add(&mut found, traces));
    found
}

/// Of what decides, not of what becomes a value.
fn indirect(traces: Traces, kind: ColumnKind) -> Traces {
    traces.into_keys().map(|source| (source, BTreeSet::from([kind]))).collect()
}

/// Of values that something else is made of; what was aggregated stays that.
fn made(traces: Traces, kind: ColumnKind) -> Traces {
    let made = |of: ColumnKind| if of.is_direct() { of.max(kind) } else { of };
    traces.into_iter().map(|(source, kinds)| (source, kinds.into_iter().map(made).collect())).collect()
}
