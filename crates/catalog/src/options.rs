//! Keys of section `catalog` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

/// Which database, and how to use it.
#[derive(Clone, Debug)]
pub struct CatalogOptions {
    /// `sqlite` for `{data_dir}/catalog.db`, `sqlite::memory:` for tests, or `postgres://…` (never printed: holds a password).
    pub url: cenote_store::Secret,
    /// Directory of the SQLite file.
    pub data_dir: PathBuf,
    /// Connections to PostgreSQL.
    pub pool_size: u32,
    /// Prepared statements per connection; 0 behind a transaction-pooling proxy.
    pub statement_cache: usize,
    /// Bring an older layout up to date at open; `None`: on SQLite only.
    pub auto_migrate: Option<bool>,
    /// How long rows of the audit stay.
    pub audit_keep: Duration,
    /// Name of this process in leases and connections.
    pub holder: String,
}
