//! Checksums of a file's blocks. They stand between its data and its footer, where readers of Parquet do not look, and every
//! range that is read is compared with them: a bit that the storage flipped is an error, never another value.
//!
//! ```text
//! data, indexes | sum of each block: u32 | blocks: u32, sum of the footer: u32, sum of what stands before it here: u32, magic | footer
//! ```
//! Little endian; the sums are CRC-32C. A block is 64 KiB of what stands before the sums, the last one less.

use std::ops::Range;
use std::sync::Arc;

use crate::StoredFile;

pub(crate) const BLOCK_BYTES: u64 = 64 << 10;
const SUM_BYTES: usize = 4;
/// Nine bytes make the length of this part odd, and with it that of the whole: one flipped bit in the footer's length cannot hide it.
const MAGIC: &[u8; 9] = b"CNBLOCKS1";
/// Behind the footer: its length and Parquet's magic.
pub(crate) const PARQUET_TAIL_BYTES: usize = 8;

/// Sums up a file while it is written.
#[derive(Default)]
pub(crate) struct Summing {
    sums: Vec<u32>,
    open: u32,
    open_bytes: u64,
}

impl Summing {
    /// The next bytes of the file, before its footer.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK_BYTES - self.open_bytes).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.open = crc32c::crc32c_append(self.open, now);
            self.open_bytes += now.len() as u64;
            if self.open_bytes == BLOCK_BYTES {
                self.close();
            }
            bytes = later;
        }
    }

    fn close(&mut self) {
        self.sums.push(std::mem::take(&mut self.open));
        self.open_bytes = 0;
    }

    /// What belongs between the data and `footer`, which ends with its length and the magic.
    pub(crate) fn finish(mut self, footer: &[u8]) -> Vec<u8> {
        if self.open_bytes > 0 {
            self.close();
        }
        let mut bytes: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        let blocks = (bytes.len() / SUM_BYTES) as u32;
        bytes.extend(blocks.to_le_bytes());
        bytes.extend(crc32c::crc32c(footer).to_le_bytes());
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes.extend(MAGIC);
        bytes
    }
}

/// What the bytes of a file must sum up to.
#[derive(Debug, PartialEq, Eq)]
pub struct Checks {
    /// Where the sums begin.
    data_end: u64,
    file_bytes: u64,
    /// Of the blocks before `data_end`, then of all from there on. `None`: the file has no sums.
    sums: Option<(Vec<u32>, u32)>,
}

impl Checks {
    /// Number of blocks, sum of the footer, sum of all before, magic.
    pub(crate) const END_BYTES: u64 = (3 * SUM_BYTES + MAGIC.len()) as u64;

    /// Bytes of the sums that end with `end`, [`Checks::END_BYTES`] long; 0 if they are none.
    pub(crate) fn bytes(end: &[u8]) -> u64 {
        let blocks = end.first_chunk().map_or(0, |blocks| u64::from(u32::from_le_bytes(*blocks)));
        if end.ends_with(MAGIC) { Self::END_BYTES + blocks * SUM_BYTES as u64 } else { 0 }
    }

    /// Those of a file that has none.
    pub(crate) fn none(file: &StoredFile) -> Arc<Self> {
        Arc::new(Self { data_end: file.data_end(), file_bytes: file.bytes, sums: None })
    }

    /// From the last [`StoredFile::footer_bytes`] of a file, which the catalog knows: if they are more than the footer has, sums
    /// stand before it. The error is a reason.
    pub(crate) fn read(file: &StoredFile, tail: &[u8]) -> Result<Arc<Self>, String> {
        let [.., a, b, c, d, _, _, _, _] = *tail else { return Err("it has no footer".to_owned()) };
        let said = u32::from_le_bytes([a, b, c, d]) as usize + PARQUET_TAIL_BYTES;
        if said == tail.len() {
            return Ok(Self::none(file));
        }
        let wrong =
            || format!("its footer has {said} bytes by its own word, the catalog knows {}", tail.len());
        let (sums, footer) = tail.split_at(tail.len().checked_sub(said).ok_or_else(wrong)?);
        let (counted, magic) = sums.split_last_chunk().ok_or_else(wrong)?;
        if magic != MAGIC {
            return Err(wrong());
        }
        let (summed, sum) = counted.split_last_chunk().ok_or_else(wrong)?;
        compare("its checksums", u32::from_le_bytes(*sum), summed)?;
        let (summed, sum) = summed.split_last_chunk().ok_or_else(wrong)?;
        compare("its footer", u32::from_le_bytes(*sum), footer)?;
        let (sums, blocks) = summed.split_last_chunk().ok_or_else(wrong)?;
        let data_end = file.data_end();
        let blocks = u64::from(u32::from_le_bytes(*blocks));
        let (sums, rest) = sums.as_chunks();
        if sums.len() as u64 != blocks || data_end.div_ceil(BLOCK_BYTES) != blocks || !rest.is_empty() {
            return Err(format!("{blocks} checksums do not fit {data_end} bytes"));
        }
        let sums = sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        let sums = Some((sums, crc32c::crc32c(tail)));
        Ok(Arc::new(Self { data_end, file_bytes: file.bytes, sums }))
    }

    /// The smallest range of whole blocks around it; all from `data_end` on is one.
    pub(crate) fn widened(&self, range: &Range<u64>) -> Range<u64> {
        if self.sums.is_none() {
            return range.clone();
        }
        let start =
            if range.start < self.data_end { range.start - range.start % BLOCK_BYTES } else { self.data_end };
        let end = if range.end > self.data_end {
            self.file_bytes
        } else {
            self.data_end.min(range.end.next_multiple_of(BLOCK_BYTES))
        };
        start..end
    }

    /// Compares the bytes of whole blocks from `start` on. The error is a reason.
    pub(crate) fn compare(&self, start: u64, bytes: &[u8]) -> Result<(), String> {
        let Some((sums, tail)) = &self.sums else { return Ok(()) };
        let data = usize::try_from(self.data_end.saturating_sub(start)).unwrap_or(usize::MAX);
        let (data, rest) = bytes.split_at(data.min(bytes.len()));
        let first = usize::try_from(start / BLOCK_BYTES).unwrap_or(usize::MAX);
        for (at, block) in data.chunks(BLOCK_BYTES as usize).enumerate() {
            let sum = sums.get(first + at).ok_or_else(|| format!("block {} has no checksum", first + at))?;
            let place = (first + at) as u64 * BLOCK_BYTES;
            compare(&format!("what it has from byte {place} on"), *sum, block)?;
        }
        if rest.is_empty() { Ok(()) } else { compare("its end", *tail, rest) }
    }

    /// Bytes in memory.
    pub fn memory_size(&self) -> usize {
        size_of::<Self>() + self.sums.as_ref().map_or(0, |(sums, _)| sums.capacity() * SUM_BYTES)
    }
}

fn compare(what: &str, expected: u32, bytes: &[u8]) -> Result<(), String> {
    let found = crc32c::crc32c(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: the checksum is {expected:08x}, found {found:08x}"))
    }
}

#[cfg(test)]
mod tests;
