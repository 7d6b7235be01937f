//! Declared: jobs, and runs of them.

use super::{Table, flag, id, int, name, nullable, text, time, uuid};

/// What runs by itself.
pub(crate) const JOB: Table = Table::new(
    "cn_job",
    &[
        id("catalog_id"),
        uuid("job_id"),
        name("name"),
        name("kind"),
        text("spec"),
        flag("paused"),
        int("failures"),
        nullable(time("next_us")),
        nullable(time("checked_us")),
        id("version"),
    ],
    &["catalog_id", "job_id"],
)
.unique(&[&["catalog_id", "name"]]);

/// Everything that ran, or runs.
pub(crate) const RUN: Table = Table::new(
    "cn_run",
    &[
        id("catalog_id"),
        uuid("run_id"),
        name("kind"),
        uuid("object_id"),
        nullable(text("subject")),
        nullable(id("table_id")),
        name("state"),
        name("cause"),
        nullable(name("actor")),
        nullable(text("reason")),
        uuid("executor"),
        id("fence"),
        time("created_us"),
        time("started_us"),
        nullable(time("completed_us")),
        id("files_in"),
        id("bytes_in"),
        id("files_out"),
        id("bytes_out"),
        nullable(id("output_txn")),
        nullable(text("error")),
        id("version"),
        nullable(text("plan_fingerprint")),
        nullable(id("snapshot_txn")),
        nullable(time("logical_us")),
        nullable(uuid("parent_run_id")),
        nullable(int("priority")),
        nullable(int("concurrency")),
        nullable(time("deadline_us")),
        nullable(text("labels")),
        nullable(name("rerun_kind")),
    ],
    &["catalog_id", "run_id"],
)
.indexes(&[
    ("state", &["catalog_id", "state", "object_id"]),
    ("ended", &["catalog_id", "completed_us"]),
    ("object", &["catalog_id", "object_id", "created_us"]),
    ("output", &["catalog_id", "output_txn"]),
]);
