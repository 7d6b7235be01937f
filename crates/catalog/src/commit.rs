//! The one way to change anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use cenote_datafile::DeletionVector;
use cenote_vocab::{
    Epoch, Fence, Field, FieldId, FieldType, FileId, Micros, PartitionSpec, SchemaId, Scope, SortOrder,
    TableId, TableSchema, Txn,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    AccessChange, Caller, ColumnEdge, DataFile, Evolution, FlowChange, NewFile, ReadSet, Region, SchemaDef,
    TableKind, TenantChange,
};

/// A change of one catalog: applied whole, under one number, or not at all.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The same for every offer of the same change: an outcome that was lost is found by it.
    pub commit_id: Uuid,
    /// The catalog.
    pub scope: Scope,
    /// Exactly-once marks; see [`Producer`].
    pub producers: Vec<Producer>,
    /// What made it.
    pub facts: Facts,
    /// Changes of rows and columns.
    pub tables: Vec<TableChange>,
    /// Changes of what exists.
    pub objects: Vec<ObjectChange>,
}

/// Who writes, and how far they are: a commit with an epoch at or below the stored one is a no-op for `tables`.
#[derive(Clone, Debug)]
pub struct Producer {
    /// `log/{node}/{table_id}`, `client/{principal}/{key}`, …
    pub name: String,
    /// Increases with every commit of this producer; gaps are fine.
    pub epoch: Epoch,
    /// As `Catalog::claim_producer` gave it; `None` for producers that need no claim (`client/…`).
    pub fence: Option<Fence>,
    /// Opaque; kept beside the epoch.
    pub state: Option<Bytes>,
    /// Tables whose changes are left out if the epoch is old; `None`: all of the commit.
    pub tables: Option<Vec<TableId>>,
}

/// Where a commit came from: its lineage, in the commit itself.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `ingest`, `insert`, `delete`, `create_table`, `compact`, …
    pub operation: String,
    /// The SQL text, if there was one.
    pub sql: Option<String>,
    /// Whose it is; the node's own work is nobody's.
    pub caller: Caller,
    /// Free text for people.
    pub message: Option<String>,
    /// What was read.
    pub inputs: Vec<Input>,
    /// What made rows of it; nothing if nothing was read.
    pub code: Option<Code>,
    /// The run that it is part of.
    pub run: Option<RunOf>,
}

/// A statement, or a script: what makes rows of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The same for the same words that mean the same objects.
    pub id: [u8; 32],
    /// As it was written.
    pub text: String,
    /// Which columns came of which; `None` if that is not known of all of them.
    pub columns: Option<Vec<ColumnEdge>>,
    /// False if it calls what answers differently each time, such as `random()`; `None` if that is not known.
    pub deterministic: Option<bool>,
}

impl Code {
    /// `words` without spaces and comments; `objects`: what its names mean.
    pub fn new<'a>(
        text: String,
        words: impl IntoIterator<Item = &'a str>,
        objects: impl IntoIterator<Item = TableId>,
    ) -> Self {
        let mut hash = Sha256::new();
        for word in words {
            hash.update((word.len() as u64).to_be_bytes());
            hash.update(word);
        }
        for object in objects {
            hash.update(object.0.to_be_bytes());
        }
        Self { id: hash.finalize().into(), text, columns: None, deterministic: None }
    }
}

/// The run that a commit is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOf {
    /// One that is there already.
    Open(Uuid),
    /// A statement that read and wrote: its run is made by the commit, ended already.
    Query {
        /// The run.
        id: Uuid,
        /// When the statement began.
        started: Micros,
    },
}

impl RunOf {
    /// The run.
    pub fn id(self) -> Uuid {
        match self {
            Self::Open(id) | Self::Query { id, .. } => id,
        }
    }
}

/// One thing that a commit read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// A table id in decimal, or `ingest:<protocol>`, or `ext:` and a URN.
    pub node: String,
    /// The snapshot that was read, or the end of the range.
    pub to: Option<String>,
    /// The start of the range.
    pub from: Option<String>,
}

/// What happens to one table.
#[derive(Clone, Debug)]
pub struct TableChange {
    /// The table.
    pub table: TableId,
    /// The snapshot that the change was planned on.
    pub base: Txn,
    /// What the change depends on having read.
    pub read: ReadSet,
    /// In order. `Rewrite` never stands beside others. An update is `DeleteRows` of kind `Update` and an `Append`.
    pub ops: Vec<Op>,
}

