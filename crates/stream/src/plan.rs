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
mod table;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arrow::datatypes::SchemaRef;
use cenote_catalog::{Pipeline, TableDef};
use cenote_connect::{Reach, stamped};
use cenote_query::{Engine, ScriptStatement, Session, SessionOptions, StreamTables, parse_script};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

pub(crate) use stage::Stage;

use crate::options::BadData;
use crate::streams::{SinkPlan, SourceKind, SourcePlan, Streams, Target};
use crate::{Error, PipelineOptions, bad_rows};

/// What an epoch runs.
pub(crate) struct PipelinePlan {
    pub(crate) options: PipelineOptions,
    pub(crate) sources: Vec<SourcePlan>,
    /// Each before those that read what it closes.
    pub(crate) stages: Vec<Stage>,
    pub(crate) outputs: Vec<Output>,
    /// Sinks outside of the lake.
    pub(crate) sinks: Vec<SinkPlan>,
    pub(crate) sunk: Vec<SunkOutput>,
    /// Keeps rows that could not be used, if they are to be kept.
    pub(crate) bad_table: Option<Arc<TableDef>>,
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

/// One INSERT into a sink outside of the lake.
pub(crate) struct SunkOutput {
    /// By number.
    pub(crate) sink: usize,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// Columns of its rows.
    pub(crate) columns: SchemaRef,
}

/// Plans a pipeline by the rights of its owner. Errors name what the script may not hold.
pub(crate) async fn plan(
    engine: &Engine,
    owner: cenote_catalog::Identity,
    pipeline: &Pipeline,
    reach: &Reach,
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
        sunk: Vec::new(),
        state: None,
        reach,
    };
    for statement in parse_script(&pipeline.script)? {
        planner.take(statement).await?;
    }
    planner.finish(now, pipeline).await
}

struct Planner<'a> {
    session: Session,
    reach: &'a Reach,
    options: PipelineOptions,
    streams: Arc<Streams>,
    stages: Vec<Stage>,
    outputs: Vec<(Arc<TableDef>, LogicalPlan, Arc<dyn ExecutionPlan>)>,
    sunk: Vec<(LogicalPlan, SunkOutput)>,
    state: Option<SessionState>,
}

