//! The same SQL files over both wires, both catalogs and both storages.

use std::path::{Path, PathBuf};

use cenote_testkit::client::{Client, postgres};
use cenote_testkit::needs;
use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use serde_json::Value;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

/// What a door said no with.
#[derive(Debug)]
struct SqlError {
    text: String,
    sqlstate: String,
}

impl std::fmt::Display for SqlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.text.replace('\n', " "), self.sqlstate)
    }
}

impl std::error::Error for SqlError {}

type Output = Result<DBOutput<DefaultColumnType>, SqlError>;

fn rows(rows: Vec<Vec<String>>, columns: usize) -> DBOutput<DefaultColumnType> {
    DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows }
}

/// The Postgres wire, simple protocol: values come as PostgreSQL's text.
struct OverPostgres(tokio_postgres::Client);

#[async_trait::async_trait]
impl AsyncDB for OverPostgres {
    type Error = SqlError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Output {
        let messages = self.0.simple_query(sql).await.map_err(|error| match error.as_db_error() {
            Some(error) => {
                let hint = error.hint().map_or_else(String::new, |hint| format!(" hint: {hint}"));
                SqlError {
                    text: format!("{}{hint}", error.message()),
                    sqlstate: error.code().code().to_owned(),
                }
            }
            None => SqlError { text: error.to_string(), sqlstate: "08006".into() },
        })?;
        let (mut found, mut columns) = (Vec::new(), None);
        for message in messages {
            match message {
                tokio_postgres::SimpleQueryMessage::RowDescription(description) => {
                    columns = Some(description.len())
                }
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    found.push((0..row.len()).map(|n| row.get(n).map_or("NULL".to_owned(), shown)).collect());
                }
                _ => {}
            }
        }
        Ok(columns.map_or(DBOutput::StatementComplete(0), |columns| rows(found, columns)))
    }

    async fn shutdown(&mut self) {}
}

/// HTTP with JSON: values are brought to the same text.
struct OverHttp {
    client: Client,
    database: String,
}

#[async_trait::async_trait]
impl AsyncDB for OverHttp {
    type Error = SqlError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Output {
        let body = serde_json::json!({ "sql": sql }).to_string();
        let headers = [("content-type", "application/json"), ("x-cenote-database", self.database.as_str())];
        let answer = self.client.send("POST", "/api/v1/sql", &headers, body).await;
        let answer =
            answer.map_err(|error| SqlError { text: error.to_string(), sqlstate: "08006".into() })?;
        let body = answer.json();
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        if answer.status != 200 {
            return Err(SqlError { text: text("error"), sqlstate: text("sqlstate") });
        }
        let last =
            body["results"].as_array().and_then(|results| results.last()).cloned().unwrap_or(Value::Null);
        let (Some(columns), Some(data)) = (last["columns"].as_array(), last["data"].as_array()) else {
            return Ok(DBOutput::StatementComplete(0));
        };
        let found =
            data.iter().map(|row| row.as_array().map_or_else(Vec::new, |row| row.iter().map(json).collect()));
        Ok(rows(found.collect(), columns.len()))
    }

    async fn shutdown(&mut self) {}
}

fn shown(text: &str) -> String {
    if text.is_empty() { "(empty)".to_owned() } else { text.to_owned() }
}

/// A JSON value as PostgreSQL prints it.
fn json(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(true) => "t".to_owned(),
        Value::Bool(false) => "f".to_owned(),
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map_or_else(String::new, |number| number.to_string())
        }
        Value::String(text) => shown(&instant(text).unwrap_or_else(|| text.clone())),
        other => other.to_string(),
    }
}

/// `2024-01-01T00:00:00.500000Z` becomes `2024-01-01 00:00:00.5`.
fn instant(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_instant =
        bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes.last() == Some(&b'Z');
    is_instant.then(|| {
        let plain = text.trim_end_matches('Z').replacen('T', " ", 1);
        if plain.contains('.') { plain.trim_end_matches('0').trim_end_matches('.').to_owned() } else { plain }
    })
}

fn slt_files() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).expect("tests/slt").filter_map(Result::ok) {
            if entry.path().is_dir() {
                walk(&entry.path(), found);
            } else if entry.path().extension().is_some_and(|extension| extension == "slt") {
                found.push(entry.path());
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("slt"), &mut found);
    found.sort();
    assert!(!found.is_empty(), "there are SQL files");
    found
}

async fn run_all(catalog: CatalogKind, storage: StorageKind) {
    let Some(node) = TestNode::with(catalog, storage, &[]).await else {
        needs("PostgreSQL and the S3 server", false);
        return;
    };
    let client = node.client();
    let mut failures = Vec::new();
    for (n, file) in slt_files().iter().enumerate() {
        for wire in ["postgres", "http"] {
            let database = format!("slt_{wire}_{n}");
            client.sql(&format!("CREATE SCHEMA {database}")).await;
            let outcome = if wire == "postgres" {
                let mut config = node.postgres(&client);
                config.dbname(&database);
                let mut runner = Runner::new(move || {
                    let config = config.clone();
                    async move {
                        let client = postgres(&config).await.map_err(|error| SqlError {
                            text: error.to_string(),
                            sqlstate: "08006".into(),
                        })?;
                        Ok(OverPostgres(client))
                    }
                });
                runner.run_file_async(file).await
            } else {
                let client = client.clone();
                let mut runner = Runner::new(move || {
                    let db = OverHttp { client: client.clone(), database: database.clone() };
                    async move { Ok(db) }
                });
                runner.run_file_async(file).await
            };
            if let Err(error) = outcome {
                failures.push(format!("{wire} {}: {}", file.display(), error.display(false)));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_files_pass_on_sqlite_and_local_disk() {
    run_all(CatalogKind::Sqlite, StorageKind::Disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_files_pass_on_postgresql_and_local_disk() {
    run_all(CatalogKind::Postgres, StorageKind::Disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_files_pass_on_sqlite_and_s3() {
    run_all(CatalogKind::Sqlite, StorageKind::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_files_pass_on_postgresql_and_s3() {
    run_all(CatalogKind::Postgres, StorageKind::S3).await;
}
