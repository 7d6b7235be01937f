//! The relations that are the same for everybody, loaded once: types, functions, operators, and what is empty.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, Int32Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion_pg_catalog::pg_catalog::{ArrowTable, PgCatalogStaticTables};

use super::relation::Columns;

/// What Postgres itself brings.
pub(crate) struct System {
    relations: BTreeMap<&'static str, RecordBatch>,
    type_names: BTreeMap<i64, String>,
    type_oids: BTreeMap<String, i64>,
    functions: BTreeMap<i64, Function>,
    keywords: Arc<ArrowTable>,
}

/// A function of Postgres.
struct Function {
    name: String,
    result: i64,
    arguments: Vec<i64>,
}

static SYSTEM: LazyLock<std::result::Result<System, String>> =
    LazyLock::new(|| System::load().map_err(|error| error.to_string()));

/// The relations; fails only if the binary was built with damaged ones.
pub(crate) fn system() -> Result<&'static System> {
    SYSTEM
        .as_ref()
        .map_err(|error| DataFusionError::Internal(format!("pg_catalog cannot be loaded: {error}")))
}

/// The name of a type; arrays as `integer[]`.
pub(crate) fn type_name(oid: i64) -> Option<String> {
    let name = system().ok()?.type_names.get(&oid)?;
    Some(match name.strip_prefix('_') {
        Some(element) => {
            let element_oid = system().ok()?.type_oids.get(element).copied();
            let element = element_oid
                .and_then(|oid| super::type_names::format(oid, -1))
                .unwrap_or_else(|| element.to_owned());
            format!("{element}[]")
        }
        None => name.clone(),
    })
}

/// The OID of a type by its name, either Postgres's or that of the standard.
pub(crate) fn type_oid(name: &str) -> Option<i64> {
    let short = match name {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        "character varying" => "varchar",
        "decimal" => "numeric",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "time without time zone" => "time",
        other => other,
    };
    let short = match short.strip_suffix("[]") {
        Some(element) => format!("_{element}"),
        None => short.to_owned(),
    };
    system().ok()?.type_oids.get(&short).copied()
}

/// The name of a function.
pub(crate) fn function_name(oid: i64) -> Option<&'static str> {
    Some(&system().ok()?.functions.get(&oid)?.name)
}

/// The OID of a function by its name.
pub(crate) fn function_oid(name: &str) -> Option<i64> {
    system().ok()?.functions.iter().find(|(_, function)| function.name == name).map(|(oid, _)| *oid)
}

/// The name of a function's result type.
pub(crate) fn function_result(oid: i64) -> Option<String> {
    super::type_names::format(system().ok()?.functions.get(&oid)?.result, -1)
}

/// The names of a function's argument types, between commas.
pub(crate) fn function_arguments(oid: i64) -> Option<String> {
    let arguments = &system().ok()?.functions.get(&oid)?.arguments;
    let names: Vec<_> = arguments.iter().filter_map(|oid| super::type_names::format(*oid, -1)).collect();
    Some(names.join(", "))
}

impl System {
    fn load() -> Result<Self> {
        let tables = PgCatalogStaticTables::try_new()?;
        let mut relations = BTreeMap::new();
        for (name, table) in full(&tables) {
            relations.insert(name, arrow::compute::concat_batches(&table.schema(), table.data())?);
        }
        for (name, table) in empty(&tables) {
            relations.insert(name, RecordBatch::new_empty(table.schema()));
        }
        for (name, columns) in EMPTY_VIEWS {
            relations.insert(name, RecordBatch::new_empty(Columns::new(columns).schema()));
        }
        let collations = renamed(&relations["pg_collation"], "colllocale", "colliculocale")?;
        relations.insert("pg_collation", collations);
        let functions = functions(&relations["pg_proc"])?;
        let types = function_oids(&relations["pg_type"], &functions)?;
        let (oids, names) = (integers(&types, "oid")?, texts(&types, "typname")?);
        relations.insert("pg_type", types);
        let type_names: BTreeMap<_, _> = oids.iter().copied().zip(names.iter().cloned()).collect();
        let type_oids = names.into_iter().zip(oids).collect();
        Ok(Self { relations, type_names, type_oids, functions, keywords: tables.pg_get_keywords.clone() })
    }

    /// Names of the relations.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.relations.keys().copied()
    }

    /// The columns of a relation.
    pub(crate) fn schema(&self, name: &str) -> Option<SchemaRef> {
        Some(self.relations.get(name)?.schema())
    }

    /// The rows of a relation.
    pub(crate) fn rows(&self, name: &str) -> Option<&RecordBatch> {
        self.relations.get(name)
    }

    /// What `pg_get_keywords()` answers.
    pub(crate) fn keywords(&self) -> Arc<dyn TableFunctionImpl> {
        self.keywords.clone()
    }

    /// A relation as a table.
    pub(crate) fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(rows) = self.rows(name) else { return Ok(None) };
        Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?)))
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array> {
    let found = batch.column_by_name(name).map(AsRef::as_ref);
    found.ok_or_else(|| DataFusionError::Internal(format!("pg_catalog has no column {name}")))
}

