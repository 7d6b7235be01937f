//! Messages that begin with the number of their schema in a registry: byte 0, the number as u32 big-endian, the value.

use arrow::datatypes::{DataType, Schema};
use serde_json::{Map, Value, json};

/// The number of a message's schema, and its value. The error says what else the message begins with.
pub fn framed(message: &[u8]) -> Result<(u32, &[u8]), String> {
    match message {
        [0, a, b, c, d, value @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), value)),
        [0, ..] => Err("the message ends before the number of its schema does".to_owned()),
        [first, ..] => {
            Err(format!("the message begins with byte {first}, not with byte 0 and the number of a schema"))
        }
        [] => Err("the message is empty, without the number of a schema".to_owned()),
    }
}

/// What stands before the value.
pub fn frame(schema: u32) -> [u8; 5] {
    let [a, b, c, d] = schema.to_be_bytes();
    [0, a, b, c, d]
}

/// JSON Schema of rows with these columns, as they are written: a NULL is left out.
pub fn json_schema(columns: &Schema, title: &str) -> String {
    let properties: Map<String, Value> =
        columns.fields().iter().map(|field| (field.name().clone(), json_type(field.data_type()))).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "type": "object",
        "properties": properties,
    })
    .to_string()
}

fn json_type(data_type: &DataType) -> Value {
    match data_type {
        DataType::Boolean => json!({"type": "boolean"}),
        data_type if data_type.is_integer() => json!({"type": "integer"}),
        data_type if data_type.is_floating() => json!({"type": "number"}),
        DataType::List(element) | DataType::LargeList(element) => {
            json!({"type": "array", "items": json_type(element.data_type())})
        }
        DataType::Struct(fields) => {
            let properties: Map<String, Value> =
                fields.iter().map(|field| (field.name().clone(), json_type(field.data_type()))).collect();
            json!({"type": "object", "properties": properties})
        }
        // by the options of the format, these are numbers or texts
        DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Timestamp(..) => json!({}),
        _ => json!({"type": "string"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_and_what_is_none_is_named() {
        let message = [&frame(70_000)[..], b"body"].concat();
        assert_eq!(framed(&message).expect("framed"), (70_000, &b"body"[..]));
        for (message, reason) in
            [(&b"{}"[..], "begins with byte 123"), (b"\0\0\0", "ends before the number"), (b"", "is empty")]
        {
            let error = framed(message).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }
}
