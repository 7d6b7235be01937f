//! Rows that a group will write, gathered commit by commit.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cenote_datafile::DeletionVector;
use cenote_vocab::{
    Epoch, Field, FieldId, FileId, LIVE, Micros, PartitionId, PartitionSpec, SchemaId, SortOrder, TableId,
    TableSchema, Txn,
};
use uuid::Uuid;

use crate::{AccessChange, AuditRow, Facts, FlowChange, NewFile, SchemaDef, TableDef, TenantChange};

/// `end_no` of a column that is current.
pub(crate) const CURRENT_NO: i32 = i32::MAX;

/// A row of `cn_txn`, with its inputs.
#[derive(Clone, Debug)]
pub(crate) struct TxnRow {
    pub(crate) txn: Txn,
    pub(crate) committed: Micros,
    pub(crate) commit_id: Uuid,
    pub(crate) facts: Facts,
}

/// A row of `cn_table_txn`: what a transaction did to a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) table: TableId,
    pub(crate) txn: Txn,
    pub(crate) seq: i64,
    pub(crate) ops: i32,
    pub(crate) data_change: bool,
    pub(crate) schema_no: i32,
    pub(crate) base: Txn,
    pub(crate) added_files: i32,
    pub(crate) removed_files: i32,
    pub(crate) added_rows: i64,
    pub(crate) deleted_rows: i64,
    pub(crate) added_bytes: i64,
}

/// The row of `cn_inline` that comes with a file.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// None: its rows are in an object.
    None,
    /// A new one.
    New(Bytes),
    /// The same as that of another file of the table.
    Of(FileId),
}

/// A row of `cn_file`, of `cn_bounds` and of `cn_inline`.
#[derive(Clone, Debug)]
pub(crate) struct FileRow {
    pub(crate) table: TableId,
    pub(crate) id: FileId,
    pub(crate) begin: Txn,
    pub(crate) partition: PartitionId,
    pub(crate) row_id_start: i64,
    pub(crate) seq: i64,
    pub(crate) def: Arc<TableDef>,
    /// Columns by which the statistics are encoded.
    pub(crate) schema: Arc<TableSchema>,
    /// Without its payload.
    pub(crate) file: Arc<NewFile>,
    pub(crate) payload: Payload,
    pub(crate) origin: String,
}

/// A row of `cn_dv`.
#[derive(Clone, Debug)]
pub(crate) struct VectorRow {
    pub(crate) table: TableId,
    pub(crate) file: FileId,
    pub(crate) begin: Txn,
    pub(crate) end: Txn,
    pub(crate) vector: Arc<DeletionVector>,
}

/// A row of `cn_schema`.
#[derive(Clone, Debug)]
pub(crate) struct SchemaRow {
    pub(crate) schema: SchemaDef,
    pub(crate) begin: Txn,
    pub(crate) end: Txn,
}

/// A row of `cn_table`.
#[derive(Clone, Debug)]
pub(crate) struct TableRow {
    pub(crate) def: Arc<TableDef>,
    pub(crate) end: Txn,
}

/// A row of `cn_field`.
#[derive(Clone, Debug)]
pub(crate) struct FieldRow {
    pub(crate) table: TableId,
    pub(crate) begin_no: i32,
    pub(crate) end_no: i32,
    pub(crate) field: FlatField,
}

/// A column, or a field in one, without the fields in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FlatField {
    pub(crate) id: FieldId,
    pub(crate) parent: Option<FieldId>,
    /// Its place in its parent.
    pub(crate) ordinal: i32,
    pub(crate) name: String,
    /// As stored.
    pub(crate) field_type: String,
    pub(crate) required: bool,
    pub(crate) initial_default: Option<String>,
    pub(crate) write_default: Option<String>,
    pub(crate) comment: Option<String>,
}

impl FlatField {
    /// All of a schema.
    pub(crate) fn all(schema: &TableSchema) -> Vec<Self> {
        let mut ordinals: HashMap<Option<FieldId>, i32> = HashMap::new();
        let flat = |(field, parent): (&Field, Option<FieldId>)| {
            let next = ordinals.entry(parent).or_default();
            let ordinal = *next;
            *next += 1;
            Self {
                id: field.id,
                parent,
                ordinal,
                name: field.name.clone(),
                field_type: field.field_type.to_string(),
                required: field.required,
                initial_default: field.initial_default.clone(),
                write_default: field.write_default.as_ref().map(ToString::to_string),
                comment: field.comment.clone(),
            }
        };
        schema.all_fields().into_iter().map(flat).collect()
    }
}

/// A row of `cn_event`: what happened to an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EventRow {
    pub(crate) txn: Txn,
    /// Its place in the commit.
    pub(crate) n: i64,
    /// Object and verb.
    pub(crate) kind: &'static str,
    pub(crate) object_type: &'static str,
    pub(crate) object_id: String,
    pub(crate) schema: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) payload: Option<serde_json::Value>,
}

