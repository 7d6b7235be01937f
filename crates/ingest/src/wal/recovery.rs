//! Reading a log back: what it holds, where it ends, and whether that end may be trusted.
//!
//! A record that fails its checks at place x is the torn tail of a group that nobody was told about, unless something
//! written later says that x was durable: then acknowledged rows are damaged, and reading stops with `Corrupt`.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cenote_vocab::Lsn;
use uuid::Uuid;

use super::record::{HEADER_BYTES, Header, Kind, MAGIC};
use super::segment::{self, SegmentHeader};
use crate::Error;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// A record that was read and is whole.
#[derive(Debug)]
pub struct Found<'a> {
    /// Number of its segment in the order of reading, from 0.
    pub segment: usize,
    /// The segment's file.
    pub path: &'a Path,
    /// Where it begins in that file.
    pub offset: u64,
    /// Its header.
    pub header: Header,
    /// Its body.
    pub body: Bytes,
}

/// Where a log ends.
#[derive(Debug)]
pub struct Tail {
    /// The place after the last record of kind rows.
    pub next: Lsn,
    /// The highest place that is known to have been synced.
    pub durable: Lsn,
    /// Records of kind rows above `durable`, in order: the disk may lack what the page cache showed.
    pub unproven: Vec<(Header, Bytes)>,
    /// The segments, in order: first place, file, bytes up to the end of the last whole record.
    pub segments: Vec<(Lsn, PathBuf, u64)>,
}

struct Reader<'a> {
    path: &'a Path,
    file: BufReader<File>,
    offset: u64,
    bytes: u64,
}

