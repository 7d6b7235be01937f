//! JSON: plain rows, and the row and columnar items of MessagePack.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use cenote_vocab::Micros;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::column::Column;
use crate::item::{
    Cell, Cells, Columnar, NESTING_MAX, Row, Tables, check_size, malformed, place, placed, too_deep,
};
use crate::table::TIME;
use crate::time::{instant, resolve_values};
use crate::value::Value;
use crate::{Decoded, Error, Limits, Precision};

/// Keys that hold the time of a plain row, the first that is there.
const TIME_KEYS: [&str; 4] = [TIME, "timestamp", "ts", "@timestamp"];
/// Keys of an item beside its columns.
const ITEM_KEYS_MAX: usize = 16;
/// Up to so many keys, comparing each with each is faster than a set.
const KEYS_COMPARED_MAX: usize = 16;

/// How to read a body.
#[derive(Clone, Debug)]
pub struct Options {
    /// Table of plain rows.
    pub table: Option<String>,
    /// Column that holds the time of plain rows.
    pub time_column: Option<String>,
    /// Columns that are tags.
    pub tags: Vec<String>,
    /// Unit of times.
    pub precision: Option<Precision>,
    /// The time of rows without one.
    pub received: Micros,
    /// Bounds.
    pub limits: Limits,
}

/// All rows of the body: one object, an array of objects, or objects one after the other.
///
/// The first bad item is the error of the body.
pub fn decode(body: &[u8], options: &Options) -> Result<Decoded, Error> {
    let text =
        str::from_utf8(body).map_err(|error| malformed(format!("body is not valid UTF-8: {error}")))?;
    check_nesting(body)?;
    let mut decoder = Decoder { options, tables: Tables::new(options.limits, options.received.0), items: 0 };
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.map_err(broken)?;
        match first_byte(value) {
            b'[' => each_element(value, |element| decoder.object(element, Batch::Allowed))?,
            _ => decoder.object(value, Batch::Allowed)?,
        }
    }
    let mut decoded = Decoded::default();
    decoder.tables.finish(&mut decoded)?;
    Ok(decoded)
}

/// Whether an object may be a batch of others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Batch {
    Allowed,
    /// Inside one already.
    Element,
}

type Entry<'a> = (Cow<'a, str>, &'a RawValue);

struct Decoder<'o> {
    options: &'o Options,
    tables: Tables,
    /// Items so far.
    items: u64,
}

