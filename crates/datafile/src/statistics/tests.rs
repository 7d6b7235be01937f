use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, NullArray, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use cenote_vocab::Field;
use proptest::prelude::*;

use super::*;
use crate::arrow_schema;

fn schema(types: &[FieldType]) -> TableSchema {
    let fields = types
        .iter()
        .zip(1..)
        .map(|(field_type, id)| Field::new(FieldId(id), format!("c{id}"), field_type.clone()));
    TableSchema { no: 1, fields: fields.collect() }
}

fn batch(schema: &TableSchema, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(arrow_schema(schema), columns).unwrap()
}

#[test]
fn batches_add_up() {
    let schema = schema(&[FieldType::Int64, FieldType::Unknown]);
    let mut collector = StatisticsCollector::new(&schema);
    for values in [vec![Some(5), None], vec![Some(-3), Some(2)]] {
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(values)), Arc::new(NullArray::new(2))];
        collector.add(&batch(&schema, columns));
    }
    let statistics = collector.finish();
    let column = statistics.column(FieldId(1)).unwrap();
    assert_eq!((column.value_count, column.null_count, column.nan_count), (4, 1, None));
    assert_eq!((&column.min, &column.max), (&Some(Value::Integer(-3)), &Some(Value::Integer(5))));
    let unknown = statistics.column(FieldId(2)).unwrap();
    assert_eq!((unknown.null_count, &unknown.min), (4, &None));
}

#[test]
fn nan_bounds_nothing_and_is_counted() {
    let schema = schema(&[FieldType::Double]);
    let mut collector = StatisticsCollector::new(&schema);
    collector.add(&batch(&schema, vec![Arc::new(Float64Array::from(vec![f64::NAN, f64::NAN]))]));
    let only_nan = collector.finish();
    assert_eq!((only_nan.columns[0].nan_count, &only_nan.columns[0].max), (Some(2), &None));
}

#[test]
fn a_wide_table_has_statistics_of_its_first_columns_and_the_named_ones() {
    let schema = schema(&vec![FieldType::Int64; 70]);
    let collector = StatisticsCollector::with_columns(&schema, &[FieldId(70)]);
    let ids: Vec<i32> = collector.finish().columns.iter().map(|column| column.field_id.0).collect();
    assert_eq!(ids, (1..=64).chain([70]).collect::<Vec<_>>());
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,6}",
        "\\PC{20,50}",
        prop::collection::vec(
            prop_oneof![Just('\u{10FFFF}'), Just('\u{7f}'), Just('é'), any::<char>()],
            8..40
        )
        .prop_map(|chars| chars.into_iter().collect()),
    ]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![prop::num::f64::ANY, Just(0.0), Just(-0.0), Just(f64::INFINITY)]
}

type Row = (Option<i64>, Option<f64>, Option<String>, Option<Vec<u8>>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let bytes =
        prop_oneof![prop::collection::vec(any::<u8>(), 0..50), prop::collection::vec(Just(0xff_u8), 20..50)];
    let row = (
        prop::option::of(any::<i64>()),
        prop::option::of(double()),
        prop::option::of(text()),
        prop::option::of(bytes),
    );
    prop::collection::vec(row, 0..20)
}

fn within(column: &ColumnStatistics, value: &Value) -> bool {
    column.min.as_ref().is_none_or(|min| min <= value) && column.max.as_ref().is_none_or(|max| max >= value)
}

proptest! {
    #[test]
    fn bounds_contain_every_value_and_survive_storage(batches in prop::collection::vec(rows(), 0..4)) {
        let schema = schema(&[FieldType::Int64, FieldType::Double, FieldType::String, FieldType::Binary]);
        let mut collector = StatisticsCollector::new(&schema);
        let mut added = Vec::new();
        for rows in &batches {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
                Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
                Arc::new(rows.iter().map(|row| row.2.clone()).collect::<StringArray>()),
                Arc::new(rows.iter().map(|row| row.3.as_deref()).collect::<arrow::array::BinaryArray>()),
            ];
            let batch = batch(&schema, columns);
            collector.add(&batch);
            added.push(batch);
        }
        let statistics = collector.finish();
        let stored = statistics.encode(&schema);
        let read = FileStatistics::decode(&stored, &schema).unwrap();
        // comparing printed forms tells -0.0 from 0.0
        prop_assert_eq!(format!("{read:?}"), format!("{statistics:?}"));
        for batch in &added {
            for (at, column) in read.columns.iter().enumerate() {
                for row in 0..batch.num_rows() {
                    if let Some(value) = crate::value_at(batch.column(at), row) {
                        prop_assert!(within(column, &value), "{:?} outside of {:?}", value, column);
                        prop_assert!(column.min.is_some());
                    }
                }
            }
            let nulls = batch.column(0).as_primitive::<Int64Type>().null_count() as u64;
            prop_assert!(nulls <= read.columns[0].null_count);
            let nans = batch.column(1).as_primitive::<Float64Type>().iter().flatten().filter(|v| v.is_nan()).count();
            prop_assert!(nans as u64 <= read.columns[1].nan_count.unwrap());
        }
        let bounds = read.columns.iter().flat_map(|column| [&column.min, &column.max]).flatten();
        for bound in bounds {
            match bound {
                Value::Text(text) => prop_assert!(text.len() <= 32),
                Value::Bytes(bytes) => prop_assert!(bytes.len() <= 32),
                _ => {}
            }
        }
    }
}