/// One act on a table.
#[derive(Clone, Debug)]
pub enum Op {
    /// New rows.
    Append {
        /// Uploaded already.
        files: Vec<NewFile>,
    },
    /// Rows of one file go.
    DeleteRows {
        /// The file.
        file: FileId,
        /// The vector that was seen when positions were chosen.
        seen: Option<Txn>,
        /// Newly deleted positions; merged with what is deleted by now.
        positions: DeletionVector,
        /// Whether the rows come back changed.
        kind: RowChange,
    },
    /// Whole files go.
    Retire {
        /// The files.
        files: Vec<FileId>,
        /// Why.
        kind: RetireKind,
    },
    /// What `filter` covers is exchanged for other rows.
    Replace {
        /// Every row that goes, and every row that must not have come meanwhile, lies in it.
        filter: Region,
        /// Files that go whole.
        retire: Vec<FileId>,
        /// Files that come.
        append: Vec<NewFile>,
    },
    /// The table is put back to what it was at a version; the change must have read all of it.
    Restore {
        /// The version, which is still kept.
        to: Txn,
        /// Files of the base that it did not have, or not with these deleted rows.
        retire: Vec<FileId>,
        /// Its files that the base does not have so: they come again under new ids, with the row ids that they had.
        files: Vec<Arc<DataFile>>,
    },
    /// The same rows in other files.
    Rewrite {
        /// Files that go, with the vector that was applied while reading them.
        inputs: Vec<RewriteInput>,
        /// Files that come.
        outputs: Vec<NewFile>,
    },
    /// Columns or options change.
    Alter(Alter),
}

/// What becomes of rows that leave a file by a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// They are gone: another who deletes them too has no quarrel.
    Delete,
    /// They are appended again, changed, by the same commit: nobody else may have touched them.
    Update,
}

/// Why files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetireKind {
    /// Their rows were deleted.
    Delete,
    /// Their rows are too old.
    Expire,
}

/// One file that a rewrite read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RewriteInput {
    /// The file.
    pub file: FileId,
    /// The vector that was applied.
    pub seen: Option<Txn>,
}

/// A change of a table's columns or options.
#[derive(Clone, Debug, PartialEq)]
pub enum Alter {
    /// New nullable columns at the end. A column that exists with the same type is left as it is if `if_not_exists`;
    /// with another type it is `ColumnConflict`.
    AddColumns {
        /// Names and types; ids are given by the commit.
        columns: Vec<(String, FieldType)>,
        /// Columns that are tags (new ones, or VARCHAR ones that become tags); appended to the option `tags` and the sort order.
        tags: Vec<String>,
        /// Tolerate columns that exist.
        if_not_exists: bool,
    },
    /// A column's type gets wider (`Unknown` to anything; BIGINT to DOUBLE where the files' statistics fit ±2^53; intN to larger).
    WidenColumn {
        /// The column.
        column: FieldId,
        /// The new type.
        field_type: FieldType,
    },
    /// Options; `None` takes one off.
    SetProperties(BTreeMap<String, Option<String>>),
    /// A change that was planned on the definition as of the base: if it has changed since, `CommitConflict`.
    Evolve(Evolution),
}

impl Alter {
    /// True if the values in files decide.
    pub(crate) fn needs_findings(&self) -> bool {
        match self {
            Self::WidenColumn { field_type, .. } => crate::evolution::type_needs_findings(field_type),
            Self::Evolve(evolution) => evolution.needs_findings(),
            Self::AddColumns { .. } | Self::SetProperties(_) => false,
        }
    }

    /// True if earlier partition specs and sort orders decide.
    pub(crate) fn needs_layouts(&self) -> bool {
        match self {
            Self::Evolve(evolution) => evolution.needs_layouts(),
            Self::AddColumns { .. } | Self::WidenColumn { .. } | Self::SetProperties(_) => false,
        }
    }
}

/// What somebody saw of an object that he changes only if it is still so.
#[derive(Clone, Debug)]
pub enum Expected {
    /// A table or view.
    Table {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
        /// The transaction that made its definition.
        begin: Txn,
    },
    /// A schema, its options included.
    Schema(SchemaDef),
}

