//! Which system tables are published as files, and how. Every declared one stands here, or says why it does not.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use cenote_datafile::FIELD_ID_KEY;

use super::SystemTable;
use super::system::system_tables;

/// When the rows of a published table change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishedKind {
    /// Written whole, when an object was changed since the last time.
    Objects,
    /// Written whole, when its rows are not those of the last time: they change without taking a number.
    Rows,
    /// Only ever gets rows, each with the transaction that made it: what came since the last time is written.
    Log {
        /// The column of that transaction.
        txn: &'static str,
        /// Which rows, as a condition on the columns of `q`; `None`: all.
        only: Option<&'static str>,
    },
}

/// A system table as files have it.
#[derive(Debug)]
pub struct PublishedTable {
    /// `catalog.tables`, …
    pub name: &'static str,
    /// Grows when a column is added at the end; none is ever removed or gets another type.
    pub version: i32,
    /// When its rows change.
    pub kind: PublishedKind,
    /// Columns by which rows are sorted; no two rows have the same values in them.
    pub key: &'static [&'static str],
    /// Columns that are NULL in files: they change with every flush, or may hold what a statement said.
    pub redacted: &'static [&'static str],
}

impl PublishedTable {
    /// The declaration of the live table.
    pub fn live(&self) -> Option<&'static SystemTable> {
        system_tables().iter().find(|table| table.name == self.name)
    }

    /// The columns of its files: those of the live table, numbered from 1 in their order.
    pub fn schema(&self) -> SchemaRef {
        let columns = self.live().map_or(&[][..], |table| table.columns);
        let fields = columns.iter().zip(1..).map(|(column, id): (_, i32)| {
            let id = HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_string())]);
            Field::new(column.name, column.kind.data_type(), true).with_metadata(id)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// All that are published.
pub fn published_tables() -> &'static [PublishedTable] {
    PUBLISHED
}

/// A history.
const LOG: PublishedKind = PublishedKind::Log { txn: "txn", only: None };
/// What is met once and then known.
const FIRST_MET: PublishedKind = PublishedKind::Log { txn: "first_txn", only: None };
/// Runs that end in a commit: those of assets and of statements. The commit is their output, and after it they never change.
const ENDED: PublishedKind =
    PublishedKind::Log { txn: "output_txn", only: Some("q.\"kind\" IN ('asset', 'query')") };

const PUBLISHED: &[PublishedTable] = &[
    PublishedTable {
        name: "catalog.catalogs",
        version: 1,
        kind: PublishedKind::Objects,
        key: &["id"],
        redacted: &[],
    },
    PublishedTable {
        name: "catalog.schemas",
        version: 1,
        kind: PublishedKind::Objects,
        key: &["id"],
        redacted: &[],
    },
    PublishedTable {
        name: "catalog.tables",
        version: 1,
        kind: PublishedKind::Objects,
        key: &["id"],
        redacted: &["file_count", "row_count", "size_bytes", "history_floor"],
    },
    PublishedTable {
        name: "catalog.columns",
        version: 1,
        kind: PublishedKind::Objects,
        key: &["table_id", "field_id"],
        redacted: &[],
    },
    PublishedTable {
        name: "catalog.transactions",
        version: 1,
        kind: LOG,
        key: &["txn"],
        redacted: &["extra"],
    },
    PublishedTable {
        name: "catalog.table_commits",
        version: 1,
        kind: LOG,
        key: &["txn", "table_id"],
        redacted: &[],
    },
    PublishedTable {
        name: "catalog.code",
        version: 1,
        kind: FIRST_MET,
        key: &["first_txn", "code_id"],
        redacted: &[],
    },
    PublishedTable {
        name: "lineage.nodes",
        version: 1,
        kind: FIRST_MET,
        key: &["first_txn", "node_id"],
        // A table may get another name: its id is the node.
        redacted: &["name", "last_txn"],
    },
    PublishedTable {
        name: "lineage.edges",
        version: 1,
        kind: FIRST_MET,
        key: &["first_txn", "id"],
        redacted: &["last_txn", "commits", "rows_written", "last_run_id"],
    },
    PublishedTable {
        name: "lineage.column_edges",
        version: 1,
        kind: FIRST_MET,
        key: &[
            "first_txn",
            "code_id",
            "target_table_id",
            "target_field_id",
            "source_table_id",
            "source_field_id",
            "subtype",
        ],
        redacted: &[],
    },
    PublishedTable { name: "lineage.inputs", version: 1, kind: LOG, key: &["txn", "n"], redacted: &[] },
    PublishedTable { name: "meta.events", version: 1, kind: LOG, key: &["txn", "n"], redacted: &[] },
    PublishedTable {
        name: "flow.assets",
        version: 1,
        kind: PublishedKind::Rows,
        key: &["asset_id"],
        redacted: &[
            "status",
            "run_id",
            "output_txn",
            "row_count",
            "last_materialized_at",
            "last_run_id",
            "last_outcome",
            "last_attempt_at",
            "next_at",
        ],
    },
    PublishedTable {
        name: "flow.asset_deps",
        version: 1,
        kind: PublishedKind::Rows,
        key: &["asset_id", "upstream_id"],
        redacted: &[],
    },
    PublishedTable {
        name: "flow.checks",
        version: 1,
        kind: PublishedKind::Rows,
        key: &["check_id"],
        redacted: &[],
    },
    PublishedTable {
        name: "flow.jobs",
        version: 1,
        kind: PublishedKind::Rows,
        key: &["job_id"],
        redacted: &[
            "running",
            "failures",
            "checked_at",
            "next_at",
            "last_state",
            "last_completed_at",
            "last_error",
        ],
    },
    PublishedTable {
        name: "flow.runs",
        version: 1,
        kind: ENDED,
        key: &["output_txn", "run_id"],
        redacted: &["error"],
    },
    PublishedTable {
        name: "flow.tasks",
        version: 1,
        kind: PublishedKind::Log { txn: "run_txn", only: None },
        key: &["run_txn", "run_id", "task_key"],
        redacted: &["error"],
    },
    PublishedTable {
        name: "flow.check_results",
        version: 1,
        kind: LOG,
        key: &["txn", "run_id", "task_key", "check_id"],
        redacted: &["message"],
    },
    PublishedTable {
        name: "flow.triggers",
        version: 1,
        kind: PublishedKind::Rows,
        key: &["trigger_id"],
        redacted: &["cursor_txn", "next_at", "version"],
    },
];

