//! What a pipeline may not be, each refused by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use cenote_catalog::TableDef;
use cenote_table::{Dedup, RowKey};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Volatility};

use super::Writes;
use super::cut::Rows;
use super::functions::{is_of_epoch, is_row_time, is_window};
use super::key::key_of;
use crate::Error;
use crate::feed::{Feed, FeedId};

/// The feed that a scan reads.
pub(super) fn feed_of(scan: &TableScan) -> Result<Feed, Error> {
    let provider = source_as_provider(&scan.source)?;
    let provider: &dyn std::any::Any = provider.as_ref();
    provider
        .downcast_ref::<Feed>()
        .cloned()
        .ok_or_else(|| Error::Unsupported(format!("reading {} in a pipeline", scan.table_name)))
}

/// The feeds that plans read.
pub(super) fn feeds<'a>(plans: impl IntoIterator<Item = &'a LogicalPlan>) -> Result<BTreeSet<FeedId>, Error> {
    let mut feeds = BTreeSet::new();
    for plan in plans {
        let mut failed = None;
        plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                match feed_of(scan) {
                    Ok(feed) => drop(feeds.insert(feed.id)),
                    Err(error) => failed = Some(error),
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(feeds)
}

/// What a plan makes depends on when the rows that it reads happened.
pub(super) fn ask_times(plan: &LogicalPlan) -> Result<(), Error> {
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(feed) = feed_of(scan)
        {
            feed.ask_times();
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// How much later than the watermark says rows of a plan may come, µs.
pub(super) fn lag(plan: &LogicalPlan) -> Result<i64, Error> {
    let mut lag = 0;
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(feed) = feed_of(scan)
        {
            lag = lag.max(feed.lag());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(lag)
}

/// The first expression of a plan that `wanted` names.
fn find<T>(plan: &LogicalPlan, mut wanted: impl FnMut(&Expr) -> Option<T>) -> Result<Option<T>, Error> {
    let mut found = None;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found = found.take().or_else(|| wanted(expr));
                Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })
    })?;
    Ok(found)
}

/// Functions whose answers depend on the time zone of a session and on nothing else: a pipeline's is always UTC.
const BY_TIME_ZONE: [&str; 3] = ["to_timestamp", "strftime", "to_char"];

/// Functions that would be decided once and for all when the pipeline is planned.
pub(super) fn functions(plan: &LogicalPlan) -> Result<(), Error> {
    let stable = |expr: &Expr| match expr {
        Expr::ScalarFunction(call)
            if call.func.signature().volatility == Volatility::Stable
                && !is_window(expr)
                && !is_row_time(expr)
                && !BY_TIME_ZONE.contains(&call.func.name()) =>
        {
            Some(Error::Unsupported(format!("{}() in a pipeline", call.func.name())))
        }
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => {
            Some(Error::Unsupported("a subquery in an expression of a pipeline".to_owned()))
        }
        _ => None,
    };
    find(plan, stable)?.map_or(Ok(()), Err)
}

/// Functions below state that would answer otherwise if they were asked again.
pub(super) fn volatile(plan: &LogicalPlan) -> Result<(), Error> {
    let volatile = |expr: &Expr| match expr {
        Expr::ScalarFunction(call)
            if call.func.signature().volatility == Volatility::Volatile && !is_of_epoch(&call.func) =>
        {
            Some(Error::Invalid(format!(
                "{}() below an aggregate would answer otherwise in a replay",
                call.func.name()
            )))
        }
        _ => None,
    };
    find(plan, volatile)?.map_or(Ok(()), Err)
}

/// Names of functions that answer otherwise whenever they are asked.
pub(super) fn volatile_functions(plan: &LogicalPlan) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    find(plan, |expr| -> Option<()> {
        if let Expr::ScalarFunction(call) = expr
            && call.func.signature().volatility == Volatility::Volatile
            && !is_of_epoch(&call.func)
        {
            names.insert(format!("{}()", call.func.name()));
        }
        None
    })?;
    Ok(names)
}

/// Functions over rows that may be taken back: asked again for such a row they must answer the same.
pub(super) fn steady(plan: &LogicalPlan) -> Result<(), Error> {
    let volatile = |expr: &Expr| match expr {
        Expr::ScalarFunction(call) if call.func.signature().volatility == Volatility::Volatile => {
            let name = call.func.name();
            Some(Error::Invalid(format!(
                "{name}() over rows that may be taken back would answer otherwise when they are"
            )))
        }
        _ => None,
    };
    find(plan, volatile)?.map_or(Ok(()), Err)
}

/// Window functions that are left where none may be.
pub(super) fn no_window(plan: &LogicalPlan) -> Result<(), Error> {
    let window = |expr: &Expr| {
        if is_row_time(expr) {
            return Some(Error::Unsupported("row_time() outside of SELECT and WHERE".to_owned()));
        }
        is_window(expr)
            .then(|| Error::Invalid(format!("window function {} outside of GROUP BY", expr.schema_name())))
    };
    find(plan, window)?.map_or(Ok(()), Err)
}

/// What a pipeline does with its rows in a table.
pub(super) fn sink(table: &TableDef, rows: &Rows, plan: &LogicalPlan) -> Result<Writes, Error> {
    let name = table.full_name();
    let is_keyed = is_keyed(table)?;
    match rows {
        Rows::Updating if !is_keyed => Err(Error::Invalid(
            "input is updating, but sink is not configured as an updating sink (hint: use format = 'debezium_json')"
                .to_owned(),
        )),
        Rows::Updating => {
            let key = key_of(plan).ok_or_else(|| {
                Error::Unsupported(format!("rows without a known key of their own into {name} by its key"))
            })?;
            let columns = &table.schema.fields;
            let wanted = RowKey::of(table)?;
            let places = wanted.iter().flat_map(RowKey::places).copied().collect::<BTreeSet<usize>>();
            if key.is_subset(&places) {
                return Ok(Writes::Changes);
            }
            let names = |places: &BTreeSet<usize>| {
                let names = places.iter().filter_map(|at| columns.get(*at));
                names.map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ")
            };
            Err(Error::Invalid(format!(
                "rows are told apart by ({}), but the key of {name} is ({})",
                names(&key),
                names(&places)
            )))
        }
        _ => Ok(if is_keyed { Writes::Upserts } else { Writes::Appends }),
    }
}

/// True if rows of a table take the place of others.
pub(crate) fn is_keyed(table: &TableDef) -> Result<bool, Error> {
    Ok(Dedup::of(table)? == Dedup::Last || !table.key_fields.is_empty())
}

/// What is written is not read.
pub(super) fn no_target_is_read<'a>(
    read: &[&Arc<TableDef>],
    targets: impl Iterator<Item = &'a Arc<TableDef>>,
) -> Result<(), Error> {
    for target in targets {
        if read.iter().any(|table| table.id == target.id) {
            return Err(Error::Invalid(format!("table {} is both read and written", target.full_name())));
        }
    }
    Ok(())
}
