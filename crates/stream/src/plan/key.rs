//! By which columns rows of a plan are told apart.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use cenote_connect::ROW_ID;
use datafusion::common::{Column, ScalarValue};
use datafusion::functions::core::expr_fn::{coalesce, greatest};
use datafusion::functions_nested::expr_fn::{array_length, range};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnUnnestList, Expr, ExprSchemable, LogicalPlan, Operator, Projection, SubqueryAlias,
    Union, Unnest, cast,
};
use datafusion::prelude::lit;

use super::check::feed_of;
use super::cut::place;
use super::hidden::{columns, hidden_column, with_columns, with_hidden};
use crate::Error;
use crate::feed::Feed;

/// Columns that no two rows of a plan have the same values in; `None` if that is not known.
pub(super) fn key_of(plan: &LogicalPlan) -> Option<BTreeSet<usize>> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(feed_of(scan).ok()?.key()?.iter().copied().collect()),
        LogicalPlan::Projection(projection) => {
            let key = key_of(&projection.input)?;
            let carried = |at: usize| {
                projection.expr.iter().position(|expr| origin(expr, &projection.input) == Some(at))
            };
            key.into_iter().map(carried).collect()
        }
        LogicalPlan::Filter(filter) => {
            let mut key = key_of(&filter.input)?;
            // A column with one value tells nothing apart, as the first of ranked rows.
            for condition in split_conjunction(&filter.predicate) {
                if let Some(at) = constant(condition, &filter.input) {
                    key.remove(&at);
                }
            }
            Some(key)
        }
        LogicalPlan::SubqueryAlias(alias) => key_of(&alias.input),
        _ => None,
    }
}

/// The column that a condition gives one value.
fn constant(condition: &Expr, plan: &LogicalPlan) -> Option<usize> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (column, op, value) = match (value(left), value(right)) {
        (None, Some(value)) => (left, *op, value),
        (Some(value), None) => (right, op.swap()?, value),
        _ => return None,
    };
    let column = origin(column, plan)?;
    let whole = || match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(whole)) => whole,
        _ => None,
    };
    let is_one = match op {
        Operator::Eq => true,
        // A number is 1 at least.
        Operator::LtEq => leads_to(plan, column, &Feed::number) && whole() == Some(1),
        Operator::Lt => leads_to(plan, column, &Feed::number) && whole() == Some(2),
        _ => false,
    };
    is_one.then_some(column)
}

/// The value of a literal, also behind a cast.
fn value(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Cast(cast) => value(&cast.expr),
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

/// True if a column of a plan is the one that its feed names.
fn leads_to(plan: &LogicalPlan, at: usize, named: &dyn Fn(&Feed) -> Option<usize>) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => feed_of(scan).is_ok_and(|feed| named(&feed) == Some(at)),
        LogicalPlan::Projection(projection) => {
            let from = projection.expr.get(at).and_then(|expr| place(expr, &projection.input));
            from.is_some_and(|from| leads_to(&projection.input, from, named))
        }
        LogicalPlan::Filter(filter) => leads_to(&filter.input, at, named),
        LogicalPlan::SubqueryAlias(alias) => leads_to(&alias.input, at, named),
        _ => false,
    }
}

/// The column of a plan whose values an expression keeps apart.
fn origin(expr: &Expr, plan: &LogicalPlan) -> Option<usize> {
    match expr {
        Expr::Alias(alias) => origin(&alias.expr, plan),
        Expr::Cast(cast) => {
            let from = cast.expr.get_type(plan.schema()).ok()?;
            keeps_apart(&from, cast.field.data_type()).then(|| origin(&cast.expr, plan)).flatten()
        }
        // Windows of a key that begin, or end, together are one.
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => match call.args.as_slice() {
            [window, Expr::Literal(ScalarValue::Utf8(Some(field)), _)]
                if field == "start" || field == "end" =>
            {
                place(window, plan).filter(|at| leads_to(plan, *at, &Feed::window))
            }
            _ => None,
        },
        expr => place(expr, plan),
    }
}

/// True if different values of one type are different in the other. A number that does not fit fails.
fn keeps_apart(from: &DataType, to: &DataType) -> bool {
    let is_text =
        |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    from == to
        || (is_text(from) && is_text(to))
        || (from.is_integer() && to.is_integer())
        || matches!((from, to), (DataType::Timestamp(a, _), DataType::Timestamp(b, _)) if a <= b)
        || (from.is_integer() && matches!(to, DataType::Decimal128(_, 0)))
}

