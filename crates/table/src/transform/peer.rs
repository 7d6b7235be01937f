//! Partition values beside those that PyIceberg makes of the same values.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};

use arrow::array::{
    Date32Array, FixedSizeBinaryArray, Int32Array, RecordBatch, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::ipc::writer::FileWriter;
use cenote_testkit::services::python_environment;
use cenote_testkit::{needs, number_of};
use cenote_vocab::{FieldId, TimeUnit};

use super::*;
use crate::sample;

/// Numbers that look random and are the same in each run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Of any size: as many small ones as large ones.
    fn signed(&mut self) -> i64 {
        let bits = self.next() % 64;
        (self.next() as i64) >> bits
    }

    fn within(&mut self, bound: i64) -> i64 {
        self.signed() % bound
    }

    fn text(&mut self) -> String {
        const LETTERS: [char; 8] = ['a', 'Z', '0', ' ', 'é', '¥', '漢', '🦀'];
        (0..self.next() % 12).map(|_| LETTERS[(self.next() % 8) as usize]).collect()
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Days of the years 1 to 9999, and microseconds.
const DAYS: i64 = 700_000;
const MICROS: i64 = DAYS * 86_400_000_000;
const MICROS_PER_DAY: i64 = 86_400_000_000;

fn column(field_type: &FieldType, count: usize, numbers: &mut Numbers) -> ArrayRef {
    // every 50th is NULL
    let mut each = |make: &mut dyn FnMut(&mut Numbers) -> i64| -> Vec<Option<i64>> {
        (0..count).map(|row| (row % 50 > 0).then(|| make(numbers))).collect()
    };
    match field_type {
        FieldType::Int32 => Arc::new(
            each(&mut |n| n.signed() >> 32).into_iter().map(|n| n.map(|n| n as i32)).collect::<Int32Array>(),
        ),
        FieldType::Int64 => Arc::new(Int64Array::from(each(&mut Numbers::signed))),
        FieldType::Date => {
            let days = each(&mut |n| n.within(DAYS));
            Arc::new(days.into_iter().map(|n| n.map(|n| n as i32)).collect::<Date32Array>())
        }
        FieldType::Time => {
            Arc::new(Time64MicrosecondArray::from(each(&mut |n| n.within(MICROS_PER_DAY).abs())))
        }
        FieldType::Timestamp(_) => Arc::new(TimestampMicrosecondArray::from(each(&mut |n| n.within(MICROS)))),
        FieldType::Decimal { .. } => {
            let wide = (0..count).map(|_| i128::from(numbers.signed()) * i128::from(numbers.signed() >> 16));
            let column: Decimal128Array = wide.map(Some).collect();
            Arc::new(column.with_precision_and_scale(38, 6).unwrap())
        }
        FieldType::String => Arc::new((0..count).map(|_| Some(numbers.text())).collect::<StringArray>()),
        FieldType::Binary => {
            let lengths: Vec<_> = (0..count).map(|_| numbers.next() % 20).collect();
            Arc::new(lengths.into_iter().map(|length| Some(numbers.bytes(length))).collect::<BinaryArray>())
        }
        FieldType::Uuid => {
            let ids = (0..count).map(|_| numbers.bytes(16)).collect::<Vec<_>>();
            Arc::new(FixedSizeBinaryArray::try_from_iter(ids.into_iter()).unwrap())
        }
        other => unreachable!("{other} is in no case"),
    }
}

/// `CENOTE_TRANSFORM_VALUES` says how many values of each type; `make scale` takes a million.
#[test]
fn partition_values_are_those_of_pyiceberg() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let count = number_of("CENOTE_TRANSFORM_VALUES", 500) as usize;
    let directory = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(1);
    let decimal = FieldType::Decimal { precision: 38, scale: 6 };
    let units = [Transform::Year, Transform::Month, Transform::Day];
    let cut = [Transform::Bucket(16), Transform::Bucket(1_000), Transform::Truncate(7)];
    let timestamp = FieldType::Timestamp(TimeUnit::Micro);
    let cases = [
        (FieldType::Int32, "int", cut.to_vec()),
        (FieldType::Int64, "long", cut.to_vec()),
        (FieldType::String, "string", cut.to_vec()),
        (decimal, "decimal(38,6)", cut.to_vec()),
        (FieldType::Binary, "binary", cut.to_vec()),
        (FieldType::Uuid, "uuid", vec![Transform::Bucket(100)]),
        (FieldType::Time, "time", vec![Transform::Bucket(100)]),
        (FieldType::Date, "date", [&units[..], &[Transform::Bucket(100)]].concat()),
        (timestamp, "timestamp", [&units[..], &[Transform::Hour, Transform::Bucket(100)]].concat()),
    ];
    let (mut list, mut files) = (String::new(), 0);
    for (field_type, name, transforms) in cases {
        let column = column(&field_type, count, &mut numbers);
        for transform in transforms {
            let table = sample::table([("c", field_type.clone())]);
            let part = PartitionField { part_field_id: 1000, source: FieldId(1), transform };
            let parts = Part::of(&table, &part).unwrap().values(&column).unwrap();
            let batch =
                RecordBatch::try_from_iter([("value", Arc::clone(&column)), ("part", parts)]).unwrap();
            let path = directory.path().join(format!("{files}.arrow"));
            let mut writer = FileWriter::try_new(File::create(&path).unwrap(), &batch.schema()).unwrap();
            writer.write(&batch).unwrap();
            writer.finish().unwrap();
            list += &format!("{transform}\t{name}\t{}\n", path.display());
            files += 1;
        }
    }
    let mut child = Command::new(python.join("bin/python"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/partition_values.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let compared: usize = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert_eq!(compared, files * count);
}
