//! Cuts a query at what holds rows between epochs: below is what adds up rows, above is batch SQL over windows that are
//! complete, or over rows that may be taken back.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use cenote_connect::{EVENT_TIME, WEIGHT};
use datafusion::common::{Column, JoinType, TableReference, UnnestOptions};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, Filter, Join, LogicalPlan, Operator, Projection, Unnest, when,
};
use datafusion::prelude::{col, lit};

use super::check;
use super::forget::Forget;
use super::functions::{PaneOf, WindowsOf, is_window, windows};
use super::hidden::{columns, hidden_column, with_hidden, with_row_time};
use super::interval_cut::IntervalCut;
use super::late::LateOf;
use super::lookup::{LookupCut, lookup_of};
use super::ranks::{First, first_of};
use super::same_windows::in_same_windows;
use super::updating::{GroupedCut, KeyedCut, Over, group_columns};
use crate::feed::Feed;
use crate::streams::Streams;
use crate::window::WindowKind;
use crate::{Error, PipelineOptions};

/// The column of the windows that a row is in.
const WINDOWS: &str = "\u{1f}windows";

/// An aggregate over windows, before its physical plan.
pub(super) struct StageCut {
    /// Columns `g0…` to group by, one of them the pane, then `a0…` for the functions. No state below.
    pub(super) input: LogicalPlan,
    /// How many there are to group by.
    pub(super) groups: usize,
    /// Which of them is the pane.
    pub(super) window_at: usize,
    pub(super) windows: WindowKind,
    /// Rows of the input may come so much later than the watermark says, µs.
    pub(super) lag: i64,
    /// Over the columns of the input; each with a name of its own.
    pub(super) functions: Vec<Expr>,
    /// What people call the columns of rows that come too late, if those are kept: then the last column is the event time.
    pub(super) late: Option<Vec<String>>,
    /// Where the rows of closed windows go.
    pub(super) output: Feed,
    /// For messages, and to know it again.
    pub(super) name: String,
}

/// What is known of the rows of a plan.
pub(super) enum Rows {
    /// They come as they come.
    Open,
    /// All rows of a window come in one epoch; these columns hold the window.
    Closed(BTreeSet<usize>),
    /// They come, and may be taken back.
    Updating,
}

/// What holds rows between epochs, before its physical plan.
pub(super) enum OperatorCut {
    /// An aggregate over windows.
    Windows(Box<StageCut>),
    /// An aggregate whose states add up.
    Grouped(Box<GroupedCut>),
    /// Anything that is answered key by key.
    Keyed(Box<KeyedCut>),
    /// A join of rows that happen near each other.
    Interval(Box<IntervalCut>),
    /// A join with a table that is looked at by its key.
    Lookup(Box<LookupCut>),
}

/// Cuts one query.
pub(super) struct Cut<'a> {
    pub(super) streams: &'a Streams,
    /// How long keys that are quiet are kept.
    pub(super) forget: Forget,
    /// Windows of rows that may be taken back are forgotten when they are over.
    forget_windows: bool,
    /// Windows are shown before they close.
    early: bool,
    /// Rows that come too late are kept.
    pub(super) keeps_late: bool,
    /// What is wanted of the ranks below the condition that is looked at.
    first: Option<First>,
    pub(super) operators: Vec<OperatorCut>,
}

impl<'a> Cut<'a> {
    /// By the options of a pipeline: after how long keys that are quiet are forgotten, and whether open windows are shown.
    pub(super) fn new(streams: &'a Streams, options: &PipelineOptions) -> Self {
        let forget = options.updating_ttl.map_or(Forget::Never, Forget::Quiet);
        let forget_windows = !streams.is_view() || options.view_time.is_some();
        let early = options.early_emit.is_some();
        let keeps_late = options.late_rows.is_some();
        Self { streams, forget, forget_windows, early, keeps_late, first: None, operators: Vec::new() }
    }

    /// The part above all operators, which reads feeds only, and what its rows are.
    pub(super) fn cut(&mut self, plan: LogicalPlan) -> Result<(LogicalPlan, Rows), Error> {
        let (plan, rows) = self.node(plan)?;
        check::no_window(&plan)?;
        Ok((plan, rows))
    }

