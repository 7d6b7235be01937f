//! What a transaction has staged, and how it becomes one commit.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cenote_catalog::{
    Caller, Code, ColumnEdge, Commit, Committed, Facts, Identity, Input, Names, NewTable, ObjectChange,
    Producer, RunOf, SchemaDef, TableChange, TableDef,
};
use cenote_table::{ChangingGuard, Lake, Staging, Written};
use cenote_vocab::{Epoch, ErrorKind, Fault, SchemaId, TableId, Txn};

use crate::Error;
use crate::parse::{without_data, words};
use crate::plan::Snapshot;
use crate::settings::Settings;

/// An open transaction.
#[derive(Default)]
pub(crate) struct Transaction {
    /// Begun by a text of several statements, not by BEGIN.
    pub(crate) implicit: bool,
    pub(crate) repeatable_read: bool,
    pub(crate) read_only: bool,
    pub(crate) failed: bool,
    /// Set once the snapshot stays.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    pub(crate) staged: Staged,
    /// Keeps compaction away from the tables whose rows it changes.
    pub(crate) changing: BTreeMap<TableId, ChangingGuard>,
    /// As they were at its beginning.
    pub(crate) settings: Settings,
    /// Settings of `SET LOCAL`, with what COMMIT puts back.
    pub(crate) local: BTreeMap<String, Option<String>>,
}

/// What was done to the rows of tables. The stagings are shared with the statements that read them.
pub(crate) type StagedRows = BTreeMap<TableId, Arc<Staging>>;

/// Changes that are not committed yet.
#[derive(Default)]
pub(crate) struct Staged {
    /// Rows that come and go.
    pub(crate) rows: StagedRows,
    /// The snapshot in which rows to be taken were found; `None`: rows only come, on whatever is there.
    pub(crate) base: Option<Txn>,
    pub(crate) objects: Vec<ObjectChange>,
    /// Names with the staged objects in them.
    pub(crate) names: Option<Arc<Names>>,
    /// Tables that are gone: what was done to their rows before matters no more.
    pub(crate) dropped: Vec<TableId>,
    /// Texts of the statements.
    pub(crate) sql: Vec<String>,
    pub(crate) operation: &'static str,
    /// Tables that were read, and at which snapshot.
    pub(crate) inputs: BTreeMap<TableId, Txn>,
    /// Which columns came of which, if that is known of all that was read.
    pub(crate) columns: Option<Vec<ColumnEdge>>,
    /// Whether what was read makes the same rows each time, if that is known.
    pub(crate) deterministic: Option<bool>,
    /// The run that it is part of; a statement outside of any makes its own.
    pub(crate) run: Option<RunOf>,
    /// What makes the rows, where it is more than the statements.
    pub(crate) code: Option<Code>,
    /// Marks of a task, so that its rows come once.
    pub(crate) producers: Vec<Producer>,
}

impl Staged {
    /// New rows of one table.
    pub(crate) fn of_rows(mut staging: Staging, written: Written) -> StagedRows {
        staging.append(written);
        BTreeMap::from([(staging.table().id, Arc::new(staging))])
    }

