//! Statements about assets, checks and runs. When assets run is not known here: the node registers who runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use cenote_catalog::{
    ASSET, Alter, Asset, AssetRun, AssetSpec, Check, Commit, Dependency, Error as CatalogError, Explained,
    FlowChange, Mapping, MaterializeRequest, Names, ObjectChange, Op, Planned, Privilege, ReadSet,
    SliceRange, TableChange, TableDef, TaskRecord,
};
use cenote_vocab::{ErrorKind, Micros, TableId, Txn, nearest};
use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{Ident, Statement as SqlStatement};
use uuid::Uuid;

use super::asset_rules::{
    check_key, check_mapping, code_of, fits, no_key, refuse_cycle, set_options, set_run_options,
};
use super::asset_slice::{Known, check_column, check_spec, with_literals};
use super::create_table::new_table;
use super::show::table_batch;
use super::{Answer, Guard, Prepared, check, refuse_parameters};
use crate::Error;
use crate::parse::{
    AssetChange, AssetStatement, CheckRule, CreateAsset, Materialize, Parsed, TableClauses, literal, parse,
    quote,
};
use crate::plan::{Found, Resolver, Snapshot, constant_time, denied};
use crate::session::Inner;
use crate::transaction::facts;

/// Columns of the answer; `None` if there is none.
pub(crate) fn columns(statement: &AssetStatement) -> Option<SchemaRef> {
    let names: &[&str] = match statement {
        AssetStatement::Materialize(_) | AssetStatement::Rerun(_) => {
            &["run_id", "plan_id", "task_key", "state", "reason", "error"]
        }
        AssetStatement::ExplainAsset { .. } | AssetStatement::ExplainRun(_) => {
            &["step", "subject", "verdict", "reason", "detail"]
        }
        _ => return None,
    };
    let fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true));
    Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Runs one of them.
pub(crate) async fn run(
    session: &Inner,
    statement: &AssetStatement,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    let assets = session.engine().assets()?.clone();
    let scope = &session.identity().scope;
    match statement {
        AssetStatement::ExplainAsset { name, partition } => {
            let (asset, _) = find(session, name, Privilege::Use).await?;
            return explained(statement, assets.explain_asset(scope, asset.id, partition.as_deref()).await?);
        }
        AssetStatement::ExplainRun(id) => {
            everywhere(session, Privilege::ReadMetadata, "runs")?;
            return explained(statement, assets.explain_run(scope, run_id(id)?).await?);
        }
        _ => {}
    }
    session.refuse_in_transaction_block(statement.command())?;
    session.check_writable()?;
    let steering = Steering { session, prepared, guard };
    match statement {
        AssetStatement::Create(create) => steering.create(create).await,
        AssetStatement::Alter { name, changes } => steering.alter(name, changes).await,
        AssetStatement::Drop { name, if_exists, cascade, force } => {
            steering.drop_asset(name, *if_exists, *cascade, *force).await
        }
        AssetStatement::Materialize(asked) => steering.materialize(statement, asked).await,
        AssetStatement::CancelRun(id) => {
            everywhere(session, Privilege::Manage, "runs")?;
            let reason = format!("cancelled by {}", session.identity().token.name);
            assets.cancel(scope, run_id(id)?, &reason).await?;
            Ok(Answer::done(statement.command()))
        }
        AssetStatement::PauseRun { id, paused } => {
            everywhere(session, Privilege::Manage, "runs")?;
            assets.pause(scope, run_id(id)?, *paused).await?;
            Ok(Answer::done(statement.command()))
        }
        AssetStatement::Rerun(id) => {
            everywhere(session, Privilege::Manage, "runs")?;
            let (key, actor) = (session.idempotency_key(), &session.identity().token.name);
            let planned = assets.rerun(scope, run_id(id)?, key, actor).await?;
            session.idempotency_key_used()?;
            begun(statement, &planned)
        }
        AssetStatement::CreateCheck { name, table, or_replace, severity, rule } => {
            let made = (name, *or_replace, *severity, rule);
            steering.create_check(table, made).await
        }
        AssetStatement::DropCheck { name, table, if_exists } => {
            steering.drop_check(name, table, *if_exists).await
        }
        AssetStatement::ExplainAsset { .. } | AssetStatement::ExplainRun(_) => Ok(Answer::done("EXPLAIN")),
    }
}

