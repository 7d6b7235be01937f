//! Declared: the root of everything, and the history.

use super::{Table, Word, column, flag, id, int, name, nullable, text, time, uuid};

/// Facts about the database itself.
pub(crate) const META: Table = Table::new("cn_meta", &[name("name"), text("value")], &["name"]);

/// Catalogs, each of one tenant.
pub(crate) const CATALOG: Table = Table::new(
    "cn_catalog",
    &[
        id("catalog_id"),
        name("tenant"),
        name("name"),
        uuid("catalog_uuid"),
        text("data_root"),
        text("options"),
        time("created_us"),
        nullable(text("description")),
        nullable(time("state_us")),
        nullable(id("changed_txn")),
    ],
    &["catalog_id"],
)
.unique(&[&["tenant", "name"]]);

/// The newest state of each catalog; every change locks its row first. `state`: of its tenant, NULL while it is active.
pub(crate) const HEAD: Table = Table::new(
    "cn_head",
    &[
        id("catalog_id"),
        id("txn"),
        time("committed_us"),
        id("ddl_txn"),
        id("next_object"),
        id("next_file"),
        nullable(name("state")),
    ],
    &["catalog_id"],
)
.hot();

/// Transactions: dense numbers per catalog.
pub(crate) const TXN: Table = Table::new(
    "cn_txn",
    &[
        id("catalog_id"),
        id("txn"),
        time("committed_us"),
        uuid("commit_id"),
        name("operation"),
        nullable(uuid("run_id")),
        nullable(name("task_key")),
        nullable(column("code_id", Word::Hash32)),
        nullable(name("actor")),
        nullable(name("request_id")),
        nullable(text("message")),
        nullable(text("extra")),
    ],
    &["catalog_id", "txn"],
)
.unique(&[&["commit_id"]])
.indexes(&[("time", &["catalog_id", "committed_us"])]);

/// What transactions read.
pub(crate) const TXN_INPUT: Table = Table::new(
    "cn_txn_input",
    &[
        id("catalog_id"),
        id("txn"),
        int("n"),
        name("node"),
        nullable(text("from_pos")),
        nullable(text("to_pos")),
        nullable(text("partitions")),
        nullable(id("file_count")),
        nullable(id("row_count")),
        nullable(id("byte_count")),
    ],
    &["catalog_id", "txn", "n"],
);

/// What keeps history: tags have a name and keep one version, holds keep all from one on. Table 0: all of the catalog.
pub(crate) const HOLD: Table = Table::new(
    "cn_hold",
    &[
        uuid("hold_id"),
        id("catalog_id"),
        id("table_id"),
        nullable(name("name")),
        id("txn"),
        flag("from_here"),
        name("holder"),
        nullable(time("expires_us")),
    ],
    &["hold_id"],
)
.unique(&[&["catalog_id", "table_id", "name"]]);

/// What transactions did to tables.
pub(crate) const TABLE_TXN: Table = Table::new(
    "cn_table_txn",
    &[
        id("table_id"),
        id("txn"),
        id("catalog_id"),
        id("table_seq"),
        int("ops"),
        flag("data_change"),
        int("schema_no"),
        id("base_txn"),
        int("added_files"),
        int("removed_files"),
        id("added_rows"),
        id("deleted_rows"),
        id("added_bytes"),
        nullable(id("foreign_id")),
        nullable(text("summary")),
    ],
    &["table_id", "txn"],
)
.unique(&[&["table_id", "table_seq"], &["table_id", "foreign_id"]])
.indexes(&[("catalog", &["catalog_id", "txn"])]);
