//! What makes two rows of a table the same: the values of its key, where NULL equals NULL.

use std::collections::HashSet;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::record_batch::RecordBatch;
use arrow::row::{Row, RowConverter, Rows, SortField};
use cenote_catalog::TableDef;
use cenote_datafile::arrow_type;
use cenote_vocab::{Field, FieldId};

use super::zones::Zones;
use crate::{Dedup, Error, Predicate};

/// The columns by which rows of a table replace each other: its primary key, else its tags and its time column.
#[derive(Debug)]
pub struct RowKey {
    fields: Vec<Field>,
    /// Their places among the table's columns.
    places: Vec<usize>,
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
        Ok(Some(Self { fields, places, converter }))
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

    /// Holds for every row with one of these keys, and rules out as many files as is cheap.
    pub fn predicate(&self, table: &TableDef, parts: &[Vec<ArrayRef>]) -> Result<Predicate, Error> {
        Ok(Zones::of(table, self, parts)?.predicate(self))
    }
}

/// Which rows no later one replaces; `parts` are in order of arrival.
pub fn newest(parts: &[Rows]) -> Vec<BooleanArray> {
    let mut seen: HashSet<Row<'_>> = HashSet::with_capacity(parts.iter().map(Rows::num_rows).sum());
    let mut kept = Vec::with_capacity(parts.len());
    for rows in parts.iter().rev() {
        let mut of_part = vec![false; rows.num_rows()];
        for at in (0..rows.num_rows()).rev() {
            of_part[at] = seen.insert(rows.row(at));
        }
        kept.push(BooleanArray::from(of_part));
    }
    kept.reverse();
    kept
}

/// Keys of some rows.
#[derive(Debug, Default)]
pub struct KeySet(HashSet<Box<[u8]>>);

impl KeySet {
    /// The keys of all rows of all parts.
    pub fn new(parts: &[Rows]) -> Self {
        Self(parts.iter().flat_map(Rows::iter).map(|row| row.data().into()).collect())
    }

    /// Which of the rows have one of these keys; both are of the same [`RowKey`].
    pub fn contains(&self, rows: &Rows) -> BooleanArray {
        rows.iter().map(|row| Some(self.0.contains(row.data()))).collect()
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
        let kept = newest(&parts);
        assert_eq!(kept[0], BooleanArray::from(vec![false, false, true, true]));
        assert_eq!(kept[1], BooleanArray::from(vec![true, true]));
        let newer = KeySet::new(&parts[1..]);
        assert_eq!(newer.contains(&parts[0]), BooleanArray::from(vec![false, true, false, false]));
    }
}