pub(crate) fn run_id(text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| CatalogError::RunNotFound(text.to_owned()).into())
}

pub(crate) fn everywhere(session: &Inner, privilege: Privilege, what: &str) -> Result<(), Error> {
    if session.identity().allows_everywhere(privilege) { Ok(()) } else { Err(denied(privilege, what)) }
}

fn explained(statement: &AssetStatement, rows: Vec<Explained>) -> Result<Answer, Error> {
    let text = |of: fn(&Explained) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let arrays = vec![
        text(|row| Some(row.step)),
        text(|row| Some(&row.subject)),
        text(|row| Some(&row.verdict)),
        text(|row| row.reason.as_deref()),
        text(|row| row.detail.as_deref()),
    ];
    let schema = columns(statement).unwrap_or_else(|| Schema::empty().into());
    Ok(Answer::batch("EXPLAIN", table_batch(schema, arrays)?))
}

/// One row for each task of a run that was begun, or planned.
fn begun(statement: &AssetStatement, planned: &Planned) -> Result<Answer, Error> {
    let state = if planned.run.is_some() { "PENDING" } else { "PLANNED" };
    let rows = planned.tasks.iter().map(|(key, reason)| (key.as_str(), state, reason.as_str(), None));
    told(statement, planned, rows.collect())
}

/// One row for each task of a run that ended.
fn ended(statement: &AssetStatement, planned: &Planned, run: &AssetRun) -> Result<Answer, Error> {
    let row =
        |task: &TaskRecord| (task.key.clone(), task.state.clone(), task.reason.clone(), task.error.clone());
    let rows: Vec<_> = run.tasks.iter().map(row).collect();
    let rows = rows
        .iter()
        .map(|(key, state, reason, error)| (key.as_str(), state.as_str(), reason.as_str(), error.as_deref()));
    told(statement, planned, rows.collect())
}

fn told(
    statement: &AssetStatement,
    planned: &Planned,
    rows: Vec<(&str, &str, &str, Option<&str>)>,
) -> Result<Answer, Error> {
    let (run, plan) = (planned.run.map(|run| run.to_string()), plan_id(&planned.fingerprint));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|_| run.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|_| Some(plan.clone())).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.3).collect::<StringArray>()),
    ];
    let schema = columns(statement).unwrap_or_else(|| Schema::empty().into());
    Ok(Answer::batch(statement.command(), table_batch(schema, arrays)?))
}

/// `plan_` and the beginning of the fingerprint.
pub fn plan_id(fingerprint: &str) -> String {
    format!("plan_{}", fingerprint.chars().take(32).collect::<String>())
}

/// The most assets that one request names (`selection_max`).
const SELECTED_MAX: usize = 1_000;
/// The most unknown names that an error tells.
const UNKNOWN_MAX: usize = 10;

/// What names of assets are looked up in.
struct Lookup<'a> {
    session: &'a Inner,
    names: Arc<Names>,
    path: Vec<String>,
    assets: Vec<Asset>,
}

impl<'a> Lookup<'a> {
    async fn load(session: &'a Inner) -> Result<Self, Error> {
        let assets = session.engine().lake().catalog.assets(&session.identity().scope).await?;
        Ok(Self { session, names: session.names().await?, path: session.search_path(), assets })
    }

    fn find(&self, name: &[Ident], privilege: Privilege) -> Result<(&Asset, Arc<TableDef>), Error> {
        let identity = self.session.identity();
        let resolver = Resolver { names: &self.names, identity, search_path: &self.path };
        match resolver.find(name, privilege) {
            Ok(Found::Table(table)) => {
                let asset = self.assets.iter().find(|asset| asset.table == table.id);
                asset.map(|asset| (asset, table)).ok_or_else(|| self.not_found(name))
            }
            Ok(Found::System { .. } | Found::Made { .. }) => Err(self.not_found(name)),
            Err(error) if cenote_vocab::Fault::kind(&error) == ErrorKind::NotFound => {
                Err(self.not_found(name))
            }
            Err(error) => Err(error),
        }
    }

