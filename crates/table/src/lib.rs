//! One table's life: scan plan, append, delete, compaction, change feed, collection.
//!
//! ```text
//! read    names + files at a txn ─ prune(Predicate) ─► Scan { files, vectors }
//! append  batches ─ TableWriter: sort, cut by partition, Parquet (few rows: an inline batch) ─► Written ─► Commit
//! keyed   upserts, deletes ─ keys of the files that they touch ─► KeyedChange ─► Commit
//! expire  rows of the catalog ─ retention ─► Commit (Retire Expire)
//! changes files and vectors that came and went ─ steps ─► batches in order
//! publish rows of the catalog ─ Parquet, manifest ─► Publication
//! rewrite Scan ─ compact ─► Commit (Rewrite)         collect  purge ─ sweep ─► objects deleted
//! ```
//! No DataFusion expression is seen here: `query` lowers what it can to a [`Predicate`] and keeps the rest as a filter.
//! Invariants: a file is offered to a commit only when the store has it for certain ([`Written`] is the evidence);
//! pruning drops a file only when statistics prove that no row of it matches.

mod adopt;
mod bounds;
mod changes;
mod changing;
mod compact;
mod error;
mod fit;
mod keyed;
mod lake;
mod merge;
mod new_files;
mod options;
mod order;
mod predicate;
mod progress;
mod prune;
mod publication;
mod read;
mod restore;
mod retention;
#[cfg(test)]
mod sample;
mod scan;
mod staging;
mod transform;
mod vacuum;
mod verify;
mod worker;
mod writer;

pub use changes::{
    CHANGE_COLUMNS, ChangePosition, ChangeRequest, ChangeStream, ChangeType, Expired, InvalidPosition,
    change_fields,
};
pub use changing::{Changing, ChangingGuard};
pub use compact::{COLD_AFTER, INLINE_AFTER, OptimizeMode, OptimizeOutcome, is_flush_due};
pub use error::Error;
pub use keyed::{KeySet, KeyedChange, KeyedRows, KeyedWrite, RowKey, check_dedup};
pub use lake::Lake;
pub use options::{Dedup, TableOptions, option_fault, parse_duration};
pub use predicate::{Comparison, Predicate};
pub use progress::Progress;
pub use prune::may_match;
pub use publication::{Manifest, ManifestFile, ManifestTable, Published, TableForm, published_location};
pub use scan::{PruneCounts, Scan, ScanFile};
pub use staging::{FileNumbers, Staging};
pub use vacuum::{KeptObject, Queued, VacuumOptions, VacuumOutcome};
pub use verify::Finding;
pub use writer::{Form, TableWriter, Written};
