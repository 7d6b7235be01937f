//! Pipelines: streaming queries, and what is wanted of them. How far each is, the ledger says: producer `pipeline/{id}`.

use std::collections::BTreeMap;

use cenote_vocab::{Epoch, Micros, Scope};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::committer::{EventRow, event_of};
use crate::guarded::Guarded;
use crate::inner::Inner;
use crate::sql::{grant, hold, pipeline, producer};
use crate::{Error, GrantKind, Identity, grants, tokens};

/// Whether a pipeline should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// It runs whenever its node does.
    Running,
    /// It waits for RESUME.
    Paused,
}

/// What a pipeline has to give up of what it held after an epoch, before it goes on. The epoch behind has done it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// What was committed up to here.
    pub upto: Epoch,
    /// How much of it.
    pub extent: ResetExtent,
}

/// How much of what it held a pipeline gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetExtent {
    /// What its operators hold; it goes on where its sources stand.
    State,
    /// All of it: it begins again.
    Everything,
    /// The same, and the rows of the tables that it writes.
    EverythingAndRows,
}

impl ResetExtent {
    /// As it is stored.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Everything => "everything",
            Self::EverythingAndRows => "everything_and_rows",
        }
    }

    /// `None` for a word that is none.
    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::State, Self::Everything, Self::EverythingAndRows]
            .into_iter()
            .find(|extent| extent.name() == name)
    }
}

/// A pipeline as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// For ever.
    pub id: Uuid,
    /// The schema that it is in.
    pub schema: String,
    /// Unique among the schema's pipelines.
    pub name: String,
    /// The token by whose rights it reads and writes.
    pub owner: i64,
    /// Schemas of bare names.
    pub search_path: Vec<String>,
    /// Its statements.
    pub script: String,
    /// `WITH (…)`
    pub options: BTreeMap<String, String>,
    /// Whether it should run.
    pub desired: Desired,
    /// `created`, `running`, …
    pub state: String,
    /// Why it failed, or waits.
    pub error: Option<String>,
    /// What it gives up when it starts next.
    pub reset: Option<Reset>,
    /// When it was made.
    pub created: Micros,
    /// Grows with every change of the row.
    pub version: i64,
}

impl Desired {
    /// As it is stored and written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
        }
    }

    /// `Corrupt` for a word that is none.
    pub(crate) fn of(name: &str) -> Result<Self, Error> {
        match name {
            "running" => Ok(Self::Running),
            "paused" => Ok(Self::Paused),
            _ => Err(Error::Corrupt(format!("a pipeline should be {name:?}"))),
        }
    }
}

impl Pipeline {
    /// The name under which it writes, and holds history.
    pub fn producer(&self) -> String {
        format!("pipeline/{}", self.id)
    }

