//! Paths into JSON: `$.a."b c"[0]` (DuckDB, SQL), `/a/0` (JSON pointer), `{a,0}` (Postgres), or one plain key.

use datafusion::common::ScalarValue;

use crate::Error;

/// The steps of a path: a text for a key, a number for a place.
pub(crate) fn steps(path: &str) -> Result<Vec<ScalarValue>, Error> {
    let invalid = || Error::Path(path.to_owned());
    if let Some(rest) = path.strip_prefix('$') {
        return dollar(rest).ok_or_else(invalid);
    }
    if let Some(rest) = path.strip_prefix('/') {
        let key = |key: &str| text(&key.replace("~1", "/").replace("~0", "~"));
        return Ok(rest.split('/').map(key).collect());
    }
    if let Some(rest) = path.strip_prefix('{') {
        let keys = rest.strip_suffix('}').ok_or_else(invalid)?;
        return Ok(keys
            .split(',')
            .filter(|key| !key.is_empty())
            .map(|key| text(key.trim().trim_matches('"')))
            .collect());
    }
    Ok(vec![text(path)])
}

fn dollar(mut rest: &str) -> Option<Vec<ScalarValue>> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(quoted) = rest.strip_prefix(".\"") {
            let (key, after) = quoted.split_once('"')?;
            (text(key), after)
        } else if let Some(key) = rest.strip_prefix('.') {
            let end = key.find(['.', '[']).unwrap_or(key.len());
            if end == 0 {
                return None;
            }
            (text(&key[..end]), &key[end..])
        } else {
            let (place, after) = rest.strip_prefix('[')?.split_once(']')?;
            (ScalarValue::Int64(Some(place.parse().ok()?)), after)
        };
        steps.push(step);
        rest = after;
    }
    Some(steps)
}

fn text(key: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(key.to_owned()))
}
