//! Brings the event time of rows up to where a window asks for it.

use std::sync::Arc;

use cenote_connect::EVENT_TIME;
use datafusion::common::Column;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, SubqueryAlias, Union};

use super::check::feed_of;
use crate::Error;

/// The same rows, with the event time as their last column.
pub(super) fn with_event_time(plan: &LogicalPlan) -> Result<LogicalPlan, Error> {
    Ok(match plan {
        LogicalPlan::TableScan(scan) => {
            let feed = Arc::new(feed_of(scan)?.with_event_time());
            let source = provider_as_source(feed);
            LogicalPlan::TableScan(TableScanBuilder::new(scan.table_name.clone(), source).build()?)
        }
        LogicalPlan::Projection(projection) => {
            let input = with_event_time(&projection.input)?;
            let mut columns = projection.expr.clone();
            columns.push(event_time(&input)?.alias(EVENT_TIME));
            LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?)
        }
        LogicalPlan::Filter(filter) => {
            let input = with_event_time(&filter.input)?;
            LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(input))?)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let input = with_event_time(&alias.input)?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?)
        }
        LogicalPlan::Union(union) => {
            let inputs = union.inputs.iter().map(|input| with_event_time(input).map(Arc::new));
            LogicalPlan::Union(Union::try_new_with_loose_types(inputs.collect::<Result<_, _>>()?)?)
        }
        other => {
            let kind = other.display().to_string();
            let kind = kind.split([':', ' ']).next().unwrap_or("this").to_uppercase();
            return Err(Error::Unsupported(format!("a window over the results of {kind}")));
        }
    })
}

/// The event time in what [`with_event_time`] made.
pub(super) fn event_time(plan: &LogicalPlan) -> Result<Expr, Error> {
    let last = plan.schema().fields().len().checked_sub(1);
    match last.map(|last| plan.schema().qualified_field(last)) {
        Some((qualifier, field)) if field.name() == EVENT_TIME => {
            Ok(Expr::Column(Column::new(qualifier.cloned(), field.name())))
        }
        _ => Err(Error::Invalid("rows without an event time".to_owned())),
    }
}
