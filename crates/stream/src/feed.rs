//! Feeds: the leaves of a pipeline's plans. A plan is made once and names them; each epoch brings their rows along.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_connect::stamped;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;

/// Names a feed in one pipeline.
pub(crate) type FeedId = usize;

/// The rows of an epoch by feed, for plans that run in it: an extension of their session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feeds {
    rows: HashMap<FeedId, Vec<RecordBatch>>,
}

impl Feeds {
    pub(crate) fn set(&mut self, feed: FeedId, rows: Vec<RecordBatch>) {
        self.rows.insert(feed, rows);
    }
}

/// A feed as the planner sees it. Its batches have [`EVENT_TIME`](cenote_connect::EVENT_TIME) as their last column, which
/// is shown only where a window asks for it. It tells no statistics: a count of rows would become part of the plan.
#[derive(Clone)]
pub(crate) struct Feed {
    pub(crate) id: FeedId,
    /// Columns of its batches.
    all: SchemaRef,
    shown: SchemaRef,
}

impl Feed {
    /// A feed with these columns, event time left out.
    pub(crate) fn new(id: FeedId, columns: SchemaRef) -> Self {
        Self { id, all: stamped(&columns), shown: columns }
    }

    /// A feed of exactly these columns.
    pub(crate) fn exact(id: FeedId, columns: SchemaRef) -> Self {
        Self { id, all: columns.clone(), shown: columns }
    }

    /// The same, with the event time.
    pub(crate) fn with_event_time(&self) -> Self {
        Self { shown: self.all.clone(), ..self.clone() }
    }

    /// Columns of its batches.
    pub(crate) fn batches(&self) -> &SchemaRef {
        &self.all
    }

    /// The leaf of a physical plan, with the columns of `projection`.
    pub(crate) fn exec(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let partition: Arc<dyn PartitionStream> = Arc::new(self.clone());
        let exec =
            StreamingTableExec::try_new(self.shown.clone(), vec![partition], projection, [], false, None)?;
        Ok(Arc::new(exec))
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feed({})", self.id)
    }
}

impl PartitionStream for Feed {
    fn schema(&self) -> &SchemaRef {
        &self.shown
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let feeds = context.session_config().get_extension::<Feeds>();
        let rows = feeds.and_then(|feeds| feeds.rows.get(&self.id).cloned()).unwrap_or_default();
        let shown: Vec<usize> = (0..self.shown.fields().len()).collect();
        let rows = rows.into_iter().map(move |batch| Ok(batch.project(&shown)?));
        Box::pin(RecordBatchStreamAdapter::new(self.shown.clone(), stream::iter(rows)))
    }
}

#[async_trait]
impl TableProvider for Feed {
    fn schema(&self) -> SchemaRef {
        self.shown.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.exec(projection)
    }
}
