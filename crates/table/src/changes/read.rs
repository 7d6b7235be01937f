//! Reads the rows of one step: their values, and before them what happened to each and where it stands.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cenote_catalog::TableDef;
use cenote_datafile::{ROW_ID, with_row_ids};
use cenote_vocab::{Reservation, Scope, TableSchema};
use futures::TryStreamExt;

use super::ChangeType;
use super::plan::Step;
use crate::merge::Batches;
use crate::{Error, Lake};

/// Rows of a batch without values.
const BATCH_ROWS: usize = 8_192;
/// A reader holds at most one row group of its file.
const READER_BYTES: u64 = 128 << 20;

/// The rows of a step, batch by batch.
pub(super) struct StepReader {
    step: Step,
    schema: SchemaRef,
    /// Kinds to show.
    types: Vec<ChangeType>,
    /// None: no column of the file is wanted.
    values: Option<Batches>,
    /// Runs of positions that have not been answered yet.
    runs: std::vec::IntoIter<Range<u64>>,
    run: Range<u64>,
    _memory: Reservation,
}

impl StepReader {
    pub(super) async fn open(
        lake: &Lake,
        scope: &Scope,
        table: &TableDef,
        step: Step,
        wanted: &Arc<TableSchema>,
        schema: &SchemaRef,
        types: &[ChangeType],
    ) -> Result<Self, Error> {
        let file = &step.file.file;
        let runs: Vec<Range<u64>> = step.rows.runs(file.rows).collect();
        let held = (runs.len() * size_of::<Range<u64>>()) as u64 + file.bytes.min(READER_BYTES);
        let memory = lake.memory.reserve(held)?;
        let mut columns = TableSchema::clone(wanted);
        if file.row_ids_stored {
            columns.fields.extend(row_id_column().fields);
        }
        let values = if columns.fields.is_empty() {
            None
        } else {
            Some(lake.read_file(scope, table, &step.file, step.rows.clone(), &Arc::new(columns)).await?)
        };
        let (schema, types) = (schema.clone(), types.to_vec());
        Ok(Self { step, schema, types, values, runs: runs.into_iter(), run: 0..0, _memory: memory })
    }

    /// The next rows; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            let (rows, values) = match &mut self.values {
                None => (BATCH_ROWS, Vec::new()),
                Some(batches) => match batches.try_next().await? {
                    Some(batch) => (batch.num_rows(), batch.columns().to_vec()),
                    None => return Ok(None),
                },
            };
            let positions = self.take(rows);
            if positions.is_empty() {
                return Ok(None);
            }
            let batch = self.batch(positions, values)?;
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
    }

    /// The next positions, `rows` at most.
    fn take(&mut self, rows: usize) -> Vec<i64> {
        let mut taken = Vec::with_capacity(rows);
        while taken.len() < rows {
            if self.run.is_empty() {
                match self.runs.next() {
                    Some(run) => self.run = run,
                    None => break,
                }
            }
            let room = (rows - taken.len()) as u64;
            let end = self.run.end.min(self.run.start + room);
            taken.extend((self.run.start..end).map(|at| i64::try_from(at).unwrap_or(i64::MAX)));
            self.run.start = end;
        }
        taken
    }

    fn batch(&self, positions: Vec<i64>, mut values: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
        let rows = positions.len();
        let step = &self.step;
        let start = step.file.row_id_start;
        let given = positions.iter().map(|at| start + at);
        let ids: Vec<i64> = match values.pop_if(|_| step.file.file.row_ids_stored) {
            None => given.collect(),
            // rows that came with the file have none of their own
            Some(stored) => stored
                .as_primitive::<Int64Type>()
                .iter()
                .zip(given)
                .map(|(stored, given)| stored.unwrap_or(given))
                .collect(),
        };
        let kinds = ids.iter().zip(&positions).map(|(id, position)| step.change_of(*id, *position));
        let kinds: Vec<ChangeType> = kinds.collect();
        let number = |value: i64| -> ArrayRef { Arc::new(Int64Array::from_value(value, rows)) };
        let mut columns = vec![
            number(step.txn.0),
            Arc::new(TimestampMicrosecondArray::from_value(step.committed.0, rows).with_timezone("UTC")),
            Arc::new(StringArray::from_iter_values(kinds.iter().map(|kind| kind.name()))),
            Arc::new(Int64Array::from(ids)),
            number(step.file.id.0),
            Arc::new(Int64Array::from(positions)),
        ];
        columns.extend(values);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        if kinds.iter().all(|kind| self.types.contains(kind)) {
            return Ok(batch);
        }
        let shown: BooleanArray = kinds.iter().map(|kind| Some(self.types.contains(kind))).collect();
        Ok(filter_record_batch(&batch, &shown)?)
    }
}

/// The hidden column that keeps the ids of rows that were moved or updated.
pub(super) fn row_id_column() -> TableSchema {
    let mut hidden = with_row_ids(&TableSchema::default());
    hidden.fields.retain(|field| field.id == ROW_ID);
    hidden
}
