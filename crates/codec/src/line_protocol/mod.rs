//! InfluxDB line protocol.
//!
//! A line is read into cells first and added to its table's builders only when it is known to be good. A line
//! with the keys of the last good line of its measurement, in the same order, looks no name up: its bytes are
//! compared with the keys that are expected.

mod accepts;
mod measurement;
mod scanner;
mod value;

use std::collections::HashMap;

use cenote_vocab::Micros;

use crate::column::Gaps;
use crate::item::{check_rows, check_size, check_tables};
use crate::table::Table;
use crate::{Decoded, Error, KnownColumns, Limits, Precision, RejectedLine};

use measurement::{Cell, Measurement, Role, ShapeKey};
use scanner::{byte, is_line_end, skip_spaces};
use value::{Value, field_value};

/// How to read a body.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Unit of timestamps.
    pub precision: Precision,
    /// The time of lines without a timestamp.
    pub received: Micros,
    /// Bounds.
    pub limits: Limits,
}

/// Good lines become rows, bad ones are reported in [`Decoded::rejected`].
///
/// Errors only for a limit, and [`Error::NoValidLines`] if there are lines and all are bad.
pub fn decode(body: &[u8], options: &Options, known: &dyn KnownColumns) -> Result<Decoded, Error> {
    Decoder {
        body,
        all_utf8: str::from_utf8(body).is_ok(),
        options,
        known,
        measurements: Vec::new(),
        by_raw_name: HashMap::new(),
        by_name: HashMap::new(),
        current: 0,
        lines: 0,
        cells: Vec::new(),
        new_shape: Vec::new(),
        rows: 0,
        gaps: Gaps::default(),
        decoded: Decoded::default(),
        counted: (0, 1),
    }
    .run()
}

/// Why a line was not added.
#[derive(Debug)]
enum Bad {
    /// Only this line is wrong.
    Line(String),
    /// A limit of the request.
    Body(Error),
}

impl Bad {
    #[cold]
    fn line(reason: &str) -> Self {
        Self::Line(reason.to_owned())
    }
}

struct Decoder<'a> {
    body: &'a [u8],
    /// False: each line is checked by itself.
    all_utf8: bool,
    options: &'a Options,
    known: &'a dyn KnownColumns,
    measurements: Vec<Measurement<'a>>,
    by_raw_name: HashMap<&'a [u8], usize>,
    by_name: HashMap<Vec<u8>, usize>,
    /// The measurement of the last line.
    current: usize,
    /// Lines begun so far.
    lines: u64,
    /// Of the line that is being read.
    cells: Vec<Cell<'a>>,
    /// Keys of the line that is being read, once one is not the expected one.
    new_shape: Vec<ShapeKey<'a>>,
    rows: u64,
    gaps: Gaps,
    decoded: Decoded,
    /// A position in the body and its line number.
    counted: (usize, u64),
}

impl<'a> Decoder<'a> {
    fn run(mut self) -> Result<Decoded, Error> {
        let mut at = 0;
        while let Some(first) = self.body.get(at) {
            match first {
                b'\n' | b' ' | b'\t' => at += 1,
                b'\r' if is_line_end(self.body, at) => at += 1,
                b'#' => {
                    at = memchr::memchr(b'\n', &self.body[at..]).map_or(self.body.len(), |length| at + length)
                }
                _ => at = self.read_line(at)?,
            }
        }
        for measurement in self.measurements {
            if measurement.table.rows() > 0 {
                self.decoded.tables.push(measurement.table.finish(&mut self.gaps)?);
            }
        }
        self.decoded.unless_nothing_is_good()
    }

    /// Adds or rejects the line that begins at `start`; gives its end.
    #[inline]
    fn read_line(&mut self, start: usize) -> Result<usize, Error> {
        self.lines += 1;
        self.cells.clear();
        self.new_shape.clear();
        let (measurement, at) = match self.measurement(start) {
            Ok(found) => found,
            Err(Bad::Line(reason)) => return Ok(self.reject(start, reason)),
            Err(Bad::Body(error)) => return Err(error),
        };
        let columns = self.measurements[measurement].table.columns.len();
        match self.rest_of_line(measurement, start, at) {
            Ok(end) => Ok(end),
            Err(Bad::Line(reason)) => {
                self.measurements[measurement].forget_columns(columns);
                Ok(self.reject(start, reason))
            }
            Err(Bad::Body(error)) => Err(error),
        }
    }

