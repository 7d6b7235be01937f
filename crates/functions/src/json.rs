//! JSON: DuckDB's and Postgres's names over `datafusion-functions-json`, and the operators `-> ->> #> #>> ? @>`.
//!
//! JSON is text; what these functions take out of it is text again, not a union of types, so that every protocol can send it.
//! Text that is not JSON has no parts: NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use datafusion_functions_json::udfs;
use serde_json::Value;

use crate::Error;
use crate::json_path::steps;
use crate::scalar::{Scalar, by_rows, is_text};

/// All functions by name.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        extract(),
        extract_string(),
        contains_key(),
        contains(),
        Scalar::new("json_array_length", coerce_path, |_| DataType::Int64, array_length)
            .alias(&["jsonb_array_length"])
            .udf(),
        Scalar::new("json_typeof", coerce_json, |_| DataType::Utf8View, |args| texts(args, type_of))
            .alias(&["jsonb_typeof"])
            .udf(),
        Scalar::new(
            "json_valid",
            coerce_json,
            |_| DataType::Boolean,
            |args| {
                by_rows(args, |arrays| {
                    let texts = arrays[0].as_string_view().iter();
                    Ok(Arc::new(BooleanArray::from_iter(
                        texts.map(|text| text.map(|text| parse(text).is_ok())),
                    )))
                })
            },
        )
        .udf(),
        udfs::json_object_keys_udf(),
        udfs::json_length_udf(),
        udfs::json_contains_udf(),
        udfs::json_as_text_udf(),
        udfs::json_get_str_udf(),
        udfs::json_get_int_udf(),
        udfs::json_get_float_udf(),
        udfs::json_get_bool_udf(),
        udfs::json_get_json_udf(),
    ]
}

/// Registers the operators.
pub(crate) fn register_operators(registry: &mut dyn FunctionRegistry) -> Result<()> {
    registry.register_expr_planner(Arc::new(Operators))
}

fn extract() -> Arc<ScalarUDF> {
    Scalar::new(
        "json_extract",
        coerce_path,
        |_| DataType::Utf8View,
        |args| {
            let json = reach(args, &udfs::json_get_json_udf(), DataType::Utf8)?;
            json.cast_to(&DataType::Utf8View, None)
        },
    )
    .alias(&["json_extract_path", "jsonb_extract_path"])
    .json()
    .udf()
}

fn extract_string() -> Arc<ScalarUDF> {
    Scalar::new(
        "json_extract_string",
        coerce_path,
        |_| DataType::Utf8View,
        |args| {
            let text = reach(args, &udfs::json_as_text_udf(), DataType::Utf8)?;
            text.cast_to(&DataType::Utf8View, None)
        },
    )
    .alias(&["json_extract_path_text", "jsonb_extract_path_text"])
    .udf()
}

fn contains_key() -> Arc<ScalarUDF> {
    Scalar::new(
        "json_exists",
        coerce_path,
        |_| DataType::Boolean,
        |args| reach(args, &udfs::json_contains_udf(), DataType::Boolean),
    )
    .alias(&["jsonb_exists"])
    .udf()
}

fn contains() -> Arc<ScalarUDF> {
    Scalar::new(
        "jsonb_contains",
        coerce_two,
        |_| DataType::Boolean,
        |args| {
            by_rows(args, |arrays| {
                let (left, right) = (arrays[0].as_string_view(), arrays[1].as_string_view());
                let rows = left.iter().zip(right).map(|row| match row {
                    (Some(left), Some(right)) => Ok(Some(holds(&parse(left)?, &parse(right)?, Depth::Top))),
                    _ => Ok(None),
                });
                Ok(Arc::new(rows.collect::<Result<BooleanArray, Error>>()?))
            })
        },
    )
    .udf()
}

fn coerce_json(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [json] if is_text(json) => Some(vec![DataType::Utf8View]),
        _ => None,
    }
}

fn coerce_two(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [left, right] if is_text(left) && is_text(right) => {
            Some(vec![DataType::Utf8View, DataType::Utf8View])
        }
        _ => None,
    }
}

/// JSON, then keys, places or paths; a list is a path of keys.
fn coerce_path(given: &[DataType]) -> Option<Vec<DataType>> {
    let (json, path) = given.split_first()?;
    let step = |step: &DataType| match step {
        step if is_text(step) => Some(DataType::Utf8),
        step if step.is_integer() => Some(DataType::Int64),
        DataType::List(_) => Some(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))),
        _ => None,
    };
    let path: Option<Vec<_>> = path.iter().map(step).collect();
    is_text(json).then_some(())?;
    Some(std::iter::once(DataType::Utf8View).chain(path?).collect())
}

/// Calls `function` with the constant paths taken apart.
fn reach(args: &ScalarFunctionArgs, function: &ScalarUDF, returns: DataType) -> Result<ColumnarValue> {
    let mut taken = vec![args.args[0].clone()];
    for step in &args.args[1..] {
        match step {
            ColumnarValue::Scalar(ScalarValue::Utf8(Some(path))) => {
                taken.extend(steps(path)?.into_iter().map(ColumnarValue::Scalar));
            }
            other => taken.push(other.clone()),
        }
    }
    function.invoke_with_args(ScalarFunctionArgs {
        arg_fields: taken.iter().map(|arg| Arc::new(Field::new("", arg.data_type(), true))).collect(),
        args: taken,
        number_rows: args.number_rows,
        return_field: Arc::new(Field::new(function.name(), returns, true)),
        config_options: args.config_options.clone(),
    })
}

