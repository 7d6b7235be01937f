//! Partition tuples as canonical JSON: `[19723,null,"eu",{"bytes":"00ff"}]`.

use cenote_vocab::{PartitionValue, Tuple};
use serde_json::{Value, json};

/// The text by which a tuple is interned: equal tuples have equal texts.
pub fn tuple_text(tuple: &[Option<PartitionValue>]) -> String {
    let value = |part: &Option<PartitionValue>| match part {
        None => Value::Null,
        Some(PartitionValue::Boolean(value)) => json!(value),
        // numbers of JSON are exact in 64 bits only
        Some(PartitionValue::Integer(value)) => match i64::try_from(*value) {
            Ok(value) => json!(value),
            Err(_) => json!({ "integer": value.to_string() }),
        },
        Some(PartitionValue::Text(text)) => json!(text),
        Some(PartitionValue::Bytes(bytes)) => json!({ "bytes": hex::encode(bytes) }),
    };
    Value::Array(tuple.iter().map(value).collect()).to_string()
}

/// Reads [`tuple_text`] back; `None` if it is no tuple.
pub(crate) fn parse_tuple(text: &str) -> Option<Tuple> {
    let value = |part: &Value| {
        Some(match part {
            Value::Null => None,
            Value::Bool(value) => Some(PartitionValue::Boolean(*value)),
            Value::Number(number) => Some(PartitionValue::Integer(number.as_i64()?.into())),
            Value::String(text) => Some(PartitionValue::Text(text.clone())),
            Value::Object(object) => match (object.get("integer"), object.get("bytes")) {
                (Some(Value::String(digits)), None) => Some(PartitionValue::Integer(digits.parse().ok()?)),
                (None, Some(Value::String(text))) => Some(PartitionValue::Bytes(hex::decode(text).ok()?)),
                _ => return None,
            },
            Value::Array(_) => return None,
        })
    };
    let parts: Vec<Value> = serde_json::from_str(text).ok()?;
    parts.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_read_back_and_those_of_days_are_plain() {
        let tuple: Tuple = vec![
            Some(PartitionValue::from(19_723)),
            None,
            Some(PartitionValue::Text("a \"b\"".into())),
            Some(PartitionValue::Bytes(vec![0, 255])),
            Some(PartitionValue::Integer(i128::MAX)),
            Some(PartitionValue::Boolean(true)),
        ];
        assert_eq!(parse_tuple(&tuple_text(&tuple)), Some(tuple));
        assert_eq!(tuple_text(&[Some(PartitionValue::from(-1)), None]), "[-1,null]");
        for wrong in ["{}", "[1.5]", "[[1]]", "[{\"bytes\":\"0\"}]", "[", "[{\"bytes\":\"é0\"}]"] {
            assert_eq!(parse_tuple(wrong), None, "{wrong}");
        }
    }
}
