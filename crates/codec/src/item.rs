//! The items of MessagePack and JSON, rows and blocks of columns, become rows of tables.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::column::{Column, Gaps};
use crate::table::{TIME, Table};
use crate::value::Value;
use crate::{Decoded, Error, Limits, Precision};

/// How deep arrays and maps may stand in one another.
pub(crate) const NESTING_MAX: usize = 64;

/// The error of a body that is nested deeper than [`NESTING_MAX`].
pub(crate) fn too_deep() -> Error {
    Error::Limit { what: "nesting of the body".into(), max: NESTING_MAX as u64, limit: "nesting_max" }
}

pub(crate) fn malformed(text: impl Into<String>) -> Error {
    Error::Malformed(text.into())
}

/// One value of a row.
#[derive(Debug)]
pub(crate) struct Cell<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: Value<'a>,
    pub(crate) tag: bool,
}

/// One row; its tags stand before the fields of the same names.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) table: Cow<'a, str>,
    /// Microseconds since 1970.
    pub(crate) time: i64,
    pub(crate) cells: Vec<Cell<'a>>,
}

/// The array of one column, still in its wire format.
pub(crate) trait Cells {
    /// How many values it holds.
    fn count(&self) -> usize;

    /// Adds all values; an error text begins with the index.
    fn append_to(&self, column: &mut Column, string_max: usize) -> Result<(), Error>;

    /// Adds all values as microseconds since 1970.
    fn append_times(&self, times: &mut Vec<i64>, unit: Option<Precision>) -> Result<(), Error>;
}

/// A block of columns of one table.
#[derive(Debug)]
pub(crate) struct Columnar<'a, C> {
    pub(crate) table: Cow<'a, str>,
    pub(crate) columns: Vec<(Cow<'a, str>, C)>,
    pub(crate) tags: Vec<Cow<'a, str>>,
    pub(crate) unit: Option<Precision>,
}

/// Rows of a body, grouped by table; an item that fails leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Tables {
    limits: Limits,
    /// The time of items without one, in microseconds.
    received: i64,
    tables: Vec<Table>,
    by_name: HashMap<String, usize>,
    rows: u64,
    gaps: Gaps,
}

impl Tables {
    pub(crate) fn new(limits: Limits, received: i64) -> Self {
        Self { limits, received, tables: Vec::new(), by_name: HashMap::new(), rows: 0, gaps: Gaps::default() }
    }

    pub(crate) fn push_row(&mut self, row: &Row<'_>) -> Result<(), Error> {
        self.append(&row.table, 1, |table, limits, gaps, _| append_row(table, row, limits, gaps))
    }

    /// Adds a block; its column `time`, if it has one, holds the times.
    pub(crate) fn push_columns<C: Cells>(&mut self, block: &Columnar<'_, C>) -> Result<(), Error> {
        let rows = rows_of(block)?;
        self.append(&block.table, rows, |table, limits, gaps, received| {
            append_columns(table, block, rows, received, limits, gaps)
        })
    }

