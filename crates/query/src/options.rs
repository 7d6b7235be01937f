//! Keys of section `query` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

/// Bounds of queries on this node.
#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// Longest run of a statement over HTTP; the session setting `statement_timeout` on Postgres is 0 (none) by default.
    pub timeout: Duration,
    /// Log queries that take longer.
    pub slow_threshold: Duration,
    /// Most threads of one query.
    pub target_partitions: usize,
    /// Where sorts and aggregates spill.
    pub spill_dir: PathBuf,
    /// Most bytes spilled at a time.
    pub spill_bytes_max: u64,
    /// Most bytes staged by one transaction.
    pub staged_bytes_max: u64,
}
