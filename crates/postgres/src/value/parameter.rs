//! Bound parameters become Arrow arrays of length 1.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use cenote_query::Prepared;
use pgwire::api::Type;
use pgwire::api::portal::Portal;
use pgwire::error::PgWireResult;

use super::{instant, numeric, postgres_type};
use crate::error;

/// The portal's parameters in the types that the statement wants.
pub(crate) fn parameters(portal: &Portal<Arc<Prepared>>, prepared: &Prepared) -> PgWireResult<Vec<ArrayRef>> {
    let (given, wanted) = (portal.parameters.len(), prepared.parameters.len());
    if given != wanted {
        return Err(error::error(
            "08P01",
            format!("bind message supplies {given} parameters, but the prepared statement requires {wanted}"),
        ));
    }
    let declared = &portal.statement.parameter_types;
    let mut arrays = Vec::with_capacity(given);
    for (n, (bytes, wanted)) in portal.parameters.iter().zip(&prepared.parameters).enumerate() {
        let Some(bytes) = bytes else {
            arrays.push(new_null_array(wanted, 1));
            continue;
        };
        let kind = declared
            .get(n)
            .cloned()
            .flatten()
            .filter(|kind| *kind != Type::UNKNOWN)
            .unwrap_or_else(|| postgres_type(wanted));
        let is_binary = match &portal.parameter_format {
            pgwire::api::portal::Format::Individual(codes) => codes.get(n) == Some(&1),
            format => format.is_binary(n),
        };
        let array = if is_binary { binary(bytes, &kind, n)? } else { text(bytes, &kind, wanted, n)? };
        arrays.push(converted(array, wanted, n)?);
    }
    Ok(arrays)
}

fn invalid(n: usize, kind: &Type) -> pgwire::error::PgWireError {
    error::error("22P03", format!("parameter ${} is not a valid {kind} in binary format", n + 1))
}

fn binary(bytes: &[u8], kind: &Type, n: usize) -> PgWireResult<ArrayRef> {
    fn fixed<const N: usize>(bytes: &[u8], kind: &Type, n: usize) -> PgWireResult<[u8; N]> {
        bytes.try_into().map_err(|_| invalid(n, kind))
    }
    Ok(match *kind {
        Type::BOOL => Arc::new(BooleanArray::from(vec![fixed::<1>(bytes, kind, n)? != [0]])),
        Type::INT2 => Arc::new(Int16Array::from(vec![i16::from_be_bytes(fixed(bytes, kind, n)?)])),
        Type::INT4 => Arc::new(Int32Array::from(vec![i32::from_be_bytes(fixed(bytes, kind, n)?)])),
        Type::INT8 => Arc::new(Int64Array::from(vec![i64::from_be_bytes(fixed(bytes, kind, n)?)])),
        Type::FLOAT4 => Arc::new(Float32Array::from(vec![f32::from_be_bytes(fixed(bytes, kind, n)?)])),
        Type::FLOAT8 => Arc::new(Float64Array::from(vec![f64::from_be_bytes(fixed(bytes, kind, n)?)])),
        Type::DATE => {
            let days = i32::from_be_bytes(fixed(bytes, kind, n)?);
            Arc::new(Date32Array::from(vec![instant::from_binary_date(days)]))
        }
        Type::TIME => {
            Arc::new(Time64MicrosecondArray::from(vec![i64::from_be_bytes(fixed(bytes, kind, n)?)]))
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let micros = instant::from_binary_timestamp(i64::from_be_bytes(fixed(bytes, kind, n)?));
            let array = TimestampMicrosecondArray::from(vec![micros]);
            if *kind == Type::TIMESTAMPTZ { Arc::new(array.with_timezone("UTC")) } else { Arc::new(array) }
        }
        Type::NUMERIC => {
            Arc::new(StringArray::from(vec![numeric::read(bytes).ok_or_else(|| invalid(n, kind))?]))
        }
        Type::BYTEA => Arc::new(BinaryArray::from_vec(vec![bytes])),
        Type::UUID => {
            let uuid = uuid::Uuid::from_slice(bytes).map_err(|_| invalid(n, kind))?;
            Arc::new(StringArray::from(vec![uuid.to_string()]))
        }
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON => {
            utf8(bytes, n)?
        }
        Type::JSONB => utf8(bytes.strip_prefix(&[1]).ok_or_else(|| invalid(n, kind))?, n)?,
        _ => {
            return Err(error::error(
                "0A000",
                format!("parameter ${} of type {kind} is not supported", n + 1),
            ));
        }
    })
}

