//! Pages of lists: `limit`, `cursor`, `nextCursor`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::call::Call;
use crate::problem::Problem;

/// Entries of a page, if nothing else is asked.
const LIMIT: u64 = 50;
/// Most of them.
pub(super) const LIMIT_MAX: u64 = 200;

/// How many entries are asked for.
pub(super) fn limit(call: &Call) -> Result<usize, Problem> {
    let limit = call.parameters.number("limit")?.unwrap_or(LIMIT);
    match (1..=LIMIT_MAX).contains(&limit) {
        true => Ok(usize::try_from(limit).unwrap_or(usize::MAX)),
        false => Err(Problem::bad_request(format!("limit must be 1 to {LIMIT_MAX}, got {limit}"))),
    }
}

/// What the cursor says where to go on.
pub(super) fn cursor(call: &Call) -> Result<Option<String>, Problem> {
    let Some(text) = call.parameters.first(&["cursor"]) else { return Ok(None) };
    let known = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    known.map(Some).ok_or_else(unknown)
}

/// A cursor that nobody gave.
pub(super) fn unknown() -> Problem {
    Problem::bad_request("cursor is none that was answered as nextCursor")
}

/// The cursor that goes on behind this place.
pub(super) fn behind(place: &str) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

/// The part of a list, sorted by key, that a request asks for; and the cursor if there is more.
pub(super) fn part<T>(
    call: &Call,
    all: Vec<T>,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let (limit, after) = (limit(call)?, cursor(call)?);
    // By place: lists whose order is not that of their texts are asked for by the very key.
    let start = match &after {
        None => 0,
        Some(after) => {
            all.iter().position(|entry| key(entry) == *after).map(|at| at + 1).ok_or_else(unknown)?
        }
    };
    let more = all.len() > start + limit;
    let part: Vec<T> = all.into_iter().skip(start).take(limit).collect();
    let next = part.last().filter(|_| more).map(|last| behind(&key(last)));
    Ok((part, next))
}
