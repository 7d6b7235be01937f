//! A table with the system columns `_row_id`, `_file` and `_pos` behind its own (table page, 6.1).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CaseExpr, Column, binary, is_not_null};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use super::provider::{FILE_COLUMN, FIRST_ROW_ID, LakeTable, POSITION_COLUMN, STORED_ROW_ID};

/// The row's id, NULL for a buffered or uncommitted row.
const ROW_ID: &str = "_row_id";
/// The number of the row's file, NULL for a buffered row.
const FILE: &str = "_file";
/// The row's place in its file, from 0, NULL for a buffered row.
const POSITION: &str = "_pos";

/// The columns, in their order.
pub(crate) const PLACES: [&str; 3] = [ROW_ID, FILE, POSITION];

/// One table at one snapshot, with the places of its rows.
#[derive(Debug)]
pub(crate) struct PlacedTable {
    rows: LakeTable,
    schema: SchemaRef,
}

impl PlacedTable {
    pub(crate) fn new(rows: LakeTable) -> Self {
        let rows = rows.addressed_with_buffer();
        let own = rows.columns().fields().iter().map(|field| field.as_ref().clone());
        let places = PLACES.map(|name| Field::new(name, DataType::Int64, true));
        let schema = Arc::new(Schema::new(own.chain(places).collect::<Vec<_>>()));
        Self { rows, schema }
    }

    /// What answers the column of this place, over a scan of the columns of `sources`, which it adds to.
    fn expression(&self, at: usize, sources: &mut Vec<usize>) -> Result<Arc<dyn PhysicalExpr>> {
        let scanned = self.rows.schema();
        let mut source = |at: usize| -> Arc<dyn PhysicalExpr> {
            let known = sources.iter().position(|known| *known == at);
            let place = known.unwrap_or_else(|| {
                sources.push(at);
                sources.len() - 1
            });
            Arc::new(Column::new(scanned.field(at).name(), place))
        };
        let mut named = |name: &str| -> Result<Arc<dyn PhysicalExpr>> { Ok(source(scanned.index_of(name)?)) };
        match self.schema.field(at).name().as_str() {
            _ if at < self.rows.columns().fields().len() => Ok(source(at)),
            FILE => named(FILE_COLUMN),
            POSITION => named(POSITION_COLUMN),
            _ => {
                let (stored, first) = (named(STORED_ROW_ID)?, named(FIRST_ROW_ID)?);
                let counted = binary(first, Operator::Plus, named(POSITION_COLUMN)?, &scanned)?;
                let known = is_not_null(stored.clone())?;
                Ok(Arc::new(CaseExpr::try_new(None, vec![(known, stored)], Some(counted))?))
            }
        }
    }
}

#[async_trait]
impl TableProvider for PlacedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let mut sources = Vec::new();
        let mut expressions = Vec::new();
        for at in wanted {
            let name = self.schema.field(*at).name().clone();
            expressions.push((self.expression(*at, &mut sources)?, name));
        }
        let rows = self.rows.scan(session, Some(&sources), filters, limit).await?;
        if expressions.is_empty() {
            return Ok(rows); // only their number is wanted
        }
        // the reader's row numbers carry metadata that says so, which is none of the column's
        let shown = self.schema.project(wanted)?;
        Ok(Arc::new(ProjectionExec::try_new_with_schema_metadata(expressions, rows, &shown)?))
    }
}
