//! CSV with a header.
//!
//! Two passes over the text: the first decides each column's kind from all its cells, the second fills it.

mod records;

use std::borrow::Cow;
use std::collections::HashSet;

use cenote_vocab::{FieldType, Micros};

use crate::item::{check_rows, check_size, malformed};
use crate::table::{TIME, Table};
use crate::time::resolve_values;
use crate::value::{Kind, Value};
use crate::{Decoded, Error, KnownColumns, Limits, Precision};

use records::RawCell;
pub(crate) use records::Records;

/// How to read a body; the names are those of the HTTP parameters.
#[derive(Clone, Debug)]
pub struct Options {
    /// Table of all rows.
    pub table: String,
    /// Column that holds the time.
    pub time_column: String,
    /// Unit of numeric times (`time_format=epoch_…`); `None` reads RFC 3339 text, or numbers by magnitude.
    pub time_format: Option<Precision>,
    /// Between cells.
    pub delimiter: u8,
    /// Lines to leave out before the header.
    pub skip_rows: usize,
    /// False: columns are `column_1`, `column_2`, …
    pub header: bool,
    /// Text that means NULL, besides the empty cell.
    pub null: String,
    /// Columns that are tags.
    pub tags: Vec<String>,
    /// The time of rows without one.
    pub received: Micros,
    /// Bounds.
    pub limits: Limits,
}

/// All rows of the body; columns of `known` keep their types.
///
/// An error names the row, counted from 1 behind the header, and the column.
pub fn decode(body: &[u8], options: &Options, known: &dyn KnownColumns) -> Result<Decoded, Error> {
    if matches!(options.delimiter, b'"' | b'\r' | b'\n' | 0x80..) {
        return Err(malformed(format!("delimiter {:?} is not possible", char::from(options.delimiter))));
    }
    let text =
        str::from_utf8(body).map_err(|error| malformed(format!("body is not valid UTF-8: {error}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut records = Records::new(without_lines(text, options.skip_rows), options.delimiter);
    let names = header(&mut records, options)?;
    let time_column = time_column(&names, options)?;
    let mut body = Body { records, names, time_column, options };

    let kinds = body.kinds(known)?;
    let table = body.fill(&kinds)?;
    let mut decoded = Decoded::default();
    if table.rows() > 0 {
        decoded.tables.push(table.finish(&mut Default::default())?);
    }
    Ok(decoded)
}

fn without_lines(text: &str, count: usize) -> &str {
    (0..count).fold(text, |text, _| text.split_once('\n').map_or("", |(_, rest)| rest))
}

/// The names of all columns; the records stand at the first row afterwards.
fn header<'a>(records: &mut Records<'a>, options: &Options) -> Result<Vec<Cow<'a, str>>, Error> {
    let mut cells = Vec::new();
    let mut ahead = records.clone();
    if !ahead.read(&mut cells)? {
        return Ok(Vec::new());
    }
    if cells.len() > options.limits.columns_max {
        return Err(Error::Limit {
            what: format!("number of columns of {:?}", options.table),
            max: options.limits.columns_max as u64,
            limit: "columns_per_table_max",
        });
    }
    if !options.header {
        return Ok((1..=cells.len()).map(|number| Cow::Owned(format!("column_{number}"))).collect());
    }
    ahead.restart_count();
    *records = ahead;
    let names: Vec<_> = cells.iter().map(RawCell::text).collect();
    let mut seen = HashSet::new();
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(malformed(format!("column {} has no name in the header", index + 1)));
        }
        if !seen.insert(&**name) {
            return Err(malformed(format!("column {name:?} is twice in the header")));
        }
    }
    Ok(names)
}