    /// The operators, each before those that read it.
    pub(super) fn into_operators(self) -> Vec<OperatorCut> {
        self.operators
    }

    pub(super) fn node(&mut self, plan: LogicalPlan) -> Result<(LogicalPlan, Rows), Error> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let feed = check::feed_of(&scan)?;
                if feed.is_lookup() {
                    return Err(Error::Invalid(
                        "a look-up table can only be the right side of a join".to_owned(),
                    ));
                }
                let rows = match feed.window() {
                    _ if feed.is_updating() => Rows::Updating,
                    Some(at) => Rows::Closed(BTreeSet::from([at])),
                    None => Rows::Open,
                };
                Ok((LogicalPlan::TableScan(scan), rows))
            }
            LogicalPlan::Projection(projection) => {
                let (input, rows) = self.node(Arc::unwrap_or_clone(projection.input))?;
                let rows = match rows {
                    Rows::Closed(windows) => Rows::Closed(carried(&projection.expr, &input, &windows)),
                    other => other,
                };
                let (input, expr) = with_row_time(input, projection.expr)?;
                Ok((LogicalPlan::Projection(Projection::try_new(expr, Arc::new(input))?), rows))
            }
            LogicalPlan::Filter(filter) => {
                self.first = first_of(&filter.input, &filter.predicate);
                let (input, rows) = self.node(Arc::unwrap_or_clone(filter.input))?;
                let shown: Vec<Expr> = columns(&input).collect();
                let (timed, predicate) = with_row_time(input, vec![filter.predicate])?;
                let plan = Arc::new(timed);
                let wide = plan.schema().fields().len() > shown.len();
                let predicate = predicate.into_iter().map(Expr::unalias).reduce(Expr::and);
                let predicate = predicate.unwrap_or_else(|| lit(true));
                let plan = LogicalPlan::Filter(Filter::try_new(predicate, plan)?);
                Ok(match wide {
                    true => (LogicalPlan::Projection(Projection::try_new(shown, Arc::new(plan))?), rows),
                    false => (plan, rows),
                })
            }
            LogicalPlan::SubqueryAlias(_) => self.above(plan, |_, rows| Ok(rows)),
            LogicalPlan::Sort(ref sort) if sort.fetch.is_none() => self.above(plan, |_, rows| match rows {
                Rows::Closed(windows) => Ok(Rows::Closed(windows)),
                _ => Err(Error::Invalid("ORDER BY without LIMIT outside of closed windows".to_owned())),
            }),
            LogicalPlan::Unnest(unnest) => {
                let (input, rows) = self.node(Arc::unwrap_or_clone(unnest.input))?;
                let unnest = Unnest::try_new(Arc::new(input), unnest.exec_columns, unnest.options)?;
                let rows = match rows {
                    Rows::Closed(windows) => {
                        let carried = unnest.dependency_indices.iter().enumerate();
                        let carried = carried.filter(|(_, from)| windows.contains(*from)).map(|(at, _)| at);
                        Rows::Closed(carried.collect())
                    }
                    other => other,
                };
                Ok((LogicalPlan::Unnest(unnest), rows))
            }
            LogicalPlan::Limit(_) => self.first_rows(plan),
            LogicalPlan::Window(window) => {
                let first = self.first.take();
                let (input, rows) = self.node(Arc::unwrap_or_clone(window.input.clone()))?;
                match rows {
                    Rows::Closed(windows)
                        if window
                            .window_expr
                            .iter()
                            .all(|call| is_partitioned_by(call, &input, &windows)) =>
                    {
                        let plan = LogicalPlan::Window(window);
                        let expressions = plan.expressions();
                        Ok((plan.with_new_exprs(expressions, vec![input])?, Rows::Closed(windows)))
                    }
                    rows => self.ranked(window, first, (input, rows)),
                }
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let (input, rows) = self.node(Arc::unwrap_or_clone(input))?;
                match rows {
                    Rows::Closed(windows) if !windows.is_empty() => {
                        let distinct = Distinct::All(Arc::new(input));
                        Ok((LogicalPlan::Distinct(distinct), Rows::Closed(windows)))
                    }
                    rows => self.distinct(input, rows),
                }
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Union(ref union) => {
                let (mut inputs, mut all): (Vec<LogicalPlan>, Option<Rows>) = (Vec::new(), None);
                for input in union.inputs.clone() {
                    let (input, rows) = self.node(Arc::unwrap_or_clone(input))?;
                    // Windows that do not close together are not whole together.
                    let apart = match inputs.first() {
                        Some(first) => check::lag(first)? != check::lag(&input)?,
                        None => false,
                    };
                    let rows = if apart && matches!(rows, Rows::Closed(_)) { Rows::Open } else { rows };
                    inputs.push(input);
                    all = Some(match (all, rows) {
                        (None, rows) => rows,
                        (Some(Rows::Updating), _) | (_, Rows::Updating) => Rows::Updating,
                        (Some(Rows::Closed(a)), Rows::Closed(b)) => {
                            Rows::Closed(a.intersection(&b).copied().collect())
                        }
                        _ => Rows::Open,
                    });
                }
                Ok((plan.with_new_exprs(Vec::new(), inputs)?, all.unwrap_or(Rows::Open)))
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Err(Error::Invalid(
                "a pipeline reads streams: rows that are written out would come in every epoch".to_owned(),
            )),
            LogicalPlan::RecursiveQuery(_) => {
                Err(Error::Invalid("recursive CTEs are not supported".to_owned()))
            }
            other => {
                let kind = other.display().to_string();
                let kind = kind.split([':', ' ']).next().unwrap_or("this").to_uppercase();
                Err(Error::Unsupported(format!("{kind} in a pipeline")))
            }
        }
    }

    /// A node with one input that stays as it is.
    fn above(
        &mut self,
        plan: LogicalPlan,
        rows_of: impl FnOnce(&LogicalPlan, Rows) -> Result<Rows, Error>,
    ) -> Result<(LogicalPlan, Rows), Error> {
        let inputs: Vec<LogicalPlan> = plan.inputs().into_iter().cloned().collect();
        let [input] = <[LogicalPlan; 1]>::try_from(inputs)
            .map_err(|_| Error::Unsupported("a node with several inputs in a pipeline".to_owned()))?;
        let (input, rows) = self.node(input)?;
        let rows = rows_of(&input, rows)?;
        let expressions = plan.expressions();
        Ok((plan.with_new_exprs(expressions, vec![input])?, rows))
    }

    fn aggregate(&mut self, aggregate: Aggregate) -> Result<(LogicalPlan, Rows), Error> {
        if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) {
            return Err(Error::Unsupported("GROUPING SETS, ROLLUP and CUBE in a pipeline".to_owned()));
        }
        let mut calls = aggregate.group_expr.iter().enumerate().filter(|(_, expr)| is_window(expr));
        match (calls.next().map(|(at, _)| at), calls.next()) {
            (Some(at), None) => self.windowed(aggregate, at),
            (Some(_), Some(_)) => Err(Error::Invalid("several window functions in one GROUP BY".to_owned())),
            (None, _) => {
                let (input, rows) = self.node(Arc::unwrap_or_clone(aggregate.input.clone()))?;
                if let Rows::Closed(windows) = &rows {
                    let carried = carried(&aggregate.group_expr, &input, windows);
                    if !carried.is_empty() {
                        let plan = LogicalPlan::Aggregate(aggregate);
                        let expressions = plan.expressions();
                        return Ok((plan.with_new_exprs(expressions, vec![input])?, Rows::Closed(carried)));
                    }
                }
                self.grouped(aggregate, input, rows)
            }
        }
    }

    /// What adds up rows goes into a stage; the rows of its closed windows stand where the aggregate stood.
    fn windowed(&mut self, aggregate: Aggregate, window_at: usize) -> Result<(LogicalPlan, Rows), Error> {
        let name = LogicalPlan::Aggregate(aggregate.clone()).display().to_string();
        let (input, rows) = self.node(Arc::unwrap_or_clone(aggregate.input.clone()))?;
        check::no_window(&input)?;
        check::volatile(&input)?;
        let windows = windows(&aggregate.group_expr[window_at])?;
        if matches!(rows, Rows::Updating) {
            return self.window_keys(aggregate, input, (window_at, windows));
        }
        let input = with_hidden(&input, &[EVENT_TIME])?;
        let time = hidden_column(&input, 1)?;

        let mut columns = group_columns(&aggregate);
        columns[window_at] = PaneOf::call(windows, time.clone()).alias(format!("g{window_at}"));
        let functions = aggregate.aggr_expr.iter().enumerate();
        let functions = functions.map(|(at, function)| over_columns(function, at, &mut columns));
        let functions = functions.collect::<Result<Vec<_>, _>>()?;
        let late = self.keeps_late.then(|| {
            let own = input.schema().fields().len() - 1;
            let mut names = vec![String::new(); columns.len()];
            names.extend(told_apart(&input).into_iter().take(own));
            let row = super::hidden::columns(&input).take(own).enumerate();
            columns.extend(row.map(|(at, column)| column.alias(format!("r{at}"))));
            columns.push(time.alias(EVENT_TIME));
            names
        });
        let input = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?);
        check::volatile(&input)?;
        check::no_window(&input)?;

        let groups = aggregate.group_expr.len();
        let (id, columns) = (self.streams.next_feed(), columns_of(&aggregate.schema));
        let output = match self.early {
            true => Feed::updating(id, columns, Some((0..groups).collect())),
            false => Feed::new(id, columns),
        };
        let lag = check::lag(&input)?;
        // A session is over when the watermark is behind its end: its rows come a µs after what the watermark says.
        let more = i64::from(matches!(windows, WindowKind::Session(_)));
        let output = output.with_window(window_at, Some(windows)).with_lag(lag.saturating_add(more));
        let closed = named(&output, 0, &aggregate.schema)?;
        let stage = StageCut { input, groups, window_at, windows, lag, functions, late, output, name };
        self.operators.push(OperatorCut::Windows(Box::new(stage)));
        let rows = if self.early { Rows::Updating } else { Rows::Closed(BTreeSet::from([window_at])) };
        Ok((closed, rows))
    }

    /// Windows of rows that may be taken back: keys like others, whose results change whenever their rows do.
    fn window_keys(
        &mut self,
        mut aggregate: Aggregate,
        input: LogicalPlan,
        (window_at, windows): (usize, WindowKind),
    ) -> Result<(LogicalPlan, Rows), Error> {
        let name = LogicalPlan::Aggregate(aggregate.clone()).display().to_string();
        let forget = match (self.forget_windows, windows) {
            (false, _) => Forget::Never,
            (true, WindowKind::Fixed(_)) => Forget::Closed(window_at),
            (true, WindowKind::Session(_)) => match self.forget {
                Forget::Quiet(ttl) => Forget::QuietResultsStay(ttl),
                other => other,
            },
        };
        if self.streams.is_view() && self.forget_windows && matches!(windows, WindowKind::Session(_)) {
            let what = "session windows of a materialized view with a watermark";
            return Err(Error::Unsupported(what.to_owned()));
        }
        let mut input = with_hidden(&input, &[EVENT_TIME, WEIGHT])?;
        let time = hidden_column(&input, 2)?;
        let late = match (forget, windows) {
            (Forget::Closed(_), WindowKind::Fixed(windows)) if self.keeps_late || !windows.is_tumbling() => {
                let mut names = told_apart(&input);
                names.truncate(names.len() - 2);
                Some(LateOf { windows, names, keeps: self.keeps_late })
            }
            _ => None,
        };
        let over = Over { name, window: Some(window_at), windows: Some(windows), forget, late };
        aggregate.group_expr[window_at] = match windows {
            WindowKind::Session(_) => {
                return self.session_keys(aggregate, input, (PaneOf::call(windows, time), over));
            }
            WindowKind::Fixed(fixed) if fixed.is_tumbling() => PaneOf::call(windows, time),
            WindowKind::Fixed(windows) => {
                let mut all: Vec<Expr> = columns(&input).collect();
                let weight = all.pop();
                all.push(WindowsOf::call(windows, time).alias(WINDOWS));
                all.extend(weight);
                let each = Projection::try_new(all, Arc::new(input))?;
                let options = UnnestOptions::default().with_preserve_nulls(false);
                let each = Arc::new(LogicalPlan::Projection(each));
                input =
                    LogicalPlan::Unnest(Unnest::try_new(each, vec![Column::from_name(WINDOWS)], options)?);
                Expr::Column(Column::from_name(WINDOWS))
            }
        };
        self.grouped_over(aggregate, input, over)
    }

    fn join(&mut self, join: Join) -> Result<(LogicalPlan, Rows), Error> {
        if let Some(table) = lookup_of(&join.right) {
            return self.lookup_join(join, &table);
        }
        let (left, left_rows) = self.node(join.left.as_ref().clone())?;
        let (right, right_rows) = self.node(join.right.as_ref().clone())?;
        let join = in_same_windows(join, &left, &right)?;
        let (left_windows, right_windows) = match (left_rows, right_rows) {
            (Rows::Closed(left), Rows::Closed(right)) => (left, right),
            rows => return self.open_join(join, (left, right), rows),
        };
        let is_pair = |a: &Expr, b: &Expr| {
            place(a, &left).is_some_and(|at| left_windows.contains(&at))
                && place(b, &right).is_some_and(|at| right_windows.contains(&at))
        };
        let filters = join.filter.as_ref().map(split_conjunction).unwrap_or_default();
        let equal = join.on.iter().any(|(a, b)| is_pair(a, b))
            || filters.into_iter().any(|filter| match filter {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    is_pair(left, right) || is_pair(right, left)
                }
                _ => false,
            });
        if !equal || check::lag(&left)? != check::lag(&right)? {
            return self.open_join(join, (left, right), (Rows::Open, Rows::Open));
        }
        let width = left.schema().fields().len();
        let shifted = right_windows.iter().map(|at| at + width);
        let windows = match join.join_type {
            JoinType::Inner => left_windows.into_iter().chain(shifted).collect(),
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => left_windows,
            JoinType::Right => shifted.collect(),
            JoinType::RightSemi | JoinType::RightAnti => right_windows,
            JoinType::Full => BTreeSet::new(), // either side may be NULL
            _ => return Err(Error::Unsupported(format!("{} JOIN in a pipeline", join.join_type))),
        };
        let plan = LogicalPlan::Join(join);
        let expressions = plan.expressions();
        Ok((plan.with_new_exprs(expressions, vec![left, right])?, Rows::Closed(windows)))
    }
}

