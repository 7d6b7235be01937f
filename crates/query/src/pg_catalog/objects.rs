//! Relations of schemas, tables and columns: `pg_namespace`, `pg_class`, `pg_attribute`, `pg_description` and their views.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use cenote_catalog::{TableDef, TableKind};
use datafusion::common::Result;

use super::facts::{INFORMATION_SCHEMA, OWNER, OWNER_NAME, PG_CATALOG, PgFacts};
use super::relation::{Cell, Columns, Row};
use super::{information_schema, provider, system, type_names};

/// The OID of the relation `pg_class`: the class of every table in `pg_description`.
pub(crate) const PG_CLASS: u32 = 1259;
/// The OID of the access method `heap`, in which psql believes tables to be.
const HEAP: u32 = 2;
/// Views and tables of Postgres whose OID is not known here count from this one.
const MADE: u32 = 12_500;

pub(crate) static NAMESPACE: LazyLock<Columns> =
    LazyLock::new(|| Columns::new("oid:oid nspname:text nspowner:oid nspacl:text[]?"));

pub(crate) static CLASS: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "oid:oid relname:text relnamespace:oid reltype:oid reloftype:oid relowner:oid relam:oid relfilenode:oid \
         reltablespace:oid relpages:int4 reltuples:float4 relallvisible:int4 reltoastrelid:oid relhasindex:bool \
         relisshared:bool relpersistence:text relkind:text relnatts:int2 relchecks:int2 relhasrules:bool relhastriggers:bool \
         relhassubclass:bool relrowsecurity:bool relforcerowsecurity:bool relispopulated:bool relreplident:text \
         relispartition:bool relrewrite:oid relfrozenxid:int4 relminmxid:int4 relacl:text[]? reloptions:text[]? relpartbound:text?",
    )
});

pub(crate) static ATTRIBUTE: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "attrelid:oid attname:text atttypid:oid attstattarget:int4 attlen:int2 attnum:int2 attndims:int4 attcacheoff:int4 \
         atttypmod:int4 attbyval:bool attalign:text attstorage:text attcompression:text attnotnull:bool atthasdef:bool \
         atthasmissing:bool attidentity:text attgenerated:text attisdropped:bool attislocal:bool attinhcount:int4 \
         attcollation:oid attacl:text[]? attoptions:text[]? attfdwoptions:text[]? attmissingval:text?",
    )
});

pub(crate) static DESCRIPTION: LazyLock<Columns> =
    LazyLock::new(|| Columns::new("objoid:oid classoid:oid objsubid:int4 description:text"));

pub(crate) static TABLES: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "schemaname:text tablename:text tableowner:text tablespace:text? hasindexes:bool hasrules:bool hastriggers:bool \
         rowsecurity:bool",
    )
});

pub(crate) static VIEWS: LazyLock<Columns> =
    LazyLock::new(|| Columns::new("schemaname:text viewname:text viewowner:text definition:text?"));

pub(crate) static STAT_TABLES: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "relid:oid schemaname:text relname:text seq_scan:int8 seq_tup_read:int8 idx_scan:int8? idx_tup_fetch:int8? \
         n_tup_ins:int8 n_tup_upd:int8 n_tup_del:int8 n_tup_hot_upd:int8 n_live_tup:int8 n_dead_tup:int8 \
         n_mod_since_analyze:int8 n_ins_since_vacuum:int8 last_vacuum:timestamptz? last_autovacuum:timestamptz? \
         last_analyze:timestamptz? last_autoanalyze:timestamptz? vacuum_count:int8 autovacuum_count:int8 analyze_count:int8 \
         autoanalyze_count:int8",
    )
});

pub(crate) fn namespaces(facts: &PgFacts) -> Result<RecordBatch> {
    let row = |oid, name: &str| -> Row {
        vec![("oid", Cell::Oid(oid)), ("nspname", name.into()), ("nspowner", Cell::Oid(OWNER))]
    };
    let own = [row(PG_CATALOG, "pg_catalog"), row(INFORMATION_SCHEMA, "information_schema")];
    let schemas = facts.schemas().map(|schema| row(schema.id.oid(), &schema.name));
    NAMESPACE.batch(&own.into_iter().chain(schemas).collect::<Vec<_>>())
}

