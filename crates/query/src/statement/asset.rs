//! Statements about assets, checks and runs. When assets run is not known here: the node registers who runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use cenote_catalog::{
    ASSET, Alter, Asset, AssetRun, Commit, Error as CatalogError, Explained, FlowChange, MaterializeRequest,
    Object, ObjectChange, Op, Planned, Privilege, ReadSet, TableChange, TableDef, TaskRecord,
};
use cenote_vocab::{ErrorKind, Fault, Micros, Txn};
use sqlparser::ast::Ident;
use uuid::Uuid;

use super::alter::check_move;
use super::asset_lookup::{find, find_run, select};
use super::asset_rules::{code_of, no_key, set_options, set_run_options};
use super::asset_slice::check_spec;
use super::show::table_batch;
use super::{Answer, Guard, Prepared, Replayed, check_replay, replay};
use crate::Error;
use crate::parse::{AssetChange, AssetStatement, Materialize, literal};
use crate::plan::{Resolver, constant_time};
use crate::session::Inner;
use crate::transaction::facts;

/// Columns of the answer; `None` if there is none.
pub(crate) fn columns(statement: &AssetStatement) -> Option<SchemaRef> {
    let names: &[&str] = match statement {
        AssetStatement::Replay { commit: false, .. } => return Some(replay_columns()),
        AssetStatement::Materialize(_) | AssetStatement::Rerun { .. } | AssetStatement::Replay { .. } => {
            &["run_id", "plan_id", "task_key", "state", "reason", "error"]
        }
        AssetStatement::ExplainAsset { .. }
        | AssetStatement::ExplainRun(_)
        | AssetStatement::ExplainJob(_) => &["step", "subject", "verdict", "reason", "detail"],
        _ => return None,
    };
    let fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true));
    Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Columns of what came of doing the tasks of a run again.
fn replay_columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("run_id", DataType::Utf8, true),
        Field::new("task_key", DataType::Utf8, true),
        Field::new("identical", DataType::Boolean, true),
        Field::new("rows", DataType::Int64, true),
        Field::new("differing_rows", DataType::Int64, true),
        Field::new("deterministic", DataType::Boolean, true),
    ]))
}

fn replayed(run: &str, tasks: &[Replayed]) -> Result<Answer, Error> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(tasks.iter().map(|_| Some(run)).collect::<StringArray>()),
        Arc::new(tasks.iter().map(|task| Some(task.task.as_str())).collect::<StringArray>()),
        Arc::new(tasks.iter().map(|task| Some(task.identical)).collect::<BooleanArray>()),
        Arc::new(tasks.iter().map(|task| Some(number(task.rows))).collect::<Int64Array>()),
        Arc::new(tasks.iter().map(|task| task.differing.map(number)).collect::<Int64Array>()),
        Arc::new(tasks.iter().map(|task| Some(task.deterministic)).collect::<BooleanArray>()),
    ];
    Ok(Answer::batch("RERUN RUN", table_batch(replay_columns(), arrays)?))
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
            let (asset, _) = find(session, name, Privilege::Select).await?;
            let why = assets.explain_asset(session.identity(), asset.id, partition.as_deref()).await?;
            return explained(statement, why.steps);
        }
        AssetStatement::ExplainRun(id) => {
            session.require(Privilege::ReadMetadata, Object::Tenant)?;
            return explained(statement, assets.explain_run(scope, run_id(id)?).await?.steps);
        }
        AssetStatement::ExplainJob(name) => {
            return explained(statement, session.explain_job(name).await?.steps);
        }
        AssetStatement::Replay { id, commit: false } => {
            session.refuse_in_transaction_block(statement.command())?;
            session.require(Privilege::Manage, Object::Tenant)?;
            let work = Box::pin(replay(session, run_id(id)?));
            return replayed(id, &guard.run(work).await?);
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
            let run = find_run(session, run_id(id)?, Privilege::Run).await?;
            let reason = format!("cancelled by {}", session.identity().token.name);
            assets.cancel(scope, run.id, &reason).await?;
            Ok(Answer::done(statement.command()))
        }
        AssetStatement::PauseRun { id, paused } => {
            let run = find_run(session, run_id(id)?, Privilege::Run).await?;
            assets.pause(scope, run.id, *paused).await?;
            Ok(Answer::done(statement.command()))
        }
        AssetStatement::Rerun { id, selection } => {
            let run = find_run(session, run_id(id)?, Privilege::Run).await?;
            let key = session.idempotency_key();
            let planned = assets.rerun(session.identity(), run.id, selection.clone(), key).await?;
            session.idempotency_key_used()?;
            begun(statement, &planned)
        }
        AssetStatement::Replay { id, .. } => {
            session.require(Privilege::Manage, Object::Tenant)?;
            let key = session.idempotency_key();
            let run = run_id(id)?;
            check_replay(session, run).await?;
            let planned = assets.replay(session.identity(), run, key).await?;
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
        AssetStatement::ExplainAsset { .. }
        | AssetStatement::ExplainRun(_)
        | AssetStatement::ExplainJob(_) => Ok(Answer::done("EXPLAIN")),
    }
}

