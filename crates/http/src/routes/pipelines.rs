//! Pipelines as objects: the calls and shapes of Arroyo. Everything else about them is a statement on `/api/v1/sql`.

mod events;
mod id;
mod shape;

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use cenote_catalog::{Desired, Pipeline, Privilege};
use cenote_query::{Error, Pausing, PipelineEdit, Session, StateChoice};
use cenote_vocab::{ErrorKind, Fault};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::{body, database};

/// Bytes of a body (`pipeline_body_max`): a script and its options.
const BODY_MAX: u64 = 4 << 20;
/// Pipelines of a list, if nothing else is asked.
const LIMIT: u64 = 10;
/// Most of them.
const LIMIT_MAX: u64 = 1_000;

#[derive(Debug, Deserialize)]
struct NewPipeline {
    name: String,
    query: String,
    #[serde(flatten)]
    common: Common,
}

#[derive(Debug, Deserialize)]
struct Change {
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    stop: Option<Stop>,
    #[serde(default)]
    state: Option<StateAfter>,
    #[serde(default)]
    dry_run: bool,
    #[serde(flatten)]
    common: Common,
}

/// What both may hold.
#[derive(Debug, Deserialize)]
struct Common {
    #[serde(default)]
    parallelism: Option<u64>,
    #[serde(default)]
    checkpoint_interval_micros: Option<u64>,
    #[serde(default)]
    tags: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    env_vars: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    udfs: Option<Vec<Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stop {
    None,
    Checkpoint,
    Graceful,
    Immediate,
    Force,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateAfter {
    Keep,
    Reset,
}

#[derive(Debug, Deserialize)]
struct Script {
    query: String,
    #[serde(default)]
    enable_sinks: bool,
    #[serde(default)]
    udfs: Option<Vec<Value>>,
}

impl Common {
    /// As options of the statement; 501 for what this release does not have.
    fn options(&self) -> Result<BTreeMap<String, String>, Problem> {
        refuse_udfs(self.udfs.as_deref())?;
        if self.env_vars.as_ref().is_some_and(|variables| !variables.is_empty()) {
            return Err(Problem::not_built("env_vars of a pipeline"));
        }
        let mut options = BTreeMap::new();
        if let Some(parallelism) = self.parallelism {
            options.insert("parallelism".to_owned(), parallelism.to_string());
        }
        if let Some(micros) = self.checkpoint_interval_micros {
            options.insert("checkpoint_interval".to_owned(), format!("{micros} microseconds"));
        }
        for (name, value) in self.tags.iter().flatten() {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            options.insert(format!("label.{name}"), value);
        }
        Ok(options)
    }
}

fn refuse_udfs(udfs: Option<&[Value]>) -> Result<(), Problem> {
    match udfs {
        Some([_, ..]) => Err(Problem::not_built("user-defined functions of a pipeline")),
        _ => Ok(()),
    }
}

/// Makes a pipeline of a script and starts it. A query that writes nothing shows its rows on `…/output`.
#[utoipa::path(
    post, path = "/api/v1/pipelines", tag = "pipelines", params(("database" = Option<String>, Query)),
    request_body(content = Object, content_type = "application/json",
        example = json!({"name": "copy", "query": "INSERT INTO out SELECT v FROM src", "parallelism": 1})),
    responses(
        (status = 200, description = "the pipeline", body = Object),
        (status = 400, description = "a script that cannot be planned, or a name that is taken"),
        (status = 501, description = "udfs, env_vars"),
    )
)]
pub(super) async fn create(State(app): State<App>, call: Call, body: Body) -> Result<Json<Value>, Problem> {
    call.require_somewhere(Privilege::Create)?;
    call.parameters.only(&["db", "database", "u", "p"])?;
    let new: NewPipeline = sent(body).await?;
    let mut options = new.common.options()?;
    options.insert("preview".to_owned(), "true".to_owned());
    let session = session(&app, &call).await?;
    let made = session.create_pipeline(&new.name, &new.query, &options).await.map_err(planned)?;
    shape::shown(&session, &made).await.map(Json)
}

