//! What `system.*` shows of the control tables.

mod assets;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::event::{committed, told};

/// What a column of a system table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemKind {
    /// BIGINT
    Integer,
    /// VARCHAR; also UUIDs, as text.
    Text,
    /// BOOLEAN
    Boolean,
    /// TIMESTAMP(6)
    Time,
}

/// A column of a system table.
#[derive(Clone, Copy, Debug)]
pub struct SystemColumn {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: SystemKind,
}

/// A table that `system.*` shows.
#[derive(Clone, Copy, Debug)]
pub struct SystemTable {
    /// `catalog.tables`, `storage.files`, …: group and name.
    pub name: &'static str,
    /// Its columns, in the order of the query. Rows about an object name it in `schema_name` and `table_name`.
    pub columns: &'static [SystemColumn],
    /// True if only admins of the tenant may read it.
    pub private: bool,
    /// SQL over control tables; `:catalog` and `:tenant` are the asker's.
    pub(crate) query: &'static str,
}

impl SystemTable {
    /// The schema of its rows; every column may be NULL.
    pub fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|column| Field::new(column.name, column.kind.data_type(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

impl SystemKind {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Integer => DataType::Int64,
            Self::Text => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

/// All that are declared.
pub fn system_tables() -> &'static [SystemTable] {
    static ALL: LazyLock<Vec<SystemTable>> = LazyLock::new(|| [SYSTEM_TABLES, assets::TABLES].concat());
    &ALL
}

const fn integer(name: &'static str) -> SystemColumn {
    SystemColumn { name, kind: SystemKind::Integer }
}

const fn text(name: &'static str) -> SystemColumn {
    SystemColumn { name, kind: SystemKind::Text }
}

const fn boolean(name: &'static str) -> SystemColumn {
    SystemColumn { name, kind: SystemKind::Boolean }
}

const fn time(name: &'static str) -> SystemColumn {
    SystemColumn { name, kind: SystemKind::Time }
}

const SYSTEM_TABLES: &[SystemTable] = &[
    SystemTable {
        name: "catalog.catalogs",
        columns: &[
            integer("id"),
            text("uuid"),
            text("name"),
            text("kind"),
            text("storage_root"),
            time("created_at"),
            integer("changed_txn"),
        ],
        private: false,
        query: "SELECT catalog_id, catalog_uuid, name, 'managed', data_root, created_us, 1 \
                FROM cn_catalog WHERE catalog_id = :catalog",
    },
    SystemTable {
        name: "catalog.schemas",
        columns: &[
            integer("id"),
            text("uuid"),
            integer("catalog_id"),
            text("schema_name"),
            text("description"),
            text("properties"),
            time("created_at"),
            time("updated_at"),
            integer("changed_txn"),
        ],
        private: false,
        query: "SELECT s.schema_id, s.schema_uuid, s.catalog_id, s.name, s.comment, s.properties, \
                (SELECT x.committed_us FROM cn_txn x WHERE x.catalog_id = s.catalog_id AND x.txn = \
                (SELECT MIN(o.begin_txn) FROM cn_schema o WHERE o.schema_id = s.schema_id)), \
                (SELECT x.committed_us FROM cn_txn x WHERE x.catalog_id = s.catalog_id AND x.txn = s.begin_txn), \
                s.begin_txn FROM cn_schema s \
                WHERE s.catalog_id = :catalog AND s.end_txn = 9223372036854775807 ORDER BY s.name",
    },
    SystemTable {
        name: "catalog.tables",
        columns: &[
            integer("id"),
            text("uuid"),
            integer("schema_id"),
            text("schema_name"),
            text("table_name"),
            text("kind"),
            text("format"),
            text("description"),
            text("location"),
            text("properties"),
            integer("schema_no"),
            integer("file_count"),
            integer("row_count"),
            integer("size_bytes"),
            integer("history_floor"),
            time("created_at"),
            time("updated_at"),
            integer("changed_txn"),
        ],
        private: false,
        query: "SELECT t.table_id, t.table_uuid, t.schema_id, s.name, t.name, t.kind, \
                CASE WHEN t.kind = 'table' THEN 'parquet' END, t.comment, t.location, t.properties, t.schema_no, \
                c.live_files, c.live_rows - c.deleted_rows, c.live_bytes, c.history_floor, \
                (SELECT x.committed_us FROM cn_txn x WHERE x.catalog_id = t.catalog_id AND x.txn = \
                (SELECT MIN(o.begin_txn) FROM cn_table o WHERE o.table_id = t.table_id)), \
                (SELECT x.committed_us FROM cn_txn x WHERE x.catalog_id = t.catalog_id AND x.txn = t.begin_txn), \
                t.begin_txn FROM cn_table t \
                JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
                JOIN cn_table_state c ON c.table_id = t.table_id \
                WHERE t.catalog_id = :catalog AND t.end_txn = 9223372036854775807 ORDER BY s.name, t.name",
    },
    SystemTable {
        name: "catalog.columns",
        columns: &[
            integer("table_id"),
            text("schema_name"),
            text("table_name"),
            integer("field_id"),
            text("name"),
            text("data_type"),
            boolean("nullable"),
            integer("position"),
            text("default"),
            text("description"),
            integer("changed_txn"),
        ],
        private: false,
        query: "SELECT t.table_id, s.name, t.name, f.field_id, f.name, f.type, 1 - f.required, f.ordinal, \
                f.write_default, f.comment, n.begin_txn FROM cn_table t \
                JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
                JOIN cn_field f ON f.table_id = t.table_id AND f.begin_no <= t.schema_no AND f.end_no > t.schema_no \
                AND f.parent_id = 0 \
                JOIN cn_table_schema n ON n.table_id = f.table_id AND n.schema_no = f.begin_no \
                WHERE t.catalog_id = :catalog AND t.end_txn = 9223372036854775807 ORDER BY s.name, t.name, f.ordinal",
    },
    SystemTable {
        name: "catalog.transactions",
        columns: &[
            integer("txn"),
            time("committed_at"),
            text("operation"),
            integer("tables"),
            text("producer"),
            integer("epoch"),
            text("actor"),
            text("request_id"),
            text("message"),
            text("extra"),
            text("run_id"),
            text("code_id"),
        ],
        private: false,
        query: "SELECT x.txn, x.committed_us, x.operation, \
                (SELECT COUNT(*) FROM cn_table_txn t WHERE t.catalog_id = x.catalog_id AND t.txn = x.txn), \
                (SELECT MIN(p.producer) FROM cn_producer_log p WHERE p.catalog_id = x.catalog_id AND p.txn = x.txn), \
                (SELECT MIN(p.epoch) FROM cn_producer_log p WHERE p.catalog_id = x.catalog_id AND p.txn = x.txn), \
                x.actor, x.request_id, x.message, x.extra, x.run_id, x.code_id \
                FROM cn_txn x WHERE x.catalog_id = :catalog ORDER BY x.txn",
    },
    SystemTable {
        name: "catalog.code",
        columns: &[
            text("code_id"),
            text("text"),
            boolean("deterministic"),
            text("soundness"),
            integer("first_txn"),
        ],
        private: false,
        query: "SELECT code_id, text, deterministic, soundness, first_txn FROM cn_code \
                WHERE catalog_id = :catalog ORDER BY first_txn, code_id",
    },
    SystemTable {
        name: "lineage.nodes",
        columns: &[text("node_id"), text("kind"), text("name"), integer("first_txn"), integer("last_txn")],
        private: false,
        query: "SELECT n.node_id, n.kind, CASE WHEN n.kind = 'table' THEN s.name || '.' || t.name ELSE n.node_id END, \
                n.first_txn, n.last_txn FROM cn_node n \
                LEFT JOIN cn_table t ON t.catalog_id = n.catalog_id AND CAST(t.table_id AS TEXT) = n.node_id \
                AND t.end_txn = 9223372036854775807 \
                LEFT JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
                WHERE n.catalog_id = :catalog ORDER BY n.first_txn, n.node_id",
    },
    SystemTable {
        name: "lineage.edges",
        columns: &[
            text("id"),
            text("source_id"),
            text("target_id"),
            text("edge_type"),
            text("code_id"),
            text("soundness"),
            integer("first_txn"),
            integer("last_txn"),
            integer("commits"),
            integer("rows_written"),
            text("last_run_id"),
        ],
        private: false,
        query: "SELECT edge_id, source_id, target_id, edge_type, code_id, soundness, first_txn, last_txn, commits, \
                rows_written, last_run_id FROM cn_edge WHERE catalog_id = :catalog \
                ORDER BY first_txn, source_id, target_id, edge_id",
    },
    SystemTable {
        name: "lineage.column_edges",
        columns: &[
            text("code_id"),
            integer("source_table_id"),
            integer("source_field_id"),
            integer("target_table_id"),
            integer("target_field_id"),
            text("kind"),
            text("subtype"),
            integer("first_txn"),
        ],
        private: false,
        query: "SELECT e.code_id, e.source_table_id, e.source_field_id, e.target_table_id, e.target_field_id, \
                CASE WHEN e.subtype IN ('identity', 'transformation', 'aggregation') THEN 'direct' ELSE 'indirect' END, \
                e.subtype, c.first_txn FROM cn_column_edge e \
                JOIN cn_code c ON c.catalog_id = e.catalog_id AND c.code_id = e.code_id \
                WHERE e.catalog_id = :catalog \
                ORDER BY c.first_txn, e.code_id, e.target_table_id, e.target_field_id, e.source_table_id, e.source_field_id, e.subtype",
    },
    SystemTable {
        name: "lineage.inputs",
        columns: &[
            integer("txn"),
            integer("n"),
            text("node_id"),
            text("from"),
            text("to"),
            text("operation"),
            text("run_id"),
            text("code_id"),
        ],
        private: false,
        query: "SELECT i.txn, i.n, i.node, i.from_pos, i.to_pos, x.operation, x.run_id, x.code_id FROM cn_txn_input i \
                JOIN cn_txn x ON x.catalog_id = i.catalog_id AND x.txn = i.txn \
                WHERE i.catalog_id = :catalog ORDER BY i.txn, i.n",
    },
    SystemTable {
        name: "catalog.table_commits",
        columns: &[
            integer("txn"),
            integer("table_id"),
            text("schema_name"),
            text("table_name"),
            text("operation"),
            integer("table_seq"),
            integer("ops"),
            boolean("data_change"),
            integer("schema_no"),
            integer("files_added"),
            integer("files_removed"),
            integer("rows_added"),
            integer("rows_deleted"),
            integer("bytes_added"),
        ],
        private: false,
        query: "SELECT c.txn, c.table_id, s.name, t.name, x.operation, c.table_seq, c.ops, c.data_change, c.schema_no, \
                c.added_files, c.removed_files, c.added_rows, c.deleted_rows, c.added_bytes FROM cn_table_txn c \
                JOIN cn_txn x ON x.catalog_id = c.catalog_id AND x.txn = c.txn \
                JOIN cn_table t ON t.table_id = c.table_id AND t.end_txn = 9223372036854775807 \
                JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
                WHERE c.catalog_id = :catalog ORDER BY c.txn, c.table_id",
    },
    SystemTable {
        name: "storage.files",
        columns: &[
            integer("table_id"),
            text("schema_name"),
            text("table_name"),
            integer("file_id"),
            text("path"),
            text("format"),
            integer("row_count"),
            integer("deleted_rows"),
            integer("size_bytes"),
            integer("schema_no"),
            integer("spec_no"),
            text("partition"),
            integer("sort_no"),
            integer("level"),
            time("t_min"),
            time("t_max"),
            integer("begin_txn"),
            integer("end_txn"),
            integer("seq"),
            integer("row_id_start"),
        ],
        private: false,
        query: "SELECT f.table_id, s.name, t.name, f.file_id, t.location || '/' || f.path, f.format, f.row_count, \
                COALESCE(d.cardinality, 0), f.size_bytes, f.schema_no, f.spec_no, p.tuple, f.sort_no, f.level, \
                f.t_min, f.t_max, f.begin_txn, NULLIF(f.end_txn, 9223372036854775807), f.seq, f.row_id_start \
                FROM cn_table t JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
                JOIN cn_file f ON f.table_id = t.table_id \
                JOIN cn_partition p ON p.table_id = f.table_id AND p.partition_id = f.partition_id \
                LEFT JOIN cn_dv d ON d.table_id = f.table_id AND d.file_id = f.file_id \
                AND d.end_txn = 9223372036854775807 \
                WHERE t.catalog_id = :catalog AND t.end_txn = 9223372036854775807 ORDER BY f.table_id, f.file_id",
    },
    SystemTable {
        name: "storage.deletion_vectors",
        columns: &[
            integer("table_id"),
            text("schema_name"),
            text("table_name"),
            integer("file_id"),
            integer("begin_txn"),
            integer("end_txn"),
            integer("cardinality"),
            integer("size_bytes"),
        ],
        private: false,
        query: "SELECT d.table_id, s.name, t.name, d.file_id, d.begin_txn, NULLIF(d.end_txn, 9223372036854775807), \
                d.cardinality, LENGTH(d.payload) FROM cn_table t \
                JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
                JOIN cn_dv d ON d.table_id = t.table_id \
                WHERE t.catalog_id = :catalog AND t.end_txn = 9223372036854775807 \
                ORDER BY d.table_id, d.file_id, d.begin_txn",
    },
    SystemTable {
        name: "storage.partitions",
        columns: &[
            integer("table_id"),
            text("schema_name"),
            text("table_name"),
            integer("partition_id"),
            integer("spec_no"),
            text("tuple"),
            integer("live_files"),
            integer("live_rows"),
            integer("live_bytes"),
            integer("small_files"),
            integer("fresh_files"),
            integer("fresh_bytes"),
            integer("merged_files"),
            integer("merged_bytes"),
            integer("deleted_rows"),
            time("t_min"),
            time("t_max"),
            integer("last_txn"),
        ],
        private: false,
        query: "SELECT p.table_id, s.name, t.name, p.partition_id, p.spec_no, p.tuple, p.live_files, p.live_rows, \
                p.live_bytes, p.small_files, p.fresh_files, p.fresh_bytes, p.merged_files, p.merged_bytes, \
                p.deleted_rows, p.t_min, p.t_max, p.last_txn FROM cn_table t \
                JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
                JOIN cn_partition p ON p.table_id = t.table_id \
                WHERE t.catalog_id = :catalog AND t.end_txn = 9223372036854775807 ORDER BY p.table_id, p.partition_id",
    },
    SystemTable {
        name: "storage.producers",
        columns: &[text("producer"), integer("epoch"), integer("txn"), integer("fence"), time("updated_at")],
        private: false,
        query: "SELECT producer, epoch, txn, fence, updated_us FROM cn_producer \
                WHERE catalog_id = :catalog ORDER BY producer",
    },
    SystemTable {
        name: "storage.trash",
        columns: &[
            text("path"),
            integer("size_bytes"),
            time("queued_at"),
            time("not_before"),
            text("reason"),
        ],
        private: false,
        query: "SELECT path, size_bytes, queued_us, not_before_us, reason FROM cn_trash \
                WHERE catalog_id = :catalog ORDER BY not_before_us, path",
    },
    SystemTable {
        name: "flow.jobs",
        columns: &[
            text("job_id"),
            text("name"),
            text("kind"),
            text("state"),
            integer("running"),
            integer("failures"),
            time("checked_at"),
            time("next_at"),
            text("last_state"),
            time("last_completed_at"),
            text("last_error"),
            integer("version"),
        ],
        private: false,
        query: "SELECT j.job_id, j.name, j.kind, CASE WHEN j.paused = 1 THEN 'PAUSED' ELSE 'ACTIVE' END, \
                (SELECT COUNT(*) FROM cn_run o WHERE o.catalog_id = j.catalog_id AND o.object_id = j.job_id \
                AND o.state = 'RUNNING'), j.failures, j.checked_us, j.next_us, r.state, r.completed_us, r.error, \
                j.version FROM cn_job j LEFT JOIN cn_run r ON r.catalog_id = j.catalog_id AND r.run_id = \
                (SELECT n.run_id FROM cn_run n WHERE n.catalog_id = j.catalog_id AND n.object_id = j.job_id \
                AND n.state <> 'RUNNING' ORDER BY n.created_us DESC, n.run_id DESC LIMIT 1) \
                WHERE j.catalog_id = :catalog ORDER BY j.name",
    },
    SystemTable {
        name: "flow.runs",
        columns: &[
            text("run_id"),
            text("kind"),
            text("object_id"),
            text("job"),
            text("schema_name"),
            text("table_name"),
            text("subject"),
            text("state"),
            text("trigger"),
            text("actor"),
            text("reason"),
            time("created_at"),
            time("started_at"),
            time("completed_at"),
            integer("files_in"),
            integer("bytes_in"),
            integer("files_out"),
            integer("bytes_out"),
            integer("output_txn"),
            text("error"),
            integer("version"),
            text("plan_fingerprint"),
            integer("snapshot_txn"),
            time("logical_time"),
            integer("priority"),
            text("parent_run_id"),
            integer("concurrency"),
            time("deadline_at"),
            text("labels"),
        ],
        private: false,
        query: "SELECT r.run_id, r.kind, r.object_id, j.name, s.name, t.name, r.subject, r.state, r.cause, r.actor, \
                r.reason, r.created_us, r.started_us, r.completed_us, r.files_in, r.bytes_in, r.files_out, \
                r.bytes_out, r.output_txn, r.error, r.version, r.plan_fingerprint, r.snapshot_txn, r.logical_us, \
                r.priority, r.parent_run_id, r.concurrency, r.deadline_us, r.labels FROM cn_run r \
                LEFT JOIN cn_job j ON j.catalog_id = r.catalog_id AND j.job_id = r.object_id \
                LEFT JOIN cn_asset a ON a.catalog_id = r.catalog_id AND a.asset_id = r.object_id \
                LEFT JOIN cn_table t ON t.table_id = COALESCE(r.table_id, a.table_id) AND t.end_txn = 9223372036854775807 \
                LEFT JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
                WHERE r.catalog_id = :catalog ORDER BY r.created_us, r.run_id",
    },
    SystemTable {
        name: "stream.pipelines",
        columns: &[
            text("pipeline_id"),
            text("schema_name"),
            text("name"),
            text("owner"),
            text("desired"),
            text("state"),
            integer("epoch"),
            integer("txn"),
            time("committed_at"),
            text("error"),
            text("script"),
            text("options"),
            time("created_at"),
            integer("version"),
        ],
        private: false,
        query: "SELECT l.pipeline_id, l.schema_name, l.name, COALESCE(k.name, 'cenote'), l.desired, l.state, p.epoch, \
                p.txn, x.committed_us, l.error, l.script, l.options, l.created_us, l.version FROM cn_pipeline l \
                LEFT JOIN cn_token k ON k.catalog_id = l.catalog_id AND k.token_id = l.owner \
                LEFT JOIN cn_producer p ON p.catalog_id = l.catalog_id \
                AND p.producer = l.producer \
                LEFT JOIN cn_txn x ON x.catalog_id = p.catalog_id AND x.txn = p.txn \
                WHERE l.catalog_id = :catalog ORDER BY l.schema_name, l.name",
    },
    SystemTable {
        name: "stream.epochs",
        columns: &[
            text("pipeline_id"),
            text("schema_name"),
            text("name"),
            integer("epoch"),
            integer("txn"),
            time("committed_at"),
            integer("rows_added"),
            integer("rows_deleted"),
            integer("bytes_added"),
        ],
        private: false,
        query: "SELECT l.pipeline_id, l.schema_name, l.name, p.epoch, p.txn, x.committed_us, \
                (SELECT CAST(COALESCE(SUM(t.added_rows), 0) AS BIGINT) FROM cn_table_txn t WHERE t.catalog_id = p.catalog_id AND t.txn = p.txn), \
                (SELECT CAST(COALESCE(SUM(t.deleted_rows), 0) AS BIGINT) FROM cn_table_txn t WHERE t.catalog_id = p.catalog_id AND t.txn = p.txn), \
                (SELECT CAST(COALESCE(SUM(t.added_bytes), 0) AS BIGINT) FROM cn_table_txn t WHERE t.catalog_id = p.catalog_id AND t.txn = p.txn) \
                FROM cn_pipeline l \
                JOIN cn_producer_log p ON p.catalog_id = l.catalog_id AND p.producer = l.producer \
                LEFT JOIN cn_txn x ON x.catalog_id = p.catalog_id AND x.txn = p.txn \
                WHERE l.catalog_id = :catalog ORDER BY l.schema_name, l.name, p.epoch",
    },
    SystemTable {
        name: "storage.holds",
        columns: &[
            text("id"),
            text("schema_name"),
            text("table_name"),
            text("name"),
            integer("txn"),
            text("kind"),
            text("holder"),
            time("expires_at"),
        ],
        private: false,
        query: "SELECT h.hold_id, s.name, t.name, h.name, h.txn, \
                CASE h.from_here WHEN 0 THEN 'tag' ELSE 'hold' END, h.holder, h.expires_us FROM cn_hold h \
                LEFT JOIN cn_table t ON t.table_id = h.table_id AND t.end_txn = 9223372036854775807 \
                LEFT JOIN cn_schema s ON s.schema_id = t.schema_id AND s.end_txn = 9223372036854775807 \
                WHERE h.catalog_id = :catalog ORDER BY h.txn, h.hold_id",
    },
    SystemTable {
        name: "access.tokens",
        columns: &[
            integer("id"),
            text("uuid"),
            text("name"),
            text("description"),
            text("permissions"),
            text("grants"),
            text("default_database"),
            time("created_at"),
            time("expires_at"),
            time("last_used_at"),
            boolean("enabled"),
            integer("changed_txn"),
        ],
        private: true,
        query: "SELECT token_id, token_uuid, name, description, permissions, grants, default_database, created_us, \
                expires_us, last_used_us, enabled, changed_txn FROM cn_token \
                WHERE catalog_id = :catalog ORDER BY token_id",
    },
    SystemTable {
        name: "access.audit",
        columns: &[
            time("at"),
            text("id"),
            text("actor"),
            text("address"),
            text("protocol"),
            text("action"),
            text("object"),
            text("outcome"),
            text("reason"),
            text("request_id"),
            text("detail"),
            integer("times"),
        ],
        private: true,
        query: "SELECT at_us, audit_id, actor, address, protocol, action, object, outcome, reason, request_id, detail, times \
                FROM cn_audit WHERE catalog_id = :catalog ORDER BY at_us DESC, audit_id DESC LIMIT 10000",
    },
    SystemTable {
        name: "meta.events",
        columns: &[
            integer("txn"),
            integer("n"),
            time("at"),
            text("kind"),
            text("object_type"),
            text("object_id"),
            text("schema_name"),
            text("table_name"),
            text("operation"),
            text("actor"),
            text("request_id"),
            text("run_id"),
            text("payload"),
        ],
        private: false,
        query: concat!(
            "SELECT * FROM (",
            told!("WHERE e.catalog_id = :catalog"),
            " UNION ALL ",
            committed!(
                "WHERE c.catalog_id = :catalog AND (c.added_files > 0 OR c.removed_files > 0 OR c.deleted_rows > 0)"
            ),
            ") u ORDER BY u.txn, u.n"
        ),
    },
    SystemTable {
        name: "meta.publications",
        columns: &[
            integer("manifest_id"),
            integer("txn"),
            text("path"),
            text("sha256"),
            integer("files"),
            integer("bytes"),
            time("published_at"),
        ],
        private: false,
        query: "SELECT manifest_id, txn, path, sha256, files, bytes, published_us FROM cn_publication \
                WHERE catalog_id = :catalog ORDER BY manifest_id",
    },
    SystemTable {
        name: "meta.leases",
        columns: &[text("name"), text("holder"), integer("fence"), time("expires_at")],
        private: true,
        // Leases are the deployment's, not a tenant's.
        query: "SELECT name, holder, fence, expires_us FROM cn_leases WHERE :tenant = 'default' ORDER BY name",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_query_is_filtered_by_the_asker_and_every_name_is_once() {
        let mut names = BTreeSet::new();
        for table in system_tables() {
            assert!(names.insert(table.name), "{} is declared twice", table.name);
            assert!(table.query.contains(":catalog") || table.query.contains(":tenant"), "{}", table.name);
            for secret in ["secret_hash", "stored_key", "server_key", "scram_salt"] {
                assert!(!table.query.contains(secret), "{} shows {secret}", table.name);
            }
        }
    }
}
