use cenote_vocab::TimeUnit;
use proptest::prelude::*;

use crate::decoded::shown;
use crate::{Known, Nothing};

use super::*;

fn options() -> Options {
    Options {
        table: "t".into(),
        time_column: "time".into(),
        time_format: None,
        delimiter: b',',
        skip_rows: 0,
        header: true,
        null: String::new(),
        tags: Vec::new(),
        received: Micros(7),
        limits: Limits { rows_max: 1000, columns_max: 50, string_max: 1000 },
    }
}

fn read_with(body: &str, options: &Options) -> String {
    shown(&decode(body.as_bytes(), options, &Nothing).expect("good rows"))
}

fn read(body: &str) -> String {
    read_with(body, &options())
}

fn refused(body: &str) -> Error {
    decode(body.as_bytes(), &options(), &Nothing).expect_err("bad body")
}

#[test]
fn types_hold_all_cells_of_their_column() {
    assert_eq!(
        read(
            "\u{feff}time,i,d,b,s,n,big\r\n1,1,1,true,1,,18446744073709551615\r\n2,-2,.5e1,FALSE,x,,1\r\n\r\n3,,,,\"\",\r\n"
        ),
        "t []\ntime|i:Int64|d:Float64|b:Boolean|s:Utf8|n:Null|big:Utf8\n\
         1970-01-01T00:00:01|1|1.0|true|1|-|18446744073709551615\n\
         1970-01-01T00:00:02|-2|5.0|false|x|-|1\n\
         1970-01-01T00:00:03|-|-|-||-|-"
    );
    assert_eq!(
        decode(b"", &options(), &Nothing).expect_err("no header").to_string(),
        "time column \"time\" is missing; columns are "
    );
    assert_eq!(decode(b"time,v\n", &options(), &Nothing).expect("no rows"), Decoded::default());
}

#[test]
fn parameters_change_the_reading() {
    let options = Options {
        time_column: "at".into(),
        time_format: Some(Precision::Millisecond),
        delimiter: b';',
        skip_rows: 2,
        null: "NA".into(),
        tags: vec!["host".into(), "absent".into()],
        ..options()
    };
    let decoded =
        decode(b"made by x\nat;v\nhost;at;v\n7;5;NA\n\"NA\";6;1", &options, &Nothing).expect("good");
    assert_eq!(
        shown(&decoded),
        "t [host]\ntime|host:Utf8|v:Int64\n1970-01-01T00:00:00.005|7|-\n1970-01-01T00:00:00.006|NA|1"
    );
    let headless = Options { header: false, time_column: "column_2".into(), ..super::tests::options() };
    assert_eq!(
        read_with("a,1\nb,2", &headless),
        "t []\ntime|column_1:Utf8\n1970-01-01T00:00:01|a\n1970-01-01T00:00:02|b"
    );
}

#[test]
fn times_are_text_or_numbers_of_one_unit() {
    assert_eq!(
        read("time,v\n2024-01-01 00:00:00,1\n\"2024-01-01T01:00:00+01:00\",2"),
        "t []\ntime|v:Int64\n2024-01-01T00:00:00|1\n2024-01-01T00:00:00|2"
    );
    assert!(read("v,time\n1,1700000000123").ends_with("2023-11-14T22:13:20.123|1"));
    assert_eq!(
        refused("time,v\n1700000000123,1\n5,1").to_string(),
        "time column \"time\": mixed time units in column \"time\": row 1 looks like s, row 0 like ms; send time_unit"
    );
}

#[test]
fn headers_are_checked() {
    for (body, text) in [
        ("a,b\n1,2", "time column \"time\" is missing; columns are a, b"),
        ("time,\n1,2", "column 2 has no name in the header"),
        ("time,a,a\n1,2,3", "column \"a\" is twice in the header"),
        ("time,_txn\n1,2", "column name \"_txn\" is a system column"),
    ] {
        let error = refused(body);
        assert_eq!(error.to_string(), text);
        assert!(matches!(error, Error::Malformed(_) | Error::Name(_)));
    }
    let renamed = Options { time_column: "at".into(), ..options() };
    let error = decode(b"time,at\n1,2", &renamed, &Nothing).expect_err("two times").to_string();
    assert_eq!(error, "time column \"at\" cannot be stored as \"time\": there is one already");
    let quoting = Options { delimiter: b'"', ..options() };
    assert!(decode(b"time\n1", &quoting, &Nothing).is_err());
    assert!(decode(b"time\n\xff", &options(), &Nothing).is_err());
}

