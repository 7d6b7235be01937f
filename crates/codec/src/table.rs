//! Rows of one table on their way to a batch.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use cenote_vocab::{InvalidName, check_column, check_table};

use crate::column::{Column, Gaps, Misfit};
use crate::{Error, Limits, Rows};

/// The name of the time column, which every batch has.
pub(crate) const TIME: &str = "time";

/// A table that grows by rows or by blocks of columns. A column may be shorter than the table: its rest is NULL.
#[derive(Debug)]
pub(crate) struct Table {
    name: String,
    /// Microseconds since 1970, one per row.
    pub(crate) times: Vec<i64>,
    pub(crate) columns: Vec<Column>,
    by_name: HashMap<String, usize>,
    /// Indexes of columns that were sent as tags.
    tags: Vec<usize>,
}

/// Where a table stood, to go back there.
#[derive(Debug)]
pub(crate) struct Mark {
    rows: usize,
    columns: usize,
    tags: usize,
}

impl Table {
    /// An empty table, if its name is allowed.
    pub(crate) fn new(name: &str) -> Result<Self, InvalidName> {
        check_table(name)?;
        Ok(Self {
            name: name.to_owned(),
            times: Vec::new(),
            columns: Vec::new(),
            by_name: HashMap::new(),
            tags: Vec::new(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[inline]
    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// The column of this name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The column of this name, new if there is none yet.
    pub(crate) fn column(&mut self, name: &str, limits: &Limits) -> Result<usize, Error> {
        if let Some(column) = self.position(name) {
            return Ok(column);
        }
        check_column(name)?;
        // `time` is one of the table's columns.
        if self.columns.len() + 1 >= limits.columns_max {
            return Err(Error::Limit {
                what: format!("number of columns of {:?}", self.name),
                max: limits.columns_max as u64,
                limit: "columns_per_table_max",
            });
        }
        let column = self.columns.len();
        self.columns.push(Column::new(name.to_owned()));
        self.by_name.insert(name.to_owned(), column);
        Ok(column)
    }

    /// Notes that the column was sent as a tag. An error if it holds values that are not text.
    pub(crate) fn mark_tag(&mut self, column: usize) -> Result<(), Misfit> {
        let rows = self.rows();
        let known = self.columns[column].is_tag();
        self.columns[column].make_tag(rows)?;
        if !known {
            self.tags.push(column);
        }
        Ok(())
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { rows: self.rows(), columns: self.columns.len(), tags: self.tags.len() }
    }

    /// Forgets all that came since `mark`.
    pub(crate) fn roll_back(&mut self, mark: &Mark) {
        self.times.truncate(mark.rows);
        for tag in self.tags.drain(mark.tags..) {
            self.columns[tag].unmake_tag();
        }
        self.forget_columns(mark.columns);
        for column in &mut self.columns {
            column.truncate(mark.rows);
        }
    }

    /// Takes back the columns from number `count` on, which have no values and are no tags.
    pub(crate) fn forget_columns(&mut self, count: usize) {
        for column in self.columns.drain(count..) {
            self.by_name.remove(column.name());
        }
    }

    /// Text values whose invalid UTF-8 was replaced.
    pub(crate) fn replaced_utf8(&self) -> u64 {
        self.columns.iter().map(Column::replaced_utf8).sum()
    }

    /// The batch: `time`, then the columns in order of arrival.
    pub(crate) fn finish(mut self, gaps: &mut Gaps) -> Result<Rows, Error> {
        let rows = self.rows();
        let tags = self.tags.iter().map(|tag| self.columns[*tag].name().to_owned()).collect();
        self.times.shrink_to_fit();
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::new(self.times.into(), None));
        let mut fields = vec![Field::new(TIME, times.data_type().clone(), false)];
        let mut arrays = vec![times];
        for mut column in self.columns {
            column.pad_to(rows, gaps)?;
            let (field, array) = column.finish()?;
            fields.push(field);
            arrays.push(array);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| Error::Malformed(format!("table {:?}: {error}", self.name)))?;
        Ok(Rows { table: self.name, batch, tags })
    }
}
