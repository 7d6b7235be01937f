//! Relations of the server: databases, settings, sessions, extensions.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use datafusion::common::Result;

use super::facts::{DATABASE, OWNER, PG_CATALOG, PgFacts};
use super::relation::{Cell, Columns, Row};

/// The OID of the tablespace `pg_default`.
const PG_DEFAULT: u32 = 1663;
/// The number of the encoding UTF-8.
pub(crate) const UTF8: i64 = 6;

pub(crate) static DATABASES: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "oid:oid datname:text datdba:oid encoding:int4 datlocprovider:text datistemplate:bool datallowconn:bool \
         datconnlimit:int4 datfrozenxid:int4 datminmxid:int4 dattablespace:oid datcollate:text datctype:text \
         daticulocale:text? datcollversion:text? datacl:text[]?",
    )
});

pub(crate) static SETTINGS: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "name:text setting:text unit:text? category:text short_desc:text? extra_desc:text? context:text vartype:text source:text \
         min_val:text? max_val:text? enumvals:text[]? boot_val:text? reset_val:text? sourcefile:text? sourceline:int4? \
         pending_restart:bool",
    )
});

pub(crate) static ACTIVITY: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "datid:oid datname:text pid:int4 leader_pid:int4? usesysid:oid usename:text application_name:text client_addr:text? \
         client_hostname:text? client_port:int4? backend_start:timestamptz? xact_start:timestamptz? query_start:timestamptz? \
         state_change:timestamptz? wait_event_type:text? wait_event:text? state:text? backend_xid:int4? backend_xmin:int4? \
         query_id:int8? query:text backend_type:text",
    )
});

pub(crate) static STAT_DATABASE: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "datid:oid datname:text numbackends:int4 xact_commit:int8 xact_rollback:int8 blks_read:int8 blks_hit:int8 \
         tup_returned:int8 tup_fetched:int8 tup_inserted:int8 tup_updated:int8 tup_deleted:int8 conflicts:int8 temp_files:int8 \
         temp_bytes:int8 deadlocks:int8 stats_reset:timestamptz?",
    )
});

pub(crate) static EXTENSIONS: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "oid:oid extname:text extowner:oid extnamespace:oid extrelocatable:bool extversion:text extconfig:int4[]? \
         extcondition:text[]?",
    )
});

pub(crate) static ZONES: LazyLock<Columns> =
    LazyLock::new(|| Columns::new("name:text abbrev:text utc_offset:text is_dst:bool"));

pub(crate) fn databases(facts: &PgFacts) -> Result<RecordBatch> {
    DATABASES.batch(&[vec![
        ("oid", Cell::Oid(DATABASE)),
        ("datname", facts.database.as_str().into()),
        ("datdba", Cell::Oid(OWNER)),
        ("encoding", Cell::Int(UTF8)),
        ("datlocprovider", "c".into()),
        ("datallowconn", true.into()),
        ("datconnlimit", Cell::Int(-1)),
        ("dattablespace", Cell::Oid(PG_DEFAULT)),
        ("datcollate", "C".into()),
        ("datctype", "C".into()),
    ]])
}

pub(crate) fn settings(facts: &PgFacts) -> Result<RecordBatch> {
    let rows: Vec<Row> = facts
        .all_settings()
        .map(|(name, value)| -> Row {
            vec![
                ("name", name.into()),
                ("setting", value.into()),
                ("category", "Cenote".into()),
                ("context", "user".into()),
                ("vartype", if matches!(value, "on" | "off") { "bool" } else { "string" }.into()),
                ("source", "session".into()),
                ("boot_val", value.into()),
                ("reset_val", value.into()),
            ]
        })
        .collect();
    SETTINGS.batch(&rows)
}

/// This session; others are in `system.sessions`.
pub(crate) fn activity(facts: &PgFacts) -> Result<RecordBatch> {
    ACTIVITY.batch(&[vec![
        ("datid", Cell::Oid(DATABASE)),
        ("datname", facts.database.as_str().into()),
        ("pid", Cell::Int(facts.backend_pid.into())),
        ("usesysid", Cell::Oid(facts.role())),
        ("usename", facts.user().into()),
        ("application_name", facts.setting("application_name").unwrap_or_default().into()),
        ("state", "active".into()),
        ("backend_type", "client backend".into()),
    ]])
}

pub(crate) fn database_statistics(facts: &PgFacts) -> Result<RecordBatch> {
    STAT_DATABASE.batch(&[vec![
        ("datid", Cell::Oid(DATABASE)),
        ("datname", facts.database.as_str().into()),
        ("numbackends", Cell::Int(1)),
    ]])
}

/// `plpgsql` only, which clients expect to be there.
pub(crate) fn extensions(_: &PgFacts) -> Result<RecordBatch> {
    EXTENSIONS.batch(&[vec![
        ("oid", Cell::Oid(13_537)),
        ("extname", "plpgsql".into()),
        ("extowner", Cell::Oid(OWNER)),
        ("extnamespace", Cell::Oid(PG_CATALOG)),
        ("extversion", "1.0".into()),
    ]])
}

pub(crate) fn zones(_: &PgFacts) -> Result<RecordBatch> {
    ZONES.batch(&[vec![("name", "UTC".into()), ("abbrev", "UTC".into()), ("utc_offset", "00:00:00".into())]])
}
