//! Rows in: one handler per path, because each generation of clients has its own defaults.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cenote_catalog::Privilege;
use cenote_codec::Precision;
use cenote_ingest::{Error, Format, WriteOutcome, WriteRequest};
use http::{HeaderValue, StatusCode};

use super::partial;
use super::write_options::{ack, delimiter, idempotency_key, precision_of, table, tags, time_format};
use crate::app::App;
use crate::call::Call;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::{body, database};

/// Which generation of line protocol clients a path is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    V1V2,
    V3,
}

/// Line protocol; precision defaults to nanoseconds.
#[utoipa::path(
    post, path = "/api/v1/write/line-protocol", tag = "write",
    params(
        ("db" = Option<String>, Query, description = "database; header x-cenote-database goes before"),
        ("precision" = Option<String>, Query, description = "ns, us, ms, s, m, h or auto"),
        ("accept_partial" = Option<bool>, Query, description = "store good lines and report bad ones; default true"),
        ("ack" = Option<String>, Query, description = "memory, durable or committed"),
        ("Idempotency-Key" = Option<String>, Header, description = "store at most once under this key"),
    ),
    request_body(content = String, content_type = "text/plain", example = "cpu,host=a usage=0.5 1700000000000000000"),
    responses(
        (status = 204, description = "stored; headers x-cenote-rows, x-cenote-ack, x-cenote-txn"),
        (status = 400, description = "bad lines; the good ones are stored unless accept_partial=false"),
        (status = 413, description = "larger than a limit"),
        (status = 503, description = "full; send again after Retry-After"),
    )
)]
pub(super) async fn line_protocol(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    write_lines(app, call, body, Generation::V1V2).await
}

/// Line protocol of InfluxDB 1.x clients.
#[utoipa::path(
    post, path = "/api/v1/write", tag = "write",
    params(("db" = Option<String>, Query), ("rp" = Option<String>, Query), ("precision" = Option<String>, Query)),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 204, description = "stored"), (status = 400, description = "bad lines"))
)]
pub(super) async fn write_v1(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    write_lines(app, call, body, Generation::V1V2).await
}

/// Line protocol of InfluxDB 1.x clients.
#[utoipa::path(
    post, path = "/write", tag = "write",
    params(("db" = Option<String>, Query), ("rp" = Option<String>, Query), ("precision" = Option<String>, Query)),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 204, description = "stored"), (status = 400, description = "bad lines"))
)]
pub(super) async fn write_v1_root(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    write_lines(app, call, body, Generation::V1V2).await
}

/// Line protocol of InfluxDB 2.x clients.
#[utoipa::path(
    post, path = "/api/v1/write/influxdb", tag = "write",
    params(("bucket" = Option<String>, Query), ("precision" = Option<String>, Query)),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 204, description = "stored"), (status = 400, description = "bad lines"))
)]
pub(super) async fn influxdb(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    write_lines(app, call, body, Generation::V1V2).await
}

/// Line protocol of InfluxDB 2.x clients.
#[utoipa::path(
    post, path = "/api/v2/write", tag = "write",
    params(("bucket" = Option<String>, Query), ("precision" = Option<String>, Query)),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 204, description = "stored"), (status = 400, description = "bad lines"))
)]
pub(super) async fn write_v2(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    write_lines(app, call, body, Generation::V1V2).await
}

/// Line protocol of InfluxDB 3 clients; the unit of time is found by magnitude unless `precision` says it.
#[utoipa::path(
    post, path = "/api/v3/write_lp", tag = "write",
    params(
        ("db" = String, Query), ("precision" = Option<String>, Query),
        ("accept_partial" = Option<bool>, Query), ("no_sync" = Option<bool>, Query),
    ),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 204, description = "stored"), (status = 400, description = "bad lines"))
)]
pub(super) async fn write_v3(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    if database::selected(&call.headers, &call.parameters)?.is_none() {
        return Err(Problem::bad_request("missing query parameter 'db'"));
    }
    write_lines(app, call, body, Generation::V3).await
}

/// MessagePack: columns or rows.
#[utoipa::path(
    post, path = "/api/v1/write/msgpack", tag = "write",
    params(("db" = Option<String>, Query), ("precision" = Option<String>, Query), ("accept_partial" = Option<bool>, Query)),
    request_body(content = Vec<u8>, content_type = "application/msgpack"),
    responses((status = 204, description = "stored"), (status = 400, description = "a bad item"))
)]
pub(super) async fn msgpack(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    let format = Format::MessagePack { precision: precision_of(&call.parameters)? };
    write(app, call, body, format, false).await
}

/// JSON: one object, an array of them, or one per line.
#[utoipa::path(
    post, path = "/api/v1/write/json", tag = "write",
    params(
        ("table" = Option<String>, Query, description = "table of plain rows"), ("time_column" = Option<String>, Query),
        ("precision" = Option<String>, Query), ("tags" = Option<String>, Query, description = "comma list of tag columns"),
    ),
    request_body(content = String, content_type = "application/json"),
    responses((status = 204, description = "stored"), (status = 400, description = "a bad row"))
)]
pub(super) async fn json(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    let format = Format::Json {
        table: table(&call),
        time_column: call.parameters.first(&["time_column"]).map(str::to_owned),
        precision: precision_of(&call.parameters)?,
        tags: tags(&call.parameters),
    };
    write(app, call, body, format, false).await
}

