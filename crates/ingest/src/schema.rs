//! Rows as sent meet the table as it is: they fit, or the table changes first, or it is a type conflict.

mod change;
mod convert;
mod creation;
mod defaults;
mod resolve;
mod timestamps;

pub use change::Hold;

pub(crate) use change::ChangeRates;
pub(crate) use resolve::{Change, Fitted, Resolved, Target};

use arrow::array::Array;
use arrow::record_batch::RecordBatch;

/// Bytes that the batch's own values take; of buffers that it shares with others, only its part.
pub(crate) fn memory_bytes(batch: &RecordBatch) -> u64 {
    let bytes = batch.columns().iter().map(|column| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    });
    bytes.sum::<usize>() as u64
}
