//! What a change depends on not being there: rows that it adds because no row of the target matched.
//!
//! Another commit may bring such a row first. So the values by which the new rows were looked for are kept, as a region of
//! the table: files that came since the base and may hold a row in it are a conflict.

use arrow::array::{Array, ArrayRef};
use cenote_catalog::{ColumnRange, ReadSet, Region, Zone};
use cenote_datafile::{Value, value_at};
use cenote_vocab::Field;

/// Rows whose values are kept one by one; of more, only the smallest and largest are.
const ZONES_MAX: usize = 256;

/// Values that new rows were looked for by.
pub(super) struct Reads {
    /// Columns of the target that the source's values are compared with.
    keys: Vec<Field>,
    zones: Vec<Vec<Bounds>>,
    /// True once a row was added.
    added: bool,
}

/// Values of one column; `None`: not limited.
type Bounds = Option<(Value, Value)>;

impl Reads {
    pub(super) fn of(keys: Vec<Field>) -> Self {
        Self { keys, zones: Vec::new(), added: false }
    }

    /// How many columns [`add`](Self::add) takes.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// A row was added. `values`: what it was looked for by, a column for each key.
    pub(super) fn add(&mut self, values: &[ArrayRef], row: usize) {
        self.added = true;
        if self.keys.is_empty() || values.iter().any(|values| values.is_null(row)) {
            return; // without keys it is the whole table; a NULL is equal to nothing
        }
        let zone = values.iter().map(|values| value_at(values, row).map(|value| (value.clone(), value)));
        self.zones.push(zone.collect());
        if self.zones.len() > ZONES_MAX {
            let hull = std::mem::take(&mut self.zones).into_iter().reduce(hull);
            self.zones.extend(hull);
        }
    }

    pub(super) fn into_read_set(self) -> ReadSet {
        if !self.added {
            return ReadSet::None;
        }
        if self.keys.is_empty() {
            return ReadSet::Rows(Region::all());
        }
        let range = |(key, bounds): (&Field, Bounds)| {
            let (min, max) = bounds?;
            Some(ColumnRange {
                field: key.id,
                field_type: key.field_type.clone(),
                min: Some(min),
                max: Some(max),
            })
        };
        let zones = self.zones.into_iter().map(|zone| Zone {
            columns: self.keys.iter().zip(zone).filter_map(range).collect(),
            ..Zone::default()
        });
        ReadSet::Rows(Region(zones.collect()))
    }
}

/// The smallest zone around both.
fn hull(left: Vec<Bounds>, right: Vec<Bounds>) -> Vec<Bounds> {
    let both = left.into_iter().zip(right);
    both.map(|bounds| match bounds {
        (Some((low, high)), Some((other_low, other_high))) => {
            let low = if other_low < low { other_low } else { low };
            let high = if other_high > high { other_high } else { high };
            Some((low, high))
        }
        _ => None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use cenote_vocab::{FieldId, FieldType};

    use super::*;

    fn reads() -> Reads {
        let key = Field::new(FieldId(1), "k", FieldType::Int64);
        Reads::of(vec![key])
    }

    fn ranges(read: ReadSet) -> Vec<(Value, Value)> {
        let ReadSet::Rows(Region(zones)) = read else { panic!("{read:?}") };
        let range = |zone: Zone| {
            let range = zone.columns.into_iter().next().expect("one key");
            (range.min.expect("closed"), range.max.expect("closed"))
        };
        zones.into_iter().map(range).collect()
    }

    #[test]
    fn few_rows_are_points_and_many_are_one_range() {
        let values: ArrayRef =
            Arc::new(Int64Array::from_iter((0..1000).map(|n| (n != 5).then_some(n * 7 % 1000))));
        let mut few = reads();
        (4..7).for_each(|row| few.add(std::slice::from_ref(&values), row));
        let point = |n: i128| (Value::Integer(n), Value::Integer(n));
        assert_eq!(ranges(few.into_read_set()), [point(28), point(42)]);
        let mut many = reads();
        (0..1000).for_each(|row| many.add(std::slice::from_ref(&values), row));
        let many = ranges(many.into_read_set());
        assert!(many.len() <= ZONES_MAX);
        let covered =
            |n: i128| many.iter().any(|(low, high)| *low <= Value::Integer(n) && Value::Integer(n) <= *high);
        assert!((0..1000).filter(|n| *n != 35).all(covered));
    }

    #[test]
    fn nothing_added_reads_nothing_and_no_key_reads_all() {
        assert_eq!(reads().into_read_set(), ReadSet::None);
        let mut unkeyed = Reads::of(Vec::new());
        unkeyed.add(&[], 0);
        assert_eq!(unkeyed.into_read_set(), ReadSet::Rows(Region::all()));
    }
}
