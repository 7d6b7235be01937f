//! Tables of operators as blocks: the changes of one epoch or of many, whose sum is what the tables hold.
//!
//! ```text
//! objects:  [ base ][ half ][ quarter ]   inline, in the catalog: [ epoch n-1 ][ epoch n ]
//! ```
//! An epoch adds one block. Small blocks stand beside the epoch itself; together too large or too many they become an object,
//! which takes those before it along that are not much larger. So a row is written a few times, and an epoch costs what it
//! changed. What is full is not merged any more, so no merge needs more memory than some full blocks. Where more than half of the
//! rows in blocks are dead, all are written anew.

use std::io::Cursor;

use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::Error;
use crate::multiset::{Delta, Layout};

/// Blocks of a kind, at most.
const BLOCKS_MAX: usize = 8;
/// Rows below which dead ones do not matter.
const SMALL_ROWS: u64 = 64;

/// Changes by operator and table.
pub(crate) type Changes = Vec<Vec<Delta>>;
/// Layouts by operator and table.
pub(crate) type Layouts<'a> = Vec<Vec<&'a Layout>>;

/// How large blocks become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// All that stand in the state, together, in bytes.
    pub(crate) inline: usize,
    /// From so many bytes on, before they are compressed, a block is full.
    pub(crate) full: usize,
}

/// A block as the header of a state tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockHead {
    /// The object; `None`: it stands in the state.
    pub(crate) id: Option<Uuid>,
    pub(crate) bytes: u64,
    /// Before they were compressed, as what is full is told by what it takes to read it; 0 in states of before.
    #[serde(default)]
    plain_bytes: u64,
    rows: u64,
    /// XXH3-64 of its bytes.
    checksum: u64,
    parts: Vec<Part>,
}

/// The change of one table: an Arrow IPC stream of rows with weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    operator: usize,
    table: usize,
    bytes: usize,
}

/// A block, with its bytes if they stand in the state.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) head: BlockHead,
    pub(crate) inline: Option<Bytes>,
}

/// What becomes of the blocks in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The epoch's change is a block of its own.
    Add,
    /// The blocks from here on and the epoch's change become one.
    Merge(usize),
    /// One block of all rows takes the place of all blocks.
    Whole,
}

