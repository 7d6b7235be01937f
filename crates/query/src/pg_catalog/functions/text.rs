//! Functions of text that need no server: quoting, sizes for people.

use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Fields};
use cenote_functions::{Scalar, by_rows, is_text};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};

use super::{Kind, function, int, text, text_of};

pub(super) const NAMES: &[&str] = &[
    "_pg_expandarray",
    "array_lower",
    "array_upper",
    "pg_size_pretty",
    "quote_ident",
    "quote_literal",
    "quote_nullable",
];

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("quote_ident", &[Kind::Text], 1, DataType::Utf8, |values| {
            Ok(text_of(values, 0).map(|name| text(quoted_name(name))))
        }),
        function("quote_literal", &[Kind::Text], 1, DataType::Utf8, |values| {
            Ok(text_of(values, 0).map(|value| text(quoted_value(value))))
        }),
        function("quote_nullable", &[Kind::Text], 0, DataType::Utf8, |values| {
            Ok(Some(text(text_of(values, 0).map_or_else(|| "NULL".to_owned(), quoted_value))))
        }),
        function("pg_size_pretty", &[Kind::Int], 1, DataType::Utf8, |values| {
            Ok(int(values, 0).map(|bytes| ScalarValue::Utf8(Some(pretty(bytes)))))
        }),
        array_to_string(),
        expand_array(),
    ]
}

/// DataFusion's, and for arrays that a relation of Postgres holds as text: `{a,b}`.
fn array_to_string() -> Arc<ScalarUDF> {
    let coerce = |given: &[DataType]| {
        let texts = given.iter().skip(1).map(|_| DataType::Utf8);
        let first = if is_text(given.first()?) { DataType::Utf8 } else { given[0].clone() };
        matches!(given.len(), 2 | 3).then(|| std::iter::once(first).chain(texts).collect())
    };
    Scalar::new(
        "array_to_string",
        coerce,
        |_| DataType::Utf8,
        |args| {
            if args.args[0].data_type() != DataType::Utf8 {
                return datafusion::functions_nested::string::array_to_string_udf()
                    .invoke_with_args(args.clone());
            }
            by_rows(args, |arrays| {
                let (arrays, separators) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
                let joined = arrays.iter().zip(separators).map(|(array, separator)| {
                    Some(array?.trim_start_matches('{').trim_end_matches('}').replace(',', separator?))
                });
                Ok(Arc::new(joined.collect::<StringArray>()))
            })
        },
    )
    .udf()
}

/// Elements and places of an array as rows: asked for keys of indexes only, of which there are none.
fn expand_array() -> Arc<ScalarUDF> {
    let coerce = |given: &[DataType]| (given.len() == 1).then(|| given.to_vec());
    let element = |_: &[DataType]| {
        DataType::Struct(Fields::from(vec![
            Field::new("x", DataType::Int32, true),
            Field::new("n", DataType::Int32, true),
        ]))
    };
    Scalar::new("_pg_expandarray", coerce, element, |args| {
        Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_type())?))
    })
    .udf()
}

/// As it must be written in SQL.
pub(super) fn quoted_name(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    if plain { name.to_owned() } else { crate::parse::quote(name) }
}

/// Reserved words that people use as names.
const RESERVED: [&str; 24] = [
    "all", "and", "as", "case", "check", "column", "default", "desc", "do", "end", "from", "group", "in",
    "limit", "not", "offset", "on", "or", "order", "select", "table", "to", "user", "when",
];

fn quoted_value(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if value.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// Ten of a unit at least, as Postgres rounds them.
fn pretty(bytes: i64) -> String {
    let mut size = bytes;
    for unit in ["bytes", "kB", "MB", "GB", "TB"] {
        if size.abs() < 10 * 1024 || unit == "TB" {
            return format!("{size} {unit}");
        }
        size = (size + 512 * size.signum()) / 1024;
    }
    format!("{size} PB")
}
