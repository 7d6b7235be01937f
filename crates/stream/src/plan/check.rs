//! What a pipeline may not be, each refused by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use cenote_catalog::TableDef;
use cenote_table::Dedup;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Volatility};

use super::functions::{NOW, is_window};
use crate::Error;
use crate::feed::{Feed, FeedId};
use crate::streams::{SourceKind, SourcePlan};

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

/// Functions that would be decided once and for all when the pipeline is planned.
pub(super) fn functions(plan: &LogicalPlan) -> Result<(), Error> {
    let stable = |expr: &Expr| match expr {
        Expr::ScalarFunction(call)
            if call.func.signature().volatility == Volatility::Stable && !is_window(expr) =>
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
            if call.func.signature().volatility == Volatility::Volatile && call.func.name() != NOW =>
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

/// Window functions that are left where none may be.
pub(super) fn no_window(plan: &LogicalPlan) -> Result<(), Error> {
    let window = |expr: &Expr| {
        is_window(expr)
            .then(|| Error::Invalid(format!("window function {} outside of GROUP BY", expr.schema_name())))
    };
    find(plan, window)?.map_or(Ok(()), Err)
}

/// Rows are only appended.
pub(super) fn target(table: &TableDef) -> Result<(), Error> {
    match key_of(table)? {
        None => Ok(()),
        Some(key) => {
            Err(Error::Unsupported(format!("a pipeline into {}, which has {key},", table.full_name())))
        }
    }
}

/// What makes rows of a table take the place of others.
fn key_of(table: &TableDef) -> Result<Option<&'static str>, Error> {
    Ok(match Dedup::of(table)? {
        Dedup::Last => Some("dedup = 'last'"),
        Dedup::None => (!table.key_fields.is_empty()).then_some("a PRIMARY KEY"),
    })
}

/// What is written is not read; and rows of a source are only added.
pub(super) fn no_target_is_read<'a>(
    sources: &[SourcePlan],
    targets: impl Iterator<Item = &'a Arc<TableDef>>,
) -> Result<(), Error> {
    let read: Vec<&Arc<TableDef>> = sources
        .iter()
        .filter_map(|source| match &source.kind {
            SourceKind::Lake(table) => Some(table),
            SourceKind::Connector(_) => None,
        })
        .collect();
    for table in &read {
        if let Some(key) = key_of(table)? {
            let name = table.full_name();
            return Err(Error::Unsupported(format!("{name}, which has {key}, as the source of a pipeline")));
        }
    }
    for target in targets {
        if read.iter().any(|table| table.id == target.id) {
            return Err(Error::Invalid(format!("table {} is both read and written", target.full_name())));
        }
    }
    Ok(())
}
