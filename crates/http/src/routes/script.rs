//! Every class of statement, several in one text: all of it happens, or nothing.

use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use cenote_query::{Error, Session, TransactionStatus};
use cenote_vocab::ErrorKind;
use futures::StreamExt;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::once::Once;
use super::output::Output;
use super::parameter_arrays::arrays;
use super::query::ask_of;
use super::statement::{Ask, Takes, answer, answer_in, parse_strictly, read as read_body, result_too_large};
use crate::answer::milliseconds;
use crate::app::App;
use crate::call::Call;
use crate::encode::{Style, rows_json, sql_types};
use crate::problem::Problem;

/// Bytes of the results of one text: they are held until the text is known to have succeeded.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Runs statements of every class; several are one transaction.
#[utoipa::path(
    post, path = "/api/v1/sql", tag = "query",
    params(("Idempotency-Key" = Option<String>, Header, description = "apply at most once under this key")),
    request_body(
        content = Object, content_type = "application/json",
        example = json!({"sql": "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)"})
    ),
    responses(
        (status = 200, description = "one result per statement", body = Object,
            example = json!({"success": true, "results": [{"command": "INSERT", "row_count": 0, "rows_affected": 1, "txn": 7}]})),
        (status = 400, description = "an error; `statement` counts from 1, nothing was applied"),
        (status = 409, description = "a conflict: read again and retry"),
    )
)]
pub(super) async fn run(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    let began = Instant::now();
    call.parameters.only(&["db", "database", "u", "p"])?;
    let body = read_body(body).await?;
    let ask = parse_strictly(&body)?;
    let sent: serde_json::Value = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("Invalid request body: {error}")))?;
    let once = Once::of(&app, &call, "POST /api/v1/sql", &sent)?;
    let sql = ask.text()?.to_owned();
    let output = Output::of(&call, ask.format.as_deref())?;
    let whole = |error: Error| Problem::sql(&error, &sql, 0);
    let mut options = ask.session_options(&call)?;
    if let Some((key, _)) = once.key() {
        options.settings.push(("idempotency_key".into(), key.to_owned()));
    }
    let session = app.services()?.engine.open_session(call.identity.clone(), options).await.map_err(whole)?;
    if let Some((_, state)) = once.key() {
        session.identify_request(state);
    }
    let statements = session.statements(&sql).map_err(whole)?;
    if statements.is_empty() {
        return Err(Problem::bad_request("SQL query is required"));
    }
    let once = once.of_statements(statements.len());
    if let Some(known) = once.answered().await? {
        return Ok(known);
    }
    if output != Output::Json && once.key().is_some() {
        return Err(Problem::bad_request("under an Idempotency-Key the answer is JSON")
            .hinted("send Accept: application/json"));
    }
    if output != Output::Json {
        let [statement] = statements.as_slice() else {
            let text = "several statements can only be answered as JSON";
            return Err(Problem::bad_request(text).hinted("send Accept: application/json"));
        };
        let prepared = session.prepare(statement, &[]).await.map_err(whole)?;
        if prepared.columns.is_some() {
            return answer_in(&app, &call, &ask, session, output, Takes::RowsOfAnyClass, began).await;
        }
    }
    let mut results = Vec::with_capacity(256);
    results.extend_from_slice(b"{\"success\":true,\"results\":[");
    let script = Script {
        app: &app,
        ask: &ask,
        sql: &sql,
        session: &session,
        statements: &statements,
        keyed: once.key().is_some(),
    };
    let txn = match script.run(&mut results).await {
        Ok(txn) => txn,
        // the same request may have been done meanwhile: then it failed over what that one did
        Err(problem) => return once.answered().await?.ok_or(problem),
    };
    let tail = json!({"execution_time_ms": milliseconds(began), "timestamp": app.http.clock.now().rfc3339()});
    results.extend_from_slice(b"],");
    results.extend_from_slice(&tail.to_string().as_bytes()[1..]);
    if once.key().is_some()
        && let Ok(text) = std::str::from_utf8(&results)
        && let Some(settled) = once.settle(StatusCode::OK, text).await?
    {
        return Ok(settled);
    }
    let mut response = Response::new(Body::from(results));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(txn) = txn {
        response.headers_mut().insert("x-cenote-txn", HeaderValue::from(txn));
    }
    Ok(response)
}

/// Runs one query of the read class.
#[utoipa::path(
    get, path = "/api/v1/sql", tag = "query",
    params(
        ("q" = String, Query), ("database" = Option<String>, Query), ("format" = Option<String>, Query),
        ("params" = Option<String>, Query, description = "JSON array"), ("timeout_ms" = Option<u64>, Query),
        ("max_rows" = Option<u64>, Query),
    ),
    responses((status = 200, description = "the rows, as of /api/v1/query"), (status = 400, description = "not a query"))
)]
pub(super) async fn read(State(app): State<App>, call: Call) -> Result<Response, Problem> {
    call.parameters.only(&["q", "db", "database", "format", "params", "timeout_ms", "max_rows", "u", "p"])?;
    let ask = ask_of(&call.parameters)?;
    let output = Output::of(&call, ask.format.as_deref())?;
    answer(&app, &call, &ask, output, Takes::Reads).await
}

/// A text of statements in its session.
struct Script<'a> {
    app: &'a App,
    ask: &'a Ask,
    sql: &'a str,
    session: &'a Session,
    statements: &'a [String],
    /// Under an idempotency key: one commit.
    keyed: bool,
}