impl Decoder<'_> {
    fn object(&mut self, object: &RawValue, batch: Batch) -> Result<(), Error> {
        if first_byte(object) != b'{' {
            self.items += 1;
            let problem = format!("unsupported JSON payload type: {}", type_name(object));
            return Err(placed(malformed(problem), &place(self.items, None)));
        }
        let entries = entries_of(object, self.options.limits.columns_max)
            .map_err(|error| placed(error, &place(self.items + 1, None)))?;
        if batch == Batch::Allowed
            && let Some(elements) = find(&entries, "batch")
            && first_byte(elements) == b'['
        {
            return each_element(elements, |element| self.object(element, Batch::Element));
        }
        self.items += 1;
        let item = Item::new(&entries);
        let table = item.as_ref().map_or(Ok(self.options.table.as_deref().map(Cow::Borrowed)), |item| {
            measurement(item.measurement).map(Some)
        });
        let place = place(self.items, table.as_ref().ok().and_then(|table| table.as_deref()));
        table.and_then(|table| self.item(table, item, &entries)).map_err(|error| placed(error, &place))
    }

    fn item(
        &mut self,
        table: Option<Cow<'_, str>>,
        item: Option<Item<'_>>,
        entries: &[Entry<'_>],
    ) -> Result<(), Error> {
        let table = table.ok_or_else(|| malformed("a plain row needs a table: send the parameter table"))?;
        match item {
            Some(Item { columns: Some(columns), unit, tags, .. }) => {
                let unit = unit.map(time_unit).transpose()?.or(self.options.precision);
                let mut names = tags.map(tag_names).transpose()?.unwrap_or_default();
                names.extend(self.options.tags.iter().map(|tag| Cow::Borrowed(tag.as_str())));
                let columns = columns_of(columns, self.options.limits.columns_max)?;
                self.tables.push_columns(&Columnar { table, columns, tags: names, unit })
            }
            Some(item) => {
                let unit = item.unit.map(time_unit).transpose()?.or(self.options.precision);
                let time = self.time(item.time, unit)?;
                self.tables.push_row(&Row { table, time, cells: row_cells(&item, &self.options.limits)? })
            }
            None => {
                let row = self.plain_row(table, entries)?;
                self.tables.push_row(&row)
            }
        }
    }

    fn time(&self, time: Option<&RawValue>, unit: Option<Precision>) -> Result<i64, Error> {
        let Some(time) = time else { return Ok(self.options.received.0) };
        instant(&value(time)?, unit.unwrap_or(Precision::Auto)).map_err(malformed)
    }

    fn plain_row<'a>(&self, table: Cow<'a, str>, entries: &'a [Entry<'a>]) -> Result<Row<'a>, Error> {
        let time_key = match &self.options.time_column {
            Some(column) => Some(column.as_str()),
            None => TIME_KEYS.into_iter().find(|key| find(entries, key).is_some()),
        };
        let time = time_key.and_then(|key| find(entries, key));
        let mut cells = Vec::with_capacity(entries.len());
        for (name, raw) in entries.iter().filter(|(name, _)| Some(&**name) != time_key) {
            let value = value(raw).map_err(|error| placed(error, &format!("column {name:?}")))?;
            let tag = self.options.tags.iter().any(|tag| tag == name);
            cells.push(Cell { name: Cow::Borrowed(name), value, tag });
        }
        Ok(Row { table, time: self.time(time, self.options.precision)?, cells })
    }
}

/// The keys of an item that names its measurement.
struct Item<'a> {
    measurement: &'a RawValue,
    columns: Option<&'a RawValue>,
    fields: Option<&'a RawValue>,
    tags: Option<&'a RawValue>,
    host: Option<&'a RawValue>,
    time: Option<&'a RawValue>,
    unit: Option<&'a RawValue>,
}

impl<'a> Item<'a> {
    /// `None` for a plain row.
    fn new(entries: &[Entry<'a>]) -> Option<Self> {
        let columns = find(entries, "columns").filter(|columns| first_byte(columns) == b'{');
        let fields = find(entries, "fields");
        columns.or(fields)?;
        Some(Self {
            measurement: find(entries, "m").or_else(|| find(entries, "measurement"))?,
            columns,
            fields,
            tags: find(entries, "tags"),
            host: find(entries, "h"),
            time: find(entries, "t").or_else(|| find(entries, "timestamp")),
            unit: find(entries, "time_unit"),
        })
    }
}

fn measurement(raw: &RawValue) -> Result<Cow<'_, str>, Error> {
    named_or_numbered(raw, "m", "measurement")
}

/// Text, or an integer n as `prefix_n`.
fn named_or_numbered<'a>(raw: &'a RawValue, key: &str, prefix: &str) -> Result<Cow<'a, str>, Error> {
    match first_byte(raw) {
        b'"' => text(raw),
        _ => match value(raw)? {
            Value::Int(number) => Ok(Cow::Owned(format!("{prefix}_{number}"))),
            _ => Err(malformed(format!("field '{key}' is {}, expected text or an integer", type_name(raw)))),
        },
    }
}

fn time_unit(raw: &RawValue) -> Result<Precision, Error> {
    match first_byte(raw) {
        b'"' => text(raw)?.parse(),
        _ => Err(malformed(format!("time_unit is {}, expected text", type_name(raw)))),
    }
}

fn tag_names(raw: &RawValue) -> Result<Vec<Cow<'_, str>>, Error> {
    let mut names = Vec::new();
    match first_byte(raw) {
        b'n' => {}
        b'[' => each_element(raw, |name| {
            names.push(text(name)?);
            Ok(())
        })?,
        _ => return Err(malformed(format!("tags is {}, expected an array of names", type_name(raw)))),
    }
    Ok(names)
}

