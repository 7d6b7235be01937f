//! Connections to the catalog database.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, SqlitePool};

use super::transaction::{query_postgres, query_sqlite};
use super::{Dialect, Failure, Row, Statement, Transaction};
use crate::{CatalogOptions, Error};

/// SQLite connections that read.
const SQLITE_READERS: u32 = 4;
/// How long a statement of SQLite waits for another process's lock.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// SQLite cuts its log to this many bytes after a checkpoint.
const SQLITE_LOG_BYTES_MAX: &str = "67108864";
/// How long a question waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// An idle PostgreSQL connection is closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// Any PostgreSQL connection is closed after this.
const LIFETIME_MAX: Duration = Duration::from_secs(1800);

/// The catalog database.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    /// One connection writes, others read; in memory both are the same one.
    Sqlite { writer: SqlitePool, reader: SqlitePool },
    /// One pool.
    Postgres(PgPool),
}

impl Database {
    /// Connects. `Invalid` for a URL that is not understood; it is not repeated, since it may hold a password.
    pub(crate) async fn connect(options: &CatalogOptions) -> Result<Self, Error> {
        let url = options.url.reveal();
        if url == "sqlite::memory:" {
            return Self::memory().await;
        }
        if let Some(rest) = url.strip_prefix("sqlite") {
            let file = match rest.strip_prefix("://").or_else(|| rest.strip_prefix(':')) {
                Some(path) if !path.is_empty() => path.into(),
                None if rest.is_empty() => options.data_dir.join("catalog.db"),
                _ => {
                    return Err(Error::Invalid(
                        "catalog.url must be sqlite, sqlite://<file> or postgres://…".into(),
                    ));
                }
            };
            return Self::sqlite(SqliteConnectOptions::new().filename(file).create_if_missing(true)).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Self::postgres(url, options).await;
        }
        Err(Error::Invalid("catalog.url must be sqlite, sqlite://<file> or postgres://…".into()))
    }

    /// A database that lives as long as its one connection.
    async fn memory() -> Result<Self, Error> {
        let pool = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(SqliteConnectOptions::new().in_memory(true))
            .await
            .map_err(unreachable)?;
        Ok(Self::Sqlite { writer: pool.clone(), reader: pool })
    }

    async fn sqlite(options: SqliteConnectOptions) -> Result<Self, Error> {
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(SQLITE_BUSY_TIMEOUT)
            .pragma("journal_size_limit", SQLITE_LOG_BYTES_MAX)
            // What is deleted is overwritten, not only forgotten.
            .pragma("secure_delete", "ON");
        let pool = || {
            SqlitePoolOptions::new()
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .acquire_timeout(ACQUIRE_TIMEOUT)
        };
        let writer = pool()
            .min_connections(1)
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(unreachable)?;
        let reader = pool()
            .max_connections(SQLITE_READERS)
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(unreachable)?;
        Ok(Self::Sqlite { writer, reader })
    }

    async fn postgres(url: &str, options: &CatalogOptions) -> Result<Self, Error> {
        let connect = PgConnectOptions::from_str(url)
            .map_err(|_| Error::Invalid("catalog.url is no PostgreSQL URL".into()))?
            .application_name(&format!("cenote/{}", options.holder))
            .statement_cache_capacity(options.statement_cache)
            .options([
                ("lock_timeout", "5s"),
                ("statement_timeout", "30s"),
                // A process that stands still in the middle of a commit holds locks that whoever takes over needs.
                ("idle_in_transaction_session_timeout", "10s"),
                ("synchronous_commit", "on"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(options.pool_size.max(2)) // the committer's and one that reads
            .idle_timeout(IDLE_TIMEOUT)
            .max_lifetime(LIFETIME_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(connect)
            .await
            .map_err(unreachable)?;
        Ok(Self::Postgres(pool))
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// A statement in this database's dialect.
    pub(crate) fn statement(&self, text: &str) -> Statement {
        Statement::new(self.dialect(), text)
    }

    /// A transaction that changes: SQLite locks the file at once, PostgreSQL the rows that are asked for.
    pub(crate) async fn write(&self) -> Result<Transaction, Failure> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Transaction::sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Transaction::postgres(pool.begin().await?),
        })
    }

    /// Takes the rows that were deleted off the disk: SQLite's log still has their pages. What PostgreSQL keeps of them is its own
    /// vacuum's.
    pub(crate) async fn scrub(&self) -> Result<(), Failure> {
        let Self::Sqlite { writer, .. } = self else { return Ok(()) };
        let outcome = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(writer).await?;
        let busy: i64 = sqlx::Row::try_get(&outcome, 0)?;
        if busy == 0 {
            Ok(())
        } else {
            Err(Failure::Busy("readers still need pages of the catalog's log".into()))
        }
    }

    /// A transaction that reads one state of the database.
    pub(crate) async fn read(&self) -> Result<Transaction, Failure> {
        Ok(match self {
            Self::Sqlite { reader, .. } => Transaction::sqlite(reader.begin().await?),
            Self::Postgres(pool) => Transaction::postgres(
                pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?,
            ),
        })
    }

    /// Rows of one question.
    pub(crate) async fn query(&self, statement: Statement) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Sqlite { reader, .. } => query_sqlite(&mut *reader.acquire().await?, statement).await,
            Self::Postgres(pool) => query_postgres(&mut *pool.acquire().await?, statement).await,
        }
    }

    /// The first row of one question.
    pub(crate) async fn row(&self, statement: Statement) -> Result<Option<Row>, Failure> {
        Ok(self.query(statement).await?.into_iter().next())
    }

    /// Ends all connections, after what runs.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, reader } => {
                reader.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// Connection errors name addresses, never the URL.
fn unreachable(error: sqlx::Error) -> Error {
    Failure::from(error).into()
}
