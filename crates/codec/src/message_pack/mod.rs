//! MessagePack, columnar and rows.
//!
//! A first pass over an item finds its keys and checks its framing, so that what the second pass meets can
//! only be wrong in meaning: one bad item never hides the next.

mod cells;
mod reader;

use std::borrow::Cow;

use cenote_vocab::Micros;

use crate::item::{Cell, Columnar, Row, Tables, malformed, place, placed};
use crate::time::instant;
use crate::value::Value;
use crate::{Decoded, Error, Limits, Precision, RejectedLine};

use cells::ArrayCells;
use reader::{Reader, Token};

/// How to read a body.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Unit of times when an item names none.
    pub precision: Option<Precision>,
    /// The time of items without one.
    pub received: Micros,
    /// Store good items, report bad ones.
    pub accept_partial: bool,
    /// Bounds.
    pub limits: Limits,
}

/// All items of the body.
///
/// One bad item is an error, unless `accept_partial`: then it is rejected, and only a body without
/// any good item, with broken framing or beyond a limit is an error.
pub fn decode(body: &[u8], options: &Options) -> Result<Decoded, Error> {
    let mut decoder = Decoder {
        options,
        tables: Tables::new(options.limits, options.received.0),
        items: 0,
        decoded: Decoded::default(),
    };
    let mut reader = Reader::new(body);
    while !reader.rest().is_empty() {
        decoder.payload(&mut reader)?;
    }
    decoder.finish()
}

struct Decoder<'o> {
    options: &'o Options,
    tables: Tables,
    /// Items so far.
    items: u64,
    decoded: Decoded,
}

/// The keys of a map that have a meaning, each with the bytes of its value.
#[derive(Default)]
struct Item<'a> {
    batch: Option<&'a [u8]>,
    m: Option<&'a [u8]>,
    columns: Option<&'a [u8]>,
    time_unit: Option<&'a [u8]>,
    tags: Option<&'a [u8]>,
    t: Option<&'a [u8]>,
    h: Option<&'a [u8]>,
    fields: Option<&'a [u8]>,
    f: Option<&'a [u8]>,
}

impl<'a> Item<'a> {
    fn slot(&mut self, key: &str) -> Option<&mut Option<&'a [u8]>> {
        Some(match key {
            "batch" => &mut self.batch,
            "m" => &mut self.m,
            "columns" => &mut self.columns,
            "time_unit" => &mut self.time_unit,
            "tags" => &mut self.tags,
            "t" => &mut self.t,
            "h" => &mut self.h,
            "fields" => &mut self.fields,
            "f" => &mut self.f,
            _ => return None,
        })
    }

    /// Reads a map of `entries` entries. The outer error is of the framing, the inner of the item.
    fn read(reader: &mut Reader<'a>, entries: usize, depth: usize) -> Result<Result<Self, Error>, Error> {
        let mut item = Self::default();
        let mut problem = None;
        for _ in 0..entries {
            let name = reader.value_span(depth)?;
            let value = reader.value_span(depth)?;
            match key(name) {
                Ok(name) => {
                    if let Some(slot) = item.slot(name)
                        && slot.replace(value).is_some()
                    {
                        problem = Some(malformed(format!("key {name:?} is given twice")));
                    }
                }
                Err(error) => problem = Some(error),
            }
        }
        Ok(problem.map_or(Ok(item), Err))
    }
}

