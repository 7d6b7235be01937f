use arrow::array::{Int8Array, TimestampMillisecondArray};
use cenote_vocab::{FieldId, TimeUnit};

use super::*;
use crate::sample;

fn values(source: FieldType, transform: Transform, column: ArrayRef) -> Vec<Option<PartitionValue>> {
    let table = sample::table([("c", source)]);
    let part = PartitionField { part_field_id: 1000, source: FieldId(1), transform };
    let part = Part::of(&table, &part).unwrap();
    let values = part.values(&column).unwrap();
    assert_eq!(values.data_type(), &part.data_type());
    (0..values.len()).map(|row| partition_value(&values, row)).collect()
}

fn integers<const N: usize>(values: [Option<i64>; N]) -> Vec<Option<PartitionValue>> {
    values.iter().map(|value| value.map(PartitionValue::from)).collect()
}

#[test]
fn instants_floor_into_their_units() {
    let milli = FieldType::Timestamp(TimeUnit::Milli);
    let column =
        || Arc::new(TimestampMillisecondArray::from(vec![Some(0), None, Some(-1), Some(1_709_251_200_000)]));
    for (transform, expected) in [
        (Transform::Year, [Some(0), None, Some(-1), Some(54)]),
        (Transform::Month, [Some(0), None, Some(-1), Some(650)]),
        (Transform::Day, [Some(0), None, Some(-1), Some(19_783)]),
        (Transform::Hour, [Some(0), None, Some(-1), Some(474_792)]),
    ] {
        assert_eq!(values(milli.clone(), transform, column()), integers(expected), "{transform}");
    }
}

#[test]
fn numbers_truncate_downwards_and_texts_by_characters() {
    let numbers = Arc::new(Int8Array::from(vec![Some(1), Some(-1), Some(-128), None]));
    let truncated = values(FieldType::Int8, Transform::Truncate(10), numbers);
    assert_eq!(truncated, integers([Some(0), Some(-10), Some(-130), None]), "below the type, if need be");
    let texts = Arc::new(StringArray::from(vec!["iceberg", "né", ""]));
    let text = |text: &str| Some(PartitionValue::Text(text.into()));
    assert_eq!(values(FieldType::String, Transform::Truncate(2), texts), [text("ic"), text("né"), text("")]);
}

#[test]
fn nulls_are_in_no_bucket() {
    let texts = Arc::new(StringArray::from(vec![Some("iceberg"), None]));
    let buckets = values(FieldType::String, Transform::Bucket(16), texts);
    assert_eq!(buckets, integers([Some(1_210_000_089 % 16), None]));
}
