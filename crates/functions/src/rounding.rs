//! How a DOUBLE becomes an integer.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::logical_expr::ScalarUDF;

use crate::scalar::{Scalar, by_rows};

/// The nearest whole number; of two, the even one. As in PostgreSQL's casts of `double precision` and `real` to integers.
pub fn round_half_even() -> Arc<ScalarUDF> {
    let coerce = |given: &[DataType]| match given {
        [DataType::Float16 | DataType::Float32] => Some(vec![DataType::Float32]),
        [DataType::Float64] => Some(vec![DataType::Float64]),
        _ => None,
    };
    let round = Scalar::new(
        "round_half_even",
        coerce,
        |given| given[0].clone(),
        |args| {
            by_rows(args, |arrays| {
                Ok(match arrays[0].as_primitive_opt::<Float64Type>() {
                    Some(values) => {
                        let rounded: Float64Array = values.unary(f64::round_ties_even);
                        Arc::new(rounded) as ArrayRef
                    }
                    None => {
                        let rounded: Float32Array =
                            arrays[0].as_primitive::<Float32Type>().unary(f32::round_ties_even);
                        Arc::new(rounded) as ArrayRef
                    }
                })
            })
        },
    );
    round.udf()
}
