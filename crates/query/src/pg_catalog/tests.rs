//! The catalog as clients see it: what psql, pgjdbc and psycopg send, through a bare session.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use cenote_catalog::{Identity, Names, SchemaDef, TableDef, TableKind, Token};
use cenote_vocab::{
    CatalogId, Field, FieldId, FieldType, Micros, PartitionSpec, Permissions, SchemaId, Scope, SortOrder,
    TableId, TableSchema, TimeUnit, Txn,
};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::{PgFacts, information_schema, install, mentions, parse, schema_provider};

const CPU: u32 = 16_387;
const VIEW: u32 = 16_392;

fn field(id: i32, name: &str, field_type: FieldType, required: bool) -> Field {
    Field {
        id: FieldId(id),
        name: name.into(),
        field_type,
        required,
        comment: (id == 2).then(|| "which host".to_owned()),
        initial_default: None,
        write_default: None,
    }
}

fn table(id: u32, name: &str, kind: TableKind) -> Arc<TableDef> {
    let fields = vec![
        field(1, "time", FieldType::Timestamp(TimeUnit::Micro), true),
        field(2, "host", FieldType::String, false),
        field(3, "usage", FieldType::Double, false),
        field(4, "d", FieldType::Decimal { precision: 10, scale: 2 }, false),
    ];
    let fields =
        if kind == TableKind::Table { fields } else { vec![field(1, "host", FieldType::String, false)] };
    Arc::new(TableDef {
        id: TableId((1_i64 << 32) + i64::from(id)),
        uuid: uuid::Uuid::nil(),
        schema_id: SchemaId((1_i64 << 32) + 16_384),
        schema_name: "default".into(),
        name: name.into(),
        kind,
        schema: Arc::new(TableSchema { no: 1, fields }),
        spec: PartitionSpec::default(),
        sort: SortOrder::default(),
        time_field: Some(FieldId(1)),
        key_fields: Vec::new(),
        location: String::new(),
        properties: BTreeMap::new(),
        comment: (name == "cpu").then(|| "load of hosts".to_owned()),
        begin_txn: Txn(1),
    })
}

fn facts(permissions: Permissions) -> PgFacts {
    let view = TableKind::View { sql: "SELECT host FROM cpu".into(), search_path: "default".into() };
    let tables = [table(CPU, "cpu", TableKind::Table), table(VIEW, "v", view)];
    let tables = tables.into_iter().map(|table| (table.name.clone(), table)).collect();
    let schema = SchemaDef {
        id: SchemaId((1_i64 << 32) + 16_384),
        uuid: uuid::Uuid::nil(),
        name: "default".into(),
        properties: BTreeMap::new(),
    };
    let token = Token {
        id: 1,
        uuid: uuid::Uuid::nil(),
        name: "ada".into(),
        description: String::new(),
        permissions,
        grants: Vec::new(),
        default_database: None,
        created: Micros(0),
        expires: None,
        last_used: None,
        enabled: true,
    };
    PgFacts {
        database: "lake".into(),
        identity: Identity {
            scope: Scope::from_authentication("default", CatalogId(1)),
            token: Arc::new(token),
            access: Arc::default(),
        },
        search_path: vec!["default".into()],
        names: Arc::new(Names {
            ddl_txn: Txn(1),
            schemas: BTreeMap::from([("default".into(), (schema, tables))]),
        }),
        settings: vec![("application_name".into(), "psql".into()), ("search_path".into(), "default".into())],
        backend_pid: 7,
        sizes: BTreeMap::from([(CPU, 20_000)]),
        by_oid: OnceLock::new(),
    }
}

fn context(permissions: Permissions) -> SessionContext {
    let facts = Arc::new(facts(permissions));
    let config = SessionConfig::new()
        .with_default_catalog_and_schema("lake", "default")
        .with_create_default_catalog_and_schema(false);
    let state = SessionContext::new_with_config(config).state();
    let context = SessionContext::new_with_state(install(state, &facts).expect("functions that register"));
    let catalog = MemoryCatalogProvider::new();
    for (name, provider) in
        [("pg_catalog", schema_provider(facts.clone())), ("information_schema", information_schema(facts))]
    {
        catalog.register_schema(name, provider).expect("a schema");
    }
    context.register_catalog("lake", Arc::new(catalog));
    context
}

