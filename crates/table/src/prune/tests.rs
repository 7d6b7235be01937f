use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Content, NewFile};
use cenote_datafile::{FileStatistics, StatisticsCollector, Value, arrow_schema};
use cenote_vocab::{FieldType, FileId, LIVE, PartitionField, PartitionSpec, TimeUnit, Transform, Txn};
use proptest::prelude::*;

use super::*;
use crate::{Comparison, sample};

const TIME: FieldId = FieldId(1);
const NUMBER: FieldId = FieldId(2);
const FLOAT: FieldId = FieldId(3);
const TEXT: FieldId = FieldId(4);
const FLAG: FieldId = FieldId(5);
const ADDED: FieldId = FieldId(6);
const SPEC: i32 = 1;

/// What the file holds: `number` was written as BIGINT and is DOUBLE now, `added` came later.
#[derive(Clone, Debug)]
struct Row {
    time: Option<i64>,
    number: Option<i64>,
    float: Option<f64>,
    text: Option<String>,
    flag: Option<bool>,
}

/// The columns as the file was written.
fn written(unit: TimeUnit) -> TableSchema {
    let columns = [
        ("time", FieldType::Timestamp(unit)),
        ("number", FieldType::Int64),
        ("float", FieldType::Double),
        ("text", FieldType::String),
        ("flag", FieldType::Boolean),
    ];
    (*sample::table(columns).schema).clone()
}

/// The table now.
fn table(unit: TimeUnit, transform: Transform) -> TableDef {
    let columns = [
        ("time", FieldType::Timestamp(unit)),
        ("number", FieldType::Double),
        ("float", FieldType::Double),
        ("text", FieldType::String),
        ("flag", FieldType::Boolean),
        ("added", FieldType::Int64),
    ];
    let part = PartitionField { part_field_id: 1000, source: TIME, transform };
    let mut table = TableDef {
        spec: PartitionSpec { no: SPEC, fields: vec![part] },
        time_field: Some(TIME),
        ..sample::table(columns)
    };
    Arc::make_mut(&mut table.schema).no = 2;
    table
}

fn nanos(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Milli => 1_000_000,
        TimeUnit::Micro => 1_000,
        TimeUnit::Nano => 1,
    }
}

fn batch(rows: &[Row], unit: TimeUnit) -> RecordBatch {
    let times = || rows.iter().map(|row| row.time);
    let time: ArrayRef = match unit {
        TimeUnit::Milli => Arc::new(TimestampMillisecondArray::from_iter(times())),
        TimeUnit::Nano => Arc::new(TimestampNanosecondArray::from_iter(times())),
        _ => Arc::new(TimestampMicrosecondArray::from_iter(times())),
    };
    let columns: Vec<ArrayRef> = vec![
        time,
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.number))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.float))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.text.clone()))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.flag))),
    ];
    RecordBatch::try_new(arrow_schema(&written(unit)), columns).unwrap()
}

/// As a writer makes it: with its tuple if all rows share one, with bounds and time range.
fn file(rows: &[Row], unit: TimeUnit, transform: Transform) -> DataFile {
    let mut collector = StatisticsCollector::new(&written(unit));
    collector.add(&batch(rows, unit));
    let micros = |time: i64| (i128::from(time) * i128::from(nanos(unit)), 1_000_i128);
    let floor = |time: i64| micros(time).0.div_euclid(micros(time).1) as i64;
    let ceil = |time: i64| -((-micros(time).0).div_euclid(micros(time).1)) as i64;
    let times = || rows.iter().filter_map(|row| row.time);
    let mut tuples: Vec<Option<i64>> =
        rows.iter().map(|row| row.time.map(|time| floor(time).div_euclid(length(transform)))).collect();
    tuples.dedup();
    let tuple = || tuples.iter().map(|unit| unit.map(Into::into)).collect();
    let (spec_no, partition) = if tuples.len() == 1 { (SPEC, tuple()) } else { (0, Vec::new()) };
    data_file(NewFile {
        content: Content::Parquet,
        path: "data/x.parquet".into(),
        rows: rows.len() as u64,
        bytes: 1,
        footer_bytes: 1,
        schema_no: 1,
        spec_no,
        partition,
        sort_no: 0,
        level: 0,
        time_range: times().map(floor).min().zip(times().map(ceil).max()),
        statistics: collector.finish(),
        row_ids_stored: false,
    })
}

/// Microseconds of a unit.
fn length(transform: Transform) -> i64 {
    if transform == Transform::Day { 86_400_000_000 } else { 3_600_000_000 }
}

/// As the catalog answers by number.
fn spec_of(file: &DataFile, table: &TableDef) -> PartitionSpec {
    if file.file.spec_no == SPEC { table.spec.clone() } else { PartitionSpec::default() }
}

pub(super) fn data_file(file: NewFile) -> DataFile {
    DataFile {
        id: FileId(1),
        begin_txn: Txn(1),
        end_txn: LIVE,
        file: Arc::new(file),
        vector: None,
        row_id_start: 0,
        seq: 1,
    }
}