    fn not_found(&self, name: &[Ident]) -> Error {
        let asked = name.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
        let known = self.assets.iter().filter_map(|asset| self.names.table_by_id(asset.table));
        let readable = known.filter(|table| {
            self.session.identity().allows(Privilege::Use, &table.schema_name, Some(&table.name))
        });
        let last = name.last().map_or("", |part| part.value.as_str());
        let near = nearest(last, readable.map(|table| table.name.as_str())).map(str::to_owned);
        CatalogError::AssetNotFound { name: asked, nearest: near }.into()
    }
}

/// The asset of a name, and its table.
pub(crate) async fn find(
    session: &Inner,
    name: &[Ident],
    privilege: Privilege,
) -> Result<(Asset, Arc<TableDef>), Error> {
    let known = Lookup::load(session).await?;
    known.find(name, privilege).map(|(asset, table)| (asset.clone(), table))
}

/// The assets of these names, which the asker may run; those that are unknown are named.
pub(crate) async fn select(session: &Inner, names: &[Vec<Ident>]) -> Result<Vec<Uuid>, Error> {
    if names.len() > SELECTED_MAX {
        let text = format!("{} assets are named, at most {SELECTED_MAX} (selection_max)", names.len());
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("54000"));
    }
    let known = Lookup::load(session).await?;
    let mut selected = BTreeSet::new();
    let mut unknown = Vec::new();
    for name in names {
        match known.find(name, Privilege::Run) {
            Ok((asset, _)) => drop(selected.insert(asset.id)),
            Err(error) if cenote_vocab::Fault::kind(&error) == ErrorKind::NotFound => unknown.push(error),
            Err(error) => return Err(error),
        }
        if unknown.len() == UNKNOWN_MAX {
            break;
        }
    }
    if unknown.len() > 1 {
        let texts: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        return Err(Error::new(ErrorKind::NotFound, texts.join("; ")).with_sqlstate("42704"));
    }
    match unknown.pop() {
        Some(error) => Err(error),
        None => Ok(selected.into_iter().collect()),
    }
}

/// Fails unless the asker may run everything that the request reaches from the assets that it names.
pub(crate) async fn check_reach(session: &Inner, asked: &MaterializeRequest) -> Result<(), Error> {
    let identity = session.identity();
    if !(asked.upstream || asked.downstream) || identity.allows_everywhere(Privilege::Run) {
        return Ok(());
    }
    let names = session.names().await?;
    let assets = session.engine().lake().catalog.assets(&identity.scope).await?;
    let mut reached = BTreeSet::new();
    if asked.upstream {
        reached.extend(reach(&assets, &asked.assets, |asset, near| near.upstream.contains(&asset.table)));
    }
    if asked.downstream {
        reached.extend(reach(&assets, &asked.assets, |asset, near| asset.upstream.contains(&near.table)));
    }
    for asset in assets.iter().filter(|asset| reached.contains(&asset.id)) {
        let Some(table) = names.table_by_id(asset.table) else { continue };
        let may = |privilege| identity.allows(privilege, &table.schema_name, Some(&table.name));
        if !may(Privilege::Run) {
            let known = may(Privilege::Use).then(|| table.full_name());
            return Err(denied(Privilege::Run, &known.unwrap_or_else(|| "an asset that is reached".into())));
        }
    }
    Ok(())
}

/// What is reached from some assets, over what `is_next` to one of them.
fn reach(assets: &[Asset], from: &[Uuid], is_next: impl Fn(&Asset, &Asset) -> bool) -> BTreeSet<Uuid> {
    let mut reached: BTreeSet<Uuid> = from.iter().copied().collect();
    let mut open: Vec<&Asset> = assets.iter().filter(|asset| reached.contains(&asset.id)).collect();
    while let Some(near) = open.pop() {
        let next = assets.iter().filter(|asset| is_next(asset, near));
        open.extend(next.filter(|asset| reached.insert(asset.id)));
    }
    reached
}

/// What statements that change something need.
struct Steering<'a> {
    session: &'a Inner,
    prepared: &'a Prepared,
    guard: &'a Guard,
}