/// A change of what exists.
#[derive(Clone, Debug)]
pub enum ObjectChange {
    /// Nothing, if an object is as it was seen; else the commit is refused. It stands before what it guards.
    Expect(Box<Expected>),
    /// `CREATE SCHEMA`
    CreateSchema {
        /// Checked name.
        name: String,
        /// No error if it exists.
        if_not_exists: bool,
    },
    /// `CREATE SCHEMA … WITH`, `ALTER SCHEMA … SET | RESET`
    SetSchemaOptions {
        /// Its name.
        name: String,
        /// Values that are set; `None`: the option goes.
        options: BTreeMap<String, Option<String>>,
    },
    /// `DROP SCHEMA`
    DropSchema {
        /// Its name.
        name: String,
        /// Also its tables.
        cascade: bool,
        /// No error if it is not there.
        if_exists: bool,
    },
    /// `CREATE TABLE`, `CREATE VIEW`
    CreateTable(Box<NewTable>),
    /// `DROP TABLE`, `DROP VIEW`
    DropTable {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
        /// No error if it is not there.
        if_exists: bool,
        /// Drop only if it is a view (`DROP VIEW`) or only if it is a table.
        view: bool,
    },
    /// `UNDROP TABLE`: the table of this name that was dropped last comes back as it was.
    UndropTable {
        /// Its schema.
        schema: String,
        /// Its name, which no other may have.
        name: String,
    },
    /// `ALTER TABLE … RENAME TO`, `SET SCHEMA`
    RenameTable {
        /// The table.
        table: TableId,
        /// The name of its schema then; `None`: it stays.
        schema: Option<String>,
        /// Its name then.
        name: String,
    },
    /// A change of assets and their runs.
    Flow(Box<FlowChange>),
    /// A change of roles and grants.
    Access(Box<AccessChange>),
    /// A change of tenants: only in the catalog of the operating one.
    Tenant(Box<TenantChange>),
}

/// A table to be created.
#[derive(Clone, Debug)]
pub struct NewTable {
    /// Reserved by `Catalog::reserve_table`, so that files can be written before the commit.
    pub id: TableId,
    /// Minted by the caller.
    pub uuid: Uuid,
    /// Name of its schema.
    pub schema: String,
    /// Checked name.
    pub name: String,
    /// Table or view.
    pub kind: TableKind,
    /// `no` = 1, field ids from 1.
    pub columns: TableSchema,
    /// `no` = 1 if partitioned, else 0.
    pub spec: PartitionSpec,
    /// `no` = 1 if sorted, else 0.
    pub sort: SortOrder,
    /// The time column.
    pub time_field: Option<FieldId>,
    /// Columns of the primary key, in order.
    pub key_fields: Vec<FieldId>,
    /// Below the storage root.
    pub location: String,
    /// Options.
    pub properties: BTreeMap<String, String>,
    /// `COMMENT`
    pub comment: Option<String>,
    /// No error, and no change, if the name is taken.
    pub if_not_exists: bool,
    /// Drop what has the name first (`OR REPLACE`).
    pub or_replace: bool,
}

impl NewTable {
    /// A table of these columns at its own place, and nothing more: no partitions, order, key or options.
    pub fn plain(
        tenant: &str,
        (id, uuid): (TableId, Uuid),
        (schema, name): (impl Into<String>, impl Into<String>),
        columns: TableSchema,
    ) -> Self {
        Self {
            id,
            uuid,
            schema: schema.into(),
            name: name.into(),
            kind: TableKind::Table,
            columns,
            spec: PartitionSpec::default(),
            sort: SortOrder::default(),
            time_field: None,
            key_fields: Vec::new(),
            location: cenote_store::table_location(tenant, uuid),
            properties: BTreeMap::new(),
            comment: None,
            if_not_exists: false,
            or_replace: false,
        }
    }
}

/// What came of a commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// Its number, or that of the first offer if `replayed`. A commit that changed nothing answers the head.
    pub txn: Txn,
    /// True if it was there already.
    pub replayed: bool,
    /// True if another commit of the same producer and epoch did it: the files of this one count nowhere. False if this very
    /// commit was there already, because an answer was lost: its files are the ones that count.
    pub superseded: bool,
    /// Rows that deletes and updates really took from where they were, after merging with concurrent deletes.
    pub deleted_rows: u64,
    /// Ids given to the columns of `AddColumns`, and other new fields, per table: the schema after the commit.
    pub schemas: BTreeMap<TableId, TableSchema>,
    /// Rewrites that were discarded because their inputs changed.
    pub discarded: Vec<TableId>,
    /// Ids of the schemas that were created.
    pub created_schemas: Vec<(String, SchemaId)>,
    /// Ids of the tables and views that were created.
    pub created_tables: Vec<TableId>,
}

impl Committed {
    /// The field of this name in the table's schema after the commit.
    pub fn field(&self, table: TableId, name: &str) -> Option<&Field> {
        self.schemas.get(&table).and_then(|schema| schema.field(name))
    }
}
