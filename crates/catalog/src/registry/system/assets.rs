//! What `system.flow` shows of assets, and of the tasks of their runs.

use super::{SystemTable, boolean, integer, text, time};

/// Assets with what they have; of one with partitions, the one that was tried last. One is stale if its code is another than
/// that of its rows, or if something that it read has changed since: of partitions that read partitions, those with the same
/// key.
const ASSETS: &str = "SELECT a.asset_id, s.name, t.name, a.kind, CASE WHEN a.paused = 1 THEN 'PAUSED' ELSE 'ACTIVE' END, \
    CASE WHEN EXISTS (SELECT 1 FROM cn_task k WHERE k.catalog_id = a.catalog_id AND k.asset_id = a.asset_id \
    AND k.state IN ('BLOCKED', 'READY', 'WAITING', 'RUNNING')) THEN 'running' \
    WHEN EXISTS (SELECT 1 FROM cn_asset_partition f WHERE f.catalog_id = a.catalog_id AND f.asset_id = a.asset_id \
    AND f.last_outcome = 'FAILED') THEN 'failed' WHEN NOT EXISTS (SELECT 1 FROM cn_asset_partition f \
    WHERE f.catalog_id = a.catalog_id AND f.asset_id = a.asset_id AND f.txn IS NOT NULL) THEN 'missing' \
    WHEN EXISTS (SELECT 1 FROM cn_asset_partition f WHERE f.catalog_id = a.catalog_id AND f.asset_id = a.asset_id \
    AND f.code_id <> a.code_id) THEN 'stale' \
    WHEN EXISTS (SELECT 1 FROM cn_asset_input i LEFT JOIN cn_asset u ON u.catalog_id = i.catalog_id \
    AND u.table_id = i.upstream_id AND u.spec LIKE '%\"partition\"_{%' AND a.spec LIKE '%\"partition\"_{%' \
    WHERE i.catalog_id = a.catalog_id AND i.asset_id = a.asset_id AND i.upstream_id <> a.table_id \
    AND (CASE WHEN u.asset_id IS NULL THEN (SELECT MAX(c.txn) FROM cn_table_txn c WHERE c.table_id = i.upstream_id \
    AND c.data_change = 1) ELSE (SELECT q.txn FROM cn_asset_partition q WHERE q.catalog_id = u.catalog_id \
    AND q.asset_id = u.asset_id AND q.partition_key = i.partition_key) END) > i.txn) THEN 'stale' ELSE 'fresh' END, \
    a.query, a.spec, a.code_id, (SELECT MIN(g.spec) FROM cn_trigger g WHERE g.catalog_id = a.catalog_id \
    AND g.asset_id = a.asset_id AND g.kind = 'schedule'), \
    p.run_id, p.txn, p.row_count, p.at_us, p.last_run_id, p.last_outcome, p.last_at_us, \
    (SELECT MIN(g.next_us) FROM cn_trigger g WHERE g.catalog_id = a.catalog_id AND g.asset_id = a.asset_id), \
    k.name, a.created_us, a.version FROM cn_asset a \
    LEFT JOIN cn_table t ON t.table_id = a.table_id AND t.end_txn = 9223372036854775807 \
    LEFT JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
    LEFT JOIN cn_asset_partition p ON p.catalog_id = a.catalog_id AND p.asset_id = a.asset_id \
    AND p.partition_key = (SELECT l.partition_key FROM cn_asset_partition l WHERE l.catalog_id = a.catalog_id \
    AND l.asset_id = a.asset_id ORDER BY l.last_at_us DESC, l.partition_key DESC LIMIT 1) LEFT JOIN cn_token k ON k.catalog_id = a.catalog_id AND k.token_id = a.owner \
    WHERE a.catalog_id = :catalog ORDER BY s.name, t.name";

/// Behind the columns of a row `x` that names an asset: its name.
macro_rules! of_asset {
    ($columns:literal, $from:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $from,
            " LEFT JOIN cn_asset a ON a.catalog_id = x.catalog_id AND a.asset_id = x.asset_id \
             LEFT JOIN cn_table t ON t.table_id = a.table_id AND t.end_txn = 9223372036854775807 \
             LEFT JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
             WHERE x.catalog_id = :catalog ORDER BY ",
            $order
        )
    };
}