impl Steering<'_> {
    async fn commit(
        &self,
        operation: &str,
        tables: Vec<TableChange>,
        objects: Vec<ObjectChange>,
    ) -> Result<Txn, Error> {
        let (lake, identity) = (self.session.engine().lake(), self.session.identity());
        self.guard.check()?;
        let sql = std::slice::from_ref(&self.prepared.sql);
        let commit = Commit {
            commit_id: lake.ids.uuid(),
            scope: identity.scope.clone(),
            producers: self.session.client_producer().into_iter().collect(),
            facts: facts(identity, operation, sql, &BTreeMap::new(), self.guard.request_id.clone()),
            tables,
            objects,
        };
        let txn = lake.catalog.apply(commit).await?.txn;
        self.session.idempotency_key_used()?;
        Ok(txn)
    }

    /// An asset is steered by its owner, and by admins.
    async fn own(&self, name: &[Ident]) -> Result<(Asset, Arc<TableDef>), Error> {
        let (asset, table) = find(self.session, name, Privilege::Alter).await?;
        let identity = self.session.identity();
        let manages = identity.allows(Privilege::Manage, &table.schema_name, Some(&table.name));
        if asset.owner == identity.token.id || manages {
            return Ok((asset, table));
        }
        Err(denied(Privilege::Manage, &format!("asset {}", table.full_name())))
    }

    async fn create(&self, create: &CreateAsset) -> Result<Answer, Error> {
        let (session, done) = (self.session, Answer::done("CREATE ASSET"));
        let (lake, scope) = (session.engine().lake(), &session.identity().scope);
        let partition = create.partition.clone();
        let mut spec = AssetSpec { eager: create.eager, partition, ..AssetSpec::default() };
        set_options(&mut spec, &create.options)?;
        if let Some(schedule) = &create.schedule {
            session.engine().assets()?.check_schedule(schedule)?;
            spec.schedule = Some(schedule.clone());
        }
        let snapshot = Arc::new(Snapshot::committed(lake, scope).await?);
        let (names, path) = (snapshot.names.clone(), session.search_path());
        let resolver = Resolver { names: &names, identity: session.identity(), search_path: &path };
        let (schema, name) = resolver.creatable(&create.name, Privilege::Create)?;
        let assets = lake.catalog.assets(scope).await?;
        let taken = names.schemas.get(&schema).and_then(|(_, tables)| tables.get(&name)).cloned();
        let known = taken.as_ref().and_then(|taken| assets.iter().find(|asset| asset.table == taken.id));
        match known {
            Some(_) if create.if_not_exists => {
                return Ok(done.with_notice(format!("asset \"{name}\" already exists, skipping")));
            }
            Some(known) if create.or_replace => {
                let identity = session.identity();
                let manages = identity.allows(Privilege::Manage, &schema, Some(&name));
                if known.owner != identity.token.id && !manages {
                    return Err(denied(Privilege::Manage, &format!("asset {schema}.{name}")));
                }
            }
            Some(_) => return Err(CatalogError::TableExists(format!("{schema}.{name}")).into()),
            None => {}
        }
        let slices = spec.slices()?;
        // Any slice will do: literals have types, and that is what is asked here.
        let known_slice = slices.as_ref().map(|slices| (slices, SliceRange::one(0)));
        let query = with_literals(&create.query, &Known { slices: known_slice, logical: session.now() })?;
        let (outputs, mut upstream) = self.planned(&snapshot, &query, &path).await?;
        check_key(&spec, &outputs)?;
        check_column(&spec, &outputs)?;
        let mut depends = Vec::with_capacity(create.depends.len());
        for (name, mapping) in &create.depends {
            let table = resolver.writable(name, Privilege::Select)?;
            if depends.iter().any(|(other, _): &(Arc<TableDef>, Mapping)| other.id == table.id) {
                let text = format!("DEPENDS ON names {} twice", table.full_name());
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42601"));
            }
            upstream.push(table.id);
            depends.push((table, *mapping));
        }
        upstream.sort();
        upstream.dedup();
        spec.depends = depends
            .iter()
            .map(|(table, mapping)| Dependency { table: table.id.0, mapping: *mapping })
            .collect();
        let mut asset = Asset {
            id: known.map_or_else(|| lake.ids.uuid(), |known| known.id),
            table: taken.as_ref().map_or(TableId(0), |taken| taken.id),
            owner: session.identity().token.id,
            search_path: path.clone(),
            query: create.query.clone(),
            code: [0; 32],
            spec,
            upstream,
            paused: known.is_some_and(|known| known.paused),
            created: known.map_or_else(|| session.now(), |known| known.created),
            version: known.map_or(1, |known| known.version + 1),
        };
        asset.code = code_of(&asset);
        check_spec(&asset)?;
        for (table, mapping) in &depends {
            check_mapping(&assets, &asset, (table, *mapping))?;
        }
        if let Some(taken) = &taken {
            refuse_cycle(&assets, &asset, &names)?;
            if known.is_none() {
                if !session.identity().allows(Privilege::Alter, &taken.schema_name, Some(&taken.name)) {
                    return Err(denied(Privilege::Alter, &taken.full_name()));
                }
                fits(taken, &outputs)?;
            }
        }
        let mut objects = Vec::new();
        let mut tables = Vec::new();
        match taken {
            Some(taken) if known.is_none() => tables.push(marked(&taken, Some(asset.id), snapshot.txn)),
            Some(_) => {}
            None => {
                let made = self.new_table(&query, (schema, name), &outputs, asset.id).await?;
                asset.table = made.id;
                let made = vec![ObjectChange::CreateTable(Box::new(made))];
                objects.extend(session.identity().owning(made));
            }
        }
        objects.push(flow(FlowChange::PutAsset(Box::new(asset))));
        let txn = self.commit("create_asset", tables, objects).await?;
        Ok(done.with_txn(Some(txn)))
    }

    /// The columns that the query answers, and the tables that it reads.
    async fn planned(
        &self,
        snapshot: &Arc<Snapshot>,
        query: &str,
        path: &[String],
    ) -> Result<(SchemaRef, Vec<TableId>), Error> {
        let statement = query_of(query)?;
        self.guard
            .run(Box::pin(async {
                let mut binder = self.session.binder(snapshot.clone());
                let plan = binder.plan(statement, query, path).await?;
                refuse_parameters(&plan, "an asset", query)?;
                let plan = binder.optimized(plan, query).await?;
                let inputs = binder.inputs().keys().copied().collect();
                Ok((plan.schema().inner().clone(), inputs))
            }))
            .await
    }

    async fn new_table(
        &self,
        query: &str,
        (schema, name): (String, String),
        outputs: &SchemaRef,
        asset: Uuid,
    ) -> Result<cenote_catalog::NewTable, Error> {
        let text = format!("CREATE TABLE {}.{} AS {}", quote(&schema), quote(&name), query);
        let Parsed::Sql { statement, .. } = parse(&text)? else { return Err(not_a_query()) };
        let AnyStatement::Statement(statement) = *statement else { return Err(not_a_query()) };
        let SqlStatement::CreateTable(made) = *statement else { return Err(not_a_query()) };
        let clauses = TableClauses::default();
        let mut table = new_table(self.session, &made, &clauses, (schema, name), Some(outputs), None).await?;
        table.properties.insert(ASSET.to_owned(), asset.to_string());
        Ok(table)
    }

    /// All of the changes, in one commit.
    async fn alter(&self, name: &[Ident], changes: &[AssetChange]) -> Result<Answer, Error> {
        let (mut asset, table) = self.own(name).await?;
        let (id, was_paused) = (asset.id, asset.paused);
        let (mut renamed, mut paused, mut set) = (None, was_paused, false);
        for change in changes {
            match change {
                AssetChange::Paused(wanted) => paused = *wanted,
                AssetChange::Set(options) => {
                    set_options(&mut asset.spec, options)?;
                    set = true;
                }
                AssetChange::Rename(to) => renamed = Some(self.new_name(&table, to).await?),
            }
        }
        let mut objects = Vec::new();
        if set {
            for key in &asset.spec.key {
                if table.schema.field(key).is_none() {
                    return Err(no_key(key));
                }
            }
            asset.code = code_of(&asset);
            check_spec(&asset)?;
            asset.version += 1;
            objects.push(flow(FlowChange::PutAsset(Box::new(asset))));
        }
        if paused != was_paused {
            objects.push(flow(FlowChange::PauseAsset { asset: id, paused, next: None }));
        }
        objects.extend(renamed);
        if objects.is_empty() {
            return Ok(Answer::done("ALTER ASSET"));
        }
        let txn = self.commit("alter_asset", Vec::new(), objects).await?;
        Ok(Answer::done("ALTER ASSET").with_txn(Some(txn)))
    }

    /// Another name in its schema.
    async fn new_name(&self, table: &TableDef, to: &Ident) -> Result<ObjectChange, Error> {
        let (names, path) = (self.session.names().await?, self.session.search_path());
        let resolver = Resolver { names: &names, identity: self.session.identity(), search_path: &path };
        let schema = Ident::with_quote('"', table.schema_name.as_str());
        let (_, name) = resolver.creatable(&[schema, to.clone()], Privilege::Create)?;
        Ok(ObjectChange::RenameTable { table: table.id, schema: None, name })
    }

    async fn drop_asset(
        &self,
        name: &[Ident],
        if_exists: bool,
        cascade: bool,
        force: bool,
    ) -> Result<Answer, Error> {
        let (lake, scope) = (self.session.engine().lake(), &self.session.identity().scope);
        let (asset, table) = match self.own(name).await {
            Ok(found) => found,
            Err(error) if if_exists && cenote_vocab::Fault::kind(&error) == ErrorKind::NotFound => {
                return Ok(Answer::done("DROP ASSET").with_notice(format!("{error}, skipping")));
            }
            Err(error) => return Err(error),
        };
        let mut objects = vec![flow(FlowChange::DropAsset(asset.id))];
        let mut tables = Vec::new();
        if cascade {
            if !self.session.identity().allows(Privilege::Drop, &table.schema_name, Some(&table.name)) {
                return Err(denied(Privilege::Drop, &table.full_name()));
            }
            let names = self.session.names().await?;
            let all = lake.catalog.assets(scope).await?;
            let identity = self.session.identity();
            let is_known = |other: &Asset| {
                let table = names.table_by_id(other.table);
                table.is_some_and(|of| identity.allows(Privilege::Use, &of.schema_name, Some(&of.name)))
            };
            let readers: BTreeSet<String> = all
                .iter()
                .filter(|other| other.id != asset.id && other.upstream.contains(&table.id))
                .map(|other| if is_known(other) { other.full_name(&names) } else { "of others".to_owned() })
                .collect();
            if !readers.is_empty() && !force {
                let text = format!(
                    "assets {} read {}",
                    readers.into_iter().collect::<Vec<_>>().join(", "),
                    table.full_name()
                );
                return Err(Error::new(ErrorKind::Conflict, text)
                    .with_sqlstate("2BP01")
                    .with_hint("DROP ASSET … CASCADE FORCE drops it all the same"));
            }
            let checks = lake.catalog.checks(scope, Some(table.id)).await?;
            objects.extend(checks.iter().map(|check| flow(FlowChange::DropCheck(check.id))));
            objects.push(ObjectChange::DropTable {
                schema: table.schema_name.clone(),
                name: table.name.clone(),
                if_exists: false,
                view: false,
            });
        } else {
            tables.push(marked(&table, None, lake.catalog.head(scope).await?.txn));
        }
        let txn = self.commit("drop_asset", tables, objects).await?;
        Ok(Answer::done("DROP ASSET").with_txn(Some(txn)))
    }

    async fn materialize(&self, statement: &AssetStatement, asked: &Materialize) -> Result<Answer, Error> {
        let session = self.session;
        let mut request = MaterializeRequest {
            assets: select(session, &asked.names).await?,
            upstream: asked.upstream,
            downstream: asked.downstream,
            wanted: asked.partitions.clone(),
            logical: match &asked.at {
                Some(at) => Some(self.time(at).await?),
                None => None,
            },
            actor: session.identity().token.name.clone(),
            dry_run: asked.dry_run,
            key: session.idempotency_key(),
            ..MaterializeRequest::default()
        };
        set_run_options(&mut request, &asked.options)?;
        check_reach(session, &request).await?;
        let (assets, scope) = (session.engine().assets()?, &session.identity().scope);
        let planned = assets.materialize(scope, request).await?;
        session.idempotency_key_used()?;
        match planned.run.filter(|_| asked.wait) {
            None => begun(statement, &planned),
            Some(run) => {
                let run = self.guard.run(Box::pin(async { assets.wait(scope, run).await })).await?;
                ended(statement, &planned, &run)
            }
        }
    }

    async fn time(&self, text: &str) -> Result<Micros, Error> {
        let engine = self.session.engine();
        let state = engine.base().statement(self.session.now(), None);
        constant_time(engine, &state, &literal(text), "").await
    }

    async fn create_check(
        &self,
        table: &[Ident],
        (name, or_replace, severity, rule): (&Ident, bool, cenote_catalog::Severity, &CheckRule),
    ) -> Result<Answer, Error> {
        let (lake, scope) = (self.session.engine().lake(), &self.session.identity().scope);
        let table = self.table(table).await?;
        let name = crate::parse::folded(name);
        cenote_vocab::check_column(&name).map_err(CatalogError::from)?;
        let known = lake.catalog.checks(scope, Some(table.id)).await?;
        let known = known.into_iter().find(|check| check.name == name);
        if known.is_some() && !or_replace {
            return Err(CatalogError::CheckExists(name).into());
        }
        let target = format!("{}.{}", quote(&table.schema_name), quote(&table.name));
        let snapshot = Arc::new(Snapshot::committed(lake, scope).await?);
        let path = self.session.search_path();
        for query in check::rule_queries(rule, &target, Some(snapshot.txn)) {
            self.planned(&snapshot, &query, &path).await?; // what it names is there
        }
        let check = Check {
            id: known.map_or_else(|| lake.ids.uuid(), |known| known.id),
            table: table.id,
            name,
            severity,
            rule: rule.to_string(),
            search_path: path,
            created: self.session.now(),
        };
        let objects = vec![flow(FlowChange::PutCheck(Box::new(check)))];
        let txn = self.commit("create_check", Vec::new(), objects).await?;
        Ok(Answer::done("CREATE CHECK").with_txn(Some(txn)))
    }

    async fn drop_check(&self, name: &Ident, table: &[Ident], if_exists: bool) -> Result<Answer, Error> {
        let (lake, scope) = (self.session.engine().lake(), &self.session.identity().scope);
        let table = self.table(table).await?;
        let name = crate::parse::folded(name);
        let known = lake.catalog.checks(scope, Some(table.id)).await?;
        let done = Answer::done("DROP CHECK");
        match known.into_iter().find(|check| check.name == name) {
            Some(check) => {
                let objects = vec![flow(FlowChange::DropCheck(check.id))];
                let txn = self.commit("drop_check", Vec::new(), objects).await?;
                Ok(done.with_txn(Some(txn)))
            }
            None if if_exists => Ok(done.with_notice(format!("check \"{name}\" does not exist, skipping"))),
            None => Err(CatalogError::CheckNotFound(name).into()),
        }
    }

    async fn table(&self, name: &[Ident]) -> Result<Arc<TableDef>, Error> {
        let (names, path) = (self.session.names().await?, self.session.search_path());
        let resolver = Resolver { names: &names, identity: self.session.identity(), search_path: &path };
        resolver.writable(name, Privilege::Alter)
    }
}

fn flow(change: FlowChange) -> ObjectChange {
    ObjectChange::Flow(Box::new(change))
}

fn not_a_query() -> Error {
    Error::new(ErrorKind::Invalid, "an asset needs a query: CREATE ASSET … AS SELECT …")
        .with_sqlstate("42601")
}

fn query_of(text: &str) -> Result<AnyStatement, Error> {
    let Parsed::Sql { statement, .. } = parse(text)? else { return Err(not_a_query()) };
    match statement.as_ref() {
        AnyStatement::Statement(inner) if matches!(**inner, SqlStatement::Query(_)) => Ok(*statement),
        _ => Err(not_a_query()),
    }
}

/// The table's mark that it is an asset, set or taken off.
fn marked(table: &TableDef, asset: Option<Uuid>, base: Txn) -> TableChange {
    let mark = BTreeMap::from([(ASSET.to_owned(), asset.map(|asset| asset.to_string()))]);
    TableChange {
        table: table.id,
        base,
        read: ReadSet::None,
        ops: vec![Op::Alter(Alter::SetProperties(mark))],
    }
}
