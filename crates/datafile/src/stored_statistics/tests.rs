use cenote_vocab::{ErrorKind, Fault};
use proptest::prelude::*;

use super::*;

fn schema(types: &[FieldType]) -> TableSchema {
    let fields = types
        .iter()
        .zip(1..)
        .map(|(field_type, id)| Field::new(FieldId(id), format!("c{id}"), field_type.clone()));
    TableSchema { no: 1, fields: fields.collect() }
}

fn column(id: i32, min: Value, max: Value) -> ColumnStatistics {
    ColumnStatistics {
        field_id: FieldId(id),
        value_count: 300,
        null_count: 1,
        nan_count: None,
        min: Some(min),
        max: Some(max),
        min_exact: true,
        max_exact: true,
    }
}

fn integers(min: i128, max: i128) -> (Value, Value) {
    (Value::Integer(min), Value::Integer(max))
}

#[test]
fn the_bytes_are_those_of_the_format() {
    let schema = schema(&[FieldType::Int32, FieldType::Double]);
    let (min, max) = integers(-1, 2);
    let mut floats = column(2, Value::Float(-0.0), Value::Float(0.0));
    (floats.nan_count, floats.max_exact) = (Some(7), false);
    let statistics = FileStatistics { columns: vec![column(1, min, max), floats] };
    let blob = statistics.encode(&schema);
    let expected = [
        &[1, 2][..],
        &[1, BOUNDS, 0xac, 2, 1, 4, 0xff, 0xff, 0xff, 0xff, 4, 2, 0, 0, 0],
        &[
            2,
            BOUNDS | MAX_CUT | NAN_COUNT,
            0xac,
            2,
            1,
            7,
            8,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0x80,
            8,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ],
    ]
    .concat();
    assert_eq!(blob, expected);
    assert_eq!(FileStatistics::decode(&blob, &schema).unwrap(), statistics);
}

#[test]
fn every_type_keeps_its_extreme_bounds() {
    let decimal = 10_i128.pow(38) - 1;
    let cases = [
        (FieldType::Boolean, (Value::Boolean(false), Value::Boolean(true))),
        (FieldType::Int8, integers(-128, 127)),
        (FieldType::UInt16, integers(0, 65_535)),
        (FieldType::UInt32, integers(0, u32::MAX.into())),
        (FieldType::Int64, integers(i64::MIN.into(), i64::MAX.into())),
        (FieldType::UInt64, integers(0, u64::MAX.into())),
        (FieldType::Float, (Value::Float(f32::MIN.into()), Value::Float(f64::INFINITY))),
        (FieldType::Decimal { precision: 38, scale: 2 }, integers(-decimal, decimal)),
        (FieldType::Decimal { precision: 9, scale: 0 }, integers(-128, 128)),
        (FieldType::Date, integers(i32::MIN.into(), i32::MAX.into())),
        (FieldType::Timestamp(TimeUnit::Nano), integers(i64::MIN.into(), i64::MAX.into())),
        (FieldType::TimestampTz(TimeUnit::Second), integers(-62_135_596_800, 253_402_300_799)),
        (FieldType::Timestamp(TimeUnit::Milli), integers(-1, 1)),
        (FieldType::Uuid, (Value::Bytes(vec![0; 16]), Value::Bytes(vec![0xff; 16]))),
        (FieldType::Json, (Value::Text(String::new()), Value::Text("{}".into()))),
        (FieldType::Binary, (Value::Bytes(Vec::new()), Value::Bytes(vec![1, 2]))),
    ];
    let schema = schema(&cases.clone().map(|(field_type, _)| field_type));
    let columns = cases.into_iter().zip(1..).map(|((_, (min, max)), id)| column(id, min, max)).collect();
    let statistics = FileStatistics { columns };
    assert_eq!(FileStatistics::decode(&statistics.encode(&schema), &schema).unwrap(), statistics);
}

#[test]
fn decimals_take_as_few_bytes_as_keep_the_sign() {
    for (unscaled, bytes) in
        [(0, vec![0]), (127, vec![127]), (128, vec![0, 128]), (-128, vec![128]), (-129, vec![255, 127])]
    {
        assert_eq!(decimal_bytes(unscaled), bytes);
        assert_eq!(decimal_value(&bytes), Some(unscaled));
    }
}

