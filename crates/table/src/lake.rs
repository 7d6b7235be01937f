//! Catalog and store together: what every act on a table needs.

use cenote_catalog::Catalog;
use cenote_store::Store;
use cenote_vocab::{Clock, Ids, MemoryPool};

use crate::{Changing, TableOptions};

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
    /// Tables that transactions of this process are changing.
    pub changing: Changing,
}