    /// The measurement at `start`, and where its name ends.
    #[inline]
    fn measurement(&mut self, start: usize) -> Result<(usize, usize), Bad> {
        if let Some(current) = self.measurements.get(self.current)
            && let Some(rest) = self.body[start..].strip_prefix(current.raw)
            && let Some(b',' | b' ') = rest.first()
        {
            return Ok((self.current, start + current.raw.len()));
        }
        let part = scanner::measurement(self.body, start);
        let raw = &self.body[start..part.end];
        if let Some(found) = self.by_raw_name.get(raw) {
            self.current = *found;
            return Ok((*found, part.end));
        }
        let mut name = Vec::with_capacity(raw.len());
        scanner::unescape_name(raw, true, &mut name);
        let found = match self.by_name.get(&name) {
            Some(found) => *found,
            None => {
                let text = str::from_utf8(&name).map_err(|_| Bad::line("line is not valid UTF-8"))?;
                if text.is_empty() {
                    return Err(Bad::line("empty measurement"));
                }
                check_tables(self.measurements.len()).map_err(Bad::Body)?;
                let table = Table::new(text).map_err(|name| Bad::Line(name.to_string()))?;
                self.measurements.push(Measurement::new(raw, table));
                self.by_name.insert(name, self.measurements.len() - 1);
                self.measurements.len() - 1
            }
        };
        self.by_raw_name.insert(raw, found);
        self.current = found;
        Ok((found, part.end))
    }

    /// Reads tags, fields and timestamp from `at` and adds the row; gives the line's end.
    fn rest_of_line(&mut self, measurement: usize, start: usize, mut at: usize) -> Result<usize, Bad> {
        let body = self.body;
        let measurement = &mut self.measurements[measurement];
        let mut line = Line {
            body,
            options: self.options,
            known: self.known,
            number: self.lines,
            measurement,
            cells: &mut self.cells,
            new_shape: &mut self.new_shape,
        };
        while byte(body, at) == b',' {
            at = line.tag(at + 1)?;
        }
        if byte(body, at) != b' ' {
            return Err(Bad::line("no fields were provided"));
        }
        at = skip_spaces(body, at);
        if is_line_end(body, at) {
            return Err(Bad::line("no fields were provided"));
        }
        at = line.field(at)?;
        while byte(body, at) == b',' {
            at = line.field(at + 1)?;
        }
        let (time, end) = self.timestamp(at)?;
        if !self.all_utf8 && str::from_utf8(&body[start..end]).is_err() {
            return Err(Bad::line("line is not valid UTF-8"));
        }
        self.rows += 1;
        check_rows(self.rows, &self.options.limits).map_err(Bad::Body)?;
        let measurement = &mut self.measurements[self.current];
        measurement.append(time, &self.cells, &mut self.gaps).map_err(Bad::Body)?;
        if !self.new_shape.is_empty() {
            measurement.expect_keys(&mut self.new_shape);
        }
        Ok(end)
    }

    /// The time of a line whose fields end at `at`, and the line's end.
    #[inline]
    fn timestamp(&self, at: usize) -> Result<(i64, usize), Bad> {
        let body = self.body;
        let start = skip_spaces(body, at);
        if is_line_end(body, start) {
            return Ok((self.options.received.0, start));
        }
        if start == at {
            return Err(Bad::line("invalid field value: text behind its end"));
        }
        let mut end = start;
        while !matches!(byte(body, end), b' ' | b'\n' | b'\r') {
            end += 1;
        }
        let line_end = skip_spaces(body, end);
        let number = if is_line_end(body, line_end) { integer(&body[start..end]) } else { None };
        let time = number.and_then(|number| self.options.precision.micros(number));
        time.map(|time| (time.0, line_end)).ok_or_else(|| {
            let shown = String::from_utf8_lossy(&body[start..end.min(start + 80)]);
            let problem = if number.is_some() { "out of range" } else { "invalid" };
            Bad::Line(format!("{problem} timestamp {shown:?}"))
        })
    }

