use proptest::prelude::*;
use rmp::encode as to;

use crate::decoded::shown;

use super::*;

const OPTIONS: Options = Options {
    precision: None,
    received: Micros(7),
    accept_partial: false,
    limits: Limits { rows_max: 1000, columns_max: 50, string_max: 1000 },
};

/// A MessagePack value by the JSON that looks like it: numbers with a fraction are doubles.
fn pack(json: serde_json::Value) -> Vec<u8> {
    fn write(out: &mut Vec<u8>, json: &serde_json::Value) {
        use serde_json::Value::*;
        match json {
            Null => to::write_nil(out).expect("memory"),
            Bool(value) => to::write_bool(out, *value).expect("memory"),
            Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => assert!(to::write_sint(out, value).is_ok()),
                (None, Some(value)) => assert!(to::write_uint(out, value).is_ok()),
                (None, None) => to::write_f64(out, number.as_f64().expect("double")).expect("memory"),
            },
            String(text) => to::write_str(out, text).expect("memory"),
            Array(values) => {
                to::write_array_len(out, values.len() as u32).expect("memory");
                values.iter().for_each(|value| write(out, value));
            }
            Object(entries) => {
                to::write_map_len(out, entries.len() as u32).expect("memory");
                for (key, value) in entries {
                    to::write_str(out, key).expect("memory");
                    write(out, value);
                }
            }
        }
    }
    let mut out = Vec::new();
    write(&mut out, &json);
    out
}

macro_rules! packed {
    ($($json:tt)+) => { pack(serde_json::json!($($json)+)) };
}

fn read(body: &[u8]) -> String {
    shown(&decode(body, &OPTIONS).expect("good items"))
}

fn refused(body: &[u8]) -> String {
    decode(body, &OPTIONS).expect_err("bad item").to_string()
}

#[test]
fn every_shape_gives_the_same_rows() {
    let columnar = packed!({"m": "cpu", "columns": {"time": [1, 2], "v": [0.5, 1.5]}, "time_unit": "us"});
    let one =
        |time: i64, v: f64| serde_json::json!({"m": "cpu", "t": time, "fields": {"v": v}, "time_unit": "us"});
    let rows = "cpu []\ntime|v:Float64\n1970-01-01T00:00:00.000001|0.5\n1970-01-01T00:00:00.000002|1.5";
    for body in [
        columnar.clone(),
        packed!([{"m": "cpu", "columns": {"time": [1, 2], "v": [0.5, 1.5]}, "time_unit": "us"}]),
        packed!({"m": "ignored", "batch": [one(1, 0.5), one(2, 1.5)]}),
        packed!([one(1, 0.5), {"batch": [one(2, 1.5)]}]),
        [pack(one(1, 0.5)), pack(one(2, 1.5))].concat(),
        [packed!({"m": "cpu", "columns": {"time": [1], "v": [0.5]}, "time_unit": "us"}), pack(one(2, 1.5))]
            .concat(),
    ] {
        assert_eq!(read(&body), rows);
    }
}

#[test]
fn what_is_no_map_is_refused_by_its_type() {
    assert_eq!(refused(b"\x05"), "unsupported msgpack payload type: int");
    assert_eq!(refused(b"\xc0"), "unsupported msgpack payload type: nil");
    assert_eq!(refused(&packed!([{"m": "a", "f": [1]}, "x"])), "item 2: is not a map but str");
    assert_eq!(refused(&packed!({"batch": [5]})), "item 1: is not a map but int");
    assert_eq!(refused(&packed!({"batch": {"a": 1}})), "item 1: missing required field 'm'");
    let rows = packed!({"m": "a", "batch": [{"m": "b", "batch": [1], "fields": {"v": 1}}]});
    assert!(read(&rows).starts_with("b []"), "batches do not nest");
}

#[test]
fn columns_have_their_types_and_gaps() {
    let first = packed!({"m": 5, "columns": {"b": [true, false, null], "d": [1, 0.5, null], "n": [1, -2, 300], "s": ["a", null, "ü"], "z": [null, null, null]}});
    let second = packed!({"m": "measurement_5", "columns": {"new": [1]}});
    assert_eq!(
        read(&[first, second].concat()).replace("1970-01-01T00:00:00.000007", "now"),
        "measurement_5 []\ntime|b:Boolean|d:Float64|n:Int64|s:Utf8|z:Null|new:Int64\n\
         now|true|1.0|1|a|-|-\nnow|false|0.5|-2|-|-|-\nnow|-|-|300|ü|-|-\nnow|-|-|-|-|-|1"
    );
}

