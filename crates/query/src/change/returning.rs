//! `RETURNING`: the changed rows are kept, and before the commit a query runs over them.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use cenote_catalog::TableDef;
use cenote_vocab::Reservation;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use futures::TryStreamExt;
use sqlparser::ast::{Ident, SelectItem};

use super::query::answer_of;
use crate::Error;
use crate::plan::{Binder, fault};
use crate::scan::{conform, sql_schema};
use crate::session::Inner;
use crate::statement::bind_parameters;

/// What a statement answers about the rows that it changed.
#[derive(Clone, Debug)]
pub(crate) struct Returning<'a> {
    pub(crate) items: &'a [SelectItem],
    /// The name by which they mean the table.
    pub(crate) target: Ident,
}

/// The rows as the statement leaves them, or as they were if they are gone; in memory of the node's pool.
pub(crate) struct ChangedRows {
    columns: SchemaRef,
    batches: Vec<RecordBatch>,
    reservation: Reservation,
}

impl ChangedRows {
    pub(crate) fn new(session: &Inner, table: &TableDef) -> Self {
        let reservation = session.engine().lake().memory.reservation();
        Self { columns: sql_schema(&table.schema), batches: Vec::new(), reservation }
    }

    /// Keeps rows whose columns may be cast to those of the table.
    pub(crate) fn add(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        self.reservation.try_grow(rows.get_array_memory_size() as u64).map_err(cenote_table::Error::from)?;
        self.batches.push(conform(rows, &self.columns).map_err(fault::while_running)?);
        Ok(())
    }

    /// What the statement answers.
    pub(crate) async fn answer(
        self,
        session: &Inner,
        binder: &mut Binder<'_>,
        table: &TableDef,
        returning: &Returning<'_>,
        (sql, parameters): (&str, Vec<ScalarValue>),
    ) -> Result<Vec<RecordBatch>, Error> {
        let plan = self.plan(binder, table, returning, sql, &session.search_path()).await?;
        let plan = bind_parameters(plan, parameters, sql)?;
        let physical = binder.physical(plan, sql).await?;
        let batches = session
            .engine()
            .base()
            .stream(binder.state(), physical)
            .map_err(|error| fault::of(error, sql))?;
        batches.try_collect().await.map_err(fault::while_running)
    }

    async fn plan(
        &self,
        binder: &mut Binder<'_>,
        table: &TableDef,
        returning: &Returning<'_>,
        sql: &str,
        search_path: &[String],
    ) -> Result<LogicalPlan, Error> {
        binder.add_changed_rows(table, self.columns.clone(), self.batches.clone())?;
        let query = answer_of(table, &returning.target, returning.items)?;
        binder.plan(query, sql, search_path).await
    }
}

/// The plan of the answer, for its columns and parameters.
pub(crate) async fn describe(
    session: &Inner,
    binder: &mut Binder<'_>,
    table: &TableDef,
    returning: &Returning<'_>,
    sql: &str,
) -> Result<LogicalPlan, Error> {
    let nothing = ChangedRows::new(session, table);
    nothing.plan(binder, table, returning, sql, &session.search_path()).await
}
