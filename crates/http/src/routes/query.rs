//! Reading: one query in, its rows out.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::Value;

use super::output::Output;
use super::statement::{Ask, Takes, answer, is_form, parse, read};
use crate::app::App;
use crate::call::Call;
use crate::parameters::Parameters;
use crate::problem::Problem;

/// Runs one query; rows as JSON, CSV, NDJSON or Arrow by `Accept`, else by `format`.
#[utoipa::path(
    post, path = "/api/v1/query", tag = "query",
    request_body(
        content = Object, content_type = "application/json",
        example = json!({"sql": "SELECT host, avg(usage) FROM cpu GROUP BY host", "format": "json"})
    ),
    responses(
        (status = 200, description = "the rows", content_type = "application/json", body = Object,
            example = json!({"success": true, "columns": ["host"], "data": [["a"]], "row_count": 1})),
        (status = 400, description = "not one query, or an error in its text, with line and column"),
        (status = 404, description = "no such table"), (status = 504, description = "query.timeout"),
    )
)]
pub(super) async fn query(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    let ask = parse(&read(body).await?)?;
    let output = Output::of(&call, ask.format.as_deref())?;
    answer(&app, &call, &ask, output, Takes::Reads).await
}

/// Runs one query; rows as an Arrow IPC stream.
#[utoipa::path(
    post, path = "/api/v1/query/arrow", tag = "query",
    request_body(content = Object, content_type = "application/json", example = json!({"sql": "SHOW DATABASES"})),
    responses((status = 200, description = "an Arrow IPC stream", content_type = "application/vnd.apache.arrow.stream"))
)]
pub(super) async fn arrow(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    let ask = parse(&read(body).await?)?;
    let output = Output::arc_arrow(&call, ask.exact)?;
    answer(&app, &call, &ask, output, Takes::Reads).await
}

/// Runs one query; rows as a CSV file.
#[utoipa::path(
    post, path = "/api/v1/query/stream", tag = "query",
    request_body(content = Object, content_type = "application/json", example = json!({"sql": "SELECT * FROM cpu"})),
    responses((status = 200, description = "CSV with a header line", content_type = "text/csv"))
)]
pub(super) async fn stream(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    let ask = parse(&read(body).await?)?;
    let mut response = answer(&app, &call, &ask, Output::Csv, Takes::Reads).await?;
    let attachment = HeaderValue::from_static("attachment; filename=query_result.csv");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, attachment);
    Ok(response)
}

/// Runs one query for InfluxDB 3 clients.
#[utoipa::path(
    post, path = "/api/v3/query_sql", tag = "query",
    request_body(content = Object, content_type = "application/json", example = json!({"db": "default", "q": "SELECT 1"})),
    responses((status = 200, description = "rows as json, jsonl or csv"))
)]
pub(super) async fn query_v3_post(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    let bytes = read(body).await?;
    let ask = if is_form(&call) {
        ask_of(&Parameters::parse(&String::from_utf8_lossy(&bytes)))?
    } else {
        parse(&bytes)?
    };
    answer(&app, &call, &ask, Output::of_v3(ask.format.as_deref())?, Takes::Reads).await
}

/// Runs one query for InfluxDB 3 clients.
#[utoipa::path(
    get, path = "/api/v3/query_sql", tag = "query",
    params(
        ("db" = Option<String>, Query), ("q" = String, Query),
        ("format" = Option<String>, Query), ("params" = Option<String>, Query, description = "JSON array"),
    ),
    responses((status = 200, description = "rows as json, jsonl or csv"))
)]
pub(super) async fn query_v3_get(State(app): State<App>, call: Call) -> Result<Response, Problem> {
    let ask = ask_of(&call.parameters)?;
    answer(&app, &call, &ask, Output::of_v3(ask.format.as_deref())?, Takes::Reads).await
}

/// The query of a query string or form.
pub(super) fn ask_of(parameters: &Parameters) -> Result<Ask, Problem> {
    let params = parameters.first(&["params"]).map(serde_json::from_str::<Value>).transpose();
    let text = |names: &[&str]| parameters.first(names).map(str::to_owned);
    Ok(Ask {
        sql: text(&["q", "sql"]),
        params: params.map_err(|error| Problem::bad_request(format!("params is not JSON: {error}")))?,
        database: text(&["db", "database"]),
        format: text(&["format"]),
        timeout_ms: parameters.number("timeout_ms")?,
        max_rows: parameters.number("max_rows")?,
        ..Ask::default()
    })
}