pub(crate) fn run_id(text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| CatalogError::RunNotFound(text.to_owned()).into())
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

/// What statements that change something need.
pub(super) struct Steering<'a> {
    pub(super) session: &'a Inner,
    pub(super) prepared: &'a Prepared,
    pub(super) guard: &'a Guard,
}

impl Steering<'_> {
    pub(super) async fn commit(
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
            facts: facts(self.session.caller(), operation, sql, &BTreeMap::new()),
            tables,
            objects,
        };
        let txn = lake.catalog.apply(commit).await?.txn;
        self.session.idempotency_key_used()?;
        Ok(txn)
    }

    /// All of the changes, in one commit.
    async fn alter(&self, name: &[Ident], changes: &[AssetChange]) -> Result<Answer, Error> {
        // Who may run it may hold it still; any other change takes more.
        let steers = changes.iter().all(|change| matches!(change, AssetChange::Paused(_)));
        let privilege = if steers { Privilege::Run } else { Privilege::Manage };
        let (mut asset, table) = find(self.session, name, privilege).await?;
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
        let (schema, name) = resolver.creatable(&[schema, to.clone()], Privilege::Create)?;
        check_move(self.session, table, (&schema, &name))?;
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
        let (asset, table) = match find(self.session, name, Privilege::Manage).await {
            Ok(found) => found,
            Err(error) if if_exists && error.kind() == ErrorKind::NotFound => {
                return Ok(Answer::done("DROP ASSET").with_notice(format!("{error}, skipping")));
            }
            Err(error) => return Err(error),
        };
        let mut objects = vec![flow(FlowChange::DropAsset(asset.id))];
        let mut tables = Vec::new();
        if cascade {
            self.session.require(Privilege::Drop, table.object())?;
            let names = self.session.names().await?;
            let all = lake.catalog.assets(scope).await?;
            let identity = self.session.identity();
            let is_known = |other: &Asset| {
                names.table_by_id(other.table).is_some_and(|table| table.is_known_to(identity))
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
            dry_run: asked.dry_run,
            key: session.idempotency_key(),
            ..MaterializeRequest::default()
        };
        set_run_options(&mut request, &asked.options)?;
        let (assets, identity) = (session.engine().assets()?, session.identity());
        let planned = assets.materialize(identity, request).await?;
        session.idempotency_key_used()?;
        match planned.run.filter(|_| asked.wait) {
            None => begun(statement, &planned),
            Some(run) => {
                let run = self.guard.run(Box::pin(async { assets.wait(&identity.scope, run).await })).await?;
                ended(statement, &planned, &run)
            }
        }
    }

    async fn time(&self, text: &str) -> Result<Micros, Error> {
        let engine = self.session.engine();
        let state = engine.base().statement(self.session.now(), None);
        constant_time(engine, &state, &literal(text), "").await
    }
}

pub(super) fn flow(change: FlowChange) -> ObjectChange {
    ObjectChange::Flow(Box::new(change))
}

/// The table's mark that it is an asset, set or taken off.
pub(super) fn marked(table: &TableDef, asset: Option<Uuid>, base: Txn) -> TableChange {
    let mark = BTreeMap::from([(ASSET.to_owned(), asset.map(|asset| asset.to_string()))]);
    TableChange {
        table: table.id,
        base,
        read: ReadSet::None,
        ops: vec![Op::Alter(Alter::SetProperties(mark))],
    }
}
