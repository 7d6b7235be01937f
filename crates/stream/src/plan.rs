//! From a script to what an epoch runs.
//!
//! ```text
//! script ─ query plans each INSERT over feeds ─ cut at state ─►  sources
//!                                                                  │ rows, no state
//!                                                                operators: panes of windows; rows and results of keys
//!                                                                  │ closed windows, each whole; rows that come and go
//!                                                                outputs: batch SQL over them ─► sinks
//! ```

mod bounds;
mod check;
mod cut;
mod forget;
mod functions;
mod graph;
mod grouped;
mod hidden;
mod interval;
mod interval_cut;
mod key;
mod keyed;
mod keyed_join;
mod late;
mod lineage;
mod lookup;
mod operator;
mod parked;
mod phases;
mod ranks;
mod same_windows;
mod stage;
mod sums;
mod table;
mod updating;
mod view;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arrow::datatypes::{Schema, SchemaRef};
use cenote_catalog::{MATERIALIZED, Pipeline, TableDef};
use cenote_codec::record::changing;
use cenote_connect::{EVENT_TIME, Reach, SinkOptions, WEIGHT, stamped};
use cenote_query::{
    Engine, PipelineGraph, ScriptStatement, Session, SessionOptions, StreamTables, parse_script, quote,
};
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
pub(crate) use graph::operator_id;
pub(crate) use operator::{Advanced, Moment, Operator};
pub(crate) use stage::Stage;
pub(crate) use view::shape;

use crate::lineage::{Lineage, Meaning};
use crate::multiset::weighted;
use crate::options::BadData;
use crate::streams::{LookupPlan, ScriptKind, SinkPlan, SourceKind, SourcePlan, Streams, Target};
use crate::{Error, PipelineOptions, kept};

/// What an epoch runs.
pub(crate) struct PipelinePlan {
    pub(crate) options: PipelineOptions,
    pub(crate) sources: Vec<SourcePlan>,
    /// Each before those that read what it emits.
    pub(crate) operators: Vec<Operator>,
    pub(crate) outputs: Vec<Output>,
    /// Sinks outside of the lake.
    pub(crate) sinks: Vec<SinkPlan>,
    pub(crate) sunk: Vec<SunkOutput>,
    /// Tables that rows are joined with by their key.
    pub(crate) lookups: Vec<LookupPlan>,
    /// Keeps rows that could not be used, if they are to be kept.
    pub(crate) bad_table: Option<Arc<TableDef>>,
    /// Keeps rows that came too late, if they are to be kept.
    pub(crate) late_table: Option<Arc<TableDef>>,
    /// What its names mean.
    pub(crate) lineage: Lineage,
    /// For running the plans.
    pub(crate) state: SessionState,
    /// What `now()` answers in the epoch that runs.
    pub(crate) now: Arc<AtomicI64>,
    /// The same for people.
    pub(crate) graph: Arc<PipelineGraph>,
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It will run.
    Run,
    /// It is looked at: nothing is made.
    Look,
    /// Its rows are shown, and written nowhere.
    Preview,
}

/// One INSERT.
pub(crate) struct Output {
    pub(crate) target: Arc<TableDef>,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) writes: Writes,
}

/// One INSERT into a sink outside of the lake.
pub(crate) struct SunkOutput {
    /// By number.
    pub(crate) sink: usize,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// The node of the sink.
    pub(crate) node: String,
    /// Columns of its rows; of what is shown and may be taken back, the last is the weight.
    pub(crate) columns: SchemaRef,
    /// Rows may be taken back, and the sink is told so: their last column says what becomes of each.
    pub(crate) changes: Option<Changes>,
}

