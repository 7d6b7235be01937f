use std::sync::Arc;

use arrow::array::{AsArray, Date32Array, StringArray, TimestampNanosecondArray};
use cenote_vocab::{
    FieldType, PartitionField, PartitionSpec, PartitionValue, SortField, SortOrder, TimeUnit, Transform,
};

use super::*;
use crate::sample;

const HOUR: i64 = 3_600_000_000_000;

/// By hour of `time`, sorted by `host`.
fn table(time: FieldType) -> TableDef {
    let part = PartitionField { part_field_id: 1000, source: FieldId(2), transform: Transform::Hour };
    let sort = SortField { source: FieldId(1), descending: false, nulls_first: false };
    TableDef {
        spec: PartitionSpec { no: 1, fields: vec![part] },
        sort: SortOrder { no: 1, fields: vec![sort] },
        time_field: Some(FieldId(2)),
        ..sample::table([("host", FieldType::String), ("time", time)])
    }
}

fn batch(table: &TableDef, hosts: Vec<Option<&str>>, time: ArrayRef) -> RecordBatch {
    let hosts: ArrayRef = Arc::new(StringArray::from(hosts));
    RecordBatch::try_new(cenote_datafile::arrow_schema(&table.schema), vec![hosts, time]).unwrap()
}

fn hour(unit: Option<i64>) -> Tuple {
    vec![unit.map(PartitionValue::from)]
}

fn hosts(batch: &RecordBatch) -> Vec<Option<&str>> {
    batch.column(0).as_string::<i32>().iter().collect()
}

#[test]
fn rows_are_in_order_of_partition_then_of_the_sort_order() {
    let table = table(FieldType::Timestamp(TimeUnit::Nano));
    let times = vec![Some(HOUR), Some(-1), Some(HOUR - 1), None, Some(0), Some(2 * HOUR - 1)];
    let rows = batch(
        &table,
        vec![Some("b"), Some("z"), None, Some("n"), Some("c"), Some("a")],
        Arc::new(TimestampNanosecondArray::from(times)),
    );
    let order = RowOrder::of(&table, Cut::Partitions).unwrap();
    let sorted = order.sort(rows.clone()).unwrap();
    assert_eq!(hosts(&sorted), [Some("n"), Some("z"), Some("c"), None, Some("a"), Some("b")]);
    let slices = order.slices(&sorted).unwrap();
    assert_eq!(
        slices,
        [(hour(None), 0..1), (hour(Some(-1)), 1..2), (hour(Some(0)), 2..4), (hour(Some(1)), 4..6)]
    );

    let uncut = RowOrder::of(&table, Cut::Nothing).unwrap();
    let sorted = uncut.sort(rows).unwrap();
    assert_eq!(hosts(&sorted), [Some("a"), Some("b"), Some("c"), Some("n"), Some("z"), None]);
    assert_eq!(uncut.slices(&sorted).unwrap(), [(vec![], 0..6)]);
}

#[test]
fn rows_of_one_hour_need_no_cut() {
    let table = table(FieldType::Timestamp(TimeUnit::Nano));
    let order = RowOrder::of(&table, Cut::Partitions).unwrap();
    let tuple = |times: Vec<Option<i64>>| {
        let rows =
            batch(&table, vec![Some("a"); times.len()], Arc::new(TimestampNanosecondArray::from(times)));
        order.single_tuple(&rows).unwrap()
    };
    assert_eq!(tuple(vec![Some(-HOUR), Some(-1)]), Some(hour(Some(-1))));
    assert_eq!(tuple(vec![None, None]), Some(hour(None)));
    assert_eq!(tuple(vec![Some(-1), Some(0)]), None);
    assert_eq!(tuple(vec![Some(1), None]), None);
}

#[test]
fn a_date_is_its_own_day() {
    let mut table = table(FieldType::Date);
    table.spec.fields[0].transform = Transform::Day;
    let rows = batch(&table, vec![Some("a"), Some("b")], Arc::new(Date32Array::from(vec![1, 1])));
    let order = RowOrder::of(&table, Cut::Partitions).unwrap();
    assert_eq!(order.single_tuple(&rows).unwrap(), Some(hour(Some(1))));
}