impl Cut<'_> {
    /// A join of rows that do not come together: by their times, if its conditions bound them.
    fn open_join(
        &mut self,
        join: Join,
        (left, right): (LogicalPlan, LogicalPlan),
        rows: (Rows, Rows),
    ) -> Result<(LogicalPlan, Rows), Error> {
        if !matches!(rows, (Rows::Updating, _) | (_, Rows::Updating))
            && let Some(joined) = self.interval_join(&join, &left, &right)?
        {
            return Ok(joined);
        }
        self.keyed_join(join, (left, right), rows)
    }
}

/// The names of a plan's columns, each another: of a second one of a name it says whose it is.
pub(super) fn told_apart(plan: &LogicalPlan) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (at, (qualifier, field)) in plan.schema().iter().enumerate() {
        let name = match names.contains(field.name()) {
            false => field.name().clone(),
            true => format!(
                "{}.{}",
                qualifier.map_or_else(|| at.to_string(), |of| of.table().to_owned()),
                field.name()
            ),
        };
        names.push(name);
    }
    names
}

/// The place of a column among those of a plan.
pub(super) fn place(expr: &Expr, plan: &LogicalPlan) -> Option<usize> {
    match expr {
        Expr::Column(column) => plan.schema().maybe_index_of_column(column),
        Expr::Alias(alias) => place(&alias.expr, plan),
        _ => None,
    }
}

