//! `to_uuid(text)`: the bytes of a UUID, as columns of that type keep them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::{Error, Scalar};

/// Bytes of a UUID.
const UUID: DataType = DataType::FixedSizeBinary(16);

/// `to_uuid`; bytes that are a UUID already stay as they are.
pub fn to_uuid() -> Arc<ScalarUDF> {
    Scalar::new("to_uuid", coerce, |_| UUID, invoke).udf()
}

fn coerce(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [bytes] if *bytes == UUID => Some(vec![UUID]),
        [DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null] => {
            Some(vec![DataType::Utf8])
        }
        _ => None,
    }
}

fn invoke(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let column = args.args[0].to_array(args.number_rows)?;
    if *column.data_type() == UUID {
        return Ok(ColumnarValue::Array(column));
    }
    let mut parsed = FixedSizeBinaryBuilder::with_capacity(column.len(), 16);
    for text in column.as_string::<i32>() {
        match text {
            None => parsed.append_null(),
            Some(text) => {
                let wrong = |_| DataFusionError::External(Box::new(Error::Uuid(text.to_owned())));
                parsed.append_value(uuid::Uuid::try_parse(text).map_err(wrong)?)?;
            }
        }
    }
    Ok(ColumnarValue::Array(Arc::new(parsed.finish()) as ArrayRef))
}
