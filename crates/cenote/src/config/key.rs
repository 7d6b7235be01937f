//! The one register of options.

/// What a key's text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Any text, never shown.
    Secret,
    /// `true` or `false`
    Switch,
    /// A whole number in a closed range.
    Number {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A duration with a unit.
    Duration,
    /// A duration with a unit, or empty.
    DurationOrEmpty,
    /// A size in bytes.
    Size,
    /// A size of at most so many bytes.
    SizeUpTo(u64),
    /// A size, or a percentage of another key's size (`of` empty: of the machine's memory).
    Share {
        /// The other key.
        of: &'static str,
    },
    /// Socket addresses.
    Addresses,
    /// One of a few words.
    OneOf(&'static [&'static str]),
}

impl Kind {
    /// The word of the reference.
    pub fn word(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Secret => "secret text".into(),
            Self::Switch => "true or false".into(),
            Self::Number { .. } => "number".into(),
            Self::Duration => "duration".into(),
            Self::DurationOrEmpty => "duration, or empty".into(),
            Self::Size | Self::SizeUpTo(_) => "size".into(),
            Self::Share { of: "" } => "size, or share of the machine's memory".into(),
            Self::Share { of } => format!("size, or share of `{of}`"),
            Self::Addresses => "list of addresses".into(),
            Self::OneOf(words) => words
                .iter()
                .map(|word| if word.is_empty() { "empty" } else { word })
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

/// One option.
#[derive(Debug)]
pub struct Key {
    /// `section.name`
    pub name: &'static str,
    /// What its text may be.
    pub kind: Kind,
    /// Its value if nobody sets it.
    pub default: &'static str,
    /// One sentence for the reference.
    pub doc: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, doc }
}

const MANY: Kind = Kind::Number { min: 1, max: 1_000_000 };

/// All options of this binary, by section.
pub const KEYS: &[Key] = &[
    key("server.data_dir", Kind::Text, "./cenote-data", "Directory of catalog, log, local files and tokens."),
    key("server.listen", Kind::Addresses, "127.0.0.1:8000", "Addresses of the HTTP door."),
    key("server.memory_limit", Kind::Share { of: "" }, "75%", "Memory that ingest and queries share."),
    key("server.shutdown_timeout", Kind::Duration, "30s", "How long a stop waits for queries and flushes."),
    key(
        "postgres.listen",
        Kind::Addresses,
        "127.0.0.1:5433",
        "Addresses of the Postgres door; empty switches it off.",
    ),
    key(
        "postgres.idle_in_transaction_timeout",
        Kind::Duration,
        "5m",
        "An open transaction without statements is rolled back after this long.",
    ),
    key("auth.enabled", Kind::Switch, "true", "False: every caller is admin of tenant `default`."),
    key(
        "auth.allow_insecure",
        Kind::Switch,
        "false",
        "Allow `auth.enabled = false` on a listener that is not on loopback.",
    ),
    key(
        "auth.bootstrap_token",
        Kind::Secret,
        "",
        "Secret of the first admin token; at least 32 characters; acts only while there is no token.",
    ),
    key("auth.failures_per_minute", MANY, "10", "Wrong credentials per address and minute before 429."),
    key("jwt.issuer", Kind::Text, "", "Whose bearer tokens (JWT) are taken: their `iss`. Empty: nobody's."),
    key("jwt.audience", Kind::Text, "", "What their `aud` must be or hold; needed with an issuer."),
    key("jwt.jwks_url", Kind::Text, "", "Address of the issuer's keys: HTTPS, or HTTP on loopback."),
    key(
        "jwt.discovery",
        Kind::Switch,
        "false",
        "Ask `{jwt.issuer}/.well-known/openid-configuration` where the keys are.",
    ),
    key(
        "jwt.public_key",
        Kind::Secret,
        "",
        "The issuer's one public key in PEM, best as `jwt.public_key_file`: RSA, a curve, or Ed25519.",
    ),
    key(
        "jwt.hs256_secret",
        Kind::Secret,
        "",
        "A secret shared with the issuer, 32 bytes or more, in place of a key.",
    ),
    key("jwt.tenant_claim", Kind::Text, "tenant", "The claim that names the tenant."),
    key("jwt.roles_claim", Kind::Text, "groups", "The claim that names roles: a list, or text with commas."),
    key(
        "jwt.default_tenant",
        Kind::Text,
        "",
        "The tenant of tokens without that claim. Empty: such tokens are refused.",
    ),
    key("limits.connections_max", MANY, "2000", "Open connections of each door."),
    key("limits.body_max", Kind::Size, "100MiB", "Bytes of a request as received."),
    key("limits.decompressed_max", Kind::Size, "512MiB", "Bytes of a request after decompression."),
    key("limits.import_max", Kind::Size, "10GiB", "Bytes of an import."),
    key(
        "limits.disk_free_min",
        Kind::Size,
        "1GiB",
        "Below this much free disk writes are refused; reads go on.",
    ),
    key(
        "catalog.url",
        Kind::Secret,
        "sqlite",
        "`sqlite` (in the data directory) or `postgres://user:password@host/database`.",
    ),
    key("catalog.pool_size", Kind::Number { min: 2, max: 1000 }, "16", "Connections to PostgreSQL."),
    key(
        "catalog.statement_cache",
        Kind::Number { min: 0, max: 10_000 },
        "100",
        "Prepared statements per connection; 0 behind a transaction-pooling proxy.",
    ),
    key(
        "catalog.auto_migrate",
        Kind::OneOf(&["auto", "true", "false"]),
        "auto",
        "Bring an older catalog up to date at start; `auto`: on SQLite only.",
    ),
    key(
        "storage.url",
        Kind::Text,
        "file",
        "`file` (in the data directory), a directory, `s3://bucket/prefix`, or `memory`.",
    ),
    key("storage.region", Kind::Text, "", "S3 region."),
    key("storage.endpoint", Kind::Text, "", "S3 endpoint, for stores other than Amazon's."),
    key(
        "storage.access_key_id",
        Kind::Text,
        "",
        "S3 access key; empty: the usual AWS variables or the instance's role.",
    ),
    key("storage.secret_access_key", Kind::Secret, "", "S3 secret key."),
    key("storage.allow_http", Kind::Switch, "false", "Speak plain HTTP to the endpoint."),
    key("storage.virtual_hosted_style", Kind::Switch, "false", "Bucket as host name."),
    key("wal.dir", Kind::Text, "", "Directory of the write-ahead log; empty: `wal` in the data directory."),
    key("wal.segment_size", Kind::Size, "128MiB", "Size of one segment of the log."),
    key(
        "wal.size_max",
        Kind::Size,
        "8GiB",
        "Size of the whole log; when full, writes wait for flushes, then get 503.",
    ),
    key("ingest.database", Kind::Text, "default", "Database of writes that name none."),
    key(
        "ingest.ack",
        Kind::OneOf(&["durable", "memory", "committed"]),
        "durable",
        "When a write is answered.",
    ),
    key(
        "ingest.buffer_memory",
        Kind::Share { of: "server.memory_limit" },
        "25%",
        "Memory of bodies, buffers and flushes.",
    ),
    key("ingest.flush_size", Kind::Size, "64MiB", "Flush a table at this many buffered bytes."),
    key(
        "ingest.flush_interval",
        Kind::Duration,
        "10s",
        "Flush a table after this long if at least 8 MiB wait.",
    ),
    key("ingest.flush_age", Kind::Duration, "60s", "Flush a table after this long, however little waits."),
    key("ingest.create_tables", Kind::Switch, "true", "A write to an unknown table makes it."),
    key("ingest.create_columns", Kind::Switch, "true", "A write with an unknown column makes it."),
    key(
        "table.partition",
        Kind::OneOf(&["day", "hour", ""]),
        "day",
        "Time partition of tables that a write makes.",
    ),
    key(
        "table.dedup",
        Kind::OneOf(&["none", "last"]),
        "none",
        "`dedup` of new tables: `last` keeps of each key (primary key, else tags and time) the newest row.",
    ),
    key("table.target_file_size", Kind::Size, "512MiB", "Size of fully compacted files."),
    key(
        "table.inline_max",
        Kind::SizeUpTo(1 << 20),
        "64KiB",
        "Appends up to this size (at most 1MiB) are kept in the catalog and flushed together; 0: none. A table's option of this name wins.",
    ),
    key("table.history_keep", Kind::Duration, "24h", "How long every version of a table can be read."),
    key(
        "table.orphan_grace",
        Kind::Duration,
        "24h",
        "How long an object that nothing needs stays before it is deleted; no statement runs longer.",
    ),
    key(
        "table.retention",
        Kind::DurationOrEmpty,
        "",
        "Rows older than this go, by whole files; empty: never. An option of the same name of a schema wins, and that of a table over both.",
    ),
    key(
        "compaction.enabled",
        Kind::Switch,
        "true",
        "Merge small files without being asked; an option of the same name of a table wins.",
    ),
    key(
        "compaction.jobs_max",
        Kind::Number { min: 1, max: 64 },
        "2",
        "Partitions that are merged at a time.",
    ),
    key(
        "compaction.memory_limit",
        Kind::Share { of: "query.memory_limit" },
        "10%",
        "Memory of all merges at a time; beyond it they spill.",
    ),
    key("retention.enabled", Kind::Switch, "true", "Let rows go that are older than `retention`."),
    key("audit.keep", Kind::Duration, "90d", "How long rows of the audit stay."),
    key("flow.history_keep", Kind::Duration, "90d", "How long runs that ended are listed."),
    key(
        "metadata.publish_interval",
        Kind::Duration,
        "30s",
        "The catalog's metadata is published as files at most this often, when something was committed; 0: only when asked.",
    ),
    key(
        "delete.enabled",
        Kind::Switch,
        "false",
        "Allow `DELETE /api/v1/databases/{name}`; SQL depends on rights alone.",
    ),
    key("query.timeout", Kind::Duration, "5m", "Longest run of a query over HTTP."),
    key("query.slow_threshold", Kind::Duration, "1s", "Longer queries are logged."),
    key(
        "query.memory_limit",
        Kind::Share { of: "server.memory_limit" },
        "50%",
        "Memory of queries; beyond it they spill or fail.",
    ),
    key(
        "query.target_partitions",
        Kind::Number { min: 0, max: 1024 },
        "0",
        "Threads of one query; 0: as many as cores.",
    ),
    key("query.spill_dir", Kind::Text, "", "Directory of spilled data; empty: `tmp` in the data directory."),
    key("query.spill_max", Kind::Size, "100GiB", "Most bytes spilled at a time."),
    key("query.staged_bytes_max", Kind::Size, "10GiB", "Most bytes staged by one transaction."),
    key(
        "security.allowed_paths",
        Kind::Text,
        "",
        "Directories and files that connectors of pipelines may read and write, and where tenants may have their roots, with commas between.",
    ),
    key(
        "security.allowed_urls",
        Kind::Text,
        "",
        "Beginnings of URLs that connectors of pipelines may call, and of roots of tenants, with commas between; `kafka://host:port` for brokers.",
    ),
    key("log.level", Kind::Text, "info", "`error`, `warn`, `info`, `debug`, or filters per target."),
    key(
        "log.format",
        Kind::OneOf(&["auto", "text", "json"]),
        "auto",
        "`auto`: text on a terminal, else json.",
    ),
];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
