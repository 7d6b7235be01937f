//! Where in a table the rows with some keys can lie: by ranges of the key's columns, and by partition.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use arrow::array::{Array, ArrayRef};
use arrow::compute::{concat, sort_to_indices, take};
use arrow::row::{Row, RowConverter, SortField};
use cenote_catalog::{ColumnRange, NewFile, PartitionKey, Region, TableDef, Zone};
use cenote_datafile::{Value, min_max};
use cenote_vocab::{FieldType, Transform, Tuple};
use hashbrown::HashSet;

use super::RowKey;
use crate::transform::{Part, partition_value};
use crate::{Comparison, Error, Predicate};

/// Ranges of the key's columns; some old rows among new ones must not make candidates of all files between.
const ZONES_MAX: usize = 16;

/// The rows of a key lie in one of the zones.
#[derive(Debug)]
pub(super) struct Zones {
    zones: Vec<Vec<ColumnRange>>,
    /// The spec, and its partitions that the keys alone decide on; `None`: any.
    partitions: Option<(i32, BTreeSet<Tuple>)>,
}

impl Zones {
    /// By the key's columns of rows in several parts.
    pub(super) fn of(table: &TableDef, key: &RowKey, parts: &[Vec<ArrayRef>]) -> Result<Self, Error> {
        if parts.is_empty() {
            return Ok(Self { zones: Vec::new(), partitions: None });
        }
        let column = |at: usize| {
            let parts: Vec<&dyn Array> = parts.iter().map(|part| part[at].as_ref()).collect();
            Ok(concat(&parts)?)
        };
        let columns = (0..key.fields().len()).map(column).collect::<Result<Vec<_>, Error>>()?;
        Ok(Self { partitions: partitions(table, key, &columns)?, zones: zones(key, columns)? })
    }

    /// Holds for every row with one of the keys.
    pub(super) fn predicate(&self, key: &RowKey) -> Predicate {
        let compare = |range: &ColumnRange, comparison, value: &Option<Value>| {
            let compare = |value: Value| Predicate::Compare { field: range.field, comparison, value };
            value.clone().map(compare)
        };
        let zone = |ranges: &Vec<ColumnRange>| {
            let mut all = Vec::with_capacity(2 * key.fields().len());
            for range in ranges {
                if range.min == range.max {
                    all.extend(compare(range, Comparison::Equal, &range.min));
                } else {
                    all.extend(compare(range, Comparison::GreaterOrEqual, &range.min));
                    all.extend(compare(range, Comparison::LessOrEqual, &range.max));
                }
            }
            Predicate::And(all)
        };
        Predicate::Or(self.zones.iter().map(zone).collect())
    }

    /// The same for the committer.
    pub(super) fn region(&self) -> Region {
        let partitions: BTreeSet<PartitionKey> = match &self.partitions {
            Some((spec_no, tuples)) => tuples.iter().map(|tuple| PartitionKey::of(*spec_no, tuple)).collect(),
            None => BTreeSet::new(),
        };
        let zone =
            |columns: &Vec<ColumnRange>| Zone { columns: columns.clone(), partitions: partitions.clone() };
        Region(self.zones.iter().map(zone).collect())
    }

    /// False only if the file's partition proves that it has none of the keys.
    pub(super) fn may_hold_partition(&self, file: &NewFile) -> bool {
        match &self.partitions {
            Some((spec_no, tuples)) if *spec_no == file.spec_no => tuples.contains(&file.partition),
            _ => true,
        }
    }

    /// False only if known bounds of some columns of some rows prove that none has one of the keys.
    pub(super) fn may_hold(&self, bounds: impl Fn(&ColumnRange) -> Option<(Value, Value)>) -> bool {
        let touches = |range: &ColumnRange| {
            bounds(range).is_none_or(|(min, max)| {
                range.min.as_ref().is_none_or(|low| *low <= max)
                    && range.max.as_ref().is_none_or(|high| min <= *high)
            })
        };
        self.zones.iter().any(|zone| zone.iter().all(touches))
    }
}