#[test]
fn a_maximum_that_could_not_be_kept_stays_unknown() {
    let schema = schema(&[FieldType::String]);
    let mut text = column(1, Value::Text("a".into()), Value::Text(String::new()));
    (text.max, text.max_exact) = (None, false);
    let statistics = FileStatistics { columns: vec![text] };
    assert_eq!(FileStatistics::decode(&statistics.encode(&schema), &schema).unwrap(), statistics);
}

#[test]
fn a_dropped_column_is_skipped_and_a_widened_integer_reads() {
    let written = schema(&[FieldType::Int32, FieldType::Int32]);
    let (min, max) = integers(-7, 7);
    let statistics =
        FileStatistics { columns: vec![column(1, min.clone(), max.clone()), column(2, min, max)] };
    let blob = statistics.encode(&written);
    let mut later = written.clone();
    later.fields.remove(0);
    later.fields[0].field_type = FieldType::Int64;
    let read = FileStatistics::decode(&blob, &later).unwrap();
    assert_eq!(read.columns, statistics.columns[1..]);
}

#[test]
fn an_overflowing_bound_is_left_out() {
    let schema = schema(&[FieldType::Timestamp(TimeUnit::Second)]);
    let (min, max) = integers(0, i64::MAX.into());
    let statistics = FileStatistics { columns: vec![column(1, min, max)] };
    let read = FileStatistics::decode(&statistics.encode(&schema), &schema).unwrap();
    assert_eq!((&read.columns[0].min, &read.columns[0].max), (&Some(Value::Integer(0)), &None));
}

fn wide() -> (TableSchema, FileStatistics) {
    let schema = schema(&vec![FieldType::String; 200]);
    let columns = (1..=200)
        .map(|id| column(id, Value::Text(format!("{id:030}")), Value::Text(format!("{:030}", id + 5))))
        .collect();
    (schema, FileStatistics { columns })
}

#[test]
fn long_statistics_are_compressed() {
    let (schema, statistics) = wide();
    let blob = statistics.encode(&schema);
    assert_eq!(blob[0], VERSION | COMPRESSED);
    assert!(blob.len() < 6000, "{} bytes", blob.len());
    assert_eq!(FileStatistics::decode(&blob, &schema).unwrap(), statistics);
}

#[test]
fn what_claims_to_be_huge_is_damage() {
    let mut blob = vec![VERSION | COMPRESSED];
    blob.extend(zstd::bulk::compress(&vec![0; DECODED_BYTES_MAX as usize + 1], 1).unwrap());
    let error = FileStatistics::decode(&blob, &TableSchema::default()).unwrap_err();
    assert!(error.to_string().contains("more than 4194304 bytes"), "{error}");
}

#[test]
fn damage_says_what_is_wrong() {
    let schema = schema(&[FieldType::Int32]);
    for (blob, reason) in [
        (&[][..], "no bytes"),
        (&[9, 0], "version is 0x09"),
        (&[1, 1, 1], "cut short"),
        (&[1, 0, 0], "1 bytes after the last column"),
        (&[1, 1, 1, 64, 0, 0], "flags of column 1"),
        (&[1, 1, 1, 0, 1, 2], "1 values, 2 NULLs"),
        (&[1, 1, 1, BOUNDS, 1, 0, 3, 0, 0, 0, 3, 0, 0, 0], "3 bytes are no bound of type int32"),
        (&[1, 1, 1, BOUNDS, 1, 0, 4, 1, 0, 0, 0, 4, 0, 0, 0, 0], "minimum of column 1 is above"),
        (&[1, 2, 1, 0, 0, 0, 1, 0, 0, 0], "field id 1 does not follow 1"),
    ] {
        let error = FileStatistics::decode(blob, &schema).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(reason), "{error} lacks {reason:?}");
    }
}

proptest! {
    #[test]
    fn flipped_bytes_never_panic(at in any::<prop::sample::Index>(), mask in 1..=u8::MAX, long in any::<bool>()) {
        let (schema, mut statistics) = wide();
        if !long {
            statistics.columns.truncate(3);
        }
        let mut blob = statistics.encode(&schema);
        let at = at.index(blob.len());
        blob[at] ^= mask;
        if let Err(error) = FileStatistics::decode(&blob, &schema) {
            prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn any_bytes_never_panic(mut blob in prop::collection::vec(any::<u8>(), 0..200)) {
        let schema = schema(&[FieldType::Int32, FieldType::Decimal { precision: 20, scale: 1 }, FieldType::String]);
        if let Some(version) = blob.first_mut() {
            *version = VERSION;
        }
        if let Err(error) = FileStatistics::decode(&blob, &schema) {
            prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }
}
