//! Joins of windows: rows of two sides that are results of the same windows meet in the same window, also if the query does not
//! say so.

use datafusion::common::JoinType;
use datafusion::logical_expr::{Distinct, Expr, Join, LogicalPlan};

use super::check::feed_of;
use super::cut::place;
use super::hidden::columns;
use crate::Error;
use crate::window::WindowKind;

/// The join with the equality of its sides' windows, where both are results of the same kind of windows and none of its
/// conditions speaks of them; any other as it is.
pub(super) fn in_same_windows(
    mut join: Join,
    left: &LogicalPlan,
    right: &LogicalPlan,
) -> Result<Join, Error> {
    if matches!(join.join_type, JoinType::LeftMark | JoinType::RightMark) {
        return Ok(join);
    }
    let (left_windows, right_windows) = (windows_of(left), windows_of(right));
    let (Some((left_at, a)), Some((right_at, b))) = (left_windows.first(), right_windows.first()) else {
        return Ok(join);
    };
    let speaks_of_them = |expr: &Expr| {
        let is_window = |plan: &LogicalPlan, windows: &[(usize, WindowKind)], column: &Expr| {
            place(column, plan).is_some_and(|at| windows.iter().any(|(window, _)| *window == at))
        };
        expr.column_refs().into_iter().any(|column| {
            let column = Expr::Column(column.clone());
            is_window(left, &left_windows, &column) || is_window(right, &right_windows, &column)
        })
    };
    let is_said = join.on.iter().flat_map(|(a, b)| [a, b]).chain(&join.filter).any(speaks_of_them);
    if a != b || is_said {
        return Ok(join);
    }
    let column = |plan: &LogicalPlan, at: usize| {
        let column = columns(plan).nth(at);
        column.ok_or_else(|| Error::Invalid(format!("no column {at} in a side of a join")))
    };
    join.on.push((column(left, *left_at)?, column(right, *right_at)?));
    Ok(join)
}

/// Columns of a plan that are the windows of its rows, and what windows these are.
fn windows_of(plan: &LogicalPlan) -> Vec<(usize, WindowKind)> {
    let columns = 0..plan.schema().fields().len();
    columns.filter_map(|at| Some((at, windows_at(plan, at)?))).collect()
}

/// What windows a column of a plan holds, if it is the window of each row.
pub(super) fn windows_at(plan: &LogicalPlan, at: usize) -> Option<WindowKind> {
    let of = |input: &LogicalPlan, expr: &Expr| windows_at(input, place(expr, input)?);
    match plan {
        LogicalPlan::TableScan(scan) => {
            feed_of(scan).ok().filter(|feed| feed.window() == Some(at)).and_then(|feed| feed.windows())
        }
        LogicalPlan::Projection(projection) => of(&projection.input, projection.expr.get(at)?),
        LogicalPlan::Aggregate(aggregate) => of(&aggregate.input, aggregate.group_expr.get(at)?),
        LogicalPlan::Filter(filter) => windows_at(&filter.input, at),
        LogicalPlan::SubqueryAlias(alias) => windows_at(&alias.input, at),
        LogicalPlan::Sort(sort) => windows_at(&sort.input, at),
        LogicalPlan::Distinct(Distinct::All(input)) => windows_at(input, at),
        // What it adds stands behind the columns of its input.
        LogicalPlan::Window(window) => windows_at(&window.input, at),
        LogicalPlan::Union(union) => {
            let mut all = union.inputs.iter().map(|input| windows_at(input, at));
            let first = all.next()??;
            all.all(|other| other == Some(first)).then_some(first)
        }
        // Of the other side of an outer join a window may be NULL.
        LogicalPlan::Join(join) => {
            let width = join.left.schema().fields().len();
            match join.join_type {
                JoinType::Inner if at < width => windows_at(&join.left, at),
                JoinType::Inner => windows_at(&join.right, at - width),
                JoinType::Left if at < width => windows_at(&join.left, at),
                JoinType::Right if at >= width => windows_at(&join.right, at - width),
                JoinType::LeftSemi | JoinType::LeftAnti => windows_at(&join.left, at),
                JoinType::RightSemi | JoinType::RightAnti => windows_at(&join.right, at),
                _ => None,
            }
        }
        _ => None,
    }
}
