//! Binds the names of a statement to tables at a snapshot: what it names, and nothing else, is in its catalogs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Identity, Names, Privilege, TableDef, TableKind};
use cenote_vocab::{ErrorKind, Micros, TableId, Txn};
use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::execution::FunctionRegistry as _;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement as AnyStatement;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use sqlparser::ast::{Ident, ObjectName};
use tokio::runtime::Handle;

use super::checks::check;
use super::columns::fix_case;
use super::duplicates::tell_apart;
use super::fault;
use super::limits::type_limits;
use super::places::{PLACED, PlacedColumns, expand_wildcards};
use super::resolve::{Found, Resolver};
use super::rewriter::{Reference, VersionText, references, replace};
use super::snapshot::{Pins, Snapshot};
use super::state::{CATALOG, OwnCatalogs, SYSTEM, exact, own_catalogs};
use crate::engine::Engine;
use crate::parse::{Parsed, folded, parse, unsupported};
use crate::pg_catalog::{self, PgFacts};
use crate::scan::{LakeTable, PlacedTable, ScanNotes};
use crate::table_function::{self, Bound, Call, Context};
use crate::transaction::StagedRows;
use crate::{Error, StreamTables, system};

/// Behind the name of a table whose rows are to be found with their places; no name may hold a control character.
const ADDRESSED: &str = "\u{1f}rows";

/// Behind the name of a table that a statement brings new rows for.
const NEW_ROWS: &str = "\u{1f}new";
/// Behind the name of a table of whose rows a statement has changed some.
const CHANGED_ROWS: &str = "\u{1f}changed";

/// The schema of what a pipeline's script has made; no name may hold a control character.
const LOCAL: &str = "\u{1f}local";

/// Views that may stand on views.
const VIEW_DEPTH_MAX: usize = 32;

