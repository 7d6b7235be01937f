//! Rows with counts: what updating operators hold, and what an epoch changes of it. Pure.
//!
//! A row is bytes in Arrow's row format, which begin with those of its first columns: where the key stands first, all rows of
//! a key are one range. A change is rows too, each with how many come (above 0) or go (below): what is held is the sum of all
//! changes, in whatever order they are added up. What there is no memory for is in files ([`Spilled`]), and is added up with the rest.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::row::{RowConverter, SortField};
use cenote_connect::WEIGHT;
use datafusion::execution::DiskManager;

use crate::Error;
use crate::spilled::{Merged, Spilled};

/// Memory of a row beside its bytes, about.
const ROW_BYTES: u64 = 48;

/// The columns with [`WEIGHT`] behind them.
pub(crate) fn weighted(columns: &Schema) -> SchemaRef {
    let weight = Field::new(WEIGHT, DataType::Int64, false);
    let fields = columns.fields().iter().map(|field| field.as_ref().clone()).chain([weight]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows as bytes and back.
pub(crate) struct Layout {
    schema: SchemaRef,
    rows: Converter,
    keys: Converter,
    key_columns: usize,
}

/// Of no columns all rows are the same.
type Converter = Option<RowConverter>;

/// A change: each row with a count that is not 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta(BTreeMap<Box<[u8]>, i64>);

/// Rows that are there, each with how often.
#[derive(Debug, Default)]
pub(crate) struct Multiset {
    /// All of them, or how they differ from those that are on disk.
    rows: BTreeMap<Box<[u8]>, i64>,
    bytes: u64,
    spilled: Option<Spilled>,
}

/// A row that is held, and how often.
pub(crate) type HeldRow<'a> = (Cow<'a, [u8]>, i64);

impl Layout {
    /// Of rows with these columns, the first of which are the key. `Unsupported` for a type that has no order of bytes.
    pub(crate) fn new(schema: SchemaRef, key_columns: usize) -> Result<Self, Error> {
        let fields: Vec<SortField> =
            schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        if !RowConverter::supports_fields(&fields) {
            let types = schema.fields().iter().map(|field| field.data_type().to_string());
            let types = types.collect::<Vec<_>>().join(", ");
            return Err(Error::Unsupported(format!("state of the types {types} in a pipeline")));
        }
        let converter = |fields: &[SortField]| match fields {
            [] => Ok(None),
            fields => RowConverter::new(fields.to_vec()).map(Some),
        };
        Ok(Self { rows: converter(&fields)?, keys: converter(&fields[..key_columns])?, schema, key_columns })
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Batches of these columns and their weights, added up.
    pub(crate) fn weighted_delta(&self, batches: &[RecordBatch]) -> Result<Delta, Error> {
        let mut delta = Delta::default();
        for batch in batches {
            let weights = batch.columns().last().and_then(|column| column.as_primitive_opt::<Int64Type>());
            let Some(weights) = weights else {
                return Err(Error::Invalid("rows without a weight".to_owned()));
            };
            self.add(&mut delta, batch, |at| weights.value(at))?;
        }
        Ok(delta)
    }

    /// Batches of these columns, each row once.
    pub(crate) fn delta(&self, batches: &[RecordBatch]) -> Result<Delta, Error> {
        let mut delta = Delta::default();
        for batch in batches {
            self.add(&mut delta, batch, |_| 1)?;
        }
        Ok(delta)
    }

    fn add(
        &self,
        delta: &mut Delta,
        batch: &RecordBatch,
        weight: impl Fn(usize) -> i64,
    ) -> Result<(), Error> {
        let Some(converter) = &self.rows else {
            (0..batch.num_rows()).for_each(|at| delta.add(&[], weight(at)));
            return Ok(());
        };
        let rows = converter.convert_columns(&batch.columns()[..self.schema.fields().len()])?;
        for (at, row) in rows.iter().enumerate() {
            delta.add(row.data(), weight(at));
        }
        Ok(())
    }

    /// The rows as a batch.
    pub(crate) fn batch<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<RecordBatch, Error> {
        let rows: Vec<&[u8]> = rows.into_iter().collect();
        let columns = self.columns(&rows)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// A change as a batch, with [`WEIGHT`]; what goes stands before what comes.
    pub(crate) fn weighted_batch(&self, delta: &Delta) -> Result<RecordBatch, Error> {
        let (gone, come): (Vec<_>, Vec<_>) = delta.iter().partition(|(_, weight)| *weight < 0);
        let (rows, weights): (Vec<&[u8]>, Vec<i64>) = gone.into_iter().chain(come).unzip();
        let mut columns = self.columns(&rows)?;
        columns.push(Arc::new(Int64Array::from(weights)));
        Ok(RecordBatch::try_new(weighted(&self.schema), columns)?)
    }

    fn columns(&self, rows: &[&[u8]]) -> Result<Vec<ArrayRef>, Error> {
        let Some(converter) = &self.rows else { return Ok(Vec::new()) };
        let parser = converter.parser();
        Ok(converter.convert_rows(rows.iter().map(|row| parser.parse(row)))?)
    }

    /// The columns of the key.
    pub(crate) fn key_fields(&self) -> &[Arc<Field>] {
        &self.schema.fields()[..self.key_columns]
    }

    /// The keys of rows, one for each.
    pub(crate) fn keys_of(&self, rows: &RecordBatch) -> Result<Vec<Box<[u8]>>, Error> {
        let Some(converter) = &self.keys else { return Ok(vec![Box::default(); rows.num_rows()]) };
        let keys = converter.convert_columns(&rows.columns()[..self.key_columns])?;
        Ok(keys.iter().map(|key| key.data().into()).collect())
    }

    /// Keys as columns.
    pub(crate) fn columns_of_keys<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>, Error> {
        let Some(converter) = &self.keys else { return Ok(Vec::new()) };
        let parser = converter.parser();
        Ok(converter.convert_rows(keys.into_iter().map(|key| parser.parse(key)))?)
    }

    /// The keys of the rows of a change, each once and in order: the same as [`Layout::keys`], from the batches that it was made of.
    pub(crate) fn touched(&self, batches: &[RecordBatch], delta: &Delta) -> Result<Vec<Box<[u8]>>, Error> {
        let mut keys = BTreeSet::new();
        for batch in batches {
            keys.extend(self.keys_of(batch)?);
        }
        Ok(keys.into_iter().filter(|key| delta.of_key(key).next().is_some()).collect())
    }

    /// The keys of the rows of a change, each once and in order.
    pub(crate) fn keys(&self, delta: &Delta) -> Result<Vec<Box<[u8]>>, Error> {
        if delta.is_empty() {
            return Ok(Vec::new());
        }
        let Some(converter) = &self.keys else { return Ok(vec![Box::default()]) };
        let rows = self.batch(delta.iter().map(|(row, _)| row))?;
        let keys = converter.convert_columns(&rows.columns()[..self.key_columns])?;
        let mut keys: Vec<Box<[u8]>> = keys.iter().map(|key| key.data().into()).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}

impl Delta {
    /// Adds `weight` of a row; what adds up to nothing is not there.
    pub(crate) fn add(&mut self, row: &[u8], weight: i64) {
        add(&mut self.0, row, weight);
    }

    /// Bytes of its rows.
    pub(crate) fn bytes(&self) -> u64 {
        self.iter().map(|(row, _)| row.len() as u64).sum()
    }

    /// Takes all rows away that are held of a key.
    pub(crate) fn leave(&mut self, held: &Multiset, key: &[u8]) -> Result<(), Error> {
        held.of_key(key)?.iter().for_each(|(row, weight)| self.add(row, -weight));
        Ok(())
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(row, weight)| self.add(row, weight));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], i64)> {
        self.0.iter().map(|(row, weight)| (row.as_ref(), *weight))
    }

    /// How many of a row come, or go.
    pub(crate) fn weight(&self, row: &[u8]) -> i64 {
        self.0.get(row).copied().unwrap_or(0)
    }

    /// The rows of a key.
    pub(crate) fn of_key(&self, key: &[u8]) -> impl Iterator<Item = (&[u8], i64)> {
        of_key(&self.0, key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Rows that it names.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Multiset {
    /// The rows of a key in order, with how often they are there.
    pub(crate) fn of_key(&self, key: &[u8]) -> Result<Vec<HeldRow<'_>>, Error> {
        let mut rows = Vec::new();
        for row in self.from(key)? {
            let row = row?;
            if !row.0.starts_with(key) {
                break;
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// The rows of a key as they will be.
    pub(crate) fn of_key_with(&self, key: &[u8], delta: &Delta) -> Result<BTreeMap<Box<[u8]>, i64>, Error> {
        let held = self.of_key(key)?;
        let mut rows: BTreeMap<Box<[u8]>, i64> =
            held.into_iter().map(|(row, weight)| (row.into(), weight)).collect();
        delta.of_key(key).for_each(|(row, weight)| add(&mut rows, row, weight));
        Ok(rows)
    }

    /// Becomes what it is after a change.
    pub(crate) fn apply(&mut self, delta: &Delta) {
        for (row, weight) in delta.iter() {
            let before = self.rows.len();
            add(&mut self.rows, row, weight);
            let bytes = row.len() as u64 + ROW_BYTES;
            match self.rows.len().cmp(&before) {
                std::cmp::Ordering::Greater => self.bytes += bytes,
                std::cmp::Ordering::Less => self.bytes -= bytes,
                std::cmp::Ordering::Equal => {}
            }
        }
    }

    /// Moves what is in memory to disk; it holds the same rows afterwards, also if that fails.
    pub(crate) fn spill(&mut self, disk: &Arc<DiskManager>) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let spilled = self.spilled.get_or_insert_with(|| Spilled::new(disk.clone()));
        spilled.add(self.rows.iter().map(|(row, weight)| (row.as_ref(), *weight)))?;
        (self.rows, self.bytes) = (BTreeMap::new(), 0);
        spilled.tidy()
    }

    /// Different rows in order, from the first on that is not before these bytes.
    pub(crate) fn from(&self, bytes: &[u8]) -> Result<Rows<'_>, Error> {
        let from = (std::ops::Bound::Included(bytes), std::ops::Bound::Unbounded);
        let spilled = match &self.spilled {
            Some(spilled) => Some(spilled.from(bytes)?.peekable()),
            None => None,
        };
        Ok(Rows { memory: self.rows.range::<[u8], _>(from).peekable(), spilled })
    }

    /// True if a row is there.
    pub(crate) fn contains(&self, row: &[u8]) -> Result<bool, Error> {
        Ok(self.weight(row)? != 0)
    }

    /// How often a row is there.
    pub(crate) fn weight(&self, row: &[u8]) -> Result<i64, Error> {
        if self.spilled.is_none() {
            return Ok(self.rows.get(row).copied().unwrap_or(0));
        }
        let first = self.from(row)?.next().transpose()?;
        Ok(first.filter(|(first, _)| **first == *row).map_or(0, |(_, weight)| weight))
    }

    /// Different rows; of those on disk some may be counted more than once.
    pub(crate) fn len(&self) -> usize {
        let spilled = self.spilled.as_ref().map_or(0, Spilled::rows);
        self.rows.len() + usize::try_from(spilled).unwrap_or(usize::MAX)
    }

    /// Memory, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes + self.spilled.as_ref().map_or(0, Spilled::memory)
    }

    /// Bytes of files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.spilled.as_ref().map_or(0, Spilled::disk_bytes)
    }

    /// The memory that it takes after a change, at most about.
    pub(crate) fn bytes_with(&self, delta: &Delta) -> u64 {
        let added = delta.iter().filter(|(row, _)| !self.rows.contains_key(*row));
        self.bytes() + added.map(|(row, _)| row.len() as u64 + ROW_BYTES).sum::<u64>()
    }
}

/// Rows that are held, in order.
pub(crate) struct Rows<'a> {
    memory: Peekable<std::collections::btree_map::Range<'a, Box<[u8]>, i64>>,
    spilled: Option<Peekable<Merged<'a>>>,
}

impl<'a> Rows<'a> {
    fn in_memory(&mut self) -> Option<HeldRow<'a>> {
        self.memory.next().map(|(row, weight)| (Cow::Borrowed(row.as_ref()), *weight))
    }

    fn next_row(&mut self) -> Result<Option<HeldRow<'a>>, Error> {
        loop {
            let Some(spilled) = &mut self.spilled else { return Ok(self.in_memory()) };
            let order = match (self.memory.peek(), spilled.peek()) {
                (_, Some(Err(_))) | (None, _) => std::cmp::Ordering::Greater,
                (Some(_), None) => std::cmp::Ordering::Less,
                (Some((row, _)), Some(Ok((other, _)))) => row.as_ref().cmp(other.as_ref()),
            };
            if order.is_lt() {
                return Ok(self.in_memory());
            }
            let Some((row, weight)) = spilled.next().transpose()? else { return Ok(None) };
            let more = if order.is_eq() { self.memory.next().map_or(0, |(_, weight)| *weight) } else { 0 };
            if weight + more != 0 {
                return Ok(Some((Cow::Owned(row.into_vec()), weight + more)));
            }
        }
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<HeldRow<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}

fn add(rows: &mut BTreeMap<Box<[u8]>, i64>, row: &[u8], weight: i64) {
    if weight == 0 {
        return;
    }
    match rows.entry(row.into()) {
        Entry::Vacant(entry) => {
            entry.insert(weight);
        }
        Entry::Occupied(mut entry) => {
            *entry.get_mut() += weight;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// Rows that begin with the bytes of a key: encodings of columns tell where they end, so no other row does.
fn of_key<'a>(
    rows: &'a BTreeMap<Box<[u8]>, i64>,
    key: &[u8],
) -> impl Iterator<Item = (&'a [u8], i64)> + use<'a> {
    let key: Box<[u8]> = key.into();
    rows.range::<[u8], _>((std::ops::Bound::Included(key.as_ref()), std::ops::Bound::Unbounded))
        .take_while(move |(row, _)| row.starts_with(&key))
        .map(|(row, weight)| (row.as_ref(), *weight))
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    fn layout() -> Layout {
        let columns = [Field::new("k", DataType::Utf8, true), Field::new("v", DataType::Int64, true)];
        Layout::new(Arc::new(Schema::new(columns.to_vec())), 1).expect("bytes")
    }

    fn batch(layout: &Layout, rows: &[(Option<&str>, i64, i64)]) -> RecordBatch {
        let keys: StringArray = rows.iter().map(|(key, ..)| *key).collect();
        let values = Int64Array::from_iter_values(rows.iter().map(|(_, value, _)| *value));
        let weights = Int64Array::from_iter_values(rows.iter().map(|(.., weight)| *weight));
        let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values), Arc::new(weights)];
        RecordBatch::try_new(weighted(layout.schema()), columns).expect("a batch")
    }

    #[test]
    fn rows_of_a_key_are_found_whatever_their_neighbours_begin_with() {
        let layout = layout();
        let rows = [(Some("a"), 1, 1), (Some("ab"), 2, 1), (Some(""), 3, 1), (None, 4, 2), (Some("a"), 0, 1)];
        let delta = layout.weighted_delta(&[batch(&layout, &rows)]).expect("rows");
        let mut held = Multiset::default();
        held.apply(&delta);
        let mut counts = Vec::new();
        for key in layout.keys(&delta).expect("keys") {
            let found = held.of_key(&key).expect("in memory");
            let of_key = layout.batch(found.iter().map(|(row, _)| row.as_ref())).expect("rows");
            let keys: BTreeSet<Option<&str>> = of_key.column(0).as_string::<i32>().iter().collect();
            assert_eq!(keys.len(), 1, "one key");
            counts.push(found.len());
        }
        assert_eq!(counts, [1, 1, 2, 1]);
        let nothing = batch(&layout, &[(Some("b"), 1, 1), (Some("b"), 1, -1)]);
        let touched = layout.touched(&[batch(&layout, &rows), nothing], &delta).expect("keys");
        assert_eq!(touched, layout.keys(&delta).expect("keys"));
    }

    #[test]
    fn what_comes_and_goes_is_nothing_and_the_sum_of_changes_is_what_is_held() {
        let layout = layout();
        let first = [(Some("a"), 1, 1), (Some("a"), 1, 1), (Some("b"), 2, 1)];
        let second = [(Some("b"), 2, -1), (Some("c"), 3, 1), (Some("c"), 3, -1)];
        let mut held = Multiset::default();
        for rows in [&first[..], &second] {
            held.apply(&layout.weighted_delta(&[batch(&layout, rows)]).expect("rows"));
        }
        assert_eq!(held.len(), 1);
        let whole = |held: &Multiset| {
            let mut whole = Delta::default();
            for row in held.from(&[]).expect("in memory") {
                let (row, weight) = row.expect("a row");
                whole.add(&row, weight);
            }
            whole
        };
        let rows = layout.weighted_batch(&whole(&held)).expect("a batch");
        assert_eq!(rows, batch(&layout, &[(Some("a"), 1, 2)]));
        let again = layout.weighted_delta(&[rows]).expect("rows");
        assert_eq!(again, whole(&held));
        let mut gone = Delta::default();
        again.iter().for_each(|(row, weight)| gone.add(row, -weight));
        held.apply(&gone);
        assert_eq!((held.len(), held.bytes()), (0, 0));
    }

    #[test]
    fn what_is_on_disk_and_what_is_not_are_one_table() {
        let layout = layout();
        let disk = datafusion::execution::disk_manager::DiskManagerBuilder::default().build();
        let disk = Arc::new(disk.expect("a directory"));
        let (mut held, mut plain) = (Multiset::default(), Multiset::default());
        let text = |number: i64| format!("k{:03}", number * 37 % 200);
        for round in 0..12_i64 {
            let texts: Vec<String> = (0..60).map(|at| text(round * 11 + at)).collect();
            let rows: Vec<(Option<&str>, i64, i64)> =
                texts.iter().map(|key| (Some(key.as_str()), round % 2, 1 - 2 * (round % 3 / 2))).collect();
            let delta = layout.weighted_delta(&[batch(&layout, &rows)]).expect("rows");
            held.apply(&delta);
            plain.apply(&delta);
            if round % 3 == 1 {
                held.spill(&disk).expect("there is room");
                assert!(held.bytes < plain.bytes && held.disk_bytes() > 0);
            }
            let all = |held: &Multiset| -> Vec<(Vec<u8>, i64)> {
                let rows = held.from(&[]).expect("read");
                rows.map(|row| row.map(|(row, weight)| (row.into_owned(), weight)).expect("a row")).collect()
            };
            assert_eq!(all(&held), all(&plain), "round {round}");
            for key in layout.keys(&delta).expect("keys") {
                assert_eq!(held.of_key(&key).expect("read"), plain.of_key(&key).expect("read"));
                let nothing = Delta::default();
                for row in held.of_key_with(&key, &nothing).expect("read").keys() {
                    assert!(held.contains(row).expect("read"));
                }
            }
            for (row, _) in delta.iter() {
                assert_eq!(held.contains(row).expect("read"), plain.contains(row).expect("in memory"));
            }
        }
    }

    #[test]
    fn without_columns_only_the_count_matters() {
        let layout = Layout::new(Arc::new(Schema::empty()), 0).expect("bytes");
        let weights: ArrayRef = Arc::new(Int64Array::from(vec![2, -1]));
        let batch = RecordBatch::try_new(weighted(layout.schema()), vec![weights]).expect("a batch");
        let delta = layout.weighted_delta(&[batch]).expect("rows");
        assert_eq!(delta.iter().collect::<Vec<_>>(), [(&[][..], 1)]);
        assert_eq!(layout.keys(&delta).expect("one").len(), 1);
    }
}
