//! One statement from a request to its answer: the body, the format, the bounds, the checks.

use cenote_catalog::Privilege;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use cenote_query::{Bounds, Class, Session, SessionOptions};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::output::Output;
use super::parameter_arrays::arrays;
use crate::answer::{About, Answer, milliseconds};
use crate::app::App;
use crate::call::Call;
use crate::database::paired;
use crate::encode::Style;
use crate::problem::Problem;
use crate::{body, database};

/// `sql_length_max`: characters of a text.
const SQL_LENGTH_MAX: usize = 1 << 20;
/// Bytes of a body that holds a text of [`SQL_LENGTH_MAX`] and its parameters.
const BODY_MAX: u64 = 16 << 20;

/// A query's body. Arc's paths ignore keys that are not here, Cenote's own refuse them.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Ask {
    #[serde(default, alias = "q")]
    pub(super) sql: Option<String>,
    #[serde(default)]
    pub(super) params: Option<Value>,
    #[serde(default, alias = "db")]
    pub(super) database: Option<String>,
    #[serde(default)]
    pub(super) format: Option<String>,
    #[serde(default)]
    pub(super) timeout_ms: Option<u64>,
    #[serde(default)]
    pub(super) max_rows: Option<u64>,
    #[serde(default)]
    pub(super) settings: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) labels: Option<Value>,
    #[serde(default)]
    pub(super) query_id: Option<String>,
    #[serde(default)]
    pub(super) exact: bool,
}

impl Ask {
    /// The keys that a body may have.
    pub(super) const KEYS: [&str; 10] = [
        "sql",
        "params",
        "database",
        "format",
        "timeout_ms",
        "max_rows",
        "settings",
        "labels",
        "query_id",
        "exact",
    ];

    /// The text; 400 if it is missing or too long.
    pub(super) fn text(&self) -> Result<&str, Problem> {
        let sql = self.sql.as_deref().filter(|sql| !sql.trim().is_empty());
        let sql = sql.ok_or_else(|| Problem::bad_request("SQL query is required"))?;
        if sql.len() > SQL_LENGTH_MAX && sql.chars().count() > SQL_LENGTH_MAX {
            let text = format!("SQL query exceeds maximum length ({SQL_LENGTH_MAX} characters)");
            return Err(Problem::bad_request(text).with("sqlstate", "54000"));
        }
        Ok(sql)
    }

    /// What a session of this request starts with.
    pub(super) fn session_options(&self, call: &Call) -> Result<SessionOptions, Problem> {
        let header = database::selected(&call.headers, &call.parameters)?;
        let database = match header {
            Some(database) => Some(database),
            None => self.database.as_deref().map(database::checked).transpose()?,
        };
        let mut settings = Vec::new();
        for (name, value) in self.settings.iter().flatten() {
            settings.push((name.clone(), setting(name, value)?));
        }
        if let Some(labels) = &self.labels {
            settings.push(("labels".into(), labels.to_string()));
        }
        Ok(SessionOptions { settings, ..call.session(database) })
    }

    /// The bounds of one execution; the node's `query.timeout` is the longest.
    pub(super) fn bounds(&self, app: &App) -> Bounds {
        let longest = app.http.options.query_timeout;
        let asked = self.timeout_ms.filter(|timeout| *timeout > 0).map(Duration::from_millis);
        Bounds {
            timeout: Some(asked.map_or(longest, |asked| asked.min(longest))),
            rows_max: self.max_rows.filter(|rows| *rows > 0),
            query_id: self.query_id.clone(),
            promised: false,
        }
    }
}

fn setting(name: &str, value: &Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err(Problem::bad_request(format!("setting {name:?} must be a text, a number or a boolean"))),
    }
}

/// Which statements a path takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Queries only.
    Reads,
    /// Every class, if the statement answers rows.
    RowsOfAnyClass,
}

/// Runs the one statement of `ask` and answers its rows.
pub(super) async fn answer(
    app: &App,
    call: &Call,
    ask: &Ask,
    output: Output,
    takes: Takes,
) -> Result<Response, Problem> {
    let began = Instant::now();
    call.require_somewhere(Privilege::Use)?;
    let sql = ask.text()?;
    let engine = &app.services()?.engine;
    let session = engine
        .open_session(call.identity.clone(), ask.session_options(call)?)
        .await
        .map_err(|error| Problem::sql(&error, sql, 0))?;
    answer_in(app, call, ask, session, output, takes, began).await
}