/// Binds one statement.
pub(crate) struct Binder<'a> {
    engine: &'a Engine,
    identity: &'a Identity,
    snapshot: Arc<Snapshot>,
    /// What this transaction has done to rows: its statements see it.
    staged: StagedRows,
    state: Arc<SessionState>,
    catalogs: OwnCatalogs,
    notes: ScanNotes,
    inputs: BTreeMap<TableId, Txn>,
    /// Views that are read as they are now.
    views: BTreeSet<TableId>,
    columns: BTreeSet<String>,
    facts: system::SessionFacts,
    /// Made when the statement asks about the server.
    server: Option<Arc<PgFacts>>,
    /// Where a pipeline reads: then no table of the lake is scanned.
    streams: Option<Arc<dyn StreamTables>>,
    /// Tables answer texts as views.
    text_views: bool,
    /// Where a task reads: then names are looked up, and rows read, as of these.
    pins: Option<Pins>,
    /// Tables that are read with the places of their rows.
    placed: PlacedColumns,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        identity: &'a Identity,
        snapshot: Arc<Snapshot>,
        staged: StagedRows,
        state: SessionState,
        facts: system::SessionFacts,
    ) -> Self {
        let catalogs = own_catalogs();
        let mut state = state;
        state.register_catalog_list(catalogs.list());
        Self {
            engine,
            identity,
            snapshot,
            staged,
            state: Arc::new(state),
            catalogs,
            notes: ScanNotes::default(),
            inputs: BTreeMap::new(),
            views: BTreeSet::new(),
            columns: BTreeSet::new(),
            facts,
            server: None,
            streams: None,
            text_views: false,
            pins: None,
            placed: PlacedColumns::new(),
        }
    }

    /// From now on names without a version mean what these snapshots show.
    pub(crate) fn read_at(&mut self, pins: Option<Pins>) {
        self.pins = pins;
    }

    /// From now on tables answer texts as views: for a query whose rows only go out.
    pub(crate) fn show_text_views(&mut self) {
        self.text_views = true;
    }

    /// From now on names are those of a pipeline: what `streams` says stands for every table that is read.
    pub(crate) fn read_streams(&mut self, streams: Arc<dyn StreamTables>) -> datafusion::common::Result<()> {
        for function in streams.functions() {
            Arc::make_mut(&mut self.state).register_udf(function)?;
        }
        self.streams = Some(streams);
        Ok(())
    }

    /// Ids of the tables of the lake that a statement may read, by some names: of all, if it names a view.
    pub(crate) fn pinned(statement: &AnyStatement, resolver: &Resolver<'_>) -> Result<Vec<TableId>, Error> {
        let mut ids = BTreeSet::new();
        for reference in references(statement)? {
            if reference.version.is_some()
                || reference.call.is_some()
                || addressed_parts(&reference.name).is_some()
                || is_of_statement(&reference.name)
            {
                continue; // none of them reads the buffer
            }
            if let Found::Table(table) = resolver.find(&reference.name, Privilege::Select)? {
                if table.kind != TableKind::Table {
                    return Ok(all_tables(resolver.names));
                }
                ids.insert(table.id);
            }
        }
        Ok(ids.into_iter().collect())
    }

    /// The plan of a statement whose text is `sql`.
    pub(crate) async fn plan(
        &mut self,
        statement: AnyStatement,
        sql: &str,
        search_path: &[String],
    ) -> Result<LogicalPlan, Error> {
        check(&statement, sql)?;
        self.serve(sql, search_path).await?;
        let statement = self.bind(statement, sql, search_path, None, 0).await?;
        self.logical(statement, sql).await
    }

    /// The plan of a statement whose names are bound.
    async fn logical(&self, statement: AnyStatement, sql: &str) -> Result<LogicalPlan, Error> {
        let state = self.state.clone();
        let runtime = Handle::current();
        let planned = self
            .engine
            .base()
            .compute(move || {
                let plan = runtime.block_on(state.statement_to_plan(statement))?;
                type_limits(plan)
            })
            .await?;
        planned.map_err(|error| fault::of(error, sql))
    }

    /// The plan with the types of its expressions, which are known once operands and branches have agreed on one.
    pub(crate) fn coerced(&self, plan: LogicalPlan, sql: &str) -> Result<LogicalPlan, Error> {
        let (analyzer, options) = (self.state.analyzer(), self.state.config_options());
        analyzer.execute_and_check(plan, options, |_, _| {}).map_err(|error| fault::of(error, sql))
    }

    /// The plan as the engine's rules leave it.
    pub(crate) async fn optimized(&self, plan: LogicalPlan, sql: &str) -> Result<LogicalPlan, Error> {
        let state = self.state.clone();
        let optimized = self.engine.base().compute(move || state.optimize(&plan)).await?;
        optimized.map_err(|error| fault::of(error, sql))
    }

    /// What runs for a plan.
    pub(crate) async fn physical(
        &self,
        plan: LogicalPlan,
        sql: &str,
    ) -> Result<Arc<dyn ExecutionPlan>, Error> {
        let plan = self.optimized(plan, sql).await?;
        let physical = self.state.query_planner().create_physical_plan(&plan, self.state.as_ref()).await;
        physical.map_err(|error| fault::of(error, sql))
    }

    /// Makes the state know what Postgres clients call, if the text asks about the server.
    async fn serve(&mut self, sql: &str, search_path: &[String]) -> Result<(), Error> {
        if self.server.is_some() || !pg_catalog::mentions(sql) {
            return Ok(());
        }
        // Dear where there are many tables, and asked for by name.
        let sizes = if sql.contains("_size") { self.sizes().await? } else { BTreeMap::new() };
        let facts = Arc::new(self.server_facts(search_path, sizes));
        let state = pg_catalog::install(self.state.as_ref().clone(), &facts);
        self.state = Arc::new(state.map_err(|error| fault::of(error, sql))?);
        self.server = Some(facts);
        Ok(())
    }

    fn server_facts(&self, search_path: &[String], sizes: BTreeMap<u32, u64>) -> PgFacts {
        let settings = self.facts.settings.iter().map(|(name, value, _)| (name.clone(), value.clone()));
        PgFacts {
            database: CATALOG.to_owned(),
            identity: self.identity.clone(),
            search_path: search_path.to_vec(),
            names: self.snapshot.names.clone(),
            settings: settings.collect(),
            backend_pid: self.facts.backend_pid,
            sizes,
            by_oid: OnceLock::new(),
        }
    }

    /// Bytes in files of every table that the asker may read, by OID.
    async fn sizes(&self) -> Result<BTreeMap<u32, u64>, Error> {
        let (catalog, scope) = (&self.engine.lake().catalog, &self.identity.scope);
        let mut sizes = BTreeMap::new();
        for table in self.snapshot.names.tables().filter(|table| table.kind == TableKind::Table) {
            let is_new = self.staged.get(&table.id).is_some_and(|staging| staging.is_new_table());
            if !is_new && self.identity.allows(Privilege::Select, &table.schema_name, Some(&table.name)) {
                let files = catalog.visible_files(scope, table, self.snapshot.txn, None).await?.files;
                sizes.insert(table.id.oid(), files.iter().map(|file| file.bytes).sum());
            }
        }
        Ok(sizes)
    }

    /// Adds a table under its full name, for a statement that writes it.
    pub(crate) async fn register_target(&mut self, table: &Arc<TableDef>) -> Result<(), Error> {
        self.columns.extend(table.schema.fields.iter().map(|field| field.name.clone()));
        // The writer refuses a NULL where none may be, and names the column; a plan would name its place in VALUES.
        let mut target = TableDef::clone(table);
        let fields = &mut Arc::make_mut(&mut target.schema).fields;
        fields.iter_mut().for_each(|field| field.required = false);
        let provider = self.provider(&Arc::new(target), self.snapshot.txn, false).await?;
        self.add(CATALOG, &table.schema_name, &table.name, Arc::new(provider))
    }

    /// The target of a change, with the places of its rows. Buffered rows have none: the table was flushed.
    async fn bind_addressed(&mut self, parts: &[Ident], search_path: &[String]) -> Result<ObjectName, Error> {
        let names = self.snapshot.names.clone();
        let resolver = Resolver { names: &names, identity: self.identity, search_path };
        let table = resolver.writable(parts, Privilege::Select)?;
        self.columns.extend(table.schema.fields.iter().map(|field| field.name.clone()));
        let provider = self.provider(&table, self.snapshot.txn, false).await?.addressed();
        let name = addressed_name(&table);
        let marked = format!("{}{ADDRESSED}", table.name);
        self.add(CATALOG, &table.schema_name, &marked, Arc::new(provider))?;
        Ok(name)
    }

    /// Rows that the statement brings along for a table.
    pub(crate) fn add_new_rows(&self, table: &TableDef, rows: LogicalPlan) -> Result<(), Error> {
        let name = format!("{}{NEW_ROWS}", table.name);
        self.add(CATALOG, &table.schema_name, &name, Arc::new(ViewTable::new(rows, None)))
    }

    /// Rows of a table that the statement has changed.
    pub(crate) fn add_changed_rows(
        &mut self,
        table: &TableDef,
        columns: SchemaRef,
        rows: Vec<RecordBatch>,
    ) -> Result<(), Error> {
        self.columns.extend(table.schema.fields.iter().map(|field| field.name.clone()));
        let name = format!("{}{CHANGED_ROWS}", table.name);
        let rows = MemTable::try_new(columns, vec![rows]).map_err(|error| fault::of(error, ""))?;
        self.add(CATALOG, &table.schema_name, &name, Arc::new(rows))
    }

    /// Names of the statement's snapshot.
    pub(crate) fn names(&self) -> Arc<Names> {
        self.snapshot.names.clone()
    }

    /// The state with the statement's catalogs.
    pub(crate) fn state(&self) -> &SessionState {
        &self.state
    }

    /// What the scans read; complete after physical planning.
    pub(crate) fn notes(&self) -> &ScanNotes {
        &self.notes
    }

    /// Tables that are read, and at which snapshot.
    pub(crate) fn inputs(&self) -> &BTreeMap<TableId, Txn> {
        &self.inputs
    }

    /// Views that are read as they are now, those that views read too.
    pub(crate) fn views(&self) -> &BTreeSet<TableId> {
        &self.views
    }

    /// Every name of the statement becomes a full one, of a table in the statement's catalogs.
    fn bind<'b>(
        &'b mut self,
        mut statement: AnyStatement,
        sql: &'b str,
        search_path: &'b [String],
        at: Option<Txn>,
        depth: usize,
    ) -> BoxFuture<'b, Result<AnyStatement, Error>> {
        Box::pin(async move {
            let outer = std::mem::take(&mut self.columns);
            self.columns.clone_from(&outer);
            let mut names = HashMap::new();
            for reference in references(&statement)? {
                let name = match &reference.call {
                    Some(call) => self.bind_call(call, sql, search_path, at).await.map_err(|error| {
                        error.or_place(reference.name.last().and_then(|ident| place(sql, ident)))
                    })?,
                    None => self.bind_reference(&reference, sql, search_path, at, depth).await?,
                };
                names.insert(reference.key(), name);
            }
            replace(&mut statement, &names)?;
            expand_wildcards(&mut statement, &self.placed)?;
            fix_case(&mut statement, &self.columns)?;
            tell_apart(&mut statement);
            if depth > 0 {
                self.columns = outer;
            }
            Ok(statement)
        })
    }

    async fn bind_reference(
        &mut self,
        reference: &Reference,
        sql: &str,
        search_path: &[String],
        at: Option<Txn>,
        depth: usize,
    ) -> Result<ObjectName, Error> {
        let version = match &reference.version {
            Some(version) => Some(self.version(version, (&reference.name, search_path), sql).await?),
            None => at,
        };
        if is_of_statement(&reference.name) {
            return Ok(ObjectName::from(reference.name.clone())); // it was added before
        }
        if let Some(streams) = self.streams.clone() {
            if reference.version.is_some() {
                return Err(unsupported("reading a version of a table in a pipeline"));
            }
            if let [name] = reference.name.as_slice()
                && let Some(table) = streams.local(&name.value)?
            {
                self.columns.extend(table.schema().fields().iter().map(|field| field.name().clone()));
                self.add(CATALOG, LOCAL, &folded(name), table)?;
                return Ok(full_name(CATALOG, LOCAL, &folded(name)));
            }
        }
        if let Some(parts) = addressed_parts(&reference.name) {
            return self.bind_addressed(&parts, search_path).await;
        }
        let version = version.or(self.pins.as_ref().map(|pins| pins.txn));
        let names = match version {
            Some(txn) => self.engine.lake().catalog.names(&self.identity.scope, txn).await?,
            None => self.snapshot.names.clone(),
        };
        let resolver = Resolver { names: &names, identity: self.identity, search_path };
        let found = resolver
            .find(&reference.name, Privilege::Select)
            .map_err(|error| error.or_place(reference.name.last().and_then(|ident| place(sql, ident))))?;
        let (found, version) = match (found, self.pinned_apart(reference)) {
            (Found::Table(table), Some(pins)) if pins.tables.contains_key(&table.id) => {
                let at = pins.tables[&table.id];
                let names = self.engine.lake().catalog.names(&self.identity.scope, at).await?;
                let table = names.table_by_id(table.id).cloned().unwrap_or(table);
                (Found::Table(table), Some(at))
            }
            (found, _) => (found, version),
        };
        match found {
            Found::Table(table) => {
                self.columns.extend(table.schema.fields.iter().map(|field| field.name.clone()));
                let mut name = match version {
                    Some(txn) => format!("{}@{txn}", table.name),
                    None => table.name.clone(),
                };
                let txn = version.unwrap_or(self.snapshot.txn);
                match &table.kind {
                    TableKind::Table if let Some(streams) = &self.streams => {
                        let table_of_stream = streams.lake(&table);
                        self.add(CATALOG, &table.schema_name, &name, table_of_stream)?;
                    }
                    TableKind::Table => {
                        let provider = self.provider(&table, txn, version.is_some()).await?;
                        self.inputs.insert(table.id, txn);
                        let provider: Arc<dyn TableProvider> = if reference.places {
                            name.push_str(PLACED);
                            let full = full_name(CATALOG, &table.schema_name, &name).to_string();
                            let columns = table.schema.fields.iter().map(|field| field.name.clone());
                            self.placed.insert(full, columns.collect());
                            Arc::new(PlacedTable::new(provider))
                        } else {
                            Arc::new(provider)
                        };
                        self.add(CATALOG, &table.schema_name, &name, provider)?;
                    }
                    TableKind::View { sql, search_path } => {
                        if version.is_none() {
                            self.views.insert(table.id);
                        }
                        if let Some(streams) = &self.streams {
                            streams.reads_view(&table);
                        }
                        let plan = self.view(&table, sql, search_path, version, depth).await?;
                        self.add(
                            CATALOG,
                            &table.schema_name,
                            &name,
                            Arc::new(ViewTable::new(plan, Some(sql.clone()))),
                        )?;
                    }
                }
                Ok(full_name(CATALOG, &table.schema_name, &name))
            }
            Found::System { .. } | Found::Made { .. } if self.streams.is_some() => {
                Err(unsupported("a system table in a pipeline"))
            }
            Found::System { group, name } => {
                let table = system::MadeTable::new(self.facts.clone(), &group, &name)?;
                self.add(SYSTEM, &group, &name, Arc::new(table))?;
                Ok(full_name(SYSTEM, &group, &name))
            }
            Found::Made { schema, name } => {
                let facts = match &self.server {
                    Some(facts) => facts.clone(),
                    None => Arc::new(self.server_facts(search_path, BTreeMap::new())),
                };
                let provider = match schema.as_str() {
                    "pg_catalog" => pg_catalog::schema_provider(facts),
                    _ => pg_catalog::information_schema(facts),
                };
                match provider.table_exist(&name) {
                    true => {
                        self.catalogs.add_schema(&schema, provider).map_err(|error| fault::of(error, sql))?;
                        Ok(full_name(CATALOG, &schema, &name))
                    }
                    false => Err(Error::new(
                        ErrorKind::NotFound,
                        format!("table \"{schema}.{name}\" does not exist"),
                    )
                    .with_sqlstate("42P01")
                    .or_place(reference.name.last().and_then(|ident| place(sql, ident)))),
                }
            }
        }
    }

    /// Where a task reads its own run's tables, unless the name has a version of its own.
    fn pinned_apart(&self, reference: &Reference) -> Option<Pins> {
        self.pins.clone().filter(|_| reference.version.is_none())
    }

    /// The table that is made for a call of one of our table functions.
    async fn bind_call(
        &mut self,
        call: &Call,
        sql: &str,
        search_path: &[String],
        at: Option<Txn>,
    ) -> Result<ObjectName, Error> {
        if self.streams.is_some() {
            return Err(unsupported("a table function in a pipeline"));
        }
        let names = match at {
            Some(txn) => self.engine.lake().catalog.names(&self.identity.scope, txn).await?,
            None => self.snapshot.names.clone(),
        };
        let context = Context {
            engine: self.engine,
            identity: self.identity,
            state: &self.state,
            names,
            at: at.unwrap_or(self.snapshot.txn),
            search_path,
            sql,
        };
        let Bound { table, at, relation } = table_function::bind(&context, call).await?;
        self.columns.extend(relation.schema().fields().iter().map(|field| field.name().clone()));
        self.inputs.insert(table.id, at);
        let name = call.to_string();
        self.add(CATALOG, &table.schema_name, &name, Arc::new(relation))?;
        Ok(full_name(CATALOG, &table.schema_name, &name))
    }

    async fn provider(&self, table: &Arc<TableDef>, txn: Txn, past: bool) -> Result<LakeTable, Error> {
        let (lake, ingest, scope) = (self.engine.lake(), self.engine.ingest(), &self.identity.scope);
        let buffer = if past { None } else { self.snapshot.buffer(lake, ingest, scope, table.id).await? };
        let provider =
            LakeTable::new(lake.clone(), scope.clone(), table.clone(), txn, buffer, self.notes.clone());
        let provider = if self.text_views { provider.with_text_views() } else { provider };
        Ok(match self.staged.get(&table.id) {
            Some(staging) if !past => provider.staged(staging.clone()),
            _ => provider,
        })
    }

    fn add(
        &self,
        catalog: &str,
        schema: &str,
        name: &str,
        table: Arc<dyn TableProvider>,
    ) -> Result<(), Error> {
        self.catalogs.add(catalog, schema, name, table).map_err(|error| fault::of(error, ""))
    }

    /// The plan of a view, with the columns that it had when it was made.
    async fn view(
        &mut self,
        view: &TableDef,
        sql: &str,
        search_path: &str,
        at: Option<Txn>,
        depth: usize,
    ) -> Result<LogicalPlan, Error> {
        if depth >= VIEW_DEPTH_MAX {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("views are nested deeper than {VIEW_DEPTH_MAX} levels at {}", view.full_name()),
            )
            .with_sqlstate("54001"));
        }
        let Parsed::Sql { statement, .. } = parse(sql)? else {
            return Err(Error::new(ErrorKind::Corrupt, format!("view {} is no query", view.full_name())));
        };
        let path = path_of(search_path);
        self.serve(sql, &path).await?;
        let in_view = |error: Error| {
            Error::new(cenote_vocab::Fault::kind(&error), format!("view {}: {error}", view.full_name()))
                .with_sqlstate(cenote_vocab::Fault::sqlstate(&error).0)
        };
        let bound = self.bind(*statement, sql, &path, at, depth + 1).await.map_err(in_view)?;
        let plan = self.logical(bound, sql).await.map_err(in_view)?;
        output_columns(plan, view).map_err(|error| in_view(fault::of(error, sql)))
    }

    /// The transaction that a version clause behind the name means.
    async fn version(
        &self,
        version: &VersionText,
        (name, search_path): (&[Ident], &[String]),
        sql: &str,
    ) -> Result<Txn, Error> {
        match version {
            VersionText::Tag(tag) => {
                // a table that is gone has the tags of the catalog
                let names = &self.snapshot.names;
                let resolver = Resolver { names, identity: self.identity, search_path };
                let table = match resolver.find(name, Privilege::Select) {
                    Ok(Found::Table(table)) => Some(table.id),
                    _ => None,
                };
                Ok(self.engine.lake().catalog.tagged(&self.identity.scope, table, tag).await?)
            }
            VersionText::Txn(txn) => Ok(Txn(*txn)),
            VersionText::Time(expr) => {
                let at = constant_time(self.engine, &self.state, &expr.to_string(), sql).await?;
                Ok(self.engine.lake().catalog.txn_at(&self.identity.scope, at).await?)
            }
        }
    }
}

