//! Pages of lists: `limit`, `cursor`, the cursor behind the last entry; and filters by a word.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::problem::Problem;

/// Entries of a page, if nothing else is asked; and most of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) usual: u64,
    pub(super) max: u64,
}

/// Those of lists that say nothing else.
const LIMITS: Limits = Limits { usual: 50, max: 200 };

/// How many entries are asked for.
pub(super) fn limit(call: &Call) -> Result<usize, Problem> {
    limit_within(call, LIMITS)
}

/// How many entries are asked for, by the limits of a list.
pub(super) fn limit_within(call: &Call, Limits { usual, max }: Limits) -> Result<usize, Problem> {
    let limit = call.parameters.number("limit")?.unwrap_or(usual);
    match (1..=max).contains(&limit) {
        true => Ok(usize::try_from(limit).unwrap_or(usize::MAX)),
        false => Err(Problem::bad_request(format!("limit must be 1 to {max}, got {limit}"))),
    }
}

/// A parameter that is one of these words; 400 names them if it is another.
pub(super) fn one_of(call: &Call, name: &str, known: &[&str]) -> Result<Option<String>, Problem> {
    match call.parameters.first(&[name]) {
        Some(word) if !known.contains(&word) => {
            Err(Problem::bad_request(format!("{name} is one of {}, got {word:?}", known.join(", "))))
        }
        word => Ok(word.map(str::to_owned)),
    }
}

/// The place behind which to go on.
pub(super) fn after<K: DeserializeOwned>(call: &Call) -> Result<Option<K>, Problem> {
    let Some(text) = call.parameters.first(&["cursor"]) else { return Ok(None) };
    let known = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let unknown = || Problem::bad_request("cursor is none that was answered");
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
