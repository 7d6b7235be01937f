//! Bodies of these paths: names of members in camelCase or snake_case.

use axum::body::Body;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::body;
use crate::problem::Problem;

/// Bytes of a body (`flow_body_max`).
const BODY_MAX: u64 = 1 << 20;
/// What stands in these is the caller's own.
const VERBATIM: [&str; 3] = ["labels", "options", "properties"];

/// The body; one without a byte is an empty object.
pub(super) async fn sent<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    understood(read(body).await?)
}

/// The body with names of members in snake_case, so that both spellings ask for the same.
pub(super) async fn read(body: Body) -> Result<Value, Problem> {
    let bytes = body::read(body, BODY_MAX, "flow_body_max").await?;
    let value: Value = match bytes.is_empty() {
        true => Value::Object(Map::new()),
        false => serde_json::from_slice(&bytes).map_err(|error| invalid(&error))?,
    };
    snake(value)
}

pub(super) fn understood<T: DeserializeOwned>(body: Value) -> Result<T, Problem> {
    serde_json::from_value(body).map_err(|error| invalid(&error))
}

fn invalid(error: &serde_json::Error) -> Problem {
    Problem::bad_request(format!("invalid JSON: {error}"))
}

/// The same with names of members in snake_case. 400 if one is given in both spellings.
pub(in crate::routes) fn snake(value: Value) -> Result<Value, Problem> {
    match value {
        Value::Object(members) => {
            let mut renamed = Map::with_capacity(members.len());
            for (name, value) in members {
                let name = snake_name(&name);
                let value = if VERBATIM.contains(&name.as_str()) { value } else { snake(value)? };
                if renamed.insert(name.clone(), value).is_some() {
                    return Err(Problem::bad_request(format!("member {name} is given twice")));
                }
            }
            Ok(Value::Object(renamed))
        }
        Value::Array(values) => Ok(Value::Array(values.into_iter().map(snake).collect::<Result<_, _>>()?)),
        other => Ok(other),
    }
}

fn snake_name(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_spellings_are_one_and_labels_are_left_alone() {
        let camel =
            json!({"includeUpstream": true, "labels": {"myKey": "aB"}, "partitionRange": {"start": "a"}});
        let same =
            json!({"include_upstream": true, "labels": {"myKey": "aB"}, "partition_range": {"start": "a"}});
        assert_eq!(snake(camel).expect("renamed"), same);
        let twice = snake(json!({"runKey": "a", "run_key": "b"})).expect_err("twice");
        assert!(twice.text.contains("run_key is given twice"));
    }
}
