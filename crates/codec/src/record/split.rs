//! Bytes become records.

use std::ops::Range;

use memchr::{memchr, memchr2_iter};

use super::RecordFormat;
use crate::Error;

/// Bytes of one record.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// The whole records at the front, at most `count_max`, and how many bytes they take. At the end of the input the last
/// record needs no newline.
///
/// `Limit` if the first record is longer than [`RECORD_BYTES_MAX`].
pub fn split(
    format: &RecordFormat,
    bytes: &[u8],
    at_end: bool,
    count_max: usize,
) -> Result<(Vec<Range<usize>>, usize), Error> {
    let mut records = Vec::new();
    let mut start = 0;
    while records.len() < count_max && start < bytes.len() {
        let newline = match format {
            RecordFormat::Csv => unquoted_newline(&bytes[start..]),
            _ => memchr(b'\n', &bytes[start..]),
        };
        let (end, next) = match newline {
            Some(at) => (start + at, start + at + 1),
            None if at_end => (bytes.len(), bytes.len()),
            None => break,
        };
        let end = if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end };
        records.push(start..end);
        start = next;
    }
    if records.is_empty() && bytes.len() > RECORD_BYTES_MAX {
        return Err(Error::Limit {
            what: "length of a record".into(),
            max: RECORD_BYTES_MAX as u64,
            limit: "record_bytes_max",
        });
    }
    Ok((records, start))
}

/// A newline in quotes is one of the text.
fn unquoted_newline(bytes: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for at in memchr2_iter(b'"', b'\n', bytes) {
        match bytes[at] {
            b'"' => quoted = !quoted,
            _ if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}