/// The places among `exprs` of those that are windows of the input.
fn carried(exprs: &[Expr], input: &LogicalPlan, windows: &BTreeSet<usize>) -> BTreeSet<usize> {
    let is_window = |expr: &Expr| place(expr, input).is_some_and(|at| windows.contains(&at));
    exprs.iter().enumerate().filter(|(_, expr)| is_window(expr)).map(|(at, _)| at).collect()
}

fn is_partitioned_by(call: &Expr, input: &LogicalPlan, windows: &BTreeSet<usize>) -> bool {
    match call {
        Expr::WindowFunction(call) => !carried(&call.params.partition_by, input, windows).is_empty(),
        Expr::Alias(alias) => is_partitioned_by(&alias.expr, input, windows),
        _ => false,
    }
}

/// Functions whose states hold what their values are ordered by: rows may come to them in any order.
const SORT_THEMSELVES: [&str; 4] = ["array_agg", "string_agg", "first_value", "last_value"];

/// The aggregate function over columns that are added for it; literals stay, since some functions want them so.
pub(super) fn over_columns(function: &Expr, at: usize, columns: &mut Vec<Expr>) -> Result<Expr, Error> {
    // What stands WITHIN GROUP is an argument.
    let needs_order = |call: &&AggregateFunction| {
        !call.params.order_by.is_empty()
            && !call.func.supports_within_group_clause()
            && !SORT_THEMSELVES.contains(&call.func.name())
    };
    if let Some(call) = call(function).filter(needs_order) {
        return Err(Error::Unsupported(format!("ORDER BY in {}() in a window", call.func.name())));
    }
    over_ordered_columns(function, at, columns)
}