/// How changes are told.
pub(crate) struct Changes {
    /// Columns that no two rows have the same values in, if that is known: what goes and comes with the same is one change.
    pub(crate) key: Option<Vec<usize>>,
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
    reach: &Reach,
    purpose: Purpose,
) -> Result<PipelinePlan, Error> {
    let mut planner = Planner::open(engine, owner, pipeline, reach).await?;
    planner.purpose = purpose;
    if pipeline.options.contains_key(MATERIALIZED) {
        return planner.view(pipeline).await;
    }
    for statement in parse_script(&pipeline.script)? {
        Box::pin(planner.take(statement)).await?;
    }
    if purpose == Purpose::Run {
        planner.keep_bad_rows(pipeline).await?;
        planner.keep_late_rows().await?;
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
    sunk: Vec<(LogicalPlan, SunkOutput)>,
    bad_table: Option<Arc<TableDef>>,
    late_table: Option<Arc<TableDef>>,
    state: Option<SessionState>,
    reach: Reach,
    purpose: Purpose,
}

impl Planner {
    async fn open(
        engine: &Engine,
        owner: cenote_catalog::Identity,
        pipeline: &Pipeline,
        reach: &Reach,
    ) -> Result<Self, Error> {
        let path: Vec<String> = pipeline.search_path.iter().map(|name| quote(name)).collect();
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
            sunk: Vec::new(),
            bad_table: None,
            late_table: None,
            state: None,
            reach: reach.clone(),
            purpose: Purpose::Run,
        })
    }

    async fn take(&mut self, statement: ScriptStatement) -> Result<(), Error> {
        let tables: Arc<dyn StreamTables> = self.streams.clone();
        match statement {
            ScriptStatement::Table(table) => {
                Box::pin(table::table(&self.session, &self.streams, &self.reach, table)).await
            }
            ScriptStatement::View { name, sql } => {
                let (plan, state) = Box::pin(self.session.plan_query(&sql, &tables)).await?;
                let plan = self.shared(plan, state).await?;
                self.streams.add_view(&name, sql, plan)
            }
            ScriptStatement::Set { name, value } => self.options.set(&name, &value),
            ScriptStatement::Insert { target, has_columns, query, sql } => {
                let named = match &target {
                    Some(name) => self.streams.target(name)?,
                    None => Target::Lake,
                };
                let name = target.unwrap_or_default();
                match named {
                    Target::Lake => {
                        let insert = Box::pin(self.session.plan_insert(&sql, &tables)).await?;
                        let state = narrow(insert.state);
                        if self.purpose == Purpose::Preview {
                            return self.show(None, insert.plan, state).await;
                        }
                        self.insert(insert.target, insert.plan, &state).await?;
                        self.state.get_or_insert(state);
                        Ok(())
                    }
                    Target::Sink(_) | Target::Memory(_) if has_columns => Err(Error::Unsupported(format!(
                        "a column list of INSERT INTO {name}, whose columns match by position,"
                    ))),
                    Target::Sink(number) => self.insert_sink(number, &query, &tables).await,
                    Target::Memory(columns) => {
                        let (plan, state) = Box::pin(self.session.plan_query(&query, &tables)).await?;
                        let plan = self.shared(plan, state).await?;
                        self.streams.write_memory(&name, table::fitted(plan, &columns, &name)?);
                        Ok(())
                    }
                }
            }
            ScriptStatement::Query(sql) if self.purpose == Purpose::Preview || self.options.preview => {
                let (plan, state) = Box::pin(self.session.plan_query(&sql, &tables)).await?;
                self.show(None, plan, narrow(state)).await
            }
            ScriptStatement::Query(_) => Err(Error::Invalid(
                "a SELECT whose rows go nowhere: write INSERT INTO a table before it".to_owned(),
            )),
        }
    }

    async fn insert_sink(
        &mut self,
        number: usize,
        query: &str,
        tables: &Arc<dyn StreamTables>,
    ) -> Result<(), Error> {
        let (plan, state) = Box::pin(self.session.plan_query(query, tables)).await?;
        let state = narrow(state);
        let columns = || table::columns_of(&plan);
        let Some(sink) = self.streams.sink_columns(number, columns) else { return Ok(()) };
        if self.purpose == Purpose::Preview || matches!(sink.options, SinkOptions::Preview) {
            return self.show(Some(number), plan, state).await;
        }
        let declared = sink.columns.clone().unwrap_or_else(columns);
        sink.options.check(&declared)?;
        let fitted = table::fitted(plan, &declared, &sink.name)?;
        let (mut output, rows) = self.cut(fitted, &state).await?;
        let mut columns = declared;
        let mut changes = None;
        if matches!(rows, cut::Rows::Updating) {
            sink.options.check_changes().map_err(|error| match error {
                cenote_connect::Error::Options(reason) => Error::Invalid(reason),
                error => error.into(),
            })?;
            check::steady(&output)?;
            changes = Some(Changes { key: key::key_of(&output).map(|key| key.into_iter().collect()) });
            output = hidden::with_hidden(&output, &[WEIGHT])?;
            columns = Arc::new(changing(&columns));
        }
        // What is taken back did not happen at any time.
        if changes.is_none() && sink.options.wants_event_time() {
            output = hidden::with_hidden(&output, &[EVENT_TIME])?;
            columns = stamped(&columns);
        }
        let optimized = state.optimize(&output)?;
        let plan = state.create_physical_plan(&optimized).await?;
        let node = String::new();
        self.sunk.push((optimized, SunkOutput { sink: number, node, plan, columns, changes }));
        self.state.get_or_insert(state);
        Ok(())
    }

    /// Rows go to whoever looks on, at a sink of the script or one of their own.
    async fn show(
        &mut self,
        sink: Option<usize>,
        plan: LogicalPlan,
        state: SessionState,
    ) -> Result<(), Error> {
        let columns = table::columns_of(&plan);
        let number = sink.unwrap_or_else(|| self.streams.add_preview());
        let columns =
            match self.streams.sink_columns(number, || columns.clone()).and_then(|sink| sink.columns) {
                Some(declared) if sink.is_some() => declared,
                _ => columns,
            };
        let fitted = table::fitted(plan, &columns, "preview")?;
        let (mut output, rows) = self.cut(fitted, &state).await?;
        let mut columns = columns;
        if matches!(rows, cut::Rows::Updating) {
            output = hidden::with_hidden(&output, &[WEIGHT])?;
            columns = weighted(&columns);
        }
        let optimized = state.optimize(&output)?;
        let plan = state.create_physical_plan(&optimized).await?;
        let columns = nullable(&columns);
        let node = String::new();
        self.sunk.push((optimized, SunkOutput { sink: number, node, plan, columns, changes: None }));
        self.state.get_or_insert(state);
        Ok(())
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

    /// A query with a name, whose operators are there once however many read it.
    async fn shared(&mut self, plan: LogicalPlan, state: SessionState) -> Result<LogicalPlan, Error> {
        let state = narrow(state);
        let before = self.operators.len();
        let (cut, _) = self.cut(plan.clone(), &state).await?;
        Ok(if self.operators.len() > before { cut } else { plan })
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
        let mut cut = cut::Cut::new(&self.streams, &self.options);
        let (output, rows) = cut.cut(plan)?;
        for operator in cut.into_operators() {
            self.operators.push(Operator::plan(operator, &self.streams, state).await?);
        }
        Ok((output, rows))
    }

    /// Sees to it that there is a table for rows that cannot be used, if they are to be kept.
    async fn keep_bad_rows(&mut self, pipeline: &Pipeline) -> Result<(), Error> {
        let keeps = |source: &SourcePlan| {
            matches!(source.kind, SourceKind::Connector(_))
                && source.bad_data.unwrap_or(self.options.bad_data) == BadData::Table
        };
        let keeps_refused = |sink: &SinkPlan| {
            sink.options.may_refuse() && sink.bad_data.unwrap_or(self.options.bad_data) == BadData::Table
        };
        if !self.streams.sources().iter().any(keeps) && !self.streams.sinks().iter().any(keeps_refused) {
            return Ok(());
        }
        let name = match &self.options.bad_data_table {
            Some(name) => name.clone(),
            None => {
                format!("{}.{}", quote(&pipeline.schema), quote(&format!("{}_bad", pipeline.name)))
            }
        };
        let tables: Arc<dyn StreamTables> = self.streams.clone();
        self.bad_table = Some(Box::pin(kept::table(&self.session, &name, &kept::BAD, &tables)).await?);
        Ok(())
    }

    /// Sees to it that there is a table for rows that come too late, if they are to be kept.
    async fn keep_late_rows(&mut self) -> Result<(), Error> {
        let Some(name) = &self.options.late_rows else { return Ok(()) };
        let tables: Arc<dyn StreamTables> = self.streams.clone();
        let table = Box::pin(kept::table(&self.session, name, &kept::LATE, &tables)).await?;
        if check::is_keyed(&table)? {
            return Err(Error::Invalid(format!(
                "table {} of option 'late_rows' has a key: rows that came too late have none",
                table.full_name()
            )));
        }
        self.late_table = Some(table);
        Ok(())
    }

    fn finish(self) -> Result<PipelinePlan, Error> {
        let state = self.state.ok_or_else(|| Error::Invalid("a pipeline needs an INSERT".to_owned()))?;
        let plans = self.outputs.iter().map(|(plan, _)| plan).chain(self.sunk.iter().map(|(plan, _)| plan));
        let mut read = check::feeds(plans)?;
        // A view that nobody reads is not computed.
        let mut operators: Vec<Operator> = Vec::new();
        for operator in self.operators.into_iter().rev() {
            if read.contains(&operator.output().id) {
                read.extend(operator.reads());
                operators.push(operator);
            }
        }
        operators.reverse();
        let looked_at: Vec<_> = operators.iter().filter_map(Operator::looks_at).collect();
        let mut lookups = self.streams.lookups();
        lookups.retain(|lookup| looked_at.contains(&lookup.feed.id));
        let sources: Vec<SourcePlan> =
            self.streams.sources().into_iter().filter(|source| read.contains(&source.feed)).collect();
        if sources.is_empty() {
            return Err(Error::Invalid("a pipeline needs a source".to_owned()));
        }
        let looked_up = lookups.iter().map(|lookup| &lookup.table);
        let read = sources.iter().filter_map(SourcePlan::lake_table).chain(looked_up).collect::<Vec<_>>();
        let targets = self.outputs.iter().map(|(_, output)| &output.target);
        check::no_target_is_read(&read, targets.chain(&self.bad_table).chain(&self.late_table))?;
        let is_held =
            |source: &&SourcePlan| operators.iter().any(|operator| operator.reads().contains(&source.feed));
        let held =
            sources.iter().filter(is_held).map(|source| Meaning::source(&source.name, source.identity()));
        let lineage = self.streams.lineage().into_iter().chain(held).collect();
        let sinks = self.streams.sinks();
        let (graph, nodes) = graph::graph(&graph::Parts {
            options: &self.options,
            sources: &sources,
            operators: &operators,
            outputs: &self.outputs,
            sunk: &self.sunk,
            sinks: &sinks,
        })?;
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
            lookups,
            operators,
            outputs,
            sinks,
            sunk: self
                .sunk
                .into_iter()
                .zip(nodes)
                .map(|((_, sunk), node)| SunkOutput { node, ..sunk })
                .collect(),
            bad_table: self.bad_table,
            late_table: self.late_table,
            lineage,
            state,
            now: self.now,
            graph: Arc::new(graph),
        })
    }
}

