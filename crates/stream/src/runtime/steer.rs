//! Pipelines that are changed: ALTER, RESTART, and what EXPLAIN tells before.
//!
//! A change is one write of the pipeline's row, after the epoch that ran: what is held stands beside that epoch in the ledger, and
//! either fits the new plan, or the row says that it is given up. So a crash finds the change made or not.

use cenote_catalog::{Identity, Pipeline, Privilege, Reset, ResetExtent};
use cenote_query::{PartOfChange, PipelineGraph, RestartSinks, StateChoice};
use cenote_vocab::{ErrorKind, Scope};

use super::{Desired, Ending, Rescaled, Streams};
use crate::checkpoint::Stored;
use crate::plan::{self, PipelinePlan, Purpose, Writes};
use crate::{Error, PipelineOptions, alteration};

/// How a pipeline as it would be fits what is held.
struct Compared {
    /// What it would run.
    plan: PipelinePlan,
    parts: Vec<PartOfChange>,
    /// A sink outside of the lake goes that holds something.
    leaves_sinks: bool,
}

impl Streams {
    /// The row as it is now: the task of a pipeline notes what it does.
    pub(super) async fn fresh(&self, scope: &Scope, pipeline: &Pipeline) -> Result<Pipeline, Error> {
        let all = self.inner.services.lake.catalog.pipelines(scope).await?;
        let found = all.into_iter().find(|other| other.id == pipeline.id);
        Ok(found.ok_or_else(|| cenote_catalog::Error::PipelineNotFound {
            name: pipeline.full_name(),
            nearest: None,
        })?)
    }

    /// What a pipeline would run.
    async fn looked_at(&self, scope: &Scope, pipeline: &Pipeline) -> Result<PipelinePlan, Error> {
        let services = &self.inner.services;
        let owner = services.lake.catalog.owner(scope, pipeline.owner).await?;
        Box::pin(plan::plan(&services.engine, owner, pipeline, &services.reach, Purpose::Look)).await
    }

    /// What the ledger keeps of a pipeline; `None` before its first epoch.
    async fn stored(&self, scope: &Scope, pipeline: &Pipeline) -> Result<Option<Stored>, Error> {
        let known = self.inner.services.lake.catalog.producer(scope, &pipeline.producer()).await?;
        let Some((epoch, _, Some(bytes))) = known else { return Ok(None) };
        if pipeline.reset.is_some_and(|reset| epoch <= reset.upto && reset.extent != ResetExtent::State) {
            return Ok(None);
        }
        let corrupt = |reason| Error::Corrupt { pipeline: pipeline.full_name(), reason };
        Stored::decode(&bytes).map(Some).map_err(corrupt)
    }

    pub(super) async fn explain_now(
        &self,
        identity: &Identity,
        pipeline: Pipeline,
    ) -> Result<PipelineGraph, Error> {
        let services = &self.inner.services;
        let planned =
            plan::plan(&services.engine, identity.clone(), &pipeline, &services.reach, Purpose::Look);
        Ok(PipelineGraph::clone(&*Box::pin(planned).await?.graph))
    }

    pub(super) async fn compare_now(
        &self,
        scope: &Scope,
        to: Pipeline,
        state: StateChoice,
    ) -> Result<Vec<PartOfChange>, Error> {
        let was = self.fresh(scope, &to).await?;
        Ok(self.compared(scope, (&was, &to), state).await?.parts)
    }

    async fn compared(
        &self,
        scope: &Scope,
        (was, to): (&Pipeline, &Pipeline),
        state: StateChoice,
    ) -> Result<Compared, Error> {
        let after = self.looked_at(scope, to).await?;
        // The script as it is may have lost its owner, who is another then.
        let was = &Pipeline { owner: to.owner, ..was.clone() };
        let before = match self.looked_at(scope, was).await {
            Ok(before) => Ok(before),
            // A script that cannot be planned any more has an owner who wants another.
            Err(error) => Err(error.to_string()),
        };
        let stored = self.stored(scope, was).await?;
        let parts =
            alteration::compare(before.as_ref().map_err(String::as_str), &after, stored.as_ref(), state);
        let leaves_sinks = stored.is_some_and(|stored| alteration::leaves_sinks(&after, &stored));
        Ok(Compared { plan: after, parts, leaves_sinks })
    }