/// How the oracle orders floats: both ways are in use among readers.
#[derive(Clone, Copy)]
enum Floats {
    Total,
    Ieee,
}

fn matches(row: &Row, predicate: &Predicate, floats: Floats) -> bool {
    let value = |id: FieldId| match id {
        TIME => row.time.map(|time| Value::Integer(time.into())),
        NUMBER => row.number.map(|number| Value::Float(number as f64)),
        FLOAT => row.float.map(Value::Float),
        TEXT => row.text.clone().map(Value::Text),
        FLAG => row.flag.map(Value::Boolean),
        _ => None,
    };
    match predicate {
        Predicate::True => true,
        Predicate::And(all) => all.iter().all(|one| matches(row, one, floats)),
        Predicate::Or(any) => any.iter().any(|one| matches(row, one, floats)),
        Predicate::IsNull(id) => value(*id).is_none(),
        Predicate::IsNotNull(id) => value(*id).is_some(),
        Predicate::Compare { field, comparison, value: wanted } => value(*field).is_some_and(|value| {
            let order = match (&value, wanted, floats) {
                (Value::Float(a), Value::Float(b), Floats::Total) => Some(a.total_cmp(b)),
                _ => value.partial_cmp(wanted),
            };
            match (order, comparison) {
                // NaN, in IEEE order
                (None, comparison) => *comparison == Comparison::NotEqual,
                (Some(order), Comparison::Equal) => order.is_eq(),
                (Some(order), Comparison::NotEqual) => order.is_ne(),
                (Some(order), Comparison::Less) => order.is_lt(),
                (Some(order), Comparison::LessOrEqual) => order.is_le(),
                (Some(order), Comparison::Greater) => order.is_gt(),
                (Some(order), Comparison::GreaterOrEqual) => order.is_ge(),
            }
        }),
    }
}

fn a_time(unit: TimeUnit) -> impl Strategy<Value = i64> {
    let hour = 3_600_000_000_000 / nanos(unit);
    // Around the edges of hours and days, before and after 1970.
    (-30_i64..30, -2_i64..3).prop_map(move |(hours, off)| hours * hour + off)
}

fn a_number() -> impl Strategy<Value = i64> {
    prop_oneof![-3_i64..4, Just((1 << 53) + 1), Just(i64::MAX), Just(i64::MIN)]
}

fn a_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-3_i32..4).prop_map(f64::from),
        Just(-0.0),
        Just(0.5),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY)
    ]
}

fn a_text() -> impl Strategy<Value = String> {
    // Longer than bounds are kept, so that they are cut; the last character cannot be incremented in one byte.
    prop_oneof!["[a-c]{0,2}", "x{31,33}[a-c]", Just("\u{10ffff}".repeat(12)), Just("é".repeat(20))]
}

fn a_row(unit: TimeUnit) -> impl Strategy<Value = Row> {
    let float = prop_oneof![8 => a_float(), 1 => Just(f64::NAN), 1 => Just(-f64::NAN)];
    (
        prop::option::weighted(0.9, a_time(unit)),
        prop::option::weighted(0.8, a_number()),
        prop::option::weighted(0.8, float),
        prop::option::weighted(0.8, a_text()),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(time, number, float, text, flag)| Row { time, number, float, text, flag })
}

fn a_predicate(unit: TimeUnit) -> impl Strategy<Value = Predicate> {
    let side = prop_oneof![
        3 => a_time(unit).prop_map(|time| (TIME, Value::Integer(time.into()))),
        1 => a_number().prop_map(|number| (NUMBER, Value::Float(number as f64))),
        1 => a_float().prop_map(|number| (FLOAT, Value::Float(number))),
        1 => a_text().prop_map(|text| (TEXT, Value::Text(text))),
        1 => any::<bool>().prop_map(|flag| (FLAG, Value::Boolean(flag))),
        1 => Just((ADDED, Value::Integer(0))),
    ];
    let id = || (1..=6).prop_map(FieldId);
    let leaf = prop_oneof![
        8 => (side, a_comparison())
            .prop_map(|((field, value), comparison)| Predicate::Compare { field, comparison, value }),
        1 => id().prop_map(Predicate::IsNull),
        1 => id().prop_map(Predicate::IsNotNull),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::And),
            prop::collection::vec(inner, 0..3).prop_map(Predicate::Or),
        ]
    })
}

fn a_comparison() -> impl Strategy<Value = Comparison> {
    prop::sample::select(vec![
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ])
}

/// Few values, most of them odd ones.
fn an_odd_float() -> impl Strategy<Value = f64> {
    prop::sample::select(vec![0.0, -0.0, 1.0, -1.0, f64::NAN, -f64::NAN])
}

