//! Keys of sections `ingest` and `wal` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use cenote_codec::Limits;

use crate::Ack;

/// Section `ingest`.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Database of requests that name none.
    pub database: String,
    /// When a request is answered, unless it says otherwise.
    pub ack: Ack,
    /// Flush a table at this many buffered bytes.
    pub flush_bytes: u64,
    /// Flush a table after this long if at least 8 MiB wait.
    pub flush_interval: Duration,
    /// Flush a table after this long, however little waits.
    pub flush_age: Duration,
    /// First write makes the table.
    pub create_tables: bool,
    /// First value makes the column.
    pub create_columns: bool,
    /// `limits.decompressed_max`
    pub decompressed_max: u64,
    /// `limits.disk_free_min`: below it, writes are refused.
    pub disk_free_min: u64,
    /// Bounds of one request.
    pub limits: Limits,
    /// `table.partition` of tables made by a write: `day`, `hour` or empty.
    pub partition: String,
}

/// Section `wal`.
#[derive(Clone, Debug)]
pub struct WalOptions {
    /// Directory of the segments.
    pub dir: PathBuf,
    /// Size of one segment in bytes.
    pub segment_bytes: u64,
    /// Size of all segments; when full, writes wait for flushes, then answer 503.
    pub bytes_max: u64,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            database: "default".into(),
            ack: Ack::Durable,
            flush_bytes: 64 << 20,
            flush_interval: Duration::from_secs(10),
            flush_age: Duration::from_secs(60),
            create_tables: true,
            create_columns: true,
            decompressed_max: 512 << 20,
            disk_free_min: 1 << 30,
            limits: Limits::default(),
            partition: "day".into(),
        }
    }
}

impl WalOptions {
    /// Defaults for a log in `dir`.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir, segment_bytes: 128 << 20, bytes_max: 8 << 30 }
    }
}
