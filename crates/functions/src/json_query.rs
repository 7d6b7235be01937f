//! JSONPath over documents: all that a path finds, as Arroyo's scripts ask for it. What is no JSON has nothing.
//!
//! Paths: `$`, `.key`, `['key']`, `[0]`, `[-1]` (from the end), `[*]`, `.*`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringBuilder, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use serde_json::Value;

use crate::{Error, Scalar, by_rows, is_text};

/// All functions of this family.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let all = |_: &[DataType]| DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    vec![
        Scalar::new("extract_json", two_texts, all, |args| by_rows(args, extract)).udf(),
        Scalar::new(
            "extract_json_string",
            two_texts,
            |_| DataType::Utf8View,
            |args| {
                by_rows(args, |arrays| {
                    first(arrays, |found| match found {
                        Value::String(text) => Some(text.clone()),
                        _ => None,
                    })
                })
            },
        )
        .udf(),
        Scalar::new(
            "get_first_json_object",
            two_texts,
            |_| DataType::Utf8View,
            |args| by_rows(args, |arrays| first(arrays, |found| Some(found.to_string()))),
        )
        .udf(),
    ]
}

fn two_texts(given: &[DataType]) -> Option<Vec<DataType>> {
    let fits = given.len() == 2 && given.iter().all(|one| is_text(one) || one.is_null());
    fits.then(|| vec![DataType::Utf8View; 2])
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    /// From the end if below 0.
    Place(i64),
    Each,
}

fn parse(path: &str) -> Result<Vec<Step>, Error> {
    let invalid = || Error::Path(path.to_owned());
    let mut rest = path.trim().strip_prefix('$').ok_or_else(invalid)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = step(rest).ok_or_else(invalid)?;
        steps.push(step);
        rest = after;
    }
    Ok(steps)
}

fn step(rest: &str) -> Option<(Step, &str)> {
    if let Some(after) = rest.strip_prefix(".*").or_else(|| rest.strip_prefix("[*]")) {
        return Some((Step::Each, after));
    }
    if let Some(key) = rest.strip_prefix('.') {
        let end = key.find(['.', '[']).unwrap_or(key.len());
        return (end > 0).then(|| (Step::Key(key[..end].to_owned()), &key[end..]));
    }
    let inner = rest.strip_prefix('[')?;
    for quote in ['\'', '"'] {
        if let Some(key) = inner.strip_prefix(quote) {
            let (key, after) = key.split_once(quote)?;
            return Some((Step::Key(key.to_owned()), after.strip_prefix(']')?));
        }
    }
    let (place, after) = inner.split_once(']')?;
    Some((Step::Place(place.trim().parse().ok()?), after))
}

/// What a path finds in a document, in its order.
fn find<'a>(document: &'a Value, steps: &[Step]) -> Vec<&'a Value> {
    let mut found = vec![document];
    for step in steps {
        found = found.into_iter().flat_map(|value| reach(value, step)).collect();
    }
    found
}

fn reach<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Key(key), Value::Object(fields)) => fields.get(key).into_iter().collect(),
        (Step::Place(at), Value::Array(items)) => {
            let at = if *at < 0 { i64::try_from(items.len()).map_or(-1, |count| count + at) } else { *at };
            usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
        }
        (Step::Each, Value::Object(fields)) => fields.values().collect(),
        (Step::Each, Value::Array(items)) => items.iter().collect(),
        _ => Vec::new(),
    }
}

/// Calls back for each row with the document and the steps; NULL and what is no JSON have none.
fn each(arrays: &[ArrayRef], mut row: impl FnMut(Option<(&Value, &[Step])>)) -> Result<()> {
    let (documents, paths) = (cast(&arrays[0], &DataType::Utf8View)?, cast(&arrays[1], &DataType::Utf8View)?);
    let mut last: Option<(&str, Vec<Step>)> = None;
    for (document, path) in documents.as_string_view().iter().zip(paths.as_string_view()) {
        let (Some(document), Some(path)) = (document, path) else {
            row(None);
            continue;
        };
        let steps = match last.take() {
            Some((text, steps)) if text == path => steps,
            _ => parse(path)?,
        };
        let parsed: Option<Value> = serde_json::from_str(document).ok();
        row(parsed.as_ref().map(|document| (document, &steps[..])));
        last = Some((path, steps));
    }
    Ok(())
}

fn extract(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    each(arrays, |row| match row {
        Some((document, steps)) => {
            find(document, steps).iter().for_each(|found| lists.values().append_value(found.to_string()));
            lists.append(true);
        }
        None => lists.append(false),
    })?;
    Ok(Arc::new(lists.finish()))
}

fn first(arrays: &[ArrayRef], text: impl Fn(&Value) -> Option<String>) -> Result<ArrayRef> {
    let mut texts = Vec::with_capacity(arrays[0].len());
    each(arrays, |row| {
        let found = row.and_then(|(document, steps)| find(document, steps).first().copied().and_then(&text));
        texts.push(found);
    })?;
    Ok(Arc::new(StringViewArray::from_iter(texts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(document: &str, path: &str) -> Vec<String> {
        let document: Value = serde_json::from_str(document).expect("JSON");
        find(&document, &parse(path).expect("a path")).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_path_finds_keys_places_and_everything() {
        let document = r#"{"a": {"b c": [1, {"d": "x"}, null]}, "e": [[1], [2, 3]]}"#;
        assert_eq!(found(document, "$.a['b c'][1].d"), ["\"x\""]);
        assert_eq!(found(document, "$.a.*[0]"), ["1"]);
        assert_eq!(found(document, "$.e[*][-1]"), ["1", "3"]);
        assert_eq!(found(document, "$.a[\"b c\"][2]"), ["null"]);
        assert_eq!(found(document, "$.nothing[0]"), [] as [&str; 0]);
        assert_eq!(found("5", "$"), ["5"]);
        for path in ["a", "$a", "$.", "$[x]", "$['a'"] {
            assert!(parse(path).is_err(), "{path}");
        }
    }
}
