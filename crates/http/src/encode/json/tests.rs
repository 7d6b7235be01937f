use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    DurationMillisecondArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int64Array, Int64Builder,
    IntervalMonthDayNanoArray, ListArray, MapBuilder, NullArray, StringArray, StringBuilder, StringViewArray,
    StructArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, IntervalMonthDayNano, Schema};

use super::*;

/// Every value of one column as JSON, then as the text of CSV.
fn printed(array: ArrayRef, metadata: &[(&str, &str)]) -> Vec<(String, String)> {
    let metadata: HashMap<_, _> = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let field = Field::new("c", array.data_type().clone(), true).with_metadata(metadata);
    let cells = Cells::of(&array, &field, Style::default()).expect("a printable type");
    let text = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    };
    (0..array.len())
        .map(|row| (text(&|out| cells.write_json(row, out)), text(&|out| cells.write_text(row, out))))
        .collect()
}

fn json_of(array: impl Array + 'static) -> Vec<String> {
    printed(Arc::new(array), &[]).into_iter().map(|(json, _)| json).collect()
}

#[test]
fn numbers_are_exact_and_not_finite_ones_are_null() {
    assert_eq!(json_of(Int64Array::from(vec![Some(i64::MAX), None])), ["9223372036854775807", "null"]);
    assert_eq!(json_of(UInt64Array::from(vec![u64::MAX])), ["18446744073709551615"]);
    assert_eq!(
        json_of(Float64Array::from(vec![0.1, f64::NAN, f64::INFINITY, 1e22])),
        ["0.1", "null", "null", "1e+22"]
    );
    assert_eq!(json_of(Float32Array::from(vec![0.1, f32::NAN])), ["0.1", "null"]);
    assert_eq!(json_of(BooleanArray::from(vec![true, false])), ["true", "false"]);
    assert_eq!(json_of(NullArray::new(1)), ["null"]);
    let decimals =
        Decimal128Array::from(vec![-5, 123_456]).with_precision_and_scale(20, 3).expect("decimals");
    assert_eq!(json_of(decimals), ["-0.005", "123.456"]);
}

#[test]
fn instants_dates_and_intervals_follow_their_standards() {
    assert_eq!(json_of(TimestampMicrosecondArray::from(vec![-1])), ["\"1969-12-31T23:59:59.999999Z\""]);
    let zoned = TimestampNanosecondArray::from(vec![1]).with_timezone("+02:00");
    assert_eq!(json_of(zoned), ["\"1970-01-01T00:00:00.000000001Z\""]);
    assert_eq!(json_of(Date32Array::from(vec![19_724])), ["\"2024-01-02\""]);
    assert_eq!(json_of(Time64MicrosecondArray::from(vec![3_600_000_001])), ["\"01:00:00.000001\""]);
    assert_eq!(json_of(DurationMillisecondArray::from(vec![-61_500, 0])), ["\"PT-1M-1.5S\"", "\"PT0S\""]);
    let interval = IntervalMonthDayNano::new(14, 3, 3_600_000_000_000);
    assert_eq!(json_of(IntervalMonthDayNanoArray::from(vec![interval])), ["\"P1Y2M3DT1H\""]);
}

#[test]
fn text_is_escaped_and_bytes_are_base64() {
    assert_eq!(json_of(StringViewArray::from(vec!["a\"\n\u{1}ü"])), ["\"a\\\"\\n\\u0001ü\""]);
    assert_eq!(json_of(BinaryViewArray::from(vec![&b"\x00\xff"[..], b""])), ["\"AP8=\"", "\"\""]);
    let dictionary: DictionaryArray<Int32Type> = vec![Some("x"), None].into_iter().collect();
    assert_eq!(json_of(dictionary), ["\"x\"", "null"]);
    let empty: DictionaryArray<Int32Type> = vec![None::<&str>].into_iter().collect();
    assert_eq!(json_of(empty), ["null"]);
}

#[test]
fn extension_types_print_as_what_they_mean() {
    let uuid = FixedSizeBinaryArray::try_from_iter(std::iter::once([0x11; 16])).expect("16 bytes");
    let printed_uuid = printed(Arc::new(uuid), &[("ARROW:extension:name", "arrow.uuid")]);
    assert_eq!(printed_uuid[0].0, "\"11111111-1111-1111-1111-111111111111\"");
    let documents = StringArray::from(vec!["{\"a\":\n[1]}", "not json"]);
    let printed_json = printed(Arc::new(documents), &[("ARROW:extension:name", "arrow.json")]);
    assert_eq!(printed_json[0].0, "{\"a\": [1]}");
    assert_eq!(printed_json[1].0, "\"not json\"");
}

#[test]
fn nested_values_print_as_json_also_in_csv() {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    assert_eq!(
        printed(Arc::new(list.slice(0, 3)), &[]),
        [("[1,null]".into(), "[1,null]".into()), ("null".into(), String::new()), ("[]".into(), "[]".into())]
    );
    let sliced =
        ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1)]), Some(vec![Some(2)])]);
    assert_eq!(json_of(sliced.slice(1, 1)), ["[2]"]);
    let fields: Vec<(Arc<Field>, ArrayRef)> = vec![
        (Arc::new(Field::new("n", DataType::Int64, true)), Arc::new(Int64Array::from(vec![7]))),
        (Arc::new(Field::new("s", DataType::Utf8, true)), Arc::new(StringArray::from(vec![None::<&str>]))),
    ];
    assert_eq!(json_of(StructArray::from(fields)), ["{\"n\":7,\"s\":null}"]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.keys().append_value("k");
    map.values().append_value(1);
    map.append(true).expect("one entry");
    assert_eq!(json_of(map.finish()), ["{\"k\":1}"]);
}

#[test]
fn an_answer_is_one_object_and_a_broken_one_says_so() {
    let batch = RecordBatch::try_from_iter(vec![("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])
        .expect("a batch");
    let mut encoder = JsonEncoder::new(Style::default());
    let mut out = Vec::new();
    encoder.begin(&batch.schema(), &mut out).expect("begin");
    encoder.batch(&batch, &mut out).expect("batch");
    encoder.batch(&batch, &mut out).expect("batch");
    let mut broken = out.clone();
    let summary = Summary { rows: 4, row_cap: Some(4), profile: true, ..Summary::default() };
    encoder.end(&summary, &mut out).expect("end");
    let answer: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(answer["data"], json!([[1], [2], [1], [2]]));
    assert_eq!(answer["types"], json!(["BIGINT"]));
    assert_eq!(
        (&answer["row_count"], &answer["truncated"], &answer["row_cap"]),
        (&json!(4), &json!(true), &json!(4))
    );
    assert_eq!(answer["profile"]["files_scanned"], json!(0));
    encoder.fail(&Break { error: "no".into(), sqlstate: "57014", reason: "timeout" }, &mut broken);
    let answer: Value = serde_json::from_slice(&broken).expect("JSON");
    assert_eq!((&answer["truncated"], &answer["truncation_reason"]), (&json!(true), &json!("timeout")));
}

#[test]
fn exact_decimals_are_strings() {
    let decimals = Decimal128Array::from(vec![5]).with_precision_and_scale(20, 3).expect("decimals");
    let schema = Arc::new(Schema::new(vec![Field::new("d", decimals.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(decimals)]).expect("a batch");
    let mut out = Vec::new();
    rows_json(&batch, Style { exact: true }, &mut out).expect("rows");
    assert_eq!(out, b"[\"0.005\"]");
}