/// The call of an aggregate function.
pub(super) fn call(function: &Expr) -> Option<&AggregateFunction> {
    match function {
        Expr::Alias(alias) => call(&alias.expr),
        Expr::AggregateFunction(call) => Some(call),
        _ => None,
    }
}

/// The same, also if the function asks for an order of its rows.
pub(super) fn over_ordered_columns(
    function: &Expr,
    at: usize,
    columns: &mut Vec<Expr>,
) -> Result<Expr, Error> {
    let Some(call) = call(function) else {
        return Err(Error::Unsupported(format!("{} in a pipeline", function.schema_name())));
    };
    if call.params.distinct && call.func.name() == "bit_xor" {
        // The stock function keeps the XOR of a group as its state, which does not tell what was there already.
        return Err(Error::Unsupported("bit_xor(DISTINCT …) in a pipeline".to_owned()));
    }
    let mut column = |expr: &Expr| match expr {
        Expr::Literal(..) => expr.clone(),
        expr => {
            let name = format!("a{}", columns.len());
            columns.push(expr.clone().alias(&name));
            col(name)
        }
    };
    // Of a row that the filter leaves out the argument may fail.
    let counted = |expr: &Expr| match (&call.params.filter, expr) {
        (Some(filter), expr) if !matches!(expr, Expr::Literal(..)) => {
            when(filter.as_ref().clone().is_true(), expr.clone()).end()
        }
        _ => Ok(expr.clone()),
    };
    let mut kept = call.clone();
    for arg in &mut kept.params.args {
        *arg = column(&counted(arg)?);
    }
    for order in &mut kept.params.order_by {
        let argument = call.params.args.iter().position(|arg| *arg == order.expr);
        order.expr = match argument.filter(|_| call.params.distinct) {
            // Values that are told apart are ordered by themselves, and the function wants to see that.
            Some(at) => kept.params.args[at].clone(),
            None => column(&counted(&order.expr)?),
        };
    }
    kept.params.filter = call.params.filter.as_ref().map(|filter| Box::new(column(filter)));
    let call = kept;
    Ok(Expr::AggregateFunction(call).alias(format!("f{at}")))
}

/// `c0…`, of the types of an aggregate's columns.
pub(super) fn columns_of(schema: &datafusion::common::DFSchema) -> Arc<Schema> {
    let fields = schema.fields().iter().enumerate();
    let fields = fields
        .map(|(at, field)| Field::new(format!("c{at}"), field.data_type().clone(), field.is_nullable()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A scan of a feed's columns from one on, with the names that the node of this schema gave them.
pub(super) fn named(
    feed: &Feed,
    from: usize,
    schema: &datafusion::common::DFSchema,
) -> Result<LogicalPlan, Error> {
    let table = TableReference::bare(format!("closed_{}", feed.id));
    let source = provider_as_source(Arc::new(feed.clone()));
    let scan = LogicalPlan::TableScan(TableScanBuilder::new(table.clone(), source).build()?);
    let names: Vec<String> =
        scan.schema().fields().iter().skip(from).map(|field| field.name().clone()).collect();
    let columns = names.into_iter().zip(schema.iter()).map(|(name, (qualifier, field))| {
        Expr::Column(Column::new(Some(table.clone()), name)).alias_qualified(qualifier.cloned(), field.name())
    });
    Ok(LogicalPlan::Projection(Projection::try_new(columns.collect(), Arc::new(scan))?))
}
