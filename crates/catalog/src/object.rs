//! What exists: schemas, tables, views, as of one transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cenote_vocab::{Field, FieldId, PartitionSpec, SchemaId, SortOrder, TableId, TableSchema, Txn, nearest};
use uuid::Uuid;

use crate::{Error, Identity, Object, Privilege, authorize};

/// A schema of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaDef {
    /// Its id.
    pub id: SchemaId,
    /// Its public id, for ever.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Options that hold for its tables where they have none of their own: `history_keep`, `retention`.
    pub properties: BTreeMap<String, String>,
}

/// A table that holds rows, or a view that names a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Rows in files and buffer.
    Table,
    /// The text of its query, and the search path it was made under.
    View {
        /// SELECT …
        sql: String,
        /// Schema in which bare names are looked up.
        search_path: String,
    },
}

/// A table or view as of one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDef {
    /// Its id, for ever.
    pub id: TableId,
    /// Its public id, for ever.
    pub uuid: Uuid,
    /// The schema that it is in.
    pub schema_id: SchemaId,
    /// That schema's name.
    pub schema_name: String,
    /// Its name.
    pub name: String,
    /// Table or view.
    pub kind: TableKind,
    /// Current columns; of a view, its output columns (ids count from 1).
    pub schema: Arc<TableSchema>,
    /// How new files are partitioned.
    pub spec: PartitionSpec,
    /// How rows are sorted in new files.
    pub sort: SortOrder,
    /// The time column.
    pub time_field: Option<FieldId>,
    /// Columns of the primary key, in order; none: it has no key. Not enforced: a statement of fact.
    pub key_fields: Vec<FieldId>,
    /// Place of its objects below the storage root.
    pub location: String,
    /// Options (`WITH`), such as `dedup`; tags are the option `tags`, a comma list of column names in order.
    pub properties: BTreeMap<String, String>,
    /// `COMMENT`
    pub comment: Option<String>,
    /// The transaction that made this version of the row.
    pub begin_txn: Txn,
}

/// The property of a materialized view, and of the table with its rows, that names its pipeline; the option of the pipeline that
/// names that table.
pub const MATERIALIZED: &str = "materialized_view";
/// The property of the table with the rows of a materialized view that names the tables it reads, by id.
pub const MATERIALIZED_SOURCES: &str = "materialized_view.sources";

/// Begins the names of options that are labels.
pub const LABEL: &str = "label.";

impl TableDef {
    /// What somebody says of it, by name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().filter_map(|(name, value)| Some((name.strip_prefix(LABEL)?, value.as_str())))
    }

    /// The pipeline of a materialized view, or of the table with its rows.
    pub fn materialized(&self) -> Option<&str> {
        self.properties.get(MATERIALIZED).map(String::as_str)
    }

    /// Tag columns in order of first arrival; names that no column has are left out.
    pub fn tags(&self) -> impl Iterator<Item = &Field> {
        self.properties
            .get("tags")
            .into_iter()
            .flat_map(|tags| tags.split(','))
            .filter_map(|name| self.schema.field(name))
    }

    /// Option `row_lineage`: whether rows keep their ids when their files are rewritten.
    pub fn row_lineage(&self) -> bool {
        !self.properties.get("row_lineage").is_some_and(|value| matches!(value.as_str(), "false" | "off"))
    }

    /// Option `append_only`: whether rows stay as they came.
    pub fn append_only(&self) -> bool {
        self.properties.get("append_only").is_some_and(|value| matches!(value.as_str(), "true" | "on"))
    }

    /// Columns of the primary key, in order.
    pub fn key(&self) -> impl Iterator<Item = &Field> {
        self.key_fields.iter().filter_map(|id| self.schema.field_by_id(*id))
    }

    /// The time column.
    pub fn time_column(&self) -> Option<&Field> {
        self.time_field.and_then(|id| self.schema.field_by_id(id))
    }

    /// `schema.table`, for messages.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema_name, self.name)
    }

    /// As rights ask for it.
    pub fn object(&self) -> Object<'_> {
        Object::Table(&self.schema_name, &self.name)
    }

    /// True if somebody may know that it is there.
    pub fn is_known_to(&self, identity: &Identity) -> bool {
        authorize(identity, Privilege::Use, self.object())
    }
}

/// All names of one catalog as of one transaction; shared until a DDL commit makes the next.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The transaction of the last change of any object.
    pub ddl_txn: Txn,
    /// By schema name.
    pub schemas: BTreeMap<String, (SchemaDef, BTreeMap<String, Arc<TableDef>>)>,
}

impl Names {
    /// The table or view; the error carries the nearest name.
    pub fn table(&self, schema: &str, name: &str) -> Result<&Arc<TableDef>, Error> {
        let (_, tables) = self.schema(schema)?;
        tables.get(name).ok_or_else(|| Error::TableNotFound {
            name: name.to_owned(),
            nearest: nearest(name, tables.keys().map(String::as_str)).map(str::to_owned),
        })
    }

    /// A schema with its tables and views.
    pub fn schema(&self, name: &str) -> Result<&(SchemaDef, BTreeMap<String, Arc<TableDef>>), Error> {
        self.schemas.get(name).ok_or_else(|| Error::SchemaNotFound {
            name: name.to_owned(),
            nearest: nearest(name, self.schemas.keys().map(String::as_str)).map(str::to_owned),
        })
    }

    /// All tables and views, by schema and name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableDef>> {
        self.schemas.values().flat_map(|(_, tables)| tables.values())
    }

    /// The schema that a table is in, as far as it is there.
    pub fn schema_of(&self, table: &TableDef) -> Option<&SchemaDef> {
        self.schemas.get(&table.schema_name).map(|(schema, _)| schema)
    }

    /// By id; who asks for many asks [`TablesById`].
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<TableDef>> {
        self.tables().find(|table| table.id == id)
    }
}

/// The tables and views of some names, by what they keep when they are renamed.
#[derive(Debug)]
pub struct TablesById {
    names: Arc<Names>,
    by_id: HashMap<TableId, Arc<TableDef>>,
    by_uuid: HashMap<Uuid, TableId>,
}

impl TablesById {
    /// Goes through all names once.
    pub fn new(names: Arc<Names>) -> Self {
        let by_id = names.tables().map(|table| (table.id, table.clone())).collect();
        let by_uuid = names.tables().map(|table| (table.uuid, table.id)).collect();
        Self { names, by_id, by_uuid }
    }

    /// The names.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// The table of an id.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<TableDef>> {
        self.by_id.get(&id)
    }

    /// The table of a public id.
    pub fn table_of(&self, uuid: Uuid) -> Option<&Arc<TableDef>> {
        self.by_uuid.get(&uuid).and_then(|id| self.table_by_id(*id))
    }
}
