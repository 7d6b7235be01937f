//! Tables whose rows replace each other, while some rows are not in files yet: the newest row of a key is the one that shows.
//!
//! ```text
//! buffered batches ─ the last of each key ─► rows, and their keys
//! files ─ may hold one of the keys? ─ no ─► the plain scan
//!                                   └ yes ─► scan with the key's columns ─ less rows whose key is buffered
//! ```

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{cast, filter_record_batch, not};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use cenote_catalog::TableDef;
use cenote_datafile::arrow_type;
use cenote_table::{KeySet, Predicate, RowKey, Scan, ScanFile, may_match};
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExecBuilder;

use crate::Error;
use crate::plan::fault::outward;

/// The buffered rows of a keyed table.
pub(super) struct KeyedBuffer {
    key: Arc<RowKey>,
    /// The columns of their keys.
    columns: Vec<Vec<ArrayRef>>,
    /// Holds for every row that they hide.
    hidden: Predicate,
}

impl KeyedBuffer {
    /// Leaves of the batches, which are in order of arrival and have all of the table's columns, the last row of each key. `None`
    /// if rows of the table do not replace each other, or none are buffered.
    pub(super) fn of(table: &TableDef, batches: &mut Vec<RecordBatch>) -> Result<Option<Self>> {
        let fault = |error| outward(Error::from(error));
        let Some(key) = RowKey::of_dedup(table).map_err(fault)? else { return Ok(None) };
        if batches.is_empty() {
            return Ok(None);
        }
        let columns: Vec<Vec<ArrayRef>> = batches.iter().map(|batch| key.columns(batch)).collect();
        for (batch, kept) in batches.iter_mut().zip(key.newest(&columns).map_err(fault)?) {
            if kept.true_count() < batch.num_rows() {
                *batch = filter_record_batch(batch, &kept)?;
            }
        }
        batches.retain(|batch| batch.num_rows() > 0);
        let hidden = key.predicate(table, &columns).map_err(fault)?;
        Ok(Some(Self { key: Arc::new(key), columns, hidden }))
    }

    /// The files that the buffer leaves as they are, and those that may have rows that it hides, if there are any.
    pub(super) fn split(&self, scan: Scan, table: &TableDef) -> (Scan, Option<Scan>) {
        let Scan { txn, files, pruned } = scan;
        let touched = |file: &ScanFile| may_match(&file.entry, table, &self.hidden);
        let (overlapped, plain): (Vec<_>, Vec<_>) = files.into_iter().partition(touched);
        let overlapped = (!overlapped.is_empty()).then_some(Scan { txn, files: overlapped, pruned });
        (Scan { txn, files: plain, pruned }, overlapped)
    }

    /// The projection of a scan of overlapped files: what is wanted, then the columns of the key that are not.
    pub(super) fn projection(&self, wanted: Option<&Vec<usize>>) -> Option<Vec<usize>> {
        let wanted = wanted?;
        let more = self.key.places().iter().filter(|place| !wanted.contains(place));
        Some(wanted.iter().chain(more).copied().collect())
    }

    /// The rows of `files`, a scan of [`KeyedBuffer::projection`], whose key is not buffered; only the wanted columns.
    pub(super) fn hide(
        &self,
        files: Arc<dyn ExecutionPlan>,
        wanted: Option<&Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = files.schema();
        let column = |field: &cenote_vocab::Field| {
            Ok(Arc::new(Column::new_with_schema(&field.name, &schema)?) as Arc<dyn PhysicalExpr>)
        };
        let columns = self.key.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        let rows = self.columns.iter().map(|columns| self.key.rows(columns));
        let rows = rows.collect::<std::result::Result<Vec<_>, _>>();
        let keys = Arc::new(KeySet::new(rows.map_err(|error| outward(Error::from(error)))?));
        let not_buffered = Arc::new(NotBuffered { key: self.key.clone(), keys, columns });
        let shown = wanted.map(|wanted| (0..wanted.len()).collect());
        Ok(Arc::new(FilterExecBuilder::new(not_buffered, files).apply_projection(shown)?.build()?))
    }
}

/// True for rows whose key is not among those that are buffered.
#[derive(Debug)]
struct NotBuffered {
    key: Arc<RowKey>,
    keys: Arc<KeySet>,
    columns: Vec<Arc<dyn PhysicalExpr>>,
}

impl PartialEq for NotBuffered {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys) && self.columns == other.columns
    }
}

impl Eq for NotBuffered {}

impl Hash for NotBuffered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.keys).hash(state);
        self.columns.hash(state);
    }
}

impl fmt::Display for NotBuffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        write!(f, "NOT_BUFFERED({})", names.join(", "))
    }
}

impl PhysicalExpr for NotBuffered {
    fn data_type(&self, _input: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _input: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn return_field(&self, _input: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("not_buffered", DataType::Boolean, false)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (expr, field) in self.columns.iter().zip(self.key.fields()) {
            let column = expr.evaluate(batch)?.into_array(batch.num_rows())?;
            let wanted = arrow_type(&field.field_type);
            // inside of a file's reader a text may still be a dictionary or a view
            columns.push(if *column.data_type() == wanted { column } else { cast(&column, &wanted)? });
        }
        let rows = self.key.rows(&columns).map_err(|error| outward(Error::from(error)))?;
        Ok(ColumnarValue::Array(Arc::new(not(&self.keys.contains(&rows))?)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.columns.iter().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        columns: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { key: self.key.clone(), keys: self.keys.clone(), columns }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