/// Tables and views of the lake, then the relations of Postgres.
pub(crate) fn classes(facts: &PgFacts) -> Result<RecordBatch> {
    let rows: Vec<Row> = facts.tables().map(|table| class(table)).collect();
    Ok(concat_batches(&CLASS.schema(), [&CLASS.batch(&rows)?, SYSTEM_CLASSES.as_ref().map_err(lost)?])?)
}

fn class(table: &TableDef) -> Row {
    let is_view = matches!(table.kind, TableKind::View { .. });
    vec![
        ("oid", Cell::Oid(table.id.oid())),
        ("relname", table.name.as_str().into()),
        ("relnamespace", Cell::Oid(table.schema_id.oid())),
        ("relowner", Cell::Oid(OWNER)),
        ("relam", Cell::Oid(if is_view { 0 } else { HEAP })),
        ("relfilenode", Cell::Oid(if is_view { 0 } else { table.id.oid() })),
        ("reltuples", Cell::Int(-1)),
        ("relpersistence", "p".into()),
        ("relkind", if is_view { "v" } else { "r" }.into()),
        ("relnatts", Cell::Int(table.schema.fields.len() as i64)),
        ("relhasrules", is_view.into()),
        ("relispopulated", true.into()),
        ("relreplident", if is_view { "n" } else { "d" }.into()),
    ]
}

pub(crate) fn attributes(facts: &PgFacts) -> Result<RecordBatch> {
    let rows: Vec<Row> = facts.tables().flat_map(|table| attributes_of(table)).collect();
    Ok(concat_batches(
        &ATTRIBUTE.schema(),
        [&ATTRIBUTE.batch(&rows)?, SYSTEM_ATTRIBUTES.as_ref().map_err(lost)?],
    )?)
}

fn attributes_of(table: &TableDef) -> impl Iterator<Item = Row> + '_ {
    table.schema.fields.iter().zip(1..).map(|(field, number): (_, i64)| {
        let length = type_names::length(&field.field_type);
        vec![
            ("attrelid", Cell::Oid(table.id.oid())),
            ("attname", field.name.as_str().into()),
            ("atttypid", Cell::Oid(type_names::oid(&field.field_type))),
            ("attstattarget", Cell::Int(-1)),
            ("attlen", Cell::Int(length)),
            ("attnum", Cell::Int(number)),
            ("attcacheoff", Cell::Int(-1)),
            ("atttypmod", Cell::Int(type_names::modifier(&field.field_type).into())),
            ("attbyval", (1..=8).contains(&length).into()),
            ("attalign", "d".into()),
            ("attstorage", if length > 0 { "p" } else { "x" }.into()),
            ("attnotnull", field.required.into()),
            ("attislocal", true.into()),
            ("attcollation", Cell::Oid(if type_names::oid(&field.field_type) == 25 { 100 } else { 0 })),
        ]
    })
}

/// Comments, after what Postgres says about itself.
pub(crate) fn descriptions(facts: &PgFacts) -> Result<RecordBatch> {
    let row = |oid, number: i64, text: &str| -> Row {
        vec![
            ("objoid", Cell::Oid(oid)),
            ("classoid", Cell::Oid(PG_CLASS)),
            ("objsubid", Cell::Int(number)),
            ("description", text.into()),
        ]
    };
    let rows: Vec<Row> = facts
        .tables()
        .flat_map(|table| {
            let oid = table.id.oid();
            let own = table.comment.iter().map(move |comment| row(oid, 0, comment));
            let columns = table.schema.fields.iter().zip(1..);
            own.chain(
                columns.filter_map(move |(field, number)| Some(row(oid, number, field.comment.as_ref()?))),
            )
        })
        .collect();
    let own = DESCRIPTION.batch(&rows)?;
    match system::system()?.rows("pg_description") {
        Some(brought) => {
            Ok(concat_batches(&DESCRIPTION.schema(), [&own, &conform(brought, &DESCRIPTION.schema())?])?)
        }
        None => Ok(own),
    }
}

