//! Failures of the catalog.

use cenote_vocab::{ErrorKind, Fault, FileId, InvalidName, SqlState, TableId, Txn};

use crate::Clash;

/// A failure of the catalog; nothing was changed unless it is [`Error::OutcomeUnknown`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such table or view.
    #[error("table \"{name}\" does not exist")]
    TableNotFound {
        /// As asked.
        name: String,
        /// The nearest name that the asker may see.
        nearest: Option<String>,
    },
    /// No such schema.
    #[error("schema \"{name}\" does not exist")]
    SchemaNotFound {
        /// As asked.
        name: String,
        /// The nearest name.
        nearest: Option<String>,
    },
    /// No such column.
    #[error("column \"{column}\" of table {table} does not exist")]
    ColumnNotFound {
        /// The table.
        table: String,
        /// As asked.
        column: String,
        /// The nearest name.
        nearest: Option<String>,
    },
    /// A live object has this name.
    #[error("table \"{0}\" already exists")]
    TableExists(String),
    /// A live schema has this name.
    #[error("schema \"{0}\" already exists")]
    SchemaExists(String),
    /// A live column has this name.
    #[error("column \"{column}\" of table {table} already exists")]
    ColumnExists {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A tag of this name exists.
    #[error("tag \"{0}\" already exists")]
    TagExists(String),
    /// No such tag.
    #[error("tag \"{0}\" does not exist")]
    TagNotFound(String),
    /// No such hold, or none any more.
    #[error("hold {0} does not exist or has expired")]
    HoldNotFound(uuid::Uuid),
    /// `DROP SCHEMA` without CASCADE.
    #[error("schema \"{name}\" still has {tables} tables")]
    SchemaNotEmpty {
        /// The schema.
        name: String,
        /// Live tables and views in it.
        tables: usize,
    },
    /// No such job.
    #[error("job \"{name}\" does not exist")]
    JobNotFound {
        /// As asked.
        name: String,
        /// The nearest name.
        nearest: Option<String>,
    },
    /// No such pipeline.
    #[error("pipeline \"{name}\" does not exist")]
    PipelineNotFound {
        /// As asked.
        name: String,
        /// The nearest name.
        nearest: Option<String>,
    },
    /// The schema has a pipeline of this name.
    #[error("pipeline \"{0}\" already exists")]
    PipelineExists(String),
    /// No such asset.
    #[error("asset \"{name}\" does not exist")]
    AssetNotFound {
        /// As asked.
        name: String,
        /// The nearest name.
        nearest: Option<String>,
    },
    /// A run of the asset is open.
    #[error("asset {0} has a run that is not at its end")]
    AssetBusy(uuid::Uuid),
    /// The asset is not as it was when its change was planned.
    #[error("asset {0} was changed meanwhile")]
    AssetChanged(uuid::Uuid),
    /// The table is filled by a recipe.
    #[error("table {0} is an asset")]
    IsAsset(String),
    /// The table has a check of this name.
    #[error("check \"{0}\" already exists")]
    CheckExists(String),
    /// No such check.
    #[error("check \"{0}\" does not exist")]
    CheckNotFound(String),
    /// No such run.
    #[error("run {0} does not exist")]
    RunNotFound(String),
    /// The run is at its end.
    #[error("run {0} has ended")]
    RunEnded(uuid::Uuid),
    /// Another run was asked for by this key.
    #[error("run key {key:?} is taken by run {run}")]
    RunKeyTaken {
        /// The key.
        key: String,
        /// That run.
        run: uuid::Uuid,
    },
    /// A partition of an asset that there is not, or a cut that cannot be.
    #[error("{0}")]
    Slice(String),
    /// The attempt does not have its task any more: what it did counts nowhere.
    #[error("attempt {0} does not have its task any more")]
    TaskGone(uuid::Uuid),
    /// The trigger was fired, changed or held meanwhile.
    #[error("trigger {0} was fired or changed meanwhile")]
    TriggerGone(uuid::Uuid),
    /// The token by whose rights something runs is gone, revoked or expired.
    #[error("the owner (token {0}) is gone, revoked or expired")]
    OwnerGone(i64),
    /// A column with this name appeared since the change was planned, with another type.
    #[error("column {column:?} of table {table} is {existing}, got {given}")]
    ColumnConflict {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type now.
        existing: String,
        /// The type asked for.
        given: String,
    },
    /// `schema_incompatible`: a type that does not hold all values of the column.
    #[error("column {column:?} of table {table} is {from} and cannot become {to}: {reason}")]
    SchemaIncompatible {
        /// The table.
        table: String,
        /// The column, by its path.
        column: String,
        /// Its type.
        from: String,
        /// The type asked for.
        to: String,
        /// What is allowed, or what is in the way.
        reason: String,
    },
    /// `transform_invalid`
    #[error("partition transform {transform} does not take column {column:?} of type {given}")]
    Transform {
        /// The transform.
        transform: String,
        /// The column.
        column: String,
        /// Its type.
        given: String,
    },
    /// A column that something else of the table is made from.
    #[error("column {column:?} of table {table} is needed by {user}")]
    Needed {
        /// The table.
        table: String,
        /// The column, by its path.
        column: String,
        /// Partition spec, sort order or key.
        user: String,
    },
    /// A column that would be NULL and must not.
    #[error("{0}")]
    NotNull(String),
    /// What this version cannot do.
    #[error("{0} is not supported yet")]
    Unsupported(String),
    /// Another commit was first; plan again at the new head.
    #[error("commit conflicts with transaction {with_txn} on table {table}: {clash}")]
    CommitConflict {
        /// The table, by its name for people …
        table: String,
        /// … and by its id.
        table_id: TableId,
        /// What the other did.
        clash: Clash,
        /// The other transaction.
        with_txn: Txn,
        /// Files of the base that are not as they were, or new ones that may hold rows that were read: those to read again. Empty:
        /// all of the table.
        files: Vec<FileId>,
    },
    /// An object is not as it was when its change was asked for.
    #[error("{0} was changed meanwhile")]
    Changed(String),
    /// A newer holder has the producer name or lease.
    #[error("fenced: {name} has a newer holder")]
    Fenced {
        /// Producer or lease.
        name: String,
    },
    /// A version that is no longer kept, or never was.
    #[error("{0}")]
    SnapshotExpired(String),
    /// Events that are no longer kept.
    #[error("events after {after} are no longer kept: they start after {floor}")]
    EventsExpired {
        /// As asked.
        after: Txn,
        /// The transaction after which they are kept.
        floor: Txn,
    },
    /// Changes that are no longer kept.
    #[error("changes of {table} after {after} are no longer kept: they start after {floor}")]
    ChangesExpired {
        /// The table.
        table: String,
        /// As asked.
        after: Txn,
        /// The oldest version from which on changes are kept.
        floor: Txn,
    },
    /// A version above the head.
    #[error("snapshot {asked} is in the future: the newest is {head}")]
    SnapshotFuture {
        /// As asked.
        asked: Txn,
        /// The newest.
        head: Txn,
    },
    /// A name that breaks a rule.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A request that breaks a rule; the text names object and rule.
    #[error("{0}")]
    Invalid(String),
    /// A limit with a name.
    #[error("{0}")]
    Limit(String),
    /// A missing or wrong token. The text is the same for unknown and wrong.
    #[error("invalid or expired token")]
    Unauthenticated,
    /// Bearer tokens cannot be proven now.
    #[error("the keys of the issuer of tokens cannot be fetched")]
    Issuer,
    /// No such token.
    #[error("token not found")]
    TokenNotFound,
    /// No such tenant.
    #[error("tenant \"{0}\" does not exist")]
    TenantNotFound(String),
    /// A tenant has this name.
    #[error("tenant \"{0}\" already exists")]
    TenantExists(String),
    /// A tenant that had this name was dropped, and its files are still there.
    #[error("tenant \"{0}\" was dropped and its files are not collected yet")]
    TenantCollected(String),
    /// `DROP TENANT` without CASCADE.
    #[error("tenant \"{tenant}\" still has {what}")]
    TenantNotEmpty {
        /// The tenant.
        tenant: String,
        /// How many of what.
        what: String,
    },
    /// A name of a tenant that breaks the rule.
    #[error("{0}")]
    TenantName(String),
    /// `tenant_suspended`: nobody of the tenant is let in.
    #[error("tenant \"{0}\" is suspended")]
    TenantSuspended(String),
    /// The tenant was dropped meanwhile.
    #[error("the tenant was dropped")]
    TenantGone,
    /// No such role.
    #[error("role \"{0}\" does not exist")]
    RoleNotFound(String),
    /// A token of this name exists.
    #[error("token \"{0}\" already exists")]
    TokenExists(String),
    /// The last enabled admin token must stay.
    #[error("token \"{0}\" is the last enabled admin token")]
    LastAdmin(String),
    /// The catalog database does not answer; nothing was changed.
    #[error("catalog database is not available: {0}")]
    Unavailable(String),
    /// The connection broke at COMMIT and the outcome could not be learned.
    #[error("outcome of the commit is unknown: {0}")]
    OutcomeUnknown(String),
    /// The database is of a layout that this binary cannot open.
    #[error("catalog has layout {found}, this binary knows {known}")]
    Layout {
        /// In the database.
        found: i64,
        /// Of this binary.
        known: i64,
    },
    /// The disk that holds the catalog is full.
    #[error("catalog disk is full")]
    Full,
    /// Stored rows contradict each other.
    #[error("catalog is damaged: {0}")]
    Corrupt(String),
    /// A blob of the catalog is damaged.
    #[error(transparent)]
    DataFile(#[from] cenote_datafile::Error),
    /// Rows of a table with the option `append_only` are to be changed.
    #[error("table {0} is append-only: its rows cannot be changed")]
    AppendOnly(String),
    /// Our bug.
    #[error("catalog: {0}")]
    Internal(String),
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TableNotFound { .. }
            | Self::SchemaNotFound { .. }
            | Self::ColumnNotFound { .. }
            | Self::JobNotFound { .. }
            | Self::PipelineNotFound { .. }
            | Self::AssetNotFound { .. }
            | Self::CheckNotFound(_)
            | Self::RunNotFound(_)
            | Self::TokenNotFound
            | Self::TenantNotFound(_)
            | Self::TenantGone
            | Self::RoleNotFound(_)
            | Self::TagNotFound(_)
            | Self::HoldNotFound(_)
            | Self::SnapshotExpired(_)
            | Self::EventsExpired { .. }
            | Self::ChangesExpired { .. } => ErrorKind::NotFound,
            Self::TableExists(_)
            | Self::SchemaExists(_)
            | Self::TagExists(_)
            | Self::PipelineExists(_)
            | Self::CheckExists(_)
            | Self::AssetBusy(_)
            | Self::AssetChanged(_)
            | Self::IsAsset(_)
            | Self::RunEnded(_)
            | Self::RunKeyTaken { .. }
            | Self::TaskGone(_)
            | Self::TriggerGone(_)
            | Self::ColumnExists { .. }
            | Self::ColumnConflict { .. }
            | Self::CommitConflict { .. }
            | Self::Changed(_)
            | Self::Fenced { .. }
            | Self::TokenExists(_)
            | Self::TenantExists(_)
            | Self::TenantCollected(_)
            | Self::TenantNotEmpty { .. }
            | Self::LastAdmin(_)
            | Self::SchemaNotEmpty { .. } => ErrorKind::Conflict,
            Self::SnapshotFuture { .. }
            | Self::Name(_)
            | Self::TenantName(_)
            | Self::Invalid(_)
            | Self::SchemaIncompatible { .. }
            | Self::Transform { .. }
            | Self::Needed { .. }
            | Self::AppendOnly(_)
            | Self::Slice(_)
            | Self::NotNull(_) => ErrorKind::Invalid,
            Self::Limit(_) | Self::Full => ErrorKind::Exhausted,
            Self::Unauthenticated => ErrorKind::Unauthenticated,
            Self::OwnerGone(_) | Self::TenantSuspended(_) => ErrorKind::Denied,
            Self::Unavailable(_) | Self::OutcomeUnknown(_) | Self::Issuer => ErrorKind::Unavailable,
            Self::Layout { .. } | Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::DataFile(error) => error.kind(),
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn sqlstate(&self) -> SqlState {
        SqlState(match self {
            Self::TableNotFound { .. } => "42P01",
            Self::SchemaNotFound { .. } => "3F000",
            Self::ColumnNotFound { .. } => "42703",
            Self::JobNotFound { .. }
            | Self::PipelineNotFound { .. }
            | Self::AssetNotFound { .. }
            | Self::CheckNotFound(_)
            | Self::RunNotFound(_)
            | Self::TenantNotFound(_)
            | Self::TenantGone
            | Self::RoleNotFound(_) => "42704",
            Self::TenantExists(_) => "42710",
            Self::TenantCollected(_) => "55006",
            Self::TenantNotEmpty { .. } => "2BP01",
            Self::TenantName(_) => "42602",
            Self::TenantSuspended(_) => "28000",
            Self::TableExists(_) => "42P07",
            Self::SchemaExists(_) => "42P06",
            Self::ColumnExists { .. } => "42701",
            Self::ColumnConflict { .. } | Self::SchemaIncompatible { .. } => "42804",
            Self::Needed { .. } => "2BP01",
            Self::NotNull(_) => "23502",
            Self::AppendOnly(_) => "25006",
            Self::TagExists(_) | Self::PipelineExists(_) | Self::CheckExists(_) => "42710",
            Self::IsAsset(_) => "2BP01",
            Self::AssetBusy(_) | Self::RunEnded(_) | Self::TaskGone(_) | Self::TriggerGone(_) => "55000",
            Self::TagNotFound(_) | Self::HoldNotFound(_) => "42704",
            Self::SchemaNotEmpty { .. } => "2BP01",
            Self::Changed(_) => "P0004", // as of an assertion that fails
            Self::Fenced { .. } => "55000",
            Self::SnapshotExpired(_)
            | Self::EventsExpired { .. }
            | Self::ChangesExpired { .. }
            | Self::SnapshotFuture { .. }
            | Self::Slice(_)
            | Self::Transform { .. } => "22023",
            Self::Name(_) => "42602",
            Self::Full => "53100",
            Self::DataFile(error) => return error.sqlstate(),
            _ => return self.kind().sqlstate(),
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TableNotFound { nearest, .. }
            | Self::SchemaNotFound { nearest, .. }
            | Self::ColumnNotFound { nearest, .. }
            | Self::JobNotFound { nearest, .. }
            | Self::PipelineNotFound { nearest, .. }
            | Self::AssetNotFound { nearest, .. } => {
                nearest.as_ref().map(|name| format!("did you mean \"{name}\"?"))
            }
            Self::IsAsset(_) => Some("use DROP ASSET first".to_owned()),
            Self::TenantNotEmpty { .. } => Some("DROP TENANT … CASCADE takes them away too".to_owned()),
            Self::TenantCollected(_) => Some("take another name, or wait".to_owned()),
            Self::EventsExpired { floor, .. } => {
                Some(format!("read what there is now, then the events after {floor}"))
            }
            Self::ChangesExpired { floor, .. } => Some(format!(
                "read the table at version {floor} or later, then its changes after that version"
            )),
            _ => None,
        }
    }
}
