//! What pipelines need of SQL: who runs them, and plans whose tables are given by the one who plans.

mod graph;
mod progress;
mod shown;

use std::sync::Arc;

use cenote_catalog::{Caller, Identity, Pipeline, TableDef};
use cenote_vocab::{ErrorKind, Scope, Txn};
use datafusion::catalog::TableProvider;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use datafusion::sql::parser::Statement as AnyStatement;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlparser::ast::Statement as SqlStatement;

use crate::parse::{Parsed, parse};
use crate::plan::{Snapshot, fault};
use crate::session::Session;
use crate::{Engine, Error, statement};

pub use graph::{GraphEdge, GraphNode, NodeKind, PartOfChange, PipelineGraph, Verdict};
pub use progress::{OperatorProgress, PipelineFailure, PipelineProgress, SourceProgress};
pub use shown::{Preview, Shown, ShownRows};

/// Runs the pipelines of a node: registered when the node is composed, because pipelines come after SQL.
///
/// The caller has checked who may do what.
pub trait Pipelines: Send + Sync {
    /// Plans by the rights of `identity`, stores, and starts unless it should be paused.
    fn create<'a>(&'a self, identity: &'a Identity, pipeline: Pipeline) -> BoxFuture<'a, Result<(), Error>>;
    /// Starts no other epoch.
    fn pause<'a>(
        &'a self,
        scope: &'a Scope,
        pipeline: Pipeline,
        pausing: Pausing,
    ) -> BoxFuture<'a, Result<(), Error>>;
    /// Lets it go on where it was.
    fn resume<'a>(&'a self, scope: &'a Scope, pipeline: Pipeline) -> BoxFuture<'a, Result<(), Error>>;
    /// Stores another name, script or options, and goes on with them. What is held stays if it fits, or goes, as `state` says;
    /// after an error nothing has changed.
    fn alter<'a>(
        &'a self,
        scope: &'a Scope,
        to: Pipeline,
        state: StateChoice,
    ) -> BoxFuture<'a, Result<(), Error>>;
    /// How what is held fits a pipeline as it would be.
    fn compare<'a>(
        &'a self,
        scope: &'a Scope,
        to: Pipeline,
        state: StateChoice,
    ) -> BoxFuture<'a, Result<Vec<PartOfChange>, Error>>;
    /// Forgets what it holds and lets it begin again. `identity` empties what is to be emptied.
    fn restart<'a>(
        &'a self,
        identity: &'a Identity,
        pipeline: Pipeline,
        sinks: Option<RestartSinks>,
    ) -> BoxFuture<'a, Result<(), Error>>;
    /// What a pipeline runs, planned by the rights of `identity`; nothing is made.
    fn explain<'a>(
        &'a self,
        identity: &'a Identity,
        pipeline: Pipeline,
    ) -> BoxFuture<'a, Result<PipelineGraph, Error>>;
    /// Runs a script by the rights of `identity` and shows what its queries and INSERTs give: nothing is written, and nothing kept.
    fn preview<'a>(
        &'a self,
        identity: &'a Identity,
        script: Pipeline,
    ) -> BoxFuture<'a, Result<Preview, Error>>;
    /// What a pipeline shows from now on; `None` if it does not run, or has no sink that shows rows.
    fn output(&self, pipeline: &Pipeline) -> Option<BoxStream<'static, Shown>>;
    /// How far the pipelines of a tenant are that run in this process.
    fn progress(&self, scope: &Scope) -> Vec<PipelineProgress>;
    /// Failures of its pipelines, as far as this process remembers them; oldest first.
    fn failures(&self, scope: &Scope) -> Vec<PipelineFailure>;
    /// Stops it and forgets all of it; what it wrote stays.
    fn remove<'a>(&'a self, scope: &'a Scope, pipeline: Pipeline) -> BoxFuture<'a, Result<(), Error>>;
    /// Makes a materialized view and starts it.
    fn create_view<'a>(&'a self, identity: &'a Identity, view: NewView) -> BoxFuture<'a, Result<(), Error>>;
    /// Waits until a materialized view has all that is there now.
    fn refresh_view<'a>(&'a self, scope: &'a Scope, view: &'a TableDef) -> BoxFuture<'a, Result<(), Error>>;
    /// The transaction at which a pipeline's tables were read, if it runs and is at one.
    fn reached(&self, pipeline: &Pipeline) -> Option<Txn>;
    /// Drops a materialized view with its rows.
    fn drop_view<'a>(
        &'a self,
        identity: &'a Identity,
        view: &'a TableDef,
        caller: Caller,
    ) -> BoxFuture<'a, Result<(), Error>>;
}

/// What becomes of what a pipeline holds when its script changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChoice {
    /// It stays, or nothing changes.
    Keep,
    /// It goes; the pipeline goes on where its sources stand.
    Reset,
}

