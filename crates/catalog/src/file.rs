//! Data files as the catalog knows them.

use std::sync::Arc;

use bytes::Bytes;
use cenote_datafile::{DeletionVector, FileStatistics};
use cenote_vocab::{FileId, Tuple, Txn};

/// Where the rows of a file are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// In a Parquet object of the store, at the file's path.
    #[default]
    Parquet,
    /// In the catalog itself: an inline batch. With its payload (`cenote_datafile::encode_inline`) while it is on its way there;
    /// afterwards [`Catalog::inline_batches`](crate::Catalog::inline_batches) answers the rows.
    Inline(Option<Bytes>),
}

impl Content {
    /// As `format` of `cn_file` names it.
    pub fn format(&self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Inline(_) => "inline",
        }
    }

    /// The content of a stored file of this format; `None` for one that is not known.
    pub(crate) fn of_format(format: &str) -> Option<Self> {
        [Self::Parquet, Self::Inline(None)].into_iter().find(|content| content.format() == format)
    }
}

/// A file that is not yet in the catalog: complete in the store, or inline. Made by `table`'s writer, after the upload.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Where its rows are.
    pub content: Content,
    /// Below the table's location; empty for an inline batch.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Size of the object or payload in bytes.
    pub bytes: u64,
    /// Size of the Parquet footer in bytes; 0 for an inline batch.
    pub footer_bytes: u32,
    /// The schema it was written with.
    pub schema_no: i32,
    /// The partition spec of `partition`.
    pub spec_no: i32,
    /// One value per spec field; empty if unpartitioned.
    pub partition: Tuple,
    /// The sort order it is in; 0 = none.
    pub sort_no: i32,
    /// 0 fresh, 1 merged, 2 full.
    pub level: i32,
    /// Smallest and largest time in µs.
    pub time_range: Option<(i64, i64)>,
    /// Known of its columns.
    pub statistics: FileStatistics,
    /// True if the file has columns of row ids and sequence numbers: rows that have an id there keep it.
    pub row_ids_stored: bool,
}

impl NewFile {
    /// True if its rows are in the catalog, not in an object.
    pub fn is_inline(&self) -> bool {
        matches!(self.content, Content::Inline(_))
    }

    /// The partition tuple as canonical text: the name of the partition in its spec.
    pub fn tuple_text(&self) -> String {
        crate::tuple::tuple_text(&self.partition)
    }
}

/// The deletion vector of a file as of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct VisibleVector {
    /// The transaction that made it: its name in conflicts and caches.
    pub begin_txn: Txn,
    /// Deleted positions.
    pub vector: Arc<DeletionVector>,
}

/// A file that is visible at some transaction.
#[derive(Clone, Debug)]
pub struct DataFile {
    /// Its id.
    pub id: FileId,
    /// Visible from here …
    pub begin_txn: Txn,
    /// … to before here; `LIVE` if it still is.
    pub end_txn: Txn,
    /// What its writer said of it.
    pub file: Arc<NewFile>,
    /// Rows deleted from it, as of the transaction asked for.
    pub vector: Option<VisibleVector>,
    /// Row id of its first row; the following count on, but for rows whose id is stored in the file.
    pub row_id_start: i64,
    /// Its place among the commits of the table.
    pub seq: i64,
}

impl DataFile {
    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.file.rows - self.vector.as_ref().map_or(0, |visible| visible.vector.cardinality())
    }
}

/// A closed range of the time column in µs, for asking only for the files that may hold rows in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    /// Earliest.
    pub from: i64,
    /// Latest.
    pub to: i64,
}

impl TimeWindow {
    /// All times.
    pub const ALL: Self = Self { from: i64::MIN, to: i64::MAX };
}
