use proptest::prelude::*;

use crate::decoded::shown;

use super::*;

fn options() -> Options {
    Options {
        table: Some("t".into()),
        time_column: None,
        tags: Vec::new(),
        precision: None,
        received: Micros(7),
        limits: Limits { rows_max: 1000, columns_max: 50, string_max: 1000 },
    }
}

fn read(body: &str) -> String {
    shown(&decode(body.as_bytes(), &options()).expect("good items"))
}

fn refused(body: &str) -> String {
    decode(body.as_bytes(), &options()).expect_err("bad item").to_string()
}

#[test]
fn plain_rows_come_alone_in_an_array_or_one_per_line() {
    let rows = "t []\ntime|v:Int64|w:Float64\n1970-01-01T00:00:01|1|-\n1970-01-01T00:00:02|2|0.5";
    for body in [
        r#"[{"time":1,"v":1},{"time":2,"v":2,"w":0.5}]"#,
        "{\"time\":1,\"v\":1}\n{\"time\":2,\"v\":2,\"w\":5e-1}\n",
        " {\"time\":1,\"v\":1}\r\n\r\n[{\"time\":2,\"v\":2,\"w\":0.5}]",
        r#"{"ts":1,"v":1}{"timestamp":"1970-01-01T00:00:02Z","v":2,"w":0.5}"#,
    ] {
        assert_eq!(read(body), rows);
    }
    assert_eq!(decode(b"  ", &options()).expect("nothing"), Decoded::default());
    assert_eq!(decode(b"[]", &options()).expect("nothing"), Decoded::default());
}