fn time_column(names: &[Cow<'_, str>], options: &Options) -> Result<usize, Error> {
    let wanted = &options.time_column;
    let Some(position) = names.iter().position(|name| name == wanted) else {
        return Err(malformed(format!(
            "time column {wanted:?} is missing; columns are {}",
            names.join(", ")
        )));
    };
    if wanted != TIME && names.iter().any(|name| name == TIME) {
        return Err(malformed(format!(
            "time column {wanted:?} cannot be stored as \"time\": there is one already"
        )));
    }
    Ok(position)
}

/// What the cells of a column allow it to be.
#[derive(Clone, Copy)]
struct Possible {
    any: bool,
    int: bool,
    float: bool,
    bool: bool,
}

impl Possible {
    const ALL: Self = Self { any: false, int: true, float: true, bool: true };

    fn narrow(&mut self, text: &str) {
        self.any = true;
        self.int = self.int && integer(text).is_some();
        self.float = self.float && float(text).is_some();
        self.bool = self.bool && boolean(text).is_some();
    }

    fn kind(self) -> Kind {
        match self {
            Self { any: false, .. } => Kind::Null,
            Self { int: true, .. } => Kind::Int,
            Self { float: true, .. } => Kind::Float,
            Self { bool: true, .. } => Kind::Bool,
            _ => Kind::Text,
        }
    }
}

struct Body<'a> {
    /// At the first row.
    records: Records<'a>,
    names: Vec<Cow<'a, str>>,
    time_column: usize,
    options: &'a Options,
}

impl<'a> Body<'a> {
    fn kinds(&mut self, known: &dyn KnownColumns) -> Result<Vec<Kind>, Error> {
        let mut possible = vec![Possible::ALL; self.names.len()];
        let mut cells = Vec::new();
        let mut records = self.records.clone();
        while records.read(&mut cells)? {
            check_rows(records.count(), &self.options.limits)?;
            if cells.len() > self.names.len() {
                return Err(Error::Unprocessable(format!(
                    "row {} has {} cells, the header {}",
                    records.count(),
                    cells.len(),
                    self.names.len()
                )));
            }
            for (cell, possible) in cells.iter().zip(&mut possible) {
                if !self.is_null(cell) {
                    possible.narrow(&cell.text());
                }
            }
        }
        let kinds = self.names.iter().zip(possible).map(|(name, possible)| {
            if self.options.tags.iter().any(|tag| tag == name) {
                return Kind::Text;
            }
            match known.column(&self.options.table, name) {
                Some(column) => kind_of(&column.field_type, possible),
                None => possible.kind(),
            }
        });
        Ok(kinds.collect())
    }

    fn fill(&mut self, kinds: &[Kind]) -> Result<Table, Error> {
        let limits = &self.options.limits;
        let mut table = Table::new(&self.options.table)?;
        let mut positions = vec![0; self.names.len()];
        for (index, name) in self.names.iter().enumerate().filter(|(index, _)| *index != self.time_column) {
            positions[index] = table.column(name, limits)?;
            if self.options.tags.iter().any(|tag| tag == name) {
                let empty = "a new column has no values";
                table.mark_tag(positions[index]).map_err(|misfit| malformed(format!("{empty}: {misfit}")))?;
            }
        }
        let mut cells = Vec::new();
        let mut times: Vec<Value<'a>> = Vec::new();
        while self.records.read(&mut cells)? {
            let row = self.records.count();
            for (index, name) in self.names.iter().enumerate() {
                let cell = cells.get(index).filter(|cell| !self.is_null(cell));
                check_size(cell.map_or(0, |cell| cell.text().len()), limits.string_max, name)?;
                if index == self.time_column {
                    times.push(self.time(cell, row)?);
                    continue;
                }
                let value = match cell {
                    None => Some(Value::Null),
                    Some(cell) => parse(cell.text(), kinds[index]),
                };
                let added = value.map(|value| table.columns[positions[index]].push(&value));
                if !matches!(added, Some(Ok(()))) {
                    return Err(unparsable(row, name, cell, kinds[index]));
                }
            }
        }
        table.times = resolve_values(&times, self.options.time_format)
            .map_err(|reason| malformed(format!("time column {:?}: {reason}", self.options.time_column)))?;
        Ok(table)
    }