#[test]
fn every_encoding_of_a_value_is_read() {
    let mut body = b"\x82\xa1m\xa1m\xa7columns".to_vec();
    body.extend(b"\x84\xa1i\x98\x01\xff\xcc\xff\xcd\x01\x00\xce\0\0\0\x01\xcf\0\0\0\0\0\0\0\x02\xd2\xff\xff\xff\xff\xd3\xff\xff\xff\xff\xff\xff\xff\xfe");
    body.extend(
        b"\xa1d\x98\xca\x3f\x80\0\0\xcb\x7f\xf0\0\0\0\0\0\0\xcb\x7f\xf8\0\0\0\0\0\0\x05\xc0\xc0\xc0\xc0",
    );
    body.extend(b"\xc4\x01b\x98\xc4\x01x\xc5\0\x01\xff\xc0\xc0\xc0\xc0\xc0\xc0");
    body.extend(b"\xa1t\x98\xd6\xff\0\0\0\x01\xc0\xc0\xc0\xc0\xc0\xc0\xc0");
    assert_eq!(
        read(&body).replace("1970-01-01T00:00:00.000007", "now"),
        "m []\ntime|i:Int64|d:Float64|b:Binary|t:Timestamp(µs)\n\
         now|1|1.0|78|1970-01-01T00:00:01\nnow|-1|inf|ff|-\nnow|255|NaN|-|-\nnow|256|5.0|-|-\nnow|1|-|-|-\nnow|2|-|-|-\nnow|-1|-|-|-\nnow|-2|-|-|-"
    );
}

#[test]
fn columnar_items_are_checked_with_their_place() {
    for (body, text) in [
        (packed!({"columns": {"v": [1]}}), "item 1: missing required field 'm'"),
        (packed!({"m": [], "columns": {"v": [1]}}), "item 1: field 'm' is array, expected str or int"),
        (packed!({"m": "cpu", "columns": {}}), "item 1 (measurement \"cpu\"): no columns"),
        (
            packed!({"m": "cpu", "columns": {"a": [1, 2], "c": [1]}}),
            "item 1 (measurement \"cpu\"): columnar format: array length mismatch (expected 2, got 1 for 'c')",
        ),
        (
            packed!({"m": "cpu", "columns": {"a": 1}}),
            "item 1 (measurement \"cpu\"): column \"a\": is int, expected array",
        ),
        (
            packed!([{"m": "ok", "columns": {"a": [1]}}, {"m": "cpu", "columns": {"usage": [1, 2, "x"]}}]),
            "item 2 (measurement \"cpu\"): column \"usage\": index 2: value is varchar, values before it are bigint",
        ),
        (
            packed!({"m": "cpu", "columns": {"a": [[1]]}}),
            "item 1 (measurement \"cpu\"): column \"a\": index 0: value is a nested array, expected a scalar",
        ),
        (
            packed!({"m": "cpu", "columns": {"a": [9223372036854775808u64]}}),
            "item 1 (measurement \"cpu\"): column \"a\": index 0: integer 9223372036854775808 is above 9223372036854775807",
        ),
        (
            packed!({"m": "cpu", "columns": {"time": [1.5, null], "v": [1, 2]}}),
            "item 1 (measurement \"cpu\"): column \"time\": row 1: time is null",
        ),
        (
            packed!({"m": "cpu", "columns": {"time": [1700000000000i64, 1700000000], "v": [1, 2]}}),
            "item 1 (measurement \"cpu\"): column \"time\": mixed time units in column \"time\": row 1 looks like s, row 0 like ms; send time_unit",
        ),
        (packed!({"m": "cpu", "columns": {"_txn": [1]}}), "column name \"_txn\" is a system column"),
        (
            packed!({"m": "a/b", "columns": {"v": [1]}}),
            "table name \"a/b\" may not hold control characters or any of / \\ \" ' ;",
        ),
        (
            packed!({"m": "cpu", "columns": {"v": [1]}, "tags": "v"}),
            "item 1 (measurement \"cpu\"): tags is str, expected an array of names",
        ),
    ] {
        assert_eq!(refused(&body), text);
    }
    let twice = b"\x82\xa1m\xa1m\xa7columns\x82\xa1a\x91\x01\xa1a\x91\x02";
    assert_eq!(refused(twice), "item 1 (measurement \"m\"): column \"a\" is given twice");
}

