//! The array of one column goes straight into its builder; runs of one type byte take a fast loop.

use crate::column::{Column, Misfit};
use crate::item::{Cells, check_size, malformed, placed};
use crate::time::{resolve_integers, resolve_values};
use crate::{Error, Precision};

use super::reader::Reader;

const F64: u8 = 0xcb;
const U64: u8 = 0xcf;
const I64: u8 = 0xd3;
const NIL: u8 = 0xc0;
/// Marker and value of the 64-bit types.
const WIDE: usize = 9;

/// An array whose framing is known to be whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArrayCells<'a> {
    pub(super) count: usize,
    /// The elements, without the array's head.
    pub(super) elements: &'a [u8],
}

impl Cells for ArrayCells<'_> {
    fn count(&self) -> usize {
        self.count
    }

    fn append_to(&self, column: &mut Column, string_max: usize) -> Result<(), Error> {
        let mut reader = Reader::new(self.elements);
        let mut index = 0;
        while index < self.count {
            let at = |error| placed(error, &format!("index {index}"));
            let misfit = |misfit: Misfit| at(malformed(format!("value {misfit}")));
            index += match reader.rest().first() {
                Some(&F64) => {
                    let run = run_of(F64, reader.rest(), self.count - index);
                    let floats = run.chunks_exact(WIDE).map(|cell| f64::from_be_bytes(wide(cell)));
                    column.extend_floats(floats).map_err(misfit)?;
                    advance(&mut reader, run)
                }
                Some(&I64) => {
                    let run = run_of(I64, reader.rest(), self.count - index);
                    let integers = run.chunks_exact(WIDE).map(|cell| i64::from_be_bytes(wide(cell)));
                    column.extend_integers(integers).map_err(misfit)?;
                    advance(&mut reader, run)
                }
                Some(&U64)
                    if let run = run_of_u63(reader.rest(), self.count - index)
                        && !run.is_empty() =>
                {
                    let integers = run.chunks_exact(WIDE).map(|cell| i64::from_be_bytes(wide(cell)));
                    column.extend_integers(integers).map_err(misfit)?;
                    advance(&mut reader, run)
                }
                Some(0..0x80) => {
                    let length = self.count - index;
                    let run = reader.rest().iter().take(length).take_while(|byte| **byte < 0x80).count();
                    let integers = reader.rest()[..run].iter().map(|byte| i64::from(*byte));
                    column.extend_integers(integers).map_err(misfit)?;
                    reader.step(run);
                    run
                }
                Some(0xa0..0xc0) => {
                    let texts = ShortTexts { bytes: reader.rest(), left: self.count - index };
                    let (mut run, mut bytes, mut longest) = (0, 0, 0);
                    for text in texts.clone() {
                        (run, bytes, longest) = (run + 1, bytes + 1 + text.len(), text.len().max(longest));
                    }
                    check_size(longest, string_max, column.name())?;
                    column.extend_texts(texts).map_err(misfit)?;
                    reader.step(bytes);
                    run
                }
                Some(&NIL) => {
                    let run = reader
                        .rest()
                        .iter()
                        .take(self.count - index)
                        .take_while(|byte| **byte == NIL)
                        .count();
                    column.push_nulls(run);
                    reader.step(run);
                    run
                }
                _ => {
                    let value = reader.token().and_then(|token| token.value()).map_err(at)?;
                    check_size(value.len(), string_max, column.name())?;
                    column.push(&value).map_err(misfit)?;
                    1
                }
            };
        }
        Ok(())
    }

    fn append_times(&self, times: &mut Vec<i64>, unit: Option<Precision>) -> Result<(), Error> {
        let start = times.len();
        let mut reader = Reader::new(self.elements);
        let run = match self.elements.first() {
            Some(&I64) => run_of(I64, self.elements, self.count),
            Some(&U64) => run_of_u63(self.elements, self.count),
            _ => &[],
        };
        times.extend(run.chunks_exact(WIDE).map(|cell| i64::from_be_bytes(wide(cell))));
        let read = advance(&mut reader, run);
        if read == self.count {
            return resolve_integers(&mut times[start..], unit).map_err(malformed);
        }
        times.truncate(start);
        let mut reader = Reader::new(self.elements);
        let mut values = Vec::with_capacity(self.count);
        for index in 0..self.count {
            let value = reader.token().and_then(|token| token.value());
            values.push(value.map_err(|error| placed(error, &format!("row {index}")))?);
        }
        times.extend(resolve_values(&values, unit).map_err(malformed)?);
        Ok(())
    }
}

/// The leading cells that have this marker.
fn run_of(marker: u8, bytes: &[u8], count_max: usize) -> &[u8] {
    let cells = bytes.chunks_exact(WIDE).take(count_max).take_while(|cell| cell[0] == marker);
    &bytes[..cells.count() * WIDE]
}

/// The leading unsigned cells that a BIGINT can hold.
fn run_of_u63(bytes: &[u8], count_max: usize) -> &[u8] {
    let cells = bytes.chunks_exact(WIDE).take(count_max).take_while(|cell| cell[0] == U64 && cell[1] < 0x80);
    &bytes[..cells.count() * WIDE]
}

fn advance(reader: &mut Reader<'_>, run: &[u8]) -> usize {
    reader.step(run.len());
    run.len() / WIDE
}

/// The eight bytes behind the marker.
fn wide(cell: &[u8]) -> [u8; 8] {
    cell.last_chunk().copied().unwrap_or_default()
}

/// The leading `fixstr` cells.
#[derive(Clone)]
struct ShortTexts<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Iterator for ShortTexts<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (marker, rest) = self.bytes.split_first()?;
        if self.left == 0 || marker & 0xe0 != 0xa0 {
            return None;
        }
        let (text, rest) = rest.split_at_checked(usize::from(marker & 0x1f))?;
        self.left -= 1;
        self.bytes = rest;
        Some(text)
    }
}
