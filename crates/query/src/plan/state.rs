//! The engine's state: built once per node, cloned per statement.

use std::sync::Arc;

use cenote_store::Store;
use cenote_vocab::{MemoryPool, Micros};
use datafusion::catalog::{
    CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider,
};
use datafusion::common::config::ConfigOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{FunctionRegistry, TaskContext};
use datafusion::optimizer::analyzer::function_rewrite::ApplyFunctionRewrites;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use datafusion::prelude::SessionConfig;
use sqlparser::ast::Ident;

use super::casts::Casts;
use super::coalesce::Coalesce;
use super::cpu::Cpu;
use super::memory::query_pool;
use super::operators::Operators;
use super::texts::Texts;
use super::times::{Times, Timestamps};
use super::yielding::Yielding;
use crate::plan::fault;
use crate::scan::lake_url;
use crate::table_function::Function;
use crate::{Error, QueryOptions};

/// What all statements of a node start from.
pub(crate) struct BaseState {
    state: SessionState,
    memory: MemoryPool,
    cpu: Cpu,
}

impl BaseState {
    /// One runtime with its spill directory, one set of functions.
    pub(crate) fn new(options: &QueryOptions, memory: MemoryPool, store: &Store) -> Result<Self, Error> {
        let built = || -> datafusion::common::Result<SessionState> {
            let runtime = runtime(options, &memory)?;
            runtime.register_object_store(lake_url()?.as_ref(), store.objects());
            let mut state = SessionStateBuilder::new()
                .with_config(config(options)?)
                .with_runtime_env(runtime)
                .with_default_features()
                .with_type_planner(Arc::new(Timestamps))
                .with_physical_optimizer_rule(Arc::new(Yielding))
                .build();
            state.register_expr_planner(Arc::new(Operators))?;
            state.register_function_rewrite(Arc::new(Coalesce))?;
            state.register_function_rewrite(Arc::new(Times))?;
            state.register_function_rewrite(Arc::new(Texts))?;
            state.register_function_rewrite(Arc::new(Casts))?;
            // Again, once both sides of a UNION or CASE have agreed on a type.
            state.add_analyzer_rule(Arc::new(ApplyFunctionRewrites::new(vec![Arc::new(Casts)])));
            cenote_functions::register(&mut state)?;
            Ok(state)
        };
        let state = built().map_err(|error| fault::of(error, ""))?;
        Ok(Self { state, memory, cpu: Cpu::new(options.target_partitions)? })
    }

    /// The state of one statement: its clock stands still, its catalogs are its own.
    pub(crate) fn statement(&self, now: Micros, target_partitions: Option<usize>) -> SessionState {
        let mut state = self.state.clone();
        if let Some(partitions) = target_partitions {
            state.config_mut().options_mut().execution.target_partitions = partitions;
        }
        let props = state.execution_props_mut();
        props.query_execution_start_time = chrono::DateTime::from_timestamp_micros(now.0);
        state
    }

    /// What `work` computes, on a thread for planning.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.cpu.compute(work).await
    }

    /// The rows of a plan of `state`, with a memory pool of the query's own.
    pub(crate) fn stream(
        &self,
        state: &SessionState,
        plan: Arc<dyn ExecutionPlan>,
    ) -> datafusion::common::Result<SendableRecordBatchStream> {
        self.run(TaskContext::from(state), plan)
    }

    /// The rows of a plan that runs in such a task, with a memory pool of its own.
    pub(crate) fn run(
        &self,
        task: TaskContext,
        plan: Arc<dyn ExecutionPlan>,
    ) -> datafusion::common::Result<SendableRecordBatchStream> {
        let shared = task.runtime_env();
        let runtime = RuntimeEnv { memory_pool: query_pool(&self.memory), ..shared.as_ref().clone() };
        self.cpu.stream(plan, Arc::new(task.with_runtime(Arc::new(runtime))))
    }

    /// Names of all functions, with their kind.
    pub(crate) fn functions(&self) -> Vec<(String, &'static str)> {
        let mut names: Vec<(String, &'static str)> = self
            .state
            .scalar_functions()
            .keys()
            .map(|name| (name.clone(), "scalar"))
            .chain(self.state.aggregate_functions().keys().map(|name| (name.clone(), "aggregate")))
            .chain(self.state.window_functions().keys().map(|name| (name.clone(), "window")))
            .chain(self.state.table_functions().keys().map(|name| (name.clone(), "table")))
            .chain(Function::ALL.map(|function| (function.name().to_owned(), "table")))
            .collect();
        names.sort();
        names
    }
}