/// The columns of `target`, by name and cast.
fn conform(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch> {
    let columns = target.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => arrow::compute::cast(column, field.data_type()),
        None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
    });
    Ok(RecordBatch::try_new(target.clone(), columns.collect::<std::result::Result<_, _>>()?)?)
}

pub(crate) fn tables(facts: &PgFacts) -> Result<RecordBatch> {
    let rows: Vec<Row> = facts
        .tables()
        .filter(|table| table.kind == TableKind::Table)
        .map(|table| -> Row {
            vec![
                ("schemaname", table.schema_name.as_str().into()),
                ("tablename", table.name.as_str().into()),
                ("tableowner", OWNER_NAME.into()),
            ]
        })
        .collect();
    TABLES.batch(&rows)
}

pub(crate) fn views(facts: &PgFacts) -> Result<RecordBatch> {
    let rows: Vec<Row> = facts
        .tables()
        .filter_map(|table| {
            let TableKind::View { sql, .. } = &table.kind else { return None };
            Some(vec![
                ("schemaname", table.schema_name.as_str().into()),
                ("viewname", table.name.as_str().into()),
                ("viewowner", OWNER_NAME.into()),
                ("definition", sql.as_str().into()),
            ])
        })
        .collect();
    VIEWS.batch(&rows)
}

pub(crate) fn statistics(facts: &PgFacts) -> Result<RecordBatch> {
    let rows: Vec<Row> = facts
        .tables()
        .filter(|table| table.kind == TableKind::Table)
        .map(|table| -> Row {
            vec![
                ("relid", Cell::Oid(table.id.oid())),
                ("schemaname", table.schema_name.as_str().into()),
                ("relname", table.name.as_str().into()),
            ]
        })
        .collect();
    STAT_TABLES.batch(&rows)
}

/// Postgres's OIDs of its tables: clients compare `classoid` with them.
const OIDS: [(&str, u32); 51] = [
    ("pg_aggregate", 2600),
    ("pg_am", 2601),
    ("pg_amop", 2602),
    ("pg_amproc", 2603),
    ("pg_attrdef", 2604),
    ("pg_attribute", 1249),
    ("pg_auth_members", 1261),
    ("pg_authid", 1260),
    ("pg_cast", 2605),
    ("pg_class", PG_CLASS),
    ("pg_collation", 3456),
    ("pg_constraint", 2606),
    ("pg_conversion", 2607),
    ("pg_database", 1262),
    ("pg_db_role_setting", 2964),
    ("pg_default_acl", 826),
    ("pg_depend", 2608),
    ("pg_description", 2609),
    ("pg_enum", 3501),
    ("pg_event_trigger", 3466),
    ("pg_extension", 3079),
    ("pg_foreign_data_wrapper", 2328),
    ("pg_foreign_server", 1417),
    ("pg_foreign_table", 3118),
    ("pg_index", 2610),
    ("pg_inherits", 2611),
    ("pg_language", 2612),
    ("pg_namespace", 2615),
    ("pg_opclass", 2616),
    ("pg_operator", 2617),
    ("pg_opfamily", 2753),
    ("pg_partitioned_table", 3350),
    ("pg_policy", 3256),
    ("pg_proc", 1255),
    ("pg_publication", 6104),
    ("pg_range", 3541),
    ("pg_rewrite", 2618),
    ("pg_sequence", 2224),
    ("pg_shdepend", 1214),
    ("pg_shdescription", 2396),
    ("pg_statistic", 2619),
    ("pg_statistic_ext", 3381),
    ("pg_subscription", 6100),
    ("pg_tablespace", 1213),
    ("pg_trigger", 2620),
    ("pg_ts_config", 3602),
    ("pg_ts_dict", 3600),
    ("pg_ts_parser", 3601),
    ("pg_ts_template", 3764),
    ("pg_type", 1247),
    ("pg_user_mapping", 1418),
];