/// The plan with columns behind its own that tell its rows apart, whatever it shows; and how many there are.
pub(super) fn with_keys(plan: &LogicalPlan, prefix: &str) -> Result<(LogicalPlan, usize), Error> {
    let name = |at: usize| format!("{prefix}{at}");
    Ok(match plan {
        LogicalPlan::TableScan(scan) => {
            let feed = feed_of(scan)?;
            match feed.key() {
                Some([]) => (with_columns(plan.clone(), vec![lit(0_i64).alias(name(0))])?, 1),
                Some(key) => {
                    let all: Vec<Expr> = columns(plan).collect();
                    let keys = key.iter().enumerate();
                    let keys = keys.filter_map(|(at, place)| Some(all.get(*place)?.clone().alias(name(at))));
                    let keys: Vec<Expr> = keys.collect();
                    let count = keys.len();
                    (with_columns(plan.clone(), keys)?, count)
                }
                None => {
                    let input = with_hidden(plan, &[ROW_ID])?;
                    let mut all: Vec<Expr> = columns(&input).collect();
                    let id = all.pop().map(|id| id.alias(name(0)));
                    all.extend(id);
                    (LogicalPlan::Projection(Projection::try_new(all, Arc::new(input))?), 1)
                }
            }
        }
        LogicalPlan::Projection(projection) => {
            let (input, count) = with_keys(&projection.input, prefix)?;
            let mut all = projection.expr.clone();
            for at in 0..count {
                all.push(hidden_column(&input, count - at)?.alias(name(at)));
            }
            (LogicalPlan::Projection(Projection::try_new(all, Arc::new(input))?), count)
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
            let inputs = plan.inputs();
            let [input] = inputs.as_slice() else { return Err(no_keys(plan)) };
            let (input, count) = with_keys(input, prefix)?;
            (plan.with_new_exprs(plan.expressions(), vec![input])?, count)
        }
        LogicalPlan::Unnest(unnest) => {
            let is_flat = |(_, list): &(usize, ColumnUnnestList)| list.depth == 1;
            if !unnest.struct_type_columns.is_empty() || !unnest.list_type_columns.iter().all(is_flat) {
                return Err(Error::Unsupported(
                    "unnest of lists in lists, or of structs, in a materialized view".to_owned(),
                ));
            }
            // Behind the keys stands the place in the list.
            let (input, count) = with_keys(&unnest.input, prefix)?;
            let lengths = unnest.exec_columns.iter().map(|list| {
                let length = cast(array_length(Expr::Column(list.clone())), DataType::Int64);
                coalesce(vec![length, lit(0_i64)])
            });
            let places = range(lit(0_i64), greatest(lengths.collect()), lit(1_i64)).alias(name(count));
            let input = Arc::new(with_columns(input, vec![places])?);
            let mut lists = unnest.exec_columns.clone();
            lists.push(Column::from_name(name(count)));
            let unnest = Unnest::try_new(input, lists, unnest.options.clone())?;
            (LogicalPlan::Unnest(unnest), count + 1)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (input, count) = with_keys(&alias.input, prefix)?;
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            (LogicalPlan::SubqueryAlias(alias), count)
        }
        LogicalPlan::Union(union) => {
            let mut inputs: Vec<Arc<LogicalPlan>> = Vec::new();
            let mut counts = BTreeSet::new();
            for (branch, input) in (0_i64..).zip(&union.inputs) {
                let (input, count) = with_keys(input, prefix)?;
                // The branch stands before the keys of its rows.
                let own = input.schema().fields().len() - count;
                let mut all: Vec<Expr> = columns(&input).take(own).collect();
                all.push(lit(branch).alias(name(0)));
                for at in 0..count {
                    all.push(hidden_column(&input, count - at)?.alias(name(at + 1)));
                }
                let input = LogicalPlan::Projection(Projection::try_new(all, Arc::new(input))?);
                let types: Vec<String> = input
                    .schema()
                    .fields()
                    .iter()
                    .skip(own)
                    .map(|field| field.data_type().to_string())
                    .collect();
                counts.insert(types);
                inputs.push(Arc::new(input));
            }
            let [types] = counts.into_iter().collect::<Vec<_>>().try_into().map_err(|_: Vec<_>| {
                Error::Unsupported(
                    "UNION ALL of rows with keys of different types in a materialized view".to_owned(),
                )
            })?;
            (LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?), Vec::len(&types))
        }
        other => return Err(no_keys(other)),
    })
}

fn no_keys(plan: &LogicalPlan) -> Error {
    let kind = plan.display().to_string();
    let kind = kind.split([':', ' ']).next().unwrap_or("this").to_uppercase();
    Error::Unsupported(format!("{kind} in a materialized view"))
}