#[test]
fn time_that_is_missing_nil_or_empty_is_now() {
    for columns in [
        serde_json::json!({"v": [1, 2]}),
        serde_json::json!({"time": null, "v": [1, 2]}),
        serde_json::json!({"time": [], "v": [1, 2]}),
    ] {
        let text = read(&packed!({"m": "m", "columns": columns}));
        assert_eq!(text, "m []\ntime|v:Int64\n1970-01-01T00:00:00.000007|1\n1970-01-01T00:00:00.000007|2");
    }
}

#[test]
fn times_of_columns_are_found_by_magnitude() {
    let micros = |times: serde_json::Value| {
        let text = read(&packed!({"m": "m", "columns": {"time": times, "v": [1]}}));
        text.lines().nth(2).expect("a row").split('|').next().expect("time").to_owned()
    };
    for (times, expected) in [
        (serde_json::json!([1700000000]), "2023-11-14T22:13:20"),
        (serde_json::json!([1700000000000i64]), "2023-11-14T22:13:20"),
        (serde_json::json!([1700000000000000i64]), "2023-11-14T22:13:20"),
        (serde_json::json!([1700000000000000999i64]), "2023-11-14T22:13:20"),
        (serde_json::json!([0]), "1970-01-01T00:00:00"),
        (serde_json::json!([-1]), "1969-12-31T23:59:59"),
        (serde_json::json!([1700000000.5]), "2023-11-14T22:13:20.500"),
        (serde_json::json!(["2023-11-14T23:13:20+01:00"]), "2023-11-14T22:13:20"),
    ] {
        assert_eq!(micros(times), expected);
    }
}

#[test]
fn rows_are_grouped_by_table() {
    let body = packed!([
        {"m": "cpu", "t": 1, "h": "a", "tags": {"dc": 5, "host": "loses"}, "fields": {"dc": 2, "v": 1}},
        {"m": "mem", "t": 2, "f": [1.5, null]},
        {"m": "cpu", "t": 3, "h": 7, "fields": {"w": "x"}},
        {"m": "cpu", "t": 4, "h": null, "tags": {"host": "kept", "z": null}, "fields": {"v": 0.5}},
        {"m": "cpu", "t": 5, "tags": null, "fields": {"dc": "field"}}
    ]);
    assert_eq!(
        read(&body),
        "cpu [host,dc,z]\ntime|host:Utf8|dc:Utf8|dc_value:Int64|v:Float64|w:Utf8|z:Utf8\n\
         1970-01-01T00:00:01|a|5|2|1.0|-|-\n\
         1970-01-01T00:00:03|host_7|-|-|-|x|-\n\
         1970-01-01T00:00:04|kept|-|-|0.5|-|-\n\
         1970-01-01T00:00:05|-|field|-|-|-|-\n\
         mem []\ntime|field_0:Float64|field_1:Null\n\
         1970-01-01T00:00:02|1.5|-"
    );
}

#[test]
fn row_items_are_checked_with_their_place() {
    for (body, text) in [
        (
            packed!({"m": "cpu", "t": 1}),
            "item 1 (measurement \"cpu\"): missing required field 'fields' or 'f'",
        ),
        (packed!({"m": "cpu", "fields": {}}), "item 1 (measurement \"cpu\"): no fields"),
        (
            packed!({"m": "cpu", "fields": 5}),
            "item 1 (measurement \"cpu\"): field 'fields' is int, expected map",
        ),
        (packed!({"m": "cpu", "t": null, "f": [1]}), "item 1 (measurement \"cpu\"): time is null"),
        (packed!({"m": "cpu", "t": true, "f": [1]}), "item 1 (measurement \"cpu\"): time is boolean"),
        (
            packed!({"m": "cpu", "t": "soon", "f": [1]}),
            "item 1 (measurement \"cpu\"): time \"soon\" is not RFC 3339 within years 1 to 9999",
        ),
        (
            packed!({"m": "cpu", "f": [1], "time_unit": "x"}),
            "item 1 (measurement \"cpu\"): unknown time unit \"x\": expected one of n, ns, nanosecond, u, us, µ, microsecond, ms, millisecond, s, second, m, h, auto",
        ),
        (
            packed!({"m": "cpu", "fields": {"time": 1}}),
            "item 1 (measurement \"cpu\"): field \"time\" would hide the row's time",
        ),
        (
            packed!({"m": "cpu", "fields": {"v": {}}}),
            "item 1 (measurement \"cpu\"): column \"v\": value is a nested map, expected a scalar",
        ),
        (
            packed!([{"m": "cpu", "f": [1]}, {"m": "cpu", "f": [true]}]),
            "item 2 (measurement \"cpu\"): column \"field_0\": value is boolean, values before it are bigint",
        ),
        (
            packed!({"m": "cpu", "h": [], "f": [1]}),
            "item 1 (measurement \"cpu\"): field 'h' is array, expected str or int",
        ),
    ] {
        assert_eq!(refused(&body), text);
    }
    let twice = b"\x82\xa1m\xa1m\xa6fields\x82\xa1a\x01\xa1a\x02";
    assert_eq!(refused(twice), "item 1 (measurement \"m\"): column \"a\" is given twice");
    let keys_of_numbers = b"\x82\xa1m\xa1m\x01\x02";
    assert_eq!(refused(keys_of_numbers), "item 1: a map key is int, expected str");
}