    fn time(&self, cell: Option<&RawCell<'a>>, row: u64) -> Result<Value<'a>, Error> {
        let name = &self.options.time_column;
        let Some(cell) = cell else {
            return Err(Error::Unprocessable(format!("row {row}, column {name:?}: time is null")));
        };
        let text = cell.text();
        let number = integer(&text).map(Value::Int).or_else(|| float(&text).map(Value::Float));
        if let Some(number) = number {
            return Ok(number);
        }
        match crate::time::parse(&text) {
            Some(at) => Ok(Value::Timestamp(at.0)),
            None => Err(Error::Unprocessable(format!(
                "row {row}, column {name:?}: {:?} is neither a number nor RFC 3339 within years 1 to 9999",
                shown(&text)
            ))),
        }
    }

    fn is_null(&self, cell: &RawCell<'_>) -> bool {
        !cell.quoted && matches!(cell.text(), text if text.is_empty() || text == self.options.null)
    }
}

/// The kind that brings cells into a column of this type. Fractions for an integer column stay doubles:
/// the table decides whether it widens. Types that have no kind here come as text, for the table to read.
fn kind_of(field_type: &FieldType, possible: Possible) -> Kind {
    match field_type {
        FieldType::Boolean => Kind::Bool,
        FieldType::Int8
        | FieldType::Int16
        | FieldType::Int32
        | FieldType::Int64
        | FieldType::UInt8
        | FieldType::UInt16
        | FieldType::UInt32
        | FieldType::UInt64 => match possible {
            Possible { int: false, float: true, .. } => Kind::Float,
            _ => Kind::Int,
        },
        FieldType::Float | FieldType::Double => Kind::Float,
        FieldType::Timestamp(_) | FieldType::TimestampTz(_) => Kind::Timestamp,
        FieldType::Unknown => possible.kind(),
        FieldType::Decimal { .. }
        | FieldType::Date
        | FieldType::Time
        | FieldType::String
        | FieldType::Binary
        | FieldType::Uuid
        | FieldType::Json
        | FieldType::List(_)
        | FieldType::FixedList(..)
        | FieldType::Struct(_)
        | FieldType::Map { .. } => Kind::Text,
    }
}

fn parse(text: Cow<'_, str>, kind: Kind) -> Option<Value<'_>> {
    Some(match kind {
        Kind::Int => Value::Int(integer(&text)?),
        Kind::Float => Value::Float(float(&text).or_else(|| special_float(&text))?),
        Kind::Bool => Value::Bool(boolean(&text)?),
        Kind::Timestamp => {
            let number = integer(&text).and_then(|number| Precision::Auto.micros(number));
            Value::Timestamp(number.or_else(|| crate::time::parse(&text))?.0)
        }
        Kind::Text | Kind::Binary | Kind::Null => Value::text(text),
    })
}

fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A decimal literal. Whole numbers beyond a BIGINT are none: a double would lose their last digits.
fn float(text: &str) -> Option<f64> {
    let literal = |byte: u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    if text.starts_with('+') || !text.bytes().all(literal) {
        return None;
    }
    if !text.contains(['.', 'e', 'E']) {
        return integer(text).map(|whole| whole as f64);
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// What only a column that is known to be DOUBLE understands.
fn special_float(text: &str) -> Option<f64> {
    match text {
        "NaN" | "nan" => Some(f64::NAN),
        "inf" | "Infinity" | "+Inf" => Some(f64::INFINITY),
        "-inf" | "-Infinity" | "-Inf" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else {
        text.eq_ignore_ascii_case("false").then_some(false)
    }
}

fn unparsable(row: u64, name: &str, cell: Option<&RawCell<'_>>, kind: Kind) -> Error {
    let text = cell.map(RawCell::text).unwrap_or_default();
    Error::Unprocessable(format!("row {row}, column {name:?}: {:?} is not a {kind}", shown(&text)))
}

fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}

#[cfg(test)]
mod tests;