/// Reads all whole records in order. `Corrupt`, with file and offset, if acknowledged data is damaged or the log is not
/// that of `node`; an error of `visit` ends the reading.
pub fn read_log(
    dir: &Path,
    node: Uuid,
    visit: &mut dyn FnMut(Found<'_>) -> Result<(), Error>,
) -> Result<Tail, Error> {
    let paths = segment_paths(dir)?;
    let first = paths.first().map_or(Lsn(1), |(first, _)| *first);
    let mut tail = Tail { next: first, durable: before(first), unproven: Vec::new(), segments: Vec::new() };
    for (index, (first, path)) in paths.iter().enumerate() {
        let end = paths.get(index + 1).map(|(next, _)| *next);
        // A segment has its name only when all before it is synced.
        tail.prove(before(*first));
        let mut reader = Reader::open(path)?;
        match reader.header()? {
            Some(header) if header.first == *first && header.node == node => {}
            Some(header) if header.node != node => {
                return Err(corrupt(path, 0, format!("belongs to log {}, not to {node}", header.node)));
            }
            _ if end.is_none() && reader.claims_durable(*first)?.is_none() => break,
            _ => return Err(corrupt(path, 0, "has no whole header".to_owned())),
        }
        if tail.next != *first {
            return Err(corrupt(
                path,
                0,
                format!("begins at {first}, the log before it ends at {}", before(tail.next)),
            ));
        }
        while end.is_none_or(|end| tail.next < end) {
            let offset = reader.offset;
            let Some((header, body)) = reader.record(tail.next)? else {
                let claim = match end {
                    Some(end) => Some(before(end)),
                    None => reader.claims_durable(tail.next)?,
                };
                if let Some(durable) = claim {
                    let what =
                        format!("record {} is damaged, and the log was durable up to {durable}", tail.next);
                    return Err(corrupt(path, offset, what));
                }
                break;
            };
            tail.prove(header.durable);
            if header.kind == Kind::Rows {
                tail.next = Lsn(header.lsn.0.saturating_add(1));
                if header.lsn > tail.durable {
                    tail.unproven.push((header, body.clone()));
                }
            }
            visit(Found { segment: index, path, offset, header, body })?;
        }
        tail.segments.push((*first, path.clone(), reader.offset));
    }
    Ok(tail)
}

/// The error for damage that an operator must look at.
pub(crate) fn corrupt(path: &Path, offset: u64, what: String) -> Error {
    Error::Corrupt(format!("{} at offset {offset}: {what}", path.display()))
}

impl Tail {
    fn prove(&mut self, durable: Lsn) {
        if durable > self.durable {
            self.durable = durable;
            self.unproven.retain(|(header, _)| header.lsn > durable);
        }
    }
}

impl<'a> Reader<'a> {
    fn open(path: &'a Path) -> Result<Self, Error> {
        let open = || {
            let file = File::open(path)?;
            let bytes = file.metadata()?.len();
            Ok((BufReader::with_capacity(READ_BYTES, file), bytes))
        };
        let (file, bytes) = open().map_err(|error| unreadable(path, &error))?;
        Ok(Self { path, file, offset: 0, bytes })
    }

    fn header(&mut self) -> Result<Option<SegmentHeader>, Error> {
        let mut bytes = [0; segment::HEADER_BYTES];
        if self.bytes < bytes.len() as u64 {
            return Ok(None);
        }
        self.file.read_exact(&mut bytes).map_err(|error| unreadable(self.path, &error))?;
        self.offset = bytes.len() as u64;
        Ok(SegmentHeader::decode(&bytes))
    }

    /// The record at the offset; `None`, and the offset stays, if there is no whole record of this place.
    fn record(&mut self, next: Lsn) -> Result<Option<(Header, Bytes)>, Error> {
        let failed = |error: io::Error| unreadable(self.path, &error);
        if self.bytes - self.offset < HEADER_BYTES as u64 {
            return Ok(None);
        }
        let mut bytes = [0; HEADER_BYTES];
        self.file.read_exact(&mut bytes).map_err(failed)?;
        let header = Header::decode(&bytes).filter(|header| {
            header.lsn == next && header.durable < next && header.record_bytes() <= self.bytes - self.offset
        });
        let Some(header) = header else { return Ok(None) };
        let mut body = vec![0; header.body_bytes as usize];
        self.file.read_exact(&mut body).map_err(failed)?;
        let padding = header.record_bytes() - HEADER_BYTES as u64 - u64::from(header.body_bytes);
        self.file.seek_relative(padding.cast_signed()).map_err(failed)?;
        if crc32c::crc32c(&body) != header.body_crc {
            return Ok(None);
        }
        self.offset += header.record_bytes();
        Ok(Some((header, body.into())))
    }

    /// Searches from the offset to the end for a record that says that place `lsn` was durable; answers up to where.
    fn claims_durable(&mut self, lsn: Lsn) -> Result<Option<Lsn>, Error> {
        let failed = |error: io::Error| unreadable(self.path, &error);
        let mut chunk = vec![0; READ_BYTES];
        let mut at = self.offset.next_multiple_of(8);
        while at + HEADER_BYTES as u64 <= self.bytes {
            let length = (self.bytes - at).min(READ_BYTES as u64) as usize;
            self.file.seek(SeekFrom::Start(at)).map_err(failed)?;
            self.file.read_exact(&mut chunk[..length]).map_err(failed)?;
            let mut start = 0;
            while start + HEADER_BYTES <= length {
                let bytes = &chunk[start..start + HEADER_BYTES];
                if bytes.starts_with(&MAGIC)
                    && let Some(header) = bytes.try_into().ok().and_then(Header::decode)
                    && header.durable >= lsn
                {
                    return Ok(Some(header.durable));
                }
                start += 8;
            }
            at += start as u64;
        }
        Ok(None)
    }
}

fn segment_paths(dir: &Path) -> Result<Vec<(Lsn, PathBuf)>, Error> {
    let failed = |error: io::Error| unreadable(dir, &error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Some(first) = entry.file_name().to_str().and_then(segment::first_of) {
            paths.push((first, entry.path()));
        }
    }
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::Io(format!("cannot read {}: {error}", path.display()))
}

fn before(lsn: Lsn) -> Lsn {
    Lsn(lsn.0.saturating_sub(1))
}