impl Script<'_> {
    /// Runs the statements in order and appends their results; answers the newest commit.
    async fn run(&self, results: &mut Vec<u8>) -> Result<Option<i64>, Problem> {
        let (session, several) = (self.session, self.statements.len() > 1);
        let ran = self.run_each(results).await;
        let open = session.transaction_status() != TransactionStatus::Idle;
        let mut last = None;
        if several && (ran.is_ok() || open) {
            match session.end_implicit(ran.is_err()).await {
                Ok(txn) => last = txn,
                Err(error) if ran.is_ok() => return Err(Problem::sql(&error, self.sql, 0)),
                Err(error) => {
                    tracing::debug!(%error, "a failed text could not be rolled back by hand; its session ends now");
                }
            }
        }
        let txn = last.map(|txn| txn.0).or(ran?);
        if session.transaction_status() != TransactionStatus::Idle {
            let text = "the text ends inside a transaction: nothing of it was applied";
            return Err(Problem::bad_request(text).with("sqlstate", "25001").hinted("end it with COMMIT"));
        }
        Ok(txn)
    }

    async fn run_each(&self, results: &mut Vec<u8>) -> Result<Option<i64>, Problem> {
        let (mut from, mut txn) = (0, None);
        for (index, statement) in self.statements.iter().enumerate() {
            let start = self.sql[from..].find(statement.as_str()).map_or(from, |at| from + at);
            from = (start + statement.len()).min(self.sql.len());
            if index > 0 {
                results.push(b',');
            }
            if self.statements.len() > 1 {
                // again after each COMMIT and ROLLBACK in the text: what follows is all or nothing too
                let begun = self.session.begin_implicit().await;
                begun.map_err(|error| Problem::sql(&error, self.sql, start))?;
            }
            let ends = index == 0 || index + 1 == self.statements.len();
            let done = self.run_one(statement, (start, ends), results).await;
            txn = done.map_err(|problem| problem.with("statement", index + 1))?.or(txn);
        }
        Ok(txn)
    }

    async fn run_one(
        &self,
        statement: &str,
        (start, ends): (usize, bool),
        results: &mut Vec<u8>,
    ) -> Result<Option<i64>, Problem> {
        let fails = |error: Error| Problem::sql(&error, self.sql, start);
        let prepared = match self.ask.params {
            Some(_) => self.session.prepare(statement, &[]).await,
            None => self.session.prepare_to_run(statement).await,
        };
        let prepared = prepared.map_err(fails)?;
        if self.keyed && !ends && ["BEGIN", "COMMIT", "ROLLBACK"].contains(&prepared.command.as_str()) {
            let text = format!("{} in the middle of a text that has an Idempotency-Key", prepared.command);
            return Err(Problem::bad_request(text).hinted("the text is one commit by itself"));
        }
        let wanted = prepared.parameters.as_slice();
        // one text has one list of values: it belongs to the statements that have parameters
        let params =
            if wanted.is_empty() && self.statements.len() > 1 { None } else { self.ask.params.as_ref() };
        let parameters = arrays(params, wanted)?;
        let bounds = self.ask.bounds(self.app);
        let execution = self.session.execute(&prepared, parameters, bounds).await.map_err(fails)?;
        write_result(execution, self.ask, results).await.map_err(|failed| match failed {
            Failed::Statement(error) => fails(error),
            Failed::TooLarge => result_too_large(ANSWER_BYTES_MAX),
        })
    }
}

enum Failed {
    Statement(Error),
    TooLarge,
}

/// Appends one statement's result; answers the commit that it made or the snapshot that it read.
async fn write_result(
    mut execution: cenote_query::Execution,
    ask: &Ask,
    out: &mut Vec<u8>,
) -> Result<Option<i64>, Failed> {
    let schema = execution.schema.clone();
    let mut rows = 0_u64;
    let has_rows = !schema.fields().is_empty();
    let mut data = Vec::new();
    while let Some(batch) = execution.batches.next().await {
        let batch = batch.map_err(Failed::Statement)?;
        if rows > 0 && batch.num_rows() > 0 {
            data.push(b',');
        }
        rows += batch.num_rows() as u64;
        rows_json(&batch, Style { exact: ask.exact }, &mut data).map_err(|error| {
            Failed::Statement(Error::new(ErrorKind::Unsupported, format!("answer: {error}")))
        })?;
        if out.len() + data.len() > ANSWER_BYTES_MAX {
            return Err(Failed::TooLarge);
        }
    }
    let outcome = execution.outcome();
    let mut head = json!({
        "command": outcome.command,
        "row_count": rows,
        "rows_affected": if outcome.counts_rows { outcome.rows } else { 0 },
        "txn": outcome.txn,
    });
    if has_rows {
        let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        head["columns"] = json!(columns);
        head["types"] = json!(sql_types(&schema));
    }
    if outcome.truncated {
        head["truncated"] = json!(true);
        head["row_cap"] = json!(ask.max_rows);
    }
    if !outcome.notices.is_empty() {
        head["notices"] = json!(outcome.notices);
    }
    let head = head.to_string();
    out.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
    if has_rows {
        out.extend_from_slice(b",\"data\":[");
        out.append(&mut data);
        out.push(b']');
    }
    out.push(b'}');
    Ok(outcome.txn.map(|txn| txn.0))
}