/// Declared tables that are not published, each with the reason. What is `private` never is, and needs no entry.
#[cfg(test)]
const NOT_PUBLISHED: &[(&str, &str)] = &[
    ("storage.files", "changes with every flush"),
    ("storage.deletion_vectors", "changes with every flush"),
    ("storage.partitions", "changes with every flush"),
    ("storage.producers", "changes with every flush"),
    ("storage.trash", "changes with every flush"),
    ("storage.holds", "renewed without a number"),
    ("flow.task_deps", "changes while its run does, without a number"),
    ("flow.attempts", "changes while its run does, without a number"),
    ("flow.asset_partitions", "changes with every run"),
    ("flow.ticks", "changes with every look at a trigger"),
    ("stream.pipelines", "holds scripts, whose secrets are shown to their owners only"),
    ("stream.epochs", "changes with every epoch"),
    ("meta.publications", "is the list of manifests itself"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::registry::SystemKind;

    #[test]
    fn every_system_table_is_published_or_says_why_not() {
        let published: BTreeSet<&str> = PUBLISHED.iter().map(|table| table.name).collect();
        let left_out: BTreeSet<&str> = NOT_PUBLISHED.iter().map(|(name, _)| *name).collect();
        assert_eq!(published.len(), PUBLISHED.len(), "one is published twice");
        for table in system_tables() {
            let places = [published.contains(table.name), left_out.contains(table.name), table.private];
            let count = places.into_iter().filter(|there| *there).count();
            assert_eq!(count, 1, "{}: published, left out with a reason, or private", table.name);
        }
        assert!(
            published.iter().chain(&left_out).all(|name| system_tables().iter().any(|t| t.name == *name))
        );
    }

    #[test]
    fn keys_and_redacted_columns_are_columns_and_logs_have_a_txn() {
        for table in PUBLISHED {
            let columns = table.live().expect("declared").columns;
            let has = |name: &str| columns.iter().any(|column| column.name == name);
            assert!(!table.key.is_empty() && table.key.iter().all(|name| has(name)), "{}", table.name);
            assert!(
                table.redacted.iter().all(|name| has(name) && !table.key.contains(name)),
                "{}",
                table.name
            );
            if let PublishedKind::Log { txn, .. } = table.kind {
                assert!(
                    columns.iter().any(|c| c.name == txn && c.kind == SystemKind::Integer),
                    "{}",
                    table.name
                );
                assert_eq!(table.key.first(), Some(&txn), "{}: files follow each other", table.name);
            }
        }
    }

    /// One line per column; the document is the golden copy.
    fn listing() -> String {
        let mut lines = String::new();
        for table in PUBLISHED {
            let kind = match table.kind {
                PublishedKind::Objects => "Objects",
                PublishedKind::Rows => "Rows",
                PublishedKind::Log { .. } => "Log",
            };
            let key = table.key.join(", ");
            lines += &format!("{} version {} {kind} by {key}\n", table.name, table.version);
            for (column, id) in table.live().expect("declared").columns.iter().zip(1..) {
                let redacted = if table.redacted.contains(&column.name) { " NULL" } else { "" };
                lines += &format!("  {id} {} {:?}{redacted}\n", column.name, column.kind);
            }
        }
        lines
    }

    #[test]
    fn published_columns_are_those_of_the_committed_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats/published-metadata.md");
        let document = std::fs::read_to_string(path).expect("the document");
        let (before, rest) = document.split_once("```columns\n").expect("a listing");
        let (_, after) = rest.split_once("```").expect("its end");
        let wanted = format!("{before}```columns\n{}```{after}", listing());
        if std::env::var_os("CENOTE_ACCEPT").is_some() {
            std::fs::write(path, &wanted).expect("written");
        }
        assert_eq!(std::fs::read_to_string(path).expect("the document"), wanted, "run make accept");
    }
}