impl Block {
    /// Changes as a block whose bytes stand in the state; `None` if there are none.
    pub(crate) fn encode(changes: &Changes, layouts: &Layouts<'_>) -> Result<Option<Self>, Error> {
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        let (mut bytes, mut parts, mut rows, mut plain_bytes) = (Vec::new(), Vec::new(), 0, 0);
        for (operator, (deltas, layouts)) in changes.iter().zip(layouts).enumerate() {
            for (table, (delta, layout)) in deltas.iter().zip(layouts).enumerate() {
                if delta.is_empty() {
                    continue;
                }
                let from = bytes.len();
                let batch = layout.weighted_batch(delta)?;
                let mut writer =
                    StreamWriter::try_new_with_options(&mut bytes, &batch.schema(), options.clone())?;
                writer.write(&batch)?;
                writer.finish()?;
                drop(writer);
                parts.push(Part { operator, table, bytes: bytes.len() - from });
                rows += delta.len() as u64;
                plain_bytes += delta.bytes();
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let checksum = xxh3_64(&bytes);
        let head = BlockHead { id: None, bytes: bytes.len() as u64, plain_bytes, rows, checksum, parts };
        Ok(Some(Self { head, inline: Some(bytes.into()) }))
    }
}

impl BlockHead {
    /// Fails if these are not the bytes of the block.
    pub(crate) fn check(&self, bytes: &Bytes) -> Result<(), String> {
        match xxh3_64(bytes) == self.checksum {
            true => Ok(()),
            false => Err("the checksum of a block does not match".to_owned()),
        }
    }

    /// Adds what the bytes of a block say to changes; the error says what is wrong.
    pub(crate) fn decode(
        &self,
        bytes: &Bytes,
        layouts: &Layouts<'_>,
        into: &mut Changes,
    ) -> Result<(), String> {
        self.check(bytes)?;
        let mut from = 0;
        for part in &self.parts {
            let bytes = bytes.get(from..from + part.bytes).ok_or("a block is cut off")?;
            from += part.bytes;
            let layout = layouts.get(part.operator).and_then(|tables| tables.get(part.table));
            let into = into.get_mut(part.operator).and_then(|tables| tables.get_mut(part.table));
            let (Some(layout), Some(into)) = (layout, into) else {
                return Err("a block is of a table that is not there".to_owned());
            };
            let reader =
                StreamReader::try_new(Cursor::new(bytes), None).map_err(|error| error.to_string())?;
            let batches: Vec<RecordBatch> =
                reader.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
            into.merge(&layout.weighted_delta(&batches).map_err(|error| error.to_string())?);
        }
        Ok(())
    }
}

/// No changes, of all tables.
pub(crate) fn nothing(layouts: &Layouts<'_>) -> Changes {
    layouts.iter().map(|tables| vec![Delta::default(); tables.len()]).collect()
}

/// What becomes of the blocks when a new one comes and the tables hold so many rows.
pub(crate) fn step(blocks: &[BlockHead], new: &BlockHead, live_rows: u64, sizes: Sizes) -> Step {
    let rows: u64 = blocks.iter().map(|block| block.rows).sum::<u64>() + new.rows;
    if rows > 2 * live_rows + SMALL_ROWS {
        return Step::Whole;
    }
    // Objects come first: who merges takes all blocks behind along.
    let mut from = blocks.iter().position(|block| block.id.is_none()).unwrap_or(blocks.len());
    let inline = &blocks[from..];
    let inline_bytes = inline.iter().map(|block| block.bytes).sum::<u64>() + new.bytes;
    let fits = inline_bytes <= sizes.inline as u64;
    if fits && inline.len() < BLOCKS_MAX {
        return Step::Add;
    }
    if fits {
        return Step::Merge(from);
    }
    let mut merged = inline.iter().map(|block| block.rows).sum::<u64>() + new.rows;
    let is_full = |block: &BlockHead| block.bytes.max(block.plain_bytes) >= sizes.full as u64;
    let full = blocks[..from].iter().filter(|block| is_full(block)).count();
    while let Some(before) = from.checked_sub(1)
        && !is_full(&blocks[before])
        && (from - full >= BLOCKS_MAX || blocks[before].rows <= 2 * merged)
    {
        merged += blocks[before].rows;
        from = before;
    }
    Step::Merge(from)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::multiset::weighted;

    fn layout() -> Layout {
        Layout::new(Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)])), 1).expect("bytes")
    }

    fn delta(layout: &Layout, rows: &[(i64, i64)]) -> Delta {
        let (values, weights): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(values)), Arc::new(Int64Array::from(weights))];
        let batch = RecordBatch::try_new(weighted(layout.schema()), columns).expect("a batch");
        layout.weighted_delta(&[batch]).expect("rows")
    }

    #[test]
    fn the_sum_of_blocks_is_what_is_held_and_a_changed_byte_is_noticed() {
        let layout = layout();
        let layouts = vec![vec![&layout], vec![&layout, &layout]];
        let mut sum = nothing(&layouts);
        let mut changes = nothing(&layouts);
        changes[0][0] = delta(&layout, &[(1, 1), (2, 3)]);
        changes[1][1] = delta(&layout, &[(7, 1)]);
        let first = Block::encode(&changes, &layouts).expect("encodes").expect("rows");
        changes = nothing(&layouts);
        changes[0][0] = delta(&layout, &[(1, -1), (5, 1)]);
        let second = Block::encode(&changes, &layouts).expect("encodes").expect("rows");
        for block in [&first, &second] {
            let bytes = block.inline.clone().expect("bytes");
            block.head.decode(&bytes, &layouts, &mut sum).expect("decodes");
        }
        assert_eq!(sum[0][0], delta(&layout, &[(2, 3), (5, 1)]));
        assert_eq!((sum[1][0].len(), &sum[1][1]), (0, &delta(&layout, &[(7, 1)])));
        assert!(Block::encode(&nothing(&layouts), &layouts).expect("encodes").is_none());
        let mut flipped = first.inline.expect("bytes").to_vec();
        flipped[40] ^= 1;
        let error = first.head.decode(&flipped.into(), &layouts, &mut sum).expect_err("flipped");
        assert_eq!(error, "the checksum of a block does not match");
    }

    #[test]
    fn an_epoch_costs_what_it_changed_and_blocks_stay_few() {
        let head = |id: Option<u128>, rows: u64| BlockHead {
            id: id.map(Uuid::from_u128),
            bytes: rows * 10,
            plain_bytes: 0,
            rows,
            checksum: 0,
            parts: Vec::new(),
        };
        let (mut blocks, mut written, mut id) = (Vec::new(), 0, 0);
        let (epochs, inline_max) = (2000_u64, 1000);
        let sizes = Sizes { inline: inline_max, full: usize::MAX };
        for epoch in 1..=epochs {
            let new = head(None, 10);
            match step(&blocks, &new, epoch * 10, sizes) {
                Step::Add => blocks.push(new),
                Step::Merge(from) => {
                    let merged: Vec<BlockHead> = blocks.drain(from..).chain([new]).collect();
                    let rows = merged.iter().map(|block: &BlockHead| block.rows).sum();
                    written += rows;
                    id += 1;
                    let is_object = rows * 10 > inline_max as u64;
                    blocks.push(head(is_object.then_some(id), rows));
                }
                Step::Whole => panic!("no row is dead"),
            }
            let objects = blocks.iter().filter(|block| block.id.is_some()).count();
            assert!(objects <= BLOCKS_MAX && blocks.len() <= 2 * BLOCKS_MAX, "{blocks:?}");
        }
        assert!(written <= epochs * 10 * 20, "{written}");
        assert_eq!(step(&[head(None, 90)], &head(None, 10), 10, sizes), Step::Whole);
        let many: Vec<BlockHead> = [5000, 5000, 200, 100].map(|rows| head(Some(1), rows)).into();
        let new = head(None, 150);
        assert_eq!(
            step(&many, &new, 1 << 20, Sizes { full: 50_000, ..sizes }),
            Step::Merge(2),
            "full ones stay"
        );
        // As the first blocks after all were written anew: full, and small where they stand.
        let packed = |rows: u64| BlockHead { plain_bytes: 50_000, ..head(Some(1), rows) };
        let many: Vec<BlockHead> = (0..20).map(|_| packed(100)).chain([head(Some(1), 100)]).collect();
        assert_eq!(
            step(&many, &new, 1 << 20, Sizes { full: 50_000, ..sizes }),
            Step::Merge(20),
            "what is full is told before it is compressed"
        );
    }
}
