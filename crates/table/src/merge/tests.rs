use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use cenote_catalog::TableDef;
use cenote_datafile::arrow_schema;
use cenote_vocab::{FieldId, FieldType, SortField, SortOrder};
use futures::stream;
use proptest::prelude::*;

use super::*;
use crate::order::Cut;
use crate::sample;

/// Sorted by `key` descending with NULLs first; `origin` tells rows apart.
fn table() -> TableDef {
    let sort = SortField { source: FieldId(1), descending: true, nulls_first: true };
    TableDef {
        sort: SortOrder { no: 1, fields: vec![sort] },
        ..sample::table([("key", FieldType::Int64), ("origin", FieldType::String)])
    }
}

/// Keys in the table's order.
fn rank(key: &Option<i64>) -> (bool, i64) {
    (key.is_some(), -key.unwrap_or(0))
}

fn batches(input: usize, keys: &[Option<i64>], size: usize) -> Batches {
    let schema = arrow_schema(&table().schema);
    let batch = |(at, chunk): (usize, &[Option<i64>])| {
        let origins = (0..chunk.len()).map(|row| Some(format!("{input}.{}", at * size + row)));
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(Int64Array::from(chunk.to_vec())), Arc::new(StringArray::from_iter(origins))];
        Ok(RecordBatch::try_new(schema.clone(), columns).unwrap())
    };
    let mut all: Vec<Result<RecordBatch, Error>> = keys.chunks(size).enumerate().map(batch).collect();
    all.insert(all.len() / 2, Ok(RecordBatch::new_empty(schema.clone())));
    stream::iter(all).boxed()
}

async fn merged(inputs: Vec<Batches>) -> Vec<(Option<i64>, String)> {
    let order = RowOrder::of(&table(), Cut::Partitions).unwrap();
    let mut merge = Merge::start(order, inputs).await.unwrap();
    let mut rows = Vec::new();
    while let Some(batch) = merge.next().await.unwrap() {
        assert!(batch.num_rows() > 0 && batch.num_rows() < 2 * BATCH_ROWS);
        let keys = batch.column(0).as_primitive::<Int64Type>();
        let origins = batch.column(1).as_string::<i32>();
        rows.extend(keys.iter().zip(origins.iter().map(|origin| origin.unwrap().to_owned())));
    }
    rows
}

proptest! {
    #[test]
    fn a_merge_is_the_stable_sort_of_all_rows(
        inputs in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.9, 0_i64..40), 0..60), 0..7),
        size in 1_usize..20,
    ) {
        let inputs: Vec<Vec<Option<i64>>> = inputs
            .into_iter()
            .map(|mut keys| {
                keys.sort_by_key(rank);
                keys
            })
            .collect();
        let mut expected: Vec<(Option<i64>, String)> = inputs
            .iter()
            .enumerate()
            .flat_map(|(input, keys)| {
                keys.iter().enumerate().map(move |(row, key)| (*key, format!("{input}.{row}")))
            })
            .collect();
        expected.sort_by_key(|(key, _)| rank(key));
        let streams = inputs.iter().enumerate().map(|(input, keys)| batches(input, keys, size)).collect();
        prop_assert_eq!(futures::executor::block_on(merged(streams)), expected);
    }
}

#[test]
fn inputs_that_do_not_overlap_pass_whole_and_long_runs_are_cut() {
    let high: Vec<Option<i64>> = (0..20_000).rev().map(|key| Some(100_000 + key)).collect();
    let low: Vec<Option<i64>> = (0..20_000).rev().map(Some).collect();
    let rows = futures::executor::block_on(merged(vec![batches(0, &low, 20_000), batches(1, &high, 20_000)]));
    let keys: Vec<Option<i64>> = rows.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [high, low].concat());
}

#[test]
fn a_failing_input_fails_the_merge() {
    let broken = stream::iter([Err(Error::Internal("cut off".into()))]).boxed();
    let order = RowOrder::of(&table(), Cut::Nothing).unwrap();
    let started = futures::executor::block_on(Merge::start(order, vec![batches(0, &[Some(1)], 1), broken]));
    assert!(started.is_err());
}
