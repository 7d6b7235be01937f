//! What a task of an asset does: its statement in a transaction, its checks on what is staged, and one commit.
//!
//! ```text
//! BEGIN ─ TRUNCATE, or DELETE of the slices (replace) ─ INSERT … SELECT, inputs as of the run's snapshot ─ checks ─► rows + lineage + results + SUCCEEDED
//!                                                                                  └─ one fails ─► ROLLBACK
//! ```
//! Invariants: nothing is visible before the commit that ends the task; an attempt that lost its task commits nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{
    Category, CheckResult, ClaimedTask, Code, Error as CatalogError, FlowChange, Kept, Made, Mode, NewFile,
    ObjectChange, OnSchemaChange, Op, Producer, Recipe, RunOf, StagedRows, TableDef, TaskEnd, TaskFailure,
    TaskOutcome,
};
use cenote_table::Staging;
use cenote_vocab::{Epoch, ErrorKind, Fault, Scope, TableId, Txn};
use futures::TryStreamExt;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::asset_slice::{Known, condition, with_literals};
use super::check;
use crate::engine::cancelled;
use crate::parse::quote;
use crate::plan::{Pins, visible};
use crate::row_hash::{Fate, RowHash};
use crate::transaction::Failure;
use crate::{Bounds, Engine, Error, Session, SessionOptions};

/// How often an attempt plans again because another writer was first.
const CONFLICTS_MAX: u32 = 3;

impl Engine {
    /// Sees to it that what is acknowledged by now is in files of the snapshot that a run takes next.
    pub async fn settle(&self, scope: &Scope, tables: &[TableId]) -> Result<(), Error> {
        let catalog = &self.lake().catalog;
        let head = catalog.head(scope).await?;
        let names = catalog.names(scope, head.txn).await?;
        for table in tables.iter().filter_map(|table| names.table_by_id(*table)) {
            self.ingest().flush(scope, table).await?;
        }
        Ok(())
    }

    /// Does a task of an asset; answers its commit, which has ended it. `stop` ends it early.
    pub async fn materialize(
        &self,
        scope: &Scope,
        task: &ClaimedTask,
        stop: &CancellationToken,
    ) -> Result<Txn, TaskFailure> {
        let mut conflicts = 0;
        loop {
            let attempt = Attempt { engine: self, scope, task, stop };
            match Box::pin(attempt.run()).await {
                Err(Stopped::Conflict(_)) if conflicts < CONFLICTS_MAX && !stop.is_cancelled() => {
                    conflicts += 1
                }
                Ok(txn) => return Ok(txn),
                Err(Stopped::Conflict(error) | Stopped::Error(error)) => return Err(failure(&error)),
                Err(Stopped::Checks(failed)) => return Err(failed),
            }
        }
    }
}

/// Why an attempt did not commit.
enum Stopped {
    /// Another writer was first: planned again, it may go through.
    Conflict(Error),
    Error(Error),
    Checks(TaskFailure),
}

impl<E: Into<Error>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Whose fault an error is.
fn failure(error: &Error) -> TaskFailure {
    let category = match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Conflict | ErrorKind::Exhausted | ErrorKind::Internal => {
            Category::Infrastructure
        }
        _ => Category::Configuration,
    };
    TaskFailure { category, message: error.to_string(), checks: Vec::new(), staged: None }
}

