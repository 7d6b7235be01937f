//! What every source of a pipeline can do.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_vocab::{Micros, Txn};

use crate::Error;

/// The hidden last column of every batch: when the row happened, µs UTC, never NULL. No name of a statement has a control
/// character.
pub const EVENT_TIME: &str = "\u{1f}timestamp";

/// Where a row stands in its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPlace {
    /// A file, or another part of the source.
    pub partition: Arc<str>,
    /// Its number there, from 0.
    pub offset: u64,
}

/// Where the rows of a batch stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPlaces {
    partition: Arc<str>,
    numbers: Numbers,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Numbers {
    /// One behind the other, from this on.
    From(u64),
    Each(Arc<[u64]>),
}

impl RowPlaces {
    /// Rows that stand one behind the other.
    pub fn behind(first: RowPlace) -> Self {
        Self { partition: first.partition, numbers: Numbers::From(first.offset) }
    }

    /// Rows with numbers of their own.
    pub(crate) fn each(partition: Arc<str>, offsets: Vec<u64>) -> Self {
        let follow = offsets.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
        let numbers = match offsets.first() {
            Some(first) if follow => Numbers::From(*first),
            _ => Numbers::Each(offsets.into()),
        };
        Self { partition, numbers }
    }

    /// The part of the source that the rows are of.
    pub fn partition(&self) -> &Arc<str> {
        &self.partition
    }

    /// Where a row of the batch stands.
    pub fn row(&self, at: usize) -> RowPlace {
        RowPlace { partition: self.partition.clone(), offset: self.offset(at) }
    }

    /// Its number there.
    pub(crate) fn offset(&self, at: usize) -> u64 {
        match &self.numbers {
            Numbers::From(first) => first + at as u64,
            Numbers::Each(offsets) => offsets.get(at).copied().unwrap_or(u64::MAX),
        }
    }
}

/// A row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Where it stands.
    pub place: RowPlace,
    /// As it was read, at most [`BadRow::RAW_BYTES_MAX`].
    pub raw: String,
    /// What is wrong; names the column.
    pub reason: String,
}

impl BadRow {
    /// Bytes of a bad row that are kept.
    pub const RAW_BYTES_MAX: usize = 64 << 10;

    /// A bad row; bytes that are no UTF-8 become U+FFFD.
    pub fn new(place: RowPlace, raw: &[u8], reason: String) -> Self {
        let raw = String::from_utf8_lossy(&raw[..raw.len().min(Self::RAW_BYTES_MAX)]).into_owned();
        Self { place, raw, reason }
    }
}

/// The hidden column of changes, and of what follows from them: how many of the row come (above 0) or go. Never NULL.
pub const WEIGHT: &str = "\u{1f}weight";

/// The hidden column of changes that says who a row of its table is.
pub const ROW_ID: &str = "\u{1f}row_id";

/// What an epoch asks of a source.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Rows, about.
    pub rows_max: usize,
    /// The instant of the epoch.
    pub now: Micros,
    /// Tables of the lake are read up to here: the same for all of them.
    pub upto: Txn,
}

/// What a source gave to an epoch.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// Rows, in the order of the source; behind their columns are the hidden ones.
    pub batches: Vec<RecordBatch>,
    /// Where the rows of each batch stand; empty where rows cannot be bad.
    pub places: Vec<RowPlaces>,
    /// Rows that could not be decoded.
    pub bad: Vec<BadRow>,
    /// Behind them.
    pub position: String,
    /// True if there will never be more.
    pub ended: bool,
    /// No row that is still to come of what was there at the start is before this; `None`: nothing is known.
    pub floor: Option<Micros>,
    /// The rows are those of a table up to this transaction, whole: sources that say so are only right at the same one.
    pub reached: Option<Txn>,
    /// Rows that were left out: changes where only rows that are added were asked for, or such as are no longer there.
    pub skipped: u64,
    /// Parts of the source that each have an event time of their own, whether they gave rows or not, by the names in `places`;
    /// empty if there is only one.
    pub partitions: Vec<Arc<str>>,
    /// Another start would begin elsewhere: the position must be kept, though there may be no row.
    pub starts: bool,
    /// The source cannot be asked: that it is silent says nothing.
    pub is_away: bool,
    /// How far there is more, if the source knows.
    pub available: Option<Available>,
}

/// What a source has beyond what it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Available {
    /// Its end, for people.
    pub position: String,
    /// Rows until there, about.
    pub rows: u64,
}

impl Pulled {
    /// Rows, and the position behind them.
    pub(crate) fn of(batches: Vec<RecordBatch>, position: String) -> Self {
        Self {
            batches,
            places: Vec::new(),
            bad: Vec::new(),
            position,
            ended: false,
            floor: None,
            reached: None,
            skipped: 0,
            partitions: Vec::new(),
            starts: false,
            is_away: false,
            available: None,
        }
    }
}

#[cfg(test)]
pub(crate) fn wanted(rows_max: usize, now: i64) -> Wanted {
    Wanted { rows_max, now: Micros(now), upto: Txn(0) }
}

/// Rows with positions. One reader at a time.
#[async_trait]
pub trait Source: Send + Sync {
    /// Columns of its batches, hidden ones included.
    fn schema(&self) -> SchemaRef;

    /// What lineage calls it: a table's id, or `ext:` and a name.
    fn node(&self) -> String;

    /// Makes what is durable readable, before it is decided up to where an epoch reads.
    async fn settle(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// The rows behind `from` that are there, as far as they are wanted; an empty `from` is the start.
    async fn read(&mut self, from: &str, wanted: Wanted) -> Result<Pulled, Error>;

    /// The transaction that a position is at, of a source that is a table of the lake; `None` within: before its first rows
    /// are all read.
    fn reached(&self, _position: &str) -> Option<Option<Txn>> {
        None
    }

    /// Waits until there may be rows behind `from`.
    async fn wait(&self, from: &str);

    /// Everything before `position` is needed no longer.
    async fn committed(&mut self, position: &str) -> Result<(), Error>;
}

/// The columns with [`EVENT_TIME`] behind them.
pub fn stamped(columns: &Schema) -> SchemaRef {
    let time = Field::new(EVENT_TIME, DataType::Timestamp(TimeUnit::Microsecond, None), false);
    Arc::new(Schema::new(
        columns.fields().iter().map(|field| field.as_ref().clone()).chain([time]).collect::<Vec<_>>(),
    ))
}

/// The columns of a table's changes: with [`EVENT_TIME`], [`ROW_ID`] and [`WEIGHT`] behind them.
pub fn changed(columns: &Schema) -> SchemaRef {
    let hidden = [ROW_ID, WEIGHT].map(|name| Field::new(name, DataType::Int64, false));
    let fields = stamped(columns);
    Arc::new(Schema::new(
        fields.fields().iter().map(|field| field.as_ref().clone()).chain(hidden).collect::<Vec<_>>(),
    ))
}

/// The columns of a log of changes: with [`EVENT_TIME`] and [`WEIGHT`] behind them.
pub fn logged(columns: &Schema) -> SchemaRef {
    let fields = stamped(columns);
    let weight = Field::new(WEIGHT, DataType::Int64, false);
    Arc::new(Schema::new(
        fields.fields().iter().map(|field| field.as_ref().clone()).chain([weight]).collect::<Vec<_>>(),
    ))
}

/// Rows of a generator: its columns, and when each happened.
pub(crate) fn generated(
    schema: &SchemaRef,
    mut columns: Vec<ArrayRef>,
    times: Vec<i64>,
) -> Result<RecordBatch, Error> {
    columns.push(Arc::new(TimestampMicrosecondArray::from(times)));
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
