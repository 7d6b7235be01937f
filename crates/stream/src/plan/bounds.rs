//! What the conditions of a join say of when the rows of a pair happened.
//!
//! ```text
//! a.time BETWEEN b.time - INTERVAL '5 seconds' AND b.time + INTERVAL '1 second'   ─►   -5 s ≤ a - b ≤ 1 s
//! ```

use arrow::datatypes::{DataType, TimeUnit};
use cenote_connect::EVENT_TIME;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, Join, JoinType, LogicalPlan, Operator,
};

use super::check::feed_of;
use super::cut::place;
use crate::Error;
use crate::window::WindowKind;

/// How long before (below 0) or after (above 0) its partner a left row happens, in µs; both ends are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) low: i64,
    pub(super) high: i64,
}

impl Bounds {
    /// Those that follow from the conditions of a join; `None` unless both ends do.
    pub(super) fn of(join: &Join, left: &LogicalPlan, right: &LogicalPlan) -> Option<Self> {
        let (mut low, mut high): (Option<i64>, Option<i64>) = (None, None);
        let mut say = |a: &Expr, op: Operator, b: &Expr| {
            let Some((distance, op)) = distance(a, op, b, (left, right)) else { return };
            let (at_least, at_most) = match op {
                Operator::Eq => (Some(distance), Some(distance)),
                Operator::LtEq => (None, Some(distance)),
                Operator::Lt => (None, Some(distance.saturating_sub(1))),
                Operator::GtEq => (Some(distance), None),
                Operator::Gt => (Some(distance.saturating_add(1)), None),
                _ => return,
            };
            low = low.max(at_least);
            high = match (high, at_most) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        };
        join.on.iter().for_each(|(a, b)| say(a, Operator::Eq, b));
        for condition in join.filter.as_ref().map(split_conjunction).unwrap_or_default() {
            match condition {
                Expr::BinaryExpr(BinaryExpr { left, op, right }) => say(left, *op, right),
                Expr::Between(between) if !between.negated => {
                    say(&between.expr, Operator::GtEq, &between.low);
                    say(&between.expr, Operator::LtEq, &between.high);
                }
                _ => {}
            }
        }
        let (low, high) = (low?, high?);
        (low <= high).then_some(Self { low, high })
    }
}

/// What `a op b` says of the time of the left row less that of the right one.
fn distance(
    a: &Expr,
    op: Operator,
    b: &Expr,
    (left, right): (&LogicalPlan, &LogicalPlan),
) -> Option<(i64, Operator)> {
    if let (Some(a), Some(b)) = (since(a, left), since(b, right)) {
        return Some((b.checked_sub(a)?, op));
    }
    let (a, b) = (since(a, right)?, since(b, left)?);
    Some((a.checked_sub(b)?, op.swap()?))
}

/// How long after the event time of its row an expression is, if that is the same for all rows. In µs.
fn since(expr: &Expr, plan: &LogicalPlan) -> Option<i64> {
    match expr {
        Expr::Alias(alias) => since(&alias.expr, plan),
        Expr::Column(_) => column_since(plan, place(expr, plan)?),
        Expr::Cast(cast) => {
            let (from, to) = (cast.expr.get_type(plan.schema()).ok()?, cast.field.data_type());
            matches!((from, to), (DataType::Timestamp(a, None), DataType::Timestamp(b, None)) if a <= *b)
                .then(|| since(&cast.expr, plan))
                .flatten()
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => match micros(right) {
            Some(more) => since(left, plan)?.checked_add(more),
            None => since(right, plan)?.checked_add(micros(left)?),
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            since(left, plan)?.checked_sub(micros(right)?)
        }
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => match call.args.as_slice() {
            [window, Expr::Literal(ScalarValue::Utf8(Some(field)), _)] => {
                window_since(plan, place(window, plan)?, field)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The same of a column.
fn column_since(plan: &LogicalPlan, at: usize) -> Option<i64> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let feed = feed_of(scan).ok()?;
            let is_micros = matches!(
                plan.schema().field(at).data_type(),
                DataType::Timestamp(TimeUnit::Microsecond, None)
            );
            let is_time = feed.time() == Some(at) || plan.schema().field(at).name() == EVENT_TIME;
            (is_time && is_micros).then_some(0)
        }
        LogicalPlan::Projection(projection) => since(projection.expr.get(at)?, &projection.input),
        LogicalPlan::Filter(filter) => column_since(&filter.input, at),
        LogicalPlan::SubqueryAlias(alias) => column_since(&alias.input, at),
        LogicalPlan::Union(union) => {
            let mut all = union.inputs.iter().map(|input| column_since(input, at));
            let first = all.next()??;
            all.all(|other| other == Some(first)).then_some(first)
        }
        _ => None,
    }
}

/// The same of the start or the end of a window: its results happen a µs before its end.
fn window_since(plan: &LogicalPlan, at: usize, field: &str) -> Option<i64> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let feed = feed_of(scan).ok().filter(|feed| feed.window() == Some(at))?;
            match field {
                "end" => Some(1),
                "start" => feed.windows().and_then(WindowKind::width).map(|width| 1 - width),
                _ => None,
            }
        }
        LogicalPlan::Projection(projection) => {
            window_since(&projection.input, place(projection.expr.get(at)?, &projection.input)?, field)
        }
        LogicalPlan::Filter(filter) => window_since(&filter.input, at, field),
        LogicalPlan::SubqueryAlias(alias) => window_since(&alias.input, at, field),
        _ => None,
    }
}

/// An interval of a fixed length.
fn micros(expr: &Expr) -> Option<i64> {
    let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) = expr else { return None };
    let days = i64::from(interval.days).checked_mul(86_400_000_000)?;
    let fits = interval.months == 0 && interval.nanoseconds % 1_000 == 0;
    fits.then(|| days.checked_add(interval.nanoseconds / 1_000)).flatten()
}

/// Conditions over inner joins stand where they hold rows back: of one side on that side, of both in the join.
pub(super) fn settled(plan: LogicalPlan) -> Result<LogicalPlan, Error> {
    let settled = plan.transform_up(|node| {
        let LogicalPlan::Filter(filter) = node else { return Ok(Transformed::no(node)) };
        let LogicalPlan::Join(join) = filter.input.as_ref() else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        if join.join_type != JoinType::Inner || filter.predicate.is_volatile() {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let (mut of_left, mut of_right, mut of_both) = (Vec::new(), Vec::new(), Vec::new());
        for condition in split_conjunction_owned(filter.predicate.clone()) {
            let of = |side: &LogicalPlan| {
                condition.column_refs().iter().all(|column| side.schema().has_column(column))
            };
            let home = match (of(&join.left), of(&join.right)) {
                (true, false) => &mut of_left,
                (false, true) => &mut of_right,
                _ => &mut of_both,
            };
            home.push(condition);
        }
        let on_side =
            |side: &std::sync::Arc<LogicalPlan>, conditions: Vec<Expr>| match conjunction(conditions) {
                Some(condition) => {
                    Filter::try_new(condition, side.clone()).map(|filter| LogicalPlan::Filter(filter).into())
                }
                None => Ok(side.clone()),
            };
        let join = Join {
            left: on_side(&join.left, of_left)?,
            right: on_side(&join.right, of_right)?,
            filter: conjunction(join.filter.clone().into_iter().chain(of_both)),
            ..join.clone()
        };
        Ok(Transformed::yes(LogicalPlan::Join(join)))
    })?;
    Ok(settled.data)
}
