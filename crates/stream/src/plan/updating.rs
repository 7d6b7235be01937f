//! Operators of rows that may be taken back: what a node of a query becomes that cannot wait for its last row.
//!
//! ```text
//! aggregate over rows that are added, or of sums and counts  ─►  Grouped: states of groups add up
//! every other aggregate, ranks, first rows, joins            ─►  Keyed: keys that were touched are answered again
//! ```

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use cenote_connect::WEIGHT;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Filter, LogicalPlan, Projection, Sort, SortExpr, Window, cast,
};
use datafusion::prelude::{col, lit};

use super::check;
use super::cut::{
    Cut, OperatorCut, Rows, call, columns_of, named, over_columns, over_ordered_columns, place,
};
use super::forget::Forget;
use super::functions::key_part;
use super::hidden::{columns, hidden_column, with_hidden};
use super::key::{key_of, with_keys};
use super::late::{LateColumns, LateOf};
use super::ranks::First;
use super::sums::Sums;
use crate::Error;
use crate::feed::Feed;
use crate::session::Groups;
use crate::window::WindowKind;

/// An aggregate whose states of a group add up.
pub(super) struct GroupedCut {
    /// Columns `g0…` to group by, then `a1…` for the functions. No state below.
    pub(super) input: LogicalPlan,
    pub(super) groups: usize,
    /// Over the columns of the input.
    pub(super) functions: Vec<Expr>,
    /// Over rows that may be taken back: what the sums mean. The first of them is the number of rows.
    pub(super) meaning: Option<Meaning>,
    /// Results are only added, since they never change.
    pub(super) is_append: bool,
    pub(super) forget: Forget,
    /// Columns of the input behind those.
    pub(super) late: Option<LateColumns>,
    pub(super) output: Feed,
    pub(super) name: String,
}

/// Results of sums.
pub(super) struct Meaning {
    pub(super) sums: Feed,
    pub(super) plan: LogicalPlan,
}

/// A part of a query whose answer for a key depends on the rows with that key only.
pub(super) struct KeyedCut {
    pub(super) inputs: Vec<KeyedInput>,
    /// The answer of the query over its inputs' rows. If answers are kept, the key stands first.
    pub(super) answer: LogicalPlan,
    /// Columns of the key.
    pub(super) keys: usize,
    /// Rows are brought together to sessions before.
    pub(super) sessions: Option<Groups>,
    pub(super) before: Before,
    /// Answers are there without any row.
    pub(super) is_whole: bool,
    /// Answers are only added.
    pub(super) is_append: bool,
    /// Of keys if the answers are kept, else of single rows.
    pub(super) forget: Forget,
    pub(super) output: Feed,
    pub(super) name: String,
}

/// How it is known what was answered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Answers are kept: asked again they may be others, as sums of floats are.
    Kept,
    /// The same, and rows that are in no answer are not: they never will be. The columns of a row stand first in its answer.
    KeptWithItsRows,
    /// It is asked again.
    AskedAgain,
    /// It need not be known: an inner join answers each pair of rows by itself.
    Pairs,
}

impl Before {
    pub(super) fn is_kept(self) -> bool {
        matches!(self, Self::Kept | Self::KeptWithItsRows)
    }
}

/// One side of it.
pub(super) struct KeyedInput {
    /// The key `k0…`, columns `c0…`, and the weight. No state below.
    pub(super) plan: LogicalPlan,
    /// What the answer reads: the same without the weight.
    pub(super) rows: Feed,
    /// Columns behind the weight.
    pub(super) late: Option<LateColumns>,
}

/// What is known of an aggregate beside what it says.
pub(super) struct Over {
    /// For messages.
    pub(super) name: String,
    /// Which group is a window.
    pub(super) window: Option<usize>,
    /// What these windows are.
    pub(super) windows: Option<WindowKind>,
    pub(super) forget: Forget,
    pub(super) late: Option<LateOf>,
}