fn a_case() -> impl Strategy<Value = (TimeUnit, Transform, Vec<Row>, Predicate)> {
    let unit = prop::sample::select(vec![TimeUnit::Milli, TimeUnit::Micro, TimeUnit::Nano]);
    let transform = prop::sample::select(vec![Transform::Day, Transform::Hour]);
    (unit, transform).prop_flat_map(|(unit, transform)| {
        let rows = prop_oneof![
            prop::collection::vec(a_row(unit), 1..5),
            // One instant: the file has a tuple.
            (prop::collection::vec(a_row(unit), 1..5), prop::option::weighted(0.8, a_time(unit))).prop_map(
                |(mut rows, time)| {
                    rows.iter_mut().for_each(|row| row.time = time);
                    rows
                }
            ),
        ];
        (Just(unit), Just(transform), rows, a_predicate(unit))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn a_file_with_a_matching_row_is_never_left_out((unit, transform, rows, predicate) in a_case()) {
        let (file, table) = (file(&rows, unit, transform), table(unit, transform));
        let wanted = rows
            .iter()
            .any(|row| [Floats::Total, Floats::Ieee].iter().any(|floats| matches(row, &predicate, *floats)));
        if wanted {
            let verdict = judge(&file, &written(unit), &spec_of(&file, &table), &table, &predicate);
            prop_assert_eq!(verdict, Verdict::Keep);
            prop_assert!(may_match(&file, &table, &predicate));
            if let (Some(window), Some((from, to))) =
                (predicate.time_window(table.time_column().unwrap()), file.file.time_range)
                && rows.iter().all(|row| row.time.is_some())
            {
                prop_assert!(from <= window.to && window.from <= to, "{:?}", window);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn zeros_of_both_signs_and_nan_are_never_left_out(
        floats in prop::collection::vec(an_odd_float(), 1..3),
        comparison in a_comparison(),
        wanted in an_odd_float(),
    ) {
        let row = |float| Row { time: None, number: None, float: Some(float), text: None, flag: None };
        let rows: Vec<Row> = floats.into_iter().map(row).collect();
        let unit = TimeUnit::Micro;
        let predicate = compare(FLOAT, comparison, Value::Float(wanted));
        let wanted = |row: &Row| [Floats::Total, Floats::Ieee].iter().any(|floats| matches(row, &predicate, *floats));
        if rows.iter().any(wanted) {
            let file = file(&rows, unit, Transform::Day);
            let table = table(unit, Transform::Day);
            let verdict = judge(&file, &written(unit), &spec_of(&file, &table), &table, &predicate);
            prop_assert_eq!(verdict, Verdict::Keep);
        }
    }
}

fn compare(field: FieldId, comparison: Comparison, value: Value) -> Predicate {
    Predicate::Compare { field, comparison, value }
}

#[test]
fn files_that_cannot_match_are_left_out_for_the_right_reason() {
    let unit = TimeUnit::Micro;
    let day = length(Transform::Day);
    let row = |time: i64, number: i64, text: &str| Row {
        time: Some(time),
        number: Some(number),
        float: Some(1.0),
        text: Some(text.into()),
        flag: None,
    };
    let rows = [row(2 * day + 5, 10, "b"), row(2 * day + 7, 20, "d")];
    let (file, table) = (file(&rows, unit, Transform::Day), table(unit, Transform::Day));
    let judge = |predicate: &Predicate| super::judge(&file, &written(unit), &table.spec, &table, predicate);
    let time = |comparison, time: i64| compare(TIME, comparison, Value::Integer(time.into()));

    assert_eq!(judge(&time(Comparison::Less, 2 * day)), Verdict::ByPartition);
    assert_eq!(judge(&time(Comparison::Equal, 2 * day + 8)), Verdict::ByPartition);
    assert_eq!(judge(&time(Comparison::Equal, 2 * day + 6)), Verdict::Keep);
    assert_eq!(judge(&Predicate::IsNull(TIME)), Verdict::ByPartition);
    assert_eq!(judge(&compare(NUMBER, Comparison::Greater, Value::Float(20.0))), Verdict::ByStatistics);
    assert_eq!(judge(&compare(TEXT, Comparison::Equal, Value::Text("a".into()))), Verdict::ByStatistics);
    assert_eq!(judge(&compare(ADDED, Comparison::NotEqual, Value::Integer(0))), Verdict::ByStatistics);
    assert_eq!(judge(&Predicate::IsNotNull(FLAG)), Verdict::ByStatistics);
    assert_eq!(judge(&Predicate::IsNull(ADDED)), Verdict::Keep);
    let either = Predicate::Or(vec![
        time(Comparison::Greater, 3 * day),
        compare(NUMBER, Comparison::Less, Value::Float(10.0)),
    ]);
    assert_eq!(judge(&either), Verdict::ByStatistics);
}

#[test]
fn a_tuple_of_another_spec_says_nothing() {
    let table = table(TimeUnit::Micro, Transform::Hour);
    let file = data_file(NewFile {
        content: Content::Parquet,
        path: "data/x.parquet".into(),
        rows: 1,
        bytes: 1,
        footer_bytes: 1,
        schema_no: 2,
        spec_no: SPEC + 1,
        partition: vec![Some(1.into())],
        sort_no: 0,
        level: 0,
        time_range: None,
        statistics: FileStatistics::default(),
        row_ids_stored: false,
    });
    let predicate = compare(TIME, Comparison::Equal, Value::Integer(0));
    assert!(may_match(&file, &table, &predicate));
}
