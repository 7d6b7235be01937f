//! Pipelines as objects with ids, for protocols that steer them so. Rights and rules are those of the statements.

use std::collections::BTreeMap;

use cenote_catalog::{MATERIALIZED, Pipeline, Privilege};
use futures::stream::BoxStream;
use sqlparser::ast::Ident;
use uuid::Uuid;

use super::Session;
use crate::Error;
use crate::parse::masked;
use crate::pipeline::{PartOfChange, Pausing, PipelineGraph, PipelineProgress, Preview, Shown, StateChoice};
use crate::session::Inner;
use crate::statement::pipeline::{
    authorized, may, may_write, named, new, of_no_view, refuse_reserved, runner, unnamed,
};

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
    fn of(self, session: &Inner, pipeline: Pipeline) -> Result<(Pipeline, StateChoice), Error> {
        refuse_reserved(&self.options)?;
        let mut to = of_no_view(pipeline)?;
        to.options.extend(self.options);
        if let Some(script) = self.script {
            may_write(session, &to)?;
            to.script = script;
        }
        Ok((to, self.state.unwrap_or(StateChoice::Keep)))
    }
}

impl Session {
    /// The pipelines that the asker may know of, but those of views, oldest first.
    pub async fn pipelines(&self) -> Result<Vec<Pipeline>, Error> {
        let session = self.inner();
        let mut all = session.engine().lake().catalog.pipelines(&session.identity().scope).await?;
        all.retain(|pipeline| {
            !pipeline.options.contains_key(MATERIALIZED) && may(session, pipeline, Privilege::Use)
        });
        all.sort_by_key(|pipeline| (pipeline.created, pipeline.id));
        Ok(all)
    }

    /// The pipeline of an id. `NotFound` if there is none.
    pub async fn pipeline(&self, id: Uuid) -> Result<Pipeline, Error> {
        let found = self.pipelines().await?.into_iter().find(|pipeline| pipeline.id == id);
        let name = id.to_string();
        found.ok_or_else(|| cenote_catalog::Error::PipelineNotFound { name, nearest: None }.into())
    }

    async fn steered(&self, id: Uuid, privilege: Privilege) -> Result<Pipeline, Error> {
        authorized(self.inner(), self.pipeline(id).await?, privilege)
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
        let (id, name) = (pipeline.id, pipeline.full_name());
        runner(session)?.create(session.identity(), pipeline).await?;
        session.audit_pipeline("create_pipeline", &name).await;
        self.pipeline(id).await
    }

    /// Changes a pipeline; after an error it is as it was.
    pub async fn alter_pipeline(&self, id: Uuid, edit: PipelineEdit) -> Result<(), Error> {
        let session = self.inner();
        session.check_writable()?;
        let (to, state) = edit.of(session, self.steered(id, Privilege::Manage).await?)?;
        let name = to.full_name();
        runner(session)?.alter(&session.identity().scope, to, state).await?;
        session.audit_pipeline("alter_pipeline", &name).await;
        Ok(())
    }

    /// What a change would do to what a pipeline holds.
    pub async fn compare_pipeline(&self, id: Uuid, edit: PipelineEdit) -> Result<Vec<PartOfChange>, Error> {
        let session = self.inner();
        let (to, state) = edit.of(session, self.steered(id, Privilege::Manage).await?)?;
        runner(session)?.compare(&session.identity().scope, to, state).await
    }

    /// Pauses a pipeline.
    pub async fn pause_pipeline(&self, id: Uuid, pausing: Pausing) -> Result<(), Error> {
        let session = self.inner();
        session.check_writable()?;
        let pipeline = self.steered(id, Privilege::Run).await?;
        let name = pipeline.full_name();
        runner(session)?.pause(&session.identity().scope, pipeline, pausing).await?;
        session.audit_pipeline("pause_pipeline", &name).await;
        Ok(())
    }

    /// Lets a pipeline go on.
    pub async fn resume_pipeline(&self, id: Uuid) -> Result<(), Error> {
        let session = self.inner();
        session.check_writable()?;
        let pipeline = self.steered(id, Privilege::Run).await?;
        let name = pipeline.full_name();
        runner(session)?.resume(&session.identity().scope, pipeline).await?;
        session.audit_pipeline("resume_pipeline", &name).await;
        Ok(())
    }

    /// Forgets a pipeline.
    pub async fn drop_pipeline(&self, id: Uuid) -> Result<(), Error> {
        let session = self.inner();
        session.check_writable()?;
        let pipeline = self.steered(id, Privilege::Manage).await?;
        let name = pipeline.full_name();
        runner(session)?.remove(&session.identity().scope, pipeline).await?;
        session.audit_pipeline("drop_pipeline", &name).await;
        Ok(())
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

    /// What a pipeline shows from now on; `None` if it does not run, or has no sink that shows rows. They are read by the rights of its
    /// owner: the asker needs SELECT on the pipeline.
    pub fn pipeline_output(&self, pipeline: &Pipeline) -> Result<Option<BoxStream<'static, Shown>>, Error> {
        let session = self.inner();
        let pipeline = authorized(session, pipeline.clone(), Privilege::Select)?;
        Ok(runner(session)?.output(&pipeline))
    }

    /// The script of a pipeline; without the secrets in it for who does not manage it.
    pub fn shown_script(&self, pipeline: &Pipeline) -> String {
        match may(self.inner(), pipeline, Privilege::Manage) {
            true => pipeline.script.clone(),
            false => masked(&pipeline.script),
        }
    }

    /// How far the pipelines are that run in this process.
    pub fn pipeline_progress(&self) -> Vec<PipelineProgress> {
        let session = self.inner();
        runner(session).map(|runner| runner.progress(&session.identity().scope)).unwrap_or_default()
    }
}