/// The same in a session that is open already.
pub(super) async fn answer_in(
    app: &App,
    call: &Call,
    ask: &Ask,
    session: Session,
    output: Output,
    takes: Takes,
    began: Instant,
) -> Result<Response, Problem> {
    let sql = ask.text()?;
    let whole = |error: cenote_query::Error| Problem::sql(&error, sql, 0);
    let statements = session.statements(sql).map_err(whole)?;
    let statement = match statements.as_slice() {
        [] => return Err(Problem::bad_request("SQL query is required")),
        [statement] => statement,
        _ => {
            return Err(Problem::bad_request("Multiple SQL statements are not allowed")
                .hinted("send them to /api/v1/sql"));
        }
    };
    let start = sql.find(statement.as_str()).unwrap_or(0);
    let placed = |error: cenote_query::Error| Problem::sql(&error, sql, start);
    let prepared = match ask.params {
        Some(_) => session.prepare(statement, &[]).await,
        None => session.prepare_to_run(statement).await,
    };
    let prepared = prepared.map_err(placed)?;
    if takes == Takes::Reads && prepared.class != Class::Read {
        let problem = Problem::bad_request("only queries are allowed on this endpoint");
        return Err(problem.hinted("send other statements to /api/v1/sql"));
    }
    let parameters = arrays(ask.params.as_ref(), &prepared.parameters)?;
    let bounds = ask.bounds(app);
    let rows_max = bounds.rows_max;
    let execution = session.execute(&prepared, parameters, bounds).await.map_err(placed)?;
    let about = About {
        sql: sql.to_owned(),
        start,
        began,
        planner_ms: milliseconds(began),
        profile: paired(&call.headers, "profile") == Some("true"),
        rows_max,
        clock: app.http.clock.clone(),
    };
    let encoder = output.encoder(Style { exact: ask.exact });
    Answer::new(execution, session, encoder, about).respond().await
}

/// The bytes of a body that holds a text.
pub(super) async fn read(body: Body) -> Result<Bytes, Problem> {
    body::read(body, BODY_MAX, "sql_body_max").await
}

/// The body of a query as JSON; 400 names what is wrong with it.
pub(super) fn parse(body: &[u8]) -> Result<Ask, Problem> {
    if body.is_empty() {
        return Ok(Ask::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("Invalid request body: {error}")))
}

/// The same, refusing keys that would not be heeded.
pub(super) fn parse_strictly(body: &[u8]) -> Result<Ask, Problem> {
    let keys: Map<String, Value> = match serde_json::from_slice(body) {
        Ok(keys) => keys,
        Err(error) => return Err(Problem::bad_request(format!("Invalid request body: {error}"))),
    };
    match keys.keys().find(|key| !Ask::KEYS.contains(&key.as_str())) {
        None => parse(body),
        Some(key) => Err(Problem::bad_request(format!("unknown key {key:?}"))
            .hinted(format!("keys are {}", Ask::KEYS.join(", ")))),
    }
}

/// 413 for a result that may not be held in memory.
pub(super) fn result_too_large(bytes_max: usize) -> Problem {
    let text = format!("results are larger than {bytes_max} bytes (sql_answer_bytes_max)");
    let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, text).with("sqlstate", "53400");
    problem.hinted("send the query to /api/v1/query, which streams")
}

/// True if `Content-Type` says a form.
pub(super) fn is_form(call: &Call) -> bool {
    call.header(header::CONTENT_TYPE.as_str())
        .is_some_and(|media_type| media_type.starts_with("application/x-www-form-urlencoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_is_wrong_with_it() {
        assert_eq!(parse(b"").expect("empty").text().expect_err("no text").text, "SQL query is required");
        assert_eq!(
            parse(br#"{"sql":" "}"#).expect("blank").text().expect_err("no text").text,
            "SQL query is required"
        );
        assert!(parse(b"{").expect_err("broken").text.starts_with("Invalid request body"));
        let ask =
            parse(br#"{"sql":"SELECT 1","limit":1000,"unheard_of":1}"#).expect("other keys are ignored");
        assert_eq!(ask.text().expect("a text"), "SELECT 1");
        let strict = parse_strictly(br#"{"sql":"SELECT 1","limit":1}"#).expect_err("refused");
        assert_eq!(strict.text, "unknown key \"limit\"");
        let long = Ask { sql: Some("x".repeat(SQL_LENGTH_MAX + 1)), ..Ask::default() };
        assert_eq!(
            long.text().expect_err("too long").text,
            "SQL query exceeds maximum length (1048576 characters)"
        );
    }
}
