//! Partitions of an asset: a page of them, ranges of equal ones, and how many are how.

use axum::Json;
use axum::extract::{Path, State};
use cenote_catalog::PartitionStatus;
use serde_json::{Value, json};

use super::{STATUSES, failed, session, shape, takes_nothing};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::routes::page::{self, one_of};

/// The partitions of an asset, in order; with `format=ranges` neighbours that are alike are one.
#[utoipa::path(
    get, path = "/api/v1/assets/{key}/partitions", tag = "flow",
    params(
        ("key" = String, Path, description = "schema.name"), ("from" = Option<String>, Query, description = "a key"),
        ("to" = Option<String>, Query, description = "a key"), ("status" = Option<String>, Query),
        ("format" = Option<String>, Query, description = "keys, ranges"),
        ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, description = "`data` and `nextCursor`", body = Object), (status = 404, description = "no such asset"))
)]
pub(in crate::routes) async fn list(
    State(app): State<App>,
    Path(key): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters
        .only(&["from", "to", "status", "format", "limit", "cursor", "db", "database", "u", "p"])?;
    let session = session(&app, &call).await?;
    let (mut all, at) = session.asset_partitions(&key).await.map_err(failed)?;
    let asset = session.asset(&key).await.map_err(failed)?;
    let slices = asset.asset.spec.slices()?;
    let number = |name: &str| -> Result<Option<i64>, Problem> {
        match (call.parameters.first(&[name]), &slices) {
            (None, _) => Ok(None),
            (Some(text), Some(slices)) => Ok(Some(slices.number(text)?)),
            (Some(_), None) => Err(Problem::bad_request(format!("asset {key} has no partitions"))),
        }
    };
    let (from, to) = (number("from")?, number("to")?);
    let status = one_of(&call, "status", &STATUSES)?;
    let format = one_of(&call, "format", &["keys", "ranges"])?;
    // Slices are in the order of their numbers; an asset that has none has no partitions.
    let place = |state: &PartitionStatus| slices.as_ref().and_then(|own| own.number(&state.key).ok());
    all.retain(|state| {
        let own = place(state);
        from.is_none_or(|from| Some(from) <= own) && to.is_none_or(|to| own <= Some(to))
    });
    let wanted = |state: &PartitionStatus| status.as_ref().is_none_or(|status| state.status == status);
    let (data, next) = match format.as_deref() {
        Some("ranges") => {
            // Cut first: a range may have grown or fallen apart since the page before.
            if let Some(after) = page::after::<Option<i64>>(&call)? {
                all.retain(|state| place(state) > after);
            }
            let limit = page::limit(&call)?;
            let mut ranges = ranges(all.into_iter().filter(wanted), place);
            let more = ranges.len() > limit;
            ranges.truncate(limit);
            let last = ranges.last().filter(|_| more).map(|range| page::behind(&place(&range.last)));
            (ranges.iter().map(Range::shown).collect::<Vec<Value>>(), last.transpose()?)
        }
        _ => {
            all.retain(wanted);
            let (part, next) = page::part(&call, all, place)?;
            (part.iter().map(|state| shape::partition(&asset.key(), state)).collect(), next)
        }
    };
    Ok(Json(json!({"data": data, "nextCursor": next, "staleAsOf": at.rfc3339()})))
}

/// Neighbours that are alike.
struct Range {
    first: PartitionStatus,
    last: PartitionStatus,
    count: u64,
}

impl Range {
    fn shown(&self) -> Value {
        let first = &self.first;
        json!({
            "start": first.key, "end": self.last.key, "count": self.count,
            "status": first.status, "staleReason": first.reason.filter(|_| first.status == "stale"),
        })
    }
}

fn ranges(
    states: impl Iterator<Item = PartitionStatus>,
    place: impl Fn(&PartitionStatus) -> Option<i64>,
) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for state in states {
        match ranges.last_mut() {
            Some(range)
                if (range.first.status, range.first.reason) == (state.status, state.reason)
                    && place(&range.last).map(|number| number + 1) == place(&state) =>
            {
                range.last = state;
                range.count += 1;
            }
            _ => ranges.push(Range { first: state.clone(), last: state, count: 1 }),
        }
    }
    ranges
}

/// How many partitions of an asset are how.
#[utoipa::path(
    get, path = "/api/v1/assets/{key}/partitions/summary", tag = "flow",
    params(("key" = String, Path, description = "schema.name")),
    responses((status = 200, description = "counts", body = Object), (status = 404, description = "no such asset"))
)]
pub(in crate::routes) async fn summary(
    State(app): State<App>,
    Path(key): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    takes_nothing(&call)?;
    let (all, at) = session(&app, &call).await?.asset_partitions(&key).await.map_err(failed)?;
    let count = |wanted: &dyn Fn(&PartitionStatus) -> bool| all.iter().filter(|state| wanted(state)).count();
    let is_made = |state: &PartitionStatus| state.facts.as_ref().is_some_and(|facts| facts.success.is_some());
    Ok(Json(json!({
        "totalPartitions": all.len(),
        "materializedPartitions": count(&is_made),
        "stalePartitions": count(&|state| state.status == "stale"),
        "missingPartitions": count(&|state| !is_made(state)),
        "failedPartitions": count(&|state| state.status == "failed"),
        "staleAsOf": at.rfc3339(),
    })))
}