fn columns_of(raw: &RawValue, columns_max: usize) -> Result<Vec<(Cow<'_, str>, ArrayCells<'_>)>, Error> {
    let entries = entries_of(raw, columns_max)?;
    if entries.is_empty() {
        return Err(malformed("no columns"));
    }
    let mut columns = Vec::with_capacity(entries.len());
    for (name, raw) in entries {
        match first_byte(raw) {
            b'[' => {
                let mut count = 0;
                each_element(raw, |_| {
                    count += 1;
                    Ok(())
                })?;
                columns.push((name, ArrayCells { raw, count }));
            }
            b'n' if name == TIME => {}
            _ => return Err(malformed(format!("column {name:?}: is {}, expected array", type_name(raw)))),
        }
    }
    Ok(columns)
}

fn row_cells<'a>(item: &Item<'a>, limits: &Limits) -> Result<Vec<Cell<'a>>, Error> {
    let mut cells = Vec::new();
    let host = item.host.filter(|host| first_byte(host) != b'n');
    if let Some(host) = host {
        let value = Value::text(named_or_numbered(host, "h", "host")?);
        cells.push(Cell { name: Cow::Borrowed("host"), value, tag: true });
    }
    if let Some(tags) = item.tags.filter(|tags| first_byte(tags) != b'n') {
        let sent = cells_of(tags, "tags", true, limits)?;
        cells.extend(sent.into_iter().filter(|cell| host.is_none() || cell.name != "host"));
    }
    let fields = item.fields.ok_or_else(|| malformed("missing required field 'fields'"))?;
    let mut fields = cells_of(fields, "fields", false, limits)?;
    if fields.is_empty() {
        return Err(malformed("no fields"));
    }
    cells.append(&mut fields);
    Ok(cells)
}

fn cells_of<'a>(raw: &'a RawValue, of: &str, tag: bool, limits: &Limits) -> Result<Vec<Cell<'a>>, Error> {
    if first_byte(raw) != b'{' {
        return Err(malformed(format!("field '{of}' is {}, expected object", type_name(raw))));
    }
    let entries = entries_of(raw, limits.columns_max)?.into_iter();
    entries
        .map(|(name, raw)| {
            let value = value(raw).map_err(|error| placed(error, &format!("column {name:?}")))?;
            Ok(Cell { name, value, tag })
        })
        .collect()
}

/// An array of a columnar item.
#[derive(Clone, Copy)]
struct ArrayCells<'a> {
    raw: &'a RawValue,
    count: usize,
}

impl Cells for ArrayCells<'_> {
    fn count(&self) -> usize {
        self.count
    }

    fn append_to(&self, column: &mut Column, string_max: usize) -> Result<(), Error> {
        let mut index = 0;
        each_element(self.raw, |element| {
            let at = |error| placed(error, &format!("index {index}"));
            let value = value(element).map_err(at)?;
            check_size(value.len(), string_max, column.name())?;
            column.push(&value).map_err(|misfit| at(malformed(format!("value {misfit}"))))?;
            index += 1;
            Ok(())
        })
    }

    fn append_times(&self, times: &mut Vec<i64>, unit: Option<Precision>) -> Result<(), Error> {
        let mut values = Vec::with_capacity(self.count);
        each_element(self.raw, |element| {
            let row = values.len();
            values.push(value(element).map_err(|error| placed(error, &format!("row {row}")))?);
            Ok(())
        })?;
        times.extend(resolve_values(&values, unit).map_err(malformed)?);
        Ok(())
    }
}

/// Integer literals are BIGINT, others DOUBLE; what is nested becomes its own text.
fn value(raw: &RawValue) -> Result<Value<'_>, Error> {
    let literal = raw.get();
    Ok(match first_byte(raw) {
        b'n' => Value::Null,
        b't' => Value::Bool(true),
        b'f' => Value::Bool(false),
        b'"' => Value::text(text(raw)?),
        b'{' | b'[' => Value::text(literal),
        _ if literal.contains(['.', 'e', 'E']) => match literal.parse::<f64>() {
            Ok(number) if number.is_finite() => Value::Float(number),
            _ => return Err(malformed(format!("number {} is out of a double's range", shown(literal)))),
        },
        _ => match literal.parse() {
            Ok(number) => Value::Int(number),
            Err(_) => {
                return Err(malformed(format!("integer {} is out of a bigint's range", shown(literal))));
            }
        },
    })
}

