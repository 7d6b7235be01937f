//! From a script to what an epoch runs.
//!
//! ```text
//! script ─ query plans each INSERT over feeds ─ cut at windows ─►  sources
//!                                                                    │ input: rows of the sources, no state
//!                                                                  window stages: panes, state
//!                                                                    │ closed windows, each whole
//!                                                                  outputs: batch SQL over them ─► sinks
//! ```

mod check;
mod cut;
mod event_time;
mod functions;
mod stage;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use cenote_catalog::{Pipeline, TableDef};
use cenote_query::{Engine, ScriptStatement, Session, SessionOptions, StreamTables, parse_script};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

pub(crate) use stage::Stage;

use crate::streams::{SourcePlan, Streams};
use crate::{Error, PipelineOptions};

/// What an epoch runs.
pub(crate) struct PipelinePlan {
    pub(crate) options: PipelineOptions,
    pub(crate) sources: Vec<SourcePlan>,
    /// Each before those that read what it closes.
    pub(crate) stages: Vec<Stage>,
    pub(crate) outputs: Vec<Output>,
    /// For running the plans.
    pub(crate) state: SessionState,
    /// What `now()` answers in the epoch that runs.
    pub(crate) now: Arc<AtomicI64>,
}

/// One INSERT.
pub(crate) struct Output {
    pub(crate) target: Arc<TableDef>,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
}

/// Plans a pipeline by the rights of its owner. Errors name what the script may not hold.
pub(crate) async fn plan(
    engine: &Engine,
    owner: cenote_catalog::Identity,
    pipeline: &Pipeline,
) -> Result<PipelinePlan, Error> {
    let path: Vec<String> =
        pipeline.search_path.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let options = SessionOptions {
        settings: vec![("search_path".to_owned(), path.join(", "))],
        protocol: "pipeline",
        ..SessionOptions::default()
    };
    let session = engine.open_session(owner, options).await?;
    let now = Arc::new(AtomicI64::new(pipeline.created.0));
    let mut planner = Planner {
        session,
        options: PipelineOptions::of(&pipeline.options)?,
        streams: Arc::new(Streams::new(functions::functions(&now))),
        stages: Vec::new(),
        outputs: Vec::new(),
        state: None,
    };
    for statement in parse_script(&pipeline.script)? {
        planner.take(statement).await?;
    }
    planner.finish(now)
}

struct Planner {
    session: Session,
    options: PipelineOptions,
    streams: Arc<Streams>,
    stages: Vec<Stage>,
    outputs: Vec<(Arc<TableDef>, LogicalPlan, Arc<dyn ExecutionPlan>)>,
    state: Option<SessionState>,
}

impl Planner {
    async fn take(&mut self, statement: ScriptStatement) -> Result<(), Error> {
        let tables: Arc<dyn StreamTables> = self.streams.clone();
        match statement {
            ScriptStatement::ConnectorTable { name, options } => self.streams.add_connector(&name, options),
            ScriptStatement::View { name, sql } => {
                let plan = Box::pin(self.session.plan_query(&sql, &tables)).await?;
                self.streams.add_view(&name, sql, plan)
            }
            ScriptStatement::Set { name, value } => self.options.set(&name, &value),
            ScriptStatement::Insert(sql) => {
                let insert = Box::pin(self.session.plan_insert(&sql, &tables)).await?;
                let state = narrow(insert.state);
                self.insert(insert.target, insert.plan, &state).await?;
                self.state.get_or_insert(state);
                Ok(())
            }
        }
    }

    async fn insert(
        &mut self,
        target: Arc<TableDef>,
        plan: LogicalPlan,
        state: &SessionState,
    ) -> Result<(), Error> {
        check::target(&target)?;
        let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
        check::functions(&plan)?;
        let mut cut = cut::Cut::new(&self.streams);
        let output = cut.cut(plan)?;
        for stage in cut.into_stages() {
            self.stages.push(Stage::plan(stage, &self.streams, state).await?);
        }
        let optimized = state.optimize(&output)?;
        let physical = state.create_physical_plan(&optimized).await?;
        self.outputs.push((target, optimized, physical));
        Ok(())
    }

    fn finish(self, now: Arc<AtomicI64>) -> Result<PipelinePlan, Error> {
        let state = self.state.ok_or_else(|| Error::Invalid("a pipeline needs an INSERT".to_owned()))?;
        let mut read = check::feeds(self.outputs.iter().map(|(_, plan, _)| plan))?;
        read.extend(self.stages.iter().flat_map(|stage| &stage.reads));
        let sources: Vec<SourcePlan> =
            self.streams.sources().into_iter().filter(|source| read.contains(&source.feed)).collect();
        if sources.is_empty() {
            return Err(Error::Invalid("a pipeline needs a source".to_owned()));
        }
        check::no_target_is_read(&sources, self.outputs.iter().map(|(target, _, _)| target))?;
        let outputs = self.outputs.into_iter().map(|(target, _, plan)| Output { target, plan });
        Ok(PipelinePlan {
            options: self.options,
            sources,
            stages: self.stages,
            outputs: outputs.collect(),
            state,
            now,
        })
    }
}

/// One partition, and nothing that is decided by what a first epoch happened to hold.
fn narrow(mut state: SessionState) -> SessionState {
    let options = state.config_mut().options_mut();
    options.execution.target_partitions = 1;
    options.execution.collect_statistics = false;
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    state
}
