//! Declared: what exists.

use super::{Table, flag, id, int, name, nullable, text, uuid};

/// Schemas, by version.
pub(crate) const SCHEMA: Table = Table::new(
    "cn_schema",
    &[
        id("schema_id"),
        id("begin_txn"),
        id("end_txn"),
        id("catalog_id"),
        uuid("schema_uuid"),
        name("name"),
        nullable(text("location")),
        nullable(text("comment")),
        text("properties"),
    ],
    &["schema_id", "begin_txn"],
)
.unique(&[&["catalog_id", "name", "end_txn"]]);

/// Tables and views, by version: the whole row changes, so history is free.
pub(crate) const TABLE: Table = Table::new(
    "cn_table",
    &[
        id("table_id"),
        id("begin_txn"),
        id("end_txn"),
        id("catalog_id"),
        id("schema_id"),
        uuid("table_uuid"),
        name("name"),
        name("kind"),
        text("location"),
        int("schema_no"),
        int("spec_no"),
        int("sort_no"),
        nullable(int("time_field")),
        nullable(text("key_fields")),
        nullable(text("definition")),
        nullable(text("comment")),
        text("properties"),
        flag("hidden"),
        int("min_reader"),
        int("min_writer"),
    ],
    &["table_id", "begin_txn"],
)
.unique(&[&["catalog_id", "schema_id", "name", "end_txn"]]);

/// Counters of tables.
pub(crate) const TABLE_STATE: Table = Table::new(
    "cn_table_state",
    &[
        id("table_id"),
        id("catalog_id"),
        id("last_txn"),
        id("table_seq"),
        id("next_row_id"),
        int("next_field"),
        int("next_part_field"),
        id("next_partition"),
        id("live_files"),
        id("live_rows"),
        id("deleted_rows"),
        id("live_bytes"),
        int("inline_files"),
        id("inline_bytes"),
        int("other_files"),
        id("max_span_us"),
        id("history_floor"),
    ],
    &["table_id"],
)
.indexes(&[("catalog", &["catalog_id"])])
.hot();

/// When each schema number began.
pub(crate) const TABLE_SCHEMA: Table = Table::new(
    "cn_table_schema",
    &[id("table_id"), int("schema_no"), id("begin_txn")],
    &["table_id", "schema_no"],
);

/// Columns, from one schema number to before another.
pub(crate) const FIELD: Table = Table::new(
    "cn_field",
    &[
        id("table_id"),
        int("field_id"),
        int("begin_no"),
        int("end_no"),
        int("parent_id"),
        int("ordinal"),
        name("name"),
        text("type"),
        flag("required"),
        nullable(text("initial_default")),
        nullable(text("write_default")),
        nullable(text("comment")),
    ],
    &["table_id", "field_id", "begin_no"],
);

/// Parts of partition specs.
pub(crate) const SPEC_FIELD: Table = Table::new(
    "cn_spec_field",
    &[
        id("table_id"),
        int("spec_no"),
        int("ordinal"),
        int("part_field_id"),
        int("source_field"),
        name("name"),
        name("transform"),
    ],
    &["table_id", "spec_no", "ordinal"],
);

/// Columns of sort orders.
pub(crate) const SORT_FIELD: Table = Table::new(
    "cn_sort_field",
    &[
        id("table_id"),
        int("sort_no"),
        int("ordinal"),
        int("source_field"),
        name("transform"),
        flag("descending"),
        flag("nulls_first"),
    ],
    &["table_id", "sort_no", "ordinal"],
);
