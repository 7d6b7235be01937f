//! Declared: what made rows of what.

use super::{Column, Table, Word, column, flag, id, int, name, nullable, text, uuid};

const fn hash(name: &'static str) -> Column {
    column(name, Word::Hash32)
}

/// Statements and scripts that read, each once.
pub(crate) const CODE: Table = Table::new(
    "cn_code",
    &[
        id("catalog_id"),
        hash("code_id"),
        text("text"),
        nullable(flag("deterministic")),
        name("soundness"),
        id("first_txn"),
    ],
    &["catalog_id", "code_id"],
)
.indexes(&[("first", &["catalog_id", "first_txn"])]);

/// Which column came of which, by the statement.
pub(crate) const COLUMN_EDGE: Table = Table::new(
    "cn_column_edge",
    &[
        id("catalog_id"),
        hash("code_id"),
        id("source_table_id"),
        int("source_field_id"),
        id("target_table_id"),
        int("target_field_id"),
        name("subtype"),
    ],
    &[
        "catalog_id",
        "code_id",
        "source_table_id",
        "source_field_id",
        "target_table_id",
        "target_field_id",
        "subtype",
    ],
);

/// What is read or written: tables by their ids, others by their URNs.
pub(crate) const NODE: Table = Table::new(
    "cn_node",
    &[id("catalog_id"), name("node_id"), name("kind"), id("first_txn"), id("last_txn")],
    &["catalog_id", "node_id"],
);

/// Rows of `target_id` were made of rows of `source_id`.
pub(crate) const EDGE: Table = Table::new(
    "cn_edge",
    &[
        id("catalog_id"),
        hash("edge_id"),
        name("source_id"),
        name("target_id"),
        nullable(hash("code_id")),
        name("edge_type"),
        id("first_txn"),
        id("last_txn"),
        id("commits"),
        id("rows_written"),
        nullable(uuid("last_run_id")),
        name("soundness"),
    ],
    &["catalog_id", "edge_id"],
)
.indexes(&[
    ("source", &["catalog_id", "source_id"]),
    ("target", &["catalog_id", "target_id"]),
    ("last", &["catalog_id", "last_txn"]),
]);
