//! What a transaction has staged, and how it becomes one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cenote_catalog::{
    Commit, Committed, Facts, Identity, Input, Names, NewTable, ObjectChange, Op, Producer, ReadSet,
    SchemaDef, TableChange, TableDef,
};
use cenote_table::{Lake, Written};
use cenote_vocab::{Epoch, ErrorKind, Fault, SchemaId, TableId, Txn};

use crate::Error;
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
    /// As they were at its beginning.
    pub(crate) settings: Settings,
    /// Settings of `SET LOCAL`, with what COMMIT puts back.
    pub(crate) local: BTreeMap<String, Option<String>>,
}

/// Changes that are not committed yet.
#[derive(Default)]
pub(crate) struct Staged {
    /// New rows, in files that are in the store.
    pub(crate) rows: Vec<(Arc<TableDef>, Written)>,
    pub(crate) objects: Vec<ObjectChange>,
    /// Names with the staged objects in them.
    pub(crate) names: Option<Arc<Names>>,
    /// Texts of the statements.
    pub(crate) sql: Vec<String>,
    pub(crate) operation: &'static str,
    /// Tables that were read, and at which snapshot.
    pub(crate) inputs: BTreeMap<TableId, Txn>,
}

impl Staged {
    /// True if nothing would be committed.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.objects.is_empty()
    }

    /// Tables with staged rows, and those that are only staged: they cannot be read before the commit.
    pub(crate) fn tables(&self) -> BTreeSet<TableId> {
        let created = self.objects.iter().filter_map(|change| match change {
            ObjectChange::CreateTable(table) => Some(table.id),
            _ => None,
        });
        self.rows.iter().map(|(table, _)| table.id).chain(created).collect()
    }

    /// Bytes in staged files.
    pub(crate) fn bytes(&self) -> u64 {
        self.rows.iter().flat_map(|(_, written)| written.clone().into_files()).map(|file| file.bytes).sum()
    }

    /// Adds what a later statement staged.
    pub(crate) fn append(&mut self, later: Self) {
        self.rows.extend(later.rows);
        self.objects.extend(later.objects);
        self.names = later.names.or(self.names.take());
        self.operation = if self.sql.is_empty() { later.operation } else { "transaction" };
        self.sql.extend(later.sql);
        self.inputs.extend(later.inputs);
    }

    /// Deletes the files of rows that no commit took. Best effort: what stays is an orphan.
    pub(crate) async fn abandon(self, lake: &Lake) {
        for (table, written) in self.rows {
            lake.abandon(&table, written).await;
        }
    }

    /// Commits everything under one number, planned on `base`.
    ///
    /// On an error nothing is changed and the files are gone, unless the outcome is unknown.
    pub(crate) async fn commit(
        self,
        lake: &Lake,
        identity: &Identity,
        base: Txn,
        request_id: Option<String>,
        idempotency_key: Option<String>,
    ) -> Result<Committed, Error> {
        let mut changes: BTreeMap<TableId, TableChange> = BTreeMap::new();
        for (table, written) in &self.rows {
            let change = changes.entry(table.id).or_insert_with(|| TableChange {
                table: table.id,
                base,
                read: ReadSet::None,
                ops: Vec::new(),
            });
            let files = written.clone().into_files();
            match change.ops.first_mut() {
                Some(Op::Append { files: known }) => known.extend(files),
                _ => change.ops.push(Op::Append { files }),
            }
        }
        let commit = Commit {
            commit_id: lake.ids.uuid(),
            scope: identity.scope.clone(),
            producers: idempotency_key.iter().map(|key| client_producer(identity, key)).collect(),
            facts: facts(identity, self.operation, &self.sql, &self.inputs, request_id),
            tables: changes.into_values().collect(),
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
                if error.kind() != ErrorKind::Unavailable {
                    self.abandon(lake).await; // else the outcome may be unknown: the files may be needed
                }
                Err(error.into())
            }
        }
    }
}

/// The ledger's name of a client's key.
fn client_producer(identity: &Identity, key: &str) -> Producer {
    Producer {
        name: format!("client/{}/{key}", identity.token.name),
        epoch: Epoch(1),
        fence: None,
        state: None,
        tables: None,
    }
}

/// The lineage of a commit.
pub(crate) fn facts(
    identity: &Identity,
    operation: &str,
    sql: &[String],
    inputs: &BTreeMap<TableId, Txn>,
    request_id: Option<String>,
) -> Facts {
    Facts {
        operation: operation.to_owned(),
        sql: (!sql.is_empty()).then(|| sql.join(";\n")),
        actor: Some(identity.token.name.clone()),
        request_id,
        message: None,
        inputs: inputs
            .iter()
            .map(|(table, txn)| Input { node: table.to_string(), to: Some(txn.to_string()), from: None })
            .collect(),
    }
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

fn new_schema(name: &str) -> (SchemaDef, BTreeMap<String, Arc<TableDef>>) {
    (SchemaDef { id: SchemaId(0), name: name.to_owned() }, BTreeMap::new())
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