fn integers(batch: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let values = cast(column(batch, name)?, &DataType::Int32)?;
    Ok(values.as_primitive::<Int32Type>().iter().map(|value| i64::from(value.unwrap_or(0))).collect())
}

fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<String>> {
    let values = cast(column(batch, name)?, &DataType::Utf8)?;
    Ok(values.as_string::<i32>().iter().map(|value| value.unwrap_or_default().to_owned()).collect())
}

fn functions(rows: &RecordBatch) -> Result<BTreeMap<i64, Function>> {
    let (oids, names, results) =
        (integers(rows, "oid")?, texts(rows, "proname")?, integers(rows, "prorettype")?);
    // an `oidvector`, as text or as a list
    let arguments = cast(column(rows, "proargtypes")?, &DataType::Utf8)?;
    let arguments = arguments.as_string::<i32>().iter().map(|list| {
        let numbers = list.unwrap_or_default().split(|c: char| !c.is_ascii_digit());
        numbers.filter_map(|oid| oid.parse().ok()).collect()
    });
    let functions = names.into_iter().zip(results).zip(arguments);
    Ok(oids
        .into_iter()
        .zip(functions.map(|((name, result), arguments)| Function { name, result, arguments }))
        .collect())
}

/// The ready-made relations are of a later Postgres than the one we answer as.
fn renamed(batch: &RecordBatch, from: &str, to: &str) -> Result<RecordBatch> {
    let schema = batch.schema();
    let fields = schema.fields().iter().map(|field| match field.name() == from {
        true => Arc::new(field.as_ref().clone().with_name(to)),
        false => field.clone(),
    });
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), batch.columns().to_vec())?)
}