pub(super) struct Attempt<'a> {
    pub(super) engine: &'a Engine,
    pub(super) scope: &'a Scope,
    pub(super) task: &'a ClaimedTask,
    pub(super) stop: &'a CancellationToken,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Txn, Stopped> {
        let session = self.session().await?;
        match Box::pin(self.work(&session)).await {
            Ok(txn) => Ok(txn),
            Err(stopped) => {
                let Some(mut transaction) = session.inner().take_transaction() else { return Err(stopped) };
                let rows = transaction.staged.rows.remove(&self.task.asset.table);
                let stopped = match (stopped, rows) {
                    (Stopped::Checks(failed), Some(rows)) => Stopped::Checks(self.kept(failed, rows).await),
                    (stopped, rows) => {
                        transaction.staged.rows.extend(rows.map(|rows| (self.task.asset.table, rows)));
                        stopped
                    }
                };
                session.inner().roll_back(transaction).await;
                Err(stopped)
            }
        }
    }

    /// The failure with the new rows, which stay readable for a while. Best effort: without them it is the same failure.
    async fn kept(&self, failed: TaskFailure, rows: Arc<Staging>) -> TaskFailure {
        let (lake, mut staging) = (self.engine.lake(), Arc::unwrap_or_clone(rows));
        if let Err(error) = lake.settle(self.scope, &mut staging).await {
            tracing::warn!(%error, run = %self.task.run, "rows that a check refused are not kept");
            lake.discard(&staging).await;
            return failed;
        }
        let table = staging.table();
        let (table, location) = (table.id, table.location.clone());
        let files: Vec<NewFile> = staging
            .ops()
            .0
            .into_iter()
            .flat_map(|op| match op {
                Op::Append { files } => files,
                _ => Vec::new(),
            })
            .collect();
        TaskFailure { staged: Some(StagedRows { table, location, files }), ..failed }
    }

    /// A session of the asset's owner, where bare names mean what they meant when the asset was made, and every statement has the
    /// time of the attempt.
    pub(super) async fn session(&self) -> Result<Session, Error> {
        let catalog = &self.engine.lake().catalog;
        let identity = catalog.owner(self.scope, self.task.asset.owner).await?;
        let options = SessionOptions {
            settings: vec![("search_path".to_owned(), search_path(&self.task.asset.search_path))],
            protocol: "flow",
            ..SessionOptions::default()
        };
        let session = self.engine.open_session(identity, options).await?;
        session.inner().stop_time(self.task.started);
        Ok(session)
    }

    /// Where the task reads.
    pub(super) fn pins(&self) -> Result<Pins, Error> {
        let txn = self.task.snapshot.ok_or_else(|| {
            Error::new(ErrorKind::Internal, "internal error: the run of a task has no snapshot")
        })?;
        Ok(Pins { txn, tables: self.task.outputs.clone() })
    }

    async fn work(&self, session: &Session) -> Result<Txn, Stopped> {
        let (asset, query) = (&self.task.asset, self.query()?);
        let pins = self.pins()?;
        session.inner().read_at(Some(pins.clone()));
        let table = self.evolved(session, &query, &names(&self.columns(session, &query).await?)).await?;
        let work = self.statements(session, &table, query).await?;
        self.execute(session, "BEGIN").await?;
        if let Some(sql) = &work.clearing {
            session.inner().read_at(None); // the target as it is, not as the run's snapshot shows it
            self.execute(session, sql).await?;
            session.inner().read_at(Some(pins));
        }
        let hash = Arc::new(Mutex::new(RowHash::new(Fate::Written)));
        session.inner().mark_rows(Some(hash.clone()));
        let (rows, _) = self.execute(session, &work.filling).await?;
        session.inner().mark_rows(None);
        let (recipe, output_hash) = (Recipe::of(asset)?, hash.lock().mark());
        let made = Made { recipe, output_hash, kept: Kept::default() };
        fail::fail_point!("task.files", |_| Err(Stopped::Error(Error::new(
            ErrorKind::Unavailable,
            "crash point task.files"
        ))));
        session.inner().read_at(None);
        let checks = self.checked(session, &work.target).await?;
        self.commit(session, &table, (rows, made), checks).await
    }

    /// What fills the table by the query.
    pub(super) async fn statements(
        &self,
        session: &Session,
        table: &TableDef,
        query: String,
    ) -> Result<Statements, Error> {
        let (spec, slices) = (&self.task.asset.spec, self.task.slices()?);
        let answered = self.columns(session, &query).await?;
        let columns = names(&answered);
        let wanted = match &slices {
            Some((slices, range)) => Some(condition(slices, *range, type_of(&answered, slices.column())?)?),
            None => None,
        };
        // The slices are a filter on top of the query; the optimiser pushes it down.
        let query = match &wanted {
            Some(wanted) => format!("SELECT * FROM ({query}\n) AS slice WHERE {wanted}"),
            None => query,
        };
        let target = format!("{}.{}", quote(&table.schema_name), quote(&table.name));
        let clearing = (spec.mode == Mode::Replace).then(|| match &wanted {
            Some(wanted) => format!("DELETE FROM {target} WHERE {wanted}"),
            None => format!("TRUNCATE TABLE {target}"),
        });
        let filling = match spec.mode {
            Mode::Merge => merge(&target, &columns, &spec.key, &query),
            Mode::Replace | Mode::Append => {
                let names: Vec<String> = columns.iter().map(|column| quote(column)).collect();
                format!("INSERT INTO {target} ({}) {}", names.join(", "), query)
            }
        };
        Ok(Statements { target, clearing, filling })
    }

    /// The query with what the task knows of itself.
    pub(super) fn query(&self) -> Result<String, Error> {
        let slices = self.task.slices()?;
        let known = Known {
            slices: slices.as_ref().map(|(slices, range)| (slices, *range)),
            logical: self.task.logical,
        };
        with_literals(&self.task.asset.query, &known)
    }

    /// The columns that the query answers.
    async fn columns(&self, session: &Session, query: &str) -> Result<SchemaRef, Error> {
        let prepared = session.prepare(query, &[]).await?;
        Ok(prepared.columns.clone().unwrap_or_else(|| Schema::empty().into()))
    }

    /// The table as it is now; with the columns that the query answers and it lacks, if the recipe says so.
    async fn evolved(&self, session: &Session, query: &str, answered: &[String]) -> Result<TableDef, Error> {
        let table = self.table(session).await?;
        let known: BTreeSet<&str> = table.schema.fields.iter().map(|field| field.name.as_str()).collect();
        let new: Vec<&String> = answered.iter().filter(|name| !known.contains(name.as_str())).collect();
        let is_whole = known.iter().all(|name| answered.iter().any(|other| other == name));
        if new.is_empty() && (is_whole || self.task.asset.spec.on_schema_change == OnSchemaChange::Evolve) {
            return Ok(table);
        }
        if self.task.asset.spec.on_schema_change == OnSchemaChange::Fail {
            let text = format!(
                "the query answers columns {}, table {} has {}",
                answered.join(", "),
                table.full_name(),
                known.into_iter().collect::<Vec<_>>().join(", ")
            );
            return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42804"));
        }
        for field in self.columns(session, query).await?.fields() {
            let name = visible(field.name());
            if new.iter().any(|new| *new == name) {
                let field_type = cenote_datafile::field_type(field).map_err(cenote_table::Error::from)?;
                let target = format!("{}.{}", quote(&table.schema_name), quote(&table.name));
                let sql =
                    format!("ALTER TABLE {target} ADD COLUMN {} {}", quote(name), field_type.sql_name());
                self.execute(session, &sql).await?;
            }
        }
        self.table(session).await
    }

    async fn table(&self, session: &Session) -> Result<TableDef, Error> {
        let names = session.inner().names().await?;
        let table = names.table_by_id(self.task.asset.table).ok_or_else(|| {
            let text = format!("the table of asset {} does not exist", self.task.asset.id);
            Error::new(ErrorKind::NotFound, text).with_sqlstate("42P01")
        })?;
        Ok(table.as_ref().clone())
    }

    /// What the checks say of the rows as they would be; a failure of one that blocks is the failure of the attempt.
    async fn checked(&self, session: &Session, target: &str) -> Result<Vec<CheckResult>, Stopped> {
        let before = session.inner().kept_txn();
        let mut results = Vec::with_capacity(self.task.checks.len());
        for known in &self.task.checks {
            session.inner().change_settings("search_path", false, |settings| {
                settings.set("search_path", Some(&search_path(&known.search_path)))
            })?;
            let asked = check::queries(known, target, before);
            let mut values = Vec::new();
            let mut broken = asked.as_ref().err().map(ToString::to_string);
            for sql in asked.iter().flatten() {
                match self.execute(session, sql).await {
                    Ok((_, rows)) => values.push(rows),
                    Err(_) if self.stop.is_cancelled() => return Err(cancelled("the run ends").into()),
                    Err(error) => {
                        session.inner().go_on_after_read();
                        broken = Some(error.to_string());
                        break;
                    }
                }
            }
            results.push(check::judge(known, &values, broken));
        }
        let failed: Vec<String> = results
            .iter()
            .filter(|result| !result.passed && result.severity.blocks())
            .map(|result| format!("{}: {}", result.name, result.message.as_deref().unwrap_or("failed")))
            .collect();
        if failed.is_empty() {
            return Ok(results);
        }
        let message = format!("check {}", failed.join("; check "));
        let category = Category::DataQuality;
        Err(Stopped::Checks(TaskFailure { category, message, checks: results, staged: None }))
    }

    /// Publishes what is staged and ends the task, all in one.
    async fn commit(
        &self,
        session: &Session,
        table: &TableDef,
        (rows, mut made): (u64, Made),
        checks: Vec<CheckResult>,
    ) -> Result<Txn, Stopped> {
        if self.stop.is_cancelled() {
            return Err(cancelled("the run ends").into());
        }
        let internal =
            || Error::new(ErrorKind::Internal, "internal error: the transaction of a task is gone");
        let transaction = session.inner().take_transaction().ok_or_else(internal)?;
        let base = transaction.snapshot.as_ref().map(|snapshot| snapshot.txn).ok_or_else(internal)?;
        let (asset, mut staged) = (&self.task.asset, transaction.staged);
        staged.inputs.retain(|input, _| *input != table.id);
        let mut inputs: BTreeMap<TableId, Txn> = staged.inputs.clone();
        // What it depends on without reading it is as of the run's snapshot too.
        for table in asset.upstream.iter().filter(|upstream| **upstream != table.id) {
            let at = self.task.outputs.get(table).copied().or(self.task.snapshot);
            inputs.entry(*table).or_insert(at.unwrap_or_default());
        }
        let snapshot = self.task.snapshot.unwrap_or_default();
        made.kept = Kept::of(asset, asset.versions(snapshot, &self.task.outputs, &staged.inputs));
        let outcome = TaskOutcome::Succeeded { rows, code: asset.code, inputs, made: Some(made) };
        let end = TaskEnd {
            run: self.task.run,
            key: self.task.key.clone(),
            task: self.task.task,
            attempt_id: self.task.attempt_id,
            asset: asset.id,
            parts: self.task.parts()?,
            outcome,
            checks,
            staged: None,
        };
        staged.objects.push(ObjectChange::Flow(Box::new(FlowChange::EndTask(Box::new(end)))));
        staged.operation = "asset";
        staged.sql = vec![asset.query.clone()];
        staged.code = Some(Code {
            id: asset.code,
            text: asset.query.clone(),
            columns: staged.columns.take(),
            deterministic: staged.deterministic,
        });
        staged.run = Some(RunOf::Open(self.task.run));
        staged.producers = vec![Producer {
            name: self.task.producer(),
            epoch: Epoch(1),
            fence: None,
            state: None,
            tables: None,
        }];
        let (lake, identity) = (self.engine.lake(), session.identity());
        fail::fail_point!("task.commit", |_| Err(Stopped::Error(Error::new(
            ErrorKind::Unavailable,
            "crash point task.commit"
        ))));
        let committed =
            staged.commit(lake, identity, base, session.inner().caller(), None).await.map_err(|failed| {
                match failed {
                    Failure::Commit(error @ CatalogError::CommitConflict { .. }) => {
                        Stopped::Conflict(error.into())
                    }
                    Failure::Commit(error) => Stopped::Error(error.into()),
                    Failure::Other(error) => Stopped::Error(error),
                }
            })?;
        fail::fail_point!("task.answer", |_| Err(Stopped::Error(Error::new(
            ErrorKind::Unavailable,
            "crash point task.answer"
        ))));
        Ok(committed.txn)
    }

    /// Runs one statement to its end; it ends early with the attempt. Rows written, and rows answered.
    pub(super) async fn execute(
        &self,
        session: &Session,
        sql: &str,
    ) -> Result<(u64, Vec<RecordBatch>), Error> {
        let prepared = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(cancelled("the run ends")),
            prepared = session.prepare_to_run(sql) => prepared?,
        };
        let work = async {
            let mut execution = session.execute(&prepared, Vec::new(), Bounds::default()).await?;
            let mut batches = Vec::new();
            while let Some(batch) = execution.batches.try_next().await? {
                batches.push(batch);
            }
            Ok::<_, Error>((execution.outcome().rows, batches))
        };
        let mut work = std::pin::pin!(work);
        tokio::select! {
            // First: a statement that was begun can be told to end.
            biased;
            done = &mut work => return done,
            () = self.stop.cancelled() => {}
        }
        session.cancel("the run ends");
        work.await
    }
}