/// Name, schema, OID and columns of a relation that Postgres brings.
type Brought = (&'static str, u32, u32, SchemaRef);

static BROUGHT: LazyLock<std::result::Result<Vec<Brought>, String>> =
    LazyLock::new(|| relations().map_err(|error| error.to_string()));

fn relations() -> Result<Vec<Brought>> {
    let mut relations = Vec::new();
    let made = provider::columns().chain(information_schema::columns());
    let own: Vec<_> = system::system()?
        .names()
        .filter_map(|name| Some((name, system::system().ok()?.schema(name)?)))
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    for (name, schema) in made.chain(own) {
        if !seen.insert(name) {
            continue; // made here, and brought too
        }
        let namespace = if name.starts_with("pg_") { PG_CATALOG } else { INFORMATION_SCHEMA };
        let known = OIDS.iter().find(|(known, _)| *known == name).map(|(_, oid)| *oid);
        relations.push((name, namespace, known.unwrap_or(MADE + relations.len() as u32), schema));
    }
    Ok(relations)
}

/// The OID of a relation that Postgres brings.
pub(crate) fn system_oid(name: &str) -> Option<u32> {
    BROUGHT.as_ref().ok()?.iter().find(|(known, ..)| *known == name).map(|(_, _, oid, _)| *oid)
}

/// The name of a relation that Postgres brings.
pub(crate) fn system_name(oid: i64) -> Option<&'static str> {
    BROUGHT.as_ref().ok()?.iter().find(|(_, _, known, _)| i64::from(*known) == oid).map(|(name, ..)| *name)
}

static SYSTEM_CLASSES: LazyLock<std::result::Result<RecordBatch, String>> = LazyLock::new(|| {
    let rows = BROUGHT.as_ref().map(|relations| {
        let rows = relations.iter().map(|(name, namespace, oid, schema)| -> Row {
            let is_table = OIDS.iter().any(|(known, _)| known == name);
            vec![
                ("oid", Cell::Oid(*oid)),
                ("relname", (*name).into()),
                ("relnamespace", Cell::Oid(*namespace)),
                ("relowner", Cell::Oid(OWNER)),
                ("relam", Cell::Oid(if is_table { HEAP } else { 0 })),
                ("relpersistence", "p".into()),
                ("relkind", if is_table { "r" } else { "v" }.into()),
                ("relnatts", Cell::Int(schema.fields().len() as i64)),
                ("relispopulated", true.into()),
                ("relreplident", "n".into()),
            ]
        });
        rows.collect::<Vec<_>>()
    });
    CLASS.batch(&rows.map_err(Clone::clone)?).map_err(|error| error.to_string())
});

static SYSTEM_ATTRIBUTES: LazyLock<std::result::Result<RecordBatch, String>> = LazyLock::new(|| {
    let rows = BROUGHT.as_ref().map(|relations| {
        let rows = relations.iter().flat_map(|(_, _, oid, schema)| {
            let columns: Vec<Row> = schema
                .fields()
                .iter()
                .zip(1..)
                .map(|(field, number): (_, i64)| -> Row {
                    vec![
                        ("attrelid", Cell::Oid(*oid)),
                        ("attname", field.name().as_str().into()),
                        ("atttypid", Cell::Oid(arrow_type_oid(field.data_type()))),
                        ("attstattarget", Cell::Int(-1)),
                        ("attlen", Cell::Int(-1)),
                        ("attnum", Cell::Int(number)),
                        ("attcacheoff", Cell::Int(-1)),
                        ("atttypmod", Cell::Int(-1)),
                        ("attislocal", true.into()),
                    ]
                })
                .collect();
            columns
        });
        rows.collect::<Vec<_>>()
    });
    ATTRIBUTE.batch(&rows.map_err(Clone::clone)?).map_err(|error| error.to_string())
});

fn lost(error: &String) -> datafusion::common::DataFusionError {
    datafusion::common::DataFusionError::Internal(format!("pg_catalog cannot be made: {error}"))
}

/// The OID of the type of a column that Postgres brings.
fn arrow_type_oid(of: &DataType) -> u32 {
    match of {
        DataType::Boolean => 16,
        DataType::Int16 => 21,
        DataType::Int32 => 23,
        DataType::Int64 => 20,
        DataType::Float32 => 700,
        DataType::Float64 => 701,
        DataType::Timestamp(..) => 1184,
        DataType::List(element) if element.data_type() == &DataType::Int32 => 1007,
        DataType::List(element) if element.data_type() == &DataType::Int16 => 1005,
        DataType::List(_) => 1009,
        _ => 25,
    }
}
