//! A nested column of a file as the table has it now: fields in it are found by id.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use cenote_datafile::adapt;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

/// The value of `inner`, adapted.
#[derive(Debug, Eq)]
pub(crate) struct Adapted {
    inner: Arc<dyn PhysicalExpr>,
    /// As the file has it.
    stored: FieldRef,
    /// As the table has it, with ids.
    wanted: FieldRef,
    /// As SQL sees it.
    shown: FieldRef,
}

impl Adapted {
    pub(crate) fn new(
        inner: Arc<dyn PhysicalExpr>,
        stored: FieldRef,
        wanted: FieldRef,
        shown: FieldRef,
    ) -> Self {
        Self { inner, stored, wanted, shown }
    }
}

/// The column of the table as SQL sees it.
pub(crate) fn shown(column: &ArrayRef, stored: &Field, wanted: &Field, shown: &Field) -> Result<ArrayRef> {
    Ok(adapt(&adapt(column, stored, wanted)?, wanted, shown)?)
}

impl PartialEq for Adapted {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner) && self.stored == other.stored && self.wanted == other.wanted
    }
}

impl Hash for Adapted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
        self.stored.hash(state);
        self.wanted.hash(state);
    }
}

impl fmt::Display for Adapted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ADAPT({} AS {})", self.inner, self.shown.data_type())
    }
}

impl PhysicalExpr for Adapted {
    fn data_type(&self, _input: &Schema) -> Result<DataType> {
        Ok(self.shown.data_type().clone())
    }

    fn nullable(&self, _input: &Schema) -> Result<bool> {
        Ok(self.shown.is_nullable())
    }

    fn return_field(&self, _input: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.shown))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let column = self.inner.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(shown(&column, &self.stored, &self.wanted, &self.shown)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| Arc::clone(&self.inner));
        let (stored, wanted) = (Arc::clone(&self.stored), Arc::clone(&self.wanted));
        Ok(Arc::new(Self { inner, stored, wanted, shown: Arc::clone(&self.shown) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
