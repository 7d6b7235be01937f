//! What lives in the partitions of tables, as the commit path counts it: who looks for work reads no file row.

use cenote_vocab::{PartitionId, Scope, TableId, Txn};

use crate::Error;
use crate::inner::Inner;
use crate::sql::state;

/// Live files of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelCounters {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Counters of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionCounters {
    /// Its table.
    pub table: TableId,
    /// Its number in the table.
    pub id: PartitionId,
    /// The spec that its tuple is of; 0: unpartitioned.
    pub spec_no: i32,
    /// As [`NewFile::tuple_text`](crate::NewFile::tuple_text) writes it.
    pub tuple: String,
    /// All live files.
    pub live: LevelCounters,
    /// Files as they were flushed.
    pub fresh: LevelCounters,
    /// Files that were merged once.
    pub merged: LevelCounters,
    /// Inline batches, which are of no level.
    pub inline: LevelCounters,
    /// Rows deleted from live files.
    pub deleted_rows: u64,
    /// Its newest change.
    pub last_txn: Txn,
}

/// Shows `visit` the partitions with live files whose newest change is in `after < txn <= until`, by table and number.
pub(crate) async fn visit_changed(
    inner: &Inner,
    scope: &Scope,
    (after, until): (Txn, Txn),
    mut visit: impl FnMut(PartitionCounters) + Send,
) -> Result<(), Error> {
    let mut place = (TableId(scope.catalog().0 << 32), PartitionId(-1));
    loop {
        let page = state::changed_partitions(&inner.database, scope.catalog(), (after, until), place).await?;
        let full = page.len() >= state::PARTITIONS_PAGE;
        for counters in page {
            place = (counters.table, counters.id);
            visit(counters);
        }
        if !full {
            return Ok(());
        }
    }
}
