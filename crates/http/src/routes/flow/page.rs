//! Pages of lists: `limit`, `cursor`, `nextCursor`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

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

/// The place behind which to go on.
pub(super) fn after<K: DeserializeOwned>(call: &Call) -> Result<Option<K>, Problem> {
    let Some(text) = call.parameters.first(&["cursor"]) else { return Ok(None) };
    let known = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let unknown = || Problem::bad_request("cursor is none that was answered as nextCursor");
    known.map(Some).ok_or_else(unknown)
}

/// The cursor that goes on behind this place.
pub(super) fn behind<K: Serialize>(place: &K) -> Result<String, Problem> {
    let text = serde_json::to_vec(place).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(text))
}

/// The part of a list that a request asks for, in the order of the keys; and the cursor if there is more. What is behind a place
/// is told by comparing, so that the entry of that place may have moved or gone meanwhile.
pub(super) fn part<T, K: Ord + Serialize + DeserializeOwned>(
    call: &Call,
    mut all: Vec<T>,
    key: impl Fn(&T) -> K,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let limit = limit(call)?;
    if let Some(after) = after::<K>(call)? {
        all.retain(|entry| key(entry) > after);
    }
    all.sort_by_cached_key(&key);
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|last| behind(&key(last))).transpose()?;
    Ok((all, next))
}
