//! The node's SQL engine.

use std::sync::Arc;

use cenote_catalog::Identity;
use cenote_ingest::Ingest;
use cenote_table::Lake;
use cenote_vocab::{MemoryPool, Micros, Scope};

use crate::{Error, QueryOptions, Session, SessionOptions};

/// SQL over the lake. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    _inner: Arc<()>,
}

/// A statement that runs or ran, as the registry shows it.
#[derive(Clone, Debug)]
pub struct QueryRecord {
    /// Its name.
    pub id: String,
    /// QUEUED, PLANNING, RUNNING, FINISHED, FAILED, CANCELLED
    pub state: &'static str,
    /// Its text.
    pub sql: String,
    /// Token name.
    pub user: String,
    /// `http`, `postgres`, …
    pub protocol: &'static str,
    /// When it began.
    pub started: Micros,
    /// Milliseconds so far, or in all.
    pub duration_ms: u64,
    /// Rows answered.
    pub rows: u64,
    /// Its error.
    pub error: Option<String>,
}

impl Engine {
    /// Builds the engine of a node: one DataFusion runtime with `memory` as its pool.
    pub fn new(_lake: Lake, _ingest: Ingest, _options: QueryOptions, _memory: MemoryPool) -> Result<Self, Error> {
        todo!()
    }

    /// Begins a session for a proven identity.
    pub async fn open_session(&self, _identity: Identity, _options: SessionOptions) -> Result<Session, Error> {
        todo!()
    }

    /// Statements of the tenant: running ones and the last that ended.
    pub fn queries(&self, _scope: &Scope) -> Vec<QueryRecord> {
        todo!()
    }

    /// Cancels a running statement of the tenant. `None`: no such statement; `Some(false)`: it has ended already.
    pub fn cancel(&self, _scope: &Scope, _query_id: &str, _reason: &str) -> Option<bool> {
        todo!()
    }

    /// Adds the engine's metrics.
    pub fn register(&self, _registry: &mut prometheus_client::registry::Registry) {
        todo!()
    }
}