#[test]
fn tags_of_columnar_items_become_text() {
    let body =
        packed!({"m": "m", "columns": {"host": [1, 2.5, "c"], "v": [1, 2, 3]}, "tags": ["host", "absent"]});
    let decoded = decode(&body, &OPTIONS).expect("good");
    assert_eq!(decoded.tables[0].tags, ["host"]);
    assert!(shown(&decoded).contains("|host:Utf8|"), "{}", shown(&decoded));
}

#[test]
fn partial_acceptance_rejects_items_and_leaves_nothing_of_them() {
    let options = Options { accept_partial: true, ..OPTIONS };
    let body = packed!([
        {"m": "cpu", "t": 1, "fields": {"v": 1}},
        {"m": "cpu", "t": 2, "fields": {"u": 1, "v": 0.5, "w": {}}},
        "no map",
        {"m": "cpu", "columns": {"a": [1, 2], "v": [0.5, "x"]}},
        {"m": "cpu", "t": 5, "tags": {"h": "x"}, "fields": {"v": true}},
        {"m": "cpu", "t": 6, "fields": {"h": 1, "v": 2}}
    ]);
    let decoded = decode(&body, &options).expect("two good items");
    assert_eq!(
        shown(&decoded),
        "cpu []\ntime|v:Int64|h:Int64\n1970-01-01T00:00:01|1|-\n1970-01-01T00:00:06|2|1"
    );
    let rejected: Vec<_> = decoded.rejected.iter().map(|item| (item.number, &item.reason[..])).collect();
    assert_eq!(
        rejected,
        [
            (2, "measurement \"cpu\": column \"w\": value is a nested map, expected a scalar"),
            (3, "is not a map but str"),
            (4, "measurement \"cpu\": column \"v\": index 1: value is varchar, values before it are double"),
            (5, "measurement \"cpu\": column \"v\": value is boolean, values before it are bigint"),
        ]
    );
    let Err(Error::NoValidLines { first }) = decode(&packed!([1, 2]), &options) else {
        panic!("none is good")
    };
    assert_eq!(first.number, 1);
}

#[test]
fn broken_framing_is_an_error_of_the_body() {
    let options = Options { accept_partial: true, ..OPTIONS };
    let whole = packed!({"m": "cpu", "columns": {"v": [1.5, 2.5], "s": ["a", "b"]}});
    for end in 1..whole.len() {
        let error = decode(&whole[..end], &options).expect_err("truncated");
        assert!(matches!(error, Error::Malformed(_)), "{error}");
    }
    for claim in [&b"\xdd\xff\xff\xff\xff"[..], b"\xdf\xff\xff\xff\xff", b"\x81\xa1m\xdb\xff\xff\xff\xff"] {
        let error = decode(claim, &options).expect_err("a claim").to_string();
        assert!(error.contains("bytes are left"), "{error}");
    }
}

