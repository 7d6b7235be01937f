//! Law: whatever the specs were, no file with a matching row is left out by its tuple.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Content, DataFile, NewFile, TableDef};
use cenote_datafile::{FileStatistics, Value, arrow_schema, value_at};
use cenote_vocab::{FieldId, FieldType, PartitionField, PartitionSpec, TimeUnit, Transform, Tuple};
use proptest::prelude::*;

use super::tests::data_file;
use super::{Verdict, judge};
use crate::order::{Cut, RowOrder};
use crate::{Comparison, Predicate, sample};

const TIME: FieldId = FieldId(1);
const NUMBER: FieldId = FieldId(2);
const TEXT: FieldId = FieldId(3);

type Row = (Option<i64>, Option<i64>, Option<String>);

fn table(spec: PartitionSpec) -> TableDef {
    let columns = [
        ("time", FieldType::Timestamp(TimeUnit::Micro)),
        ("number", FieldType::Int64),
        ("text", FieldType::String),
    ];
    TableDef { spec, ..sample::table(columns) }
}

fn batch(table: &TableDef, rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2.clone()))),
    ];
    RecordBatch::try_new(arrow_schema(&table.schema), columns).unwrap()
}

/// Without statistics: only the tuple speaks.
fn file(spec_no: i32, partition: Tuple) -> DataFile {
    data_file(NewFile {
        content: Content::Parquet,
        path: "data/x.parquet".into(),
        rows: 1,
        bytes: 1,
        footer_bytes: 1,
        schema_no: 1,
        spec_no,
        partition,
        sort_no: 0,
        level: 0,
        time_range: None,
        statistics: FileStatistics::default(),
        row_ids_stored: false,
    })
}

fn matches(batch: &RecordBatch, row: usize, predicate: &Predicate) -> bool {
    let value = |id: FieldId| value_at(batch.column(id.0 as usize - 1), row);
    match predicate {
        Predicate::IsNull(id) => value(*id).is_none(),
        Predicate::IsNotNull(id) => value(*id).is_some(),
        Predicate::Compare { field, comparison, value: wanted } => {
            let order = value(*field).and_then(|value| value.partial_cmp(wanted));
            order.is_some_and(|order| match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::NotEqual => order.is_ne(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            })
        }
        _ => true,
    }
}

fn a_time() -> impl Strategy<Value = i64> {
    // around the edges of hours, days, months and years, before and after 1970
    let edges =
        prop::sample::select(vec![0, 3_600, 86_400, 2_678_400, 31_536_000, 951_782_400, 1_709_164_800]);
    (edges, prop::bool::ANY, -1_i64..2).prop_map(|(seconds, before, off)| {
        if before { -seconds * 1_000_000 + off } else { seconds * 1_000_000 + off }
    })
}

fn a_number() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -25_i64..25, 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

fn a_text() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-b]{0,4}", 1 => Just("é\u{10ffff}".to_owned()), 1 => Just("\u{10ffff}".repeat(3))]
}

fn a_row() -> impl Strategy<Value = Row> {
    (
        prop::option::weighted(0.9, a_time()),
        prop::option::weighted(0.9, a_number()),
        prop::option::weighted(0.9, a_text()),
    )
}

fn a_part() -> impl Strategy<Value = (FieldId, Transform)> {
    use Transform::*;
    prop_oneof![
        prop::sample::select(vec![Identity, Year, Month, Day, Hour, Bucket(3)]).prop_map(|t| (TIME, t)),
        prop::sample::select(vec![Identity, Bucket(4), Truncate(10), Truncate(7)]).prop_map(|t| (NUMBER, t)),
        prop::sample::select(vec![Identity, Bucket(4), Truncate(1), Truncate(2)]).prop_map(|t| (TEXT, t)),
    ]
}

fn a_spec() -> impl Strategy<Value = Vec<(FieldId, Transform)>> {
    prop::collection::vec(a_part(), 0..3)
}

fn a_predicate() -> impl Strategy<Value = Predicate> {
    let side = prop_oneof![
        a_time().prop_map(|time| (TIME, Value::Integer(time.into()))),
        a_number().prop_map(|number| (NUMBER, Value::Integer(number.into()))),
        a_text().prop_map(|text| (TEXT, Value::Text(text))),
    ];
    let comparison = prop::sample::select(vec![
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ]);
    let id = || (1..=3).prop_map(FieldId);
    prop_oneof![
        8 => (side, comparison).prop_map(|((field, value), comparison)| Predicate::Compare { field, comparison, value }),
        1 => id().prop_map(Predicate::IsNull),
        1 => id().prop_map(Predicate::IsNotNull),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn three_specs_later_no_matching_row_is_left_out(
        specs in prop::collection::vec(a_spec(), 3),
        rows in prop::collection::vec(a_row(), 1..20),
        predicate in a_predicate(),
    ) {
        let spec = |(parts, no): (&Vec<(FieldId, Transform)>, i32)| {
            let fields = parts.iter().zip(1000..);
            let fields = fields.map(|((source, transform), part_field_id)| PartitionField {
                part_field_id,
                source: *source,
                transform: *transform,
            });
            PartitionSpec { no, fields: fields.collect() }
        };
        let specs: Vec<PartitionSpec> = specs.iter().zip(1..).map(spec).collect();
        let present = table(specs[2].clone());
        for spec in &specs {
            let writer = table(spec.clone());
            let order = RowOrder::of(&writer, Cut::Partitions).unwrap();
            let sorted = order.sort(batch(&writer, &rows)).unwrap();
            for (tuple, range) in order.slices(&sorted).unwrap() {
                let file = file(spec.no, tuple);
                let wanted = range.clone().any(|row| matches(&sorted, row, &predicate));
                let verdict = judge(&file, &writer.schema, spec, &present, &predicate);
                prop_assert!(!wanted || verdict == Verdict::Keep, "{:?} by {:?}", file.file.partition, spec);
            }
        }
    }
}

#[test]
fn tuples_of_all_transforms_leave_files_out() {
    let compare = |field, comparison, value| Predicate::Compare { field, comparison, value };
    let time = |day: i64| Value::Integer((day * 86_400_000_000).into());
    for (source, transform, value, predicate) in [
        (TIME, Transform::Year, 54.into(), compare(TIME, Comparison::Less, time(19_723))),
        (TIME, Transform::Month, 650.into(), compare(TIME, Comparison::GreaterOrEqual, time(19_814))),
        (
            NUMBER,
            Transform::Truncate(10),
            20.into(),
            compare(NUMBER, Comparison::Greater, Value::Integer(29)),
        ),
        (NUMBER, Transform::Identity, 7.into(), compare(NUMBER, Comparison::NotEqual, Value::Integer(7))),
        (
            NUMBER,
            Transform::Bucket(1 << 20),
            0.into(),
            compare(NUMBER, Comparison::Equal, Value::Integer(34)),
        ),
    ] {
        let part = PartitionField { part_field_id: 1000, source, transform };
        let table = table(PartitionSpec { no: 1, fields: vec![part] });
        let file = file(1, vec![Some(value)]);
        let verdict = judge(&file, &table.schema, &table.spec, &table, &predicate);
        assert_eq!(verdict, Verdict::ByPartition, "{transform}");
        let null = judge(&file, &table.schema, &table.spec, &table, &Predicate::IsNull(source));
        assert_eq!(null, Verdict::ByPartition, "{transform} of NULL is NULL");
    }
}
