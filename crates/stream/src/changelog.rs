//! The changes of an epoch as sinks outside of the lake are told them.
//!
//! What comes and goes did nothing. Of the rows of one key one goes and one takes its place; without a key all that goes goes
//! before what comes. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use cenote_codec::record::{COMES, GOES, REPLACED, REPLACES};

use crate::Error;
use crate::multiset::Layout;

/// Rows with weights in the columns of `told`, the last of which says what becomes of each. `key`: columns that no two rows have
/// the same values in, if that is known.
pub(crate) fn told(
    rows: &[RecordBatch],
    key: Option<&[usize]>,
    told: &SchemaRef,
) -> Result<RecordBatch, Error> {
    let width = told.fields().len() - 1;
    let layout = Layout::new(Arc::new(told.project(&(0..width).collect::<Vec<_>>())?), 0)?;
    let batch = layout.weighted_batch(&layout.weighted_delta(rows)?)?;
    let weights = batch.column(width).as_primitive::<Int64Type>().values();
    let keys = match key {
        Some(key) => {
            let fields: Vec<_> = key.iter().map(|at| told.field(*at).clone()).collect();
            let keys = Layout::new(Arc::new(arrow::datatypes::Schema::new(fields)), key.len())?;
            Some(keys.keys_of(&batch.project(key)?)?)
        }
        None => None,
    };
    let mut pairs: BTreeMap<&[u8], usize> = BTreeMap::new();
    let goes = |at: usize| weights[at] == -1;
    if let Some(keys) = &keys {
        pairs.extend((0..weights.len()).filter(|at| goes(*at)).map(|at| (keys[at].as_ref(), at)));
    }
    // What goes stands first: rows that come find the one whose place they take.
    let mut replaced = BTreeMap::new();
    if let Some(keys) = &keys {
        for at in (0..weights.len()).filter(|at| weights[*at] == 1) {
            if let Some(before) = pairs.remove(keys[at].as_ref()) {
                replaced.insert(at, before);
            }
        }
    }
    let gone: std::collections::BTreeSet<usize> = replaced.values().copied().collect();
    let (mut places, mut changes): (Vec<u64>, Vec<i64>) = (Vec::new(), Vec::new());
    for (at, weight) in weights.iter().enumerate().filter(|(at, _)| !gone.contains(at)) {
        if let Some(before) = replaced.get(&at) {
            places.extend([*before as u64, at as u64]);
            changes.extend([REPLACED, REPLACES]);
            continue;
        }
        let times = usize::try_from(weight.unsigned_abs()).unwrap_or(0);
        places.extend(std::iter::repeat_n(at as u64, times));
        changes.extend(std::iter::repeat_n(if *weight > 0 { COMES } else { GOES }, times));
    }
    let taken = take_record_batch(&batch, &UInt64Array::from(places))?;
    let mut columns: Vec<ArrayRef> = taken.columns()[..width].to_vec();
    columns.push(Arc::new(Int64Array::from(changes)));
    Ok(RecordBatch::try_new(told.clone(), columns)?)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use cenote_codec::record::changing;

    use super::*;
    use crate::multiset::weighted;

    /// (key, value, weight)
    fn changes(rows: &[(i64, i64, i64)], key: Option<&[usize]>) -> Vec<(i64, i64, i64)> {
        let columns = Schema::new(["k", "v"].map(|name| Field::new(name, DataType::Int64, true)).to_vec());
        let column = |of: fn(&(i64, i64, i64)) -> i64| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<Int64Array>())
        };
        let batch = RecordBatch::try_new(
            weighted(&columns),
            vec![column(|row| row.0), column(|row| row.1), column(|row| row.2)],
        )
        .expect("a batch");
        let told = told(&[batch], key, &Arc::new(changing(&columns))).expect("changes");
        let of = |at: usize| told.column(at).as_primitive::<Int64Type>().values().to_vec();
        let (keys, values, changes) = (of(0), of(1), of(2));
        (0..keys.len()).map(|at| (keys[at], values[at], changes[at])).collect()
    }

    #[test]
    fn what_goes_for_one_of_its_key_is_replaced() {
        let rows = [(1, 5, -1), (2, 6, 1), (1, 7, 1), (3, 1, -1), (4, 4, 1), (4, 4, -1)];
        assert_eq!(
            changes(&rows, Some(&[0])),
            [(3, 1, GOES), (1, 5, REPLACED), (1, 7, REPLACES), (2, 6, COMES)]
        );
    }

    #[test]
    fn without_a_key_rows_go_before_others_come_each_as_often_as_it_does() {
        let rows = [(1, 5, -1), (1, 7, 2), (1, 5, -1)];
        assert_eq!(changes(&rows, None), [(1, 5, GOES), (1, 5, GOES), (1, 7, COMES), (1, 7, COMES)]);
    }

    #[test]
    fn of_one_row_of_all_the_new_takes_the_place_of_the_old() {
        assert_eq!(changes(&[(1, 5, -1), (2, 7, 1)], Some(&[])), [(1, 5, REPLACED), (2, 7, REPLACES)]);
    }
}
