//! Pipelines as objects with ids, for protocols that steer them so. Rights and rules are those of the statements.

use std::collections::BTreeMap;

use cenote_catalog::{MATERIALIZED, Pipeline, Privilege};
use futures::stream::BoxStream;
use sqlparser::ast::Ident;
use uuid::Uuid;

use super::Session;
use crate::Error;
use crate::pipeline::{PartOfChange, Pausing, PipelineGraph, PipelineProgress, Preview, Shown, StateChoice};
use crate::plan::denied;
use crate::statement::pipeline::{named, new, of_no_view, own, refuse_reserved, runner, unnamed};

/// A change of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct PipelineEdit {
    /// Another script.
    pub script: Option<String>,
    /// Options that are set.
    pub options: BTreeMap<String, String>,
    /// What becomes of what it holds; it stays if nothing is said.
    pub state: Option<StateChoice>,
}

impl PipelineEdit {
    fn of(self, pipeline: Pipeline) -> Result<(Pipeline, StateChoice), Error> {
        refuse_reserved(&self.options)?;
        let mut to = of_no_view(pipeline)?;
        to.options.extend(self.options);
        if let Some(script) = self.script {
            to.script = script;
        }
        Ok((to, self.state.unwrap_or(StateChoice::Keep)))
    }
}

impl Session {
    /// All pipelines but those of views, oldest first. `Denied` without the right to read everything.
    pub async fn pipelines(&self) -> Result<Vec<Pipeline>, Error> {
        let session = self.inner();
        if !session.identity().allows_everywhere(Privilege::ReadMetadata) {
            return Err(denied(Privilege::ReadMetadata, "pipelines"));
        }
        let mut all = session.engine().lake().catalog.pipelines(&session.identity().scope).await?;
        all.retain(|pipeline| !pipeline.options.contains_key(MATERIALIZED));
        all.sort_by_key(|pipeline| (pipeline.created, pipeline.id));
        Ok(all)
    }

    /// The pipeline of an id. `NotFound` if there is none.
    pub async fn pipeline(&self, id: Uuid) -> Result<Pipeline, Error> {
        let found = self.pipelines().await?.into_iter().find(|pipeline| pipeline.id == id);
        let name = id.to_string();
        found.ok_or_else(|| cenote_catalog::Error::PipelineNotFound { name, nearest: None }.into())
    }

    async fn steered(&self, id: Uuid) -> Result<Pipeline, Error> {
        own(self.inner(), self.pipeline(id).await?)
    }

    /// Makes a pipeline and starts it.
    pub async fn create_pipeline(
        &self,
        name: &str,
        script: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Pipeline, Error> {
        let session = self.inner();
        session.check_writable()?;
        let pipeline = new(session, &[Ident::with_quote('"', name)], options, script).await?;
        if named(session, &pipeline).await?.is_some() {
            return Err(cenote_catalog::Error::PipelineExists(pipeline.full_name()).into());
        }
        let id = pipeline.id;
        runner(session)?.create(session.identity(), pipeline).await?;
        self.pipeline(id).await
    }

    /// Changes a pipeline; after an error it is as it was.
    pub async fn alter_pipeline(&self, id: Uuid, edit: PipelineEdit) -> Result<(), Error> {
        let session = self.inner();
        session.check_writable()?;
        let (to, state) = edit.of(self.steered(id).await?)?;
        runner(session)?.alter(&session.identity().scope, to, state).await
    }

    /// What a change would do to what a pipeline holds.
    pub async fn compare_pipeline(&self, id: Uuid, edit: PipelineEdit) -> Result<Vec<PartOfChange>, Error> {
        let session = self.inner();
        let (to, state) = edit.of(self.steered(id).await?)?;
        runner(session)?.compare(&session.identity().scope, to, state).await
    }

    /// Pauses a pipeline.
    pub async fn pause_pipeline(&self, id: Uuid, pausing: Pausing) -> Result<(), Error> {
        let session = self.inner();
        session.check_writable()?;
        runner(session)?.pause(&session.identity().scope, self.steered(id).await?, pausing).await
    }

    /// Lets a pipeline go on.
    pub async fn resume_pipeline(&self, id: Uuid) -> Result<(), Error> {
        let session = self.inner();
        session.check_writable()?;
        runner(session)?.resume(&session.identity().scope, self.steered(id).await?).await
    }

    /// Forgets a pipeline.
    pub async fn drop_pipeline(&self, id: Uuid) -> Result<(), Error> {
        let session = self.inner();
        session.check_writable()?;
        runner(session)?.remove(&session.identity().scope, self.steered(id).await?).await
    }

    /// What a pipeline runs.
    pub async fn explain_pipeline(&self, pipeline: &Pipeline) -> Result<PipelineGraph, Error> {
        let session = self.inner();
        let catalog = &session.engine().lake().catalog;
        let owner = catalog.owner(&session.identity().scope, pipeline.owner).await?;
        runner(session)?.explain(&owner, pipeline.clone()).await
    }

    /// What a script would run.
    pub async fn explain_script(
        &self,
        script: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<PipelineGraph, Error> {
        let session = self.inner();
        runner(session)?.explain(session.identity(), unnamed(session, script, options)).await
    }

    /// Runs a script for a while, and shows its rows.
    pub async fn preview_script(&self, script: &str) -> Result<Preview, Error> {
        let session = self.inner();
        runner(session)?.preview(session.identity(), unnamed(session, script, &BTreeMap::new())).await
    }

    /// What a pipeline shows from now on; `None` if it does not run, or has no sink that shows rows.
    pub fn pipeline_output(&self, pipeline: &Pipeline) -> Option<BoxStream<'static, Shown>> {
        runner(self.inner()).ok()?.output(pipeline)
    }

    /// How far the pipelines are that run in this process.
    pub fn pipeline_progress(&self) -> Vec<PipelineProgress> {
        let session = self.inner();
        runner(session).map(|runner| runner.progress(&session.identity().scope)).unwrap_or_default()
    }
}