fn utf8(bytes: &[u8], n: usize) -> PgWireResult<ArrayRef> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| error::error("22021", format!("parameter ${} is not valid UTF-8", n + 1)))?;
    Ok(Arc::new(StringArray::from(vec![text])))
}

fn text(bytes: &[u8], kind: &Type, wanted: &DataType, n: usize) -> PgWireResult<ArrayRef> {
    let array = utf8(bytes, n)?;
    if *kind != Type::BYTEA
        && !matches!(wanted, DataType::Binary | DataType::BinaryView | DataType::LargeBinary)
    {
        return Ok(array);
    }
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    match text.strip_prefix("\\x") {
        Some(digits) => {
            let decoded = hex::decode(digits).map_err(|_| {
                error::error("22P02", format!("parameter ${} is not valid hexadecimal bytea", n + 1))
            })?;
            Ok(Arc::new(BinaryArray::from_vec(vec![&decoded])))
        }
        None => Ok(Arc::new(BinaryArray::from_vec(vec![bytes]))),
    }
}

/// The value in the wanted type; a text that does not read as it is an error, never NULL.
fn converted(array: ArrayRef, wanted: &DataType, n: usize) -> PgWireResult<ArrayRef> {
    if array.data_type() == wanted {
        return Ok(array);
    }
    let wrong = |reason: String| {
        error::error(
            "22P02",
            format!("parameter ${} is not a valid {}: {reason}", n + 1, postgres_type(wanted)),
        )
    };
    if let (DataType::FixedSizeBinary(16), Some(text)) =
        (wanted, array.as_any().downcast_ref::<StringArray>())
    {
        let uuid = uuid::Uuid::parse_str(text.value(0)).map_err(|error| wrong(error.to_string()))?;
        let value = arrow::array::FixedSizeBinaryArray::try_from_iter(std::iter::once(uuid.as_bytes()))
            .map_err(|error| wrong(error.to_string()))?;
        return Ok(Arc::new(value));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&array, wanted, &options).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray as _;
    use arrow::datatypes::{Int64Type, TimeUnit, TimestampMicrosecondType};

    use super::*;

    #[test]
    fn texts_read_as_what_the_statement_wants() {
        let number = converted(utf8(b"42", 0).expect("text"), &DataType::Int64, 0).expect("a number");
        assert_eq!(number.as_primitive::<Int64Type>().value(0), 42);
        let at = DataType::Timestamp(TimeUnit::Microsecond, None);
        let instant =
            converted(utf8(b"1970-01-01 00:00:01.5", 0).expect("text"), &at, 0).expect("an instant");
        assert_eq!(instant.as_primitive::<TimestampMicrosecondType>().value(0), 1_500_000);
        assert!(converted(utf8(b"x", 0).expect("text"), &DataType::Int64, 0).is_err());
    }

    #[test]
    fn bytea_reads_its_hexadecimal_form() {
        let bytes = text(b"\\x00ff", &Type::BYTEA, &DataType::Binary, 0).expect("bytes");
        assert_eq!(bytes.as_binary::<i32>().value(0), [0, 255]);
        assert!(text(b"\\x0", &Type::BYTEA, &DataType::Binary, 0).is_err());
    }

    #[test]
    fn binary_values_of_a_wrong_length_are_refused() {
        assert!(binary(&[0, 1], &Type::INT4, 0).is_err());
        assert!(binary(&[2, b'{'], &Type::JSONB, 0).is_err());
    }
}
