//! Tables for tests of the pure parts.

use std::sync::Arc;

use cenote_catalog::{TableDef, TableKind};
use cenote_vocab::{Field, FieldId, FieldType, SchemaId, TableId, TableSchema, Txn};

/// `default.t` with nullable columns of these names and types, ids from 1; neither partitioned nor sorted.
pub(crate) fn table<const N: usize>(columns: [(&str, FieldType); N]) -> TableDef {
    let field =
        |(id, (name, field_type)): (i32, (&str, FieldType))| Field::new(FieldId(id), name, field_type);
    let fields = (1..).zip(columns).map(field).collect();
    TableDef {
        id: TableId(1),
        uuid: uuid::Uuid::nil(),
        schema_id: SchemaId(1),
        schema_name: "default".to_owned(),
        name: "t".to_owned(),
        kind: TableKind::Table,
        schema: Arc::new(TableSchema { no: 1, fields }),
        spec: Default::default(),
        sort: Default::default(),
        time_field: None,
        key_fields: Vec::new(),
        location: "t".to_owned(),
        properties: Default::default(),
        comment: None,
        begin_txn: Txn(1),
    }
}