    pub(super) async fn alter_now(
        &self,
        scope: &Scope,
        mut to: Pipeline,
        state: StateChoice,
    ) -> Result<(), Error> {
        let _alone = self.alone(to.id).await;
        let catalog = &self.inner.services.lake.catalog;
        PipelineOptions::of(&to.options)?;
        let was = self.fresh(scope, &to).await?;
        let changes_script = (&was.script, &was.search_path) != (&to.script, &to.search_path);
        if changes_script && was.state == "finished" {
            let text = format!("pipeline {} has finished; RESTART lets it begin again", was.full_name());
            return Err(Error::Invalid(text));
        }
        let Compared { plan, parts, leaves_sinks } = self.compared(scope, (&was, &to), state).await?;
        if let Some((part, difference)) =
            parts.iter().find_map(|part| Some((part, part.verdict.difference()?)))
        {
            return Err(Error::State { operator: part.name.clone(), difference: difference.to_owned() });
        }
        if state == StateChoice::Keep && was.reset.is_none() && differ_in_parallelism(&was, &to) {
            return self.rescale(scope, to, plan.options.parallelism).await;
        }
        // One pipeline at a time becomes the only one that writes a target.
        let _creations = match changes_script {
            true => Some(self.inner.creations.lock().await),
            false => None,
        };
        if changes_script {
            self.refuse_shared_targets(scope, to.id, &plan).await?;
        }
        let is_complete = |pipeline: &Pipeline| pipeline.state == "paused" && pipeline.error.is_none();
        let open = |pipeline: &Pipeline| {
            Error::Invalid(format!(
                "pipeline {} is {}: what its sinks hold open must be completed before they go; RESUME it",
                pipeline.full_name(),
                pipeline.state
            ))
        };
        if leaves_sinks && !self.is_running(was.id) && !is_complete(&was) {
            return Err(open(&was));
        }
        self.halt(was.id, if changes_script { Ending::Close } else { Ending::Open }).await;
        let now = self.fresh(scope, &to).await?;
        if leaves_sinks && now.error.is_some() {
            let error = open(&now);
            self.spawn(scope, now);
            return Err(error);
        }
        (to.desired, to.state, to.error, to.reset) =
            (now.desired, now.state.clone(), now.error.clone(), now.reset);
        if state == StateChoice::Reset {
            to.reset = Some(self.reset(scope, &now, ResetExtent::State).await?);
        }
        let goes_on = to.desired == Desired::Running && !matches!(to.state.as_str(), "failed" | "finished");
        if goes_on {
            (to.state, to.error) = ("starting".to_owned(), None);
        }
        self.inner.metrics.forget(scope, &was);
        let altered = catalog.alter_pipeline(scope, &to).await;
        let (then, state) = if altered.is_ok() { (&to, &to.state) } else { (&now, &now.state) };
        self.inner.metrics.is_in(scope, then, state);
        if goes_on {
            // as it was, if it could not be changed
            self.spawn(scope, if altered.is_ok() { to } else { now });
        }
        Ok(altered?)
    }

    /// Another parallelism holds from the next epoch on; nothing begins again.
    async fn rescale(&self, scope: &Scope, to: Pipeline, parallelism: Option<u32>) -> Result<(), Error> {
        self.inner.services.lake.catalog.set_pipeline_options(scope, &to).await?;
        if let Some(running) = self.inner.running.lock().get(&to.id) {
            running.rescale.send_replace(Some(Rescaled(parallelism)));
        }
        Ok(())
    }