    fn append(
        &mut self,
        name: &str,
        rows: usize,
        add: impl FnOnce(&mut Table, &Limits, &mut Gaps, i64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        check_rows(self.rows + rows as u64, &self.limits)?;
        let position = match self.by_name.get(name) {
            Some(position) => *position,
            None => {
                check_tables(self.tables.len())?;
                self.tables.push(Table::new(name)?);
                self.by_name.insert(name.to_owned(), self.tables.len() - 1);
                self.tables.len() - 1
            }
        };
        let table = &mut self.tables[position];
        let mark = table.mark();
        let added = add(table, &self.limits, &mut self.gaps, self.received);
        match added {
            Ok(()) => self.rows += rows as u64,
            Err(_) => table.roll_back(&mark),
        }
        added
    }

    /// Gives all tables that got rows to `decoded`.
    pub(crate) fn finish(mut self, decoded: &mut Decoded) -> Result<(), Error> {
        for table in self.tables {
            if table.rows() > 0 {
                decoded.replaced_utf8 += table.replaced_utf8();
                decoded.tables.push(table.finish(&mut self.gaps)?);
            }
        }
        Ok(())
    }
}

/// An error if a request of so many rows is too large.
pub(crate) fn check_rows(rows: u64, limits: &Limits) -> Result<(), Error> {
    if rows > limits.rows_max {
        return Err(Error::Limit {
            what: "number of rows of the request".into(),
            max: limits.rows_max,
            limit: "rows_per_request_max",
        });
    }
    Ok(())
}

/// How many tables one request can write to: each costs memory however few its rows are.
pub(crate) const TABLES_MAX: usize = 10_000;

/// An error if a request that has `tables` tables may not have another one.
pub(crate) fn check_tables(tables: usize) -> Result<(), Error> {
    if tables >= TABLES_MAX {
        return Err(Error::Limit {
            what: "number of tables of the request".into(),
            max: TABLES_MAX as u64,
            limit: "tables_per_request_max",
        });
    }
    Ok(())
}

/// An error if a value of `bytes` bytes is too large.
#[inline]
pub(crate) fn check_size(bytes: usize, string_max: usize, column: &str) -> Result<(), Error> {
    if bytes > string_max {
        return Err(Error::Limit {
            what: format!("size in bytes of a value of column {column:?}"),
            max: string_max as u64,
            limit: "string_max",
        });
    }
    Ok(())
}

fn append_row(table: &mut Table, row: &Row<'_>, limits: &Limits, gaps: &mut Gaps) -> Result<(), Error> {
    for cell in &row.cells {
        append_cell(table, cell, limits, gaps)?;
    }
    table.times.push(row.time);
    Ok(())
}

fn append_cell(table: &mut Table, cell: &Cell<'_>, limits: &Limits, gaps: &mut Gaps) -> Result<(), Error> {
    let rows = table.rows();
    let mut name = Cow::Borrowed(&*cell.name);
    if name == TIME {
        let role = if cell.tag { "tag" } else { "field" };
        return Err(malformed(format!("{role} {TIME:?} would hide the row's time")));
    }
    check_size(cell.value.len(), limits.string_max, &name)?;
    let mut position = table.column(&name, limits)?;
    if !cell.tag && table.columns[position].is_tag_of(rows) {
        name = Cow::Owned(format!("{name}_value"));
        position = table.column(&name, limits)?;
    }
    let misfit = |misfit| malformed(format!("column {name:?}: value {misfit}"));
    if cell.tag {
        table.mark_tag(position).map_err(misfit)?;
    }
    let column = &mut table.columns[position];
    column.pad_to(rows, gaps)?;
    if column.len() > rows {
        return Err(malformed(format!("column {name:?} is given twice")));
    }
    column.push(&cell.value).map_err(misfit)
}

fn rows_of<C: Cells>(block: &Columnar<'_, C>) -> Result<usize, Error> {
    let mut expected = None;
    for (name, cells) in &block.columns {
        let count = cells.count();
        if name == TIME && count == 0 {
            continue; // as if there was none: receipt time
        }
        match expected {
            None => expected = Some(count),
            Some(expected) if expected != count => {
                return Err(malformed(format!(
                    "columnar format: array length mismatch (expected {expected}, got {count} for '{name}')"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(expected.unwrap_or(0))
}

fn append_columns<C: Cells>(
    table: &mut Table,
    block: &Columnar<'_, C>,
    rows: usize,
    received: i64,
    limits: &Limits,
    gaps: &mut Gaps,
) -> Result<(), Error> {
    let start = table.rows();
    for (name, cells) in &block.columns {
        if name == TIME {
            if table.times.len() > start {
                return Err(malformed(format!("column {name:?} is given twice")));
            }
            cells
                .append_times(&mut table.times, block.unit)
                .map_err(|error| placed(error, &format!("column {name:?}")))?;
        }
    }
    if table.times.len() == start {
        table.times.resize(start + rows, received);
    }
    for (name, cells) in block.columns.iter().filter(|(name, _)| name != TIME) {
        let position = table.column(name, limits)?;
        if table.columns[position].len() > start {
            return Err(malformed(format!("column {name:?} is given twice")));
        }
        if block.tags.contains(name) {
            table.mark_tag(position).map_err(|misfit| malformed(format!("column {name:?}: tag {misfit}")))?;
        }
        let column = &mut table.columns[position];
        column.pad_to(start, gaps)?;
        cells
            .append_to(column, limits.string_max)
            .map_err(|error| placed(error, &format!("column {name:?}")))?;
    }
    Ok(())
}

/// The error, its text led by where it happened. Limits and names say that by themselves.
pub(crate) fn placed(error: Error, place: &str) -> Error {
    match error {
        Error::Malformed(text) => Error::Malformed(format!("{place}: {text}")),
        other => other,
    }
}

/// What a client calls an item: its number from 1, and its table where it names one.
pub(crate) fn place(number: u64, table: Option<&str>) -> String {
    match table {
        Some(table) => format!("item {number} (measurement {:?})", shown(table)),
        None => format!("item {number}"),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
