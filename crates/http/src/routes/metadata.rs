//! Published metadata: publish now, and the manifests.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cenote_catalog::{Privilege, Publication};
use cenote_vocab::{ErrorKind, Fault, Micros, Txn};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::Call;
use crate::parameters::instant;
use crate::problem::Problem;

/// The job that publishes.
const JOB: &str = "publish";
/// Longest wait for a publication.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The newest transaction that is published.
const PUBLISHED_TXN: &str = "x-cenote-published-txn";

/// Publishes now what changed since the last time, and answers the newest manifest.
#[utoipa::path(
    post, path = "/api/v1/metadata/publish", tag = "metadata",
    responses(
        (status = 200, description = "the manifest", body = Object), (status = 202, description = "it is being published just now"),
    )
)]
pub(super) async fn publish(State(app): State<App>, call: Call) -> Result<Response, Problem> {
    call.require(Privilege::Manage)?;
    call.parameters.only(&["u", "p"])?;
    let (scope, actor) = (&call.identity.scope, &call.identity.token.name);
    match app.services()?.engine.run_job(scope, JOB, actor, false).await {
        Ok(_) => {
            call.audit_done(&app, "run_job", format!("job {JOB}")).await?;
            answer(&app, &call, &chosen(&app, &call, None).await?).await
        }
        // Its last run is open: who waits for it asks for the manifest.
        Err(error) if error.kind() == ErrorKind::Conflict => {
            let body = json!({"status": "running", "job": JOB});
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        Err(error) => Err(Problem::of(&error)),
    }
}

/// The newest manifest, or that of an id or a time; with `txn_at_least` it waits for one that shows the transaction.
#[utoipa::path(
    get, path = "/api/v1/metadata/manifest", tag = "metadata",
    params(
        ("manifest_id" = Option<i64>, Query),
        ("txn_at_least" = Option<i64>, Query, description = "a manifest that shows this transaction"),
        ("wait_ms" = Option<u64>, Query, description = "how long to wait for it, 30000 at most"),
        ("as_of" = Option<String>, Query, description = "the last one published at or before this time"),
    ),
    responses(
        (status = 200, description = "the manifest, and `lag_txn`: how far it is behind", body = Object),
        (status = 404, description = "nothing that old or that new is published"),
        (status = 410, description = "the manifest was collected"),
    )
)]
pub(super) async fn manifest(State(app): State<App>, call: Call) -> Result<Response, Problem> {
    call.require(Privilege::ReadMetadata)?;
    let parameters = &call.parameters;
    parameters.only(&["manifest_id", "txn_at_least", "wait_ms", "as_of", "u", "p"])?;
    let number = |name: &str| -> Result<Option<i64>, Problem> {
        Ok(parameters.number(name)?.map(|number| i64::try_from(number).unwrap_or(i64::MAX)))
    };
    let (id, txn) = (number("manifest_id")?, number("txn_at_least")?);
    let as_of = parameters.first(&["as_of"]).map(|text| instant("as_of", text)).transpose()?;
    if [id.is_some(), txn.is_some(), as_of.is_some()].into_iter().filter(|given| *given).count() > 1 {
        return Err(Problem::bad_request("manifest_id, txn_at_least and as_of exclude each other"));
    }
    let wait = Duration::from_millis(parameters.number("wait_ms")?.unwrap_or(0));
    if wait > WAIT_MAX || (!wait.is_zero() && txn.is_none()) {
        let text = format!("wait_ms is at most {} and stands beside txn_at_least", WAIT_MAX.as_millis());
        return Err(Problem::bad_request(text));
    }
    let publication = match (txn, as_of) {
        (Some(txn), _) => showing(&app, &call, Txn(txn), wait).await?,
        (None, Some(at)) => published_at(&app, &call, at).await?,
        (None, None) => chosen(&app, &call, id).await?,
    };
    answer(&app, &call, &publication).await
}