impl Decoder<'_> {
    fn payload(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        match reader.token()? {
            Token::Map(entries) => self.object(reader, entries, 1),
            Token::Array(length) => (0..length).try_for_each(|_| {
                self.element(reader, 1, |this, reader, entries| this.object(reader, entries, 2))
            }),
            other => Err(malformed(format!("unsupported msgpack payload type: {}", other.type_name()))),
        }
    }

    /// An element of an array of items, which must be a map.
    fn element<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        depth: usize,
        map: impl FnOnce(&mut Self, &mut Reader<'a>, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut ahead = *reader;
        match ahead.token()? {
            Token::Map(entries) => {
                *reader = ahead;
                map(self, reader, entries)
            }
            other => {
                reader.value_span(depth)?;
                self.items += 1;
                self.bad_item(None, malformed(format!("is not a map but {}", other.type_name())))
            }
        }
    }

    /// A map that may be a batch of items.
    fn object(&mut self, reader: &mut Reader<'_>, entries: usize, depth: usize) -> Result<(), Error> {
        let item = Item::read(reader, entries, depth)?;
        if let Ok(Item { batch: Some(batch), .. }) = &item {
            let mut elements = Reader::new(batch);
            if let Token::Array(length) = elements.token()? {
                return (0..length).try_for_each(|_| {
                    self.element(&mut elements, depth + 1, |this, reader, entries| {
                        let item = Item::read(reader, entries, depth + 2)?;
                        this.item(item)
                    })
                });
            }
        }
        self.item(item)
    }

    fn item(&mut self, item: Result<Item<'_>, Error>) -> Result<(), Error> {
        self.items += 1;
        let item = match item {
            Ok(item) => item,
            Err(error) => return self.bad_item(None, error),
        };
        let table = match measurement(item.m) {
            Ok(table) => table,
            Err(error) => return self.bad_item(None, error),
        };
        let columns = item.columns.map(Reader::new).and_then(|mut columns| match columns.token() {
            Ok(Token::Map(entries)) => Some((columns, entries)),
            _ => None,
        });
        let unit = match item.time_unit.map(time_unit).transpose() {
            Ok(unit) => unit.or(self.options.precision),
            Err(error) => return self.bad_item(Some(&table), error),
        };
        let added = match columns {
            Some((columns, entries)) => columnar(table.clone(), columns, entries, item.tags, unit)
                .and_then(|block| self.tables.push_columns(&block)),
            None => row(table.clone(), &item, unit.unwrap_or(Precision::Auto), self.options.received)
                .and_then(|row| self.tables.push_row(&row)),
        };
        added.or_else(|error| self.bad_item(Some(&table), error))
    }

    /// Rejects the last item, or gives its error as that of the body.
    fn bad_item(&mut self, table: Option<&str>, error: Error) -> Result<(), Error> {
        if !self.options.accept_partial || matches!(error, Error::Limit { .. }) {
            return Err(placed(error, &place(self.items, table)));
        }
        let reason = match table {
            Some(table) => format!("measurement {table:?}: {error}"),
            None => error.to_string(),
        };
        let rejected = RejectedLine::new(self.items, table.unwrap_or_default().as_bytes(), reason);
        self.decoded.reject(rejected);
        Ok(())
    }

    fn finish(mut self) -> Result<Decoded, Error> {
        self.tables.finish(&mut self.decoded)?;
        self.decoded.unless_nothing_is_good()
    }
}

fn key(bytes: &[u8]) -> Result<&str, Error> {
    match Reader::new(bytes).token()? {
        Token::Text(key) | Token::Binary(key) => {
            str::from_utf8(key).map_err(|_| malformed("a map key is not valid UTF-8"))
        }
        other => Err(malformed(format!("a map key is {}, expected str", other.type_name()))),
    }
}

fn measurement(bytes: Option<&[u8]>) -> Result<Cow<'_, str>, Error> {
    let bytes = bytes.ok_or_else(|| malformed("missing required field 'm'"))?;
    named_or_numbered(bytes, "m", "measurement")
}

/// Text, or an integer n as `prefix_n`.
fn named_or_numbered<'a>(bytes: &'a [u8], key: &str, prefix: &str) -> Result<Cow<'a, str>, Error> {
    match Reader::new(bytes).token()? {
        Token::Text(text) => str::from_utf8(text)
            .map(Cow::Borrowed)
            .map_err(|_| malformed(format!("field '{key}' is not valid UTF-8"))),
        Token::Int(number) => Ok(Cow::Owned(format!("{prefix}_{number}"))),
        Token::Huge(number) => Ok(Cow::Owned(format!("{prefix}_{number}"))),
        other => Err(malformed(format!("field '{key}' is {}, expected str or int", other.type_name()))),
    }
}

fn time_unit(bytes: &[u8]) -> Result<Precision, Error> {
    match Reader::new(bytes).token()? {
        Token::Text(text) => String::from_utf8_lossy(text).parse(),
        other => Err(malformed(format!("time_unit is {}, expected str", other.type_name()))),
    }
}

