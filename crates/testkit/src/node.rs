//! A node in this process, on temporary directories and free ports.

use std::path::PathBuf;

use cenote::config::{Config, Sources};
use cenote::{Node, PortChoice};
use cenote_catalog::NewToken;
use cenote_vocab::{Clock, Ids, Permissions};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::{PATIENCE, services, settles};

const MEMORY: u64 = 4 << 30;

/// Which catalog database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogKind {
    /// In the data directory.
    Sqlite,
    /// A real server.
    Postgres,
}

/// Where data files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// In the data directory.
    Disk,
    /// An S3 server.
    S3,
}

/// A node of a test.
pub struct TestNode {
    node: Option<Node>,
    settings: Vec<(String, String)>,
    clock: Clock,
    directory: PathBuf,
    _owned: tempfile::TempDir,
}

impl TestNode {
    /// SQLite and local disk.
    pub async fn start() -> Self {
        Self::with(CatalogKind::Sqlite, StorageKind::Disk, &[]).await.expect("always there")
    }

    /// With these parts and settings (`key`, `value`); `None` if the machine lacks a server for it.
    pub async fn with(catalog: CatalogKind, storage: StorageKind, settings: &[(&str, &str)]) -> Option<Self> {
        let owned = tempfile::Builder::new().prefix("cenote-node").tempdir().expect("a directory");
        let directory = owned.path().join("data");
        let mut all = vec![
            ("server.data_dir".to_owned(), directory.display().to_string()),
            ("server.listen".to_owned(), "127.0.0.1:0".to_owned()),
            ("postgres.listen".to_owned(), "127.0.0.1:0".to_owned()),
            ("limits.disk_free_min".to_owned(), "1MiB".to_owned()),
            ("wal.segment_size".to_owned(), "8MiB".to_owned()),
        ];
        if catalog == CatalogKind::Postgres {
            all.push(("catalog.url".to_owned(), services::postgres_database()?));
            all.push(("catalog.auto_migrate".to_owned(), "true".to_owned()));
        }
        if storage == StorageKind::S3 {
            let (endpoint, bucket) = services::s3_bucket()?;
            all.push(("storage.url".to_owned(), format!("s3://{bucket}/lake")));
            all.push(("storage.endpoint".to_owned(), endpoint));
            all.push(("storage.allow_http".to_owned(), "true".to_owned()));
            all.push(("storage.region".to_owned(), "us-east-1".to_owned()));
            all.push(("storage.access_key_id".to_owned(), "test".to_owned()));
            all.push(("storage.secret_access_key".to_owned(), "test".to_owned()));
        }
        all.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let mut test = Self { node: None, settings: all, clock: Clock::system(), directory, _owned: owned };
        test.open().await;
        Some(test)
    }

    async fn open(&mut self) {
        let sources = Sources { flags: self.settings.clone(), ..Sources::default() };
        let config = Config::read(&sources, MEMORY).expect("a valid configuration");
        // What a connection of the crashed node still does holds its log until it is done.
        settles("the log to be free", PATIENCE, async || {
            let (clock, stop) = (self.clock.clone(), CancellationToken::new());
            let ids = Ids::system(clock.clone());
            match Node::start(&config, clock, ids, PortChoice::AsConfigured, stop).await {
                Ok(node) => self.node = Some(node),
                Err(error) if error.to_string().contains("in use by another process") => {}
                Err(error) => panic!("the node does not start: {error:?}"),
            }
            self.node.is_some()
        })
        .await;
    }

    /// The running node.
    pub fn node(&self) -> &Node {
        self.node.as_ref().expect("running")
    }

    /// Stops in order and starts again on the same data.
    pub async fn restart(&mut self) {
        self.node.take().expect("running").stop().await.expect("stops in order");
        self.open().await;
    }

    /// Ends without flushing and starts again, as after a crash.
    pub async fn crash(&mut self) {
        self.node.take().expect("running").abandon().await;
        self.open().await;
    }

    /// An admin of the tenant `default`.
    pub fn client(&self) -> Client {
        let token = std::fs::read_to_string(self.directory.join("admin.token")).expect("admin.token");
        Client::new(self.url(), token.trim())
    }

    /// The number of the newest transaction of the tenant `default`.
    pub async fn head(&self) -> i64 {
        let catalog = &self.node().services.catalog;
        let scope = catalog.tenant("default").await.expect("a catalog").expect("made at open");
        catalog.head(&scope).await.expect("a head").txn.0
    }

    /// An admin of a new tenant.
    pub async fn second_tenant(&self, name: &str) -> Client {
        let catalog = &self.node().services.catalog;
        let scope = catalog.create_tenant(name).await.expect("a tenant");
        let new = NewToken {
            name: "admin".into(),
            description: String::new(),
            permissions: Permissions::ADMIN,
            grants: Vec::new(),
            default_database: None,
            expires: None,
        };
        let (_, secret) = catalog.create_token(&scope, new, None).await.expect("a token");
        Client::new(self.url(), secret)
    }

    /// An admin of a new tenant that the operator makes by a statement: `options` stand behind its name.
    pub async fn tenant(&self, name: &str, options: &str) -> Client {
        let operator = self.client();
        operator.sql(&format!("CREATE TENANT '{name}' {options}")).await;
        let path = format!("/api/v1/tenants/{name}/tokens");
        let made = operator.send("POST", &path, &[], "{}").await.expect("an answer");
        assert_eq!(made.status, 201, "{}", made.text);
        Client::new(self.url(), made.json()["token"].as_str().expect("a secret"))
    }

    /// `http://host:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.node().ports.http[0])
    }

    /// Connection parameters for `tokio_postgres`.
    pub fn postgres(&self, client: &Client) -> tokio_postgres::Config {
        let address = self.node().ports.postgres[0];
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(address.port()).user("admin").password(&client.token).dbname("lake");
        config
    }

    /// Its data directory.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }
}

/// Names of all system tables that the catalog declares.
pub fn system_tables() -> Vec<&'static str> {
    cenote_catalog::system_tables().iter().map(|table| table.name).collect()
}
