//! A node: all parts in their order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use cenote_catalog::{Catalog, CatalogOptions, NewToken};
use cenote_flow::{Flow, FlowOptions};
use cenote_http::{Http, HttpOptions, NodeState, Services};
use cenote_ingest::{Ack, Ingest, IngestOptions, WalOptions};
use cenote_jwt::{Issuer, KeySource};
use cenote_postgres::{Postgres, PostgresOptions};
use cenote_query::{Engine, QueryOptions};
use cenote_store::{RootCheck, Secret, StorageOptions, Store};
use cenote_stream::{Limits, Reach, Streams};
use cenote_table::{Changing, Dedup, Lake, TableOptions};
use cenote_vocab::{Clock, ErrorKind, Fault, Ids, MemoryPool, Permissions};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::DataDir;
use crate::assets::{NodeAssets, NodeTasks};
use crate::config::Config;
use crate::data_dir::DataDirError;
use crate::jobs::NodeJobs;
use crate::tenants::end_statements;

/// The part of the node's memory that all pipelines together may hold: a quarter.
const STREAM_MEMORY_PART: u64 = 4;

/// How long the lease `active` lives without renewal.
const LEASE_TTL: Duration = Duration::from_secs(10);
/// How often it is renewed; also how often a standby asks for it.
const LEASE_RENEW: Duration = Duration::from_secs(2);

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A port is taken, or may not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Storage cannot be opened.
    #[error(transparent)]
    Store(#[from] cenote_store::Error),
    /// Bearer tokens could not be proven.
    #[error(transparent)]
    Issuer(#[from] cenote_jwt::Error),
    /// The catalog cannot be opened.
    #[error(transparent)]
    Catalog(#[from] cenote_catalog::Error),
    /// The log cannot be opened.
    #[error(transparent)]
    Ingest(Box<cenote_ingest::Error>),
    /// The jobs cannot be started.
    #[error(transparent)]
    Flow(Box<cenote_flow::Error>),
    /// The pipelines cannot be started.
    #[error(transparent)]
    Stream(Box<cenote_stream::Error>),
    /// The engine cannot be built.
    #[error(transparent)]
    Query(#[from] cenote_query::Error),
    /// A file beside the data.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Stopped while it was starting.
    #[error("stopped before it was ready")]
    Stopped,
}

impl From<cenote_ingest::Error> for NodeError {
    fn from(error: cenote_ingest::Error) -> Self {
        Self::Ingest(Box::new(error))
    }
}

impl From<cenote_stream::Error> for NodeError {
    fn from(error: cenote_stream::Error) -> Self {
        Self::Stream(Box::new(error))
    }
}

impl From<cenote_flow::Error> for NodeError {
    fn from(error: cenote_flow::Error) -> Self {
        Self::Flow(Box::new(error))
    }
}

/// Where a node listens.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// HTTP.
    pub http: Vec<SocketAddr>,
    /// Postgres.
    pub postgres: Vec<SocketAddr>,
}

/// Whether a taken port is an error or the next one is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortChoice {
    /// An error: the configuration says which port.
    AsConfigured,
    /// The next free one above.
    NextFree,
    /// No port at all: an embedded node.
    Closed,
}

/// A running node.
pub struct Node {
    /// Its parts.
    pub services: Services,
    /// Where it listens.
    pub ports: Ports,
    /// The secret of the first admin token, if this start made it.
    pub admin_token: Option<String>,
    /// True if the data directory was empty.
    pub new: bool,
    flow: Flow,
    /// The flow has a weak handle of it.
    _asset_tasks: Arc<NodeTasks>,
    streams: Arc<Streams>,
    data_dir: Option<DataDir>,
    state: watch::Sender<NodeState>,
    doors: TaskTracker,
    doors_stop: CancellationToken,
    tasks: TaskTracker,
    stop: CancellationToken,
    lost: CancellationToken,
    shutdown_timeout: Duration,
}

impl Node {
    /// Starts a node and returns when it is ready; as a standby it waits for the lease. `stop` ends a start half-way.
    pub async fn start(
        config: &Config,
        clock: Clock,
        ids: Ids,
        ports: PortChoice,
        stop: CancellationToken,
    ) -> Result<Self, NodeError> {
        // Without doors nobody else can ask: connectors may what the user of the process may.
        let reach = match ports {
            PortChoice::Closed => Reach::Everything,
            PortChoice::AsConfigured | PortChoice::NextFree => Reach::Named {
                paths: config.list("security.allowed_paths").into_iter().map(PathBuf::from).collect(),
                urls: config.list("security.allowed_urls"),
            },
        };
        let mut data_dir = DataDir::open(&config.data_dir(), &ids)?;
        empty_spill_directory(config)?;
        let tasks = TaskTracker::new();
        let doors = TaskTracker::new();
        let (parts_stop, doors_stop) = (CancellationToken::new(), CancellationToken::new());
        let (state, state_seen) = watch::channel(NodeState::Starting);
        let registry = Arc::new(Mutex::new(Registry::with_prefix("cenote")));

        let catalog = Catalog::open(
            catalog_options(config, &data_dir),
            clock.clone(),
            ids.clone(),
            &tasks,
            parts_stop.clone(),
        )
        .await?;
        if let Some(issuer) = issuer(config)? {
            catalog.trust(Issuer::new(issuer, clock.clone(), &tasks)?);
        }
        let (http_services, postgres_services) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        let http = Http {
            options: http_options(config),
            services: http_services.clone(),
            state: state_seen,
            registry: registry.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        };
        let postgres = Postgres {
            options: postgres_options(config),
            services: postgres_services.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        };
        let opened = open_doors(config, ports, &http, &postgres, &doors, &doors_stop).await?;
        let url = opened.http.first().map(|address| format!("http://{address}"));
        data_dir
            .announce(url)
            .map_err(|source| NodeError::Io { path: data_dir.path().join("LOCK"), source })?;

        let memory = MemoryPool::node(config.bytes("server.memory_limit"));
        let ingest_memory = memory.share("ingest", config.bytes("ingest.buffer_memory"));
        let query_memory = memory.share("query", config.bytes("query.memory_limit"));
        let lake = Lake {
            catalog: catalog.clone(),
            store: Store::open(&storage_options(config))?.with_roots(root_check(reach.clone())),
            clock: clock.clone(),
            ids,
            memory: ingest_memory.clone(),
            options: table_options(config),
            changing: Changing::default(),
        };
        mount_roots(&lake).await?;
        if !may_be_active(&catalog).await? {
            state.send_replace(NodeState::Replaying);
            empty_log(&lake, config, ingest_memory.clone()).await?;
            wait_for_lease(&catalog, &state, &stop).await?;
            mount_roots(&lake).await?; // also of tenants that came meanwhile
        }
        let lost = CancellationToken::new();
        tasks.spawn(keep_lease(catalog.clone(), parts_stop.clone(), lost.clone()));
        let admin_token = first_admin_token(config, &catalog, &data_dir).await?;

        state.send_replace(NodeState::Replaying);
        let ingest = open_ingest(&lake, config, ingest_memory, &tasks, parts_stop.clone()).await?;
        let compaction = query_memory.share("compaction", config.bytes("compaction.memory_limit"));
        let stream_memory = memory.share("stream", memory.limit() / STREAM_MEMORY_PART);
        let engine = Engine::new(lake.clone(), ingest.clone(), query_options(config), query_memory)?;
        let flow =
            Flow::new(lake.clone(), flow_options(config), compaction, &tasks, parts_stop.child_token());
        let asset_tasks = NodeTasks::new(engine.clone());
        // By a weak handle: the engine knows the flow.
        let weak: Weak<NodeTasks> = Arc::downgrade(&asset_tasks);
        flow.register_assets(weak);
        flow.start().await?;
        engine.register_jobs(Arc::new(NodeJobs(flow.clone())));
        engine.register_assets(Arc::new(NodeAssets(flow.clone())));
        let streams = Arc::new(Streams::new(
            (engine.clone(), lake.clone(), ingest.clone()),
            stream_memory,
            (Limits::default(), reach),
            &tasks,
            parts_stop.child_token(),
        ));
        let pipelines: Weak<Streams> = Arc::downgrade(&streams);
        engine.register_pipelines(pipelines);
        let changes = catalog.tenant_changes();
        tasks.spawn(end_statements((catalog.clone(), engine.clone()), changes, parts_stop.clone()));
        streams.start().await?;
        {
            let mut registry = registry.lock();
            catalog.register(&mut registry);
            ingest.register(&mut registry);
            engine.register(&mut registry);
            flow.register(&mut registry);
            streams.register(&mut registry);
        }
        let services = Services { catalog: catalog.clone(), lake, ingest, engine: engine.clone() };
        // Set before the state says so: a door that sees `Ready` finds them.
        drop(http_services.set(services.clone()));
        drop(postgres_services.set((catalog, engine)));
        state.send_replace(NodeState::Ready);
        Ok(Self {
            services,
            ports: opened,
            admin_token,
            new: data_dir.new,
            flow,
            _asset_tasks: asset_tasks,
            streams,
            data_dir: Some(data_dir),
            state,
            doors,
            doors_stop,
            tasks,
            stop: parts_stop,
            lost,
            shutdown_timeout: config.duration("server.shutdown_timeout"),
        })
    }

    /// Resolves when this process is no longer the active node and must end.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Drains, flushes and closes. What could not be flushed in time is in the log.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        self.state.send_replace(NodeState::Draining);
        self.doors_stop.cancel();
        self.doors.close();
        if tokio::time::timeout(self.shutdown_timeout, self.doors.wait()).await.is_err() {
            tracing::warn!("requests still ran at the end of server.shutdown_timeout");
        }
        // Before the lease is returned, so that the last epochs are committed.
        if tokio::time::timeout(self.shutdown_timeout, self.streams.stop()).await.is_err() {
            tracing::warn!("pipelines still ran at the end of server.shutdown_timeout");
        }
        // Before the lease is returned, so that the ends of its runs are noted.
        if tokio::time::timeout(self.shutdown_timeout, self.flow.stop()).await.is_err() {
            tracing::warn!("jobs still ran at the end of server.shutdown_timeout");
        }
        let flushed = self.services.ingest.shutdown(self.shutdown_timeout).await;
        // The committer ends with `stop`; the lease is returned before, while it still answers.
        let released = self.services.catalog.release_active().await;
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(self.shutdown_timeout, self.tasks.wait()).await.is_err() {
            tracing::warn!("background tasks still ran at the end of server.shutdown_timeout");
        }
        drop(self.data_dir.take());
        flushed?;
        Ok(released?)
    }

    /// Ends at once, as a crash would: nothing is flushed, the lease is not returned. For tests.
    pub async fn abandon(mut self) {
        self.doors_stop.cancel();
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        drop(self.data_dir.take());
    }
}