impl Planner<'_> {
    async fn take(&mut self, statement: ScriptStatement) -> Result<(), Error> {
        let tables: Arc<dyn StreamTables> = self.streams.clone();
        match statement {
            ScriptStatement::Table(table) => {
                Box::pin(table::table(&self.session, &self.streams, self.reach, table)).await
            }
            ScriptStatement::View { name, sql } => {
                let planned = Box::pin(self.session.plan_query(&sql, &tables)).await?;
                self.streams.add_view(&name, sql, planned.plan)
            }
            ScriptStatement::Set { name, value } => self.options.set(&name, &value),
            ScriptStatement::Insert { target, has_columns, query, sql } => {
                let named = match &target {
                    Some(name) => self.streams.target(name)?,
                    None => Target::Lake,
                };
                let name = target.unwrap_or_default();
                match named {
                    Target::Lake => self.insert_lake(&sql, &tables).await,
                    Target::Sink(_) | Target::Memory(_) if has_columns => Err(Error::Unsupported(format!(
                        "a column list of INSERT INTO {name}, whose columns match by position,"
                    ))),
                    Target::Sink(number) => self.insert_sink(number, &query, &tables).await,
                    Target::Memory(columns) => {
                        let planned = Box::pin(self.session.plan_query(&query, &tables)).await?;
                        self.streams.write_memory(&name, table::fitted(planned.plan, &columns, &name)?);
                        Ok(())
                    }
                }
            }
            ScriptStatement::Query(_) => Err(Error::Invalid(
                "a SELECT whose rows go nowhere: write INSERT INTO a table before it".to_owned(),
            )),
        }
    }

    async fn insert_lake(&mut self, sql: &str, tables: &Arc<dyn StreamTables>) -> Result<(), Error> {
        let insert = Box::pin(self.session.plan_insert(sql, tables)).await?;
        let state = narrow(insert.state);
        check::target(&insert.target)?;
        let output = self.cut(insert.plan, &state).await?;
        let (optimized, physical) = physical(&output, &state).await?;
        self.outputs.push((insert.target, optimized, physical));
        self.state.get_or_insert(state);
        Ok(())
    }

    async fn insert_sink(
        &mut self,
        number: usize,
        query: &str,
        tables: &Arc<dyn StreamTables>,
    ) -> Result<(), Error> {
        let planned = Box::pin(self.session.plan_query(query, tables)).await?;
        let state = narrow(planned.state);
        let columns = || table::columns_of(&planned.plan);
        let Some(sink) = self.streams.sink_columns(number, columns) else { return Ok(()) };
        let declared = sink.columns.clone().unwrap_or_else(columns);
        sink.options.check(&declared)?;
        let fitted = table::fitted(planned.plan, &declared, &sink.name)?;
        let mut output = self.cut(fitted, &state).await?;
        let mut columns = declared;
        if sink.options.wants_event_time() {
            output = event_time::with_event_time(&output)?;
            columns = stamped(&columns);
        }
        let (optimized, plan) = physical(&output, &state).await?;
        self.sunk.push((optimized, SunkOutput { sink: number, plan, columns }));
        self.state.get_or_insert(state);
        Ok(())
    }

    /// The part above all windows; what is below becomes stages.
    async fn cut(&mut self, plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan, Error> {
        let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
        check::functions(&plan)?;
        let mut cut = cut::Cut::new(&self.streams);
        let output = cut.cut(plan)?;
        for stage in cut.into_stages() {
            self.stages.push(Stage::plan(stage, &self.streams, state).await?);
        }
        Ok(output)
    }

    async fn finish(self, now: Arc<AtomicI64>, pipeline: &Pipeline) -> Result<PipelinePlan, Error> {
        let state = self.state.ok_or_else(|| Error::Invalid("a pipeline needs an INSERT".to_owned()))?;
        let plans =
            self.outputs.iter().map(|(_, plan, _)| plan).chain(self.sunk.iter().map(|(plan, _)| plan));
        let mut read = check::feeds(plans)?;
        read.extend(self.stages.iter().flat_map(|stage| &stage.reads));
        let sources: Vec<SourcePlan> =
            self.streams.sources().into_iter().filter(|source| read.contains(&source.feed)).collect();
        if sources.is_empty() {
            return Err(Error::Invalid("a pipeline needs a source".to_owned()));
        }
        check::no_target_is_read(&sources, self.outputs.iter().map(|(target, _, _)| target))?;
        let keeps = |source: &SourcePlan| {
            matches!(source.kind, SourceKind::Connector(_))
                && source.bad_data.unwrap_or(self.options.bad_data) == BadData::Table
        };
        let bad_table = match sources.iter().any(keeps) {
            true => {
                let name = match &self.options.bad_data_table {
                    Some(name) => name.clone(),
                    None => {
                        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
                        format!("{}.{}", quote(&pipeline.schema), quote(&format!("{}_bad", pipeline.name)))
                    }
                };
                let tables: Arc<dyn StreamTables> = self.streams.clone();
                Some(Box::pin(bad_rows::table(&self.session, &name, &tables)).await?)
            }
            false => None,
        };
        let outputs = self.outputs.into_iter().map(|(target, _, plan)| Output { target, plan });
        Ok(PipelinePlan {
            options: self.options,
            sources,
            stages: self.stages,
            outputs: outputs.collect(),
            bad_table,
            sinks: self.streams.sinks(),
            sunk: self.sunk.into_iter().map(|(_, sunk)| sunk).collect(),
            state,
            now,
        })
    }
}

/// The plan that runs, and what it was made of.
async fn physical(
    output: &LogicalPlan,
    state: &SessionState,
) -> Result<(LogicalPlan, Arc<dyn ExecutionPlan>), Error> {
    let optimized = state.optimize(output)?;
    let physical = state.create_physical_plan(&optimized).await?;
    Ok((optimized, physical))
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