#[test]
fn limits_are_named() {
    let deep = [&b"\x82\xa1m\xa1m\xa1x"[..], &[0x91; 64], b"\x01"].concat();
    let wide = serde_json::Map::from_iter((0..60).map(|index| (format!("f{index}"), 1.into())));
    for (body, name) in [
        (deep, "nesting_max"),
        (packed!({"m": "m", "columns": {"v": vec![1; 1001]}}), "rows_per_request_max"),
        (packed!({"m": "m", "fields": wide}), "columns_per_table_max"),
        (packed!({"m": "m", "fields": {"v": "x".repeat(1001)}}), "string_max"),
        (packed!({"m": "m", "columns": {"v": ["x".repeat(1001)]}}), "string_max"),
    ] {
        let options = Options { accept_partial: true, ..OPTIONS };
        let error = decode(&body, &options).expect_err(name);
        assert!(matches!(&error, Error::Limit { limit, .. } if *limit == name), "{error}");
    }
}

#[test]
fn invalid_utf8_is_replaced_and_counted() {
    let body = b"\x82\xa1m\xa1m\xa7columns\x81\xa1s\x93\xa1a\xa1\xff\xa2\xc3\xbc";
    let decoded = decode(body, &OPTIONS).expect("replaced");
    assert_eq!(decoded.replaced_utf8, 1);
    assert!(shown(&decoded).contains("|\u{fffd}\n"), "{}", shown(&decoded));
    let body = b"\x82\xa1m\xa1m\xa6fields\x81\xa1s\xa1\xff";
    assert_eq!(decode(body, &OPTIONS).expect("replaced").replaced_utf8, 1);
}

proptest! {
    #[test]
    fn columns_that_are_written_are_read_back(
        rows in proptest::collection::vec(
            (any::<i64>(), any::<f64>(), any::<Option<bool>>(), "[a-zü]{0,40}", proptest::option::of(any::<i8>())), 1..80),
    ) {
        use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
        use std::sync::Arc;

        let mut body = b"\x82\xa1m\xa1m\xa7columns\x85".to_vec();
        let mut column = |name: &str, write: &dyn Fn(&mut Vec<u8>, usize)| {
            to::write_str(&mut body, name).expect("memory");
            to::write_array_len(&mut body, rows.len() as u32).expect("memory");
            (0..rows.len()).for_each(|row| write(&mut body, row));
        };
        column("i", &|out, row| assert!(to::write_sint(out, rows[row].0).is_ok()));
        column("f", &|out, row| to::write_f64(out, rows[row].1).expect("memory"));
        column("b", &|out, row| match rows[row].2 {
            Some(value) => to::write_bool(out, value).expect("memory"),
            None => to::write_nil(out).expect("memory"),
        });
        column("s", &|out, row| to::write_str(out, &rows[row].3).expect("memory"));
        column("n", &|out, row| match rows[row].4 {
            Some(value) => assert!(to::write_sint(out, value.into()).is_ok()),
            None => to::write_nil(out).expect("memory"),
        });

        let decoded = decode(&body, &OPTIONS).expect("good");
        let batch = &decoded.tables[0].batch;
        let read = |name| batch.column_by_name(name).expect("sent").clone();
        prop_assert_eq!(&read("i"), &(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef));
        prop_assert_eq!(&read("f"), &(Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1))) as ArrayRef));
        prop_assert_eq!(&read("s"), &(Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.3))) as ArrayRef));
        if rows.iter().any(|row| row.2.is_some()) {
            prop_assert_eq!(&read("b"), &(Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.2))) as ArrayRef));
        }
        if rows.iter().any(|row| row.4.is_some()) {
            let sent = rows.iter().map(|row| row.4.map(i64::from));
            prop_assert_eq!(&read("n"), &(Arc::new(Int64Array::from_iter(sent)) as ArrayRef));
        } else {
            prop_assert_eq!(read("n").logical_null_count(), rows.len());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200), accept_partial in any::<bool>()) {
        let options = Options { accept_partial, ..OPTIONS };
        let rows = decode(&body, &options).map_or(0, |decoded| decoded.rows());
        prop_assert!(rows <= body.len() as u64);
        let framed = [&b"\x82\xa1m\xa1m\xa7columns\x81\xa1v\x9f"[..], &body].concat();
        let rows = decode(&framed, &options).map_or(0, |decoded| decoded.rows());
        prop_assert!(rows <= framed.len() as u64);
        let framed = [&b"\x83\xa1m\xa1m\xa1t\x01\xa6fields\x84"[..], &body].concat();
        let rows = decode(&framed, &options).map_or(0, |decoded| decoded.rows());
        prop_assert!(rows <= framed.len() as u64);
    }
}