#[test]
fn bad_rows_are_named() {
    for (body, text) in [
        ("time,v\n1,2\n2,3,4", "row 2 has 3 cells, the header 2"),
        ("time,v\n,2", "row 1, column \"time\": time is null"),
        (
            "time,v\n1,2\nsoon,2",
            "row 2, column \"time\": \"soon\" is neither a number nor RFC 3339 within years 1 to 9999",
        ),
        ("time,v\n1,\"2", "row 1, column 2: quotes are never closed"),
    ] {
        let error = refused(body);
        assert_eq!(error.to_string(), text);
        assert!(matches!(error, Error::Unprocessable(_)));
    }
}

#[test]
fn columns_of_the_table_keep_their_types() {
    struct Table;
    impl KnownColumns for Table {
        fn column(&self, table: &str, column: &str) -> Option<Known> {
            let field_type = match column {
                "d" => FieldType::Double,
                "s" => FieldType::String,
                "i" => FieldType::Int64,
                "at" => FieldType::Timestamp(TimeUnit::Micro),
                "p" => FieldType::Decimal { precision: 9, scale: 2 },
                "b" => FieldType::Boolean,
                _ => return None,
            };
            (table == "t").then_some(Known { field_type, tag: false })
        }
    }
    let read = |body: &str| decode(body.as_bytes(), &options(), &Table).map(|decoded| shown(&decoded));
    assert_eq!(
        read("time,d,s,i,at,p\n1,2,3,4,5,1.50\n2,NaN,,5,1970-01-02,7").expect("good"),
        "t []\ntime|d:Float64|s:Utf8|i:Int64|at:Timestamp(µs)|p:Utf8\n\
         1970-01-01T00:00:01|2.0|3|4|1970-01-01T00:00:05|1.50\n\
         1970-01-01T00:00:02|NaN|-|5|1970-01-02T00:00:00|7"
    );
    assert!(
        read("time,i\n1,2\n2,2.5").expect("the table decides whether it widens").contains("|i:Float64\n")
    );
    assert_eq!(
        read("time,i\n1,2\n2,x").expect_err("text").to_string(),
        "row 2, column \"i\": \"x\" is not a bigint"
    );
    assert_eq!(
        read("time,b\n1,1").expect_err("number").to_string(),
        "row 1, column \"b\": \"1\" is not a boolean"
    );
}

#[test]
fn limits_are_named() {
    for (body, name) in [
        (format!("time\n{}", "1\n".repeat(1001)), "rows_per_request_max"),
        (format!("time{}", ",a".repeat(50)), "columns_per_table_max"),
        (format!("time,v\n1,{}", "x".repeat(1001)), "string_max"),
    ] {
        let error = refused(&body);
        assert!(matches!(&error, Error::Limit { limit, .. } if *limit == name), "{error}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(body in "(time)?[a,\"\n\r0-9.eE+-]{0,80}", header in any::<bool>()) {
        let options_of_header = Options { header, ..options() };
        let rows = decode(body.as_bytes(), &options_of_header, &Nothing).map_or(0, |decoded| decoded.rows());
        prop_assert!(rows <= body.len() as u64);
        let headless = Options { header: false, time_column: "column_1".into(), ..options() };
        let rows = decode(body.as_bytes(), &headless, &Nothing).map_or(0, |decoded| decoded.rows());
        prop_assert!(rows <= body.len() as u64);
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let body = [&b"time,v\n"[..], &body].concat();
        let rows = decode(&body, &options(), &Nothing).map_or(0, |decoded| decoded.rows());
        prop_assert!(rows <= body.len() as u64);
    }

    #[test]
    fn rows_that_are_written_are_read_back(
        rows in proptest::collection::vec((any::<i64>(), -1e15..1e15f64, any::<bool>(), "[a-zü,\"\n\r ]{0,9}x"), 1..30),
    ) {
        use arrow::array::AsArray;
        use arrow::datatypes::{Float64Type, Int64Type};

        let quoted = |text: &String| format!("\"{}\"", text.replace('"', "\"\""));
        let lines = rows.iter().map(|(i, d, b, s)| format!("{i},{},0,{d:?},{b}\r\n", quoted(s)));
        let body = format!("i,s,time,d,b\n{}", lines.collect::<String>());
        let decoded = decode(body.as_bytes(), &options(), &Nothing).expect("good");
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
