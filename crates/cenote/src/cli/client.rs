//! How a client command reaches its node: over HTTP, or by opening the data directory in this process.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use cenote_ingest::{Ack, Format as BodyFormat, WriteRequest};
use cenote_query::{Bounds, Session, SessionOptions};
use cenote_vocab::{Clock, ErrorKind, Fault, Ids};
use futures::TryStreamExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Global;
use super::failure::{Failure, FailureKind};
use crate::{DataDir, Node, PortChoice};

/// What a statement answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// First words of its command tag.
    pub(super) command: String,
    /// Columns, if it answers rows.
    pub(super) schema: Option<SchemaRef>,
    /// The rows.
    pub(super) batches: Vec<RecordBatch>,
    /// Rows written, or answered.
    pub(super) rows: u64,
    /// True if `rows_max` cut it.
    pub(super) truncated: bool,
}

/// A way to a node.
pub(super) enum Client {
    /// Over HTTP.
    Remote(Remote),
    /// In this process.
    Embedded(Box<Embedded>),
}

/// A node over HTTP.
pub(super) struct Remote {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
    database: Option<String>,
}

/// A node without doors in this process, as its admin.
pub(super) struct Embedded {
    node: Node,
    session: Session,
    database: Option<String>,
}

/// A body for a table.
pub(super) struct Upload {
    /// `line-protocol`, `json`, `csv`: the last part of the write path.
    pub(super) path: &'static str,
    /// The format with its parameters.
    pub(super) format: BodyFormat,
    /// The same parameters for the URL.
    pub(super) parameters: Vec<(&'static str, String)>,
    /// The bytes.
    pub(super) body: bytes::Bytes,
    /// Stored once under this key.
    pub(super) key: String,
}

impl Client {
    /// (1) `--url`; (2) the live holder of the data directory; (3) the data directory itself.
    pub(super) async fn find(global: &Global, memory: bool) -> Result<Self, Failure> {
        let config = global.configuration(&[])?;
        let directory = config.data_dir();
        if memory {
            return Self::embedded_in_memory(global).await;
        }
        if let Some(url) = &global.url {
            return Ok(Self::Remote(Remote::new(url, global.token_text()?, global.database.clone())?));
        }
        if let Some(holder) = DataDir::holder(&directory) {
            let url = holder.url.ok_or_else(|| {
                Failure::new(
                    FailureKind::Unreachable,
                    format!("process {} holds the data directory and has no HTTP door", holder.pid),
                )
            })?;
            let token = match global.token_text()? {
                Some(token) => Some(token),
                None => std::fs::read_to_string(directory.join("admin.token"))
                    .ok()
                    .map(|text| text.trim().to_owned()),
            };
            return Ok(Self::Remote(Remote::new(&url, token, global.database.clone())?));
        }
        Self::open_embedded(&config, global.database.clone()).await
    }

    async fn embedded_in_memory(global: &Global) -> Result<Self, Failure> {
        let directory = std::env::temp_dir().join(format!("cenote-memory-{}", std::process::id()));
        let more = [
            ("server.data_dir", directory.display().to_string()),
            ("storage.url", "memory".to_owned()),
            ("limits.disk_free_min", "0".to_owned()),
        ];
        let client = Self::open_embedded(&global.configuration(&more)?, global.database.clone()).await;
        // The directory holds an open log and catalog; unlinked, they live as long as this process.
        std::fs::remove_dir_all(&directory)?;
        client
    }

    async fn open_embedded(
        config: &crate::config::Config,
        database: Option<String>,
    ) -> Result<Self, Failure> {
        let clock = Clock::system();
        let ids = Ids::system(clock.clone());
        let node = Node::start(config, clock, ids, PortChoice::Closed, CancellationToken::new()).await?;
        let scope = node
            .services
            .catalog
            .tenant("default")
            .await
            .map_err(|error| fault(&error))?
            .ok_or_else(|| Failure::other("tenant default does not exist"))?;
        let identity = node.services.catalog.internal_identity(&scope);
        let options =
            SessionOptions { database: database.clone(), protocol: "cli", ..SessionOptions::default() };
        let session =
            node.services.engine.open_session(identity, options).await.map_err(|error| fault(&error))?;
        Ok(Self::Embedded(Box::new(Embedded { node, session, database })))
    }