    /// True if nothing would be committed.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.values().all(|staging| staging.is_empty()) && self.objects.is_empty()
    }

    /// True if rows were made of those of another table.
    fn reads_others(&self) -> bool {
        self.inputs.keys().any(|input| !self.rows.contains_key(input))
    }

    /// Bytes in staged files.
    pub(crate) fn bytes(&self) -> u64 {
        self.rows.values().map(|staging| staging.bytes()).sum()
    }

    /// Adds what a later statement staged. The answer is for [`Lake::discard`].
    #[must_use]
    pub(crate) fn append(&mut self, later: Self) -> Vec<Arc<Staging>> {
        let read = (self.reads_others(), later.reads_others());
        let gone = later.dropped.iter().filter_map(|table| self.rows.remove(table)).collect();
        for (id, staging) in later.rows {
            match self.rows.entry(id) {
                Entry::Occupied(mut known) => {
                    Arc::make_mut(known.get_mut()).extend(Arc::unwrap_or_clone(staging));
                }
                Entry::Vacant(place) => {
                    place.insert(staging);
                }
            }
        }
        self.objects.extend(later.objects);
        self.names = later.names.or(self.names.take());
        self.operation = if self.sql.is_empty() { later.operation } else { "transaction" };
        self.sql.extend(later.sql);
        self.columns = match read {
            (false, _) => later.columns,
            (true, false) => self.columns.take(),
            (true, true) => self.columns.take().zip(later.columns).map(|(known, more)| {
                known.into_iter().chain(more).collect::<BTreeSet<_>>().into_iter().collect()
            }),
        };
        self.deterministic = match (read, self.deterministic.zip(later.deterministic)) {
            ((false, _), _) => later.deterministic,
            ((true, false), _) => self.deterministic,
            ((true, true), both) => both.map(|(known, more)| known && more),
        };
        self.inputs.extend(later.inputs);
        self.base = later.base.or(self.base);
        gone
    }

    /// Deletes the files of rows that no commit took. Best effort: what stays is an orphan.
    pub(crate) async fn abandon(self, lake: &Lake) {
        for staging in self.rows.values() {
            lake.discard(staging).await;
        }
    }

    /// Commits everything under one number, planned on `base`.
    ///
    /// On an error nothing is changed and the files are gone, unless the outcome is unknown.
    pub(crate) async fn commit(
        mut self,
        lake: &Lake,
        identity: &Identity,
        base: Txn,
        caller: Caller,
        once: Option<Producer>,
    ) -> Result<Committed, Failure> {
        let mut tables = Vec::with_capacity(self.rows.len());
        let mut unsettled = None;
        for (table, staging) in &mut self.rows {
            if let Err(error) = lake.settle(&identity.scope, Arc::make_mut(staging)).await {
                unsettled = Some(error);
                break;
            }
            if !staging.is_empty() {
                let (ops, read) = staging.ops();
                tables.push(TableChange { table: *table, base, read, ops });
            }
        }
        if let Some(error) = unsettled {
            self.abandon(lake).await;
            return Err(Failure::Other(error.into()));
        }
        let commit = Commit {
            commit_id: lake.ids.uuid(),
            scope: identity.scope.clone(),
            producers: once.into_iter().chain(self.producers.iter().cloned()).collect(),
            facts: Facts {
                run: self.run(lake),
                code: self.code(),
                ..facts(caller, self.operation, &self.sql, &self.inputs)
            },
            tables,
            objects: self.objects.clone(),
        };
        match lake.catalog.apply(commit).await {
            Ok(committed) => {
                if committed.superseded {
                    self.abandon(lake).await;
                }
                Ok(committed)
            }
            Err(error) => {
                let error = self.named(error);
                if error.kind() != ErrorKind::Unavailable {
                    self.abandon(lake).await; // else the outcome may be unknown: the files may be needed
                }
                Err(Failure::Commit(error))
            }
        }
    }
}

impl Staged {
    /// The run that the commit makes: that of statements which read a table.
    fn run(&self, lake: &Lake) -> Option<RunOf> {
        let query = || RunOf::Query { id: lake.ids.uuid(), started: lake.clock.now() };
        self.run.or_else(|| (!self.inputs.is_empty()).then(query))
    }

    fn code(&self) -> Option<Code> {
        self.code.clone().or_else(|| {
            let code = code_of(&self.sql, &self.inputs, self.rows.keys().copied())?;
            Some(Code { columns: self.columns.clone(), deterministic: self.deterministic, ..code })
        })
    }

    /// The catalog knows what a commit changes by number only.
    fn named(&self, error: cenote_catalog::Error) -> cenote_catalog::Error {
        let cenote_catalog::Error::TableNotFound { name, nearest } = error else { return error };
        let staging = self.rows.iter().find(|(id, _)| id.to_string() == name);
        let name = staging.map_or(name, |(_, staging)| staging.table().full_name());
        cenote_catalog::Error::TableNotFound { name, nearest }
    }
}

/// Why a staging was not committed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The catalog refused it; of a conflict it says what to plan again.
    Commit(cenote_catalog::Error),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<cenote_catalog::Error> for Failure {
    fn from(error: cenote_catalog::Error) -> Self {
        Self::Commit(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Commit(error) => error.into(),
            Failure::Other(error) => error,
        }
    }
}

