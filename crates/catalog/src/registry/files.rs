//! Declared: files, what is known of them, and what waits to be deleted.

use super::{Table, Word, bytes, column, flag, id, int, name, nullable, text, time};

/// Partition tuples, each once, with counters of what lives in them.
pub(crate) const PARTITION: Table = Table::new(
    "cn_partition",
    &[
        id("table_id"),
        id("partition_id"),
        int("spec_no"),
        column("tuple_hash", Word::Hash),
        text("tuple"),
        id("live_files"),
        id("live_rows"),
        id("live_bytes"),
        id("small_files"),
        id("fresh_files"),
        id("fresh_bytes"),
        id("merged_files"),
        id("merged_bytes"),
        id("deleted_rows"),
        nullable(time("t_min")),
        nullable(time("t_max")),
        id("last_txn"),
    ],
    &["table_id", "partition_id"],
)
.unique(&[&["table_id", "spec_no", "tuple_hash"]])
.hot();

/// Data files.
pub(crate) const FILE: Table = Table::new(
    "cn_file",
    &[
        id("table_id"),
        id("file_id"),
        id("begin_txn"),
        id("end_txn"),
        name("format"),
        nullable(text("path")),
        nullable(column("path_hash", Word::Hash)),
        id("row_count"),
        id("size_bytes"),
        int("footer_size"),
        id("row_id_start"),
        flag("row_ids_stored"),
        id("seq"),
        int("schema_no"),
        int("spec_no"),
        id("partition_id"),
        int("sort_no"),
        int("level"),
        nullable(time("t_min")),
        nullable(time("t_max")),
        nullable(bytes("key_min")),
        nullable(bytes("key_max")),
        int("map_no"),
        nullable(name("key_id")),
        nullable(name("etag")),
        name("origin"),
    ],
    &["table_id", "file_id"],
)
.indexes(&[
    ("live", &["table_id", "end_txn", "t_max"]),
    ("added", &["table_id", "begin_txn"]),
    ("part", &["table_id", "partition_id", "end_txn"]),
    ("path", &["path_hash"]),
]);

/// Statistics of files.
pub(crate) const BOUNDS: Table =
    Table::new("cn_bounds", &[id("table_id"), id("file_id"), bytes("stats")], &["table_id", "file_id"])
        .large_rows();

/// Rows of inline batches.
pub(crate) const INLINE: Table = Table::new(
    "cn_inline",
    &[id("table_id"), id("file_id"), name("encoding"), bytes("payload")],
    &["table_id", "file_id"],
)
.large_rows();

/// Deletion vectors.
pub(crate) const VECTOR: Table = Table::new(
    "cn_dv",
    &[
        id("table_id"),
        id("file_id"),
        id("begin_txn"),
        id("end_txn"),
        id("cardinality"),
        nullable(bytes("payload")),
        nullable(text("path")),
        nullable(column("path_hash", Word::Hash)),
        nullable(id("path_offset")),
        nullable(id("path_length")),
    ],
    &["table_id", "file_id", "begin_txn"],
)
.indexes(&[
    ("live", &["table_id", "end_txn"]),
    ("added", &["table_id", "begin_txn"]),
    ("path", &["path_hash"]),
])
.large_rows();

/// Objects that no version needs any more, to be deleted when due.
pub(crate) const TRASH: Table = Table::new(
    "cn_trash",
    &[
        id("catalog_id"),
        column("path_hash", Word::Hash),
        text("path"),
        id("size_bytes"),
        time("queued_us"),
        time("not_before_us"),
        name("reason"),
    ],
    &["catalog_id", "path_hash"],
)
.indexes(&[("due", &["catalog_id", "not_before_us"])]);