fn columnar<'a>(
    table: Cow<'a, str>,
    mut reader: Reader<'a>,
    entries: usize,
    tags: Option<&'a [u8]>,
    unit: Option<Precision>,
) -> Result<Columnar<'a, ArrayCells<'a>>, Error> {
    if entries == 0 {
        return Err(malformed("no columns"));
    }
    let mut columns = Vec::new();
    for _ in 0..entries {
        let name = key(reader.value_span(0)?)?;
        let span = reader.value_span(0)?;
        let mut elements = Reader::new(span);
        let count = match elements.token()? {
            Token::Array(count) => count,
            Token::Nil if name == crate::table::TIME => continue,
            other => {
                return Err(malformed(format!("column {name:?}: is {}, expected array", other.type_name())));
            }
        };
        columns.push((Cow::Borrowed(name), ArrayCells { count, elements: elements.rest() }));
    }
    Ok(Columnar { table, columns, tags: tags.map(tag_names).transpose()?.unwrap_or_default(), unit })
}

fn tag_names(bytes: &[u8]) -> Result<Vec<Cow<'_, str>>, Error> {
    let mut reader = Reader::new(bytes);
    match reader.token()? {
        Token::Nil => Ok(Vec::new()),
        Token::Array(count) => (0..count).map(|_| key(reader.value_span(0)?).map(Cow::Borrowed)).collect(),
        other => Err(malformed(format!("tags is {}, expected an array of names", other.type_name()))),
    }
}

fn row<'a>(
    table: Cow<'a, str>,
    item: &Item<'a>,
    unit: Precision,
    received: Micros,
) -> Result<Row<'a>, Error> {
    let time = match item.t {
        Some(bytes) => instant(&Reader::new(bytes).token()?.value()?, unit).map_err(malformed)?,
        None => received.0,
    };
    let mut cells = Vec::new();
    let host = item.h.filter(|bytes| !matches!(Reader::new(bytes).token(), Ok(Token::Nil)));
    if let Some(bytes) = host {
        let value = Value::text(named_or_numbered(bytes, "h", "host")?);
        cells.push(Cell { name: Cow::Borrowed("host"), value, tag: true });
    }
    if let Some(bytes) = item.tags {
        let mut sent = Vec::new();
        if !matches!(Reader::new(bytes).token()?, Token::Nil) {
            named_cells(bytes, "tags", true, &mut sent)?;
        }
        cells.extend(sent.into_iter().filter(|cell| host.is_none() || cell.name != "host"));
    }
    let tags = cells.len();
    match (item.fields, item.f) {
        (Some(bytes), _) => named_cells(bytes, "fields", false, &mut cells)?,
        (None, Some(bytes)) => numbered_cells(bytes, &mut cells)?,
        (None, None) => return Err(malformed("missing required field 'fields' or 'f'")),
    }
    if cells.len() == tags {
        return Err(malformed("no fields"));
    }
    Ok(Row { table, time, cells })
}

fn named_cells<'a>(bytes: &'a [u8], of: &str, tag: bool, cells: &mut Vec<Cell<'a>>) -> Result<(), Error> {
    let mut reader = Reader::new(bytes);
    let count = match reader.token()? {
        Token::Map(count) => count,
        other => return Err(malformed(format!("field '{of}' is {}, expected map", other.type_name()))),
    };
    for _ in 0..count {
        let name = key(reader.value_span(0)?)?;
        cells.push(cell(Cow::Borrowed(name), reader.value_span(0)?, tag)?);
    }
    Ok(())
}

fn numbered_cells<'a>(bytes: &'a [u8], cells: &mut Vec<Cell<'a>>) -> Result<(), Error> {
    let mut reader = Reader::new(bytes);
    let count = match reader.token()? {
        Token::Array(count) => count,
        other => return Err(malformed(format!("field 'f' is {}, expected array", other.type_name()))),
    };
    for index in 0..count {
        cells.push(cell(Cow::Owned(format!("field_{index}")), reader.value_span(0)?, false)?);
    }
    Ok(())
}

fn cell<'a>(name: Cow<'a, str>, bytes: &'a [u8], tag: bool) -> Result<Cell<'a>, Error> {
    let value = Reader::new(bytes).token()?.value();
    let value = value.map_err(|error| placed(error, &format!("column {name:?}")))?;
    Ok(Cell { name, value, tag })
}

#[cfg(test)]
mod tests;