    /// What a pipeline has to give up; what was to be given up anyway stays so.
    async fn reset(&self, scope: &Scope, pipeline: &Pipeline, extent: ResetExtent) -> Result<Reset, Error> {
        let known = self.inner.services.lake.catalog.producer(scope, &pipeline.producer()).await?;
        let upto = known.map(|(epoch, _, _)| epoch).unwrap_or_default();
        Ok(match pipeline.reset {
            Some(pending) if upto <= pending.upto && extent == ResetExtent::State => pending,
            _ => Reset { upto, extent },
        })
    }

    pub(super) async fn restart_now(
        &self,
        identity: &Identity,
        pipeline: Pipeline,
        sinks: Option<RestartSinks>,
    ) -> Result<(), Error> {
        let _alone = self.alone(pipeline.id).await;
        let scope = &identity.scope;
        let catalog = &self.inner.services.lake.catalog;
        let plan = self.looked_at(scope, &pipeline).await?;
        match sinks {
            Some(RestartSinks::Keep) => {}
            Some(RestartSinks::Truncate) => may_truncate(identity, &plan)?,
            None => self.refuse_written(scope, &pipeline, &plan).await?,
        }
        self.halt(pipeline.id, Ending::Close).await;
        let extent = match sinks {
            Some(RestartSinks::Truncate) => ResetExtent::EverythingAndRows,
            Some(RestartSinks::Keep) | None => ResetExtent::Everything,
        };
        let mut to = self.fresh(scope, &pipeline).await?;
        to.reset = Some(self.reset(scope, &to, extent).await?);
        (to.desired, to.state, to.error) = (Desired::Running, "starting".to_owned(), None);
        catalog.alter_pipeline(scope, &to).await?;
        self.spawn(scope, to);
        Ok(())
    }

    /// Rows that would come a second time need a word about those that are there.
    async fn refuse_written(
        &self,
        scope: &Scope,
        pipeline: &Pipeline,
        plan: &PipelinePlan,
    ) -> Result<(), Error> {
        // What is damaged may have been written.
        let wrote = match self.stored(scope, pipeline).await {
            Ok(stored) => stored.is_some_and(|stored| stored.standing.rows_out > 0),
            Err(_) => true,
        };
        let lake = &self.inner.services.lake;
        let head = lake.catalog.head(scope).await?.txn;
        for output in plan.outputs.iter().filter(|_| wrote) {
            let rows = lake.numbers(scope, None, &output.target, head).await?;
            if rows.iter().any(|file| file.live_rows > 0) {
                return Err(Error::Invalid(format!(
                    "pipeline {} has written rows into {}: RESTART needs WITH (sinks = 'keep') or WITH (sinks = 'truncate')",
                    pipeline.full_name(),
                    output.target.full_name()
                )));
            }
        }
        Ok(())
    }
}

/// True if a pipeline would only work on more or fewer pieces at once.
fn differ_in_parallelism(was: &Pipeline, to: &Pipeline) -> bool {
    let rest = |pipeline: &Pipeline| {
        let mut options = pipeline.options.clone();
        options.remove("parallelism");
        options
    };
    was.options != to.options
        && rest(was) == rest(to)
        && (&was.schema, &was.name, was.owner, &was.script, &was.search_path)
            == (&to.schema, &to.name, to.owner, &to.script, &to.search_path)
}

/// Fails unless the identity may delete what would go.
fn may_truncate(identity: &Identity, plan: &PipelinePlan) -> Result<(), Error> {
    for output in &plan.outputs {
        let table = &output.target;
        if matches!(output.writes, Writes::View { .. }) {
            return Err(Error::Unsupported("RESTART of the pipeline of a materialized view".to_owned()));
        }
        if !identity.allows(Privilege::Delete, &table.schema_name, Some(&table.name)) {
            let text = format!("permission denied: DELETE required on {}", table.full_name());
            return Err(cenote_query::Error::new(ErrorKind::Denied, text).into());
        }
    }
    Ok(())
}