/// Whether a URL may be the root of a tenant: what connectors may touch, it may be too.
fn root_check(reach: Reach) -> RootCheck {
    Arc::new(move |url: &str| {
        let allowed = if url.contains("://") { reach.url(url) } else { reach.path(url).map(drop) };
        allowed.map_err(|error| error.to_string())
    })
}

/// Puts the objects of tenants that have roots of their own below these.
async fn mount_roots(lake: &Lake) -> Result<(), NodeError> {
    for tenant in lake.catalog.tenants().await? {
        if let Some(root) = &tenant.storage_root {
            lake.store.mount(tenant.scope.tenant(), root)?;
        }
    }
    Ok(())
}

async fn open_ingest(
    lake: &Lake,
    config: &Config,
    memory: MemoryPool,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<Ingest, NodeError> {
    let (options, wal) = (ingest_options(config), wal_options(config));
    Ok(Ingest::open(lake.clone(), options, wal, memory, tasks, stop).await?)
}

/// Makes the rows of this node's log part of the lake while another process is active: they were acknowledged, and nobody else
/// has them. What cannot be flushed stays in the log.
async fn empty_log(lake: &Lake, config: &Config, memory: MemoryPool) -> Result<(), NodeError> {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let ingest = open_ingest(lake, config, memory, &tasks, stop.clone()).await?;
    let closed = ingest.shutdown(config.duration("server.shutdown_timeout")).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(closed?)
}

/// Takes the lease `active` if nobody else has it.
async fn may_be_active(catalog: &Catalog) -> Result<bool, NodeError> {
    match catalog.take_active(LEASE_TTL).await {
        Ok(lease) => Ok(lease.is_some()),
        // The other may stand still with the row locked, or the database be on its way back.
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            tracing::warn!(%error, "cannot ask for the lease `active`");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

async fn wait_for_lease(
    catalog: &Catalog,
    state: &watch::Sender<NodeState>,
    stop: &CancellationToken,
) -> Result<(), NodeError> {
    state.send_replace(NodeState::Standby);
    tracing::info!("another process is active on this catalog: waiting as standby");
    loop {
        tokio::select! {
            () = tokio::time::sleep(LEASE_RENEW) => {}
            () = stop.cancelled() => return Err(NodeError::Stopped),
        }
        if may_be_active(catalog).await? {
            return Ok(());
        }
    }
}

async fn keep_lease(catalog: Catalog, stop: CancellationToken, lost: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LEASE_RENEW) => {}
            () = stop.cancelled() => return,
        }
        match catalog.renew_active(LEASE_TTL).await {
            Ok(_) => {}
            Err(cenote_catalog::Error::Fenced { .. }) => {
                tracing::error!("lost the lease `active`: another process took over");
                lost.cancel();
                return;
            }
            // The lease outlives four failed renewals; each commit checks the fence anyway.
            Err(error) => tracing::warn!(%error, "cannot renew the lease `active`"),
        }
    }
}