/// Everything that a commit, or a group, writes besides counters, ledger standings and the head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes {
    pub(crate) txns: Vec<TxnRow>,
    pub(crate) tallies: Vec<Tally>,
    pub(crate) files: Vec<FileRow>,
    pub(crate) file_ends: Vec<(TableId, FileId, Txn)>,
    pub(crate) vectors: Vec<VectorRow>,
    /// (table, file, begin, end)
    pub(crate) vector_ends: Vec<(TableId, FileId, Txn, Txn)>,
    pub(crate) schemas: Vec<SchemaRow>,
    pub(crate) schema_ends: Vec<(SchemaId, Txn)>,
    pub(crate) tables: Vec<TableRow>,
    pub(crate) table_ends: Vec<(TableId, Txn)>,
    pub(crate) table_schemas: Vec<(TableId, i32, Txn)>,
    pub(crate) fields: Vec<FieldRow>,
    /// (table, field, end_no)
    pub(crate) field_ends: Vec<(TableId, FieldId, i32)>,
    pub(crate) specs: Vec<(TableId, PartitionSpec)>,
    pub(crate) sorts: Vec<(TableId, SortOrder)>,
    pub(crate) epochs: Vec<(String, Epoch, Txn)>,
    /// What commits say of assets and runs, in order.
    pub(crate) flow: Vec<(Txn, FlowChange)>,
    /// What commits say of roles and grants, in order.
    pub(crate) access: Vec<(Txn, AccessChange)>,
    /// What commits say of tenants, in order.
    pub(crate) tenants: Vec<(Txn, TenantChange)>,
    /// What commits did to objects and grants, for the audit.
    pub(crate) audit: Vec<AuditRow>,
    pub(crate) events: Vec<EventRow>,
}

impl Writes {
    /// Adds what a later commit of the group writes; versions that are not stored yet are ended here, in memory.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.flow.extend(later.flow);
        self.access.extend(later.access);
        self.tenants.extend(later.tenants);
        self.audit.extend(later.audit);
        self.events.extend(later.events);
        for (table, file, begin, end) in later.vector_ends {
            let pending = self
                .vectors
                .iter_mut()
                .rev()
                .find(|row| (row.table, row.file, row.begin) == (table, file, begin));
            match pending {
                Some(row) => row.end = end,
                None => self.vector_ends.push((table, file, begin, end)),
            }
        }
        for (schema, end) in later.schema_ends {
            match self.schemas.iter_mut().find(|row| row.schema.id == schema && row.end == LIVE) {
                Some(row) => row.end = end,
                None => self.schema_ends.push((schema, end)),
            }
        }
        for (table, end) in later.table_ends {
            match self.tables.iter_mut().find(|row| row.def.id == table && row.end == LIVE) {
                Some(row) => row.end = end,
                None => self.table_ends.push((table, end)),
            }
        }
        for (table, field, end_no) in later.field_ends {
            let pending =
                |row: &&mut FieldRow| row.table == table && row.field.id == field && row.end_no == CURRENT_NO;
            match self.fields.iter_mut().find(pending) {
                Some(row) => row.end_no = end_no,
                None => self.field_ends.push((table, field, end_no)),
            }
        }
        self.txns.extend(later.txns);
        self.tallies.extend(later.tallies);
        self.files.extend(later.files);
        self.file_ends.extend(later.file_ends);
        self.vectors.extend(later.vectors);
        self.schemas.extend(later.schemas);
        self.tables.extend(later.tables);
        self.table_schemas.extend(later.table_schemas);
        self.fields.extend(later.fields);
        self.specs.extend(later.specs);
        self.sorts.extend(later.sorts);
        self.epochs.extend(later.epochs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_not_stored_yet_is_ended_in_memory() {
        let row = |begin, end| VectorRow {
            table: TableId(1),
            file: FileId(2),
            begin: Txn(begin),
            end,
            vector: Arc::default(),
        };
        let mut writes = Writes { vectors: vec![row(5, LIVE)], ..Writes::default() };
        writes.absorb(Writes {
            vectors: vec![row(6, LIVE)],
            vector_ends: vec![
                (TableId(1), FileId(2), Txn(5), Txn(6)),
                (TableId(1), FileId(3), Txn(1), Txn(6)),
            ],
            ..Writes::default()
        });
        let versions: Vec<(Txn, Txn)> = writes.vectors.iter().map(|row| (row.begin, row.end)).collect();
        assert_eq!(versions, [(Txn(5), Txn(6)), (Txn(6), LIVE)]);
        assert_eq!(
            writes.vector_ends,
            [(TableId(1), FileId(3), Txn(1), Txn(6))],
            "the stored one is ended in the database"
        );
    }
}
