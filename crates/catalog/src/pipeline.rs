//! Pipelines: streaming queries, and what is wanted of them. How far each is, the ledger says: producer `pipeline/{id}`.

use std::collections::BTreeMap;

use cenote_vocab::{Epoch, Micros, Scope};
use uuid::Uuid;

use crate::committer::check_active;
use crate::inner::Inner;
use crate::sql::{grant, head, hold, pipeline, producer};
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
    let mut transaction = inner.database.write().await?;
    head::lock(&mut transaction, scope.catalog()).await?;
    check_active(inner, &mut transaction).await?;
    if !pipeline::insert(&mut transaction, scope.catalog(), pipeline).await? {
        return Err(Error::PipelineExists(pipeline.full_name()));
    }
    Ok(transaction.commit().await?)
}

/// All, by schema and name.
pub(crate) async fn list(inner: &Inner, scope: &Scope) -> Result<Vec<Pipeline>, Error> {
    let mut transaction = inner.database.read().await?;
    let pipelines = pipeline::list(&mut transaction, scope.catalog()).await?;
    transaction.rollback().await?;
    Ok(pipelines)
}

/// Notes what is wanted of it, what it does and why it does not. `PipelineNotFound` once it was dropped.
pub(crate) async fn note(inner: &Inner, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    let noted = (pipeline.desired, pipeline.state.as_str(), pipeline.error.as_deref());
    if !pipeline::note(&mut transaction, scope.catalog(), pipeline.id, noted).await? {
        return Err(Error::PipelineNotFound { name: pipeline.full_name(), nearest: None });
    }
    Ok(transaction.commit().await?)
}

/// Stores its name, what it runs and what is wanted of it. `PipelineNotFound` once it was dropped, `PipelineExists` if another of
/// its schema has the name.
pub(crate) async fn alter(inner: &Inner, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
    let mut transaction = inner.database.write().await?;
    head::lock(&mut transaction, scope.catalog()).await?;
    check_active(inner, &mut transaction).await?;
    let others = pipeline::list(&mut transaction, scope.catalog()).await?;
    let has_name = |other: &Pipeline| other.schema == pipeline.schema && other.name == pipeline.name;
    if others.iter().any(|other| other.id != pipeline.id && has_name(other)) {
        return Err(Error::PipelineExists(pipeline.full_name()));
    }
    if !pipeline::alter(&mut transaction, scope.catalog(), pipeline).await? {
        return Err(Error::PipelineNotFound { name: pipeline.full_name(), nearest: None });
    }
    Ok(transaction.commit().await?)
}

/// Stores its options while it runs, and nothing of what it does. `PipelineNotFound` once it was dropped.
pub(crate) async fn set_options(inner: &Inner, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    if !pipeline::set_options(&mut transaction, scope.catalog(), pipeline).await? {
        return Err(Error::PipelineNotFound { name: pipeline.full_name(), nearest: None });
    }
    Ok(transaction.commit().await?)
}

/// Forgets it, with its producer and what it held: nothing of it commits any more.
pub(crate) async fn remove(inner: &Inner, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
    let catalog = scope.catalog();
    let mut transaction = inner.database.write().await?;
    head::lock(&mut transaction, catalog).await?;
    check_active(inner, &mut transaction).await?;
    if !pipeline::remove(&mut transaction, catalog, pipeline.id).await? {
        return Err(Error::PipelineNotFound { name: pipeline.full_name(), nearest: None });
    }
    grant::forget_object(&mut transaction, catalog, GrantKind::Pipeline, pipeline.id.into()).await?;
    producer::drop(&mut transaction, catalog, &pipeline.producer()).await?;
    for hold in hold::all(&mut transaction, catalog, inner.clock.now()).await? {
        if hold.holder == pipeline.producer() {
            hold::remove(&mut transaction, catalog, hold.id).await?;
        }
    }
    transaction.commit().await?;
    // Committer and readers remember how far it was.
    inner.memory(catalog).forget();
    Ok(())
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
