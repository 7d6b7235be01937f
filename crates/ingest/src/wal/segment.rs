//! One file of the log: allocated ahead, given its name when its header is on disk.
//!
//! ```text
//! 0 "CNWL"  4 version u16 = 1  6 header length u16 = 64  8 node id 16 bytes  24 first LSN u64
//! 32 created µs i64  40 key id u32  44 zeros  60 CRC-32C of bytes 0-59
//! ```

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cenote_vocab::{Lsn, Micros, TableId};
use fail::fail_point;
use uuid::Uuid;

use super::record::{u32_at, u64_at};

/// Bytes of a segment's header.
pub(crate) const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 4] = *b"CNWL";
const VERSION: u16 = 1;
const SPARE_NAME: &str = "next.tmp";

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Id of the log.
    pub node: Uuid,
    /// Place of the first record of kind rows.
    pub first: Lsn,
    /// When it was begun.
    pub created: Micros,
    /// 0: not encrypted.
    pub key: u32,
}

/// What the log knows of a segment that exists under its name.
#[derive(Clone, Debug)]
pub(crate) struct SegmentStatus {
    /// Place of its first record.
    pub(crate) first: Lsn,
    /// Its file.
    pub(crate) path: PathBuf,
    /// Bytes of header and records.
    pub(crate) bytes: u64,
    /// The last place of each table in it.
    pub(crate) tables: HashMap<TableId, Lsn>,
}

/// A file with room for a segment, not a part of the log yet.
#[derive(Debug)]
pub(crate) struct Spare {
    file: File,
    path: PathBuf,
    bytes_max: u64,
}

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    file: File,
    pub(crate) path: PathBuf,
    /// Bytes written.
    pub(crate) bytes: u64,
    /// Bytes that are allocated.
    pub(crate) bytes_max: u64,
}

impl SegmentHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[6..8].copy_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        out[8..24].copy_from_slice(self.node.as_bytes());
        out[24..32].copy_from_slice(&self.first.0.to_le_bytes());
        out[32..40].copy_from_slice(&self.created.0.to_le_bytes());
        out[40..44].copy_from_slice(&self.key.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header; `None` if it is not one, is damaged, or is of a version that is not known.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let whole = bytes[0..4] == MAGIC
            && bytes[4..6] == VERSION.to_le_bytes()
            && bytes[6..8] == (HEADER_BYTES as u16).to_le_bytes()
            && u32_at(bytes, 60)? == crc32c::crc32c(&bytes[..60]);
        whole.then_some(())?;
        Some(Self {
            node: Uuid::from_slice(&bytes[8..24]).ok()?,
            first: Lsn(u64_at(bytes, 24)?),
            created: Micros(u64_at(bytes, 32)?.cast_signed()),
            key: u32_at(bytes, 40)?,
        })
    }
}

/// The name of the segment that begins at `first`.
pub(crate) fn file_name(first: Lsn) -> String {
    format!("{:016x}.seg", first.0)
}

/// The first place of a segment, by its name.
pub(crate) fn first_of(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok().map(Lsn)
}

impl Spare {
    /// Allocates `bytes_max` bytes in `dir`. `StorageFull` if the disk has no room.
    pub(crate) fn allocate(dir: &Path, bytes_max: u64) -> io::Result<Self> {
        fail_point!("wal.allocate", |_| Err(io::Error::from(io::ErrorKind::StorageFull)));
        let path = dir.join(SPARE_NAME);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        if let Err(error) = reserve(&file, bytes_max) {
            drop(file);
            drop(fs::remove_file(&path)); // a part of it may have been allocated; the next attempt empties it anyway
            return Err(error);
        }
        Ok(Self { file, path, bytes_max })
    }

    /// Bytes that it has room for.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Writes the header. The segment is not a part of the log before [`SegmentWriter::give_name`].
    pub(crate) fn begin(mut self, header: &SegmentHeader) -> io::Result<SegmentWriter> {
        self.file.write_all(&header.encode())?;
        Ok(SegmentWriter {
            file: self.file,
            path: self.path,
            bytes: HEADER_BYTES as u64,
            bytes_max: self.bytes_max,
        })
    }
}

impl SegmentWriter {
    /// Makes the segment a part of the log: its bytes, then its name, are synced.
    pub(crate) fn give_name(&mut self, dir: &Path, first: Lsn) -> io::Result<()> {
        fail_point!("wal.rotate", |_| Err(io::Error::other("fail point wal.rotate")));
        self.file.sync_all()?;
        let path = dir.join(file_name(first));
        fs::rename(&self.path, &path)?;
        self.path = path;
        sync_directory(dir)
    }

    /// Writes whole records.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        fail_point!("wal.append", |_| Err(io::Error::other("fail point wal.append")));
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Answers when all that was written is on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        fail_point!("wal.sync", |_| Err(io::Error::other("fail point wal.sync")));
        self.file.sync_data()
    }
}

/// Makes names in `dir` survive a power cut.
pub(crate) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes what an earlier process allocated ahead.
pub(crate) fn remove_spare(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(SPARE_NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives back what is allocated behind the records of a segment that is not written any more.
pub(crate) fn trim(path: &Path, bytes: u64) {
    let trimmed = OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| if file.metadata()?.len() > bytes { file.set_len(bytes) } else { Ok(()) });
    if let Err(error) = trimmed {
        tracing::warn!(%error, path = %path.display(), "a segment keeps the room that it does not need");
    }
}

fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // The file system cannot allocate ahead: a full disk then shows as a failed write.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => file.set_len(bytes),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_each_flipped_bit_is_seen() {
        let header = SegmentHeader { node: Uuid::from_u128(77), first: Lsn(5), created: Micros(-3), key: 0 };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn names_carry_the_first_place() {
        assert_eq!(file_name(Lsn(255)), "00000000000000ff.seg");
        assert_eq!(first_of("00000000000000ff.seg"), Some(Lsn(255)));
        assert_eq!(first_of("next.tmp"), None);
        assert_eq!(first_of("ff.seg"), None);
    }
}
