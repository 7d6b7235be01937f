//! Catalog and store together: what every act on a table needs.

use std::time::Duration;

use cenote_catalog::Catalog;
use cenote_store::Store;
use cenote_vocab::{Clock, Ids, MemoryPool};

/// Keys of section `table` that acts on tables need; a table's own options win.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// `target_file_size` in bytes.
    pub target_file_bytes: u64,
    /// `history_keep`
    pub history_keep: Duration,
    /// `orphan_grace`
    pub orphan_grace: Duration,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            target_file_bytes: 512 << 20,
            history_keep: Duration::from_secs(24 * 3600),
            orphan_grace: Duration::from_secs(24 * 3600),
        }
    }
}

/// The tables of all tenants: their truth and their files. Cheap to clone.
#[derive(Clone)]
pub struct Lake {
    /// What exists.
    pub catalog: Catalog,
    /// Where files are.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub ids: Ids,
    /// Memory for writing and compaction.
    pub memory: MemoryPool,
    /// Defaults.
    pub options: TableOptions,
}