#[test]
fn the_first_time_key_there_is_holds_the_time() {
    assert_eq!(read(r#"{"@timestamp":2,"ts":1}"#), "t []\ntime|@timestamp:Int64\n1970-01-01T00:00:01|2");
    assert_eq!(read(r#"{"v":1}"#), "t []\ntime|v:Int64\n1970-01-01T00:00:00.000007|1");
    let created = Options { time_column: Some("created".into()), ..options() };
    let text = shown(&decode(br#"{"created":1,"ts":5}"#, &created).expect("good"));
    assert_eq!(text, "t []\ntime|ts:Int64\n1970-01-01T00:00:01|5");
    let error = decode(br#"{"created":1,"time":5}"#, &created).expect_err("two times").to_string();
    assert_eq!(error, "item 1 (measurement \"t\"): field \"time\" would hide the row's time");
    assert_eq!(refused(r#"{"time":null,"v":1}"#), "item 1 (measurement \"t\"): time is null");
    let millis = Options { precision: Some(Precision::Millisecond), ..options() };
    let text = shown(&decode(br#"{"time":1,"v":1}"#, &millis).expect("good"));
    assert!(text.ends_with("1970-01-01T00:00:00.001|1"), "{text}");
}

#[test]
fn literals_decide_types_and_what_is_nested_becomes_its_text() {
    let body =
        r#"{"time":0,"i":-0,"d":1.0,"e":1E2,"b":true,"s":"a\n\u00fc","n":null,"o":{"x": [1, 2]},"a":[ ]}"#;
    assert_eq!(
        read(body),
        "t []\ntime|i:Int64|d:Float64|e:Float64|b:Boolean|s:Utf8|n:Null|o:Utf8|a:Utf8\n\
         1970-01-01T00:00:00|0|1.0|100.0|true|a\nü|-|{\"x\": [1, 2]}|[ ]"
    );
    assert_eq!(
        refused(r#"{"v":9223372036854775808}"#),
        "item 1 (measurement \"t\"): column \"v\": integer 9223372036854775808 is out of a bigint's range"
    );
    assert_eq!(
        refused(r#"{"v":1e999}"#),
        "item 1 (measurement \"t\"): column \"v\": number 1e999 is out of a double's range"
    );
    assert_eq!(
        refused("{\"v\":1}\n{\"v\":\"x\"}"),
        "item 2 (measurement \"t\"): column \"v\": value is varchar, values before it are bigint"
    );
}

#[test]
fn tags_are_named_by_the_parameter() {
    let options = Options { tags: vec!["host".into(), "absent".into()], ..options() };
    let decoded = decode(br#"{"time":0,"v":1,"host":5}"#, &options).expect("good");
    assert_eq!(shown(&decoded), "t [host]\ntime|v:Int64|host:Utf8\n1970-01-01T00:00:00|1|5");
}

#[test]
fn items_have_the_shapes_of_message_pack() {
    let rows = "cpu []\ntime|v:Float64\n1970-01-01T00:00:00.000001|0.5\n1970-01-01T00:00:00.000002|1.5";
    for body in [
        r#"{"m":"cpu","columns":{"time":[1,2],"v":[0.5,1.5]},"time_unit":"us"}"#,
        r#"{"columns":{"v":[0.5,1.5],"time":[1,2]},"time_unit":"us","measurement":"cpu"}"#,
        r#"{"batch":[{"m":"cpu","t":1,"fields":{"v":0.5},"time_unit":"us"},{"m":"cpu","timestamp":2,"fields":{"v":1.5},"time_unit":"us"}]}"#,
        r#"[{"batch":[{"m":"cpu","columns":{"time":[1],"v":[0.5]},"time_unit":"us"}]},{"m":"cpu","t":2,"fields":{"v":1.5},"time_unit":"u"}]"#,
    ] {
        assert_eq!(read(body), rows);
    }
    assert_eq!(
        read(r#"{"m":3,"t":0,"h":1,"tags":{"host":"x","dc":null,"z":true},"fields":{"z":1,"o":{}}}"#),
        "measurement_3 [host,dc,z]\ntime|host:Utf8|dc:Utf8|z:Utf8|z_value:Int64|o:Utf8\n1970-01-01T00:00:00|host_1|-|true|1|{}"
    );
    assert_eq!(
        read(
            r#"{"m":"cpu","columns":{"time":["1970-01-01","1970-01-02"],"host":["a",1],"v":[1,0.5]},"tags":["host"]}"#
        ),
        "cpu [host]\ntime|host:Utf8|v:Float64\n1970-01-01T00:00:00|a|1.0\n1970-01-02T00:00:00|1|0.5"
    );
    assert!(read(r#"{"m":"cpu","v":1}"#).starts_with("t []\n"), "neither columns nor fields: a plain row");
    assert!(read(r#"{"batch":7}"#).starts_with("t []\n"), "a batch is an array");
}

#[test]
fn bad_items_are_refused_with_their_place() {
    for (body, text) in [
        (
            r#"{"m":"cpu","columns":{"a":[1,2],"b":[1]}}"#,
            "item 1 (measurement \"cpu\"): columnar format: array length mismatch (expected 2, got 1 for 'b')",
        ),
        (
            r#"{"m":"cpu","columns":{"a":1}}"#,
            "item 1 (measurement \"cpu\"): column \"a\": is number, expected array",
        ),
        (
            r#"{"m":"cpu","columns":{"a":[1,"x"]}}"#,
            "item 1 (measurement \"cpu\"): column \"a\": index 1: value is varchar, values before it are bigint",
        ),
        (r#"{"m":"cpu","columns":{}}"#, "item 1 (measurement \"cpu\"): no columns"),
        (r#"{"m":"cpu","fields":{}}"#, "item 1 (measurement \"cpu\"): no fields"),
        (r#"{"m":true,"fields":{"v":1}}"#, "item 1: field 'm' is boolean, expected text or an integer"),
        (
            r#"{"m":"cpu","fields":{"v":1},"t":"soon"}"#,
            "item 1 (measurement \"cpu\"): time \"soon\" is not RFC 3339 within years 1 to 9999",
        ),
        (r#"[{"v":1},5]"#, "item 2: unsupported JSON payload type: number"),
        (r#"{"v":1,"v":2}"#, "item 1: key \"v\" is given twice"),
        (r#"{"v":1,"\u0076":2}"#, "item 1: key \"v\" is given twice"),
        (r#"{"m":"cpu","fields":{"v":1,"v":1}}"#, "item 1 (measurement \"cpu\"): key \"v\" is given twice"),
        (r#"{"":1}"#, "column name \"\" is empty"),
        (r#"{"_file":1}"#, "column name \"_file\" is a system column"),
    ] {
        assert_eq!(refused(body), text);
    }
    let many = (0..30).map(|index| format!("\"k{}\":1", index % 29)).collect::<Vec<_>>().join(",");
    assert_eq!(refused(&format!("{{{many}}}")), "item 1: key \"k0\" is given twice");
    for broken in [
        "{",
        "{\"v\":}",
        "{\"v\":1}}",
        "[{\"v\":1}",
        "{\"v\":1,}",
        "{\"v\":\"\\x\"}",
        "{'v':1}",
        "nul",
        "{\"v\":01}",
    ] {
        assert!(refused(broken).contains("not valid JSON"), "{broken}: {}", refused(broken));
    }
    let error = decode(b"{\"v\":\"\xff\"}", &options()).expect_err("bytes").to_string();
    assert!(error.starts_with("body is not valid UTF-8"), "{error}");
    let tableless = Options { table: None, ..options() };
    let error = decode(br#"{"v":1}"#, &tableless).expect_err("no table").to_string();
    assert_eq!(error, "item 1: a plain row needs a table: send the parameter table");
}

#[test]
fn limits_are_named() {
    let wide = (0..50).map(|index| format!("\"k{index}\":1")).collect::<Vec<_>>().join(",");
    for (body, name) in [
        ("[".repeat(1000), "nesting_max"),
        (format!("{{\"v\":{}1{}}}", "[".repeat(1000), "]".repeat(1000)), "nesting_max"),
        ("{\"v\":1}".repeat(1001), "rows_per_request_max"),
        (
            (0..=10_000).map(|table| format!(r#"{{"m":{table},"columns":{{"v":[]}}}}"#)).collect(),
            "tables_per_request_max",
        ),
        (format!("{{{wide}}}"), "columns_per_table_max"),
        (format!("{{\"m\":1,\"columns\":{{{wide},{}}}}}", wide.replace('k', "l")), "columns_per_table_max"),
        (format!("{{\"v\":\"{}\"}}", "x".repeat(1001)), "string_max"),
    ] {
        let error = decode(body.as_bytes(), &options()).expect_err(name);
        assert!(matches!(&error, Error::Limit { limit, .. } if *limit == name), "{error}");
    }
    let fits = format!(
        "{{\"time\":0,\"v\":{}1{},\"s\":\"{}\\\"[\"}}",
        "[".repeat(63),
        "]".repeat(63),
        "[".repeat(100)
    );
    decode(fits.as_bytes(), &options()).expect("brackets in text are no nesting");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let rows = decode(&body, &options()).map_or(0, |decoded| decoded.rows());
        prop_assert!(rows <= body.len() as u64);
    }

    #[test]
    fn almost_json_never_panics(body in r#"(\{"(m|v|columns|fields|time|t|h|tags|batch)":|\[|\]|\}|,|"[a-z\\]{0,3}"|-?[0-9]{1,20}|\.5|e9|null|true){0,20}"#) {
        let rows = decode(body.as_bytes(), &options()).map_or(0, |decoded| decoded.rows());
        prop_assert!(rows <= body.len() as u64);
    }

    #[test]
    fn rows_that_are_written_are_read_back(
        rows in proptest::collection::vec((any::<i64>(), -1e300..1e300f64, any::<bool>(), any::<String>()), 1..30),
    ) {
        use arrow::array::AsArray;
        use arrow::datatypes::{Float64Type, Int64Type};

        let lines: String = rows
            .iter()
            .map(|(i, d, b, s)| format!("{}\n", serde_json::json!({"time": 0, "i": i, "d": d, "b": b, "s": s})))
            .collect();
        let limits = Limits { string_max: 1 << 20, ..options().limits };
        let decoded = decode(lines.as_bytes(), &Options { limits, ..options() }).expect("good");
        let batch = &decoded.tables[0].batch;
        for (row, (i, d, b, s)) in rows.iter().enumerate() {
            let column = |name| batch.column_by_name(name).expect("sent");
            prop_assert_eq!(column("i").as_primitive::<Int64Type>().value(row), *i);
            prop_assert_eq!(column("d").as_primitive::<Float64Type>().value(row), *d);
            prop_assert_eq!(column("b").as_boolean().value(row), *b);
            prop_assert_eq!(column("s").as_string::<i32>().value(row), s);
        }
    }
}