    /// Splits a script into statements.
    pub(super) fn statements(&self, sql: &str) -> Result<Vec<String>, Failure> {
        match self {
            Self::Embedded(embedded) => {
                embedded.session.statements(sql).map_err(|error| sql_fault(&error, sql))
            }
            Self::Remote(_) => Ok(super::sql::split(sql)),
        }
    }

    /// Runs one statement; `rows_max` cuts its answer.
    pub(super) async fn run(&self, sql: &str, rows_max: Option<u64>) -> Result<Answer, Failure> {
        match self {
            Self::Remote(remote) => remote.run(sql, rows_max).await,
            Self::Embedded(embedded) => embedded.run(sql, rows_max).await,
        }
    }

    /// Stores a body, once under its key; answers (rows, true if it was there already).
    pub(super) async fn upload(&self, upload: Upload) -> Result<(u64, bool), Failure> {
        match self {
            Self::Remote(remote) => remote.upload(upload).await,
            Self::Embedded(embedded) => embedded.upload(upload).await,
        }
    }

    /// Ends an embedded node in order.
    pub(super) async fn close(self) -> Result<(), Failure> {
        match self {
            Self::Remote(_) => Ok(()),
            Self::Embedded(embedded) => {
                let Embedded { node, session, .. } = *embedded;
                drop(session);
                Ok(node.stop().await?)
            }
        }
    }
}

impl Remote {
    pub(super) fn new(url: &str, token: Option<String>, database: Option<String>) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| Failure::other(error.to_string()))?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), token, database })
    }

    /// A request with credentials.
    pub(super) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(database) = &self.database {
            request = request.header("x-cenote-database", database);
        }
        request
    }

    /// Sends and turns an error answer into a failure.
    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap_or(Value::Null);
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let kind = match status {
            401 | 403 => FailureKind::Denied,
            503 => FailureKind::Unreachable,
            _ => FailureKind::Failed,
        };
        let message = text("error").unwrap_or_else(|| format!("the server answered {status}"));
        Err(Failure {
            code: text("sqlstate").map(String::into_boxed_str),
            hint: text("hint").map(String::into_boxed_str),
            line: body.get("line").and_then(Value::as_u64),
            column: body.get("column").and_then(Value::as_u64),
            request_id: text("request_id").map(String::into_boxed_str),
            ..Failure::new(kind, message)
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let reason =
            if error.is_connect() { "nothing listens there".to_owned() } else { error.without_url_text() };
        Failure::new(FailureKind::Unreachable, format!("cannot reach {}: {reason}", self.url))
    }

    async fn run(&self, sql: &str, rows_max: Option<u64>) -> Result<Answer, Failure> {
        let mut body = serde_json::json!({ "sql": sql });
        if let Some(rows_max) = rows_max {
            body["max_rows"] = rows_max.into();
        }
        let mut request = self.request(reqwest::Method::POST, "/api/v1/sql").json(&body);
        if super::sql::answers_rows(sql) {
            request = request.header("accept", "application/vnd.apache.arrow.stream");
        }
        let response = self.send(request).await?;
        let is_arrow = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("arrow"));
        let bytes =
            response.bytes().await.map_err(|_| Failure::other("the answer broke off before its end"))?;
        if is_arrow { arrow_answer(&bytes, rows_max) } else { json_answer(&bytes) }
    }

    async fn upload(&self, upload: Upload) -> Result<(u64, bool), Failure> {
        let request = self
            .request(reqwest::Method::POST, &format!("/api/v1/write/{}", upload.path))
            .query(&upload.parameters)
            .header("idempotency-key", upload.key)
            .body(upload.body);
        let response = self.send(request).await?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let rows = header("x-cenote-rows").and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok((rows, header("idempotency-replayed") == Some("true")))
    }
}

