//! Values of `params` become arrays of length 1 in the types that the statement wants.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, UInt64Array, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use serde_json::Value;

use crate::problem::Problem;

/// One array per parameter of the statement; 400 names the parameter that does not fit.
pub(super) fn arrays(params: Option<&Value>, types: &[DataType]) -> Result<Vec<ArrayRef>, Problem> {
    let values: &[Value] = match params {
        None | Some(Value::Null) => &[],
        Some(Value::Array(values)) => values,
        Some(Value::Object(_)) => {
            let problem =
                Problem::bad_request("named parameters are not supported yet").with("sqlstate", "0A000");
            return Err(problem.hinted("send params as an array, in the order of $1, $2, …"));
        }
        Some(_) => return Err(Problem::bad_request("params must be an array")),
    };
    if values.len() != types.len() {
        let text =
            format!("the statement has {} parameters, params has {} values", types.len(), values.len());
        return Err(Problem::bad_request(text).with("sqlstate", "08P01"));
    }
    values
        .iter()
        .zip(types)
        .enumerate()
        .map(|(index, (value, wanted))| array(index + 1, value, wanted))
        .collect()
}

fn array(number: usize, value: &Value, wanted: &DataType) -> Result<ArrayRef, Problem> {
    let given: ArrayRef = match value {
        Value::Null => return Ok(new_null_array(wanted, 1)),
        Value::Bool(value) => Arc::new(BooleanArray::from(vec![*value])),
        Value::String(text) => Arc::new(StringArray::from(vec![text.as_str()])),
        // decimals are read from the digits that were sent, not from the nearest double
        Value::Number(digits) if is_decimal(wanted) => Arc::new(StringArray::from(vec![digits.to_string()])),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Arc::new(Int64Array::from(vec![whole])),
            (None, Some(whole)) => Arc::new(UInt64Array::from(vec![whole])),
            (None, None) => Arc::new(Float64Array::from(vec![number.as_f64().unwrap_or(f64::NAN)])),
        },
        Value::Array(_) | Value::Object(_) => Arc::new(StringArray::from(vec![value.to_string()])),
    };
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&given, wanted, &options).map_err(|error| {
        let text = format!("parameter ${number}: {value} does not fit type {wanted}: {error}");
        Problem::bad_request(text).with("sqlstate", "22P02")
    })
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Decimal128Type, Int32Type, TimeUnit, TimestampMicrosecondType};
    use serde_json::json;

    use super::*;

    #[test]
    fn values_take_the_types_of_the_statement() {
        let types = [
            DataType::Int32,
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Utf8,
            DataType::Decimal128(10, 2),
            DataType::Boolean,
        ];
        let arrays =
            arrays(Some(&json!([7, "1970-01-01T00:00:01Z", 5, 0.1, null])), &types).expect("they fit");
        assert_eq!(arrays[0].as_primitive::<Int32Type>().value(0), 7);
        assert_eq!(arrays[1].as_primitive::<TimestampMicrosecondType>().value(0), 1_000_000);
        assert_eq!(arrays[2].as_string::<i32>().value(0), "5");
        assert_eq!(arrays[3].as_primitive::<Decimal128Type>().value(0), 10);
        assert!(arrays[4].is_null(0));
    }

    #[test]
    fn a_value_that_does_not_fit_names_its_parameter() {
        let problem =
            arrays(Some(&json!([1, "x"])), &[DataType::Int64, DataType::Int64]).expect_err("a text");
        assert!(problem.text.starts_with("parameter $2: \"x\" does not fit type Int64"), "{}", problem.text);
        assert_eq!(problem.members["sqlstate"], "22P02");
        arrays(Some(&json!([1e300])), &[DataType::Int64]).expect_err("out of range");
        arrays(None, &[DataType::Int64]).expect_err("too few");
        arrays(Some(&json!({"a": 1})), &[DataType::Int64]).expect_err("named");
    }
}
