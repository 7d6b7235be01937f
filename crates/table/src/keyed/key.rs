//! What makes two rows of a table the same: the values of its key, where NULL equals NULL.

use std::hash::BuildHasher;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::record_batch::RecordBatch;
use arrow::row::{Row, RowConverter, Rows, SortField};
use cenote_catalog::TableDef;
use cenote_datafile::{arrow_type, integers};
use cenote_vocab::{Field, FieldId};
use hashbrown::{DefaultHashBuilder, HashSet, HashTable};

use super::zones::Zones;
use crate::{Dedup, Error, Predicate};

/// The columns by which rows of a table replace each other: its primary key, else its tags and its time column.
#[derive(Debug)]
pub struct RowKey {
    fields: Vec<Field>,
    /// Their places among the table's columns.
    places: Vec<usize>,
    /// The table's time among the fields.
    time: Option<usize>,
    converter: RowConverter,
}

impl RowKey {
    /// The key of a table whose rows replace each other; `None` if they do not: option `dedup` is off, or nothing is a key.
    pub fn of_dedup(table: &TableDef) -> Result<Option<Self>, Error> {
        match Dedup::of(table)? {
            Dedup::None => Ok(None),
            Dedup::Last => Self::of(table),
        }
    }

    /// The table's primary key; `None` if it has none.
    pub(crate) fn primary(table: &TableDef) -> Result<Option<Self>, Error> {
        Self::with(table, &table.key_fields)
    }

    /// What tells the rows of a table apart, whether or not they replace each other; `None` if nothing does.
    pub fn of(table: &TableDef) -> Result<Option<Self>, Error> {
        Self::with(table, &key_fields(table))
    }

    fn with(table: &TableDef, ids: &[FieldId]) -> Result<Option<Self>, Error> {
        let columns = table.schema.fields.iter().enumerate();
        let columns = |id: &FieldId| columns.clone().find(|(_, field)| field.id == *id);
        let (places, fields): (Vec<usize>, Vec<Field>) =
            ids.iter().filter_map(columns).map(|(place, field)| (place, field.clone())).unzip();
        if fields.is_empty() {
            return Ok(None);
        }
        let types = fields.iter().map(|field| SortField::new(arrow_type(&field.field_type)));
        let converter = RowConverter::new(types.collect())?;
        let time = fields.iter().position(|field| table.time_field == Some(field.id));
        Ok(Some(Self { fields, places, time, converter }))
    }

    /// The columns, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The key's columns of a batch of all of the table's columns.
    pub fn columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.places.iter().map(|place| batch.column(*place).clone()).collect()
    }

    /// Their places among the table's columns, in order.
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// The keys of rows, by the key's columns; keys of all calls compare with each other.
    pub fn rows(&self, columns: &[ArrayRef]) -> Result<Rows, Error> {
        Ok(self.converter.convert_columns(columns)?)
    }

    /// Which rows no later one replaces, by the key's columns of parts in order of arrival.
    pub fn newest(&self, parts: &[Vec<ArrayRef>]) -> Result<Vec<BooleanArray>, Error> {
        let numbers = self.leading(parts).map(|(_, numbers)| numbers);
        match numbers.filter(|numbers| ascend(numbers, |a, b| a <= b)) {
            Some(numbers) if ascend(&numbers, |a, b| a < b) => {
                Ok(numbers.iter().map(|part| BooleanArray::from(vec![true; part.len()])).collect())
            }
            numbers => {
                let rows = parts.iter().map(|part| self.rows(part)).collect::<Result<Vec<_>, _>>()?;
                Ok(newest(&rows, numbers.as_deref()))
            }
        }
    }

    /// The numbers that tell most about where in a table rows lie, and their place among the key's columns: the time, else the
    /// first column of numbers. `None` if there is none without NULL.
    pub(super) fn leading(&self, parts: &[Vec<ArrayRef>]) -> Option<(usize, Vec<Vec<i128>>)> {
        let numbers = |at: usize| parts.iter().map(|part| integers(&part[at])).collect::<Option<_>>();
        self.time.into_iter().chain(0..self.fields.len()).find_map(|at| Some((at, numbers(at)?)))
    }

    /// Holds for every row with one of these keys, and rules out as many files as is cheap.
    pub fn predicate(&self, table: &TableDef, parts: &[Vec<ArrayRef>]) -> Result<Predicate, Error> {
        Ok(Zones::of(table, self, parts)?.predicate(self))
    }
}

/// True if each number and the one after it are so, through all parts.
fn ascend(parts: &[Vec<i128>], so: impl Fn(i128, i128) -> bool) -> bool {
    parts.iter().flatten().is_sorted_by(|before, after| so(**before, **after))
}