/// The name by which a statement reads a table with the places of its rows.
pub(crate) fn addressed_name(table: &TableDef) -> ObjectName {
    full_name(CATALOG, &table.schema_name, &format!("{}{ADDRESSED}", table.name))
}

/// The name by which a statement reads the rows that it brings along for a table.
pub(crate) fn new_rows_name(table: &TableDef) -> ObjectName {
    full_name(CATALOG, &table.schema_name, &format!("{}{NEW_ROWS}", table.name))
}

/// The name by which a statement reads the rows that it has changed.
pub(crate) fn changed_rows_name(table: &TableDef) -> ObjectName {
    full_name(CATALOG, &table.schema_name, &format!("{}{CHANGED_ROWS}", table.name))
}

/// True for rows that the statement itself made known.
fn is_of_statement(name: &[Ident]) -> bool {
    name.last().is_some_and(|last| last.value.ends_with(NEW_ROWS) || last.value.ends_with(CHANGED_ROWS))
}

/// The table's own name, if this is the one with places.
fn addressed_parts(name: &[Ident]) -> Option<Vec<Ident>> {
    let (last, parts) = name.split_last()?;
    let bare = last.value.strip_suffix(ADDRESSED)?;
    Some(parts.iter().cloned().chain([exact(bare)]).collect())
}