async fn run(context: &SessionContext, sql: &str) -> Result<RecordBatch, String> {
    if !mentions(sql) {
        return Err("is taken for an ordinary statement".into());
    }
    let mut statements = parse(sql).map_err(|error| error.to_string())?;
    let statement = statements.pop().ok_or("has no statement")?;
    let statement = datafusion::sql::parser::Statement::Statement(Box::new(statement));
    let plan = context.state().statement_to_plan(statement).await.map_err(|error| error.to_string())?;
    let frame = context.execute_logical_plan(plan).await.map_err(|error| error.to_string())?;
    let schema = frame.schema().inner().clone();
    let batches = frame.collect().await.map_err(|error| error.to_string())?;
    arrow::compute::concat_batches(&batches.first().map_or(schema, |batch| batch.schema()), &batches)
        .map_err(|error| error.to_string())
}

fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let cell =
        |column: usize, row| array_value_to_string(batch.column(column), row).expect("a value that prints");
    (0..batch.num_rows())
        .map(|row| (0..batch.num_columns()).map(|column| cell(column, row)).collect())
        .collect()
}

async fn answer(sql: &str) -> Vec<Vec<String>> {
    let batch = run(&context(Permissions::ADMIN), sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
    rows(&batch)
}

/// Name and text of each query of a file.
fn queries(file: &str) -> Vec<(String, String)> {
    let all = file.replace("$OID", &CPU.to_string()).replace("$VIEW", &VIEW.to_string());
    let blocks = all.split("\n-- ").skip(1).filter_map(|block| block.split_once('\n'));
    blocks.map(|(name, sql)| (name.to_owned(), sql.trim().to_owned())).collect()
}

/// The answers to the queries of one psql command.
async fn psql(command: &str) -> Vec<Vec<Vec<String>>> {
    let mut answers = Vec::new();
    for (_, sql) in queries(include_str!("tests/psql.sql")).into_iter().filter(|(name, _)| name == command) {
        answers.push(answer(&sql).await);
    }
    answers
}

async fn all_run(file: &str, but: &[&str]) {
    let context = context(Permissions::ADMIN);
    let mut failures = Vec::new();
    for (name, sql) in queries(file) {
        match run(&context, &sql).await {
            Ok(_) if but.contains(&name.as_str()) => failures.push(format!("{name} runs now")),
            Err(error) if !but.contains(&name.as_str()) => failures.push(format!("{name}: {error}\n{sql}")),
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n\n"));
}

#[tokio::test]
async fn every_query_of_psql_runs() {
    // it needs the system column `tableoid`
    all_run(include_str!("tests/psql.sql"), &["\\dL"]).await;
}

#[tokio::test]
async fn every_query_of_pgjdbc_runs() {
    all_run(include_str!("tests/jdbc.sql"), &[]).await;
}

#[tokio::test]
async fn psql_lists_relations() {
    assert_eq!(
        psql("\\d").await,
        [[["default", "cpu", "table", "cenote"], ["default", "v", "view", "cenote"]]]
    );
    assert_eq!(
        psql("\\dt+").await,
        [[["default", "cpu", "table", "cenote", "permanent", "heap", "20 kB", "load of hosts"]]]
    );
    assert_eq!(psql("\\dv").await, [[["default", "v", "view", "cenote"]]]);
    assert_eq!(psql("\\di").await, [Vec::<Vec<String>>::new()]);
    assert_eq!(psql("\\dn").await, [[["default", "cenote"]]]);
    assert_eq!(psql("\\l").await, [[["lake", "cenote", "UTF8", "C", "C", "", "libc", ""]]]);
    assert_eq!(psql("\\df").await, [Vec::<Vec<String>>::new()]);
    let roles = psql("\\du").await.remove(0);
    let names: Vec<_> = roles.iter().map(|row| (row[0].as_str(), row[1].as_str(), row[5].as_str())).collect();
    assert_eq!(names, [("ada", "true", "true"), ("cenote", "true", "false")]);
}

#[tokio::test]
async fn psql_describes_a_table() {
    let answers = psql("\\d \"default\".cpu").await;
    assert_eq!(answers[0], [["16387", "default", "cpu"]]);
    assert_eq!(answers[1][0][1], "r");
    let columns: Vec<_> =
        answers[2].iter().map(|row| (row[0].as_str(), row[1].as_str(), row[3].as_str())).collect();
    assert_eq!(
        columns,
        [
            ("time", "timestamp without time zone", "true"),
            ("host", "text", "false"),
            ("usage", "double precision", "false"),
            ("d", "numeric(10,2)", "false"),
        ]
    );
    assert!(answers[3..].iter().all(Vec::is_empty));
}

#[tokio::test]
async fn names_and_oids_become_each_other() {
    for (sql, expected) in [
        ("SELECT 'cpu'::regclass", "cpu"),
        ("SELECT 'cpu'::regclass::int4", "16387"),
        ("SELECT '\"default\".cpu'::pg_catalog.regclass::oid + 0", "16387"),
        ("SELECT oid::regclass::text FROM pg_class WHERE relname = 'v'", "v"),
        ("SELECT 'int4'::regtype", "integer"),
        ("SELECT 23::regtype::text", "integer"),
        ("SELECT 'pg_catalog'::regnamespace::oid + 0", "11"),
        ("SELECT to_regclass('nope')", ""),
        ("SELECT format_type(1700, 655366)", "numeric(10,2)"),
        ("SELECT format_type(1007, NULL)", "integer[]"),
        ("SELECT current_schema()", "default"),
        ("SELECT current_schema", "default"),
        ("SELECT array_to_string(current_schemas(true), ',')", "pg_catalog,default"),
        ("SELECT current_user", "ada"),
        ("SELECT current_database()", "lake"),
        ("SELECT current_setting('application_name')", "psql"),
        ("SELECT current_setting('nope', true)", ""),
        ("SELECT pg_backend_pid()", "7"),
        ("SELECT quote_ident('Odd name') || quote_literal('it''s')", "\"Odd name\"'it''s'"),
        ("SELECT pg_size_pretty(20480)", "20 kB"),
        ("SELECT pg_get_viewdef('v'::regclass)", "SELECT host FROM cpu"),
        ("SELECT obj_description('cpu'::regclass, 'pg_class')", "load of hosts"),
        ("SELECT col_description('cpu'::regclass, 2)", "which host"),
        ("SELECT has_table_privilege('cpu', 'SELECT')", "true"),
        ("SELECT has_table_privilege('cpu', 'TRIGGER, INSERT')", "true"),
        ("SELECT has_schema_privilege('default', 'USAGE')", "true"),
        (
            "SELECT (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid) FROM pg_class c WHERE relname = 'cpu'",
            "4",
        ),
        ("SELECT typname FROM pg_type WHERE oid = to_regtype('bigint')", "int8"),
        (
            "SELECT data_type FROM information_schema.columns WHERE table_name = 'cpu' AND column_name = 'd'",
            "numeric",
        ),
        (
            "SELECT string_agg(table_name, ',' ORDER BY table_name) FROM information_schema.tables WHERE table_schema = 'default'",
            "cpu,v",
        ),
    ] {
        assert_eq!(answer(sql).await, [[expected]], "{sql}");
    }
    let unknown =
        run(&context(Permissions::ADMIN), "SELECT 'nope'::regclass").await.expect_err("no such table");
    assert!(unknown.contains("relation \"nope\" does not exist"), "{unknown}");
}

#[tokio::test]
async fn what_a_token_may_not_know_is_not_there() {
    let context = context(Permissions::NONE);
    for sql in [
        "SELECT * FROM pg_catalog.pg_class WHERE relname = 'cpu'",
        "SELECT * FROM pg_catalog.pg_attribute WHERE attrelid = 16387",
        "SELECT * FROM information_schema.columns WHERE table_name = 'cpu'",
        "SELECT * FROM pg_tables WHERE schemaname = 'default'",
        "SELECT * FROM pg_description WHERE description = 'load of hosts'",
    ] {
        assert_eq!(run(&context, sql).await.expect(sql).num_rows(), 0, "{sql}");
    }
    assert_eq!(rows(&run(&context, "SELECT to_regclass('cpu')").await.expect("NULL")), [[""]]);
}
