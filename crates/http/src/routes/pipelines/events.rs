//! Rows of pipelines as server-sent events.

use arrow::record_batch::RecordBatch;
use axum::response::Response;
use cenote_query::{Preview, Shown, ShownRows};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::{Value, json};

use super::shape;
use crate::encode::{Encoder, LinesEncoder, Style, Summary};
use crate::sse::{self, SILENCE, SILENCE_MAX};

/// `graph`, then rows.
pub(super) fn of_preview(preview: Preview) -> Response {
    let graph = event(Some("graph"), &shape::graph(&preview.graph));
    let rows = preview.rows.map(|rows| match rows {
        Ok(rows) => piece(&rows),
        Err(error) => event(Some("error"), &json!({"error": error.to_string()})),
    });
    respond(stream::once(async move { graph }).chain(rows).boxed())
}

/// Rows as they come.
pub(super) fn of_output(shown: BoxStream<'static, Shown>) -> Response {
    let pieces = shown.map(|shown| match shown {
        Shown::Rows(rows) => piece(&rows),
        Shown::Lost(pieces) => event(Some("lost"), &json!({"pieces": pieces})),
    });
    respond(pieces.boxed())
}

fn respond(pieces: BoxStream<'static, String>) -> Response {
    sse::respond(stream::unfold(pieces, |mut pieces| async move {
        let piece = match tokio::time::timeout(SILENCE_MAX, pieces.next()).await {
            Ok(piece) => piece?,
            Err(_) => SILENCE.to_owned(),
        };
        Some((piece, pieces))
    }))
}

fn event(name: Option<&str>, data: &Value) -> String {
    let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
    format!("{name}data: {data}\n\n")
}

/// Rows of an epoch: of those that may be taken back what was before and what is after.
fn piece(shown: &ShownRows) -> String {
    let rows = match objects(&shown.rows) {
        Ok(rows) => rows,
        Err(error) => return event(Some("error"), &json!({"error": error})),
    };
    let batch: Vec<Value> = match &shown.weights {
        None => rows,
        Some(weights) => {
            let changes = rows.into_iter().zip(weights).map(|(row, weight)| match weight {
                ..0 => json!({"before": row, "after": null, "op": "d"}),
                _ => json!({"before": null, "after": row, "op": "c"}),
            });
            changes.collect()
        }
    };
    let data = json!({
        "operator_id": shown.node,
        "subtask_idx": 0,
        "timestamps": vec![shown.at.0; batch.len()],
        "start_id": shown.first,
        // a text, as Arroyo has it
        "batch": Value::Array(batch).to_string(),
    });
    event(None, &data)
}

fn objects(rows: &RecordBatch) -> Result<Vec<Value>, String> {
    let mut encoder = LinesEncoder::array(Style::default());
    let mut out = Vec::new();
    let written = encoder
        .begin(&rows.schema(), &mut out)
        .and_then(|()| encoder.batch(rows, &mut out))
        .and_then(|()| encoder.end(&Summary::default(), &mut out));
    written.map_err(|error| error.to_string())?;
    serde_json::from_slice(&out).map_err(|error| error.to_string())
}
