//! Where the databases differ.

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Inside the process.
    Sqlite,
    /// A server.
    Postgres,
}

/// The most values that one SQLite statement binds.
const SQLITE_BINDS_MAX: usize = 32_766;
/// The most rows in one PostgreSQL statement: arrays have no limit, messages should.
const POSTGRES_ROWS_MAX: usize = 10_000;

impl Dialect {
    /// The short name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgresql",
        }
    }

    /// The most rows of `columns` columns that one statement may carry, besides a few single values.
    pub(crate) fn rows_max(self, columns: usize) -> usize {
        match self {
            Self::Sqlite => (SQLITE_BINDS_MAX - 16) / columns.max(1),
            Self::Postgres => POSTGRES_ROWS_MAX,
        }
    }

    /// Appended to a SELECT whose rows must stay as they are until the transaction ends.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "", // the whole file is locked since BEGIN IMMEDIATE
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Appended to a SELECT whose rows nobody may change until the transaction ends, though others may read them so too.
    pub(crate) fn for_share(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR SHARE",
        }
    }

    /// The database's clock in microseconds since 1970.
    pub(crate) fn now_micros(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        }
    }
}