/// Rows apart by the widest gaps of a number among the key's columns: the time, if it is there.
fn zones(key: &RowKey, columns: Vec<ArrayRef>) -> Result<Vec<Vec<ColumnRange>>, Error> {
    let parts = [columns];
    let leading = key.leading(&parts);
    let [mut columns] = parts;
    let Some((leading, numbers)) = leading.filter(|_| !columns[0].is_empty()) else {
        return Ok(vec![ranges(key, &columns)]);
    };
    let mut numbers = numbers.concat();
    if !numbers.is_sorted() {
        let order = sort_to_indices(&columns[leading], None, None)?;
        columns = columns.iter().map(|column| take(column, &order, None)).collect::<Result<Vec<_>, _>>()?;
        numbers.sort_unstable();
    }
    let mut starts = vec![0];
    starts.extend(after_gaps(&numbers));
    let ends = starts.iter().skip(1).copied().chain([numbers.len()]);
    let zone = |(start, end): (&usize, usize)| {
        let slices: Vec<_> = columns.iter().map(|column| column.slice(*start, end - start)).collect();
        ranges(key, &slices)
    };
    Ok(starts.iter().zip(ends).map(zone).collect())
}

/// The places, ascending, before which the ordered numbers leave the widest gaps; of equal gaps the first ones.
fn after_gaps(numbers: &[i128]) -> Vec<usize> {
    let mut widest: BinaryHeap<Reverse<(i128, Reverse<usize>)>> = BinaryHeap::with_capacity(ZONES_MAX);
    for (at, pair) in numbers.windows(2).enumerate() {
        let gap = pair[1] - pair[0];
        let narrowest = widest.peek().map_or(1, |Reverse((gap, _))| *gap);
        if widest.len() == ZONES_MAX - 1 {
            if gap <= narrowest {
                continue;
            }
            widest.pop();
        }
        if gap > 1 {
            widest.push(Reverse((gap, Reverse(at + 1))));
        }
    }
    let mut places: Vec<usize> = widest.into_iter().map(|Reverse((_, Reverse(at)))| at).collect();
    places.sort_unstable();
    places
}

/// The range of each column of which every row has a value that orders.
fn ranges(key: &RowKey, columns: &[ArrayRef]) -> Vec<ColumnRange> {
    let range = |(field, column): (&cenote_vocab::Field, &ArrayRef)| {
        // NaN lies outside of all bounds
        let float = matches!(field.field_type, FieldType::Float | FieldType::Double);
        let (min, max) = min_max(column).filter(|_| column.null_count() == 0 && !float)?;
        Some(ColumnRange {
            field: field.id,
            field_type: field.field_type.clone(),
            min: Some(min),
            max: Some(max),
        })
    };
    key.fields().iter().zip(columns).filter_map(range).collect()
}

/// The partitions of the keys, where all that decides on the partition is in the key. Periods of time say no more than ranges.
fn partitions(
    table: &TableDef,
    key: &RowKey,
    columns: &[ArrayRef],
) -> Result<Option<(i32, BTreeSet<Tuple>)>, Error> {
    let spec = &table.spec;
    let is_time = |transform| {
        matches!(transform, Transform::Year | Transform::Month | Transform::Day | Transform::Hour)
    };
    if spec.fields.iter().all(|part| is_time(part.transform)) {
        return Ok(None);
    }
    let mut values = Vec::with_capacity(spec.fields.len());
    let mut types = Vec::with_capacity(spec.fields.len());
    for part in &spec.fields {
        let Some(at) = key.fields().iter().position(|field| field.id == part.source) else {
            return Ok(None);
        };
        let part = Part::of(table, part)?;
        types.push(SortField::new(part.data_type()));
        values.push(part.values(&columns[at])?);
    }
    let rows = RowConverter::new(types)?.convert_columns(&values)?;
    let mut seen: HashSet<Row<'_>> = HashSet::new();
    let first = (0..rows.num_rows()).filter(|at| seen.insert(rows.row(*at)));
    let tuple = |at: usize| values.iter().map(|values| partition_value(values, at)).collect();
    Ok(Some((spec.no, first.map(tuple).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_at_their_widest_gaps() {
        assert_eq!(after_gaps(&[1, 2, 3, 900, 901, 5_000]), [3, 5]);
        let even: Vec<i128> = (0..1_000).map(|n| n * 10).collect();
        assert_eq!(after_gaps(&even), (1..ZONES_MAX).collect::<Vec<_>>());
        let wider: Vec<i128> = (0..100).map(|n| n * n).collect();
        assert_eq!(after_gaps(&wider), (101 - ZONES_MAX..100).collect::<Vec<_>>());
    }
}
