//! What a table holds, as the oracle knows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::value::{Type, Value};

/// Columns that steps leave as they are: times make partitions, keys find rows.
pub(super) const TIME: u32 = 0;
pub(super) const KEY: u32 = 1;

/// A column of one version of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    /// Never given again, as a field id.
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) of: Type,
    pub(super) required: bool,
    /// Of rows that are older than the column.
    pub(super) initial: Value,
    /// Of new rows that do not name it.
    pub(super) default: Value,
}

impl Column {
    pub(super) fn new(id: u32, name: &str, of: Type) -> Self {
        Self { id, name: name.to_owned(), of, required: false, initial: Value::Null, default: Value::Null }
    }

    pub(super) fn is_fixed(&self) -> bool {
        self.id == TIME || self.id == KEY
    }

    /// The value of a row.
    pub(super) fn of_row<'a>(&'a self, row: &'a Row) -> &'a Value {
        row.get(&self.id).unwrap_or(&self.initial)
    }
}

/// Values by column. A column that is younger than the row is not in it, one that was dropped may still be.
pub(super) type Row = BTreeMap<u32, Value>;

/// Rows are shared by the versions that hold them.
pub(super) type Rows = Vec<Arc<Row>>;

/// Columns and rows at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Rows,
}

impl Image {
    /// What `SELECT *` answers: the names, then the rows as text, sorted.
    pub(super) fn lines(&self) -> Vec<String> {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let mut lines: Vec<String> = self.rows.iter().map(|row| self.line(row)).collect();
        lines.sort_unstable();
        lines.insert(0, names.join("|"));
        lines
    }

    /// One row as `SELECT *` answers it.
    pub(super) fn line(&self, row: &Row) -> String {
        let cells = self.columns.iter().map(|column| column.of_row(row).shown(column.of));
        cells.collect::<Vec<_>>().join("|")
    }

    pub(super) fn column(&self, id: u32) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The same rows in these columns.
    pub(super) fn in_columns(&self, columns: Vec<Column>) -> Self {
        Self { columns, rows: self.rows.clone() }
    }
}

/// A table now: what is committed, and what only the log and its buffer hold.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) committed: Arc<Image>,
    pub(super) buffered: Rows,
}

/// What a statement does to a table.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// New rows.
    Append(Rows),
    /// Rows as they are after it; what was buffered is committed before.
    Rewrite(Rows),
    /// Other columns.
    Columns(Vec<Column>),
    /// New rows in the buffer.
    Buffer(Rows),
    /// The buffer becomes committed.
    Flush,
}

impl State {
    pub(super) fn of(image: Image) -> Self {
        Self { committed: Arc::new(image), buffered: Rows::new() }
    }

    /// What a statement sees.
    pub(super) fn seen(&self) -> Image {
        let rows = self.committed.rows.iter().chain(&self.buffered).cloned().collect();
        Image { columns: self.committed.columns.clone(), rows }
    }

    /// With the buffer committed.
    pub(super) fn flushed(&self) -> Self {
        Self::of(self.seen())
    }

    /// The state after it.
    pub(super) fn after(&self, effect: &Effect) -> Self {
        let columns = self.committed.columns.clone();
        let with = |old: &Rows, new: &Rows| old.iter().chain(new).cloned().collect();
        match effect {
            Effect::Append(new) => Self {
                committed: Arc::new(Image { columns, rows: with(&self.committed.rows, new) }),
                buffered: self.buffered.clone(),
            },
            Effect::Rewrite(rows) => Self::of(Image { columns, rows: rows.clone() }),
            Effect::Columns(columns) => Self {
                committed: Arc::new(self.committed.in_columns(columns.clone())),
                buffered: self.buffered.clone(),
            },
            Effect::Buffer(new) => {
                Self { committed: self.committed.clone(), buffered: with(&self.buffered, new) }
            }
            Effect::Flush => self.flushed(),
        }
    }

    /// What versions that the statement made may show, in order; the last one for certain.
    pub(super) fn images_until(&self, after: &Self) -> Vec<Option<Arc<Image>>> {
        if self.buffered.is_empty() || !after.buffered.is_empty() {
            vec![Some(after.committed.clone())]
        } else {
            vec![Some(self.flushed().committed), Some(after.committed.clone())]
        }
    }
}
