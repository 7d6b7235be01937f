//! Changes as server-sent events: `schema` first and whenever the columns change, then one event per row.
//!
//! The stream ends at `to`, when the token ends, when the node drains, or after an event `error`.

use arrow::datatypes::SchemaRef;
use axum::response::Response;
use serde_json::json;

use super::feed::{Feed, Page, position_at};
use super::{Output, encoded};
use crate::app::App;
use crate::encode::sql_types;
use crate::problem::Problem;
use crate::sse::{self, SILENCE, SILENCE_MAX};

/// Changes of one piece of the stream.
const PIECE: u64 = 1_000;

/// The response; a problem of the first piece is answered with its own status.
pub(super) async fn stream(app: App, mut feed: Feed) -> Result<Response, Problem> {
    let first = feed.page(&app, PIECE).await?;
    Ok(sse::follow(Events { app, feed, shown: None, first: Some(first) }))
}

struct Events {
    app: App,
    feed: Feed,
    /// The columns that the client knows.
    shown: Option<SchemaRef>,
    first: Option<Page>,
}

impl sse::Feed for Events {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        let page = match self.first.take() {
            Some(page) => Some(page),
            None if self.feed.is_at_end() => None,
            None => {
                let identity = self.feed.call().identity.clone();
                let page = self.feed.page_within(&self.app, PIECE, SILENCE_MAX);
                Box::pin(sse::listen(&self.app, &identity, page)).await?
            }
        };
        let Some(page) = page else { return Ok(None) };
        let mut out = Vec::new();
        self.schema(&page, &mut out);
        rows(&page, &mut out).await?;
        if out.is_empty() {
            out.extend_from_slice(SILENCE.as_bytes());
        }
        Ok(Some(out))
    }
}

impl Events {
    fn schema(&mut self, page: &Page, out: &mut Vec<u8>) {
        if self.shown.as_ref() == Some(&page.schema) {
            return;
        }
        let columns: Vec<_> = page
            .schema
            .fields()
            .iter()
            .zip(sql_types(&page.schema))
            .map(|(field, sql_type)| json!({"name": field.name(), "type": sql_type}))
            .collect();
        let data = json!({ "columns": columns });
        out.extend_from_slice(format!("event: schema\ndata: {data}\n\n").as_bytes());
        self.shown = Some(page.schema.clone());
    }
}

/// One event per row; its id is the row's position.
async fn rows(page: &Page, out: &mut Vec<u8>) -> Result<(), Problem> {
    let lines = encoded(page, Output::Lines).await?;
    let mut lines = lines.split(|byte| *byte == b'\n'); // no value holds a bare line feed: it is JSON
    for batch in &page.batches {
        for row in 0..batch.num_rows() {
            let (Some(position), Some(line)) = (position_at(batch, row), lines.next()) else {
                return Err(Problem::internal("changes: a row has no place"));
            };
            out.extend_from_slice(format!("id: {position}\ndata: ").as_bytes());
            out.extend_from_slice(line);
            out.extend_from_slice(b"\n\n");
        }
    }
    Ok(())
}
