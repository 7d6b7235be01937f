//! From a script to what an epoch runs.
//!
//! ```text
//! script ─ query plans each INSERT over feeds ─ cut at state ─►  sources
//!                                                                  │ rows, no state
//!                                                                operators: panes of windows; rows and results of keys
//!                                                                  │ closed windows, each whole; rows that come and go
//!                                                                outputs: batch SQL over them ─► sinks
//! ```

mod check;
mod cut;
mod functions;
mod grouped;
mod hidden;
mod key;
mod keyed;
mod operator;
mod stage;
mod updating;
mod view;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use cenote_catalog::{MATERIALIZED, Pipeline, TableDef};
use cenote_connect::WEIGHT;
use cenote_query::{Engine, ScriptStatement, Session, SessionOptions, StreamTables, parse_script};
use cenote_table::Lake;
use cenote_vocab::Scope;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_plan::ExecutionPlan;

pub(crate) use check::is_keyed;
pub(crate) use operator::{Advanced, Moment, Operator};
pub(crate) use stage::Stage;
pub(crate) use view::shape;

use crate::streams::{ScriptKind, SourcePlan, Streams};
use crate::{Error, PipelineOptions};

/// What an epoch runs.
pub(crate) struct PipelinePlan {
    pub(crate) options: PipelineOptions,
    pub(crate) sources: Vec<SourcePlan>,
    /// Each before those that read what it emits.
    pub(crate) operators: Vec<Operator>,
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
    pub(crate) writes: Writes,
}

/// What becomes of the rows of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// They are added.
    Appends,
    /// Each takes the place of the one with its key.
    Upserts,
    /// Their last column, the weight, says whether they come or go.
    Changes,
    /// The same, of a view: before the weight stand so many columns that tell its rows apart.
    View {
        /// How many.
        keys: usize,
    },
}

/// Plans a pipeline by the rights of its owner. Errors name what the script may not hold.
pub(crate) async fn plan(
    engine: &Engine,
    owner: cenote_catalog::Identity,
    pipeline: &Pipeline,
) -> Result<PipelinePlan, Error> {
    let mut planner = Planner::open(engine, owner, pipeline).await?;
    if pipeline.options.contains_key(MATERIALIZED) {
        return planner.view(pipeline).await;
    }
    for statement in parse_script(&pipeline.script)? {
        planner.take(statement).await?;
    }
    planner.finish()
}

struct Planner {
    lake: Lake,
    scope: Scope,
    session: Session,
    now: Arc<AtomicI64>,
    options: PipelineOptions,
    streams: Arc<Streams>,
    operators: Vec<Operator>,
    outputs: Vec<(LogicalPlan, Output)>,
    state: Option<SessionState>,
}

impl Planner {
    async fn open(
        engine: &Engine,
        owner: cenote_catalog::Identity,
        pipeline: &Pipeline,
    ) -> Result<Self, Error> {
        let path: Vec<String> =
            pipeline.search_path.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        let options = SessionOptions {
            settings: vec![("search_path".to_owned(), path.join(", "))],
            protocol: "pipeline",
            ..SessionOptions::default()
        };
        let scope = owner.scope.clone();
        let session = engine.open_session(owner, options).await?;
        let now = Arc::new(AtomicI64::new(pipeline.created.0));
        let kind = match pipeline.options.contains_key(MATERIALIZED) {
            true => ScriptKind::View,
            false => ScriptKind::Pipeline,
        };
        Ok(Self {
            lake: engine.lake().clone(),
            scope,
            session,
            options: PipelineOptions::of(&pipeline.options)?,
            streams: Arc::new(Streams::new(functions::functions(&now), kind)),
            now,
            operators: Vec::new(),
            outputs: Vec::new(),
            state: None,
        })
    }

    async fn take(&mut self, statement: ScriptStatement) -> Result<(), Error> {
        let tables: Arc<dyn StreamTables> = self.streams.clone();
        match statement {
            ScriptStatement::ConnectorTable { name, options } => self.streams.add_connector(&name, options),
            ScriptStatement::View { name, sql } => {
                let (plan, _) = Box::pin(self.session.plan_query(&sql, &tables)).await?;
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
        let (mut output, rows) = self.cut(plan, state).await?;
        let writes = check::sink(&target, &rows, &output)?;
        if writes == Writes::Changes {
            check::steady(&output)?;
            output = hidden::with_hidden(&output, &[WEIGHT])?;
        }
        let optimized = state.optimize(&output)?;
        let plan = state.create_physical_plan(&optimized).await?;
        self.outputs.push((optimized, Output { target, plan, writes }));
        Ok(())
    }

    /// Cuts a query at what holds state, which becomes operators.
    async fn cut(
        &mut self,
        plan: LogicalPlan,
        state: &SessionState,
    ) -> Result<(LogicalPlan, cut::Rows), Error> {
        let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
        let plan = joined(plan, state)?;
        check::functions(&plan)?;
        let mut cut = cut::Cut::new(&self.streams);
        let (output, rows) = cut.cut(plan)?;
        for operator in cut.into_operators() {
            self.operators.push(Operator::plan(operator, &self.streams, state).await?);
        }
        Ok((output, rows))
    }

    fn finish(self) -> Result<PipelinePlan, Error> {
        let state = self.state.ok_or_else(|| Error::Invalid("a pipeline needs an INSERT".to_owned()))?;
        let mut read = check::feeds(self.outputs.iter().map(|(plan, _)| plan))?;
        read.extend(self.operators.iter().flat_map(Operator::reads));
        let sources: Vec<SourcePlan> =
            self.streams.sources().into_iter().filter(|source| read.contains(&source.feed)).collect();
        if sources.is_empty() {
            return Err(Error::Invalid("a pipeline needs a source".to_owned()));
        }
        check::no_target_is_read(&sources, self.outputs.iter().map(|(_, output)| &output.target))?;
        let outputs: Vec<Output> = self.outputs.into_iter().map(|(_, output)| output).collect();
        for (at, output) in outputs.iter().enumerate().filter(|(_, output)| output.writes == Writes::Changes)
        {
            let shares = |other: &Output| other.target.id == output.target.id;
            if outputs.iter().enumerate().any(|(other_at, other)| other_at != at && shares(other)) {
                let name = output.target.full_name();
                return Err(Error::Unsupported(format!("several INSERTs of updating rows into {name}")));
            }
        }
        Ok(PipelinePlan {
            options: self.options,
            sources,
            operators: self.operators,
            outputs,
            state,
            now: self.now,
        })
    }
}

impl PipelinePlan {
    /// True if rows that were written may be taken back.
    pub(crate) fn is_updating(&self) -> bool {
        self.outputs.iter().any(|output| matches!(output.writes, Writes::Changes | Writes::View { .. }))
    }
}

/// Subqueries and lists of tables as joins, with their equalities apart.
fn joined(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan, Error> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
    ];
    Ok(Optimizer::with_rules(rules).optimize(plan, state, |_, _| {})?)
}

/// One partition, and nothing that is decided by what a first epoch happened to hold.
fn narrow(mut state: SessionState) -> SessionState {
    let options = state.config_mut().options_mut();
    options.execution.target_partitions = 1;
    options.execution.collect_statistics = false;
    // It mixes up columns of one name at several levels, such as hidden ones.
    options.optimizer.enable_leaf_expression_pushdown = false;
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    state
}