impl Cut<'_> {
    /// An aggregate that is not grouped by a window.
    pub(super) fn grouped(
        &mut self,
        aggregate: Aggregate,
        input: LogicalPlan,
        rows: Rows,
    ) -> Result<(LogicalPlan, Rows), Error> {
        check::no_window(&input)?;
        check::volatile(&input)?;
        let name = LogicalPlan::Aggregate(aggregate.clone()).display().to_string();
        let over = Over { name, window: None, windows: None, forget: self.forget, late: None };
        if matches!(rows, Rows::Updating) {
            let input = with_hidden(&input, &[WEIGHT])?;
            return self.grouped_over(aggregate, input, over);
        }
        if aggregate.aggr_expr.iter().any(is_ordered) {
            let input = super::hidden::with_columns(input, vec![lit(1_i64).alias(WEIGHT)])?;
            return self.answered_again(aggregate, input, over);
        }
        let mut columns = group_columns(&aggregate);
        let functions = aggregate.aggr_expr.iter().enumerate();
        let functions = functions.map(|(at, function)| over_columns(function, at, &mut columns));
        let functions = functions.collect::<Result<Vec<_>, _>>()?;
        let input = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?);
        check::volatile(&input)?;
        check::no_window(&input)?;
        self.add_grouped(&aggregate, (input, functions, None), (over, None))
    }

    /// The same over rows whose last column is their weight.
    pub(super) fn grouped_over(
        &mut self,
        aggregate: Aggregate,
        input: LogicalPlan,
        over: Over,
    ) -> Result<(LogicalPlan, Rows), Error> {
        check::steady(&input)?;
        let weight = hidden_column(&input, 1)?;
        let mut columns = group_columns(&aggregate);
        let mut sums = Sums { weight, columns: Vec::new(), functions: Vec::new() };
        sums.add(sums.weight.clone());
        let mut values = Vec::new();
        for function in &aggregate.aggr_expr {
            match call(function).map(|call| sums.value(call, &input)).transpose()?.flatten() {
                Some(value) => values.push(value),
                None => return self.answered_again(aggregate, input, over),
            }
        }
        columns.extend(sums.columns);
        let late = over.late.as_ref().map(|late| late.add_to(&mut columns, &input)).transpose()?;
        let input = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?);
        check::steady(&input)?;
        check::no_window(&input)?;
        let meaning = self.meaning(&aggregate, &input, &sums.functions, values)?;
        self.add_grouped(&aggregate, (input, sums.functions, Some(meaning)), (over, late))
    }

    fn meaning(
        &self,
        aggregate: &Aggregate,
        input: &LogicalPlan,
        functions: &[Expr],
        values: Vec<Expr>,
    ) -> Result<Meaning, Error> {
        let groups: Vec<Expr> = (0..aggregate.group_expr.len()).map(|at| col(format!("g{at}"))).collect();
        let summed = Aggregate::try_new(Arc::new(input.clone()), groups.clone(), functions.to_vec())?;
        let fields = summed.schema.fields().iter().enumerate().map(|(at, field)| {
            let name = if at < groups.len() { format!("g{at}") } else { format!("f{}", at - groups.len()) };
            Field::new(name, field.data_type().clone(), true)
        });
        let sums = Feed::exact(self.streams.next_feed(), Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        let mut plan = scan(&sums)?;
        if !groups.is_empty() {
            plan = LogicalPlan::Filter(Filter::try_new(col("f0").gt(lit(0_i64)), Arc::new(plan))?);
        }
        let types = aggregate.schema.fields().iter().skip(groups.len()).map(|field| field.data_type());
        let values = values.into_iter().zip(types).enumerate();
        let values =
            values.map(|(at, (value, data_type))| cast(value, data_type.clone()).alias(format!("v{at}")));
        let columns = groups.iter().cloned().chain(values).collect();
        let plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?);
        Ok(Meaning { sums, plan })
    }

    fn add_grouped(
        &mut self,
        aggregate: &Aggregate,
        (input, functions, meaning): (LogicalPlan, Vec<Expr>, Option<Meaning>),
        (over, late): (Over, Option<LateColumns>),
    ) -> Result<(LogicalPlan, Rows), Error> {
        let groups = aggregate.group_expr.len();
        let is_append = functions.is_empty() && meaning.is_none();
        let mut output = self.output(columns_of(&aggregate.schema), is_append, Some((0..groups).collect()));
        if let Some(at) = over.window {
            output = output.with_window(at, over.windows);
        }
        let plan = named(&output, 0, &aggregate.schema)?;
        let Over { name, forget, .. } = over;
        let cut = GroupedCut { input, groups, functions, meaning, is_append, forget, late, output, name };
        self.operators.push(OperatorCut::Grouped(Box::new(cut)));
        Ok((plan, if is_append { Rows::Open } else { Rows::Updating }))
    }

    /// An aggregate over rows, the last column of which is their weight, that is computed anew for groups that were touched.
    fn answered_again(
        &mut self,
        aggregate: Aggregate,
        input: LogicalPlan,
        over: Over,
    ) -> Result<(LogicalPlan, Rows), Error> {
        let weight = hidden_column(&input, 1)?;
        let keys = aggregate.group_expr.len();
        let mut columns = group_columns(&aggregate);
        let functions = aggregate.aggr_expr.iter().enumerate();
        let functions = functions.map(|(at, function)| over_ordered_columns(function, at, &mut columns));
        let functions = functions.collect::<Result<Vec<_>, _>>()?;
        columns.push(weight.alias(WEIGHT));
        let width = columns.len();
        let late = over.late.as_ref().map(|late| late.add_to(&mut columns, &input)).transpose()?;
        let plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?);
        check::steady(&plan)?;
        check::no_window(&plan)?;
        let rows = self.first_columns(&plan, width - 1);
        let groups = (0..keys).map(|at| col(format!("g{at}"))).collect();
        let answer = Aggregate::try_new(Arc::new(scan(&rows)?), groups, functions)?;
        let mut output = self.output(columns_of(&aggregate.schema), false, Some((0..keys).collect()));
        if let Some(at) = over.window {
            output = output.with_window(at, over.windows);
        }
        let named = named(&output, 0, &aggregate.schema)?;
        self.operators.push(OperatorCut::Keyed(Box::new(KeyedCut {
            inputs: vec![KeyedInput { plan, rows, late }],
            answer: LogicalPlan::Aggregate(answer),
            keys,
            sessions: None,
            before: Before::Kept,
            is_whole: keys == 0,
            is_append: false,
            forget: over.forget,
            output,
            name: over.name,
        })));
        Ok((named, Rows::Updating))
    }

    /// Sessions of rows, the last column of which is their weight: of keys that were touched they are found anew. `span` is what
    /// a row is by itself.
    pub(super) fn session_keys(
        &mut self,
        aggregate: Aggregate,
        input: LogicalPlan,
        (span, over): (Expr, Over),
    ) -> Result<(LogicalPlan, Rows), Error> {
        let weight = hidden_column(&input, 1)?;
        let (groups, window) = (aggregate.group_expr.len(), over.window.unwrap_or(0));
        // The key stands first, the session behind it.
        let order: Vec<usize> = (0..groups).filter(|at| *at != window).chain([window]).collect();
        let groups_given = group_columns(&aggregate);
        let group = |at: usize| match at == window {
            true => span.clone().alias(format!("g{at}")),
            false => groups_given[at].clone(),
        };
        let mut columns: Vec<Expr> = order.iter().map(|at| group(*at)).collect();
        let functions = aggregate.aggr_expr.iter().enumerate();
        let functions = functions.map(|(at, function)| over_ordered_columns(function, at, &mut columns));
        let functions = functions.collect::<Result<Vec<_>, _>>()?;
        columns.push(weight.alias(WEIGHT));
        let plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?);
        check::steady(&plan)?;
        check::no_window(&plan)?;
        let rows = self.rows_of(&plan);
        let keys = groups - 1;
        let by = order.iter().map(|at| col(format!("g{at}"))).collect();
        let answer = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(scan(&rows)?), by, functions)?);
        let output = self.output(columns_of(answer.schema()), false, Some((0..groups).collect()));
        let output = output.with_window(keys, over.windows);
        let shown = scan(&output)?;
        let places: Vec<Expr> = super::hidden::columns(&shown).collect();
        let place = |at: usize| order.iter().position(|from| *from == at).unwrap_or(at);
        let named = aggregate.schema.iter().enumerate().map(|(at, (qualifier, field))| {
            places[place(at)].clone().alias_qualified(qualifier.cloned(), field.name())
        });
        let named = LogicalPlan::Projection(Projection::try_new(named.collect(), Arc::new(shown))?);
        self.operators.push(OperatorCut::Keyed(Box::new(KeyedCut {
            inputs: vec![KeyedInput { plan, rows, late: None }],
            answer,
            keys,
            sessions: Some(Groups { count: groups, window: keys }),
            before: Before::Kept,
            is_whole: false,
            is_append: false,
            forget: over.forget,
            output,
            name: over.name,
        })));
        Ok((named, Rows::Updating))
    }

    /// DISTINCT: groups without functions.
    pub(super) fn distinct(&mut self, input: LogicalPlan, rows: Rows) -> Result<(LogicalPlan, Rows), Error> {
        let groups = columns(&input).collect();
        let aggregate = Aggregate::try_new(Arc::new(input.clone()), groups, Vec::new())?;
        self.grouped(aggregate, input, rows)
    }

    /// `OVER`, partition by partition; of each the `first` rows if only those are wanted.
    pub(super) fn ranked(
        &mut self,
        window: Window,
        first: Option<First>,
        (input, rows): (LogicalPlan, Rows),
    ) -> Result<(LogicalPlan, Rows), Error> {
        let mut partitions = window.window_expr.iter().map(partition);
        let by = partitions.next().flatten().unwrap_or_default();
        if !partitions.all(|other| other.as_ref() == Some(&by)) {
            let what = "OVER with different PARTITION BY in one query";
            return Err(Error::Unsupported(format!("{what} of a pipeline")));
        }
        let mut name = LogicalPlan::Window(window.clone()).display().to_string();
        if let Some(first) = first {
            name.push_str(&format!(" first: {}", first.most));
        }
        let is_updating = matches!(rows, Rows::Updating);
        let key = self.key_of_ranks(&window, &by, &input);
        let keys = by.len();
        let (side, named_rows) = self.side(&input, by, is_updating)?;
        // The key stands before the node's own columns, so that its answers can be found again.
        let key_columns: Vec<Expr> = (0..keys).map(|at| col(format!("k{at}"))).collect();
        let all = scan(&side.rows)?;
        let own = named_columns(&all, keys, &input);
        let all = Projection::try_new(key_columns.into_iter().chain(own).collect(), Arc::new(all))?;
        drop(named_rows);
        let (all, ids) = match self.streams.is_view() {
            true => with_keys(&LogicalPlan::Projection(all), "\u{1f}rank")?,
            false => (LogicalPlan::Projection(all), 0),
        };
        let width = all.schema().fields().len() - ids;
        let answer = Window::try_new(window.window_expr.clone(), Arc::new(all))?;
        let answer = match first {
            Some(first) => first.of(answer)?,
            None => LogicalPlan::Window(answer),
        };
        // Ids of rows stand behind the ranks.
        let mut order: Vec<Expr> = columns(&answer).collect();
        let ids: Vec<Expr> = order.drain(width..width + ids).collect();
        let key = if ids.is_empty() { key } else { Some((order.len()..order.len() + ids.len()).collect()) };
        order.extend(ids);
        let answer = Projection::try_new(order, Arc::new(answer))?;
        let is_enough = first.is_some() && First::stays(&window) && !is_updating && !self.streams.is_view();
        let output = self.output(columns_of(&answer.schema), false, key);
        let output = output.with_number(row_number(&window).map(|number| width + number));
        let named = named(&output, keys, &window.schema)?;
        self.operators.push(OperatorCut::Keyed(Box::new(KeyedCut {
            inputs: vec![side],
            answer: LogicalPlan::Projection(answer),
            keys,
            sessions: None,
            before: if is_enough { Before::KeptWithItsRows } else { Before::Kept },
            is_whole: false,
            is_append: false,
            forget: self.forget,
            output,
            name,
        })));
        Ok((named, Rows::Updating))
    }

    /// Ranks do not make rows the same; without a key of the rows the number in the partition is one.
    fn key_of_ranks(&self, window: &Window, by: &[Expr], input: &LogicalPlan) -> Option<Vec<usize>> {
        if let Some(key) = key_of(input) {
            return Some(key.into_iter().map(|at| at + by.len()).collect());
        }
        let width = input.schema().fields().len();
        let number = row_number(window)?;
        let places = by.iter().map(|expr| place(expr, input).map(|at| at + by.len()));
        let places: Option<Vec<usize>> = places.collect();
        Some(places?.into_iter().chain([by.len() + width + number]).collect())
    }

    /// `ORDER BY … LIMIT`: the first rows of all.
    pub(super) fn first_rows(&mut self, plan: LogicalPlan) -> Result<(LogicalPlan, Rows), Error> {
        let name = plan.display().to_string();
        let Some(sort) = sort_below(&plan) else {
            return Err(Error::Unsupported("LIMIT in a pipeline".to_owned()));
        };
        let (input, rows) = self.node(Arc::unwrap_or_clone(sort.input.clone()))?;
        check::no_window(&input)?;
        let (side, named_rows) = self.side(&input, Vec::new(), matches!(rows, Rows::Updating))?;
        // Rows that compare equal follow each other by their content, so that it is always the same ones that are first.
        let mut order = sort.expr.clone();
        order.extend(columns(&named_rows).map(|column| SortExpr::new(column, true, false)));
        let sorted = Sort { expr: order, input: Arc::new(named_rows), fetch: None };
        let answer = with_sort(&plan, LogicalPlan::Sort(sorted))?;
        let (answer, key) = match self.streams.is_view() {
            true => {
                let (answer, ids) = with_keys(&answer, "\u{1f}first")?;
                let all = answer.schema().fields().len();
                (answer, Some((all - ids..all).collect()))
            }
            false => (answer, None),
        };
        let output = self.output(columns_of(answer.schema()), false, key);
        let named = named(&output, 0, plan.schema())?;
        self.operators.push(OperatorCut::Keyed(Box::new(KeyedCut {
            inputs: vec![side],
            answer,
            keys: 0,
            sessions: None,
            before: Before::Kept,
            is_whole: false,
            is_append: false,
            forget: self.forget,
            output,
            name,
        })));
        Ok((named, Rows::Updating))
    }

    /// An input of an operator, and a plan over its rows with the names that they had.
    pub(super) fn side(
        &self,
        input: &LogicalPlan,
        keys: Vec<Expr>,
        is_updating: bool,
    ) -> Result<(KeyedInput, LogicalPlan), Error> {
        check::no_window(input)?;
        check::volatile(input)?;
        let count = keys.len();
        // Rows of a view are told apart wherever they go.
        let (told_apart, ids) = match self.streams.is_view() {
            true => with_keys(input, "\u{1f}id")?,
            false => (input.clone(), 0),
        };
        let weighted = with_hidden(&told_apart, &[WEIGHT])?;
        let mut all: Vec<Expr> = Vec::new();
        for (at, key) in keys.into_iter().enumerate() {
            let data_type = key.get_type(input.schema())?;
            all.push(key_part(key, &data_type).alias(format!("k{at}")));
        }
        let width = told_apart.schema().fields().len();
        let own = columns(&weighted).take(width).enumerate();
        all.extend(own.map(|(at, column)| column.alias(format!("c{at}"))));
        all.push(hidden_column(&weighted, 1)?.alias(WEIGHT));
        let plan = LogicalPlan::Projection(Projection::try_new(all, Arc::new(weighted))?);
        check::volatile(&plan)?;
        if is_updating {
            check::steady(&plan)?;
        }
        let mut rows = self.rows_of(&plan);
        if self.streams.is_view() {
            rows = rows.with_key((count + width - ids..count + width).collect());
        }
        let named = named(&rows, count, input.schema())?;
        Ok((KeyedInput { plan, rows, late: None }, named))
    }

    /// A feed of a plan's columns but the last, the weight.
    fn rows_of(&self, plan: &LogicalPlan) -> Feed {
        self.first_columns(plan, plan.schema().fields().len() - 1)
    }

    fn first_columns(&self, plan: &LogicalPlan, count: usize) -> Feed {
        let columns: Vec<Arc<Field>> = plan.schema().fields().iter().take(count).cloned().collect();
        Feed::exact(self.streams.next_feed(), Arc::new(Schema::new(columns)))
    }

    pub(super) fn output(&self, columns: Arc<Schema>, is_append: bool, key: Option<Vec<usize>>) -> Feed {
        let id = self.streams.next_feed();
        match is_append {
            true => Feed::exact(id, columns),
            false => Feed::updating(id, columns, key),
        }
    }
}