/// What a task says to its session.
pub(super) struct Statements {
    /// The table, as SQL writes it.
    pub(super) target: String,
    /// What takes away the rows that are replaced.
    pub(super) clearing: Option<String>,
    pub(super) filling: String,
}

fn names(columns: &SchemaRef) -> Vec<String> {
    columns.fields().iter().map(|field| visible(field.name()).to_owned()).collect()
}

/// The type of a column that the query answers.
fn type_of<'a>(columns: &'a SchemaRef, name: &str) -> Result<&'a DataType, Error> {
    let field = columns.fields().iter().find(|field| visible(field.name()) == name);
    field.map(|field| field.data_type()).ok_or_else(|| {
        let text = format!("partitions are cut by column \"{name}\", which the query does not answer");
        Error::new(ErrorKind::Invalid, text).with_sqlstate("42703")
    })
}

/// As the setting takes it.
fn search_path(schemas: &[String]) -> String {
    schemas.iter().map(|schema| quote(schema)).collect::<Vec<_>>().join(", ")
}

/// `MERGE` of the query's rows by a key.
fn merge(target: &str, columns: &[String], key: &[String], query: &str) -> String {
    let on: Vec<String> = key.iter().map(|name| format!("target.{0} = source.{0}", quote(name))).collect();
    let names: Vec<String> = columns.iter().map(|name| quote(name)).collect();
    let set: Vec<String> = columns
        .iter()
        .filter(|name| !key.contains(name))
        .map(|name| format!("{0} = source.{0}", quote(name)))
        .collect();
    let update = match set.is_empty() {
        true => String::new(),
        false => format!(" WHEN MATCHED THEN UPDATE SET {}", set.join(", ")),
    };
    let values: Vec<String> = names.iter().map(|name| format!("source.{name}")).collect();
    format!(
        "MERGE INTO {target} AS target USING ({query}) AS source ON {}{update} \
         WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
        on.join(" AND "),
        names.join(", "),
        values.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_changes_what_is_not_the_key() {
        let columns = ["day".to_owned(), "n".to_owned()];
        assert_eq!(
            merge("\"s\".\"t\"", &columns, &columns[..1], "SELECT 1"),
            "MERGE INTO \"s\".\"t\" AS target USING (SELECT 1) AS source ON target.\"day\" = source.\"day\" \
             WHEN MATCHED THEN UPDATE SET \"n\" = source.\"n\" \
             WHEN NOT MATCHED THEN INSERT (\"day\", \"n\") VALUES (source.\"day\", source.\"n\")"
        );
        assert!(!merge("t", &columns, &columns, "SELECT 1").contains("UPDATE"));
    }
}
