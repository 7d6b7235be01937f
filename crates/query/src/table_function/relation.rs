//! Rows that are made while a statement runs, as the planner sees them: one table, read as one stream.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, project_schema};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::Error;
use crate::plan::fault::outward;
use crate::scan::conform;

/// Batches of the columns that were asked for, in their order.
pub(crate) type RowStream = BoxStream<'static, Result<RecordBatch, Error>>;

/// Begins a stream of the columns at these places; the filters are hints.
type Begin = Arc<dyn Fn(&[usize], &[Expr]) -> Result<RowStream, Error> + Send + Sync>;

/// One table of made rows.
#[derive(Clone)]
pub(crate) struct Relation {
    name: String,
    columns: SchemaRef,
    begin: Begin,
}

impl Relation {
    pub(crate) fn new(
        name: String,
        columns: SchemaRef,
        begin: impl Fn(&[usize], &[Expr]) -> Result<RowStream, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { name, columns, begin: Arc::new(begin) }
    }
}

impl std::fmt::Debug for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

#[async_trait]
impl TableProvider for Relation {
    fn schema(&self) -> SchemaRef {
        self.columns.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = project_schema(&self.columns, projection)?;
        let places = projection.cloned().unwrap_or_else(|| (0..self.columns.fields().len()).collect());
        let part =
            Part { relation: self.clone(), places, filters: filters.to_vec(), columns: schema.clone() };
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(part) as _], None, [], false, None)?))
    }
}

/// A scan of it.
struct Part {
    relation: Relation,
    places: Vec<usize>,
    filters: Vec<Expr>,
    columns: SchemaRef,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.relation.fmt(f)
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.columns
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let columns = self.columns.clone();
        let rows = match (self.relation.begin)(&self.places, &self.filters) {
            Ok(rows) => rows,
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        };
        let rows = rows.map(move |batch| conform(&batch.map_err(outward)?, &columns));
        Box::pin(RecordBatchStreamAdapter::new(self.columns.clone(), rows))
    }
}