/// NULL for what is no array.
fn array_length(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let part = reach(args, &udfs::json_get_json_udf(), DataType::Utf8)?;
    let arrays = ColumnarValue::values_to_arrays(&[part])?;
    let texts = cast(&arrays[0], &DataType::Utf8View)?;
    let lengths = texts.as_string_view().iter().map(|text| match parse(text?) {
        Ok(Value::Array(items)) => i64::try_from(items.len()).ok(),
        _ => None,
    });
    let lengths: ArrayRef = Arc::new(lengths.collect::<arrow::array::Int64Array>());
    Ok(match args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) {
        true => ColumnarValue::Scalar(ScalarValue::try_from_array(&lengths, 0)?),
        false => ColumnarValue::Array(lengths),
    })
}

fn texts(args: &ScalarFunctionArgs, of: fn(&str) -> Result<&'static str, Error>) -> Result<ColumnarValue> {
    by_rows(args, |arrays| {
        let texts = arrays[0].as_string_view().iter();
        Ok(Arc::new(texts.map(|text| text.map(of).transpose()).collect::<Result<StringViewArray, Error>>()?))
    })
}

fn type_of(text: &str) -> Result<&'static str, Error> {
    Ok(match parse(text)? {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    })
}

const SHOWN_MAX: usize = 80;

fn parse(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|_| Error::Json(text.chars().take(SHOWN_MAX).collect()))
}

/// Where two values are compared: an array holds a plain value only at the top.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Top,
    Inside,
}

/// Postgres's containment: every part of `right` is somewhere in `left`.
fn holds(left: &Value, right: &Value, depth: Depth) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => right
            .iter()
            .all(|(key, part)| left.get(key).is_some_and(|whole| holds(whole, part, Depth::Inside))),
        (Value::Array(left), Value::Array(right)) => {
            right.iter().all(|part| left.iter().any(|whole| holds(whole, part, Depth::Inside)))
        }
        (Value::Array(left), right) if depth == Depth::Top && !right.is_object() => {
            left.iter().any(|whole| holds(whole, right, Depth::Inside))
        }
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (left, right) => left == right,
    }
}

/// The operators, as calls of the functions above.
#[derive(Debug)]
struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let function = match expr.op {
            BinaryOperator::Arrow | BinaryOperator::HashArrow => extract(),
            BinaryOperator::LongArrow | BinaryOperator::HashLongArrow => extract_string(),
            BinaryOperator::Question => contains_key(),
            // For lists it is DataFusion's.
            BinaryOperator::AtArrow if is_text(&expr.left.get_type(schema)?) => contains(),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let name = format!("{} {} {}", shown(&expr.left), expr.op, shown(&expr.right));
        let call = Expr::ScalarFunction(ScalarFunction { func: function, args: vec![expr.left, expr.right] });
        Ok(PlannerResult::Planned(call.alias(name)))
    }
}

/// As it was typed, for the column's title.
fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Alias(alias) => alias.name.clone(),
        Expr::Literal(value, _) => match value.try_as_str() {
            Some(Some(text)) => format!("'{text}'"),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, rows, value};

    const DOC: &str = r#"'{"a": {"b": [1, "x", null, {"c": 2.5}]}, "k.e y": true, "n": null}'"#;

    #[tokio::test]
    async fn parts_are_reached_by_paths_keys_and_operators() {
        for (sql, expected) in [
            ("json_extract(J, '$.a.b[1]')", "\"x\""),
            ("json_extract(J, 'a', 'b', 3)", "{\"c\": 2.5}"),
            ("json_extract(J, '$.\"k.e y\"')", "true"),
            ("json_extract(J, '/a/b/3/c')", "2.5"),
            ("json_extract_string(J, '$.a.b[1]')", "x"),
            ("json_extract(J, '$.nope')", ""),
            ("json_extract('not json', '$.a')", ""),
            ("J -> 'a' -> 'b' ->> 1", "x"),
            ("(J #>> '{a,b,3,c}')::double precision * 2", "5.0"),
            ("J #> ARRAY['a','b']", "[1, \"x\", null, {\"c\": 2.5}]"),
            ("J ->> 'n'", ""),
            ("J ? 'a'", "true"),
            ("J ? 'z'", "false"),
            ("J @> '{\"a\": {\"b\": [1]}}'", "true"),
            ("J @> '{\"a\": {\"b\": [2]}}'", "false"),
            ("'[1, 2]' @> '1.0'", "true"),
            ("json_array_length(J, '$.a.b')", "4"),
            ("json_array_length('[1,2]')", "2"),
            ("jsonb_array_length(J)", ""),
            ("json_typeof(J)", "object"),
            ("json_typeof('1')", "number"),
            ("json_valid('{')", "false"),
            ("json_keys(J)", "[a, k.e y, n]"),
        ] {
            assert_eq!(value(&sql.replace('J', DOC)).await, expected, "{sql}");
        }
        assert!(error("json_typeof('{')").await.contains("\"{\" is not JSON"));
        assert!(error("json_extract('{}', '$.a[')").await.contains("\"$.a[\" is not a JSON path"));
    }

    #[tokio::test]
    async fn columns_of_json() {
        let sql = r#"SELECT j ->> 'a' FROM (VALUES ('{"a": 1}'), (NULL), ('{"a": [2]}')) AS t(j) WHERE j IS NULL OR j ? 'a'"#;
        assert_eq!(rows(sql).await, ["1", "", "[2]"]);
    }
}
