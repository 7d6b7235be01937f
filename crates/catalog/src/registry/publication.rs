//! Declared: what was published as files, and the keys that sign URLs of files.

use super::{Table, Word, column, id, int, name, nullable, text, time};

/// Manifests that readers may use, by their dense numbers. A row that is gone was collected.
pub(crate) const PUBLICATION: Table = Table::new(
    "cn_publication",
    &[
        id("catalog_id"),
        id("manifest_id"),
        id("txn"),
        text("path"),
        name("sha256"),
        int("files"),
        id("bytes"),
        time("published_us"),
    ],
    &["catalog_id", "manifest_id"],
)
.indexes(&[("txn", &["catalog_id", "txn"]), ("time", &["catalog_id", "published_us"])]);

/// Keys of signed URLs; one without an end signs, the others only verify for a while.
pub(crate) const SIGNING_KEY: Table = Table::new(
    "cn_signing_key",
    &[
        name("kid"),
        id("catalog_id"),
        column("secret", Word::Hash32),
        time("created_us"),
        nullable(time("retired_us")),
    ],
    &["kid"],
)
.indexes(&[("catalog", &["catalog_id", "created_us"])]);
