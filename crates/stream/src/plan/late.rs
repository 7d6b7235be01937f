//! Rows that come too late for their windows: by which columns they are told, and how they are kept.
//!
//! ```text
//! columns of an operator │ what people call the row │ its weight, if not 1 │ event time
//!                        └─ behind them, where windows are of rows that may be taken back ─┘
//! ```

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::{Schema, TimestampMicrosecondType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cenote_connect::EVENT_TIME;
use datafusion::logical_expr::{Expr, LogicalPlan, when};
use datafusion::prelude::lit;

use super::hidden;
use crate::Error;
use crate::kept::LateRows;
use crate::window::Windows;

/// How often a late row comes, or goes, among its columns.
const LATE_WEIGHT: &str = "_weight";

/// Rows of windows, of which some may come too late.
pub(super) struct LateOf {
    pub(super) windows: Windows,
    /// What people call their columns, which are the first of the input; the event time is behind them.
    pub(super) names: Vec<String>,
    /// They are kept.
    pub(super) keeps: bool,
}

impl LateOf {
    /// Adds columns by which late rows are told to those of an operator. `input`: its last column is the weight.
    pub(super) fn add_to(&self, columns: &mut Vec<Expr>, input: &LogicalPlan) -> Result<LateColumns, Error> {
        let width = columns.len();
        let mut all = hidden::columns(input);
        let own: Vec<Expr> = all.by_ref().take(self.names.len()).collect();
        let time = all.next().ok_or_else(|| Error::Invalid("windows without an event time".to_owned()))?;
        let mut names = None;
        if self.keeps {
            let told = vec![String::new(); width].into_iter().chain(self.names.iter().cloned());
            names = Some(told.chain([LATE_WEIGHT.to_owned()]).collect());
            columns.extend(own.into_iter().enumerate().map(|(at, column)| column.alias(format!("r{at}"))));
            let weight = hidden::hidden_column(input, 1)?;
            // One row that comes is told by its columns alone.
            let weight = when(weight.clone().not_eq(lit(1_i64)), weight).end()?;
            columns.push(weight.alias("rw"));
        }
        columns.push(time.alias(EVENT_TIME));
        Ok(LateColumns { windows: self.windows, width, names })
    }
}

/// Columns behind those of an operator by which rows that come too late are told; the last is the event time.
pub(super) struct LateColumns {
    pub(super) windows: Windows,
    /// How many stand before them.
    pub(super) width: usize,
    /// What people call the columns, of all but the event time, if late rows are kept.
    pub(super) names: Option<Vec<String>>,
}

/// Rows that came too late for their windows.
#[derive(Default)]
pub(super) struct TooLate {
    pub(super) count: u64,
    /// The same, if they are kept.
    pub(super) rows: Vec<LateRows>,
}

impl LateColumns {
    /// Which rows stand for their last window, and that is over.
    pub(super) fn late(
        &self,
        rows: &RecordBatch,
        ends: &[i64],
        watermark: i64,
    ) -> Result<BooleanArray, Error> {
        let times =
            rows.columns().last().and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        let times = times.ok_or_else(|| Error::Invalid("windows without an event time".to_owned()))?;
        let is_late =
            |(end, time): (&i64, &i64)| *end <= watermark && self.windows.last_end_of(*time) == *end;
        Ok(ends.iter().zip(times.values()).map(|row| Some(is_late(row))).collect())
    }
}

/// Rows that came too late, by these names, with the event time as their last column. A column without a name is not shown.
pub(super) fn late_rows(rows: &RecordBatch, names: &[String], watermark: i64) -> Result<LateRows, Error> {
    let times = rows.columns().last().and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
    let times = times.ok_or_else(|| Error::Invalid("late rows without an event time".to_owned()))?;
    let shown = names.iter().enumerate().filter(|(_, name)| !name.is_empty());
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (at, name) in shown {
        fields.push(rows.schema().field(at).clone().with_name(name));
        columns.push(rows.column(at).clone());
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let shown = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    Ok(LateRows { rows: shown, times: times.values().to_vec(), watermark })
}
