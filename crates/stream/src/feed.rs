//! Feeds: the leaves of a pipeline's plans. A plan is made once and names them; each epoch brings their rows along.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_connect::{EVENT_TIME, ROW_ID, WEIGHT, changed, logged, stamped};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;
use parking_lot::Mutex;

use crate::multiset::weighted;
use crate::window::WindowKind;

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

    pub(crate) fn rows(&self, feed: FeedId) -> &[RecordBatch] {
        self.rows.get(&feed).map_or(&[], Vec::as_slice)
    }

    /// Rows of the feed that has most.
    pub(crate) fn rows_max(&self) -> usize {
        self.rows.values().map(|rows| count(rows)).max().unwrap_or(0)
    }

    /// So many pieces, about as long as each other: one behind the other they are all rows.
    pub(crate) fn dealt(&self, pieces: usize) -> Vec<Self> {
        let piece = |at: usize| {
            let rows = self.rows.iter().map(|(feed, rows)| {
                let total = count(rows);
                (*feed, part(rows, total * at / pieces, total * (at + 1) / pieces))
            });
            Self { rows: rows.collect() }
        };
        (0..pieces).map(piece).collect()
    }
}

fn count(rows: &[RecordBatch]) -> usize {
    rows.iter().map(RecordBatch::num_rows).sum()
}

/// The rows from one place on and before another.
fn part(rows: &[RecordBatch], from: usize, to: usize) -> Vec<RecordBatch> {
    let mut first = 0;
    let mut part = Vec::new();
    for batch in rows {
        let (begin, end) = (from.max(first), to.min(first + batch.num_rows()));
        if begin < end {
            part.push(batch.slice(begin - first, end - begin));
        }
        first += batch.num_rows();
    }
    part
}

/// A feed as the planner sees it. Behind the columns that queries name its batches have hidden ones, such as
/// [`EVENT_TIME`](cenote_connect::EVENT_TIME), which are shown only where something asks for them. It tells no statistics: a
/// count of rows would become part of the plan.
#[derive(Clone)]
pub(crate) struct Feed {
    pub(crate) id: FeedId,
    /// Columns of its batches.
    all: SchemaRef,
    /// Which of them are shown, and those.
    places: Vec<usize>,
    shown: SchemaRef,
    /// Columns that no two of its rows have the same values in, if that is known.
    key: Option<Vec<usize>>,
    /// Which column is the window that its rows are the results of.
    window: Option<usize>,
    /// Its rows may come so much later than the watermark says, µs.
    lag: i64,
    /// Which column says when its rows happened, if one does.
    time: Option<usize>,
    /// What these windows are, if that is known.
    windows: Option<WindowKind>,
    /// Which column counts rows, from 1 on.
    number: Option<usize>,
    /// It is a table that is looked at by its key.
    is_lookup: bool,
    /// Nobody knows when its rows happened.
    is_timeless: bool,
    asked: Arc<Asked>,
}

/// What plans ask of a feed: complete when they are made.
#[derive(Debug, Default)]
struct Asked {
    /// Who its rows are.
    ids: AtomicBool,
    /// When they happened.
    times: AtomicBool,
    /// Columns of its batches.
    columns: Mutex<BTreeSet<usize>>,
}

impl Feed {
    /// A feed with these columns and the event time, of rows that are only added.
    pub(crate) fn new(id: FeedId, columns: SchemaRef) -> Self {
        Self::hiding(id, stamped(&columns), columns)
    }

    /// A feed with these columns and their weight, of rows that may be taken back. No two rows have the same `key`.
    pub(crate) fn updating(id: FeedId, columns: SchemaRef, key: Option<Vec<usize>>) -> Self {
        Self { key, ..Self::hiding(id, weighted(&columns), columns) }
    }

    /// The changes of a table.
    pub(crate) fn changes(id: FeedId, columns: SchemaRef, key: Option<Vec<usize>>) -> Self {
        Self { key, ..Self::hiding(id, changed(&columns), columns) }
    }

    /// A log of changes whose rows did not happen at any time.
    pub(crate) fn logged(id: FeedId, columns: SchemaRef, key: Vec<usize>) -> Self {
        Self { key: Some(key), ..Self::hiding(id, logged(&columns), columns) }.timeless()
    }

    /// The same, of rows that did not happen at any time.
    pub(crate) fn timeless(self) -> Self {
        Self { is_timeless: true, ..self }
    }

    /// A feed of exactly these columns.
    pub(crate) fn exact(id: FeedId, columns: SchemaRef) -> Self {
        Self::hiding(id, columns.clone(), columns)
    }

    /// The same, no two rows of which have the same `key`.
    pub(crate) fn with_key(self, key: Vec<usize>) -> Self {
        Self { key: Some(key), ..self }
    }

    /// A table that is looked at by its key.
    pub(crate) fn lookup(id: FeedId, columns: SchemaRef, key: Vec<usize>) -> Self {
        Self { is_lookup: true, ..Self::exact(id, columns).with_key(key) }
    }