/// All pipelines, oldest first.
#[utoipa::path(
    get, path = "/api/v1/pipelines", tag = "pipelines",
    params(
        ("starting_after" = Option<String>, Query, description = "the id of the last of the page before"),
        ("limit" = Option<u64>, Query, description = "10 without it, 1000 at most"),
    ),
    responses((status = 200, description = "`data`, and whether there are more", body = Object))
)]
pub(super) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["starting_after", "limit", "db", "database", "u", "p"])?;
    let limit = call.parameters.number("limit")?.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("limit must be 1 to {LIMIT_MAX}, got {limit}")));
    }
    let session = session(&app, &call).await?;
    let mut all = session.pipelines().await.map_err(failed)?;
    if let Some(after) = call.parameters.first(&["starting_after"]) {
        let after = id::parse(after)?;
        let Some(at) = all.iter().position(|pipeline| pipeline.id == after) else {
            return Err(Problem::bad_request("starting_after is the id of no pipeline"));
        };
        all.drain(..=at);
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = all.len() > limit;
    let mut data = Vec::new();
    for pipeline in all.iter().take(limit) {
        data.push(shape::shown(&session, pipeline).await?);
    }
    Ok(Json(json!({"data": data, "hasMore": more})))
}

/// One pipeline.
#[utoipa::path(
    get, path = "/api/v1/pipelines/{id}", tag = "pipelines", params(("id" = String, Path)),
    responses((status = 200, description = "the pipeline", body = Object), (status = 404, description = "no such pipeline"))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    let session = session(&app, &call).await?;
    let pipeline = session.pipeline(id::parse(&id)?).await.map_err(failed)?;
    shape::shown(&session, &pipeline).await.map(Json)
}

/// Stops, resumes or changes a pipeline. With `dry_run` says only how what it holds fits another `query`.
#[utoipa::path(
    patch, path = "/api/v1/pipelines/{id}", tag = "pipelines", params(("id" = String, Path)),
    request_body(content = Object, content_type = "application/json", example = json!({"stop": "checkpoint"})),
    responses(
        (status = 200, description = "the pipeline, or with dry_run `fits` and `changes`", body = Object),
        (status = 400, description = "a value that does not fit, or a script that cannot be planned"),
        (status = 404, description = "no such pipeline"),
    )
)]
pub(super) async fn change(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let change: Change = sent(body).await?;
    let id = id::parse(&id)?;
    let options = change.common.options()?;
    let session = session(&app, &call).await?;
    let changes = change.query.is_some() || !options.is_empty();
    let state = change.state.map(|state| match state {
        StateAfter::Keep => StateChoice::Keep,
        StateAfter::Reset => StateChoice::Reset,
    });
    let edit = PipelineEdit { script: change.query, options, state };
    if change.dry_run {
        let parts = session.compare_pipeline(id, edit).await.map_err(planned)?;
        let fits = parts.iter().all(|part| part.verdict.difference().is_none());
        let changes: Vec<Value> = parts.iter().map(shape::part).collect();
        return Ok(Json(json!({"fits": fits, "changes": changes})));
    }
    if changes {
        session.alter_pipeline(id, edit).await.map_err(planned)?;
    }
    match change.stop {
        None => {}
        Some(Stop::None) => {
            let pipeline = session.pipeline(id).await.map_err(failed)?;
            if pipeline.desired == Desired::Paused || pipeline.state == "failed" {
                session.resume_pipeline(id).await.map_err(failed)?;
            }
        }
        Some(Stop::Checkpoint | Stop::Graceful) => {
            session.pause_pipeline(id, Pausing::AfterEpoch).await.map_err(failed)?;
        }
        Some(Stop::Immediate | Stop::Force) => {
            session.pause_pipeline(id, Pausing::AtOnce).await.map_err(failed)?;
        }
    }
    let pipeline = session.pipeline(id).await.map_err(failed)?;
    shape::shown(&session, &pipeline).await.map(Json)
}

/// Forgets a pipeline that does not run; what it wrote stays.
#[utoipa::path(
    delete, path = "/api/v1/pipelines/{id}", tag = "pipelines", params(("id" = String, Path)),
    responses(
        (status = 200, description = "it is gone", body = Object),
        (status = 400, description = "it runs"), (status = 404, description = "no such pipeline"),
    )
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    let session = session(&app, &call).await?;
    let pipeline = session.pipeline(id::parse(&id)?).await.map_err(failed)?;
    if runs(&pipeline) {
        let text = format!("pipeline {} runs: stop it before it is deleted", pipeline.full_name());
        return Err(Problem::bad_request(text));
    }
    session.drop_pipeline(pipeline.id).await.map_err(failed)?;
    Ok(Json(json!({})))
}

/// True while a pipeline runs, or tries to.
fn runs(pipeline: &Pipeline) -> bool {
    pipeline.desired == Desired::Running && !matches!(pipeline.state.as_str(), "failed" | "finished")
}

