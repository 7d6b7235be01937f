//! What the composition of a node gives to this door.

use cenote_catalog::Catalog;
use cenote_ingest::Ingest;
use cenote_query::Engine;
use cenote_table::Lake;

/// Limits and switches of the HTTP door.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// False: every caller is admin of tenant `default`.
    pub auth_enabled: bool,
    /// Bytes of a body as received.
    pub body_max: u64,
    /// Bytes of an import.
    pub import_max: u64,
    /// Wrong credentials per minute and address before 429.
    pub failures_per_minute: u32,
    /// `delete.enabled`
    pub delete_enabled: bool,
    /// Longest run of a query.
    pub query_timeout: std::time::Duration,
    /// Open connections at a time.
    pub connections_max: usize,
}

/// What a ready node offers.
#[derive(Clone)]
pub struct Services {
    /// Truth.
    pub catalog: Catalog,
    /// Tables.
    pub lake: Lake,
    /// The way in.
    pub ingest: Ingest,
    /// The way out.
    pub engine: Engine,
}

/// Where a node is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Opening catalog and storage.
    Starting,
    /// Reading the log.
    Replaying,
    /// Another process is active.
    Standby,
    /// Serving.
    Ready,
    /// Stopping.
    Draining,
}

impl NodeState {
    /// The word that `/ready` answers.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Replaying => "recovering",
            Self::Standby => "standby",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}
