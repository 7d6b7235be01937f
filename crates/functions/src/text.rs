//! Text: names of DuckDB for DataFusion's functions, and `regexp_extract`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::kernels::regexp::regexp_match;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::{regex, string};
use datafusion::functions_nested;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::Error;
use crate::scalar::{Scalar, by_rows, is_text, null};

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let renamed = |function: Arc<ScalarUDF>, names: &[&'static str]| {
        Arc::new(ScalarUDF::clone(&function).with_aliases(names.iter().copied()))
    };
    vec![
        Scalar::new("regexp_extract", coerce, |_| DataType::Utf8View, regexp_extract).udf(),
        renamed(regex::regexp_like(), &["regexp_matches"]),
        renamed(string::octet_length(), &["strlen"]),
        renamed(functions_nested::string::string_to_array_udf(), &["string_split", "str_split"]),
        renamed(functions_nested::make_array::make_array_udf(), &["list_value", "list_pack"]),
        renamed(functions_nested::min_max::array_min_udf(), &["list_min"]),
    ]
}

fn coerce(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [text, pattern, group @ ..] if is_text(text) && is_text(pattern) => {
            let mut types = vec![DataType::Utf8View, DataType::Utf8View];
            match group {
                [] => {}
                [group] if group.is_integer() => types.push(DataType::Int64),
                _ => return None,
            }
            Some(types)
        }
        _ => None,
    }
}

/// The part of the text that the pattern, or one of its groups, matches; empty without a match, as in DuckDB.
fn regexp_extract(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let constant = |argument: usize| match &args.args[argument] {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(_) => {
            Err(Error::NotConstant { function: "regexp_extract", argument: argument + 1 })
        }
    };
    let Some(Some(pattern)) = constant(1)?.try_as_str() else {
        return null(args);
    };
    let group = match args.args.len() {
        2 => 0,
        _ => match constant(2)? {
            ScalarValue::Int64(Some(group)) => usize::try_from(*group)
                .map_err(|_| Error::Range { what: "group", value: group.to_string() })?,
            _ => return null(args),
        },
    };
    // The kernel answers the groups only, so the whole becomes the first.
    let whole = StringViewArray::new_scalar(format!("({pattern})"));
    by_rows(args, |arrays| {
        let texts = arrays[0].as_string_view();
        let matches = regexp_match(texts, &whole, None)
            .map_err(|error| Error::Regex { pattern: pattern.to_owned(), problem: error.to_string() })?;
        let matches = matches.as_list::<i32>();
        let found = (0..texts.len()).map(|row| match (texts.is_null(row), matches.is_null(row)) {
            (true, _) => None,
            (false, true) => Some(String::new()),
            (false, false) => Some(nth(&matches.value(row), group)),
        });
        Ok(Arc::new(found.collect::<StringViewArray>()))
    })
}

fn nth(groups: &ArrayRef, at: usize) -> String {
    let groups = groups.as_string_view();
    if at < groups.len() && groups.is_valid(at) { groups.value(at).to_owned() } else { String::new() }
}

/// `div`: what `//` means, and the one division that says when it cannot.
pub(crate) fn division() -> Arc<ScalarUDF> {
    Scalar::new(
        "div",
        coerce_division,
        |types| types[0].clone(),
        |args| {
            by_rows(args, |arrays| {
                if *arrays[0].data_type() == DataType::Float64 {
                    let (left, right) =
                        (arrays[0].as_primitive::<Float64Type>(), arrays[1].as_primitive::<Float64Type>());
                    let divided: arrow::array::Float64Array =
                        arrow::compute::try_binary(left, right, |left: f64, right: f64| {
                            if right == 0.0 {
                                Err(arrow::error::ArrowError::DivideByZero)
                            } else {
                                Ok((left / right).trunc())
                            }
                        })?;
                    return Ok(Arc::new(divided));
                }
                let (left, right) =
                    (arrays[0].as_primitive::<Int64Type>(), arrays[1].as_primitive::<Int64Type>());
                let divided: arrow::array::Int64Array =
                    arrow::compute::try_binary(left, right, |left: i64, right: i64| {
                        if right == 0 {
                            return Err(arrow::error::ArrowError::DivideByZero);
                        }
                        left.checked_div(right).ok_or_else(|| {
                            arrow::error::ArrowError::ArithmeticOverflow(format!(
                                "{left} // {right} is out of range"
                            ))
                        })
                    })?;
                Ok(Arc::new(divided))
            })
        },
    )
    .udf()
}

fn coerce_division(given: &[DataType]) -> Option<Vec<DataType>> {
    let number = |given: &DataType| given.is_integer() || given.is_floating() || given.is_null();
    match given {
        [left, right] if [left, right].iter().all(|side| side.is_integer() || side.is_null()) => {
            Some(vec![DataType::Int64, DataType::Int64])
        }
        [left, right] if number(left) && number(right) => Some(vec![DataType::Float64, DataType::Float64]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, rows, value};

    #[tokio::test]
    async fn parts_of_text() {
        for (sql, expected) in [
            ("regexp_extract('host-12.dc', '-(\\d+)', 1)", "12"),
            ("regexp_extract('host-12.dc', '[a-z]+')", "host"),
            ("regexp_extract('abc', '\\d')", ""),
            ("coalesce(regexp_extract(NULL, 'a'), 'none')", "none"),
            ("string_split('a,b', ',')", "[a, b]"),
            ("strlen('é')", "2"),
            ("regexp_matches('abc', 'B', 'i')", "true"),
            ("list_value(1, 2)", "[1, 2]"),
        ] {
            assert_eq!(value(sql).await, expected, "{sql}");
        }
        assert!(error("regexp_extract('a', '(')").await.contains("\"(\" is not a regular expression"));
        assert_eq!(
            rows("SELECT regexp_extract(s, 'b(.)', 1) FROM (VALUES ('abc'), (NULL), ('x')) AS t(s)").await,
            ["c", "", ""]
        );
    }

    #[tokio::test]
    async fn whole_division_truncates_and_refuses_zero() {
        assert_eq!(value("div(-7, 2)").await, "-3");
        assert_eq!(value("div(7.5::double precision, -2)").await, "-3.0");
        assert_eq!(value("div(NULL, 2)").await, "");
        assert!(error("div(1, 0)").await.contains("Divide by zero"));
    }
}