trait WithoutUrl {
    fn without_url_text(&self) -> String;
}

impl WithoutUrl for reqwest::Error {
    /// The error's text; a URL may hold credentials, so it is left out.
    fn without_url_text(&self) -> String {
        if self.is_timeout() { "timed out".to_owned() } else { "the connection failed".to_owned() }
    }
}

fn arrow_answer(bytes: &[u8], rows_max: Option<u64>) -> Result<Answer, Failure> {
    let broken = |error: arrow::error::ArrowError| Failure::other(format!("cannot read the answer: {error}"));
    let reader = StreamReader::try_new(bytes, None).map_err(broken)?;
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(broken)?;
    let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let truncated = rows_max == Some(rows);
    Ok(Answer { command: "SELECT".to_owned(), schema: Some(schema), batches, rows, truncated })
}

fn json_answer(bytes: &[u8]) -> Result<Answer, Failure> {
    let body: Value = serde_json::from_slice(bytes).map_err(|_| Failure::other("cannot read the answer"))?;
    let last = body
        .get("results")
        .and_then(Value::as_array)
        .and_then(|results| results.last())
        .unwrap_or(&Value::Null);
    Ok(Answer {
        command: last.get("command").and_then(Value::as_str).unwrap_or("OK").to_owned(),
        schema: None,
        batches: Vec::new(),
        rows: last.get("rows_affected").and_then(Value::as_u64).unwrap_or(0),
        truncated: false,
    })
}

impl Embedded {
    async fn run(&self, sql: &str, rows_max: Option<u64>) -> Result<Answer, Failure> {
        let prepared = self.session.prepare(sql, &[]).await.map_err(|error| sql_fault(&error, sql))?;
        let bounds = Bounds { rows_max, ..Bounds::default() };
        let mut execution = self
            .session
            .execute(&prepared, Vec::new(), bounds)
            .await
            .map_err(|error| sql_fault(&error, sql))?;
        let mut batches = Vec::new();
        while let Some(batch) = execution.batches.try_next().await.map_err(|error| sql_fault(&error, sql))? {
            batches.push(batch);
        }
        let outcome = execution.outcome();
        let schema = Arc::<Schema>::clone(&execution.schema);
        let has_rows = !schema.fields().is_empty();
        Ok(Answer {
            command: outcome.command,
            schema: has_rows.then_some(schema),
            batches,
            rows: outcome.rows,
            truncated: outcome.truncated,
        })
    }

    async fn upload(&self, upload: Upload) -> Result<(u64, bool), Failure> {
        let request = WriteRequest {
            database: self.database.clone(),
            format: upload.format,
            body: upload.body,
            ack: Some(Ack::Committed),
            accept_partial: false,
            idempotency_key: Some(upload.key),
            caller: None,
        };
        let written = self
            .node
            .services
            .ingest
            .write(self.session.identity(), request)
            .await
            .map_err(|error| fault(&error))?;
        Ok((written.rows, written.replayed))
    }
}

pub(super) fn fault(error: &dyn Fault) -> Failure {
    let kind = match error.kind() {
        ErrorKind::Unauthenticated | ErrorKind::Denied => FailureKind::Denied,
        ErrorKind::Unavailable => FailureKind::Unreachable,
        ErrorKind::Corrupt => FailureKind::Corrupt,
        _ => FailureKind::Failed,
    };
    Failure {
        code: Some(error.sqlstate().0.into()),
        hint: error.hint().map(String::into_boxed_str),
        ..Failure::new(kind, error.to_string())
    }
}

pub(super) fn sql_fault(error: &cenote_query::Error, sql: &str) -> Failure {
    let place = error.place();
    Failure {
        message: error.report(sql),
        line: place.map(|place| place.line),
        column: place.map(|place| place.column),
        ..fault(error)
    }
}
