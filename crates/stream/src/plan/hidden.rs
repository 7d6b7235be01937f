//! Brings hidden columns of rows, such as their event time and their weight, up to where something asks for them.

use std::sync::Arc;

use cenote_connect::{EVENT_TIME, WEIGHT};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, SubqueryAlias, Union, Unnest};
use datafusion::prelude::lit;

use super::check::feed_of;
use super::functions::is_row_time;
use crate::Error;

/// The same rows, with hidden columns as their last ones, in this order. Rows that are only added come once.
pub(super) fn with_hidden(plan: &LogicalPlan, hidden: &[&str]) -> Result<LogicalPlan, Error> {
    if hidden == [WEIGHT] && !is_updating(plan)? {
        return with_columns(plan.clone(), vec![lit(1_i64).alias(WEIGHT)]);
    }
    Ok(match plan {
        LogicalPlan::TableScan(scan) => {
            let feed = feed_of(scan)?;
            let stored: Vec<&str> =
                hidden.iter().copied().filter(|name| *name != WEIGHT || feed.is_updating()).collect();
            let shown = scan.projected_schema.fields();
            let last = shown.iter().rev().take(hidden.len()).rev().map(|field| field.name().as_str());
            if !hidden.is_empty() && last.eq(hidden.iter().copied()) {
                return Ok(plan.clone()); // they are there already
            }
            let Some(feed) = feed.showing(&stored) else {
                return Err(Error::Invalid(match stored.contains(&EVENT_TIME) {
                    true => {
                        format!("a window over {}, whose rows have no event time", scan.table_name.table())
                    }
                    false => format!("rows without {}", stored.join(", ")),
                }));
            };
            let source = provider_as_source(Arc::new(feed));
            let scan = TableScanBuilder::new(scan.table_name.clone(), source).build()?;
            let scan = LogicalPlan::TableScan(scan);
            if stored.len() == hidden.len() {
                return Ok(scan);
            }
            let count = scan.schema().fields().len() - stored.len();
            let mut columns: Vec<Expr> = columns(&scan).take(count).collect();
            for name in hidden {
                columns.push(match *name {
                    WEIGHT => lit(1_i64).alias(WEIGHT),
                    name => Expr::Column(Column::new(Some(scan_name(&scan)), name)),
                });
            }
            LogicalPlan::Projection(Projection::try_new(columns, Arc::new(scan))?)
        }
        LogicalPlan::Projection(projection) => {
            let input = with_hidden(&projection.input, hidden)?;
            let mut columns = projection.expr.clone();
            for (at, name) in hidden.iter().enumerate() {
                columns.push(hidden_column(&input, hidden.len() - at)?.alias(*name));
            }
            LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?)
        }
        LogicalPlan::Filter(filter) => {
            let input = with_hidden(&filter.input, hidden)?;
            LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(input))?)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let input = with_hidden(&alias.input, hidden)?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?)
        }
        LogicalPlan::Unnest(unnest) => {
            let input = Arc::new(with_hidden(&unnest.input, hidden)?);
            let unnest = Unnest::try_new(input, unnest.exec_columns.clone(), unnest.options.clone())?;
            LogicalPlan::Unnest(unnest)
        }
        LogicalPlan::Union(union) => {
            let inputs = union.inputs.iter().map(|input| with_hidden(input, hidden).map(Arc::new));
            LogicalPlan::Union(Union::try_new_with_loose_types(inputs.collect::<Result<_, _>>()?)?)
        }
        other => {
            let kind = other.display().to_string();
            let kind = kind.split([':', ' ']).next().unwrap_or("this").to_uppercase();
            let over = if hidden.contains(&EVENT_TIME) { "a window" } else { "an operator" };
            return Err(Error::Unsupported(format!("{over} over the results of {kind}")));
        }
    })
}

/// Expressions over a plan, and the plan, with the event time of rows where `row_time()` asks for it.
pub(super) fn with_row_time(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>), Error> {
    let asks = |expr: &Expr| expr.exists(|part| Ok(is_row_time(part)));
    if !exprs.iter().map(asks).collect::<Result<Vec<_>, _>>()?.contains(&true) {
        return Ok((plan, exprs));
    }
    let timed = with_hidden(&plan, &[EVENT_TIME])?;
    let time = hidden_column(&timed, 1)?;
    let replaced = exprs.into_iter().map(|expr| {
        let name = NamePreserver::new_for_projection().save(&expr);
        let expr = expr.transform(|part| {
            Ok(if is_row_time(&part) { Transformed::yes(time.clone()) } else { Transformed::no(part) })
        })?;
        Ok(name.restore(expr.data))
    });
    let replaced = replaced.collect::<Result<Vec<_>, Error>>()?;
    Ok((timed, replaced))
}

fn scan_name(scan: &LogicalPlan) -> datafusion::common::TableReference {
    match scan {
        LogicalPlan::TableScan(scan) => scan.table_name.clone(),
        _ => datafusion::common::TableReference::bare("?"),
    }
}

/// True if a plan reads rows that may be taken back.
pub(super) fn is_updating(plan: &LogicalPlan) -> Result<bool, Error> {
    let (mut found, mut failed) = (false, None);
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            match feed_of(scan) {
                Ok(feed) => found |= feed.is_updating(),
                Err(error) => failed = Some(error),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    failed.map_or(Ok(found), Err)
}

/// The columns of a plan.
pub(super) fn columns(plan: &LogicalPlan) -> impl Iterator<Item = Expr> + '_ {
    plan.schema().iter().map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())))
}

/// The plan with more columns behind its own.
pub(super) fn with_columns(plan: LogicalPlan, more: Vec<Expr>) -> Result<LogicalPlan, Error> {
    let columns = columns(&plan).chain(more).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// A hidden column in what [`with_hidden`] made: so many from the end.
pub(super) fn hidden_column(plan: &LogicalPlan, from_end: usize) -> Result<Expr, Error> {
    let place = plan.schema().fields().len().checked_sub(from_end);
    place
        .and_then(|place| columns(plan).nth(place))
        .ok_or_else(|| Error::Invalid("rows without hidden columns".to_owned()))
}
