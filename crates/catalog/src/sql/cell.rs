//! One value of a row, the same for every database.

use cenote_vocab::{FieldId, FileId, PartitionId, SchemaId, TableId, Txn};
use uuid::Uuid;

use crate::Error;

/// What a column holds, as far as binding and reading are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every integer, time and flag.
    Int,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// UUID.
    Uuid,
}

/// A value to bind, or one that was read. UUIDs read from SQLite come as `Bytes`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// NULL
    Null,
    /// Every integer, time and flag.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// UUID.
    Uuid(Uuid),
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Vec<u8>> for Cell {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<const N: usize> From<[u8; N]> for Cell {
    fn from(value: [u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl From<Uuid> for Cell {
    fn from(value: Uuid) -> Self {
        Self::Uuid(value)
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Cell {
    fn from(value: i32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

/// Counters never come near 2^63; one that does is stored as the largest.
impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

macro_rules! number {
    ($($name:ident),*) => {$(
        impl From<$name> for Cell {
            fn from(value: $name) -> Self {
                Self::from(value.0)
            }
        }
    )*};
}
number!(Txn, TableId, SchemaId, FileId, PartitionId, FieldId);

/// One row of an answer. Columns are taken from left to right.
#[derive(Debug)]
pub(crate) struct Row {
    cells: std::vec::IntoIter<Cell>,
    at: usize,
}

impl Row {
    pub(crate) fn new(cells: Vec<Cell>) -> Self {
        Self { cells: cells.into_iter(), at: 0 }
    }

    /// The next column, whatever it is.
    pub(crate) fn cell(&mut self) -> Result<Cell, Error> {
        self.at += 1;
        self.cells.next().ok_or_else(|| Error::Internal(format!("row has no column {}", self.at)))
    }

    fn wrong<T>(&self, wanted: &str, cell: &Cell) -> Result<T, Error> {
        let found = match cell {
            Cell::Null => "NULL",
            Cell::Int(_) => "an integer",
            Cell::Text(_) => "text",
            Cell::Bytes(_) => "bytes",
            Cell::Uuid(_) => "a UUID",
        };
        Err(Error::Corrupt(format!("column {} of an answer is {found}, not {wanted}", self.at)))
    }

    /// The next column, an integer.
    pub(crate) fn int(&mut self) -> Result<i64, Error> {
        match self.cell()? {
            Cell::Int(value) => Ok(value),
            other => self.wrong("an integer", &other),
        }
    }

    /// The next column, an integer or NULL.
    pub(crate) fn optional_int(&mut self) -> Result<Option<i64>, Error> {
        match self.cell()? {
            Cell::Null => Ok(None),
            Cell::Int(value) => Ok(Some(value)),
            other => self.wrong("an integer", &other),
        }
    }

    /// The next column, a number of 32 bits.
    pub(crate) fn small(&mut self) -> Result<i32, Error> {
        let value = self.int()?;
        i32::try_from(value).map_err(|_| Error::Corrupt(format!("{value} is out of range")))
    }

    /// The next column, a number of 32 bits or NULL.
    pub(crate) fn optional_small(&mut self) -> Result<Option<i32>, Error> {
        let value = self.optional_int()?;
        value
            .map(|value| i32::try_from(value).map_err(|_| Error::Corrupt(format!("{value} is out of range"))))
            .transpose()
    }

    /// The next column, a counter.
    pub(crate) fn count(&mut self) -> Result<u64, Error> {
        let value = self.int()?;
        u64::try_from(value).map_err(|_| Error::Corrupt(format!("counter is {value}")))
    }

    /// The next column, 0 or 1.
    pub(crate) fn flag(&mut self) -> Result<bool, Error> {
        Ok(self.int()? != 0)
    }

    /// The next column, text.
    pub(crate) fn text(&mut self) -> Result<String, Error> {
        match self.cell()? {
            Cell::Text(value) => Ok(value),
            other => self.wrong("text", &other),
        }
    }

    /// The next column, text or NULL.
    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, Error> {
        match self.cell()? {
            Cell::Null => Ok(None),
            Cell::Text(value) => Ok(Some(value)),
            other => self.wrong("text", &other),
        }
    }

    /// The next column, bytes.
    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        match self.cell()? {
            Cell::Bytes(value) => Ok(value),
            other => self.wrong("bytes", &other),
        }
    }

    /// The next column, bytes or NULL.
    pub(crate) fn optional_bytes(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match self.cell()? {
            Cell::Null => Ok(None),
            Cell::Bytes(value) => Ok(Some(value)),
            other => self.wrong("bytes", &other),
        }
    }

    /// The next column, exactly `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.bytes()?.try_into().map_err(|_| Error::Corrupt(format!("column {} is not {N} bytes", self.at)))
    }

    /// The next column, a UUID or NULL.
    pub(crate) fn optional_uuid(&mut self) -> Result<Option<Uuid>, Error> {
        match self.cell()? {
            Cell::Null => Ok(None),
            Cell::Uuid(value) => Ok(Some(value)),
            Cell::Bytes(value) => Uuid::from_slice(&value)
                .map(Some)
                .map_err(|_| Error::Corrupt(format!("column {} is no UUID", self.at))),
            other => self.wrong("a UUID", &other),
        }
    }

    /// The next column, a UUID.
    pub(crate) fn uuid(&mut self) -> Result<Uuid, Error> {
        match self.cell()? {
            Cell::Uuid(value) => Ok(value),
            Cell::Bytes(value) => {
                Uuid::from_slice(&value).map_err(|_| Error::Corrupt(format!("column {} is no UUID", self.at)))
            }
            other => self.wrong("a UUID", &other),
        }
    }
}