/// All tables of the lake.
pub(crate) fn all_tables(names: &Names) -> Vec<TableId> {
    names.tables().filter(|table| table.kind == TableKind::Table).map(|table| table.id).collect()
}

/// The instant that a constant expression is.
pub(crate) async fn constant_time(
    engine: &Engine,
    state: &SessionState,
    expr: &str,
    sql: &str,
) -> Result<Micros, Error> {
    let not_constant =
        || Error::new(ErrorKind::Invalid, format!("{expr} is no constant time")).with_sqlstate("22007");
    let expr = format!("CAST(({expr}) AS TIMESTAMP)");
    if !is_constant(&expr)? {
        return Err(not_constant());
    }
    let row = constants(engine, state, &[expr], sql).await?;
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let value = cast(row.column(0), &micros).ok().and_then(|array| {
        let array = array.as_any().downcast_ref::<TimestampMicrosecondArray>()?;
        (!array.is_null(0)).then(|| Micros(array.value(0)))
    });
    value.ok_or_else(not_constant)
}

/// True if an expression reads no table.
fn is_constant(expr: &str) -> Result<bool, Error> {
    match parse(&format!("SELECT ({expr})"))? {
        Parsed::Sql { statement, .. } => Ok(references(&statement)?.is_empty()),
        Parsed::Command(_) | Parsed::CopyOut { .. } => Ok(false),
    }
}

