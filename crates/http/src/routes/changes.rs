//! The change feed of a table: pages that a client asks for, or events as they come.
//!
//! A page is one statement of the query engine, `SELECT * FROM table_changes(…)`, so rights, limits, the registry and the
//! values' text are those of every query. What is added here: the position to go on from, and waiting for news.

mod events;
mod feed;

use cenote_catalog::Privilege;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::json;

use super::output::Output;
use crate::app::App;
use crate::call::Call;
use crate::encode::{IpcOptions, Style, Summary};
use crate::problem::Problem;
use crate::sse;
use feed::{Feed, Page};

/// Changes of a page, if `limit` does not say another number.
const LIMIT: u64 = 1_000;
/// Most changes of a page.
const LIMIT_MAX: u64 = 100_000;
/// Values that are written on the thread that answers.
const INLINE_VALUES_MAX: usize = 4_096;
/// Longest wait for news.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Changes of a table after a position, in order; `next` is the position to ask for then. With `Accept: text/event-stream`
/// they come as events until the client goes, each with its position as `id`, and `Last-Event-ID` resumes.
#[utoipa::path(
    get, path = "/api/v1/tables/{table}/changes", tag = "tables",
    params(
        ("table" = String, Path, description = "id, name, or schema.name"), ("database" = Option<String>, Query),
        ("from" = String, Query, description = "everything up to here is known: a transaction, a position, or a time"),
        ("to" = Option<String>, Query, description = "the last transaction, or a time; the newest without it"),
        ("limit" = Option<u64>, Query, description = "1000 without it, 100000 at most"),
        ("types" = Option<String>, Query, description = "insert,delete,update_preimage,update_postimage"),
        ("columns" = Option<String>, Query), ("preimages" = Option<bool>, Query), ("expired" = Option<bool>, Query),
        ("format" = Option<String>, Query, description = "json or arrow"),
        ("wait_ms" = Option<u64>, Query, description = "wait for a change, 30000 at most"),
        ("Last-Event-ID" = Option<String>, Header, description = "of events: instead of from"),
    ),
    responses(
        (status = 200, description = "changes, next and head; as Arrow the latter two are headers x-cenote-next and x-cenote-head",
            body = Object, content_type = "application/json",
            example = json!({"changes": [{"_txn": 7, "_change_type": "insert", "_pos": 0, "host": "a"}], "next": "7:12:0", "head": 9})),
        (status = 400, description = "a bad parameter, or a position above the newest transaction"),
        (status = 404, description = "no such table"), (status = 410, description = "changes that are no longer kept"),
    )
)]
pub(super) async fn changes(
    State(app): State<App>,
    Path(table): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    call.require_somewhere(Privilege::Select)?;
    call.parameters.only(&[
        "db",
        "database",
        "u",
        "p",
        "from",
        "to",
        "limit",
        "types",
        "columns",
        "preimages",
        "expired",
        "format",
        "wait_ms",
    ])?;
    let as_events = sse::is_asked(&call);
    let mut feed = Feed::of(&app, call, &table, as_events).await?;
    if as_events {
        return events::stream(app, feed).await;
    }
    let output = match Output::of(feed.call(), feed.parameter("format"))? {
        Output::Json => Output::Objects,
        Output::Arrow(_) => Output::Arrow(IpcOptions::default()),
        _ => return Err(Problem::bad_request("changes are answered as json or arrow")),
    };
    let limit = feed.number("limit")?.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("limit must be 1 to {LIMIT_MAX}, got {limit}")));
    }
    let wait = Duration::from_millis(feed.number("wait_ms")?.unwrap_or(0));
    if wait > WAIT_MAX {
        let text = format!("wait_ms must be at most {}, got {}", WAIT_MAX.as_millis(), wait.as_millis());
        return Err(Problem::bad_request(text));
    }
    let page = feed.page_within(&app, limit, wait).await?;
    respond(&page, output).await
}

async fn respond(page: &Page, output: Output) -> Result<Response, Problem> {
    let rows = encoded(page, output).await?;
    let mut response = match output {
        Output::Objects => {
            let mut body = b"{\"changes\":".to_vec();
            body.extend_from_slice(&rows);
            let tail = json!({"next": page.next.to_string(), "head": page.head.0}).to_string();
            body.push(b',');
            body.extend_from_slice(&tail.as_bytes()[1..]);
            Response::new(Body::from(body))
        }
        _ => Response::new(Body::from(rows)),
    };
    let headers = response.headers_mut();
    let media_type = output.encoder(Style::default()).media_type();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert("x-cenote-head", HeaderValue::from(page.head.0));
    if let Ok(next) = HeaderValue::from_str(&page.next.to_string()) {
        headers.insert("x-cenote-next", next);
    }
    Ok(response)
}

/// The rows of a page in a format; many are written on a thread for work.
async fn encoded(page: &Page, output: Output) -> Result<Vec<u8>, Problem> {
    let (schema, batches) = (page.schema.clone(), page.batches.clone());
    let values: usize = batches.iter().map(|batch| batch.num_rows() * batch.num_columns()).sum();
    let written = if values <= INLINE_VALUES_MAX {
        written(&schema, &batches, output)
    } else {
        let work = tokio::task::spawn_blocking(move || written(&schema, &batches, output));
        work.await.map_err(|_| Problem::internal("changes: the encoder panicked"))?
    };
    written.map_err(|error| Problem::internal(format!("changes: {error}")))
}

fn written(schema: &SchemaRef, batches: &[RecordBatch], output: Output) -> Result<Vec<u8>, ArrowError> {
    let mut encoder = output.encoder(Style::default());
    let mut out = Vec::new();
    encoder.begin(schema, &mut out)?;
    for batch in batches {
        encoder.batch(batch, &mut out)?;
    }
    encoder.end(&Summary::default(), &mut out)?;
    Ok(out)
}

/// Bytes that a page holds.
fn bytes_of(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::get_array_memory_size).sum()
}