/// The ledger's mark of a client's key, with what is kept beside it.
pub(crate) fn client_producer(identity: &Identity, key: &str, state: Option<Vec<u8>>) -> Producer {
    Producer {
        name: format!("client/{}/{key}", identity.token.name),
        epoch: Epoch(1),
        fence: None,
        // What is there tells a key, which is forgotten after a day, from a producer whose epochs count.
        state: Some(state.unwrap_or_default().into()),
        tables: None,
    }
}

/// The lineage of a commit.
pub(crate) fn facts(
    caller: Caller,
    operation: &str,
    sql: &[String],
    inputs: &BTreeMap<TableId, Txn>,
) -> Facts {
    Facts {
        operation: operation.to_owned(),
        sql: (!sql.is_empty())
            .then(|| sql.iter().map(|text| without_data(text)).collect::<Vec<_>>().join(";\n")),
        caller,
        message: None,
        inputs: inputs
            .iter()
            .map(|(table, txn)| Input { node: table.to_string(), to: Some(txn.to_string()), from: None })
            .collect(),
        ..Facts::default()
    }
}

/// What made rows: the words of the statements, and what their names mean. Nothing for those that read no other table.
pub(crate) fn code_of(
    sql: &[String],
    inputs: &BTreeMap<TableId, Txn>,
    outputs: impl Iterator<Item = TableId>,
) -> Option<Code> {
    let outputs: Vec<TableId> = outputs.collect();
    if sql.is_empty() || inputs.keys().all(|input| outputs.contains(input)) {
        return None;
    }
    let words = sql.iter().flat_map(|sql| words(sql)).collect::<Vec<_>>();
    let objects = inputs.keys().copied().chain(outputs);
    Some(Code::new(sql.join(";\n"), words.iter().map(String::as_str), objects))
}

/// The names after a staged change of objects, for the statements that follow in the transaction.
pub(crate) fn with_table(names: &Names, table: &NewTable) -> Names {
    let mut names = names.clone();
    let (schema, tables) =
        names.schemas.entry(table.schema.clone()).or_insert_with(|| new_schema(&table.schema));
    tables.insert(table.name.clone(), Arc::new(definition(table, schema.id)));
    names
}

/// The names with a staged schema.
pub(crate) fn with_schema(names: &Names, name: &str) -> Names {
    let mut names = names.clone();
    names.schemas.entry(name.to_owned()).or_insert_with(|| new_schema(name));
    names
}

/// The names without a table or view.
pub(crate) fn without_table(names: &Names, table: &TableDef) -> Names {
    let mut names = names.clone();
    if let Some((_, tables)) = names.schemas.get_mut(&table.schema_name) {
        tables.remove(&table.name);
    }
    names
}

/// The names without a schema and what is in it.
pub(crate) fn without_schema(names: &Names, name: &str) -> Names {
    let mut names = names.clone();
    names.schemas.remove(name);
    names
}

/// The names with another definition of a table, which may have another name.
pub(crate) fn with_definition(names: &Names, old: &TableDef, new: TableDef) -> Names {
    let mut names = without_table(names, old);
    if let Some((_, tables)) = names.schemas.get_mut(&new.schema_name) {
        tables.insert(new.name.clone(), Arc::new(new));
    }
    names
}

fn new_schema(name: &str) -> (SchemaDef, BTreeMap<String, Arc<TableDef>>) {
    let schema = SchemaDef {
        id: SchemaId(0),
        uuid: uuid::Uuid::nil(),
        name: name.to_owned(),
        properties: BTreeMap::new(),
    };
    (schema, BTreeMap::new())
}

/// A new table as its writer sees it before it is committed.
pub(crate) fn definition(table: &NewTable, schema_id: SchemaId) -> TableDef {
    TableDef {
        id: table.id,
        uuid: table.uuid,
        schema_id,
        schema_name: table.schema.clone(),
        name: table.name.clone(),
        kind: table.kind.clone(),
        schema: Arc::new(table.columns.clone()),
        spec: table.spec.clone(),
        sort: table.sort.clone(),
        time_field: table.time_field,
        key_fields: table.key_fields.clone(),
        location: table.location.clone(),
        properties: table.properties.clone(),
        comment: table.comment.clone(),
        begin_txn: Txn(0),
    }
}
