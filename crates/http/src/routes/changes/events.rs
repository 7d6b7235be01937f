//! Changes as server-sent events: `schema` first and whenever the columns change, then one event per row.
//!
//! The stream ends at `to`, when the token ends, when the node drains, or after an event `error`.

use std::time::Duration;

use arrow::datatypes::SchemaRef;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, header};
use serde_json::json;

use super::feed::{Feed, Page, position_at};
use super::{Output, encoded};
use crate::NodeState;
use crate::app::App;
use crate::encode::sql_types;
use crate::problem::Problem;

/// Changes of one piece of the stream.
const PIECE: u64 = 1_000;
/// After so long without a change a comment shows that the stream is alive.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// The response; a problem of the first piece is answered with its own status.
pub(super) async fn stream(app: App, mut feed: Feed) -> Result<Response, Problem> {
    let first = feed.page(&app, PIECE).await?;
    let events = Events { app, feed, shown: None, first: Some(first), over: false };
    let pieces = stream::unfold(events, |mut events| async move {
        let piece = events.next().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from(piece)), events))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Events {
    app: App,
    feed: Feed,
    /// The columns that the client knows.
    shown: Option<SchemaRef>,
    first: Option<Page>,
    over: bool,
}

impl Events {
    /// The next bytes; none: the stream is over.
    async fn next(&mut self) -> Option<Vec<u8>> {
        if self.over {
            return None;
        }
        match self.piece().await {
            Ok(piece) => piece,
            Err(problem) => {
                self.over = true;
                let data = json!({"error": problem.text, "status": problem.status.as_u16()});
                Some(format!("event: error\ndata: {data}\n\n").into_bytes())
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        let page = match self.first.take() {
            Some(page) => page,
            None if self.feed.is_at_end() => return Ok(None),
            None => {
                let identity = &self.feed.call().identity;
                if !self.app.services()?.catalog.is_valid(identity).await? {
                    return Err(cenote_catalog::Error::Unauthenticated.into());
                }
                let mut state = self.app.http.state.clone();
                let draining = async move {
                    // a closed channel is a node that is gone
                    drop(state.wait_for(|state| *state == NodeState::Draining).await);
                };
                tokio::select! {
                    page = self.feed.page_within(&self.app, PIECE, SILENCE_MAX) => page?,
                    () = draining => return Ok(None),
                }
            }
        };
        let mut out = Vec::new();
        self.schema(&page, &mut out);
        rows(&page, &mut out).await?;
        if out.is_empty() {
            out.extend_from_slice(b": nothing new\n\n");
        }
        Ok(Some(out))
    }

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
