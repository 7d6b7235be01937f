//! Many ordered streams of batches become one, batch by batch.
//!
//! Held are one batch of each stream, its keys, and the pieces of the batch that is made next.

use std::collections::HashMap;

use arrow::compute::interleave_record_batch;
use arrow::record_batch::RecordBatch;
use arrow::row::{Row, Rows};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use crate::Error;
use crate::order::RowOrder;

/// Rows of one table, a batch at a time.
pub(crate) type Batches = BoxStream<'static, Result<RecordBatch, Error>>;

/// First batches that are waited for at a time.
const BEGUN_AT_ONCE: usize = 16;
/// Rows in one merged batch.
const BATCH_ROWS: usize = 8_192;

/// Merges streams, each ordered by `order`. Equal rows come in the order of their streams.
pub(crate) struct Merge {
    order: RowOrder,
    cursors: Vec<Cursor>,
    /// Cursors with rows left, as a binary heap: the one with the smallest next row is first.
    heap: Vec<usize>,
}

/// A stream and its present batch.
struct Cursor {
    input: Batches,
    batch: RecordBatch,
    keys: Rows,
    at: usize,
}

impl Merge {
    /// Reads the first batch of each input.
    pub(crate) async fn start(order: RowOrder, inputs: Vec<Batches>) -> Result<Self, Error> {
        let first = async |mut input: Batches| {
            let first = next_batch(&mut input, &order).await?;
            Ok::<_, Error>(first.map(|(batch, keys)| Cursor { input, batch, keys, at: 0 }))
        };
        let begun = stream::iter(inputs.into_iter().map(first)).buffered(BEGUN_AT_ONCE);
        let cursors: Vec<Cursor> = begun.try_filter_map(async |cursor| Ok(cursor)).try_collect().await?;
        let mut merge = Self { order, heap: (0..cursors.len()).collect(), cursors };
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sink(at);
        }
        Ok(merge)
    }

    /// The next rows; `None` at the end of all inputs.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let mut pieces = Pieces::default();
        while pieces.rows < BATCH_ROWS {
            let Some(&first) = self.heap.first() else {
                break;
            };
            let end = self.run_end(first);
            let cursor = &mut self.cursors[first];
            pieces.add(first, &cursor.batch, cursor.at, end);
            cursor.at = end;
            if end == cursor.batch.num_rows() {
                pieces.forget(first);
                match next_batch(&mut cursor.input, &self.order).await? {
                    Some((batch, keys)) => (cursor.batch, cursor.keys, cursor.at) = (batch, keys, 0),
                    None => {
                        self.heap.swap_remove(0);
                    }
                }
            }
            self.sink(0);
        }
        pieces.into_batch()
    }

    /// All rows, a batch at a time.
    pub(crate) fn into_batches(self) -> Batches {
        let merged = stream::try_unfold(self, |mut merge| async move {
            Ok(merge.next().await?.map(|batch| (batch, merge)))
        });
        merged.boxed()
    }

    /// Where the rows of the first cursor end that come before those of all others.
    fn run_end(&self, first: usize) -> usize {
        let cursor = &self.cursors[first];
        let rows = cursor.batch.num_rows().min(cursor.at + BATCH_ROWS);
        let rivals = self.heap.get(1..self.heap.len().min(3)).unwrap_or_default();
        let Some(rival) = rivals.iter().copied().reduce(|a, b| if self.is_before(a, b) { a } else { b })
        else {
            return rows;
        };
        let limit = (self.cursors[rival].key(), rival);
        let before = |row: usize| (cursor.keys.row(row), first) < limit;
        // Doubling steps first: runs are short where inputs interleave and long where they do not.
        let (mut low, mut step) = (cursor.at, 1);
        while low + step < rows && before(low + step) {
            low += step;
            step *= 2;
        }
        let (mut low, mut high) = (low + 1, rows.min(low + step));
        while low < high {
            let middle = low + (high - low) / 2;
            if before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn is_before(&self, a: usize, b: usize) -> bool {
        (self.cursors[a].key(), a) < (self.cursors[b].key(), b)
    }

    /// Restores the heap after the cursor at `at` went on.
    fn sink(&mut self, mut at: usize) {
        loop {
            let children = (2 * at + 1)..(2 * at + 3).min(self.heap.len());
            let smallest = children.fold(at, |smallest, child| {
                if self.is_before(self.heap[child], self.heap[smallest]) { child } else { smallest }
            });
            if smallest == at {
                return;
            }
            self.heap.swap(at, smallest);
            at = smallest;
        }
    }
}

impl Cursor {
    fn key(&self) -> Row<'_> {
        self.keys.row(self.at)
    }
}

/// The next batch with rows in it, and their keys.
async fn next_batch(input: &mut Batches, order: &RowOrder) -> Result<Option<(RecordBatch, Rows)>, Error> {
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() > 0 {
            let keys = order.keys(&batch)?;
            return Ok(Some((batch, keys)));
        }
    }
    Ok(None)
}

/// Parts of batches, in the order in which they make the next batch.
#[derive(Default)]
struct Pieces {
    batches: Vec<RecordBatch>,
    /// Where the present batch of an input is among `batches`.
    present: HashMap<usize, usize>,
    parts: Vec<(usize, usize, usize)>,
    rows: usize,
}

impl Pieces {
    fn add(&mut self, input: usize, batch: &RecordBatch, from: usize, to: usize) {
        let slot = *self.present.entry(input).or_insert_with(|| {
            self.batches.push(batch.clone());
            self.batches.len() - 1
        });
        self.parts.push((slot, from, to));
        self.rows += to - from;
    }

    /// The input goes on with another batch.
    fn forget(&mut self, input: usize) {
        self.present.remove(&input);
    }

    fn into_batch(self) -> Result<Option<RecordBatch>, Error> {
        match self.parts[..] {
            [] => Ok(None),
            [(slot, from, to)] => Ok(Some(self.batches[slot].slice(from, to - from))),
            _ => {
                let rows =
                    self.parts.iter().flat_map(|(slot, from, to)| (*from..*to).map(|row| (*slot, row)));
                let rows: Vec<_> = rows.collect();
                let batches: Vec<_> = self.batches.iter().collect();
                Ok(Some(interleave_record_batch(&batches, &rows)?))
            }
        }
    }
}

#[cfg(test)]
mod tests;