    /// The same, of the results of windows; this column is the window, and what windows these are, if that is known.
    pub(crate) fn with_window(self, at: usize, windows: Option<WindowKind>) -> Self {
        Self { window: Some(at), windows, ..self }
    }

    /// The same; this column counts rows, from 1 on.
    pub(crate) fn with_number(self, at: Option<usize>) -> Self {
        Self { number: at, ..self }
    }

    /// The same; this column says when its rows happened.
    pub(crate) fn with_time(self, at: Option<usize>) -> Self {
        Self { time: at, ..self }
    }

    /// The same, whose rows may come so much later than the watermark says, in µs.
    pub(crate) fn with_lag(self, lag: i64) -> Self {
        Self { lag, ..self }
    }

    fn hiding(id: FeedId, all: SchemaRef, columns: SchemaRef) -> Self {
        Self {
            id,
            all,
            places: (0..columns.fields().len()).collect(),
            shown: columns,
            key: None,
            window: None,
            lag: 0,
            time: None,
            windows: None,
            number: None,
            is_lookup: false,
            is_timeless: false,
            asked: Arc::default(),
        }
    }

    /// The same, with some of the hidden columns behind the others; `None` if it has not all of them.
    pub(crate) fn showing(&self, hidden: &[&str]) -> Option<Self> {
        let mut places = self.places.clone();
        if hidden.contains(&EVENT_TIME) && self.is_timeless {
            return None;
        }
        self.asked.ids.fetch_or(hidden.contains(&ROW_ID), Ordering::Relaxed);
        self.asked.times.fetch_or(hidden.contains(&EVENT_TIME), Ordering::Relaxed);
        for name in hidden {
            places.push(self.all.index_of(name).ok()?);
        }
        let shown = Arc::new(self.all.project(&places).ok()?);
        Some(Self { places, shown, ..self.clone() })
    }

    /// Something depends on when its rows happened, if that is known.
    pub(crate) fn ask_times(&self) {
        self.asked.times.fetch_or(!self.is_timeless, Ordering::Relaxed);
    }

    /// True if something depends on the ids of its rows.
    pub(crate) fn shows_ids(&self) -> bool {
        self.asked.ids.load(Ordering::Relaxed)
    }

    /// True if something depends on when its rows happened.
    pub(crate) fn shows_times(&self) -> bool {
        self.asked.times.load(Ordering::Relaxed)
    }

    /// The columns of its batches that plans read.
    pub(crate) fn read(&self) -> BTreeSet<usize> {
        self.asked.columns.lock().clone()
    }

    /// True if its rows may be taken back.
    pub(crate) fn is_updating(&self) -> bool {
        self.all.index_of(WEIGHT).is_ok()
    }

    /// Columns that no two of its rows have the same values in, if that is known.
    pub(crate) fn key(&self) -> Option<&[usize]> {
        self.key.as_deref()
    }

    /// Which column is the window that its rows are the results of.
    pub(crate) fn window(&self) -> Option<usize> {
        self.window
    }

    /// Which column counts rows, from 1 on.
    pub(crate) fn number(&self) -> Option<usize> {
        self.number
    }

    /// What the windows are that its rows are results of, if that is known.
    pub(crate) fn windows(&self) -> Option<WindowKind> {
        self.windows
    }

    /// Which column says when its rows happened, if one does.
    pub(crate) fn time(&self) -> Option<usize> {
        self.time
    }

    /// True for a table that is looked at by its key.
    pub(crate) fn is_lookup(&self) -> bool {
        self.is_lookup
    }

    /// Its rows may come so much later than the watermark says, µs.
    pub(crate) fn lag(&self) -> i64 {
        self.lag
    }

    /// Columns that it shows.
    pub(crate) fn columns(&self) -> SchemaRef {
        self.shown.clone()
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
        let places = self.places.clone();
        let rows = rows.into_iter().map(move |batch| Ok(batch.project(&places)?));
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
        let read: Vec<usize> = match projection {
            Some(projection) => projection.iter().filter_map(|at| self.places.get(*at).copied()).collect(),
            None => self.places.clone(),
        };
        self.asked.columns.lock().extend(read);
        self.exec(projection)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    #[test]
    fn pieces_are_all_rows_in_their_order() {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let batch = |values: std::ops::Range<i64>| {
            RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from_iter_values(values))])
                .expect("a batch")
        };
        let mut feeds = Feeds::default();
        feeds.set(1, vec![batch(0..3), batch(3..3), batch(3..10)]);
        feeds.set(2, vec![batch(0..1)]);
        assert_eq!(feeds.rows_max(), 10);
        for pieces in [1, 2, 3, 7, 20] {
            let dealt = feeds.dealt(pieces);
            assert_eq!(dealt.len(), pieces);
            for (feed, expected) in [(1, 10), (2, 1)] {
                let values = dealt.iter().flat_map(|piece| piece.rows(feed));
                let values =
                    values.flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec());
                assert_eq!(values.collect::<Vec<_>>(), (0..expected).collect::<Vec<_>>(), "{pieces}");
            }
            assert!(dealt.iter().all(|piece| count(piece.rows(1)) <= 10_usize.div_ceil(pieces)));
        }
    }
}
