//! Partitions of an asset: a page of them, ranges of equal ones, and how many are how.

use axum::Json;
use axum::extract::{Path, State};
use cenote_catalog::PartitionStatus;
use serde_json::{Value, json};

use super::{failed, page, session, shape};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

const STATUSES: [&str; 5] = ["missing", "running", "failed", "stale", "fresh"];

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
    if let Some(slices) = &slices {
        let within = |state: &PartitionStatus| {
            let own = slices.number(&state.key).unwrap_or(i64::MIN);
            from.is_none_or(|from| from <= own) && to.is_none_or(|to| own <= to)
        };
        all.retain(within);
    }
    if let Some(status) = call.parameters.first(&["status"]) {
        if !STATUSES.contains(&status) {
            return Err(Problem::bad_request(format!(
                "status is one of {}, got {status:?}",
                STATUSES.join(", ")
            )));
        }
        all.retain(|state| state.status == status);
    }
    match call.parameters.first(&["format"]) {
        None | Some("keys") => {
            let (part, next) = page::part(&call, all, |state| state.key.clone())?;
            let data: Vec<Value> = part.iter().map(|state| shape::partition(&asset.key(), state)).collect();
            Ok(Json(json!({"data": data, "nextCursor": next, "staleAsOf": at.rfc3339()})))
        }
        Some("ranges") => {
            let number =
                |state: &PartitionStatus| slices.as_ref().and_then(|own| own.number(&state.key).ok());
            let mut ranges: Vec<(PartitionStatus, PartitionStatus, u64)> = Vec::new();
            for state in all {
                match ranges.last_mut() {
                    Some((first, last, count))
                        if (first.status, first.reason) == (state.status, state.reason)
                            && number(last).map(|number| number + 1) == number(&state) =>
                    {
                        *last = state;
                        *count += 1;
                    }
                    _ => ranges.push((state.clone(), state, 1)),
                }
            }
            let (part, next) = page::part(&call, ranges, |(first, _, _)| first.key.clone())?;
            let data: Vec<Value> = part
                .iter()
                .map(|(first, last, count)| {
                    json!({
                        "start": first.key, "end": last.key, "count": count,
                        "status": first.status, "staleReason": first.reason.filter(|_| first.status == "stale"),
                    })
                })
                .collect();
            Ok(Json(json!({"data": data, "nextCursor": next, "staleAsOf": at.rfc3339()})))
        }
        Some(other) => Err(Problem::bad_request(format!("format is keys or ranges, got {other:?}"))),
    }
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