/// All of them.
pub(super) const TABLES: &[SystemTable] = &[
    SystemTable {
        name: "flow.assets",
        columns: &[
            text("asset_id"),
            text("schema_name"),
            text("table_name"),
            text("kind"),
            text("state"),
            text("status"),
            text("query"),
            text("spec"),
            text("code_id"),
            text("schedule"),
            text("run_id"),
            integer("output_txn"),
            integer("row_count"),
            time("last_materialized_at"),
            text("last_run_id"),
            text("last_outcome"),
            time("last_attempt_at"),
            time("next_at"),
            text("owner"),
            time("created_at"),
            integer("version"),
        ],
        private: false,
        query: ASSETS,
    },
    SystemTable {
        name: "flow.asset_deps",
        columns: &[
            text("asset_id"),
            text("schema_name"),
            text("table_name"),
            integer("upstream_id"),
            text("upstream"),
        ],
        private: false,
        query: of_asset!(
            "x.asset_id, s.name, t.name, x.upstream_id, (SELECT us.name || '.' || ut.name FROM cn_table ut \
             JOIN cn_schema us ON us.schema_id = ut.schema_id AND us.end_txn = 9223372036854775807 \
             WHERE ut.table_id = x.upstream_id AND ut.end_txn = 9223372036854775807)",
            "cn_asset_dep x",
            "s.name, t.name, x.upstream_id"
        ),
    },
    SystemTable {
        name: "flow.asset_partitions",
        columns: &[
            text("asset_id"),
            text("schema_name"),
            text("table_name"),
            text("partition_key"),
            text("run_id"),
            integer("txn"),
            text("code_id"),
            integer("row_count"),
            time("materialized_at"),
            text("last_run_id"),
            text("last_outcome"),
            time("last_attempt_at"),
        ],
        private: false,
        query: of_asset!(
            "x.asset_id, s.name, t.name, x.partition_key, x.run_id, x.txn, x.code_id, x.row_count, x.at_us, \
             x.last_run_id, x.last_outcome, x.last_at_us",
            "cn_asset_partition x",
            "s.name, t.name, x.partition_key"
        ),
    },
    SystemTable {
        name: "flow.triggers",
        columns: &[
            text("trigger_id"),
            text("schema_name"),
            text("table_name"),
            text("kind"),
            text("spec"),
            text("state"),
            integer("cursor_txn"),
            time("next_at"),
            integer("version"),
        ],
        private: false,
        query: of_asset!(
            "x.trigger_id, s.name, t.name, x.kind, x.spec, x.state, x.cursor_txn, x.next_us, x.version",
            "cn_trigger x",
            "s.name, t.name, x.kind"
        ),
    },
    SystemTable {
        name: "flow.ticks",
        columns: &[
            text("trigger_id"),
            text("schema_name"),
            text("table_name"),
            text("tick_key"),
            time("scheduled_for"),
            text("status"),
            text("reason"),
            text("conditions"),
            text("run_id"),
            time("at"),
        ],
        private: false,
        query: of_asset!(
            "k.trigger_id, s.name, t.name, k.tick_key, k.scheduled_us, k.status, k.reason, k.conditions, k.run_id, k.at_us",
            "cn_tick k JOIN cn_trigger x ON x.catalog_id = k.catalog_id AND x.trigger_id = k.trigger_id",
            "k.at_us, k.tick_key"
        ),
    },
    SystemTable {
        name: "flow.tasks",
        columns: &[
            text("run_id"),
            text("task_key"),
            text("task_id"),
            text("asset_id"),
            text("schema_name"),
            text("table_name"),
            text("partitions"),
            text("state"),
            integer("attempt"),
            integer("deaths"),
            integer("priority"),
            time("not_before"),
            text("reason"),
            text("error"),
            text("category"),
            integer("output_txn"),
            integer("row_count"),
            text("skip_upstream"),
            text("skip_resolution"),
            time("created_at"),
            time("started_at"),
            time("completed_at"),
            integer("run_txn"),
        ],
        private: false,
        query: of_asset!(
            "x.run_id, x.task_key, x.task_id, x.asset_id, s.name, t.name, x.partitions, x.state, x.attempt, x.deaths, x.priority, \
             x.not_before_us, x.reason, x.error, x.category, x.output_txn, x.row_count, x.skip_upstream, x.skip_resolution, \
             x.created_us, x.started_us, x.completed_us, r.output_txn",
            "cn_task x JOIN cn_run r ON r.catalog_id = x.catalog_id AND r.run_id = x.run_id",
            "x.created_us, x.run_id, x.task_key"
        ),
    },
    SystemTable {
        name: "flow.task_deps",
        columns: &[text("run_id"), text("upstream"), text("downstream"), text("resolution")],
        private: false,
        query: "SELECT run_id, upstream, downstream, resolution FROM cn_task_dep WHERE catalog_id = :catalog \
                ORDER BY run_id, upstream, downstream",
    },
    SystemTable {
        name: "flow.attempts",
        columns: &[
            text("attempt_id"),
            text("run_id"),
            text("task_id"),
            text("task_key"),
            integer("attempt"),
            text("executor"),
            time("started_at"),
            time("completed_at"),
            text("outcome"),
            text("category"),
            text("message"),
        ],
        private: false,
        query: "SELECT b.attempt_id, b.run_id, b.task_id, k.task_key, b.attempt, b.executor, b.started_us, b.completed_us, \
                b.outcome, b.category, b.message FROM cn_attempt b \
                LEFT JOIN cn_task k ON k.catalog_id = b.catalog_id AND k.task_id = b.task_id \
                WHERE b.catalog_id = :catalog ORDER BY b.started_us, b.attempt_id",
    },
    SystemTable {
        name: "flow.checks",
        columns: &[
            text("check_id"),
            text("schema_name"),
            text("table_name"),
            text("name"),
            text("severity"),
            text("scope"),
            text("rule"),
            time("created_at"),
        ],
        private: false,
        query: "SELECT c.check_id, s.name, t.name, c.name, c.severity, c.scope, c.rule, c.created_us FROM cn_check c \
                JOIN cn_table t ON t.table_id = c.table_id AND t.end_txn = 9223372036854775807 \
                JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
                WHERE c.catalog_id = :catalog ORDER BY s.name, t.name, c.name",
    },
    SystemTable {
        name: "flow.check_results",
        columns: &[
            text("check_id"),
            text("name"),
            text("schema_name"),
            text("table_name"),
            text("run_id"),
            text("task_key"),
            time("at"),
            integer("txn"),
            boolean("passed"),
            text("severity"),
            text("value"),
            text("message"),
        ],
        private: false,
        query: "SELECT r.check_id, c.name, s.name, t.name, r.run_id, r.task_key, r.at_us, r.txn, r.passed, r.severity, \
                r.value, r.message FROM cn_check_result r \
                LEFT JOIN cn_check c ON c.catalog_id = r.catalog_id AND c.check_id = r.check_id \
                LEFT JOIN cn_table t ON t.table_id = c.table_id AND t.end_txn = 9223372036854775807 \
                LEFT JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
                WHERE r.catalog_id = :catalog ORDER BY r.at_us, r.run_id, r.task_key, c.name",
    },
];