fn text(raw: &RawValue) -> Result<Cow<'_, str>, Error> {
    serde_json::from_str::<Key<'_>>(raw.get()).map(|key| key.0).map_err(broken)
}

fn first_byte(raw: &RawValue) -> u8 {
    raw.get().as_bytes().first().copied().unwrap_or(b'n')
}

fn type_name(raw: &RawValue) -> &'static str {
    match first_byte(raw) {
        b'n' => "null",
        b't' | b'f' => "boolean",
        b'"' => "string",
        b'{' => "object",
        b'[' => "array",
        _ => "number",
    }
}

fn find<'a>(entries: &[Entry<'a>], key: &str) -> Option<&'a RawValue> {
    entries.iter().find(|(name, _)| name == key).map(|(_, raw)| *raw)
}

fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}

fn broken(error: serde_json::Error) -> Error {
    malformed(format!("body is not valid JSON: {error}"))
}

/// An error if brackets stand deeper in one another than [`NESTING_MAX`].
fn check_nesting(body: &[u8]) -> Result<(), Error> {
    let (mut depth, mut quoted, mut bytes) = (0, false, body.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => drop(bytes.next()),
            b'{' | b'[' if !quoted => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(too_deep());
                }
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The keys of an object with their values, each key once.
fn entries_of(object: &RawValue, columns_max: usize) -> Result<Vec<Entry<'_>>, Error> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    each_entry(object, |name, raw| {
        if entries.len() >= columns_max.saturating_add(ITEM_KEYS_MAX) {
            return Err(Error::Limit {
                what: "number of keys of an object".into(),
                max: columns_max as u64,
                limit: "columns_per_table_max",
            });
        }
        entries.push((name, raw));
        Ok(())
    })?;
    let twice = if entries.len() <= KEYS_COMPARED_MAX {
        let before = |index: usize, name: &str| entries[..index].iter().any(|(other, _)| other == name);
        entries.iter().enumerate().find(|(index, (name, _))| before(*index, name)).map(|(_, entry)| entry)
    } else {
        let mut names = HashSet::with_capacity(entries.len());
        entries.iter().find(|(name, _)| !names.insert(&**name))
    };
    match twice {
        Some((name, _)) => Err(malformed(format!("key {:?} is given twice", shown(name)))),
        None => Ok(entries),
    }
}

/// Calls `visit` with each element of an array, until the first error.
fn each_element<'a>(
    array: &'a RawValue,
    mut visit: impl FnMut(&'a RawValue) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut failure = None;
    let visitor = Each(|_: Cow<'a, str>, raw| visit(raw), &mut failure);
    let read = serde_json::Deserializer::from_str(array.get()).deserialize_seq(visitor);
    failure.map_or_else(|| read.map_err(broken), Err)
}

/// Calls `visit` with each key and value of an object, until the first error.
fn each_entry<'a>(
    object: &'a RawValue,
    visit: impl FnMut(Cow<'a, str>, &'a RawValue) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut failure = None;
    let read = serde_json::Deserializer::from_str(object.get()).deserialize_map(Each(visit, &mut failure));
    failure.map_or_else(|| read.map_err(broken), Err)
}

/// Keeps the first error of the called function, which serde's own error type cannot carry.
struct Each<'f, F>(F, &'f mut Option<Error>);

impl<'de, F> Visitor<'de> for Each<'_, F>
where
    F: FnMut(Cow<'de, str>, &'de RawValue) -> Result<(), Error>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or object")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while self.1.is_none()
            && let Some(raw) = elements.next_element::<&RawValue>()?
        {
            *self.1 = self.0(Cow::Borrowed(""), raw).err();
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while self.1.is_none()
            && let Some((key, raw)) = entries.next_entry::<Key<'de>, &RawValue>()?
        {
            *self.1 = self.0(key.0, raw).err();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