fn runtime(options: &QueryOptions, memory: &MemoryPool) -> datafusion::common::Result<Arc<RuntimeEnv>> {
    // what an earlier process spilled is of no use
    if let Err(error) = std::fs::remove_dir_all(&options.spill_dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, directory = %options.spill_dir.display(), "spill directory cannot be cleared");
    }
    std::fs::create_dir_all(&options.spill_dir)?;
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![options.spill_dir.clone()]))
        .with_max_temp_directory_size(options.spill_bytes_max);
    RuntimeEnvBuilder::new()
        .with_disk_manager_builder(disk)
        .with_memory_pool(query_pool(memory))
        .with_metadata_cache_limit(usize::try_from(memory.limit() / 10).unwrap_or(usize::MAX))
        .build_arc()
}

fn config(options: &QueryOptions) -> datafusion::common::Result<SessionConfig> {
    let mut values = ConfigOptions::new();
    values.catalog.create_default_catalog_and_schema = false;
    values.catalog.default_catalog = CATALOG.into();
    values.execution.time_zone = Some("UTC".into()); // of TIMESTAMPTZ; a session shows instants in its own
    values.catalog.default_schema = DEFAULT_SCHEMA.into();
    values.catalog.information_schema = false;
    values.execution.target_partitions = options.target_partitions.max(1);
    values.execution.split_file_groups_by_statistics = true;
    values.execution.use_row_number_estimates_to_optimize_partitioning = true;
    values.execution.sort_pushdown_buffer_capacity = 64 << 20;
    values.execution.parquet.schema_force_view_types = false;
    values.execution.parquet.bloom_filter_on_read = true;
    values.optimizer.prefer_existing_sort = true;
    // it mixes up columns of one name at several levels where a field of a struct is read
    values.optimizer.enable_leaf_expression_pushdown = false;
    values.sql_parser.collect_spans = true;
    values.sql_parser.map_string_types_to_utf8view = false;
    values.sql_parser.support_varchar_with_length = true;
    values.set("datafusion.execution.spill_compression", "lz4_frame")?;
    Ok(SessionConfig::from(values))
}

/// The tenant's own catalog.
pub(crate) const CATALOG: &str = "lake";
/// The schema of bare names.
pub(crate) const DEFAULT_SCHEMA: &str = "default";
/// The catalog of system tables.
pub(crate) const SYSTEM: &str = "system";

/// Catalogs of one statement: they hold exactly the tables that it names.
#[derive(Clone, Debug)]
pub(crate) struct OwnCatalogs {
    list: Arc<MemoryCatalogProviderList>,
}

/// Empty catalogs `lake` and `system`.
pub(crate) fn own_catalogs() -> OwnCatalogs {
    let list = Arc::new(MemoryCatalogProviderList::new());
    for name in [CATALOG, SYSTEM] {
        list.register_catalog(name.into(), Arc::new(MemoryCatalogProvider::new()));
    }
    OwnCatalogs { list }
}

impl OwnCatalogs {
    /// For [`SessionState::register_catalog_list`].
    pub(crate) fn list(&self) -> Arc<dyn CatalogProviderList> {
        self.list.clone()
    }

    /// Adds a whole schema.
    pub(crate) fn add_schema(
        &self,
        schema: &str,
        provider: Arc<dyn SchemaProvider>,
    ) -> datafusion::common::Result<()> {
        if let Some(catalog) = self.list.catalog(CATALOG) {
            catalog.register_schema(schema, provider)?;
        }
        Ok(())
    }

    /// Adds a table; a second one of the same name replaces the first.
    pub(crate) fn add(
        &self,
        catalog: &str,
        schema: &str,
        name: &str,
        table: Arc<dyn datafusion::catalog::TableProvider>,
    ) -> datafusion::common::Result<()> {
        let Some(catalog) = self.list.catalog(catalog) else { return Ok(()) };
        let provider = match catalog.schema(schema) {
            Some(provider) => provider,
            None => {
                let provider = Arc::new(MemorySchemaProvider::new());
                catalog.register_schema(schema, provider.clone())?;
                provider
            }
        };
        provider.deregister_table(name)?;
        provider.register_table(name.to_owned(), table)?;
        Ok(())
    }
}

/// A name that is taken as it stands, for trees of statements.
pub(crate) fn exact(name: &str) -> Ident {
    Ident::with_quote('"', name)
}
