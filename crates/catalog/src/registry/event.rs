//! Declared: what happened to what exists, and how the feed reads it beside the commits of rows.

use super::{Table, id, name, nullable, text};

/// Changes of objects, as the commits told them. Commits of rows are not stored again: the history of tables tells them.
pub(crate) const EVENT: Table = Table::new(
    "cn_event",
    &[
        id("catalog_id"),
        id("txn"),
        id("n"),
        name("kind"),
        name("object_type"),
        name("object_id"),
        nullable(name("schema_name")),
        nullable(name("name")),
        nullable(text("payload")),
    ],
    &["catalog_id", "txn", "n"],
);

/// Changes of objects, in the columns of the feed. `e` is the row, `x` its transaction.
macro_rules! told {
    ($then:literal) => {
        concat!(
            "SELECT e.txn AS txn, e.n AS n, x.committed_us AS at, e.kind AS kind, e.object_type AS object_type, \
             e.object_id AS object_id, e.schema_name AS schema_name, e.name AS name, x.operation AS operation, \
             x.actor AS actor, x.request_id AS request_id, x.run_id AS run_id, e.payload AS payload \
             FROM cn_event e JOIN cn_txn x ON x.catalog_id = e.catalog_id AND x.txn = e.txn ",
            $then
        )
    };
}

/// Commits of rows, in the same columns. `c` is the row; the names are those of then. Within a transaction they stand behind all
/// changes of objects, by object number.
macro_rules! committed {
    ($then:literal) => {
        concat!(
            "SELECT c.txn AS txn, 1000000 + c.table_id - c.catalog_id * 4294967296 AS n, x.committed_us AS at, \
             'table.committed' AS kind, 'table' AS object_type, CAST(c.table_id AS TEXT) AS object_id, \
             s.name AS schema_name, t.name AS name, x.operation AS operation, x.actor AS actor, \
             x.request_id AS request_id, x.run_id AS run_id, \
             '{\"data_change\":' || CASE c.data_change WHEN 1 THEN 'true' ELSE 'false' END \
             || ',\"files_added\":' || CAST(c.added_files AS TEXT) \
             || ',\"files_removed\":' || CAST(c.removed_files AS TEXT) \
             || ',\"rows_added\":' || CAST(c.added_rows AS TEXT) \
             || ',\"rows_deleted\":' || CAST(c.deleted_rows AS TEXT) || '}' AS payload \
             FROM cn_table_txn c JOIN cn_txn x ON x.catalog_id = c.catalog_id AND x.txn = c.txn \
             LEFT JOIN cn_table t ON t.table_id = c.table_id AND t.begin_txn <= c.txn AND t.end_txn > c.txn \
             LEFT JOIN cn_schema s ON s.schema_id = t.schema_id AND s.begin_txn <= c.txn AND s.end_txn > c.txn ",
            $then
        )
    };
}

pub(crate) use {committed, told};