fn is_ordered(function: &Expr) -> bool {
    call(function).is_some_and(|call| !call.params.order_by.is_empty())
}

/// What rows are grouped by, as `g0…`.
pub(super) fn group_columns(aggregate: &Aggregate) -> Vec<Expr> {
    let groups = aggregate.group_expr.iter().zip(aggregate.schema.fields()).enumerate();
    groups
        .map(|(at, (group, field))| key_part(group.clone(), field.data_type()).alias(format!("g{at}")))
        .collect()
}

/// What the rows of a call of a window function are kept apart by.
fn partition(call: &Expr) -> Option<Vec<Expr>> {
    match call {
        Expr::WindowFunction(call) => Some(call.params.partition_by.clone()),
        Expr::Alias(alias) => partition(&alias.expr),
        _ => None,
    }
}

pub(super) fn function_name(call: &Expr) -> Option<&str> {
    match call {
        Expr::WindowFunction(call) => Some(call.fun.name()),
        Expr::Alias(alias) => function_name(&alias.expr),
        _ => None,
    }
}

/// The order of a LIMIT.
fn sort_below(plan: &LogicalPlan) -> Option<&Sort> {
    match plan {
        LogicalPlan::Sort(sort) => Some(sort),
        LogicalPlan::Limit(limit) => sort_below(&limit.input),
        LogicalPlan::Projection(projection) => sort_below(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => sort_below(&alias.input),
        _ => None,
    }
}

/// The plan over another sort.
fn with_sort(plan: &LogicalPlan, sort: LogicalPlan) -> Result<LogicalPlan, Error> {
    if matches!(plan, LogicalPlan::Sort(_)) {
        return Ok(sort);
    }
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else {
        return Err(Error::Unsupported("LIMIT over several inputs in a pipeline".to_owned()));
    };
    Ok(plan.with_new_exprs(plan.expressions(), vec![with_sort(input, sort)?])?)
}

/// Which function of a node counts rows.
fn row_number(window: &Window) -> Option<usize> {
    window.window_expr.iter().position(|call| function_name(call) == Some("row_number"))
}

/// A scan of all columns of a feed.
pub(super) fn scan(feed: &Feed) -> Result<LogicalPlan, Error> {
    let name = format!("rows_{}", feed.id);
    let source = datafusion::datasource::provider_as_source(Arc::new(feed.clone()));
    let scan = datafusion::logical_expr::logical_plan::TableScanBuilder::new(name, source).build()?;
    Ok(LogicalPlan::TableScan(scan))
}

/// Columns of a scan from one on, with the names of a plan.
fn named_columns(scan: &LogicalPlan, from: usize, plan: &LogicalPlan) -> Vec<Expr> {
    let names = plan.schema().iter();
    let columns = columns(scan).skip(from).zip(names);
    columns
        .map(|(column, (qualifier, field))| column.alias_qualified(qualifier.cloned(), field.name()))
        .collect()
}
