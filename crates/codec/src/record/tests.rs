use std::sync::Arc;

use arrow::array::{AsArray, Decimal128Array, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use proptest::prelude::*;

use super::*;

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn json_field(name: &str) -> Field {
    field(name, DataType::Utf8).with_metadata([JSON_EXTENSION].map(|(k, v)| (k.into(), v.into())).into())
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn decoded(format: RecordFormat, fields: Vec<Field>, records: &[&str]) -> DecodedRecords {
    let decoder = Decoder::new(format, schema(fields)).expect("fits");
    let records: Vec<&[u8]> = records.iter().map(|record| record.as_bytes()).collect();
    decoder.decode(&records, AtBad::GoOn)
}

fn json() -> RecordFormat {
    RecordFormat::Json(JsonOptions::default())
}

fn cells(batch: &RecordBatch) -> Vec<String> {
    let table = pretty_format_batches(std::slice::from_ref(batch)).expect("shown").to_string();
    let rows = table.lines().skip(3).filter(|line| line.starts_with('|'));
    rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect()
}

#[test]
fn json_of_declared_columns_is_read_whatever_else_stands_there() {
    let fields = vec![
        field("at", timestamp()),
        field("id", DataType::Int64),
        field("name", DataType::Utf8),
        json_field("more"),
    ];
    let records = [
        r#"{"id": 1, "at": "2026-01-01T00:00:01.5", "name": "a", "extra": [1], "more": {"x": [1, 2]}}"#,
        r#"{"name": 7, "at": "2026-01-01 00:00:02Z", "id": "2"}"#,
    ];
    let decoded = decoded(json(), fields, &records);
    assert_eq!(decoded.bad, []);
    assert_eq!(
        cells(&decoded.batches[0].1),
        ["|2026-01-01T00:00:01.500|1|a|{\"x\": [1, 2]}|", "|2026-01-01T00:00:02|2|7||"]
    );
}

#[test]
fn what_does_not_fit_is_told_apart_from_its_neighbours() {
    let fields = vec![field("id", DataType::Int64), Field::new("name", DataType::Utf8, false)];
    let good = r#"{"id": 1, "name": "a"}"#;
    let records = [
        good,
        "",
        r#"{"id": "x", "name": "a"}"#,
        good,
        good,
        r#"{"id": 1}"#,
        "{",
        "5",
        &format!("{good}{good}"),
    ];
    let decoded = decoded(json(), fields, &records);
    let good: Vec<(usize, usize)> =
        decoded.batches.iter().map(|(at, batch)| (*at, batch.num_rows())).collect();
    assert_eq!(good.iter().map(|(_, rows)| rows).sum::<usize>(), 3, "{good:?}");
    assert_eq!((good[0], good[1].0), ((0, 1), 3));
    let bad: Vec<(usize, &str)> = decoded.bad.iter().map(|(at, why)| (*at, why.as_str())).collect();
    assert_eq!(bad.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2, 5, 6, 7, 8]);
    assert!(bad[0].1.contains("'id'"), "{}", bad[0].1);
    assert_eq!(bad[1].1, "column \"name\" is NULL, and declared NOT NULL");
    assert_eq!((bad[2].1, bad[4].1), ("the object ends in its middle", "more than one value in a record"));
}

#[test]
fn the_first_bad_record_can_be_the_end() {
    let decoder = Decoder::new(json(), schema(vec![field("id", DataType::Int64)])).expect("fits");
    let records: Vec<&[u8]> = vec![b"{\"id\": 1}", b"x", b"y"];
    let decoded = decoder.decode(&records, AtBad::Stop);
    assert_eq!((decoded.batches.len(), decoded.bad.len(), decoded.bad[0].0), (1, 1, 1));
}

#[test]
fn numbers_of_milliseconds_and_bytes_of_decimals_go_both_ways() {
    let options = JsonOptions {
        timestamps: Timestamps::UnixMillis,
        decimals: Decimals::Bytes,
        ..JsonOptions::default()
    };
    let fields = vec![field("at", timestamp()), field("price", DataType::Decimal128(10, 2))];
    let times = TimestampMicrosecondArray::from(vec![Some(1_767_225_600_123_000), None, Some(0)]);
    let prices =
        Decimal128Array::from(vec![Some(12_345), Some(-1), Some(128)]).with_precision_and_scale(10, 2);
    let batch =
        RecordBatch::try_new(schema(fields.clone()), vec![Arc::new(times), Arc::new(prices.expect("fits"))])
            .expect("a batch");
    let mut out = Vec::new();
    encode(&RecordFormat::Json(options), &batch, &mut out).expect("encodes");
    let text = String::from_utf8(out).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [r#"{"at":1767225600123,"price":"MDk="}"#, r#"{"price":"/w=="}"#, r#"{"at":0,"price":"AIA="}"#]
    );
    let again = decoded(RecordFormat::Json(options), fields, &lines);
    assert_eq!(again.batches[0].1, batch);
}

#[test]
fn json_is_written_without_zones_and_without_nulls() {
    let times = TimestampMicrosecondArray::from(vec![
        1_767_225_600_000_000,
        1_767_225_600_120_000,
        1_767_225_600_000_001,
    ]);
    let fields = vec![
        field("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        field("n", DataType::Int64),
        json_field("doc"),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times.with_timezone("UTC")),
        Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(StringArray::from(vec![Some("{\"a\":1}"), None, Some("\"x\"")])),
    ];
    let batch = RecordBatch::try_new(schema(fields), columns).expect("a batch");
    let mut out = Vec::new();
    encode(&json(), &batch, &mut out).expect("encodes");
    encode(&RecordFormat::DebeziumJson(JsonOptions::default()), &batch.slice(0, 1), &mut out)
        .expect("encodes");
    assert_eq!(
        String::from_utf8(out).expect("text").lines().collect::<Vec<_>>(),
        [
            r#"{"at":"2026-01-01T00:00:00","n":1,"doc":"{\"a\":1}"}"#,
            r#"{"at":"2026-01-01T00:00:00.120","doc":"null"}"#,
            r#"{"at":"2026-01-01T00:00:00.000001","n":3,"doc":"\"x\""}"#,
            r#"{"before":null,"after":{"at":"2026-01-01T00:00:00","n":1,"doc":"{\"a\":1}"},"op":"c"}"#,
        ]
    );
}

#[test]
fn changes_go_both_ways() {
    let debezium = RecordFormat::DebeziumJson(JsonOptions::default());
    let fields = vec![field("id", DataType::Int64), field("name", DataType::Utf8)];
    let lines = [
        r#"{"before":null,"after":{"id":1,"name":"a"},"op":"c"}"#,
        r#"{"before":{"id":1,"name":"a"},"after":{"id":1},"op":"u"}"#,
        r#"{"before":{"id":1},"after":null,"op":"d"}"#,
    ];
    let read = decoded(debezium.clone(), fields.clone(), &lines);
    let [(0, batch)] = &read.batches[..] else { panic!("{read:?}") };
    let changes = batch.column(2).as_primitive::<arrow::datatypes::Int64Type>().values();
    assert_eq!(changes.as_ref(), [COMES, REPLACED, REPLACES, GOES]);
    let mut out = Vec::new();
    encode(&debezium, batch, &mut out).expect("encodes");
    assert_eq!(String::from_utf8(out).expect("text").lines().collect::<Vec<_>>(), lines);
    // as Kafka Connect wraps it, a first snapshot, and what says nothing
    let wrapped = [
        r#"{"schema":{"type":"struct"},"payload":{"before":null,"after":{"id":2},"op":"r","ts_ms":1}}"#,
        "null",
        r#"{"schema":null,"payload":null}"#,
    ];
    let read = decoded(debezium.clone(), fields.clone(), &wrapped);
    assert_eq!((read.batches[0].1.num_rows(), read.bad.len()), (1, 0), "{read:?}");
    // each row knows its record, also where a neighbour is bad
    let all = ["null", lines[1], "{", lines[0], lines[2], lines[1]];
    let read = decoded(debezium.clone(), fields.clone(), &all);
    let rows: usize = read.batches.iter().map(|(_, batch)| batch.num_rows()).sum();
    assert_eq!((read.records.concat(), rows), (vec![1, 1, 3, 4, 5, 5], 6), "{read:?}");
    assert_eq!((read.batches.len(), read.bad.len(), read.bad[0].0), (read.records.len(), 1, 2));
    for (line, reason) in [
        (r#"{"after":{"id":1},"op":"u"}"#, "a change with op 'u' without \"before\""),
        (r#"{"before":{"id":1},"after":{"id":1},"op":"t"}"#, "op 't' of a change is none of c, r, u, d"),
        (r#"{"id":1}"#, "a change without \"op\""),
    ] {
        let read = decoded(debezium.clone(), fields.clone(), &[line]);
        assert_eq!(read.bad, [(0, reason.to_owned())], "{line}");
    }
}

#[test]
fn csv_finds_its_columns_by_the_header() {
    let fields =
        vec![field("id", DataType::Int64), field("name", DataType::Utf8), field("gone", DataType::Boolean)];
    let decoder = Decoder::new(RecordFormat::Csv, schema(fields)).expect("fits");
    let decoder = decoder.with_header(b"name,Id").expect("a header");
    let text = b"\"a\n\"\"b\"\"\",1\r\n,2\n\"\",x\nonly\nlast,9";
    let (records, taken) = split(&RecordFormat::Csv, text, true, 100).expect("splits");
    assert_eq!((records.len(), taken), (5, text.len()));
    let records: Vec<&[u8]> = records.into_iter().map(|record| &text[record]).collect();
    let decoded = decoder.decode(&records, AtBad::GoOn);
    let rows: Vec<String> = decoded.batches.iter().flat_map(|(_, batch)| cells(batch)).collect();
    assert!(rows.iter().any(|row| row == "|9|last||"), "{rows:?}");
    assert_eq!(decoded.bad.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2, 3]);
    assert!(decoded.bad[0].1.contains("column \"id\"") && decoded.bad[1].1 == "1 cells, expected 2");
}

#[test]
fn raw_records_are_one_column_named_value() {
    let decoded_text = decoded(RecordFormat::RawString, vec![field(VALUE, DataType::Utf8)], &["a", "", "b"]);
    assert_eq!(cells(&decoded_text.batches[0].1), ["|a|", "||", "|b|"]);
    for (format, fields, expected) in [
        (
            RecordFormat::RawString,
            vec![field("line", DataType::Utf8)],
            "format 'raw_string' has exactly one column, value TEXT, got line Utf8",
        ),
        (RecordFormat::RawBytes, vec![], "format 'raw_bytes' has exactly one column, value BYTEA"),
        (
            RecordFormat::Csv,
            vec![field("l", DataType::new_list(DataType::Int64, true))],
            "format 'csv' has no cells for column \"l\", which is nested",
        ),
    ] {
        let error = Decoder::new(format, schema(fields)).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
}

proptest! {
    #[test]
    fn records_are_the_same_however_the_bytes_are_cut(
        lines in proptest::collection::vec("[a-z\"\\r,]{0,6}", 0..20),
        cut in 0usize..100,
    ) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let whole = split(&RecordFormat::RawString, text.as_bytes(), true, 1000).expect("splits").0;
        let cut = cut.min(text.len());
        let (front, taken) = split(&RecordFormat::RawString, &text.as_bytes()[..cut], false, 1000).expect("splits");
        let (back, _) = split(&RecordFormat::RawString, &text.as_bytes()[taken..], true, 1000).expect("splits");
        let parts: Vec<_> = front.into_iter().chain(back.into_iter().map(|r| r.start + taken..r.end + taken)).collect();
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn arbitrary_bytes_never_panic(record in proptest::collection::vec(any::<u8>(), 0..60)) {
        for format in [json(), RecordFormat::Csv] {
            let fields = vec![field("a", DataType::Int64), json_field("b"), field("c", timestamp())];
            let decoder = Decoder::new(format, schema(fields)).expect("fits");
            let decoded = decoder.decode(&[&record], AtBad::GoOn);
            prop_assert!(decoded.bad.len() <= 1);
        }
    }
}