impl StateChoice {
    /// `keep`, `reset`
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "keep" => Some(Self::Keep),
            "reset" => Some(Self::Reset),
            _ => None,
        }
    }
}

/// When a pipeline pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pausing {
    /// When the epoch that runs is committed; what sinks hold open is completed.
    AfterEpoch,
    /// At once: the epoch that runs is given up, unless it is being committed.
    AtOnce,
}

/// What becomes of the rows that a pipeline wrote when it begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartSinks {
    /// They stay.
    Keep,
    /// They go.
    Truncate,
}

/// A materialized view that is to be made.
#[derive(Clone, Debug)]
pub struct NewView {
    /// What will keep it up to date: under the view's name, with the view's query for a script.
    pub pipeline: Pipeline,
    /// The view whose place it takes once it has caught up.
    pub replaces: Option<Arc<TableDef>>,
    /// Whether the statement waits until it has.
    pub wait: bool,
    /// Who asks for it, and whence.
    pub caller: Caller,
}

/// The tables of a streaming query.
pub trait StreamTables: Send + Sync {
    /// The table that the script itself has under this bare name, in any case; it hides one of the lake. An error if
    /// it cannot be read.
    fn local(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, Error>;
    /// What stands for a table of the lake that the query reads, with the table's columns.
    fn lake(&self, table: &Arc<TableDef>) -> Arc<dyn TableProvider>;
    /// The query looks into a view of the lake.
    fn reads_view(&self, view: &Arc<TableDef>);
    /// Functions of such queries; one hides another of its name.
    fn functions(&self) -> Vec<Arc<ScalarUDF>>;
}

/// An INSERT whose rows are planned, and not run.
#[derive(Debug)]
pub struct InsertPlan {
    /// Where the rows go.
    pub target: Arc<TableDef>,
    /// The rows, in the order and types of its columns.
    pub plan: LogicalPlan,
    /// For optimising and running it.
    pub state: SessionState,
}

impl Session {
    /// Plans an INSERT of a pipeline; rights and names are those of the session.
    pub async fn plan_insert(&self, sql: &str, tables: &Arc<dyn StreamTables>) -> Result<InsertPlan, Error> {
        let not_insert = || Error::new(ErrorKind::Invalid, "expected INSERT INTO … SELECT");
        let Parsed::Sql { statement, clauses } = parse(sql)? else { return Err(not_insert()) };
        let AnyStatement::Statement(inner) = statement.as_ref() else { return Err(not_insert()) };
        let SqlStatement::Insert(insert) = inner.as_ref() else { return Err(not_insert()) };
        if statement::changing(inner, &clauses)?.is_some() || insert.returning.is_some() {
            return Err(crate::parse::unsupported(
                "INSERT with REPLACE WHERE, ON CONFLICT or RETURNING in a pipeline",
            ));
        }
        let session = self.inner();
        let (lake, scope) = (session.engine().lake(), &session.identity().scope);
        let snapshot = Arc::new(Snapshot::committed(lake, scope).await?);
        let mut binder = session.binder(snapshot);
        binder.read_streams(tables.clone()).map_err(|error| fault::of(error, sql))?;
        let (target, plan) = statement::insert_plan(session, &mut binder, insert, sql).await?;
        statement::refuse_parameters(&plan, "a pipeline", sql)?;
        Ok(InsertPlan { target, plan, state: binder.state().clone() })
    }

    /// Plans a query of a pipeline, such as a view of its script; with the state for optimising and running it. Both sides of
    /// a UNION, a CASE and the like have agreed on their types.
    pub async fn plan_query(
        &self,
        sql: &str,
        tables: &Arc<dyn StreamTables>,
    ) -> Result<(LogicalPlan, SessionState), Error> {
        let Parsed::Sql { statement, .. } = parse(sql)? else {
            return Err(Error::new(ErrorKind::Invalid, "expected a query"));
        };
        let session = self.inner();
        let (lake, scope) = (session.engine().lake(), &session.identity().scope);
        let snapshot = Arc::new(Snapshot::committed(lake, scope).await?);
        let mut binder = session.binder(snapshot);
        binder.read_streams(tables.clone()).map_err(|error| fault::of(error, sql))?;
        let plan = binder.plan(*statement, sql, &session.search_path()).await?;
        statement::refuse_parameters(&plan, "a pipeline", sql)?;
        let plan = binder.coerced(plan, sql)?;
        Ok((plan, binder.state().clone()))
    }
}

impl Engine {
    /// The rows of a plan that runs in such a task, on the engine's threads and with a memory pool of its own.
    pub fn run_plan(
        &self,
        task: TaskContext,
        plan: Arc<dyn ExecutionPlan>,
    ) -> datafusion::common::Result<SendableRecordBatchStream> {
        self.base().run(task, plan)
    }
}