/// Which rows no later one replaces; `parts` are in order of arrival. Rows with different `numbers`, which do not descend, have
/// different keys: those that came in order of time, as most do, are compared with their contemporaries only.
fn newest(parts: &[Rows], numbers: Option<&[Vec<i128>]>) -> Vec<BooleanArray> {
    let rows = parts.iter().map(Rows::num_rows).sum();
    let mut seen: HashSet<Row<'_>> =
        if numbers.is_none() { HashSet::with_capacity(rows) } else { HashSet::new() };
    let mut contemporary = None;
    let mut kept = Vec::with_capacity(parts.len());
    for (part, rows) in parts.iter().enumerate().rev() {
        let mut of_part = vec![false; rows.num_rows()];
        for at in (0..rows.num_rows()).rev() {
            let number = numbers.map(|numbers| numbers[part][at]);
            if contemporary != number {
                contemporary = number;
                seen.clear();
            }
            of_part[at] = seen.insert(rows.row(at));
        }
        kept.push(BooleanArray::from(of_part));
    }
    kept.reverse();
    kept
}

/// Keys of some rows.
#[derive(Debug)]
pub struct KeySet {
    parts: Vec<Rows>,
    /// Part and row of each.
    places: HashTable<(usize, usize)>,
    hasher: DefaultHashBuilder,
}

impl KeySet {
    /// The keys of all rows of all parts.
    pub fn new(parts: Vec<Rows>) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut places = HashTable::with_capacity(parts.iter().map(Rows::num_rows).sum());
        let hash = |(part, at): &(usize, usize)| hasher.hash_one(parts[*part].row(*at));
        for (part, rows) in parts.iter().enumerate() {
            for (at, row) in rows.iter().enumerate() {
                let same = |(part, at): &(usize, usize)| parts[*part].row(*at) == row;
                places.entry(hasher.hash_one(row), same, hash).or_insert((part, at));
            }
        }
        Self { parts, places, hasher }
    }

    /// Which of the rows have one of these keys; both are of the same [`RowKey`].
    pub fn contains(&self, rows: &Rows) -> BooleanArray {
        let holds = |row: Row<'_>| {
            let same = |(part, at): &(usize, usize)| self.parts[*part].row(*at) == row;
            self.places.find(self.hasher.hash_one(row), same).is_some()
        };
        rows.iter().map(|row| Some(holds(row))).collect()
    }
}

/// `NoKey` if rows of the table are to replace each other and nothing says which.
pub fn check_dedup(table: &TableDef) -> Result<(), Error> {
    if Dedup::of(table)? == Dedup::Last && key_fields(table).is_empty() {
        return Err(Error::NoKey(table.full_name()));
    }
    if Dedup::of(table)? == Dedup::Last && table.append_only() {
        return Err(Error::Option {
            owner: format!("table {}", table.full_name()),
            option: "dedup".to_owned(),
            value: "last".to_owned(),
            rule: "rows of a table that is append_only do not replace each other",
        });
    }
    Ok(())
}

/// Ids of the key's columns; none: there is no key. Tags alone are none: without a time each series would be one row.
fn key_fields(table: &TableDef) -> Vec<FieldId> {
    if !table.key_fields.is_empty() {
        return table.key_fields.clone();
    }
    match table.time_column() {
        Some(time) => table.tags().map(|tag| tag.id).filter(|tag| *tag != time.id).chain([time.id]).collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn the_last_row_of_a_key_stays_and_null_equals_null() {
        let types = vec![SortField::new(DataType::Utf8), SortField::new(DataType::Int32)];
        let converter = RowConverter::new(types).expect("types");
        let rows = |tags: Vec<Option<&str>>, times: Vec<i32>| {
            let columns: [ArrayRef; 2] =
                [Arc::new(StringArray::from(tags)), Arc::new(Int32Array::from(times))];
            converter.convert_columns(&columns).expect("rows")
        };
        let parts = [
            rows(vec![Some("a"), None, Some("a"), Some("")], vec![1, 1, 1, 1]),
            rows(vec![None, Some("b")], vec![1, 1]),
        ];
        for numbers in [None, Some([vec![1; 4], vec![1; 2]])] {
            let kept = newest(&parts, numbers.as_ref().map(<[_; 2]>::as_slice));
            assert_eq!(kept[0], BooleanArray::from(vec![false, false, true, true]));
            assert_eq!(kept[1], BooleanArray::from(vec![true, true]));
        }
        let [older, newer] = parts;
        assert_eq!(
            KeySet::new(vec![newer]).contains(&older),
            BooleanArray::from(vec![false, true, false, false])
        );
    }
}