/// The values of constant expressions, as one row.
pub(crate) async fn constants(
    engine: &Engine,
    state: &SessionState,
    exprs: &[String],
    sql: &str,
) -> Result<RecordBatch, Error> {
    let mut items = Vec::with_capacity(exprs.len());
    for (at, expr) in exprs.iter().enumerate() {
        if !is_constant(expr)? {
            return Err(Error::new(ErrorKind::Invalid, format!("{expr} is not constant")));
        }
        items.push(format!("({expr}) AS c{at}"));
    }
    let Parsed::Sql { statement, .. } = parse(&format!("SELECT {}", items.join(", ")))? else {
        return Err(Error::new(ErrorKind::Internal, "internal error: SELECT is no query"));
    };
    let plan = state.statement_to_plan(*statement).await.map_err(|error| fault::of(error, sql))?;
    let physical = state.create_physical_plan(&plan).await.map_err(|error| fault::of(error, sql))?;
    let batches = engine.base().stream(state, physical).map_err(|error| fault::of(error, sql))?;
    let batches: Vec<RecordBatch> = batches.try_collect().await.map_err(fault::while_running)?;
    match batches.into_iter().find(|batch| batch.num_rows() > 0) {
        Some(row) if row.num_rows() == 1 && row.num_columns() == exprs.len() => Ok(row),
        _ => Err(Error::new(ErrorKind::Invalid, "a constant must be one value")),
    }
}

/// A search path as it is stored with a view.
pub(crate) fn path_of(text: &str) -> Vec<String> {
    text.split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

fn output_columns(plan: LogicalPlan, view: &TableDef) -> datafusion::common::Result<LogicalPlan> {
    let wanted = &view.schema.fields;
    let columns = plan.schema().columns();
    let by_place = columns.len() == wanted.len();
    let exprs = wanted
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let column = if by_place {
                columns[at].clone()
            } else {
                columns
                    .iter()
                    .find(|column| column.name == field.name)
                    .cloned()
                    .unwrap_or_else(|| Column::from_name(&field.name))
            };
            Expr::Column(column).alias(&field.name)
        })
        .collect::<Vec<_>>();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

fn full_name(catalog: &str, schema: &str, name: &str) -> ObjectName {
    ObjectName::from(vec![exact(catalog), exact(schema), exact(name)])
}

fn place(sql: &str, ident: &sqlparser::ast::Ident) -> Option<crate::Place> {
    let span = ident.span;
    (span.start.line > 0).then(|| {
        crate::Place::at(
            sql,
            span.start.line,
            span.start.column,
            span.end.column.saturating_sub(span.start.column),
        )
    })
}