/// CSV with a header line.
#[utoipa::path(
    post, path = "/api/v1/write/csv", tag = "write",
    params(
        ("table" = String, Query), ("time_column" = Option<String>, Query),
        ("time_format" = Option<String>, Query, description = "epoch_s, epoch_ms, epoch_us or epoch_ns"),
        ("delimiter" = Option<String>, Query), ("skip_rows" = Option<u64>, Query), ("header" = Option<bool>, Query),
        ("null" = Option<String>, Query), ("tags" = Option<String>, Query),
    ),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 204, description = "stored"), (status = 422, description = "a cell or row that does not fit"))
)]
pub(super) async fn csv(State(app): State<App>, call: Call, body: Body) -> Result<Response, Problem> {
    let table = table(&call);
    let format = csv_format(table, &call.parameters)?;
    write(app, call, body, format, false).await
}

/// The CSV of these parameters; 400 without a table.
pub(super) fn csv_format(table: Option<String>, parameters: &Parameters) -> Result<Format, Problem> {
    let Some(table) = table else {
        return Err(Problem::bad_request("parameter table is required for CSV"));
    };
    let skip_rows = parameters.number("skip_rows")?.unwrap_or(0);
    Ok(Format::Csv {
        table,
        time_column: parameters.first(&["time_column"]).unwrap_or("time").to_owned(),
        time_format: time_format(parameters)?,
        delimiter: delimiter(parameters)?,
        skip_rows: usize::try_from(skip_rows).unwrap_or(usize::MAX),
        header: parameters.flag("header")?.unwrap_or(true),
        null: parameters.first(&["null"]).unwrap_or("").to_owned(),
        tags: tags(parameters),
    })
}

async fn write_lines(app: App, call: Call, body: Body, generation: Generation) -> Result<Response, Problem> {
    let usual = match generation {
        Generation::V1V2 => Precision::Nanosecond,
        Generation::V3 => Precision::Auto,
    };
    let precision = precision_of(&call.parameters)?.unwrap_or(usual);
    write(app, call, body, Format::LineProtocol { precision }, generation == Generation::V3).await
}

async fn write(app: App, call: Call, body: Body, format: Format, v3: bool) -> Result<Response, Problem> {
    call.require_somewhere(Privilege::Insert)?;
    check_encoding(call.header("content-encoding"))?;
    let lines = matches!(format, Format::LineProtocol { .. });
    let token = call.identity.token.clone();
    let mut request = WriteRequest {
        database: database::of_write(&call.headers, &call.parameters, token.default_database.as_deref())?,
        format,
        body: bytes::Bytes::new(),
        ack: ack(&call.headers, &call.parameters)?,
        accept_partial: call.parameters.flag("accept_partial")?.unwrap_or(lines),
        idempotency_key: idempotency_key(&call.headers)?,
        caller: Some(call.caller()),
    };
    request.body = body::read(body, app.http.options.body_max, "limits.body_max").await?;
    if request.body.is_empty() {
        return Err(Error::EmptyBody.into());
    }
    let accept_partial = request.accept_partial;
    match app.services()?.ingest.write(&call.identity, request).await {
        Ok(outcome) if outcome.rejected_lines > 0 => {
            let mut response = partial::stored_some(&outcome).into_response();
            write_outcome(&outcome, &mut response);
            Ok(response)
        }
        Ok(outcome) if outcome.rows == 0 && lines => Err(Problem::bad_request("No valid records in request")),
        Ok(outcome) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            write_outcome(&outcome, &mut response);
            Ok(response)
        }
        Err(Error::Codec(cenote_codec::Error::NoValidLines { first })) => {
            Err(if accept_partial { partial::stored_none(&first, v3) } else { partial::refused(&first) })
        }
        Err(error) => Err(error.into()),
    }
}

/// gzip and zstd are found by their first bytes; the header only tells what cannot be read.
fn check_encoding(encoding: Option<&str>) -> Result<(), Problem> {
    match encoding.map(str::trim).map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "identity" | "gzip" | "x-gzip" | "zstd") => Ok(()),
        Some(other) => {
            let text = format!("Content-Encoding {other:?} is not supported");
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
            Err(problem.with("sqlstate", "0A000").hinted("send gzip, zstd or plain"))
        }
    }
}

pub(super) fn write_outcome(outcome: &WriteOutcome, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert("x-cenote-rows", HeaderValue::from(outcome.rows));
    headers.insert("x-cenote-ack", HeaderValue::from_static(outcome.ack.name()));
    if let Some(txn) = outcome.txn {
        headers.insert("x-cenote-txn", HeaderValue::from(txn.0));
    }
    if outcome.replaced_utf8 > 0 {
        headers.insert("x-cenote-replaced-utf8", HeaderValue::from(outcome.replaced_utf8));
    }
    if outcome.replayed {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
}