    /// `schema.pipeline`, for messages.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// Stores a new one. `PipelineExists` if its schema has one of its name.
pub(crate) async fn create(inner: &Inner, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
    let mut guarded = Guarded::begin(inner, scope).await?;
    if !pipeline::insert(&mut guarded.transaction, scope.catalog(), pipeline).await? {
        return Err(Error::PipelineExists(pipeline.full_name()));
    }
    guarded.tell("create_pipeline", None, vec![told("pipeline.created", pipeline, Value::Null)]).await?;
    guarded.commit().await
}

/// All, by schema and name.
pub(crate) async fn list(inner: &Inner, scope: &Scope) -> Result<Vec<Pipeline>, Error> {
    let mut transaction = inner.database.read().await?;
    let pipelines = pipeline::list(&mut transaction, scope.catalog()).await?;
    transaction.rollback().await?;
    Ok(pipelines)
}

/// Notes what is wanted of it, what it does and why it does not. `PipelineNotFound` once it was dropped.
///
/// That it is held, goes on, fails or has finished is told; what it does between these is not.
pub(crate) async fn note(inner: &Inner, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
    let catalog = scope.catalog();
    let mut guarded = Guarded::begin(inner, scope).await?;
    let stored = pipeline::list(&mut guarded.transaction, catalog).await?;
    let noted = (pipeline.desired, pipeline.state.as_str(), pipeline.error.as_deref());
    let before = stored.iter().find(|stored| stored.id == pipeline.id);
    let done = pipeline::note(&mut guarded.transaction, catalog, pipeline.id, noted).await?;
    let Some(before) = before.filter(|_| done) else {
        return Err(Error::PipelineNotFound { name: pipeline.full_name(), nearest: None });
    };
    guarded.tell("note_pipeline", None, changes(before, pipeline)).await?;
    guarded.commit().await
}

/// Stores its name, what it runs and what is wanted of it. `PipelineNotFound` once it was dropped, `PipelineExists` if another of
/// its schema has the name.
pub(crate) async fn alter(inner: &Inner, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
    let mut guarded = Guarded::begin(inner, scope).await?;
    let others = pipeline::list(&mut guarded.transaction, scope.catalog()).await?;
    let has_name = |other: &Pipeline| other.schema == pipeline.schema && other.name == pipeline.name;
    if others.iter().any(|other| other.id != pipeline.id && has_name(other)) {
        return Err(Error::PipelineExists(pipeline.full_name()));
    }
    if !pipeline::alter(&mut guarded.transaction, scope.catalog(), pipeline).await? {
        return Err(Error::PipelineNotFound { name: pipeline.full_name(), nearest: None });
    }
    let mut events = vec![told("pipeline.altered", pipeline, Value::Null)];
    let before = others.iter().find(|other| other.id == pipeline.id);
    events.extend(before.into_iter().flat_map(|before| changes(before, pipeline)));
    guarded.tell("alter_pipeline", None, events).await?;
    guarded.commit().await
}

/// Stores its options while it runs, and nothing of what it does. `PipelineNotFound` once it was dropped.
pub(crate) async fn set_options(inner: &Inner, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
    let mut guarded = Guarded::begin(inner, scope).await?;
    if !pipeline::set_options(&mut guarded.transaction, scope.catalog(), pipeline).await? {
        return Err(Error::PipelineNotFound { name: pipeline.full_name(), nearest: None });
    }
    guarded.tell("alter_pipeline", None, vec![told("pipeline.altered", pipeline, Value::Null)]).await?;
    guarded.commit().await
}

/// Forgets it, with its producer and what it held: nothing of it commits any more.
pub(crate) async fn remove(inner: &Inner, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
    let catalog = scope.catalog();
    let mut guarded = Guarded::begin(inner, scope).await?;
    let transaction = &mut guarded.transaction;
    if !pipeline::remove(transaction, catalog, pipeline.id).await? {
        return Err(Error::PipelineNotFound { name: pipeline.full_name(), nearest: None });
    }
    grant::forget_object(transaction, catalog, GrantKind::Pipeline, pipeline.id.into()).await?;
    producer::drop(transaction, catalog, &pipeline.producer()).await?;
    for hold in hold::all(transaction, catalog, inner.clock.now()).await? {
        if hold.holder == pipeline.producer() {
            hold::remove(transaction, catalog, hold.id).await?;
        }
    }
    guarded.tell("drop_pipeline", None, vec![told("pipeline.dropped", pipeline, Value::Null)]).await?;
    guarded.commit().await?;
    // Committer and readers remember how far it was.
    inner.memory(catalog).forget();
    Ok(())
}

/// What became of a pipeline between two notes of it.
fn changes(before: &Pipeline, after: &Pipeline) -> Vec<EventRow> {
    let mut events = Vec::new();
    if before.desired != after.desired {
        let kind = match after.desired {
            Desired::Running => "pipeline.resumed",
            Desired::Paused => "pipeline.paused",
        };
        events.push(told(kind, after, Value::Null));
    }
    if before.state != after.state {
        match after.state.as_str() {
            "failed" => events.push(told("pipeline.failed", after, json!({"error": after.error}))),
            "finished" => events.push(told("pipeline.finished", after, Value::Null)),
            _ => {}
        }
    }
    events
}

fn told(kind: &'static str, pipeline: &Pipeline, payload: Value) -> EventRow {
    EventRow {
        schema: Some(pipeline.schema.clone()),
        name: Some(pipeline.name.clone()),
        ..event_of("pipeline", kind, pipeline.id, payload)
    }
}

/// Whose token this is, if it still may act. `Denied` once it is gone, revoked or expired.
pub(crate) async fn owner(inner: &Inner, scope: &Scope, token: i64) -> Result<Identity, Error> {
    if token == tokens::INTERNAL_TOKEN {
        return Ok(tokens::internal_identity(inner, scope));
    }
    let found = tokens::list(inner, scope).await?.into_iter().find(|other| other.id == token);
    match found.filter(|token| tokens::is_live(token, inner.clock.now())) {
        Some(token) => {
            let access = grants::fresh(inner, scope.catalog()).await?;
            Ok(Identity { scope: scope.clone(), token: token.into(), access })
        }
        None => Err(Error::OwnerGone(token)),
    }
}