/// What a script would run, or what is wrong with it.
#[utoipa::path(
    post, path = "/api/v1/pipelines/validate_query", tag = "pipelines",
    request_body(content = Object, content_type = "application/json", example = json!({"query": "SELECT v FROM src"})),
    responses((status = 200, description = "`graph`, or `errors` with `message` and `span`", body = Object))
)]
pub(super) async fn validate_query(app: State<App>, call: Call, body: Body) -> Result<Json<Value>, Problem> {
    checked(&app, &call, body).await
}

/// The same under a shorter name.
#[utoipa::path(
    post, path = "/api/v1/pipelines/validate", tag = "pipelines",
    request_body(content = Object, content_type = "application/json", example = json!({"query": "SELECT v FROM src"})),
    responses((status = 200, description = "`graph`, or `errors` with `message` and `span`", body = Object))
)]
pub(super) async fn validate(app: State<App>, call: Call, body: Body) -> Result<Json<Value>, Problem> {
    checked(&app, &call, body).await
}

async fn checked(app: &App, call: &Call, body: Body) -> Result<Json<Value>, Problem> {
    call.require_somewhere(Privilege::Select)?;
    let script: Script = sent(body).await?;
    refuse_udfs(script.udfs.as_deref())?;
    let session = session(app, call).await?;
    let options = BTreeMap::from([("preview".to_owned(), "true".to_owned())]);
    Ok(Json(match session.explain_script(&script.query, &options).await {
        Ok(graph) => json!({"graph": shape::graph(&graph), "errors": []}),
        Err(error) if is_of_script(&error) => json!({"graph": null, "errors": [shape::diagnostic(&error)]}),
        Err(error) => return Err(failed(error)),
    }))
}

/// Runs a script for a minute at most and answers its rows as events: `graph` first, then rows. Nothing is written.
#[utoipa::path(
    post, path = "/api/v1/pipelines/preview", tag = "pipelines",
    request_body(content = Object, content_type = "application/json", example = json!({"query": "SELECT v FROM src"})),
    responses(
        (status = 200, description = "events", body = String, content_type = "text/event-stream"),
        (status = 400, description = "a script that cannot be planned"),
        (status = 429, description = "as many previews run as may"), (status = 501, description = "enable_sinks, udfs"),
    )
)]
pub(super) async fn preview(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    call.require_somewhere(Privilege::Select)?;
    let script: Script = sent(body).await?;
    refuse_udfs(script.udfs.as_deref())?;
    if script.enable_sinks {
        return Err(Problem::not_built("a preview that writes (enable_sinks)"));
    }
    let session = session(&app, &call).await?;
    let preview = session.preview_script(&script.query).await.map_err(planned)?;
    Ok(events::of_preview(preview))
}

/// What the preview sinks of a running pipeline get from now on, as events.
#[utoipa::path(
    get, path = "/api/v1/pipelines/{id}/output", tag = "pipelines", params(("id" = String, Path)),
    responses(
        (status = 200, description = "events", body = String, content_type = "text/event-stream"),
        (status = 400, description = "it has no preview sink, or does not run"),
        (status = 404, description = "no such pipeline"),
    )
)]
pub(super) async fn output(
    State(app): State<App>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    let session = session(&app, &call).await?;
    let pipeline = session.pipeline(id::parse(&id)?).await.map_err(failed)?;
    match session.pipeline_output(&pipeline).map_err(failed)? {
        Some(shown) => Ok(events::of_output(shown)),
        None => {
            let text = format!("pipeline {} does not run, or has no preview sink", pipeline.full_name());
            Err(Problem::bad_request(text))
        }
    }
}

async fn session(app: &App, call: &Call) -> Result<Session, Problem> {
    let options = call.session(database::selected(&call.headers, &call.parameters)?);
    app.services()?.engine.open_session(call.identity.clone(), options).await.map_err(failed)
}

async fn sent<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let bytes = body::read(body, BODY_MAX, "pipeline_body_max").await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(format!("invalid JSON: {error}")))
}

fn failed(error: Error) -> Problem {
    Problem::of(&error)
}

/// True if somebody must write another script.
fn is_of_script(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::NotFound)
        && error.sqlstate().0 != "42704"
}

/// A failure of a script: 400 in the words that clients look for.
fn planned(error: Error) -> Problem {
    let mut problem = Problem::of(&error);
    if error.sqlstate().0 == "42710" {
        problem.status = http::StatusCode::BAD_REQUEST;
    } else if is_of_script(&error) {
        problem.status = http::StatusCode::BAD_REQUEST;
        problem.text = format!("Failed to plan query:\n{}", problem.text);
    }
    problem
}