/// All manifests that are kept, newest first.
#[utoipa::path(
    get, path = "/api/v1/metadata/manifests", tag = "metadata",
    responses((status = 200, description = "`manifests`", body = Object))
)]
pub(super) async fn manifests(State(app): State<App>, call: Call) -> Result<Response, Problem> {
    call.require(Privilege::ReadMetadata)?;
    call.parameters.only(&["u", "p"])?;
    let all = app.services()?.catalog.publications(&call.identity.scope).await?;
    let shown: Vec<Value> = all
        .iter()
        .map(|one| {
            json!({
                "manifest_id": one.manifest_id,
                "txn": one.txn.0,
                "path": one.path,
                "sha256": one.sha256,
                "files": one.files,
                "bytes": one.bytes,
                "published_at": one.published.rfc3339(),
            })
        })
        .collect();
    let response = Json(json!({"manifests": shown})).into_response();
    Ok(with_published(response, all.first()))
}

/// The publication of this id, or the newest. 404 if there is none yet, 410 if it was collected.
pub(super) async fn chosen(app: &App, call: &Call, id: Option<i64>) -> Result<Publication, Problem> {
    let (catalog, scope) = (&app.services()?.catalog, &call.identity.scope);
    let newest = catalog.newest_publication(scope).await?.ok_or_else(nothing)?;
    let Some(id) = id.filter(|id| *id != newest.manifest_id) else { return Ok(newest) };
    if !(1..newest.manifest_id).contains(&id) {
        return Err(Problem::not_found(format!(
            "manifest {id} does not exist, the newest is {}",
            newest.manifest_id
        )));
    }
    let kept = catalog.publications(scope).await?;
    kept.into_iter().find(|publication| publication.manifest_id == id).ok_or_else(|| collected(id))
}

/// The newest one, which shows at least `txn`; 404 if it does not after `wait`.
async fn showing(app: &App, call: &Call, txn: Txn, wait: Duration) -> Result<Publication, Problem> {
    let (catalog, scope) = (&app.services()?.catalog, &call.identity.scope);
    let newest = catalog.wait_for_publication(scope, txn, wait).await?.ok_or_else(nothing)?;
    if newest.txn >= txn {
        return Ok(newest);
    }
    let text = format!("transaction {txn} is not published yet, the newest manifest shows {}", newest.txn);
    let mut problem = Problem::not_found(text).with("reason", "not_published_yet");
    problem.retryable = true;
    Err(problem)
}

/// The last one that was published at or before a time.
async fn published_at(app: &App, call: &Call, at: Micros) -> Result<Publication, Problem> {
    let all = app.services()?.catalog.publications(&call.identity.scope).await?;
    let oldest = all.last().ok_or_else(nothing)?.manifest_id;
    match all.into_iter().find(|publication| publication.published <= at) {
        Some(publication) => Ok(publication),
        None if oldest > 1 => Err(collected(oldest - 1)),
        None => Err(Problem::not_found(format!("nothing was published at {}", at.rfc3339()))),
    }
}

async fn answer(app: &App, call: &Call, publication: &Publication) -> Result<Response, Problem> {
    let services = app.services()?;
    let manifest = services.lake.manifest(publication).await.map_err(|error| Problem::of(&error))?;
    let head = services.catalog.head(&call.identity.scope).await?;
    let mut body = serde_json::to_value(&manifest).map_err(|error| Problem::internal(error.to_string()))?;
    body["lag_txn"] = (head.txn.0 - publication.txn.0).max(0).into();
    body["path"] = publication.path.as_str().into();
    let newest = services.catalog.newest_publication(&call.identity.scope).await?;
    Ok(with_published(Json(body).into_response(), newest.as_ref()))
}

fn with_published(mut response: Response, newest: Option<&Publication>) -> Response {
    if let Some(newest) = newest {
        response.headers_mut().insert(PUBLISHED_TXN, HeaderValue::from(newest.txn.0));
    }
    response
}

fn nothing() -> Problem {
    Problem::not_found("nothing has been published so far")
        .hinted("POST /api/v1/metadata/publish, or set metadata.publish_interval")
}

fn collected(id: i64) -> Problem {
    Problem::new(StatusCode::GONE, format!("manifest {id} was collected")).with("reason", "collected")
}