    /// Reports the line that begins at `start`; gives its end.
    #[cold]
    fn reject(&mut self, start: usize, reason: String) -> usize {
        let end = scanner::line_end(self.body, start);
        let (from, number) = self.counted;
        let number = number + memchr::memchr_iter(b'\n', &self.body[from..start]).count() as u64;
        self.counted = (start, number);
        let line = &self.body[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.decoded.reject(RejectedLine::new(number, line, reason));
        end
    }
}

fn integer(digits: &[u8]) -> Option<i64> {
    // 18 digits always fit; the nanoseconds of this century have 19.
    match digits.split_first() {
        Some((b'0'..=b'9', _)) if digits.len() <= 18 => digits.iter().try_fold(0i64, |number, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then(|| number * 10 + i64::from(digit))
        }),
        _ => str::from_utf8(digits).ok()?.parse().ok(),
    }
}

/// What reading one line needs.
struct Line<'l, 'a> {
    body: &'a [u8],
    options: &'a Options,
    known: &'a dyn KnownColumns,
    number: u64,
    measurement: &'l mut Measurement<'a>,
    cells: &'l mut Vec<Cell<'a>>,
    new_shape: &'l mut Vec<ShapeKey<'a>>,
}

impl<'a> Line<'_, 'a> {
    /// Reads the tag at `at`; gives its end.
    #[inline(always)]
    fn tag(&mut self, at: usize) -> Result<usize, Bad> {
        let (column, at) = self.key(at, Role::Tag)?;
        let part = scanner::tag_value(self.body, at);
        if part.end == at {
            return Err(self.empty_tag_value(column));
        }
        if byte(self.body, part.end) == b'=' {
            return Err(Bad::line("a tag's value holds an = without a backslash"));
        }
        let value = Value::Tag { raw: &self.body[at..part.end], escaped: part.escaped };
        self.push(column, value, part.end - at)?;
        Ok(part.end)
    }

    /// Reads the field at `at`; gives its end.
    #[inline(always)]
    fn field(&mut self, at: usize) -> Result<usize, Bad> {
        let (column, at) = self.key(at, Role::Field)?;
        let (value, end) = field_value(self.body, at).map_err(|reason| self.of_field(column, &reason))?;
        self.push(column, value, end - at)?;
        Ok(end)
    }

    #[inline(always)]
    fn push(&mut self, column: u32, value: Value<'a>, bytes: usize) -> Result<(), Bad> {
        if bytes > self.options.limits.string_max {
            let name = self.measurement.table.columns[column as usize].name();
            check_size(bytes, self.options.limits.string_max, name).map_err(Bad::Body)?;
        }
        if !self.measurement.accepts(column).takes(&value) {
            return self.push_converted(column, value);
        }
        self.cells.push(Cell { column, value });
        Ok(())
    }

    #[cold]
    fn push_converted(&mut self, column: u32, value: Value<'a>) -> Result<(), Bad> {
        // Timestamps among the values are told by their size, as nobody sends a unit for them.
        match self.measurement.accepts(column).convert(value, Precision::Auto) {
            Some(value) => {
                self.cells.push(Cell { column, value });
                Ok(())
            }
            None => Err(self.measurement.conflict(column, &value)),
        }
    }

    /// The column of the key at `at`, and where its value begins.
    #[inline(always)]
    fn key(&mut self, at: usize, role: Role) -> Result<(u32, usize), Bad> {
        if self.new_shape.is_empty()
            && let Some(found) = self.measurement.expected(self.cells.len(), role, self.body, at)
        {
            return Ok(found);
        }
        self.other_key(at, role)
    }

    #[inline(never)]
    fn other_key(&mut self, at: usize, role: Role) -> Result<(u32, usize), Bad> {
        let part = scanner::key(self.body, at);
        if byte(self.body, part.end) != b'=' {
            let shown = String::from_utf8_lossy(&self.body[at..part.end.min(at + 80)]);
            return Err(Bad::Line(match role {
                Role::Tag => format!("missing value of tag {shown:?}"),
                Role::Field => format!("missing value of field {shown:?}"),
            }));
        }
        let raw = &self.body[at..=part.end];
        let limits = &self.options.limits;
        let column = self.measurement.resolve(
            raw,
            role,
            self.number,
            self.cells,
            self.new_shape,
            self.known,
            limits,
        )?;
        Ok((column, part.end + 1))
    }

    #[cold]
    fn empty_tag_value(&self, column: u32) -> Bad {
        Bad::Line(format!("empty value of tag {:?}", self.measurement.table.columns[column as usize].name()))
    }

    #[cold]
    fn of_field(&self, column: u32, reason: &str) -> Bad {
        Bad::Line(format!("field {:?}: {reason}", self.measurement.table.columns[column as usize].name()))
    }
}

#[cfg(test)]
mod tests;