async fn first_admin_token(
    config: &Config,
    catalog: &Catalog,
    data_dir: &DataDir,
) -> Result<Option<String>, NodeError> {
    if !catalog.has_no_token().await? {
        return Ok(None);
    }
    let Some(scope) = catalog.tenant("default").await? else {
        return Ok(None);
    };
    let given = Some(config.text("auth.bootstrap_token")).filter(|token| !token.is_empty());
    let new = NewToken {
        name: "admin".into(),
        description: "made at the first start".into(),
        permissions: Permissions::ADMIN,
        grants: Vec::new(),
        default_database: None,
        expires: None,
    };
    let (_, secret) = catalog.create_token(&scope, new, given).await?;
    let path = data_dir
        .write_secret("admin.token", &secret)
        .map_err(|source| NodeError::Io { path: data_dir.path().join("admin.token"), source })?;
    tracing::info!(path = %path.display(), "made the first admin token");
    Ok(Some(secret))
}

async fn open_doors(
    config: &Config,
    choice: PortChoice,
    http: &Http,
    postgres: &Postgres,
    doors: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Ports, NodeError> {
    let mut ports = Ports::default();
    if choice == PortChoice::Closed {
        return Ok(ports);
    }
    let mut listeners = Vec::new();
    for address in config.list("server.listen") {
        let listener = listen(&address, choice).await?;
        ports.http.push(local_address(&listener, &address)?);
        listeners.push(listener);
    }
    doors.spawn(report_end("http", http.clone().serve_all(listeners, doors.clone(), stop.clone())));
    for address in config.list("postgres.listen") {
        let listener = listen(&address, choice).await?;
        ports.postgres.push(local_address(&listener, &address)?);
        doors.spawn(report_end("postgres", postgres.clone().serve(listener, doors.clone(), stop.clone())));
    }
    Ok(ports)
}

async fn report_end(door: &'static str, serving: impl Future<Output = std::io::Result<()>>) {
    if let Err(error) = serving.await {
        tracing::error!(door, %error, "door closed");
    }
}

async fn listen(address: &str, choice: PortChoice) -> Result<TcpListener, NodeError> {
    let failed = |source| NodeError::Listen { address: address.to_owned(), source };
    let mut address: SocketAddr = address
        .parse()
        .map_err(|error| failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, error)))?;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error)
                if choice == PortChoice::NextFree
                    && error.kind() == std::io::ErrorKind::AddrInUse
                    && address.port() < u16::MAX =>
            {
                address.set_port(address.port() + 1);
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

fn local_address(listener: &TcpListener, address: &str) -> Result<SocketAddr, NodeError> {
    listener.local_addr().map_err(|source| NodeError::Listen { address: address.to_owned(), source })
}

fn empty_spill_directory(config: &Config) -> Result<(), NodeError> {
    let path = config.path_or("query.spill_dir", "tmp");
    let io = |source| NodeError::Io { path: path.clone(), source };
    match std::fs::remove_dir_all(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    std::fs::create_dir_all(&path).map_err(io)
}

/// Whose bearer tokens are taken; the configuration was checked to name one key.
fn issuer(config: &Config) -> Result<Option<cenote_jwt::Options>, cenote_jwt::Error> {
    let text = |key| Some(config.text(key)).filter(|text| !text.is_empty()).map(str::to_owned);
    let Some(issuer) = text("jwt.issuer") else { return Ok(None) };
    let key = match (text("jwt.jwks_url"), text("jwt.public_key"), text("jwt.hs256_secret")) {
        (Some(url), _, _) => {
            KeySource::Jwks(url.parse().map_err(|_| cenote_jwt::Error::Key("jwt.jwks_url is no address"))?)
        }
        (_, Some(pem), _) => KeySource::Pem(pem.into_bytes()),
        (_, _, Some(secret)) => KeySource::Secret(secret.into_bytes()),
        _ => KeySource::Discovery,
    };
    Ok(Some(cenote_jwt::Options {
        issuer,
        audience: config.text("jwt.audience").to_owned(),
        key,
        tenant_claim: config.text("jwt.tenant_claim").to_owned(),
        roles_claim: config.text("jwt.roles_claim").to_owned(),
        default_tenant: text("jwt.default_tenant"),
    }))
}

fn catalog_options(config: &Config, data_dir: &DataDir) -> CatalogOptions {
    CatalogOptions {
        url: Secret::new(config.text("catalog.url")),
        data_dir: config.data_dir(),
        pool_size: u32::try_from(config.number("catalog.pool_size")).unwrap_or(u32::MAX),
        statement_cache: usize::try_from(config.number("catalog.statement_cache")).unwrap_or(usize::MAX),
        auto_migrate: match config.text("catalog.auto_migrate") {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        audit_keep: config.duration("audit.keep"),
        holder: data_dir.node.to_string(),
    }
}

fn storage_options(config: &Config) -> StorageOptions {
    let url = match config.text("storage.url") {
        "file" => config.data_dir().join("lake").display().to_string(),
        url => url.to_owned(),
    };
    StorageOptions {
        url,
        region: config.text("storage.region").to_owned(),
        endpoint: config.text("storage.endpoint").to_owned(),
        access_key_id: config.text("storage.access_key_id").to_owned(),
        secret_access_key: Secret::new(config.text("storage.secret_access_key")),
        allow_http: config.flag("storage.allow_http"),
        virtual_hosted_style: config.flag("storage.virtual_hosted_style"),
    }
}

fn table_options(config: &Config) -> TableOptions {
    TableOptions {
        target_file_bytes: config.bytes("table.target_file_size"),
        history_keep: config.duration("table.history_keep"),
        orphan_grace: config.duration("table.orphan_grace"),
        retention: config.optional_duration("table.retention"),
        inline_bytes_max: config.bytes("table.inline_max"),
        compaction_enabled: config.flag("compaction.enabled"),
        dedup: Dedup::parse(config.text("table.dedup")).unwrap_or_default(),
    }
}

fn flow_options(config: &Config) -> FlowOptions {
    FlowOptions {
        compaction_jobs_max: u32::try_from(config.number("compaction.jobs_max")).unwrap_or(u32::MAX),
        retention_enabled: config.flag("retention.enabled"),
        history_keep: config.duration("flow.history_keep"),
        publish_interval: config.duration("metadata.publish_interval"),
    }
}

fn ingest_options(config: &Config) -> IngestOptions {
    IngestOptions {
        database: config.text("ingest.database").to_owned(),
        ack: match config.text("ingest.ack") {
            "memory" => Ack::Memory,
            "committed" => Ack::Committed,
            _ => Ack::Durable,
        },
        flush_bytes: config.bytes("ingest.flush_size"),
        flush_interval: config.duration("ingest.flush_interval"),
        flush_age: config.duration("ingest.flush_age"),
        create_tables: config.flag("ingest.create_tables"),
        create_columns: config.flag("ingest.create_columns"),
        decompressed_max: config.bytes("limits.decompressed_max"),
        disk_free_min: config.bytes("limits.disk_free_min"),
        partition: config.text("table.partition").to_owned(),
        ..IngestOptions::default()
    }
}

fn wal_options(config: &Config) -> WalOptions {
    WalOptions {
        dir: config.path_or("wal.dir", "wal"),
        segment_bytes: config.bytes("wal.segment_size"),
        bytes_max: config.bytes("wal.size_max"),
    }
}

fn query_options(config: &Config) -> QueryOptions {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    QueryOptions {
        timeout: config.duration("query.timeout"),
        slow_threshold: config.duration("query.slow_threshold"),
        target_partitions: match config.number("query.target_partitions") {
            0 => cores,
            threads => usize::try_from(threads).unwrap_or(cores),
        },
        spill_dir: config.path_or("query.spill_dir", "tmp"),
        spill_bytes_max: config.bytes("query.spill_max"),
        staged_bytes_max: config.bytes("query.staged_bytes_max"),
    }
}

fn http_options(config: &Config) -> HttpOptions {
    HttpOptions {
        auth_enabled: config.flag("auth.enabled"),
        body_max: config.bytes("limits.body_max"),
        import_max: config.bytes("limits.import_max"),
        failures_per_minute: u32::try_from(config.number("auth.failures_per_minute")).unwrap_or(u32::MAX),
        delete_enabled: config.flag("delete.enabled"),
        query_timeout: config.duration("query.timeout"),
        connections_max: usize::try_from(config.number("limits.connections_max")).unwrap_or(usize::MAX),
    }
}

fn postgres_options(config: &Config) -> PostgresOptions {
    PostgresOptions {
        auth_enabled: config.flag("auth.enabled"),
        connections_max: usize::try_from(config.number("limits.connections_max")).unwrap_or(usize::MAX),
        idle_in_transaction: config.duration("postgres.idle_in_transaction_timeout"),
    }
}
