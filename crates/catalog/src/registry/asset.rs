//! Declared: assets, what makes them run, and the tasks of their runs.

use super::{Column, Table, Word, bytes, column, flag, id, int, name, nullable, text, time, uuid};

const fn hash(name: &'static str) -> Column {
    column(name, Word::Hash32)
}

/// Tables with the recipes that fill them. An asset has the name of its table.
pub(crate) const ASSET: Table = Table::new(
    "cn_asset",
    &[
        id("catalog_id"),
        uuid("asset_id"),
        id("table_id"),
        name("kind"),
        id("owner"),
        text("search_path"),
        text("query"),
        text("spec"),
        hash("code_id"),
        flag("paused"),
        time("created_us"),
        id("version"),
    ],
    &["catalog_id", "asset_id"],
)
.unique(&[&["catalog_id", "table_id"]]);

/// Tables that the query of an asset reads.
pub(crate) const ASSET_DEP: Table = Table::new(
    "cn_asset_dep",
    &[id("catalog_id"), uuid("asset_id"), id("upstream_id")],
    &["catalog_id", "asset_id", "upstream_id"],
)
.indexes(&[("upstream", &["catalog_id", "upstream_id"])]);

/// What an asset has: its last success, and its last attempt beside it.
pub(crate) const ASSET_PARTITION: Table = Table::new(
    "cn_asset_partition",
    &[
        id("catalog_id"),
        uuid("asset_id"),
        text("partition_key"),
        nullable(uuid("run_id")),
        nullable(id("txn")),
        nullable(hash("code_id")),
        nullable(id("row_count")),
        nullable(time("at_us")),
        uuid("last_run_id"),
        name("last_outcome"),
        time("last_at_us"),
    ],
    &["catalog_id", "asset_id", "partition_key"],
);

/// What the last success of an asset read.
pub(crate) const ASSET_INPUT: Table = Table::new(
    "cn_asset_input",
    &[id("catalog_id"), uuid("asset_id"), text("partition_key"), id("upstream_id"), id("txn")],
    &["catalog_id", "asset_id", "partition_key", "upstream_id"],
);

/// What makes runs by itself.
pub(crate) const TRIGGER: Table = Table::new(
    "cn_trigger",
    &[
        id("catalog_id"),
        uuid("trigger_id"),
        uuid("asset_id"),
        name("kind"),
        text("spec"),
        name("state"),
        nullable(id("cursor_txn")),
        nullable(time("next_us")),
        id("version"),
    ],
    &["catalog_id", "trigger_id"],
)
.indexes(&[("asset", &["catalog_id", "asset_id"]), ("due", &["catalog_id", "next_us"])]);

/// Every time that a trigger was due, or looked, and what came of it.
pub(crate) const TICK: Table = Table::new(
    "cn_tick",
    &[
        id("catalog_id"),
        uuid("trigger_id"),
        name("tick_key"),
        nullable(time("scheduled_us")),
        name("status"),
        nullable(text("reason")),
        nullable(text("conditions")),
        nullable(uuid("run_id")),
        time("at_us"),
    ],
    &["catalog_id", "trigger_id", "tick_key"],
)
.indexes(&[("at", &["catalog_id", "at_us"])]);

/// What tasks did, each recipe once: as it was when they succeeded.
pub(crate) const RECIPE: Table = Table::new(
    "cn_recipe",
    &[id("catalog_id"), hash("recipe_id"), text("recipe")],
    &["catalog_id", "recipe_id"],
);

/// Files of rows that a check kept out of their table; kept for a while.
pub(crate) const STAGED: Table = Table::new(
    "cn_staged",
    &[
        id("catalog_id"),
        uuid("run_id"),
        text("task_key"),
        id("n"),
        id("table_id"),
        text("path"),
        nullable(text("object_path")),
        nullable(column("path_hash", Word::Hash)),
        id("row_count"),
        id("size_bytes"),
        id("footer_bytes"),
        int("schema_no"),
        flag("row_ids_stored"),
        nullable(bytes("payload")),
        time("expires_us"),
    ],
    &["catalog_id", "run_id", "task_key", "n"],
)
.indexes(&[("path", &["path_hash"]), ("expires", &["catalog_id", "expires_us"])])
.large_rows();

/// Keys by which a run is asked for once.
pub(crate) const RUN_KEY: Table = Table::new(
    "cn_run_key",
    &[id("catalog_id"), name("run_key"), uuid("run_id"), hash("request_hash")],
    &["catalog_id", "run_key"],
);

/// Steps of runs.
pub(crate) const TASK: Table = Table::new(
    "cn_task",
    &[
        id("catalog_id"),
        uuid("run_id"),
        text("task_key"),
        uuid("task_id"),
        uuid("asset_id"),
        nullable(text("partitions")),
        name("state"),
        int("attempt"),
        int("deaths"),
        nullable(uuid("attempt_id")),
        nullable(uuid("executor")),
        nullable(id("fence")),
        int("priority"),
        nullable(time("not_before_us")),
        text("reason"),
        nullable(text("error")),
        nullable(name("category")),
        nullable(id("output_txn")),
        nullable(id("row_count")),
        nullable(text("skip_upstream")),
        nullable(name("skip_resolution")),
        time("created_us"),
        nullable(time("ready_us")),
        nullable(time("started_us")),
        nullable(time("completed_us")),
        nullable(hash("code_id")),
        nullable(hash("recipe_id")),
        nullable(column("output_hash", Word::Hash)),
    ],
    &["catalog_id", "run_id", "task_key"],
)
.unique(&[&["catalog_id", "task_id"]])
.indexes(&[("state", &["catalog_id", "state", "priority"]), ("asset", &["catalog_id", "asset_id", "state"])]);

/// Which task of a run waits for which.
pub(crate) const TASK_DEP: Table = Table::new(
    "cn_task_dep",
    &[id("catalog_id"), uuid("run_id"), text("upstream"), text("downstream"), nullable(name("resolution"))],
    &["catalog_id", "run_id", "upstream", "downstream"],
);

/// Every time that a task was begun.
pub(crate) const ATTEMPT: Table = Table::new(
    "cn_attempt",
    &[
        id("catalog_id"),
        uuid("attempt_id"),
        uuid("run_id"),
        uuid("task_id"),
        int("attempt"),
        uuid("executor"),
        time("started_us"),
        nullable(time("completed_us")),
        nullable(name("outcome")),
        nullable(name("category")),
        nullable(text("message")),
    ],
    &["catalog_id", "attempt_id"],
)
.indexes(&[("task", &["catalog_id", "task_id"]), ("run", &["catalog_id", "run_id"])]);

/// Rules that rows of a table are tested by before they are published.
pub(crate) const CHECK: Table = Table::new(
    "cn_check",
    &[
        id("catalog_id"),
        uuid("check_id"),
        id("table_id"),
        name("name"),
        name("severity"),
        name("scope"),
        text("rule"),
        text("search_path"),
        time("created_us"),
        id("version"),
    ],
    &["catalog_id", "check_id"],
)
.unique(&[&["catalog_id", "table_id", "name"]]);

/// What checks said.
pub(crate) const CHECK_RESULT: Table = Table::new(
    "cn_check_result",
    &[
        id("catalog_id"),
        uuid("check_id"),
        uuid("attempt_id"),
        uuid("run_id"),
        text("task_key"),
        time("at_us"),
        id("txn"),
        flag("passed"),
        name("severity"),
        nullable(text("value")),
        nullable(text("message")),
    ],
    &["catalog_id", "check_id", "attempt_id"],
)
.indexes(&[("run", &["catalog_id", "run_id"])]);
