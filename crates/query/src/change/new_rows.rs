//! Rows that a statement brings along: planned as those of an INSERT, and known to its query under a name of their own.

use cenote_catalog::TableDef;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{Expr as SqlExpr, Insert};

use crate::Error;
use crate::plan::{Binder, fault};
use crate::session::Inner;
use crate::statement::insert_plan;

/// Which rows a statement brings along.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NewRows<'a> {
    None,
    /// Those of an INSERT, which the statement's query reads.
    Merged(&'a Insert),
    /// Those of an INSERT, each of which must fulfil the predicate; they come beside what the change does.
    Replacing(&'a Insert, &'a SqlExpr),
}

impl<'a> NewRows<'a> {
    /// The statement that brings them.
    pub(super) fn insert(self) -> Option<&'a Insert> {
        match self {
            Self::None => None,
            Self::Merged(insert) | Self::Replacing(insert, _) => Some(insert),
        }
    }

    /// Makes the rows known to the statement's query.
    pub(super) async fn register(
        self,
        session: &Inner,
        binder: &mut Binder<'_>,
        sql: &str,
    ) -> Result<(), Error> {
        let Some(insert) = self.insert() else { return Ok(()) };
        let (table, plan) = insert_plan(session, binder, insert, sql).await?;
        let rows = named(plan, &table).map_err(|error| fault::of(error, sql))?;
        binder.add_new_rows(&table, rows)
    }
}

/// The rows with columns named by the target's.
fn named(plan: LogicalPlan, table: &TableDef) -> datafusion::common::Result<LogicalPlan> {
    let columns = plan.schema().columns().into_iter().zip(&table.schema.fields);
    let columns: Vec<Expr> = columns.map(|(column, field)| Expr::Column(column).alias(&field.name)).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}