/// `pg_type` with the OIDs of its functions: it comes with their names, which no client can join.
fn function_oids(types: &RecordBatch, functions: &BTreeMap<i64, Function>) -> Result<RecordBatch> {
    let oids: BTreeMap<&str, i64> =
        functions.iter().rev().map(|(oid, function)| (function.name.as_str(), *oid)).collect();
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in types.schema().fields().iter().zip(types.columns()) {
        if !super::parse::FUNCTION_COLUMNS.contains(&field.name().as_str()) {
            fields.push(field.clone());
            columns.push(column.clone());
            continue;
        }
        let names = texts(types, field.name())?;
        let numbers = names
            .iter()
            .map(|name| i32::try_from(oids.get(name.as_str()).copied().unwrap_or(0)).unwrap_or(0));
        fields.push(Arc::new(Field::new(field.name(), DataType::Int32, true)));
        columns.push(Arc::new(Int32Array::from_iter_values(numbers)));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn full(tables: &PgCatalogStaticTables) -> [(&'static str, &ArrowTable); 19] {
    [
        ("pg_aggregate", &tables.pg_aggregate),
        ("pg_am", &tables.pg_am),
        ("pg_amop", &tables.pg_amop),
        ("pg_amproc", &tables.pg_amproc),
        ("pg_cast", &tables.pg_cast),
        ("pg_collation", &tables.pg_collation),
        ("pg_conversion", &tables.pg_conversion),
        ("pg_description", &tables.pg_description),
        ("pg_language", &tables.pg_language),
        ("pg_opclass", &tables.pg_opclass),
        ("pg_operator", &tables.pg_operator),
        ("pg_opfamily", &tables.pg_opfamily),
        ("pg_proc", &tables.pg_proc),
        ("pg_range", &tables.pg_range),
        ("pg_tablespace", &tables.pg_tablespace),
        ("pg_ts_config", &tables.pg_ts_config),
        ("pg_ts_dict", &tables.pg_ts_dict),
        ("pg_ts_parser", &tables.pg_ts_parser),
        ("pg_type", &tables.pg_type),
    ]
}

/// Relations of things that are not here.
fn empty(tables: &PgCatalogStaticTables) -> [(&'static str, &ArrowTable); 31] {
    [
        ("pg_attrdef", &tables.pg_attrdef),
        ("pg_auth_members", &tables.pg_auth_members),
        ("pg_db_role_setting", &tables.pg_db_role_setting),
        ("pg_default_acl", &tables.pg_default_acl),
        ("pg_depend", &tables.pg_depend),
        ("pg_enum", &tables.pg_enum),
        ("pg_event_trigger", &tables.pg_event_trigger),
        ("pg_foreign_data_wrapper", &tables.pg_foreign_data_wrapper),
        ("pg_foreign_server", &tables.pg_foreign_server),
        ("pg_foreign_table", &tables.pg_foreign_table),
        ("pg_inherits", &tables.pg_inherits),
        ("pg_init_privs", &tables.pg_init_privs),
        ("pg_largeobject_metadata", &tables.pg_largeobject_metadata),
        ("pg_partitioned_table", &tables.pg_partitioned_table),
        ("pg_policy", &tables.pg_policy),
        ("pg_publication", &tables.pg_publication),
        ("pg_publication_namespace", &tables.pg_publication_namespace),
        ("pg_publication_rel", &tables.pg_publication_rel),
        ("pg_rewrite", &tables.pg_rewrite),
        ("pg_seclabel", &tables.pg_seclabel),
        ("pg_sequence", &tables.pg_sequence),
        ("pg_shdepend", &tables.pg_shdepend),
        ("pg_shdescription", &tables.pg_shdescription),
        ("pg_shseclabel", &tables.pg_shseclabel),
        ("pg_statistic", &tables.pg_statistic),
        ("pg_statistic_ext", &tables.pg_statistic_ext),
        ("pg_subscription", &tables.pg_subscription),
        ("pg_subscription_rel", &tables.pg_subscription_rel),
        ("pg_trigger", &tables.pg_trigger),
        ("pg_ts_template", &tables.pg_ts_template),
        ("pg_user_mapping", &tables.pg_user_mapping),
    ]
}

/// More relations of things that are not here; in the ready-made ones, arrays are text.
const EMPTY_VIEWS: [(&str, &str); 20] = [
    ("pg_available_extensions", "name:text default_version:text? installed_version:text? comment:text?"),
    (
        "pg_constraint",
        "oid:oid conname:text connamespace:oid contype:text condeferrable:bool condeferred:bool convalidated:bool conrelid:oid \
         contypid:oid conindid:oid conparentid:oid confrelid:oid confupdtype:text confdeltype:text confmatchtype:text \
         conislocal:bool coninhcount:int4 connoinherit:bool conkey:int2[]? confkey:int2[]? conpfeqop:int4[]? conppeqop:int4[]? \
         conffeqop:int4[]? confdelsetcols:int2[]? conexclop:int4[]? conbin:text?",
    ),
    (
        "pg_index",
        "indexrelid:oid indrelid:oid indnatts:int2 indnkeyatts:int2 indisunique:bool indnullsnotdistinct:bool indisprimary:bool \
         indisexclusion:bool indimmediate:bool indisclustered:bool indisvalid:bool indcheckxmin:bool indisready:bool \
         indislive:bool indisreplident:bool indkey:int2[]? indcollation:int4[]? indclass:int4[]? indoption:int2[]? \
         indexprs:text? indpred:text?",
    ),
    (
        "pg_cursors",
        "name:text statement:text is_holdable:bool is_binary:bool is_scrollable:bool creation_time:timestamptz?",
    ),
    ("pg_indexes", "schemaname:text tablename:text indexname:text tablespace:text? indexdef:text?"),
    (
        "pg_locks",
        "locktype:text database:oid? relation:oid? page:int4? tuple:int2? virtualxid:text? transactionid:int4? classid:oid? \
         objid:oid? objsubid:int2? virtualtransaction:text? pid:int4? mode:text granted:bool fastpath:bool waitstart:timestamptz?",
    ),
    (
        "pg_matviews",
        "schemaname:text matviewname:text matviewowner:text tablespace:text? hasindexes:bool ispopulated:bool definition:text?",
    ),
    (
        "pg_policies",
        "schemaname:text tablename:text policyname:text permissive:text? roles:text[]? cmd:text? qual:text? with_check:text?",
    ),
    (
        "pg_prepared_statements",
        "name:text statement:text prepare_time:timestamptz? parameter_types:text[]? from_sql:bool generic_plans:int8 custom_plans:int8",
    ),
    ("pg_prepared_xacts", "transaction:int4? gid:text prepared:timestamptz? owner:text database:text"),
    (
        "pg_replication_slots",
        "slot_name:text plugin:text? slot_type:text? datoid:oid? database:text? temporary:bool active:bool active_pid:int4?",
    ),
    ("pg_rules", "schemaname:text tablename:text rulename:text definition:text?"),
    (
        "pg_sequences",
        "schemaname:text sequencename:text sequenceowner:text data_type:text start_value:int8 min_value:int8 max_value:int8 \
         increment_by:int8 cycle:bool cache_size:int8 last_value:int8?",
    ),
    ("pg_stat_gssapi", "pid:int4 gss_authenticated:bool principal:text? encrypted:bool"),
    (
        "pg_stat_replication",
        "pid:int4 usesysid:oid? usename:text? application_name:text? client_addr:text? state:text?",
    ),
    (
        "pg_stat_ssl",
        "pid:int4 ssl:bool version:text? cipher:text? bits:int4? client_dn:text? client_serial:int8? issuer_dn:text?",
    ),
    (
        "pg_stats",
        "schemaname:text tablename:text attname:text inherited:bool null_frac:float4 avg_width:int4 n_distinct:float4 \
         most_common_vals:text? most_common_freqs:text? histogram_bounds:text? correlation:float4?",
    ),
    ("pg_timezone_abbrevs", "abbrev:text utc_offset:text? is_dst:bool"),
    ("pg_transform", "oid:oid trftype:oid trflang:oid trffromsql:text trftosql:text"),
    ("pg_user_mappings", "umid:oid srvid:oid srvname:text umuser:oid usename:text umoptions:text[]?"),
];
