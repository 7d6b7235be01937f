use std::collections::HashMap;

use cenote_vocab::{FieldType, TimeUnit};
use proptest::prelude::*;

use crate::decoded::shown;
use crate::{Known, Nothing};

use super::*;

const OPTIONS: Options = Options {
    precision: Precision::Microsecond,
    received: Micros(7),
    limits: Limits { rows_max: 1000, columns_max: 50, string_max: 1000 },
};

fn read(body: &str) -> Decoded {
    decode(body.as_bytes(), &OPTIONS, &Nothing).expect("good lines")
}

/// The reason why a line is bad that stands alone.
fn reason(line: &[u8]) -> String {
    match decode(line, &OPTIONS, &Nothing) {
        Err(Error::NoValidLines { first }) => first.reason,
        other => panic!("{} gives {other:?}", String::from_utf8_lossy(line)),
    }
}

struct Table(HashMap<&'static str, Known>);

impl KnownColumns for Table {
    fn column(&self, table: &str, column: &str) -> Option<Known> {
        (table == "cpu").then(|| self.0.get(column).cloned()).flatten()
    }
}

fn cpu(columns: &[(&'static str, FieldType, bool)]) -> Table {
    let known = |(name, field_type, tag): &(&'static str, FieldType, bool)| {
        (*name, Known { field_type: field_type.clone(), tag: *tag })
    };
    Table(columns.iter().map(known).collect())
}

#[test]
fn lines_become_rows_of_their_tables() {
    let decoded = read(
        "cpu,host=a,dc=eu v=1.5,n=2i,ok=t,s=\"x y\" 1\n\
         mem used=1u\r\n\
         \n  \n# a comment, v=\"\r\n\
         cpu,host=b,dc=eu v=2.5,n=3i,ok=f,s=\"\" 2\n\
         cpu,dc=us w=\"new\",v=.5   3  ",
    );
    assert_eq!(
        shown(&decoded),
        "cpu [host,dc]\n\
         time|host:Utf8|dc:Utf8|v:Float64|n:Int64|ok:Boolean|s:Utf8|w:Utf8\n\
         1970-01-01T00:00:00.000001|a|eu|1.5|2|true|x y|-\n\
         1970-01-01T00:00:00.000002|b|eu|2.5|3|false||-\n\
         1970-01-01T00:00:00.000003|-|us|0.5|-|-|-|new\n\
         mem []\n\
         time|used:Int64\n\
         1970-01-01T00:00:00.000007|1"
    );
    assert_eq!((decoded.rejected_lines, decoded.rows()), (0, 4));
}

#[test]
fn an_empty_body_has_no_rows() {
    for body in ["", "\n", "# only this", " \r\n\t"] {
        assert_eq!(read(body), Decoded::default());
    }
}

#[test]
fn escapes_go_and_newlines_in_quotes_stay() {
    let decoded = read(
        "m\\,1\\ a=b,t\\ 1=x\\=\\,\\ \\y\\\\z f\\,\\=1=\"a\\\"b\\\\c\\n\nd\" 1\nm\\,1\\ a=b,t\\ 1=z f\\,\\=1=\"\" 2",
    );
    assert_eq!(
        shown(&decoded),
        "m,1 a=b [t 1]\ntime|t 1:Utf8|f,=1:Utf8\n\
         1970-01-01T00:00:00.000001|x=, \\y\\\\z|a\"b\\c\\n\nd\n\
         1970-01-01T00:00:00.000002|z|"
    );
}

#[test]
fn every_way_to_be_bad_has_its_reason() {
    for (line, expected) in [
        ("cpu", "no fields were provided"),
        ("cpu ", "no fields were provided"),
        ("cpu,host=a", "no fields were provided"),
        ("cpu,host=a  \r", "no fields were provided"),
        ("cpu,host=a  \rx", "missing value of field \"\\rx\""),
        ("cpu,host=a 1", "missing value of field \"1\""),
        (",host=a v=1", "empty measurement"),
        ("cpu, v=1", "missing value of tag \"\""),
        ("cpu,=a v=1", "empty tag key"),
        ("cpu,host= v=1", "empty value of tag \"host\""),
        ("cpu,host v=1", "missing value of tag \"host\""),
        ("cpu,host=a=b v=1", "a tag's value holds an = without a backslash"),
        ("cpu =1", "empty field key"),
        ("cpu v=", "field \"v\": missing value"),
        ("cpu v", "missing value of field \"v\""),
        ("cpu v=1,", "missing value of field \"\""),
        ("cpu v=NaN", "field \"v\": invalid field value \"NaN\""),
        ("cpu v=9223372036854775808i", "field \"v\": invalid field value \"9223372036854775808i\""),
        ("cpu v=\"x", "field \"v\": quotes are never closed"),
        ("cpu v=\"x\"y", "invalid field value: text behind its end"),
        ("cpu v=1 now", "invalid timestamp \"now\""),
        ("cpu v=1 1.5", "invalid timestamp \"1.5\""),
        ("cpu v=1 1 2", "invalid timestamp \"1\""),
        ("cpu v=1 99999999999999999999", "invalid timestamp \"99999999999999999999\""),
        ("cpu v=1 999999999999999999", "out of range timestamp \"999999999999999999\""),
        ("cpu v=1,v=2", "field key \"v\" is given twice"),
        ("cpu,a=1,a=2 v=1", "tag key \"a\" is given twice"),
        ("cpu,a=1,a_value=2 a=1", "field key \"a\" is given twice"),
        ("cpu,time=1 v=1", "a tag cannot be called \"time\""),
        ("cpu time=1", "a field cannot be called \"time\""),
        ("cpu _txn=1", "column name \"_txn\" is a system column"),
        ("1cpu v=1", "table name \"1cpu\" must start with a letter or _"),
        ("cpu \u{1}=1", "column name \"\\u{1}\" may not hold control characters"),
    ] {
        assert_eq!(reason(line.as_bytes()), expected, "{line:?}");
    }
    assert_eq!(reason(b"cpu v=\"\xff\""), "line is not valid UTF-8");
    assert_eq!(reason(b"c\xffu v=1"), "line is not valid UTF-8");
}

#[test]
fn good_lines_are_stored_and_bad_ones_reported_with_their_number() {
    let body = "cpu v=1 1\n\ncpu v=\"x\ny\" 2\ncpu v=2 3\ncpu v= 4\r\ncpu w=1i,v=3 5";
    let decoded = read(body);
    assert_eq!(
        shown(&decoded),
        "cpu []\ntime|v:Float64|w:Int64\n\
         1970-01-01T00:00:00.000001|1.0|-\n\
         1970-01-01T00:00:00.000003|2.0|-\n\
         1970-01-01T00:00:00.000005|3.0|1"
    );
    let rejected =
        |number, line: &str, reason: &str| RejectedLine { number, line: line.into(), reason: reason.into() };
    assert_eq!(
        decoded.rejected,
        [
            rejected(
                3,
                "cpu v=\"x\ny\" 2",
                "field type conflict: input field \"v\" on measurement \"cpu\" is type string, already exists as type float"
            ),
            rejected(6, "cpu v= 4", "field \"v\": missing value"),
        ]
    );
    let Err(Error::NoValidLines { first }) = decode(b"\ncpu\nmem", &OPTIONS, &Nothing) else {
        panic!("all bad")
    };
    assert_eq!(first, rejected(2, "cpu", "no fields were provided"));
}

#[test]
fn a_bad_line_leaves_no_column_behind() {
    let decoded = read("cpu a=1,b=x 1\ncpu c=2,a=\"t\" 2\nbad x=\ncpu a=3i 4");
    assert_eq!(shown(&decoded), "cpu []\ntime|c:Float64|a:Utf8\n1970-01-01T00:00:00.000002|2.0|t");
    assert_eq!(decoded.rejected_lines, 3);
}

#[test]
fn at_most_a_hundred_bad_lines_are_shown_and_all_are_counted() {
    let body = format!("{}cpu v=1", "cpu v=ü\n".repeat(150));
    let decoded = read(&body);
    assert_eq!((decoded.rejected.len(), decoded.rejected_lines), (100, 150));
    let long = format!("cpu v={}", "ü".repeat(500));
    let Err(Error::NoValidLines { first }) = decode(long.as_bytes(), &OPTIONS, &Nothing) else {
        panic!("bad")
    };
    assert_eq!(first.line.len(), 256);
}

#[test]
fn a_field_named_like_a_tag_of_its_line_gets_another_name() {
    let decoded =
        read("cpu,host=a host=1,v=2 1\ncpu,host=b host=2,v=3 2\ncpu host=\"c\",v=4 3\ncpu host=5 4");
    assert_eq!(
        shown(&decoded),
        "cpu [host]\ntime|host:Utf8|host_value:Float64|v:Float64\n\
         1970-01-01T00:00:00.000001|a|1.0|2.0\n\
         1970-01-01T00:00:00.000002|b|2.0|3.0\n\
         1970-01-01T00:00:00.000003|c|-|4.0\n\
         1970-01-01T00:00:00.000004|5.0|-|-"
    );
    let decoded = read("cpu v=1\ncpu,v=a w=1\ncpu s=\"x\"\ncpu,s=y w=2");
    assert_eq!(decoded.tables[0].tags, ["s"]);
    assert_eq!(
        decoded.rejected[0].reason,
        "field type conflict: input field \"v\" on measurement \"cpu\" is type tag, already exists as type float"
    );
}

#[test]
fn changing_keys_find_their_columns() {
    let decoded = read(
        "m,a=1,b=2 x=1,y=2\nm,a=3 x=3\nm,b=4,a=5 y=4,x=5\nm,a=6,b=7,c=8 x=6\nm x=7,y=8\nm,a=9,b=9 x=9,y=9",
    );
    assert_eq!(
        shown(&decoded).replace("1970-01-01T00:00:00.000007", "now"),
        "m [a,b,c]\ntime|a:Utf8|b:Utf8|x:Float64|y:Float64|c:Utf8\n\
         now|1|2|1.0|2.0|-\nnow|3|-|3.0|-|-\nnow|5|4|5.0|4.0|-\nnow|6|7|6.0|-|8\nnow|-|-|7.0|8.0|-\nnow|9|9|9.0|9.0|-"
    );
}

#[test]
fn whole_numbers_move_between_integers_and_doubles() {
    let decoded = read("m i=1i,d=1.5 1\nm i=2,d=2i 2\nm i=2.5 3\nm d=9007199254740993i 4");
    assert_eq!(
        shown(&decoded),
        "m []\ntime|i:Int64|d:Float64\n1970-01-01T00:00:00.000001|1|1.5\n1970-01-01T00:00:00.000002|2|2.0"
    );
    let reasons: Vec<_> = decoded.rejected.iter().map(|line| &line.reason[..]).collect();
    assert_eq!(
        reasons,
        [
            "field type conflict: input field \"i\" on measurement \"m\" is type float, already exists as type integer",
            "field type conflict: input field \"d\" on measurement \"m\" is type integer, already exists as type float",
        ]
    );
}

#[test]
fn columns_of_the_table_keep_their_types() {
    let table = cpu(&[
        ("n", FieldType::Int64, false),
        ("at", FieldType::Timestamp(TimeUnit::Micro), false),
        ("host", FieldType::String, true),
        ("price", FieldType::Decimal { precision: 6, scale: 2 }, false),
        ("x", FieldType::Unknown, false),
    ]);
    let body = "cpu n=2,at=1700000000i,host=5i,price=1.25,x=t 1\ncpu n=3i,at=\"2024-01-01\",host=t,price=3i 2\ncpu n=2.5\ncpu,n=a v=1\nmem n=2.5 3";
    let decoded = decode(body.as_bytes(), &OPTIONS, &table).expect("good lines");
    assert_eq!(
        shown(&decoded),
        "cpu []\ntime|n:Int64|at:Timestamp(µs)|host:Utf8|price:Utf8|x:Boolean\n\
         1970-01-01T00:00:00.000001|2|2023-11-14T22:13:20|5|1.25|true\n\
         1970-01-01T00:00:00.000002|3|2024-01-01T00:00:00|true|3|-\n\
         mem []\ntime|n:Float64\n1970-01-01T00:00:00.000003|2.5"
    );
    let reasons: Vec<_> = decoded.rejected.iter().map(|line| &line.reason[..]).collect();
    assert_eq!(
        reasons,
        [
            "field type conflict: input field \"n\" on measurement \"cpu\" is type float, already exists as type integer",
            "field type conflict: input field \"n\" on measurement \"cpu\" is type tag, already exists as type integer",
        ]
    );
}

#[test]
fn a_column_is_looked_up_once() {
    struct Counting(std::cell::Cell<u32>);
    impl KnownColumns for Counting {
        fn column(&self, _: &str, _: &str) -> Option<Known> {
            self.0.set(self.0.get() + 1);
            None
        }
    }
    let counting = Counting(Default::default());
    decode(b"m,t=a x=1,y=2\nm,t=b y=1,x=2\nm z=1\nm,t=a x=1", &OPTIONS, &counting).expect("good");
    assert_eq!(counting.0.get(), 4);
}

#[test]
fn timestamps_have_the_unit_of_the_request() {
    for (precision, stamp, micros) in [
        (Precision::Nanosecond, "1999", "00.000001"),
        (Precision::Nanosecond, "1700000000000000001", "2023-11-14T22:13:20"),
        (Precision::Millisecond, "+5", "00.005"),
        (Precision::Second, "0", "00:00:00"),
        (Precision::Auto, "1700000000", "2023-11-14T22:13:20"),
        (Precision::Nanosecond, "-1", "1969-12-31T23:59:59.999999"),
    ] {
        let options = Options { precision, ..OPTIONS };
        let decoded = decode(format!("m v=1 {stamp}").as_bytes(), &options, &Nothing).expect("good");
        let text = shown(&decoded);
        assert!(text.ends_with(&format!("{micros}|1.0")), "{text}");
    }
}

#[test]
fn limits_are_named() {
    let wide = (0..60).map(|index| format!("f{index}=1")).collect::<Vec<_>>().join(",");
    for (body, name) in [
        ("m v=1\n".repeat(1001), "rows_per_request_max"),
        ((0..=10_000).map(|table| format!("m{table} v=\n")).collect(), "tables_per_request_max"),
        (format!("m {wide}"), "columns_per_table_max"),
        (format!("m v=\"{}\"", "x".repeat(1001)), "string_max"),
        (format!("m,t={} v=1", "x".repeat(1001)), "string_max"),
    ] {
        let error = decode(body.as_bytes(), &OPTIONS, &Nothing).expect_err(name);
        assert!(matches!(&error, Error::Limit { limit, .. } if *limit == name), "{error}");
    }
}

#[derive(Clone, Debug)]
enum Field {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(String),
}

/// Four fields whose names decide their types, so that points never conflict.
fn field() -> impl Strategy<Value = (usize, Field)> {
    prop_oneof![
        any::<i64>().prop_map(|value| (0, Field::Int(value))),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(|value| (1, Field::Float(value))),
        any::<bool>().prop_map(|value| (2, Field::Bool(value))),
        "[a-zü\"\\\\,= \n#]{0,12}".prop_map(|value| (3, Field::Text(value))),
    ]
}

fn escaped(name: &str, specials: &[char]) -> String {
    name.chars().map(|c| if specials.contains(&c) { format!("\\{c}") } else { c.to_string() }).collect()
}

type Point = (Vec<(usize, String)>, Vec<(usize, Field)>, i64);

const TAGS: [&str; 3] = ["host", "data center", "a=b,c"];
const FIELDS: [&str; 4] = ["int", "flo at", "bool", "te,xt"];

fn point() -> impl Strategy<Value = Point> {
    let tags = proptest::collection::btree_map(0..3usize, "[a-zü,= \\\\]{0,8}[a-z]", 0..3);
    let fields = proptest::collection::vec(field(), 1..5);
    (tags, fields, -1_000_000_000_000..1_000_000_000_000i64).prop_map(|(tags, mut fields, time)| {
        fields.sort_by_key(|(index, _)| *index);
        fields.dedup_by_key(|(index, _)| *index);
        (tags.into_iter().collect(), fields, time)
    })
}

fn line((tags, fields, time): &Point) -> String {
    let key = |name| escaped(name, &[',', '=', ' ']);
    let mut line = "m\\ x".to_owned();
    for (index, value) in tags {
        line += &format!(",{}={}", key(TAGS[*index]), key(value));
    }
    for (position, (index, value)) in fields.iter().enumerate() {
        let value = match value {
            Field::Int(value) => format!("{value}i"),
            Field::Float(value) => format!("{value:e}"),
            Field::Bool(value) => value.to_string(),
            Field::Text(text) => format!("\"{}\"", escaped(text, &['"', '\\'])),
        };
        line += &format!("{}{}={value}", if position == 0 { ' ' } else { ',' }, key(FIELDS[*index]));
    }
    format!("{line} {time}\n")
}

proptest! {
    #[test]
    fn points_that_are_written_are_read_back(points in proptest::collection::vec(point(), 1..20)) {
        use arrow::array::{Array, AsArray};
        use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};

        let decoded = read(&points.iter().map(line).collect::<String>());
        prop_assert_eq!(decoded.rejected_lines, 0);
        let batch = &decoded.tables[0].batch;
        prop_assert_eq!(batch.num_rows(), points.len());
        for (row, (tags, fields, time)) in points.iter().enumerate() {
            prop_assert_eq!(batch.column(0).as_primitive::<TimestampMicrosecondType>().value(row), *time);
            for (index, name) in TAGS.iter().enumerate() {
                let sent = tags.iter().find(|(tag, _)| *tag == index).map(|(_, value)| &value[..]);
                let read = batch.column_by_name(name).map(|column| column.as_string::<i32>());
                prop_assert_eq!(read.and_then(|read| read.is_valid(row).then(|| read.value(row))), sent);
            }
            for (index, name) in FIELDS.iter().enumerate() {
                let sent = fields.iter().find(|(field, _)| *field == index).map(|(_, value)| value);
                let read = batch.column_by_name(name).filter(|column| column.is_valid(row));
                prop_assert_eq!(read.is_some(), sent.is_some());
                if let (Some(read), Some(sent)) = (read, sent) {
                    match sent {
                        Field::Int(value) => prop_assert_eq!(read.as_primitive::<Int64Type>().value(row), *value),
                        Field::Float(value) => prop_assert_eq!(read.as_primitive::<Float64Type>().value(row), *value),
                        Field::Bool(value) => prop_assert_eq!(read.as_boolean().value(row), *value),
                        Field::Text(value) => prop_assert_eq!(read.as_string::<i32>().value(row), value),
                    }
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let rows = decode(&body, &OPTIONS, &Nothing).map_or(0, |decoded| decoded.rows());
        prop_assert!(rows <= body.len() as u64);
    }

    #[test]
    fn no_line_of_the_alphabet_is_lost(body in "[mv,= \\\\\"\n\r1i#t-]{0,60}") {
        // Each line that is not blank or a comment is a row or a rejected line.
        match decode(body.as_bytes(), &OPTIONS, &Nothing) {
            Ok(decoded) => {
                let counted = decoded.rows() + decoded.rejected_lines;
                prop_assert!(counted as usize <= body.lines().count());
                if !body.contains(['"', '#', '\r']) {
                    let lines = body.lines().filter(|line| !line.trim_matches(' ').is_empty()).count();
                    prop_assert_eq!(counted as usize, lines);
                }
            }
            Err(error) => prop_assert!(matches!(error, Error::NoValidLines { .. }), "{}", error),
        }
    }
}