/// Where a plan writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// As messages call it.
    target: String,
    use_of: Use,
}

/// Whether others may write there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Nobody else: rows are taken back, or lengths are kept.
    Alone,
    /// Others that do not want it for themselves.
    Shared,
}

impl PipelinePlan {
    /// Plans that may read a source.
    pub(crate) fn below_state(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        let operators = self.operators.iter().flat_map(Operator::inputs);
        let outputs = self.outputs.iter().map(|output| &output.plan);
        operators.chain(outputs).chain(self.sunk.iter().map(|sunk| &sunk.plan)).collect()
    }

    /// Where its rows go, but for tables where all may add rows.
    pub(crate) fn targets(&self) -> Vec<Written> {
        let tables = self.outputs.iter().filter_map(|output| {
            let use_of = match output.writes {
                Writes::Changes | Writes::View { .. } => Use::Alone,
                Writes::Upserts => Use::Shared,
                Writes::Appends => return None,
            };
            Some(Written { target: format!("table {}", output.target.full_name()), use_of })
        });
        let files = self.sinks.iter().filter_map(|sink| sink.options.file());
        let files = files.map(|path| Written { target: format!("file {path}"), use_of: Use::Alone });
        tables.chain(files).collect()
    }

    /// A target of both that one of them wants for itself.
    pub(crate) fn conflict(&self, other: &Self) -> Option<String> {
        let others = other.targets();
        let is_contested = |own: &Written| {
            let is_it = |other: &&Written| other.target == own.target;
            others.iter().filter(is_it).any(|other| [own.use_of, other.use_of].contains(&Use::Alone))
        };
        self.targets().into_iter().find(is_contested).map(|own| own.target)
    }

    /// True if rows that were written may be taken back.
    pub(crate) fn is_updating(&self) -> bool {
        self.outputs.iter().any(|output| matches!(output.writes, Writes::Changes | Writes::View { .. }))
    }
}

/// The same columns, any of which may be NULL.
fn nullable(columns: &SchemaRef) -> SchemaRef {
    let fields = columns.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Subqueries and lists of tables as joins, with their equalities apart.
fn joined(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan, Error> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(EliminateCrossJoin::new()),
    ];
    let plan = Optimizer::with_rules(rules).optimize(plan, state, |_, _| {})?;
    let equalities: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(ExtractEquijoinPredicate::new());
    let plan = bounds::settled(plan)?;
    Ok(Optimizer::with_rules(vec![equalities]).optimize(plan, state, |_, _| {})?)
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
